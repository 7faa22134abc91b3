//! The alert about alerts: more of them are live than may be remembered.
//!
//! It fires at the first alert that is dropped and is resolved when a tenth of the room is free
//! again, so an overflow is told once, however many alerts it costs.

use super::config::{AlertConfig, Severity};
use super::record::{Face, Record, alert_id};
use super::state::{Change, Reason, Transition};
use super::store::Shown;
use crate::stage::Context;

/// Its rule name in records.
pub const OVERFLOW_RULE: &str = "perfstream: too many live alerts";

/// Its face: every receiver of the stage is told.
pub(super) fn face(config: &AlertConfig) -> Face {
    let mut receivers: Vec<&str> = Vec::new();
    for receiver in config.rules.iter().flat_map(|rule| &rule.notification) {
        if !receivers.contains(&receiver.as_str()) {
            receivers.push(receiver);
        }
    }
    Face {
        rule: OVERFLOW_RULE.into(),
        condition: format!("live alerts > max_alerts ({})", config.max_alerts).into(),
        notification: serde_json::to_string(&receivers).unwrap_or_default().into(),
    }
}

/// Its record: it began at `start` and now, at `time`, begins or ends.
pub(super) fn record(context: &Context, rule: usize, start: i64, time: i64, ends: bool, max_alerts: u32) -> Record {
    let transition = Transition {
        change: if ends { Change::Resolved(Reason::ConditionFalse) } else { Change::Firing },
        time,
        start,
        opened: start,
        index: ends as u32,
        step: 0,
        severity: Severity::Warning,
        notify: true,
    };
    let summary = match ends {
        false => format!(
            "{} of {}: more alerts are live than are remembered ({max_alerts}); the oldest that do not fire are \
             forgotten, and if all fire new ones are not opened",
            context.stage, context.pipeline
        ),
        true => format!("{} of {}: there is room for new alerts again", context.stage, context.pipeline),
    };
    Record {
        transition,
        rule,
        alert_id: alert_id(context, OVERFLOW_RULE, context.stage.as_bytes(), start),
        labels: "{}".into(),
        key: None,
        shown: Shown {
            values: format!("{{\"max_alerts\":{max_alerts}}}").into(),
            summary: Some(summary.into()),
            ..Shown::default()
        },
    }
}
