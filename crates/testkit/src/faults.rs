//! An HTTP/1.1 server that misbehaves by plan, on the level of the connection too.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use weir_core::{Deadline, Stop, Tasks};

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status and body.
    Status(u16, &'static str),
    /// Answered with this status and `Retry-After: 1`.
    RetryAfter(u16),
    /// Answered well, but late.
    Slow(Duration),
    /// Read, and never answered.
    BlackHole,
    /// The connection is reset when the head has been read, but not the body.
    ResetInRequest,
    /// Taken, and the connection reset instead of an answer.
    ResetAfterwards,
    /// Taken, and the connection reset in the middle of the answer's body.
    ResetInAnswer,
    /// The connection is closed in good order, without an answer.
    Close,
}

#[derive(Debug)]
struct State {
    plan: Mutex<VecDeque<Fault>>,
    taken: Mutex<Vec<Bytes>>,
    requests: Mutex<usize>,
    arrived: Notify,
    good_answer: &'static str,
}

/// The server; stops taking connections when dropped.
#[derive(Debug)]
pub struct FaultServer {
    state: Arc<State>,
    address: SocketAddr,
    stop: Stop,
}

/// How a request ended.
enum End {
    KeepOpen,
    Close,
    Reset,
}

fn lock<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FaultServer {
    /// Listens on a free port of 127.0.0.1. Requests without a planned fault get 200 with this body.
    ///
    /// # Errors
    /// The port could not be opened.
    pub async fn start(good_answer: &'static str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            plan: Mutex::default(),
            taken: Mutex::default(),
            requests: Mutex::default(),
            arrived: Notify::new(),
            good_answer,
        });
        let (stop, tasks) = (Stop::default(), Tasks::default());
        let (shared, stopped, spawner) = (state.clone(), stop.clone(), tasks.clone());
        tasks.spawn("fault server", async move {
            loop {
                let connection = tokio::select! {
                    connection = listener.accept() => connection,
                    () = stopped.stopped() => return,
                };
                if let Ok((stream, _)) = connection {
                    let (state, stopped) = (shared.clone(), stopped.clone());
                    spawner.spawn("connection", async move {
                        tokio::select! {
                            // A broken connection is what the clients are tested for.
                            done = state.serve(stream) => drop(done),
                            () = stopped.stopped() => {}
                        }
                    });
                }
            }
        });
        Ok(Self {
            state,
            address,
            stop,
        })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What goes wrong with the next requests, one fault each, behind what is planned already.
    pub fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.state.plan).extend(faults);
    }

    /// Forgets what is planned: from now on everything is answered well.
    pub fn recover(&self) {
        lock(&self.state.plan).clear();
    }

    /// Faults that have not happened yet.
    pub fn planned(&self) -> usize {
        lock(&self.state.plan).len()
    }

    /// Heads that have been read.
    pub fn requests(&self) -> usize {
        *lock(&self.state.requests)
    }

    /// Bodies of the requests that were taken, answered or not.
    pub fn taken(&self) -> Vec<Bytes> {
        lock(&self.state.taken).clone()
    }

    /// Waits until what was taken satisfies `done`; whether it does, or the time is over.
    pub async fn wait(&self, limit: Duration, done: impl Fn(&[Bytes]) -> bool) -> bool {
        let by = Deadline::after(limit);
        loop {
            let arrived = self.state.arrived.notified();
            if done(&lock(&self.state.taken)) {
                return true;
            }
            if by.is_over() {
                return false;
            }
            drop(tokio::time::timeout_at(by.instant(), arrived).await);
        }
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.stop.stop(Deadline::after(Duration::ZERO));
    }
}

impl State {
    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut buffer = BytesMut::new();
        loop {
            let Some(length) = read_head(&mut stream, &mut buffer).await? else {
                return Ok(());
            };
            *lock(&self.requests) += 1;
            let fault = lock(&self.plan).pop_front();
            match self.answer(&mut stream, &mut buffer, length, fault).await? {
                End::KeepOpen => {}
                End::Close => return stream.shutdown().await,
                End::Reset => return stream.set_zero_linger(),
            }
        }
    }

    async fn answer(
        &self,
        stream: &mut TcpStream,
        buffer: &mut BytesMut,
        length: usize,
        fault: Option<Fault>,
    ) -> io::Result<End> {
        if fault == Some(Fault::ResetInRequest) {
            return Ok(End::Reset);
        }
        while buffer.len() < length {
            if stream.read_buf(buffer).await? == 0 {
                return Ok(End::Close);
            }
        }
        let body = buffer.split_to(length).freeze();
        let (status, text) = match fault {
            Some(Fault::Status(status, text)) => (status, text),
            Some(Fault::RetryAfter(status)) => (status, ""),
            Some(Fault::Close) => return Ok(End::Close),
            Some(Fault::BlackHole) => std::future::pending().await,
            Some(Fault::Slow(delay)) => {
                tokio::time::sleep(delay).await;
                (200, self.good_answer)
            }
            _ => (200, self.good_answer),
        };
        if status == 200 {
            lock(&self.taken).push(body);
            self.arrived.notify_waiters();
        }
        if fault == Some(Fault::ResetAfterwards) {
            return Ok(End::Reset);
        }
        let after = match fault {
            Some(Fault::RetryAfter(_)) => "Retry-After: 1\r\n",
            _ => "",
        };
        let cut = fault == Some(Fault::ResetInAnswer);
        let promised = text.len() + if cut { 100 } else { 0 };
        let answer =
            format!("HTTP/1.1 {status} X\r\nContent-Length: {promised}\r\n{after}\r\n{text}");
        stream.write_all(answer.as_bytes()).await?;
        Ok(if cut { End::Reset } else { End::KeepOpen })
    }
}

/// Reads up to the end of a request's head; the length of the body that follows, or nothing at the
/// end of the connection.
async fn read_head(stream: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<Option<usize>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = buffer.split_to(end + 4);
            let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"));
            return Ok(Some(
                length.and_then(|l| l.trim().parse().ok()).unwrap_or(0),
            ));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}
