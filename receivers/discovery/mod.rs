//! Discovery: where the targets of a job are (prometheus-receiver 3).
//!
//! Every mechanism pushes whole groups by source; an empty group removes the source. They are put
//! together and published at most every 100 ms, so that a burst of pod events is one update.

pub(crate) mod client;
pub(crate) mod config;
mod dns;
mod dropped;
mod ec2;
mod ecs;
mod file;
mod http_sd;
#[cfg(feature = "kubernetes")]
mod kubernetes;
#[cfg(test)]
mod merge_tests;
mod poll;
pub(crate) mod shown;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::{
    DnsSdConfig, Ec2SdConfig, EcsSdConfig, FileSdConfig, HttpSdConfig, KubernetesSdConfig,
    StaticConfig,
};
use tokio::sync::{mpsc, watch};
use weir_core::{BuildCtx, Stop};

pub(crate) use dropped::DroppedTargets;

/// Labels of one target, `__address__` among them.
pub(crate) type TargetLabels = Vec<(String, String)>;

/// The targets of one source, such as a file or a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Which source, such as `pod/default/web-1`.
    pub(crate) source: String,
    /// Its targets; none removes the source.
    pub(crate) targets: Vec<TargetLabels>,
}

/// The discovery entries of one job.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sources<'a> {
    /// `static_configs`.
    pub(crate) statics: &'a [StaticConfig],
    /// `file_sd_configs`.
    pub(crate) files: &'a [FileSdConfig],
    /// `http_sd_configs`.
    pub(crate) https: &'a [HttpSdConfig],
    /// `kubernetes_sd_configs`.
    pub(crate) kubernetes: &'a [KubernetesSdConfig],
    /// `dns_sd_configs`.
    pub(crate) dns: &'a [DnsSdConfig],
    /// `ec2_sd_configs`.
    pub(crate) ec2: &'a [Ec2SdConfig],
    /// `ecs_sd_configs`.
    pub(crate) ecs: &'a [EcsSdConfig],
    /// Which targets are wanted; all if none.
    pub(crate) keep: Option<&'a Keep>,
}

/// Says whether a target is wanted. What is not is forgotten at once: of thousands of pods that a
/// job's rules drop nothing stays here, but for the few that are shown.
#[derive(Clone)]
pub(crate) struct Keep {
    wanted: Arc<dyn Fn(&TargetLabels) -> bool + Send + Sync>,
    /// Who shows what is not wanted.
    dropped: Option<Arc<DroppedTargets>>,
}

impl Keep {
    /// What is not wanted goes to `dropped`, if somebody is to see it.
    pub(crate) fn new(
        wanted: impl Fn(&TargetLabels) -> bool + Send + Sync + 'static,
        dropped: Option<Arc<DroppedTargets>>,
    ) -> Self {
        let wanted = Arc::new(wanted);
        Self { wanted, dropped }
    }

    /// Leaves what is wanted.
    fn retain(&self, targets: &mut Vec<TargetLabels>) {
        targets.retain(|target| (self.wanted)(target));
    }

    /// Leaves what is wanted of a group, and takes note of the rest.
    fn sort_out(&self, group: &mut Group) {
        let Some(dropped) = &self.dropped else {
            return self.retain(&mut group.targets);
        };
        let all = std::mem::take(&mut group.targets);
        let (wanted, rest) = all.into_iter().partition(|target| (self.wanted)(target));
        group.targets = wanted;
        dropped.set(&group.source, rest);
    }
}

impl std::fmt::Debug for Keep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keep")
    }
}

/// A group of what is wanted of these targets; the rest is noted as dropped.
#[cfg(test)]
pub(crate) fn with_keep(
    source: &str,
    targets: Vec<TargetLabels>,
    wanted: impl Fn(&TargetLabels) -> bool + Send + Sync + 'static,
    dropped: &Arc<DroppedTargets>,
) -> Group {
    let mut group = Group {
        source: source.to_owned(),
        targets,
    };
    Keep::new(wanted, Some(Arc::clone(dropped))).sort_out(&mut group);
    group
}

/// Updates wait so long for others.
const COALESCE: Duration = Duration::from_millis(100);
/// Updates on their way from the mechanisms; they wait when it is full.
const UPDATES: usize = 4;

/// Starts the mechanisms of job `name`. What stands in the configuration is there at once.
pub(crate) fn start(
    sources: &Sources<'_>,
    name: &str,
    cx: &BuildCtx,
    stop: Stop,
) -> watch::Receiver<Arc<Vec<Group>>> {
    let mut statics: BTreeMap<String, Group> = sources
        .statics
        .iter()
        .enumerate()
        .map(static_group)
        .collect();
    if let Some(keep) = sources.keep {
        statics.values_mut().for_each(|group| keep.sort_out(group));
    }
    let (publish, published) = watch::channel(Arc::new(statics.values().cloned().collect()));
    let (updates, received) = mpsc::channel(UPDATES);
    let task = |what: &str| format!("receiver {}: {what} discovery of job {name}", cx.id);
    for (i, config) in sources.files.iter().enumerate() {
        let work = file::run(i, config.clone(), updates.clone(), stop.clone());
        cx.tasks.spawn(&task("file"), work);
    }
    for (i, config) in sources.https.iter().enumerate() {
        let work = http_sd::run(i, config.clone(), cx.clone(), updates.clone(), stop.clone());
        cx.tasks.spawn(&task("http"), work);
    }
    for (i, config) in sources.dns.iter().enumerate() {
        let settings = weir_net::dns::Resolver::of_system;
        let work = dns::run(i, config.clone(), settings, updates.clone(), stop.clone());
        cx.tasks.spawn(&task("dns"), work);
    }
    for (i, config) in sources.ec2.iter().enumerate() {
        let work = ec2::run(i, config.clone(), cx.clone(), updates.clone(), stop.clone());
        cx.tasks.spawn(&task("ec2"), work);
    }
    for (i, config) in sources.ecs.iter().enumerate() {
        let work = ecs::run(i, config.clone(), cx.clone(), updates.clone(), stop.clone());
        cx.tasks.spawn(&task("ecs"), work);
    }
    start_kubernetes(sources, &task("kubernetes"), cx, &updates, &stop);
    // Without mechanisms there is nobody to send, and the task ends at once.
    drop(updates);
    cx.tasks.spawn(
        &task("all"),
        merge(statics, received, publish, stop, sources.keep.cloned()),
    );
    published
}

#[cfg(feature = "kubernetes")]
fn start_kubernetes(
    sources: &Sources<'_>,
    task: &str,
    cx: &BuildCtx,
    updates: &mpsc::Sender<Vec<Group>>,
    stop: &Stop,
) {
    for (i, config) in sources.kubernetes.iter().enumerate() {
        let way = kubernetes::Way {
            updates: updates.clone(),
            // What is dropped and shown must come as far as the one that takes note of it.
            keep: sources.keep.filter(|keep| keep.dropped.is_none()).cloned(),
            stop: stop.clone(),
        };
        let work = kubernetes::run(i, config.clone(), cx.clone(), way);
        cx.tasks.spawn(task, work);
    }
}

#[cfg(not(feature = "kubernetes"))]
fn start_kubernetes(
    sources: &Sources<'_>,
    task: &str,
    _: &BuildCtx,
    _: &mpsc::Sender<Vec<Group>>,
    _: &Stop,
) {
    if !sources.kubernetes.is_empty() {
        tracing::error!(
            "{task}: this build has no Kubernetes support; build it with the feature `kubernetes`"
        );
    }
}

fn static_group((i, config): (usize, &StaticConfig)) -> (String, Group) {
    let target = |address: &String| with_labels(address, &config.labels);
    let source = format!("static/{i}");
    (
        source.clone(),
        Group {
            source,
            targets: config.targets.iter().map(target).collect(),
        },
    )
}

/// Labels of a target: an address given as a label wins.
fn with_labels(address: &str, labels: &BTreeMap<String, String>) -> TargetLabels {
    let mut all = labels.clone();
    all.entry("__address__".to_owned())
        .or_insert_with(|| address.to_owned());
    all.into_iter().collect()
}

async fn merge(
    mut groups: BTreeMap<String, Group>,
    mut updates: mpsc::Receiver<Vec<Group>>,
    publish: watch::Sender<Arc<Vec<Group>>>,
    stop: Stop,
    keep: Option<Keep>,
) {
    let keep = keep.as_ref();
    loop {
        let first = tokio::select! {
            () = stop.stopped() => return,
            update = updates.recv() => update,
        };
        let Some(first) = first else { break };
        let mut changed = apply(&mut groups, first, keep);
        let until = tokio::time::Instant::now() + COALESCE;
        while let Ok(Some(more)) = tokio::time::timeout_at(until, updates.recv()).await {
            changed |= apply(&mut groups, more, keep);
        }
        if changed {
            publish.send_replace(Arc::new(groups.values().cloned().collect()));
        }
    }
    // Keeps the channel open: a closed one would look like the end of the job.
    stop.stopped().await;
}

/// Takes an update; whether that changed anything.
fn apply(groups: &mut BTreeMap<String, Group>, update: Vec<Group>, keep: Option<&Keep>) -> bool {
    let mut changed = false;
    for mut group in update {
        if let Some(keep) = keep {
            keep.sort_out(&mut group);
        }
        changed |= if group.targets.is_empty() {
            groups.remove(&group.source).is_some()
        } else {
            groups.insert(group.source.clone(), group);
            true
        };
    }
    changed
}

/// Groups as files and HTTP servers write them.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenGroup {
    targets: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// Target labels of written groups, each with one more label that tells where they come from.
fn written(groups: Vec<WrittenGroup>, meta: (&str, &str)) -> Vec<TargetLabels> {
    let mut targets = Vec::new();
    for group in groups {
        let mut labels = group.labels;
        labels.insert(meta.0.to_owned(), meta.1.to_owned());
        targets.extend(
            group
                .targets
                .iter()
                .map(|address| with_labels(address, &labels)),
        );
    }
    targets
}

/// Labels of a target of one mechanism, while they are put together.
pub(crate) struct Labels {
    prefix: &'static str,
    labels: TargetLabels,
}

impl Labels {
    /// No labels yet; names get this prefix.
    pub(crate) fn with_prefix(prefix: &'static str) -> Self {
        Self {
            prefix,
            labels: Vec::new(),
        }
    }

    /// Adds a label, unless it is empty.
    pub(crate) fn put(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.labels
                .push((format!("{}{name}", self.prefix), value.to_owned()));
        }
    }

    /// Adds a label that somebody else named, such as a tag.
    pub(crate) fn put_named(&mut self, prefix: &str, name: &str, value: &str) {
        let allowed = |c: char| {
            if c.is_ascii_alphanumeric() { c } else { '_' }
        };
        let name: String = name.chars().map(allowed).collect();
        self.put(&format!("{prefix}{name}"), value);
    }

    /// The labels with the address.
    pub(crate) fn at(mut self, address: String) -> TargetLabels {
        self.labels.push(("__address__".to_owned(), address));
        self.labels
    }
}

/// Host and port; IPv6 addresses get brackets.
pub(crate) fn join(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Appends text in the encoding of forms: a space is `+`.
pub(crate) fn push_form(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
}
