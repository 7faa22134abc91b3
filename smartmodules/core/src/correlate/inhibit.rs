//! A proposal of what need not be told while the cause is: an inhibition rule in Alertmanager's words.
//!
//! Source: alerts of the likeliest cause; targets: those of the services whose anomalies it explains. `equal`
//! has the compared labels that all anomalies of the incident have with one value. There is none for a
//! cause that explains nobody or whose score is below [`LEAST_SCORE`]; people decide whether it goes
//! into `Receivers`. Values are escaped for the matcher's quotes, and in `=~` for the regular expression.

use super::incident::Incident;
use super::rank::Cause;
use serde_json::{Value as Json, json};

const LEAST_SCORE: f64 = 0.5;
const MOST_TARGETS: usize = 16;

/// `{ source_matchers, target_matchers, equal }`.
pub(super) fn inhibit(incident: &Incident, causes: &[Cause], service: &str, dimensions: &[Box<str>]) -> Option<Json> {
    let cause = causes.first().filter(|cause| cause.score >= LEAST_SCORE && is_label(service))?;
    let is_service = |name: &str| {
        incident.members.iter().any(|m| &*m.node == name && m.anomaly.labels.get(service).is_some_and(|n| **n == *name))
    };
    let targets: Vec<&str> =
        cause.explains.iter().map(|name| &**name).filter(|name| is_service(name)).take(MOST_TARGETS).collect();
    if targets.is_empty() || !is_service(&cause.node) {
        return None;
    }
    let target = match &targets[..] {
        [one] => format!("{service}={}", quoted(one)),
        several => {
            let alternatives: Vec<String> = several.iter().map(|name| regex_lite::escape(name)).collect();
            format!("{service}=~{}", quoted(&alternatives.join("|")))
        }
    };
    let equal: Vec<&str> =
        dimensions.iter().map(|name| &**name).filter(|name| *name != service && is_equal(incident, name)).collect();
    Some(json!({
        "source_matchers": [format!("{service}={}", quoted(&cause.node))],
        "target_matchers": [target],
        "equal": equal,
    }))
}

/// Can the name stand in a matcher? Alertmanager's label names.
fn is_label(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

/// Do all anomalies have the label with one value?
fn is_equal(incident: &Incident, name: &str) -> bool {
    let mut values = incident.members.iter().map(|member| member.anomaly.labels.get(name));
    let first = values.next().flatten();
    first.is_some() && is_label(name) && values.all(|value| value == first)
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
