//! From the paths given to the files to read, with what manifests and label files say about them.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::moment;
use crate::options::{InputOptions, ValueType};
use crate::problem::Problem;
use crate::score::Window;
use crate::track::{Meta, WarmUp};
use crate::train::Identity;

/// NAB scores nothing in the first 15 % of a file, at most 750 rows.
const NAB_PROBATION: WarmUp = WarmUp::Rows {
    share: 0.15,
    most: 750,
};
/// NAB's labels, below its top folder.
const NAB_LABELS: &str = "labels/combined_windows.json";
/// Largest manifest or label file.
const MOST_BYTES: u64 = 64 << 20;
/// Deepest folder below a path.
const MOST_DEPTH: usize = 16;

/// A file to read, or a URL.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    /// On disk, bytes.
    pub(crate) size: u64,
    pub(crate) form: Form,
    /// For the series of a CSV file; a template for those of other forms.
    pub(crate) meta: Meta,
}

/// What an input looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Csv,
    /// Prometheus or OTLP, told apart by what is in it.
    Json,
    /// OTLP as protobuf.
    Protobuf,
    /// A Prometheus to be asked.
    Live,
}

/// All inputs, and how many files of folders were left alone.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) inputs: Vec<Input>,
    pub(crate) ignored: usize,
    names: HashSet<String>,
}

#[derive(Deserialize)]
struct Entry {
    path: String,
    #[serde(rename = "type")]
    value_type: Option<String>,
    interval_s: Option<f64>,
    warmup_s: Option<f64>,
    windows: Option<Vec<EntryWindow>>,
}

#[derive(Deserialize)]
struct EntryWindow {
    start: f64,
    end: f64,
    #[serde(default)]
    kind: String,
}

/// Incidents by the path of a CSV file.
type Labels = BTreeMap<String, Vec<(String, String)>>;

impl Plan {
    /// Looks at every path.
    pub(crate) fn new(paths: &[String], options: &InputOptions) -> Result<Self, Problem> {
        let mut plan = Self::default();
        let labels = options
            .labels
            .as_deref()
            .map(read_json::<Labels>)
            .transpose()?;
        for path in paths {
            if path.starts_with("http://") || path.starts_with("https://") {
                plan.add(
                    PathBuf::from(path),
                    0,
                    Form::Live,
                    meta("prometheus", options),
                );
                continue;
            }
            let path = Path::new(path);
            let about = fs::metadata(path).map_err(|e| Problem::file(path, &e))?;
            if about.is_dir() {
                plan.folder(path, options, labels.as_ref())?;
            } else {
                plan.file(path, about.len(), options, labels.as_ref())?;
            }
        }
        if plan.inputs.is_empty() {
            return Err(Problem::new(
                paths.join(" "),
                "there is nothing to read",
                "give CSV, JSON or OTLP files, or folders of them",
            ));
        }
        Ok(plan)
    }

    fn add(&mut self, path: PathBuf, size: u64, form: Form, mut meta: Meta) {
        let wanted = meta.name.clone();
        let mut count = 1;
        while !self.names.insert(meta.name.clone()) {
            count += 1;
            meta.name = format!("{wanted}-{count}");
        }
        self.inputs.push(Input {
            path,
            size,
            form,
            meta,
        });
    }

    fn file(
        &mut self,
        path: &Path,
        size: u64,
        options: &InputOptions,
        labels: Option<&Labels>,
    ) -> Result<(), Problem> {
        let Some(form) = form(path) else {
            return Err(Problem::new(
                path.display().to_string(),
                "not a form this program knows by its name",
                "use .csv, .json, .jsonl (Prometheus, OTLP), .pb (OTLP), each also with .gz",
            ));
        };
        let relative = path.file_name().map(PathBuf::from).unwrap_or_default();
        let mut meta = meta(&plain_name(&relative), options);
        if let Some(labels) = labels {
            apply(&mut meta, labels, path, options)?;
        }
        self.add(path.to_owned(), size, form, meta);
        Ok(())
    }

    fn folder(
        &mut self,
        root: &Path,
        options: &InputOptions,
        labels: Option<&Labels>,
    ) -> Result<(), Problem> {
        let manifest = root.join("manifest.json");
        if manifest.is_file() {
            return self.manifest(root, &manifest, options);
        }
        let nab = [
            (root.join("data"), root.join(NAB_LABELS)),
            (
                root.to_owned(),
                root.parent().unwrap_or(root).join(NAB_LABELS),
            ),
        ];
        let nab = nab
            .into_iter()
            .find(|(data, labels)| data.is_dir() && labels.is_file());
        let (root, own_labels) = match nab {
            Some((data, file)) => (data, Some(read_json::<Labels>(&file)?)),
            None => (root.to_owned(), None),
        };
        let labels = labels.or(own_labels.as_ref());
        let mut files = Vec::new();
        walk(&root, &mut files, 0)?;
        files.sort();
        for path in files {
            let Some(form) = form(&path) else {
                self.ignored += 1;
                continue;
            };
            let relative = path.strip_prefix(&root).unwrap_or(&path);
            let mut meta = meta(&plain_name(relative), options);
            if own_labels.is_some() {
                meta.warm_up = options.warm_up.map_or(NAB_PROBATION, WarmUp::Seconds);
            }
            if let Some(labels) = labels {
                apply(&mut meta, labels, relative, options)?;
            }
            let size = fs::metadata(&path).map_or(0, |m| m.len());
            self.add(path, size, form, meta);
        }
        Ok(())
    }

    fn manifest(
        &mut self,
        root: &Path,
        file: &Path,
        options: &InputOptions,
    ) -> Result<(), Problem> {
        let entries: Vec<Entry> = read_json(file)?;
        for entry in entries {
            let place = || file.display().to_string();
            let relative = Path::new(&entry.path);
            let inside = relative
                .components()
                .all(|c| matches!(c, std::path::Component::Normal(_)));
            if !inside {
                let what = format!("`{}` leads out of the folder", entry.path);
                return Err(Problem::new(place(), what, "use paths below the folder"));
            }
            let path = root.join(relative);
            let size = fs::metadata(&path)
                .map_err(|e| Problem::file(&path, &e))?
                .len();
            let mut meta = meta(&plain_name(relative), options);
            meta.counter = match entry.value_type.as_deref() {
                None => meta.counter,
                Some("gauge") => false,
                Some("counter") => true,
                Some(other) => {
                    let what = format!("{}: `{other}` is not a type", entry.path);
                    return Err(Problem::new(place(), what, "use gauge or counter"));
                }
            };
            meta.interval_s = entry.interval_s.filter(|s| s.is_finite() && *s > 0.0);
            if options.warm_up.is_none() {
                meta.warm_up = WarmUp::Seconds(entry.warmup_s.unwrap_or(0.0));
            }
            let windows = |all: Vec<EntryWindow>| {
                let each = all.into_iter();
                each.map(|w| Window {
                    start_s: w.start,
                    end_s: w.end,
                    kind: w.kind,
                })
                .collect()
            };
            meta.windows = entry.windows.map(windows);
            let form = form(&path).unwrap_or(Form::Csv);
            self.add(path, size, form, meta);
        }
        Ok(())
    }
}

/// What is known of any series.
fn meta(name: &str, options: &InputOptions) -> Meta {
    Meta {
        name: name.to_owned(),
        title: name.to_owned(),
        identity: Some(Identity {
            metric: name.rsplit('/').next().unwrap_or(name).to_owned(),
            labels: Vec::new(),
        }),
        counter: options.value_type == ValueType::Counter,
        rate: false,
        interval_s: None,
        warm_up: WarmUp::Seconds(options.warm_up.unwrap_or(0.0)),
        windows: None,
    }
}

/// Incidents of a file from a list by path: the longest end of the path that is in the list.
fn apply(
    meta: &mut Meta,
    labels: &Labels,
    path: &Path,
    options: &InputOptions,
) -> Result<(), Problem> {
    let text = path.to_string_lossy().replace('\\', "/");
    let text = text.trim_end_matches(".gz");
    let same = |key: &str| {
        text.strip_suffix(key)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    };
    let found = labels
        .iter()
        .filter(|(key, _)| same(key))
        .max_by_key(|(key, _)| key.len());
    let Some((key, spans)) = found else {
        return Ok(());
    };
    let end = |text: &str| {
        let time = moment::parse(text).map(moment::seconds);
        time.ok_or_else(|| {
            let place = options
                .labels
                .as_ref()
                .map_or(NAB_LABELS.to_owned(), |p| p.display().to_string());
            Problem::new(place, format!("{key}: `{text}` is not a time"), "")
        })
    };
    let window = |(start, end_text): &(String, String)| {
        Ok(Window {
            start_s: end(start)?,
            end_s: end(end_text)?,
            kind: String::new(),
        })
    };
    meta.windows = Some(spans.iter().map(window).collect::<Result<_, Problem>>()?);
    Ok(())
}

/// The form of a file by its name.
fn form(path: &Path) -> Option<Form> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.')?.1 {
        "csv" | "tsv" => Some(Form::Csv),
        "json" | "jsonl" | "ndjson" => Some(Form::Json),
        "pb" | "bin" | "otlp" | "proto" => Some(Form::Protobuf),
        _ => None,
    }
}

/// A relative path without the ends that tell the form, with `/` between its parts.
fn plain_name(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    let name = parts.join("/");
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.') {
        Some((stem, end)) if !stem.is_empty() && !end.contains('/') => stem.to_owned(),
        _ => name.to_owned(),
    }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>, depth: usize) -> Result<(), Problem> {
    let entries = fs::read_dir(folder).map_err(|e| Problem::file(folder, &e))?;
    for entry in entries {
        let path = entry.map_err(|e| Problem::file(folder, &e))?.path();
        let hidden = path
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if !path.is_dir() {
            files.push(path);
        } else if depth < MOST_DEPTH {
            walk(&path, files, depth + 1)?;
        }
    }
    Ok(())
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, Problem> {
    let size = fs::metadata(path)
        .map_err(|e| Problem::file(path, &e))?
        .len();
    if size > MOST_BYTES {
        return Err(Problem::new(
            path.display().to_string(),
            "larger than 64 MiB",
            "",
        ));
    }
    let text = fs::read(path).map_err(|e| Problem::file(path, &e))?;
    serde_json::from_slice(&text).map_err(|e| {
        let place = format!("{}:{}", path.display(), e.line());
        Problem::new(
            place,
            e.to_string(),
            "see docs/anomaly-detection.md for the form",
        )
    })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
