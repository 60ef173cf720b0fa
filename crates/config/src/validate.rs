//! Checks beyond types, with places found for them afterwards.

use crate::diagnostic::{Diagnostic, Severity};
use crate::node::{Node, Value};
use crate::source::Span;

/// A configuration that can tell what is wrong with its values.
pub trait Validate {
    /// Reports everything wrong into `errors`, and does not stop at the first.
    fn validate(&self, errors: &mut Errors);
}

/// Collects findings by key path; their places are looked up in the tree afterwards.
#[derive(Debug, Default)]
pub struct Errors {
    prefix: String,
    found: Vec<Finding>,
}

#[derive(Debug)]
struct Finding {
    severity: Severity,
    key_path: String,
    message: String,
    hint: String,
}

impl Errors {
    /// Reports an error at `key_path` (`sending_queue.queue_size`, `rules[2].name`; empty for the whole).
    /// `hint` says what to change; empty for none.
    pub fn push(&mut self, key_path: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.add(Severity::Error, key_path, message.into(), hint.into());
    }

    /// Reports something that works but is probably not meant.
    pub fn warn(&mut self, key_path: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.add(Severity::Warning, key_path, message.into(), hint.into());
    }

    /// Checks a part; its key paths are put behind `key_path`.
    pub fn nested(&mut self, key_path: &str, part: &impl Validate) {
        let outer = self.prefix.clone();
        self.prefix = join(&outer, key_path);
        part.validate(self);
        self.prefix = outer;
    }

    /// Nothing found yet?
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    fn add(&mut self, severity: Severity, key_path: &str, message: String, hint: String) {
        let key_path = join(&self.prefix, key_path);
        self.found.push(Finding {
            severity,
            key_path,
            message,
            hint,
        });
    }

    /// Finds the place of each finding in `node`, which stands at `path` in the whole tree.
    pub fn resolve(self, node: &Node, path: &str) -> Vec<Diagnostic> {
        let place = |finding: Finding| Diagnostic {
            severity: finding.severity,
            message: finding.message,
            span: Some(locate(node, &finding.key_path).clone()),
            path: join(path, &finding.key_path),
            hint: Some(finding.hint.into_boxed_str()).filter(|hint| !hint.is_empty()),
            label: None,
        };
        self.found.into_iter().map(place).collect()
    }
}

/// Joins two key paths: `a` and `b` to `a.b`, `a` and `[0]` to `a[0]`.
pub(crate) fn join(head: &str, tail: &str) -> String {
    match (head.is_empty(), tail.is_empty()) {
        (true, _) => tail.to_owned(),
        (_, true) => head.to_owned(),
        _ if tail.starts_with('[') => format!("{head}{tail}"),
        _ => format!("{head}.{tail}"),
    }
}

/// The place of the value under `key_path`, or of the nearest value round it that was written.
/// A key with dots in it is found as well: the longest key that fits is taken.
fn locate<'a>(node: &'a Node, key_path: &str) -> &'a Span {
    let mut here = node;
    let mut rest = key_path;
    loop {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if rest.is_empty() {
            let whole = here.entries().is_empty() && here.as_list().is_none() && !here.is_null();
            return if whole { &here.span } else { here.place() };
        }
        let Some((next, length)) = step(here, rest) else {
            return here.place();
        };
        here = next;
        rest = rest.get(length..).unwrap_or("");
    }
}

/// The child that `path` starts with, and how many bytes of the path name it.
fn step<'a>(node: &'a Node, path: &str) -> Option<(&'a Node, usize)> {
    match &node.value {
        Value::List(nodes) => {
            let close = path.find(']')?;
            let index: usize = path.get(..close)?.strip_prefix('[')?.parse().ok()?;
            Some((nodes.get(index)?, close + 1))
        }
        Value::Map(entries) => entries
            .iter()
            .filter(|entry| {
                path.strip_prefix(entry.key.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            })
            .max_by_key(|entry| entry.key.len())
            .filter(|entry| !entry.key.is_empty())
            .map(|entry| (&entry.value, entry.key.len())),
        _ => None,
    }
}
