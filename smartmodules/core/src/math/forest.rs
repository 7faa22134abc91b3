//! Isolation forest: how few random cuts it takes to set a row apart from the training rows
//! (Liu, Ting and Zhou, "Isolation Forest", ICDM 2008).
//!
//! Raw score 2^(−E(h)/c(ψ)) in (0, 1]: E(h) is the row's mean path length over the trees, c(ψ) the
//! mean path length of an unsuccessful search among the ψ sub-sampled rows. Higher is more
//! anomalous; about 0.5 is ordinary. A raw score means little across data sets: use the rank that
//! [`super::Calibrated`] gives.
//!
//! Deterministic: seeded SplitMix64; fitting and ranking use + − · / and comparisons only (ranks
//! compare path lengths, not scores), so native and WASM agree to the bit. [`Forest::score`] alone
//! uses `exp2` and may differ by 1e-15. Features are compared as f32, as in scikit-learn: values
//! that differ by less than 6e-8 of themselves are equal.
//!
//! Cost: fitting O(trees · ψ log ψ), 3 ms for 100 trees of 256; scoring trees · log2 ψ steps, 3 µs.
//! Memory: 8 bytes per node, at most 2ψ − 1 nodes per tree; 100 trees of 256 take about 100 kB and
//! never more than 420 kB.
//!
//! Where it fails: a row far outside the training range scores no higher than one just outside;
//! anomalies between clusters, hidden along every axis by ordinary rows, score low; many useless
//! features drown the useful one; with other seeds the order of middling rows changes.

use super::random::SplitMix64;
use serde::{Deserialize, Serialize};

/// Marks a leaf in [`Node::feature`].
const LEAF: u16 = u16::MAX;

/// Largest sub-sample: node numbers within a tree fit 16 bits.
pub const SUB_SAMPLE_MAX: u32 = 32_768;

/// Most trees
pub const TREES_MAX: u32 = 10_000;

/// How to grow a forest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForestParams {
    /// Number of trees, 1–10,000; more give steadier scores
    pub trees: u32,
    /// Rows per tree, drawn without replacement, 2–32,768; all rows if there are fewer
    pub sub_sample: u32,
    /// Seed of the generator
    pub seed: u64,
}

impl Default for ForestParams {
    fn default() -> Self {
        ForestParams { trees: 100, sub_sample: 256, seed: 42 }
    }
}

/// A fitted forest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forest {
    /// Features per row
    width: u32,
    /// c(n) by n, up to the sub-sample
    costs: Vec<f64>,
    /// First node of each tree
    roots: Vec<u32>,
    /// All trees, one after the other; a node's children stand side by side
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Node {
    /// Go left if the feature is at most this
    threshold: f32,
    /// [`LEAF`] or the feature to compare
    feature: u16,
    /// Number within the tree of the left child; the right one follows. In a leaf: its rows.
    left: u16,
}

impl Forest {
    /// Grows a forest on row-major `rows` of `width` features. `None` if there are fewer than two
    /// rows, a value is not finite, `width` is not 1–65,534 or does not divide the values.
    /// Parameters out of range are taken as the nearest that is in it.
    pub fn fit(rows: &[f64], width: usize, params: ForestParams) -> Option<Forest> {
        let fits = (1..usize::from(LEAF)).contains(&width) && rows.len().is_multiple_of(width);
        if !fits || rows.len() / width < 2 || u32::try_from(rows.len()).is_err() {
            return None;
        }
        let cells: Vec<f32> = rows.iter().map(|&x| narrow(x)).collect::<Option<_>>()?;
        let count = rows.len() / width;
        let sample = (params.sub_sample.clamp(2, SUB_SAMPLE_MAX) as usize).min(count);
        let trees = params.trees.clamp(1, TREES_MAX) as usize;
        let mut order: Vec<u32> = (0..count as u32).collect();
        let mut random = SplitMix64::new(params.seed);
        let mut grower = Grower { cells: &cells, width, features: (0..width as u16).collect(), nodes: Vec::new() };
        let mut roots = Vec::with_capacity(trees);
        for _ in 0..trees {
            for at in 0..sample {
                let other = at + random.below((count - at) as u64) as usize;
                order.swap(at, other);
            }
            roots.push(grower.nodes.len() as u32);
            grower.grow(&mut order[..sample], &mut random);
        }
        let mut nodes = grower.nodes;
        nodes.shrink_to_fit();
        Some(Forest { width: width as u32, costs: costs(sample), roots, nodes })
    }

    /// The raw score of a row of the same features, in (0, 1]; higher is more anomalous.
    /// Missing features read as 0, as do NaN.
    pub fn score(&self, row: &[f64]) -> f64 {
        let trees = self.roots.len().max(1) as f64;
        let whole = self.costs.last().copied().unwrap_or(1.0);
        (-self.path_sum(row) / trees / whole).exp2()
    }

    /// Features per row.
    pub fn width(&self) -> usize {
        self.width as usize
    }

    /// Memory in bytes: the struct and what it owns.
    pub fn bytes(&self) -> usize {
        size_of::<Forest>() + 8 * (self.costs.len() + self.nodes.len()) + 4 * self.roots.len()
    }

    /// The row's path lengths over all trees, summed: lower is more anomalous. Pure arithmetic.
    pub(crate) fn path_sum(&self, row: &[f64]) -> f64 {
        self.roots.iter().map(|&root| self.path(root as usize, row)).sum()
    }

    /// [`Forest::path_sum`] of a row of which some features are not known (NaN): where one would
    /// decide, both ways are gone, weighted by the training rows that went them. So the unknown feature
    /// is averaged out, as it was in training. Cost: all nodes, 0.1 ms for 100 trees of 256.
    pub(crate) fn path_sum_without(&self, row: &[f64]) -> f64 {
        let mut steps = 0;
        self.roots.iter().map(|&root| self.walk(root as usize, root as usize, 0, row, &mut steps).1).sum()
    }

    /// Training rows below a node, and the path from it to the end.
    fn walk(&self, root: usize, at: usize, depth: u32, row: &[f64], steps: &mut usize) -> (f64, f64) {
        *steps += 1;
        let Some(node) = self.nodes.get(at).filter(|_| *steps <= self.nodes.len() && depth < 64) else {
            return (0.0, 0.0); // of a damaged forest
        };
        if node.feature == LEAF {
            let cost = self.costs.get(usize::from(node.left)).copied().unwrap_or(0.0);
            return (f64::from(node.left), f64::from(depth) + cost);
        }
        let left = root + usize::from(node.left);
        let (rows_left, path_left) = self.walk(root, left, depth + 1, row, steps);
        let (rows_right, path_right) = self.walk(root, left + 1, depth + 1, row, steps);
        let rows = rows_left + rows_right;
        let path = match row.get(usize::from(node.feature)) {
            Some(x) if !x.is_nan() => {
                if *x as f32 <= node.threshold {
                    path_left
                } else {
                    path_right
                }
            }
            _ => (rows_left * path_left + rows_right * path_right) / rows.max(1.0),
        };
        (rows, path)
    }

    fn path(&self, root: usize, row: &[f64]) -> f64 {
        let mut at = root;
        // A tree is never deeper than 16; the bound holds for damaged snapshots too.
        for depth in 0..64 {
            let Some(node) = self.nodes.get(at) else {
                break;
            };
            if node.feature == LEAF {
                return f64::from(depth) + self.costs.get(usize::from(node.left)).copied().unwrap_or(0.0);
            }
            let x = row.get(usize::from(node.feature)).map_or(0.0, |&x| x as f32);
            let right = usize::from(!(x.is_nan() || x <= node.threshold));
            at = root + usize::from(node.left) + right;
        }
        0.0
    }
}

/// A finite f64 as the nearest f32; beyond the range of f32 its end.
fn narrow(x: f64) -> Option<f32> {
    x.is_finite().then(|| (x as f32).clamp(f32::MIN, f32::MAX))
}

/// c(n) for n = 0 … `max`: 2 H(n−1) − 2(n−1)/n with exact harmonic sums; 0 for n < 2.
fn costs(max: usize) -> Vec<f64> {
    let mut harmonic = 0.0; // H(n − 1)
    (0..=max)
        .map(|n| {
            if n < 2 {
                return 0.0;
            }
            let less = (n - 1) as f64;
            harmonic += 1.0 / less;
            2.0 * harmonic - 2.0 * less / n as f64
        })
        .collect()
}

/// Grows trees into one list of nodes.
struct Grower<'a> {
    cells: &'a [f32],
    width: usize,
    /// All features, in an order that the drawing changes
    features: Vec<u16>,
    nodes: Vec<Node>,
}

/// Rows `from..to` of the sample that node `node` has to part.
struct Task {
    node: usize,
    from: usize,
    to: usize,
    depth: u32,
}

impl Grower<'_> {
    fn grow(&mut self, sample: &mut [u32], random: &mut SplitMix64) {
        let root = self.nodes.len();
        let depth_max = sample.len().next_power_of_two().trailing_zeros().max(1);
        self.nodes.push(leaf(sample.len()));
        let mut tasks = vec![Task { node: root, from: 0, to: sample.len(), depth: 0 }];
        while let Some(Task { node, from, to, depth }) = tasks.pop() {
            let rows = &mut sample[from..to];
            if rows.len() < 2 || depth >= depth_max {
                continue;
            }
            let Some((feature, threshold)) = self.cut(rows, random) else {
                continue;
            };
            let middle = from + self.part(rows, feature, threshold);
            let left = self.nodes.len();
            self.nodes[node] = Node { threshold, feature, left: (left - root) as u16 };
            self.nodes.push(leaf(middle - from));
            self.nodes.push(leaf(to - middle));
            tasks.push(Task { node: left + 1, from: middle, to, depth: depth + 1 });
            tasks.push(Task { node: left, from, to: middle, depth: depth + 1 });
        }
    }

    /// A random feature that is not constant in the rows, and a cut uniform in its range.
    fn cut(&mut self, rows: &[u32], random: &mut SplitMix64) -> Option<(u16, f32)> {
        for tried in 0..self.features.len() {
            let drawn = tried + random.below((self.features.len() - tried) as u64) as usize;
            self.features.swap(tried, drawn);
            let feature = self.features[tried];
            let (mut min, mut max) = (f32::INFINITY, f32::NEG_INFINITY);
            for &row in rows {
                let x = self.cell(row, feature);
                min = if x < min { x } else { min };
                max = if x > max { x } else { max };
            }
            if min < max {
                let cut = f64::from(min) + random.unit() * (f64::from(max) - f64::from(min));
                let threshold = cut as f32;
                return Some((feature, if threshold < max { threshold } else { min }));
            }
        }
        None
    }

    /// Moves the rows at or below the threshold to the front; their number.
    fn part(&self, rows: &mut [u32], feature: u16, threshold: f32) -> usize {
        let mut middle = 0;
        for at in 0..rows.len() {
            if self.cell(rows[at], feature) <= threshold {
                rows.swap(at, middle);
                middle += 1;
            }
        }
        middle
    }

    fn cell(&self, row: u32, feature: u16) -> f32 {
        self.cells[row as usize * self.width + usize::from(feature)]
    }
}

fn leaf(rows: usize) -> Node {
    Node { threshold: 0.0, feature: LEAF, left: rows as u16 }
}
