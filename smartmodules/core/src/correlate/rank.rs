//! What may have caused an incident, best first.
//!
//! Each service (or set of labels) with an anomaly gets a score of 0 to 1, the sum of four parts:
//!
//! - graph, [`GRAPH`]: where a random walk with restart ends up that begins at any service with an anomaly
//!   and goes from callers to those that they call (MonitorRank, Kim, Sumbaly and Shah 2013; MicroRCA, Wu,
//!   Tordsson, Elmroth and Kao 2020, there as personalised PageRank): a cause explains the anomalies of its
//!   callers. A step goes to a callee with an anomaly with a weight of ½ per call beyond the first, halved
//!   again for each [`Rank::slack_us`] that the callee's anomaly began later than the caller's, times the
//!   callee's kind; it stays with weight [`STAY`]. Divided by the largest.
//! - onset, [`ONSET`]: 1 for who began first, 1/(1 + t/slack) for who began t later.
//! - distance, [`DISTANCE`]: ln(1 + z)/ln(1 + [`MOST_Z`]) of the largest |value − expected| in half-widths of the
//!   range, capped at [`MOST_Z`], so that size alone does not rule: what waits is often further off than
//!   what it waits for.
//! - kind, [`KIND`]: 1 for saturation, 0.9 for errors, 0.5 for latency and for what `kinds` does not name, 0.1
//!   for traffic and for less of the others (less load is what failing callers leave).
//!
//! Constants were set on the seeds 1 to 100 of the incidents in `tests_incidents`; other seeds judge them.
//! Cost: at most [`MAX_NODES`]² × [`STEPS`] multiplications per record. No `exp` or `ln` but libm's, so the
//! order is that of WASM everywhere. Where it fails: a cause without any anomaly is not named.

use super::config::MetricKind;
use super::graph::Graph;
use super::incident::Member;
use std::collections::BTreeMap;

const GRAPH: f64 = 0.35;
const ONSET: f64 = 0.25;
const DISTANCE: f64 = 0.15;
const KIND: f64 = 0.25;
/// Chance that the walk begins anew at each step.
const RESTART: f64 = 0.15;
/// Weight of a step that stays where it is.
const STAY: f64 = 0.3;
/// Steps of the walk: what is left of its beginning is 0.85^40, 0.2 %.
const STEPS: usize = 40;
const MOST_Z: f64 = 20.0;
/// Services that are ranked, those whose anomalies began first.
const MAX_NODES: usize = 200;

/// What causes are ranked by.
#[derive(Debug)]
pub(super) struct Rank {
    pub kinds: BTreeMap<Box<str>, MetricKind>,
    pub hops: u32,
    /// Within this time beginnings count as about the same, microseconds
    pub slack_us: f64,
}

/// A possible cause.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cause {
    pub node: Box<str>,
    /// Number of the member that says most of it
    pub member: usize,
    /// 0 to 1
    pub score: f64,
    /// Graph, onset, distance, kind, each 0 to 1
    pub parts: [f64; 4],
    /// Others with an anomaly that call it, themselves or through others
    pub explains: Vec<Box<str>>,
    pub began_first: bool,
}

/// A service with anomalies.
#[derive(Debug)]
struct Node<'m> {
    name: &'m str,
    onset: i64,
    z: f64,
    kind: f64,
    /// Number of its most telling member, and how telling
    member: (usize, f64),
}

/// Ranks the services of an incident's anomalies.
pub(super) fn rank(members: &[Member], graph: &Graph, rank: &Rank) -> Vec<Cause> {
    let nodes = nodes(members, rank);
    let calls = calls(&nodes, graph, rank);
    let walk = walk(&nodes, &calls, rank);
    let first = nodes.iter().map(|node| node.onset).min().unwrap_or_default();
    let most = walk.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let mut causes: Vec<Cause> = Vec::with_capacity(nodes.len());
    for (at, node) in nodes.iter().enumerate() {
        let later = node.onset.saturating_sub(first) as f64;
        let parts = [
            walk.get(at).copied().unwrap_or_default() / most,
            1.0 / (1.0 + later / rank.slack_us),
            libm::log1p(node.z.min(MOST_Z)) / libm::log1p(MOST_Z),
            node.kind,
        ];
        let score = [GRAPH, ONSET, DISTANCE, KIND].iter().zip(parts).map(|(weight, part)| weight * part).sum();
        let explains = calls.iter().enumerate().filter(|(_, called)| called.iter().any(|(to, _)| *to == at));
        causes.push(Cause {
            node: node.name.into(),
            member: node.member.0,
            score,
            parts,
            explains: explains.filter_map(|(from, _)| Some(nodes.get(from)?.name.into())).collect(),
            began_first: node.onset == first,
        });
    }
    // By name where scores are the same, so the order does not depend on arrival.
    causes.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.node.cmp(&b.node)));
    causes
}

/// How much an anomaly's kind makes it a cause, 0 to 1.
fn weight(member: &Member, rank: &Rank) -> f64 {
    let down = member.anomaly.up() == Some(false);
    match rank.kinds.get(&member.anomaly.metric) {
        None => 0.5,
        Some(MetricKind::Traffic) => 0.1,
        Some(_) if down => 0.1,
        Some(MetricKind::Saturation) => 1.0,
        Some(MetricKind::Errors) => 0.9,
        Some(MetricKind::Latency) => 0.5,
    }
}

/// Services by name: when the first of their anomalies began that may be a cause, and the largest of each
/// part.
fn nodes<'m>(members: &'m [Member], rank: &Rank) -> Vec<Node<'m>> {
    let mut by_name: BTreeMap<&str, Node<'m>> = BTreeMap::new();
    for (number, member) in members.iter().enumerate() {
        let (kind, z) = (weight(member, rank), member.anomaly.z);
        let telling = kind * libm::log1p(z.min(MOST_Z));
        let node = by_name.entry(&member.node).or_insert(Node {
            name: &member.node,
            onset: member.anomaly.onset,
            z,
            kind,
            member: (number, telling),
        });
        node.onset = node.onset.min(member.anomaly.onset);
        node.z = node.z.max(z);
        node.kind = node.kind.max(kind);
        if telling > node.member.1 {
            node.member = (number, telling);
        }
    }
    let mut nodes: Vec<Node<'m>> = by_name.into_values().collect();
    if nodes.len() > MAX_NODES {
        nodes.sort_by_key(|node| node.onset);
        nodes.truncate(MAX_NODES);
        nodes.sort_by_key(|node| node.name);
    }
    nodes
}

/// Of each node the others that it calls, by number, and by how many calls.
fn calls(nodes: &[Node<'_>], graph: &Graph, rank: &Rank) -> Vec<Vec<(usize, u32)>> {
    let number: BTreeMap<&str, usize> = nodes.iter().enumerate().map(|(at, node)| (node.name, at)).collect();
    let of = |node: &Node<'_>| {
        let called = graph.called_by(node.name, rank.hops);
        called.into_iter().filter_map(|(name, distance)| Some((*number.get(name)?, distance))).collect()
    };
    nodes.iter().map(of).collect()
}

/// Where the walk is after [`STEPS`] steps, by node; adds up to 1.
fn walk(nodes: &[Node<'_>], calls: &[Vec<(usize, u32)>], rank: &Rank) -> Vec<f64> {
    let start = 1.0 / (nodes.len().max(1)) as f64;
    let steps: Vec<Vec<(usize, f64)>> =
        nodes.iter().zip(calls).enumerate().map(|(at, (node, called))| step(at, node, called, nodes, rank)).collect();
    let mut place = vec![start; nodes.len()];
    for _ in 0..STEPS {
        let mut next = vec![RESTART * start; nodes.len()];
        for (steps, here) in steps.iter().zip(&place) {
            for (to, share) in steps {
                if let Some(there) = next.get_mut(*to) {
                    *there += (1.0 - RESTART) * share * here;
                }
            }
        }
        place = next;
    }
    place
}

/// Where a step from a node goes, with what chance.
fn step(at: usize, node: &Node<'_>, called: &[(usize, u32)], nodes: &[Node<'_>], rank: &Rank) -> Vec<(usize, f64)> {
    let mut steps = vec![(at, STAY)];
    for (to, distance) in called {
        let Some(callee) = nodes.get(*to) else { continue };
        let later = (callee.onset.saturating_sub(node.onset)).max(0) as f64 / rank.slack_us;
        let weight = libm::exp2(1.0 - f64::from(*distance) - later) * callee.kind;
        steps.push((*to, weight));
    }
    let all: f64 = steps.iter().map(|(_, weight)| weight).sum();
    steps.iter_mut().for_each(|(_, weight)| *weight /= all);
    steps
}
