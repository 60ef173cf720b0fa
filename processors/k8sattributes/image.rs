//! Image names taken apart.

use std::sync::LazyLock;

use regex::Regex;

/// A name, `repository[:tag][@sha256:digest]`; the first part of the repository may have a port.
static IMAGE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^((?:[^/\s]+/)?[^:@\s]+)(?::([^@\s]+))?(?:@(sha256:\w+))?$").ok()
});

/// The parts of an image name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Image<'a> {
    pub(super) repository: &'a str,
    pub(super) tag: Option<&'a str>,
    pub(super) digest: Option<&'a str>,
}

impl<'a> Image<'a> {
    /// `None` for what is no image name.
    pub(super) fn of(name: &'a str) -> Option<Self> {
        let parts = IMAGE.as_ref()?.captures(name)?;
        let part = |i| parts.get(i).map(|part| part.as_str());
        Some(Self { repository: part(1)?, tag: part(2), digest: part(3) })
    }

    /// What tells versions of a service apart: tag, digest or both.
    pub(super) fn version(&self) -> Option<String> {
        match (self.tag, self.digest) {
            (Some(tag), Some(digest)) => Some(format!("{tag}@{digest}")),
            (Some(one), None) | (None, Some(one)) => Some(one.to_owned()),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_taken_apart() {
        let image = |name| Image::of(name).map(|i| (i.repository, i.tag, i.digest, i.version()));
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(image("nginx"), Some(("nginx", None, None, None)));
        assert_eq!(
            image("localhost:5000/a/b:v1"),
            Some(("localhost:5000/a/b", Some("v1"), None, text("v1")))
        );
        assert_eq!(
            image("repo.test/x:2@sha256:cd"),
            Some(("repo.test/x", Some("2"), Some("sha256:cd"), text("2@sha256:cd")))
        );
        assert_eq!(
            image("repo.test/x@sha256:cd"),
            Some(("repo.test/x", None, Some("sha256:cd"), text("sha256:cd")))
        );
        assert_eq!(image("Bad Image!"), None);
    }
}
