//! `scrape_config_files`: jobs in files of their own.

use std::path::{Path, PathBuf};

use regex::Regex;
use serde::{Deserialize, Serialize};
use weir_config::{Errors, Loose, Origin, Source, decode, parse_yaml};

use super::scrape::ScrapeConfig;
use super::{Global, check_jobs};

/// A file with jobs.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    scrape_configs: Vec<ScrapeConfig>,
}

/// The jobs of all files that the patterns name.
///
/// # Errors
/// If a file cannot be read or is not valid; the text names it.
pub(crate) fn jobs_of_files(
    global: &Global,
    patterns: &[String],
) -> Result<Vec<ScrapeConfig>, String> {
    let mut jobs = Vec::new();
    for pattern in patterns {
        for path in files_of(pattern)? {
            jobs.extend(read(global, &path)?);
        }
    }
    Ok(jobs)
}

fn read(global: &Global, path: &Path) -> Result<Vec<ScrapeConfig>, String> {
    let name = path.display().to_string();
    let failed = |why: String| format!("scrape_config_files: {name}: {why}");
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let shown = |errors: Vec<weir_config::Diagnostic>| {
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        failed(texts.join("; "))
    };
    let source = Source::new(&name, &text, Origin::Document);
    let node = parse_yaml(&source).map_err(|error| shown(vec![error]))?;
    let Loose(file) = decode::<Loose<File>>(&node, "").map_err(shown)?;
    let mut errors = Errors::default();
    check_jobs(global, &file.scrape_configs, &mut errors);
    let found = errors.resolve(&node, "");
    if found.iter().any(weir_config::Diagnostic::is_error) {
        return Err(shown(found));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(file
        .scrape_configs
        .into_iter()
        .map(|job| with_folder(job, folder))
        .collect())
}

/// Paths inside a file are relative to it.
fn with_folder(mut job: ScrapeConfig, folder: &Path) -> ScrapeConfig {
    let place = |path: &mut String| {
        if !path.is_empty() && Path::new(path).is_relative() {
            *path = folder.join(&*path).display().to_string();
        }
    };
    job.place_files(&place);
    job.http_sd_configs
        .iter_mut()
        .for_each(|config| config.place_files(&place));
    job.ec2_sd_configs
        .iter_mut()
        .for_each(|config| config.place_files(&place));
    job.ecs_sd_configs
        .iter_mut()
        .for_each(|config| config.place_files(&place));
    job.file_sd_configs
        .iter_mut()
        .flat_map(|config| &mut config.files)
        .for_each(place);
    job
}

/// Files of a pattern, sorted, with the rules of Go's `filepath.Glob`: `*`, `?` and `[a-z]` in any
/// part of the path. A path without them names a file that must be there.
fn files_of(pattern: &str) -> Result<Vec<PathBuf>, String> {
    if !has_wildcards(pattern) {
        return Ok(vec![PathBuf::from(pattern)]);
    }
    let start = if pattern.starts_with('/') { "/" } else { "" };
    let mut found = vec![PathBuf::from(start)];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        if !has_wildcards(part) {
            found.iter_mut().for_each(|path| path.push(part));
            found.retain(|path| path.exists());
            continue;
        }
        let part_pattern = part_pattern(part)
            .map_err(|why| format!("scrape_config_files: pattern `{pattern}`: {why}"))?;
        found = found
            .iter()
            .flat_map(|folder| names_in(folder, &part_pattern))
            .collect();
    }
    found.sort();
    Ok(found)
}

fn has_wildcards(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Entries of a folder whose names fit. A folder that is not there holds none, as for any pattern.
fn names_in(folder: &Path, pattern: &Regex) -> Vec<PathBuf> {
    let here = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let Ok(entries) = std::fs::read_dir(here) else {
        return Vec::new();
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    names
        .filter(|name| name.to_str().is_some_and(|name| pattern.is_match(name)))
        .map(|name| folder.join(name))
        .collect()
}

/// One part of a pattern as a regular expression.
fn part_pattern(part: &str) -> Result<Regex, String> {
    let wrong = || format!("`{part}` is not a valid pattern");
    let mut text = String::from("^");
    let mut rest = part;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '*' => text.push_str(".*"),
            '?' => text.push('.'),
            '[' => {
                let (set, after) = rest.split_once(']').ok_or_else(wrong)?;
                rest = after;
                // In a set only `^` and `-` mean something.
                let (not, set) = match set.strip_prefix('^') {
                    Some(set) => ("^", set),
                    None => ("", set),
                };
                let set = set.replace('\\', "\\\\").replace(['[', '&', '~'], "");
                text.push_str(&format!("[{not}{set}]"));
            }
            other => text.push_str(&regex::escape(&other.to_string())),
        }
    }
    text.push('$');
    Regex::new(&text).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn patterns_name_files_in_any_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display().to_string();
        for file in ["a/jobs-1.yml", "a/jobs-2.yml", "a/other.yml", "b/jobs-1.yml", "b/x.yaml"] {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        for (pattern, expected) in [
            ("a/*.yml", "a/jobs-1.yml a/jobs-2.yml a/other.yml"),
            ("*/jobs-1.yml", "a/jobs-1.yml b/jobs-1.yml"),
            ("*/jobs-?.yml", "a/jobs-1.yml a/jobs-2.yml b/jobs-1.yml"),
            ("a/jobs-[2-9].*", "a/jobs-2.yml"),
            ("a/jobs-[^2].yml", "a/jobs-1.yml"),
            ("none/*.yml", ""),
            ("a/none.yml", "a/none.yml"),
        ] {
            let found = files_of(&format!("{root}/{pattern}")).unwrap();
            let found: Vec<String> = found.iter().map(|p| p.display().to_string()).collect();
            let found = found.join(" ").replace(&format!("{root}/"), "");
            assert_eq!(found, expected, "{pattern}");
        }
        assert!(files_of("a/[.yml").unwrap_err().contains("not a valid pattern"));
    }
}
