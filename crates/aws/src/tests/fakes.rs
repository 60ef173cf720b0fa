//! A service that answers from a list, and sources of credentials.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use weir_core::{BoxFut, Clock, ManualClock};

use crate::endpoint::EndpointSettings;
use crate::{
    AwsClient, AwsSession, ClientIdentity, Credentials, CredentialsError, CredentialsProvider,
    Service, ServiceClock, Transport, TransportError, TransportErrorKind,
};

/// 2023-11-14 22:13:20 UTC.
pub(super) const NOW_NS: u64 = 1_700_000_000_000_000_000;

#[derive(Clone, Debug)]
pub(super) enum Answer {
    Ok(&'static str),
    Error(u16, &'static str),
    /// Status, code, `Date`.
    Dated(u16, &'static str, &'static str),
    Broken(TransportErrorKind),
}

#[derive(Debug, Default)]
pub(super) struct FakeService {
    pub(super) answers: Mutex<VecDeque<Answer>>,
    pub(super) requests: Mutex<Vec<http::Request<Bytes>>>,
}

impl FakeService {
    pub(super) fn answering(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.into_iter().collect()),
            requests: Mutex::default(),
        })
    }

    pub(super) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    pub(super) fn header(&self, request: usize, name: &str) -> String {
        let requests = self.requests.lock().unwrap();
        let value = requests[request].headers().get(name);
        value.map_or("", |v| v.to_str().unwrap()).to_owned()
    }

    /// `x-amz-target` and body of each request.
    pub(super) fn calls(&self) -> Vec<(String, String)> {
        (0..self.count())
            .map(|at| {
                let body = self.requests.lock().unwrap()[at].body().clone();
                let target = self.header(at, "x-amz-target");
                let target = target.replace("Logs_20140328.", "");
                (target, String::from_utf8(body.to_vec()).unwrap())
            })
            .collect()
    }
}

impl Transport for FakeService {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFut<'_, Result<http::Response<Bytes>, TransportError>> {
        self.requests.lock().unwrap().push(request);
        let answer = self.answers.lock().unwrap().pop_front();
        let response = |status, body: String, date: &str| {
            let builder = http::Response::builder()
                .status(status)
                .header("date", date);
            Ok(builder.body(Bytes::from(body)).unwrap())
        };
        let coded =
            |code: &str| format!("{{\"__type\":\"com.amazonaws#{code}\",\"message\":\"no\"}}");
        let result = match answer.unwrap_or(Answer::Ok("{}")) {
            Answer::Ok(body) => response(200, body.to_owned(), ""),
            Answer::Error(status, code) => response(status, coded(code), ""),
            Answer::Dated(status, code, date) => response(status, coded(code), date),
            Answer::Broken(kind) => Err(TransportError {
                message: "broken".to_owned(),
                kind,
            }),
        };
        Box::pin(async move { result })
    }
}

/// Hands out one set of keys after the other; an empty list is a failure.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) sets: Mutex<VecDeque<Credentials>>,
    pub(super) asked: Mutex<usize>,
}

impl Source {
    pub(super) fn of(sets: impl IntoIterator<Item = Credentials>) -> Self {
        Self {
            sets: Mutex::new(sets.into_iter().collect()),
            asked: Mutex::default(),
        }
    }
}

impl CredentialsProvider for Arc<Source> {
    fn credentials(&self) -> BoxFut<'_, Result<Credentials, CredentialsError>> {
        *self.asked.lock().unwrap() += 1;
        let next = self.sets.lock().unwrap().pop_front();
        Box::pin(async move {
            tokio::task::yield_now().await;
            next.ok_or_else(|| CredentialsError::new("used up"))
        })
    }
}

pub(super) fn keys(id: &str) -> Credentials {
    Credentials::fixed(id, "secret", None)
}

pub(super) fn client(
    service: Service,
    fake: &Arc<FakeService>,
    session: &AwsSession,
    credentials: Arc<dyn CredentialsProvider>,
) -> AwsClient {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW_NS));
    let identity = ClientIdentity {
        user_agent: "test/1".to_owned(),
        ..ClientIdentity::default()
    };
    AwsClient::with_settings(
        session,
        service,
        "eu-west-1",
        identity,
        (
            fake.clone(),
            credentials,
            Arc::new(ServiceClock::new(clock)),
        ),
        &EndpointSettings::default(),
    )
    .unwrap()
}
