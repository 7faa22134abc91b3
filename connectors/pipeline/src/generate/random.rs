//! Random numbers that are the same on every machine.
//!
//! ChaCha8 gives the bits. Logarithm and exponential come from the crate `libm` (plain Rust, only
//! IEEE basic operations), never from the platform, whose last bits differ; square roots are
//! exact everywhere. Every visit has its own ChaCha stream: what happens to one visit cannot
//! change another, so a run with a fault equals the run without it wherever the fault is not.
//! Normal numbers: G. Marsaglia and T. A. Bray, "A convenient method for generating normal
//! variables", SIAM Review 6 (1964), the polar method.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// One stream of random numbers.
pub(super) struct Random(ChaCha8Rng);

impl Random {
    /// Stream `stream` of `seed`; equal arguments give equal numbers.
    pub(super) fn new(seed: u64, stream: u64) -> Random {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Random(rng)
    }

    /// 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in [0, 1), 53 bits.
    pub(super) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [from, to).
    pub(super) fn range(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    /// Exponential with the given mean.
    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        // 1 - u lies in (0, 1]: the logarithm is finite.
        -libm::log(1.0 - self.unit()) * mean
    }

    /// Standard normal.
    pub(super) fn normal(&mut self) -> f64 {
        // A point misses the disc with chance 0.215: 200 misses in a row do not happen.
        for _ in 0..200 {
            let (x, y) = (self.range(-1.0, 1.0), self.range(-1.0, 1.0));
            let s = x * x + y * y;
            if s > 0.0 && s < 1.0 {
                return x * (-2.0 * libm::log(s) / s).sqrt();
            }
        }
        0.0
    }
}

/// The index that `u` in [0, 1) picks among `weights`.
pub(super) fn choose(u: f64, weights: impl Iterator<Item = f64> + Clone) -> usize {
    let mut rest = u * weights.clone().sum::<f64>();
    let mut last = 0;
    for (i, weight) in weights.enumerate() {
        if weight > 0.0 {
            last = i;
            if rest < weight {
                return i;
            }
        }
        rest -= weight;
    }
    last
}
