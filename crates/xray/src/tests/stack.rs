//! One test per language, and what crashes the reference.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

/// Frames as `label@path:line`, an exception a line of type, message and frames.
fn shown(language: Language, stacktrace: &str) -> Vec<String> {
    let mut ids = Ids::seeded(1);
    let exceptions = read(language, "T", "m", stacktrace, &mut ids);
    for pair in exceptions.windows(2) {
        assert_eq!(pair[0].cause, Some(pair[1].id));
    }
    assert_eq!(exceptions.last().unwrap().cause, None);
    exceptions
        .iter()
        .map(|e| {
            let frames: Vec<String> = e
                .stack
                .iter()
                .map(|f| format!("{}@{}:{}", f.label, f.path, f.line))
                .collect();
            format!("{}|{}|{}", e.kind, e.message, frames.join(","))
        })
        .collect()
}

#[test]
fn java_frames_and_causes() {
    let text = "java.lang.IllegalStateException: outer\r\n\
        \tat a.B.c(B.java:99)\r\n\
        \tat app//com.x.Y.z(Y.java:1)\n\
        \tat java.base/sun.Z.run(Native Method)\n\
        \tat no.Slash.behind/(X.java:2)\n\
        \tat odd.Line(X.java:abc)\n\
        \tat huge.Line(X.java:99999999999999999999)\n\
        \tat no.paren\n\
        \tSuppressed: java.io.IOException: x\n\
        \t\tat in.Suppressed.f(S.java:5)\n\
        \t... 3 more\n\
        Caused by: java.lang.Error: two\n lines\n\
        \tat d.E.f(E.java:4)\n\
        Caused by: java.lang.NoMessage\n\
        \tat g.H.i(H.java:5)";
    assert_eq!(
        shown(Language::Java, text),
        [
            "T|m|a.B.c@B.java:99,/com.x.Y.z@Y.java:1,sun.Z.run@Native Method:0,\
             @X.java:2,odd.Line@X.java:0,huge.Line@X.java:9223372036854775807",
            "java.lang.Error|two lines|d.E.f@E.java:4",
            "java.lang.NoMessage||g.H.i@H.java:5",
        ]
    );
}

#[test]
fn java_cause_with_nothing_behind_the_colon() {
    assert_eq!(
        shown(
            Language::Java,
            "x\nCaused by: X:\n\tat a(b:1)\nCaused by: Y: "
        ),
        ["T|m|", "X||a@b:1", "Y||"]
    );
}

#[test]
fn php_is_read_as_java() {
    assert_eq!(Language::of("php"), Language::Java);
    assert_eq!(Language::of("ruby"), Language::Unknown);
    assert_eq!(shown(Language::Unknown, "x\n\tat a(b:1)"), ["T|m|"]);
}

#[test]
fn python_frames_from_the_bottom_and_chained_exceptions() {
    let text = "Traceback (most recent call last):\n\
        \x20 File \"/a/inner.py\", line 3, in deep\n    raise KeyError('k')\n\
        KeyError: 'k'\nsecond line\n\n\
        During handling of the above exception, another exception occurred:\n\n\
        Traceback (most recent call last):\n\
        \x20 File \"/a/main.py\", line 10, in <module>\n    run()\n\
        \x20 File \"/a/run.py\", line x, at run\n    raise ValueError()\n\
        \x20 File \"/odd,path.py\", line 1, in f\n\
        ValueError: bad";
    assert_eq!(
        shown(Language::Python, text),
        [
            "T|m|@/a/run.py:0,<module>@/a/main.py:10",
            "KeyError|'k'\nsecond line|deep@/a/inner.py:3",
        ]
    );
}

#[test]
fn python_text_that_crashes_the_reference() {
    for text in [
        "x\n  File \", line 1, in f\nE: m",
        "x\n  File , line 1, in f\nE: m",
        "  File \"a\", line 1, in f\nDuring handling of the above exception, another exception occurred:\nE: m",
        "  File \"a\", line 1, in f\nE:\n\nDuring handling of the above exception, another exception occurred:\nE: m",
        "During handling of the above exception, another exception occurred:\nE: m",
        "no colon\n\nDuring handling of the above exception, another exception occurred:\nE: m",
        "",
        "one line",
    ] {
        assert_eq!(shown(Language::Python, text)[0], "T|m|", "{text}");
    }
    // The quotes may be missing; a character is taken for each.
    assert_eq!(
        shown(Language::Python, "  File \"a, line 1, in f\nE"),
        ["T|m|f@:1"]
    );
}

#[test]
fn javascript_frames() {
    let text = "TypeError: x\n    at f (/srv/a.js:10:15)\n    at async S.h (file:///srv/b.mjs:55:9)\n    \
        at /srv/c.js:3:1\n    at new P (<anonymous>)\n    at Array.map (native)\n    at native\n    \
        at C:\\d.js:1:2\n    at one (x:7)\n    at broken (x:1:2\n   at three blanks (x:1:2)\n    at ";
    assert_eq!(
        shown(Language::JavaScript, text),
        [
            "T|m|f @/srv/a.js:10,async S.h @file:0,@/srv/c.js:3,new P @<anonymous>:0,\
          Array.map @native:0,@native:0,@C:0,one @x:7:0"
        ]
    );
}

#[test]
fn dotnet_frames() {
    let text = "System.E: x\n   at A.B(Item i) in C:\\src\\A.cs:line 37\r\n\
        \x20  at A.Async() in /src/a.cs:12\n   at System.Run()\n   at X.Y() trailing\n\
        \x20  --- End of stack trace ---\n   at no parens\n  at P() in /a in b.cs:line 1\n\
        \x20  at Crash() in /a.cs:line\n   at Crash() in /a.cs:li\n   at NoColon() in /a.cs";
    assert_eq!(
        shown(Language::DotNet, text),
        [
            "T|m|A.B(Item i)@C:\\src\\A.cs:37,A.Async()@/src/a.cs:12,System.Run()@:0,X.Y()@:0,\
          P()@/a:0,Crash()@/a.cs:0,Crash()@/a.cs:0,NoColon()@/a.cs:0"
        ]
    );
}

#[test]
fn go_frames() {
    let text = "goroutine 1 [running]:\n\
        main.f(0x1)\n\t/srv/main.go:15 +0x1d\n\
        main.g()\n\tno place here\n\
        goroutine 7 [running, locked]:\n\
        main.h()\n\t:1 C:/x/h.go:22 z:9\n\
        main.cut()";
    assert_eq!(
        shown(Language::Go, text),
        [
            "T|m|main.f(0x1)@/srv/main.go:15,main.g()@/srv/main.go:15,main.h()@/x/h.go:22,main.cut()@/x/h.go:22"
        ]
    );
    assert_eq!(
        shown(Language::Go, "x\ngoroutine 1 [running]:"),
        ["T|m|@:0"]
    );
    for (line, skipped) in [
        ("goroutine 1 [running]:", true),
        ("goroutine 5 [not running, running]:", true),
        ("goroutine 5 [running", false),
        ("goroutine 5 [overrunning]:", false),
        ("goroutinerunning:", false),
        (" goroutine 1 [running]:", false),
    ] {
        assert_eq!(is_goroutine(line), skipped, "{line}");
    }
}

proptest! {
    #[test]
    fn no_text_stops_the_reading(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "\n", "\r\n", "\tat ", "    at ", "   at ", "(", ")", ":", "/", "Caused by: ", "  File \"", "\"", ", line ",
                ", in ", " in ", "line", ":line", "During handling of the above exception, another exception occurred:",
                "goroutine running:", "native", "x", "12", " ", "\u{d55c}", "",
            ]), 0..60),
        language in prop::sample::select(vec![
            Language::Java, Language::Python, Language::JavaScript, Language::DotNet, Language::Go, Language::Unknown,
        ]),
    ) {
        let shown = shown(language, &pieces.concat());
        prop_assert!(!shown.is_empty());
    }
}
