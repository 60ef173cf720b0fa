#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use weir_config::{NoFetch, load};

use super::*;

/// Splits at blanks; `%20` stands for one.
fn parse(arguments: &str) -> Result<Invocation, Exit> {
    let words = arguments
        .split_whitespace()
        .map(|word| word.replace("%20", " "));
    Invocation::parse(std::iter::once("weir".to_owned()).chain(words))
}

fn run() -> Invocation {
    Invocation {
        command: Command::Run,
        locations: Vec::new(),
        sets: Vec::new(),
        feature_gates: Vec::new(),
        data_dir: None,
    }
}

fn texts(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

#[test]
fn flags_of_the_reference_are_understood() {
    let configs = |items: &[&str]| Invocation {
        locations: texts(items),
        ..run()
    };
    for (arguments, wanted) in [
        ("", run()),
        ("run", run()),
        ("--config=x", configs(&["x"])),
        ("--config x --config=y,z", configs(&["x", "y,z"])),
        ("-config=x -config y", configs(&["x", "y"])),
        ("--config=yaml:a:=b", configs(&["yaml:a:=b"])),
        ("run --config x", configs(&["x"])),
        ("--config x run", configs(&["x"])),
        (
            "--set a.b=1 -set c=-2",
            Invocation {
                sets: texts(&["a.b=1", "c=-2"]),
                ..run()
            },
        ),
        (
            "--set -a=-config",
            Invocation {
                sets: texts(&["-a=-config"]),
                ..run()
            },
        ),
        (
            "--set -config",
            Invocation {
                sets: texts(&["-config"]),
                ..run()
            },
        ),
        (
            "--set foo",
            Invocation {
                sets: texts(&["foo"]),
                ..run()
            },
        ),
        (
            "--feature-gates a,-b,+c",
            Invocation {
                feature_gates: texts(&["a", "-b", "+c"]),
                ..run()
            },
        ),
        (
            "--feature-gates -b --feature-gates=,a",
            Invocation {
                feature_gates: texts(&["-b", "a"]),
                ..run()
            },
        ),
        (
            "--data-dir /d",
            Invocation {
                data_dir: Some("/d".into()),
                ..run()
            },
        ),
    ] {
        assert_eq!(parse(arguments).unwrap(), wanted, "{arguments}");
    }
}

#[test]
fn words_choose_the_command_wherever_they_stand() {
    use Command::{Components, Demo, PrintConfig, Validate};
    for (arguments, wanted) in [
        ("validate --config x", Validate),
        ("--config x validate", Validate),
        ("components", Components),
        ("demo", Demo),
        ("print-config", PrintConfig(Format::Yaml, Mode::Redacted)),
        (
            "print-initial-config",
            PrintConfig(Format::Yaml, Mode::Redacted),
        ),
        (
            "--mode unredacted print-config -format=json",
            PrintConfig(Format::Json, Mode::Unredacted),
        ),
    ] {
        assert_eq!(parse(arguments).unwrap().command, wanted, "{arguments}");
    }
}

#[test]
fn help_and_version_are_successes() {
    for arguments in ["--help", "-h", "-help", "validate --help"] {
        let exit = parse(arguments).unwrap_err();
        assert!(exit.is_success(), "{arguments}");
        for part in [
            "--config <LOCATION>",
            "validate",
            "AOT_CONFIG_CONTENT",
            "Exit codes",
        ] {
            assert!(exit.text.contains(part), "{}", exit.text);
        }
        assert!(exit.text.lines().count() < 50, "one screen: {}", exit.text);
    }
    for arguments in ["--version", "-version", "-V"] {
        let exit = parse(arguments).unwrap_err();
        assert_eq!(
            (exit.code, exit.text),
            (EXIT_OK, format!("weir {}\n", env!("CARGO_PKG_VERSION")))
        );
    }
}

#[test]
fn what_is_not_understood_is_a_usage_error() {
    for (arguments, message) in [
        ("--config", "a value is required"),
        ("-config", "a value is required"),
        ("--confg x", "--config"),
        ("-x", "unexpected argument"),
        ("valdate", "validate"),
        ("validate components", "unexpected argument"),
        ("--data-dir a --data-dir b", "cannot be used multiple times"),
        ("--format json", "belong to print-config"),
        ("validate --mode redacted", "belong to print-config"),
        ("print-config --format xml", "json"),
    ] {
        let exit = parse(arguments).unwrap_err();
        assert_eq!(exit.code, EXIT_USAGE, "{arguments}");
        assert!(exit.text.contains(message), "{arguments}: {}", exit.text);
        assert!(exit.text.ends_with('\n'));
    }
}

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// CFG-12, CFG-13.
#[test]
fn the_content_variable_replaces_everything() {
    let invocation = parse("--config /nonexistent --set a=2 --set wrong").unwrap();
    let extra = ExtraConfig::parse("loggingLevel=DEBUG");
    let environment = variables(&[("AOT_CONFIG_CONTENT", "a: 1")]);
    let sources = invocation.sources(&extra, &environment);
    let loaded = load(&sources.locations, &sources.sets, &environment, &NoFetch).unwrap();
    assert_eq!(serde_json::to_string(&loaded.root).unwrap(), r#"{"a":1}"#);

    let environment = variables(&[("AOT_CONFIG_CONTENT", "")]);
    let sources = invocation.sources(&extra, &environment);
    let errors = load(&sources.locations, &sources.sets, &environment, &NoFetch).unwrap_err();
    assert!(
        errors.to_string().contains("empty configuration file"),
        "{errors}"
    );
}

/// CFG-14: the log level is laid over the files, and `--set` over that.
#[test]
fn the_extra_log_level_stands_between_files_and_sets() {
    let extra = ExtraConfig::parse("loggingLevel=DEBUG");
    let environment = variables(&[]);
    let level = |arguments: &str| {
        let sources = parse(arguments).unwrap().sources(&extra, &environment);
        let loaded = load(&sources.locations, &sources.sets, &environment, &NoFetch).unwrap();
        let node = loaded
            .root
            .at(&["service", "telemetry", "logs", "level"])
            .unwrap()
            .clone();
        node.as_str().unwrap().to_owned()
    };
    assert_eq!(
        level("--config yaml:service::telemetry::logs::level:%20info"),
        "DEBUG"
    );
    assert_eq!(
        level("--config yaml:a:%201 --set service.telemetry.logs.level=warn"),
        "warn"
    );
    assert_eq!(
        parse("").unwrap().sources(&extra, &environment).locations,
        texts(&[])
    );
}

#[test]
fn the_data_directory_has_a_variable() {
    let environment = variables(&[("WEIR_DATA_DIR", "/v")]);
    assert_eq!(parse("").unwrap().data_dir(&environment), Some("/v".into()));
    assert_eq!(
        parse("--data-dir /f").unwrap().data_dir(&environment),
        Some("/f".into())
    );
    assert_eq!(
        parse("")
            .unwrap()
            .data_dir(&variables(&[("WEIR_DATA_DIR", "")])),
        None
    );
}
