use proptest::prelude::*;
use weir_config::{Diagnostic, Diagnostics, Node, Origin, Source, Span, parse_yaml};

use crate::{load_texts, source, tree, variables};

/// The node under the keys of a dotted path.
fn find<'a>(node: &'a Node, path: &str) -> &'a Node {
    path.split('.')
        .fold(node, |node, key| match key.parse::<usize>() {
            Ok(index) => &node.as_list().unwrap()[index],
            Err(_) => node.get(key).unwrap(),
        })
}

/// The error at a key or value of a text, as shown.
fn shown(text: &str, path: &str) -> String {
    let root = tree(text);
    Diagnostic::error("bad")
        .at(find(&root, path).span())
        .in_path(path)
        .to_string()
}

#[test]
fn has_the_shape_of_the_design() {
    let text = "exporters:\n  awsemf/app:\n    metric_declarations:\n      - dimensions: [[a]]\n        \
                metric_name_selector: [latency]\n";
    let source = Source::new("/etc/weir/config.yaml", text, Origin::Document);
    let root = parse_yaml(&source).unwrap();
    let key = find(
        &root,
        "exporters.awsemf/app.metric_declarations.0.metric_name_selector",
    )
    .place();
    let mut found = Diagnostics::from(
        Diagnostic::error("unknown key `metric_name_selector`")
            .at(key)
            .in_path("exporters.awsemf/app.metric_declarations[0]")
            .label("did you mean `metric_name_selectors`?"),
    );
    found.push(
        Diagnostic::warning("something else")
            .in_path("service")
            .hint("do this"),
    );
    assert_eq!(
        found.to_string(),
        "\
error: unknown key `metric_name_selector`
  --> /etc/weir/config.yaml:5:9   exporters.awsemf/app.metric_declarations[0]
  |
5 |         metric_name_selector: [latency]
  |         ^^^^^^^^^^^^^^^^^^^^ did you mean `metric_name_selectors`?

warning: something else
  --> service
   = help: do this"
    );
}

#[test]
fn margins_follow_the_line_number_and_hints_come_last() {
    let text = format!("{}a: b\n", "# x\n".repeat(119));
    let diagnostic = Diagnostic::error("bad")
        .at(tree(&text).get("a").unwrap().span())
        .hint("cure");
    let wanted = "\
error: bad
  --> test.yaml:120:4
    |
120 | a: b
    |    ^
    = help: cure";
    assert_eq!(diagnostic.to_string(), wanted);
}

#[test]
fn long_lines_and_control_characters_are_tamed() {
    let text = format!(
        "a: [{}\"here\\e\", {}]",
        "x, ".repeat(200),
        "y, ".repeat(200)
    );
    let root = tree(&text.replace("\\e", "\u{85}"));
    let list = root.get("a").unwrap().as_list().unwrap();
    let place = list
        .iter()
        .find(|node| node.as_str().unwrap().starts_with("here"))
        .unwrap();
    let shown = Diagnostic::error("bad").at(place.span()).to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert!(
        lines.iter().all(|line| line.chars().count() < 180),
        "{shown}"
    );
    assert_eq!(lines[3].find("\"here"), lines[4].find('^'), "{shown}");
    assert!(!shown.contains('\u{85}'));
}

#[test]
fn secrets_are_masked_wherever_they_stand() {
    for (text, path) in [
        ("password: hunter2", "password"),
        ("db_password: 'hunter2'", "db_password"),
        ("API-Key: hunter2", "API-Key"),
        ("auth: {user: joe, pass: hunter2}", "auth"),
        ("auth: {user: joe, token: hunter2}", "auth.user"),
        ("headers: {x: hunter2}", "headers"),
        ("headers:\n  x-anything: hunter2", "headers.x-anything"),
        ("headers:\n  - hunter2", "headers.0"),
        ("headers:\n- name: x\n  value: hunter2", "headers.0.value"),
        ("private_key: |\n  line\n  hunter2\nb: 1", "private_key"),
        ("endpoint: https://joe:hunter2@host/x", "endpoint"),
        ("url: https://host/x?token=hunter2", "url"),
        ("command: --password=hunter2 --x", "command"),
        ("- secret: hunter2", "0.secret"),
        ("Authorization: Bearer hunter2", "Authorization"),
    ] {
        let shown = shown(text, path);
        assert!(!shown.contains("hunter2"), "{text}: {shown}");
        assert!(
            shown.contains("error: bad") && shown.contains(" | "),
            "{shown}"
        );
    }
}

#[test]
fn what_is_no_secret_is_shown() {
    for text in [
        "endpoint: https://host:4317/x",
        "metric_name_selectors: [a]",
        "key: some.attribute",
        "timeout: 5s",
        "a: {b: c, d: e}",
    ] {
        let key = text.split(':').next().unwrap();
        let shown = shown(text, key);
        assert!(shown.contains(&format!("1 | {text}")), "{shown}");
    }
}

/// Secrets in the text round a syntax error, which has no path.
#[test]
fn syntax_errors_mask_secrets() {
    for text in [
        "private_key: |\n  aaa\nhunter2\n",
        "headers:\n- x: [hunter2\n",
        "private_key: |\n  aaa\n hunter2: [\n",
        "headers:\n  x: [hunter2\n",
        "password: \"hunter2\n",
        "token: {hunter2\n",
        "password: a: hunter2\n",
    ] {
        let shown = parse_yaml(&source(text)).unwrap_err().to_string();
        assert!(!shown.contains("hunter2"), "{text}: {shown}");
    }
}

#[test]
fn secrets_in_arguments_and_variables_are_masked() {
    let set = "exporters.otlp.headers.x=hunter2".to_owned();
    let loaded = weir_config::load(
        &["yaml:a: 1".to_owned()],
        &[set],
        &variables(&[]),
        &weir_config::NoFetch,
    )
    .unwrap();
    let node = find(&loaded.root, "exporters.otlp.headers.x");
    let shown = Diagnostic::error("bad").at(node.span()).to_string();
    assert!(
        shown.contains("exporters.otlp.headers.x=[REDACTED]"),
        "{shown}"
    );

    let loaded = load_texts(&["a: '${env:X}'"], &[("X", "{b: hunter2}")]).unwrap();
    let shown = Diagnostic::error("bad")
        .at(find(&loaded.root, "a.b").span())
        .to_string();
    assert_eq!(shown, "error: bad\n  --> env:X:1:5");

    let errors = weir_config::load(
        &["yaml:a: 1".to_owned()],
        &["exporters.otlp.headers.x=[hunter2".to_owned()],
        &variables(&[]),
        &weir_config::NoFetch,
    );
    assert!(!errors.unwrap_err().to_string().contains("hunter2"));
}

proptest! {
    /// Any place in any text can be shown, also one that does not fit the text.
    #[test]
    fn any_place_can_be_shown(
        text in "(?s)[a-z:\n\u{e9}{}= \t]{0,60}",
        line in 0_u32..6,
        column in 0_u32..80,
        start in 0_u32..80,
        length in 0_u32..80,
        path in "[a-z.]{0,10}",
    ) {
        let source = source(&text);
        let span = Span { source, line, column, start, end: start + length };
        let shown = Diagnostic::error("bad").at(&span).in_path(path).label("label").to_string();
        prop_assert!(shown.starts_with("error: bad\n  --> test.yaml:"));
        prop_assert!(shown.contains("label"));
    }
}
