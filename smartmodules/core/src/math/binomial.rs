//! How likely chance gives so many: the upper tail of the binomial distribution, by statrs.

use statrs::function::beta::checked_beta_reg;

/// P(K ≥ k), K binomial with n trials of probability p: the regularised incomplete beta function
/// I(p; k, n − k + 1).
pub(crate) fn tail(k: u32, n: u32, p: f64) -> Option<f64> {
    if k == 0 || p >= 1.0 {
        return Some(1.0);
    }
    if k > n || p <= 0.0 {
        return None;
    }
    let p = checked_beta_reg(f64::from(k), f64::from(n - k) + 1.0, p).ok()?;
    p.is_finite().then_some(p)
}

#[cfg(test)]
mod tests {
    use super::tail;

    /// scipy.stats.binom.sf(k − 1, n, p)
    #[test]
    fn tails_of_the_binomial() {
        for (k, n, p, want) in [(3, 10, 0.1, 0.0701908264), (10, 10, 0.5, 0.0009765625), (1, 5, 0.2, 0.67232)] {
            let found = tail(k, n, p).unwrap_or_default();
            assert!((found - want).abs() < 1e-9, "{k} of {n}, {p}: {found}");
        }
        assert_eq!((tail(0, 5, 0.1), tail(6, 5, 0.1), tail(1, 1, 1.0)), (Some(1.0), None, Some(1.0)));
    }
}
