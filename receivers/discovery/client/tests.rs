//! The grant type jwt-bearer, against a token endpoint played here that checks signatures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Response, StatusCode};
use ring::rsa::KeyPair;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RsaParameters, UnparsedPublicKey,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use weir_config::{Origin, Source, decode_and_validate, parse_yaml};
use weir_core::ManualClock;
use weir_testkit::{MockServer, Recorded};

use super::*;

/// 2026-11-29, and some nanoseconds.
const NOW: u64 = 1_795_910_400_123_456_789;

fn path(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/discovery/client/testdata");
    let path = PathBuf::from(folder).join(name);
    path.display().to_string()
}

fn pem(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

/// The public part of the key that the endpoint knows.
fn public_key() -> Vec<u8> {
    let key = PrivateKeyDer::from_pem_file(path("rsa.pkcs8.pem")).unwrap();
    let pair = KeyPair::from_pkcs8(key.secret_der()).unwrap();
    pair.public().as_ref().to_vec()
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// Header and claims of an assertion whose signature is good.
fn verified(assertion: &str) -> Option<(Value, Value)> {
    let parts: Vec<&str> = assertion.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        panic!("three parts: {assertion}")
    };
    let signed = format!("{header}.{claims}");
    let read = |part: &str| serde_json::from_slice::<Value>(&decode(part)).unwrap();
    let (header, claims) = (read(header), read(claims));
    let parameters: &RsaParameters = match header["alg"].as_str() {
        Some("RS256") => &RSA_PKCS1_2048_8192_SHA256,
        Some("RS384") => &RSA_PKCS1_2048_8192_SHA384,
        Some("RS512") => &RSA_PKCS1_2048_8192_SHA512,
        other => panic!("algorithm {other:?}"),
    };
    let key = UnparsedPublicKey::new(parameters, public_key());
    let good = key.verify(signed.as_bytes(), &decode(signature)).is_ok();
    good.then_some((header, claims))
}

/// The fields of a form, decoded.
fn form(request: &Recorded) -> Vec<(String, String)> {
    let url = format!("http://h/?{}", std::str::from_utf8(&request.body).unwrap());
    let plain = |text: &str| {
        let text = text.replace('+', " ");
        let mut parts = text.split('%');
        let mut out = parts.next().unwrap().as_bytes().to_vec();
        for part in parts {
            out.push(u8::from_str_radix(&part[..2], 16).unwrap());
            out.extend_from_slice(&part.as_bytes()[2..]);
        }
        String::from_utf8(out).unwrap()
    };
    let (_, query) = url.split_once('?').unwrap();
    let fields = query.split('&').map(|field| field.split_once('=').unwrap());
    fields
        .map(|(name, value)| (plain(name), plain(value)))
        .collect()
}

fn field(request: &Recorded, name: &str) -> String {
    let mut fields = form(request).into_iter();
    let found = fields.find(|(known, _)| known == name);
    found.map_or_else(String::new, |(_, value)| value)
}

fn answer(status: StatusCode, body: &str) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::copy_from_slice(body.as_bytes()));
    *answer.status_mut() = status;
    answer
}

/// Gives tokens `t0`, `t1` and so on for good assertions; the first is good for no more than 5 s.
fn endpoint() -> MockServer {
    let given = AtomicUsize::new(0);
    MockServer::start(move |request| {
        if verified(&field(request, "assertion")).is_none() {
            // Some endpoints repeat what they were sent.
            let body = json!({
                "error": "invalid_grant",
                "error_description": field(request, "assertion"),
            });
            return answer(StatusCode::BAD_REQUEST, &body.to_string());
        }
        let number = given.fetch_add(1, Ordering::SeqCst);
        let lifetime = if number == 0 { 5 } else { 3600 };
        let body = json!({"access_token": format!("t{number}"), "token_type": "bearer", "expires_in": lifetime});
        answer(StatusCode::OK, &body.to_string())
    })
    .unwrap()
}

fn decoded(yaml: &str) -> Result<OAuth2, String> {
    let source = Source::new("test.yaml", yaml, Origin::Document);
    let node = parse_yaml(&source).unwrap();
    decode_and_validate::<OAuth2>(&node, "oauth2")
        .map(|decoded| decoded.value)
        .map_err(|errors| {
            let errors = errors.iter();
            let lines: Vec<String> = errors
                .map(|error| format!("{}: {}", error.path, error.message))
                .collect();
            lines.join("\n")
        })
}

/// A configuration for jwt-bearer with these keys besides.
fn yaml(token_url: &str, keys: &str) -> String {
    format!(
        "grant_type: {}\nclient_id: me\ntoken_url: {token_url}\n{keys}\n",
        jwt::GRANT_TYPE
    )
}

fn access(yaml: &str) -> Access {
    weir_net::install_default_provider();
    let block = HttpClientBlock {
        oauth2: Some(decoded(yaml).unwrap()),
        ..HttpClientBlock::default()
    };
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
    Access::new(&block, "test", &clock).unwrap()
}

async fn header(access: &Access) -> Result<String, String> {
    let mut headers = HeaderMap::new();
    let added = access.add_headers(&mut headers).await;
    added.map_err(|error| error.to_string())?;
    Ok(headers[AUTHORIZATION].to_str().unwrap().to_owned())
}

#[tokio::test]
async fn the_assertion_has_the_claims_of_the_reference() {
    let server = endpoint();
    let url = server.url();
    let file = format!("client_certificate_key_file: {}", path("rsa.pkcs1.pem"));
    let access = access(&yaml(&url, &file));
    assert_eq!(header(&access).await.unwrap(), "Bearer t0");
    let request = &server.requests()[0];
    assert_eq!(request.header("authorization"), "", "no secret is sent");
    let names: Vec<String> = form(request).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["grant_type", "assertion"]);
    assert_eq!(field(request, "grant_type"), jwt::GRANT_TYPE);
    let (header, mut claims) = verified(&field(request, "assertion")).unwrap();
    assert_eq!(header, json!({"alg": "RS256", "typ": "JWT"}));
    let id = claims.as_object_mut().unwrap().remove("jti").unwrap();
    let expected = json!({
        "iss": "me", "sub": "me", "aud": url, "iat": 1_795_910_400, "exp": 1_795_911_000,
    });
    assert_eq!(claims, expected);
    let id = id.as_str().unwrap();
    let parts: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12], "{id}");
    assert_eq!(&id[14..15], "4", "{id} is a random identifier");
    assert!("89ab".contains(&id[19..20]), "{id} is one of RFC 9562");
}

#[tokio::test]
async fn the_keys_of_the_grant_type_count() {
    let server = endpoint();
    let keys = "\
client_certificate_key_id: key-7
signature_algorithm: RS512
iss: issuer
audience: https://idp/
scopes: [a, b]
endpoint_params: {hi: hello there}
claims: {sub: someone, groups: [x, 1, 2.5, null, {y: true}]}
client_certificate_key: |
";
    let key = pem("rsa.pkcs8.pem").replace('\n', "\n  ");
    let access = access(&yaml(&server.url(), &format!("{keys}  {key}")));
    header(&access).await.unwrap();
    let request = &server.requests()[0];
    assert_eq!(field(request, "scope"), "a b");
    assert_eq!(field(request, "hi"), "hello there");
    let (header, claims) = verified(&field(request, "assertion")).unwrap();
    assert_eq!(
        header,
        json!({"alg": "RS512", "typ": "JWT", "kid": "key-7"})
    );
    let of = |name: &str| claims[name].clone();
    assert_eq!(of("iss"), "issuer");
    assert_eq!(of("aud"), "https://idp/");
    assert_eq!(of("scope"), "a b");
    assert_eq!(of("sub"), "someone", "claims win over those made here");
    assert_eq!(of("groups"), json!(["x", 1, 2.5, null, {"y": true}]));
}

#[test]
fn each_algorithm_and_form_of_a_key_gives_a_good_signature() {
    for (name, alg) in [
        ("", "RS256"),
        ("RS256", "RS256"),
        ("RS384", "RS384"),
        ("RS512", "RS512"),
    ] {
        for file in ["rsa.pkcs1.pem", "rsa.pkcs8.pem"] {
            let keys = format!(
                "signature_algorithm: '{name}'\nclient_certificate_key_file: {}",
                path(file)
            );
            let config = decoded(&yaml("http://h/", &keys)).unwrap();
            let first = jwt::assertion(&config, 1).unwrap();
            let (header, _) = verified(&first).unwrap_or_else(|| panic!("{name} {file}"));
            assert_eq!(header["alg"], alg);
            let second = jwt::assertion(&config, 1).unwrap();
            assert_ne!(first, second, "jti differs");
        }
    }
}

/// The token is kept while it is good; the key file is read for each request of a token.
#[tokio::test]
async fn tokens_are_kept_and_an_exchanged_key_counts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    std::fs::write(&file, pem("other.pem")).unwrap();
    let server = endpoint();
    let keys = format!("client_certificate_key_file: {}", file.display());
    let access = access(&yaml(&server.url(), &keys));
    let refused = header(&access).await.unwrap_err();
    assert!(refused.contains("invalid_grant"), "{refused}");
    std::fs::write(&file, pem("rsa.pkcs8.pem")).unwrap();
    assert_eq!(header(&access).await.unwrap(), "Bearer t0");
    for _ in 0..3 {
        assert_eq!(header(&access).await.unwrap(), "Bearer t1");
    }
    assert_eq!(server.requests().len(), 3);
}

/// A name of the grant type that the endpoint wants instead.
#[tokio::test]
async fn endpoint_params_may_rename_the_grant_type() {
    let server = endpoint();
    let keys = format!(
        "endpoint_params: {{grant_type: jwt}}\nclient_certificate_key_file: {}",
        path("rsa.pkcs8.pem")
    );
    header(&access(&yaml(&server.url(), &keys))).await.unwrap();
    let fields = form(&server.requests()[0]);
    let types = fields.iter().filter(|(name, _)| name == "grant_type");
    let types: Vec<&str> = types.map(|(_, value)| value.as_str()).collect();
    assert_eq!(types, ["jwt"]);
}

/// Each error names the key that is at fault, and shows nothing that is secret.
#[tokio::test]
async fn errors_of_keys_and_of_the_endpoint_tell_what_to_change() {
    let server = endpoint();
    let at_fault = "oauth2.client_certificate_key_file: ";
    for (file, part) in [
        (
            "other.pem",
            "HTTP status 400 Bad Request, invalid_grant: check client_id, client_certificate_key,",
        ),
        (
            "ec.pkcs8.pem",
            "is not an RSA key of 2048 to 4096 bits (WrongAlgorithm)",
        ),
        ("ec.sec1.pem", "is not an RSA key"),
        (
            "short.pem",
            "is not an RSA key of 2048 to 4096 bits (TooSmall)",
        ),
        (
            "locked.pem",
            "holds no private key in PEM form (PKCS#1 or PKCS#8, without a passphrase)",
        ),
        ("../tests.rs", "holds no private key in PEM form"),
    ] {
        let keys = format!("client_certificate_key_file: {}", path(file));
        let error = header(&access(&yaml(&server.url(), &keys)))
            .await
            .unwrap_err();
        let whole = format!("no token from {}/: ", server.url());
        assert!(
            error.starts_with(&whole) && error.contains(part),
            "{file}: {error}"
        );
        if file != "other.pem" {
            let named = format!("{at_fault}{} {part}", path(file));
            assert!(error.contains(&named), "{file}: {error}");
        }
        assert!(error.len() < 400, "{file}: {error}");
        // Neither the key nor an assertion: both are long runs of base64.
        let longest = error.split([' ', '/', '.', ':']).map(str::len).max();
        assert!(longest < Some(64), "{file}: {error}");
    }
}

#[tokio::test]
async fn a_key_file_that_is_gone_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    std::fs::write(&file, pem("rsa.pkcs8.pem")).unwrap();
    let server = endpoint();
    let keys = format!("client_certificate_key_file: {}", file.display());
    let access = access(&yaml(&server.url(), &keys));
    std::fs::remove_file(&file).unwrap();
    let error = header(&access).await.unwrap_err();
    let named = format!(
        "oauth2.client_certificate_key_file: cannot read {}: ",
        file.display()
    );
    assert!(error.contains(&named), "{error}");
    assert!(server.requests().is_empty());
}

/// What an endpoint answers in place of a token is not repeated, as it may hold one.
#[tokio::test]
async fn refusals_are_told_by_their_code_alone() {
    let body = Arc::new(Mutex::new((StatusCode::OK, "")));
    let shown = Arc::clone(&body);
    let server = MockServer::start(move |_| {
        let (status, body) = *shown.lock().unwrap();
        answer(status, body)
    })
    .unwrap();
    let keys = format!("client_certificate_key_file: {}", path("rsa.pkcs8.pem"));
    let access = access(&yaml(&server.url(), &keys));
    let bad = StatusCode::BAD_REQUEST;
    for (status, text, expected) in [
        (bad, "hunter2", "HTTP status 400 Bad Request"),
        (bad, r#"{"error":"hunter2"}"#, "HTTP status 400 Bad Request"),
        (
            bad,
            r#"{"error":"invalid_scope"}"#,
            "HTTP status 400 Bad Request, invalid_scope: check scopes of oauth2",
        ),
        (
            bad,
            r#"{"error":"unsupported_grant_type"}"#,
            "HTTP status 400 Bad Request, unsupported_grant_type: check client_id and grant_type of oauth2",
        ),
        (
            StatusCode::OK,
            r#""hunter2""#,
            "the answer is not a JSON object with a token",
        ),
        (
            StatusCode::OK,
            r#"{"access_token":""}"#,
            "the answer has no access_token",
        ),
    ] {
        *body.lock().unwrap() = (status, text);
        let error = header(&access).await.unwrap_err();
        assert_eq!(
            error,
            format!("no token from {}/: {expected}", server.url())
        );
    }
}

#[test]
fn keys_are_checked_at_load() {
    let file = format!("client_certificate_key_file: {}\n", path("rsa.pkcs8.pem"));
    for (keys, message) in [
        (
            "",
            "oauth2.client_certificate_key: either oauth2 client_certificate_key or client_certificate_key_file",
        ),
        (
            "client_certificate_key_file: /nowhere/key",
            "oauth2.client_certificate_key_file: error checking file \"/nowhere/key\"",
        ),
        (
            &format!("{file}client_certificate_key: x"),
            "oauth2.client_certificate_key_file: at most one of",
        ),
        (
            "client_certificate_key: hunter2",
            "oauth2.client_certificate_key: holds no private key in PEM form",
        ),
        (
            &format!("{file}signature_algorithm: ES256"),
            "oauth2.signature_algorithm: unknown signature algorithm `ES256`",
        ),
        (
            &format!("{file}claims: {{a: [{{b: .nan}}]}}"),
            "oauth2.claims.a: JSON has neither",
        ),
        (
            &format!("{file}endpoint_params: {{assertion: x}}"),
            "oauth2.endpoint_params.assertion: cannot overwrite parameter \"assertion\"",
        ),
        (
            &format!("{file}scopes: [a]\nendpoint_params: {{scope: x}}"),
            "oauth2.endpoint_params.scope: cannot overwrite parameter \"scope\"",
        ),
    ] {
        let errors = decoded(&yaml("http://h/", keys)).expect_err(keys);
        assert!(errors.contains(message), "{message} in {errors}");
        assert!(!errors.contains("hunter2"), "{errors}");
    }
    // The secret of the other grant type is not asked for, and does no harm.
    let both = format!("{file}client_secret: s\nendpoint_params: {{scope: x}}");
    decoded(&yaml("http://h/", &both)).unwrap();
    let unknown = decoded("client_id: me\ntoken_url: http://h/\ngrant_type: password").unwrap_err();
    assert!(
        unknown.contains("oauth2.grant_type: unsupported oauth2 grant_type `password`"),
        "{unknown}"
    );
}

/// `print-config` and the log do not show the key.
#[test]
fn the_key_is_masked() {
    let key = pem("rsa.pkcs8.pem").replace('\n', "\n  ");
    let config = decoded(&yaml(
        "http://h/",
        &format!("client_certificate_key: |\n  {key}"),
    ))
    .unwrap();
    let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
    assert!(
        !shown.contains("BEGIN") && !shown.contains("MII"),
        "{shown}"
    );
}

/// A password in the URL of the token endpoint is in no error.
#[tokio::test]
async fn an_error_shows_the_url_without_its_secrets() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://me:s3cret@{closed}/token?api_key=s3cret&a=b");
    let block = format!("client_id: me\nclient_secret: other\ntoken_url: '{url}'\n");
    let error = header(&access(&block)).await.unwrap_err();
    let shown = format!("no token from http://<secret>@{closed}/token?api_key=%3Csecret%3E&a=b: ");
    assert!(
        error.starts_with(&shown) && !error.contains("s3cret"),
        "{error}"
    );
}
