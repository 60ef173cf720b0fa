//! The command line: arguments to an [`Invocation`], without acting on it.
//!
//! Drop-in for the reference's flags (`--config`, `--set`, `--feature-gates`, also with one dash);
//! the words in front of or among them are ours. Nothing is printed here: help, version and usage
//! errors come back as an [`Exit`] with the text and the stream that it belongs to.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Parser, ValueEnum};
use weir_config::Environment;

use crate::extra_config::ExtraConfig;

/// Exit code of a success.
pub const EXIT_OK: u8 = 0;
/// Exit code of a configuration or run-time error, as in the reference.
pub const EXIT_FAILURE: u8 = 1;
/// Exit code of arguments that cannot be understood.
pub const EXIT_USAGE: u8 = 2;

/// Holds a whole configuration; where it exists, `--config` and `--set` do not count.
pub const CONFIG_CONTENT_VARIABLE: &str = "AOT_CONFIG_CONTENT";
/// Names the data directory, unless `--data-dir` does.
pub const DATA_DIR_VARIABLE: &str = "WEIR_DATA_DIR";

const AFTER_HELP: &str = "\
Commands:
  run           start the collector (this is the default)
  validate      check the configuration and print everything that is wrong with it
  components    list the components in this program
  print-config  print the configuration with all sources merged and all defaults filled in
  demo          start with a built-in configuration and made-up data
  state         look into state files and move what they hold: weir state --help
  backtest      run the detector over recorded series: weir backtest --help
  scrape check  read a page with metrics as the prometheus receiver would: URL, file or -

Locations: a path, file:PATH, env:NAME, yaml:TEXT, http://..., https://..., s3://...

Environment:
  AOT_CONFIG_CONTENT  a whole configuration; replaces every --config and --set
  WEIR_DATA_DIR       data directory, unless --data-dir is given

Exit codes: 0 good, 1 configuration or run-time error, 2 usage";

/// Collects, processes and exports telemetry.
#[derive(Debug, Parser)]
#[command(name = "weir", version, after_help = AFTER_HELP, disable_help_flag = true)]
struct Flags {
    /// What to do
    #[arg(value_enum, default_value_t = Word::Run, hide_possible_values = true)]
    command: Word,

    /// Read configuration from here; repeat it to lay later ones over earlier ones
    #[arg(long, value_name = "LOCATION")]
    config: Vec<String>,

    /// Set one value after all files; . and :: nest, the value is YAML (processors.batch.timeout=2s)
    #[arg(long, value_name = "PATH=VALUE", allow_hyphen_values = true)]
    set: Vec<String>,

    /// Switch gates on (NAME, +NAME) and off (-NAME), separated by commas
    #[arg(long, value_name = "GATES", allow_hyphen_values = true)]
    feature_gates: Vec<String>,

    /// Keep queues and states here, so that they survive a restart
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,

    /// print-config: form of the output
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// print-config: show secrets or not
    #[arg(long, value_enum)]
    mode: Option<Mode>,

    /// Print this help
    #[arg(short, long, action = clap::ArgAction::HelpShort)]
    help: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Word {
    Run,
    Validate,
    Components,
    #[value(alias = "print-initial-config")]
    PrintConfig,
    Demo,
}

/// Form of a printed configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// YAML, as it could be given to `--config`.
    #[default]
    Yaml,
    /// JSON, for programs.
    Json,
}

/// Whether a printed configuration shows secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Mode {
    /// Secrets print as `[REDACTED]`.
    #[default]
    Redacted,
    /// Secrets print as they are.
    Unredacted,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Start the collector.
    Run,
    /// Check the configuration without starting anything (CFG-62).
    Validate,
    /// List the components.
    Components,
    /// Print the resolved configuration (CFG-63).
    PrintConfig(Format, Mode),
    /// Start with a built-in configuration.
    Demo,
}

/// The arguments, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// What to do.
    pub command: Command,
    /// Values of `--config` in order.
    pub locations: Vec<String>,
    /// Values of `--set` in order; whether they have an equal sign is seen when they are applied.
    pub sets: Vec<String>,
    /// Items of `--feature-gates` in order, such as `a`, `-b`, `+c`.
    pub feature_gates: Vec<String>,
    /// Value of `--data-dir`.
    pub data_dir: Option<PathBuf>,
}

/// A reason to end at once, with what to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Exit code of the process.
    pub code: u8,
    /// Text to print, with its line break.
    pub text: String,
}

impl Exit {
    /// Was the text asked for (help, version), so that it belongs on the standard output?
    pub fn is_success(&self) -> bool {
        self.code == EXIT_OK
    }
}

/// Where the configuration comes from, in the order that [`weir_config::load`] takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// Locations to read.
    pub locations: Vec<String>,
    /// Values to set afterwards.
    pub sets: Vec<String>,
}

impl Invocation {
    /// Understands the arguments, the first of which is the program's name.
    pub fn parse<I>(arguments: I) -> Result<Self, Exit>
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        let arguments = with_two_dashes(arguments.into_iter().map(Into::into));
        let flags = Flags::try_parse_from(arguments).map_err(|error| Exit {
            code: match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => EXIT_OK,
                _ => EXIT_USAGE,
            },
            text: error.render().to_string(),
        })?;
        flags.understand()
    }

    /// The sources to load: the variable [`CONFIG_CONTENT_VARIABLE`] alone if it exists, even if it is
    /// empty (CFG-12, CFG-13), or else `--config`, the log level of the extra configuration file
    /// (CFG-14) and `--set`.
    pub fn sources(&self, extra: &ExtraConfig, environment: &dyn Environment) -> Sources {
        if environment.get(CONFIG_CONTENT_VARIABLE).is_some() {
            let locations = vec![format!("env:{CONFIG_CONTENT_VARIABLE}")];
            return Sources {
                locations,
                sets: Vec::new(),
            };
        }
        let mut locations = self.locations.clone();
        // Without any configuration the log level alone must not count as one.
        if !locations.is_empty() {
            locations.extend(extra.location());
        }
        Sources {
            locations,
            sets: self.sets.clone(),
        }
    }

    /// The data directory: `--data-dir`, or else [`DATA_DIR_VARIABLE`] unless it is empty.
    pub fn data_dir(&self, environment: &dyn Environment) -> Option<PathBuf> {
        let named = || {
            environment
                .get(DATA_DIR_VARIABLE)
                .filter(|name| !name.is_empty())
        };
        self.data_dir.clone().or_else(|| named().map(PathBuf::from))
    }
}

impl Flags {
    fn understand(self) -> Result<Invocation, Exit> {
        let command = match self.command {
            Word::Run => Command::Run,
            Word::Validate => Command::Validate,
            Word::Components => Command::Components,
            Word::PrintConfig => Command::PrintConfig(
                self.format.unwrap_or_default(),
                self.mode.unwrap_or_default(),
            ),
            Word::Demo => Command::Demo,
        };
        let printing = matches!(command, Command::PrintConfig(..));
        if !printing && (self.format.is_some() || self.mode.is_some()) {
            let text = "error: --format and --mode belong to print-config\n".to_owned();
            return Err(Exit {
                code: EXIT_USAGE,
                text,
            });
        }
        let items = self.feature_gates.iter().flat_map(|list| list.split(','));
        let items = items.map(str::trim).filter(|item| !item.is_empty());
        Ok(Invocation {
            command,
            feature_gates: items.map(str::to_owned).collect(),
            locations: self.config,
            sets: self.set,
            data_dir: self.data_dir,
        })
    }
}

/// Flags that may be written with one dash, as Go programs allow, and whether a value follows.
const LONG_FLAGS: [(&str, bool); 8] = [
    ("config", true),
    ("set", true),
    ("feature-gates", true),
    ("data-dir", true),
    ("format", true),
    ("mode", true),
    ("version", false),
    ("help", false),
];

/// Gives known flags with one dash their second one. The value of a flag is left as it is.
fn with_two_dashes(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut result = Vec::new();
    let mut is_value = false;
    for argument in arguments {
        let text = argument.to_str().unwrap_or("");
        let dashes = text.len() - text.trim_start_matches('-').len();
        let flag = text.get(dashes..).unwrap_or("");
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        let known = LONG_FLAGS.iter().find(|(known, _)| *known == name);
        match known {
            Some((_, takes_value)) if !is_value && (dashes == 1 || dashes == 2) => {
                is_value = *takes_value && value.is_none();
                result.push(OsString::from(format!("--{flag}")));
            }
            _ => {
                is_value = false;
                result.push(argument);
            }
        }
    }
    result
}

#[cfg(test)]
mod tests;
