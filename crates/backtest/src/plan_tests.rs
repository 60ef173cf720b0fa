//! Files found and what is known of them.
use super::*;

use clap::Parser;

use crate::options::Options;

fn plan(arguments: &[&str]) -> Result<Plan, String> {
    let all = ["weir backtest"].iter().chain(arguments);
    let options = Options::try_parse_from(all).expect("arguments");
    Plan::new(&options.paths, &options.input).map_err(|p| p.to_string())
}

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
    fs::write(path, text).expect("a file");
}

#[test]
fn a_folder_gives_its_series_in_order_and_counts_what_it_leaves() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in [
        "b.csv.gz",
        "a/c.json",
        "a/d.jsonl",
        "notes.md",
        ".hidden/x.csv",
        "e.pb",
    ] {
        write(folder.path(), name, "");
    }
    let root = folder.path().to_str().expect("text");
    let found = plan(&[root]).expect("a plan");
    let names: Vec<_> = found
        .inputs
        .iter()
        .map(|i| (i.meta.name.as_str(), i.form))
        .collect();
    use Form::{Csv, Json, Protobuf};
    assert_eq!(
        names,
        [("a/c", Json), ("a/d", Json), ("b", Csv), ("e", Protobuf)]
    );
    assert_eq!(found.ignored, 1);
    let twice = plan(&[root, root]).expect("a plan");
    assert!(twice.inputs.iter().any(|i| i.meta.name == "b-2"));
}

#[test]
fn a_manifest_tells_type_interval_warm_up_and_incidents() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = r#"[{"path":"s/one.csv.gz","dataset":"s","interval_s":60.0,"type":"counter",
        "warmup_s":600.0,"windows":[{"start":1.0,"end":2.0,"kind":"dip","severity":"hard"}]}]"#;
    write(folder.path(), "manifest.json", manifest);
    write(folder.path(), "s/one.csv.gz", "");
    write(folder.path(), "s/other.csv", "");
    let root = folder.path().to_str().expect("text");
    let found = plan(&[root]).expect("a plan");
    let meta = found
        .inputs
        .first()
        .map(|i| i.meta.clone())
        .expect("an input");
    assert_eq!(
        (found.inputs.len(), meta.name.as_str(), meta.counter),
        (1, "s/one", true)
    );
    assert_eq!(
        (meta.interval_s, meta.warm_up),
        (Some(60.0), WarmUp::Seconds(600.0))
    );
    assert!(meta.windows.is_some_and(|w| w.len() == 1));
    write(folder.path(), "manifest.json", r#"[{"path":"../one.csv"}]"#);
    assert!(plan(&[root]).is_err_and(|e| e.contains("leads out of the folder")));
}

#[test]
fn nab_is_known_by_its_labels() {
    let folder = tempfile::tempdir().expect("a folder");
    let labels = r#"{"realX/a.csv":[["1970-01-01 00:01:00.000000","1970-01-01 00:02:00.000000"]]}"#;
    write(folder.path(), "labels/combined_windows.json", labels);
    write(folder.path(), "data/realX/a.csv", "");
    write(folder.path(), "data/realX/b.csv", "");
    write(folder.path(), "results/x/a.csv", "");
    for root in [folder.path().to_owned(), folder.path().join("data")] {
        let found = plan(&[root.to_str().expect("text")]).expect("a plan");
        let seen: Vec<_> = found
            .inputs
            .iter()
            .map(|i| {
                (
                    i.meta.name.as_str(),
                    i.meta.windows.as_ref().map(Vec::len),
                    i.meta.warm_up,
                )
            })
            .collect();
        let expected = [
            ("realX/a", Some(1), NAB_PROBATION),
            ("realX/b", None, NAB_PROBATION),
        ];
        assert_eq!(seen, expected);
    }
    let file = folder.path().join("data/realX/a.csv");
    let labels = folder.path().join(NAB_LABELS);
    let one = plan(&[
        file.to_str().expect("text"),
        "--labels",
        labels.to_str().expect("text"),
    ]);
    let window = one
        .expect("a plan")
        .inputs
        .first()
        .and_then(|i| i.meta.windows.clone());
    assert_eq!(
        window.unwrap_or_default().first().map(|w| w.end_s),
        Some(120.0)
    );
}

#[test]
fn nothing_to_read_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(
        plan(&[folder.path().to_str().expect("text")])
            .is_err_and(|e| e.contains("nothing to read"))
    );
    assert!(plan(&["/does/not/exist.csv"]).is_err());
    write(folder.path(), "x.txt", "");
    assert!(plan(&[folder.path().join("x.txt").to_str().expect("text")]).is_err());
}
