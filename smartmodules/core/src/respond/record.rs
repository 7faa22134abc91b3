//! Action records: one per step, with an id that a replay gives again.
//!
//! `action_id` is a hash of pipeline, rule, subject and the record that was answered: neither the config nor the
//! partition is in it. `key`, on the steps that an executor acts on, names one execution for ever.

use super::case::Case;
use super::rule::Rule;
use super::step::{Step, Told};
use crate::row::{Kind, Meta, Output};
use crate::stage::Context;
use crate::time;
use crate::value::Value;

/// The id of what a rule does about a record of a subject.
pub(super) fn action_id(context: &Context, rule: &str, subject: &str, record: &str) -> Box<str> {
    let parts = [context.pipeline.as_bytes(), b"action", rule.as_bytes(), subject.as_bytes(), record.as_bytes()];
    crate::id::id(&parts).into()
}

/// Writes a step as a row that `offset` and `log_time` triggered.
pub(super) fn write(
    case: &Case,
    told: &Told,
    rule: &Rule,
    context: &Context,
    (offset, log_time): (i64, i64),
    out: &mut Output,
) {
    let rolls_back = matches!(told.step, Step::RollbackRequested | Step::RolledBack | Step::RollbackFailed);
    let (act, body) = match (&rule.rollback, &case.rollback) {
        (Some(rollback), Some(body)) if rolls_back => (rollback, body),
        _ => (&rule.action, &case.body),
    };
    let name = told.step.name();
    let meta = Meta { kind: Kind::Action, offset, log_time, event_time: told.time };
    let mut row = out.row(meta, case.key.as_deref());
    row.field("id", &id(case, told, context))
        .field("action_id", &*case.action_id)
        .field("pipeline", &*context.pipeline)
        .field("stage", &*context.stage)
        .field("rule", &*rule.name)
        .field("step", name)
        .field("dry_run", rule.policy.dry)
        .field("target", &*case.target)
        .field("action", act.kind);
    for (name, text) in
        [("receiver", &act.receiver), ("topic", &act.topic), ("by", &told.by), ("message", &told.message)]
    {
        if let Some(text) = text {
            row.field(name, &**text);
        }
    }
    if let Some(why) = told.why {
        row.field("why", why.name());
    }
    if let Some(until) = told.until {
        row.field("until", &time::format(until));
    }
    let executed = matches!(told.step, Step::Requested | Step::RollbackRequested);
    if executed {
        row.field("key", &format!("{}:{name}", case.action_id));
    }
    if executed || matches!(told.step, Step::AwaitingApproval | Step::DryRun) {
        row.field("body", Value::Json(body));
    }
    row.field("reason", Value::Json(&case.reason)).field("summary", &sentence(case, told, rule, act.kind));
}

fn id(case: &Case, told: &Told, context: &Context) -> String {
    let (partition, index) = (context.partition.to_le_bytes(), told.index.to_le_bytes());
    let step = told.step.name().as_bytes();
    crate::id::id(&[context.stage.as_bytes(), case.action_id.as_bytes(), &partition, step, &index])
}

/// `Scale out: scale of cart is requested`
fn sentence(case: &Case, told: &Told, rule: &Rule, kind: &str) -> String {
    let what = match told.step {
        Step::Suppressed => "is suppressed",
        Step::AwaitingApproval => "waits for approval",
        Step::Approved => "is approved",
        Step::Rejected => "is rejected",
        Step::ApprovalExpired => "was not approved in time",
        Step::Cancelled => "is not needed any more",
        Step::DryRun => "would be requested (dry run)",
        Step::Requested => "is requested",
        Step::Done => "is done",
        Step::Failed => "has failed",
        Step::Recovered => "was followed by recovery",
        Step::NotRecovered => "was not followed by recovery",
        Step::RollbackRequested => "is requested, to roll back",
        Step::RolledBack => "is done, to roll back",
        Step::RollbackFailed => "has failed, to roll back",
    };
    let why = told.why.map(|why| format!(": {}", why.name())).unwrap_or_default();
    format!("{}: {kind} of {} {what}{why}", rule.name, case.target)
}
