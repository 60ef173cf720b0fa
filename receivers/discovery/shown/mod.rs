//! What may be shown of the configuration of jobs and of discovery: all but what is secret in it.

pub(crate) mod json;
pub(crate) mod yaml;

use std::borrow::Cow;

use http::Uri;
use serde_json::Value;
use weir_config::{REDACTED, is_secret_key, without_credentials};

use super::client::HttpClientBlock;
use super::push_form;

/// What stands in the place of a secret, as in Prometheus.
pub(crate) const HIDDEN: &str = "<secret>";

/// Secrets are all written in the same way, also those that are not set: these go.
pub(crate) fn leave_out_unset(value: &mut Value, at: &str, client: &HttpClientBlock) {
    let mut secrets = vec![("/bearer_token", client.bearer_token.expose())];
    if let Some(basic) = &client.basic_auth {
        secrets.push(("/basic_auth/password", basic.password.expose()));
    }
    if let Some(authorization) = &client.authorization {
        secrets.push((
            "/authorization/credentials",
            authorization.credentials.expose(),
        ));
    }
    let tls = &client.tls;
    secrets.push(("/tls_config/ca", tls.ca.expose()));
    secrets.push(("/tls_config/cert", tls.cert.expose()));
    secrets.push(("/tls_config/key", tls.key.expose()));
    if let Some(oauth2) = &client.oauth2 {
        secrets.push(("/oauth2/client_secret", oauth2.client_secret.expose()));
        let key = oauth2.client_certificate_key.expose();
        secrets.push(("/oauth2/client_certificate_key", key));
        let tls = &oauth2.tls_config;
        secrets.push(("/oauth2/tls_config/ca", tls.ca.expose()));
        secrets.push(("/oauth2/tls_config/cert", tls.cert.expose()));
        secrets.push(("/oauth2/tls_config/key", tls.key.expose()));
    }
    for (key, secret) in secrets {
        leave_out(value, at, key, secret);
    }
}

/// Removes a secret that is not set.
pub(crate) fn leave_out(value: &mut Value, at: &str, key: &str, secret: &str) {
    if secret.is_empty()
        && let Some(found) = value.pointer_mut(&format!("{at}{key}"))
    {
        *found = Value::Null;
    }
}

/// Puts [`HIDDEN`] in the place of what is or may be secret.
pub(crate) fn hide(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, item) in map {
                match (key.as_str(), &mut *item) {
                    // Anything may stand in these.
                    ("claims" | "endpoint_params", _) => hide_all(item),
                    ("http_headers", Value::Object(headers)) => headers
                        .values_mut()
                        .filter_map(|header| header.get_mut("values"))
                        .for_each(hide_all),
                    ("params", Value::Object(params)) => params
                        .iter_mut()
                        .filter(|(name, _)| is_secret_key(name))
                        .for_each(|(_, item)| hide_all(item)),
                    ("access_key", Value::String(text)) if !text.is_empty() => hide_all(item),
                    ("targets", Value::Array(targets)) => targets.iter_mut().for_each(hide_user),
                    ("__address__" | "instance", _) => hide_user(item),
                    (label, _) if label.strip_prefix("__param_").is_some_and(is_secret_key) => {
                        hide_all(item);
                    }
                    _ => hide(item),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::String(text) if text == REDACTED => HIDDEN.clone_into(text),
        Value::String(text) => *text = shown_text(text).into_owned(),
        _ => {}
    }
}

fn hide_user(value: &mut Value) {
    if let Value::String(text) = value {
        *text = shown_address(text).into_owned();
    }
}

fn hide_all(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(hide_all),
        Value::Array(items) => items.iter_mut().for_each(hide_all),
        other => *other = HIDDEN.into(),
    }
}

/// A text without the user part of the URLs in it.
pub(crate) fn shown_text(text: &str) -> Cow<'_, str> {
    if text.contains("://") && text.contains('@') {
        Cow::Owned(without_credentials(text).replace(REDACTED, HIDDEN))
    } else {
        Cow::Borrowed(text)
    }
}

/// An address without user and password.
pub(crate) fn shown_address(text: &str) -> Cow<'_, str> {
    match text.rsplit_once('@') {
        Some((_, host)) => Cow::Owned(format!("{HIDDEN}@{host}")),
        None => Cow::Borrowed(text),
    }
}

/// A URL without what is secret in it: user and password, and parameters whose names say so.
pub(crate) fn shown_url(url: &Uri) -> String {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let mut text = format!(
        "{}://{}{}",
        url.scheme_str().unwrap_or("http"),
        shown_address(authority),
        url.path()
    );
    for (at, pair) in url
        .query()
        .into_iter()
        .flat_map(|query| query.split('&'))
        .enumerate()
    {
        text.push(if at == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) if is_secret_key(name) => {
                text.push_str(name);
                text.push('=');
                push_form(&mut text, HIDDEN);
            }
            _ => text.push_str(pair),
        }
    }
    text
}

/// Why a request to a URL failed, without its user and password.
pub(crate) fn shown_error(error: &str, url: &Uri) -> String {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        let error = error.replace(authority, &shown_address(authority));
        shown_text(&error).into_owned()
    } else {
        shown_text(error).into_owned()
    }
}

/// The value of a label of a target.
pub(crate) fn shown_label<'a>(label: &str, value: &'a str) -> Cow<'a, str> {
    let parameter = label.strip_prefix("__param_");
    match label {
        "__address__" | "instance" => shown_address(value),
        _ if parameter.is_some_and(is_secret_key) => HIDDEN.into(),
        _ => shown_text(value),
    }
}

/// The URL from outside: one of this machine gets the host of `endpoint`, where the API listens.
pub(crate) fn global_url(url: &Uri, endpoint: &str) -> String {
    let text = shown_url(url);
    let (host, port) = (url.host().unwrap_or_default(), url.port_u16());
    let local = matches!(host, "127.0.0.1" | "localhost" | "[::1]");
    let Some((own, own_port)) = endpoint.rsplit_once(':') else {
        return text;
    };
    let Some(port) = port.filter(|_| local && !own.is_empty()) else {
        return text;
    };
    // The same port is this program's own, which speaks plain HTTP under that name.
    let scheme = if port.to_string() == own_port {
        "http"
    } else {
        url.scheme_str().unwrap_or("http")
    };
    let rest = text
        .split_once("://")
        .and_then(|(_, rest)| rest.find('/').and_then(|at| rest.get(at..)));
    format!("{scheme}://{own}:{port}{}", rest.unwrap_or_default())
}

/// Removes what says nothing, such as limits that are off, but for the keys `always`. What stands
/// under the keys `whole` stays as it is.
pub(crate) fn prune(value: &mut Value, always: &[&str], whole: &[&str]) {
    match value {
        Value::Object(map) => map.retain(|key, item| {
            if always.contains(&key.as_str()) {
                return !item.is_null();
            }
            if !whole.contains(&key.as_str()) {
                prune(item, always, whole);
            }
            !says_nothing(item)
        }),
        Value::Array(items) => items.iter_mut().for_each(|item| prune(item, always, whole)),
        _ => {}
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => matches!(text.as_str(), "" | "0"),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}
