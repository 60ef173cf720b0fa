//! `dns_sd_configs`: targets from DNS records.

use tokio::sync::mpsc;
use tracing::warn;
use weir_core::Stop;
use weir_net::dns::{DnsError, Record, RecordKind, Resolver};

use super::config::DnsSdConfig;
use super::{Group, TargetLabels};

/// Where the settings come from: they are read for each look-up, as the reference does.
pub(super) type Settings = fn() -> Result<Resolver, DnsError>;

/// Looks the names up every `refresh_interval` until `stop`; on an error the old targets stay.
pub(super) async fn run(
    at: usize,
    config: DnsSdConfig,
    settings: Settings,
    updates: mpsc::Sender<Vec<Group>>,
    stop: Stop,
) {
    // Validation has refused other kinds.
    let kind = config.record_kind().unwrap_or(RecordKind::Srv);
    let mut interval = tokio::time::interval(config.refresh_interval.to_std());
    loop {
        tokio::select! {
            () = stop.stopped() => return,
            _ = interval.tick() => {}
        }
        for name in &config.names {
            let found = match settings() {
                Ok(resolver) => resolver.records(name, kind).await,
                Err(error) => Err(error),
            };
            let records = match found {
                Ok(records) => records,
                Err(error) => {
                    warn!(name, "DNS discovery failed, the old targets stay: {error}");
                    continue;
                }
            };
            let group = Group {
                source: format!("dns/{at}/{name}"),
                targets: records
                    .iter()
                    .map(|record| target(name, record, config.port))
                    .collect(),
            };
            if updates.send(vec![group]).await.is_err() {
                return;
            }
        }
    }
}

fn target(name: &str, record: &Record, port: u16) -> TargetLabels {
    let mut labels = vec![("__meta_dns_name".to_owned(), name.to_owned())];
    let mut put = |label: &str, value: String| labels.push((format!("__meta_dns_{label}"), value));
    let (host, port) = match record {
        Record::Srv(host, port) => {
            put("srv_record_target", host.clone());
            put("srv_record_port", port.to_string());
            (host.trim_end_matches('.').to_owned(), *port)
        }
        Record::Address(address) => (address.to_string(), port),
        Record::Mx(host) => {
            put("mx_record_target", host.clone());
            (host.trim_end_matches('.').to_owned(), port)
        }
        Record::Ns(host) => {
            put("ns_record_target", host.clone());
            (host.trim_end_matches('.').to_owned(), port)
        }
    };
    labels.push(("__address__".to_owned(), super::join(&host, port)));
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PROM-30
    #[test]
    fn labels_of_every_kind_of_record() {
        let text = |record: Record| {
            let mut labels = target("n", &record, 9100);
            labels.sort();
            let pairs = labels.iter().map(|(name, value)| format!("{name}={value}"));
            pairs
                .collect::<Vec<_>>()
                .join(" ")
                .replace("__meta_dns_", "")
        };
        for (record, expected) in [
            (
                Record::Srv("h.example.".into(), 81),
                "__address__=h.example:81 name=n srv_record_port=81 srv_record_target=h.example.",
            ),
            (
                Record::Address([10, 0, 0, 1].into()),
                "__address__=10.0.0.1:9100 name=n",
            ),
            (
                Record::Address(std::net::Ipv6Addr::LOCALHOST.into()),
                "__address__=[::1]:9100 name=n",
            ),
            (
                Record::Mx("m.example.".into()),
                "__address__=m.example:9100 mx_record_target=m.example. name=n",
            ),
            (
                Record::Ns("s.example.".into()),
                "__address__=s.example:9100 name=n ns_record_target=s.example.",
            ),
        ] {
            assert_eq!(text(record), expected);
        }
    }

    /// The targets of a name stay when it cannot be looked up, and vanish when it has no records.
    #[tokio::test(start_paused = true)]
    async fn targets_stay_when_nobody_can_say_that_a_name_is_gone() {
        fn nobody() -> Result<Resolver, DnsError> {
            Err(DnsError::Settings {
                path: "p".into(),
                why: "w".into(),
            })
        }
        let config = DnsSdConfig {
            names: vec!["n".into()],
            ..DnsSdConfig::default()
        };
        let (updates, mut received) = mpsc::channel(1);
        let stop = Stop::default();
        let tasks = weir_core::Tasks::default();
        tasks.spawn("dns", run(0, config, nobody, updates, stop.clone()));
        let waiting = tokio::time::timeout(std::time::Duration::from_secs(120), received.recv());
        assert!(waiting.await.is_err(), "no update");
        stop.stop(weir_core::Deadline::after(std::time::Duration::ZERO));
        assert_eq!(received.recv().await, None);
    }
}
