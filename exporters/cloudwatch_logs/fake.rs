//! CloudWatch Logs for tests: answers calls as the service does, or as told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value as Json, json};
use weir_aws::{
    AwsClient, AwsSession, ClientIdentity, CloudWatchLogs, Credentials, Service, Transport,
    TransportError, TransportErrorKind,
};
use weir_core::{BoxFut, Clock};

/// Time of a request (`request_timeout_seconds`).
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a call that a rule fits ends with.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// An answer with this status and body.
    Status(u16, String),
    /// The connection breaks before the service looked at the call.
    Reset,
    /// The connection breaks when the call has done its work.
    ResetAfterwards,
    /// Nothing, until the time of a request is over.
    Silence,
}

/// How the service answers a call of an action; the first rule that fits and is not used up counts.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Such as `PutLogEvents`.
    pub(crate) action: String,
    /// Only for this stream, if given.
    pub(crate) stream: Option<&'static str>,
    /// Calls it lets pass before it holds.
    pub(crate) skip: usize,
    /// Calls it then holds for.
    pub(crate) times: usize,
    /// What they end with.
    pub(crate) answer: Answer,
}

/// A log group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Group {
    pub(crate) streams: BTreeSet<String>,
    pub(crate) retention_days: Option<i64>,
    pub(crate) tags: Json,
}

/// An event that was taken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) group: String,
    pub(crate) stream: String,
    pub(crate) time_ms: i64,
    pub(crate) message: String,
}

/// The service.
#[derive(Debug, Default)]
pub(crate) struct FakeLogs {
    rules: Mutex<Vec<Rule>>,
    /// Groups by name.
    pub(crate) groups: Mutex<BTreeMap<String, Group>>,
    /// Action and body of every call.
    pub(crate) calls: Mutex<Vec<(String, Json)>>,
    /// Headers of every call.
    pub(crate) headers: Mutex<Vec<http::HeaderMap>>,
    /// Events in the order in which they were taken.
    pub(crate) events: Mutex<Vec<Event>>,
    /// Events of each request that was taken.
    pub(crate) batches: Mutex<Vec<usize>>,
}

/// The body of an error.
pub(crate) fn error_body(code: &str) -> String {
    json!({"__type": code, "message": "told to"}).to_string()
}

impl FakeLogs {
    /// The calls of this service; the time of signatures comes from `clock`.
    pub(crate) fn client(
        self: &Arc<Self>,
        session: &AwsSession,
        identity: ClientIdentity,
        clock: Arc<dyn Clock>,
    ) -> CloudWatchLogs {
        let credentials = Arc::new(Credentials::fixed("id", "key", None));
        let (service, transport) = (Service::Logs, self.clone());
        let client = AwsClient::new(
            session,
            service,
            "eu-west-1",
            identity,
            transport,
            credentials,
            clock,
        );
        CloudWatchLogs::new(client.unwrap())
    }

    /// The next `times` calls of an action end with this error.
    pub(crate) fn fail(&self, action: &str, times: usize, status: u16, code: &str) {
        self.rule(Rule {
            action: action.to_owned(),
            stream: None,
            skip: 0,
            times,
            answer: Answer::Status(status, error_body(code)),
        });
    }

    /// Adds a rule.
    pub(crate) fn rule(&self, rule: Rule) {
        self.rules.lock().unwrap().push(rule);
    }

    /// Makes a stream and its group.
    pub(crate) fn make(&self, group: &str, stream: &str) {
        let mut groups = self.groups.lock().unwrap();
        let group = groups.entry(group.to_owned()).or_default();
        group.streams.insert(stream.to_owned());
    }

    /// Actions of all calls.
    pub(crate) fn actions(&self) -> Vec<String> {
        self.calls
            .lock()
            .unwrap()
            .iter()
            .map(|(action, _)| action.clone())
            .collect()
    }

    /// Messages that were taken.
    pub(crate) fn messages(&self) -> Vec<String> {
        self.events
            .lock()
            .unwrap()
            .iter()
            .map(|event| event.message.clone())
            .collect()
    }

    fn told(&self, action: &str, stream: &str) -> Option<Answer> {
        for rule in self.rules.lock().unwrap().iter_mut() {
            if rule.action != action || rule.stream.is_some_and(|s| s != stream) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.times > 0 {
                rule.times -= 1;
                return Some(rule.answer.clone());
            }
        }
        None
    }

    fn act(&self, action: &str, body: &Json) -> (u16, String) {
        let refuse = |code: &str| (400, error_body(code));
        let name = body["logGroupName"].as_str().unwrap().to_owned();
        let stream = body["logStreamName"].as_str().unwrap_or("").to_owned();
        let mut groups = self.groups.lock().unwrap();
        let done = (200, String::new());
        match (action, groups.get_mut(&name)) {
            ("CreateLogGroup", Some(_)) => refuse("ResourceAlreadyExistsException"),
            ("CreateLogGroup", None) => {
                let tags = body["tags"].clone();
                groups.insert(
                    name,
                    Group {
                        tags,
                        ..Group::default()
                    },
                );
                done
            }
            (_, None) => refuse("ResourceNotFoundException"),
            ("CreateLogStream", Some(group)) => {
                if group.streams.insert(stream) {
                    done
                } else {
                    refuse("ResourceAlreadyExistsException")
                }
            }
            ("PutRetentionPolicy", Some(group)) => {
                group.retention_days = body["retentionInDays"].as_i64();
                done
            }
            ("PutLogEvents", Some(group)) if !group.streams.contains(&stream) => {
                refuse("ResourceNotFoundException")
            }
            ("PutLogEvents", Some(_)) => {
                self.take(&name, &stream, body["logEvents"].as_array().unwrap());
                (200, r#"{"nextSequenceToken":"1"}"#.to_owned())
            }
            _ => done,
        }
    }

    /// Takes events, which must keep the limits of the API.
    fn take(&self, group: &str, stream: &str, listed: &[Json]) {
        let events: Vec<Event> = listed
            .iter()
            .map(|event| Event {
                group: group.to_owned(),
                stream: stream.to_owned(),
                time_ms: event["timestamp"].as_i64().unwrap(),
                message: event["message"].as_str().unwrap().to_owned(),
            })
            .collect();
        assert!(
            (1..=10_000).contains(&events.len()),
            "{} events",
            events.len()
        );
        assert!(
            events.is_sorted_by_key(|event| event.time_ms),
            "not in order"
        );
        let times = || events.iter().map(|event| event.time_ms);
        assert!(times().max().unwrap() - times().min().unwrap() <= 86_400_000);
        let bytes: usize = events.iter().map(|event| event.message.len() + 26).sum();
        assert!(bytes <= 1 << 20, "{bytes} bytes");
        assert!(events.iter().all(|event| !event.message.is_empty()));
        self.batches.lock().unwrap().push(events.len());
        self.events.lock().unwrap().extend(events);
    }
}

impl Transport for FakeLogs {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFut<'_, Result<http::Response<Bytes>, TransportError>> {
        let target = request.headers()["x-amz-target"]
            .to_str()
            .unwrap()
            .to_owned();
        let action = target.split('.').nth(1).unwrap().to_owned();
        let body: Json = serde_json::from_slice(request.body()).unwrap();
        self.headers.lock().unwrap().push(request.headers().clone());
        self.calls
            .lock()
            .unwrap()
            .push((action.clone(), body.clone()));
        let told = self.told(&action, body["logStreamName"].as_str().unwrap_or(""));
        Box::pin(async move {
            let broken = || {
                Err(TransportError {
                    kind: TransportErrorKind::Other,
                    message: "connection reset".to_owned(),
                })
            };
            let (status, body) = match told {
                Some(Answer::Status(status, body)) => (status, body),
                Some(Answer::Reset) => return broken(),
                Some(Answer::ResetAfterwards) => {
                    self.act(&action, &body);
                    return broken();
                }
                Some(Answer::Silence) => {
                    tokio::time::sleep(TIMEOUT).await;
                    return Err(TransportError {
                        kind: TransportErrorKind::Timeout,
                        message: "no answer".to_owned(),
                    });
                }
                None => self.act(&action, &body),
            };
            let response = http::Response::builder().status(status);
            Ok(response.body(Bytes::from(body)).unwrap())
        })
    }
}
