//! How long who failed is left in peace.

/// The first pause; doubled with each failure, without chance.
const FIRST_MS: i64 = 1000;
const LONGEST_MS: i64 = 300_000;

/// The pause after a failure that so many came before, or `wait_ms` where that is longer.
pub(crate) fn pause_ms(failures: u32, wait_ms: i64) -> i64 {
    FIRST_MS.saturating_mul(1 << failures.min(20)).min(LONGEST_MS).max(wait_ms)
}
