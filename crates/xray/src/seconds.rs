//! Unix times as the reference prints them: the double of the seconds, in its shortest digits (XR-04).

/// Doubles of seconds from 2^30 (2004) to 2^31 (2038) have this many bits behind the point.
const FRACTION_BITS: u32 = 22;
/// Seven digits.
const LIMIT: u64 = 10_000_000;

/// The shortest digits of a time within the years of the fast path: all of them as one number, ten
/// before the point, and how many are behind it. `None` outside, and where digits could be told apart
/// only with more care.
///
/// A double there is a multiple of 2^-22, about 2.4e-7: with six digits at most one number is nearest
/// to it, with seven there always is one. So the seventh digit is rounded, and dropped with those
/// before it as long as what is left still means the same double.
pub(crate) fn shortest(ns: u64) -> Option<(u64, usize)> {
    let seconds = ns as f64 / 1e9;
    if !(1_073_741_824.0..2_147_483_648.0).contains(&seconds) {
        return None;
    }
    // Exact: scaling by a power of two.
    let units = (seconds * f64::from(1u32 << FRACTION_BITS)) as u64;
    let whole = units >> FRACTION_BITS;
    let fraction = units & ((1 << FRACTION_BITS) - 1);
    if fraction == 0 {
        return Some((whole, 0));
    }
    // In units of 10^-7 * 2^-22, which makes both numbers whole.
    let exact = fraction * LIMIT;
    let half_gap = LIMIT / 2;
    let mut unit = 1u64 << FRACTION_BITS;
    let (mut down, mut rest) = (exact >> FRACTION_BITS, exact & (unit - 1));
    let (mut limit, mut digits) = (LIMIT, 7);
    let mut best = None;
    loop {
        let is_up = rest * 2 > unit;
        let (nearest, distance) = if is_up {
            (down + 1, unit - rest)
        } else {
            (down, rest)
        };
        if distance > half_gap {
            return best;
        }
        // Ties, the very edges of the gap and a carry into the seconds are left to the general way.
        if rest * 2 == unit || distance == half_gap || nearest >= limit || nearest == 0 {
            return None;
        }
        best = Some((whole * limit + nearest, digits));
        if digits == 1 {
            return best;
        }
        rest += down % 10 * unit;
        down /= 10;
        unit *= 10;
        limit /= 10;
        digits -= 1;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn check(ns: u64) -> bool {
        let Some((number, digits)) = shortest(ns) else {
            return false;
        };
        let text = number.to_string();
        let (whole, fraction) = text.split_at(10);
        assert_eq!(fraction.len(), digits);
        let made = format!("{whole}{}{fraction}", if digits == 0 { "" } else { "." });
        // Rust prints the shortest digits too.
        assert_eq!(made, format!("{}", ns as f64 / 1e9), "{ns}");
        true
    }

    #[test]
    fn known_times() {
        assert_eq!(
            shortest(1_795_364_000_123_456_789),
            Some((17_953_640_001_234_567, 7))
        );
        assert_eq!(
            shortest(1_795_364_000_000_000_000),
            Some((1_795_364_000, 0))
        );
        assert_eq!(
            shortest(1_795_364_000_500_000_000),
            Some((17_953_640_005, 1))
        );
        assert_eq!(
            shortest(1_795_364_000_001_000_000),
            Some((1_795_364_000_001, 3))
        );
        assert_eq!(shortest(5), None);
        assert_eq!(shortest(u64::MAX), None);
    }

    #[test]
    fn most_times_take_the_fast_path() {
        let times = (0..10_000u64).map(|n| 1_795_364_000_000_000_000 + n * 104_729_333);
        assert!(times.filter(|ns| check(*ns)).count() > 9_900);
    }

    proptest! {
        #[test]
        fn any_time_has_the_shortest_digits(ns in prop_oneof![
            1_073_741_824_000_000_000u64..2_147_483_648_000_000_000,
            (1_073_741_824_000u64..2_147_483_648_000).prop_map(|ms| ms * 1_000_000),
            (1_073_741_824_000_000u64..2_147_483_648_000_000).prop_map(|us| us * 1_000),
            any::<u64>(),
        ]) {
            check(ns);
        }
    }
}
