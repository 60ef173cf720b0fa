//! Signature Version 4, computed anew from a request, to compare with the one it carries.
//!
//! Written from the AWS documentation ("Create a signed AWS API request"), independent of the
//! library that signs in the program.

use ring::{digest, hmac};

use crate::mock::Recorded;

/// Checks the signature of a request; the error says what differs.
pub fn verify(request: &Recorded, secret: &str, region: &str, service: &str) -> Result<(), String> {
    let authorization = request.header("authorization");
    let fields = authorization
        .strip_prefix("AWS4-HMAC-SHA256 ")
        .ok_or_else(|| format!("no SigV4 in `{authorization}`"))?;
    let field = |name: &str| {
        let found = fields.split(',').find_map(|f| f.trim().strip_prefix(name));
        found.ok_or_else(|| format!("{name} is missing"))
    };
    let (credential, signed, signature) = (
        field("Credential=")?,
        field("SignedHeaders=")?,
        field("Signature=")?,
    );
    let scope = credential
        .split_once('/')
        .map(|(_, scope)| scope)
        .unwrap_or_default();
    let date = scope.split('/').next().unwrap_or_default();
    let expected_scope = format!("{date}/{region}/{service}/aws4_request");
    if scope != expected_scope {
        return Err(format!("scope is {scope}, expected {expected_scope}"));
    }
    let body_hash = hex(digest::digest(&digest::SHA256, &request.body).as_ref());
    let claimed = request.header("x-amz-content-sha256");
    if !claimed.is_empty() && claimed != body_hash {
        return Err("x-amz-content-sha256 is not the hash of the body".to_owned());
    }
    let mut canonical = format!(
        "{}\n{}\n{}\n",
        request.method,
        path(request.uri.path()),
        query(request)
    );
    for name in signed.split(';') {
        let values: Vec<_> = request
            .headers
            .get_all(name)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .collect();
        if values.is_empty() {
            return Err(format!("signed header {name} is not there"));
        }
        let value = values
            .join(",")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        canonical.push_str(&format!("{name}:{value}\n"));
    }
    canonical.push_str(&format!("\n{signed}\n{body_hash}"));
    let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let time = request.header("x-amz-date");
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [date, region, service, "aws4_request"] {
        key = mac(&key, part);
    }
    let expected = hex(&mac(&key, &to_sign));
    if expected == signature {
        Ok(())
    } else {
        Err(format!("signature mismatch over:\n{canonical}"))
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
        .as_ref()
        .to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Every service but S3 encodes the path a second time.
fn path(path: &str) -> String {
    encode(if path.is_empty() { "/" } else { path }, b"/-_.~")
}

fn query(request: &Recorded) -> String {
    let mut pairs: Vec<_> = request
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|p| !p.is_empty())
        .collect();
    pairs.sort_unstable();
    pairs
        .iter()
        .map(|p| {
            if p.contains('=') {
                (*p).to_owned()
            } else {
                format!("{p}=")
            }
        })
        .collect::<Vec<_>>()
        .join("&")
}

fn encode(text: &str, keep: &[u8]) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
