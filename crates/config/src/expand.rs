//! Resolves `${...}` in the values of a tree (section 4 of the reference's configuration page).

use std::collections::HashSet;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::load::unset;
use crate::location::{Content, Reader, is_variable_name, split_scheme};
use crate::node::{Node, Value};
use crate::source::{Origin, Span};
use crate::yaml::{MAX_DEPTH, MAX_NODES, parse_yaml};

/// Most references resolved one after the other in one value, as in the reference.
const MAX_ROUNDS: usize = 1000;
/// Most references inside the text of references.
const MAX_NESTED: usize = 50;
/// Longest text that references may build up, in bytes.
const MAX_TEXT: usize = 1 << 20;
/// Most bytes that all references together may bring in.
const MAX_TOTAL: usize = 64 << 20;

pub(crate) struct Expander<'r, 'a> {
    reader: &'r mut Reader<'a>,
    pub(crate) errors: Vec<Diagnostic>,
    pub(crate) warnings: Vec<Diagnostic>,
    warned: HashSet<(String, u32)>,
    bytes: usize,
    nodes: usize,
    /// A bound was hit; going on would only find it again, many times.
    given_up: bool,
}

/// How deep the value stands: in the tree, and in references inside references.
#[derive(Clone, Copy)]
struct Depth {
    tree: usize,
    references: usize,
}

/// What a text became.
enum Outcome {
    Text(String),
    /// The text was one reference to something that is not text, given with its own text.
    Typed {
        value: Value,
        original: Option<String>,
    },
}

impl<'r, 'a> Expander<'r, 'a> {
    pub(crate) fn new(reader: &'r mut Reader<'a>) -> Self {
        Self {
            reader,
            errors: Vec::new(),
            warnings: Vec::new(),
            warned: HashSet::new(),
            bytes: 0,
            nodes: 0,
            given_up: false,
        }
    }

    /// Resolves all references below `root`. What cannot be resolved becomes null, with an error.
    pub(crate) fn expand(&mut self, root: &mut Node) {
        self.expand_node(
            root,
            "",
            Depth {
                tree: 0,
                references: 0,
            },
        );
    }

    fn expand_node(&mut self, node: &mut Node, path: &str, depth: Depth) {
        let inner = Depth {
            tree: depth.tree + 1,
            ..depth
        };
        if self.given_up {
            return;
        }
        match &mut node.value {
            Value::List(nodes) => {
                for (index, child) in nodes.iter_mut().enumerate() {
                    self.expand_node(child, &format!("{path}[{index}]"), inner);
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    let path = crate::validate::join(path, &entry.key);
                    self.expand_node(&mut entry.value, &path, inner);
                }
            }
            Value::String(text) if text.contains('$') => {
                let text = std::mem::take(text);
                let outcome = self.expand_text(text, &node.span, path, depth);
                self.store(node, outcome, path);
            }
            _ => {}
        }
    }

    fn store(&mut self, node: &mut Node, outcome: Result<Outcome, Diagnostic>, path: &str) {
        match outcome {
            Ok(Outcome::Text(text)) => node.value = Value::String(text),
            Ok(Outcome::Typed { value, original }) => {
                node.value = value;
                node.original = original.map(Arc::from);
            }
            Err(error) => {
                let error = match error.span {
                    Some(_) => error,
                    None => error.at(&node.span),
                };
                self.errors.push(error.in_path(path));
                node.value = Value::Null;
            }
        }
    }

    /// Resolves the references of one text, also those that references bring in.
    fn expand_text(
        &mut self,
        mut text: String,
        span: &Span,
        path: &str,
        depth: Depth,
    ) -> Result<Outcome, Diagnostic> {
        for _ in 0..MAX_ROUNDS {
            let Some((start, end)) = find_reference(&text) else {
                return Ok(Outcome::Text(text.replace("$$", "$")));
            };
            let whole = start == 0 && end == text.len();
            let reference = text.get(start + 2..end - 1).unwrap_or("").to_owned();
            let place = narrow(span, &format!("${{{reference}}}"));
            let content = self.read(&reference).map_err(|error| error.at(&place))?;
            let source = match content {
                Content::Text(source) => source,
                Content::Unset(name) => {
                    if self.warned.insert((name.clone(), place.start)) {
                        self.warnings.push(unset(&name).at(&place).in_path(path));
                    }
                    if whole {
                        return Ok(Outcome::Typed {
                            value: Value::Null,
                            original: None,
                        });
                    }
                    text.replace_range(start..end, "");
                    continue;
                }
            };
            self.bytes += source.text().len();
            if self.bytes > MAX_TOTAL || text.len() + source.text().len() > MAX_TEXT.max(end) {
                return Err(self.too_large().at(&place));
            }
            // As in the reference, what is not YAML counts as text.
            let parsed = parse_yaml(&source).unwrap_or_else(|_| {
                Node::new(
                    Value::String(source.text().to_owned()),
                    Span::start_of(&source),
                )
            });
            let from_file = reference.starts_with("file:");
            let written = if from_file {
                source.text().trim_end()
            } else {
                source.text()
            };
            match (parsed.value(), whole) {
                (Value::String(_), true) => written.clone_into(&mut text),
                (Value::List(_) | Value::Map(_), false) => {
                    return Err(Diagnostic::error(format!(
                        "`${{{reference}}}` is {}, which cannot stand inside a text",
                        parsed.kind()
                    ))
                    .at(&place));
                }
                (_, false) => text.replace_range(start..end, written),
                (_, true) => return self.typed(parsed, written, span, path, depth),
            }
        }
        Err(self.too_many_rounds())
    }

    /// A value that came whole out of a reference and is not text.
    fn typed(
        &mut self,
        mut parsed: Node,
        written: &str,
        span: &Span,
        path: &str,
        depth: Depth,
    ) -> Result<Outcome, Diagnostic> {
        let inner = Depth {
            references: depth.references + 1,
            ..depth
        };
        if inner.references > MAX_NESTED {
            return Err(self.too_many_rounds());
        }
        let size = size_of(&parsed);
        self.nodes += size.nodes;
        if self.nodes > MAX_NODES || depth.tree + size.height > MAX_DEPTH {
            return Err(self.too_large());
        }
        let mut original = Some(written.replace("$$", "$"));
        if size.height > 0 {
            self.expand_node(&mut parsed, path, inner);
            if written.contains("${") {
                // Only a field that takes text would ask for it, and a map there is rare.
                let resolved = self.expand_text(written.to_owned(), span, path, inner);
                original = match resolved {
                    Ok(Outcome::Text(text)) => Some(text),
                    _ => None,
                };
            }
        }
        Ok(Outcome::Typed {
            value: parsed.value,
            original,
        })
    }

    fn too_many_rounds(&mut self) -> Diagnostic {
        self.given_up = true;
        Diagnostic::error("too many recursive expansions")
            .hint("a reference leads back to itself; for a literal ${...} write $${...}")
    }

    fn too_large(&mut self) -> Diagnostic {
        self.given_up = true;
        Diagnostic::error("the references make too large a configuration")
    }

    /// Reads what stands between the braces: `scheme:rest`, `NAME` or `NAME:-default`.
    fn read(&mut self, reference: &str) -> Result<Content, Diagnostic> {
        if reference.contains('$') {
            return Err(Diagnostic::error(format!(
                "`${{{reference}}}` contains the unsupported character `$`"
            )));
        }
        let name = reference
            .split_once(":-")
            .map_or(reference, |(name, _)| name);
        let (scheme, rest) = match split_scheme(reference) {
            Some((scheme, rest)) if self.reader.knows(scheme) => (scheme, rest),
            // The reference wants `env:` before a name with a default; there is no need for it.
            _ if is_variable_name(name) || !reference.contains(':') => ("env", reference),
            Some((scheme, _)) => return Err(self.reader.unknown(scheme)),
            None => {
                return Err(
                    Diagnostic::error(format!("`${{{reference}}}` is not a reference")).hint(
                        "write ${env:NAME} or ${file:path}; for a literal ${...} write $${...}",
                    ),
                );
            }
        };
        let origin = if scheme == "file" {
            Origin::Document
        } else {
            Origin::Reference
        };
        self.reader.read(scheme, rest, origin)
    }
}

/// The first reference that is not escaped, innermost first: from `${` to `}`.
fn find_reference(text: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    loop {
        let close = from + text.get(from..)?.find('}')?;
        let open = text.get(from..close)?.rfind("${").map(|open| from + open);
        from = close + 1;
        let Some(open) = open else { continue };
        let before = text.get(..open)?;
        let dollars = before.len() - before.trim_end_matches('$').len();
        // An even number of `$` in all means that the last one is escaped.
        if dollars % 2 == 0 {
            return Some((open, close + 1));
        }
    }
}

/// The place of `reference` inside the text at `span`, if it stands there as it is.
fn narrow(span: &Span, reference: &str) -> Span {
    let before = match span.text().split_once(reference) {
        Some((before, _)) if !before.contains('\n') => before,
        _ => return span.clone(),
    };
    let length = |count: usize| u32::try_from(count).unwrap_or(0);
    let start = span.start + length(before.len());
    Span {
        column: span.column + length(before.chars().count()),
        start,
        end: start + length(reference.len()),
        ..span.clone()
    }
}

struct Size {
    nodes: usize,
    height: usize,
}

/// Number of values and levels; trees out of the parser are never deeper than its limit.
fn size_of(node: &Node) -> Size {
    let add = |total: Size, child: &Node| {
        let child = size_of(child);
        Size {
            nodes: total.nodes + child.nodes,
            height: total.height.max(child.height + 1),
        }
    };
    let one = Size {
        nodes: 1,
        height: 0,
    };
    match node.value() {
        // An empty collection has a level too: it is no scalar.
        Value::List(nodes) => nodes.iter().fold(Size { height: 1, ..one }, add),
        Value::Map(entries) => entries
            .iter()
            .map(|entry| &entry.value)
            .fold(Size { height: 1, ..one }, add),
        _ => one,
    }
}
