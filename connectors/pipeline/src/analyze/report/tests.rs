//! Reports: three formats, their schema, and text of users that stays text.

use super::*;
use crate::analyze::look::Look;
use crate::analyze::record::Recommendation;
use crate::analyze::scan::Found;

fn outcome(evil: &str) -> (Outcome, Report) {
    let mut analysis = Analysis { stream_id: evil.into(), ..Analysis::default() };
    let segment = [("page".to_string(), Value::from(evil))];
    analysis.data.anomalies =
        vec![json!({ "started_at": "2026-01-05T09:00:00Z", "summary": evil, "segment": { "page": evil } })];
    analysis.alerts =
        vec![json!({ "started_at": "2026-01-05T09:00:00Z", "summary": evil, "labels": { "page": evil } })];
    analysis.data.predictions = vec![json!({ "field": evil, "labels": { evil: evil } })];
    analysis.data.patterns =
        vec![FoundPattern { summary: evil.into(), segment: segment.clone().into(), ..FoundPattern::default() }];
    analysis.recommendations =
        vec![Recommendation { text: evil.into(), segment: segment.into(), ..Recommendation::default() }];
    let outcome = Outcome { analysis: analysis.clone(), look: Look::default(), found: Found::default() };
    let report = Report {
        id: "r".into(),
        session: SessionRecord { id: evil.into(), ..SessionRecord::default() },
        summary: Summary { headline: evil.into(), sentences: vec![evil.into()], ratings: [0; 3] },
        patterns: analysis.data.patterns.clone(),
        anomalies: analysis.data.anomalies.clone(),
        predictions: analysis.data.predictions.clone(),
        performance: Performance::default(),
        recommendations: analysis.recommendations.clone(),
        appendices: Appendices { alerts: analysis.alerts.clone(), ..Appendices::default() },
        generated_at: "2026-01-05T09:00:00Z".into(),
        stream_analysis: analysis,
    };
    (outcome, report)
}

#[test]
fn text_of_users_stays_text() {
    let (outcome, report) =
        outcome("<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\n# [a](javascript:b) `c`");
    let html = report.html(&outcome).unwrap();
    assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
    assert!(html.matches("&lt;script&gt;").count() >= 8);
    let markdown = report.markdown().unwrap();
    assert!(!markdown.contains("[a](") && !markdown.contains("\n# [") && !markdown.contains(" <img"), "{markdown}");
}

#[test]
fn a_report_fits_its_schema_and_has_every_key() {
    let (_, report) = outcome("a");
    let value = serde_json::to_value(&report).unwrap();
    assert!(jsonschema::validator_for(&schema()).unwrap().is_valid(&value), "{value}");
    for key in [
        "id",
        "session",
        "streamAnalysis",
        "summary",
        "patterns",
        "anomalies",
        "predictions",
        "performance",
        "recommendations",
        "appendices",
        "generatedAt",
    ] {
        assert!(!value[key].is_null(), "{key}");
        let mut without = value.clone();
        without.as_object_mut().unwrap().remove(key);
        assert!(!jsonschema::validator_for(&schema()).unwrap().is_valid(&without), "{key}");
    }
    for key in ["configuration", "statistics", "alerts"] {
        assert!(value["appendices"].get(key).is_some(), "{key}");
    }
    assert_eq!(serde_json::from_value::<Report>(value).unwrap(), report);
}
