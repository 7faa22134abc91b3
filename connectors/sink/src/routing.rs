//! Who is told of an alert, and in which group.
//!
//! As Alertmanager: the deepest routes that match, the first of siblings unless it says `continue`.
//! Receivers that the alert's rule names come after those, with the grouping of the root. A
//! receiver hears of an alert once, by the first way that leads to it.

use crate::alert::Alert;
use crate::config::{InhibitRule, Receiver, Receivers, Route};
use crate::matcher::{self, Labels, Matcher};
use crate::times::Calendar;
use anyhow::{Result, anyhow};
use perfstream_core::{Issue, Span};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A delivery has at most this many notices; the rest follows at once.
const MAX_NOTICES: usize = 100;

/// When a group is told; milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// A new group waits this long for more
    pub group_wait_ms: i64,
    /// Least time between two notices
    pub group_interval_ms: i64,
    /// A group that still fires is told again after this
    pub repeat_interval_ms: i64,
    /// Names of times at which it is not told
    #[serde(default)]
    pub mute: Vec<String>,
    /// Names of the times at which alone it is told, if there are any
    #[serde(default)]
    pub active: Vec<String>,
}

/// One receiver to be told of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its name
    pub receiver: String,
    /// Names the group: the route and the values of its `group_by`
    pub group_key: String,
    /// These values
    pub group_labels: Labels,
    /// When
    pub timing: Timing,
}

/// The tree of routes, ready to be asked.
#[derive(Debug, Clone)]
pub struct Routing {
    root: Node,
    /// Receivers by name
    known: BTreeMap<String, Known>,
    calendar: Calendar,
    pub(crate) inhibitions: Vec<Inhibition>,
}

/// What deliveries to a receiver may be.
#[derive(Debug, Clone, Copy)]
struct Known {
    most_notices: usize,
    acknowledgements: bool,
}

#[derive(Debug, Clone)]
struct Node {
    path: String,
    receiver: Option<String>,
    matchers: Vec<Matcher>,
    go_on: bool,
    group_by: Vec<String>,
    timing: Timing,
    children: Vec<Node>,
}

/// An inhibition rule, ready to be asked.
#[derive(Debug, Clone)]
pub(crate) struct Inhibition {
    pub(crate) source: Vec<Matcher>,
    pub(crate) target: Vec<Matcher>,
    pub(crate) equal: Vec<String>,
}

impl Routing {
    /// Of a document that [`Receivers::lint`] finds nothing wrong with.
    pub fn new(receivers: &Receivers) -> Result<Routing> {
        let default = Route::default();
        let parent = Node {
            path: String::new(),
            receiver: None,
            matchers: Vec::new(),
            go_on: false,
            group_by: vec!["alertname".into()],
            timing: Timing {
                group_wait_ms: 30_000,
                group_interval_ms: 300_000,
                repeat_interval_ms: 14_400_000,
                mute: Vec::new(),
                active: Vec::new(),
            },
            children: Vec::new(),
        };
        let wrong = |issues: Vec<Issue>| anyhow!(issues.iter().map(Issue::to_string).collect::<Vec<_>>().join("; "));
        Ok(Routing {
            calendar: Calendar::new(&receivers.time_intervals).map_err(wrong)?,
            root: node(receivers.route.as_ref().unwrap_or(&default), &parent)?,
            known: receivers.receivers.iter().map(|receiver| (receiver.name.clone(), known(receiver))).collect(),
            inhibitions: receivers.inhibit_rules.iter().map(inhibition).collect::<Result<_>>()?,
        })
    }

    /// Is there a receiver of this name?
    pub fn knows(&self, receiver: &str) -> bool {
        self.known.contains_key(receiver)
    }

    /// So many alerts are one delivery at most.
    pub fn most_notices(&self, receiver: &str) -> usize {
        self.known.get(receiver).map_or(MAX_NOTICES, |known| known.most_notices)
    }

    /// Does it understand that somebody takes care of an alert?
    pub fn hears_acknowledgements(&self, receiver: &str) -> bool {
        self.known.get(receiver).is_some_and(|known| known.acknowledgements)
    }

    /// Why a group with this timing is silent at a time, milliseconds since the epoch; None if it is not.
    pub fn silent(&self, timing: &Timing, at_ms: i64) -> Option<String> {
        self.calendar.silent(&timing.mute, &timing.active, at_ms)
    }

    /// Who is told of an alert; names that are no receivers are left out.
    pub fn of(&self, alert: &Alert) -> Vec<Told> {
        self.of_labels(&alert.routing_labels(), &alert.notification)
    }

    /// Who is told of an alert with these labels whose rule names these receivers.
    pub fn of_labels(&self, labels: &Labels, named: &[String]) -> Vec<Told> {
        let mut nodes = Vec::new();
        self.root.find(labels, &mut nodes);
        let routed = nodes.into_iter().filter_map(|node| Some((node.receiver.clone()?, node.path.clone(), node)));
        let direct = named.iter().map(|name| (name.clone(), "direct".to_string(), &self.root));
        let mut out: Vec<Told> = Vec::new();
        for (receiver, path, node) in routed.chain(direct) {
            if !self.knows(&receiver) || out.iter().any(|told| told.receiver == receiver) {
                continue;
            }
            let value = |name: &String| Some((name.clone(), labels.get(name)?.clone()));
            let group_labels: Labels = node.group_by.iter().filter_map(value).collect();
            let group_key = format!("{path}:{}", text(&group_labels));
            out.push(Told { receiver, group_key, group_labels, timing: node.timing.clone() });
        }
        out
    }
}

impl Node {
    fn find<'n>(&'n self, labels: &Labels, out: &mut Vec<&'n Node>) -> bool {
        if !matcher::all(&self.matchers, labels) {
            return false;
        }
        let mut found = false;
        for child in &self.children {
            let matches = child.find(labels, out);
            found |= matches;
            if matches && !child.go_on {
                break;
            }
        }
        if !found {
            out.push(self);
        }
        true
    }
}

fn node(route: &Route, parent: &Node) -> Result<Node> {
    let matchers = parse(&route.matchers)?;
    let texts: Vec<&str> = matchers.iter().map(Matcher::text).collect();
    let own = format!("{{{}}}", texts.join(","));
    let or = |span: Option<Span>, inherited_ms: i64| span.map_or(inherited_ms, |span| span.us() / 1000);
    let mut node = Node {
        path: if parent.path.is_empty() { own } else { format!("{}/{own}", parent.path) },
        receiver: route.receiver.clone().or_else(|| parent.receiver.clone()),
        matchers,
        go_on: route.go_on,
        group_by: route.group_by.clone().unwrap_or_else(|| parent.group_by.clone()),
        timing: Timing {
            group_wait_ms: or(route.group_wait, parent.timing.group_wait_ms),
            group_interval_ms: or(route.group_interval, parent.timing.group_interval_ms),
            repeat_interval_ms: or(route.repeat_interval, parent.timing.repeat_interval_ms),
            mute: route.mute_time_intervals.clone(),
            active: route.active_time_intervals.clone(),
        },
        children: Vec::new(),
    };
    node.children = route.routes.iter().map(|child| self::node(child, &node)).collect::<Result<_>>()?;
    Ok(node)
}

fn known(receiver: &Receiver) -> Known {
    // Where each alert is a request, a delivery is one: after a kill no more than that comes again.
    let most_notices = if receiver.hears_each() { 1 } else { MAX_NOTICES };
    Known { most_notices, acknowledgements: receiver.pagerduty.is_some() }
}

fn inhibition(rule: &InhibitRule) -> Result<Inhibition> {
    Ok(Inhibition {
        source: parse(&rule.source_matchers)?,
        target: parse(&rule.target_matchers)?,
        equal: rule.equal.clone(),
    })
}

fn parse(texts: &[String]) -> Result<Vec<Matcher>> {
    texts.iter().map(|text| Matcher::parse(text).map_err(|error| anyhow!(error))).collect()
}

/// `{alertname="LCP Critical", page="/"}`
fn text(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{State, example};
    use serde_json::json;

    fn routing() -> Routing {
        let receivers: Receivers = serde_json::from_value(json!({
            "receivers": (["chat", "pager", "web", "log"].map(|name| json!({ "name": name }))),
            "route": {
                "receiver": "chat", "group_by": ["alertname", "page"], "group_wait": "1s",
                "routes": [
                    { "matchers": ["severity=critical"], "receiver": "pager", "continue": true, "group_wait": "0s" },
                    { "matchers": ["page=~/check.*"], "receiver": "web",
                      "routes": [{ "matchers": ["browser=Safari"], "receiver": "log" }] },
                    { "matchers": ["page=/checkout"], "receiver": "log" },
                ],
            },
        }))
        .unwrap();
        Routing::new(&receivers).unwrap()
    }

    fn names(change: impl Fn(&mut Alert)) -> Vec<String> {
        let mut alert = example("a", State::Firing);
        change(&mut alert);
        routing().of(&alert).into_iter().map(|told| told.receiver).collect()
    }

    #[test]
    fn the_deepest_routes_that_match() {
        assert_eq!(names(|_| {}), ["pager", "web"]);
        assert_eq!(names(|a| a.severity = "info".into()), ["web"]);
        assert_eq!(names(|a| _ = a.labels.insert("browser".into(), "Safari".into())), ["pager", "log"]);
        assert_eq!(names(|a| a.labels.clear()), ["pager"]);
        assert_eq!(names(|a| (a.severity, a.labels) = ("info".into(), Default::default())), ["chat"]);
    }

    #[test]
    fn named_receivers_come_besides_and_nobody_twice() {
        let named = ["web", "log", "email"].map(String::from);
        assert_eq!(names(|a| a.notification = named.to_vec()), ["pager", "web", "log"]);
    }

    #[test]
    fn groups() {
        let told = routing().of(&example("a", State::Firing));
        assert_eq!(told[0].group_key, r#"{}/{severity=critical}:{alertname="LCP Critical", page="/checkout"}"#);
        assert_eq!(told[0].timing.group_wait_ms, 0);
        let timing = &told[1].timing;
        assert_eq!(
            (timing.group_wait_ms, timing.group_interval_ms, timing.repeat_interval_ms),
            (1000, 300_000, 14_400_000)
        );
    }
}
