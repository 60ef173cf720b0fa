//! A Kubernetes API that lists and watches as the real one does, and misbehaves when told: it drops
//! connections, forgets old resource versions and forbids what no permission was given for.

mod asked;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use weir_core::{Deadline, Stop, Tasks};

pub use asked::Asked;
use asked::text;

/// `resource`, namespace, name.
type Place = (String, String, String);

struct Event {
    version: u64,
    resource: String,
    old: Option<Value>,
    new: Option<Value>,
}

#[derive(Default)]
struct World {
    version: u64,
    objects: BTreeMap<Place, Value>,
    log: Vec<Event>,
    /// Watches may not start before this version.
    expired: u64,
    /// Those are answered with a status, not with an event of the watch.
    refuses_expired: bool,
    /// Raised to cut all watches.
    cuts: u64,
    /// Raised to send a bookmark.
    bookmarks: u64,
    /// Requests to be closed without an answer.
    drops: usize,
    /// Verbs and resources that are allowed; all without a list.
    permissions: Option<BTreeSet<(String, String)>>,
    asked: Vec<Asked>,
    open_watches: usize,
}

struct State {
    world: Mutex<World>,
    changed: watch::Sender<u64>,
    stop: Stop,
}

/// The server; stops when dropped.
pub struct KubernetesApi {
    state: Arc<State>,
    address: SocketAddr,
}

impl KubernetesApi {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The port could not be opened.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            world: Mutex::new(World {
                version: 100,
                ..World::default()
            }),
            changed: watch::Sender::new(0),
            stop: Stop::default(),
        });
        let (shared, tasks) = (state.clone(), Tasks::default());
        tasks.clone().spawn("kubernetes api", async move {
            loop {
                let connection = tokio::select! {
                    () = shared.stop.stopped() => return,
                    connection = listener.accept() => connection,
                };
                let Ok((stream, _)) = connection else {
                    continue;
                };
                let state = shared.clone();
                tasks.spawn("kubernetes api connection", async move {
                    // A client that went is no matter.
                    drop(serve(&state, stream).await);
                });
            }
        });
        Ok(Self { state, address })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.state.world)
    }

    fn notify(&self) {
        self.state.changed.send_modify(|count| *count += 1);
    }

    /// Makes an object or puts another in its place.
    pub fn put(&self, resource: &str, object: Value) {
        let mut object = object;
        let mut world = self.world();
        world.version += 1;
        let version = world.version;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let place = place(resource, &object);
        let old = world.objects.insert(place, object.clone());
        let resource = resource.to_owned();
        world.log.push(Event {
            version,
            resource,
            old,
            new: Some(object),
        });
        drop(world);
        self.notify();
    }

    /// Removes an object.
    pub fn delete(&self, resource: &str, namespace: &str, name: &str) {
        let mut world = self.world();
        let place = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        if let Some(mut old) = world.objects.remove(&place) {
            world.version += 1;
            let version = world.version;
            old["metadata"]["resourceVersion"] = json!(version.to_string());
            let resource = resource.to_owned();
            world.log.push(Event {
                version,
                resource,
                old: Some(old),
                new: None,
            });
        }
        drop(world);
        self.notify();
    }

    /// Closes the connections of all watches.
    pub fn cut(&self) {
        self.world().cuts += 1;
        self.notify();
    }

    /// From now on a watch of an expired version is refused at once; without it the watch begins
    /// and tells so. API servers do either.
    pub fn refuse_expired(&self) {
        self.world().refuses_expired = true;
    }

    /// Forgets what was before, so that no watch can go on from there, and closes all watches.
    pub fn expire(&self) {
        let mut world = self.world();
        world.version += 1;
        world.expired = world.version;
        world.log.clear();
        world.cuts += 1;
        drop(world);
        self.notify();
    }

    /// Tells all watches the present version.
    pub fn bookmark(&self) {
        let mut world = self.world();
        world.version += 1;
        world.bookmarks += 1;
        drop(world);
        self.notify();
    }

    /// Closes the connections of the next requests without an answer.
    pub fn drop_next(&self, requests: usize) {
        self.world().drops = requests;
    }

    /// Allows only these, as verb and resource; `None` allows all.
    pub fn permit(&self, permissions: Option<&[(&str, &str)]>) {
        let all = |list: &[(&str, &str)]| {
            list.iter()
                .map(|(verb, resource)| ((*verb).to_owned(), (*resource).to_owned()))
                .collect()
        };
        self.world().permissions = permissions.map(all);
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.world().asked.clone()
    }

    /// Watches that are open.
    pub fn open_watches(&self) -> usize {
        self.world().open_watches
    }

    /// Waits until something holds; whether it does before the time is over.
    pub async fn wait(&self, limit: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let by = Deadline::after(limit);
        while !holds(self) {
            if by.is_over() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }
}

impl Drop for KubernetesApi {
    fn drop(&mut self) {
        self.state.stop.stop(Deadline::after(Duration::ZERO));
        self.notify();
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

fn place(resource: &str, object: &Value) -> Place {
    let part = |path| text(object, path).to_owned();
    (
        resource.to_owned(),
        part("metadata.namespace"),
        part("metadata.name"),
    )
}

/// Answers the requests of one connection.
async fn serve(state: &State, mut stream: TcpStream) -> io::Result<()> {
    loop {
        let Some(head) = head(&mut stream).await? else {
            return Ok(());
        };
        let mut lines = head.lines();
        let target = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .unwrap_or("/")
            .to_owned();
        let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(": ")).collect();
        let header = |wanted: &str| {
            let mut all = headers.iter();
            let found = all.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map_or_else(String::new, |(_, value)| (*value).to_owned())
        };
        let asked = Asked {
            authorization: header("authorization"),
            ..Asked::of(&target, &header("accept"))
        };
        let answer = {
            let mut world = lock(&state.world);
            if world.drops > 0 {
                world.drops -= 1;
                return Ok(());
            }
            world.asked.push(asked.clone());
            answer(&world, &asked)
        };
        match answer {
            Some((status, body)) => {
                let body = body.to_string();
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(body.as_bytes()).await?;
            }
            None => {
                lock(&state.world).open_watches += 1;
                let ended = watch(state, &asked, &mut stream).await;
                lock(&state.world).open_watches -= 1;
                return ended;
            }
        }
    }
}

async fn head(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Ok(None);
        }
        bytes.push(byte[0]);
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code})
}

/// A whole answer; none for a watch.
fn answer(world: &World, asked: &Asked) -> Option<(u16, Value)> {
    let (verb, resource) = (&asked.verb, &asked.resource);
    let permission = (verb.clone(), resource.clone());
    if world
        .permissions
        .as_ref()
        .is_some_and(|allowed| !allowed.contains(&permission))
    {
        let message = format!(
            "{resource} is forbidden: User \"test\" cannot {verb} resource \"{resource}\" at the cluster scope"
        );
        return Some((403, status(403, "Forbidden", &message)));
    }
    if verb == "watch" {
        let from: u64 = asked.version.parse().unwrap_or_default();
        let refused = world.refuses_expired && from < world.expired;
        return refused.then(|| (410, status(410, "Expired", "too old resource version")));
    }
    let all = world.objects.iter().filter(|((of, ..), _)| of == resource);
    let wanted: Vec<&Value> = all
        .map(|(_, object)| object)
        .filter(|object| asked.wants(object))
        .collect();
    let limit = if asked.limit == 0 {
        usize::MAX
    } else {
        asked.limit
    };
    let end = asked.from.saturating_add(limit).min(wanted.len());
    let page = wanted.get(asked.from..end).unwrap_or_default().iter();
    let page: Vec<Value> = page.map(|object| asked.shape(object)).collect();
    let more = if end < wanted.len() {
        end.to_string()
    } else {
        String::new()
    };
    Some((
        200,
        json!({"kind": "List", "apiVersion": "v1", "items": page,
            "metadata": {"resourceVersion": world.version.to_string(), "continue": more}}),
    ))
}

/// Streams changes until the watch is cut.
async fn watch(state: &State, asked: &Asked, stream: &mut TcpStream) -> io::Result<()> {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let mut changed = state.changed.subscribe();
    let mut at: u64 = asked.version.parse().unwrap_or_default();
    let (cuts, mut bookmarks) = {
        let world = lock(&state.world);
        (world.cuts, world.bookmarks)
    };
    if at < lock(&state.world).expired {
        let gone = status(410, "Expired", "too old resource version");
        send(stream, &json!({"type": "ERROR", "object": gone})).await?;
        return stream.write_all(b"0\r\n\r\n").await;
    }
    loop {
        changed.borrow_and_update();
        let mut due = Vec::new();
        {
            let world = lock(&state.world);
            if world.cuts != cuts || state.stop.is_stopped() {
                return Ok(());
            }
            for event in world.log.iter().filter(|event| event.version > at) {
                due.extend(told(asked, event));
            }
            at = world.version;
            if asked.bookmarks && world.bookmarks != bookmarks {
                bookmarks = world.bookmarks;
                let metadata = json!({"resourceVersion": at.to_string()});
                let object = json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata});
                due.push(json!({"type": "BOOKMARK", "object": object}));
            }
        }
        for event in due {
            send(stream, &event).await?;
        }
        let mut byte = [0];
        tokio::select! {
            gone = changed.changed() => if gone.is_err() { return Ok(()) },
            // A client that asks nothing more has closed the connection.
            _ = stream.read(&mut byte) => return Ok(()),
        }
    }
}

/// What a watch is told of a change: objects enter and leave its selection.
fn told(asked: &Asked, event: &Event) -> Option<Value> {
    if event.resource != asked.resource {
        return None;
    }
    let wanted = |object: &Option<Value>| object.as_ref().is_some_and(|object| asked.wants(object));
    let (kind, object) = match (wanted(&event.old), wanted(&event.new)) {
        (false, true) => ("ADDED", &event.new),
        (true, true) => ("MODIFIED", &event.new),
        (true, false) => ("DELETED", &event.old),
        (false, false) => return None,
    };
    let mut object = asked.shape(object.as_ref()?);
    object["metadata"]["resourceVersion"] = json!(event.version.to_string());
    Some(json!({"type": kind, "object": object}))
}

async fn send(stream: &mut TcpStream, event: &Value) -> io::Result<()> {
    let text = format!("{event}\n");
    stream
        .write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
        .await
}
