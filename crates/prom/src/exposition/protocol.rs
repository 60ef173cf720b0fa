//! Which format to ask for, and which one came.

use std::fmt;
use std::str::FromStr;

/// The exposition protocols by the names of the configuration (`scrape_protocols`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScrapeProtocol {
    /// `PrometheusProto`: length-delimited protobuf, the only one with native histograms.
    PrometheusProto,
    /// `PrometheusText0.0.4`
    PrometheusText0_0_4,
    /// `PrometheusText1.0.0`
    PrometheusText1_0_0,
    /// `OpenMetricsText0.0.1`
    OpenMetricsText0_0_1,
    /// `OpenMetricsText1.0.0`
    OpenMetricsText1_0_0,
}

impl ScrapeProtocol {
    /// What is asked for by default, most wanted first.
    pub const TEXT: [Self; 4] = [
        Self::OpenMetricsText1_0_0,
        Self::OpenMetricsText0_0_1,
        Self::PrometheusText1_0_0,
        Self::PrometheusText0_0_4,
    ];

    /// What is asked for if native histograms are to be scraped.
    pub const PROTO_FIRST: [Self; 5] = [
        Self::PrometheusProto,
        Self::OpenMetricsText1_0_0,
        Self::OpenMetricsText0_0_1,
        Self::PrometheusText1_0_0,
        Self::PrometheusText0_0_4,
    ];

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrometheusProto => "PrometheusProto",
            Self::PrometheusText0_0_4 => "PrometheusText0.0.4",
            Self::PrometheusText1_0_0 => "PrometheusText1.0.0",
            Self::OpenMetricsText0_0_1 => "OpenMetricsText0.0.1",
            Self::OpenMetricsText1_0_0 => "OpenMetricsText1.0.0",
        }
    }

    /// The media range in the `Accept` header.
    const fn media_range(self) -> &'static str {
        match self {
            Self::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            Self::PrometheusText0_0_4 => "text/plain;version=0.0.4",
            Self::PrometheusText1_0_0 => "text/plain;version=1.0.0",
            Self::OpenMetricsText0_0_1 => "application/openmetrics-text;version=0.0.1",
            Self::OpenMetricsText1_0_0 => "application/openmetrics-text;version=1.0.0",
        }
    }

    /// The parser for bodies of this protocol.
    #[must_use]
    pub const fn media_type(self) -> MediaType {
        match self {
            Self::PrometheusProto => MediaType::Protobuf,
            Self::PrometheusText0_0_4 | Self::PrometheusText1_0_0 => MediaType::PrometheusText,
            Self::OpenMetricsText0_0_1 | Self::OpenMetricsText1_0_0 => MediaType::OpenMetricsText,
        }
    }

    /// Only the newest text protocols have the parameter `escaping`.
    const fn has_escaping(self) -> bool {
        matches!(self, Self::PrometheusText1_0_0 | Self::OpenMetricsText1_0_0)
    }
}

/// A name that is no scrape protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown scrape protocol `{0}`; known are PrometheusProto, OpenMetricsText1.0.0, \
     OpenMetricsText0.0.1, PrometheusText1.0.0 and PrometheusText0.0.4"
)]
pub struct UnknownProtocol(pub String);

impl FromStr for ScrapeProtocol {
    type Err = UnknownProtocol;

    fn from_str(name: &str) -> Result<Self, UnknownProtocol> {
        Self::PROTO_FIRST
            .into_iter()
            .find(|protocol| protocol.name() == name)
            .ok_or_else(|| UnknownProtocol(name.to_owned()))
    }
}

/// How a target is asked to write names that the old formats do not allow
/// (`metric_name_escaping_scheme`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EscapingScheme {
    /// As they are, in quotes.
    #[default]
    AllowUtf8,
    /// Other characters become `_`.
    Underscores,
    /// Dots become `_dot_`.
    Dots,
    /// Other characters become their code points.
    Values,
}

impl EscapingScheme {
    /// The name in configuration and header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }
}

impl fmt::Display for EscapingScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The value of the `Accept` header: weights fall by 0.1 from 0.6, and anything is accepted last
/// (PROM-10).
#[must_use]
pub fn accept_header(protocols: &[ScrapeProtocol], escaping: EscapingScheme) -> String {
    let mut header = String::new();
    let mut weight = ScrapeProtocol::PROTO_FIRST.len() + 1;
    for protocol in protocols {
        header.push_str(protocol.media_range());
        if protocol.has_escaping() {
            header.push_str(";escaping=");
            header.push_str(escaping.name());
        }
        header.push_str(&format!(";q=0.{weight},"));
        weight = weight.saturating_sub(1);
    }
    header.push_str(&format!("*/*;q=0.{weight}"));
    header
}

/// Which parser a body needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// `text/plain`
    PrometheusText,
    /// `application/openmetrics-text`
    OpenMetricsText,
    /// `application/vnd.google.protobuf`
    Protobuf,
}

/// The parser for a `Content-Type`; `None` if it is missing, malformed or unknown, so that the
/// fallback protocol decides (PROM-17).
#[must_use]
pub fn media_type(content_type: Option<&str>) -> Option<MediaType> {
    let (name, parameters) = match content_type?.split_once(';') {
        Some((name, parameters)) => (name, Some(parameters)),
        None => (content_type?, None),
    };
    if !parameters.is_none_or(well_formed) {
        return None;
    }
    let name = name.trim();
    if name.eq_ignore_ascii_case("text/plain") {
        Some(MediaType::PrometheusText)
    } else if name.eq_ignore_ascii_case("application/openmetrics-text") {
        Some(MediaType::OpenMetricsText)
    } else if name.eq_ignore_ascii_case("application/vnd.google.protobuf") {
        Some(MediaType::Protobuf)
    } else {
        None
    }
}

/// Whether each parameter is `name=value`; an empty one may trail.
fn well_formed(parameters: &str) -> bool {
    let mut names: Vec<String> = Vec::new();
    parameters
        .split(';')
        .map(str::trim)
        .filter(|parameter| !parameter.is_empty())
        .all(|parameter| {
            let Some((name, value)) = parameter.split_once('=') else {
                return false;
            };
            let name = name.trim().to_ascii_lowercase();
            let fresh = !names.contains(&name);
            names.push(name);
            fresh && !value.trim().is_empty()
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn accept_of_the_default_list() {
        assert_eq!(
            accept_header(&ScrapeProtocol::TEXT, EscapingScheme::AllowUtf8),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
    }

    #[test]
    fn accept_with_protobuf_first() {
        let header = accept_header(
            &[
                ScrapeProtocol::PrometheusProto,
                ScrapeProtocol::PrometheusText0_0_4,
            ],
            EscapingScheme::Underscores,
        );
        assert_eq!(
            header,
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=delimited;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.4"
        );
    }

    #[test]
    fn media_types() {
        for (header, expected) in [
            (
                Some("text/plain; version=0.0.4; charset=utf-8"),
                Some(MediaType::PrometheusText),
            ),
            (Some("Text/Plain"), Some(MediaType::PrometheusText)),
            (
                Some("application/openmetrics-text; version=1.0.0; charset=utf-8"),
                Some(MediaType::OpenMetricsText),
            ),
            (
                Some("application/vnd.google.protobuf; proto=x; encoding=delimited"),
                Some(MediaType::Protobuf),
            ),
            (Some("text/html"), None),
            (Some("text/plain; version"), None),
            (Some(""), None),
            (None, None),
        ] {
            assert_eq!(media_type(header), expected, "{header:?}");
        }
    }

    #[test]
    fn names_round_trip() {
        for protocol in ScrapeProtocol::PROTO_FIRST {
            assert_eq!(protocol.name().parse::<ScrapeProtocol>().unwrap(), protocol);
        }
        assert!("prometheusproto".parse::<ScrapeProtocol>().is_err());
    }
}
