//! Stack traces of six languages, read into frames and nested exceptions.
//!
//! The formats and their oddities are those of the reference (XR-25 to XR-32): the label of a
//! JavaScript frame keeps its trailing blank, a Java message over several lines loses its line
//! ends. Text that crashes the reference only ends the reading here.

use std::borrow::Cow;

use crate::ids::Ids;

/// A language with a known stack format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Language {
    /// Java, and PHP, whose SDK writes the same.
    Java,
    Python,
    JavaScript,
    DotNet,
    Go,
    /// Any other: no stack.
    #[default]
    Unknown,
}

impl Language {
    /// From `telemetry.sdk.language`.
    pub(crate) fn of(name: &str) -> Self {
        match name {
            "java" | "php" => Self::Java,
            "python" => Self::Python,
            "javascript" => Self::JavaScript,
            "dotnet" => Self::DotNet,
            "go" => Self::Go,
            _ => Self::Unknown,
        }
    }
}

/// One line of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub path: &'a str,
    pub line: i64,
    pub label: &'a str,
}

/// An exception with what was read from its stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exception<'a> {
    pub id: [u8; 8],
    pub kind: Cow<'a, str>,
    pub message: Cow<'a, str>,
    /// Id of the exception behind this one.
    pub cause: Option<[u8; 8]>,
    pub stack: Vec<Frame<'a>>,
}

/// The exceptions of one stack trace: the outermost one first, each the effect of the next.
#[derive(Debug)]
struct Chain<'a, 'i> {
    exceptions: Vec<Exception<'a>>,
    ids: &'i mut Ids,
}

impl<'a> Chain<'a, '_> {
    /// Adds a frame to the innermost exception.
    fn frame(&mut self, path: &'a str, line: i64, label: &'a str) {
        if let Some(exception) = self.exceptions.last_mut() {
            exception.stack.push(Frame { path, line, label });
        }
    }
    /// Adds the cause of the innermost exception.
    fn cause(&mut self, kind: Cow<'a, str>, message: Cow<'a, str>) {
        let id = self.ids.next_id();
        if let Some(effect) = self.exceptions.last_mut() {
            effect.cause = Some(id);
        }
        self.exceptions.push(Exception {
            id,
            kind,
            message,
            cause: None,
            stack: Vec::new(),
        });
    }
}

/// The exception of an event and those its stack trace names as causes.
pub(crate) fn read<'a>(
    language: Language,
    kind: &'a str,
    message: &'a str,
    stacktrace: &'a str,
    ids: &mut Ids,
) -> Vec<Exception<'a>> {
    let first = Exception {
        id: ids.next_id(),
        kind: kind.into(),
        message: message.into(),
        cause: None,
        stack: Vec::new(),
    };
    let mut chain = Chain {
        exceptions: vec![first],
        ids,
    };
    match language {
        Language::Java => java(stacktrace, &mut chain),
        Language::Python => python(stacktrace, &mut chain),
        Language::JavaScript => javascript(stacktrace, &mut chain),
        Language::DotNet => dotnet(stacktrace, &mut chain),
        Language::Go => go(stacktrace, &mut chain),
        Language::Unknown => {}
    }
    chain.exceptions
}

/// A line number as Go's `Atoi` reads it: 0 for no number, the nearest one for too large ones.
fn number(text: &str) -> i64 {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse()
        .unwrap_or_else(|e: std::num::ParseIntError| match e.kind() {
            PosOverflow => i64::MAX,
            NegOverflow => i64::MIN,
            _ => 0,
        })
}

fn java<'a>(text: &'a str, chain: &mut Chain<'a, '_>) {
    let mut lines = text.lines().skip(1).peekable();
    while let Some(line) = lines.next() {
        if let Some(frame) = line.strip_prefix("\tat ") {
            if let Some((label, place)) = frame.strip_suffix(')').and_then(|f| f.split_once('(')) {
                let (path, line) = place.split_once(':').unwrap_or((place, ""));
                chain.frame(path, number(line), without_module(label));
            }
            continue;
        }
        let Some(cause) = line.strip_prefix("Caused by: ") else {
            continue;
        };
        let (kind, message) = match cause.split_once(':') {
            // One blank follows the colon.
            Some((kind, message)) => (kind, after_first_char(message)),
            None => (cause, ""),
        };
        let mut message = Cow::Borrowed(message);
        // A message may run on; frames end it.
        while let Some(more) = lines.next_if(|line| !is_java_frame(line)) {
            message.to_mut().push_str(more);
        }
        chain.cause(kind.into(), message);
    }
}

fn is_java_frame(line: &str) -> bool {
    line.starts_with("\tat ") && line.contains('(') && line.ends_with(')')
}

/// A label without class loader or module, which end at the first slash.
fn without_module(label: &str) -> &str {
    label.split_once('/').map_or(label, |(_, rest)| rest)
}

fn after_first_char(text: &str) -> &str {
    let mut chars = text.chars();
    chars.next();
    chars.as_str()
}

fn python<'a>(text: &'a str, chain: &mut Chain<'a, '_>) {
    const BEFORE: &str = "During handling of the above exception, another exception occurred:";
    let lines: Vec<&str> = text.split('\n').collect();
    // The last line repeats type and message. The innermost call stands above it.
    let mut at = lines.len().saturating_sub(1);
    while let Some(index) = at.checked_sub(1) {
        at = index;
        let Some(line) = lines.get(index) else { return };
        if line.starts_with("  File ") {
            python_frame(line, chain);
        } else if line.starts_with(BEFORE) {
            // Above stand a blank line, the message, the source line of the call and its `File`.
            let above = lines.get(..index).unwrap_or(&[]);
            let Some(file) = above.iter().rposition(|line| line.starts_with("  File ")) else {
                return;
            };
            let Some(message) = lines.get(file + 2..index.saturating_sub(1)) else {
                return;
            };
            let message = message.join("\n");
            let Some((kind, message)) = message.split_once(':') else {
                return;
            };
            chain.cause(
                kind.to_owned().into(),
                after_first_char(message).to_owned().into(),
            );
            at = file + 1;
        }
    }
}

/// `  File "<path>", line <number>, in <label>`.
fn python_frame<'a>(line: &'a str, chain: &mut Chain<'a, '_>) {
    let mut parts = line.split(',');
    let (Some(file), Some(place), Some(label), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return;
    };
    // The path stands in quotes, one character each.
    let quoted = file.strip_prefix("  File ").map(after_first_char);
    let Some((end, _)) = quoted.and_then(|quoted| quoted.char_indices().next_back()) else {
        return;
    };
    let path = quoted.and_then(|quoted| quoted.get(..end)).unwrap_or("");
    let line = place.strip_prefix(" line ").map_or(0, number);
    chain.frame(path, line, label.strip_prefix(" in ").unwrap_or(""));
}

fn javascript<'a>(text: &'a str, chain: &mut Chain<'a, '_>) {
    for line in text.lines().skip(1) {
        let Some(frame) = line.strip_prefix("    at ") else {
            continue;
        };
        let (label, place) = match frame.split_once('(') {
            Some((label, place)) => match place.strip_suffix(')') {
                Some(place) => (label, place),
                None => continue,
            },
            None => ("", frame),
        };
        let mut parts = place.splitn(3, ':');
        let (path, line) = match (parts.next(), parts.next(), parts.next()) {
            (Some(path), Some(line), Some(_)) => (path, number(line)),
            (Some(_), Some(_), None) => (place, 0),
            _ if place.contains("native") => ("native", 0),
            _ => (place, 0),
        };
        if !path.is_empty() || !label.is_empty() || line != 0 {
            chain.frame(path, line, label);
        }
    }
}

fn dotnet<'a>(text: &'a str, chain: &mut Chain<'a, '_>) {
    for line in text.lines().skip(1) {
        let Some(frame) = line.trim().strip_prefix("at ") else {
            continue;
        };
        let mut parts = frame.split(" in ");
        let label = parts.next().unwrap_or("");
        if let Some(place) = parts.next() {
            let (path, line) = place.rsplit_once(':').unwrap_or((place, ""));
            let line = match line.strip_prefix("line") {
                Some(line) => after_first_char(line),
                None => line,
            };
            chain.frame(path, number(line), label);
        } else if let Some((label, _)) = frame
            .rfind(')')
            .and_then(|end| frame.split_at_checked(end + 1))
        {
            chain.frame("", 0, label);
        }
    }
}

fn go<'a>(text: &'a str, chain: &mut Chain<'a, '_>) {
    let mut lines = text.lines().skip(1);
    let (mut path, mut number) = ("", 0);
    while let Some(mut label) = lines.next() {
        // A text that breaks off still gives its last frame, with what is known.
        if is_goroutine(label) {
            label = lines.next().unwrap_or("");
        }
        if let Some((found, line)) = lines.next().and_then(go_place) {
            (path, number) = (found, line);
        }
        chain.frame(path, number, label);
    }
}

/// `goroutine ... running ...:`, the line above a goroutine's frames.
fn is_goroutine(line: &str) -> bool {
    let between = line.strip_prefix("goroutine");
    let Some(between) = between.and_then(|rest| rest.strip_suffix(':')) else {
        return false;
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // What stands before decides whether `goroutine` itself goes on.
    between.match_indices("running").any(|(at, found)| {
        let (before, after) = (between.get(..at), between.get(at + found.len()..));
        let before = before.and_then(|b| b.chars().next_back()).unwrap_or('e');
        let after = after.and_then(|a| a.chars().next()).unwrap_or(':');
        !is_word(before) && !is_word(after)
    })
}

/// The first `path:line` of a line.
fn go_place(line: &str) -> Option<(&str, i64)> {
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\u{c}' | '\r');
    line.match_indices(':').find_map(|(colon, _)| {
        let (before, after) = line.split_at_checked(colon)?;
        let after = after.get(1..)?;
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let start = before
            .char_indices()
            .rev()
            .take_while(|(_, c)| !is_space(*c) && *c != ':')
            .last()?
            .0;
        (digits > 0).then(|| Some((before.get(start..)?, number(after.get(..digits)?))))?
    })
}

#[cfg(test)]
#[path = "tests/stack.rs"]
mod tests;
