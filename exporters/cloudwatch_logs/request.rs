//! Events collected into `PutLogEvents` bodies within the API's limits (spec 12.1, 12.2; EMF-50..53).

use super::json::{embed, extract, write_i64, write_str};

/// Bytes the service adds to each event when it counts.
const EVENT_OVERHEAD: usize = 26;
/// Largest request, and largest event in it, that the service takes: the sum of the events' bytes,
/// overhead included (`PutLogEvents` API reference).
pub(crate) const MOST_BYTES: usize = 1_048_576;
/// Oldest event that the service takes, before now.
pub(crate) const MAX_AGE_MS: i64 = 14 * 86_400_000;
/// Newest event that the service takes, after now.
pub(crate) const MAX_AHEAD_MS: i64 = 2 * 3_600_000;
/// Events in a request at most.
const MAX_EVENTS: usize = 10_000;
/// Longest time from the first to the last event of a request.
const MAX_SPAN_MS: i64 = 86_400_000;
/// What stands at the end of an event that was cut.
const CUT_MARK: &str = "[Truncated...]";

const BODY_START: &[u8] = b"{\"logEvents\":[";
const MESSAGE_START: &[u8] = b"{\"message\":\"";

/// Sizes, in bytes with the overhead of [`EVENT_OVERHEAD`] an event; at most [`MOST_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Largest event; a longer one is cut.
    pub(crate) event: usize,
    /// Largest sum of a request's events.
    pub(crate) request: usize,
}

impl Default for Limits {
    /// Events as the reference cuts them, requests as large as the service takes them.
    fn default() -> Self {
        Self {
            event: 262_144,
            request: MOST_BYTES,
        }
    }
}

impl Limits {
    /// Where a message of `len` bytes is to be cut so that the mark behind it still fits; `None` if it
    /// fits whole.
    fn cut_at(&self, len: usize) -> Option<usize> {
        (len + EVENT_OVERHEAD > self.event)
            .then(|| self.event.saturating_sub(EVENT_OVERHEAD + CUT_MARK.len()))
    }

    /// A message that is too large, cut and marked.
    pub(crate) fn cut(&self, message: &str) -> Option<String> {
        let end = message.floor_char_boundary(self.cut_at(message.len())?);
        Some(format!("{}{CUT_MARK}", message.get(..end).unwrap_or("")))
    }
}

/// A log stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// Log group.
    pub(crate) group: Box<str>,
    /// Log stream.
    pub(crate) stream: Box<str>,
}

/// A finished request.
#[derive(Debug)]
pub(crate) struct Request {
    /// Where it goes.
    pub(crate) target: Target,
    /// The JSON body.
    pub(crate) body: Vec<u8>,
    /// Numbers of its events, as given to [`Stream::push`].
    pub(crate) events: Vec<u32>,
}

/// Where an event stands in the body.
#[derive(Clone, Copy, Debug)]
struct Place {
    time_ms: i64,
    start: usize,
    end: usize,
}

/// The requests of one log stream, the last of them open.
#[derive(Debug)]
pub(crate) struct Stream {
    target: Target,
    limits: Limits,
    body: Vec<u8>,
    places: Vec<Place>,
    events: Vec<u32>,
    bytes: usize,
    first_ms: i64,
    last_ms: i64,
    finished: Vec<Request>,
    /// Events that were cut because they were too large.
    pub(crate) cut: u64,
}

impl Stream {
    pub(crate) fn new(target: Target, limits: Limits) -> Self {
        Self {
            target,
            limits,
            body: BODY_START.to_vec(),
            places: Vec::new(),
            events: Vec::new(),
            bytes: 0,
            first_ms: i64::MAX,
            last_ms: i64::MIN,
            finished: Vec::new(),
            cut: 0,
        }
    }

    /// Adds event number `event`. `write` appends the message, escaped for a JSON string, and
    /// returns its length without the escapes. An event that is too large is cut. A longer message than an
    /// event can have must be JSON, escaped by [`embed`].
    pub(crate) fn push(
        &mut self,
        event: u32,
        time_ms: i64,
        write: impl FnOnce(&mut Vec<u8>) -> usize,
    ) {
        let start = self.body.len();
        let (message, mut len) = self.append(write);
        if let Some(end) = self.limits.cut_at(len) {
            len = self.cut_message(message, end);
            self.cut += 1;
        }
        self.close(event, time_ms, start, len);
    }

    /// As [`Self::push`], but an event that is too large is not added; returns whether it was.
    pub(crate) fn push_whole(
        &mut self,
        event: u32,
        time_ms: i64,
        write: impl FnOnce(&mut Vec<u8>) -> usize,
    ) -> bool {
        let start = self.body.len();
        let (_, len) = self.append(write);
        if self.limits.cut_at(len).is_some() {
            self.body.truncate(start);
            return false;
        }
        self.close(event, time_ms, start, len);
        true
    }

    /// Appends a message; gives the place of its text in the body and its length.
    #[inline]
    fn append(&mut self, write: impl FnOnce(&mut Vec<u8>) -> usize) -> (usize, usize) {
        self.body.extend_from_slice(MESSAGE_START);
        let message = self.body.len();
        let len = write(&mut self.body);
        (message, len)
    }

    /// Ends the event that begins at `start`, in the next request if the open one is full.
    #[inline]
    fn close(&mut self, event: u32, time_ms: i64, mut start: usize, len: usize) {
        let size = len + EVENT_OVERHEAD;
        self.body.extend_from_slice(b"\",\"timestamp\":");
        write_i64(time_ms, &mut self.body);
        self.body.extend_from_slice(b"},");
        if self.is_full_for(size, time_ms) {
            let event = self.body.split_off(start);
            // The next request of a stream that is sent this much will be as large.
            let (bytes, events) = (self.body.len(), self.events.len());
            self.finish();
            self.reserve(bytes + event.len(), events);
            self.body.extend_from_slice(BODY_START);
            start = self.body.len();
            self.body.extend_from_slice(&event);
        }
        self.places.push(Place {
            time_ms,
            start,
            end: self.body.len(),
        });
        self.events.push(event);
        self.bytes += size;
        self.first_ms = self.first_ms.min(time_ms);
        self.last_ms = self.last_ms.max(time_ms);
    }

    /// Whether another event has no place in the open request.
    fn is_full_for(&self, size: usize, time_ms: i64) -> bool {
        !self.events.is_empty()
            && (self.events.len() >= MAX_EVENTS
                || self.bytes + size > self.limits.request
                || time_ms.saturating_sub(self.first_ms) > MAX_SPAN_MS
                || self.last_ms.saturating_sub(time_ms) > MAX_SPAN_MS)
    }

    /// Cuts the message at the end of the body, which is too large, and marks it; its new length.
    #[cold]
    fn cut_message(&mut self, start: usize, mut end: usize) -> usize {
        let mut message = extract(self.body.get(start..).unwrap_or(&[]));
        // Not within a character: bytes of the form 10xxxxxx continue one.
        while message.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
            end -= 1;
        }
        message.truncate(end);
        message.extend_from_slice(CUT_MARK.as_bytes());
        self.body.truncate(start);
        embed(&message, &mut self.body);
        message.len()
    }

    /// Closes the open request, if it has events.
    fn finish(&mut self) {
        if self.events.is_empty() {
            return;
        }
        let mut body = std::mem::take(&mut self.body);
        let places = std::mem::take(&mut self.places);
        if !places.is_sorted_by_key(|place| place.time_ms) {
            body = sorted(&body, places);
        }
        body.pop();
        body.extend_from_slice(b"],\"logGroupName\":");
        write_str(&self.target.group, false, &mut body);
        body.extend_from_slice(b",\"logStreamName\":");
        write_str(&self.target.stream, false, &mut body);
        body.push(b'}');
        self.finished.push(Request {
            target: self.target.clone(),
            body,
            events: std::mem::take(&mut self.events),
        });
        (self.bytes, self.first_ms, self.last_ms) = (0, i64::MAX, i64::MIN);
    }

    /// Makes room for so many bytes of body and so many events.
    pub(crate) fn reserve(&mut self, bytes: usize, events: usize) {
        self.body.reserve(bytes.min(self.limits.request));
        self.places.reserve(events.min(MAX_EVENTS));
        self.events.reserve(events.min(MAX_EVENTS));
    }

    /// All requests, in the order in which their events came.
    pub(crate) fn into_requests(mut self) -> Vec<Request> {
        self.finish();
        self.finished
    }
}

/// The body with its events in order of time; equal times stay in order.
#[cold]
fn sorted(body: &[u8], mut places: Vec<Place>) -> Vec<u8> {
    places.sort_by_key(|place| place.time_ms);
    let mut out = Vec::with_capacity(body.len() + 128);
    out.extend_from_slice(BODY_START);
    for place in places {
        out.extend_from_slice(body.get(place.start..place.end).unwrap_or(&[]));
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::Value as Json;

    const MAX_EVENT: usize = 262_144;

    fn stream() -> Stream {
        let target = Target {
            group: "/g\"<".into(),
            stream: "s".into(),
        };
        Stream::new(target, Limits::default())
    }

    fn push(stream: &mut Stream, event: u32, time_ms: i64, message: &str) {
        stream.push(event, time_ms, |out| {
            embed(message.as_bytes(), out);
            message.len()
        });
    }

    fn events(request: &Request) -> Vec<(String, i64)> {
        let body: Json = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["logGroupName"], "/g\"<");
        assert_eq!(body["logStreamName"], "s");
        let event = |e: &Json| {
            let message = e["message"].as_str().unwrap().to_owned();
            (message, e["timestamp"].as_i64().unwrap())
        };
        body["logEvents"]
            .as_array()
            .unwrap()
            .iter()
            .map(event)
            .collect()
    }

    #[test]
    fn events_are_sorted_by_time_and_equal_times_stay_in_order() {
        let mut stream = stream();
        for (i, (time, text)) in [(5, "{\"a\":\"\\\\\"}"), (3, "b"), (5, "c"), (4, "d")]
            .into_iter()
            .enumerate()
        {
            push(&mut stream, i as u32, time, text);
        }
        let requests = stream.into_requests();
        assert_eq!(requests.len(), 1);
        let found = events(&requests[0]);
        let expected = [("b", 3), ("d", 4), ("{\"a\":\"\\\\\"}", 5), ("c", 5)];
        assert_eq!(found, expected.map(|(text, time)| (text.to_owned(), time)));
        assert_eq!(requests[0].events, [0, 1, 2, 3]);
        assert!(stream_of_nothing().is_empty());
    }

    fn stream_of_nothing() -> Vec<Request> {
        stream().into_requests()
    }

    #[test]
    fn requests_hold_at_most_24_hours() {
        let mut stream = stream();
        for (event, time) in [(0, 0), (1, MAX_SPAN_MS), (2, MAX_SPAN_MS + 1), (3, 0)] {
            push(&mut stream, event, time, "x");
        }
        let requests = stream.into_requests();
        let numbers: Vec<&[u32]> = requests.iter().map(|r| r.events.as_slice()).collect();
        assert_eq!(numbers, [&[0, 1][..], &[2], &[3]]);
        assert_eq!(events(&requests[1]), [("x".to_owned(), MAX_SPAN_MS + 1)]);
    }

    #[test]
    fn requests_hold_at_most_a_mebibyte_and_ten_thousand_events() {
        let mut large = stream();
        let message = "x".repeat(MAX_EVENT - EVENT_OVERHEAD);
        for event in 0..5 {
            push(&mut large, event, 0, &message);
        }
        let sizes: Vec<usize> = large
            .into_requests()
            .iter()
            .map(|r| r.events.len())
            .collect();
        assert_eq!(sizes, [4, 1]);
        let mut many = stream();
        for event in 0..10_001 {
            push(&mut many, event, 0, "x");
        }
        let sizes: Vec<usize> = many
            .into_requests()
            .iter()
            .map(|r| r.events.len())
            .collect();
        assert_eq!(sizes, [10_000, 1]);
    }

    #[test]
    fn an_event_that_is_too_large_is_cut_and_marked() {
        let mut stream = stream();
        push(&mut stream, 0, 0, &"\"".repeat(MAX_EVENT));
        push(&mut stream, 1, 0, &"\u{e9}".repeat(MAX_EVENT / 2));
        assert_eq!(stream.cut, 2);
        let requests = stream.into_requests();
        let found = events(&requests[0]);
        assert_eq!(found[0].0.len(), MAX_EVENT - EVENT_OVERHEAD);
        assert!(found[0].0.ends_with("\"[Truncated...]"));
        assert!(found[1].0.ends_with("\u{e9}[Truncated...]"));
    }
}
