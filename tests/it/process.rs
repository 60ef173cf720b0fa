//! A running program and what tests send it.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri};
use weir_net::{HttpClient, HttpClientOptions, HttpResponse};

/// Keys of the tests; the mocks compute signatures from them.
pub(crate) const SECRET: &str = "test-secret-access-key";

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The program; killed when dropped.
pub(crate) struct Weir {
    child: Child,
    folder: tempfile::TempDir,
}

impl Weir {
    /// Starts the program with a configuration and waits until its health page on `health` says
    /// that it is ready.
    pub(crate) async fn start(config: &str, health: u16) -> Weir {
        Self::start_with(config, health, &[]).await
    }

    /// The same, with more environment variables.
    pub(crate) async fn start_with(config: &str, health: u16, variables: &[(&str, &str)]) -> Weir {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["--config", file.to_str().unwrap()])
            .env_clear()
            .env("AWS_ACCESS_KEY_ID", "AKIDTEST")
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("HOME", folder.path())
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut weir = Weir { child, folder };
        for _ in 0..300 {
            if let Some(status) = weir.child.try_wait().unwrap() {
                panic!("ended with {status} before it was ready:\n{}", weir.log());
            }
            if let Ok(answer) = get(&format!("http://127.0.0.1:{health}/")).await
                && answer.status == 200
            {
                return weir;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not ready after 15 s:\n{}", weir.log());
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Memory in use, bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the end.
    pub(crate) async fn ended(mut self, limit: Duration) -> ExitStatus {
        let polls = limit.as_millis() / 20;
        for _ in 0..polls {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("still running after {limit:?}:\n{}", self.log());
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill and nothing to wait for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn client() -> HttpClient {
    let options = HttpClientOptions {
        timeout: Some(Duration::from_secs(10)),
        ..HttpClientOptions::default()
    };
    HttpClient::new(options).unwrap()
}

/// GET.
pub(crate) async fn get(url: &str) -> Result<HttpResponse, weir_net::NetError> {
    let uri = Uri::try_from(url).unwrap();
    client()
        .send(Method::GET, &uri, &HeaderMap::new(), Bytes::new())
        .await
}

/// The sum of those of the program's own metrics on a port that begin so and have all these texts.
pub(crate) async fn own_metric(port: u16, name: &str, having: &[&str]) -> f64 {
    let page = get(&format!("http://127.0.0.1:{port}/metrics")).await;
    let page = String::from_utf8(page.unwrap().body.to_vec()).unwrap();
    page.lines()
        .filter(|line| line.starts_with(name) && having.iter().all(|text| line.contains(text)))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

/// POST of OTLP/JSON.
pub(crate) async fn post_json(url: &str, body: String) -> Result<HttpResponse, weir_net::NetError> {
    let mut headers = HeaderMap::new();
    headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    client()
        .send(
            Method::POST,
            &Uri::try_from(url).unwrap(),
            &headers,
            body.into(),
        )
        .await
}

/// Now, Unix nanoseconds; the tests run on the real clock.
#[allow(clippy::disallowed_methods, reason = "input of a real program")]
pub(crate) fn now_ns() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    u64::try_from(now.as_nanos()).unwrap()
}
