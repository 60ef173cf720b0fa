//! What the exporters to CloudWatch Logs share, from the text of an event to the call: `json` writes
//! values, `embedded` writes them inside a string, `template` fills in names of groups and streams,
//! `request` packs events into `PutLogEvents` bodies, `push` sends them and makes missing streams,
//! `group` is about those that have to be made.

pub(crate) mod embedded;
pub(crate) mod group;
pub(crate) mod json;
pub(crate) mod push;
pub(crate) mod request;
pub(crate) mod template;

#[cfg(test)]
pub(crate) mod fake;

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue};
use regex::Regex;
use weir_aws::ClientIdentity;

/// What calls say about who makes them: an exporter's marks, and one more if its log group (as
/// configured) is one of Container Insights (awsemf, section 11.3; EMF-60).
pub(crate) fn identity_of(marks: &[&str], log_group_name: &str) -> ClientIdentity {
    static INSIGHTS: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new("^/aws/.*containerinsights/.*/(performance|prometheus)$").ok());
    let mut marks = marks.to_vec();
    if INSIGHTS
        .as_ref()
        .is_some_and(|regex| regex.is_match(log_group_name))
    {
        marks.push("ContainerInsights");
    }
    let mut headers = HeaderMap::new();
    headers.insert("x-amzn-logs-format", HeaderValue::from_static("json/emf"));
    ClientIdentity {
        user_agent: format!("({})", marks.join("; ")),
        headers,
    }
}
