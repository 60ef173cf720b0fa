#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use proptest::prelude::*;

fn namer(strategy: TranslationStrategy) -> Namer {
    Namer {
        strategy,
        ..Namer::default()
    }
}

/// Names that were seen at the reference.
#[test]
fn metrics_with_suffixes() {
    let namer = namer(TranslationStrategy::UnderscoreEscapingWithSuffixes);
    for (name, unit, shape, expected) in [
        ("j__dbl..dots_", "", NameShape::Gauge, "j_dbl_dots"),
        ("a.gauge", "1", NameShape::Gauge, "a_gauge_ratio"),
        (
            "e.rate",
            "By/s",
            NameShape::Gauge,
            "e_rate_bytes_per_second",
        ),
        ("f.annot", "{requests}", NameShape::Gauge, "f_annot"),
        (
            "g.per",
            "{requests}/s",
            NameShape::Gauge,
            "g_per_per_second",
        ),
        ("k:colon", "%", NameShape::Gauge, "k:colon_percent"),
        ("q.secs", "s", NameShape::Counter, "q_secs_seconds_total"),
        ("p_total", "", NameShape::Counter, "p_total"),
        ("o.total.count", "", NameShape::Counter, "o_count_total"),
        ("9digit", "", NameShape::Gauge, "_9digit"),
        (
            "l.m.per.second",
            "m/s",
            NameShape::Gauge,
            "l_m_per_second_meters_per_second",
        ),
        ("n", "foo-bar", NameShape::Gauge, "n_foo_bar"),
        ("n.seconds", "s", NameShape::Other, "n_seconds"),
        ("n.sum", "1", NameShape::Other, "n_sum"),
        ("n.count", "1", NameShape::Counter, "n_count_total"),
        ("\u{e9}t\u{e9}", "", NameShape::Gauge, "t"),
        ("n", "m / s", NameShape::Gauge, "n_meters_per_second"),
    ] {
        assert_eq!(
            namer.metric(name, unit, shape).unwrap(),
            expected,
            "{name} {unit}"
        );
    }
    for name in ["", "...", "\u{e9}", "__"] {
        assert!(namer.metric(name, "", NameShape::Gauge).is_err(), "{name}");
    }
}

#[test]
fn every_unit_and_per_unit_has_a_word() {
    let namer = namer(TranslationStrategy::UnderscoreEscapingWithSuffixes);
    for (unit, word) in [
        ("d", "days"),
        ("h", "hours"),
        ("min", "minutes"),
        ("s", "seconds"),
        ("ms", "milliseconds"),
        ("us", "microseconds"),
        ("ns", "nanoseconds"),
        ("m", "meters"),
        ("V", "volts"),
        ("A", "amperes"),
        ("J", "joules"),
        ("W", "watts"),
        ("g", "grams"),
        ("By", "bytes"),
        ("KiBy", "kibibytes"),
        ("MiBy", "mebibytes"),
        ("GiBy", "gibibytes"),
        ("TiBy", "tibibytes"),
        ("KBy", "kilobytes"),
        ("MBy", "megabytes"),
        ("GBy", "gigabytes"),
        ("TBy", "terabytes"),
        ("Cel", "celsius"),
        ("Hz", "hertz"),
        ("%", "percent"),
    ] {
        assert_eq!(
            namer.metric("x", unit, NameShape::Other).unwrap(),
            format!("x_{word}")
        );
        assert_eq!(ucum_unit(word), unit);
    }
    assert_eq!(namer.metric("x", "1", NameShape::Other).unwrap(), "x");
    for (unit, word) in [
        ("s", "second"),
        ("m", "minute"),
        ("h", "hour"),
        ("d", "day"),
        ("w", "week"),
        ("mo", "month"),
        ("y", "year"),
    ] {
        let name = namer
            .metric("x", &format!("By/{unit}"), NameShape::Other)
            .unwrap();
        assert_eq!(name, format!("x_bytes_per_{word}"));
        assert_eq!(
            ucum_unit(&format!("bytes_per_{word}")),
            format!("By/{unit}")
        );
    }
    assert_eq!(ucum_unit("ratio"), "1");
    assert_eq!(ucum_unit("apples"), "apples");
    assert_eq!(ucum_unit("apples_per_tree"), "apples/tree");
}

#[test]
fn other_strategies() {
    let plain = namer(TranslationStrategy::UnderscoreEscapingWithoutSuffixes);
    assert_eq!(
        plain.metric("a.b..c__d.", "s", NameShape::Counter).unwrap(),
        "a_b_c__d"
    );
    assert_eq!(plain.metric("9a", "", NameShape::Gauge).unwrap(), "_9a");
    let spaced = Namer {
        namespace: "n.s".into(),
        ..plain
    };
    assert_eq!(spaced.metric("9a", "", NameShape::Gauge).unwrap(), "n_s_9a");

    let utf8 = namer(TranslationStrategy::NoUtf8EscapingWithSuffixes);
    for (name, unit, shape, expected) in [
        ("c.d", "By", NameShape::Counter, "c.d_bytes_total"),
        ("c.d_total", "By", NameShape::Counter, "c.d_bytes_total"),
        ("c.bytes", "By", NameShape::Counter, "c.bytes_total"),
        ("c", "By/s", NameShape::Gauge, "c_bytes_per_second"),
        (
            "c.per_second",
            "By/s",
            NameShape::Gauge,
            "c_bytes_per_second",
        ),
        ("c.ratio", "1", NameShape::Gauge, "c_ratio"),
        ("total", "", NameShape::Counter, "total_total"),
        ("c", "foo-bar", NameShape::Gauge, "c_foo-bar"),
    ] {
        assert_eq!(
            utf8.metric(name, unit, shape).unwrap(),
            expected,
            "{name} {unit}"
        );
    }
    let none = Namer {
        namespace: "n".into(),
        ..namer(TranslationStrategy::NoTranslation)
    };
    assert_eq!(
        none.metric("c.d", "By", NameShape::Counter).unwrap(),
        "n_c.d"
    );
}

#[test]
fn namespace_goes_first() {
    let namer = Namer {
        namespace: "my.ns".into(),
        ..Namer::default()
    };
    assert_eq!(
        namer.metric("a.b", "s", NameShape::Counter).unwrap(),
        "my.ns_a_b_seconds_total"
    );
}

#[test]
fn labels() {
    let namer = Namer::default();
    for (name, expected) in [
        ("a..b", "a_b"),
        ("n__m", "n_m"),
        ("__y", "key_y"),
        ("__z__", "__z__"),
        ("1n", "key_1n"),
        ("\u{e9}a", "key_a"),
        ("k:c", "k_c"),
        ("trail_", "trail_"),
        ("_x", "key_x"),
        ("\u{d55c}\u{ae00}", "key_"),
        ("__a..b__", "__a_b__"),
        ("plain", "plain"),
    ] {
        assert_eq!(namer.label(name).unwrap(), expected, "{name}");
    }
    assert!(namer.label("").is_err());
    assert!(namer.label("____").is_err());
    let permissive = Namer {
        permissive_labels: true,
        ..Namer::default()
    };
    assert_eq!(permissive.label("_x").unwrap(), "_x");
    let utf8 = Namer {
        strategy: TranslationStrategy::NoTranslation,
        ..Namer::default()
    };
    assert_eq!(utf8.label("a..b").unwrap(), "a..b");
    assert!(utf8.label("__").is_err());
    assert_eq!(target_info_label("x..y"), "x__y");
    assert_eq!(target_info_label("_u"), "_u");
}

#[test]
fn suffixes_are_trimmed() {
    for (name, unit, sum, expected) in [
        ("req_total", "", true, "req"),
        ("lat_seconds", "seconds", false, "lat"),
        (
            "scrape_duration_seconds",
            "seconds",
            false,
            "scrape_duration",
        ),
        ("bytes_read_bytes_total", "bytes", true, "bytes_read"),
        ("x_bytes_per_second", "bytes_per_second", false, "x"),
        ("total", "", true, "total"),
        ("seconds", "seconds", false, "seconds"),
        ("g_total", "", false, "g_total"),
    ] {
        assert_eq!(trim_suffixes(name, unit, sum), expected, "{name}");
    }
}

proptest! {
    #[test]
    fn names_are_valid_and_sanitising_twice_changes_nothing(name in "\\PC{0,20}", unit in "\\PC{0,6}") {
        let namer = Namer { permissive_labels: true, ..Namer::default() };
        if let Ok(label) = namer.label(&name) {
            let again = namer.label(&label).unwrap();
            prop_assert_eq!(&again, &label);
            prop_assert!(crate::exposition::NameScheme::Legacy.allows_label(&label));
        }
        for strategy in [TranslationStrategy::UnderscoreEscapingWithSuffixes, TranslationStrategy::UnderscoreEscapingWithoutSuffixes] {
            let namer = Namer { strategy, ..Namer::default() };
            if let Ok(metric) = namer.metric(&name, &unit, NameShape::Counter) {
                prop_assert!(crate::exposition::NameScheme::Legacy.allows_metric(&metric));
            }
        }
        let utf8 = Namer { strategy: TranslationStrategy::NoUtf8EscapingWithSuffixes, ..Namer::default() };
        let _unused = utf8.metric(&name, &unit, NameShape::Gauge);
        let _unused = trim_suffixes(&name, &unit, true);
    }
}
