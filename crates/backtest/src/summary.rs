//! The result in a few lines of text.

use std::collections::BTreeMap;

use crate::moment::{show_count, show_length};
use crate::options::Options;
use crate::rule::Rule;
use crate::run::Results;
use crate::score::Totals;
use crate::track::{Counts, Outcome};

/// With more series than this the summary has no line for each.
const MOST_LINES: usize = 20;

/// The numbers behind the text.
pub(crate) struct Summary<'a> {
    results: &'a Results,
    rules: &'a [Rule],
    per_series: bool,
    /// Some series is labelled.
    labelled: bool,
}

/// What one line stands for.
struct Line {
    name: String,
    series: usize,
    counts: Counts,
    totals: Totals,
}

impl Line {
    fn new<'a>(name: &str, rule: usize, outcomes: impl Iterator<Item = &'a Outcome>) -> Self {
        let mut line = Self {
            name: name.to_owned(),
            series: 0,
            counts: Counts::default(),
            totals: Totals::default(),
        };
        for outcome in outcomes {
            line.series += 1;
            line.counts.samples += outcome.counts.samples;
            line.counts.judged += outcome.counts.judged;
            line.counts.outside += outcome.counts.outside;
            if let Some(tally) = outcome.tallies.get(rule) {
                line.totals.add(tally);
            }
        }
        line
    }
}

impl<'a> Summary<'a> {
    pub(crate) fn new(results: &'a Results, rules: &'a [Rule], options: &Options) -> Self {
        let outcomes = &results.outcomes;
        let labelled = outcomes
            .iter()
            .flat_map(|o| &o.tallies)
            .any(|t| t.incidents.is_some());
        let per_series = options.per_series || outcomes.len() <= MOST_LINES;
        Self {
            results,
            rules,
            per_series,
            labelled,
        }
    }

    /// The whole text.
    pub(crate) fn text(&self) -> String {
        let mut lines = Vec::new();
        let outcomes = &self.results.outcomes;
        if self.per_series && outcomes.len() > 1 {
            lines.extend(
                outcomes
                    .iter()
                    .map(|o| Line::new(&o.meta.title, 0, std::iter::once(o))),
            );
        }
        let mut sets: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
        for outcome in outcomes {
            let set = outcome
                .meta
                .name
                .rsplit_once('/')
                .map_or("", |(set, _)| set);
            sets.entry(set).or_default().push(outcome);
        }
        if !self.per_series && sets.len() > 1 {
            lines.extend(
                sets.iter()
                    .map(|(set, of)| Line::new(set, 0, of.iter().copied())),
            );
        }
        let whole = |rule: usize, name: &str| Line::new(name, rule, outcomes.iter());
        lines.push(match outcomes.as_slice() {
            [one] => whole(0, &one.meta.title),
            _ => whole(0, "all"),
        });
        let mut text = self.table("series", &lines);
        if self.rules.len() > 1 {
            let rules = self.rules.iter().enumerate();
            let lines: Vec<Line> = rules.map(|(i, rule)| whole(i, &rule.name())).collect();
            text.push('\n');
            text.push_str(&self.table("rule", &lines));
        }
        text.push_str(&self.by_kind());
        text.push_str(&self.notes());
        text
    }

    fn table(&self, first: &str, lines: &[Line]) -> String {
        let with_samples = first == "series";
        let mut rows = vec![self.header(first, with_samples)];
        for line in lines {
            rows.push(self.cells(line, with_samples));
        }
        align(&rows)
    }

    fn header(&self, first: &str, with_samples: bool) -> Vec<String> {
        let mut cells = vec![first];
        if with_samples {
            cells.extend(["samples", "outside"]);
        }
        cells.extend(["weeks", "alarms", "a week"]);
        if self.labelled {
            cells.extend(["found", "missed", "false", "false/week"]);
            cells.extend(["precision", "recall", "F1", "delay", "p90"]);
        }
        cells.into_iter().map(str::to_owned).collect()
    }

    fn cells(&self, line: &Line, with_samples: bool) -> Vec<String> {
        let totals = &line.totals;
        let number = |value: Option<f64>, digits: usize| {
            value.map_or("-".to_owned(), |v| format!("{v:.digits$}"))
        };
        let name = match line.series {
            count if count > 1 && with_samples => format!("{} ({count})", line.name),
            _ => line.name.clone(),
        };
        let mut cells = vec![shortened(&name)];
        if with_samples {
            let judged = line.counts.judged as f64;
            let outside = (judged > 0.0).then(|| line.counts.outside as f64 / judged * 100.0);
            cells.push(show_count(line.counts.samples));
            cells.push(outside.map_or("-".to_owned(), |o| format!("{o:.2} %")));
        }
        cells.push(format!("{:.2}", totals.weeks));
        cells.push(totals.alarms.to_string());
        cells.push(number(totals.alarms_per_week(), 2));
        if self.labelled {
            let count = |value: usize| {
                if totals.labelled {
                    value.to_string()
                } else {
                    "-".to_owned()
                }
            };
            let delay = |q: f64| totals.delay(q).map_or("-".to_owned(), show_length);
            cells.extend([totals.found, totals.missed, totals.false_alarms].map(count));
            cells.push(number(totals.false_per_week(), 2));
            let ratios = [totals.precision(), totals.recall(), totals.f1()];
            cells.extend(ratios.map(|ratio| number(ratio, 3)));
            cells.extend([delay(0.5), delay(0.9)]);
        }
        cells
    }

    /// Recall by kind of incident, where kinds are given.
    fn by_kind(&self) -> String {
        let mut kinds: BTreeMap<&str, (usize, Totals)> = BTreeMap::new();
        for outcome in &self.results.outcomes {
            let tally = outcome.tallies.first();
            let incidents = tally
                .and_then(|t| t.incidents.as_ref())
                .into_iter()
                .flatten();
            for incident in incidents.filter(|i| !i.window.kind.is_empty()) {
                let entry = kinds.entry(&incident.window.kind).or_default();
                entry.0 += 1;
                entry.1.incident(incident);
            }
        }
        if kinds.is_empty() {
            return String::new();
        }
        let head = ["kind", "incidents", "recall", "delay"]
            .map(str::to_owned)
            .to_vec();
        let mut rows = vec![head];
        for (kind, (count, totals)) in kinds {
            let recall = totals.recall().unwrap_or(0.0);
            let delay = totals.delay(0.5).map_or("-".to_owned(), show_length);
            rows.push(vec![
                kind.to_owned(),
                count.to_string(),
                format!("{recall:.3}"),
                delay,
            ]);
        }
        format!("\n{}", align(&rows))
    }

    fn notes(&self) -> String {
        let results = self.results;
        let samples: u64 = results.outcomes.iter().map(|o| o.counts.samples).sum();
        let rate = samples as f64 / results.seconds.max(1e-6);
        let mut text = format!(
            "\n{} samples in {:.2} s ({:.2} million a second)\n",
            show_count(samples),
            results.seconds,
            rate / 1e6
        );
        for (count, what) in [
            (results.skipped, "rows that could not be read were left out"),
            (
                results.ignored as u64,
                "files of other kinds were left alone",
            ),
        ] {
            if count > 0 {
                text.push_str(&format!("{count} {what}\n"));
            }
        }
        let reads_nothing = |o: &&Outcome| o.counts.judged == 0;
        let unjudged = results.outcomes.iter().filter(reads_nothing).count();
        if unjudged > 0 {
            text.push_str(&format!(
                "{unjudged} series are too short to be judged: a band needs 40 samples\n"
            ));
        }
        text
    }
}

/// Long names lose their middle.
fn shortened(name: &str) -> String {
    const MOST: usize = 60;
    let chars: Vec<char> = name.chars().collect();
    if chars.len() <= MOST {
        return name.to_owned();
    }
    let (head, tail) = (MOST / 2, MOST - MOST / 2 - 2);
    let start: String = chars.iter().take(head).collect();
    let end: String = chars.iter().skip(chars.len() - tail).collect();
    format!("{start}..{end}")
}

/// Columns under each other: the first to the left, the others to the right.
pub(crate) fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        cells.map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if i == 0 {
                line.push_str(&format!("{cell:<width$}"));
            } else {
                line.push_str(&format!("  {cell:>width$}"));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
