//! `weir state`: looks into the state files of the detector and moves series between them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use weir_detect::{ArchiveWriter, ArchivedSeries, read_archive};
use weir_processors::anomaly::describe;

use crate::cli::{EXIT_FAILURE, EXIT_OK, EXIT_USAGE};
use crate::{inspect, run};

/// The word that names the command.
const WORD: &str = "state";

/// Looks into state files of the anomaly processor and moves what they hold. The files are those
/// in the data directory; one that a running weir uses is replaced at its next snapshot.
#[derive(Debug, Parser)]
#[command(name = "weir state")]
struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Prints what was learned: a line per series and observation
    Inspect {
        /// State file
        file: PathBuf,
        /// Only series whose name contains this
        #[arg(long, default_value = "")]
        series: String,
    },
    /// Copies series of a state file into another file
    Export {
        /// State file
        file: PathBuf,
        /// File to write
        to: PathBuf,
        /// Only series whose name contains this
        #[arg(long, default_value = "")]
        series: String,
    },
    /// Adds the series of an exported file to a state file; those it has already are replaced
    Import {
        /// State file; made if it is not there
        file: PathBuf,
        /// File to read
        from: PathBuf,
    },
}

/// Does the work if the arguments, of which the first is the program's name, ask for it; the exit
/// code.
pub fn command(mut arguments: impl Iterator<Item = OsString>) -> Option<u8> {
    if arguments.nth(1)? != WORD {
        return None;
    }
    let named = std::iter::once(OsString::from("weir state")).chain(arguments);
    let options = match Options::try_parse_from(named) {
        Ok(options) => options,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            inspect::print(&error.render().to_string());
            return Some(EXIT_OK);
        }
        Err(error) => {
            run::say(error.render().to_string().trim_end());
            return Some(EXIT_USAGE);
        }
    };
    Some(match work(&options.action) {
        Ok(told) => {
            inspect::print(&told);
            EXIT_OK
        }
        Err(reason) => {
            run::say(&format!("error: {reason}"));
            EXIT_FAILURE
        }
    })
}

fn work(action: &Action) -> Result<String, String> {
    match action {
        Action::Inspect { file, series } => show(file, series),
        Action::Export { file, to, series } => {
            let bytes = read(file)?;
            let all = archived(file, &bytes)?;
            let chosen = all.into_iter().filter(|s| s.name.contains(series.as_str()));
            let count = write(to, chosen)?;
            Ok(format!("{count} series written to {}\n", to.display()))
        }
        Action::Import { file, from } => {
            let added = read(from)?;
            let added = archived(from, &added)?;
            let known = if file.exists() {
                read(file)?
            } else {
                ArchiveWriter::new().finish()
            };
            let known = archived(file, &known)?;
            let new: std::collections::HashSet<u64> = added.iter().map(|s| s.key).collect();
            let kept = known.into_iter().filter(|s| !new.contains(&s.key));
            let count = write(file, kept.chain(added))?;
            Ok(format!(
                "{} holds {count} series now, {} of them from {}\n",
                file.display(),
                new.len(),
                from.display()
            ))
        }
    }
}

fn show(file: &Path, text: &str) -> Result<String, String> {
    let bytes = read(file)?;
    let all = archived(file, &bytes)?;
    let mut told = format!(
        "{}: {} series, {} bytes\n",
        file.display(),
        all.len(),
        bytes.len()
    );
    for series in all.iter().filter(|s| s.name.contains(text)) {
        match describe(series) {
            Ok(lines) => lines.iter().for_each(|line| {
                told.push_str(line);
                told.push('\n');
            }),
            Err(error) => told.push_str(&format!("{:016x} {}: {error}\n", series.key, series.name)),
        }
    }
    Ok(told)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn archived<'a>(path: &Path, bytes: &'a [u8]) -> Result<Vec<ArchivedSeries<'a>>, String> {
    read_archive(bytes).map_err(|e| format!("{}: {e}", path.display()))
}

/// Writes beside the place and renames, so that a crash leaves the old file or the new one.
fn write<'a>(path: &Path, all: impl Iterator<Item = ArchivedSeries<'a>>) -> Result<usize, String> {
    let mut writer = ArchiveWriter::new();
    let mut count = 0;
    for series in all {
        writer.series(series.key, series.name, |out| {
            out.extend_from_slice(series.payload);
        });
        count += 1;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    std::fs::write(&beside, writer.finish())
        .and_then(|()| std::fs::rename(&beside, path))
        .map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> Result<String, String> {
        let named = std::iter::once("weir state").chain(words.iter().copied());
        work(&Options::try_parse_from(named).unwrap().action)
    }

    fn archive(keys: &[u64], payload: &[u8]) -> Vec<u8> {
        let mut writer = ArchiveWriter::new();
        for key in keys {
            writer.series(*key, &format!("cpu{{n={key}}}"), |out| {
                out.extend_from_slice(payload);
            });
        }
        writer.finish()
    }

    #[test]
    fn series_move_from_file_to_file() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (a, b, part) = (place("a.state"), place("b.state"), place("part"));
        std::fs::write(&a, archive(&[1, 2, 12], b"old")).unwrap();
        std::fs::write(&b, archive(&[2, 3], b"new")).unwrap();
        assert!(
            run(&["export", &b, &part, "--series", "n=2"])
                .unwrap()
                .starts_with("1 series")
        );
        let told = run(&["import", &a, &part]).unwrap();
        assert!(told.contains("holds 3 series now, 1 of them"), "{told}");
        let bytes = std::fs::read(&a).unwrap();
        let all = read_archive(&bytes).unwrap();
        let payload = |key| all.iter().find(|s| s.key == key).unwrap().payload;
        assert_eq!(
            (payload(1), payload(2), payload(12)),
            (&b"old"[..], &b"new"[..], &b"old"[..])
        );
        run(&["import", &place("fresh.state"), &part]).unwrap();
        let told = run(&["inspect", &a, "--series", "n=1"]).unwrap();
        assert_eq!(told.lines().count(), 3, "{told}");
        assert!(told.contains("0000000000000001 cpu{n=1}"), "{told}");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.state");
        let text = path.to_str().unwrap();
        assert!(run(&["inspect", text]).unwrap_err().starts_with(text));
        std::fs::write(&path, b"not a state").unwrap();
        assert!(run(&["inspect", text]).unwrap_err().contains("ends after"));
    }

    #[test]
    fn exit_codes() {
        let code = |words: &[&str]| command(words.iter().map(OsString::from));
        assert_eq!(code(&["weir", "run"]), None);
        assert_eq!(code(&["weir", "state"]), Some(EXIT_USAGE));
        assert_eq!(
            code(&["weir", "state", "inspect", "/nowhere"]),
            Some(EXIT_FAILURE)
        );
        assert_eq!(code(&["weir", "state", "--help"]), Some(EXIT_OK));
    }
}
