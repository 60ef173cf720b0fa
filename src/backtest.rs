//! `weir backtest`: the detector over recorded series.

use std::ffi::OsString;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use clap::Parser;
use clap::error::ErrorKind;
use weir_backtest::{Options, Problem, Trainer};
use weir_config::{ComponentId, Origin, Source, parse_yaml};
use weir_core::{
    BoxFut, BuildCtx, Clock, ComponentKind, Consumer, Processor, Reject, Signal, SystemClock,
    Transform,
};
use weir_model::{Batch, Interner, Metrics};

use crate::cli::{EXIT_FAILURE, EXIT_OK, EXIT_USAGE};
use crate::components::REGISTRY;
use crate::{inspect, run};

/// The word that names the command.
const WORD: &str = "backtest";
/// The processor that runs the detector in a pipeline; its states are what training leaves.
const DETECTOR: &str = "anomaly";
/// Series that training keeps at most.
const MOST_SERIES: u64 = 1_000_000;

/// Does the work if the arguments, of which the first is the program's name, ask for it; the exit
/// code.
pub fn command(mut arguments: impl Iterator<Item = OsString>) -> Option<u8> {
    if arguments.nth(1)? != WORD {
        return None;
    }
    let named = std::iter::once(OsString::from("weir backtest")).chain(arguments);
    Some(match Options::try_parse_from(named) {
        Ok(options) => work(&options),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            inspect::print(&error.render().to_string());
            EXIT_OK
        }
        Err(error) => {
            run::say(error.render().to_string().trim_end());
            EXIT_USAGE
        }
    })
}

fn work(options: &Options) -> u8 {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let done = match options.train() {
        None => weir_backtest::run(options, &clock, None, &mut out),
        Some(folder) => train(options, folder, &clock, &mut out),
    };
    drop(out);
    let Err(problems) = done else { return EXIT_OK };
    for problem in &problems {
        run::say(&format!("error: {problem}"));
    }
    EXIT_FAILURE
}

/// The same with a processor beside it that learns, and keeps its states at the end.
fn train(
    options: &Options,
    folder: &Path,
    clock: &Arc<dyn Clock>,
    out: &mut dyn std::io::Write,
) -> Result<(), Vec<Problem>> {
    options.check().map_err(|problem| vec![problem])?;
    let failed = |what: String| vec![Problem::new(folder.display().to_string(), what, "")];
    writable(folder).map_err(|e| failed(e.to_string()))?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|e| failed(e.to_string()))?;
    let inside = runtime.enter();
    let learner = runtime
        .block_on(Learner::new(options, folder, clock))
        .map_err(failed)?;
    drop(inside);
    weir_backtest::run(options, clock, Some(&learner), out)?;
    let inside = runtime.enter();
    learner.processor.stop();
    drop(inside);
    // the processor only logs that it could not write
    let left = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|e| e.path().extension().is_some_and(|e| e == "state"))
    };
    let found = std::fs::read_dir(folder).map(|mut entries| entries.any(left));
    match found {
        Ok(true) => {}
        Ok(false) => return Err(failed("no state was left there".to_owned())),
        Err(error) => return Err(failed(error.to_string())),
    }
    Ok(())
}

/// Makes the folder, and finds out before the work whether a state can be left there.
fn writable(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let probe = folder.join("backtest.probe");
    std::fs::write(&probe, "")?;
    std::fs::remove_file(probe)
}

/// Hands points to the processor.
struct Learner {
    processor: Arc<dyn Transform>,
    interner: Arc<Interner>,
}

impl Learner {
    async fn new(options: &Options, folder: &Path, clock: &Arc<dyn Clock>) -> Result<Self, String> {
        let entry = REGISTRY
            .processors
            .iter()
            .find(|entry| entry.name == DETECTOR);
        let entry = entry.ok_or("this program has no detector for pipelines")?;
        let mut keys = options.detector_keys();
        if let Some(keys) = keys.as_object_mut() {
            // lines of a log that nobody has started
            keys.insert("emit".to_owned(), "log".into());
            keys.insert("max_series".to_owned(), MOST_SERIES.into());
        }
        let source = Source::new("arguments", keys.to_string(), Origin::Argument);
        let node = parse_yaml(&source).map_err(|e| e.message)?;
        let checked = (entry.check)(&node, DETECTOR).map_err(|errors| {
            let texts = errors.into_iter().map(|e| e.message);
            texts.collect::<Vec<_>>().join("; ")
        })?;
        let id = ComponentId::parse(DETECTOR).map_err(|e| e.to_string())?;
        let interner: Arc<Interner> = Arc::default();
        let context = BuildCtx {
            clock: clock.clone(),
            interner: interner.clone(),
            data_dir: Some(folder.to_owned()),
            ..BuildCtx::standalone(id, ComponentKind::Processor, Some(Signal::Metrics))
        };
        let built = (entry.build)(checked.config, context, Arc::new(Nowhere)).await;
        match built.map_err(|e| e.to_string())? {
            Processor::Transform(processor) => Ok(Self {
                processor,
                interner,
            }),
            Processor::Stage(_) => Err("the detector is no transform".to_owned()),
        }
    }
}

impl Trainer for Learner {
    fn interner(&self) -> Arc<Interner> {
        self.interner.clone()
    }

    fn learn(&self, metrics: Metrics) {
        // it never refuses: what it has no room for is counted
        let _passed = self.processor.apply(&mut Batch::metrics(metrics));
    }
}

/// Behind the processor.
struct Nowhere;

impl Consumer for Nowhere {
    fn consume(&self, _: Batch) -> BoxFut<'_, Result<(), Reject>> {
        Box::pin(async { Ok(()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(arguments: &[&str]) -> Option<u8> {
        command(arguments.iter().map(OsString::from))
    }

    #[test]
    fn exit_codes() {
        assert_eq!(code(&["weir"]), None);
        assert_eq!(code(&["weir", "validate", "backtest"]), None);
        assert_eq!(code(&["weir", "backtest"]), Some(EXIT_USAGE));
        assert_eq!(code(&["weir", "backtest", "--help"]), Some(EXIT_OK));
        assert_eq!(
            code(&["weir", "backtest", "a.csv", "--sweep", "x"]),
            Some(EXIT_USAGE)
        );
        assert_eq!(
            code(&["weir", "backtest", "/does/not/exist.csv"]),
            Some(EXIT_FAILURE)
        );
    }
}
