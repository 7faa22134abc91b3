//! Visits in, lines out: the Poisson arrivals, the faults' effects, the order of arrival.

use std::io::{self, Write};

use perfstream_core::config::Issue;

use super::faults::{FaultKind, FaultSpec, Label, TAIL_SHARE};
use super::line::{self, Wire};
use super::model::{CURVE_MAX, Metric, Site, Visitor, curve};
use super::options::{GenerateOptions, Summary, prepare};
use super::random::Random;
use super::shifts::{self, Shift};

/// The random streams below this number are not of a visit.
const FIRST_VISIT: u64 = 16;
const ARRIVALS: u64 = 0;
const PILOT: u64 = 1;

/// Writes the stream to `out`. The outer error is the writer's, the inner one says everything
/// that is wrong with the options.
pub fn generate(options: &GenerateOptions, out: &mut dyn Write) -> io::Result<Result<Summary, Vec<Issue>>> {
    let (site, faults) = match prepare(options) {
        Ok(prepared) => prepared,
        Err(issues) => return Ok(Err(issues)),
    };
    let labels = faults.iter().map(|f| Label::new(f, options.metric, options.start)).collect();
    let tail_from = tail_from(&site, options);
    let mut stream = Stream { options, site, faults, labels, tail_from, wire: Wire::default() };
    let mut arrivals = Random::new(options.seed, ARRIVALS);
    let mean_gap_us = 3.6e9 / (options.rate_per_hour * CURVE_MAX);
    let end = options.start.saturating_add(options.duration.us());
    let limit = options.events.unwrap_or(u64::MAX);
    let (mut now, mut visit) = (options.start, 0u64);
    // Thinning: candidates at the highest rate, kept with the chance of their hour.
    while stream.wire.sent < limit {
        now = now.saturating_add((arrivals.exponential(mean_gap_us) as i64).max(1));
        if now >= end {
            break;
        }
        let kept = arrivals.unit() * CURVE_MAX < curve(now);
        // What arrived before this moment can be followed by nothing earlier.
        stream.wire.release(now, out)?;
        if kept {
            stream.visit(now, visit);
            visit += 1;
        }
    }
    stream.wire.release(i64::MAX, out)?;
    out.flush()?;
    Ok(Ok(Summary { events: stream.wire.sent, labels: stream.labels }))
}

/// The value that the share [`TAIL_SHARE`] of healthy visits stays below, from a sample of its own.
fn tail_from(site: &Site, options: &GenerateOptions) -> f64 {
    let mut random = Random::new(options.seed, PILOT);
    let mut sample: Vec<f64> = (0..4000)
        .map(|_| {
            let visitor = site.visitor(&mut random, &|_, _| 1.0);
            site.value(&mut random, &visitor, options.start).0
        })
        .collect();
    sample.sort_by(f64::total_cmp);
    sample[(sample.len() as f64 * TAIL_SHARE) as usize % sample.len()]
}

struct Stream<'a> {
    options: &'a GenerateOptions,
    site: Site,
    faults: Vec<FaultSpec>,
    labels: Vec<Label>,
    tail_from: f64,
    wire: Wire,
}

/// Numbers that faults draw: always drawn, so that a fault does not move what comes after them.
struct Dice {
    delivery_us: i64,
    missing: f64,
    beacon: f64,
    late_us: i64,
    again_us: i64,
    skew: f64,
}

impl Dice {
    fn roll(random: &mut Random) -> Dice {
        let delivery_ms = (100.0 + random.exponential(1500.0)).min(20_000.0);
        Dice {
            delivery_us: (delivery_ms * 1000.0) as i64,
            missing: random.unit(),
            beacon: random.unit(),
            late_us: (random.range(60.0, 300.0) * 1e6) as i64,
            again_us: (random.range(0.1, 20.0) * 1e6) as i64,
            skew: random.unit(),
        }
    }
}

impl Stream<'_> {
    /// Generates visit number `n`, which begins at `now`.
    fn visit(&mut self, now: i64, n: u64) {
        let since = now - self.options.start;
        let mut random = Random::new(self.options.seed, FIRST_VISIT + n);
        let session = format!("s-{:016x}", random.bits());
        // Like the ids of the web-vitals library: version, milliseconds, 13 digits.
        let id = format!("v6-{}-{:013}", now / 1000, random.bits() % 10_000_000_000_000);
        let dice = Dice::roll(&mut random);
        let visitor = self.draw_visitor(&mut random, since);
        let (healthy, z) = self.site.value(&mut random, &visitor, now);

        let active: Vec<(usize, f64)> = (0..self.faults.len())
            .filter(|&i| self.faults[i].hits(&self.site, &visitor))
            .filter_map(|i| self.faults[i].progress(since).map(|p| (i, p)))
            .collect();
        let mut factor = 1.0;
        let mut burst = 0.0;
        let mut slower = Vec::new();
        for &(i, progress) in &active {
            let one = self.faults[i].factor(progress, healthy, z, self.tail_from);
            factor *= one;
            if one != 1.0 {
                slower.push(i);
            }
            if self.faults[i].kind == FaultKind::ClsBurst {
                burst += self.faults[i].magnitude;
                slower.push(i);
            }
        }
        let events = self.events(&mut random, healthy * factor, burst);
        let count = events.len() as u64;
        if let Some(i) = self.lost(&active, &dice) {
            self.labels[i].missing += count;
            self.labels[i].affected += count;
            return;
        }
        for i in slower {
            self.labels[i].affected += count;
        }
        self.deliver(now, &visitor, &active, &dice, (&session, &id), &events);
    }

    /// Draws the visitor; under a traffic-mix fault the segment has more weight.
    fn draw_visitor(&mut self, random: &mut Random, since: i64) -> Visitor {
        let mixes: Vec<usize> = (0..self.faults.len())
            .filter(|&i| self.faults[i].kind == FaultKind::TrafficMix)
            .filter(|&i| self.faults[i].progress(since).is_some())
            .collect();
        for &i in &mixes {
            self.labels[i].affected += 1;
        }
        let boost = |dimension: &str, value: &str| {
            let of = |fault: &FaultSpec| {
                let named = fault.segment.iter().any(|(d, v)| d == dimension && v == value);
                if named { fault.magnitude } else { 1.0 }
            };
            mixes.iter().map(|&i| of(&self.faults[i])).product()
        };
        self.site.visitor(random, &boost)
    }

    /// What the visit reports: for CLS its shifts, else one value at the start.
    fn events(&self, random: &mut Random, value: f64, burst: f64) -> Vec<Shift> {
        if self.options.metric != Metric::Cls {
            return vec![Shift { at_us: 0, value, had_recent_input: false, sources: ["", ""] }];
        }
        let mut shifts = shifts::draw(random, value);
        if burst > 0.0 {
            shifts::add_burst(random, &mut shifts, burst);
        }
        shifts
    }

    /// The fault that makes the visit go missing.
    fn lost(&self, active: &[(usize, f64)], dice: &Dice) -> Option<usize> {
        let loses = |f: &FaultSpec| f.kind == FaultKind::MissingData && dice.missing < f.magnitude;
        active.iter().map(|&(i, _)| i).find(|&i| loses(&self.faults[i]))
    }

    /// Writes the visit's events as lines and hands them to the wire: late, twice, or with a wrong
    /// clock where a fault says so.
    fn deliver(
        &mut self,
        now: i64,
        visitor: &Visitor,
        active: &[(usize, f64)],
        dice: &Dice,
        names: (&str, &str),
        events: &[Shift],
    ) {
        let count = events.len() as u64;
        let (mut late_us, mut again, mut skew_us) = (0, false, 0);
        for &(i, _) in active {
            let (fault, label) = (&self.faults[i], &mut self.labels[i]);
            match fault.kind {
                FaultKind::LateAndDuplicated if dice.beacon < fault.magnitude => {
                    late_us = dice.late_us;
                    label.late += count;
                    label.affected += count;
                }
                FaultKind::LateAndDuplicated if dice.beacon >= 1.0 - fault.magnitude => {
                    again = true;
                    label.duplicates += count;
                    label.affected += count;
                }
                FaultKind::ClockSkew if !fault.segment.is_empty() || dice.skew < 0.1 => {
                    skew_us += (fault.magnitude * 1e6) as i64;
                    label.affected += count;
                }
                _ => {}
            }
        }
        for (n, event) in events.iter().enumerate() {
            let line = line::write(&self.site, now + skew_us, visitor, names, n, event);
            let arrival = now + event.at_us + dice.delivery_us + late_us;
            if again {
                self.wire.send(arrival + dice.again_us, line.clone());
            }
            self.wire.send(arrival, line);
        }
    }
}
