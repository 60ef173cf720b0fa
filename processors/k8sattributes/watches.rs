//! The objects besides pods, and what is read from them together with a pod (processors 1.4, 1.5).

use std::collections::BTreeMap;

use jiff::Timestamp;
use weir_kube::{Changes, Cluster, Metadata, Owner, PackedPod, Pod, Query, Resource, Watch, key};

use super::config::{Condition, Config, From};
use super::rules::Rules;

/// Label of pods: the last part of their replica set's name.
const HASH_LABEL: &str = "pod-template-hash";
/// The namespace whose uid stands for the cluster.
const SYSTEM_NAMESPACE: &str = "kube-system";
/// Digits at the end of a job's name: minutes since 1970.
const STAMP_DIGITS: usize = 8;
/// So far may the stamp be from the time of the pod.
const STAMP_TOLERANCE_SECONDS: i64 = 86_400;

/// Watches by what they are for.
pub(super) struct Watches {
    pub(super) pods: Watch<PackedPod>,
    others: BTreeMap<From, Watch<Metadata>>,
    replica_sets: Option<Watch<Metadata>>,
    system: Option<Watch<Metadata>>,
}

impl Watches {
    /// Begins what the configuration needs, and nothing else.
    pub(super) fn begin(cluster: &std::sync::Arc<Cluster>, config: &Config, rules: &Rules) -> Self {
        let filter = &config.filter;
        let node = filter.node();
        let terms = |terms: &[Condition]| {
            let terms: Vec<String> = terms.iter().map(Condition::term).collect();
            terms.join(",")
        };
        let mut fields = terms(&filter.fields);
        if !node.is_empty() {
            let comma = if fields.is_empty() { "" } else { "," };
            fields = format!("spec.nodeName={node}{comma}{fields}");
        }
        let namespace = Some(filter.namespace.clone()).filter(|name| !name.is_empty());
        let here = Query { namespace: namespace.clone(), ..Query::default() };
        let pods = Query { fields, labels: terms(&filter.labels), ..here.clone() };
        let named = |name: &str| Query {
            fields: if name.is_empty() { String::new() } else { format!("metadata.name={name}") },
            ..Query::default()
        };
        let mut others = BTreeMap::new();
        let mut watch = |from, wanted: bool, resource, query: &Query| {
            if wanted || rules.reads(from) {
                others.insert(from, cluster.watch(resource, query));
            }
        };
        let one = named(namespace.as_deref().unwrap_or_default());
        watch(From::Namespace, false, Resource::Namespace, &one);
        watch(From::Node, rules.wants("k8s.node.uid"), Resource::Node, &named(&node));
        watch(From::Deployment, false, Resource::Deployment, &here);
        watch(From::StatefulSet, false, Resource::StatefulSet, &here);
        watch(From::DaemonSet, false, Resource::DaemonSet, &here);
        watch(From::Job, rules.wants("k8s.cronjob.uid"), Resource::Job, &here);
        let named_by_object = !rules.derive_deployment
            && rules.wants_any(&["k8s.deployment.name", "service.name"]);
        let replica_sets = rules.wants("k8s.deployment.uid")
            || rules.reads(From::Deployment)
            || named_by_object;
        Self {
            pods: cluster.watch(Resource::Pod, &pods),
            others,
            replica_sets: replica_sets.then(|| cluster.watch(Resource::ReplicaSet, &here)),
            system: rules
                .wants("k8s.cluster.uid")
                .then(|| cluster.watch(Resource::Namespace, &named(SYSTEM_NAMESPACE))),
        }
    }

    /// Objects besides pods, with the name that their metrics have.
    pub(super) fn others(&self) -> Vec<(Option<&'static str>, &Watch<Metadata>)> {
        let mut all: Vec<(Option<&'static str>, &Watch<Metadata>)> = Vec::new();
        for (from, watch) in &self.others {
            let counted = match from {
                From::Namespace => Some("namespace"),
                From::Node => Some("node"),
                From::Deployment => Some("deployment"),
                From::StatefulSet => Some("statefulset"),
                From::DaemonSet => Some("daemonset"),
                From::Job => Some("job"),
                From::Pod => None,
            };
            all.push((counted, watch));
        }
        all.extend(self.replica_sets.as_ref().map(|watch| (Some("replicaset"), watch)));
        all.extend(self.system.as_ref().map(|watch| (None, watch)));
        all
    }

    /// Changes of pods, then those of the others.
    pub(super) fn changes(&self) -> Vec<Changes> {
        let mut changes = vec![self.pods.changes()];
        changes.extend(self.others().iter().map(|(_, watch)| watch.changes()));
        changes
    }

    /// What keeps the first listing from being complete.
    pub(super) fn missing(&self) -> Vec<String> {
        let failure = |listed: bool, failure: Option<String>| {
            (!listed).then(|| failure.unwrap_or_else(|| "no answer yet".to_owned()))
        };
        let mut missing = Vec::new();
        missing.extend(failure(self.pods.is_listed(), self.pods.failure()));
        for (_, watch) in self.others() {
            missing.extend(failure(watch.is_listed(), watch.failure()));
        }
        missing
    }

    /// An object by its name.
    pub(super) fn named(&self, from: From, namespace: &str, name: &str) -> Option<Found> {
        self.others.get(&from)?.get(&key(namespace, name))
    }

    /// An object by its uid; looked for where no pod says its name.
    pub(super) fn with_uid(&self, from: From, uid: &str) -> Option<Found> {
        self.others.get(&from)?.find(|object| object.uid == uid)
    }

    pub(super) fn cluster_uid(&self) -> Option<String> {
        let system = self.system.as_ref()?.get(&key("", SYSTEM_NAMESPACE))?;
        Some(system.uid.clone())
    }

    /// The deployment that stands behind a replica set, as that says.
    fn deployment(&self, namespace: &str, replica_set: &Owner) -> Option<Owner> {
        let found = self.replica_sets.as_ref()?.get(&key(namespace, &replica_set.name))?;
        found.owner("Deployment").cloned()
    }

    /// The deployment of a pod, by the object or by the names; without a uid in the latter case.
    pub(super) fn deployment_of(
        &self,
        pod: &Pod,
        replica_set: &Owner,
        rules: &Rules,
    ) -> Option<Owner> {
        let metadata = &pod.metadata;
        if let Some(found) = self.deployment(&metadata.namespace, replica_set) {
            return Some(found);
        }
        let hash = metadata.labels.get(HASH_LABEL).filter(|_| rules.derive_deployment)?;
        let name = replica_set.name.strip_suffix(hash.as_str())?.strip_suffix('-')?;
        Some(Owner {
            kind: "Deployment".to_owned(),
            name: name.to_owned(),
            ..Owner::default()
        })
        .filter(|owner| !owner.name.is_empty() && !hash.is_empty())
    }

    /// The cron job of a pod, by the job or by its name; without a uid in the latter case.
    pub(super) fn cron_job_of(&self, pod: &Pod, job: &Owner) -> Option<Owner> {
        let found = self.named(From::Job, &pod.metadata.namespace, &job.name);
        if let Some(owner) = found.and_then(|job| job.owner("CronJob").cloned()) {
            return Some(owner);
        }
        Some(Owner {
            kind: "CronJob".to_owned(),
            name: cron_job_name(&job.name, &pod.created)?.to_owned(),
            ..Owner::default()
        })
    }
}

/// An object that was found.
pub(super) type Found = std::sync::Arc<Metadata>;

/// The cron job in the name of a job: its end must be a minute near the time of the pod.
fn cron_job_name<'a>(job: &'a str, created: &str) -> Option<&'a str> {
    let (name, stamp) = job.rsplit_once('-')?;
    let digits = stamp.len() == STAMP_DIGITS && stamp.bytes().all(|byte| byte.is_ascii_digit());
    let minute: i64 = stamp.parse().ok().filter(|_| digits && !name.is_empty())?;
    let created = created.parse::<Timestamp>().ok()?.as_second();
    ((minute * 60 - created).abs() <= STAMP_TOLERANCE_SECONDS).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cron_job_is_found_by_the_minute_at_the_end_of_its_jobs_name() {
        let name = |job| cron_job_name(job, "2024-05-01T10:00:30Z");
        assert_eq!(name("nightly-28575960"), Some("nightly"));
        assert_eq!(name("a-b-28575960"), Some("a-b"));
        // another day, other digits, no digits
        assert_eq!(name("nightly-28500000"), None);
        assert_eq!(name("nightly-2857596"), None);
        assert_eq!(name("nightly-2857596x"), None);
        assert_eq!(name("-28575960"), None);
    }
}
