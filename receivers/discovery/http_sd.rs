//! `http_sd_configs`: target groups from an HTTP server.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use tokio::sync::mpsc;
use tracing::warn;
use weir_core::{BuildCtx, Stop};

use super::client::Access;
use super::config::HttpSdConfig;
use super::{Group, WrittenGroup, written};

/// Answers above this size are refused.
const MAX_BYTES: usize = 16 << 20;

/// Asks every `refresh_interval` until `stop`; on an error the old targets stay.
pub(super) async fn run(
    at: usize,
    config: HttpSdConfig,
    cx: BuildCtx,
    updates: mpsc::Sender<Vec<Group>>,
    stop: Stop,
) {
    let agent = cx.build_info.user_agent();
    let access = Access::new(&config.client(), &agent, &cx.clock);
    let (access, url) = match (access, Uri::try_from(&config.url)) {
        (Ok(access), Ok(url)) => (access, url),
        (Err(error), _) => return warn!("HTTP discovery cannot start: {error}"),
        (_, Err(error)) => return warn!("HTTP discovery cannot start: {error}"),
    };
    let mut interval = tokio::time::interval(config.refresh_interval.to_std());
    loop {
        tokio::select! {
            () = stop.stopped() => return,
            _ = interval.tick() => {}
        }
        match ask(&access, &url, &config).await {
            Ok(groups) => {
                let targets = written(groups, ("__meta_url", &config.url));
                if updates
                    .send(vec![Group {
                        source: format!("http/{at}"),
                        targets,
                    }])
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Err(reason) => warn!(
                url = config.url,
                "HTTP discovery failed, the old targets stay: {reason}"
            ),
        }
    }
}

async fn ask(
    access: &Access,
    url: &Uri,
    config: &HttpSdConfig,
) -> Result<Vec<WrittenGroup>, String> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let interval = config.refresh_interval;
    if let Ok(seconds) = HeaderValue::from_str(&interval.as_secs_f64().to_string()) {
        headers.insert("x-prometheus-refresh-interval-seconds", seconds);
    }
    access
        .add_headers(&mut headers)
        .await
        .map_err(|e| e.to_string())?;
    let answer = access
        .client
        .get_body(url, &headers, MAX_BYTES, interval.to_std())
        .await
        .map_err(|e| e.to_string())?;
    if answer.status != StatusCode::OK {
        return Err(format!("the server answered {}", answer.status));
    }
    let kind = answer
        .headers
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    if !is_json(kind) {
        return Err(format!("unsupported content type {kind:?}"));
    }
    serde_json::from_slice(&answer.body).map_err(|e| e.to_string())
}

/// `application/json`, with no character set or that of JSON.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    let mut others = parts.filter(|part| !part.is_empty());
    media.eq_ignore_ascii_case("application/json")
        && others.all(|part| {
            let part = part.replace('"', "").to_ascii_lowercase();
            part == "charset=utf-8"
        })
}
