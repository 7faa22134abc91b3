//! A series in a CSV file, scored row by row: one row out per row in, in the same order.
//!
//! Columns out: `timestamp` and `value` as they were read (a line with nothing on it is no row), `anomaly_score` of 0 to 1, 0 while the
//! detector warms up and for a value that is missing. Times that are irregular, equal or go back, or
//! that cannot be read, drop nothing: what cannot be read counts as the time of the row before. Each
//! row is scored before the next is seen.

use super::chain;
use super::plot::Point;
use crate::chain::{Chain, ChainOptions};
use crate::host::LogRecord;
use anyhow::{Context, Result, bail, ensure};
use perfstream_core::decode::DecodeConfig;
use perfstream_core::row::{Fields, Row};
use perfstream_core::time::TimeParser;
use perfstream_core::{Kind, Value};
use serde_json::json;
use std::path::Path;

/// Rows that are scored in one call.
const BATCH: usize = 2000;

/// A CSV file and the columns of a series in it.
#[derive(Debug, Clone)]
pub struct Series {
    /// Bytes of the columns, as they were read: of any encoding
    pub rows: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What was found in a series.
#[derive(Debug, Clone, Default)]
pub struct Scores {
    /// One per row: 0 to 1
    pub scores: Vec<f64>,
    /// For a plot
    pub points: Vec<Point>,
}

impl Series {
    /// Reads two columns of a file with a header line.
    pub fn read(path: &Path, time: &str, value: &str) -> Result<Series> {
        let of_file = || path.display().to_string();
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(path).with_context(of_file)?;
        let header = reader.byte_headers().with_context(of_file)?.clone();
        let column = |name: &str| match header.iter().position(|column| column.trim_ascii() == name.as_bytes()) {
            Some(at) => Ok(at),
            None => {
                let known: Vec<_> = header.iter().map(String::from_utf8_lossy).collect();
                let known = if known.is_empty() { "no header line".into() } else { known.join(", ") };
                bail!("{}: there is no column `{name}`; it has {known}", path.display())
            }
        };
        let (time, value) = (column(time)?, column(value)?);
        let mut rows = Vec::new();
        for record in reader.byte_records() {
            let record = record.with_context(of_file)?;
            if let Some(field) = record.iter().find(|field| field.contains(&b'\n')) {
                let line = record.position().map_or(0, csv::Position::line);
                let lines = field.iter().filter(|byte| **byte == b'\n').count() + 1;
                bail!(
                    "{}:{line}: a field goes on for {lines} lines: is a `\"` not closed? Write `\"\"` for a quote inside of quotes",
                    path.display()
                );
            }
            let text = |at: usize| record.get(at).unwrap_or_default().to_vec();
            rows.push((text(time), text(value)));
        }
        let series = Series { rows };
        series.warn(path);
        Ok(series)
    }

    /// Says what is no number or no time: such rows are scored as if it were missing.
    fn warn(&self, path: &Path) {
        let told = |texts: Vec<&[u8]>, what: &str, hint: fn(&[u8]) -> &'static str| {
            if let Some(first) = texts.first() {
                let (count, all, hint) = (texts.len(), self.rows.len(), hint(first));
                let first = String::from_utf8_lossy(first);
                tracing::warn!("{}: {count} of {all} {what}, the first is `{first}`{hint}", path.display());
            }
        };
        let is_wrong = |text: &&[u8]| {
            !text.trim_ascii().is_empty() && !text.eq_ignore_ascii_case(b"nan") && number(text).is_none()
        };
        let values = self.rows.iter().map(|row| &row.1[..]).filter(is_wrong).collect();
        told(values, "values are no numbers and count as missing", |first| {
            if first.contains(&b',') { " (a decimal is written with a point)" } else { "" }
        });
        let mut times = Times::default();
        let unread = |text: &&[u8]| times.parse(&String::from_utf8_lossy(text)).is_none();
        let unread = self.rows.iter().map(|row| &row.0[..]).filter(unread).collect();
        told(
            unread,
            "times are none and count as that of the row before",
            |_| " (expected is 2026-01-05T08:00:00Z, or seconds or milliseconds since 1970)",
        );
    }

    /// Scores every row with a detector, whose document is JSON; points for a plot where asked.
    pub fn score(&self, id: &str, document: serde_json::Value, plot: bool, options: &ChainOptions) -> Result<Scores> {
        // Event times are log times: no row is refused for its time stamp.
        let spec = chain("detect", id, document, json!({ "detail": plot }), DecodeConfig::default());
        let mut fields = Fields::default();
        let slots = ["detection_score", "anomaly", "detection"].map(|name| fields.slot(name));
        let mut chain = Chain::new(&spec, options)?.with_fields(fields);
        let mut found = Scores::default();
        let mut emit = |row: &Row<'_>| {
            if row.meta.kind != Kind::Event {
                return;
            }
            found.scores.push(row.get(slots[0]).as_f64().unwrap_or(0.0));
            if plot {
                let mut point = Point::of(&row.get(slots[2]).to_json()[0]);
                point.anomaly |= row.get(slots[1]).as_bool() == Some(true);
                found.points.push(point);
            }
        };
        let mut times = Times::default();
        let mut batch = Vec::with_capacity(BATCH);
        for (offset, (time, value)) in self.rows.iter().enumerate() {
            batch.push(LogRecord {
                offset: offset as i64,
                log_time_ms: times.read(&String::from_utf8_lossy(time)) / 1000,
                key: None,
                value: json!({ "value": number(value) }).to_string().into_bytes(),
            });
            if batch.len() == BATCH {
                chain.process(&batch, &mut emit)?;
                batch.clear();
            }
        }
        chain.process(&batch, &mut emit)?;
        ensure!(found.scores.len() == self.rows.len(), "{} rows in, {} out", self.rows.len(), found.scores.len());
        for (point, (time, value)) in found.points.iter_mut().zip(&self.rows) {
            (point.time, point.value) = (String::from_utf8_lossy(time).into(), number(value));
        }
        Ok(found)
    }

    /// Writes `timestamp,value,anomaly_score`.
    pub fn write(&self, scores: &[f64], out: impl std::io::Write) -> Result<()> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(["timestamp", "value", "anomaly_score"])?;
        for ((time, value), score) in self.rows.iter().zip(scores) {
            writer.write_record([time, value, score.to_string().as_bytes()])?;
        }
        Ok(writer.flush()?)
    }
}

/// A finite number; anything else is a missing value.
fn number(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok().filter(|x: &f64| x.is_finite())
}

/// Reads times of any usual form: RFC 3339, with or without zone (then UTC) and time of day, or a number
/// of seconds or milliseconds.
#[derive(Debug, Default)]
struct Times {
    parser: TimeParser,
    last: i64,
}

impl Times {
    /// Microseconds since the epoch; not before it, for a log has no such times.
    fn read(&mut self, text: &str) -> i64 {
        self.last = self.parse(text).unwrap_or(self.last).max(0);
        self.last
    }

    fn parse(&mut self, text: &str) -> Option<i64> {
        let text = text.trim();
        match text.parse::<f64>().ok() {
            Some(number) => self.parser.parse(Value::Float(number)),
            None => [text.to_string(), format!("{text}Z"), format!("{text}:00Z"), format!("{text}T00:00:00Z")]
                .iter()
                .find_map(|text| self.parser.parse_text(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Placement;

    fn series(rows: impl Iterator<Item = (String, String)>) -> Series {
        Series { rows: rows.map(|(time, value)| (time.into_bytes(), value.into_bytes())).collect() }
    }

    fn scored(series: &Series, preset: &str) -> Vec<f64> {
        let options = ChainOptions { placement: Placement::Native, ..ChainOptions::default() };
        let document = json!({ "preset": preset, "metrics": ["value"], "baselines": { "segmentation": [] } });
        series.score(preset, document, false, &options).unwrap().scores
    }

    #[test]
    fn every_row_comes_back_in_its_order() {
        // Equal, backward, irregular and unreadable times; missing and broken values.
        let time = |n: usize| match n % 7 {
            0 => "2024-01-01 00:00:00".to_string(),
            1 => format!("{}", 1_700_000_000 + n),
            2 => "not a time".into(),
            3 => "1960-01-01".into(),
            _ => format!("2024-01-{:02} 10:{:02}", 1 + n % 28, n % 60),
        };
        let value = |n: usize| match n % 11 {
            3 => String::new(),
            5 => "NaN".into(),
            _ => format!("{}", n * 37 % 101),
        };
        let series = series((0..600).map(|n| (time(n), value(n))));
        for preset in ["best", "ensemble"] {
            let scores = scored(&series, preset);
            assert_eq!(scores.len(), 600);
            assert!(scores.iter().all(|s| (0.0..=1.0).contains(s)));
            assert!(scores.iter().enumerate().all(|(n, s)| !matches!(n % 11, 3 | 5) || *s == 0.0));
            assert!(scores[..16].iter().all(|s| *s == 0.0), "{preset}");
            let mut out = Vec::new();
            series.write(&scores, &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.lines().count(), 601);
            assert!(text.lines().nth(3).unwrap().starts_with("not a time,74,"), "{text:.200}");
        }
    }

    #[test]
    fn a_step_scores_above_what_came_before() {
        let value = |n: usize| format!("{}", 100 + n * 37 % 11 + if n >= 800 { 60 } else { 0 });
        let series = series((0..1000).map(|n| (format!("{}", 1_700_000_000 + 60 * n), value(n))));
        for preset in ["best", "ensemble"] {
            let scores = scored(&series, preset);
            let before = scores[400..800].iter().copied().fold(0.0, f64::max);
            let after = scores[800..810].iter().copied().fold(0.0, f64::max);
            assert!(after > before + 0.1, "{preset}: {before} {after}");
        }
    }

    #[test]
    fn a_column_that_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        std::fs::write(&path, "t,v\n1,2\n").unwrap();
        let error = Series::read(&path, "t", "value").unwrap_err().to_string();
        assert!(error.ends_with("there is no column `value`; it has t, v"), "{error}");
        assert_eq!(Series::read(&path, "t", "v").unwrap().rows, [(b"1".to_vec(), b"2".to_vec())]);
    }
}
