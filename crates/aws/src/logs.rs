//! Calls of CloudWatch Logs (API version 2014-03-28).

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::client::{AwsClient, Call};
use crate::error::{AwsError, ErrorKind};

/// CloudWatch Logs.
#[derive(Debug)]
pub struct CloudWatchLogs {
    client: AwsClient,
}

/// What a log group gets that has to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewGroup {
    /// Tags; none for no tags.
    pub tags: Option<BTreeMap<String, String>>,
    /// Days events are kept; 0 for ever.
    pub retention_days: i64,
}

/// Answer of `PutLogEvents`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PutLogEventsReply {
    /// Events that were not taken, if any.
    pub rejected_log_events_info: Option<RejectedLogEvents>,
}

/// Which events of a request were not taken, by index; they will never be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RejectedLogEvents {
    /// This and all later events are too new.
    pub too_new_log_event_start_index: Option<u64>,
    /// All events before this are too old.
    pub too_old_log_event_end_index: Option<u64>,
    /// All events before this are older than the group's retention.
    pub expired_log_event_end_index: Option<u64>,
}

impl RejectedLogEvents {
    /// Number of the `sent` events that were not taken.
    pub fn count(&self, sent: u64) -> u64 {
        let old = self
            .too_old_log_event_end_index
            .max(self.expired_log_event_end_index)
            .unwrap_or(0)
            .min(sent);
        let new = self
            .too_new_log_event_start_index
            .map_or(0, |start| sent.saturating_sub(start));
        (old + new).min(sent)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Name<'a> {
    log_group_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_stream_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_in_days: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a BTreeMap<String, String>>,
}

impl<'a> Name<'a> {
    fn group(log_group_name: &'a str) -> Self {
        Self {
            log_group_name,
            log_stream_name: None,
            retention_in_days: None,
            tags: None,
        }
    }
}

impl CloudWatchLogs {
    /// The calls over a client made for [`crate::Service::Logs`].
    pub fn new(client: AwsClient) -> Self {
        Self { client }
    }

    /// The region it works in.
    pub fn region(&self) -> &str {
        self.client.region()
    }

    async fn send(&self, target: &'static str, body: Bytes) -> Result<Bytes, AwsError> {
        self.client
            .call(&Call {
                path: "/",
                content_type: "application/x-amz-json-1.1",
                target: Some(target),
                headers: HeaderMap::new(),
                body,
            })
            .await
    }

    async fn send_name(&self, target: &'static str, name: &Name<'_>) -> Result<(), AwsError> {
        let body = serde_json::to_vec(name)
            .map_err(|error| AwsError::local(ErrorKind::Client, error.to_string()))?;
        self.send(target, body.into()).await.map(drop)
    }

    /// `PutLogEvents` with a ready body: `logEvents`, `logGroupName`, `logStreamName`.
    ///
    /// # Errors
    /// See [`AwsError`]; a missing stream is [`ErrorKind::NotFound`].
    pub async fn put_log_events(&self, body: Bytes) -> Result<PutLogEventsReply, AwsError> {
        let answer = self.send("Logs_20140328.PutLogEvents", body).await?;
        // An answer that cannot be read means that nothing was rejected.
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }

    /// `CreateLogStream`.
    ///
    /// # Errors
    /// See [`AwsError`]; a missing group is [`ErrorKind::NotFound`].
    pub async fn create_log_stream(&self, group: &str, stream: &str) -> Result<(), AwsError> {
        let name = Name {
            log_stream_name: Some(stream),
            ..Name::group(group)
        };
        self.send_name("Logs_20140328.CreateLogStream", &name).await
    }

    /// `CreateLogGroup`, with tags if there are any.
    ///
    /// # Errors
    /// See [`AwsError`].
    pub async fn create_log_group(
        &self,
        group: &str,
        tags: Option<&BTreeMap<String, String>>,
    ) -> Result<(), AwsError> {
        let name = Name {
            tags,
            ..Name::group(group)
        };
        self.send_name("Logs_20140328.CreateLogGroup", &name).await
    }

    /// `PutRetentionPolicy`.
    ///
    /// # Errors
    /// See [`AwsError`].
    pub async fn put_retention_policy(&self, group: &str, days: i64) -> Result<(), AwsError> {
        let name = Name {
            retention_in_days: Some(days),
            ..Name::group(group)
        };
        self.send_name("Logs_20140328.PutRetentionPolicy", &name)
            .await
    }

    /// Makes a stream, and its group if that is missing too (awsemf section 12.5). Success means that the
    /// stream is there, whoever made it; tags and retention are given to groups made here only.
    ///
    /// # Errors
    /// See [`AwsError`].
    pub async fn ensure_log_stream(
        &self,
        group: &str,
        stream: &str,
        new_group: &NewGroup,
    ) -> Result<(), AwsError> {
        match self.create_log_stream(group, stream).await {
            Err(error) if error.kind == ErrorKind::NotFound => {}
            other => return unless_there(other).map(drop),
        }
        let created = self.create_log_group(group, new_group.tags.as_ref()).await;
        if unless_there(created)? && new_group.retention_days != 0 {
            self.put_retention_policy(group, new_group.retention_days)
                .await?;
        }
        unless_there(self.create_log_stream(group, stream).await).map(drop)
    }
}

/// Whether it was made, as against was there already.
fn unless_there(result: Result<(), AwsError>) -> Result<bool, AwsError> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}
