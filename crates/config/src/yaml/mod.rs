//! YAML text to a tree of nodes. The only file that names the parser crate.
//!
//! The tree is built over a stack of open collections, so that no depth of nesting can exhaust the
//! thread's stack; depth, size and what aliases multiply are bounded.

mod scalar;

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use crate::diagnostic::Diagnostic;
use crate::node::{Entry, Node, Value};
use crate::source::{Source, Span};

/// Longest text that is read, in bytes.
pub(crate) const MAX_BYTES: usize = 16 << 20;
/// Most values in one document, aliases counted as often as they are used.
pub(crate) const MAX_NODES: usize = 500_000;
/// Deepest nesting of lists and maps.
pub(crate) const MAX_DEPTH: usize = 100;

/// Reads one YAML document with the rules of the reference: the types of the core schema with
/// `yes`, `on` and `off` as text, merge keys (`<<`), anchors and aliases, keys as text. Duplicate keys,
/// a second document and keys that are lists or maps are errors. An empty text is null.
pub fn parse_yaml(source: &Arc<Source>) -> Result<Node, Diagnostic> {
    if source.text().len() > MAX_BYTES {
        return Err(
            Diagnostic::error(format!("the text is longer than {MAX_BYTES} bytes"))
                .at(&Span::start_of(source)),
        );
    }
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        block_scalar_eof_without_line_feed: true,
    };
    let mut builder = Builder::new(source);
    for next in Parser::new_from_str_with_options(source.text(), options) {
        let (event, span) = next.map_err(|error| builder.syntax_error(&error))?;
        builder.event(event, &span)?;
    }
    Ok(builder
        .root
        .unwrap_or_else(|| Node::new(Value::Null, Span::start_of(source))))
}

/// A finished value with what it costs to repeat it.
struct Finished {
    node: Node,
    nodes: usize,
    height: usize,
}

/// A list or map whose end has not come yet.
struct Open {
    content: Content,
    span: Span,
    anchor: usize,
    nodes: usize,
    height: usize,
}

enum Content {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        lines: HashMap<String, u32>,
        key: Option<Key>,
        merges: Vec<Node>,
    },
}

struct Key {
    text: String,
    span: Span,
    is_merge: bool,
}

struct Builder<'a> {
    source: &'a Arc<Source>,
    open: Vec<Open>,
    anchors: HashMap<usize, Finished>,
    nodes: usize,
    documents: usize,
    root: Option<Node>,
}

impl<'a> Builder<'a> {
    fn new(source: &'a Arc<Source>) -> Self {
        Self {
            source,
            open: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            documents: 0,
            root: None,
        }
    }

    fn event(&mut self, event: Event<'_>, at: &granit_parser::Span) -> Result<(), Diagnostic> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Diagnostic::error("a second document starts here")
                        .at(&self.span(at))
                        .label("one text holds one document; give it a file of its own"));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = style != ScalarStyle::Plain;
                self.scalar(&text, quoted, anchor, tag.as_deref(), self.span(at))
            }
            Event::SequenceStart(_, anchor, _) => {
                self.start(Content::List(Vec::new()), anchor, self.span(at))
            }
            Event::MappingStart(_, anchor, _) => {
                let content = Content::Map {
                    entries: Vec::new(),
                    lines: HashMap::new(),
                    key: None,
                    merges: Vec::new(),
                };
                self.start(content, anchor, self.span(at))
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(at),
            Event::Alias(anchor) => self.alias(anchor, &self.span(at)),
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        quoted: bool,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Diagnostic> {
        let key_wanted = matches!(
            self.open.last(),
            Some(Open {
                content: Content::Map { key: None, .. },
                ..
            })
        );
        if key_wanted {
            if anchor != 0 {
                let node = Node::new(Value::String(text.to_owned()), span.clone());
                self.anchors.insert(
                    anchor,
                    Finished {
                        node,
                        nodes: 1,
                        height: 0,
                    },
                );
            }
            return self.key(text, !quoted && tag.is_none(), span);
        }
        let tag = tag.and_then(|tag| tag.suffix_in_namespace("tag:yaml.org,2002:"));
        let value = scalar::resolve(text, quoted, tag.as_deref())
            .map_err(|message| Diagnostic::error(message).at(&span))?;
        self.finish(
            Finished {
                node: Node::new(value, span),
                nodes: 1,
                height: 0,
            },
            anchor,
        )
    }

    fn key(&mut self, text: &str, plain: bool, span: Span) -> Result<(), Diagnostic> {
        let Some(Open {
            content: Content::Map { lines, key, .. },
            ..
        }) = self.open.last_mut()
        else {
            return Ok(());
        };
        if let Some(line) = lines.insert(text.to_owned(), span.line) {
            return Err(Diagnostic::error(format!(
                "mapping key `{text}` already defined at line {line}"
            ))
            .at(&span)
            .label("keys must be unique: merge the two, or remove one"));
        }
        *key = Some(Key {
            text: text.to_owned(),
            span,
            is_merge: plain && text == "<<",
        });
        Ok(())
    }

    fn start(&mut self, content: Content, anchor: usize, span: Span) -> Result<(), Diagnostic> {
        if let Some(Open {
            content: Content::Map { key: None, .. },
            ..
        }) = self.open.last()
        {
            return Err(Diagnostic::error("a key cannot be a list or a map")
                .at(&span)
                .hint("if braces or brackets belong to the text, put it in quotes"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(&span));
        }
        self.open.push(Open {
            content,
            span,
            anchor,
            nodes: 1,
            height: 0,
        });
        Ok(())
    }

    fn end(&mut self, at: &granit_parser::Span) -> Result<(), Diagnostic> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let Open {
            content,
            mut span,
            anchor,
            mut nodes,
            height,
        } = open;
        let end = offset(&at.end).max(span.start);
        // The parser ends a block collection at the next token, beyond blanks and comments.
        span.end = end;
        let blank = span.text().len() - span.text().trim_end().len();
        span.end = end - u32::try_from(blank).unwrap_or(0);
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map {
                mut entries,
                lines,
                merges,
                ..
            } => {
                nodes += self.merge(&mut entries, lines, merges)?;
                Value::Map(entries)
            }
        };
        self.finish(
            Finished {
                node: Node::new(value, span),
                nodes,
                height: height + 1,
            },
            anchor,
        )
    }

    /// Adds the entries of `<<` that the map does not have itself; earlier ones win.
    fn merge(
        &mut self,
        entries: &mut Vec<Entry>,
        mut lines: HashMap<String, u32>,
        merges: Vec<Node>,
    ) -> Result<usize, Diagnostic> {
        let mut added = 0;
        for node in merges {
            let span = node.place().clone();
            let maps = match node.value {
                Value::List(nodes) => nodes,
                value => vec![Node { value, ..node }],
            };
            for map in maps {
                let Value::Map(more) = map.value else {
                    return Err(Diagnostic::error("`<<` takes a map or a list of maps").at(&span));
                };
                for entry in more {
                    if lines.insert(entry.key.clone(), span.line).is_none() {
                        added += 1;
                        entries.push(entry);
                    }
                }
            }
        }
        Ok(added)
    }

    fn alias(&mut self, anchor: usize, span: &Span) -> Result<(), Diagnostic> {
        let Some(target) = self.anchors.get(&anchor) else {
            return Err(Diagnostic::error("this alias stands inside its own anchor").at(span));
        };
        if let Some(Open {
            content: Content::Map { key: None, .. },
            ..
        }) = self.open.last()
        {
            return match target.node.scalar_text().map(std::borrow::Cow::into_owned) {
                Some(text) => self.key(&text, false, span.clone()),
                None => Err(Diagnostic::error("a key cannot be a list or a map").at(span)),
            };
        }
        if self.open.len() + target.height > MAX_DEPTH {
            return Err(too_deep(span));
        }
        // Checked before the copy is made, so that no tower of aliases can fill the memory.
        if self.nodes + target.nodes > MAX_NODES {
            return Err(too_many(span));
        }
        let copy = Finished {
            node: target.node.clone(),
            nodes: target.nodes,
            height: target.height,
        };
        self.nodes += copy.nodes;
        self.place(copy)
    }

    fn finish(&mut self, finished: Finished, anchor: usize) -> Result<(), Diagnostic> {
        self.nodes += 1;
        if anchor != 0 {
            // The copy kept for aliases counts too.
            self.nodes += finished.nodes;
            let Finished {
                ref node,
                nodes,
                height,
            } = finished;
            self.anchors.insert(
                anchor,
                Finished {
                    node: node.clone(),
                    nodes,
                    height,
                },
            );
        }
        if self.nodes > MAX_NODES {
            return Err(too_many(finished.node.span()));
        }
        self.place(finished)
    }

    /// Puts a value where it belongs: into the innermost open collection, or at the top.
    fn place(&mut self, finished: Finished) -> Result<(), Diagnostic> {
        let Finished {
            mut node,
            nodes,
            height,
        } = finished;
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.nodes += nodes;
        open.height = open.height.max(height);
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map {
                entries,
                key,
                merges,
                ..
            } => {
                let Some(Key {
                    text,
                    span,
                    is_merge,
                }) = key.take()
                else {
                    return Err(Diagnostic::error("a key cannot be a list or a map").at(&node.span));
                };
                node.key_span = Some(span);
                if is_merge {
                    merges.push(node);
                } else {
                    entries.push(Entry {
                        key: text,
                        value: node,
                    });
                }
            }
        }
        Ok(())
    }

    fn span(&self, at: &granit_parser::Span) -> Span {
        let start = offset(&at.start);
        Span {
            end: offset(&at.end).max(start),
            ..self.point(&at.start)
        }
    }

    fn point(&self, mark: &Marker) -> Span {
        let start = offset(mark);
        Span {
            source: Arc::clone(self.source),
            line: u32::try_from(mark.line()).unwrap_or(u32::MAX),
            column: u32::try_from(mark.col() + 1).unwrap_or(u32::MAX),
            start,
            end: start,
        }
    }

    fn first_of_line(&self, line: u32) -> Span {
        let before = self
            .source
            .text()
            .split_inclusive('\n')
            .take((line as usize).saturating_sub(1));
        let start = u32::try_from(before.map(str::len).sum::<usize>()).unwrap_or(0);
        Span {
            line,
            start,
            end: start,
            ..Span::start_of(self.source)
        }
    }

    fn syntax_error(&self, error: &ScanError) -> Diagnostic {
        let mut span = self.point(error.marker());
        let tabbed = |line: u32| {
            let text = self.source.line(line).unwrap_or("");
            text.trim_start_matches(' ').starts_with('\t')
        };
        // The parser names the end of the line before; the tab itself is easier to understand.
        if !tabbed(span.line) && tabbed(span.line + 1) && error.info().contains("tab") {
            span = self.first_of_line(span.line + 1);
        }
        let line = self.source.line(span.line).unwrap_or("");
        let hint = if line.contains("${") && line.replace("${", "").contains(['{', '[']) {
            "inside {...} and [...] a ${...} must stand in quotes: \"${env:NAME}\""
        } else if tabbed(span.line) {
            "indent with blanks; YAML allows no tabs there"
        } else {
            ""
        };
        Diagnostic::error(format!("this is not valid YAML: {}", error.info()))
            .at(&span)
            .hint(hint)
    }
}

fn offset(mark: &Marker) -> u32 {
    mark.byte_offset()
        .and_then(|offset| u32::try_from(offset).ok())
        .unwrap_or(0)
}

fn too_deep(span: &Span) -> Diagnostic {
    Diagnostic::error(format!(
        "lists and maps are nested more than {MAX_DEPTH} deep"
    ))
    .at(span)
}

fn too_many(span: &Span) -> Diagnostic {
    Diagnostic::error(format!(
        "more than {MAX_NODES} values, with aliases written out"
    ))
    .at(span)
}
