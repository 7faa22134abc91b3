//! The LCP job of `../lcp.yaml` by hand, one thread, exact: what perfstream is measured against.
//!
//! ```text
//! native-lcp IN OUT
//! ```
//!
//! A slice of 30 s keeps its values; a window of ten slices selects its order statistics and
//! interpolates. Lines that are no events are left out. It knows this one job, this one layout of
//! time stamps, and at most a minute of disorder.

use rustc_hash::FxHashMap;
use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Error, Write};

const SLIDE_MS: i64 = 30_000;
const SLICES: i64 = 10;
const LATENESS_MS: i64 = 60_000;
/// Slices of a window, and the two that a minute of lateness keeps open ahead of them.
const RING: usize = 12;

#[derive(Deserialize)]
struct Event<'a> {
    timestamp: &'a str,
    value: f64,
    page: &'a str,
    browser: &'a str,
}

/// `2026-01-01T00:00:00.123Z` to epoch milliseconds.
fn epoch_ms(text: &str) -> Option<i64> {
    let b = text.as_bytes();
    if b.len() != 24 {
        return None;
    }
    let number =
        |from: usize, to: usize| b[from..to].iter().fold(0i64, |n, c| n * 10 + i64::from(c.wrapping_sub(b'0')));
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    // Days since 1970 in a calendar whose years begin in March, in eras of 400 years.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Some((((days * 24 + number(11, 13)) * 60 + number(14, 16)) * 60 + number(17, 19)) * 1000 + number(20, 23))
}

struct Group {
    page: String,
    browser: String,
    ring: [Vec<f64>; RING],
}

struct Job {
    index: FxHashMap<Box<[u8]>, usize>,
    groups: Vec<Group>,
    key: Vec<u8>,
    window: Vec<f64>,
    /// Last slice of the next window to close.
    next: Option<i64>,
    newest_ms: i64,
    late: u64,
    out: BufWriter<File>,
}

impl Job {
    fn event(&mut self, event: &Event<'_>) -> Result<(), Error> {
        if !(event.value > 0.0 && event.value < 60_000.0) || event.page == "/health" || event.page == "/metrics" {
            return Ok(());
        }
        let Some(time_ms) = epoch_ms(event.timestamp) else {
            return Ok(());
        };
        let slice = time_ms.div_euclid(SLIDE_MS);
        let mut next = self.next.unwrap_or(slice - LATENESS_MS / SLIDE_MS);
        self.next = Some(next);
        if slice < next {
            self.late += 1;
            return Ok(());
        }
        let group = self.group(event);
        if time_ms > self.newest_ms {
            self.newest_ms = time_ms;
            while (next + 1) * SLIDE_MS <= time_ms - LATENESS_MS {
                self.close(next)?;
                next += 1;
            }
            self.next = Some(next);
        }
        self.groups[group].ring[place(slice)].push(event.value);
        Ok(())
    }

    fn group(&mut self, event: &Event<'_>) -> usize {
        self.key.clear();
        self.key.extend_from_slice(event.page.as_bytes());
        self.key.push(0);
        self.key.extend_from_slice(event.browser.as_bytes());
        if let Some(&group) = self.index.get(self.key.as_slice()) {
            return group;
        }
        let (page, browser) = (event.page.into(), event.browser.into());
        self.groups.push(Group { page, browser, ring: std::array::from_fn(|_| Vec::new()) });
        self.index.insert(self.key.clone().into_boxed_slice(), self.groups.len() - 1);
        self.groups.len() - 1
    }

    /// Writes the windows whose last slice this is, and forgets their first.
    fn close(&mut self, last: i64) -> Result<(), Error> {
        let end = (last + 1) * SLIDE_MS;
        for group in &mut self.groups {
            self.window.clear();
            for slice in last + 1 - SLICES..=last {
                self.window.extend_from_slice(&group.ring[place(slice)]);
            }
            let count = self.window.len();
            if count > 0 {
                let p75 = quantile(&mut self.window, 0.75);
                let p95 = quantile(&mut self.window, 0.95);
                let (page, browser) = (&group.page, &group.browser);
                writeln!(
                    self.out,
                    r#"{{"page":"{page}","browser":"{browser}","window_end":{end},"p75":{p75},"p95":{p95},"count":{count}}}"#
                )?;
            }
            group.ring[place(last + 1 - SLICES)].clear();
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        if let Some(next) = self.next {
            for last in next..self.newest_ms.div_euclid(SLIDE_MS) + SLICES {
                self.close(last)?;
            }
        }
        if self.late > 0 {
            eprintln!("{} late events dropped", self.late);
        }
        self.out.flush()
    }
}

fn place(slice: i64) -> usize {
    slice.rem_euclid(RING as i64) as usize
}

/// Linear interpolation between order statistics; the window is not empty.
fn quantile(window: &mut [f64], q: f64) -> f64 {
    let rank = (window.len() - 1) as f64 * q;
    let below = rank as usize;
    let (_, low, rest) = window.select_nth_unstable_by(below, f64::total_cmp);
    let high = rest.iter().copied().fold(f64::INFINITY, f64::min);
    if rest.is_empty() { *low } else { *low + (rank - below as f64) * (high - *low) }
}

fn main() -> Result<(), Error> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let [input, output] = paths.as_slice() else {
        return Err(Error::other("usage: native-lcp IN OUT"));
    };
    let mut job = Job {
        index: FxHashMap::default(),
        groups: Vec::new(),
        key: Vec::new(),
        window: Vec::new(),
        next: None,
        newest_ms: i64::MIN,
        late: 0,
        out: BufWriter::with_capacity(1 << 18, File::create(output)?),
    };
    let mut reader = BufReader::with_capacity(1 << 18, File::open(input)?);
    let mut line = Vec::with_capacity(4096);
    while reader.read_until(b'\n', &mut line)? > 0 {
        if let Ok(event) = serde_json::from_slice::<Event<'_>>(&line) {
            job.event(&event)?;
        }
        line.clear();
    }
    job.finish()
}
