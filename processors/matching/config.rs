//! `include` and `exclude` as written, and what is wrong with them.

use serde::{Deserialize, Serialize};
use weir_config::Errors;
use weir_core::{BuildError, Signal};

use super::texts::Texts;
use super::{AttributeTest, Library, Matcher, Severity, Wanted};
use crate::actions::ConfigValue;

/// Properties an item must have. Different properties must all hold; of the entries of one, any
/// does, except that all of `attributes` and `resources` must.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MatchConfig {
    /// `strict` or `regexp`.
    pub match_type: String,
    /// Accepted: there is no cache of verdicts to be sized.
    pub regexp: Option<RegexpConfig>,
    /// Values of the resource attribute `service.name`.
    pub services: Vec<String>,
    /// Span names.
    pub span_names: Vec<String>,
    /// Span kinds, such as `SPAN_KIND_SERVER`.
    pub span_kinds: Vec<String>,
    /// Bodies of log records, as text.
    pub log_bodies: Vec<String>,
    /// Severity texts of log records.
    pub log_severity_texts: Vec<String>,
    /// Least severity of log records.
    pub log_severity_number: Option<SeverityConfig>,
    /// Metric names.
    pub metric_names: Vec<String>,
    /// Attributes of the span or log record.
    pub attributes: Vec<AttributeConfig>,
    /// Attributes of the resource.
    pub resources: Vec<AttributeConfig>,
    /// Instrumentation scopes.
    pub libraries: Vec<LibraryConfig>,
}

/// Settings of the reference's cache of regular expression verdicts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegexpConfig {
    /// Accepted.
    pub cacheenabled: bool,
    /// Accepted.
    pub cachemaxnumentries: u64,
}

/// A severity from which on records match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeverityConfig {
    /// OTLP severity number, 1 to 24.
    pub min: i32,
    /// Whether records without a severity match.
    pub match_undefined: bool,
}

/// An attribute to look for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AttributeConfig {
    /// Its key.
    pub key: String,
    /// Its value; any, if it is not given.
    pub value: Option<ConfigValue>,
}

/// An instrumentation scope to look for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LibraryConfig {
    /// Its name.
    pub name: String,
    /// Its version; any, if it is not given.
    pub version: Option<String>,
}

impl MatchConfig {
    /// Properties that are given, by key.
    fn given(&self) -> Vec<&'static str> {
        let all = [
            ("services", !self.services.is_empty()),
            ("span_names", !self.span_names.is_empty()),
            ("span_kinds", !self.span_kinds.is_empty()),
            ("log_bodies", !self.log_bodies.is_empty()),
            ("log_severity_texts", !self.log_severity_texts.is_empty()),
            ("log_severity_number", self.log_severity_number.is_some()),
            ("metric_names", !self.metric_names.is_empty()),
            ("attributes", !self.attributes.is_empty()),
            ("resources", !self.resources.is_empty()),
            ("libraries", !self.libraries.is_empty()),
        ];
        all.into_iter()
            .filter(|(_, given)| *given)
            .map(|(key, _)| key)
            .collect()
    }

    /// Checks that the properties fit the signal of the pipeline; `place` is `include` or
    /// `exclude`. The message is one of building, because one configuration may serve several
    /// pipelines.
    pub(crate) fn fits(&self, place: &str, signal: Signal) -> Result<(), BuildError> {
        let foreign = |key: &&str| match signal {
            Signal::Traces => key.starts_with("log_"),
            Signal::Logs => key.starts_with("span_"),
            Signal::Metrics => false,
        };
        let given = self.given();
        if let Some(key) = given.iter().copied().find(|key| foreign(key)) {
            return Err(BuildError(format!(
                "`{place}.{key}` does not go with {signal}: remove it, or declare one processor \
                 for each signal"
            )));
        }
        let usable: &[&str] = match signal {
            Signal::Traces => &TRACES,
            Signal::Logs => &LOGS,
            Signal::Metrics => return Ok(()),
        };
        if given.iter().any(|key| usable.contains(key)) {
            return Ok(());
        }
        Err(BuildError(format!(
            "`{place}` has no property that {signal} have: give at least one of {}",
            usable.join(", ")
        )))
    }

    /// Compiles the properties; whatever is wrong is reported under `place`.
    pub(crate) fn compile(&self, place: &str, errors: &mut Errors) -> Option<Matcher> {
        let mut compiler = Compiler {
            place,
            regexp: match self.match_type.as_str() {
                "strict" => false,
                "regexp" => true,
                other => {
                    let (what, at) = if other.is_empty() {
                        ("`match_type` is missing".to_owned(), place.to_owned())
                    } else {
                        let what = format!("unrecognized `match_type` \"{other}\"");
                        (what, format!("{place}.match_type"))
                    };
                    errors.push(&at, what, "write strict or regexp");
                    return None;
                }
            },
            errors,
            sound: true,
        };
        if self.given().is_empty() {
            compiler.wrong(
                "",
                "no property to match",
                "give at least one, such as services, span_names, log_bodies or metric_names",
            );
        }
        let severity = self.log_severity_number.as_ref();
        let matcher = Matcher {
            services: compiler.texts("services", &self.services),
            span_names: compiler.texts("span_names", &self.span_names),
            span_kinds: compiler.texts("span_kinds", &self.span_kinds),
            log_bodies: compiler.texts("log_bodies", &self.log_bodies),
            log_severity_texts: compiler.texts("log_severity_texts", &self.log_severity_texts),
            severity: severity.map(|severity| Severity {
                min: severity.min,
                match_undefined: severity.match_undefined,
            }),
            metric_names: compiler.texts("metric_names", &self.metric_names),
            attributes: compiler.attributes("attributes", &self.attributes),
            resources: compiler.attributes("resources", &self.resources),
            libraries: compiler.libraries(&self.libraries),
        };
        compiler.sound.then_some(matcher)
    }
}

const TRACES: [&str; 6] = [
    "services",
    "span_names",
    "span_kinds",
    "attributes",
    "libraries",
    "resources",
];
const LOGS: [&str; 7] = [
    "services",
    "log_bodies",
    "log_severity_texts",
    "log_severity_number",
    "attributes",
    "libraries",
    "resources",
];

struct Compiler<'a> {
    place: &'a str,
    regexp: bool,
    errors: &'a mut Errors,
    sound: bool,
}

impl Compiler<'_> {
    fn wrong(&mut self, key: &str, what: &str, hint: &str) {
        self.sound = false;
        let path = if key.is_empty() {
            self.place.to_owned()
        } else {
            format!("{}.{key}", self.place)
        };
        self.errors.push(&path, what, hint);
    }

    fn texts(&mut self, key: &str, list: &[String]) -> Option<Texts> {
        if list.is_empty() {
            return None;
        }
        match Texts::new(list.iter().map(String::as_str), self.regexp) {
            Ok(texts) => Some(texts),
            Err((at, error)) => {
                let what = format!("not a regular expression: {error}");
                self.wrong(&format!("{key}[{at}]"), &what, "");
                None
            }
        }
    }

    fn text(&mut self, key: &str, text: &str) -> Option<Texts> {
        Texts::new(std::iter::once(text), self.regexp)
            .map_err(|(_, error)| {
                self.wrong(key, &format!("not a regular expression: {error}"), "");
            })
            .ok()
    }

    fn attributes(&mut self, key: &str, list: &[AttributeConfig]) -> Vec<AttributeTest> {
        let mut tests = Vec::new();
        for (at, config) in list.iter().enumerate() {
            let place = format!("{key}[{at}]");
            if config.key.is_empty() {
                self.wrong(&place, "`key` is missing", "name the attribute to look at");
            }
            let wanted = match (&config.value, self.regexp) {
                (None, _) => Wanted::Anything,
                (Some(value), false) => Wanted::Value(value.clone()),
                (Some(value), true) => {
                    let weir_model::Value::Str(pattern) = &value.0 else {
                        let what = format!(
                            "with match_type regexp the value of `{}` must be a text",
                            config.key
                        );
                        self.wrong(&format!("{place}.value"), &what, "quote it");
                        continue;
                    };
                    let Some(texts) = self.text(&format!("{place}.value"), pattern) else {
                        continue;
                    };
                    Wanted::Text(texts)
                }
            };
            tests.push(AttributeTest {
                key: config.key.clone(),
                wanted,
            });
        }
        tests
    }

    fn libraries(&mut self, list: &[LibraryConfig]) -> Vec<Library> {
        let mut libraries = Vec::new();
        for (at, config) in list.iter().enumerate() {
            let name = self.text(&format!("libraries[{at}].name"), &config.name);
            let version = config
                .version
                .as_ref()
                .map(|version| self.text(&format!("libraries[{at}].version"), version));
            if let (Some(name), false) = (name, matches!(version, Some(None))) {
                libraries.push(Library {
                    name,
                    version: version.flatten(),
                });
            }
        }
        libraries
    }
}
