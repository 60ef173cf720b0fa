//! Units: OTLP to CloudWatch, and those that descriptors may name (EMF-31).

/// CloudWatch's units (CloudWatch API reference, `MetricDatum`).
const CLOUDWATCH: [&str; 27] = [
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
    "None",
];

/// Whether a descriptor may use this unit.
pub(crate) fn is_cloudwatch(unit: &str) -> bool {
    CLOUDWATCH.contains(&unit)
}

/// A UCUM unit as CloudWatch calls it; unknown ones stay as they are.
pub(crate) fn translate(unit: &str) -> &str {
    match unit {
        "1" | "ns" | "" => "",
        "ms" => "Milliseconds",
        "s" => "Seconds",
        "us" => "Microseconds",
        "By" => "Bytes",
        "bit" => "Bits",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_units_are_translated_and_others_kept() {
        for (from, to) in [
            ("1", ""),
            ("ns", ""),
            ("", ""),
            ("ms", "Milliseconds"),
            ("s", "Seconds"),
            ("us", "Microseconds"),
            ("By", "Bytes"),
            ("bit", "Bits"),
            ("{req}", "{req}"),
            ("KiBy", "KiBy"),
        ] {
            assert_eq!(translate(from), to);
        }
        assert!(is_cloudwatch("Count/Second"));
        assert!(!is_cloudwatch("count") && !is_cloudwatch(""));
    }
}
