//! Names of files.

/// A name for a file from any text: letters, digits, `.`, `_` and `-`, and a hash of the text, so
/// that no two are the same.
pub(crate) fn slug(text: &str) -> String {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    hasher.write(text.as_bytes());
    let mut name = String::new();
    for c in text.chars() {
        if name.len() >= 80 {
            break;
        }
        if c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.' && !name.is_empty() {
            name.push(c);
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    format!(
        "{}-{:08x}",
        name.trim_end_matches('_'),
        hasher.finish() as u32
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_plain_and_differ() {
        let a = slug("../../etc{a=\"/\"}");
        assert!(
            a.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
            "{a}"
        );
        assert!(!a.starts_with('.'));
        assert_ne!(slug("a b"), slug("a_b"));
        assert!(slug(&"x".repeat(500)).len() < 100);
    }
}
