//! Causes on small graphs, the segment and what the mix does to it, and what is proposed.

use super::tests::{CONFIG, of, open, records};
use serde_json::{Value as Json, json};

/// The last record with everything in it.
fn last(config: &str, lines: &[String]) -> Json {
    let mut lines = lines.to_vec();
    lines.push("@end".into());
    records(config, &lines).pop().expect("a record")
}

fn order(record: &Json) -> Vec<&str> {
    record["causes"].as_array().into_iter().flatten().filter_map(|cause| cause["service"].as_str()).collect()
}

fn at(id: &str, minute: i64, service: &str, metric: &str, value: f64) -> String {
    open(id, minute, metric, &json!({ "service": service }), &json!({ "value": value }))
}

#[test]
fn the_callee_explains_its_callers() {
    // All at once and all alike: the graph alone speaks.
    let record = last(CONFIG, &[of("a", 0, "web"), of("b", 0, "shop"), of("c", 0, "db")]);
    assert_eq!(order(&record), ["db", "shop", "web"], "{record:#}");
    let best = &record["causes"][0];
    assert_eq!((&best["parts"]["graph"], &record["cause"]), (&json!(1.0), &json!("db")));
    assert_eq!(
        best["reasons"],
        json!(["latency 20.0 instead of 10.0", "2 of 2 others began soon after it", "2 of them depend on it"])
    );
}

#[test]
fn size_alone_does_not_rule() {
    let lines =
        [at("a", 2, "web", "latency", 900.0), at("b", 1, "shop", "latency", 90.0), at("c", 0, "db", "cpu", 17.0)];
    let record = last(CONFIG, &lines);
    assert_eq!(order(&record)[0], "db", "{record:#}");
}

#[test]
fn what_came_long_before_or_after_is_no_cause() {
    let graph = r#"{"dependencies":[{"from":"web","to":"shop"},{"from":"shop","to":"db"},{"from":"shop","to":"mail"},
        {"from":"shop","to":"stock"}]}"#;
    let lines = [of("m", 0, "mail"), of("d", 8, "db"), of("s", 9, "shop"), of("w", 10, "web"), of("k", 14, "stock")];
    let record = last(graph, &lines);
    assert_eq!(order(&record)[0], "db", "{record:#}");
    assert_eq!(record["causes"][0]["explains"], json!(["shop", "web"]));
}

#[test]
fn less_traffic_is_an_effect() {
    let lines = [at("a", 0, "shop", "errors", 60.0), at("b", 0, "db", "rate", 1.0), at("c", 0, "db", "cpu", 1.0)];
    assert_eq!(order(&last(CONFIG, &lines))[0], "shop");
    // Where nobody says what the metrics are, the callee is it.
    let unsaid = CONFIG.replace("\"kinds\":{", "\"kinds\":{\"x\":\"errors\"},\"hops\":{").replace(
        ",\"hops\":{\"cpu\":\"saturation\",\"latency\":\"latency\",\"errors\":\"errors\",\"rate\":\"traffic\"}",
        "",
    );
    assert_eq!(order(&last(&unsaid, &lines))[0], "db");
}

#[test]
fn causes_do_not_depend_on_the_order_of_arrival() {
    let lines = [of("a", 3, "web"), of("b", 3, "shop"), of("c", 3, "db"), at("d", 3, "db", "cpu", 30.0)];
    let mut turned = lines.to_vec();
    turned.reverse();
    assert_eq!(last(CONFIG, &lines)["causes"], last(CONFIG, &turned)["causes"]);
}

#[test]
fn a_graph_with_cycles_and_without_expectations() {
    let graph = r#"{"dependencies":[{"from":"a","to":"b"},{"from":"b","to":"a"},{"from":"b","to":"c"}]}"#;
    let bare = |id: &str, service: &str| {
        format!(r#"{{"kind":"anomaly","timestamp":1767225600,"anomaly_id":"{id}","service":"{service}"}}"#)
    };
    let record = last(graph, &[bare("1", "a"), bare("2", "b"), bare("3", "c")]);
    assert_eq!(order(&record)[0], "c", "{record:#}");
    let scores = record["causes"].as_array().into_iter().flatten().filter_map(|cause| cause["score"].as_f64());
    assert!(scores.clone().count() == 3 && scores.clone().all(|score| (0.0..=1.0).contains(&score)), "{record:#}");
}

/// Anomalies of one metric by page and browser: (page, browser, value, events).
fn pages(cells: &[(&str, &str, f64, f64)]) -> Vec<String> {
    let cell = |(n, (page, browser, value, events)): (usize, &(&str, &str, f64, f64))| {
        let segment = json!({ "page": page, "browser": browser });
        open(&format!("c{n}"), 0, "lcp", &segment, &json!({ "value": value, "events": events }))
    };
    cells.iter().enumerate().map(cell).collect()
}

const PAGES: &str = r#"{"shared":["page","browser"]}"#;

#[test]
fn the_segment_has_most_of_the_excess() {
    // 10 is expected of each; browsers are alike, pages are not.
    let cells = [
        ("/cart", "chrome", 20.0, 100.0),
        ("/cart", "safari", 20.0, 100.0),
        ("/", "chrome", 12.0, 100.0),
        ("/", "safari", 12.5, 100.0),
    ];
    let record = last(PAGES, &pages(&cells));
    let segment = &record["segment"];
    assert_eq!(segment["labels"], json!({ "page": "/cart" }), "{record:#}");
    assert!((segment["share"].as_f64().unwrap_or_default() - 2000.0 / 2450.0).abs() < 1e-12, "{segment}");
    assert_eq!((&segment["expected_share"], &segment["anomalies"]), (&json!(0.5), &json!(2)));
    assert_eq!((&segment["rest"]["values"], &segment["rest"]["anomalies"]), (&json!(1), &json!(2)));
    assert!(
        record["summary"].as_str().is_some_and(|text| text.ends_with("; page=/cart has 82 % of the excess of lcp"))
    );
    assert_eq!(last(PAGES, &pages(&cells[..1]))["segment"], Json::Null, "one anomaly has nothing to compare");
}

#[test]
fn more_events_are_no_excess() {
    // /cart has nine times the events and the same change: nothing sets it apart, in either dimension.
    let cells = [
        ("/cart", "chrome", 15.0, 900.0),
        ("/cart", "safari", 15.0, 900.0),
        ("/", "chrome", 15.0, 100.0),
        ("/", "safari", 15.0, 100.0),
    ];
    assert_eq!(last(PAGES, &pages(&cells))["segment"], Json::Null);
    // With a little change in what has many, and much in what has few, the few explain it.
    let cells = [("/cart", "chrome", 10.5, 900.0), ("/", "chrome", 30.0, 100.0), ("/", "safari", 30.0, 100.0)];
    assert_eq!(last(PAGES, &pages(&cells))["segment"]["labels"], json!({ "page": "/" }));
}

#[test]
fn what_is_put_down_to_the_mix_does_not_count() {
    let mut lines =
        pages(&[("/cart", "chrome", 16.0, 100.0), ("/", "chrome", 13.0, 100.0), ("/", "safari", 13.0, 100.0)]);
    assert_eq!(last(PAGES, &lines)["segment"]["labels"], json!({ "page": "/cart" }));
    lines[0] = lines[0].replace("\"events\"", "\"excluded\":\"mix_shift\",\"events\"");
    assert_ne!(last(PAGES, &lines)["segment"]["labels"], json!({ "page": "/cart" }));
}

#[test]
fn the_only_value_that_is_known_explains_nothing() {
    let cells = [("/", "chrome", 15.0, 100.0), ("/", "safari", 15.0, 100.0)];
    assert_eq!(last(PAGES, &pages(&cells))["segment"], Json::Null);
    // Once another page is known, all of it lies in this one.
    let mut lines = vec![open("x", -300, "lcp", &json!({ "page": "/other", "browser": "edge" }), &json!({}))];
    lines.extend(pages(&cells));
    let segment = &last(PAGES, &lines)["segment"];
    assert_eq!((&segment["labels"], &segment["share"]), (&json!({ "page": "/" }), &json!(1.0)));
}

#[test]
fn an_inhibition_is_proposed() {
    let graph = r#"{"dependencies":[{"from":"a.b","to":"d\"b"},{"from":"c","to":"d\"b"}],"shared":["zone"]}"#;
    let of = |id: &str, minute: i64, service: &str| {
        open(id, minute, "latency", &json!({ "service": service, "zone": "eu" }), &json!({}))
    };
    let record = last(graph, &[of("1", 0, "d\"b"), of("2", 1, "a.b"), of("3", 1, "c")]);
    assert_eq!(
        record["inhibit"],
        json!({
            "source_matchers": [r#"service="d\"b""#],
            "target_matchers": [r#"service=~"a\\.b|c""#],
            "equal": ["zone"],
        }),
        "{record:#}"
    );
    let pages = last(PAGES, &pages(&[("/", "chrome", 15.0, 100.0)]));
    assert_eq!(pages["inhibit"], Json::Null);
}
