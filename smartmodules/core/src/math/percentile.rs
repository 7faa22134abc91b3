//! Exact quantiles of a slice, in the unit of its values.
//!
//! Linear interpolation between order statistics: for n values the quantile `q` (0–1) lies at
//! position h = (n−1)q of the sorted values, counted from 0 (Hyndman and Fan 1996, type 7; the
//! default of numpy). A 75th percentile is `q = 0.75`.
//!
//! Cost: O(n) by selection, no sort; several quantiles of one slice share the work. Values must be
//! finite: NaN sorts last and would be answered as such.

/// The quantile `q` of `values`, which are reordered. `None` for no values or `q` outside 0–1.
pub fn exact(values: &mut [f64], q: f64) -> Option<f64> {
    if values.is_empty() || !(0.0..=1.0).contains(&q) {
        return None;
    }
    let mut out = Vec::with_capacity(1);
    exact_many(values, &[q], &mut out);
    out.first().copied()
}

/// Replaces `out` by the quantiles `qs` of `values`, which are reordered, in the order of `qs`.
/// `out` is empty for no values. A `q` outside 0–1 is taken as the nearer end, NaN as 0.
pub fn exact_many(values: &mut [f64], qs: &[f64], out: &mut Vec<f64>) {
    let mut ranks = Ranks::default();
    exact_with(&mut ranks, values, qs, out);
}

/// [`exact_many`] with the memory of an earlier call.
pub(crate) fn exact_with(ranks: &mut Ranks, values: &mut [f64], qs: &[f64], out: &mut Vec<f64>) {
    ranks.prepare(values.len() as u64, qs);
    let (mut rest, mut passed) = (values, 0);
    for (rank, value) in &mut ranks.wanted {
        let nth = *rank as usize - passed;
        if nth >= rest.len() {
            break;
        }
        let (_, at, above) = rest.select_nth_unstable_by(nth, f64::total_cmp);
        *value = *at;
        passed += nth + 1;
        rest = above;
    }
    ranks.answer(qs, out);
}

/// The order statistics that some quantiles need: each is found once, in ascending order.
#[derive(Debug, Default)]
pub(crate) struct Ranks {
    /// How many values there are
    count: u64,
    /// Ranks from 0, ascending, each once, and the values found there
    pub wanted: Vec<(u64, f64)>,
}

impl Ranks {
    /// Lists the ranks for the quantiles `qs` of `count` values.
    pub fn prepare(&mut self, count: u64, qs: &[f64]) {
        self.count = count;
        self.wanted.clear();
        if count == 0 {
            return;
        }
        for &q in qs {
            let (below, _) = position(count, q);
            self.wanted.push((below, 0.0));
            self.wanted.push(((below + 1).min(count - 1), 0.0));
        }
        self.wanted.sort_unstable_by_key(|&(rank, _)| rank);
        self.wanted.dedup_by_key(|&mut (rank, _)| rank);
    }

    /// Interpolates once every wanted value is there.
    pub fn answer(&self, qs: &[f64], out: &mut Vec<f64>) {
        out.clear();
        if self.count == 0 {
            return;
        }
        for &q in qs {
            let (below, part) = position(self.count, q);
            let at = self.wanted.partition_point(|&(rank, _)| rank < below);
            let low = self.wanted.get(at).map_or(0.0, |&(_, x)| x);
            let high = self.wanted.get(at + 1).map_or(low, |&(_, x)| x);
            let x = if part > 0.0 { between(low, high, part) } else { low };
            out.push(x + 0.0); // -0.0 is 0.0
        }
    }
}

/// Where the quantile lies: the rank from 0 of the order statistic below, and the part of the way
/// to the next one.
fn position(count: u64, q: f64) -> (u64, f64) {
    let h = (count - 1) as f64 * q.clamp(0.0, 1.0);
    // `as` takes NaN to 0; beyond 2^53 values the product may round up past the last rank.
    let below = (h as u64).min(count - 1);
    (below, if h.is_nan() { 0.0 } else { h - below as f64 })
}

/// The point `part` (0–1) of the way from `low` to `high`, never outside them.
fn between(low: f64, high: f64, part: f64) -> f64 {
    let way = high - low;
    let x = match (way.is_finite(), part < 0.5) {
        (false, _) => low * (1.0 - part) + high * part,
        (true, true) => low + way * part,
        (true, false) => high - way * (1.0 - part),
    };
    x.max(low).min(high)
}
