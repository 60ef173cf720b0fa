//! One connection: what it is doing, and when that has gone on too long.
//!
//! No timer is set per request. The state of a connection is a few atomic marks; one timer per
//! connection wakes at the earliest time at which anything could be over, looks at the marks, and
//! sleeps again.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use weir_core::Stop;

use super::{ConnectionLimits, HANDSHAKE_TIMEOUT};

/// Length of what an HTTP/2 client says first (RFC 9113 3.4).
const PREFACE: u64 = 24;
/// How long the supervisor sleeps when no limit is set.
const LONG: Duration = Duration::from_secs(3600);

/// Marks of what a connection is doing. Times are microseconds since it was opened.
#[derive(Debug)]
pub(crate) struct Activity {
    http2: bool,
    opened: Instant,
    /// Requests under way.
    active: AtomicUsize,
    /// Since when nothing is under way.
    idle_since: AtomicU64,
    /// Bytes of a next request have come (HTTP/1).
    heading: AtomicBool,
    heading_since: AtomicU64,
    /// Since when the client takes no bytes, plus one; 0 when it does.
    blocked_since: AtomicU64,
    /// Bytes read, counted up to the preface.
    read: AtomicU64,
}

impl Activity {
    pub(super) fn new(http2: bool) -> Self {
        Activity {
            http2,
            opened: Instant::now(),
            active: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            heading: AtomicBool::new(false),
            heading_since: AtomicU64::new(0),
            blocked_since: AtomicU64::new(0),
            read: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// A request has come; it is under way until the guard goes.
    pub(crate) fn begin(self: &std::sync::Arc<Self>) -> UnderWay {
        self.active.fetch_add(1, Ordering::Relaxed);
        self.heading.store(false, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    fn on_read(&self, count: usize) {
        if self.http2 {
            if self.read.load(Ordering::Relaxed) < PREFACE {
                self.read.fetch_add(count as u64, Ordering::Relaxed);
            }
        } else if self.active.load(Ordering::Relaxed) == 0
            && !self.heading.swap(true, Ordering::Relaxed)
        {
            self.heading_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// What to do now, and when to look again at the latest.
    fn judge(&self, limits: &ConnectionLimits) -> Verdict {
        let now = self.now();
        let mut next = now.saturating_add(micros(LONG));
        let mut over = |since: u64, limit: Option<Duration>| {
            limit.is_some_and(|limit| {
                let end = since.saturating_add(micros(limit));
                next = next.min(end.max(now + 1));
                end <= now
            })
        };
        let blocked = self.blocked_since.load(Ordering::Relaxed);
        if blocked > 0 && over(blocked - 1, limits.write) {
            return Verdict::Close("the client does not read the answer");
        }
        if self.http2 && self.read.load(Ordering::Relaxed) < PREFACE {
            if over(0, Some(HANDSHAKE_TIMEOUT)) {
                return Verdict::Close("no HTTP/2 preface");
            }
        } else if self.active.load(Ordering::Relaxed) == 0 {
            if self.heading.load(Ordering::Relaxed) {
                if over(self.heading_since.load(Ordering::Relaxed), limits.header) {
                    return Verdict::Close("the headers of a request took too long");
                }
            } else if over(self.idle_since.load(Ordering::Relaxed), limits.idle) {
                return Verdict::Finish;
            }
        }
        if over(0, limits.age) {
            return Verdict::Finish;
        }
        // A state that begins right now is seen in time if nobody sleeps longer than its limit.
        let shortest = [limits.header, limits.idle, limits.write]
            .into_iter()
            .flatten()
            .min();
        if let Some(shortest) = shortest {
            next = next.min(now.saturating_add(micros(shortest)));
        }
        Verdict::LookAgain(self.opened + Duration::from_micros(next))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[derive(Debug, PartialEq)]
enum Verdict {
    LookAgain(Instant),
    /// Let requests finish, take no new ones.
    Finish,
    Close(&'static str),
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct UnderWay(std::sync::Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Ordering::Relaxed);
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The two kinds of connections, as far as supervision goes.
pub(super) trait Graceful: Future<Output = Result<(), hyper::Error>> {
    fn finish(self: Pin<&mut Self>);
}

impl<I, S, B> Graceful for http1::Connection<I, S>
where
    http1::Connection<I, S>: Future<Output = Result<(), hyper::Error>>,
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, B, E> Graceful for http2::Connection<I, S, E>
where
    http2::Connection<I, S, E>: Future<Output = Result<(), hyper::Error>>,
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Drives a connection to its end: by itself, by its limits, or by `stop`.
pub(super) async fn supervise<C: Graceful>(
    connection: C,
    activity: &Activity,
    limits: &ConnectionLimits,
    stop: &Stop,
) -> Result<(), String> {
    let mut connection = pin!(connection);
    let mut stopped = pin!(stop.stopped());
    let mut finishing = false;
    let mut look = pin!(tokio::time::sleep(Duration::ZERO));
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => return ended.map_err(|e| crate::error::chain(&e)),
            () = stopped.as_mut(), if !finishing => {
                finishing = true;
                connection.as_mut().finish();
                // The runtime's deadline ends what does not finish; see `Acceptor::run`.
                look.as_mut().reset(Instant::now() + LONG);
            }
            () = look.as_mut() => match activity.judge(limits) {
                Verdict::LookAgain(at) => look.as_mut().reset(at),
                Verdict::Close(why) => return Err(why.to_owned()),
                Verdict::Finish if finishing => return Err("the grace period is over".to_owned()),
                Verdict::Finish => {
                    finishing = true;
                    connection.as_mut().finish();
                    look.as_mut().reset(Instant::now() + limits.age_grace.unwrap_or(LONG));
                }
            },
        }
    }
}

/// Tells [`Activity`] of reads and of writes that do not get on.
pub(super) struct Watched<T> {
    inner: T,
    activity: std::sync::Arc<Activity>,
}

impl<T> Watched<T> {
    pub(super) fn new(inner: T, activity: std::sync::Arc<Activity>) -> Self {
        Watched { inner, activity }
    }

    fn on_write<R>(&self, result: Poll<R>) -> Poll<R> {
        let blocked = self.activity.blocked_since.load(Ordering::Relaxed);
        if result.is_pending() {
            if blocked == 0 {
                self.activity
                    .blocked_since
                    .store(self.activity.now() + 1, Ordering::Relaxed);
            }
        } else if blocked != 0 {
            self.activity.blocked_since.store(0, Ordering::Relaxed);
        }
        result
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let count = buf.filled().len() - before;
        if count > 0 {
            self.activity.on_read(count);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.on_write(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.on_write(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
