//! Words and signs of a condition.

use super::SyntaxError;

/// One word or sign.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Name(String),
    Text(String),
    Int(i64),
    Double(f64),
    Bytes(Vec<u8>),
    Sign(&'static str),
}

/// Signs, the longer ones first.
const SIGNS: [&str; 20] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "+", "-", "*", "/", "(", ")", "[", "]", ",", ".",
    "!", ":",
];

/// A token and where it begins.
pub(super) type Placed = (usize, Token);

/// Cuts a condition into tokens.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, SyntaxError> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(first) = rest.chars().next() else { break };
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (token, length) = if first == '"' || first == '\'' {
            quoted(rest, first, at)?
        } else if first.is_ascii_digit() {
            number(rest, at)?
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let name = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            (Token::Name(name.to_owned()), name.len())
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), sign.len())
        } else {
            let text = format!("unexpected character `{first}`");
            return Err(SyntaxError::new(at, text, "quote texts with \""));
        };
        out.push((at, token));
        at += length;
    }
    Ok(out)
}

fn quoted(rest: &str, quote: char, at: usize) -> Result<(Token, usize), SyntaxError> {
    let mut out = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((place, character)) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, 't')) => out.push('\t'),
                Some((_, 'r')) => out.push('\r'),
                Some((_, escaped @ ('"' | '\'' | '\\'))) => out.push(escaped),
                // An escape of a regular expression.
                Some((_, other)) => out.extend(['\\', other]),
                None => break,
            },
            end if end == quote => return Ok((Token::Text(out), place + 1)),
            other => out.push(other),
        }
    }
    Err(SyntaxError::new(at, "a text that does not end", "close it with a quote"))
}

fn number(rest: &str, at: usize) -> Result<(Token, usize), SyntaxError> {
    let run = |allowed: fn(char) -> bool| {
        rest.get(..rest.find(|c| !allowed(c)).unwrap_or(rest.len())).unwrap_or_default()
    };
    if let Some(hex) = rest.strip_prefix("0x") {
        let all = run(|c| c.is_ascii_alphanumeric());
        let digits = hex.get(..all.len().saturating_sub(2)).unwrap_or_default();
        let pairs = digits.as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
        return match bytes.filter(|_| digits.len() % 2 == 0 && !digits.is_empty()) {
            Some(bytes) => Ok((Token::Bytes(bytes), all.len())),
            None => Err(SyntaxError::new(at, format!("`{all}` is no run of bytes"), "write two hexadecimal digits a byte")),
        };
    }
    let digits = run(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E'));
    let wrong = || SyntaxError::new(at, format!("`{digits}` is no number"), "");
    let token = if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        Token::Int(digits.parse().map_err(|_| wrong())?)
    } else {
        Token::Double(digits.parse().map_err(|_| wrong())?)
    };
    Ok((token, digits.len()))
}
