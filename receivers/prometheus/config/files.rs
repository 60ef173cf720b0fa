//! `scrape_config_files`: jobs in files of their own.

use std::path::{Path, PathBuf};

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

/// The jobs of all files that the patterns name. A pattern may have `*` in its last part.
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

/// Files of a pattern, sorted. One without `*` names a file that must be there.
fn files_of(pattern: &str) -> Result<Vec<PathBuf>, String> {
    let path = Path::new(pattern);
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let Some((head, tail)) = name.split_once('*') else {
        return Ok(vec![path.to_owned()]);
    };
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // A folder that is not there holds no files, as for any pattern.
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let fits = |name: &str| {
        name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(fits))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    Ok(files)
}
