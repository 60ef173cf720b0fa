//! The authenticator and its configuration.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

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
    let id = ComponentId::parse("sigv4auth").unwrap();
    let mut cx = BuildCtx::standalone(id, ComponentKind::Extension, None);
    cx.clock = Arc::new(ManualClock::at(1_700_000_000_000_000_000));
    let auth = SigV4::new(config, credentials, &cx);
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
