//! Checks of the tree that no lint makes: `cargo run -p xtask -- check`.
//!
//! * no source file over 500 lines without its tests, no component over 5,500 (aim at half of it);
//! * Rust sources are plain ASCII, so that no two characters look alike in a review;
//! * a component folder does not name another component of its family.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

const FAMILIES: [&str; 4] = ["receivers", "processors", "exporters", "extensions"];
const MOST_LINES: usize = 500;
const MOST_COMPONENT_LINES: usize = 5500;

fn main() -> std::process::ExitCode {
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            std::process::ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("check") => check(Path::new(".")),
        other => bail!("usage: xtask check (got {other:?})"),
    }
}

fn check(root: &Path) -> Result<()> {
    let mut files = Vec::new();
    for folder in [
        "src",
        "crates",
        "receivers",
        "processors",
        "exporters",
        "extensions",
        "tests",
        "xtask",
    ] {
        sources(&root.join(folder), &mut files)?;
    }
    let mut problems = Vec::new();
    let mut sizes = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
        if let Some((at, _)) = text.lines().enumerate().find(|(_, line)| !line.is_ascii()) {
            problems.push(format!(
                "{}:{}: not plain ASCII (use an escape)",
                file.display(),
                at + 1
            ));
        }
        if !is_test(file) {
            sizes.push((code_lines(&text), file.clone()));
        }
    }
    sizes.sort();
    for (lines, file) in sizes.iter().rev().take(10) {
        say(&format!("{lines:5} {}", file.display()));
    }
    for (lines, file) in sizes.iter().filter(|(lines, _)| *lines > MOST_LINES) {
        problems.push(format!(
            "{}: {lines} lines without tests, at most {MOST_LINES}",
            file.display()
        ));
    }
    for family in FAMILIES {
        components(&root.join(family), &sizes, &mut problems)?;
    }
    if problems.is_empty() {
        say(&format!("{} files checked", files.len()));
        return Ok(());
    }
    bail!("{}", problems.join("\n"))
}

#[allow(clippy::print_stdout, reason = "a command-line tool")]
fn say(line: &str) {
    println!("{line}");
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("testdata") {
            sources(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn is_test(file: &Path) -> bool {
    let in_tests = file.components().any(|c| {
        matches!(
            c.as_os_str().to_str(),
            Some("tests" | "benches" | "examples")
        )
    });
    let stem = file
        .file_stem()
        .and_then(|s| s.to_str())
        .unwrap_or_default();
    in_tests || stem == "tests" || stem.ends_with("_tests") || file.starts_with("./crates/testkit")
}

/// Lines before the test module at the end.
fn code_lines(text: &str) -> usize {
    text.lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .count()
}

/// Names in a family's `components!` line. Other folders are shared code of the family.
fn registered(family: &Path) -> Result<Vec<String>> {
    let table = fs::read_to_string(family.join("lib.rs"))?;
    let line = table
        .split("components!(")
        .nth(1)
        .and_then(|t| t.split(')').next());
    let names = line
        .and_then(|l| l.split_once(':'))
        .map(|(_, names)| names)
        .unwrap_or_default();
    Ok(names
        .split(',')
        .map(|n| n.trim().to_owned())
        .filter(|n| !n.is_empty())
        .collect())
}

fn components(family: &Path, sizes: &[(usize, PathBuf)], problems: &mut Vec<String>) -> Result<()> {
    let names = registered(family)?;
    for name in &names {
        let folder = family.join(name);
        let own = sizes.iter().filter(|(_, file)| file.starts_with(&folder));
        let lines: usize = own.clone().map(|(lines, _)| lines).sum();
        if lines > MOST_COMPONENT_LINES {
            problems.push(format!(
                "{}: {lines} lines, at most {MOST_COMPONENT_LINES}",
                folder.display()
            ));
        }
        for (_, file) in own {
            let text = fs::read_to_string(file)?;
            for other in names.iter().filter(|other| *other != name) {
                if text.contains(&format!("crate::{other}::")) {
                    problems.push(format!("{}: names the component `{other}`", file.display()));
                }
            }
        }
    }
    Ok(())
}
