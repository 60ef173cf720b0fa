//! Reads the text behind a location: `file:`, `env:`, `yaml:`, and what the injected [`Fetch`] knows.

use std::collections::HashMap;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::environment::{Environment, Fetch};
use crate::source::{Origin, Source};
use crate::yaml::MAX_BYTES;

/// Splits `scheme:rest`. One letter before the colon is a Windows drive, not a scheme.
pub(crate) fn split_scheme(location: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = location.split_once(':')?;
    let tail = scheme.strip_prefix(|c: char| c.is_ascii_alphabetic())?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-');
    (!tail.is_empty() && tail.chars().all(allowed)).then_some((scheme, rest))
}

/// What stands behind a location.
#[derive(Clone)]
pub(crate) enum Content {
    Text(Arc<Source>),
    /// An environment variable that is not set.
    Unset(String),
}

/// Reads locations, each one once.
pub(crate) struct Reader<'a> {
    environment: &'a dyn Environment,
    fetch: &'a dyn Fetch,
    known: HashMap<String, Content>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(environment: &'a dyn Environment, fetch: &'a dyn Fetch) -> Self {
        Self {
            environment,
            fetch,
            known: HashMap::new(),
        }
    }

    /// The schemes that can be read.
    pub(crate) fn schemes(&self) -> Vec<&'static str> {
        let mut schemes = vec!["env", "file", "yaml"];
        schemes.extend(self.fetch.schemes());
        schemes
    }

    /// Is it one of the schemes that can be read?
    pub(crate) fn knows(&self, scheme: &str) -> bool {
        self.schemes().contains(&scheme)
    }

    /// The text behind `scheme:rest`; the error has no place yet.
    pub(crate) fn read(
        &mut self,
        scheme: &str,
        rest: &str,
        origin: Origin,
    ) -> Result<Content, Diagnostic> {
        let location = format!("{scheme}:{rest}");
        if let Some(content) = self.known.get(&location) {
            return Ok(content.clone());
        }
        let content = match scheme {
            "file" => Content::Text(read_file(rest, origin)?),
            "env" => self.variable(rest, origin)?,
            "yaml" => Content::Text(Source::new("yaml", rest, origin)),
            _ if self.knows(scheme) => {
                let name = without_secrets(&location);
                let text = self.fetch.fetch(&location).map_err(|reason| {
                    Diagnostic::error(format!("cannot read `{name}`: {reason}"))
                })?;
                Content::Text(bounded(name, text, origin)?)
            }
            _ => return Err(self.unknown(scheme)),
        };
        self.known.insert(location, content.clone());
        Ok(content)
    }

    pub(crate) fn unknown(&self, scheme: &str) -> Diagnostic {
        let schemes = self.schemes();
        let known = crate::nearest(scheme, schemes.iter().copied())
            .map(|near| format!("did you mean `{near}`? "))
            .unwrap_or_default();
        Diagnostic::error(format!("scheme `{scheme}` is not supported"))
            .hint(format!("{known}supported schemes: {}", schemes.join(", ")))
    }

    /// `NAME` or `NAME:-default`.
    fn variable(&self, text: &str, origin: Origin) -> Result<Content, Diagnostic> {
        let (name, default) = match text.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (text, None),
        };
        if !is_variable_name(name) {
            return Err(Diagnostic::error(format!(
                "`{name}` is not a valid name of an environment variable"
            ))
            .hint(
                "names have letters, digits and underscores; for a literal ${...} write $${...}",
            ));
        }
        let value = self.environment.get(name);
        match value.as_deref().or(default) {
            Some(value) => Ok(Content::Text(bounded(
                format!("env:{name}"),
                value.into(),
                origin,
            )?)),
            None => Ok(Content::Unset(name.to_owned())),
        }
    }
}

/// `^[a-zA-Z_][a-zA-Z0-9_]*$`
pub(crate) fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn read_file(path: &str, origin: Origin) -> Result<Arc<Source>, Diagnostic> {
    let fail = |reason: String| Diagnostic::error(format!("cannot read file `{path}`: {reason}"));
    let size = std::fs::metadata(path)
        .map_err(|error| fail(error.to_string()))?
        .len();
    if size > MAX_BYTES as u64 {
        return Err(fail(format!("it has {size} bytes, more than {MAX_BYTES}")));
    }
    let bytes = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        fail(format!(
            "it is not UTF-8 text (byte {})",
            error.utf8_error().valid_up_to()
        ))
    })?;
    bounded(path.to_owned(), text, origin)
}

fn bounded(name: String, text: String, origin: Origin) -> Result<Arc<Source>, Diagnostic> {
    if text.len() > MAX_BYTES {
        return Err(Diagnostic::error(format!(
            "`{name}` is longer than {MAX_BYTES} bytes"
        )));
    }
    Ok(Source::new(name, text, origin))
}

/// A URL without its user part and query, where people put tokens.
fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or(url);
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = host.rsplit('@').next().unwrap_or(host);
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_locations() {
        assert_eq!(split_scheme("file:a.yaml"), Some(("file", "a.yaml")));
        assert_eq!(split_scheme("s3://b/k"), Some(("s3", "//b/k")));
        assert_eq!(split_scheme("a.yaml"), None);
        assert_eq!(split_scheme("C:\\a.yaml"), None);
        assert_eq!(split_scheme("./a:b.yaml"), None);
        assert_eq!(split_scheme("yaml:a::b: c"), Some(("yaml", "a::b: c")));
    }

    #[test]
    fn names_of_sources_carry_no_secrets() {
        assert_eq!(without_secrets("https://u:p@h/x?token=1"), "https://h/x");
        assert_eq!(without_secrets("https://h"), "https://h");
    }
}
