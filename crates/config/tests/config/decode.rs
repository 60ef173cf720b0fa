use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use weir_config::{
    ByteSize, ComponentId, DecodeOptions, Diagnostic, Duration, Errors, Node, Secret, StringOrList,
    Validate, decode, decode_and_validate, decode_with,
};

use crate::{json, load_texts, tree};

#[derive(Debug, Deserialize, PartialEq)]
#[serde(default)]
struct Config {
    endpoint: String,
    region: Option<String>,
    size: u16,
    count: i64,
    ratio: f64,
    on: bool,
    timeout: Duration,
    limit: ByteSize,
    names: Vec<String>,
    labels: BTreeMap<String, String>,
    mode: Mode,
    inner: Inner,
    optional: Option<Inner>,
    rules: Vec<Rule>,
    tags: StringOrList,
    #[serde(alias = "old_name")]
    new_name: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: "localhost:1".to_owned(),
            region: None,
            size: 7,
            count: -1,
            ratio: 0.5,
            on: true,
            timeout: Duration::from_secs(5),
            limit: ByteSize::mib(1),
            names: vec!["default".to_owned()],
            labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
            mode: Mode::Fast,
            inner: Inner::default(),
            optional: None,
            rules: Vec::new(),
            tags: StringOrList::default(),
            new_name: String::new(),
        }
    }
}

#[derive(Debug, Deserialize, PartialEq, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Fast,
    VerySlow,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(default)]
struct Inner {
    queue_size: u32,
    enabled: bool,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            queue_size: 1000,
            enabled: true,
        }
    }
}

#[derive(Debug, Deserialize, PartialEq)]
struct Rule {
    name: String,
    #[serde(default)]
    matches: Vec<String>,
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        if self.size == 0 {
            errors.push(
                "size",
                "must be greater than zero",
                "remove it for the default, 7",
            );
        }
        errors.nested("inner", &self.inner);
        for (index, rule) in self.rules.iter().enumerate() {
            errors.nested(&format!("rules[{index}]"), rule);
        }
        if self.endpoint.is_empty() {
            errors.push("endpoint", "must not be empty", "");
        }
    }
}

impl Validate for Inner {
    fn validate(&self, errors: &mut Errors) {
        if self.queue_size == 0 {
            errors.push("queue_size", "must be greater than zero", "");
        }
    }
}

impl Validate for Rule {
    fn validate(&self, errors: &mut Errors) {
        if self.matches.is_empty() {
            errors.warn("", "this rule matches nothing", "");
        }
    }
}

fn config(text: &str) -> Config {
    decode(&tree(text), "exporters.x").unwrap_or_else(|errors| panic!("{text}: {}", shown(&errors)))
}

fn shown(found: &[Diagnostic]) -> String {
    found.iter().map(|d| format!("{d}\n")).collect()
}

fn errors(text: &str) -> String {
    shown(&decode::<Config>(&tree(text), "exporters.x").unwrap_err())
}

/// A config whose values came out of variables.
fn with_variables(text: &str, env: &[(&str, &str)]) -> Node {
    load_texts(&[text], env).unwrap().root
}

/// CFG-25, CFG-35, and the table of section 5.
#[test]
fn values_of_the_right_type_are_taken() {
    let default = Config::default;
    for (text, wanted) in [
        ("", default()),
        ("{}", default()),
        (
            "endpoint: a\nregion: r",
            Config {
                endpoint: "a".into(),
                region: Some("r".into()),
                ..default()
            },
        ),
        (
            "size: 65535\ncount: -9",
            Config {
                size: 65535,
                count: -9,
                ..default()
            },
        ),
        (
            "size: 1e3",
            Config {
                size: 1000,
                ..default()
            },
        ),
        (
            "ratio: 2",
            Config {
                ratio: 2.0,
                ..default()
            },
        ),
        (
            "on: false",
            Config {
                on: false,
                ..default()
            },
        ),
        (
            "timeout: 1m30s",
            Config {
                timeout: Duration::from_secs(90),
                ..default()
            },
        ),
        (
            "timeout: 0",
            Config {
                timeout: Duration::ZERO,
                ..default()
            },
        ),
        (
            "limit: 2MiB",
            Config {
                limit: ByteSize::mib(2),
                ..default()
            },
        ),
        (
            "limit: 5",
            Config {
                limit: ByteSize(5),
                ..default()
            },
        ),
        (
            "names: [a, b]",
            Config {
                names: vec!["a".into(), "b".into()],
                ..default()
            },
        ),
        (
            "names: a,b",
            Config {
                names: vec!["a".into(), "b".into()],
                ..default()
            },
        ),
        (
            "names: ''",
            Config {
                names: vec![],
                ..default()
            },
        ),
        (
            "names: []",
            Config {
                names: vec![],
                ..default()
            },
        ),
        (
            "names: [a, ~]",
            Config {
                names: vec!["a".into(), String::new()],
                ..default()
            },
        ),
        (
            "labels: {}",
            Config {
                labels: BTreeMap::new(),
                ..default()
            },
        ),
        (
            "mode: very_slow",
            Config {
                mode: Mode::VerySlow,
                ..default()
            },
        ),
        (
            "inner: {queue_size: 1}",
            Config {
                inner: Inner {
                    queue_size: 1,
                    enabled: true,
                },
                ..default()
            },
        ),
        (
            "optional: {}",
            Config {
                optional: Some(Inner::default()),
                ..default()
            },
        ),
        (
            "tags: a,b",
            Config {
                tags: StringOrList(vec!["a,b".into()]),
                ..default()
            },
        ),
        (
            "tags: [a, b]",
            Config {
                tags: StringOrList(vec!["a".into(), "b".into()]),
                ..default()
            },
        ),
        (
            "old_name: x",
            Config {
                new_name: "x".into(),
                ..default()
            },
        ),
        (
            "rules: [{name: a}]",
            Config {
                rules: vec![Rule {
                    name: "a".into(),
                    matches: vec![],
                }],
                ..default()
            },
        ),
    ] {
        assert_eq!(config(text), wanted, "{text}");
    }
}

#[test]
fn null_keeps_every_default() {
    let text = "{endpoint: , region: , size: , count: , ratio: , on: , timeout: , limit: , names: , \
                labels: , mode: , inner: , optional: , rules: , tags: , new_name: }";
    assert_eq!(config(text), Config::default());
}

/// CFG-27, CFG-28 and the refusals of section 5, each with place, path and cure.
#[test]
fn values_of_another_type_are_refused() {
    for (text, place, message) in [
        (
            "size: '10'",
            "1:7   exporters.x.size",
            "expected an integer, got a string `10`",
        ),
        ("size: '10'", "1:7", "remove the quotes"),
        (
            "size: 7.5",
            "1:7",
            "expected an integer, got a number `7.5`",
        ),
        (
            "size: 65536",
            "1:7",
            "expected an integer between 0 and 65535, got an integer `65536`",
        ),
        ("size: -1", "1:7", "between 0 and 65535"),
        ("size: [1]", "1:7", "expected an integer, got a list"),
        (
            "count: true",
            "1:8",
            "expected an integer, got a boolean `true`",
        ),
        ("ratio: x", "1:8", "expected a number, got a string `x`"),
        ("on: yes", "1:5   exporters.x.on", "write true or false"),
        ("on: 1", "1:5", "expected a boolean, got an integer `1`"),
        (
            "endpoint: 123",
            "1:11",
            "expected a string, got an integer `123`",
        ),
        ("endpoint: 0123", "1:11", "quote it: \"0123\""),
        (
            "endpoint: true",
            "1:11",
            "expected a string, got a boolean `true`",
        ),
        ("endpoint: {a: 1}", "1:11", "expected a string, got a map"),
        ("region: 5", "1:9", "expected a string, got an integer"),
        (
            "timeout: 5d",
            "1:10   exporters.x.timeout",
            "unknown unit `d` in duration `5d`",
        ),
        ("timeout: abc", "1:10", "invalid duration `abc`"),
        ("timeout: 1.5", "1:10", "expected a duration such as `30s`"),
        ("timeout: [5s]", "1:10", "expected a duration"),
        ("limit: 5 parsec", "1:8", "unknown unit `parsec`"),
        ("limit: -1", "1:8", "must not be negative"),
        (
            "names: [a, 1]",
            "1:12   exporters.x.names[1]",
            "expected a string, got an integer `1`",
        ),
        ("names: {a: b}", "1:8", "expected a list, got a map"),
        ("names: 5", "1:8", "expected a list, got an integer `5`"),
        (
            "labels: {k: 1}",
            "1:13   exporters.x.labels.k",
            "expected a string",
        ),
        ("labels: [a]", "1:9", "expected a map, got a list"),
        (
            "mode: fasst",
            "1:7   exporters.x.mode",
            "did you mean `fast`?",
        ),
        (
            "mode: fasst",
            "1:7",
            "expected one of `fast` and `very_slow`, got `fasst`",
        ),
        (
            "mode: {fast: 1}",
            "1:7",
            "expected just the word `fast`, got a map",
        ),
        (
            "inner: 5",
            "1:8   exporters.x.inner",
            "expected a map, got an integer `5`",
        ),
        (
            "rules: [{}]",
            "1:9   exporters.x.rules[0]",
            "`name` is missing",
        ),
        ("rules: [{name: }]", "1:10", "`name` must have a value"),
        (
            "tags: {a: b}",
            "1:7",
            "expected a string or a list of strings, got a map",
        ),
        ("5", "1:1   exporters.x", "expected a map, got an integer"),
        ("[a]", "1:1", "expected a map, got a list"),
    ] {
        let shown = errors(text);
        assert!(
            shown.contains(place) && shown.contains(message),
            "{text}: {shown}"
        );
    }
}

/// CFG-28, CFG-33: unknown keys and wrong types of the whole part come back together, in the order
/// of the source, and nothing is reported that only follows from them.
#[test]
fn all_errors_come_at_once() {
    let text = "endpiont: a\nsize: x\ninner:\n  queue_siz: 1\n  enabled: 5\nrules:\n- name: 5\n- \
                names: a\n  name: b\n- {}\nEndpoint: b\nzzz: 1\n";
    let found = decode::<Config>(&tree(text), "e").unwrap_err();
    let lines: Vec<String> = found
        .iter()
        .map(|d| format!("{} {}", d.span.as_ref().unwrap(), d.message))
        .collect();
    assert_eq!(
        lines,
        [
            "test.yaml:1:1 unknown key `endpiont`",
            "test.yaml:2:7 expected an integer, got a string `x`",
            "test.yaml:4:3 unknown key `queue_siz`",
            "test.yaml:5:12 expected a boolean, got an integer `5`",
            "test.yaml:7:9 expected a string, got an integer `5`",
            "test.yaml:8:3 unknown key `names`",
            "test.yaml:10:3 `name` is missing",
            "test.yaml:11:1 unknown key `Endpoint`",
            "test.yaml:12:1 unknown key `zzz`",
        ]
    );
    let labels: Vec<Option<&str>> = found.iter().map(|d| d.label.as_deref()).collect();
    assert_eq!(labels[0], Some("did you mean `endpoint`?"));
    assert_eq!(labels[2], Some("did you mean `queue_size`?"));
    assert_eq!(labels[7], Some("did you mean `endpoint`?"));
    assert!(
        found[8]
            .hint
            .as_deref()
            .unwrap()
            .starts_with("known keys: count, endpoint, inner")
    );
}

#[test]
fn very_many_errors_end() {
    let text: String = (0..500).map(|n| format!("- {{name: {n}}}\n")).collect();
    let found = decode::<Vec<Rule>>(&tree(&text), "e").unwrap_err();
    assert_eq!(found.len(), 50);
}

/// CFG-15, CFG-19: what came whole out of a variable fits its type and a string by its text.
#[test]
fn references_fit_strings_and_numbers() {
    let env = [
        ("N", "8192"),
        ("Z", "0123"),
        ("M", "{a: 1}"),
        ("L", "a,b"),
        ("B", "true"),
        ("E", ""),
    ];
    let node = with_variables(
        "{size: '${N}', endpoint: '${N}', region: '${Z}', names: '${L}', labels: {a: '${Z}', b: '${B}', \
         c: '${NOPE}'}, new_name: '${M}', ratio: '${N}', on: '${B}', timeout: '${E}', tags: '${N}'}",
        &env,
    );
    let config: Config = decode(&node, "e").unwrap();
    assert_eq!((config.size, config.endpoint.as_str()), (8192, "8192"));
    assert_eq!(config.region.as_deref(), Some("0123"));
    assert_eq!(config.names, ["a", "b"]);
    assert_eq!(config.labels["a"], "0123");
    assert_eq!(config.labels["b"], "true");
    assert_eq!(config.labels["c"], "");
    assert_eq!(config.new_name, "{a: 1}");
    assert_eq!(config.timeout, Duration::from_secs(5));
    assert_eq!(config.tags.0, ["8192"]);
    // A variable that is not set keeps the default; one that is set but empty is an empty text.
    let node = with_variables(
        "{endpoint: '${NOPE}', region: '${E}', new_name: '${E}'}",
        &env,
    );
    let config: Config = decode(&node, "e").unwrap();
    assert_eq!(config.endpoint, "localhost:1");
    assert_eq!(config.region.as_deref(), Some(""));
}

/// An account id keeps its zero in a field of any type (the reference loses it).
#[test]
fn free_values_keep_texts_that_numbers_would_lose() {
    let node = with_variables(
        "{a: '${A}', b: '${B}', c: 0123}",
        &[("A", "012345678901"), ("B", "5")],
    );
    let values: BTreeMap<String, serde_json::Value> = decode(&node, "e").unwrap();
    assert_eq!(values["a"], serde_json::json!("012345678901"));
    assert_eq!(values["b"], serde_json::json!(5));
    assert_eq!(values["c"], serde_json::json!(83));
}

/// CFG-26.
#[test]
fn bare_numbers_as_durations_are_warned_about() {
    let decoded = decode_with::<Config>(
        &tree("timeout: 5"),
        "processors.batch",
        DecodeOptions::default(),
    )
    .unwrap();
    assert_eq!(decoded.value.timeout, Duration::from_nanos(5));
    let warning = shown(&decoded.warnings);
    for part in [
        "warning: ",
        "5ns",
        "test.yaml:1:10   processors.batch.timeout",
        "such as `5s`",
    ] {
        assert!(warning.contains(part), "{warning}");
    }
}

#[test]
fn loose_strings_take_any_scalar() {
    let options = DecodeOptions {
        loose_strings: true,
    };
    let node = tree("endpoint: 0123\nnames: [1, true, 1e3, x]\nlabels: {a: 1.50}");
    let config = decode_with::<Config>(&node, "e", options).unwrap().value;
    assert_eq!(config.endpoint, "0123");
    assert_eq!(config.names, ["1", "true", "1e3", "x"]);
    assert_eq!(config.labels["a"], "1.50");
}

/// Type errors and validation errors carry places; both lists are complete (CFG-33).
#[test]
fn validation_errors_have_places() {
    let text = "sizes: 1\nsize: 0\ninner:\n  queue_size: 0\nrules:\n- {name: a}\nendpoint: ''\n";
    let found = decode_and_validate::<Config>(&tree(text), "exporters.x").unwrap_err();
    let lines: Vec<String> = found
        .iter()
        .map(|d| {
            format!(
                "{:?} {} {} {}",
                d.severity,
                d.span.as_ref().unwrap(),
                d.path,
                d.message
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "Error test.yaml:1:1 exporters.x unknown key `sizes`",
            "Error test.yaml:2:7 exporters.x.size must be greater than zero",
            "Error test.yaml:4:15 exporters.x.inner.queue_size must be greater than zero",
            "Warning test.yaml:6:3 exporters.x.rules[0] this rule matches nothing",
            "Error test.yaml:7:11 exporters.x.endpoint must not be empty",
        ]
    );
    // A wrong type leaves nothing to validate, and so no follow-up errors.
    let found = decode_and_validate::<Config>(&tree("size: x\nendpoint: ''"), "e").unwrap_err();
    assert_eq!(found.len(), 1);
    let decoded = decode_and_validate::<Config>(&tree("rules: [{name: a}]"), "e").unwrap();
    assert_eq!(decoded.warnings.len(), 1);
}

/// The place of a key that is not there is the part that lacks it.
#[test]
fn validation_errors_of_defaults_point_at_the_part() {
    let whole = tree("exporters:\n  x:\n  y:\n    a.b: {c: [1, 2]}\n");
    let place = |part: &str, path: &str| {
        let mut errors = Errors::default();
        errors.push(path, "m", "");
        let found = errors.resolve(whole.at(&["exporters", part]).unwrap(), "p");
        found[0].span.as_ref().unwrap().to_string()
    };
    assert_eq!(place("x", "region"), "test.yaml:2:3");
    assert_eq!(place("y", "region"), "test.yaml:3:3");
    assert_eq!(place("y", "a.b"), "test.yaml:4:5");
    assert_eq!(place("y", "a.b.c[1]"), "test.yaml:4:18");
    assert_eq!(place("y", "a.b.c[7].d"), "test.yaml:4:11");
}

#[test]
fn nodes_pass_through_with_their_places() {
    #[derive(Debug, Deserialize)]
    struct Holder {
        config: Node,
        #[serde(default)]
        other: Option<Node>,
    }
    let holder: Holder = decode(&tree("config:\n  a: [1, x]\n"), "receivers.p").unwrap();
    assert_eq!(json(&holder.config), r#"{"a":[1,"x"]}"#);
    assert_eq!(
        holder.config.get("a").unwrap().span().to_string(),
        "test.yaml:2:6"
    );
    assert!(holder.other.is_none());
    let nodes: Vec<Node> = decode(&tree("[1, ~, x]"), "e").unwrap();
    assert_eq!(nodes.len(), 3);
    assert!(nodes[1].is_null());
}

#[test]
fn other_shapes_of_serde_work() {
    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Shape {
        Plain,
        One(u8),
        Two(u8, u8),
        Named { a: u8 },
    }
    fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
        decode(&tree(text), "e").map_err(|errors| shown(&errors))
    }
    assert_eq!(read("plain"), Ok(Shape::Plain));
    assert_eq!(read("plain: "), Ok(Shape::Plain));
    assert_eq!(read("one: 1"), Ok(Shape::One(1)));
    assert_eq!(read("two: [1, 2]"), Ok(Shape::Two(1, 2)));
    assert_eq!(read("named: {a: 1}"), Ok(Shape::Named { a: 1 }));
    for (text, message) in [
        ("one", "expected a map with the key `one`, got a string"),
        ("{one: 1, two: 2}", "exactly one key"),
        ("one: x", "test.yaml:1:6   e.one"),
        ("named: {b: 1}", "unknown key `b`"),
        ("seven", "expected one of"),
    ] {
        let shown = read::<Shape>(text).unwrap_err();
        assert!(shown.contains(message), "{text}: {shown}");
    }
    assert_eq!(read::<(u8, String)>("[1, a]"), Ok((1, "a".to_owned())));
    assert_eq!(read::<char>("x"), Ok('x'));
    assert_eq!(read::<()>("~"), Ok(()));
    assert_eq!(read::<Option<u8>>("~"), Ok(None));
    let ids = read::<BTreeMap<ComponentId, Option<u8>>>("{otlp/a: , b: 1}").unwrap();
    assert_eq!(ids.len(), 2);
    let shown = read::<BTreeMap<ComponentId, Option<u8>>>("{1otlp: 1}").unwrap_err();
    assert!(
        shown.contains("not a component type") && shown.contains("test.yaml:1:2"),
        "{shown}"
    );
}

#[test]
fn secrets_stay_out_of_errors() {
    #[derive(Debug, Deserialize)]
    #[serde(default)]
    struct Login {
        key: Secret<u16>,
        password: u16,
        headers: BTreeMap<String, u16>,
        access_token: Duration,
    }
    impl Default for Login {
        fn default() -> Self {
            let access_token = Duration::ZERO;
            Self {
                key: Secret::new(0),
                password: 0,
                headers: BTreeMap::new(),
                access_token,
            }
        }
    }
    let text =
        "key: hunter2\npassword: hunter2\nheaders: {x-custom: hunter2}\naccess_token: hunter2\n";
    let shown = shown(&decode::<Login>(&tree(text), "exporters.x").unwrap_err());
    assert_eq!(shown.matches("error: ").count(), 4, "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("password: [REDACTED]"), "{shown}");
    let login: Login = decode(&tree("key: 5"), "e").unwrap();
    assert_eq!((login.password, *login.key.expose()), (0, 5));
    assert!(login.headers.is_empty() && login.access_token.is_zero());
}

proptest::proptest! {
    /// Any tree is decoded or refused, and every refusal has a place.
    #[test]
    fn any_tree_is_decoded_or_refused(
        text in "((endpoint|size|names|labels|mode|inner|rules|timeout|limit|tags|x): \
                 ?(a|1|1e3|-5|~|\\[a, ~, 1\\]|\\{name: , queue_size: x\\}|\\{\\}|5s|'')\n){0,5}",
    ) {
        if let Ok(node) = weir_config::parse_yaml(&crate::source(&text))
            && let Err(found) = decode_and_validate::<Config>(&node, "e")
        {
            proptest::prop_assert!(found.iter().all(|d| d.span.is_some() && !d.path.is_empty()));
            proptest::prop_assert!(found.iter().any(Diagnostic::is_error));
        }
    }
}

/// A secret under any key: no finding of its component shows its line, whatever the finding is about.
#[test]
fn lines_with_secrets_are_not_shown() {
    #[derive(Debug, Deserialize, Default)]
    #[serde(default)]
    struct Login {
        key: Secret<String>,
        size: u8,
    }
    impl Validate for Login {
        fn validate(&self, errors: &mut Errors) {
            errors.push("key", "is too short", "");
        }
    }
    for text in [
        "{key: hunter2, size: x}",
        "{key: hunter2, siz: 1}",
        "key: hunter2",
        "key: |\n  hunter2\nsiz: 1",
    ] {
        let shown = shown(&decode_and_validate::<Login>(&tree(text), "e").unwrap_err());
        assert!(
            !shown.contains("hunter2") && shown.contains("--> test.yaml:"),
            "{shown}"
        );
    }
}

#[test]
fn an_empty_key_can_mean_presence() {
    #[derive(Debug, Deserialize, Default, PartialEq)]
    #[serde(default)]
    struct Protocols {
        #[serde(deserialize_with = "weir_config::present")]
        grpc: Option<Inner>,
        http: Option<Inner>,
    }
    let read = |text: &str| decode::<Protocols>(&tree(text), "e").unwrap();
    assert_eq!(
        read("{grpc: , http: }"),
        Protocols {
            grpc: Some(Inner::default()),
            http: None
        }
    );
    assert_eq!(read("{}"), Protocols::default());
    let part = Inner {
        queue_size: 1,
        enabled: true,
    };
    assert_eq!(
        read("grpc: {queue_size: 1}"),
        Protocols {
            grpc: Some(part),
            http: None
        }
    );
}
