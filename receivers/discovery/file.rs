//! `file_sd_configs`: target groups in JSON and YAML files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;
use tracing::warn;
use weir_config::{Origin, Source, decode, parse_yaml};
use weir_core::Stop;

use super::config::FileSdConfig;
use super::{Group, WrittenGroup, written};

/// Files above this size are refused.
const MAX_BYTES: u64 = 16 << 20;
/// Between two looks at the files' times; a change is read at once, as the reference's file watch does.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);

/// Reads the files when they change and every `refresh_interval`, until `stop`.
pub(super) async fn run(
    at: usize,
    config: FileSdConfig,
    updates: mpsc::Sender<Vec<Group>>,
    stop: Stop,
) {
    let mut known = BTreeSet::new();
    let mut seen = Vec::new();
    let mut read_at = tokio::time::Instant::now();
    loop {
        let state = state(&config);
        let due = tokio::time::Instant::now() >= read_at;
        if due || state != seen {
            seen = state;
            read_at = tokio::time::Instant::now() + config.refresh_interval.to_std().max(LOOK);
            if updates
                .send(read_all(at, &config, &mut known))
                .await
                .is_err()
            {
                return;
            }
        }
        tokio::select! {
            () = stop.stopped() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Files with their time and size.
fn state(config: &FileSdConfig) -> Vec<(PathBuf, Option<std::time::SystemTime>, u64)> {
    let files = config.files.iter().flat_map(|pattern| expand(pattern));
    files
        .map(|file| {
            let metadata = std::fs::metadata(&file).ok();
            let time = metadata.as_ref().and_then(|m| m.modified().ok());
            (file, time, metadata.map_or(0, |m| m.len()))
        })
        .collect()
}

/// All groups, and empty ones for files that are gone. A bad file keeps its last good groups.
fn read_all(at: usize, config: &FileSdConfig, known: &mut BTreeSet<String>) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut here = BTreeSet::new();
    for file in config.files.iter().flat_map(|pattern| expand(pattern)) {
        let name = file.to_string_lossy().into_owned();
        let source = format!("file/{at}/{name}");
        here.insert(source.clone());
        match read(&file) {
            Ok(found) => {
                groups.push(Group {
                    source,
                    targets: written(found, ("__meta_filepath", &name)),
                });
            }
            Err(reason) => warn!(
                file = name,
                "Error reading file, its targets stay as they were: {reason}"
            ),
        }
    }
    for gone in known.difference(&here) {
        groups.push(Group {
            source: gone.clone(),
            targets: Vec::new(),
        });
    }
    *known = here;
    groups
}

fn read(file: &Path) -> Result<Vec<WrittenGroup>, String> {
    let size = std::fs::metadata(file).map_err(|e| e.to_string())?.len();
    if size > MAX_BYTES {
        return Err(format!("{size} bytes, at most {MAX_BYTES} are read"));
    }
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
    if file.extension().is_some_and(|e| e == "json") {
        return serde_json::from_str(&text).map_err(|e| e.to_string());
    }
    let source = Source::new(file.to_string_lossy(), text, Origin::Document);
    let node = parse_yaml(&source).map_err(|e| e.to_string())?;
    decode(&node, "").map_err(|found| weir_config::Diagnostics(found).to_string())
}

/// The files a pattern means: itself, or those of its folder that fit the `*`.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![PathBuf::from(pattern)];
    };
    let (folder, prefix) = match before.rsplit_once('/') {
        Some((folder, prefix)) => (format!("{folder}/"), prefix),
        None => (String::new(), before),
    };
    let listed = std::fs::read_dir(if folder.is_empty() { "." } else { &folder });
    let names = listed
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned());
    let fits = |name: &String| {
        name.len() >= prefix.len() + after.len()
            && name.starts_with(prefix)
            && name.ends_with(after)
    };
    let mut files: Vec<_> = names
        .filter(fits)
        .map(|name| PathBuf::from(format!("{folder}{name}")))
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn files_are_read_in_both_forms_kept_when_bad_and_removed_when_gone() {
        let folder = std::env::temp_dir().join(format!("weir-file-sd-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = |name: &str| folder.join(name);
        std::fs::write(
            path("a.json"),
            r#"[{"targets":["h:1"],"labels":{"x":"y"}}]"#,
        )
        .unwrap();
        std::fs::write(path("b.yml"), "- targets: ['h:2', 'h:3']\n").unwrap();
        let config = FileSdConfig {
            files: vec![
                path("a.json").display().to_string(),
                path("*.yml").display().to_string(),
            ],
            ..FileSdConfig::default()
        };
        let mut known = BTreeSet::new();
        let groups = read_all(0, &config, &mut known);
        assert_eq!(
            groups.iter().map(|g| g.targets.len()).collect::<Vec<_>>(),
            [1, 2]
        );
        assert!(groups[0].targets[0].contains(&("x".into(), "y".into())));
        let file = path("a.json").display().to_string();
        assert!(groups[0].targets[0].contains(&("__meta_filepath".into(), file)));
        std::fs::write(path("a.json"), "[{").unwrap();
        std::fs::remove_file(path("b.yml")).unwrap();
        let groups = read_all(0, &config, &mut known);
        assert_eq!(groups.len(), 1);
        assert!(groups[0].source.ends_with("b.yml") && groups[0].targets.is_empty());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
