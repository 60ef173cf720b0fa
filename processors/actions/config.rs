//! Actions as written, and what is wrong with them.

use serde::{Deserialize, Serialize};
use weir_config::Errors;
use weir_prom::relabel::re2;

use super::convert::Conversion;
use super::value::ConfigValue;
use super::{Action, Change, ContextKey, Mode, Source};

/// One action on attributes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActionConfig {
    /// The attribute.
    pub key: String,
    /// `insert`, `update`, `upsert`, `delete`, `hash`, `extract` or `convert`.
    pub action: String,
    /// Source: a constant.
    pub value: Option<ConfigValue>,
    /// Source: another attribute.
    pub from_attribute: String,
    /// Source: the sender (`metadata.NAME`, `auth.NAME`, `client.address`).
    pub from_context: String,
    /// Used when `from_attribute` or `from_context` is not there.
    pub default_value: Option<ConfigValue>,
    /// `delete` and `hash`: expression for keys; `extract`: expression with named groups.
    pub pattern: String,
    /// `convert`: `int`, `double` or `string`.
    pub converted_type: String,
}

/// Compiles a list of actions; whatever is wrong is reported under `list`, the list's key path.
pub(crate) fn compile(list: &str, configs: &[ActionConfig], errors: &mut Errors) -> Vec<Action> {
    let compiled = configs.iter().enumerate().filter_map(|(index, config)| {
        let mut checks = Checks {
            path: format!("{list}[{index}]"),
            index,
            config,
            errors,
        };
        checks.compile()
    });
    compiled.collect()
}

struct Checks<'a> {
    path: String,
    index: usize,
    config: &'a ActionConfig,
    errors: &'a mut Errors,
}

impl Checks<'_> {
    /// Reports at a key of the action; every message names action, key and index, as the reference.
    fn wrong(&mut self, key: &str, what: &str, hint: &str) {
        let ActionConfig {
            key: attribute,
            action,
            ..
        } = self.config;
        let place = format!(
            "action \"{action}\" of key \"{attribute}\" at index {}",
            self.index
        );
        let path = if key.is_empty() {
            self.path.clone()
        } else {
            format!("{}.{key}", self.path)
        };
        self.errors.push(&path, format!("{place}: {what}"), hint);
    }

    fn compile(&mut self) -> Option<Action> {
        let config = self.config;
        let name = config.action.to_ascii_lowercase();
        let change = match name.as_str() {
            "insert" => self.set(Mode::Insert),
            "update" => self.set(Mode::Update),
            "upsert" => self.set(Mode::Upsert),
            "delete" => {
                self.refuse_sources();
                self.refuse(&["converted_type"]);
                self.key_pattern().map(Change::Delete)
            }
            "hash" => {
                self.refuse_sources();
                self.refuse(&["converted_type"]);
                self.key_pattern().map(Change::Hash)
            }
            "extract" => {
                self.refuse_sources();
                self.refuse(&["converted_type"]);
                self.extract()
            }
            "convert" => {
                self.refuse_sources();
                self.refuse(&["pattern"]);
                self.convert()
            }
            "" => {
                self.wrong("", "`action` is missing", KNOWN);
                return None;
            }
            _ => {
                self.wrong("action", "unsupported action", KNOWN);
                return None;
            }
        };
        let by_pattern = matches!(name.as_str(), "delete" | "hash") && !config.pattern.is_empty();
        if config.key.is_empty() && !by_pattern {
            self.wrong("", "`key` is missing", "name the attribute it works on");
            return None;
        }
        Some(Action {
            key: config.key.clone(),
            change: change?,
        })
    }

    fn set(&mut self, mode: Mode) -> Option<Change> {
        self.refuse(&["pattern", "converted_type"]);
        let config = self.config;
        let sources = [
            config.value.is_some(),
            !config.from_attribute.is_empty(),
            !config.from_context.is_empty(),
        ];
        match sources.iter().filter(|set| **set).count() {
            0 => self.wrong("", "no source of the value", ONE_SOURCE),
            1 => {}
            _ => self.wrong("", "more than one source of the value", ONE_SOURCE),
        }
        if config.default_value.is_some() && config.value.is_some() {
            let hint = "it belongs to `from_attribute` and `from_context`";
            self.wrong(
                "default_value",
                "`default_value` is of no use beside `value`",
                hint,
            );
        }
        let source = if let Some(value) = &config.value {
            Source::Constant(value.clone())
        } else if !config.from_attribute.is_empty() {
            Source::Attribute(config.from_attribute.clone())
        } else {
            Source::Context(ContextKey::parse(&config.from_context))
        };
        let default = config.default_value.clone();
        Some(Change::Set {
            mode,
            source,
            default,
        })
    }

    fn convert(&mut self) -> Option<Change> {
        let name = self.config.converted_type.as_str();
        let conversion = Conversion::parse(name);
        if conversion.is_none() {
            let what = if name.is_empty() {
                "`converted_type` is missing".to_owned()
            } else {
                format!("`converted_type` cannot be `{name}`")
            };
            self.wrong("converted_type", &what, "write int, double or string");
        }
        conversion.map(Change::Convert)
    }

    fn extract(&mut self) -> Option<Change> {
        if self.config.pattern.is_empty() {
            self.wrong("", "`pattern` is missing", NAMED_GROUPS);
            return None;
        }
        let pattern = self.pattern()?;
        let names: Vec<String> = pattern
            .capture_names()
            .flatten()
            .map(str::to_owned)
            .collect();
        if names.is_empty() {
            let what = "`pattern` has no named group: nothing would be extracted";
            self.wrong("pattern", what, NAMED_GROUPS);
            return None;
        }
        if names.len() + 1 < pattern.captures_len() {
            let hint =
                "name it `(?P<name>...)`, or write `(?:...)` for a group that extracts nothing";
            self.wrong("pattern", "`pattern` has a group without a name", hint);
            return None;
        }
        Some(Change::Extract(pattern))
    }

    fn key_pattern(&mut self) -> Option<Option<regex::Regex>> {
        if self.config.pattern.is_empty() {
            return Some(None);
        }
        self.pattern().map(Some)
    }

    fn pattern(&mut self) -> Option<regex::Regex> {
        match re2(&self.config.pattern) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                self.wrong("pattern", &format!("not a regular expression: {error}"), "");
                None
            }
        }
    }

    fn refuse_sources(&mut self) {
        self.refuse(&["value", "from_attribute", "from_context", "default_value"]);
    }

    /// Reports keys that this action has no use for.
    fn refuse(&mut self, keys: &[&str]) {
        let config = self.config;
        for key in keys {
            let set = match *key {
                "value" => config.value.is_some(),
                "default_value" => config.default_value.is_some(),
                "from_attribute" => !config.from_attribute.is_empty(),
                "from_context" => !config.from_context.is_empty(),
                "pattern" => !config.pattern.is_empty(),
                _ => !config.converted_type.is_empty(),
            };
            if set {
                self.wrong(
                    key,
                    &format!("`{key}` is of no use to this action"),
                    "remove it",
                );
            }
        }
    }
}

const KNOWN: &str = "write insert, update, upsert, delete, hash, extract or convert";
const ONE_SOURCE: &str = "give one of `value`, `from_attribute` and `from_context`";
const NAMED_GROUPS: &str = "write groups as `(?P<name>...)`";
