//! `metric_declarations` and dimension rollup: which dimension sets a metric gets (spec 9,
//! EMF-34..39). Everything here depends on label names, the metric name and, for label matchers,
//! label values; none of it on samples.

use std::collections::BTreeSet;

use regex::Regex;

use super::config::{Config, MetricDeclaration};
use super::pattern;

/// Names in a declared dimension set at most.
pub(crate) const MAX_DIMENSIONS: usize = 10;

/// Label with the scope's name.
pub(crate) const SCOPE_LABEL: &str = "OTelLib";

/// `dimension_rollup_option`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rollup {
    /// No labels, and each label alone.
    ZeroAndSingle,
    /// Each label alone.
    Single,
    /// Nothing is added.
    None,
}

impl Rollup {
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "ZeroAndSingleDimensionRollup" => Self::ZeroAndSingle,
            "SingleDimensionRollupOnly" => Self::Single,
            _ => Self::None,
        }
    }

    /// The sets added for these labels (9.1).
    pub(crate) fn sets<'a>(self, names: &[&'a str]) -> Vec<Vec<&'a str>> {
        let scope: Vec<&str> = names
            .iter()
            .copied()
            .filter(|n| *n == SCOPE_LABEL)
            .collect();
        let others = || names.iter().copied().filter(|n| *n != SCOPE_LABEL);
        let mut sets = Vec::new();
        if self == Self::ZeroAndSingle && others().next().is_some() {
            sets.push(scope.clone());
        }
        if self != Self::None {
            for name in others() {
                let mut set = scope.clone();
                set.push(name);
                set.sort_unstable();
                sets.push(set);
            }
        }
        sets
    }
}

/// A usable declaration.
#[derive(Clone, Debug)]
struct Declaration {
    dimensions: Vec<Vec<String>>,
    selectors: Vec<Regex>,
    matchers: Vec<Matcher>,
}

#[derive(Clone, Debug)]
struct Matcher {
    names: Vec<String>,
    separator: String,
    regex: Regex,
}

/// Dimension sets and the metrics that have them.
#[derive(Debug, PartialEq)]
pub(crate) struct Measurement<'a> {
    /// Sets of label names.
    pub(crate) dimensions: Vec<Vec<&'a str>>,
    /// Positions of the metrics in the event.
    pub(crate) metrics: Vec<usize>,
}

/// All that decides about dimension sets.
#[derive(Clone, Debug)]
pub(crate) struct Declarations {
    rollup: Rollup,
    /// `None` when nothing usable is declared: then every metric has all labels.
    declared: Option<Vec<Declaration>>,
}

impl Declarations {
    /// Compiles the declarations; unusable ones are left out (EMF-04), the configuration's check has
    /// warned of them.
    pub(crate) fn new(config: &Config) -> Self {
        let declared: Vec<Declaration> = config
            .metric_declarations
            .iter()
            .filter(|d| d.is_usable())
            .filter_map(|d| Declaration::new(d).ok())
            .collect();
        Self {
            rollup: Rollup::parse(&config.dimension_rollup_option.text),
            declared: Some(declared).filter(|d| !d.is_empty()),
        }
    }

    /// Numbers of the declarations whose label matchers accept these labels; `None` when there are
    /// no declarations.
    pub(crate) fn accepting<'a>(
        &self,
        label: impl Fn(&str) -> Option<&'a str>,
    ) -> Option<Box<[u16]>> {
        let declared = self.declared.as_ref()?;
        let accepting = declared
            .iter()
            .enumerate()
            .filter(|(_, d)| d.accepts(&label));
        Some(
            accepting
                .filter_map(|(at, _)| u16::try_from(at).ok())
                .collect(),
        )
    }

    /// Dimension sets of an event's metrics. `accepting` is what [`Self::accepting`] gave for its
    /// labels.
    pub(crate) fn measurements<'a>(
        &'a self,
        labels: &[&'a str],
        accepting: Option<&[u16]>,
        metrics: &[&str],
    ) -> Vec<Measurement<'a>> {
        let rollup = self.rollup.sets(labels);
        let Some(accepting) = accepting else {
            return vec![Measurement {
                dimensions: undeclared(labels, rollup),
                metrics: (0..metrics.len()).collect(),
            }];
        };
        let mut lists: Vec<(Vec<u16>, Vec<usize>)> = Vec::new();
        for (at, name) in metrics.iter().enumerate() {
            let list: Vec<u16> = accepting
                .iter()
                .copied()
                .filter(|d| self.get(*d).is_some_and(|d| d.selects(name)))
                .collect();
            if list.is_empty() {
                continue;
            }
            match lists.iter_mut().find(|(other, _)| *other == list) {
                Some((_, members)) => members.push(at),
                None => lists.push((list, vec![at])),
            }
        }
        let measurement = |(list, metrics): (Vec<u16>, Vec<usize>)| {
            let declared = list.iter().filter_map(|d| self.get(*d));
            let sets = declared.flat_map(|d| d.sets_of(labels));
            let dimensions = distinct(sets.chain(rollup.iter().cloned()));
            Measurement {
                dimensions,
                metrics,
            }
        };
        lists
            .into_iter()
            .map(measurement)
            .filter(|m| !m.dimensions.is_empty())
            .collect()
    }

    fn get(&self, at: u16) -> Option<&Declaration> {
        self.declared.as_ref()?.get(usize::from(at))
    }
}

/// Without declarations: all labels, then the rollup; the full set is left out where the rollup has
/// it already (9.2).
fn undeclared<'a>(labels: &[&'a str], rollup: Vec<Vec<&'a str>>) -> Vec<Vec<&'a str>> {
    let covered = match labels.len() {
        0 | 1 => true,
        2 => labels.contains(&SCOPE_LABEL),
        _ => false,
    };
    let mut sets = Vec::with_capacity(rollup.len() + 1);
    if rollup.is_empty() || !covered {
        sets.push(labels.to_vec());
    }
    sets.extend(rollup);
    sets
}

fn distinct<'a>(sets: impl Iterator<Item = Vec<&'a str>>) -> Vec<Vec<&'a str>> {
    let mut seen = BTreeSet::new();
    sets.filter(|set| seen.insert(set.clone())).collect()
}

impl Declaration {
    fn new(config: &MetricDeclaration) -> Result<Self, String> {
        let mut dimensions: Vec<Vec<String>> = Vec::new();
        for set in &config.dimensions {
            let names: BTreeSet<&String> = set.iter().collect();
            let names: Vec<String> = names.into_iter().cloned().collect();
            if names.len() <= MAX_DIMENSIONS && !dimensions.contains(&names) {
                dimensions.push(names);
            }
        }
        let selectors = config
            .metric_name_selectors
            .iter()
            .map(|p| pattern::compile(p));
        let matchers = config.label_matchers.iter().map(|matcher| {
            Ok(Matcher {
                names: matcher.label_names.clone(),
                separator: if matcher.separator.is_empty() {
                    ";".to_owned()
                } else {
                    matcher.separator.clone()
                },
                regex: pattern::compile(&matcher.regex)?,
            })
        });
        Ok(Self {
            dimensions,
            selectors: selectors.collect::<Result<_, String>>()?,
            matchers: matchers.collect::<Result<_, String>>()?,
        })
    }

    fn accepts<'a>(&self, label: &impl Fn(&str) -> Option<&'a str>) -> bool {
        self.matchers.is_empty() || self.matchers.iter().any(|m| m.accepts(label))
    }

    fn selects(&self, metric: &str) -> bool {
        self.selectors.iter().any(|regex| regex.is_match(metric))
    }

    /// The declared sets all of whose names are labels.
    fn sets_of<'a>(&'a self, labels: &[&'a str]) -> impl Iterator<Item = Vec<&'a str>> {
        self.dimensions
            .iter()
            .filter(|set| set.iter().all(|name| labels.contains(&name.as_str())))
            .map(|set| set.iter().map(String::as_str).collect())
    }
}

impl Matcher {
    fn accepts<'a>(&self, label: &impl Fn(&str) -> Option<&'a str>) -> bool {
        let values: Vec<&str> = self.names.iter().map(|n| label(n).unwrap_or("")).collect();
        self.regex.is_match(&values.join(&self.separator))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::config::LabelMatcher;
    use super::*;

    fn sets(option: &str, labels: &[&str]) -> String {
        let config = Config {
            dimension_rollup_option: option.into(),
            ..Config::default()
        };
        let declarations = Declarations::new(&config);
        let accepting = declarations.accepting(|_| None);
        let found = declarations.measurements(labels, accepting.as_deref(), &["m"]);
        serde_json::to_string(&found[0].dimensions).unwrap()
    }

    #[test]
    fn rollup_gives_the_observed_tables() {
        let (both, single) = ("ZeroAndSingleDimensionRollup", "SingleDimensionRollupOnly");
        for (labels, with_both, with_single, with_none) in [
            (&[][..], "[[]]", "[[]]", "[[]]"),
            (&["a"], r#"[[],["a"]]"#, r#"[["a"]]"#, r#"[["a"]]"#),
            (
                &["a", "b"],
                r#"[["a","b"],[],["a"],["b"]]"#,
                r#"[["a","b"],["a"],["b"]]"#,
                r#"[["a","b"]]"#,
            ),
            (
                &["OTelLib"],
                r#"[["OTelLib"]]"#,
                r#"[["OTelLib"]]"#,
                r#"[["OTelLib"]]"#,
            ),
            (
                &["OTelLib", "a"],
                r#"[["OTelLib"],["OTelLib","a"]]"#,
                r#"[["OTelLib","a"]]"#,
                r#"[["OTelLib","a"]]"#,
            ),
            (
                &["A", "OTelLib", "a"],
                r#"[["A","OTelLib","a"],["OTelLib"],["A","OTelLib"],["OTelLib","a"]]"#,
                r#"[["A","OTelLib","a"],["A","OTelLib"],["OTelLib","a"]]"#,
                r#"[["A","OTelLib","a"]]"#,
            ),
        ] {
            assert_eq!(sets(both, labels), with_both);
            assert_eq!(sets(single, labels), with_single);
            assert_eq!(sets("NoDimensionRollup", labels), with_none);
            assert_eq!(sets("nodimensionrollup", labels), with_none);
        }
    }

    fn declaration(dimensions: &[&[&str]], selector: &str) -> MetricDeclaration {
        let set = |set: &&[&str]| set.iter().map(|n| (*n).to_owned()).collect();
        MetricDeclaration {
            dimensions: dimensions.iter().map(set).collect(),
            metric_name_selectors: vec![selector.to_owned()],
            label_matchers: Vec::new(),
        }
    }

    #[test]
    fn metrics_with_the_same_declarations_share_a_measurement() {
        let config = Config {
            dimension_rollup_option: "NoDimensionRollup".into(),
            metric_declarations: vec![
                declaration(&[&["b", "a"], &["a"], &["a", "zz"], &["a", "a"]], "^g_"),
                declaration(&[&["b"], &["a"]], "_x$"),
                declaration(&[&["zz"]], "lost"),
            ],
            ..Config::default()
        };
        let declarations = Declarations::new(&config);
        let accepting = declarations.accepting(|_| None);
        let metrics = ["g_1", "other", "g_2", "g_x", "lost"];
        let found = declarations.measurements(&["a", "b"], accepting.as_deref(), &metrics);
        assert_eq!(
            found,
            vec![
                Measurement {
                    dimensions: vec![vec!["a", "b"], vec!["a"]],
                    metrics: vec![0, 2]
                },
                Measurement {
                    dimensions: vec![vec!["a", "b"], vec!["a"], vec!["b"]],
                    metrics: vec![3]
                },
            ]
        );
    }

    #[test]
    fn label_matchers_join_values_and_any_suffices() {
        let matcher = |names: &[&str], separator: &str, regex: &str| LabelMatcher {
            label_names: names.iter().map(|n| (*n).to_owned()).collect(),
            separator: separator.to_owned(),
            regex: regex.to_owned(),
        };
        let mut first = declaration(&[&[]], ".");
        first.label_matchers = vec![
            matcher(&["a", "no", "b"], "", "^1;;x$"),
            matcher(&["b"], "", "y"),
        ];
        let mut second = declaration(&[&[]], ".");
        second.label_matchers = vec![matcher(&["b", "a"], "--", "^.--1$")];
        let mut broken = declaration(&[&[]], ".");
        broken.label_matchers = vec![matcher(&[], "", "x")];
        let config = Config {
            metric_declarations: vec![broken, first, second],
            ..Config::default()
        };
        let declarations = Declarations::new(&config);
        let accepting = |a: &'static str, b: &'static str| {
            declarations
                .accepting(|name| match name {
                    "a" => Some(a),
                    "b" => Some(b),
                    _ => None,
                })
                .unwrap()
                .to_vec()
        };
        assert_eq!(accepting("1", "x"), [0, 1]);
        assert_eq!(accepting("2", "y"), [0]);
        assert_eq!(accepting("1", "z"), [1]);
        assert!(accepting("2", "x").is_empty());
    }
}
