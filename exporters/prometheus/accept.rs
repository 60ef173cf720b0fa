//! In which form a reader gets the page, chosen as `expfmt.Negotiate` of the reference does.

use http::HeaderMap;
use http::header::ACCEPT;

/// The forms of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    /// Prometheus text 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0.0, to readers of 0.0.1 under that name.
    OpenMetrics { old: bool },
    /// Length-delimited protobuf.
    Protobuf,
}

/// What the reader wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) form: Form,
    /// Names beyond the classic alphabet may be shown.
    pub(super) quoted: bool,
    pub(super) timestamps: bool,
}

impl Format {
    /// The form with the greatest weight, the first of those with equal ones; text if there is none.
    ///
    /// Unlike the reference, a form of weight 0 is not taken, and names are in full for readers
    /// that take them in any form: Prometheus says so beside the text forms only.
    pub(super) fn negotiate(headers: &HeaderMap, open_metrics: bool) -> Self {
        let accept = super::serve::values(headers, &ACCEPT);
        let (mut best, mut weight) = (Form::Text, 0.0);
        for entry in &accept {
            let given = parameter(entry, "q").map_or(1.0, |q| q.parse().unwrap_or(0.0));
            if given > weight && let Some(form) = form(entry, open_metrics) {
                (best, weight) = (form, given);
            }
        }
        let quoted = accept.iter().any(|entry| parameter(entry, "escaping") == Some("allow-utf-8"));
        Self { form: best, quoted, timestamps: false }
    }

    pub(super) fn is_open_metrics(self) -> bool {
        matches!(self.form, Form::OpenMetrics { .. })
    }

    /// What the answer says it is.
    pub(super) fn content_type(self) -> String {
        let kind = match self.form {
            Form::Text => "text/plain; version=0.0.4; charset=utf-8",
            Form::OpenMetrics { old: false } => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
            Form::OpenMetrics { old: true } => {
                "application/openmetrics-text; version=0.0.1; charset=utf-8"
            }
            Form::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited"
            }
        };
        let escaping = if self.quoted { "allow-utf-8" } else { "underscores" };
        format!("{kind}; escaping={escaping}")
    }
}

/// The form that an entry of the header, in lower case, is for.
fn form(entry: &str, open_metrics: bool) -> Option<Form> {
    let version = parameter(entry, "version");
    match entry.split(';').next()? {
        "application/vnd.google.protobuf" => {
            let family = parameter(entry, "proto") == Some("io.prometheus.client.metricfamily");
            let delimited = parameter(entry, "encoding") == Some("delimited");
            (family && delimited).then_some(Form::Protobuf)
        }
        "text/plain" => matches!(version, None | Some("0.0.4")).then_some(Form::Text),
        "application/openmetrics-text" if open_metrics => match version {
            Some("1.0.0") => Some(Form::OpenMetrics { old: false }),
            None | Some("0.0.1") => Some(Form::OpenMetrics { old: true }),
            Some(_) => None,
        },
        _ => None,
    }
}

fn parameter<'a>(entry: &'a str, name: &str) -> Option<&'a str> {
    let parameters = entry.split(';').skip(1).filter_map(|part| part.split_once('='));
    parameters.filter(|(key, _)| key.trim() == name).last().map(|(_, value)| value.trim())
}
