//! Names of log groups and streams with placeholders in braces (awsemf, section 6.1).

use std::borrow::Cow;

/// A placeholder, which is also the name of the attribute that fills it, and the attribute that
/// stands in where there is none of that name.
pub(crate) type Placeholder = (&'static str, &'static str);

/// What stands where no attribute fills a placeholder.
pub(crate) const UNDEFINED: &str = "undefined";

/// A template with its placeholders filled.
#[derive(Debug, PartialEq)]
pub(crate) struct Filled {
    /// The name.
    pub(crate) text: String,
    /// Whether every placeholder found a value.
    pub(crate) complete: bool,
}

/// Fills the placeholders of a template; unknown ones stay as they are (EMF-12). An attribute that
/// is there wins over the one that stands in for it even if it is empty.
pub(crate) fn fill<'a>(
    template: &str,
    placeholders: &[Placeholder],
    value: impl Fn(&str) -> Option<Cow<'a, str>>,
) -> Filled {
    fill_by(template, |name| {
        let (_, alias) = placeholders.iter().find(|(known, _)| *known == name)?;
        Some(value(name).or_else(|| value(alias)))
    })
}

/// Fills a template. `resolve` gets what stands between braces: nothing for a name that is no
/// placeholder, else the attribute that fills it, if there is one.
pub(crate) fn fill_by<'a>(
    template: &str,
    resolve: impl Fn(&str) -> Option<Option<Cow<'a, str>>>,
) -> Filled {
    let mut text = String::with_capacity(template.len() + 32);
    let mut complete = true;
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let (before, tail) = rest.split_at(open);
        text.push_str(before);
        let inner = tail.strip_prefix('{').and_then(|t| t.split_once('}'));
        let known = inner.and_then(|(name, after)| Some((resolve(name)?, after)));
        let Some((value, after)) = known else {
            text.push('{');
            rest = tail.get(1..).unwrap_or("");
            continue;
        };
        match value {
            Some(value) if !value.is_empty() => text.push_str(&value),
            _ => {
                text.push_str(UNDEFINED);
                complete = false;
            }
        }
        rest = after;
    }
    text.push_str(rest);
    Filled { text, complete }
}
