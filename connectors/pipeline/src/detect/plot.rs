//! A series, its expected range and its anomalies as an SVG picture.

use anyhow::{Result, anyhow};
use plotters::prelude::{
    AreaSeries, BLACK, BLUE, ChartBuilder, Circle, Color, IntoDrawingArea, LineSeries, RED, SVGBackend, ShapeStyle,
    WHITE,
};
use serde_json::Value;
use std::path::Path;

/// One row of a plot.
#[derive(Debug, Clone, Default)]
pub struct Point {
    /// As it was read
    pub time: String,
    /// None: missing
    pub value: Option<f64>,
    /// What was expected
    pub range: Option<(f64, f64)>,
    /// In an anomaly, or a detection of its own
    pub anomaly: bool,
}

impl Point {
    /// From what `detect` says of one metric on a row.
    pub fn of(of: &Value) -> Point {
        let range = of["range"].as_array().and_then(|r| Some((r.first()?.as_f64()?, r.get(1)?.as_f64()?)));
        Point { range, anomaly: of["detected"] == true, ..Point::default() }
    }
}

/// Values beyond this are drawn as this, so that the axis is finite.
const LARGEST: f64 = 1e30;

/// Text without control characters, which XML does not have.
fn plain(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// Draws `points` into a file. The range is drawn as far as the values go and a quarter beyond.
pub fn svg(path: &Path, title: &str, points: &[Point]) -> Result<()> {
    let value = |p: &Point| p.value.map(|x| x.clamp(-LARGEST, LARGEST));
    let values = || points.iter().filter_map(value);
    let (low, high) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    let (low, high) =
        if low.is_finite() && low < high { (low, high) } else { (low.clamp(-1.0, 0.0), low.clamp(0.0, 1.0) + 1.0) };
    let margin = (high - low) / 4.0;
    let (low, high) = (low - margin, high + margin);
    let failed = |e: &dyn std::fmt::Display| anyhow!("{}: {e}", path.display());
    let area = SVGBackend::new(path, (1200, 480)).into_drawing_area();
    area.fill(&WHITE).map_err(|e| failed(&e))?;
    let label = |n: &usize| points.get(*n).map_or_else(String::new, |p| plain(&p.time));
    let mut chart = ChartBuilder::on(&area)
        .caption(plain(title), ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(0..points.len().max(1), low..high)
        .map_err(|e| failed(&e))?;
    chart.configure_mesh().x_labels(6).x_label_formatter(&label).draw().map_err(|e| failed(&e))?;
    // The band as runs of rows that have one: from its top down to its bottom, painted white below.
    for run in points.iter().enumerate().collect::<Vec<_>>().chunk_by(|a, b| a.1.range.is_some() == b.1.range.is_some())
    {
        let edge = |pick: fn((f64, f64)) -> f64| {
            run.iter().filter_map(move |(n, p)| Some((*n, pick(p.range?).clamp(low, high)))).collect::<Vec<_>>()
        };
        let (top, bottom) = (edge(|r| r.1), edge(|r| r.0));
        chart.draw_series(AreaSeries::new(top, low, BLUE.mix(0.15))).map_err(|e| failed(&e))?;
        chart.draw_series(AreaSeries::new(bottom, low, WHITE)).map_err(|e| failed(&e))?;
    }
    let line = points.iter().enumerate().filter_map(|(n, p)| Some((n, value(p)?)));
    chart.draw_series(LineSeries::new(line, BLACK)).map_err(|e| failed(&e))?;
    let marked = points.iter().enumerate().filter(|(_, p)| p.anomaly).filter_map(|(n, p)| Some((n, value(p)?)));
    chart.draw_series(marked.map(|at| Circle::new(at, 3, ShapeStyle::from(&RED).filled()))).map_err(|e| failed(&e))?;
    area.present().map_err(|e| failed(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_line_band_and_marks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.svg");
        let point = |n: usize| Point {
            time: format!("t{n}"),
            value: (n != 5).then_some(n as f64),
            range: (n > 20).then_some((0.0, 60.0)),
            anomaly: n == 50,
        };
        svg(&path, "a & b", &(0..100).map(point).collect::<Vec<_>>()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("<svg") && text.contains("a &amp; b"));
        assert_eq!(text.matches("<circle").count(), 1);
        assert!(text.contains("<polyline") && text.contains("<polygon"));
        let huge = |x: f64| Point { time: "\0".into(), value: Some(x), ..Point::default() };
        for points in [vec![], vec![point(1)], vec![huge(1e308), huge(5.0), huge(-1e308)]] {
            svg(&path, "few\u{1}", &points).unwrap();
            assert!(!std::fs::read_to_string(&path).unwrap().contains(['\0', '\u{1}']));
        }
    }
}
