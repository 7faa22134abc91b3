//! What may have caused an incident, best first.
//!
//! Each service (or set of labels) with an anomaly gets a score of 0 to 1, the weighted sum of three parts:
//!
//! - graph, [`GRAPH`]: where a random walk with restart ends up that begins at services with anomalies, by
//!   their size, and goes from callers to those that they call (MonitorRank, Kim, Sumbaly and Shah 2013;
//!   MicroRCA, Wu, Tordsson, Elmroth and Kao 2020, there as personalised PageRank): a cause explains the
//!   anomalies of its callers. A step to a callee has the weight of the callee's strength, halved for each
//!   service in between, times how well the times fit; staying has [`STAY`] times its own strength. Divided
//!   by the largest.
//! - onset, [`ONSET`]: how well the beginnings of all others fit one after its own, each by its size.
//! - strength, [`STRENGTH`]: the largest of size × kind among its anomalies.
//!
//! Size is ln(1 + z)/ln(1 + [`MOST_Z`]), z = |value − expected| in half-widths of the range, 1 to [`MOST_Z`]:
//! capped and by its logarithm, for what waits is often further off than what it waits for. Kind is 1 for
//! saturation, 0.9 for errors, 0.7 for latency and what `kinds` does not name, 0.2 for traffic and for less of
//! the others (less is what failing callers leave). Times fit by ½ for each `lag`/5 that the effect began before the
//! cause, and ½ for each 3 `lag`/5 that it began after it: effects follow soon, so what was anomalous long
//! before the rest is no cause of it.
//!
//! Constants were set on seeds 1 to 100 of the incidents in `tests_incidents`, and are where small changes matter
//! little; other seeds judge them. Cost: at most [`MAX_NODES`]² × [`STEPS`] multiplications per record. No
//! `exp` or `ln` but libm's, so native code ranks as WASM does. Where it fails: a cause without any anomaly is
//! not named; without a graph, times and size alone speak.

use super::config::MetricKind;
use super::graph::Graph;
use super::incident::Member;
use std::collections::BTreeMap;

const GRAPH: f64 = 0.4;
const ONSET: f64 = 0.3;
const STRENGTH: f64 = 0.3;
/// Chance that the walk begins anew at each step.
const RESTART: f64 = 0.15;
/// Weight of a step that stays where it is, beside a strength of 1.
const STAY: f64 = 0.7;
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
    /// Within this time effects follow, microseconds
    pub lag_us: i64,
}

/// A possible cause.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cause {
    pub node: Box<str>,
    /// Number of the member that says most of it
    pub member: usize,
    /// 0 to 1
    pub score: f64,
    /// Graph, onset, strength, each 0 to 1
    pub parts: [f64; 3],
    /// Others with an anomaly that call it, themselves or through others
    pub explains: Vec<Box<str>>,
    /// Others that began at most `lag` after it, of how many
    pub followers: (usize, usize),
}

/// A service with anomalies.
#[derive(Debug)]
struct Node<'m> {
    name: &'m str,
    onset: i64,
    /// Of its largest anomaly, above 0 to 1
    size: f64,
    /// Above 0 to 1, and the member that has it
    strength: f64,
    member: usize,
}

/// Ranks the services of an incident's anomalies.
pub(super) fn rank(members: &[Member], graph: &Graph, rank: &Rank) -> Vec<Cause> {
    let nodes = nodes(members, rank);
    let calls = calls(&nodes, graph, rank);
    let walk = walk(&nodes, &calls, rank);
    let most = walk.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let mut causes: Vec<Cause> = Vec::with_capacity(nodes.len());
    for (at, node) in nodes.iter().enumerate() {
        let (onset, followers) = followed(at, node, &nodes, rank);
        let parts = [walk.get(at).copied().unwrap_or_default() / most, onset, node.strength];
        let explains = calls.iter().enumerate().filter(|(_, called)| called.iter().any(|(to, _)| *to == at));
        causes.push(Cause {
            node: node.name.into(),
            member: node.member,
            score: [GRAPH, ONSET, STRENGTH].iter().zip(parts).map(|(weight, part)| weight * part).sum(),
            parts,
            explains: explains.filter_map(|(from, _)| Some(nodes.get(from)?.name.into())).collect(),
            followers: (followers, nodes.len() - 1),
        });
    }
    // By name where scores are the same, so the order does not depend on arrival.
    causes.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.node.cmp(&b.node)));
    causes
}

/// How much an anomaly's kind makes it a cause, 0 to 1.
fn kind(member: &Member, rank: &Rank) -> f64 {
    let down = member.anomaly.up() == Some(false);
    match rank.kinds.get(&member.anomaly.metric) {
        None => 0.7,
        Some(MetricKind::Traffic) => 0.2,
        Some(_) if down => 0.2,
        Some(MetricKind::Saturation) => 1.0,
        Some(MetricKind::Errors) => 0.9,
        Some(MetricKind::Latency) => 0.7,
    }
}

/// Services by name.
fn nodes<'m>(members: &'m [Member], rank: &Rank) -> Vec<Node<'m>> {
    let mut by_name: BTreeMap<&str, Node<'m>> = BTreeMap::new();
    for (number, member) in members.iter().enumerate() {
        let size = libm::log1p(member.anomaly.z.clamp(1.0, MOST_Z)) / libm::log1p(MOST_Z);
        let (onset, strength) = (member.anomaly.onset, size * kind(member, rank));
        let new = Node { name: &member.node, onset, size, strength, member: number };
        let node = by_name.entry(&member.node).or_insert(new);
        node.onset = node.onset.min(onset);
        node.size = node.size.max(size);
        if strength > node.strength {
            (node.strength, node.member) = (strength, number);
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

/// How well an effect that began at `effect` fits a cause that began at `cause`, above 0 to 1.
fn fit(cause: i64, effect: i64, rank: &Rank) -> f64 {
    let after = effect.saturating_sub(cause) as f64 / (rank.lag_us as f64 / 5.0);
    libm::exp2(if after < 0.0 { after } else { -after / 3.0 })
}

/// The part of the onset, and how many others began at most `lag` after it.
fn followed(at: usize, node: &Node<'_>, nodes: &[Node<'_>], rank: &Rank) -> (f64, usize) {
    let (mut fits, mut all, mut followers) = (0.0, 0.0, 0);
    for (_, other) in nodes.iter().enumerate().filter(|(number, _)| *number != at) {
        fits += other.size * fit(node.onset, other.onset, rank);
        all += other.size;
        followers += (0..=rank.lag_us).contains(&other.onset.saturating_sub(node.onset)) as usize;
    }
    (if all > 0.0 { fits / all } else { 1.0 }, followers)
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
    let all: f64 = nodes.iter().map(|node| node.size).sum();
    let start: Vec<f64> = nodes.iter().map(|node| node.size / all).collect();
    let steps: Vec<Vec<(usize, f64)>> =
        nodes.iter().zip(calls).enumerate().map(|(at, (node, called))| step(at, node, called, nodes, rank)).collect();
    let mut place = start.clone();
    for _ in 0..STEPS {
        let mut next: Vec<f64> = start.iter().map(|share| RESTART * share).collect();
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
    let mut steps = vec![(at, STAY * node.strength)];
    for (to, distance) in called {
        let Some(callee) = nodes.get(*to) else { continue };
        let between = libm::exp2(1.0 - f64::from(*distance));
        steps.push((*to, between * fit(callee.onset, node.onset, rank) * callee.strength));
    }
    let all: f64 = steps.iter().map(|(_, weight)| weight).sum();
    steps.iter_mut().for_each(|(_, weight)| *weight /= all);
    steps
}
