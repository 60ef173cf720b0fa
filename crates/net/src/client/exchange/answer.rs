//! Taking an answer: how much of it, and what it is charged to.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{Response, Uri};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use weir_model::{Charge, Ledger};

use super::HttpResponse;
use crate::client::url::peer_of;
use crate::compress::{DecodeError, Encoding, decode_body};
use crate::error::{NetError, chain};

/// What to do with an answer that is longer than the cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client) enum Longer {
    /// Keep its beginning.
    Cut,
    /// Fail.
    Refuse,
}

/// How much of an answer is taken.
#[derive(Debug, Clone, Copy)]
pub(in crate::client) struct Limit<'a> {
    pub(in crate::client) cap: usize,
    pub(in crate::client) longer: Longer,
    /// The body is charged here while it grows.
    pub(in crate::client) ledger: Option<&'a Arc<Ledger>>,
}

impl Limit<'_> {
    /// At most `cap` bytes.
    pub(in crate::client) fn of(cap: usize, longer: Longer) -> Self {
        Limit {
            cap,
            longer,
            ledger: None,
        }
    }
}

/// Takes the body of an answer, within the limit.
pub(super) async fn collect(
    response: Response<Incoming>,
    url: &Uri,
    limit: Limit<'_>,
) -> Result<(HttpResponse, Option<Charge>), NetError> {
    let Limit { cap, longer, .. } = limit;
    let too_large = || NetError::BodyTooLarge {
        peer: peer_of(url),
        limit: cap,
    };
    let no_room = || NetError::NoMemory { peer: peer_of(url) };
    let mut charge = match limit.ledger {
        Some(ledger) => Some(ledger.charge(0).ok_or_else(no_room)?),
        None => None,
    };
    let mut hold = |bytes: usize| {
        let fits = charge.as_mut().is_none_or(|charge| charge.grow(bytes));
        fits.then_some(()).ok_or_else(no_room)
    };
    let (mut head, mut incoming) = response.into_parts();
    // What the sender says it is going to send: then a large body does not grow by copies.
    let expected = incoming.size_hint().lower();
    let expected = usize::try_from(expected).unwrap_or(cap).min(cap);
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|e| NetError::Transport {
            peer: peer_of(url),
            why: chain(&e),
        })?;
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        let held = first.len() + more.len();
        if held + data.len() > cap {
            if longer == Longer::Refuse {
                return Err(too_large());
            }
            data.truncate(cap - held);
        }
        hold(data.len())?;
        let cut = held + data.len() == cap && longer == Longer::Cut;
        if held == 0 {
            first = data;
        } else {
            if more.is_empty() {
                more.reserve(expected.max(held + data.len()));
                more.extend_from_slice(&std::mem::take(&mut first));
            }
            more.extend_from_slice(&data);
        }
        if cut {
            break;
        }
    }
    let mut body = if more.is_empty() {
        first
    } else {
        more.freeze()
    };
    let gzip = head
        .headers
        .get(CONTENT_ENCODING)
        .is_some_and(|v| v == "gzip" || v == "x-gzip");
    if gzip && !body.is_empty() {
        body = unpack(body, url, limit).await?;
        hold(body.len())?;
        head.headers.remove(CONTENT_ENCODING);
        head.headers.remove(CONTENT_LENGTH);
    }
    let answer = HttpResponse {
        status: head.status,
        headers: head.headers,
        body,
    };
    Ok((answer, charge))
}

/// Decompresses a body, within the limit.
async fn unpack(body: Bytes, url: &Uri, limit: Limit<'_>) -> Result<Bytes, NetError> {
    let peer = || peer_of(url);
    // What the ledger has no room for is not unpacked in the first place.
    let room = limit.ledger.map_or(usize::MAX, |ledger| {
        ledger.limit().saturating_sub(ledger.used())
    });
    match (
        decode_body(Encoding::Gzip, body, limit.cap.min(room)).await,
        limit.longer,
    ) {
        (Ok(body), _) => Ok(body),
        // The text of an error answer is worth having, but not worth an error.
        (Err(_), Longer::Cut) => Ok(Bytes::new()),
        (Err(DecodeError::TooLarge { .. }), Longer::Refuse) if room < limit.cap => {
            Err(NetError::NoMemory { peer: peer() })
        }
        (Err(DecodeError::TooLarge { .. }), Longer::Refuse) => Err(NetError::BodyTooLarge {
            peer: peer(),
            limit: limit.cap,
        }),
        (Err(source), Longer::Refuse) => Err(NetError::Decode {
            peer: peer(),
            source,
        }),
    }
}
