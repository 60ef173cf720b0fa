//! Signatures known from elsewhere, and the rules of AWS-06..12.

use http::{HeaderMap, HeaderValue, Method, Uri};

use crate::{Credentials, Signer};

/// 2015-08-30 12:36:00 UTC, the time of the public test suite.
const SUITE_NS: u64 = 1_440_938_160_000_000_000;

fn suite_keys(token: Option<&str>) -> Credentials {
    Credentials::fixed(
        "AKIDEXAMPLE",
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        token,
    )
}

fn signed(method: &Method, uri: &str, mut headers: HeaderMap, body: &[u8]) -> HeaderMap {
    let signer = Signer::new("us-east-1", "service");
    let uri: Uri = uri.parse().unwrap();
    let keys = suite_keys(None);
    signer
        .sign(method, &uri, &mut headers, body, &keys, SUITE_NS)
        .unwrap();
    headers
}

fn authorization(headers: &HeaderMap) -> &str {
    headers["authorization"].to_str().unwrap()
}

/// AWS-05: `get-vanilla` and `post-vanilla` of the public suite.
#[test]
fn signatures_are_those_of_the_public_suite() {
    for (method, signature) in [
        (
            Method::GET,
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            Method::POST,
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
    ] {
        let headers = signed(
            &method,
            "https://example.amazonaws.com/",
            HeaderMap::new(),
            b"",
        );
        assert_eq!(
            authorization(&headers),
            format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature={signature}"
            )
        );
        assert_eq!(headers["x-amz-date"], "20150830T123600Z");
        assert!(!headers.contains_key("x-amz-content-sha256"));
    }
}

/// AWS-06, AWS-09.
#[test]
fn all_headers_are_signed_but_five() {
    let mut headers = HeaderMap::new();
    for name in [
        "authorization",
        "user-agent",
        "x-amzn-trace-id",
        "expect",
        "transfer-encoding",
        "content-type",
        "content-encoding",
        "x-prometheus-remote-write-version",
    ] {
        headers.insert(name, HeaderValue::from_static("x"));
    }
    let headers = signed(&Method::POST, "http://h/api", headers, b"body");
    assert!(authorization(&headers).contains(
        "SignedHeaders=content-encoding;content-length;content-type;host;x-amz-date;\
         x-prometheus-remote-write-version, "
    ));
}

/// AWS-07.
#[test]
fn the_token_is_sent_and_signed() {
    let mut headers = HeaderMap::new();
    let uri: Uri = "https://h/".parse().unwrap();
    let keys = suite_keys(Some("token"));
    let signer = Signer::new("us-east-1", "service");
    signer
        .sign(&Method::POST, &uri, &mut headers, b"", &keys, SUITE_NS)
        .unwrap();
    assert_eq!(headers["x-amz-security-token"], "token");
    assert!(authorization(&headers).contains("host;x-amz-date;x-amz-security-token"));
    assert!(
        headers["authorization"].is_sensitive() || headers["x-amz-security-token"].is_sensitive()
    );
}

/// AWS-10, AWS-11, AWS-12: what changes the signature and what does not.
#[test]
fn host_path_and_body_count_as_they_go_out() {
    let of = |uri: &str, body: &[u8]| {
        authorization(&signed(&Method::POST, uri, HeaderMap::new(), body)).to_owned()
    };
    assert_eq!(of("https://h/", b""), of("https://h:443/", b""));
    assert_eq!(of("http://h/", b""), of("http://h:80/", b""));
    assert_ne!(of("http://h/", b""), of("http://h:8080/", b""));
    assert_ne!(of("http://h/", b"a"), of("http://h/", b"b"));
    assert_ne!(of("http://h/a%20b", b""), of("http://h/a%2520b", b""));
    assert_eq!(of("http://h/?b=2&a=1", b""), of("http://h/?a=1&b=2", b""));
}

#[test]
fn what_cannot_be_signed_is_an_error() {
    let signer = Signer::new("", "");
    let keys = suite_keys(None);
    let sign = |uri: &str, headers: &mut HeaderMap| {
        let uri: Uri = uri.parse().unwrap();
        signer.sign(&Method::POST, &uri, headers, b"", &keys, 0)
    };
    assert!(sign("/path/only", &mut HeaderMap::new()).is_err());
    let mut headers = HeaderMap::new();
    headers.insert("x", HeaderValue::from_bytes(b"\xff").unwrap());
    assert!(sign("http://h/", &mut headers).is_err());
    // Empty region and service are signed as they are (AWS-03).
    sign("http://h/", &mut HeaderMap::new()).unwrap();
}

/// AWS-05, AWS-10..12: every row of the table that botocore signed (`testdata/generate.py`).
#[test]
fn signatures_are_those_of_botocore() {
    #[derive(serde::Deserialize)]
    struct Row {
        name: String,
        method: String,
        url: String,
        headers: Vec<(String, String)>,
        #[serde(default)]
        body: String,
        repeat: Option<(String, usize)>,
        access_key: String,
        secret_key: String,
        token: Option<String>,
        region: String,
        service: String,
        unix: u64,
        authorization: String,
    }
    let rows: Vec<Row> =
        serde_json::from_str(include_str!("../../testdata/signatures.json")).unwrap();
    assert!(rows.len() >= 40, "{}", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let mut headers = HeaderMap::new();
        for (name, value) in &row.headers {
            let name: http::HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let body = match &row.repeat {
            Some((text, count)) => text.repeat(*count),
            None => row.body.clone(),
        };
        let keys = Credentials::fixed(&row.access_key, &row.secret_key, row.token.as_deref());
        let method: Method = row.method.parse().unwrap();
        let uri: Uri = row.url.parse().unwrap();
        Signer::new(&row.region, &row.service)
            .sign(
                &method,
                &uri,
                &mut headers,
                body.as_bytes(),
                &keys,
                row.unix * 1_000_000_000,
            )
            .unwrap();
        let ours = authorization(&headers);
        if ours != row.authorization {
            wrong.push(format!("{}:\n  {}\n  {ours}", row.name, row.authorization));
        }
        let token = headers.get("x-amz-security-token");
        let token = token.map(|token| token.to_str().unwrap().to_owned());
        assert_eq!(token, row.token, "{}", row.name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_time_of_a_signature_can_be_read() {
    assert_eq!(crate::sign_time("20150830T123600Z"), Some(SUITE_NS));
    for wrong in [
        "",
        "20150830",
        "20150830T1236",
        "2015083\u{e9}T123600Z",
        "20151330T123600Z",
    ] {
        assert_eq!(crate::sign_time(wrong), None, "{wrong}");
    }
}
