//! Local time of samples, and times from which nothing is learned.

use jiff::{
    Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};

/// Length of the stretches within which the offset of a zone is taken to be constant, s. All
/// changes of all zones in use fall on a quarter of an hour.
const STRETCH_S: i64 = 900;

/// The zone of an IANA name, from the tables inside the program: hosts and images often have none.
pub(super) fn zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

/// The calendar of one instance.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    zone: Option<TimeZone>,
    /// Unix ns, from inclusive, to exclusive.
    excluded: Vec<(i64, i64)>,
}

/// The last answer of a [`Calendar`]; the samples of a batch lie close together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    stretch: i64,
    offset_s: i64,
}

impl Calendar {
    /// From an IANA name and ranges that were checked before.
    pub(super) fn new(timezone: &str, excluded: Vec<(i64, i64)>) -> Self {
        Self { zone: zone(timezone), excluded }
    }

    pub(super) fn cursor(&self) -> Cursor {
        Cursor { stretch: i64::MIN, offset_s: 0 }
    }

    /// Local seconds since 1970 of a time in Unix ns.
    pub(super) fn local_s(&self, cursor: &mut Cursor, time_ns: i64) -> i64 {
        let utc_s = time_ns.div_euclid(1_000_000_000);
        let stretch = utc_s.div_euclid(STRETCH_S);
        if stretch != cursor.stretch {
            *cursor = Cursor { stretch, offset_s: self.offset_s(utc_s) };
        }
        utc_s + cursor.offset_s
    }

    fn offset_s(&self, utc_s: i64) -> i64 {
        let Some(zone) = &self.zone else { return 0 };
        // times outside the years -9999..9999 cannot come from Unix ns
        let Ok(time) = Timestamp::from_second(utc_s) else { return 0 };
        i64::from(zone.to_offset(time).seconds())
    }

    /// Whether samples of this time are learned.
    pub(super) fn learns(&self, time_ns: i64) -> bool {
        !self.excluded.iter().any(|(from, to)| (*from..*to).contains(&time_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn the_offset_follows_daylight_saving() {
        let calendar = Calendar::new("Europe/Berlin", Vec::new());
        let mut cursor = calendar.cursor();
        // 2025-03-30 01:00 UTC: from +1 h to +2 h
        let change = 1_743_296_400;
        assert_eq!(calendar.local_s(&mut cursor, (change - 1) * S), change - 1 + 3600);
        assert_eq!(calendar.local_s(&mut cursor, change * S), change + 7200);
        assert_eq!(calendar.local_s(&mut cursor, (change - 1) * S), change - 1 + 3600);
    }

    #[test]
    fn extremes_are_harmless() {
        let calendar = Calendar::new("Asia/Kolkata", vec![(0, 10)]);
        let mut cursor = calendar.cursor();
        for time in [i64::MIN, -1, 0, i64::MAX] {
            calendar.local_s(&mut cursor, time);
        }
        assert!(!calendar.learns(0) && calendar.learns(10) && calendar.learns(-1));
    }
}
