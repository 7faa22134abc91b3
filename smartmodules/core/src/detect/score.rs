//! What methods say, and how they vote.
//!
//! A method gives a score of 0 to 1, 0.5 at its own boundary: from a statistic t that is 1 there,
//! t²/(1 + t²). A method that says nothing (warming up, value missing) has no part in the vote, and the vote is only
//! held while more than half of all weight speaks.

use super::detector::Voting;
use serde::{Deserialize, Serialize};

/// What one method says of an observation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Finding {
    /// 0–1
    pub score: f64,
    /// In the unit of the value
    pub expected: Option<f64>,
    pub range: Option<(f64, f64)>,
    /// What it was made of; `MethodName::parts` has the names
    pub parts: Vec<f64>,
    /// Observations it was compared with
    pub n: u64,
}

impl Finding {
    /// Is it beyond the method's own boundary?
    pub fn votes(&self) -> bool {
        self.score >= HALF
    }

    /// Memory in bytes that it owns.
    pub fn heap_bytes(&self) -> usize {
        8 * self.parts.len()
    }
}

/// The boundary of every method: from this score on it votes for an anomaly.
pub(super) const HALF: f64 = 0.5;

/// The score of a statistic that is 1 at the boundary.
pub(super) fn score_of(t: f64) -> f64 {
    let square = t * t;
    if square.is_finite() { square / (1.0 + square) } else { 1.0 }
}

/// The combined score, 0–1; `None` while no more than half of the weight speaks.
pub(super) fn combine(voting: Voting, weights: &[f64], findings: &[Option<Finding>]) -> Option<f64> {
    let spoken = || weights.iter().zip(findings).filter_map(|(w, f)| Some((*w, f.as_ref()?)));
    let all: f64 = weights.iter().sum();
    let heard: f64 = spoken().map(|(w, _)| w).sum();
    if heard * 2.0 <= all {
        return None;
    }
    Some(match voting {
        Voting::WeightedAverage => spoken().map(|(w, f)| w * f.score).sum::<f64>() / heard,
        Voting::Majority => spoken().filter(|(_, f)| f.votes()).map(|(w, _)| w).sum::<f64>() / heard,
        Voting::Max => spoken().map(|(_, f)| f.score).fold(0.0, f64::max),
    })
}

/// Is a combined score a detection?
pub(super) fn is_detection(voting: Voting, score: f64, threshold: f64) -> bool {
    match voting {
        Voting::Majority => score > 0.5,
        Voting::WeightedAverage | Voting::Max => score >= threshold,
    }
}

/// Each method's share of the combined score: of an average what it adds, of a majority its weight if it votes, else
/// all of the highest. They add up to 1, or are all 0.
pub(super) fn shares(voting: Voting, weights: &[f64], findings: &[Option<Finding>]) -> Vec<f64> {
    let score = |finding: &Option<Finding>| finding.as_ref().map_or(0.0, |f| f.score);
    let highest = findings.iter().map(score).fold(0.0, f64::max);
    let own = |(weight, finding): (&f64, &Option<Finding>)| match voting {
        Voting::WeightedAverage => weight * score(finding),
        Voting::Majority => weight * f64::from(u8::from(finding.as_ref().is_some_and(Finding::votes))),
        Voting::Max => f64::from(u8::from(highest > 0.0 && score(finding) == highest)),
    };
    let mut shares: Vec<f64> = weights.iter().zip(findings).map(own).collect();
    let sum: f64 = shares.iter().sum();
    shares.iter_mut().filter(|_| sum > 0.0).for_each(|share| *share /= sum);
    shares
}

/// How much a method with this score moves the combined one by its weight: the derivative, up to what all weights
/// share. The highest score has none.
pub(super) fn pull(voting: Voting, score: f64) -> f64 {
    match voting {
        Voting::WeightedAverage => score,
        Voting::Majority => f64::from(u8::from(score >= HALF)),
        Voting::Max => 0.0,
    }
}

/// The combined score that is a detection from there on.
pub(super) fn boundary(voting: Voting, threshold: f64) -> f64 {
    match voting {
        Voting::Majority => HALF,
        Voting::WeightedAverage | Voting::Max => threshold,
    }
}

/// How sure the methods are together: weight of those that vote, as a share of those that speak.
pub(super) fn confidence(weights: &[f64], findings: &[Option<Finding>]) -> f64 {
    let spoken = || weights.iter().zip(findings).filter_map(|(w, f)| Some((*w, f.as_ref()?)));
    let heard: f64 = spoken().map(|(w, _)| w).sum();
    let for_it = spoken().filter(|(_, f)| f.votes());
    if heard > 0.0 { for_it.fold(0.0, |sum, (w, _)| sum + w) / heard } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(score: f64) -> Option<Finding> {
        Some(Finding { score, expected: None, range: None, parts: Vec::new(), n: 1 })
    }

    #[test]
    fn votes_are_counted_as_written() {
        let weights = [0.4, 0.3, 0.3];
        let found = [said(0.9), said(0.6), said(0.0)];
        let average = combine(Voting::WeightedAverage, &weights, &found).unwrap();
        assert!((average - 0.54).abs() < 1e-12);
        assert!(combine(Voting::Majority, &weights, &found).is_some_and(|share| (share - 0.7).abs() < 1e-12));
        assert_eq!(combine(Voting::Max, &weights, &found), Some(0.9));
        assert!((confidence(&weights, &found) - 0.7).abs() < 1e-12);
        let of = |voting| shares(voting, &weights, &found);
        assert!(
            of(Voting::WeightedAverage).iter().zip([2.0 / 3.0, 1.0 / 3.0, 0.0]).all(|(a, b)| (a - b).abs() < 1e-12)
        );
        assert!(of(Voting::Majority).iter().zip([4.0 / 7.0, 3.0 / 7.0, 0.0]).all(|(a, b)| (a - b).abs() < 1e-12));
        assert_eq!(of(Voting::Max), [1.0, 0.0, 0.0]);
        assert!(is_detection(Voting::WeightedAverage, 0.6, 0.6) && !is_detection(Voting::Majority, 0.5, 0.1));
    }

    #[test]
    fn who_says_nothing_has_no_part() {
        let weights = [0.4, 0.3, 0.3];
        let average = combine(Voting::WeightedAverage, &weights, &[said(0.8), None, said(0.1)]).unwrap();
        assert!((average - (0.32 + 0.03) / 0.7).abs() < 1e-12);
        assert_eq!(combine(Voting::Max, &weights, &[said(1.0), None, None]), None);
        assert!((confidence(&weights, &[said(0.8), None, said(0.1)]) - 0.4 / 0.7).abs() < 1e-12);
        assert_eq!(confidence(&weights, &[None, None, None]), 0.0);
        assert_eq!(shares(Voting::Max, &weights, &[None, said(0.0), None]), [0.0; 3]);
        assert_eq!(combine(Voting::Max, &weights, &[None, None, None]), None);
    }

    #[test]
    fn scores_are_a_half_at_the_boundary() {
        assert_eq!((score_of(0.0), score_of(1.0), score_of(f64::INFINITY)), (0.0, 0.5, 1.0));
        assert!(score_of(2.0) > score_of(1.5));
    }
}
