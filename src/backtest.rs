//! `weir backtest`: the detector over recorded series.

use std::ffi::OsString;
use std::io::BufWriter;
use std::sync::Arc;

use clap::Parser;
use clap::error::ErrorKind;
use weir_backtest::Options;
use weir_core::{Clock, SystemClock};

use crate::cli::{EXIT_FAILURE, EXIT_OK, EXIT_USAGE};
use crate::{inspect, run};

/// The word that names the command.
const WORD: &str = "backtest";

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
    let done = weir_backtest::run(options, &clock, &mut out);
    drop(out);
    let Err(problems) = done else { return EXIT_OK };
    for problem in &problems {
        run::say(&format!("error: {problem}"));
    }
    EXIT_FAILURE
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
