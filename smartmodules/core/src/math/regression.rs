//! Least-squares line through (x, y): the trend of a value over time.
//!
//! slope = Sxy/Sxx in units of y per unit of x, intercept at x = 0, r² = Sxy²/(Sxx·Syy) in 0–1,
//! and the two-sided p-value of "slope is 0": t-test with n − 2 degrees of freedom,
//! p = I(1 − r²; (n−2)/2, 1/2) with the regularised incomplete beta function of statrs.
//! The same as `scipy.stats.linregress` to 1e-9, but for constant y, where scipy has NaN: the line
//! then explains nothing (r² 0, p 1). An r² that differs from 1 by rounding alone is 1, and p 0.
//!
//! Sums of squares about the mean are updated as Welford 1962 and merged as Chan, Golub and
//! LeVeque 1983, relative to the first point, so nothing cancels. Cost: three divisions per point,
//! 64 bytes; points are not kept. Give x as seconds from an origin near the data: with seconds
//! since 1970 the slope holds, but an intercept fifty years away says nothing. The p-value (its
//! `ln` and `exp`) may differ between native and WASM in the last digits; its relative error is
//! below 1e-9 to a million points, 1e-6 at a billion. p supposes independent, equally scattered
//! residuals, which values in time often do not have.

use serde::{Deserialize, Serialize};

/// r² this near to 1 is a perfect fit: the rest is rounding.
const ROUNDING: f64 = 16.0 * f64::EPSILON;

/// Count, means and co-moments of points.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Moments {
    count: u64,
    /// The first point: what follows is relative to it, so large offsets cost no digits
    first_x: f64,
    first_y: f64,
    mean_x: f64,
    mean_y: f64,
    /// Sums of products of deviations from the means
    xx: f64,
    yy: f64,
    xy: f64,
}

/// A line and how well it fits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Points
    pub n: u64,
    /// y per unit of x
    pub slope: f64,
    /// y at x = 0
    pub intercept: f64,
    /// Share of the variance of y that the line explains, 0–1; 0 for constant y
    pub r2: f64,
    /// Chance of such a slope or a steeper one if there were none; `None` below three points
    pub p_value: Option<f64>,
    /// Standard error of the slope; `None` below three points
    pub slope_stderr: Option<f64>,
}

impl Moments {
    /// Takes a point. Points that are not finite are ignored.
    pub fn add(&mut self, x: f64, y: f64) {
        if !x.is_finite() || !y.is_finite() {
            return;
        }
        self.count = self.count.saturating_add(1);
        if self.count == 1 {
            (self.first_x, self.first_y) = (x, y);
        }
        let n = self.count as f64;
        let (off_x, off_y) = (x - self.first_x - self.mean_x, y - self.first_y - self.mean_y);
        self.mean_x += off_x / n;
        self.mean_y += off_y / n;
        let share = (n - 1.0) / n;
        self.xx += off_x * off_x * share;
        self.yy += off_y * off_y * share;
        self.xy += off_x * off_y * share;
    }

    /// Adds all points of `other`, which must have the same origin of x.
    pub fn merge(&mut self, other: &Moments) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let (n, m) = (self.count as f64, other.count as f64);
        let off_x = other.first_x - self.first_x + (other.mean_x - self.mean_x);
        let off_y = other.first_y - self.first_y + (other.mean_y - self.mean_y);
        let (part, share) = (m / (n + m), n * m / (n + m));
        self.count = self.count.saturating_add(other.count);
        self.mean_x += off_x * part;
        self.mean_y += off_y * part;
        self.xx += other.xx + off_x * off_x * share;
        self.yy += other.yy + off_y * off_y * share;
        self.xy += other.xy + off_x * off_y * share;
    }

    /// Moves all points by `by` along x: to the origin of those they are merged with.
    pub fn shift_x(&mut self, by: f64) {
        if self.count > 0 {
            self.first_x += by;
        }
    }

    /// Points so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The line; `None` below two points, if all x are equal, or beyond the range of f64.
    pub fn fit(&self) -> Option<Fit> {
        if self.count < 2 || self.xx <= 0.0 {
            return None;
        }
        let slope = self.xy / self.xx;
        let intercept = self.first_y + self.mean_y - slope * (self.first_x + self.mean_x);
        let r2 = if self.yy > 0.0 { (slope * (self.xy / self.yy)).clamp(0.0, 1.0) } else { 0.0 };
        if !slope.is_finite() || !intercept.is_finite() || !r2.is_finite() {
            return None;
        }
        let r2 = if 1.0 - r2 <= ROUNDING { 1.0 } else { r2 };
        let freedom = self.count.saturating_sub(2) as f64;
        let tested = freedom > 0.0;
        Some(Fit {
            n: self.count,
            slope,
            intercept,
            r2,
            p_value: tested.then(|| p_value(r2, freedom)).flatten(),
            slope_stderr: tested.then(|| ((1.0 - r2) * (self.yy / self.xx) / freedom).sqrt()),
        })
    }
}

/// P(|T| ≥ t) for Student's T with t² = r²·freedom/(1 − r²).
pub(crate) fn p_value(r2: f64, freedom: f64) -> Option<f64> {
    statrs::function::beta::checked_beta_reg(freedom / 2.0, 0.5, 1.0 - r2).ok().map(|p| p.clamp(0.0, 1.0))
}
