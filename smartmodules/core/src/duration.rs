//! Durations as users write them: `30s`, `5m`, `1h30m`, `7d`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A length of time in microseconds, ≥ 0. In files: a number and a unit (`us`, `ms`, `s`, `m`,
/// `h`, `d`, `w`; a fraction is allowed), several of them added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Span(pub i64);

/// What a unit is worth, longest first so that [`Span`]'s display is the shortest text.
const UNITS: [(&str, i64); 7] = [
    ("w", 604_800_000_000),
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// Whole seconds.
    pub const fn seconds(n: i64) -> Span {
        Span(n * 1_000_000)
    }

    /// Whole minutes.
    pub const fn minutes(n: i64) -> Span {
        Span(n * 60_000_000)
    }

    /// Microseconds.
    pub const fn us(self) -> i64 {
        self.0
    }

    /// Parses `5m`, `1h30m`, `1.5s`. The error says what was expected.
    pub fn parse(text: &str) -> Result<Span, String> {
        let bad = || format!("expected a duration such as `30s`, `5m` or `1h30m`, found `{text}`");
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(bad());
        }
        let mut total: f64 = 0.0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(bad)?;
            let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let (_, worth) = UNITS.iter().find(|(u, _)| *u == &rest[..letters]).ok_or_else(bad)?;
            total += number * *worth as f64;
            rest = rest[letters..].trim_start();
        }
        // 290,000 years of microseconds fit i64; a hundred years is the longest that means anything.
        if total > 3.2e15 {
            return Err(format!("expected a duration of at most 100 years, found `{text}`"));
        }
        Ok(Span(total.round() as i64))
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, worth) in UNITS.iter().skip(1) {
            if rest / worth > 0 {
                write!(f, "{}{unit}", rest / worth)?;
                rest %= worth;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Span::parse(&text).map_err(D::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A duration: a number and a unit (us, ms, s, m, h, d, w), several added up, as 30s, 5m or 1h30m.",
            "pattern": "^\\s*([0-9]+(\\.[0-9]+)?(us|ms|s|m|h|d|w)\\s*)+$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        for (text, us, shown) in [
            ("30s", 30_000_000, "30s"),
            ("1h30m", 5_400_000_000, "1h30m"),
            ("90m", 5_400_000_000, "1h30m"),
            ("1.5s", 1_500_000, "1s500ms"),
            ("7d", 604_800_000_000, "7d"),
            ("2w", 1_209_600_000_000, "14d"),
            ("0s", 0, "0s"),
        ] {
            let span = Span::parse(text).unwrap();
            assert_eq!((span.us(), span.to_string().as_str()), (us, shown), "{text}");
        }
        for bad in ["", "5", "m", "5 parsecs", "-5m", "5mm", "1e5s", "1000000w"] {
            assert!(Span::parse(bad).unwrap_err().starts_with("expected a duration"), "{bad}");
        }
    }
}
