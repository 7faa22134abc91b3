//! Silences: alerts that people do not want to hear of for a while.
//!
//! They are records of a topic of their own. The newest record of an id holds, so a silence is changed
//! or ended by another record; the log shows who did what when.

use crate::matcher::{self, Labels, Matcher};
use perfstream_core::time::{self, TimeParser};
use serde::{Deserialize, Serialize};

/// Matchers of a silence.
const MAX_MATCHERS: usize = 20;
/// Bytes of a matcher, a name or a comment.
const MAX_TEXT_BYTES: usize = 2000;

/// A silence, as its record says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// `silence`
    #[serde(default = "kind")]
    pub kind: String,
    /// Which one
    pub id: String,
    /// What labels an alert must have, all of them, in the words of a route's matchers
    pub matchers: Vec<String>,
    /// From then on, RFC 3339
    pub starts_at: String,
    /// Up to then, RFC 3339
    pub ends_at: String,
    /// Who wants it
    #[serde(default)]
    pub created_by: String,
    /// Why
    #[serde(default)]
    pub comment: String,
}

fn kind() -> String {
    "silence".into()
}

/// Where a silence is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has not begun
    Pending,
    /// It holds
    Active,
    /// It is over
    Expired,
}

impl Phase {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Pending => "pending",
            Phase::Active => "active",
            Phase::Expired => "expired",
        }
    }
}

impl Silence {
    /// A silence from `from_ms` to `until_ms`, milliseconds since the epoch; its id is made of all that it says.
    pub fn new(matchers: Vec<String>, from_ms: i64, until_ms: i64, created_by: String, comment: String) -> Silence {
        let format = |ms: i64| time::format(ms.saturating_mul(1000));
        let (starts_at, ends_at) = (format(from_ms), format(until_ms));
        let mut parts: Vec<&[u8]> = [&starts_at, &ends_at, &created_by, &comment].map(|text| text.as_bytes()).to_vec();
        parts.extend(matchers.iter().map(|text| text.as_bytes()));
        // Short enough to be typed.
        let id = perfstream_core::id::id(&parts).chars().take(12).collect();
        Silence { kind: kind(), id, matchers, starts_at, ends_at, created_by, comment }
    }

    /// The record that ends it now.
    pub fn expired(&self, now_ms: i64) -> Silence {
        let now = time::format(now_ms.saturating_mul(1000));
        let started = Ready::new(self.clone()).is_ok_and(|ready| ready.from_ms <= now_ms);
        let starts_at = if started { self.starts_at.clone() } else { now.clone() };
        Silence { starts_at, ends_at: now, ..self.clone() }
    }
}

/// A silence whose texts are read.
#[derive(Debug, Clone)]
pub struct Ready {
    /// As it was written
    pub silence: Silence,
    matchers: Vec<Matcher>,
    from_ms: i64,
    until_ms: i64,
}

impl Ready {
    /// Reads a record.
    pub fn parse(bytes: &[u8]) -> Result<Ready, String> {
        Ready::new(serde_json::from_slice(bytes).map_err(|error| error.to_string())?)
    }

    /// Reads its texts, and refuses what would silence everything or nothing.
    pub fn new(silence: Silence) -> Result<Ready, String> {
        let texts = silence.matchers.iter().chain([&silence.id, &silence.created_by, &silence.comment]);
        if silence.kind != "silence" || silence.id.is_empty() {
            return Err("expected `kind: silence` and an id".into());
        }
        if silence.matchers.len() > MAX_MATCHERS || texts.into_iter().any(|text| text.len() > MAX_TEXT_BYTES) {
            return Err(format!(
                "expected at most {MAX_MATCHERS} matchers, and texts of at most {MAX_TEXT_BYTES} bytes"
            ));
        }
        let matchers = silence.matchers.iter().map(|text| Matcher::parse(text)).collect::<Result<Vec<_>, _>>()?;
        if matcher::all(&matchers, &Labels::new()) {
            return Err("expected a matcher that an alert without labels does not pass: this would silence all".into());
        }
        let mut times = TimeParser::default();
        let mut ms = |name: &str, text: &str| match times.parse_text(text) {
            Some(us) => Ok(us.div_euclid(1000)),
            None => Err(format!("{name}: expected a time such as 2026-01-01T08:00:00Z, found `{text}`")),
        };
        let (from_ms, until_ms) = (ms("starts_at", &silence.starts_at)?, ms("ends_at", &silence.ends_at)?);
        if until_ms < from_ms {
            return Err(format!("it ends at {}, before it begins at {}", silence.ends_at, silence.starts_at));
        }
        Ok(Ready { silence, matchers, from_ms, until_ms })
    }

    /// What it is at a time, milliseconds since the epoch.
    pub fn phase(&self, now_ms: i64) -> Phase {
        match now_ms {
            _ if self.until_ms <= now_ms => Phase::Expired,
            _ if self.from_ms > now_ms => Phase::Pending,
            _ => Phase::Active,
        }
    }

    /// Does it hold for an alert with these labels?
    pub fn matches(&self, labels: &Labels) -> bool {
        matcher::all(&self.matchers, labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silence(matchers: &[&str]) -> Silence {
        let matchers = matchers.iter().map(|text| (*text).to_string()).collect();
        Silence::new(matchers, 1_767_225_600_000, 1_767_229_200_000, "ada".into(), "deploy".into())
    }

    #[test]
    fn a_life() {
        let ready = Ready::new(silence(&["page=/checkout", "severity!=critical"])).unwrap();
        let phases = [1_767_225_599_999, 1_767_225_600_000, 1_767_229_199_999, 1_767_229_200_000];
        let names = phases.map(|now_ms| ready.phase(now_ms).name());
        assert_eq!(names, ["pending", "active", "active", "expired"]);
        let bytes = serde_json::to_vec(&ready.silence).unwrap();
        assert_eq!(Ready::parse(&bytes).unwrap().silence, ready.silence);
        let labels = |severity: &str| {
            Labels::from([("page".to_string(), "/checkout".to_string()), ("severity".into(), severity.into())])
        };
        assert_eq!(["warning", "critical"].map(|severity| ready.matches(&labels(severity))), [true, false]);
        for now_ms in [1_767_225_000_000, 1_767_226_000_000] {
            let ended = Ready::new(ready.silence.expired(now_ms)).unwrap();
            assert_eq!((ended.phase(now_ms), &ended.silence.id), (Phase::Expired, &ready.silence.id));
        }
    }

    #[test]
    fn what_would_silence_everything_is_refused() {
        for matchers in [&[][..], &["page=~.*"], &["page!=/a"], &["page"], &["a=b"; 21]] {
            assert!(Ready::new(silence(matchers)).is_err(), "{matchers:?}");
        }
        assert!(Ready::new(silence(&["page!=/a", "severity=info"])).is_ok());
        let backwards = Silence { ends_at: "2025-01-01T00:00:00Z".into(), ..silence(&["a=b"]) };
        assert!(Ready::new(backwards).unwrap_err().contains("before it begins"));
        let wordy = Silence { comment: "x".repeat(2001), ..silence(&["a=b"]) };
        assert!(Ready::new(wordy).is_err());
    }
}
