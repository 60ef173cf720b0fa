//! From the locations of the command line to one tree.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::environment::{Environment, Fetch};
use crate::expand::Expander;
use crate::location::{Content, Reader, split_scheme};
use crate::merge::{merge, nest, nest_keys};
use crate::node::{Node, Value};
use crate::source::{Origin, Source, Span};
use crate::yaml::parse_yaml;

/// A configuration with all sources merged and all references resolved.
#[derive(Debug)]
pub struct Loaded {
    /// The tree; always a map with at least one key.
    pub root: Node,
    /// Findings that do not forbid its use, such as variables that are not set.
    pub warnings: Vec<Diagnostic>,
}

/// Reads the sources in order, lays each over those before it, then `sets` (`path.to.key=value`) over
/// all, and resolves `${...}` in values.
///
/// A location is a path or `scheme:...` with the schemes `file`, `env`, `yaml` and those of `fetch`.
/// In a set, `.` and `::` both nest, and the value is read as YAML. In values `${env:NAME}` and
/// `${NAME}` stand for a variable, with `:-text` for a default; any other scheme works too; `$$` is a
/// literal `$`. A variable that is not set becomes null, and a warning names it.
///
/// The errors of all sources come back together, and those of all references.
pub fn load(
    locations: &[String],
    sets: &[String],
    environment: &dyn Environment,
    fetch: &dyn Fetch,
) -> Result<Loaded, Diagnostics> {
    let mut reader = Reader::new(environment, fetch);
    let mut errors = Diagnostics::default();
    let mut warnings = Vec::new();
    let mut merged: Option<Node> = None;
    let mut lay_over = |over: Node| match &mut merged {
        Some(base) => merge(base, over),
        None => merged = Some(over),
    };
    if locations.is_empty() {
        errors.push(Diagnostic::error("no configuration is named").hint("give --config FILE"));
    }
    for location in locations {
        match read_location(location, &mut reader, &mut warnings) {
            Ok(Some(node)) => lay_over(node),
            Ok(None) => {}
            Err(error) => errors.push(error),
        }
    }
    for set in sets {
        match read_set(set) {
            Ok(node) => lay_over(node),
            Err(error) => errors.push(error),
        }
    }
    if errors.has_errors() {
        return Err(errors);
    }
    let mut root = merged.unwrap_or_else(|| Node::synthetic(Value::Map(Vec::new())));
    let mut expander = Expander::new(&mut reader);
    expander.expand(&mut root);
    errors.extend(expander.errors);
    warnings.extend(expander.warnings);
    nest_keys(&mut root);
    if root.entries().is_empty() && !errors.has_errors() {
        errors.push(Diagnostic::error("empty configuration file").hint(format!(
            "nothing but blanks or comments was found in {}",
            locations.join(", ")
        )));
    }
    if errors.has_errors() {
        errors.extend(warnings);
        return Err(errors);
    }
    Ok(Loaded { root, warnings })
}

/// The map behind a location; `None` if it is empty.
fn read_location(
    location: &str,
    reader: &mut Reader<'_>,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Option<Node>, Diagnostic> {
    let (scheme, rest) = split_scheme(location).unwrap_or(("file", location));
    let source = match reader.read(scheme, rest, Origin::Document)? {
        Content::Text(source) => source,
        Content::Unset(name) => {
            warnings.push(unset(&name));
            return Ok(None);
        }
    };
    top_level(parse_yaml(&source)?)
}

/// A configuration must be a map, or nothing.
fn top_level(mut node: Node) -> Result<Option<Node>, Diagnostic> {
    match node.value() {
        Value::Map(_) => {
            nest_keys(&mut node);
            Ok(Some(node))
        }
        Value::Null => Ok(None),
        _ => Err(Diagnostic::error(format!(
            "a configuration must be a map, this is {}",
            node.kind()
        ))
        .at(node.span())),
    }
}

/// `path.to.key=value` as a tree.
fn read_set(set: &str) -> Result<Node, Diagnostic> {
    let source = Source::new("--set", set, Origin::Argument);
    let length = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX);
    let whole = Span {
        end: length(set),
        ..Span::start_of(&source)
    };
    let Some((path, value)) = set.split_once('=') else {
        // What stands there may be a value, so it is not repeated.
        return Err(
            Diagnostic::error("missing equal sign in --set").hint("write --set path.to.key=value")
        );
    };
    let dotted = path.trim().replace("::", ".");
    let keys: Vec<&str> = dotted.split('.').map(str::trim).collect();
    if keys.iter().any(|key| key.is_empty()) {
        return Err(
            Diagnostic::error(format!("`{}` is not a path of keys", path.trim()))
                .hint("write --set path.to.key=value"),
        );
    }
    // Blanks in the place of the path keep the positions of the value right.
    let blank = " ".repeat(path.len() + 1);
    let padded = Source::new(
        "--set",
        format!("{blank}{}", value.trim()),
        Origin::Argument,
    );
    let mut node = parse_yaml(&padded).map_err(|error| {
        Diagnostic {
            span: None,
            ..error
        }
        .in_path(dotted.clone())
        .hint("the value of --set is read as YAML: put text with special characters in quotes")
    })?;
    replace_source(&mut node, &source);
    node.key_span = Some(Span {
        end: length(path.trim_end()),
        ..whole.clone()
    });
    Ok(Node::new(Value::Map(vec![nest(&keys, node)]), whole))
}

/// Lets errors show the argument as it was given.
fn replace_source(node: &mut Node, source: &std::sync::Arc<Source>) {
    node.span.source = source.clone();
    if let Some(span) = &mut node.key_span {
        span.source = source.clone();
    }
    match &mut node.value {
        Value::List(nodes) => nodes
            .iter_mut()
            .for_each(|node| replace_source(node, source)),
        Value::Map(entries) => {
            entries
                .iter_mut()
                .for_each(|entry| replace_source(&mut entry.value, source));
        }
        _ => {}
    }
}

pub(crate) fn unset(name: &str) -> Diagnostic {
    Diagnostic::warning(format!(
        "configuration references unset environment variable `{name}`"
    ))
}
