//! Time stamps: RFC 3339 text, epoch seconds or epoch milliseconds to i64 microseconds and back.
//!
//! The fixed layout `2026-01-01T00:00:00[.fff…](Z|±hh:mm)` is read here, with the minute cached
//! (measured: most records of a stream share it with the one before); everything else that
//! RFC 3339 allows goes to jiff.

use crate::value::Value;

/// Epoch numbers below this are seconds, at or above it milliseconds: as seconds it is the year
/// 5138, as milliseconds 3 March 1973.
const MILLISECONDS_FROM: f64 = 1e11;

/// The range accepted, in microseconds: years 0000 to 9999.
const RANGE: std::ops::RangeInclusive<i64> = -62_167_219_200_000_000..=253_402_300_799_999_999;

/// The last time that [`format`] can say, in microseconds: two hours short of 9999-12-31, for jiff's zones.
pub const LAST_US: i64 = 253_402_207_200_000_000;

/// Reads time stamps; keeps the last minute it parsed.
#[derive(Debug, Default)]
pub struct TimeParser {
    minute: [u8; 16],
    minute_us: i64,
    known: bool,
}

impl TimeParser {
    /// Microseconds since the epoch of a text or number, or None.
    pub fn parse(&mut self, value: Value<'_>) -> Option<i64> {
        match value {
            Value::Str(text) => self.parse_text(text),
            Value::Int(n) => from_number(n as f64),
            Value::Float(x) => from_number(x),
            _ => None,
        }
    }

    /// Microseconds since the epoch of an RFC 3339 text, or None.
    pub fn parse_text(&mut self, text: &str) -> Option<i64> {
        let b = text.as_bytes();
        if b.len() >= 20
            && let Some((seconds_us, offset_us)) = seconds_and_zone(&b[16..])
        {
            if !(self.known && b[..16] == self.minute) {
                self.minute_us = minute_us(&b[..16])?;
                self.minute.copy_from_slice(&b[..16]);
                self.known = true;
            }
            let us = self.minute_us + seconds_us - offset_us;
            return RANGE.contains(&us).then_some(us);
        }
        let stamp: jiff::Timestamp = text.parse().ok()?;
        let us = stamp.as_microsecond();
        RANGE.contains(&us).then_some(us)
    }
}

fn from_number(n: f64) -> Option<i64> {
    let us = if n.abs() < MILLISECONDS_FROM { n * 1e6 } else { n * 1e3 };
    // A float that is out of range saturates in the cast, and the range check refuses it.
    let us = us.round() as i64;
    (n.is_finite() && RANGE.contains(&us)).then_some(us)
}

fn two(b: &[u8]) -> Option<i64> {
    let (tens, ones) = (b[0].wrapping_sub(b'0'), b[1].wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then_some(tens as i64 * 10 + ones as i64)
}

/// `YYYY-MM-DDThh:mm` to microseconds.
fn minute_us(b: &[u8]) -> Option<i64> {
    if b[4] != b'-' || b[7] != b'-' || !matches!(b[10], b'T' | b't' | b' ') || b[13] != b':' {
        return None;
    }
    let (y, m, d) = (two(&b[0..2])? * 100 + two(&b[2..4])?, two(&b[5..7])?, two(&b[8..10])?);
    let (hour, minute) = (two(&b[11..13])?, two(&b[14..16])?);
    let leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let days_of_month = match m {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + leap as i64,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days_of_month).contains(&d) || hour > 23 || minute > 59 {
        return None;
    }
    Some(((days_from_civil(y, m, d) * 24 + hour) * 60 + minute) * 60_000_000)
}

/// Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant, "chrono-compatible
/// low-level date algorithms", days_from_civil).
fn days_from_civil(y: i64, m: i64, d: i64) -> i64 {
    let y = if m <= 2 { y - 1 } else { y };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * ((m + 9) % 12) + 2) / 5 + d - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// `:ss[.fff…](Z|±hh:mm)` to (microseconds, zone offset in microseconds).
fn seconds_and_zone(b: &[u8]) -> Option<(i64, i64)> {
    if b[0] != b':' {
        return None;
    }
    let seconds = two(&b[1..3])?;
    if seconds > 59 {
        return None; // a leap second: jiff's business
    }
    let mut at = 3;
    let mut us = seconds * 1_000_000;
    if b.get(at) == Some(&b'.') {
        at += 1;
        let mut worth = 100_000;
        let start = at;
        while let Some(digit) = b.get(at).map(|c| c.wrapping_sub(b'0')).filter(|d| *d < 10) {
            us += digit as i64 * worth; // digits past the sixth are worth nothing: truncated
            worth /= 10;
            at += 1;
        }
        if at == start {
            return None;
        }
    }
    match b.get(at)? {
        b'Z' | b'z' if b.len() == at + 1 => Some((us, 0)),
        sign @ (b'+' | b'-') if b.len() == at + 6 && b[at + 3] == b':' => {
            let (hours, minutes) = (two(&b[at + 1..at + 3])?, two(&b[at + 4..at + 6])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = (hours * 60 + minutes) * 60_000_000;
            Some((us, if *sign == b'+' { offset } else { -offset }))
        }
        _ => None,
    }
}

/// RFC 3339 in UTC, with as many of milliseconds and microseconds as are not zero. A time outside of what
/// that can say is written as the first or the last that it can, so that what is written can be read.
pub fn format(us: i64) -> String {
    let first = jiff::Timestamp::MIN.as_microsecond();
    jiff::Timestamp::from_microsecond(us.clamp(first, LAST_US)).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let mut p = TimeParser::default();
        let base = 1_767_225_600_000_000;
        for (v, us) in [
            (Value::Str("2026-01-01T00:00:00Z"), base),
            (Value::Str("2026-01-01T00:00:00.123Z"), base + 123_000),
            (Value::Str("2026-01-01T00:00:00.1234567Z"), base + 123_456),
            (Value::Str("2026-01-01T02:00:00+02:00"), base),
            (Value::Str("2025-12-31T19:00:00.5-05:00"), base + 500_000),
            (Value::Str("2026-01-01 00:00:01Z"), base + 1_000_000),
            (Value::Int(1_767_225_600), base),
            (Value::Float(1_767_225_600.25), base + 250_000),
            (Value::Int(1_767_225_600_000), base),
            (Value::Float(1_767_225_600_000.5), base + 500),
        ] {
            assert_eq!(p.parse(v), Some(us), "{v:?}");
        }
        for bad in [
            "",
            "now",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00Zx",
        ] {
            assert_eq!(p.parse(Value::Str(bad)), None, "{bad}");
        }
        assert_eq!(p.parse(Value::Float(1e300)), None);
        assert_eq!(p.parse(Value::Null), None);
    }

    #[test]
    fn what_cannot_be_said_is_the_first_or_the_last() {
        let mut p = TimeParser::default();
        for us in [i64::MAX, LAST_US + 1, LAST_US] {
            assert_eq!(format(us), "9999-12-30T22:00:00Z");
            assert_eq!(p.parse_text(&format(us)), Some(LAST_US));
        }
        assert_eq!(format(i64::MIN), "-009999-01-02T01:59:59Z");
    }

    #[test]
    fn agrees_with_jiff() {
        let mut p = TimeParser::default();
        for day in (-700_000_i64..2_900_000).step_by(997) {
            let us = day * 86_400_000_000 + (day.rem_euclid(86_400)) * 1_000_000 + 250_000;
            if !RANGE.contains(&us) {
                continue;
            }
            let text = format(us);
            assert_eq!(p.parse_text(&text), Some(us), "{text}");
        }
    }
}
