//! Client of the target allocator of the OpenTelemetry operator (prometheus-receiver
//! specification, section 3.3): jobs come from it, and each job asks it for its share of targets.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use http::{HeaderMap, StatusCode, Uri};
use tracing::{info, warn};
use weir_config::{Environment, Errors, Loose, Origin, ProcessEnvironment, Source, decode, parse_yaml};
use weir_core::{Fatal, Stop};
use weir_net::{ClientContext, HttpClient};

use super::config::{Global, ScrapeConfig, TargetAllocatorConfig, check_jobs};
use super::jobs::{Jobs, RunningJob};
use crate::discovery::client::{HttpClientBlock, TlsConfig};
use crate::discovery::config::HttpSdConfig;
use crate::discovery::push_form;

/// Answers above this size are refused.
const MAX_BYTES: usize = 16 << 20;
/// A request takes no longer, unless `timeout` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);
/// While there is no first answer: the shortest and the longest wait between two requests.
const FIRST_WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Follows the jobs of the allocator.
pub(super) struct Allocator {
    config: TargetAllocatorConfig,
    client: HttpClient,
    url: Uri,
    jobs: Jobs,
    /// Names of the jobs of the configuration; they stay what they are.
    taken: HashSet<String>,
    running: HashMap<String, (ScrapeConfig, RunningJob)>,
    /// The last answer that was applied.
    applied: Option<Vec<u8>>,
}

impl Allocator {
    /// # Errors
    /// If the endpoint, a certificate or the proxy cannot be used.
    pub(super) fn new(
        config: TargetAllocatorConfig,
        taken: HashSet<String>,
        jobs: Jobs,
    ) -> Result<Self, Fatal> {
        let wrong = |why: String| Fatal(format!("target_allocator: {why}"));
        let auth = config.auth.as_ref().and_then(|auth| auth.authenticator.as_ref());
        let auth = auth.map(|id| jobs.cx.extensions.client_auth(id)).transpose();
        let context = ClientContext {
            auth: auth.map_err(|error| wrong(error.0))?,
            user_agent: jobs.cx.build_info.user_agent(),
        };
        let options = config.http_client().options(context);
        let client = options.and_then(HttpClient::new);
        let url = format!("{}/scrape_configs", config.endpoint.trim_end_matches('/'));
        Ok(Self {
            client: client.map_err(|error| wrong(error.to_string()))?,
            url: url.parse().map_err(|_| wrong(format!("`{url}` is not a URL")))?,
            config,
            jobs,
            taken,
            running: HashMap::new(),
            applied: None,
        })
    }

    /// Asks until `stop`. What was applied stays while there is no answer.
    pub(super) async fn run(mut self, stop: Stop) {
        let mut wait = FIRST_WAITS.0;
        loop {
            let answer = tokio::select! {
                () = stop.stopped() => return,
                answer = self.ask() => answer,
            };
            match answer.and_then(|body| self.apply(body)) {
                Ok(()) => {}
                Err(why) => warn!(
                    endpoint = self.config.endpoint,
                    "the target allocator gave no usable jobs, the old ones stay: {why}"
                ),
            }
            let next = if self.applied.is_some() {
                self.config.interval.to_std()
            } else {
                wait
            };
            wait = (wait * 2).min(FIRST_WAITS.1);
            tokio::select! {
                () = stop.stopped() => return,
                () = tokio::time::sleep(next) => {}
            }
        }
    }

    async fn ask(&self) -> Result<Vec<u8>, String> {
        let timeout = Some(self.config.timeout.to_std()).filter(|time| !time.is_zero());
        let answer = self
            .client
            .get_body(&self.url, &HeaderMap::new(), MAX_BYTES, timeout.unwrap_or(TIMEOUT))
            .await
            .map_err(|error| error.to_string())?;
        if answer.status != StatusCode::OK {
            return Err(format!("HTTP status {}", answer.status));
        }
        Ok(answer.body.to_vec())
    }

    /// Starts and ends jobs so that they are those of an answer. An answer is taken whole or not.
    fn apply(&mut self, body: Vec<u8>) -> Result<(), String> {
        if self.applied.as_ref() == Some(&body) {
            return Ok(());
        }
        let text = std::str::from_utf8(&body).map_err(|error| error.to_string())?;
        let shard = ProcessEnvironment.get("SHARD").filter(|shard| !shard.is_empty());
        let shard = shard.unwrap_or_else(|| "0".to_owned());
        let mut wanted = read(&text.replace("$(SHARD)", &shard), &self.jobs.global)?;
        for (name, job) in &mut wanted {
            if self.taken.contains(&job.job_name) {
                return Err(format!("job `{}` is configured here as well", job.job_name));
            }
            self.redirect(name, job);
        }
        let other = |name: &String, had: &(ScrapeConfig, RunningJob)| wanted.get(name) != Some(&had.0);
        let mut ending: HashMap<_, _> = self.running.extract_if(|name, had| other(name, had)).collect();
        let mut failed = Vec::new();
        for (name, config) in wanted {
            if self.running.contains_key(&name) {
                continue;
            }
            match self.jobs.start(&config) {
                Ok(job) => {
                    if let Some((_, before)) = ending.remove(&name) {
                        before.end(Some(&job));
                    }
                    self.running.insert(name, (config, job));
                }
                Err(Fatal(why)) => failed.push(why),
            }
        }
        for (_, job) in ending.values() {
            job.end(None);
        }
        info!(jobs = self.running.len(), "jobs of the target allocator applied");
        self.applied = Some(body);
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed.join("; "))
        }
    }

    /// Discovery of a job goes to the allocator in place of its own mechanisms.
    fn redirect(&self, name: &str, job: &mut ScrapeConfig) {
        let mut query = String::new();
        push_form(&mut query, name);
        let base = self.config.endpoint.trim_end_matches('/');
        let url = format!("{base}/jobs/{query}/targets?collector_id={}", self.config.collector_id);
        let mut http = self.config.http_sd_config.clone().unwrap_or_else(|| HttpSdConfig {
            refresh_interval: weir_config::Duration::from_secs(30),
            ..HttpSdConfig::default()
        });
        http.url = url;
        http.follow_redirects = false;
        http.proxy_url.clone_from(&self.config.proxy_url);
        let tls = &self.config.tls;
        http.tls_config = TlsConfig {
            ca: tls.ca_pem.clone(),
            ca_file: tls.ca_file.clone(),
            cert: tls.cert_pem.clone(),
            cert_file: tls.cert_file.clone(),
            key: tls.key_pem.clone(),
            key_file: tls.key_file.clone(),
            server_name: tls.server_name_override.clone(),
            insecure_skip_verify: tls.insecure_skip_verify,
            min_version: prometheus_version(&tls.min_version),
            max_version: prometheus_version(&tls.max_version),
        };
        job.take_discovery(http);
        if let Some(client) = &self.config.http_scrape_config {
            job.set_client(&client.client());
        }
    }
}

/// `1.2` in the notation of Prometheus.
fn prometheus_version(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("TLS{}", text.replace('.', ""))
    }
}

/// The jobs of an answer by the name under which it has them.
fn read(text: &str, global: &Global) -> Result<BTreeMap<String, ScrapeConfig>, String> {
    let shown = |found: Vec<weir_config::Diagnostic>| {
        let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
        texts.join("; ")
    };
    let source = Source::new("scrape_configs", text, Origin::Document);
    let node = parse_yaml(&source).map_err(|error| error.to_string())?;
    let Loose(jobs) = decode::<Loose<BTreeMap<String, ScrapeConfig>>>(&node, "").map_err(shown)?;
    let all: Vec<ScrapeConfig> = jobs.values().cloned().collect();
    let mut errors = Errors::default();
    check_jobs(global, &all, &mut errors);
    let mut found = errors.resolve(&node, "");
    found.retain(weir_config::Diagnostic::is_error);
    if found.is_empty() { Ok(jobs) } else { Err(shown(found)) }
}

impl ScrapeConfig {
    /// Replaces all discovery mechanisms by this one.
    fn take_discovery(&mut self, http: HttpSdConfig) {
        let none = Self::default();
        self.static_configs = none.static_configs;
        self.file_sd_configs = none.file_sd_configs;
        self.kubernetes_sd_configs = none.kubernetes_sd_configs;
        self.dns_sd_configs = none.dns_sd_configs;
        self.ec2_sd_configs = none.ec2_sd_configs;
        self.ecs_sd_configs = none.ecs_sd_configs;
        self.http_sd_configs = vec![http];
    }

    /// Replaces the keys of the HTTP client.
    fn set_client(&mut self, block: &HttpClientBlock) {
        self.basic_auth.clone_from(&block.basic_auth);
        self.authorization.clone_from(&block.authorization);
        self.bearer_token.clone_from(&block.bearer_token);
        self.bearer_token_file.clone_from(&block.bearer_token_file);
        self.oauth2.clone_from(&block.oauth2);
        self.tls_config.clone_from(&block.tls);
        self.follow_redirects = block.follow_redirects;
        self.enable_http2 = block.enable_http2;
        self.proxy_url.clone_from(&block.proxy_url);
        self.no_proxy.clone_from(&block.no_proxy);
        self.proxy_from_environment = block.proxy_from_environment;
        self.proxy_connect_header.clone_from(&block.proxy_connect_header);
        self.http_headers.clone_from(&block.headers);
    }
}
