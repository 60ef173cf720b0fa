//! `weir scrape check URL|FILE`: what the receiver would make of a page.

use std::ffi::OsString;
use std::io::Read as _;
use std::time::Duration;

use bytes::Bytes;
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use weir_core::{Clock as _, SystemClock};
use weir_receivers::prometheus::{FetchedPage, PageReport};

use crate::cli::{EXIT_FAILURE, EXIT_OK, EXIT_USAGE};
use crate::{inspect, run};

/// Larger files are refused.
const MAX_FILE: u64 = 1 << 30;

/// The word that leads here.
pub const WORD: &str = "scrape";

/// Looks at pages with metrics.
#[derive(Debug, Parser)]
#[command(name = "weir scrape")]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads a page as the prometheus receiver would; exit code 1 if a scrape would fail or lose
    /// samples
    Check {
        /// http(s) URL, a file, or - for the standard input
        page: String,
        /// How to read a file: text/plain, application/openmetrics-text or
        /// application/vnd.google.protobuf; guessed if left out
        #[arg(long, value_name = "TYPE")]
        content_type: Option<String>,
        /// Longest time for a URL, in seconds
        #[arg(long, default_value_t = 10, value_name = "SECONDS")]
        timeout: u64,
    },
}

/// Runs if the first word of the arguments asks for it; the exit code.
pub fn run(arguments: &[OsString]) -> Option<u8> {
    let (program, rest) = arguments.split_first()?;
    let (word, rest) = rest.split_first()?;
    if word != WORD {
        return None;
    }
    let arguments = std::iter::once(program).chain(rest);
    let flags = match Flags::try_parse_from(arguments) {
        Ok(flags) => flags,
        Err(error) => {
            let asked_for = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            let text = error.render().to_string();
            if asked_for {
                inspect::print(&text);
                return Some(EXIT_OK);
            }
            run::say(text.trim_end());
            return Some(EXIT_USAGE);
        }
    };
    let Command::Check {
        page,
        content_type,
        timeout,
    } = flags.command;
    let found = check(
        &page,
        content_type.as_deref(),
        Duration::from_secs(timeout.max(1)),
    );
    Some(match found {
        Ok(report) => {
            inspect::print(&report.to_string());
            if report.has_problems() {
                EXIT_FAILURE
            } else {
                EXIT_OK
            }
        }
        Err(why) => {
            run::say(&format!("error: {page}: {why}"));
            EXIT_FAILURE
        }
    })
}

fn check(page: &str, content_type: Option<&str>, timeout: Duration) -> Result<PageReport, String> {
    let page = if page.starts_with("http://") || page.starts_with("https://") {
        weir_net::install_default_provider();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        runtime.block_on(FetchedPage::scrape(page, timeout))?
    } else {
        let body = read(page).map_err(|error| error.to_string())?;
        if body.len() as u64 > MAX_FILE {
            return Err(format!("it has more than {MAX_FILE} bytes"));
        }
        FetchedPage::of_body(Bytes::from(body), content_type)?
    };
    let now = SystemClock::default().unix_ns() / 1_000_000;
    page.check(i64::try_from(now).unwrap_or(i64::MAX))
}

/// At most one byte more than allowed.
fn read(path: &str) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if path == "-" {
        std::io::stdin()
            .lock()
            .take(MAX_FILE + 1)
            .read_to_end(&mut body)?;
    } else {
        let file = std::fs::File::open(path)?;
        file.take(MAX_FILE + 1).read_to_end(&mut body)?;
    }
    Ok(body)
}
