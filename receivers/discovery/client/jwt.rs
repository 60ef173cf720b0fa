//! Assertions of the grant type jwt-bearer (RFC 7523, section 2.1): a JWT that the client signs with
//! its RSA key and exchanges for a token.

use std::collections::BTreeMap;

use ring::rand::{SecureRandom, SystemRandom};
use ring::rsa::KeyPair;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use weir_config::{Errors, Node, Value};
use weir_model::text::base64_url;

use super::{OAuth2, either};

/// The value of `grant_type`, in the configuration and in the request.
pub(super) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// An assertion is good for so long, as in the reference.
const LIFETIME_SECONDS: u64 = 600;

/// Names and paddings of `signature_algorithm`; the first is the default.
const ALGORITHMS: [(&str, &dyn RsaEncoding); 3] = [
    ("RS256", &RSA_PKCS1_SHA256),
    ("RS384", &RSA_PKCS1_SHA384),
    ("RS512", &RSA_PKCS1_SHA512),
];

fn algorithm(name: &str) -> Option<(&'static str, &'static dyn RsaEncoding)> {
    let wanted = if name.is_empty() {
        ALGORITHMS[0].0
    } else {
        name
    };
    ALGORITHMS.into_iter().find(|(known, _)| *known == wanted)
}

/// The keys that count with this grant type.
pub(super) fn validate(config: &OAuth2, errors: &mut Errors) {
    let pem = config.client_certificate_key.expose();
    match (
        pem.is_empty(),
        config.client_certificate_key_file.is_empty(),
    ) {
        (true, true) => {
            let text = "either oauth2 client_certificate_key or client_certificate_key_file must be configured";
            let hint = "give the RSA key that signs the assertions";
            errors.push("client_certificate_key", text, hint);
        }
        (false, false) => {
            let text = "at most one of oauth2 client_certificate_key and client_certificate_key_file must be configured";
            errors.push("client_certificate_key_file", text, "remove one of them");
        }
        // What a file holds is seen when it is used: it may be exchanged until then.
        (false, true) => {
            if let Err(why) = key_pair(pem) {
                let hint = "give an RSA key in PEM form";
                errors.push("client_certificate_key", why, hint);
            }
        }
        (true, false) => {}
    }
    if algorithm(&config.signature_algorithm).is_none() {
        let text = format!(
            "unknown signature algorithm `{}`",
            config.signature_algorithm
        );
        errors.push("signature_algorithm", text, "use RS256, RS384 or RS512");
    }
    for (name, value) in &config.claims {
        if !is_json(value) {
            let text = "JSON has neither infinities nor not-a-number";
            errors.push(&format!("claims.{name}"), text, "give a number, or a text");
        }
    }
}

fn is_json(node: &Node) -> bool {
    match node.value() {
        Value::Float(number) => number.is_finite(),
        Value::List(nodes) => nodes.iter().all(is_json),
        Value::Map(entries) => entries.iter().all(|entry| is_json(&entry.value)),
        _ => true,
    }
}

/// The key out of PEM text. What goes wrong is told without a part of the text.
fn key_pair(pem: &str) -> Result<KeyPair, String> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
        "holds no private key in PEM form (PKCS#1 or PKCS#8, without a passphrase)".to_owned()
    })?;
    let pair = match &key {
        PrivateKeyDer::Pkcs1(key) => KeyPair::from_der(key.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(key) => KeyPair::from_pkcs8(key.secret_pkcs8_der()),
        _ => return Err("is not an RSA key".to_owned()),
    };
    pair.map_err(|why| format!("is not an RSA key of 2048 to 4096 bits ({why})"))
}

/// A new assertion. The key is read every time, so that an exchanged file counts.
///
/// # Errors
/// Names the key of the configuration that is at fault.
pub(super) fn assertion(config: &OAuth2, now_seconds: u64) -> Result<String, String> {
    let file = &config.client_certificate_key_file;
    let pem = either(&config.client_certificate_key, file)
        .map_err(|why| format!("oauth2.client_certificate_key_file: {why}"))?;
    let pair = key_pair(&pem).map_err(|why| {
        if file.is_empty() {
            format!("oauth2.client_certificate_key {why}")
        } else {
            format!("oauth2.client_certificate_key_file: {file} {why}")
        }
    })?;
    let (name, padding) =
        algorithm(&config.signature_algorithm).ok_or("oauth2.signature_algorithm is unknown")?;
    let random = SystemRandom::new();
    let mut id = [0; 16];
    random
        .fill(&mut id)
        .map_err(|_| "the system gives no random numbers")?;
    let header = header(name, &config.client_certificate_key_id);
    let claims = claims(config, now_seconds, &uuid(id));
    let mut text = format!("{}.{}", part(&header)?, part(&claims)?);
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(padding, &random, text.as_bytes(), &mut signature)
        .map_err(|_| "the assertion cannot be signed")?;
    text.push('.');
    text.push_str(&base64_url(&signature));
    Ok(text)
}

type Fields<'a> = BTreeMap<&'a str, Node>;

fn part(fields: &Fields<'_>) -> Result<String, String> {
    let json = serde_json::to_vec(fields).map_err(|error| format!("oauth2.claims: {error}"))?;
    Ok(base64_url(&json))
}

fn string(text: &str) -> Node {
    Node::synthetic(Value::String(text.to_owned()))
}

fn header<'a>(algorithm: &str, key_id: &str) -> Fields<'a> {
    let mut fields = Fields::from([("alg", string(algorithm)), ("typ", string("JWT"))]);
    if !key_id.is_empty() {
        fields.insert("kid", string(key_id));
    }
    fields
}

/// Those of the grant type, and over them those of the configuration.
fn claims<'a>(config: &'a OAuth2, now_seconds: u64, id: &str) -> Fields<'a> {
    let or = |text: &str, default: &str| string(if text.is_empty() { default } else { text });
    let time = |seconds: u64| Node::synthetic(Value::Int(seconds.into()));
    let mut fields = Fields::from([
        ("iss", or(&config.iss, &config.client_id)),
        ("sub", string(&config.client_id)),
        ("aud", or(&config.audience, &config.token_url)),
        ("jti", string(id)),
        ("iat", time(now_seconds)),
        ("exp", time(now_seconds.saturating_add(LIFETIME_SECONDS))),
    ]);
    if !config.scopes.is_empty() {
        fields.insert("scope", string(&config.scopes.join(" ")));
    }
    let given = config.claims.iter();
    fields.extend(given.map(|(name, value)| (name.as_str(), value.clone())));
    fields
}

/// A random identifier (RFC 9562, version 4) as text.
fn uuid(bytes: [u8; 16]) -> String {
    let bits = u128::from_be_bytes(bytes);
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}
