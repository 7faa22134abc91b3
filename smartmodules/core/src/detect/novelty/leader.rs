//! What a stream keeps of a point: its place, and when it was last met if the stream forgets.
//!
//! A series has up to 900 leaders, so a coordinate has three bytes: 16 bits of precision, where a radius is
//! 1 part in 40 of the range or more.

use super::stream::Seen;
use crate::detect::tight::Rough;
use serde::{Deserialize, Serialize};

/// A leader of some kind.
pub(super) trait Leader {
    /// Does its stream forget leaders that met no point for long?
    const FORGETS: bool;

    /// A point as a leader.
    fn of(seen: &Seen) -> Self;

    /// Is the point within the radius of a resolution?
    fn is_near(&self, at: usize, seen: &Seen) -> bool;

    /// It met a point.
    fn meet(&mut self, _seen: &Seen) {}

    /// When it last met one, by the clock of [`Seen::watch`].
    fn watch(&self) -> u8 {
        0
    }
}

/// A leader on a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Line(Rough);

impl Leader for Line {
    const FORGETS: bool = false;

    fn of(seen: &Seen) -> Line {
        Line(Rough::new(seen.x))
    }

    fn is_near(&self, at: usize, seen: &Seen) -> bool {
        (self.0.get() - seen.x).abs() <= seen.radius[at]
    }
}

/// A leader on a line that is forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Fading {
    x: Line,
    watch: u8,
}

impl Leader for Fading {
    const FORGETS: bool = true;

    fn of(seen: &Seen) -> Fading {
        Fading { x: Line::of(seen), watch: seen.watch }
    }

    fn is_near(&self, at: usize, seen: &Seen) -> bool {
        self.x.is_near(at, seen)
    }

    fn meet(&mut self, seen: &Seen) {
        self.watch = seen.watch;
    }

    fn watch(&self) -> u8 {
        self.watch
    }
}

/// A leader in a plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Plane {
    x: Line,
    y: Rough,
}

impl Leader for Plane {
    const FORGETS: bool = false;

    fn of(seen: &Seen) -> Plane {
        Plane { x: Line::of(seen), y: Rough::new(seen.y) }
    }

    fn is_near(&self, at: usize, seen: &Seen) -> bool {
        self.x.is_near(at, seen) && (self.y.get() - seen.y).abs() <= seen.y_radius[at]
    }
}

/// A leader in the plane of values and hours of the day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Daily {
    x: Line,
    /// Hour of the day, 65,536 of 24; as bytes, so that a leader has five
    hour: [u8; 2],
}

/// Of a leader's hour in one hour of the day.
const HOUR: f64 = 65_536.0 / 24.0;

impl Leader for Daily {
    const FORGETS: bool = false;

    fn of(seen: &Seen) -> Daily {
        Daily { x: Line::of(seen), hour: ((seen.y * HOUR) as u16).to_le_bytes() }
    }

    fn is_near(&self, at: usize, seen: &Seen) -> bool {
        let apart = (f64::from(u16::from_le_bytes(self.hour)) / HOUR - seen.y).abs();
        self.x.is_near(at, seen) && apart.min(24.0 - apart) <= seen.y_radius[at]
    }
}
