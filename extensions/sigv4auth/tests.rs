//! The authenticator and its configuration.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri};
use weir_aws::{Credentials, CredentialsError, CredentialsProvider};
use weir_config::{Errors, Validate};
use weir_core::{
    AuthError, BoxFut, BuildCtx, ClientAuth, ComponentId, ComponentKind, ManualClock, RequestParts,
};

use super::{AssumeRoleConfig, Config, SigV4, chain};

fn config(region: &str, service: &str) -> Config {
    Config {
        region: region.to_owned(),
        service: service.to_owned(),
        assume_role: AssumeRoleConfig::default(),
    }
}

async fn sign(
    config: &Config,
    credentials: Arc<dyn CredentialsProvider>,
    uri: &str,
) -> Result<HeaderMap, AuthError> {
    signed(&authenticator(config, credentials), uri).await
}

fn authenticator(config: &Config, credentials: Arc<dyn CredentialsProvider>) -> SigV4 {
    let id = ComponentId::parse("sigv4auth").unwrap();
    let mut cx = BuildCtx::standalone(id, ComponentKind::Extension, None);
    cx.clock = Arc::new(ManualClock::at(1_700_000_000_000_000_000));
    SigV4::new(config, credentials, &cx)
}

async fn signed(auth: &SigV4, uri: &str) -> Result<HeaderMap, AuthError> {
    let mut headers = HeaderMap::new();
    headers.insert("user-agent", HeaderValue::from_static("exporter/1"));
    headers.insert("content-encoding", HeaderValue::from_static("snappy"));
    let request = RequestParts {
        method: &Method::POST,
        uri: &uri.parse::<Uri>().unwrap(),
        headers: &mut headers,
        body: &Bytes::from_static(b"body"),
    };
    auth.authorize(request).await.map(|()| headers)
}

fn keys() -> Arc<dyn CredentialsProvider> {
    Arc::new(Credentials::fixed("AKID", "secret", None))
}

/// AWS-01, AWS-03, AWS-04.
#[tokio::test]
async fn the_configured_scope_wins_and_what_is_missing_comes_from_the_host() {
    let aps = "https://aps-workspaces.us-west-2.amazonaws.com/api";
    for (region, service, uri, scope) in [
        ("", "", aps, "us-west-2/aps"),
        ("eu-west-1", "", aps, "eu-west-1/aps"),
        ("", "other", aps, "us-west-2/other"),
        ("", "", "http://127.0.0.1:9/", "/"),
        ("r", "", "http://logs:9/", "r/logs"),
        ("", "", "http://logs:9/", "/logs"),
    ] {
        let headers = sign(&config(region, service), keys(), uri).await.unwrap();
        let authorization = headers["authorization"].to_str().unwrap();
        let expected = format!("Credential=AKID/20231114/{scope}/aws4_request, ");
        assert!(authorization.contains(&expected), "{authorization}");
    }
}

/// AWS-09.
#[tokio::test]
async fn the_user_agent_is_extended_and_not_signed() {
    let headers = sign(&config("r", "s"), keys(), "http://h/").await.unwrap();
    let agent = headers["user-agent"].to_str().unwrap();
    assert!(agent.starts_with("exporter/1 weir-aws/"), "{agent}");
    let authorization = headers["authorization"].to_str().unwrap();
    assert!(
        authorization
            .contains("SignedHeaders=content-encoding;content-length;host;x-amz-date, ")
    );
}

/// AWS-03: a warning and a request all the same; AWS-06..08: what is added, and nothing else.
#[tokio::test]
async fn a_host_that_tells_nothing_is_signed_with_an_empty_scope() {
    let headers = sign(&config("", ""), keys(), "http://127.0.0.1:9/write").await.unwrap();
    let authorization = headers["authorization"].to_str().unwrap();
    let expected = "AWS4-HMAC-SHA256 Credential=AKID/20231114///aws4_request, \
        SignedHeaders=content-encoding;content-length;host;x-amz-date, Signature=";
    assert!(authorization.starts_with(expected), "{authorization}");
    let mut names: Vec<&str> = headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    let expected = ["authorization", "content-encoding", "user-agent", "x-amz-date"];
    assert_eq!(names, expected);
}

/// AWS-07.
#[tokio::test]
async fn temporary_credentials_bring_their_token() {
    let keys = Arc::new(Credentials::fixed("ASIA", "secret", Some("token")));
    let headers = sign(&config("r", "aps"), keys, "http://h/").await.unwrap();
    assert_eq!(headers["x-amz-security-token"], "token");
    let authorization = headers["authorization"].to_str().unwrap();
    assert!(authorization.contains(";x-amz-security-token, "), "{authorization}");
}

/// Hands out `OLD` until it is told that it was refused, then `NEW`.
#[derive(Debug, Default)]
struct Changing(AtomicBool);

impl CredentialsProvider for Changing {
    fn credentials(&self) -> BoxFut<'_, Result<Credentials, CredentialsError>> {
        let id = if self.0.load(Ordering::SeqCst) { "NEW" } else { "OLD" };
        Box::pin(async move { Ok(Credentials::fixed(id, "secret", None)) })
    }

    fn refused(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn answer(name: &'static str, value: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_static(value));
    headers
}

/// A refusal that tells the time, or that the credentials have ended, is worth another attempt.
#[tokio::test]
async fn a_refusal_corrects_the_clock_and_renews_credentials() {
    let auth = authenticator(&config("r", "s"), keys());
    let first = signed(&auth, "http://h/").await.unwrap();
    assert_eq!(first["x-amz-date"], "20231114T221320Z");
    let same_time = answer("date", "Tue, 14 Nov 2023 22:14:00 GMT");
    assert!(!auth.refused(&first, &same_time).await);
    assert!(!auth.refused(&first, &HeaderMap::new()).await);
    let tomorrow = answer("date", "Wed, 15 Nov 2023 22:13:20 GMT");
    assert!(auth.refused(&first, &tomorrow).await);
    let second = signed(&auth, "http://h/").await.unwrap();
    assert_eq!(second["x-amz-date"], "20231115T221320Z");
    assert!(!auth.refused(&second, &tomorrow).await);

    let auth = authenticator(&config("r", "s"), Arc::new(Changing::default()));
    let first = signed(&auth, "http://h/").await.unwrap();
    let denied = answer("x-amzn-errortype", "AccessDeniedException");
    assert!(!auth.refused(&first, &denied).await);
    let ended = answer("x-amzn-errortype", "ExpiredTokenException:http://x");
    assert!(auth.refused(&first, &ended).await);
    let second = signed(&auth, "http://h/").await.unwrap();
    assert!(second["authorization"].to_str().unwrap().contains("Credential=NEW/"));
    assert!(!auth.refused(&second, &ended).await);
}

#[derive(Debug)]
struct Nobody;

impl CredentialsProvider for Nobody {
    fn credentials(&self) -> BoxFut<'_, Result<Credentials, CredentialsError>> {
        Box::pin(async {
            Err(CredentialsError::new("none"))
        })
    }
}

#[tokio::test]
async fn without_credentials_the_request_may_be_tried_again() {
    let error = sign(&config("r", "s"), Arc::new(Nobody), "http://h/").await.unwrap_err();
    assert!(error.retryable);
    assert_eq!(error.message, "error retrieving credentials: no AWS credentials: none");
}

/// AWS-16.
#[test]
fn the_sts_region_is_the_region_unless_given() {
    let mut config = config("us-west-2", "");
    assert_eq!(chain(&config).region, "us-west-2");
    config.assume_role.arn = "arn:aws:iam::1:role/r".to_owned();
    assert_eq!(chain(&config).assume_role.unwrap().region, "us-west-2");
    config.assume_role.sts_region = "eu-west-1".to_owned();
    assert_eq!(chain(&config).assume_role.unwrap().region, "eu-west-1");
}

/// AWS-13, AWS-14.
#[test]
fn a_token_file_needs_a_role_and_must_be_readable() {
    for (arn, file, right) in [
        ("", "", true),
        ("arn", "", true),
        ("arn", "/dev/null", true),
        ("", "/dev/null", false),
        ("arn", "/does/not/exist", false),
    ] {
        let mut errors = Errors::default();
        let assume_role = AssumeRoleConfig {
            arn: arn.to_owned(),
            web_identity_token_file: file.to_owned(),
            ..AssumeRoleConfig::default()
        };
        let config = Config {
            assume_role,
            ..Config::default()
        };
        config.validate(&mut errors);
        assert_eq!(errors.is_empty(), right, "{arn} {file}");
    }
}
