//! The page `/api/v1/status/config`: the configuration as it holds, as YAML, without secrets.

use serde_json::Value;

use crate::discovery::shown::{hide, leave_out, leave_out_unset, prune, yaml};
use crate::prometheus::config::{Global, ScrapeConfig};

/// Keys that are shown whatever their value is, if they have one.
const ALWAYS: [&str; 10] = [
    "always_scrape_classic_histograms",
    "convert_classic_histograms_to_nhcb",
    "enable_compression",
    "enable_http2",
    "extra_scrape_metrics",
    "fallback_scrape_protocol",
    "follow_redirects",
    "honor_timestamps",
    "scrape_native_histograms",
    "track_timestamps_staleness",
];

/// Keys under which everything is shown, also what is empty: it has a meaning there.
const WHOLE: [&str; 6] = [
    "external_labels",
    "labels",
    "metric_relabel_configs",
    "params",
    "relabel_configs",
    "values",
];

/// The section `global`.
pub(super) fn global(global: &Global) -> String {
    let mut value = serde_json::to_value(global).unwrap_or_default();
    set_times(&mut value, global, &ScrapeConfig::default());
    hide(&mut value);
    prune(&mut value, &ALWAYS, &WHOLE);
    let mut text = String::from("global:\n");
    yaml::block(&value, 2, true, &mut text);
    text
}

/// A job's entry in `scrape_configs`.
pub(super) fn job(global: &Global, job: &ScrapeConfig) -> String {
    let mut value = serde_json::to_value(job).unwrap_or_default();
    set_times(&mut value, global, job);
    leave_out_unset(&mut value, "", &job.client());
    for (i, one) in job.http_sd_configs.iter().enumerate() {
        leave_out_unset(&mut value, &format!("/http_sd_configs/{i}"), &one.client());
    }
    for (i, one) in job.kubernetes_sd_configs.iter().enumerate() {
        leave_out_unset(&mut value, &format!("/kubernetes_sd_configs/{i}"), &one.client());
    }
    let ec2 = job.ec2_sd_configs.iter().map(|one| (one.client(), &one.secret_key));
    let ecs = job.ecs_sd_configs.iter().map(|one| (one.client(), &one.secret_key));
    let places = ec2.enumerate().map(|(i, one)| (format!("/ec2_sd_configs/{i}"), one));
    let places = places.chain(ecs.enumerate().map(|(i, one)| (format!("/ecs_sd_configs/{i}"), one)));
    for (at, (client, secret_key)) in places {
        leave_out_unset(&mut value, &at, &client);
        leave_out(&mut value, &at, "/secret_key", secret_key.expose());
    }
    hide(&mut value);
    prune(&mut value, &ALWAYS, &WHOLE);
    let mut text = String::new();
    yaml::block(&Value::Array(vec![value]), 0, true, &mut text);
    text
}

/// The times that hold, be they written or not.
fn set_times(value: &mut Value, global: &Global, job: &ScrapeConfig) {
    let (interval, timeout) = global.times(job);
    if let Value::Object(map) = value {
        map.insert("scrape_interval".to_owned(), String::from(interval).into());
        map.insert("scrape_timeout".to_owned(), String::from(timeout).into());
    }
}
