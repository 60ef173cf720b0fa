//! Answers those who scrape.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use weir_core::BoxFut;
use weir_net::compress::{Encoder, Encoding};
use weir_net::http::{HttpHandler, HttpRequest};

use super::accept::Format;
use super::drops::{Drops, Tally};
use super::lock;
use super::page::Page;
use super::store::Store;

/// Series written before other tasks get a turn, and the store is free for others.
const CHUNK: usize = 1000;
/// Smaller pages are not worth compressing.
const COMPRESS_FROM: usize = 1024;

/// The page.
pub(super) struct Handler {
    pub(super) store: Arc<Mutex<Store>>,
    pub(super) drops: Arc<Drops>,
    pub(super) open_metrics: bool,
    pub(super) timestamps: bool,
}

impl Handler {
    /// The format for what a reader accepts.
    pub(super) fn format(&self, headers: &HeaderMap) -> Format {
        Format {
            timestamps: self.timestamps,
            ..Format::negotiate(headers, self.open_metrics)
        }
    }

    /// The whole page, written in pieces.
    pub(super) async fn page(&self, format: Format) -> Vec<u8> {
        let now = self.drops.cx.clock.monotonic();
        let mut page = Page::new(format);
        let mut dropped = Tally::default();
        let mut last = None;
        loop {
            let next = lock(&self.store).after(last.as_ref(), CHUNK, now, |family, slot| {
                // A point is counted once, on however many pages it is missing.
                if let Err(why) = page.series(family, slot) && !slot.left_out.replace(true) {
                    dropped.add(why, || family.names.quoted().to_owned());
                }
            });
            if next.is_none() {
                break;
            }
            last = next;
            tokio::task::yield_now().await;
        }
        self.drops.tell(dropped);
        let target_info = lock(&self.store).target_info();
        page.finish(&target_info)
    }

    async fn answer(&self, head: &Parts) -> Response<Bytes> {
        let format = self.format(&head.headers);
        let page = self.page(format).await;
        let compressed = if page.len() >= COMPRESS_FROM && takes_gzip(&head.headers) {
            let mut out = Vec::new();
            let encoded = Encoder::default_of(Encoding::Gzip).encode(&page, &mut out);
            encoded.is_ok().then_some(out)
        } else {
            None
        };
        let encoded = compressed.is_some();
        let body = compressed.map_or_else(|| Bytes::from(page), Bytes::from);
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        if let Ok(kind) = HeaderValue::try_from(format.content_type()) {
            headers.insert(CONTENT_TYPE, kind);
        }
        headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        if encoded {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// The values of a list header, without blanks round them, in lower case.
pub(super) fn values(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let texts = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let parts = texts.flat_map(|text| text.split(','));
    parts
        .map(|part| part.split(';').map(str::trim).collect::<Vec<_>>().join(";").to_ascii_lowercase())
        .collect()
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    values(headers, &ACCEPT_ENCODING)
        .iter()
        .any(|one| one == "gzip" || (one.starts_with("gzip;") && one != "gzip;q=0"))
}

fn plain(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    response
}

impl HttpHandler for Handler {
    fn screen(&self, head: &Parts) -> Option<Response<Bytes>> {
        if head.uri.path() != "/metrics" {
            return Some(plain(StatusCode::NOT_FOUND, "404 page not found\n"));
        }
        if head.method == Method::GET || head.method == Method::HEAD {
            return None;
        }
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        Some(response)
    }

    fn handle(&self, request: HttpRequest) -> BoxFut<'_, Response<Bytes>> {
        Box::pin(async move { self.answer(&request.head).await })
    }
}
