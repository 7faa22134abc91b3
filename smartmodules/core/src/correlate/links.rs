//! Series whose anomalies follow each other more often than chance has it.
//!
//! Event coincidence analysis (Donges, Schleussner, Siegmund and Donner 2016, "Event coincidence analysis for
//! quantifying statistical interrelationships between event time series", Eur. Phys. J. Special Topics 225),
//! precursor coincidences without a fixed delay: of the n onsets of B, k had an onset of A less than `lag`
//! before them (or at the same time). Onsets of a series less than `lag` after one that counted do not
//! count, so those of A cover exactly m·lag of the time T, and if B were a Poisson process that knows nothing
//! of A, k would be binomial with n trials of p = m·lag/T. A → B is a link if P(K ≥ k) is at most
//! significance / (s(s − 1)) (Bonferroni, over all ordered pairs of the s series known), and k at least
//! `min_coincidences`.
//!
//! Counts are kept in two halves, each `memory` long; the older is dropped when the newer is full. Cost per
//! onset: O(log n) and a visit of each series with an onset within `lag`. Memory: about 400 bytes and the
//! key per series, 160 per pair; beyond the bounds the series or the pair unseen for longest is forgotten.
//! Where it fails: an onset older than the newest of its series does not count.

use crate::clock::NEVER;
use crate::math::binomial::tail;
use crate::stage::RestoreError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const SERIES_BYTES: u64 = 400;
const PAIR_BYTES: u64 = 160;
/// A count in a snapshot beyond this is forged.
const MOST: u32 = 1 << 30;

/// What links are judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub lag_us: i64,
    pub memory_us: i64,
    pub significance: f64,
    pub min_coincidences: u32,
    pub max_series: usize,
    pub max_pairs: usize,
    pub bytes: u64,
}

/// A number in the older and in the newer half.
type Halves = [u32; 2];

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Series {
    key: Box<[u8]>,
    /// Newest onset that counted
    onset: i64,
    onsets: Halves,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Pair {
    /// Number of the onset that saw it last
    seen: u64,
    coincidences: Halves,
}

/// A link that is believed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Link {
    /// Is it the first of the two that comes before?
    pub forward: bool,
    pub coincidences: u32,
    pub p_value: f64,
}

/// Onsets per series, and coincidences per pair.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// By the number of the onset that saw it first
    series: BTreeMap<u64, Series>,
    by_key: BTreeMap<Box<[u8]>, u64>,
    by_onset: BTreeSet<(i64, u64)>,
    /// By (A, B)
    pairs: BTreeMap<(u64, u64), Pair>,
    by_seen: BTreeSet<(u64, u64, u64)>,
    /// Onsets so far
    count: u64,
    /// When the newer half began; its end is a `memory` later
    since: i64,
    /// Is there an older half?
    older: bool,
    /// Newest onset
    newest: i64,
    key_bytes: u64,
}

/// Links as a snapshot has them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedLinks<S, P> {
    series: Vec<(u64, S)>,
    pairs: Vec<((u64, u64), P)>,
    count: u64,
    since: i64,
    older: bool,
    newest: i64,
}

impl Links {
    pub fn len(&self) -> usize {
        self.series.len()
    }

    pub fn pairs(&self) -> usize {
        self.pairs.len()
    }

    /// An anomaly of a series began. Gives how many series and pairs were forgotten for it.
    pub fn observe(&mut self, key: &[u8], onset: i64, rules: &Rules) -> u64 {
        if rules.significance <= 0.0 {
            return 0;
        }
        self.advance(onset, rules);
        self.count += 1;
        let number = match self.by_key.get(key) {
            Some(number) => *number,
            None => self.add(key),
        };
        let Some(series) = self.series.get_mut(&number) else { return 0 };
        if series.onset != NEVER && onset.saturating_sub(series.onset) < rules.lag_us {
            return 0;
        }
        self.by_onset.remove(&(series.onset, number));
        series.onset = onset;
        series.onsets[1] = series.onsets[1].saturating_add(1).min(MOST);
        self.by_onset.insert((onset, number));
        self.coincide(number, onset, rules);
        self.make_room(rules)
    }

    fn add(&mut self, key: &[u8]) -> u64 {
        let number = self.count;
        self.series.insert(number, Series { key: key.into(), onset: NEVER, onsets: [0, 0] });
        self.by_key.insert(key.into(), number);
        self.key_bytes += 2 * key.len() as u64;
        number
    }

    /// Moves the halves on.
    fn advance(&mut self, onset: i64, rules: &Rules) {
        if self.count == 0 {
            (self.since, self.newest) = (onset, onset);
        }
        self.newest = self.newest.max(onset);
        let full = self.newest.saturating_sub(self.since) / rules.memory_us;
        if full == 0 {
            return;
        }
        for _ in 0..full.min(2) {
            self.drop_older();
        }
        self.older = full == 1;
        self.since = self.since.saturating_add(full.saturating_mul(rules.memory_us));
    }

    /// Forgets the older half; what then has no count is gone.
    fn drop_older(&mut self) {
        self.series.values_mut().for_each(|series| series.onsets = [series.onsets[1], 0]);
        self.pairs.values_mut().for_each(|pair| pair.coincidences = [pair.coincidences[1], 0]);
        let gone: Vec<u64> =
            self.series.iter().filter(|(_, series)| series.onsets == [0, 0]).map(|(number, _)| *number).collect();
        gone.into_iter().for_each(|number| self.forget(number));
        let gone: Vec<(u64, u64)> =
            self.pairs.iter().filter(|(_, pair)| pair.coincidences == [0, 0]).map(|(pair, _)| *pair).collect();
        gone.into_iter().for_each(|pair| self.forget_pair(pair));
    }

    /// Counts the coincidences of an onset with the newest onset of each other series.
    fn coincide(&mut self, number: u64, onset: i64, rules: &Rules) {
        let (low, high) = (onset.saturating_sub(rules.lag_us - 1), onset.saturating_add(rules.lag_us - 1));
        let near: Vec<(i64, u64)> =
            self.by_onset.range((low, 0)..=(high, u64::MAX)).filter(|(_, other)| *other != number).copied().collect();
        for (time, other) in near {
            if time <= onset {
                self.count_pair((other, number));
            }
            if time >= onset {
                self.count_pair((number, other));
            }
        }
    }

    fn count_pair(&mut self, key: (u64, u64)) {
        let seen = self.count;
        let pair = self.pairs.entry(key).or_insert(Pair { seen, coincidences: [0, 0] });
        self.by_seen.remove(&(pair.seen, key.0, key.1));
        pair.seen = seen;
        pair.coincidences[1] = pair.coincidences[1].saturating_add(1).min(MOST);
        self.by_seen.insert((seen, key.0, key.1));
    }

    fn forget_pair(&mut self, key: (u64, u64)) {
        if let Some(pair) = self.pairs.remove(&key) {
            self.by_seen.remove(&(pair.seen, key.0, key.1));
        }
    }

    fn forget(&mut self, number: u64) {
        let Some(series) = self.series.remove(&number) else { return };
        self.by_key.remove(&series.key);
        self.by_onset.remove(&(series.onset, number));
        self.key_bytes = self.key_bytes.saturating_sub(2 * series.key.len() as u64);
        let of: Vec<(u64, u64)> = self.pairs.keys().filter(|(a, b)| *a == number || *b == number).copied().collect();
        of.into_iter().for_each(|pair| self.forget_pair(pair));
    }

    fn make_room(&mut self, rules: &Rules) -> u64 {
        let mut forgotten = 0;
        while self.pairs.len() > rules.max_pairs
            && let Some((_, a, b)) = self.by_seen.first().copied()
        {
            self.forget_pair((a, b));
            forgotten += 1;
        }
        // One series is always there: that of the onset.
        while self.series.len() > rules.max_series || (self.bytes() > rules.bytes && self.series.len() > 1) {
            let Some((_, number)) = self.by_onset.first().copied() else { break };
            self.forget(number);
            forgotten += 1;
        }
        forgotten
    }

    /// Estimate of its memory.
    pub fn bytes(&self) -> u64 {
        self.key_bytes + SERIES_BYTES * self.series.len() as u64 + PAIR_BYTES * self.pairs.len() as u64
    }

    /// The link between two series, if one is believed; the surer of the two directions.
    pub fn link(&self, a: &[u8], b: &[u8], rules: &Rules) -> Option<Link> {
        let (a, b) = (*self.by_key.get(a)?, *self.by_key.get(b)?);
        let forward = self.judge((a, b), rules).map(|(n, p)| Link { forward: true, coincidences: n, p_value: p });
        let back = self.judge((b, a), rules).map(|(n, p)| Link { forward: false, coincidences: n, p_value: p });
        match (forward, back) {
            (Some(x), Some(y)) if y.p_value < x.p_value => Some(y),
            (None, back) => back,
            (forward, _) => forward,
        }
    }

    /// Coincidences of a pair and how likely chance would have given as many, if that is believed.
    fn judge(&self, (a, b): (u64, u64), rules: &Rules) -> Option<(u32, f64)> {
        let pair = self.pairs.get(&(a, b))?;
        let k = sum(pair.coincidences);
        if a == b || k < rules.min_coincidences {
            return None;
        }
        let (before, after) = (self.series.get(&a)?, self.series.get(&b)?);
        let time =
            self.newest.saturating_sub(self.since) as f64 + if self.older { rules.memory_us as f64 } else { 0.0 };
        let share = f64::from(sum(before.onsets)) * rules.lag_us as f64 / time.max(1.0);
        let p_value = tail(k, sum(after.onsets), share.min(1.0))?;
        let pairs = self.series.len() as f64 * (self.series.len() as f64 - 1.0);
        (p_value * pairs <= rules.significance).then_some((k, p_value))
    }

    /// For a snapshot.
    pub fn saved(&self) -> SavedLinks<impl Serialize + '_, impl Serialize + '_> {
        SavedLinks {
            series: self.series.iter().map(|(number, series)| (*number, series)).collect(),
            pairs: self.pairs.iter().map(|(pair, counts)| (*pair, counts)).collect(),
            count: self.count,
            since: self.since,
            older: self.older,
            newest: self.newest,
        }
    }

    /// From a snapshot; refuses one that could not have been written.
    pub fn restored(saved: SavedOwned, rules: &Rules) -> Result<Links, RestoreError> {
        let SavedLinks { series, pairs, count, since, older, newest } = saved.0;
        let forged = |what: String| Err(RestoreError(what));
        let within = |halves: Halves| halves.iter().all(|n| *n <= MOST);
        if count >> 62 != 0 || newest < since || series.len() > rules.max_series || pairs.len() > rules.max_pairs {
            return forged("more links than are remembered, or a time that cannot be".into());
        }
        let mut links = Links { count, since, older, newest, ..Links::default() };
        for (number, series) in series {
            let twice = links.series.contains_key(&number) || links.by_key.contains_key(&series.key);
            if twice || number > count || series.onset > newest || series.onset == NEVER || !within(series.onsets) {
                return forged(format!("series {number} cannot be"));
            }
            links.by_key.insert(series.key.clone(), number);
            links.by_onset.insert((series.onset, number));
            links.key_bytes += 2 * series.key.len() as u64;
            links.series.insert(number, series);
        }
        for ((a, b), pair) in pairs {
            let known = a != b && links.series.contains_key(&a) && links.series.contains_key(&b);
            if !known || links.pairs.contains_key(&(a, b)) || pair.seen > count || !within(pair.coincidences) {
                return forged(format!("the pair {a}, {b} cannot be"));
            }
            links.by_seen.insert((pair.seen, a, b));
            links.pairs.insert((a, b), pair);
        }
        Ok(links)
    }
}

/// What [`Links::saved`] wrote.
#[derive(Debug, Deserialize)]
pub(super) struct SavedOwned(SavedLinks<Series, Pair>);

fn sum(halves: Halves) -> u32 {
    halves[0].saturating_add(halves[1])
}
