//! Event time to hour of day and day of week in a time zone.
//!
//! Cost: the offset and the two transitions around a time are kept, so an event between them costs
//! two divisions. Times outside the years -9999 to 9999, and events without a time, have no answer.

use jiff::Timestamp;
use jiff::tz::TimeZone;

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// A time zone with the offset that was used last.
#[derive(Debug)]
pub struct Calendar {
    zone: TimeZone,
    offset_us: i64,
    /// The offset holds from here, inclusive …
    from: i64,
    /// … to here, exclusive.
    until: i64,
}

impl Calendar {
    /// In a zone of [`crate::zone`].
    pub fn new(zone: TimeZone) -> Calendar {
        Calendar { zone, offset_us: 0, from: 0, until: 0 }
    }

    /// Hour 0 to 23 and ISO day 1 to 7 of a time in microseconds.
    #[inline]
    pub fn at(&mut self, us: i64) -> Option<(i64, i64)> {
        if !(self.from..self.until).contains(&us) {
            self.turn_to(us)?;
        }
        let local = us.saturating_add(self.offset_us);
        let hour = local.div_euclid(HOUR_US).rem_euclid(24);
        // Day 0 of the epoch, 1 January 1970, was a Thursday: ISO day 4.
        let day = (local.div_euclid(DAY_US) + 3).rem_euclid(7) + 1;
        Some((hour, day))
    }

    fn turn_to(&mut self, us: i64) -> Option<()> {
        let stamp = Timestamp::from_microsecond(us).ok()?;
        let edge = |t: Timestamp| t.as_microsecond();
        // The transition at `stamp` itself, if there is one, is behind us: hence the microsecond.
        let next = Timestamp::from_microsecond(us.saturating_add(1)).unwrap_or(stamp);
        self.offset_us = i64::from(self.zone.to_offset(stamp).seconds()) * 1_000_000;
        let (first, last) = (edge(Timestamp::MIN), edge(Timestamp::MAX));
        self.from = self.zone.preceding(next).next().map_or(first, |t| edge(t.timestamp()));
        self.until = self.zone.following(stamp).next().map_or(last, |t| edge(t.timestamp()));
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::TimeParser;
    use crate::zone;

    fn at(zone: &str, time: &str) -> Option<(i64, i64)> {
        Calendar::new(zone::parse(zone).unwrap()).at(TimeParser::default().parse_text(time).unwrap())
    }

    #[test]
    fn zones_and_offsets() {
        // 1 January 2026 was a Thursday.
        for (zone, time, want) in [
            ("UTC", "2026-01-01T00:30:00Z", (0, 4)),
            ("utc", "1969-12-31T23:59:59Z", (23, 3)),
            ("+02:00", "2025-12-31T22:30:00Z", (0, 4)),
            ("-0330", "2026-01-01T03:29:00Z", (23, 3)),
            ("+5", "2026-01-04T19:00:00Z", (0, 1)),
            ("Asia/Kathmandu", "2026-01-01T18:15:00Z", (0, 5)),
            ("America/New_York", "2026-01-01T04:59:59Z", (23, 3)),
        ] {
            assert_eq!(at(zone, time), Some(want), "{zone} {time}");
        }
        for bad in ["", "Berlin", "Europe/Belin", "+25:00", "+02:60", "+2:00", "+-2:00", "++2", "+é", "02:00"] {
            assert!(zone::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn berlin_changes_its_clocks() {
        let zone = "Europe/Berlin";
        // 29 March 2026, 01:00 UTC: 02:00 becomes 03:00. 25 October, 01:00 UTC: 03:00 becomes 02:00.
        assert_eq!(at(zone, "2026-03-29T00:59:59.999999Z"), Some((1, 7)));
        assert_eq!(at(zone, "2026-03-29T01:00:00Z"), Some((3, 7)));
        assert_eq!(at(zone, "2026-10-25T00:30:00Z"), Some((2, 7)));
        assert_eq!(at(zone, "2026-10-25T01:30:00Z"), Some((2, 7)));
        assert_eq!(at(zone, "2026-10-25T02:00:00Z"), Some((3, 7)));
    }

    #[test]
    fn the_cache_does_not_show() {
        for zone in [
            "Europe/Berlin",
            "Australia/Lord_Howe",
            "Africa/Casablanca",
            "America/St_Johns",
            "Pacific/Apia",
            "UTC",
            "-03:30",
        ] {
            let mut cached = Calendar::new(zone::parse(zone).unwrap());
            let fresh = Calendar::new(zone::parse(zone).unwrap());
            let mut us: i64 = -2_500_000_000_000_000;
            let mut seed: i64 = 1;
            while us < 5_000_000_000_000_000 {
                let stamp = Timestamp::from_microsecond(us).unwrap();
                let local = fresh.zone.to_offset(stamp).to_datetime(stamp);
                let want = (local.hour() as i64, local.weekday().to_monday_one_offset() as i64);
                assert_eq!(cached.at(us), Some(want), "{zone} {stamp}");
                // On and beside the edges, then somewhere else, now and then backwards.
                for edge in [cached.from, cached.from - 1, cached.until - 1, cached.until] {
                    if let Ok(stamp) = Timestamp::from_microsecond(edge) {
                        let local = fresh.zone.to_offset(stamp).to_datetime(stamp);
                        assert_eq!(cached.at(edge).map(|(h, _)| h), Some(local.hour() as i64), "{zone} {stamp}");
                    }
                }
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                us += (seed >> 33).rem_euclid(90) * DAY_US - 20 * DAY_US + (seed >> 20).rem_euclid(DAY_US);
            }
        }
    }

    #[test]
    fn no_time_no_answer() {
        let mut calendar = Calendar::new(zone::parse("Europe/Berlin").unwrap());
        for us in [i64::MIN, i64::MAX, i64::MIN + 1, crate::clock::NEVER] {
            assert_eq!(calendar.at(us), None);
        }
    }
}
