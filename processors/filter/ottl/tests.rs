#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use weir_model::{Attributes, Resource, Value};

use super::*;

fn resource() -> Resource {
    let entries = [
        ("s", Value::from("text")),
        ("i", Value::Int(3)),
        ("d", Value::Double(3.0)),
        ("b", Value::Bool(true)),
        ("l", Value::List(vec![Value::Int(1), Value::from("x")])),
        ("m", Value::Map(vec![("k".to_owned(), Value::from("v"))])),
    ];
    Resource { attributes: Attributes::from_iter(entries), ..Resource::default() }
}

fn ask(text: &str) -> Result<bool, String> {
    let condition = parse(text, Context::Resource, Dialect::Short)
        .map_err(|error| format!("{} -> {}", error.describe(text), error.cure))?;
    let resource = resource();
    let scene = Scene { resource: &resource, scope: None, subject: Subject::Resource };
    condition.holds(&scene).map_err(|error| error.to_string())
}

#[test]
fn values_compare_by_kind() {
    for (text, wanted) in [
        ("attributes[\"s\"] == \"text\"", true),
        ("resource.attributes[\"s\"] != 'text'", false),
        ("attributes[\"i\"] == 3.0 and attributes[\"d\"] == 3", true),
        ("attributes[\"i\"] < 3.5", true),
        ("attributes[\"none\"] == nil", true),
        ("nil <= nil and nil >= nil and not (nil < nil)", true),
        ("attributes[\"s\"] == 3 or attributes[\"s\"] < 3", false),
        ("attributes[\"s\"] != 3", true),
        ("false < true and attributes[\"b\"] == true", true),
        ("\"a\" < \"b\" and 0x01 < 0x02", true),
        ("attributes[\"l\"][1] == \"x\" and attributes[\"m\"][\"k\"] == \"v\"", true),
        ("attributes[\"l\"] == [1, \"x\"]", true),
        ("1 + 2 * 3 == 7 and (1 + 2) * 3 == 9 and 7 / 2 == 3 and 7 / 2.0 == 3.5", true),
        ("-1 < 0", true),
        ("true or attributes[\"none\"] == 1 and false", true),
        ("not true or true", true),
        ("not not true", true),
        ("SPAN_KIND_CLIENT == 3 and SEVERITY_NUMBER_WARN2 == 14 and METRIC_DATA_TYPE_SUM == 2", true),
    ] {
        assert_eq!(ask(text), Ok(wanted), "{text}");
    }
}

#[test]
fn functions_work() {
    for text in [
        "IsMatch(attributes[\"s\"], \"^t.xt$\") and IsMatch(attributes[\"i\"], \"3\")",
        "not IsMatch(attributes[\"none\"], \".*\")",
        "IsMatch(\"a.b\", \"a\\.b\")",
        "HasPrefix(attributes[\"s\"], \"te\") and HasSuffix(attributes[\"s\"], \"xt\")",
        "Len(attributes[\"s\"]) == 4 and Len(attributes[\"l\"]) == 2",
        "Split(\"a,b\", \",\")[1] == \"b\" and Substring(\"abc\", 1, 2) == \"bc\"",
        "Concat([\"a\", 1], \"-\") == \"a-1\"",
        "ToUpperCase(attributes[\"s\"]) == \"TEXT\" and ToLowerCase(\"A\") == \"a\" and Trim(\" a \") == \"a\"",
        "ParseJSON(\"{\\\"a\\\": {\\\"b\\\": [1, 2]}}\")[\"a\"][\"b\"][1] == 2",
        "ContainsValue(attributes[\"l\"], \"x\") and ContainsValue([1, 2], 2)",
        "IsString(attributes[\"s\"]) and IsInt(attributes[\"i\"]) and IsDouble(attributes[\"d\"])",
        "IsBool(attributes[\"b\"]) and IsMap(attributes[\"m\"]) and IsList(attributes[\"l\"])",
        "Int(\"12\") == 12 and Int(\"x\") == nil and Double(\"1.5\") == 1.5 and String(3) == \"3\"",
        "Duration(\"1m\") > Duration(\"59s\") and Unix(2) - Unix(1) == Duration(\"1s\")",
        "TraceID(0x0102) == 0x0102",
    ] {
        assert_eq!(ask(text), Ok(true), "{text}");
    }
}

#[test]
fn failures_at_run_time_say_what_is_wrong() {
    for (text, wanted) in [
        ("1 / 0 == 1", "division by zero"),
        ("attributes[\"s\"] + 1 == 2", "text and an integer"),
        ("ParseJSON(\"{\") == nil", "ParseJSON"),
        ("HasPrefix(attributes[\"i\"], \"3\")", "HasPrefix wants text, not an integer"),
        ("Substring(\"abc\", 1, 9) == \"\"", "beyond the end"),
    ] {
        let error = ask(text).unwrap_err();
        assert!(error.contains(wanted), "{text}: {error}");
    }
}

#[test]
fn syntax_errors_name_place_and_cure() {
    for (text, wanted) in [
        ("attributes[\"a\"] == == nonsense", "found `==` at character 20"),
        ("attributes[\"a\"] = 1", "unexpected character `=`"),
        ("attributes == 1", "write `attributes[\"key\"]`"),
        ("attributes[\"a\"]", "compare it"),
        ("nonsense == 1", "unknown path `nonsense`"),
        ("span.name == \"a\"", "no path of resource conditions"),
        ("Unknown(1) == 1", "unknown function `Unknown`"),
        ("IsMatch(attributes[\"a\"], \"(\")", "not a regular expression"),
        ("IsMatch(attributes[\"a\"])", "takes 2 arguments, not 1"),
        ("IsRootSpan()", "put the condition under `span`"),
        ("\"open", "a text that does not end"),
        ("0x1 == 1", "two hexadecimal digits"),
        ("1 == 1 1", "unexpected number 1"),
        ("(1 == 1", "expected `)`, found the end"),
        ("99999999999999999999 == 1", "is no number"),
        ("", "expected a value, found the end"),
    ] {
        let error = ask(text).unwrap_err();
        assert!(error.contains(wanted), "{text}: {error}");
    }
    let deep = "(".repeat(100_000);
    assert!(ask(&deep).unwrap_err().contains("too many brackets"));
    let calls = "[".repeat(100_000);
    assert!(ask(&calls).unwrap_err().contains("too many brackets"));
}

proptest! {
    /// Nothing that is written as a condition panics, neither at the start nor when asked.
    #[test]
    fn no_condition_panics(text in prop_oneof![
        ".{0,60}",
        proptest::collection::vec(prop_oneof![
            Just("attributes"), Just("[\"a\"]"), Just("[0]"), Just("=="), Just("<"), Just("not"), Just("and"),
            Just("or"), Just("("), Just(")"), Just("["), Just("]"), Just(","), Just("."), Just("1"), Just("-"),
            Just("2.5"), Just("0xAB"), Just("\"t\""), Just("nil"), Just("true"), Just("IsMatch"), Just("Len"),
            Just("Split"), Just("Substring"), Just("/"), Just("*"), Just("+"), Just("in"), Just("Label"), Just("!"),
        ], 0..14).prop_map(|words| words.join(" ")),
    ]) {
        for (context, dialect) in [
            (Context::Resource, Dialect::Short), (Context::Span, Dialect::Short), (Context::Metric, Dialect::Short),
            (Context::DataPoint, Dialect::Expr), (Context::Log, Dialect::Prefixed),
        ] {
            match parse(&text, context, dialect) {
                Ok(condition) => {
                    let resource = resource();
                    let scene = Scene { resource: &resource, scope: None, subject: Subject::Resource };
                    let answer = condition.holds(&scene);
                    prop_assert!(answer.is_ok() || !answer.unwrap_err().to_string().is_empty());
                }
                Err(error) => prop_assert!(!error.describe(&text).is_empty()),
            }
        }
    }
}
