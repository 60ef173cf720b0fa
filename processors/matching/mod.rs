//! `include` and `exclude`: which spans, log records and series a processor works on
//! (processors section 3).
//!
//! An item takes part if it has the properties of `include` (if there is one) and not those of
//! `exclude`.

mod config;
#[cfg(test)]
mod tests;
mod texts;

use std::sync::Arc;

use weir_config::Errors;
use weir_core::{BuildError, Signal};
use weir_model::{Attributes, LogRef, Resource, Scope, Series, SpanRef, ValueRef};

use crate::actions::ConfigValue;
pub(crate) use config::{AttributeConfig, MatchConfig, RegexpConfig, SeverityConfig};
pub(crate) use texts::Texts;

/// What a span's kind is called in configurations (OTLP enum).
const SPAN_KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];

/// What the reference takes for the service of a resource without `service.name`.
const NO_SERVICE: &str = "<nil-service-name>";

/// Compiled properties.
#[derive(Debug)]
pub(crate) struct Matcher {
    services: Option<Texts>,
    span_names: Option<Texts>,
    span_kinds: Option<Texts>,
    log_bodies: Option<Texts>,
    log_severity_texts: Option<Texts>,
    severity: Option<Severity>,
    metric_names: Option<Texts>,
    attributes: Vec<AttributeTest>,
    resources: Vec<AttributeTest>,
    libraries: Vec<Library>,
}

#[derive(Debug)]
struct Severity {
    min: i32,
    match_undefined: bool,
}

#[derive(Debug)]
struct AttributeTest {
    key: String,
    wanted: Wanted,
}

#[derive(Debug)]
enum Wanted {
    Anything,
    Value(ConfigValue),
    Text(Texts),
}

#[derive(Debug)]
struct Library {
    name: Texts,
    version: Option<Texts>,
}

impl AttributeTest {
    fn holds(&self, value: Option<ValueRef<'_>>) -> bool {
        let Some(value) = value else { return false };
        match &self.wanted {
            Wanted::Anything => true,
            Wanted::Value(wanted) => wanted.with_ref(|wanted| wanted == value),
            // Only scalars have a text to compare, as in the reference.
            Wanted::Text(texts) => match value {
                ValueRef::Str(text) => texts.matches(text),
                ValueRef::Bool(_) | ValueRef::Int(_) | ValueRef::Double(_) => {
                    texts.matches(&value.to_text())
                }
                _ => false,
            },
        }
    }
}

impl Matcher {
    /// Properties of the resource and the scope.
    fn context(&self, resource: &Attributes, scope: &Scope) -> bool {
        let service = || match resource.get("service.name") {
            Some(name) => name.to_text(),
            None => NO_SERVICE.into(),
        };
        let library = |library: &Library| {
            let version = library.version.as_ref();
            library.name.matches(&scope.name) && version.is_none_or(|v| v.matches(&scope.version))
        };
        self.services
            .as_ref()
            .is_none_or(|texts| texts.matches(&service()))
            && self
                .resources
                .iter()
                .all(|test| test.holds(resource.get(&test.key)))
            && (self.libraries.is_empty() || self.libraries.iter().any(library))
    }

    fn span(&self, span: SpanRef<'_>) -> bool {
        let kind = || {
            let kind = usize::try_from(span.kind()).ok();
            kind.and_then(|kind| SPAN_KINDS.get(kind))
                .copied()
                .unwrap_or("")
        };
        self.span_names
            .as_ref()
            .is_none_or(|texts| texts.matches(span.name()))
            && self
                .span_kinds
                .as_ref()
                .is_none_or(|texts| texts.matches(kind()))
            && self
                .attributes
                .iter()
                .all(|test| test.holds(span.attr(&test.key)))
    }

    fn record(&self, record: LogRef<'_>) -> bool {
        let severe = |severity: &Severity| match record.severity_number() {
            0 => severity.match_undefined,
            number => number >= severity.min,
        };
        let texts = self.log_severity_texts.as_ref();
        self.log_bodies
            .as_ref()
            .is_none_or(|texts| texts.matches(&record.body().to_text()))
            && texts.is_none_or(|texts| texts.matches(record.severity_text()))
            && self.severity.as_ref().is_none_or(severe)
            && self
                .attributes
                .iter()
                .all(|test| test.holds(record.attr(&test.key)))
    }

    /// Of a series only name and resource count; a matcher with neither says nothing about metrics.
    fn series(&self, series: &Series) -> Option<bool> {
        if self.metric_names.is_none() && self.resources.is_empty() {
            return None;
        }
        let name = &series.metric().name;
        let resource = &series.resource().attributes;
        Some(
            self.metric_names
                .as_ref()
                .is_none_or(|texts| texts.matches(name))
                && self
                    .resources
                    .iter()
                    .all(|test| test.holds(resource.get(&test.key))),
        )
    }
}

/// `include` and `exclude` of a processor.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    include: Option<Matcher>,
    exclude: Option<Matcher>,
}

impl Selection {
    /// Compiles both; whatever is wrong is reported.
    pub(crate) fn compile(
        include: Option<&MatchConfig>,
        exclude: Option<&MatchConfig>,
        errors: &mut Errors,
    ) -> Self {
        Self {
            include: include.and_then(|config| config.compile("include", errors)),
            exclude: exclude.and_then(|config| config.compile("exclude", errors)),
        }
    }

    /// The same of configurations that were checked before, for one signal.
    pub(crate) fn build(
        include: Option<&MatchConfig>,
        exclude: Option<&MatchConfig>,
        signal: Signal,
    ) -> Result<Self, BuildError> {
        for (place, config) in [("include", include), ("exclude", exclude)] {
            config.map_or(Ok(()), |config| config.fits(place, signal))?;
        }
        let mut errors = Errors::default();
        let selection = Self::compile(include, exclude, &mut errors);
        if errors.is_empty() {
            Ok(selection)
        } else {
            Err(BuildError("`include` or `exclude` is not valid".to_owned()))
        }
    }

    /// Whether everything takes part.
    pub(crate) fn is_everything(&self) -> bool {
        self.include.is_none() && self.exclude.is_none()
    }

    /// Whether a series takes part.
    pub(crate) fn takes_series(&self, series: &Series) -> bool {
        let ask = |matcher: &Option<Matcher>| matcher.as_ref().and_then(|m| m.series(series));
        ask(&self.include).unwrap_or(true) && !ask(&self.exclude).unwrap_or(false)
    }

    /// Begins asking about the items of a batch.
    pub(crate) fn ask(&self) -> Asking<'_> {
        Asking {
            selection: self,
            context: None,
            include: true,
            exclude: true,
        }
    }
}

/// Asks about items one after the other and remembers what was said of the last resource and scope:
/// most items share them with the one before.
pub(crate) struct Asking<'a> {
    selection: &'a Selection,
    context: Option<(Arc<Resource>, Arc<Scope>)>,
    include: bool,
    exclude: bool,
}

impl Asking<'_> {
    /// Whether a span takes part.
    pub(crate) fn takes_span(&mut self, span: SpanRef<'_>) -> bool {
        self.takes(span.resource(), span.scope(), |matcher| matcher.span(span))
    }

    /// Whether a log record takes part.
    pub(crate) fn takes_record(&mut self, record: LogRef<'_>) -> bool {
        self.takes(record.resource(), record.scope(), |matcher| {
            matcher.record(record)
        })
    }

    fn takes(
        &mut self,
        resource: &Arc<Resource>,
        scope: &Arc<Scope>,
        own: impl Fn(&Matcher) -> bool,
    ) -> bool {
        let Selection { include, exclude } = self.selection;
        let same = self
            .context
            .as_ref()
            .is_some_and(|(last_resource, last_scope)| {
                Arc::ptr_eq(last_resource, resource) && Arc::ptr_eq(last_scope, scope)
            });
        if !same {
            let holds = |m: &Matcher| m.context(&resource.attributes, scope);
            self.include = include.as_ref().is_none_or(holds);
            self.exclude = exclude.as_ref().is_some_and(holds);
            self.context = Some((resource.clone(), scope.clone()));
        }
        self.include
            && include.as_ref().is_none_or(&own)
            && !(self.exclude && exclude.as_ref().is_some_and(&own))
    }
}
