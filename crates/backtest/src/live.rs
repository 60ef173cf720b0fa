//! A Prometheus (or Mimir, Thanos, VictoriaMetrics, Amazon Managed Prometheus) asked for its samples.

use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Uri};
use weir_aws::{ChainSettings, CredentialsProvider, Signer, credentials_chain};
use weir_core::Clock;
use weir_net::http::decode_form;
use weir_net::{HttpClient, HttpClientOptions};

use crate::input::Tracks;
use crate::moment;
use crate::options::LiveOptions;
use crate::problem::Problem;
use crate::prometheus;

/// Path below the address of a Prometheus.
const QUERY_RANGE: &str = "/api/v1/query_range";
/// Samples of a series asked for at a time: Prometheus gives at most 11,000.
const MOST_STEPS: f64 = 10_000.0;
/// Requests in all.
const MOST_REQUESTS: usize = 10_000;
/// Largest answer.
const MOST_BYTES: usize = 1 << 30;
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Characters of an answer that is no result, for the message.
const SHOWN_ANSWER: usize = 300;

/// What to ask.
#[derive(Clone, Debug, PartialEq)]
struct Question {
    /// Scheme, host and path.
    address: String,
    query: String,
    /// Other parameters, as they were given.
    others: Vec<(String, String)>,
    start_s: f64,
    end_s: f64,
    step_s: f64,
}

/// Takes all samples of the query into the series.
pub(crate) fn read(
    url: &str,
    tracks: &mut Tracks<'_>,
    options: &LiveOptions,
    clock: &Arc<dyn Clock>,
) -> Result<(), Problem> {
    let question = Question::new(url, options, clock.unix_ns())?;
    let parts = question.parts()?;
    weir_net::install_default_provider();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|e| Problem::new(url, e.to_string(), ""))?;
    runtime.block_on(async {
        let asker = Asker::new(url, options, clock)?;
        for part in parts {
            let text = asker.ask(&part).await?;
            prometheus::read(&text, &question.address, tracks)?;
        }
        Ok(())
    })
}

impl Question {
    fn new(url: &str, options: &LiveOptions, now_ns: u64) -> Result<Self, Problem> {
        let wrong = |what: String, cure: &str| Problem::new(url, what, cure);
        let uri: Uri = url.parse().map_err(|e: http::uri::InvalidUri| {
            wrong(
                e.to_string(),
                "write it as http://host:9090, with %xx for special characters",
            )
        })?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong(
                "not a URL with a host".to_owned(),
                "write http://host:9090",
            ));
        };
        let mut path = uri.path().trim_end_matches('/').to_owned();
        if !path.ends_with("/query_range") {
            path.push_str(QUERY_RANGE);
        }
        let now_s = (now_ns / 1_000_000_000) as f64;
        let (mut query, mut start, mut end, mut step) = (options.query.clone(), None, None, None);
        let mut others = Vec::new();
        for pair in uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|p| !p.is_empty())
        {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode_form(value);
            let seconds = |text: &str| moment::parse(text).map(moment::seconds);
            let number = |found: Option<f64>| {
                let what = format!("`{value}` cannot be the {key}");
                found
                    .map(Some)
                    .ok_or_else(|| wrong(what, "see Prometheus' HTTP API"))
            };
            match key {
                "query" => query = query.or(Some(value)),
                "start" => start = number(seconds(&value))?,
                "end" => end = number(seconds(&value))?,
                "step" => step = number(value.parse().ok().or_else(|| moment::length(&value)))?,
                _ => others.push((key.to_owned(), value)),
            }
        }
        let query = query.filter(|q| !q.trim().is_empty()).ok_or_else(|| {
            wrong(
                "there is no query".to_owned(),
                "add ?query=... or --query PROMQL",
            )
        })?;
        let end_s = end.unwrap_or(now_s);
        let question = Self {
            address: format!("{scheme}://{authority}{path}"),
            query,
            others,
            start_s: start.unwrap_or(end_s - options.last),
            end_s,
            step_s: step.unwrap_or(options.step),
        };
        if question.start_s >= question.end_s || question.step_s < 0.001 {
            let what = "the start is not before the end, or the step is not positive";
            return Err(wrong(what.to_owned(), ""));
        }
        Ok(question)
    }

    /// The requests, each for as much as Prometheus gives at once.
    fn parts(&self) -> Result<Vec<Uri>, Problem> {
        let mut parts = Vec::new();
        let mut start = self.start_s;
        while start <= self.end_s {
            if parts.len() >= MOST_REQUESTS {
                let what = format!("this takes more than {MOST_REQUESTS} requests");
                return Err(Problem::new(&self.address, what, "use a larger step"));
            }
            let end = (start + (MOST_STEPS - 1.0) * self.step_s).min(self.end_s);
            parts.push(self.part(start, end)?);
            start += MOST_STEPS * self.step_s;
        }
        Ok(parts)
    }

    fn part(&self, start_s: f64, end_s: f64) -> Result<Uri, Problem> {
        let mut text = format!("{}?query={}", self.address, encoded(&self.query));
        for (key, value) in &self.others {
            text.push_str(&format!("&{key}={}", encoded(value)));
        }
        text.push_str(&format!(
            "&start={start_s:.3}&end={end_s:.3}&step={}",
            self.step_s
        ));
        let uri: Result<Uri, _> = text.parse();
        uri.map_err(|e| Problem::new(&self.address, e.to_string(), ""))
    }
}

/// Sends requests.
struct Asker {
    client: HttpClient,
    headers: HeaderMap,
    signing: Option<(Signer, Arc<dyn CredentialsProvider>)>,
    clock: Arc<dyn Clock>,
}

impl Asker {
    fn new(url: &str, options: &LiveOptions, clock: &Arc<dyn Clock>) -> Result<Self, Problem> {
        let client = HttpClient::new(HttpClientOptions::default());
        let client = client.map_err(|e| Problem::new(url, e.to_string(), ""))?;
        let mut headers = HeaderMap::new();
        for header in &options.headers {
            // the value may be a secret: messages hold the name only
            let (name, value) = header.split_once(':').unwrap_or((header, ""));
            let wrong = || {
                let what = format!("`{}` is not a header", name.trim());
                Problem::new("--header", what, "write it as NAME: VALUE")
            };
            let name = HeaderName::try_from(name.trim()).map_err(|_| wrong())?;
            let mut value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        let signing = options.sigv4.as_ref().map(|region| {
            let settings = ChainSettings {
                region: region.clone(),
                assume_role: None,
            };
            let signer = Signer::new(region, &options.sigv4_service);
            (signer, credentials_chain(settings, clock.clone()))
        });
        Ok(Self {
            client,
            headers,
            signing,
            clock: clock.clone(),
        })
    }

    async fn ask(&self, uri: &Uri) -> Result<bytes::Bytes, Problem> {
        let place = format!(
            "{}://{}{}",
            uri.scheme_str().unwrap_or("http"),
            uri.host().unwrap_or(""),
            uri.path()
        );
        let failed = |what: String| Problem::new(&place, what, "");
        let mut headers = self.headers.clone();
        if let Some((signer, credentials)) = &self.signing {
            let credentials = credentials
                .credentials()
                .await
                .map_err(|e| failed(e.to_string()))?;
            let now_ns = self.clock.unix_ns();
            signer
                .sign(&Method::GET, uri, &mut headers, &[], &credentials, now_ns)
                .map_err(|e| failed(e.to_string()))?;
        }
        let answer = self
            .client
            .get_body(uri, &headers, MOST_BYTES, TIMEOUT)
            .await;
        let answer = answer.map_err(|e| failed(e.to_string()))?;
        // a refused query comes as JSON, with Prometheus' own words
        let json = answer.body.trim_ascii_start().starts_with(b"{");
        if answer.status == StatusCode::OK || json && answer.status != StatusCode::FORBIDDEN {
            return Ok(answer.body);
        }
        let text: String = String::from_utf8_lossy(&answer.body)
            .chars()
            .take(SHOWN_ANSWER)
            .collect();
        let cure = match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "--sigv4 REGION signs for Amazon Managed Prometheus, --header sends a token"
            }
            StatusCode::NOT_FOUND => "is this the address of a Prometheus, or does it lack a path?",
            _ => "",
        };
        let what = format!("the server answered {}: {}", answer.status, text.trim());
        Err(Problem::new(&place, what, cure))
    }
}

/// All but RFC 3986's unreserved characters as `%XX`.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn options() -> LiveOptions {
        LiveOptions {
            query: None,
            last: 3600.0,
            step: 60.0,
            sigv4: None,
            sigv4_service: "aps".to_owned(),
            headers: Vec::new(),
        }
    }

    fn question(url: &str) -> Result<Question, String> {
        Question::new(url, &options(), 1_700_003_600 * 1_000_000_000).map_err(|p| p.to_string())
    }

    #[test]
    fn a_base_address_gets_path_and_times() {
        let asked =
            question("http://h:9090/prom/?query=up%7Bjob%3D%22a+b%22%7D&dedup=1").expect("one");
        assert_eq!(asked.address, "http://h:9090/prom/api/v1/query_range");
        assert_eq!(asked.query, "up{job=\"a b\"}");
        assert_eq!(
            (asked.start_s, asked.end_s),
            (1_700_000_000.0, 1_700_003_600.0)
        );
        let parts = asked.parts().expect("parts");
        let texts: Vec<String> = parts.iter().map(Uri::to_string).collect();
        let expected = "http://h:9090/prom/api/v1/query_range?query=up%7Bjob%3D%22a%20b%22%7D&dedup=1\
                        &start=1700000000.000&end=1700003600.000&step=60";
        assert_eq!(texts, [expected]);
    }

    #[test]
    fn long_times_are_asked_for_in_parts_that_meet_without_overlap() {
        let url = "http://h/api/v1/query_range?query=x&start=0&end=1500000&step=1m";
        let parts = question(url)
            .and_then(|q| q.parts().map_err(|p| p.to_string()))
            .expect("parts");
        let ends: Vec<String> = parts
            .iter()
            .filter_map(|p| {
                p.query()?
                    .split_once("&start=")
                    .map(|(_, times)| times.to_owned())
            })
            .collect();
        assert_eq!(
            ends,
            [
                "0.000&end=599940.000&step=60",
                "600000.000&end=1199940.000&step=60",
                "1200000.000&end=1500000.000&step=60",
            ]
        );
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for (url, what) in [
            ("http://h:9090", "there is no query"),
            ("http://h/?query=x&start=5&end=4", "not before the end"),
            ("http://h/?query=x&step=0", "step is not positive"),
            ("http://h/?query=x&start=soon", "cannot be the start"),
            (
                "http://h/?query=x&start=0&step=1",
                "more than 10000 requests",
            ),
        ] {
            let error = question(url)
                .and_then(|q| q.parts().map_err(|p| p.to_string()))
                .err();
            assert!(
                error.as_ref().is_some_and(|e| e.contains(what)),
                "{url}: {error:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn texts_survive_encoding(text in ".{0,40}") {
            prop_assert_eq!(decode_form(&encoded(&text)), text);
        }
    }
}
