#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use weir_config::{Origin, Source, decode_and_validate, parse_yaml};

use super::*;

fn decoded(yaml: &str) -> Result<(Config, usize), String> {
    let node = parse_yaml(&Source::new("config.yaml", yaml, Origin::Document)).unwrap();
    match decode_and_validate::<Config>(&node, "extensions.pprof") {
        Ok(decoded) => Ok((decoded.value, decoded.warnings.len())),
        Err(found) => Err(weir_config::Diagnostics(found).to_string()),
    }
}

/// OTLP-74.
#[test]
fn keys_of_the_reference_load() {
    let (config, warnings) = decoded("endpoint: 0.0.0.0:1777").unwrap();
    assert_eq!((config.endpoint.as_str(), warnings), ("0.0.0.0:1777", 0));
    let yaml = "{block_profile_fraction: 3, mutex_profile_fraction: 5, dialer: {timeout: 1s}}";
    assert_eq!(decoded(yaml).unwrap().1, 2);
    let error = decoded("save_to_file: cpu.prof").unwrap_err();
    assert!(error.contains("extensions.pprof.save_to_file"), "{error}");
    assert!(decoded("nothing: 1").is_err());
}

#[test]
fn the_index_says_what_there_is_and_profiles_are_not_made_up() {
    let id = weir_core::ComponentId::parse("pprof").unwrap();
    let cx = BuildCtx::standalone(id, weir_core::ComponentKind::Extension, None);
    cx.telemetry.counter("probe", "A probe.", &[]).add(7);
    let pages = Pages { cx };
    for (path, status, says) in [
        ("/debug/pprof", 200, "/debug/pprof/metrics"),
        ("/debug/pprof/", 200, "no profiles"),
        ("/debug/pprof/metrics", 200, "probe 7"),
        ("/debug/pprof/heap", 501, "takes no profiles"),
        ("/debug/pprofx", 404, "not found"),
        ("/", 404, "not found"),
    ] {
        let answer = pages.answer(path);
        assert_eq!(answer.status(), status, "{path}");
        let text = String::from_utf8_lossy(answer.body());
        assert!(text.contains(says), "{path}: {text}");
    }
}
