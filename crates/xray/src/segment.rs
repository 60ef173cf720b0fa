//! Spans to segment documents.

use std::sync::Arc;

use hashbrown::HashSet;
use weir_model::ValueRef;
use weir_model::series::Resource;
use weir_model::traces::{LinkRef, SpanRef};

use crate::body::{Body, TooLarge};
use crate::cause::{self, Cause};
use crate::ids::{self, Ids};
use crate::json::{DocumentWriter, member};
use crate::keys::{ALWAYS_TAKEN, Key, KeySet, Scan};
use crate::metadata::View;
use crate::name::{self, Name, Sources};
use crate::resource::ResourceView;
use crate::sql::Sql;
use crate::{aws, http, metadata, sql};

/// OTLP span kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

impl Kind {
    fn of(kind: i32) -> Self {
        match kind {
            1 => Self::Internal,
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Unspecified,
        }
    }
    /// Whether a span of this kind is a segment even with a parent (XR-07).
    fn is_always_segment(self) -> bool {
        matches!(self, Self::Server | Self::Consumer)
    }
}

/// What documents depend on besides the span.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `indexed_attributes`.
    pub indexed: HashSet<Box<str>>,
    /// `index_all_attributes`.
    pub index_all: bool,
    /// `aws_log_groups`.
    pub log_groups: Vec<String>,
    /// Whether trace ids of any age are sent on (gate `exporter.awsxray.skiptimestampvalidation`).
    pub any_trace_age: bool,
    /// Whether annotation keys keep their dots (gate `exporter.xray.allowDot`).
    pub allow_dot: bool,
    /// `current_semantic_conventions`.
    pub current_names: bool,
    /// `strict_schema`.
    pub strict: bool,
}

impl Default for Settings {
    /// Those of the reference's default configuration.
    fn default() -> Self {
        Self {
            indexed: HashSet::default(),
            index_all: false,
            log_groups: Vec::new(),
            any_trace_age: true,
            allow_dot: true,
            current_names: false,
            strict: false,
        }
    }
}

impl Settings {
    /// Whether the configuration makes an attribute an annotation.
    pub(crate) fn indexes(&self, name: &str) -> bool {
        self.index_all || self.is_named(name)
    }
    /// Whether the configuration names an attribute for the index.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        !self.indexed.is_empty() && self.indexed.contains(name)
    }
    /// Whether the configuration makes anything an annotation.
    pub(crate) fn indexes_any(&self) -> bool {
        self.index_all || !self.indexed.is_empty()
    }
}

/// Why a span is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// Its trace id, or that of a link, is of a wrong length or age.
    InvalidTraceId,
    /// A document of it is over the service's size limit.
    TooLarge,
}

impl From<TooLarge> for Skipped {
    fn from(_: TooLarge) -> Self {
        Self::TooLarge
    }
}

/// Makes the documents of one batch. Keeps what neighbouring spans share.
#[derive(Debug)]
pub struct Translator<'s, 'a> {
    settings: &'s Settings,
    now_seconds: i64,
    resource: Option<Arc<ResourceView>>,
    scan: Scan<'a>,
    /// Values left out because JSON has no form for them.
    pub unprintable: u64,
}

/// Which document of a span is written (section 4 of the specification).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The only one.
    Whole,
    /// The only one, of a local root of kind SERVER or INTERNAL.
    LocalRoot,
    /// The call of a local root that calls out, below the service half.
    Dependency { service: [u8; 8] },
    /// The service that makes that call.
    Service { id: [u8; 8] },
}

/// One span on its way.
struct Subject<'s, 'a> {
    span: SpanRef<'a>,
    kind: Kind,
    trace_id: [u8; 16],
    scan: &'s Scan<'a>,
    resource: &'s ResourceView,
    settings: &'s Settings,
    cause: Cause<'a>,
    sql: Option<Sql<'a>>,
    taken: KeySet,
    local_root: bool,
    in_progress: Option<bool>,
}

impl<'s, 'a> Translator<'s, 'a> {
    /// A translator for one batch. `now_seconds` (Unix) matters where the age of trace ids does.
    pub fn new(settings: &'s Settings, now_seconds: i64) -> Self {
        Self {
            settings,
            now_seconds,
            resource: None,
            scan: Scan::new(),
            unprintable: 0,
        }
    }

    /// Adds the documents of the batch's span number `index`: one, or two of a local root that
    /// calls out. A body that becomes full on the way is handed to `full`.
    pub fn add(
        &mut self,
        (index, span): (usize, SpanRef<'a>),
        body: &mut Body,
        mut full: impl FnMut(&mut Body),
    ) -> Result<(), Skipped> {
        let trace_id = self.check_ids(span)?;
        let resource = self.resource_view(span.resource());
        self.scan.read(span.attributes());
        let subject = Subject::new(span, trace_id, &self.scan, &resource, self.settings);
        let mut ids = Ids::of_span(trace_id, span);
        let own =
            ids::span_id(span.span_id()).or_else(|| self.settings.strict.then(|| ids.next_id()));
        let calls_out = !matches!(subject.kind, Kind::Server | Kind::Internal);
        let parts = if !subject.local_root {
            [Some((Part::Whole, own)), None]
        } else if !calls_out {
            [Some((Part::LocalRoot, own)), None]
        } else {
            let id = ids.next_id();
            let service = (Part::Service { id }, Some(id));
            [Some((Part::Dependency { service: id }, own)), Some(service)]
        };
        for (part, id) in parts.into_iter().flatten() {
            let ids = &mut ids;
            self.unprintable += body.add((index, id), |w| subject.write(w, part, id, ids))?;
            if body.is_full() {
                full(body);
            }
        }
        Ok(())
    }

    /// The trace id, if it and those of the links are acceptable (XR-01 to XR-03).
    fn check_ids(&self, span: SpanRef<'_>) -> Result<[u8; 16], Skipped> {
        let fits =
            |id: &[u8; 16]| self.settings.any_trace_age || ids::is_recent(*id, self.now_seconds);
        let checked = |id: &[u8]| {
            ids::trace_id(id)
                .filter(fits)
                .ok_or(Skipped::InvalidTraceId)
        };
        for link in span.links() {
            checked(link.trace_id())?;
        }
        checked(span.trace_id())
    }

    fn resource_view(&mut self, resource: &Arc<Resource>) -> Arc<ResourceView> {
        match &self.resource {
            Some(view) if view.is_of(resource) => view.clone(),
            _ => {
                let view = Arc::new(ResourceView::new(resource, self.settings));
                self.unprintable += view.unprintable;
                self.resource = Some(view.clone());
                view
            }
        }
    }
}

impl<'s, 'a> Subject<'s, 'a> {
    fn new(
        span: SpanRef<'a>,
        trace_id: [u8; 16],
        scan: &'s Scan<'a>,
        resource: &'s ResourceView,
        settings: &'s Settings,
    ) -> Self {
        let mut taken = ALWAYS_TAKEN;
        let cause = Cause::of(span, scan);
        if matches!(cause, Cause::Status(_)) {
            taken = taken.and(KeySet::of(&[Key::HttpStatusText]));
        }
        let sql = sql::find(scan, settings.current_names);
        if let Some((_, sql_keys)) = sql {
            taken = taken.and(sql_keys);
        }
        if matches!(scan.get(Key::AwsXrayAnnotations), Some(ValueRef::List(_))) {
            taken = taken.and(KeySet::of(&[Key::AwsXrayAnnotations]));
        }
        let in_progress = scan.get(Key::AwsXrayInProgress).and_then(|v| v.as_bool());
        if in_progress.is_some() {
            taken = taken.and(KeySet::of(&[Key::AwsXrayInProgress]));
        }
        Self {
            span,
            kind: Kind::of(span.kind()),
            trace_id,
            scan,
            resource,
            settings,
            cause,
            sql: sql.map(|(sql, _)| sql),
            taken,
            local_root: scan.text(Key::AwsSpanKind) == Some("LOCAL_ROOT"),
            in_progress,
        }
    }

    /// Writes one document. Members are in the reference's order (XR-06).
    fn write(&self, w: &mut DocumentWriter<'_>, part: Part, id: Option<[u8; 8]>, ids: &mut Ids) {
        let parent = ids::span_id(self.span.parent_span_id());
        let parent = match part {
            Part::Dependency { service } => Some(service),
            _ => parent,
        };
        let name = self.name(part);
        w.open_object();
        write_name(w, &name);
        match id {
            Some(id) => {
                w.raw(member!("id"));
                w.id(id);
            }
            None => w.raw(concat!(member!("id"), "null,")),
        }
        w.raw(member!("start_time"));
        w.seconds(self.span.start_ns());
        w.fragment(&self.resource.head);
        w.text_member(
            member!("user"),
            self.scan.filled(Key::EnduserId).unwrap_or(""),
        );
        let links = match part {
            Part::Dependency { .. } => self.kind != Kind::Consumer,
            Part::Service { .. } => self.kind == Kind::Consumer,
            _ => true,
        };
        if links {
            write_links(w, self.span);
        }
        w.raw(member!("trace_id"));
        w.trace_id(self.trace_id);
        self.write_end(w);
        if !matches!(part, Part::Service { .. }) {
            http::write(
                w,
                self.span,
                self.scan,
                self.kind,
                self.settings.current_names,
            );
        }
        cause::write_flags(w, self.span, self.scan);
        let reads = (self.kind, self.resource.language);
        cause::write(w, self.span, self.scan, self.cause, reads, ids);
        aws::write(
            w,
            self.scan,
            self.resource,
            !matches!(part, Part::Service { .. }),
        );
        self.write_attributes(w, part, parent.is_some());
        self.write_tail(w, part, &name, parent);
        w.take_comma();
        w.raw("}");
    }

    /// The name, in strict mode as the schema wants it.
    fn name(&self, part: Part) -> Name<'_> {
        let name = self.found_name(part);
        if self.settings.strict {
            name.into_valid()
        } else {
            name
        }
    }

    fn found_name(&self, part: Part) -> Name<'_> {
        match part {
            Part::Dependency { .. } => {
                let remote = self.scan.filled(Key::AwsRemoteService);
                let remote = remote.map(|name| name::without_sdk_prefix(name, self.scan));
                if let Some(name) = remote.filter(|name| !name.is_empty()) {
                    return Name::plain(name);
                }
            }
            Part::Service { .. } => {
                if let Some(name) = self.scan.filled(Key::AwsLocalService) {
                    return Name::plain(name);
                }
                if !self.resource.service_name.is_empty() {
                    return Name::plain(&self.resource.service_name);
                }
            }
            Part::Whole | Part::LocalRoot => {}
        }
        name::find(&Sources {
            scan: self.scan,
            kind: self.kind,
            local_root: self.local_root,
            remote: !matches!(part, Part::Service { .. }),
            service_name: &self.resource.service_name,
            span_name: self.span.name(),
            current_names: self.settings.current_names,
        })
    }

    fn write_end(&self, w: &mut DocumentWriter<'_>) {
        if self.in_progress == Some(true) {
            w.raw(concat!(member!("in_progress"), "true,"));
        } else {
            w.raw(member!("end_time"));
            w.seconds(self.span.end_ns());
        }
    }

    fn write_attributes(&self, w: &mut DocumentWriter<'_>, part: Part, has_parent: bool) {
        let is_segment = self.kind.is_always_segment() || !has_parent;
        let service_half = matches!(part, Part::Service { .. });
        let mut taken = self.taken;
        if service_half {
            taken = taken.and(NOT_OF_SERVICE);
        }
        let view = View {
            resource: is_segment.then_some(self.resource),
            taken,
            service_half,
        };
        metadata::write(w, self.scan, view, self.settings);
    }

    /// Namespace, parent, type and `sql` (XR-12, XR-44, XR-45).
    fn write_tail(
        &self,
        w: &mut DocumentWriter<'_>,
        part: Part,
        name: &Name<'_>,
        parent: Option<[u8; 8]>,
    ) {
        let is_aws = name.from_aws_service || self.scan.text(Key::RpcSystem) == Some("aws-api");
        let namespace = match (part, self.kind) {
            (Part::LocalRoot | Part::Service { .. }, _) => "",
            _ if is_aws => "aws",
            (Part::Dependency { .. }, _) | (_, Kind::Client | Kind::Producer) => "remote",
            _ => "",
        };
        w.text_member(member!("namespace"), namespace);
        if let Some(parent) = parent {
            w.raw(member!("parent_id"));
            w.id(parent);
        }
        let below = match part {
            Part::Whole => parent.is_some() && !self.kind.is_always_segment(),
            Part::Dependency { .. } => true,
            Part::LocalRoot | Part::Service { .. } => false,
        };
        if below {
            w.raw(concat!(member!("type"), "\\\"subsegment\\\","));
        }
        if let Some(sql) = self.sql {
            sql::write(w, self.scan, self.span.name(), sql);
        }
    }
}

/// Attributes that tell of the call; the service half of a split span has not got them.
pub(crate) const NOT_OF_SERVICE: KeySet = KeySet::of(&[
    Key::AwsRemoteService,
    Key::AwsRemoteOperation,
    Key::RemoteTarget,
    Key::K8sRemoteNamespace,
]);

fn write_name(w: &mut DocumentWriter<'_>, name: &Name<'_>) {
    w.raw(member!("name"));
    match name.host {
        Some(host) => w.text_parts(&[&name.text, "@", host]),
        None => w.torn_text(&name.text, name.torn_bytes),
    }
}

fn write_links(w: &mut DocumentWriter<'_>, span: SpanRef<'_>) {
    let before = w.mark();
    w.raw(concat!(member!("links"), "["));
    let first = w.mark();
    for link in span.links().take(w.detail.max_links) {
        write_link(w, link);
    }
    if w.wrote_since(first) {
        w.close_array();
    } else {
        w.rewind(before);
    }
}

fn write_link(w: &mut DocumentWriter<'_>, link: LinkRef<'_>) {
    w.open_object();
    w.raw(member!("trace_id"));
    w.trace_id(ids::trace_id(link.trace_id()).unwrap_or_default());
    w.raw(member!("id"));
    w.id(ids::span_id(link.span_id()).unwrap_or_default());
    let mut attributes: Vec<_> = link.attributes().iter().collect();
    if !attributes.is_empty() {
        attributes.sort_by_key(|(key, _)| *key);
        w.raw(concat!(member!("attributes"), "{"));
        for (index, (key, value)) in attributes.iter().enumerate() {
            // Of equal keys the last one counts.
            if attributes.get(index + 1).is_none_or(|next| next.0 != *key) {
                w.key(key);
                w.value_or_null(*value);
            }
        }
        w.close_object();
    }
    w.close_object();
}
