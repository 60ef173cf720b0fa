//! Annotations and metadata: what is left of a span's attributes, and the resource's.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value as Json;
use weir_model::ValueRef;

use crate::json::{DocumentWriter, member};
use crate::keys::{Entry, Key, KeySet, METADATA_PREFIX, RESOURCE_PREFIX, Scan};
use crate::resource::ResourceView;
use crate::segment::{NOT_OF_SERVICE, Settings};

/// Whether a value can be an annotation.
pub(crate) fn is_scalar(value: ValueRef<'_>) -> bool {
    matches!(
        value,
        ValueRef::Str(_) | ValueRef::Int(_) | ValueRef::Double(_) | ValueRef::Bool(_)
    )
}

/// A name with the characters annotations may have (XR-41).
pub(crate) fn annotation_key(name: &str, allow_dot: bool) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || (c == '.' && allow_dot);
    if name.chars().all(fits) {
        return name.into();
    }
    name.chars()
        .map(|c| if fits(c) { c } else { '_' })
        .collect::<String>()
        .into()
}

/// Which attributes are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'r> {
    /// The resource, if its attributes belong here (XR-43).
    pub resource: Option<&'r ResourceView>,
    /// Attributes that other members took.
    pub taken: KeySet,
    /// The service half: only metadata of the resource is kept.
    pub service_half: bool,
}

/// The value of an annotation or a metadata entry.
#[derive(Clone, Copy, Debug)]
enum Source<'s> {
    Value(ValueRef<'s>),
    /// Part of a namespace that came as JSON text.
    Json(&'s Json),
    /// A value that is already written.
    Fragment(&'s [u8]),
    /// All the resource's members, already written.
    Members(&'s [u8]),
}

/// Room for one span's entries, used again for the next span.
type Entries<'s> = Vec<(Cow<'s, str>, Source<'s>)>;

/// Writes both members.
pub(crate) fn write<'s>(
    w: &mut DocumentWriter<'_>,
    scan: &'s Scan<'_>,
    view: View<'s>,
    settings: &'s Settings,
) {
    let listed = listed_keys(scan, view.taken);
    let parts = Parts {
        scan,
        view,
        settings,
        listed: &listed,
    };
    parts.write_annotations(w);
    if w.detail.metadata {
        parts.write_metadata(w);
    }
}

/// Keys that the span itself wants as annotations: the texts of a list `aws.xray.annotations`, sorted.
fn listed_keys<'a>(scan: &Scan<'a>, taken: KeySet) -> Vec<&'a str> {
    match scan.get(Key::AwsXrayAnnotations) {
        Some(ValueRef::List(list)) if taken.has(Key::AwsXrayAnnotations) => {
            let mut keys: Vec<&str> = list.iter().filter_map(|item| item.as_str()).collect();
            keys.sort_unstable();
            keys
        }
        _ => Vec::new(),
    }
}

struct Parts<'s, 'a> {
    scan: &'s Scan<'a>,
    view: View<'s>,
    settings: &'s Settings,
    listed: &'s [&'s str],
}

impl<'s> Parts<'s, '_> {
    /// Whether the span's own list changes what becomes of the resource's attributes.
    fn lists_resource(&self) -> bool {
        !self.settings.index_all
            && self
                .listed
                .iter()
                .any(|key| key.starts_with(RESOURCE_PREFIX))
    }

    fn is_indexed(&self, name: &str) -> bool {
        self.settings.indexes(name) || self.listed.binary_search(&name).is_ok()
    }

    /// Attributes of the span that are left, and those the configuration brings back (XR-39).
    fn left(&self) -> impl Iterator<Item = &Entry<'_>> {
        self.scan.entries().iter().filter(|entry| match entry.key {
            Some(key) if self.view.taken.has(key) => {
                !NEVER_BACK.has(key) && self.settings.is_named(entry.name)
            }
            _ => true,
        })
    }

    fn write_annotations(&self, w: &mut DocumentWriter<'_>) {
        let mut entries: Entries<'_> = Vec::new();
        if let Some(resource) = self.view.resource {
            if self.lists_resource() {
                for (key, value) in resource.attributes().iter() {
                    let name = format!("{RESOURCE_PREFIX}{key}");
                    if is_scalar(value) && self.is_indexed(&name) {
                        let key = annotation_key(&name, self.settings.allow_dot).into_owned();
                        entries.push((key.into(), Source::Value(value)));
                    }
                }
            } else {
                entries.extend(
                    resource
                        .annotations()
                        .map(|(key, fragment)| (key.into(), Source::Fragment(fragment))),
                );
            }
        }
        if self.settings.indexes_any() || !self.listed.is_empty() {
            for entry in self.left() {
                let has_key = !(self.settings.strict && entry.name.is_empty());
                if has_key && is_scalar(entry.value) && self.is_indexed(entry.name) {
                    let key = annotation_key(entry.name, self.settings.allow_dot);
                    entries.push((key, Source::Value(entry.value)));
                }
            }
        }
        let before = w.mark();
        w.raw(concat!(member!("annotations"), "{"));
        let first = w.mark();
        write_entries(w, entries);
        if w.wrote_since(first) {
            w.close_object();
        } else {
            w.rewind(before);
        }
    }

    fn write_metadata(&self, w: &mut DocumentWriter<'_>) {
        let namespaces = if self.scan.has_namespaces && !self.settings.index_all {
            self.namespaces()
        } else {
            BTreeMap::new()
        };
        let mut entries: Entries<'_> = Vec::with_capacity(self.scan.entries().len() + 1);
        self.default_entries(&mut entries, &namespaces);
        if entries.is_empty() && namespaces.keys().all(|key| is_default(key)) {
            return;
        }
        let before = w.mark();
        w.raw(concat!(member!("metadata"), "{"));
        let first = w.mark();
        let mut entries = Some(entries);
        for (name, members) in &namespaces {
            if *name > "default" {
                self.write_default(w, entries.take());
            }
            if is_default(name) {
                continue;
            }
            w.key(name);
            w.open_object();
            for (key, value) in members {
                if self.keeps(key) {
                    w.key(key);
                    w.json(value);
                }
            }
            w.close_object();
        }
        self.write_default(w, entries.take());
        if w.wrote_since(first) {
            w.close_object();
        } else {
            w.rewind(before);
        }
    }

    /// Writes the namespace `default`. It stays, empty, when only the service half's filter emptied it.
    fn write_default(&self, w: &mut DocumentWriter<'_>, entries: Option<Entries<'_>>) {
        let Some(mut entries) = entries.filter(|entries| !entries.is_empty()) else {
            return;
        };
        let before = w.mark();
        w.raw(concat!(member!("default"), "{"));
        let first = w.mark();
        if self.view.service_half {
            entries.retain(|(key, _)| self.keeps(key));
        }
        write_entries(w, entries);
        if w.wrote_since(first) || self.view.service_half {
            w.close_object();
        } else {
            w.rewind(before);
        }
    }

    fn keeps(&self, key: &str) -> bool {
        !self.view.service_half || key.starts_with(RESOURCE_PREFIX)
    }

    /// What goes into the namespace `default`, in no order. Values without a printed form are left
    /// out here, so that emptiness means emptiness.
    fn default_entries<'e>(&'e self, entries: &mut Entries<'e>, namespaces: &'e Namespaces<'e>) {
        if let Some(resource) = self.view.resource {
            self.resource_entries(resource, entries, !namespaces.is_empty());
        }
        if self.settings.index_all {
            return;
        }
        let index = self.settings.indexes_any() || !self.listed.is_empty();
        for entry in self.left() {
            if (index && self.is_indexed(entry.name))
                || matches!(entry.value, ValueRef::Empty)
                || is_namespace(entry, namespaces)
            {
                continue;
            }
            entries.push((entry.name.into(), Source::Value(entry.value)));
        }
        let merged = namespaces.iter().filter(|(name, _)| is_default(name));
        for (key, value) in merged.flat_map(|(_, members)| members) {
            entries.push((key.as_str().into(), Source::Json(value)));
        }
    }

    /// The resource's metadata: as one ready piece, unless single entries may be touched.
    fn resource_entries<'e>(&self, resource: &'e ResourceView, to: &mut Entries<'e>, merge: bool) {
        if !self.scan.has_resource_names && !self.lists_resource() && !merge {
            if !resource.metadata.is_empty() {
                to.push((RESOURCE_PREFIX.into(), Source::Members(&resource.metadata)));
            }
            return;
        }
        for (key, value) in resource.attributes().iter() {
            let name = format!("{RESOURCE_PREFIX}{key}");
            let annotated = is_scalar(value) && self.is_indexed(&name);
            if !annotated && !matches!(value, ValueRef::Empty) {
                to.push((name.into(), Source::Value(value)));
            }
        }
    }

    /// Metadata namespaces that came as JSON objects in text (XR-42).
    fn namespaces(&self) -> Namespaces<'_> {
        let mut found = BTreeMap::new();
        for entry in self.scan.entries() {
            let Some(name) = entry.name.strip_prefix(METADATA_PREFIX) else {
                continue;
            };
            if self.is_indexed(entry.name) {
                continue;
            }
            let object = entry.value.as_str().map(serde_json::from_str::<Json>);
            if let Some(Ok(Json::Object(members))) = object {
                found.insert(name, members);
            }
        }
        found
    }
}

type Namespaces<'s> = BTreeMap<&'s str, serde_json::Map<String, Json>>;

/// Taken attributes that even the configured index does not bring back.
const NEVER_BACK: KeySet = KeySet::of(&[
    Key::EnduserId,
    Key::AwsXrayAnnotations,
    Key::AwsXrayInProgress,
])
.and(NOT_OF_SERVICE);

fn is_default(namespace: &str) -> bool {
    namespace.eq_ignore_ascii_case("default")
}

/// Whether an attribute was read as a namespace.
fn is_namespace(entry: &Entry<'_>, namespaces: &Namespaces<'_>) -> bool {
    !namespaces.is_empty()
        && entry
            .name
            .strip_prefix(METADATA_PREFIX)
            .is_some_and(|name| namespaces.contains_key(name))
}

/// Writes members in the order of their keys; of equal keys the last one.
fn write_entries(w: &mut DocumentWriter<'_>, mut entries: Entries<'_>) {
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    for (index, (key, source)) in entries.iter().enumerate() {
        if entries.get(index + 1).is_some_and(|next| next.0 == *key) {
            continue;
        }
        let before = w.mark();
        match source {
            Source::Members(members) => w.fragment(members),
            Source::Fragment(value) => {
                w.key(key);
                w.fragment(value);
            }
            Source::Json(value) => {
                w.key(key);
                w.json(value);
            }
            Source::Value(value) => {
                w.key(key);
                if !w.value(*value) {
                    w.rewind(before);
                }
            }
        }
    }
}
