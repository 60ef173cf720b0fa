//! The Security Token Service: roles, with credentials or with a web identity (AWS-16, AWS-17,
//! AWS-19, AWS-30; API version 2011-06-15).

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Uri};
use weir_core::{BoxFut, Clock};

use super::{ATTEMPTS, Provider, Surroundings, ask, encoded, instant, session_names};
use crate::credentials::{Credentials, CredentialsError, CredentialsProvider};
use crate::endpoint::Service;
use crate::error::{AwsError, ErrorKind};
use crate::retry::delay;
use crate::sign::Signer;

const FORM: &str = "application/x-www-form-urlencoded";
/// Assumed roles last 15 minutes unless a profile says otherwise; the shortest time there is.
const SESSION_SECONDS: u32 = 900;
/// Tokens are some kilobytes; the service takes 20,000 characters.
const LONGEST_TOKEN: usize = 20_000;

/// Codes of failures that pass: the provider of the web identity could not be asked, or a token is
/// so new that its key is not known yet.
const PASSING: [&str; 4] = [
    "IDPCommunicationError",
    "IDPCommunicationErrorException",
    "InvalidIdentityToken",
    "InvalidIdentityTokenException",
];

/// A role to assume.
#[derive(Clone, Debug, Default)]
pub(crate) struct Role {
    pub(crate) arn: String,
    pub(crate) external_id: Option<String>,
    /// `None` for a made-up one.
    pub(crate) session_name: Option<String>,
    /// Seconds.
    pub(crate) duration: Option<u32>,
}

/// A role assumed with other credentials.
#[derive(Debug)]
pub(crate) struct AssumedRole {
    around: Surroundings,
    base: Provider,
    role: Role,
}

impl AssumedRole {
    pub(crate) fn new(around: &Surroundings, base: Provider, mut role: Role) -> Self {
        let (made_up, _) = session_names(around.clock.unix_ns());
        role.session_name.get_or_insert(made_up);
        Self {
            around: around.clone(),
            base,
            role,
        }
    }

    async fn assume(&self) -> Result<Credentials, CredentialsError> {
        let duration = self.role.duration.unwrap_or(SESSION_SECONDS).to_string();
        let mut form = Form::of("AssumeRole");
        form.add("DurationSeconds", &duration);
        form.add("RoleArn", &self.role.arn);
        form.add(
            "RoleSessionName",
            self.role.session_name.as_deref().unwrap_or_default(),
        );
        if let Some(id) = self.role.external_id.as_deref() {
            form.add("ExternalId", id);
        }
        let what = format!("AssumeRole of {}", self.role.arn);
        call(&self.around, &what, Some(&self.base), &|| {
            let body = form.0.clone();
            Box::pin(async { Ok(body) })
        })
        .await
    }
}

impl CredentialsProvider for AssumedRole {
    fn credentials(&self) -> BoxFut<'_, Result<Credentials, CredentialsError>> {
        Box::pin(self.assume())
    }

    fn refused(&self) {
        // These ended or were revoked; those below them may still be good.
    }
}

/// A role assumed with the token in a file (EKS IRSA).
#[derive(Debug)]
pub(crate) struct WebIdentity {
    around: Surroundings,
    role_arn: String,
    token_file: String,
    session_name: String,
}

impl WebIdentity {
    pub(crate) fn new(
        around: &Surroundings,
        role_arn: String,
        token_file: String,
        session_name: Option<String>,
    ) -> Self {
        let (_, made_up) = session_names(around.clock.unix_ns());
        Self {
            around: around.clone(),
            role_arn,
            token_file,
            session_name: session_name.unwrap_or(made_up),
        }
    }

    /// The file is read for each exchange, because the token in it is replaced from time to time.
    async fn token(&self) -> Result<String, CredentialsError> {
        let file = &self.token_file;
        let text = tokio::fs::read_to_string(file).await.map_err(|error| {
            CredentialsError::new(format!("unable to retrieve token file: {file}: {error}"))
        })?;
        let token = text.trim();
        if token.is_empty() || token.len() > LONGEST_TOKEN {
            return Err(CredentialsError::new(format!(
                "the token file {file} is empty or far too long"
            )));
        }
        Ok(token.to_owned())
    }

    async fn assume(&self) -> Result<Credentials, CredentialsError> {
        let what = format!("AssumeRoleWithWebIdentity of {}", self.role_arn);
        call(&self.around, &what, None, &|| Box::pin(self.form())).await
    }

    async fn form(&self) -> Result<String, CredentialsError> {
        let mut form = Form::of("AssumeRoleWithWebIdentity");
        form.add("RoleArn", &self.role_arn);
        form.add("RoleSessionName", &self.session_name);
        form.add("WebIdentityToken", &self.token().await?);
        Ok(form.0)
    }
}

impl CredentialsProvider for WebIdentity {
    fn credentials(&self) -> BoxFut<'_, Result<Credentials, CredentialsError>> {
        Box::pin(self.assume())
    }
}

/// Writes the form of a call, for each attempt anew.
type Body<'a, 'b> = &'b (dyn Fn() -> BoxFut<'a, Result<String, CredentialsError>> + Send + Sync);

/// Calls STS, signed where there are credentials to sign with; a wrong clock is corrected once.
async fn call<'a>(
    around: &'a Surroundings,
    what: &'a str,
    base: Option<&'a Provider>,
    body: Body<'a, '_>,
) -> Result<Credentials, CredentialsError> {
    let (mut corrected, mut renewed, mut attempt) = (false, false, 1);
    loop {
        let signed_at = around.clock.unix_ns();
        let answer = ask(&*around.remote, what, || {
            let body = body();
            Box::pin(async { request(around, base, body.await?).await })
        })
        .await?;
        if answer.status().is_success() {
            return read(what, answer.body());
        }
        let error = refusal(answer.status().as_u16(), answer.body());
        if error.is_about_time() && !corrected && around.clock.learn(answer.headers(), signed_at) {
            corrected = true;
            continue;
        }
        if let (Some(base), ErrorKind::Expired, false) = (base, error.kind, renewed) {
            renewed = true;
            if renew(&**base).await {
                continue;
            }
        }
        let is_passing = error.is_retryable() || PASSING.contains(&error.code.as_str());
        if is_passing && attempt < ATTEMPTS {
            tokio::time::sleep(delay(attempt, fastrand::f64())).await;
            attempt += 1;
            continue;
        }
        return Err(CredentialsError {
            message: format!("{what}: {error}"),
            denied: error.is_client_fault() && !is_passing,
        });
    }
}

/// Forgets credentials that are of no use any more; whether there are others.
async fn renew(base: &dyn CredentialsProvider) -> bool {
    let key = async || {
        base.credentials()
            .await
            .map(|c| c.access_key_id().to_owned())
    };
    let old = key().await;
    base.refused();
    let new = key().await;
    new.is_ok() && new != old
}

async fn request(
    around: &Surroundings,
    base: Option<&Provider>,
    body: String,
) -> Result<http::Request<Bytes>, CredentialsError> {
    if around.region.is_empty() {
        return Err(CredentialsError::new(
            "STS needs a region: set `region`, or the environment variable AWS_REGION",
        ));
    }
    let url = around.url(Service::Sts, &around.region);
    let wrong = |error: &dyn std::fmt::Display| {
        CredentialsError::new(format!("the STS endpoint `{url}` cannot be used: {error}"))
    };
    let uri: Uri = url.parse().map_err(|error| wrong(&error))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(wrong(&"it must begin with `https://` or `http://`"));
    }
    let body = Bytes::from(body);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(FORM));
    if let Some(base) = base {
        let credentials = base.credentials().await?;
        let region = match around.region.as_str() {
            "aws-global" => "us-east-1",
            region => region,
        };
        let now = around.clock.unix_ns();
        Signer::new(region, Service::Sts.signing_name())
            .sign(&Method::POST, &uri, &mut headers, &body, &credentials, now)
            .map_err(|error| CredentialsError::new(error.to_string()))?;
    }
    let mut request = http::Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

pub(super) fn read(what: &str, body: &[u8]) -> Result<Credentials, CredentialsError> {
    let text = String::from_utf8_lossy(body);
    let field = |name| {
        element(&text, name)
            .ok_or_else(|| CredentialsError::new(format!("{what}: the answer has no {name}")))
    };
    let end = field("Expiration")?;
    let end = instant(&end)
        .ok_or_else(|| CredentialsError::new(format!("{what}: `{end}` is no time")))?;
    let keys = Credentials::fixed(
        &field("AccessKeyId")?,
        &field("SecretAccessKey")?,
        Some(&field("SessionToken")?),
    );
    Ok(keys.expiring(end))
}

/// The failure that an answer in XML stands for.
pub(crate) fn refusal(status: u16, body: &[u8]) -> AwsError {
    let text = String::from_utf8_lossy(body);
    let code = element(&text, "Code").unwrap_or_default();
    let message = element(&text, "Message").unwrap_or_else(|| format!("HTTP status {status}"));
    AwsError::coded(status, code, message)
}

/// Text of the first element of a name. The service's XML has no attributes in these.
pub(crate) fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let mut text = text.trim().to_owned();
    // The ampersand last: what it yields is not an entity again.
    for (entity, character) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ] {
        if text.contains(entity) {
            text = text.replace(entity, character);
        }
    }
    Some(text)
}

/// A form of the query protocol.
struct Form(String);

impl Form {
    fn of(action: &str) -> Self {
        Self(format!("Action={action}&Version=2011-06-15"))
    }

    fn add(&mut self, name: &str, value: &str) {
        self.0.push('&');
        self.0.push_str(name);
        self.0.push('=');
        self.0.push_str(&encoded(value));
    }
}
