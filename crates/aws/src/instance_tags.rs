//! Tags of an EC2 instance (EC2 API, DescribeTags, version 2016-11-15).

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use weir_core::Clock;

use crate::chain::{ChainSettings, provider, surroundings};
use crate::clock::ServiceClock;
use crate::credentials::CredentialsError;
use crate::endpoint::Service;
use crate::sign::Signer;
use crate::sources::{Surroundings, ask, element, encoded};

/// An instance has at most 50 tags of its owner, and some of AWS.
const MOST: usize = 1000;

/// Names and values of the tags of an instance.
///
/// # Errors
/// There are no credentials, or the service refuses; the role needs `ec2:DescribeTags`.
pub async fn instance_tags(region: &str, instance: &str) -> Result<Vec<(String, String)>, String> {
    let clock = Arc::new(ServiceClock::of_machine());
    let around = surroundings(region, clock).map_err(|error| error.0)?;
    let answer = describe(&around, region, instance).await;
    answer.map_err(|error| error.message)
}

pub(crate) async fn describe(
    around: &Surroundings,
    region: &str,
    instance: &str,
) -> Result<Vec<(String, String)>, CredentialsError> {
    let own = |error: String| CredentialsError::new(error);
    let settings = ChainSettings {
        region: region.to_owned(),
        assume_role: None,
    };
    let credentials = provider(around, &settings)
        .await
        .map_err(|error| own(error.0))?;
    let url = format!(
        "{}/",
        around.url(Service::Ec2, region).trim_end_matches('/')
    );
    let uri: http::Uri = url
        .parse()
        .map_err(|error| own(format!("the EC2 endpoint `{url}` cannot be used: {error}")))?;
    let body = Bytes::from(format!(
        "Action=DescribeTags&Version=2016-11-15&MaxResults={MOST}&Filter.1.Name=resource-id&Filter.1.Value.1={}",
        encoded(instance)
    ));
    let answer = ask(&*around.remote, "EC2 DescribeTags", || {
        let (uri, body, credentials) = (uri.clone(), body.clone(), credentials.clone());
        Box::pin(async move {
            let mut headers = HeaderMap::new();
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(CONTENT_TYPE, form);
            let keys = credentials.credentials().await?;
            let now = around.clock.unix_ns();
            Signer::new(region, Service::Ec2.signing_name())
                .sign(&Method::POST, &uri, &mut headers, &body, &keys, now)
                .map_err(|error| CredentialsError::new(error.to_string()))?;
            let mut request = http::Request::new(body);
            *request.method_mut() = Method::POST;
            *request.uri_mut() = uri;
            *request.headers_mut() = headers;
            Ok(request)
        })
    })
    .await?;
    let text = String::from_utf8_lossy(answer.body());
    if !answer.status().is_success() {
        let message = element(&text, "Message").unwrap_or_default();
        let status = answer.status().as_u16();
        return Err(own(format!(
            "EC2 refused DescribeTags with HTTP status {status} {message}: the role needs ec2:DescribeTags, or set \
             `tags_from_imds: true`"
        )));
    }
    Ok(read(&text))
}

/// `<item>` elements with `<key>` and `<value>`.
fn read(xml: &str) -> Vec<(String, String)> {
    let items = xml.split("<item>").skip(1);
    items
        .filter_map(|item| {
            Some((
                element(item, "key")?,
                element(item, "value").unwrap_or_default(),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_from_the_answer() {
        let xml = "<DescribeTagsResponse><requestId>r</requestId><tagSet>\
            <item><resourceId>i-1</resourceId><resourceType>instance</resourceType><key>Name</key><value>a &amp; b</value></item>\
            <item><resourceId>i-1</resourceId><key>empty</key><value/></item></tagSet></DescribeTagsResponse>";
        let expected = [("Name", "a & b"), ("empty", "")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read(xml), expected);
        assert_eq!(read("<html>"), []);
    }
}
