//! The page's numbers in OpenMetrics' text format.

use super::model::{Model, SeriesKey};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value};
use std::sync::atomic::AtomicU64;

/// Content type of [`exposition`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Names and values, sorted by name.
pub type Labels = Vec<(String, String)>;
type Floats = Family<Labels, Gauge<f64, AtomicU64>>;

/// The newest value of every series, and the page's own numbers.
pub fn exposition(model: &Model, viewers: usize) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    let (values, expected) = (Floats::default(), Floats::default());
    for newest in model.newest() {
        let labels: Labels = labels(newest.key).into_iter().map(|(name, value)| (name, escaped(&value))).collect();
        if let Some(usual) = newest.expected {
            expected.get_or_create(&labels).set(usual);
        }
        values.get_or_create(&labels).set(newest.value);
    }
    registry.register("perfstream_value", "Newest value of a field of a window", values);
    registry.register("perfstream_expected_value", "What the detector expected of it", expected);
    let (series, events, firing, dropped) = model.sizes();
    for (name, help, number) in [
        ("perfstream_alerts_firing", "Alerts that fire", firing as i64),
        ("perfstream_page_series", "Series on the page", series as i64),
        ("perfstream_page_series_dropped", "Series that had to go for others", dropped as i64),
        ("perfstream_page_events", "Events on the page", events as i64),
        ("perfstream_page_viewers", "Open pages", viewers as i64),
    ] {
        let gauge: Gauge = Gauge::default();
        gauge.set(number);
        registry.register(name, help, gauge);
    }
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// The labels of a series; ours go before the user's where both have a name.
pub fn labels(key: &SeriesKey) -> Labels {
    let own = [("pipeline", Some(&key.pipeline)), ("field", Some(&key.field)), ("metric", Some(&key.metric))];
    let own = own.into_iter().chain([("window", key.window.as_ref())]);
    let mut labels: Labels = own.filter_map(|(name, value)| Some((name.to_string(), value?.clone()))).collect();
    let users: Map<String, Value> = serde_json::from_str(&key.labels).unwrap_or_default();
    for (name, value) in users {
        let name = label_name(&name);
        if !labels.iter().any(|(known, _)| *known == name) {
            labels.push((name, value.as_str().map_or_else(|| value.to_string(), str::to_string)));
        }
    }
    labels.sort();
    labels
}

/// The library writes values as they are.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`; names that begin with `__` are Prometheus' own.
fn label_name(name: &str) -> String {
    let mut name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || name.starts_with("__") {
        name.insert_str(0, "label_");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Model {
        let mut model = Model::default();
        let frame = r#"{"type":"frame","dashboard":"d","pipeline":"lcp","points":[{"field":"p75","metric":"lcp",
            "window":"five_minutes","time_ms":1,"labels":{"page":"/\"a\\","sec-ch-ua":"x","metric":"other"},"value":2.5,
            "expected":{"value":2}}],"events":[{"kind":"alert","alert_id":"x","state":"firing"}]}"#;
        model.take_dashboard(frame.as_bytes()).expect("a frame");
        model
    }

    #[test]
    fn values_are_samples() {
        let text = exposition(&model(), 1).expect("text");
        let labels = r#"field="p75",metric="lcp",page="/\"a\\",pipeline="lcp",sec_ch_ua="x",window="five_minutes""#;
        assert!(text.contains(&format!("perfstream_value{{{labels}}} 2.5\n")), "{text}");
        assert!(text.contains(&format!("perfstream_expected_value{{{labels}}} 2.0\n")), "{text}");
        assert!(text.contains("perfstream_alerts_firing 1\n"), "{text}");
    }

    #[test]
    fn the_grafana_dashboard_asks_for_what_is_there() {
        let dashboard: Value = serde_json::from_str(include_str!("../../grafana/web-vitals.json")).expect("JSON");
        let text = exposition(&model(), 0).expect("text");
        let names: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let panels = dashboard["panels"].as_array().expect("panels");
        let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
        let asked: Vec<&str> = targets.filter_map(|target| target["expr"].as_str()).collect();
        assert!(asked.len() > 10, "{asked:?}");
        for expression in asked {
            let name = expression.split(['{', '(', ')']).find(|part| part.starts_with("perfstream_"));
            assert!(name.is_some_and(|name| names.contains(&name)), "{expression}");
        }
    }

    #[test]
    fn names_of_labels_are_prometheus() {
        let names = ["1x", "__a", "sec-ch.ua", ""].map(label_name);
        assert_eq!(names, ["label_1x", "label___a", "sec_ch_ua", "label_"].map(String::from));
    }
}
