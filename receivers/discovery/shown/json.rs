//! What is shown, as JSON, up to a limit.

use weir_model::text::write_json_str;

use super::shown_label;

/// There is no room for more after so many bytes.
pub(crate) const MOST_BYTES: usize = 16 << 20;

/// The `data` of an answer.
pub(crate) struct Data {
    pub(crate) json: String,
    /// It was cut at [`MOST_BYTES`].
    pub(crate) cut: bool,
}

impl Data {
    /// Begins with this.
    pub(crate) fn begin(json: &str) -> Self {
        let json = json.to_owned();
        Self { json, cut: false }
    }

    /// Whether there is room for more.
    pub(crate) fn has_room(&mut self) -> bool {
        self.cut |= self.json.len() >= MOST_BYTES;
        !self.cut
    }

    /// Begins a member or an item: a comma, unless it is the first one.
    pub(crate) fn next(&mut self) -> &mut String {
        if !self.json.ends_with(['{', '[']) {
            self.json.push(',');
        }
        &mut self.json
    }

    /// Begins a member.
    pub(crate) fn name(&mut self, name: &str) -> &mut String {
        write_json_str(name, self.next());
        self.json.push(':');
        &mut self.json
    }

    /// A member that is a text.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        write_json_str(value, self.name(name));
    }

    /// A member with labels, without what is secret in them.
    pub(crate) fn labels<'a>(
        &mut self,
        name: &str,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
    ) {
        self.name(name).push('{');
        for (label, value) in labels {
            self.text(label, &shown_label(label, value));
        }
        self.json.push('}');
    }
}
