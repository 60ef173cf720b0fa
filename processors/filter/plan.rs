//! What of a configuration concerns one signal, compiled.

use weir_config::{Errors, Validate};
use weir_core::Signal;

use super::config::{
    Conditions, Config, ErrorMode, LogMatch, LogsConfig, MetricMatch, MetricsConfig, SpansConfig,
};
use super::ottl::{Condition, Context, Dialect, parse, severity};
use crate::matching::{MatchConfig, Selection, SeverityConfig};

/// A condition and what its failure means.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) condition: Condition,
    pub(super) mode: ErrorMode,
}

/// `match_type: expr`: a metric of which any point matches any of these.
#[derive(Debug)]
pub(super) struct Expressions {
    pub(super) include: bool,
    pub(super) conditions: Vec<Condition>,
}

/// All of one signal.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// An item for which one holds is dropped.
    pub(super) rules: Vec<Rule>,
    /// The older form; an item that one does not take is dropped.
    pub(super) selections: Vec<Selection>,
    pub(super) expressions: Vec<Expressions>,
}

impl Plan {
    /// Compiles; whatever is wrong is reported.
    pub(super) fn compile(config: &Config, signal: Signal, errors: &mut Errors) -> Self {
        let mut plan = Self::default();
        let mode = config.error_mode;
        let mut add = |key: &str, list: &[String], context, dialect, mode| {
            plan.rules.extend(rules(key, list, context, dialect, mode, errors));
        };
        let (short, prefixed) = (Dialect::Short, Dialect::Prefixed);
        let (flat, key, leaf) = match signal {
            Signal::Traces => {
                if let Some(traces) = &config.traces {
                    add("traces.resource", &traces.resource, Context::Resource, short, mode);
                    add("traces.span", &traces.span, Context::Span, short, mode);
                }
                (&config.trace_conditions, "trace_conditions", Context::Span)
            }
            Signal::Metrics => {
                if let Some(metrics) = &config.metrics {
                    add("metrics.resource", &metrics.resource, Context::Resource, short, mode);
                    add("metrics.metric", &metrics.metric, Context::Metric, short, mode);
                    add("metrics.datapoint", &metrics.datapoint, Context::DataPoint, short, mode);
                }
                (&config.metric_conditions, "metric_conditions", Context::DataPoint)
            }
            Signal::Logs => {
                if let Some(logs) = &config.logs {
                    add("logs.resource", &logs.resource, Context::Resource, short, mode);
                    add("logs.log_record", &logs.log_record, Context::Log, short, mode);
                }
                (&config.log_conditions, "log_conditions", Context::Log)
            }
        };
        for (at, entry) in flat.iter().enumerate() {
            match entry {
                Conditions::Text(text) => {
                    // A condition that does not look at points belongs to metrics.
                    let context = flat_context(text, leaf);
                    let place = format!("{key}[{at}]");
                    let list = std::slice::from_ref(text);
                    plan.rules.extend(rules_at(list, |_| place.clone(), context, prefixed, mode, errors));
                }
                Conditions::Group(group) => {
                    let Some(context) = context_named(&group.context, leaf) else {
                        let text = format!("no context \"{}\" in {key}", group.context);
                        errors.push(&format!("{key}[{at}].context"), text, "write resource, span, metric, datapoint or log, or leave it out");
                        continue;
                    };
                    let dialect = if group.context.is_empty() { prefixed } else { short };
                    let place = |index: usize| format!("{key}[{at}].conditions[{index}]");
                    let mode = group.error_mode.unwrap_or(mode);
                    plan.rules.extend(rules_at(&group.conditions, place, context, dialect, mode, errors));
                }
            }
        }
        plan.older(config, signal, errors);
        plan
    }

    fn older(&mut self, config: &Config, signal: Signal, errors: &mut Errors) {
        match signal {
            Signal::Traces => {
                if let Some(traces) = config.traces.as_ref().filter(|t| !t.spanevent.is_empty()) {
                    let text = format!("{} conditions on span events, which are not offered yet", traces.spanevent.len());
                    errors.push("traces.spanevent", text, "remove them; spans can be filtered under `span`");
                }
                if let Some(spans) = &config.spans {
                    errors.nested("spans", spans);
                    let (include, exclude) = (spans.include.as_ref(), spans.exclude.as_ref());
                    self.selections.push(Selection::compile(include, exclude, &mut Errors::default()));
                }
            }
            Signal::Logs => {
                if let Some(logs) = &config.logs {
                    errors.nested("logs", logs);
                    let (include, exclude) = logs.matches(&mut Errors::default());
                    let selection = Selection::compile(include.as_ref(), exclude.as_ref(), &mut Errors::default());
                    self.selections.push(selection);
                }
            }
            Signal::Metrics => {
                if let Some(metrics) = &config.metrics {
                    self.older_metrics(metrics, errors);
                }
            }
        }
    }

    fn older_metrics(&mut self, metrics: &MetricsConfig, errors: &mut Errors) {
        for (include, key, part) in
            [(true, "include", &metrics.include), (false, "exclude", &metrics.exclude)]
        {
            let Some(part) = part else { continue };
            let place = format!("metrics.{key}");
            if part.match_type == "expr" {
                let list = &part.expressions;
                let at = |index: usize| format!("{place}.expressions[{index}]");
                let rules = rules_at(list, at, Context::DataPoint, Dialect::Expr, ErrorMode::Silent, errors);
                let conditions: Vec<Condition> = rules.into_iter().map(|rule| rule.condition).collect();
                if list.is_empty() {
                    errors.push(&place, "`match_type: expr` without `expressions`", "give at least one");
                }
                self.expressions.push(Expressions { include, conditions });
            } else if !part.expressions.is_empty() {
                errors.push(&format!("{place}.expressions"), "`expressions` need `match_type: expr`", "");
            }
            for one in part.parts(include) {
                let wrapper = Older(&one, include);
                errors.nested("metrics", &wrapper);
                self.selections.push(wrapper.selection(&mut Errors::default()));
            }
        }
    }
}

/// One side of an older form, to be reported under its key.
struct Older<'a>(&'a MatchConfig, bool);

impl Older<'_> {
    fn selection(&self, errors: &mut Errors) -> Selection {
        let (include, exclude) =
            if self.1 { (Some(self.0), None) } else { (None, Some(self.0)) };
        Selection::compile(include, exclude, errors)
    }
}

impl Validate for Older<'_> {
    fn validate(&self, errors: &mut Errors) {
        self.selection(errors);
    }
}

impl MetricMatch {
    /// Names and resource attributes: to be included a metric needs both, excluded is what has
    /// either.
    fn parts(&self, include: bool) -> Vec<MatchConfig> {
        let expr = self.match_type == "expr";
        let match_type = if expr { "strict".to_owned() } else { self.match_type.clone() };
        let names = MatchConfig {
            match_type: match_type.clone(),
            metric_names: if expr { Vec::new() } else { self.metric_names.clone() },
            ..MatchConfig::default()
        };
        let resources = self.resource_attributes.clone();
        if include && !expr {
            return vec![MatchConfig { resources, ..names }];
        }
        let by_resource = MatchConfig { match_type, resources, ..MatchConfig::default() };
        let mut parts = Vec::new();
        if !names.metric_names.is_empty() || (!expr && by_resource.resources.is_empty()) {
            parts.push(names);
        }
        if !by_resource.resources.is_empty() {
            parts.push(by_resource);
        }
        parts
    }
}

impl LogsConfig {
    fn matches(&self, errors: &mut Errors) -> (Option<MatchConfig>, Option<MatchConfig>) {
        let mut one = |key: &str, part: &Option<LogMatch>| {
            part.as_ref().map(|part| part.config(key, errors))
        };
        (one("include", &self.include), one("exclude", &self.exclude))
    }
}

impl LogMatch {
    fn config(&self, place: &str, errors: &mut Errors) -> MatchConfig {
        let number = |text: &str| {
            let number = text.parse().ok().filter(|number| (0..=24).contains(number));
            number.or_else(|| severity(&text.to_ascii_uppercase()))
        };
        let severity = self.severity_number.as_ref().map(|wanted| {
            let text = wanted.min.0.as_str();
            let min = if text.is_empty() { Some(0) } else { number(text) };
            if min.is_none() {
                let text = format!("no severity is called \"{text}\"");
                let key = format!("{place}.severity_number.min");
                errors.push(&key, text, "write TRACE, DEBUG, INFO, WARN, ERROR or FATAL, or 1 to 24");
            }
            let min = i32::try_from(min.unwrap_or(0)).unwrap_or(0);
            SeverityConfig { min, match_undefined: wanted.match_undefined }
        });
        MatchConfig {
            match_type: self.match_type.clone(),
            resources: self.resource_attributes.clone(),
            attributes: self.record_attributes.clone(),
            log_severity_texts: self.severity_texts.clone(),
            log_severity_number: severity,
            log_bodies: self.bodies.clone(),
            ..MatchConfig::default()
        }
    }
}

impl Validate for LogsConfig {
    fn validate(&self, errors: &mut Errors) {
        let (include, exclude) = self.matches(errors);
        Selection::compile(include.as_ref(), exclude.as_ref(), errors);
    }
}

impl Validate for SpansConfig {
    fn validate(&self, errors: &mut Errors) {
        Selection::compile(self.include.as_ref(), self.exclude.as_ref(), errors);
    }
}

/// Conditions on whole metrics may use functions that look at all points.
fn flat_context(text: &str, leaf: Context) -> Context {
    let on_points = text.contains("datapoint.");
    if leaf == Context::DataPoint && !on_points { Context::Metric } else { leaf }
}

fn context_named(name: &str, leaf: Context) -> Option<Context> {
    match (name, leaf) {
        ("", leaf) => Some(leaf),
        ("resource", _) => Some(Context::Resource),
        ("span", Context::Span) | ("log", Context::Log) | ("datapoint", Context::DataPoint) => {
            Some(leaf)
        }
        ("metric", Context::DataPoint) => Some(Context::Metric),
        _ => None,
    }
}

fn rules(
    key: &str,
    list: &[String],
    context: Context,
    dialect: Dialect,
    mode: ErrorMode,
    errors: &mut Errors,
) -> Vec<Rule> {
    rules_at(list, |at| format!("{key}[{at}]"), context, dialect, mode, errors)
}

fn rules_at(
    list: &[String],
    place: impl Fn(usize) -> String,
    context: Context,
    dialect: Dialect,
    mode: ErrorMode,
    errors: &mut Errors,
) -> Vec<Rule> {
    let mut out = Vec::new();
    for (at, text) in list.iter().enumerate() {
        match parse(text, context, dialect) {
            Ok(condition) => out.push(Rule { condition, mode }),
            Err(error) => errors.push(&place(at), error.describe(text), error.cure.clone()),
        }
    }
    out
}
