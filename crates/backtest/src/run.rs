//! The work from arguments to results.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use weir_core::Clock;

use crate::input::{self, Shared};
use crate::options::Options;
use crate::plan::Plan;
use crate::problem::Problem;
use crate::progress::Progress;
use crate::rule::Rule;
use crate::summary::Summary;
use crate::terminal::Terminal;
use crate::track::{Outcome, Setup};
use crate::train::Trainer;
use crate::{report, svg};

/// Of how many stretches of samples the extremes are kept to be drawn: for one series, in all, and
/// at least of each.
const DRAWN: (usize, usize, usize) = (8000, 240_000, 600);

/// What came of the inputs.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// In the order of the inputs.
    pub(crate) outcomes: Vec<Outcome>,
    /// Inputs that could not be read.
    pub(crate) problems: Vec<Problem>,
    /// Rows left out.
    pub(crate) skipped: u64,
    /// Files of folders left alone.
    pub(crate) ignored: usize,
    /// How long it took, s.
    pub(crate) seconds: f64,
}

/// Does what the arguments ask for; the summary goes to `out`, and what is read also to `trainer`.
///
/// # Errors
/// Everything that could not be read or written. What could be is in the summary all the same.
pub fn run(
    options: &Options,
    clock: &Arc<dyn Clock>,
    trainer: Option<&dyn Trainer>,
    out: &mut dyn Write,
) -> Result<(), Vec<Problem>> {
    options.check().map_err(|p| vec![p])?;
    let plan = Plan::new(&options.paths, &options.input).map_err(|p| vec![p])?;
    let setup = Setup {
        rules: options.rules(),
        calendar: options.detector.calendar().map_err(|p| vec![p])?,
        drawn_rows: drawn_rows(options, plan.inputs.len()),
        span: options.span,
    };
    let total = plan.inputs.iter().map(|i| i.size).sum();
    let progress = Progress::new(&**clock, total, options.quiet);
    let shared = Shared {
        options,
        setup: &setup,
        progress: &progress,
        clock,
        interner: trainer.map_or_else(Arc::default, Trainer::interner),
        trainer,
    };
    let mut results = read_all(&plan, &shared);
    results.ignored = plan.ignored;
    results.seconds = progress.elapsed().as_secs_f64();
    progress.clear();
    let mut problems = std::mem::take(&mut results.problems);
    if !results.outcomes.is_empty() {
        let summary = Summary::new(&results, &setup.rules, options);
        if let Err(error) = out.write_all(summary.text().as_bytes()) {
            problems.push(Problem::new("standard output", error.to_string(), ""));
        }
    }
    if let Err(problem) = draw(&results, &setup.rules, options, out) {
        problems.push(problem);
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

fn drawn_rows(options: &Options, inputs: usize) -> usize {
    let (most, in_all, least) = DRAWN;
    if options.draws() {
        (in_all / inputs.max(1)).clamp(least, most)
    } else {
        0
    }
}

/// Report, SVG and plots.
fn draw(
    results: &Results,
    rules: &[Rule],
    options: &Options,
    out: &mut dyn Write,
) -> Result<(), Problem> {
    if options.plot {
        let terminal = Terminal::new();
        for outcome in &results.outcomes {
            let text = format!("\n{}", terminal.draw(outcome));
            out.write_all(text.as_bytes())
                .map_err(|e| Problem::new("standard output", e.to_string(), ""))?;
        }
    }
    if let Some(folder) = &options.svg {
        for outcome in &results.outcomes {
            let path = folder.join(format!("{}.svg", outcome.meta.name));
            write_file(&path, &svg::draw(outcome, rules))?;
        }
    }
    if let Some(path) = &options.json {
        write_file(path, &report::json(results, rules))?;
    }
    match &options.report {
        Some(path) => write_file(path, &report::page(results, rules)),
        None => Ok(()),
    }
}

fn write_file(path: &Path, text: &str) -> Result<(), Problem> {
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, text)
    };
    write().map_err(|e| Problem::file(path, &e))
}

/// Reads the inputs on as many threads as there are processors.
fn read_all(plan: &Plan, shared: &Shared<'_>) -> Results {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let work = || {
        while let Some(input) = plan.inputs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = input::read(input, shared);
            let at = input.meta.name.clone();
            done.lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .push((at, result));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 1..threads.min(plan.inputs.len()) {
            scope.spawn(work);
        }
        work();
    });
    let done = done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut by_name: std::collections::HashMap<String, _> = done.into_iter().collect();
    let mut results = Results::default();
    for input in &plan.inputs {
        match by_name.remove(&input.meta.name) {
            Some(Ok(read)) => {
                results.skipped += read.skipped;
                results.outcomes.extend(read.outcomes);
            }
            Some(Err(problem)) => results.problems.push(problem),
            // its thread panicked, and so did the scope
            None => {}
        }
    }
    results
}
