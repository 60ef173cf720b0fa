//! Feature gates of the reference: known names are accepted, so that its command lines keep working.

use weir_config::nearest;
use weir_core::Gates;

/// How far a gate has come; alpha gates start off, beta gates on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Alpha,
    Beta,
}

/// The reference's gates (section 8.2 of its configuration page).
const GATES: [(&str, Stage); 19] = [
    ("adot.exporter.datadogexporter.deprecation", Stage::Alpha),
    ("adot.exporter.logzioexporter.deprecation", Stage::Alpha),
    ("adot.exporter.signalfxexporter.deprecation", Stage::Alpha),
    ("awsemf.nodimrollupdefault", Stage::Alpha),
    ("confmap.enableMergeAppendOption", Stage::Alpha),
    ("exporter.awsxray.skiptimestampvalidation", Stage::Beta),
    ("exporter.file.nativeCompression", Stage::Alpha),
    (
        "exporter.prometheusremotewritexporter.EnableMultipleWorkers",
        Stage::Alpha,
    ),
    (
        "exporter.prometheusremotewritexporter.enableSendingRW2",
        Stage::Alpha,
    ),
    (
        "exporter.prometheusremotewritexporter.RetryOn429",
        Stage::Alpha,
    ),
    ("exporter.xray.allowDot", Stage::Beta),
    ("extension.healthcheck.useComponentStatus", Stage::Alpha),
    ("metricsgeneration.MatchAttributes", Stage::Alpha),
    (
        "pkg.translator.prometheus.PermissiveLabelSanitization",
        Stage::Alpha,
    ),
    ("processor.filter.defaultErrorModeIgnore", Stage::Beta),
    ("receiverhelper.newReceiverMetrics", Stage::Alpha),
    ("service.AllowNoPipelines", Stage::Alpha),
    ("service.profilesSupport", Stage::Alpha),
    ("telemetry.newPipelineTelemetry", Stage::Alpha),
];

/// The gates that some component asks for.
const IN_USE: [&str; 5] = [
    "exporter.awsxray.skiptimestampvalidation",
    "exporter.prometheusremotewritexporter.RetryOn429",
    "exporter.prometheusremotewritexporter.enableSendingRW2",
    "exporter.xray.allowDot",
    "pkg.translator.prometheus.PermissiveLabelSanitization",
];

/// Which gates are on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureGates {
    enabled: [bool; GATES.len()],
    switched: [bool; GATES.len()],
}

impl Default for FeatureGates {
    fn default() -> Self {
        Self {
            enabled: GATES.map(|(_, stage)| stage == Stage::Beta),
            switched: [false; GATES.len()],
        }
    }
}

impl FeatureGates {
    /// Applies items such as `a`, `+b` and `-c`; the last one about a gate holds. The error names all
    /// unknown gates and lists the known ones (CFG-58).
    pub fn parse<S: AsRef<str>>(items: &[S]) -> Result<Self, String> {
        let mut gates = Self::default();
        let mut unknown = Vec::new();
        for item in items {
            let item = item.as_ref();
            let (name, enable) = match item.strip_prefix('-') {
                Some(name) => (name, false),
                None => (item.strip_prefix('+').unwrap_or(item), true),
            };
            let position = GATES.iter().position(|(known, _)| *known == name);
            let slots = position
                .and_then(|at| Some((gates.enabled.get_mut(at)?, gates.switched.get_mut(at)?)));
            match slots {
                Some((enabled, switched)) => (*enabled, *switched) = (enable, true),
                None => unknown.push(name),
            }
        }
        if unknown.is_empty() {
            Ok(gates)
        } else {
            Err(refusal(&unknown))
        }
    }

    /// Is the gate on? Unknown gates are off.
    pub fn is_enabled(&self, name: &str) -> bool {
        GATES
            .iter()
            .zip(self.enabled)
            .any(|((known, _), enabled)| *known == name && enabled)
    }

    /// What the command line switched, for the components.
    pub fn switches(&self) -> Gates {
        let gates = GATES.iter().zip(self.enabled).zip(self.switched);
        gates
            .filter(|(_, switched)| *switched)
            .map(|(((name, _), enabled), _)| (*name, enabled))
            .collect()
    }

    /// The gates that the command line named and that change nothing here.
    pub fn without_effect(&self) -> impl Iterator<Item = &'static str> {
        self.switched().filter(|name| !IN_USE.contains(name))
    }

    /// The gates that the command line named.
    pub fn switched(&self) -> impl Iterator<Item = &'static str> {
        GATES
            .iter()
            .zip(self.switched)
            .filter(|(_, switched)| *switched)
            .map(|((name, _), _)| *name)
    }
}

fn refusal(unknown: &[&str]) -> String {
    let mut text = String::new();
    for name in unknown {
        text.push_str(&format!("error: no such feature gate `{name}`"));
        if let Some(near) = nearest(name, GATES.iter().map(|(known, _)| *known)) {
            text.push_str(&format!("; did you mean `{near}`?"));
        }
        text.push('\n');
    }
    text.push_str("valid gates:\n");
    for (name, _) in GATES {
        text.push_str(&format!("  {name}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn gates_start_by_stage_and_are_switched() {
        let none: [&str; 0] = [];
        let gates = FeatureGates::parse(&none).unwrap();
        assert!(gates.is_enabled("processor.filter.defaultErrorModeIgnore"));
        assert!(!gates.is_enabled("service.profilesSupport"));
        assert!(!gates.is_enabled("unknown"));
        let items = [
            "-processor.filter.defaultErrorModeIgnore",
            "+service.profilesSupport",
            "awsemf.nodimrollupdefault",
            "-awsemf.nodimrollupdefault",
        ];
        let gates = FeatureGates::parse(&items).unwrap();
        assert!(!gates.is_enabled("processor.filter.defaultErrorModeIgnore"));
        assert!(gates.is_enabled("service.profilesSupport"));
        assert!(!gates.is_enabled("awsemf.nodimrollupdefault"));
        assert_eq!(gates.switched().count(), 3);
        assert!(gates.switches().is_on("service.profilesSupport", false));
        assert!(gates.switches().is_on("exporter.xray.allowDot", true));
    }

    #[test]
    fn unknown_gates_are_refused_together() {
        let error = FeatureGates::parse(&["-unknown", "service.AllowNoPipeline", "+"]).unwrap_err();
        for part in [
            "`unknown`",
            "did you mean `service.AllowNoPipelines`?",
            "``",
            "\n  service.profilesSupport\n",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(GATES.is_sorted_by_key(|(name, _)| name.to_ascii_lowercase()));
    }
}
