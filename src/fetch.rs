//! `http:` and `https:` configuration sources.

use std::time::Duration;

use http::{HeaderMap, Uri};
use weir_config::Fetch;
use weir_net::{HttpClient, HttpClientOptions};

/// Largest configuration text.
const MAX_BYTES: usize = 16 << 20;
/// How long a source may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Reads configuration texts over HTTP.
pub struct Http;

impl Fetch for Http {
    fn schemes(&self) -> &[&'static str] {
        &["http", "https"]
    }

    fn fetch(&self, location: &str) -> Result<String, String> {
        let location = location.to_owned();
        // A thread and a runtime of its own: configurations are read before the program's runtime
        // starts, and at a reload from inside of it.
        let reader = std::thread::spawn(move || {
            weir_net::install_default_provider();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.map_err(|e| e.to_string())?.block_on(get(&location))
        });
        reader
            .join()
            .unwrap_or_else(|_| Err("reading the source failed".to_owned()))
    }
}

async fn get(location: &str) -> Result<String, String> {
    let uri = Uri::try_from(location).map_err(|e| e.to_string())?;
    let client = HttpClient::new(HttpClientOptions::default()).map_err(|e| e.to_string())?;
    let answer = client
        .get_body(&uri, &HeaderMap::new(), MAX_BYTES, TIMEOUT)
        .await
        .map_err(|e| e.to_string())?;
    if answer.status != http::StatusCode::OK {
        return Err(format!("the server answered {}", answer.status));
    }
    String::from_utf8(answer.body.to_vec()).map_err(|_| "the answer is not UTF-8".to_owned())
}
