//! Scores a CSV file with `best`: `best_csv FILE TIME_COLUMN VALUE_COLUMN > scores.csv`.

use perfstream_core::detect::best::{Best, BestConfig};
use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [file, time, value] = <[String; 3]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
        .map_err(|_| "usage: best_csv FILE TIME_COLUMN VALUE_COLUMN")?;
    let text = std::fs::read_to_string(file)?;
    let mut lines =
        text.lines().map(|line| line.split(',').map(|cell| cell.trim().trim_matches('"')).collect::<Vec<_>>());
    let head = lines.next().ok_or("no header")?;
    let column = |name: &str| head.iter().position(|h| *h == name).ok_or(format!("no column {name}"));
    let (time, value) = (column(&time)?, column(&value)?);
    let mut best = Best::new(&BestConfig::default());
    let mut out = std::io::stdout().lock();
    writeln!(out, "timestamp,value,anomaly_score")?;
    for row in lines {
        let at: jiff::Timestamp = format!("{}Z", row[time].trim_end_matches('Z').replace(' ', "T")).parse()?;
        let seen = best.observe(at.as_microsecond(), row[value].parse().ok());
        writeln!(out, "{},{},{}", row[time], row[value], seen.score.unwrap_or(0.0))?;
    }
    Ok(())
}
