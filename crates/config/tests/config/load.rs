use std::fs;

use weir_config::{Fetch, NoFetch, Node, load};

use crate::{json, load_texts, variables};

fn merged(texts: &[&str]) -> String {
    json(&load_texts(texts, &[]).unwrap().root)
}

fn texts(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn with_sets(text: &str, sets: &[&str]) -> Result<Node, String> {
    load(
        &[format!("yaml:{text}")],
        &texts(sets),
        &variables(&[]),
        &NoFetch,
    )
    .map(|loaded| loaded.root)
    .map_err(|errors| errors.to_string())
}

/// CFG-01 to CFG-04, CFG-67 and the table of section 3.
#[test]
fn later_sources_win() {
    for (sources, wanted) in [
        (
            &["a: {b: 1, c: 2}", "a: {c: 3, d: 4}"][..],
            r#"{"a":{"b":1,"c":3,"d":4}}"#,
        ),
        (&["a: [1, 2]", "a: [3]"], r#"{"a":[3]}"#),
        (
            &["exporters: {x: {}}\nk: 1", "exporters:"],
            r#"{"exporters":null,"k":1}"#,
        ),
        (
            &["exporters: {x: 1}", "exporters: {}"],
            r#"{"exporters":{"x":1}}"#,
        ),
        (&["a: 1", "a: {b: 2}"], r#"{"a":{"b":2}}"#),
        (&["a: {b: 2}", "a: 1"], r#"{"a":1}"#),
        (&["a: 1", ""], r#"{"a":1}"#),
        (&["a: 1", "a: 1"], r#"{"a":1}"#),
        (
            &["exporters::debug::verbosity: detailed"],
            r#"{"exporters":{"debug":{"verbosity":"detailed"}}}"#,
        ),
        (
            &["a: {b: {c: 1}}", "a::b::d: 2"],
            r#"{"a":{"b":{"c":1,"d":2}}}"#,
        ),
        (&["a::b: 1\na: {c: 2}"], r#"{"a":{"b":1,"c":2}}"#),
        (&["exporters: {x::y: 1}"], r#"{"exporters":{"x":{"y":1}}}"#),
        (
            &["exporters: {o: {headers: {'x::y': 1}}}"],
            r#"{"exporters":{"o":{"headers":{"x::y":1}}}}"#,
        ),
    ] {
        assert_eq!(merged(sources), wanted, "{sources:?}");
    }
}

/// CFG-05 to CFG-08.
#[test]
fn sets_come_last() {
    let text = "processors: {batch: {timeout: 1s, n: 1}}";
    for (sets, wanted) in [
        (
            &["processors.batch.timeout=2s"][..],
            r#"{"processors":{"batch":{"timeout":"2s","n":1}}}"#,
        ),
        (
            &["processors::batch::timeout=2s"],
            r#"{"processors":{"batch":{"timeout":"2s","n":1}}}"#,
        ),
        (
            &[" processors.batch.n = 2 "],
            r#"{"processors":{"batch":{"timeout":"1s","n":2}}}"#,
        ),
        (
            &["processors.batch.n=2", "processors.batch.n=3"],
            r#"{"processors":{"batch":{"timeout":"1s","n":3}}}"#,
        ),
        (
            &["s.e=[a,b]"],
            r#"{"processors":{"batch":{"timeout":"1s","n":1}},"s":{"e":["a","b"]}}"#,
        ),
        (
            &["processors={x: true}"],
            r#"{"processors":{"batch":{"timeout":"1s","n":1},"x":true}}"#,
        ),
        (&["processors.batch="], r#"{"processors":{"batch":null}}"#),
        (
            &["processors.batch=a=b"],
            r#"{"processors":{"batch":"a=b"}}"#,
        ),
    ] {
        assert_eq!(json(&with_sets(text, sets).unwrap()), wanted, "{sets:?}");
    }
    for (set, message) in [
        ("foo", "missing equal sign"),
        ("=1", "not a path of keys"),
        ("a..b=1", "not a path of keys"),
        ("a=[1", "not valid YAML"),
    ] {
        let shown = with_sets(text, &[set]).unwrap_err();
        assert!(shown.contains(message), "{shown}");
    }
}

#[test]
fn an_argument_is_a_place() {
    let root = with_sets("a: 1", &["a.b=[x, y]"]).unwrap();
    let list = root.at(&["a", "b"]).unwrap();
    assert_eq!(list.span().to_string(), "--set:1:5");
    assert_eq!(list.span().text(), "[x, y]");
    assert_eq!(list.key_span().unwrap().text(), "a.b");
}

/// CFG-09, CFG-66: paths are relative to the working directory unless they are absolute.
#[test]
fn every_kind_of_location_loads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    fs::write(&path, "a: 1").unwrap();
    let path = path.to_str().unwrap();
    let environment = variables(&[("CONFIG", "c: 3")]);
    let locations = [
        path.to_owned(),
        format!("file:{path}"),
        "yaml:b: 2".to_owned(),
        "env:CONFIG".to_owned(),
        "https://host/x.yaml".to_owned(),
    ];
    let loaded = load(&locations, &[], &environment, &Remote).unwrap();
    assert_eq!(json(&loaded.root), r#"{"a":1,"b":2,"c":3,"d":4}"#);
    assert_eq!(
        loaded.root.get("a").unwrap().span().to_string(),
        format!("{path}:1:4")
    );
    assert_eq!(
        loaded.root.get("c").unwrap().span().to_string(),
        "env:CONFIG:1:4"
    );
    assert_eq!(
        loaded.root.get("d").unwrap().span().to_string(),
        "https://host/x.yaml:1:4"
    );
}

struct Remote;

impl Fetch for Remote {
    fn schemes(&self) -> &[&'static str] {
        &["http", "https", "s3"]
    }

    fn fetch(&self, location: &str) -> Result<String, String> {
        match location {
            "https://host/x.yaml" => Ok("d: 4".to_owned()),
            _ => Err("the server answered with status 404".to_owned()),
        }
    }
}

/// CFG-10, CFG-11, CFG-13 and sources that cannot be used.
#[test]
fn refuses_sources_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let binary = file("binary", b"a: \xff");
    let directory = folder.path().to_str().unwrap();
    let environment = variables(&[("EMPTY", ""), ("BLANK", " \n# x\n"), ("LIST", "[1]")]);
    for (location, message) in [
        ("ssm:/a", "scheme `ssm` is not supported"),
        (
            "http://u:p@host/a?token=t",
            "cannot read `http://host/a`: the server answered with status 404",
        ),
        (
            "file:/nonexistent/a.yaml",
            "cannot read file `/nonexistent/a.yaml`: No such file",
        ),
        ("/nonexistent/a.yaml", "No such file"),
        (&binary, "is not UTF-8 text (byte 3)"),
        (directory, "cannot read file"),
        ("env:EMPTY", "empty configuration file"),
        ("env:BLANK", "empty configuration file"),
        ("env:NOPE", "environment variable `NOPE`"),
        ("env:1A", "`1A` is not a valid name"),
        ("env:LIST", "a configuration must be a map, this is a list"),
        ("yaml:x", "a configuration must be a map, this is a string"),
    ] {
        let shown = load(&[location.to_owned()], &[], &environment, &Remote)
            .unwrap_err()
            .to_string();
        assert!(shown.contains(message), "{location}: {shown}");
        assert!(
            !shown.contains("token") && !shown.contains("u:p"),
            "{shown}"
        );
    }
    let shown = load(&[], &[], &environment, &NoFetch)
        .unwrap_err()
        .to_string();
    assert!(shown.contains("no configuration is named"), "{shown}");
}

#[test]
fn the_errors_of_all_sources_come_together() {
    let locations = texts(&["ssm:a", "/nonexistent", "yaml:a: [", "yaml:a: 1"]);
    let errors = load(&locations, &texts(&["x"]), &variables(&[]), &NoFetch).unwrap_err();
    assert_eq!(errors.error_count(), 4, "{errors}");
}
