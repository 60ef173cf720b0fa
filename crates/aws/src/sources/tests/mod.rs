//! The search for credentials, over a web that answers as told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod instance;
mod metadata;
mod order;
mod profiles;
mod security_token_service;
mod single_sign_on;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use weir_core::{BoxFut, BuildError, Clock, ManualClock};

use super::{Profiles, Surroundings};
use crate::chain::{ChainSettings, known_region, provider};
use crate::clock::ServiceClock;
use crate::{
    AssumeRole, CredentialsError, CredentialsProvider, Transport, TransportError,
    TransportErrorKind,
};

/// 2023-11-14 22:13:20 UTC.
const NOW_NS: u64 = 1_700_000_000_000_000_000;
const IN_AN_HOUR: &str = "2023-11-14T23:13:20Z";

/// One answer: status, headers, body; `None` is no answer.
type Reply = Option<(u16, Vec<(&'static str, String)>, String)>;

fn ok(body: impl Into<String>) -> Reply {
    Some((200, Vec::new(), body.into()))
}

fn status(status: u16) -> Reply {
    Some((status, Vec::new(), String::new()))
}

/// Answers requests by what their `METHOD URL` begins with, each list in turn; the last stays.
#[derive(Debug, Default)]
struct Web {
    answers: Mutex<Vec<(String, VecDeque<Reply>)>>,
    requests: Mutex<Vec<http::Request<Bytes>>>,
}

impl Web {
    fn on(&self, start: &str, replies: impl IntoIterator<Item = Reply>) {
        let replies = replies.into_iter().collect();
        let mut answers = self.answers.lock().unwrap();
        // The latest word on an address counts, and longer beginnings before shorter ones.
        answers.insert(0, (start.to_owned(), replies));
        answers.sort_by_key(|(start, _)| std::cmp::Reverse(start.len()));
    }

    /// `METHOD URL` of all requests.
    fn asked(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests
            .iter()
            .map(|r| format!("{} {}", r.method(), r.uri()))
            .collect()
    }

    fn header(&self, at: usize, name: &str) -> Option<String> {
        let requests = self.requests.lock().unwrap();
        let value = requests[at].headers().get(name)?;
        Some(value.to_str().unwrap().to_owned())
    }

    fn body(&self, at: usize) -> String {
        let requests = self.requests.lock().unwrap();
        String::from_utf8(requests[at].body().to_vec()).unwrap()
    }

    fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

impl Transport for Web {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFut<'_, Result<http::Response<Bytes>, TransportError>> {
        let line = format!("{} {}", request.method(), request.uri());
        self.requests.lock().unwrap().push(request);
        let mut answers = self.answers.lock().unwrap();
        let known = answers
            .iter_mut()
            .find(|(start, _)| line.starts_with(start.as_str()));
        let reply = match known {
            None => panic!("nobody expects {line}"),
            Some((_, replies)) if replies.len() > 1 => replies.pop_front().unwrap(),
            Some((_, replies)) => replies.front().unwrap().clone(),
        };
        let result = match reply {
            None => Err(TransportError {
                message: "no answer".to_owned(),
                kind: TransportErrorKind::Timeout,
            }),
            Some((status, headers, body)) => {
                let mut builder = http::Response::builder().status(status);
                for (name, value) in headers {
                    builder = builder.header(name, value);
                }
                Ok(builder.body(Bytes::from(body)).unwrap())
            }
        };
        Box::pin(async move { result })
    }
}

/// A machine: variables, files, the web around it, its clock.
struct Machine {
    variables: BTreeMap<String, String>,
    folder: tempfile::TempDir,
    web: Arc<Web>,
    clock: Arc<ManualClock>,
    settings: ChainSettings,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_string_lossy().into_owned();
        let variables = BTreeMap::from([("HOME".to_owned(), home)]);
        Self {
            variables,
            folder,
            web: Arc::default(),
            clock: Arc::new(ManualClock::at(NOW_NS)),
            settings: ChainSettings {
                region: "eu-west-1".to_owned(),
                assume_role: None,
            },
        }
    }

    fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Writes a file into the home folder; its path.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    }

    fn role(&mut self, role: AssumeRole) -> &mut Self {
        self.settings.assume_role = Some(role);
        self
    }

    fn profiles(&self) -> Result<Profiles, BuildError> {
        Profiles::read(&self.variables)
    }

    fn surroundings(&self) -> Surroundings {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let profiles = Arc::new(self.profiles().unwrap());
        Surroundings {
            region: known_region(&self.settings.region, &self.variables, &profiles),
            environment: Arc::new(self.variables.clone()),
            profiles,
            remote: self.web.clone(),
            local: self.web.clone(),
            clock: Arc::new(ServiceClock::new(clock)),
        }
    }

    async fn find(&self) -> Result<Arc<dyn CredentialsProvider>, BuildError> {
        provider(&self.surroundings(), &self.settings).await
    }

    /// The key that is found, or what is wrong.
    async fn key(&self) -> String {
        match self.find().await {
            Err(error) => error.0,
            Ok(found) => key_of(&*found).await,
        }
    }
}

async fn key_of(provider: &dyn CredentialsProvider) -> String {
    match provider.credentials().await {
        Ok(credentials) => credentials.access_key_id().to_owned(),
        Err(CredentialsError { message, .. }) => message,
    }
}

/// An answer of STS with the key `id`.
fn sts_answer(id: &str, end: &str) -> Reply {
    ok(format!(
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{id}</AccessKeyId>\
         <SecretAccessKey>s&amp;s</SecretAccessKey><SessionToken>t</SessionToken>\
         <Expiration>{end}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
    ))
}

fn sts_error(status: u16, code: &str, date: &str) -> Reply {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>it said no</Message>\
         </Error></ErrorResponse>"
    );
    Some((status, vec![("date", date.to_owned())], body))
}

/// Keys as containers, instances and programs write them.
fn document(id: &str) -> String {
    format!(
        r#"{{"Version":1,"Code":"Success","AccessKeyId":"{id}","SecretAccessKey":"s","Token":"t","Expiration":"{IN_AN_HOUR}"}}"#
    )
}

const STS: &str = "POST https://sts.eu-west-1.amazonaws.com/";
const IMDS: &str = "http://169.254.169.254/latest";
const ROLES: &str = "http://169.254.169.254/latest/meta-data/iam/security-credentials/";

/// An instance with a role.
fn instance(web: &Web) {
    web.on(&format!("PUT {IMDS}/api/token"), [ok("token-1")]);
    web.on(&format!("GET {ROLES}"), [ok("node-role\n")]);
    web.on(&format!("GET {ROLES}node-role"), [ok(document("INSTANCE"))]);
}

proptest::proptest! {
    /// Files and answers come from elsewhere: no text of theirs stops the program.
    #[test]
    fn no_text_stops_the_reading(
        text in "(\\[(profile |sso-session |services )?[a-z\"]{0,4}\\]|[ \t]?[a-z_]{0,9} ?= ?[a-z#; ]{0,5}|<[A-Za-z]{0,9}>|\\PC{0,9}|\n){0,30}",
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
    ) {
        let machine = Machine::new();
        machine.file(".aws/config", &text);
        machine.file(".aws/credentials", &text);
        if let Ok(profile) = machine.profiles().unwrap().selected() {
            let _any = profile.get("region");
        }
        for wrong in [text.as_bytes(), bytes.as_slice()] {
            super::sts::read("x", wrong).unwrap_err();
            assert_eq!(super::sts::refusal(400, wrong).status, Some(400));
            let _any = super::KeysDocument::read("x", wrong).and_then(|d| d.credentials("x"));
        }
        let _any = (super::instant(&text), crate::sign_time(&text));
    }
}
