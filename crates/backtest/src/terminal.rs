//! A series as text for a terminal: the value in dots, the band shaded, alarms marked.

use std::io::IsTerminal;

use crate::moment;
use crate::scale::{Scale, short, time_ticks, value_range};
use crate::svg::about;
use crate::thin::Row;
use crate::track::Outcome;

/// Lines of the plot.
const LINES: usize = 14;
/// Columns in front of the plot.
const LABELS: usize = 9;
/// Columns without a terminal.
const DEFAULT_COLUMNS: usize = 100;
const LEAST_COLUMNS: usize = 40;
const MOST_COLUMNS: usize = 400;

/// The first Braille pattern; each dot is one bit more.
const BRAILLE: u32 = 0x2800;
/// Bits of the dots of a cell: two columns, four lines.
const DOTS: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
/// Light shade.
const SHADE: char = '\u{2591}';
/// Full block, at the left half.
const MARK: char = '\u{2580}';

const RED: &str = "\x1b[31m";
const BLUE: &str = "\x1b[34m";
const YELLOW: &str = "\x1b[33m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// How to draw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    pub(crate) columns: usize,
    pub(crate) colour: bool,
}

impl Terminal {
    /// As the standard output is.
    pub(crate) fn new() -> Self {
        let stdout = std::io::stdout();
        let size = rustix::termios::tcgetwinsize(&stdout).ok();
        let columns = size.map_or(0, |s| usize::from(s.ws_col));
        let columns = if columns == 0 {
            DEFAULT_COLUMNS
        } else {
            columns
        };
        Self {
            columns: columns.clamp(LEAST_COLUMNS, MOST_COLUMNS),
            colour: stdout.is_terminal(),
        }
    }

    /// The whole plot.
    pub(crate) fn draw(&self, outcome: &Outcome) -> String {
        let columns = self.columns - LABELS;
        let rows = &outcome.rows;
        let mut text = format!(
            "{}\n{}\n",
            outcome.meta.title,
            self.paint(DIM, &about(outcome))
        );
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            text.push_str("nothing to draw\n");
            return text;
        };
        let (low, high) = value_range(rows, &[]);
        let x = Scale {
            from: moment::seconds(first.time_ns),
            to: moment::seconds(last.time_ns.max(first.time_ns.saturating_add(1))),
            place: (0.0, (columns * 2 - 1) as f64),
        };
        let y = Scale {
            from: low,
            to: high,
            place: ((LINES * 4 - 1) as f64, 0.0),
        };
        let cells = Cells::new(columns, rows, &x, &y);
        text.push_str(&self.marks(outcome, &x, columns));
        let ticks = y.ticks(4);
        for line in 0..LINES {
            let here = |v: &&f64| (y.at(**v) / 4.0).round() as usize == line;
            let label = ticks.iter().find(here).map_or(String::new(), |v| short(*v));
            text.push_str(&self.paint(DIM, &format!("{label:>w$} ", w = LABELS - 1)));
            self.line(&mut text, &cells, line);
        }
        text.push_str(&self.paint(DIM, &times(first, last, &x, columns)));
        text
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour {
            format!("{colour}{text}{PLAIN}")
        } else {
            text.to_owned()
        }
    }

    fn line(&self, text: &mut String, cells: &Cells, line: usize) {
        let mut out = String::new();
        for column in 0..cells.columns {
            let cell = cells.at(column, line);
            let dots = char::from_u32(BRAILLE | cell.dots).filter(|_| cell.dots != 0);
            let piece = match dots {
                Some(dots) if cell.alarm => self.paint(RED, &dots.to_string()),
                Some(dots) => dots.to_string(),
                None if cell.band => self.paint(BLUE, &SHADE.to_string()),
                None => " ".to_owned(),
            };
            out.push_str(&piece);
        }
        text.push_str(out.trim_end());
        text.push('\n');
    }

    /// Lines above the plot that mark alarms, and incidents where there are any.
    fn marks(&self, outcome: &Outcome, x: &Scale, columns: usize) -> String {
        let line = |name: &str, colour: &str, spans: &[(f64, f64)]| {
            let mut cells = vec![false; columns];
            for (from, to) in spans
                .iter()
                .filter(|(from, to)| *to >= x.from && *from <= x.to)
            {
                let cell = |time: f64| (x.at(time).max(0.0) / 2.0) as usize;
                let hit = cells.iter_mut().take(cell(*to) + 1).skip(cell(*from));
                hit.for_each(|cell| *cell = true);
            }
            let drawn: String = cells
                .iter()
                .map(|on| if *on { MARK } else { ' ' })
                .collect();
            let drawn = self.paint(colour, drawn.trim_end());
            format!(
                "{}{drawn}\n",
                self.paint(DIM, &format!("{name:>w$} ", w = LABELS - 1))
            )
        };
        let mut text = String::new();
        if !outcome.windows.is_empty() {
            let spans: Vec<_> = outcome
                .windows
                .iter()
                .map(|w| (w.start_s, w.end_s))
                .collect();
            text.push_str(&line("incident", YELLOW, &spans));
        }
        let alarms = outcome
            .tallies
            .first()
            .map(|t| t.alarms.as_slice())
            .unwrap_or_default();
        let ends = |start: i64, end: i64| (moment::seconds(start), moment::seconds(end));
        let spans: Vec<_> = alarms
            .iter()
            .map(|a| ends(a.run.start_ns, a.run.end_ns))
            .collect();
        text.push_str(&line("alarm", RED, &spans));
        text
    }
}

#[derive(Clone, Copy, Default)]
struct Cell {
    dots: u32,
    band: bool,
    alarm: bool,
}

struct Cells {
    columns: usize,
    cells: Vec<Cell>,
}

impl Cells {
    fn new(columns: usize, rows: &[Row], x: &Scale, y: &Scale) -> Self {
        let mut this = Self {
            columns,
            cells: vec![Cell::default(); columns * LINES],
        };
        let mut edges: Vec<Option<(f64, f64)>> = vec![None; columns];
        let mut before: Option<(usize, f64)> = None;
        for row in rows {
            let across = x.at(moment::seconds(row.time_ns)).max(0.0) as usize;
            let down = y.at(row.value).clamp(0.0, (LINES * 4 - 1) as f64);
            // an upright line to where the line before it ended, in this column only
            let from = before
                .filter(|(column, _)| *column == across)
                .map_or(down, |(_, d)| d);
            for dot in from.min(down) as usize..=from.max(down) as usize {
                this.dot(across, dot, row.in_alarm);
            }
            before = Some((across, down));
            if let Some(edge) = edges.get_mut(across / 2).filter(|_| !row.lower.is_nan()) {
                let (a, b) = (y.at(row.upper), y.at(row.lower));
                *edge = Some(edge.map_or((a, b), |(c, d)| (a.min(c), b.max(d))));
            }
        }
        let mut last = None;
        for (column, edge) in edges.into_iter().enumerate() {
            // a column without a sample shows the band of the one before
            last = edge.or(last);
            let Some((top, bottom)) = last else { continue };
            for line in 0..LINES {
                let middle = line as f64 * 4.0 + 1.5;
                if let Some(cell) = this.cells.get_mut(line * columns + column) {
                    cell.band = middle >= top && middle <= bottom;
                }
            }
        }
        this
    }

    fn at(&self, column: usize, line: usize) -> Cell {
        self.cells
            .get(line * self.columns + column)
            .copied()
            .unwrap_or_default()
    }

    fn dot(&mut self, across: usize, down: usize, alarm: bool) {
        let bit = DOTS
            .get(across % 2)
            .and_then(|d| d.get(down % 4))
            .copied()
            .unwrap_or(0);
        let at = down / 4 * self.columns + (across / 2).min(self.columns.saturating_sub(1));
        if let Some(cell) = self.cells.get_mut(at) {
            cell.dots |= bit;
            cell.alarm |= alarm;
        }
    }
}

/// The line of times below the plot.
fn times(first: &Row, last: &Row, x: &Scale, columns: usize) -> String {
    let mut line = vec![' '; LABELS + columns];
    let mut free = 0;
    for (time_ns, text) in time_ticks(first.time_ns, last.time_ns, columns / 14) {
        let at = LABELS + (x.at(moment::seconds(time_ns)).max(0.0) / 2.0) as usize;
        if at < free || at + text.len() > line.len() {
            continue;
        }
        free = at + text.len() + 1;
        for (place, letter) in line.iter_mut().skip(at).zip(text.chars()) {
            *place = letter;
        }
    }
    let line: String = line.into_iter().collect();
    format!("{}\n", line.trim_end())
}
