//! An event as a line of JSON, and the lines on their way to the reader.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};

use perfstream_core::time;
use serde::Serialize;

use super::model::{Metric, Site, Visitor};
use super::shifts::Shift;

/// One line, keys in this order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    timestamp: String,
    id: &'a str,
    value: f64,
    page: &'a str,
    browser: &'a str,
    device: &'a str,
    connection: &'a str,
    session_id: &'a str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    shift: Option<ShiftFields<'a>>,
}

/// What a layout-shift entry has besides.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShiftFields<'a> {
    navigation_id: &'a str,
    had_recent_input: bool,
    sources: Vec<&'a str>,
    /// Milliseconds since the visit began.
    start_time: f64,
    navigation_type: &'a str,
}

/// Event `n` of a visit that began at `now`, as a line.
pub(super) fn write(
    site: &Site,
    now: i64,
    visitor: &Visitor,
    (session, id): (&str, &str),
    n: usize,
    event: &Shift,
) -> Vec<u8> {
    let metric = site.metric;
    let event_id = format!("{id}-{n}");
    let [first, second] = event.sources;
    let shift = (metric == Metric::Cls).then(|| ShiftFields {
        navigation_id: id,
        had_recent_input: event.had_recent_input,
        sources: if first == second { vec![first] } else { vec![first, second] },
        start_time: event.at_us as f64 / 1000.0,
        navigation_type: "navigate",
    });
    let line = Line {
        // Whole milliseconds, as browsers' clocks are sent.
        timestamp: time::format((now + event.at_us).div_euclid(1000) * 1000),
        id: if shift.is_some() { &event_id } else { id },
        value: metric.round(event.value),
        page: site.value_of(visitor, "page"),
        browser: site.value_of(visitor, "browser"),
        device: site.value_of(visitor, "device"),
        connection: site.value_of(visitor, "connection"),
        session_id: session,
        shift,
    };
    // Finite numbers and strings: this cannot fail.
    let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Lines on their way, by arrival and then by the order in which they happened.
#[derive(Default)]
pub(super) struct Wire {
    lines: BinaryHeap<Reverse<(i64, u64, Vec<u8>)>>,
    pub(super) sent: u64,
}

impl Wire {
    pub(super) fn send(&mut self, arrival: i64, line: Vec<u8>) {
        self.lines.push(Reverse((arrival, self.sent, line)));
        self.sent += 1;
    }

    pub(super) fn release(&mut self, until: i64, out: &mut dyn Write) -> io::Result<()> {
        while self.lines.peek().is_some_and(|Reverse((arrival, ..))| *arrival < until) {
            if let Some(Reverse((_, _, line))) = self.lines.pop() {
                out.write_all(&line)?;
            }
        }
        Ok(())
    }
}
