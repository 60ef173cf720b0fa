//! Relabelling of targets and of series (prometheus-receiver specification, section 4; PROM-23 to
//! PROM-26).

mod pattern;

use std::fmt;

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

use crate::exposition::NameScheme;
use crate::labels::LabelSet;
use pattern::{Pattern, Template};
pub use pattern::{re2, translate};

/// Pattern that matches anything: the default of `regex`.
const ANYTHING: &str = "(.*)";

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Action {
    /// Sets the target label to the replacement if the source matches.
    #[default]
    Replace,
    /// Drops unless the source matches.
    Keep,
    /// Drops if the source matches.
    Drop,
    /// Drops unless the source equals the target label.
    KeepEqual,
    /// Drops if the source equals the target label.
    DropEqual,
    /// Sets the target label to the hash of the source, modulo.
    HashMod,
    /// Copies labels whose names match to the replacement name.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes labels whose names do not match.
    LabelKeep,
    /// Sets the target label to the source in lower case.
    Lowercase,
    /// Sets the target label to the source in upper case.
    Uppercase,
}

impl Action {
    const ALL: [Self; 11] = [
        Self::Replace,
        Self::Keep,
        Self::Drop,
        Self::KeepEqual,
        Self::DropEqual,
        Self::HashMod,
        Self::LabelMap,
        Self::LabelDrop,
        Self::LabelKeep,
        Self::Lowercase,
        Self::Uppercase,
    ];

    /// The word in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::KeepEqual => "keepequal",
            Self::DropEqual => "dropequal",
            Self::HashMod => "hashmod",
            Self::LabelMap => "labelmap",
            Self::LabelDrop => "labeldrop",
            Self::LabelKeep => "labelkeep",
            Self::Lowercase => "lowercase",
            Self::Uppercase => "uppercase",
        }
    }

    /// Whether the action writes to, or compares with, `target_label`.
    const fn has_target(self) -> bool {
        matches!(
            self,
            Self::Replace
                | Self::HashMod
                | Self::Lowercase
                | Self::Uppercase
                | Self::KeepEqual
                | Self::DropEqual
        )
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A rule as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelabelConfig {
    /// Labels whose values make up the input.
    pub source_labels: Vec<String>,
    /// What stands between them.
    pub separator: String,
    /// Pattern for the input, or for label names.
    pub regex: String,
    /// Modulus of `hashmod`.
    pub modulus: u64,
    /// Label that is written or compared.
    pub target_label: String,
    /// What is written, with references to groups of the pattern.
    pub replacement: String,
    /// What is done; any case.
    pub action: String,
}

impl Default for RelabelConfig {
    fn default() -> Self {
        Self {
            source_labels: Vec::new(),
            separator: ";".to_owned(),
            regex: ANYTHING.to_owned(),
            modulus: 0,
            target_label: String::new(),
            replacement: "$1".to_owned(),
            action: "replace".to_owned(),
        }
    }
}

/// Why a rule is not valid. The texts name the key to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelabelError {
    /// No such action.
    #[error(
        "unknown relabel action `{0}`; known are replace, keep, drop, keepequal, dropequal, \
         hashmod, labelmap, labeldrop, labelkeep, lowercase and uppercase"
    )]
    UnknownAction(String),
    /// The pattern does not compile.
    #[error("`regex` is not valid: {0}: `{1}`")]
    Regex(String, String),
    /// `hashmod` without a modulus.
    #[error("action hashmod needs `modulus` above zero")]
    NoModulus,
    /// The action needs a target.
    #[error("action {0} needs `target_label`")]
    NoTarget(Action),
    /// The target is no label name.
    #[error("`target_label: {1}` is no valid label name for action {0}")]
    BadTarget(Action, String),
    /// `labelmap` to something that is no label name.
    #[error("`replacement: {0}` is no valid label name for action labelmap")]
    BadReplacement(String),
    /// The action has no replacement.
    #[error("`replacement` cannot be set for action {0}")]
    ReplacementSet(Action),
    /// Only source and target belong to the action.
    #[error("action {0} takes only `source_labels` and `target_label`")]
    OnlySourceAndTarget(Action),
    /// Only the pattern belongs to the action.
    #[error("action {0} takes only `regex`")]
    OnlyRegex(Action),
}

/// A rule ready for use.
#[derive(Debug, Clone)]
pub struct RelabelRule {
    action: Action,
    source_labels: Vec<String>,
    separator: String,
    pattern: Pattern,
    /// `source` empty and the pattern the default one: no need to match.
    literal: bool,
    modulus: u64,
    target_label: String,
    target: Template,
    replacement_text: String,
    replacement: Template,
    scheme: NameScheme,
}

impl RelabelConfig {
    /// Checks the rule and compiles its pattern.
    ///
    /// # Errors
    /// If a key is missing, not allowed for the action, or not valid.
    pub fn compile(&self, scheme: NameScheme) -> Result<RelabelRule, RelabelError> {
        let action = Action::ALL
            .into_iter()
            .find(|action| self.action.eq_ignore_ascii_case(action.name()))
            .ok_or_else(|| RelabelError::UnknownAction(self.action.clone()))?;
        let pattern = Pattern::new(&self.regex)
            .map_err(|reason| RelabelError::Regex(reason, self.regex.clone()))?;
        self.check(action, scheme)?;
        let literal = self.regex == ANYTHING
            && !self.target_label.contains('$')
            && !self.replacement.contains('$');
        Ok(RelabelRule {
            action,
            source_labels: self.source_labels.clone(),
            separator: self.separator.clone(),
            literal,
            modulus: self.modulus,
            target_label: self.target_label.clone(),
            target: Template::new(&self.target_label, &pattern),
            replacement_text: self.replacement.clone(),
            replacement: Template::new(&self.replacement, &pattern),
            pattern,
            scheme,
        })
    }

    fn check(&self, action: Action, scheme: NameScheme) -> Result<(), RelabelError> {
        let defaults = Self::default();
        if action == Action::HashMod && self.modulus == 0 {
            return Err(RelabelError::NoModulus);
        }
        if action.has_target() && self.target_label.is_empty() {
            return Err(RelabelError::NoTarget(action));
        }
        let template = action == Action::Replace && self.target_label.contains('$');
        let valid = if template {
            valid_template(&self.target_label, scheme)
        } else {
            scheme.allows_label(&self.target_label)
        };
        if action.has_target() && !valid {
            return Err(RelabelError::BadTarget(action, self.target_label.clone()));
        }
        let replacement_set = self.replacement != defaults.replacement;
        let equality = matches!(action, Action::KeepEqual | Action::DropEqual);
        let fixed = equality || matches!(action, Action::Lowercase | Action::Uppercase);
        if fixed && replacement_set {
            return Err(RelabelError::ReplacementSet(action));
        }
        if action == Action::LabelMap && !valid_template(&self.replacement, scheme) {
            return Err(RelabelError::BadReplacement(self.replacement.clone()));
        }
        let others_set = self.modulus != 0 || self.separator != defaults.separator;
        if equality && (others_set || self.regex != ANYTHING) {
            return Err(RelabelError::OnlySourceAndTarget(action));
        }
        let names = matches!(action, Action::LabelDrop | Action::LabelKeep);
        let sourced = !self.source_labels.is_empty() || !self.target_label.is_empty();
        if names && (others_set || sourced || replacement_set) {
            return Err(RelabelError::OnlyRegex(action));
        }
        Ok(())
    }
}

/// Whether a label name with references to groups may be valid once they are filled in.
fn valid_template(name: &str, scheme: NameScheme) -> bool {
    if scheme == NameScheme::Utf8 {
        return !name.is_empty();
    }
    // Each reference counts as a letter.
    let mut plain = String::new();
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('$') {
        plain.push_str(before);
        plain.push('x');
        let braced = after
            .strip_prefix('{')
            .and_then(|inner| inner.split_once('}'));
        let (word, tail) = braced.unwrap_or_else(|| {
            let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
            after.split_at(after.find(word).unwrap_or(after.len()))
        });
        if word.is_empty() {
            return false;
        }
        rest = tail;
    }
    plain.push_str(rest);
    scheme.allows_label(&plain)
}

impl RelabelRule {
    /// What the rule does.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// Whether the rule may change the metric name, so that type, unit and help get lost.
    #[must_use]
    pub fn writes_metric_name(&self) -> bool {
        self.action.has_target()
            && !matches!(self.action, Action::KeepEqual | Action::DropEqual)
            && self.target_label == crate::labels::METRIC_NAME
    }

    /// Applies the rule; `false` means that the labels are to be dropped.
    pub fn apply(&self, labels: &mut LabelSet) -> bool {
        let input = self.input(labels);
        match self.action {
            Action::Keep => return self.pattern.is_match(&input),
            Action::Drop => return !self.pattern.is_match(&input),
            Action::KeepEqual => return labels.get(&self.target_label) == input,
            Action::DropEqual => return labels.get(&self.target_label) != input,
            Action::Replace => self.replace(labels, &input),
            Action::HashMod => {
                let hash = Md5::digest(input.as_bytes());
                let low = hash
                    .iter()
                    .skip(8)
                    .fold(0u64, |low, byte| low << 8 | u64::from(*byte));
                let remainder = low.checked_rem(self.modulus).unwrap_or(0);
                labels.set(&self.target_label, &remainder.to_string());
            }
            Action::Lowercase => {
                labels.set(&self.target_label, &map_case(&input, char::to_lowercase));
            }
            Action::Uppercase => {
                labels.set(&self.target_label, &map_case(&input, char::to_uppercase));
            }
            Action::LabelMap => self.map_names(labels),
            Action::LabelDrop => labels.retain(|name, _| !self.pattern.is_match(name)),
            Action::LabelKeep => labels.retain(|name, _| self.pattern.is_match(name)),
        }
        true
    }

    /// The values of the source labels, joined.
    fn input(&self, labels: &LabelSet) -> String {
        let mut input = String::new();
        for (at, name) in self.source_labels.iter().enumerate() {
            if at > 0 {
                input.push_str(&self.separator);
            }
            input.push_str(labels.get(name));
        }
        input
    }

    fn replace(&self, labels: &mut LabelSet, input: &str) {
        if self.literal && input.is_empty() {
            labels.set(&self.target_label, &self.replacement_text);
            return;
        }
        let Some(captures) = self.pattern.captures(input) else {
            return;
        };
        let mut target = String::new();
        self.target.expand(&captures, &mut target);
        if !self.scheme.allows_label(&target) {
            return;
        }
        let mut value = String::new();
        self.replacement.expand(&captures, &mut value);
        labels.set(&target, &value);
    }

    fn map_names(&self, labels: &mut LabelSet) {
        let mut copies: Vec<(String, String)> = Vec::new();
        for (name, value) in labels.iter() {
            if let Some(captures) = self.pattern.captures(name) {
                let mut target = String::new();
                self.replacement.expand(&captures, &mut target);
                copies.push((target, value.to_owned()));
            }
        }
        for (name, value) in copies {
            labels.set(&name, &value);
        }
    }
}

/// Maps character by character, as Go does: those that would become several stay.
fn map_case<I: Iterator<Item = char>>(text: &str, map: impl Fn(char) -> I) -> String {
    text.chars()
        .map(|character| {
            let mut mapped = map(character);
            match (mapped.next(), mapped.next()) {
                (Some(one), None) => one,
                _ => character,
            }
        })
        .collect()
}

/// Applies rules in order until one drops the labels; `false` if one did.
pub fn apply_all(rules: &[RelabelRule], labels: &mut LabelSet) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

#[cfg(test)]
mod tests;
