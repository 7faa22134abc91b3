//! Expected value and ordinary range: running mean and mean absolute deviation.

use serde::{Deserialize, Serialize};

const DECAY: f64 = 0.01;
const DEVIATIONS: f64 = 5.0;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Baseline {
    n: u64,
    mean: f64,
    deviation: f64,
}

impl Baseline {
    pub fn learn(&mut self, value: f64) {
        self.n += 1;
        let step = (1.0 / self.n as f64).max(DECAY);
        let off = value - self.mean;
        self.mean += step * off;
        if self.n > 1 {
            self.deviation += step * (off.abs() - self.deviation);
        }
    }

    pub fn expected(&self) -> Option<f64> {
        (self.n > 0).then_some(self.mean)
    }

    pub fn range(&self) -> Option<(f64, f64)> {
        let reach = DEVIATIONS * self.deviation;
        (self.n > 1).then_some((self.mean - reach, self.mean + reach))
    }
}
