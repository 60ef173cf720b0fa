//! A series as SVG: value, band, alarms, labelled incidents, fixed limits.

use std::fmt::Write;

use crate::moment::{self, show_count, show_length};
use crate::rule::Rule;
use crate::scale::{Scale, short, time_ticks, value_range};
use crate::score::Meaning;
use crate::thin::Row;
use crate::track::Outcome;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 58.0;
const BOTTOM: f64 = 30.0;
/// Least width of a marked stretch of time.
const LEAST_MARK: f64 = 1.6;

const STYLE: &str = "\
<style>\
svg{--paper:#fff;--ink:#1c2733;--soft:#5b6875;--grid:#e3e8ed;--band:#3b7dd8;--alarm:#c8102e;\
--incident:#e0a100;--limit:#7a3fb0;font:12px system-ui,-apple-system,'Segoe UI',sans-serif}\
@media(prefers-color-scheme:dark){svg{--paper:#12181f;--ink:#e4eaf0;--soft:#9aa7b4;--grid:#27313b;\
--band:#5b9bf0;--alarm:#ff5c6c;--incident:#f0bb3a;--limit:#b98aea}}\
.paper{fill:var(--paper)}.title{fill:var(--ink);font-size:14px;font-weight:600}\
.soft{fill:var(--soft)}.grid{stroke:var(--grid);stroke-width:1}\
.band{fill:var(--band);fill-opacity:.22;stroke:var(--band);stroke-opacity:.45;stroke-width:.6}\
.value{fill:none;stroke:var(--ink);stroke-width:.9;stroke-linejoin:round}\
.incident{fill:var(--incident);fill-opacity:.2}.incident-bar{fill:var(--incident)}\
.alarm{fill:var(--alarm);fill-opacity:.16}.alarm-bar{fill:var(--alarm)}\
.dot{fill:var(--alarm)}.limit{stroke:var(--limit);stroke-width:1.3;stroke-dasharray:6 4}\
</style>";

/// The whole drawing.
pub(crate) fn draw(outcome: &Outcome, rules: &[Rule]) -> String {
    let rows = &outcome.rows;
    let limits = limits(rules);
    let (low, high) = value_range(rows, &limits);
    let first_ns = rows.first().map_or(outcome.first_ns, |r| r.time_ns);
    let last_ns = rows.last().map_or(outcome.last_ns, |r| r.time_ns);
    let last_ns = last_ns.max(first_ns.saturating_add(1));
    let picture = Picture {
        x: Scale {
            from: moment::seconds(first_ns),
            to: moment::seconds(last_ns),
            place: (LEFT, WIDTH - RIGHT),
        },
        y: Scale {
            from: low,
            to: high,
            place: (HEIGHT - BOTTOM, TOP),
        },
        gap_s: 10.0 * outcome.interval_s * outcome.stride.max(1) as f64,
    };
    let mut svg = String::with_capacity(1 << 16);
    let _infallible = picture.write(&mut svg, outcome, &limits, (first_ns, last_ns));
    svg
}

/// The limits of all fixed thresholds.
pub(crate) fn limits(rules: &[Rule]) -> Vec<f64> {
    let each = rules.iter().flat_map(|rule| match rule {
        Rule::Threshold(threshold) => [threshold.above, threshold.below],
        Rule::Band(_) => [None, None],
    });
    each.flatten().collect()
}

struct Picture {
    x: Scale,
    y: Scale,
    /// The line breaks over longer times without a sample.
    gap_s: f64,
}

impl Picture {
    fn write(
        &self,
        svg: &mut String,
        outcome: &Outcome,
        limits: &[f64],
        (first_ns, last_ns): (i64, i64),
    ) -> std::fmt::Result {
        let title = escape(&outcome.meta.title);
        let about = escape(&about(outcome));
        write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"{title}: {about}\">\
             {STYLE}<rect class=\"paper\" width=\"100%\" height=\"100%\" rx=\"6\"/>\n\
             <text class=\"title\" x=\"14\" y=\"22\">{title}</text>\n\
             <text class=\"soft\" x=\"14\" y=\"40\">{about}</text>\n"
        )?;
        self.grid(svg, first_ns, last_ns)?;
        let bottom = HEIGHT - BOTTOM;
        writeln!(
            svg,
            "<clipPath id=\"plot\"><rect x=\"{LEFT}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\
             </clipPath><g clip-path=\"url(#plot)\">",
            TOP - 6.0,
            WIDTH - LEFT - RIGHT,
            bottom - TOP + 6.0
        )?;
        for window in &outcome.windows {
            self.mark(svg, "incident", window.start_s, window.end_s, TOP)?;
        }
        let tally = outcome.tallies.first();
        for alarm in tally.map(|t| t.alarms.as_slice()).unwrap_or_default() {
            let (start, end) = (alarm.run.start_ns, alarm.run.end_ns);
            self.mark(
                svg,
                "alarm",
                moment::seconds(start),
                moment::seconds(end),
                TOP - 6.0,
            )?;
        }
        self.band(svg, &outcome.rows)?;
        for limit in limits {
            let y = self.y.at(*limit);
            let right = WIDTH - RIGHT;
            writeln!(svg, "<path class=\"limit\" d=\"M{LEFT} {y:.1}H{right}\"/>")?;
        }
        self.value(svg, &outcome.rows)?;
        let dots = outcome.rows.iter().filter(|r| r.in_alarm);
        for (x, y) in self.columns(dots) {
            writeln!(
                svg,
                "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.9\"/>"
            )?;
        }
        svg.push_str("</g>\n");
        legend(svg, outcome, !limits.is_empty())?;
        svg.push_str("</svg>\n");
        Ok(())
    }

    fn grid(&self, svg: &mut String, first_ns: i64, last_ns: i64) -> std::fmt::Result {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for value in self.y.ticks(5) {
            let y = self.y.at(value);
            let text = short(value);
            writeln!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/><text class=\"soft\" \
                 x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                LEFT - 8.0,
                y + 4.0
            )?;
        }
        for (time_ns, text) in time_ticks(first_ns, last_ns, 8) {
            let x = self.x.at(moment::seconds(time_ns));
            let anchor = if x > right - 30.0 { "end" } else { "middle" };
            writeln!(
                svg,
                "<path class=\"grid\" d=\"M{x:.1} {bottom}v4\"/><text class=\"soft\" x=\"{x:.1}\" \
                 y=\"{:.0}\" text-anchor=\"{anchor}\">{text}</text>",
                bottom + 18.0
            )?;
        }
        Ok(())
    }

    /// A stretch of time: shaded, with a bar at `top`.
    fn mark(
        &self,
        svg: &mut String,
        class: &str,
        start_s: f64,
        end_s: f64,
        top: f64,
    ) -> std::fmt::Result {
        let (left, right) = (self.x.at(start_s), self.x.at(end_s));
        let width = (right - left).max(LEAST_MARK);
        if right < LEFT || left > WIDTH - RIGHT {
            return Ok(());
        }
        let height = HEIGHT - BOTTOM - top;
        writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top}\" width=\"{width:.1}\" \
             height=\"{height}\"/><rect class=\"{class}-bar\" x=\"{left:.1}\" y=\"{top}\" \
             width=\"{width:.1}\" height=\"4\"/>"
        )
    }

    /// The band as polygons, a new one after each stretch without a band.
    fn band(&self, svg: &mut String, rows: &[Row]) -> std::fmt::Result {
        let mut upper = String::new();
        let mut lower: Vec<String> = Vec::new();
        let mut before = f64::NAN;
        let mut column = f64::NAN;
        let edge = |value: f64| self.y.at(value).clamp(0.0, HEIGHT);
        for row in rows {
            let time = moment::seconds(row.time_ns);
            let broken = row.lower.is_nan() || time - before > self.gap_s;
            before = time;
            if broken && !upper.is_empty() {
                close(svg, &mut upper, &mut lower)?;
            }
            let x = self.x.at(time);
            // one corner a column is all that can be seen
            if row.lower.is_nan() || (x - column).abs() < 1.0 && !upper.is_empty() {
                continue;
            }
            column = x;
            write!(upper, " {x:.1},{:.1}", edge(row.upper))?;
            lower.push(format!(" {x:.1},{:.1}", edge(row.lower)));
        }
        if upper.is_empty() {
            Ok(())
        } else {
            close(svg, &mut upper, &mut lower)
        }
    }

    fn value(&self, svg: &mut String, rows: &[Row]) -> std::fmt::Result {
        svg.push_str("<path class=\"value\" d=\"");
        let mut before = f64::NEG_INFINITY;
        for (x, y, time) in self.line(rows) {
            let letter = if time - before > self.gap_s { 'M' } else { 'L' };
            write!(svg, "{letter}{x:.1} {y:.1}")?;
            before = time;
        }
        svg.push_str("\"/>\n");
        Ok(())
    }

    /// At most four points a column: its first, lowest, highest and last value.
    fn line(&self, rows: &[Row]) -> Vec<(f64, f64, f64)> {
        let mut points: Vec<(f64, f64, f64)> = Vec::new();
        let mut column: Vec<(f64, f64, f64)> = Vec::new();
        for row in rows {
            let time = moment::seconds(row.time_ns);
            let point = (self.x.at(time), self.y.at(row.value), time);
            if column.first().is_some_and(|first| point.0 - first.0 >= 1.0) {
                points.append(&mut extremes(&column));
                column.clear();
            }
            column.push(point);
        }
        points.append(&mut extremes(&column));
        points
    }

    /// Places of samples, at most one in a square of a pixel.
    fn columns<'a>(&self, rows: impl Iterator<Item = &'a Row>) -> Vec<(f64, f64)> {
        let mut seen = std::collections::HashSet::new();
        let place = |row: &Row| {
            (
                self.x.at(moment::seconds(row.time_ns)),
                self.y.at(row.value),
            )
        };
        let places = rows.map(place);
        places
            .filter(|(x, y)| seen.insert((x.round() as i64, y.round() as i64)))
            .collect()
    }
}

fn extremes(column: &[(f64, f64, f64)]) -> Vec<(f64, f64, f64)> {
    if column.len() <= 4 {
        return column.to_vec();
    }
    let by_height = |a: &&(f64, f64, f64), b: &&(f64, f64, f64)| a.1.total_cmp(&b.1);
    let picked = [
        column.first(),
        column.iter().min_by(by_height),
        column.iter().max_by(by_height),
        column.last(),
    ];
    let mut picked: Vec<(f64, f64, f64)> = picked.into_iter().flatten().copied().collect();
    picked.sort_by(|a, b| a.2.total_cmp(&b.2));
    picked.dedup();
    picked
}

fn close(svg: &mut String, upper: &mut String, lower: &mut Vec<String>) -> std::fmt::Result {
    write!(
        svg,
        "<polygon class=\"band\" points=\"{}",
        upper.trim_start()
    )?;
    lower.iter().rev().for_each(|corner| svg.push_str(corner));
    upper.clear();
    lower.clear();
    writeln!(svg, "\"/>")
}

/// What can be said of a series in a line.
pub(crate) fn about(outcome: &Outcome) -> String {
    let mut text = format!(
        "{} samples every {}",
        show_count(outcome.counts.samples),
        show_length(outcome.interval_s)
    );
    let Some(tally) = outcome.tallies.first() else {
        return text;
    };
    let plural =
        |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    text.push_str(&format!("; {}", plural(tally.scored(), "alarm")));
    if let Some(incidents) = &tally.incidents {
        let found = incidents.iter().filter(|i| i.delay_s.is_some()).count();
        text.push_str(&format!(
            "; {} of {} found, {} false",
            found,
            plural(incidents.len(), "labelled incident"),
            tally.count(Meaning::False)
        ));
    }
    text
}

fn legend(svg: &mut String, outcome: &Outcome, limits: bool) -> std::fmt::Result {
    let mut entries = vec![("value", "value"), ("band", "band"), ("alarm-bar", "alarm")];
    if !outcome.windows.is_empty() {
        entries.push(("incident-bar", "labelled incident"));
    }
    if limits {
        entries.push(("limit", "fixed limit"));
    }
    let mut right = WIDTH - RIGHT;
    for (class, text) in entries.into_iter().rev() {
        // about seven units a letter, the swatch and the gaps
        right -= text.len() as f64 * 7.0 + 38.0;
        match class {
            "value" | "limit" => write!(svg, "<path class=\"{class}\" d=\"M{right:.0} 18h18\"/>")?,
            _ => write!(
                svg,
                "<rect class=\"{class}\" x=\"{right:.0}\" y=\"12\" width=\"18\" height=\"11\"/>"
            )?,
        }
        writeln!(
            svg,
            "<text class=\"soft\" x=\"{:.0}\" y=\"22\">{text}</text>",
            right + 23.0
        )?;
    }
    Ok(())
}

/// Text for an element or an attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            // not allowed in XML
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
