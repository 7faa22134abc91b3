//! The picture of a segment: the series with what was expected of it, anomalies and alerts, and the forecast ahead.
//!
//! Colours are fixed ones, which the page's style maps to those of its theme by attribute selectors.

use crate::analyze::Outcome;
use crate::analyze::scan::Point;
use anyhow::{Result, anyhow};
use perfstream_core::patterns::sentence::{moment, number};
use perfstream_core::time::TimeParser;
use plotters::prelude::*;
use serde_json::Value;

const SIZE: (u32, u32) = (900, 260);
const INK: RGBColor = RGBColor(17, 17, 17);
const GRID: RGBColor = RGBColor(221, 221, 221);
const LINE: RGBColor = RGBColor(31, 95, 191);
const BAND: RGBColor = RGBColor(207, 224, 250);
const ALARM: RGBColor = RGBColor(200, 30, 30);
const ALERT: RGBColor = RGBColor(230, 140, 0);
const AHEAD: RGBColor = RGBColor(110, 70, 180);
const AHEAD_BAND: RGBColor = RGBColor(226, 216, 245);
/// Values beyond this are drawn as this.
const LARGEST: f64 = 1e12;

/// What a picture shows.
struct Scene {
    points: Vec<Point>,
    /// Time, value, low, high: from the newest value on
    ahead: Vec<(i64, f64, f64, f64)>,
    anomalies: Vec<i64>,
    alerts: Vec<i64>,
    poor: Option<f64>,
}

/// The picture of a segment as SVG; None where there are fewer than two points.
pub fn draw(outcome: &Outcome, segment: &str) -> Result<Option<String>> {
    let Some(scene) = Scene::new(outcome, segment) else { return Ok(None) };
    let mut svg = String::new();
    paint(&scene, &mut svg).map_err(|error| anyhow!("plot: {error}"))?;
    // One size is too small on paper and too wide on a phone.
    let sized = format!("width=\"{}\" height=\"{}\"", SIZE.0, SIZE.1);
    Ok(Some(svg.replacen(&sized, "width=\"100%\" role=\"img\"", 1)))
}

impl Scene {
    fn new(outcome: &Outcome, segment: &str) -> Option<Scene> {
        let (look, found) = (&outcome.look, &outcome.found);
        let drawn = look.plot.as_ref().and_then(|plot| Some((plot, found.plots.get(segment)?)));
        let (field, window, mut points) = match drawn.filter(|(_, points)| points.len() > 1) {
            Some((plot, points)) => (&plot.field, &plot.window, points.clone()),
            None => {
                let field = look.main()?;
                let own = found.points(segment, &field.name).iter();
                (
                    field,
                    &look.window,
                    own.map(|(time, value)| Point { time: *time, value: *value, range: None }).collect(),
                )
            }
        };
        points.sort_by_key(|point| point.time);
        if points.len() < 2 {
            return None;
        }
        let labels = found.segments.get(segment)?;
        let here = |value: &Value| labels.iter().all(|(key, known)| value[key] == *known);
        let mut parser = TimeParser::default();
        let mut times = |list: &[Value], of: &str| -> Vec<i64> {
            let own = list.iter().filter(|value| here(&value[of]));
            own.filter_map(|value| parser.parse_text(value["started_at"].as_str()?)).collect()
        };
        let anomalies = times(&outcome.analysis.data.anomalies, "segment");
        let alerts = times(&outcome.analysis.alerts, "labels");
        let of_field = |f: &&Value| f["field"] == field.name && window.as_deref().is_none_or(|w| f["window"] == w);
        let forecast = outcome.analysis.data.predictions.iter().filter(of_field).find(|f| here(&f["labels"]));
        Some(Scene { ahead: forecast.map(ahead).unwrap_or_default(), points, anomalies, alerts, poor: field.poor })
    }
}

/// The path of a forecast: from its value through the predictions, `FIELD_in_HORIZON` and their ends.
fn ahead(forecast: &Value) -> Vec<(i64, f64, f64, f64)> {
    let start = forecast["timestamp"].as_str().and_then(|text| TimeParser::default().parse_text(text));
    let (Some(start), Some(value)) = (start, forecast["value"].as_f64()) else { return Vec::new() };
    let mut path = vec![(start, value, value, value)];
    for (name, found) in forecast.as_object().into_iter().flatten() {
        let horizon = name.strip_prefix("forecast_").and_then(|rest| rest.rsplit('_').next());
        let Some(us) = horizon.and_then(|text| perfstream_core::Span::parse(text).ok()).map(|span| span.us()) else {
            continue;
        };
        let end = |side: &str| forecast[format!("{name}_{side}")].as_f64();
        if let (Some(value), Some(low), Some(high)) = (found.as_f64(), end("low"), end("high")) {
            path.push((start + us, value, low, high));
        }
    }
    path.sort_by_key(|at| at.0);
    if path.len() == 1
        && let (Some(value), Some(low), Some(high), Some(ms)) = (
            forecast["prediction"].as_f64(),
            forecast["prediction_low"].as_f64(),
            forecast["prediction_high"].as_f64(),
            forecast["prediction_time"].as_i64(),
        )
    {
        path.push((ms * 1000, value, low, high));
    }
    path
}

fn paint(scene: &Scene, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let values = || {
        scene.points.iter().map(|p| p.value).chain(scene.ahead.iter().map(|a| a.1)).map(|x| x.clamp(-LARGEST, LARGEST))
    };
    let (low, high) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    // What was expected has its place too, but may not press the series flat.
    let span = (high - low).max(high.abs() / 25.0);
    let ranges = scene.points.iter().filter_map(|p| p.range).chain(scene.ahead.iter().map(|a| (a.2, a.3)));
    let (low, high) = ranges.fold((low, high), |(least, most), range| {
        (least.min(range.0.max(low - span)), most.max(range.1.min(high + span)))
    });
    let margin = ((high - low) / 6.0).max(high.abs() / 50.0).max(1e-6);
    let positive = values().all(|x| x >= 0.0);
    let (low, high) = (if positive { (low - margin).max(0.0) } else { low - margin }, high + margin);
    let first = scene.points[0].time;
    let last = scene.points[scene.points.len() - 1].time;
    let end = scene.ahead.last().map_or(last, |ahead| ahead.0.max(last));
    let inside = |x: f64| x.clamp(low, high);
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&root)
        .margin(8)
        .x_label_area_size(26)
        .y_label_area_size(56)
        .build_cartesian_2d(first..end.max(first + 1), low..high)?;
    chart
        .configure_mesh()
        .x_labels(7)
        .y_labels(5)
        .axis_style(GRID)
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .label_style(("sans-serif", 12).into_font().color(&INK))
        .x_label_formatter(&|us| moment(*us).get(5..).unwrap_or_default().to_string())
        .y_label_formatter(&|y| number(*y))
        .draw()?;
    for run in scene.points.chunk_by(|a, b| a.range.is_some() == b.range.is_some()) {
        let top = run.iter().filter_map(|p| Some((p.time, inside(p.range?.1))));
        let bottom = run.iter().rev().filter_map(|p| Some((p.time, inside(p.range?.0))));
        band(&mut chart, top.chain(bottom).collect(), BAND)?;
    }
    let top = scene.ahead.iter().map(|a| (a.0, inside(a.3)));
    band(&mut chart, top.chain(scene.ahead.iter().rev().map(|a| (a.0, inside(a.2)))).collect(), AHEAD_BAND)?;
    if let Some(poor) = scene.poor.filter(|poor| (low..high).contains(poor)) {
        chart.draw_series(LineSeries::new([(first, poor), (end, poor)], ALARM.stroke_width(1)))?;
    }
    // Marks at the top: hundreds of lines would hide the series.
    let top = high - (high - low) * 0.06;
    for at in scene.alerts.iter().filter(|at| (first..=end).contains(at)) {
        chart.draw_series(LineSeries::new([(*at, top), (*at, high)], ALERT.stroke_width(1)))?;
    }
    chart.draw_series(LineSeries::new(scene.points.iter().map(|p| (p.time, inside(p.value))), LINE.stroke_width(2)))?;
    chart.draw_series(LineSeries::new(scene.ahead.iter().map(|a| (a.0, inside(a.1))), AHEAD.stroke_width(2)))?;
    let near = |at: &i64| scene.points.iter().min_by_key(|p| p.time.abs_diff(*at)).map(|p| (p.time, inside(p.value)));
    chart.draw_series(scene.anomalies.iter().filter_map(near).map(|at| Circle::new(at, 5, ALARM.filled())))?;
    root.present()?;
    drop(chart);
    drop(root);
    Ok(())
}

type Chart<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordi64, plotters::coord::types::RangedCoordf64>,
>;

fn band(chart: &mut Chart<'_, '_>, edge: Vec<(i64, f64)>, color: RGBColor) -> Result<(), Box<dyn std::error::Error>> {
    if edge.len() > 2 {
        chart.draw_series([Polygon::new(edge, color.filled())]).map_err(|error| error.to_string())?;
    }
    Ok(())
}
