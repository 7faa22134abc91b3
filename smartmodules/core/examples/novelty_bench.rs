//! Cost of `novelty`: nanoseconds per observation, bytes per series, bytes of a snapshot, on made-up
//! series: 30 days of a daily pattern with noise at 30 s, and noise without a tail.

use perfstream_core::detect::novelty::{Novelty, NoveltyConfig};
use perfstream_core::math::random::SplitMix64;
use std::error::Error;
use std::time::Instant;

const ROWS: i64 = 86_400;
const STEP_US: i64 = 30_000_000;
const DAY_US: i64 = 86_400_000_000;

/// A series by name, from its time and a number in 0–1.
type Shape = fn(i64, f64) -> f64;

const SHAPES: [(&str, Shape); 3] = [
    ("daily pattern, 5 % noise", |at, u| 2000.0 + 500.0 * day(at) + 100.0 * (u - 0.5)),
    ("uniform noise", |_, u| u),
    ("heavy tail, 1 / u", |_, u| 1.0 / u.max(1e-9)),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("series                      ns/observation  bytes, most  snapshot bytes");
    for (name, shape) in SHAPES {
        let mut random = SplitMix64::new(7);
        let values: Vec<f64> = (0..ROWS).map(|i| shape(i * STEP_US, random.unit())).collect();
        let mut novelty = Novelty::new(&NoveltyConfig::default());
        let mut bytes = 0;
        let started = Instant::now();
        for (i, &value) in values.iter().enumerate() {
            novelty.observe(i as i64 * STEP_US, Some(value));
            if i % 64 == 0 {
                bytes = bytes.max(novelty.bytes());
            }
        }
        let ns = started.elapsed().as_nanos() as f64 / ROWS as f64;
        println!("{name:27} {ns:14.0} {bytes:12} {:15}", postcard::to_allocvec(&novelty)?.len());
    }
    Ok(())
}

/// A day's triangle, 0–1.
fn day(at: i64) -> f64 {
    let part = (at % DAY_US) as f64 / DAY_US as f64;
    1.0 - (2.0 * part - 1.0).abs()
}
