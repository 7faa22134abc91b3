//! One life, step by step.

use super::config::Severity;
use super::state::{Change, Life, Phase, Policy, Transition};
use crate::clock::NEVER;

/// Seconds to microseconds.
const S: i64 = 1_000_000;

enum Step {
    Breach(i64),
    Clear(i64),
    Tick(i64),
    /// Event time, clock, breach
    Late(i64, i64, bool),
}
use Step::*;

fn policy() -> Policy {
    Policy {
        severity: Severity::Warning,
        absent: false,
        hold_us: 0,
        throttle_us: 0,
        resolve_after_us: 900 * S,
        levels: vec![],
    }
}

fn walk(policy: &Policy, steps: &[Step]) -> Vec<String> {
    let (mut life, mut out) = (Life::default(), Vec::new());
    for step in steps {
        match *step {
            Breach(t) => _ = life.judge(true, t * S, t * S, policy, &mut out),
            Clear(t) => _ = life.judge(false, t * S, t * S, policy, &mut out),
            Tick(t) => life.advance(t * S, policy, &mut out),
            Late(event, clock, breach) => _ = life.judge(breach, event * S, clock * S, policy, &mut out),
        }
    }
    out.iter().map(show).collect()
}

fn show(t: &Transition) -> String {
    let what = match t.change {
        Change::Pending => "pending".to_string(),
        Change::Firing => "firing".into(),
        Change::Unthrottled => "unthrottled".into(),
        Change::Escalated => format!("escalated {:?} {}", t.severity, t.step),
        Change::Resolved(reason) => format!("resolved {reason:?}"),
    };
    let quiet = if t.notify || t.change == Change::Pending { "" } else { " quiet" };
    format!("{} {what}{quiet}", t.time / S)
}

#[test]
fn table() {
    let hold = Policy { hold_us: 60 * S, ..policy() };
    let throttle = Policy { throttle_us: 300 * S, ..policy() };
    let levels = vec![(300 * S, Severity::Warning), (900 * S, Severity::Critical)];
    let escalating = Policy { levels, resolve_after_us: 0, ..policy() };
    let lasting = Policy { resolve_after_us: 0, ..policy() };
    let cases: [(&str, &Policy, Vec<Step>, &[&str]); 19] = [
        ("nothing", &policy(), vec![Clear(0), Clear(60)], &[]),
        ("at once", &policy(), vec![Breach(5)], &["5 pending", "5 firing"]),
        (
            "and clears",
            &policy(),
            vec![Breach(5), Breach(6), Clear(7)],
            &["5 pending", "5 firing", "7 resolved ConditionFalse"],
        ),
        ("held by a row", &hold, vec![Breach(0), Breach(60)], &["0 pending", "60 firing"]),
        ("held by a tick", &hold, vec![Breach(0), Tick(59), Tick(61)], &["0 pending", "60 firing"]),
        ("not held", &hold, vec![Breach(0), Clear(59), Tick(61)], &["0 pending"]),
        ("cleared at the deadline", &hold, vec![Breach(0), Clear(60), Tick(61)], &["0 pending"]),
        (
            "cleared after it",
            &hold,
            vec![Breach(0), Clear(61)],
            &["0 pending", "60 firing", "61 resolved ConditionFalse"],
        ),
        (
            "pending again",
            &hold,
            vec![Breach(0), Clear(30), Breach(40), Breach(100)],
            &["0 pending", "40 pending", "100 firing"],
        ),
        (
            "no data",
            &policy(),
            vec![Breach(0), Breach(100), Tick(999), Tick(1000)],
            &["0 pending", "0 firing", "1000 resolved NoData"],
        ),
        ("silence is no hold", &Policy { hold_us: 900 * S, ..policy() }, vec![Breach(0), Tick(2000)], &["0 pending"]),
        ("never for lack of data", &lasting, vec![Breach(0), Tick(1_000_000)], &["0 pending", "0 firing"]),
        (
            "flapping",
            &throttle,
            vec![Breach(0), Clear(10), Breach(20), Clear(30), Breach(300)],
            &[
                "0 pending",
                "0 firing",
                "10 resolved ConditionFalse",
                "20 pending",
                "20 firing quiet",
                "30 resolved ConditionFalse quiet",
                "300 pending",
                "300 firing",
            ],
        ),
        (
            "still firing when the throttle ends",
            &throttle,
            vec![Breach(0), Clear(10), Breach(20), Tick(400), Clear(500)],
            &[
                "0 pending",
                "0 firing",
                "10 resolved ConditionFalse",
                "20 pending",
                "20 firing quiet",
                "300 unthrottled",
                "500 resolved ConditionFalse",
            ],
        ),
        (
            "escalation by ticks",
            &escalating,
            vec![Breach(0), Tick(300), Tick(899), Tick(900), Tick(9000)],
            &["0 pending", "0 firing", "900 escalated Critical 2"],
        ),
        (
            "escalation by a row, late",
            &escalating,
            vec![Breach(0), Breach(1000), Clear(1001)],
            &["0 pending", "0 firing", "900 escalated Critical 2", "1001 resolved ConditionFalse"],
        ),
        (
            "cleared at the level",
            &escalating,
            vec![Breach(0), Clear(900), Tick(901)],
            &["0 pending", "0 firing", "900 resolved ConditionFalse"],
        ),
        (
            "an old row says nothing",
            &policy(),
            vec![Breach(10), Late(5, 12, false), Late(10, 13, false)],
            &["10 pending", "10 firing", "13 resolved ConditionFalse"],
        ),
        (
            "an old row is data",
            &policy(),
            vec![Breach(10), Late(5, 500, false), Tick(1399), Tick(1400)],
            &["10 pending", "10 firing", "1400 resolved NoData"],
        ),
    ];
    for (name, policy, steps, want) in cases {
        assert_eq!(walk(policy, &steps), want, "{name}");
    }
}

#[test]
fn two_breaches_of_one_instant_have_two_starts() {
    let (mut life, mut out, policy) = (Life::default(), Vec::new(), policy());
    for breach in [true, false, true, false, true] {
        life.judge(breach, 7, 7, &policy, &mut out);
    }
    let starts: Vec<i64> = out.iter().filter(|t| t.change == Change::Firing).map(|t| t.start).collect();
    assert_eq!(starts, [7, 8, 9]);
}

#[test]
fn forgets_when_nothing_needs_it() {
    let throttle = Policy { throttle_us: 300 * S, ..policy() };
    for (policy, last) in [(policy(), 10 * S + 1), (throttle, 300 * S)] {
        let (mut life, mut out) = (Life::default(), Vec::new());
        life.judge(true, 0, 0, &policy, &mut out);
        life.judge(false, 10 * S, 10 * S, &policy, &mut out);
        life.advance(last - 1, &policy, &mut out);
        assert_eq!(life.phase, Phase::Idle);
        life.advance(last, &policy, &mut out);
        assert_eq!(life.phase, Phase::Gone);
    }
}

#[test]
fn ends_at_the_end_of_time() {
    let policy = Policy { levels: vec![(1, Severity::Critical)], throttle_us: 5, hold_us: 9, ..policy() };
    let (mut life, mut out) = (Life::default(), Vec::new());
    life.judge(true, NEVER, i64::MAX, &policy, &mut out);
    life.judge(true, i64::MAX, i64::MAX, &policy, &mut out);
    life.advance(i64::MAX, &policy, &mut out);
    assert_eq!(life.phase, Phase::Gone);
}
