//! List and watch of one query, as the API does them: pages of a list, then changes from its version
//! on. A watch that ends goes on from where it was; one whose version is too old begins anew.

use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{AsyncBufReadExt as _, StreamExt as _};
use kube::api::{ListParams, WatchParams};
use kube::core::{Request, WatchEvent};
use kube::{Client, Error};

use crate::cluster::Query;
use crate::list::{Items, ListMetadata};
use crate::objects::{Resource, Wire};

/// Objects of one answer to a list. One at a time is read, so that a page takes no memory here; an
/// API server holds all of it.
const PAGE: u32 = 100;
/// The API server ends a watch after 290 s; a connection that says nothing for longer is dead.
const SILENCE: Duration = Duration::from_secs(295);
/// The first pause after a failure and the longest, as those of Kubernetes' own clients.
const FIRST_PAUSE: Duration = Duration::from_millis(800);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The API no longer has the version that was asked for.
const GONE: u16 = 410;

/// What the API tells.
#[derive(Debug)]
pub(crate) enum Event {
    /// A listing begins.
    Begun,
    /// An object of the listing.
    Listed(Wire),
    /// The listing is complete.
    Done,
    /// An object came or changed.
    Put(Wire),
    /// An object went.
    Gone(Wire),
}

/// What did not work. All of it is tried again.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) what: &'static str,
    /// None if the API answered without a version.
    pub(crate) why: Option<Error>,
}

impl Failure {
    fn of(what: &'static str) -> impl Fn(Error) -> Self {
        move |why| Self {
            what,
            why: Some(why),
        }
    }

    fn no_version() -> Self {
        let what = "no metadata.resourceVersion in watch result (does resource support watch?)";
        Self { what, why: None }
    }
}

type Told = BoxStream<'static, Result<WatchEvent<Wire>, Error>>;

enum State {
    /// Nothing is known.
    New,
    /// In a listing, the page to ask for.
    Listing(Option<String>),
    /// This version is known.
    Known(String),
    /// Changes from this version on come.
    Watching(String, Told),
}

/// The list and watch of a query.
pub(crate) struct Source {
    client: Client,
    request: Request,
    metadata_only: bool,
    list: ListParams,
    watch: WatchParams,
    state: State,
    pause: Duration,
}

impl Source {
    pub(crate) fn new(
        client: Client,
        resource: Resource,
        query: &Query,
        metadata_only: bool,
    ) -> Self {
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let (labels, fields) = (given(&query.labels), given(&query.fields));
        Self {
            client,
            request: Request::new(resource.path(query.namespace.as_deref())),
            metadata_only,
            list: ListParams {
                label_selector: labels.clone(),
                field_selector: fields.clone(),
                limit: Some(PAGE),
                ..ListParams::default()
            },
            watch: WatchParams {
                label_selector: labels,
                field_selector: fields,
                ..WatchParams::default()
            },
            state: State::New,
            pause: FIRST_PAUSE,
        }
    }

    /// The next step: a page of a listing, the start of a watch, or what a watch tells.
    ///
    /// # Errors
    /// What did not work; the next step tries again and should come after [`Self::pause`].
    pub(crate) async fn step(
        &mut self,
        take: &mut (dyn FnMut(Event) + Send),
    ) -> Result<(), Failure> {
        // After a failure a listing begins anew; the others go on from their version.
        let result = match std::mem::replace(&mut self.state, State::New) {
            State::New => {
                take(Event::Begun);
                self.page(None, take).await
            }
            State::Listing(page) => self.page(page, take).await,
            State::Known(version) => self.start(version).await,
            State::Watching(version, told) => self.follow(version, told, take).await,
        };
        if result.is_ok() {
            self.pause = FIRST_PAUSE;
        }
        result
    }

    /// How long to wait after a failure: each time about twice as long, until something works; half
    /// of it to either side, so that not all clients of an API server come back at once.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.pause.mul_f64(0.5 + fastrand::f64());
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        pause.min(LONGEST_PAUSE)
    }

    async fn page(
        &mut self,
        page: Option<String>,
        take: &mut (dyn FnMut(Event) + Send),
    ) -> Result<(), Failure> {
        self.list.continue_token = page;
        let listed = self.items(&mut |object| take(Event::Listed(object))).await;
        let listed = listed.map_err(Failure::of("failed to perform initial object list"))?;
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        self.state = match (given(listed.next), given(listed.resource_version)) {
            (Some(next), _) => State::Listing(Some(next)),
            (None, Some(version)) => {
                take(Event::Done);
                State::Known(version)
            }
            (None, None) => return Err(Failure::no_version()),
        };
        Ok(())
    }

    /// Reads a page object by object.
    async fn items(&mut self, take: &mut (dyn FnMut(Wire) + Send)) -> Result<ListMetadata, Error> {
        let request = match self.metadata_only {
            true => self.request.list_metadata(&self.list),
            false => self.request.list(&self.list),
        };
        let request = request.map_err(Error::BuildRequest)?;
        let mut body = std::pin::pin!(self.client.request_stream(request).await?);
        let mut items = Items::default();
        loop {
            let part = body.fill_buf().await.map_err(Error::ReadEvents)?;
            if part.is_empty() {
                break;
            }
            let pushed = items.push(part, |item| {
                // As text, as the client reads a watch: the code that reads objects, half a megabyte, is
                // then in the program once.
                let item = std::str::from_utf8(item).map_err(serde::de::Error::custom)?;
                take(serde_json::from_str(item)?);
                Ok(())
            });
            pushed.map_err(Error::SerdeError)?;
            let length = part.len();
            body.consume_unpin(length);
        }
        items.end().map_err(Error::SerdeError)
    }

    async fn start(&mut self, version: String) -> Result<(), Failure> {
        let request = match self.metadata_only {
            true => self.request.watch_metadata(&self.watch, &version),
            false => self.request.watch(&self.watch, &version),
        };
        let request = request.map_err(Error::BuildRequest);
        let told = match request {
            Ok(request) => self.client.request_events::<Wire>(request).await,
            Err(error) => Err(error),
        };
        match told {
            Ok(told) => {
                self.state = State::Watching(version, told.boxed());
                Ok(())
            }
            Err(why) => {
                // An API server says it here or in the watch that it no longer has the version.
                if !matches!(&why, Error::Api(status) if status.code == GONE) {
                    self.state = State::Known(version);
                }
                Err(Failure::of("failed to start watching object")(why))
            }
        }
    }

    async fn follow(
        &mut self,
        version: String,
        mut told: Told,
        take: &mut (dyn FnMut(Event) + Send),
    ) -> Result<(), Failure> {
        let next = tokio::time::timeout(SILENCE, told.next()).await;
        let (version, event) = match next.ok().flatten() {
            // It has ended, or is dead.
            None => {
                self.state = State::Known(version);
                return Ok(());
            }
            Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                (object.version(), Some(Event::Put(object)))
            }
            Some(Ok(WatchEvent::Deleted(object))) => (object.version(), Some(Event::Gone(object))),
            Some(Ok(WatchEvent::Bookmark(bookmark))) => (bookmark.metadata.resource_version, None),
            Some(Ok(WatchEvent::Error(status))) => {
                if status.code != GONE {
                    self.state = State::Watching(version, told);
                }
                return Err(Failure::of("error returned by apiserver during watch")(
                    Error::Api(status),
                ));
            }
            Some(Err(why)) => {
                self.state = State::Watching(version, told);
                return Err(Failure::of("watch stream failed")(why));
            }
        };
        if version.is_empty() {
            return Err(Failure::no_version());
        }
        if let Some(event) = event {
            take(event);
        }
        self.state = State::Watching(version, told);
        Ok(())
    }
}
