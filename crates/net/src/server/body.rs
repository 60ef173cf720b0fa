//! Bodies: read under a cap and at a least pace, charged as they grow; and the bodies of answers.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;
use weir_model::{Charge, Ledger};

use crate::compress::DecodeError;

/// A body must bring this many bytes ...
const LEAST_BYTES: usize = 1024;
/// ... in each span of this length, or it is given up.
const LEAST_WINDOW: Duration = Duration::from_secs(10);
/// Reserved at first for a body of unknown or large declared length; more follows as bytes come.
const FIRST_RESERVE: usize = 256 << 10;

/// Why the body of a request was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More bytes than allowed on the wire.
    #[error("request body too large: the limit is {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The memory for requests in flight is used up.
    #[error("data refused due to high memory usage")]
    NoMemory,
    /// The client sends too slowly.
    #[error("the request body came too slowly")]
    Slow,
    /// The connection broke or the framing is wrong.
    #[error("the request body could not be read: {0}")]
    Broken(String),
    /// `Content-Encoding` names something this server does not take.
    #[error("unsupported Content-Encoding: {0}")]
    UnsupportedEncoding(String),
    /// The compressed data is damaged or too large when decompressed.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// Reads the chunks of one body.
pub(crate) struct BodyReader {
    body: Incoming,
    limit: usize,
    received: usize,
    ends: Option<Instant>,
    window_ends: Instant,
    window_start: usize,
    ledger: Option<Arc<Ledger>>,
    charge: Option<Charge>,
    /// Bytes charged ahead of their arrival.
    ahead: usize,
}

impl BodyReader {
    pub(crate) fn new(
        body: Incoming,
        limit: usize,
        total: Option<Duration>,
        ledger: Option<Arc<Ledger>>,
    ) -> Self {
        let now = Instant::now();
        BodyReader {
            body,
            limit,
            received: 0,
            ends: total.map(|t| now + t),
            window_ends: now + LEAST_WINDOW,
            window_start: 0,
            ledger,
            charge: None,
            ahead: 0,
        }
    }

    /// The declared length, if there is one.
    pub(crate) fn declared(&self) -> Option<usize> {
        self.body
            .size_hint()
            .exact()
            .map(|n| usize::try_from(n).unwrap_or(usize::MAX))
    }

    /// Whether all chunks have come.
    pub(crate) fn is_end(&self) -> bool {
        self.body.is_end_stream()
    }

    /// Charges bytes before they come.
    pub(crate) fn charge_ahead(&mut self, bytes: usize) -> Result<(), BodyError> {
        self.take(bytes)?;
        self.ahead += bytes;
        Ok(())
    }

    /// Charges bytes besides those of the body (its decompressed form).
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), BodyError> {
        let Some(ledger) = &self.ledger else {
            return Ok(());
        };
        let fits = match &mut self.charge {
            Some(charge) => charge.grow(bytes),
            None => {
                self.charge = ledger.charge(bytes);
                self.charge.is_some()
            }
        };
        if fits {
            Ok(())
        } else {
            Err(BodyError::NoMemory)
        }
    }

    /// What was charged, to go along with the data.
    pub(crate) fn into_charge(self) -> Option<Charge> {
        self.charge
    }

    /// The next bytes; `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        let mut timer = pin!(tokio::time::sleep_until(self.next_check()));
        loop {
            let frame = tokio::select! {
                biased;
                frame = self.body.frame() => frame,
                () = timer.as_mut() => {
                    self.check_pace()?;
                    let next = self.next_check();
                    timer.as_mut().reset(next);
                    continue;
                }
            };
            match frame {
                None => return Ok(None),
                Some(Err(e)) => return Err(BodyError::Broken(crate::error::chain(&e))),
                Some(Ok(frame)) => {
                    // Trailers of requests mean nothing to us.
                    if let Ok(data) = frame.into_data() {
                        return self.arrived(data).map(Some);
                    }
                }
            }
        }
    }

    fn arrived(&mut self, data: Bytes) -> Result<Bytes, BodyError> {
        self.received += data.len();
        if self.received > self.limit {
            return Err(BodyError::TooLarge { limit: self.limit });
        }
        let ahead = data.len().min(self.ahead);
        self.ahead -= ahead;
        if data.len() > ahead {
            self.take(data.len() - ahead)?;
        }
        Ok(data)
    }

    fn next_check(&self) -> Instant {
        self.ends
            .map_or(self.window_ends, |ends| ends.min(self.window_ends))
    }

    fn check_pace(&mut self) -> Result<(), BodyError> {
        let now = Instant::now();
        if self.ends.is_some_and(|ends| now >= ends) {
            return Err(BodyError::Slow);
        }
        if now >= self.window_ends {
            if self.received - self.window_start < LEAST_BYTES {
                return Err(BodyError::Slow);
            }
            self.window_start = self.received;
            self.window_ends = now + LEAST_WINDOW;
        }
        Ok(())
    }

    /// The whole body in one piece; not copied when it came in one.
    pub(crate) async fn whole(&mut self) -> Result<Bytes, BodyError> {
        let declared = self.declared();
        if let Some(declared) = declared {
            if declared > self.limit {
                return Err(BodyError::TooLarge { limit: self.limit });
            }
            self.charge_ahead(declared)?;
        }
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        if self.is_end() || declared == Some(first.len()) {
            return Ok(first);
        }
        let expected = declared.unwrap_or(first.len() * 4);
        self.rest(first, expected).await
    }

    /// Joins all further chunks to `first`; `expected` bytes in all, as far as anybody knows.
    pub(crate) async fn rest(&mut self, first: Bytes, expected: usize) -> Result<Bytes, BodyError> {
        let Some(second) = self.chunk().await? else {
            return Ok(first);
        };
        let least = first.len() + second.len();
        let mut all = BytesMut::with_capacity(expected.min(FIRST_RESERVE).max(least));
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        drop((first, second));
        while !self.is_end() {
            let Some(chunk) = self.chunk().await? else {
                break;
            };
            if all.len() + chunk.len() > all.capacity() {
                // Doubling, but no further than what was announced.
                let room = all.capacity().max(chunk.len());
                let missing = expected.saturating_sub(all.len()).max(chunk.len());
                all.reserve(room.min(missing));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }
}

/// The body of an answer: at most one chunk, and trailers for gRPC.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) data: Option<Bytes>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Reply {
    pub(crate) fn data(data: Bytes) -> Self {
        Reply {
            data: Some(data).filter(|d| !d.is_empty()),
            trailers: None,
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = match self.data.take() {
            Some(data) => Some(Frame::data(data)),
            None => self.trailers.take().map(Frame::trailers),
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, |d| d.len() as u64))
    }
}
