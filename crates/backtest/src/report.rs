//! The HTML report: one file with its style, scripts and data, that loads nothing.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::moment::{self, show, show_count};
use crate::rule::Rule;
use crate::run::Results;
use crate::score::{Alarm, Meaning, Totals};
use crate::svg::limits;
use crate::thin::Row;
use crate::track::Outcome;

const PAGE: &str = include_str!("../assets/report.html");
const STYLE: &str = include_str!("../assets/report.css");
const SCRIPT: &str = include_str!("../assets/report.js");
const PLOT_SCRIPT: &str = include_str!("../assets/uplot-1.6.32.min.js");
const PLOT_STYLE: &str = include_str!("../assets/uplot-1.6.32.min.css");
const PLOT_LICENCE: &str = include_str!("../assets/LICENSE-uplot.txt");

/// Most series with a plot.
const MOST_PLOTS: usize = 500;
/// Most alarms listed of a series.
const MOST_ALARMS: usize = 1000;

#[derive(Serialize)]
struct Report {
    about: String,
    labelled: bool,
    outside: Option<f64>,
    rules: Vec<RuleResult>,
    kinds: Vec<KindResult>,
    series: Vec<SeriesResult>,
}

#[derive(Serialize)]
struct RuleResult {
    name: String,
    alarms: usize,
    weeks: f64,
    per_week: Option<f64>,
    found: usize,
    missed: usize,
    false_alarms: usize,
    false_per_week: Option<f64>,
    precision: Option<f64>,
    recall: Option<f64>,
    f1: Option<f64>,
    delay: Option<f64>,
    delay_90: Option<f64>,
}

#[derive(Serialize)]
struct KindResult {
    name: String,
    count: usize,
    found: usize,
    delay: Option<f64>,
}

#[derive(Serialize)]
struct SeriesResult {
    at: usize,
    title: String,
    samples: u64,
    interval: f64,
    first: f64,
    last: f64,
    outside: Option<f64>,
    alarms: usize,
    per_week: Option<f64>,
    found: Option<usize>,
    missed: Option<usize>,
    false_alarms: Option<usize>,
    delay: Option<f64>,
    windows: Vec<(f64, f64)>,
    limits: Vec<f64>,
    alarm_list: Vec<AlarmResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    points: Option<Points>,
}

#[derive(Serialize)]
struct AlarmResult {
    start: f64,
    end: f64,
    value: f64,
    score: f64,
    side: &'static str,
    kind: Option<&'static str>,
    meaning: &'static str,
}

/// Samples as base64 of little-endian numbers: times as multiples of `unit` after `start`, values
/// and edges as 32-bit floats above `base`.
#[derive(Serialize)]
struct Points {
    start: f64,
    unit: f64,
    base: f64,
    stride: u64,
    times: String,
    values: String,
    lower: String,
    upper: String,
}

/// Summary and alarms, without the samples, for programs.
pub(crate) fn json(results: &Results, rules: &[Rule]) -> String {
    let report = Report::new(results, rules, 0);
    // the data hold no numbers that JSON cannot write
    format!(
        "{}\n",
        serde_json::to_string_pretty(&report).unwrap_or_default()
    )
}

/// The whole page.
pub(crate) fn page(results: &Results, rules: &[Rule]) -> String {
    let report = Report::new(results, rules, MOST_PLOTS);
    // the data hold no numbers that JSON cannot write
    let data = serde_json::to_string(&report)
        .unwrap_or_default()
        .replace('<', "\\u003c");
    fill(
        PAGE,
        &[
            ("uplot_css", PLOT_STYLE),
            ("style", STYLE),
            ("version", env!("CARGO_PKG_VERSION")),
            ("data", &data),
            ("licence", PLOT_LICENCE),
            ("uplot", PLOT_SCRIPT),
            ("script", SCRIPT),
        ],
    )
}

/// Puts texts in place of `{{name}}`; what is put in is not looked at again.
fn fill(page: &str, texts: &[(&str, &str)]) -> String {
    let mut out =
        String::with_capacity(page.len() + texts.iter().map(|t| t.1.len()).sum::<usize>());
    let mut rest = page;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        let text = texts.iter().find(|(known, _)| *known == name);
        out.push_str(text.map_or("", |(_, text)| text));
        rest = after;
    }
    out.push_str(rest);
    out
}

impl Report {
    /// `plots`: of how many series the samples are in it.
    fn new(results: &Results, rules: &[Rule], plots: usize) -> Self {
        let outcomes = &results.outcomes;
        let (mut judged, mut outside) = (0, 0);
        for outcome in outcomes {
            judged += outcome.counts.judged;
            outside += outcome.counts.outside;
        }
        let mut by_alarms: Vec<usize> = (0..outcomes.len()).collect();
        let alarms = |i: &usize| {
            let tally = outcomes.get(*i).and_then(|o| o.tallies.first());
            std::cmp::Reverse(tally.map_or(0, |t| t.alarms.len()))
        };
        by_alarms.sort_by_key(alarms);
        by_alarms.truncate(plots);
        let plotted: std::collections::HashSet<usize> = by_alarms.into_iter().collect();
        let limits = limits(rules);
        let series = outcomes.iter().enumerate();
        let series = series.map(|(at, o)| SeriesResult::new(at, o, &limits, plotted.contains(&at)));
        Self {
            about: about(results),
            labelled: outcomes
                .iter()
                .flat_map(|o| &o.tallies)
                .any(|t| t.incidents.is_some()),
            outside: (judged > 0).then(|| outside as f64 / judged as f64),
            rules: rules
                .iter()
                .enumerate()
                .map(|(i, r)| RuleResult::new(i, r, outcomes))
                .collect(),
            kinds: kinds(outcomes),
            series: series.collect(),
        }
    }
}

fn about(results: &Results) -> String {
    let outcomes = &results.outcomes;
    let samples: u64 = outcomes.iter().map(|o| o.counts.samples).sum();
    let first = outcomes.iter().map(|o| o.first_ns).min().unwrap_or(0);
    let last = outcomes.iter().map(|o| o.last_ns).max().unwrap_or(0);
    let series = match outcomes.len() {
        1 => "1 series".to_owned(),
        count => format!("{count} series"),
    };
    format!(
        "{series}, {} samples from {} to {} (UTC)",
        show_count(samples),
        show(first),
        show(last)
    )
}

impl RuleResult {
    fn new(at: usize, rule: &Rule, outcomes: &[Outcome]) -> Self {
        let mut totals = Totals::default();
        outcomes
            .iter()
            .filter_map(|o| o.tallies.get(at))
            .for_each(|tally| totals.add(tally));
        Self {
            name: rule.name(),
            alarms: totals.alarms,
            weeks: totals.weeks,
            per_week: totals.alarms_per_week(),
            found: totals.found,
            missed: totals.missed,
            false_alarms: totals.false_alarms,
            false_per_week: totals.false_per_week(),
            precision: totals.precision(),
            recall: totals.recall(),
            f1: totals.f1(),
            delay: totals.delay(0.5),
            delay_90: totals.delay(0.9),
        }
    }
}

fn kinds(outcomes: &[Outcome]) -> Vec<KindResult> {
    let mut kinds: BTreeMap<&str, Totals> = BTreeMap::new();
    let tallies = outcomes.iter().filter_map(|o| o.tallies.first());
    for incident in tallies.filter_map(|t| t.incidents.as_ref()).flatten() {
        if !incident.window.kind.is_empty() {
            kinds
                .entry(&incident.window.kind)
                .or_default()
                .incident(incident);
        }
    }
    let each = kinds.into_iter().map(|(name, totals)| KindResult {
        name: name.to_owned(),
        count: totals.found + totals.missed,
        found: totals.found,
        delay: totals.delay(0.5),
    });
    each.collect()
}

impl SeriesResult {
    fn new(at: usize, outcome: &Outcome, limits: &[f64], plotted: bool) -> Self {
        let mut totals = Totals::default();
        let tally = outcome.tallies.first();
        tally.into_iter().for_each(|t| totals.add(t));
        let judged = outcome.counts.judged;
        let labelled = |count: usize| totals.labelled.then_some(count);
        let alarms = tally.map(|t| t.alarms.as_slice()).unwrap_or_default();
        Self {
            at,
            title: outcome.meta.title.clone(),
            samples: outcome.counts.samples,
            interval: outcome.interval_s,
            first: moment::seconds(outcome.first_ns),
            last: moment::seconds(outcome.last_ns),
            outside: (judged > 0).then(|| outcome.counts.outside as f64 / judged as f64),
            alarms: totals.alarms,
            per_week: totals.alarms_per_week(),
            found: labelled(totals.found),
            missed: labelled(totals.missed),
            false_alarms: labelled(totals.false_alarms),
            delay: totals.delay(0.5),
            windows: outcome
                .windows
                .iter()
                .map(|w| (w.start_s, w.end_s))
                .collect(),
            limits: limits.to_vec(),
            alarm_list: alarms
                .iter()
                .take(MOST_ALARMS)
                .map(AlarmResult::new)
                .collect(),
            points: Points::new(&outcome.rows, outcome.stride).filter(|_| plotted),
        }
    }
}

impl AlarmResult {
    fn new(alarm: &Alarm) -> Self {
        let run = &alarm.run;
        Self {
            start: moment::seconds(run.start_ns),
            end: moment::seconds(run.end_ns),
            value: run.value,
            score: run.score,
            side: run.side.as_str(),
            kind: run.kind.map(weir_detect::Kind::as_str),
            meaning: match alarm.meaning {
                Meaning::Unknown => "unknown",
                Meaning::Hit => "hit",
                Meaning::False => "false",
                Meaning::Recovery => "recovery",
                Meaning::WarmUp => "warm_up",
            },
        }
    }
}

impl Points {
    fn new(rows: &[Row], stride: u64) -> Option<Self> {
        let (first, last) = (rows.first()?, rows.last()?);
        let span_ms = last.time_ns.saturating_sub(first.time_ns) / 1_000_000;
        // the finest unit in which the whole span fits
        let units = [1, 10, 100, 1000, 60_000];
        let unit_ms = units
            .into_iter()
            .find(|u| span_ms / u < i64::from(u32::MAX))
            .unwrap_or(60_000);
        let base = first.value;
        let mut times = Vec::with_capacity(rows.len() * 4);
        let mut numbers = [const { Vec::<u8>::new() }; 3];
        for row in rows {
            let after_ms = row.time_ns.saturating_sub(first.time_ns) / 1_000_000;
            let steps = u32::try_from(after_ms / unit_ms).unwrap_or(u32::MAX);
            times.extend_from_slice(&steps.to_le_bytes());
            for (bytes, value) in numbers.iter_mut().zip([row.value, row.lower, row.upper]) {
                bytes.extend_from_slice(&((value - base) as f32).to_le_bytes());
            }
        }
        let [values, lower, upper] = numbers.map(|bytes| STANDARD.encode(bytes));
        Some(Self {
            start: moment::seconds(first.time_ns),
            unit: unit_ms as f64 / 1000.0,
            base,
            stride,
            times: STANDARD.encode(times),
            values,
            lower,
            upper,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_put_in_once() {
        let page = fill("a {{x}} b {{y}} {{z}}", &[("x", "{{y}}"), ("y", "2")]);
        assert_eq!(page, "a {{y}} b 2 ");
    }

    #[test]
    fn points_keep_times_and_values() {
        let row = |time_ns: i64, value: f64| Row {
            time_ns,
            value,
            lower: f64::NAN,
            upper: value,
            in_alarm: false,
        };
        let points =
            Points::new(&[row(0, 1e15), row(1_500_000_000, 1e15 + 3.0)], 1).expect("points");
        let bytes = |text: &str| STANDARD.decode(text).expect("base64");
        assert_eq!(
            bytes(&points.times),
            [0u32, 1500].map(u32::to_le_bytes).concat()
        );
        assert_eq!(
            bytes(&points.values),
            [0f32, 3.0].map(f32::to_le_bytes).concat()
        );
        let years = Points::new(&[row(0, 1.0), row(1_700_000_000_000_000_000, 1.0)], 1);
        assert!(years.is_some_and(|p| p.unit > 0.3 && p.unit < 1.1));
    }
}
