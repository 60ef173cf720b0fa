//! How the reference writes values for people: Go's `fmt` verbs and names of enums.

use weir_core::clock::rfc3339_millis;
use weir_model::ValueRef;

use super::message::Message;

/// `2023-11-14 22:13:20.5 +0000 UTC`, from Unix nanoseconds.
pub(super) fn time(unix_ns: u64) -> String {
    let text = rfc3339_millis(unix_ns / 1_000_000);
    let seconds = text.split('.').next().unwrap_or_default();
    let nanos = unix_ns % 1_000_000_000;
    let fraction = match nanos {
        0 => String::new(),
        _ => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    };
    format!("{}{fraction} +0000 UTC", seconds.replace('T', " "))
}

/// The verb `%f`: six decimals.
pub(super) fn fixed(value: f64) -> String {
    special(value).unwrap_or_else(|| format!("{value:.6}"))
}

/// The verb `%v` of a double: shortest digits, with an exponent below 1e-4 and from 1e6 on.
pub(super) fn shortest(value: f64) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    if value == 0.0 || (1e-4..1e6).contains(&value.abs()) {
        return format!("{value}");
    }
    // Rust writes `1e-5` and `1e6` where Go has a sign and at least two digits.
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(exponent) => format!("{digits}e-{exponent:0>2}"),
            None => format!("{digits}e+{exponent:0>2}"),
        },
        None => text,
    }
}

fn special(value: f64) -> Option<String> {
    let text = match value {
        v if v.is_nan() => "NaN",
        f64::INFINITY => "+Inf",
        f64::NEG_INFINITY => "-Inf",
        _ => return None,
    };
    Some(text.to_owned())
}

/// The exponential function by the method of FreeBSD's `e_exp.c`, which Go's is too. The C library
/// is closer to the truth in the last digit, and so prints bucket bounds differently.
///
/// With x = k ln 2 + r, exp(r) comes from a rational approximation whose coefficients (Remez, from
/// that source) are below; ln 2 is split in two so that r is exact.
pub(super) fn exp(x: f64) -> f64 {
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const COEFFICIENTS: [f64; 5] = [
        1.666_666_666_666_660_2e-1,
        -2.777_777_777_701_559_3e-3,
        6.613_756_321_437_934e-5,
        -1.653_390_220_546_525_2e-6,
        4.138_136_797_057_238_5e-8,
    ];
    if x.is_nan() || x.abs() >= 700.0 {
        // Beyond the range of doubles, or nearly: no digit is at stake.
        return x.exp();
    }
    let k = (x * std::f64::consts::LOG2_E + 0.5f64.copysign(x)).trunc();
    let (high, low) = (x - k * LN_2_HIGH, k * LN_2_LOW);
    let r = high - low;
    let square = r * r;
    let series = COEFFICIENTS
        .iter()
        .rev()
        .fold(0.0, |sum, coefficient| coefficient + square * sum);
    let c = r - square * series;
    let reduced = 1.0 - ((low - (r * c) / (2.0 - c)) - high);
    reduced * 2f64.powi(k as i32)
}

/// Lower-case hex.
pub(super) fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The body of an `AnyValue` as a value.
fn value(body: Option<Message<'_>>) -> ValueRef<'_> {
    let body = body.map_or(&[][..], |message| message.0);
    ValueRef::decode(body).unwrap_or(ValueRef::Empty)
}

/// The text of an `AnyValue`, bare.
pub(super) fn text_of(body: Option<Message<'_>>) -> String {
    value(body).to_text().into_owned()
}

/// `Str(shop)`, `Int(3)`, `Map({"a":1})`.
pub(super) fn typed_text_of(body: Option<Message<'_>>) -> String {
    let value = value(body);
    let kind = match value {
        ValueRef::Empty => "Empty",
        ValueRef::Str(_) => "Str",
        ValueRef::Bool(_) => "Bool",
        ValueRef::Int(_) => "Int",
        ValueRef::Double(_) => "Double",
        ValueRef::Bytes(_) => "Bytes",
        ValueRef::List(_) => "Slice",
        ValueRef::Map(_) => "Map",
    };
    format!("{kind}({})", value.to_text())
}

/// OTLP span kind.
pub(super) fn span_kind(kind: u64) -> &'static str {
    match kind {
        0 => "Unspecified",
        1 => "Internal",
        2 => "Server",
        3 => "Client",
        4 => "Producer",
        5 => "Consumer",
        _ => "",
    }
}

/// OTLP status code.
pub(super) fn status_code(code: u64) -> &'static str {
    match code {
        0 => "Unset",
        1 => "Ok",
        2 => "Error",
        _ => "",
    }
}

/// OTLP aggregation temporality.
pub(super) fn temporality(temporality: u64) -> &'static str {
    match temporality {
        0 => "Unspecified",
        1 => "Delta",
        2 => "Cumulative",
        _ => "",
    }
}

/// OTLP severity number: `Info`, `Info2` and so on.
pub(super) fn severity(number: u64) -> String {
    let names = ["Trace", "Debug", "Info", "Warn", "Error", "Fatal"];
    let Some(above) = number.checked_sub(1) else {
        return "Unspecified".to_owned();
    };
    let name = usize::try_from(above / 4)
        .ok()
        .and_then(|at| names.get(at));
    match (name, above % 4) {
        (None, _) => String::new(),
        (Some(name), 0) => (*name).to_owned(),
        (Some(name), step) => format!("{name}{}", step + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_show_only_the_digits_they_need() {
        assert_eq!(time(0), "1970-01-01 00:00:00 +0000 UTC");
        assert_eq!(
            time(1_700_000_001_500_000_000),
            "2023-11-14 22:13:21.5 +0000 UTC"
        );
        assert_eq!(time(789), "1970-01-01 00:00:00.000000789 +0000 UTC");
    }

    #[test]
    fn doubles_are_written_as_the_verbs_write_them() {
        for (value, text) in [
            (1.5, "1.5"),
            (0.0, "0"),
            (100_000.0, "100000"),
            (1_234_567.0, "1.234567e+06"),
            (1e21, "1e+21"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (-2.5e-7, "-2.5e-07"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(shortest(value), text);
        }
        assert_eq!(fixed(2.5), "2.500000");
        assert_eq!(fixed(f64::NEG_INFINITY), "-Inf");
    }

    #[test]
    fn exponentials_have_the_digits_of_the_reference() {
        let half = std::f64::consts::LN_2 / 2.0;
        let powers = [1.0, 2.0, 3.0, 5.0, -3.0].map(|i| shortest(exp(i * half)));
        assert_eq!(
            powers,
            ["1.414213562373095", "2", "2.82842712474619", "5.65685424949238", "0.3535533905932738"]
        );
        for x in [-699.0, -20.5, -1e-9, 0.0, 0.3, 1.0, 123.4, 699.0, 710.0, f64::NEG_INFINITY] {
            let (ours, theirs) = (exp(x), x.exp());
            assert!(ours == theirs || (ours / theirs - 1.0).abs() < 1e-15, "{x}");
        }
    }

    #[test]
    fn severities_have_names_in_steps_of_four() {
        let names = [0, 1, 2, 9, 12, 17, 24, 25].map(severity);
        assert_eq!(
            names,
            [
                "Unspecified",
                "Trace",
                "Trace2",
                "Info",
                "Info4",
                "Error",
                "Fatal4",
                ""
            ]
        );
    }
}
