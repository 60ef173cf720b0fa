//! What log groups get that have to be made: the keys `log_retention` and `tags` (EMF-02, EMF-03).

use std::collections::BTreeMap;

use weir_config::Errors;

/// Days that CloudWatch Logs accepts as a retention; 0 means for ever.
const RETENTION_DAYS: [i64; 22] = [
    0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 2192, 2557, 2922, 3288,
    3653,
];

/// Most tags of a group.
const MOST_TAGS: usize = 50;

/// Checks the two keys at their usual names.
pub(crate) fn validate(
    log_retention: i64,
    tags: Option<&BTreeMap<String, String>>,
    errors: &mut Errors,
) {
    if !RETENTION_DAYS.contains(&log_retention) {
        errors.push(
            "log_retention",
            format!("invalid value for retention policy: {log_retention}"),
            "use one of 0 (never expire), 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, \
             545, 731, 1827, 2192, 2557, 2922, 3288, 3653",
        );
    }
    if let Some(tags) = tags {
        validate_tags(tags, errors);
    }
}

fn validate_tags(tags: &BTreeMap<String, String>, errors: &mut Errors) {
    if tags.is_empty() {
        errors.push(
            "tags",
            "invalid amount of items. Please input at least 1 tag or remove the tag field",
            "",
        );
    }
    if tags.len() > MOST_TAGS {
        errors.push(
            "tags",
            "invalid amount of items. Please input at most 50 tags",
            "",
        );
    }
    for (key, value) in tags {
        let path = format!("tags.{key}");
        if !(1..=128).contains(&key.len()) {
            let message = format!("key - {key} has an invalid length. Use 1 to 128 bytes");
            errors.push("tags", message, "");
        }
        if !(1..=256).contains(&value.len()) {
            let message = format!("value - {value} has an invalid length. Use 1 to 256 bytes");
            errors.push(&path, message, "");
        }
        let hint = "use letters, digits, spaces and _ . : / = + - @ only";
        if !key.chars().all(is_tag_char) {
            let message = format!("key - {key} does not follow the regex pattern");
            errors.push("tags", message, hint);
        }
        if !value.chars().all(is_tag_char) {
            let message = format!("value - {value} does not follow the regex pattern");
            errors.push(&path, message, hint);
        }
    }
}

/// Unicode letters, separators and numbers, and `_ . : / = + - @`.
fn is_tag_char(c: char) -> bool {
    matches!(c, '_' | '.' | ':' | '/' | '=' | '+' | '-' | '@')
        || c.is_alphabetic()
        || c.is_numeric()
        || is_separator(c)
}

/// Unicode categories Zs, Zl and Zp (white space without the control characters).
fn is_separator(c: char) -> bool {
    c.is_whitespace() && !c.is_control()
}
