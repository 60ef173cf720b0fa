//! From discovered labels to a target (prometheus-receiver specification, section 2.4).

use std::collections::BTreeMap;
use std::time::Duration;

use http::Uri;
use weir_prom::labels::LabelSet;
use weir_prom::relabel::apply_all;

use super::config::{JobRules, PromDuration};
use super::series::DiscoveredAttributes;
use crate::discovery::push_form;

/// Something to scrape.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Labels of its series.
    pub(crate) labels: LabelSet,
    pub(crate) discovered: DiscoveredAttributes,
    pub(crate) url: Uri,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    /// Equal for equal targets, different for others.
    pub(crate) key: String,
}

/// Why discovered labels make no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("no address: set the label __address__ to host:port")]
    NoAddress,
    #[error("`{0}` is not a valid address: give host:port, the path belongs into __metrics_path__")]
    BadAddress(String),
    #[error("`{1}` in label {0} is not a valid duration: write it as `15s`")]
    BadTime(&'static str, String),
    #[error("scrape timeout {1:?} is greater than scrape interval {0:?}")]
    TimeoutTooLong(Duration, Duration),
    #[error("`{0}` is not a valid URL")]
    BadUrl(String),
}

/// Labels that the target has before relabelling.
pub(super) fn before_relabelling(job: &JobRules, discovered: &[(String, String)]) -> LabelSet {
    let mut labels = LabelSet::new();
    labels.set("job", &job.name);
    labels.set("__scheme__", &job.scheme);
    labels.set("__metrics_path__", &job.path);
    for (name, time) in [("__scrape_interval__", job.interval), ("__scrape_timeout__", job.timeout)] {
        labels.set(name, &String::from(PromDuration::from_std(time)));
    }
    for (name, values) in &job.params {
        labels.set(
            &format!("__param_{name}"),
            values.first().map_or("", |value| value),
        );
    }
    for (name, value) in discovered {
        labels.set(name, value);
    }
    labels
}

impl Target {
    /// Relabels discovered labels; `None` if the target is dropped.
    ///
    /// # Errors
    /// If what is left makes no target.
    pub(crate) fn new(
        job: &JobRules,
        discovered: &[(String, String)],
    ) -> Result<Option<Self>, TargetError> {
        let mut labels = before_relabelling(job, discovered);
        let attributes = DiscoveredAttributes::new(&labels);
        if !apply_all(&job.relabel, &mut labels) {
            return Ok(None);
        }
        let address = labels.get("__address__").to_owned();
        if address.is_empty() {
            return Err(TargetError::NoAddress);
        }
        if address.contains('/') {
            return Err(TargetError::BadAddress(address));
        }
        let interval = time(&labels, "__scrape_interval__")?;
        let timeout = time(&labels, "__scrape_timeout__")?;
        if timeout > interval {
            return Err(TargetError::TimeoutTooLong(interval, timeout));
        }
        let url = url(job, &labels)?;
        if labels.get("instance").is_empty() {
            labels.set("instance", &address);
        }
        labels.retain(|name, _| !name.starts_with("__"));
        if labels.is_empty() {
            return Ok(None);
        }
        let key = format!("{labels} {url} {interval:?} {timeout:?}");
        Ok(Some(Self {
            labels,
            discovered: attributes,
            url,
            interval,
            timeout,
            key,
        }))
    }
}

fn time(labels: &LabelSet, name: &'static str) -> Result<Duration, TargetError> {
    let text = labels.get(name);
    PromDuration::parse(text)
        .filter(|time| !time.is_zero())
        .map(PromDuration::to_std)
        .ok_or_else(|| TargetError::BadTime(name, text.to_owned()))
}

/// Scheme, address, path and query; `__param_x` replaces the first value of `x`.
fn url(job: &JobRules, labels: &LabelSet) -> Result<Uri, TargetError> {
    let mut params: BTreeMap<&str, Vec<&str>> = job
        .params
        .iter()
        .map(|(name, values)| (name.as_str(), values.iter().map(String::as_str).collect()))
        .collect();
    for (label, value) in labels.iter() {
        let Some(name) = label.strip_prefix("__param_") else {
            continue;
        };
        match params.entry(name).or_default().first_mut() {
            Some(first) => *first = value,
            None => {
                params.insert(name, vec![value]);
            }
        }
    }
    let mut path = labels.get("__metrics_path__").to_owned();
    if !path.starts_with('/') {
        path.insert(0, '/');
    }
    // A query in the path goes before the parameters.
    let mut separator = if path.contains('?') { '&' } else { '?' };
    let mut query = String::new();
    for (name, values) in params {
        for value in values {
            query.push(separator);
            separator = '&';
            push_form(&mut query, name);
            query.push('=');
            push_form(&mut query, value);
        }
    }
    let text = format!(
        "{}://{}{path}{query}",
        labels.get("__scheme__"),
        labels.get("__address__")
    );
    Uri::try_from(&text).map_err(|_| TargetError::BadUrl(text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::prometheus::config::{PrometheusConfig, ScrapeConfig};

    fn job(json: &str) -> JobRules {
        let job: ScrapeConfig = serde_json::from_str(json).unwrap();
        let section = PrometheusConfig::default();
        JobRules::new(&section.global, &job, false, Default::default()).unwrap()
    }

    fn discovered(labels: &[(&str, &str)]) -> Vec<(String, String)> {
        labels
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect()
    }

    /// PROM-12, PROM-25 to PROM-27
    #[test]
    fn labels_and_url() {
        let job = job(
            r#"{"job_name":"j","params":{"z":["1","2"],"a":["x y/\u00e9"]},"relabel_configs":[
                {"source_labels":["__meta_zone"],"target_label":"zone"},
                {"target_label":"__param_z","replacement":"9"},
                {"target_label":"__param_new","replacement":"n"},
                {"target_label":"__tmp_x","replacement":"t"}]}"#,
        );
        let labels = discovered(&[("__address__", "h:1"), ("__meta_zone", "eu"), ("own", "1")]);
        let before = before_relabelling(&job, &labels);
        for (name, value) in [
            ("__meta_zone", "eu"),
            ("__param_z", "1"),
            ("__scrape_interval__", "1m"),
            ("__scrape_timeout__", "10s"),
            ("instance", ""),
        ] {
            assert_eq!(before.get(name), value, "{name}");
        }
        let target = Target::new(&job, &labels).unwrap().unwrap();
        assert_eq!(
            target.labels.to_string(),
            r#"{instance="h:1", job="j", own="1", zone="eu"}"#
        );
        assert_eq!(
            target.url,
            "http://h:1/metrics?a=x+y%2F%C3%A9&new=n&z=9&z=2"
        );
        assert_eq!(
            (target.interval.as_secs(), target.timeout.as_secs()),
            (60, 10)
        );
    }

    #[test]
    fn labels_may_set_everything() {
        let job = job(r#"{"job_name":"j"}"#);
        let labels = discovered(&[
            ("__address__", "h:1"),
            ("__scheme__", "https"),
            ("__metrics_path__", "m?x=1"),
            ("__scrape_interval__", "30s"),
            ("__scrape_timeout__", "500ms"),
            ("job", "other"),
            ("instance", "i"),
        ]);
        let target = Target::new(&job, &labels).unwrap().unwrap();
        assert_eq!(target.url, "https://h:1/m?x=1");
        assert_eq!(target.labels.to_string(), r#"{instance="i", job="other"}"#);
        assert_eq!(
            (target.interval.as_secs(), target.timeout.as_millis()),
            (30, 500)
        );
    }

    #[test]
    fn what_is_no_target() {
        let plain = job(r#"{"job_name":"j"}"#);
        for (labels, message) in [
            (vec![], "no address"),
            (vec![("__address__", "h/x")], "not a valid address"),
            (
                vec![("__address__", "h:1"), ("__scrape_interval__", "5")],
                "__scrape_interval__",
            ),
            (
                vec![("__address__", "h:1"), ("__scrape_timeout__", "2m")],
                "greater than",
            ),
            (vec![("__address__", "h h")], "not a valid URL"),
        ] {
            let error = Target::new(&plain, &discovered(&labels))
                .unwrap_err()
                .to_string();
            assert!(error.contains(message), "{error}");
        }
        let dropping = job(
            r#"{"job_name":"j","relabel_configs":[{"action":"drop","source_labels":["job"],"regex":"j"}]}"#,
        );
        assert!(
            Target::new(&dropping, &discovered(&[("__address__", "h:1")]))
                .unwrap()
                .is_none()
        );
    }
}
