//! How many workers there should be: between a lower and an upper bound, by two thresholds.
//!
//! The load of a worker is its busiest metric as a share of its target, that of all workers the mean.
//! Above `scale_up` for ten seconds a worker is added, one at a time; below `scale_down` for a minute one
//! is drained, unless the others would then be above `scale_up`. After a change the workers share the
//! partitions anew, so nothing is decided for fifteen seconds. Pure: the time comes in.

use super::load::Load;
use crate::model::{Pipeline, Resource, Scaling, Targets};
use std::time::Duration;

/// Load above `scale_up` must last so long.
const UP_AFTER: Duration = Duration::from_secs(10);
/// Load below `scale_down` must last so long.
const DOWN_AFTER: Duration = Duration::from_secs(60);
/// After a change loads say nothing for so long.
const SETTLES: Duration = Duration::from_secs(15);

/// What the pipelines of a run ask for together.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// At least so many workers
    pub min: u32,
    /// At most so many
    pub max: u32,
    /// Add one above this load
    pub scale_up: f64,
    /// Take one away below this load
    pub scale_down: f64,
    /// What is measured
    pub metrics: Vec<Resource>,
    /// What counts as full
    pub targets: Targets,
}

impl Policy {
    /// The bounds that satisfy each pipeline, and all metrics; the most eager thresholds.
    pub fn of(pipelines: &[Pipeline]) -> Policy {
        let mut policy =
            Policy { min: 1, max: 1, scale_up: 1.0, scale_down: 0.0, metrics: Vec::new(), targets: Targets::default() };
        for pipeline in pipelines {
            let (min, max, metrics) = match &pipeline.scaling {
                Scaling::Manual { instances, metrics } => (*instances, *instances, metrics),
                Scaling::Auto { min, max, scale_up, scale_down, metrics, targets } => {
                    policy.scale_up = policy.scale_up.min(*scale_up);
                    policy.scale_down = policy.scale_down.max(*scale_down);
                    policy.targets = policy.targets.lower(targets);
                    (*min, *max, metrics)
                }
            };
            policy.min = policy.min.max(min);
            policy.max = policy.max.max(max);
            policy.metrics.extend(metrics);
        }
        policy.metrics.sort_unstable();
        policy.metrics.dedup();
        // Of two pipelines one may have its upper bound below the other's lower one.
        policy.scale_down = policy.scale_down.min(policy.scale_up);
        policy
    }

    /// More workers than partitions would be idle.
    pub fn at_most(mut self, partitions: u32) -> Policy {
        self.max = self.max.min(partitions.max(1));
        self.min = self.min.min(self.max);
        self
    }
}

/// Decides, once a second or so.
#[derive(Debug, Clone)]
pub struct Scaler {
    policy: Policy,
    above_since: Option<Duration>,
    below_since: Option<Duration>,
    changed_at: Option<Duration>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing
    Stay,
    /// Start a worker
    Add,
    /// Drain a worker
    Drain,
}

impl Scaler {
    /// By a policy.
    pub fn new(policy: Policy) -> Scaler {
        Scaler { policy, above_since: None, below_since: None, changed_at: None }
    }

    /// At time `now` since some start, with `workers` processes and the loads of those that tell it.
    pub fn decide(&mut self, now: Duration, workers: u32, loads: &[Load]) -> Decision {
        if workers < self.policy.min {
            return self.changed(now, Decision::Add);
        }
        if workers > self.policy.max {
            return self.changed(now, Decision::Drain);
        }
        if self.changed_at.is_some_and(|at| now < at + SETTLES) {
            return Decision::Stay;
        }
        let Some(load) = fleet_load(loads) else {
            (self.above_since, self.below_since) = (None, None);
            return Decision::Stay;
        };
        let fewer = load * f64::from(workers) / f64::from((workers - 1).max(1));
        let above = load > self.policy.scale_up;
        let below = load < self.policy.scale_down && fewer <= self.policy.scale_up;
        self.above_since = above.then(|| self.above_since.unwrap_or(now));
        self.below_since = below.then(|| self.below_since.unwrap_or(now));
        let lasts = |since: Option<Duration>, long: Duration| since.is_some_and(|at| now >= at + long);
        if lasts(self.above_since, UP_AFTER) && workers < self.policy.max {
            return self.changed(now, Decision::Add);
        }
        if lasts(self.below_since, DOWN_AFTER) && workers > self.policy.min {
            return self.changed(now, Decision::Drain);
        }
        Decision::Stay
    }

    fn changed(&mut self, now: Duration, decision: Decision) -> Decision {
        (self.above_since, self.below_since, self.changed_at) = (None, None, Some(now));
        decision
    }
}

/// The mean of the workers' busiest metrics; None if nobody tells any.
pub fn fleet_load(loads: &[Load]) -> Option<f64> {
    let busiest: Vec<f64> = loads.iter().filter_map(|load| load.values().copied().reduce(f64::max)).collect();
    (!busiest.is_empty()).then(|| busiest.iter().sum::<f64>() / busiest.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(min: u32, max: u32) -> Policy {
        Policy { min, max, scale_up: 0.8, scale_down: 0.3, metrics: vec![Resource::Cpu], targets: Targets::default() }
    }

    fn busy(shares: &[f64]) -> Vec<Load> {
        shares.iter().map(|share| [(Resource::Cpu, *share), (Resource::Memory, 0.01)].into()).collect()
    }

    /// The decisions of `seconds` seconds with the same load; when each came.
    fn watch(scaler: &mut Scaler, from: u64, seconds: u64, workers: u32, loads: &[Load]) -> Vec<(u64, Decision)> {
        (from..from + seconds)
            .map(|s| (s, scaler.decide(Duration::from_secs(s), workers, loads)))
            .filter(|(_, decision)| *decision != Decision::Stay)
            .collect()
    }

    #[test]
    fn the_bounds_hold_at_once() {
        let mut scaler = Scaler::new(policy(2, 3));
        assert_eq!(scaler.decide(Duration::ZERO, 1, &[]), Decision::Add);
        assert_eq!(scaler.decide(Duration::from_secs(1), 4, &busy(&[2.0; 4])), Decision::Drain);
    }

    #[test]
    fn lasting_load_adds_a_worker_after_the_partitions_have_settled() {
        let mut scaler = Scaler::new(policy(1, 3));
        assert_eq!(watch(&mut scaler, 0, 30, 1, &busy(&[0.9])), [(10, Decision::Add)]);
        // From second 25 on loads count again, and they must last.
        assert_eq!(watch(&mut scaler, 30, 30, 2, &busy(&[0.9, 0.9])), [(35, Decision::Add)]);
        assert_eq!(watch(&mut scaler, 60, 600, 3, &busy(&[0.9; 3])), []);
    }

    #[test]
    fn a_peak_does_nothing() {
        let mut scaler = Scaler::new(policy(1, 3));
        for round in 0..10 {
            assert_eq!(watch(&mut scaler, round * 10, 9, 1, &busy(&[0.9])), []);
            assert_eq!(watch(&mut scaler, round * 10 + 9, 1, 1, &busy(&[0.5])), []);
        }
    }

    #[test]
    fn idle_workers_are_drained_but_not_below_the_bound() {
        let mut scaler = Scaler::new(policy(1, 3));
        assert_eq!(watch(&mut scaler, 0, 70, 2, &busy(&[0.1, 0.2])), [(60, Decision::Drain)]);
        assert_eq!(watch(&mut scaler, 70, 600, 1, &busy(&[0.1])), []);
    }

    #[test]
    fn nobody_is_drained_whose_work_the_others_could_not_take() {
        let narrow = Policy { scale_up: 0.5, scale_down: 0.4, ..policy(1, 3) };
        assert_eq!(watch(&mut Scaler::new(narrow), 0, 600, 2, &busy(&[0.35, 0.35])), []);
    }

    #[test]
    fn workers_that_tell_nothing_change_nothing() {
        assert_eq!(watch(&mut Scaler::new(policy(1, 3)), 0, 600, 1, &[]), []);
        assert_eq!(fleet_load(&[Load::new()]), None);
        assert_eq!(fleet_load(&busy(&[0.2, 0.6])), Some(0.4));
    }

    #[test]
    fn no_more_workers_than_partitions() {
        let few = policy(2, 10).at_most(1);
        assert_eq!((few.min, few.max), (1, 1));
        let many = policy(2, 10).at_most(4);
        assert_eq!((many.min, many.max), (2, 4));
    }
}
