//! The answers, in the JSON of Prometheus' HTTP API v1.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, Uri};
use weir_core::clock::rfc3339_millis;
use weir_core::{BoxFut, Telemetry};
use weir_model::text::write_json_str;
use weir_net::http::{HttpHandler, HttpRequest, query_parameter};
use weir_prom::selector::Selector;

use super::{Board, Found, Pool, Status, lock};
use crate::discovery::shown::json::{Data, MOST_BYTES};
use crate::discovery::shown::{global_url, shown_error, shown_url};
use crate::prometheus::config::PromDuration;
use crate::prometheus::series::FamilyTable;
use crate::prometheus::target::before_relabelling;

/// Targets written before other tasks get a turn.
const CHUNK: usize = 100;

const PATHS: [&str; 5] = [
    "/metrics",
    "/api/v1/scrape_pools",
    "/api/v1/status/config",
    "/api/v1/targets",
    "/api/v1/targets/metadata",
];

/// The API.
pub(super) struct Api {
    pub(super) board: Arc<Board>,
    pub(super) telemetry: Arc<Telemetry>,
    /// Where it listens, as configured.
    pub(super) endpoint: String,
}

impl Api {
    async fn answer(&self, uri: &Uri) -> Response<Bytes> {
        let data = match uri.path() {
            "/metrics" => return plain(StatusCode::OK, self.telemetry.encode()),
            "/api/v1/targets" => Ok(self.targets(uri).await),
            "/api/v1/targets/metadata" => self.metadata(uri).await,
            "/api/v1/status/config" => {
                let mut data = Data::begin("{");
                data.text("yaml", &self.board.config());
                data.json.push('}');
                Ok(data)
            }
            _ => {
                let mut data = Data::begin("{\"scrapePools\":[");
                for pool in self.board.sorted() {
                    write_json_str(&pool.rules.name, data.next());
                }
                data.json.push_str("]}");
                Ok(data)
            }
        };
        envelope(data)
    }

    async fn targets(&self, uri: &Uri) -> Data {
        let state = query_parameter(uri, "state").to_ascii_lowercase();
        let any = matches!(state.as_str(), "" | "any");
        let wanted = query_parameter(uri, "scrapePool");
        let pools = self.board.sorted();
        let mut data = Data::begin("{\"activeTargets\":[");
        let of_query = |pool: &Arc<Pool>| wanted.is_empty() || *wanted == pool.rules.name;
        for pool in pools.iter().filter(|pool| (any || state == "active") && of_query(pool)) {
            let found = lock(&pool.found).clone();
            for (at, shown) in found.targets.iter().enumerate() {
                if at % CHUNK == CHUNK - 1 {
                    tokio::task::yield_now().await;
                }
                if !data.has_room() {
                    break;
                }
                self.target(pool, &found, shown, &mut data);
            }
        }
        data.json.push_str("],\"droppedTargets\":[");
        if !any && state != "dropped" {
            data.json.push_str("],\"droppedTargetCounts\":null}");
            return data;
        }
        for pool in pools.iter().filter(|pool| of_query(pool)) {
            for labels in pool.dropped.kept() {
                if !data.has_room() {
                    break;
                }
                data.next().push('{');
                let labels = before_relabelling(&pool.rules, &labels);
                data.labels("discoveredLabels", labels.iter());
                data.text("scrapePool", &pool.rules.name);
                data.json.push('}');
            }
            tokio::task::yield_now().await;
        }
        data.json.push_str("],\"droppedTargetCounts\":{");
        for pool in &pools {
            data.name(&pool.rules.name).push_str(&pool.dropped.count().to_string());
        }
        data.json.push_str("}}");
        data
    }

    fn target(&self, pool: &Pool, found: &Found, shown: &super::Shown, data: &mut Data) {
        let ((of, at), status) = shown;
        let target = &status.target;
        let last = lock(&status.last).clone();
        let discovered = found.groups.get(*of).and_then(|group| group.targets.get(*at));
        let discovered = before_relabelling(&pool.rules, discovered.map_or(&[], |labels| labels));
        data.next().push('{');
        data.labels("discoveredLabels", discovered.iter());
        data.labels("labels", target.labels.iter());
        data.text("scrapePool", &pool.rules.name);
        data.text("scrapeUrl", &shown_url(&target.url));
        data.text("globalUrl", &global_url(&target.url, &self.endpoint));
        let error = last.as_ref().and_then(|last| last.error.as_deref());
        data.text("lastError", &shown_error(error.unwrap_or_default(), &target.url));
        let time = last.as_ref().map(|last| u64::try_from(last.time_ms).unwrap_or(0));
        let time = time.map_or("0001-01-01T00:00:00Z".to_owned(), rfc3339_millis);
        data.text("lastScrape", &time);
        let seconds = last.as_ref().map_or(0.0, |last| last.duration.as_secs_f64());
        weir_prom::float::push_plain(data.name("lastScrapeDuration"), seconds);
        let health = last.as_ref().map_or("unknown", |last| match last.error {
            None => "up",
            Some(_) => "down",
        });
        data.text("health", health);
        for (name, time) in [("scrapeInterval", target.interval), ("scrapeTimeout", target.timeout)] {
            data.text(name, &String::from(PromDuration::from_std(time)));
        }
        data.json.push('}');
    }

    async fn metadata(&self, uri: &Uri) -> Result<Data, String> {
        let limit = query_parameter(uri, "limit");
        let limit: Option<i64> = match limit.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| "limit must be a number".to_owned())?),
        };
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        let selector = query_parameter(uri, "match_target");
        let selector = if selector.is_empty() {
            Selector::default()
        } else {
            Selector::parse(&selector)
                .map_err(|why| format!("invalid parameter \"match_target\": {why}"))?
        };
        let metric = query_parameter(uri, "metric");
        let mut data = Data::begin("[");
        let mut written = 0;
        for pool in self.board.sorted() {
            let found = lock(&pool.found).clone();
            for (_, status) in &found.targets {
                // As the reference has it, the limit is looked at between two targets.
                if limit.is_some_and(|limit| written >= limit) || !data.has_room() {
                    break;
                }
                if selector.matches(&status.target.labels) {
                    written += families(status, &metric, &mut data);
                    tokio::task::yield_now().await;
                }
            }
        }
        data.json.push(']');
        Ok(data)
    }
}

/// What the metadata lines of a target say, of one family or of all. Returns of how many.
fn families(status: &Status, metric: &str, data: &mut Data) -> usize {
    let table = lock(&status.last).as_ref().map(|last| FamilyTable::clone(&last.families));
    let table = table.unwrap_or_default();
    let mut names: Vec<&str> = if metric.is_empty() {
        table.keys().map(|name| &**name).collect()
    } else {
        vec![metric]
    };
    names.sort_unstable();
    let mut written = 0;
    for name in names {
        let Some(family) = table.get(name).filter(|_| data.has_room()) else {
            continue;
        };
        data.next().push('{');
        data.labels("target", status.target.labels.iter());
        if metric.is_empty() {
            data.text("metric", name);
        }
        data.text("type", family.kind.as_str());
        data.text("help", &family.help);
        data.text("unit", &family.unit);
        data.json.push('}');
        written += 1;
    }
    written
}

/// Data, or what is wrong with a parameter, as Prometheus wraps it.
fn envelope(data: Result<Data, String>) -> Response<Bytes> {
    let (status, json) = match data {
        Ok(mut data) => {
            data.json.insert_str(0, "{\"status\":\"success\",\"data\":");
            if data.cut {
                data.name("warnings").push('[');
                let text = format!("the answer was cut after {MOST_BYTES} bytes: ask for less");
                write_json_str(&text, &mut data.json);
                data.json.push(']');
            }
            data.json.push('}');
            (StatusCode::OK, data.json)
        }
        Err(why) => {
            let mut data = Data::begin("{");
            data.text("status", "error");
            data.text("errorType", "bad_data");
            data.text("error", &why);
            data.json.push('}');
            (StatusCode::BAD_REQUEST, data.json)
        }
    };
    let mut response = Response::new(Bytes::from(json));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

impl HttpHandler for Api {
    fn screen(&self, head: &Parts) -> Option<Response<Bytes>> {
        if !PATHS.contains(&head.uri.path()) {
            return Some(plain(StatusCode::NOT_FOUND, "404 page not found\n"));
        }
        if head.method == Method::GET {
            return None;
        }
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        Some(response)
    }

    fn handle(&self, request: HttpRequest) -> BoxFut<'_, Response<Bytes>> {
        Box::pin(async move { self.answer(&request.head.uri).await })
    }
}
