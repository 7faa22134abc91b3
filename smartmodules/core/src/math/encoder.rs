//! Rows of any values as rows of numbers, for [`super::Forest`].
//!
//! A feature is numeric if at least half of its training values that are not null are numbers;
//! what is not a number then reads as the training median. Any other feature is categorical: each
//! distinct value gets an ordinal, 0 for the most frequent in training, ties in order of text; null
//! is a category like any other; a value never seen in training gets one past the last.
//!
//! Why by frequency: a forest cuts the range of ordinals at random. So ordered, rare categories lie
//! at the sparse end, where few cuts set them apart, and an unseen one lies outermost. Hashed
//! ordinals would put a rare category between two frequent ones, by chance of its name.
//!
//! Cost: fitting O(values · log categories), encoding O(log categories) per value; memory is the
//! distinct categories of the training rows.

use crate::value::{OwnedValue, Value};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// How each feature becomes a number; learned from training rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Encoder {
    features: Vec<Feature>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Feature {
    /// What stands in for a value that is not a number
    Numeric { median: f64 },
    /// Categories in order of [`by_text`], and the ordinal of each
    Categorical { ordinals: Vec<(OwnedValue, u32)> },
}

impl Encoder {
    /// Learns from row-major `rows` of `width` features. `None` for width 0, no rows, or if
    /// `width` does not divide the values.
    pub fn fit(rows: &[OwnedValue], width: usize) -> Option<Encoder> {
        if width == 0 || rows.is_empty() || !rows.len().is_multiple_of(width) {
            return None;
        }
        let column = |feature| rows.iter().skip(feature).step_by(width).map(OwnedValue::as_value);
        Some(Encoder { features: (0..width).map(|feature| Feature::fit(column(feature))).collect() })
    }

    /// Features per row.
    pub fn width(&self) -> usize {
        self.features.len()
    }

    /// Appends one row as numbers. Features missing at the end of `row` are null.
    pub fn encode(&self, row: &[Value<'_>], out: &mut Vec<f64>) {
        let row = row.iter().copied().chain(std::iter::repeat(Value::Null));
        out.extend(self.features.iter().zip(row).map(|(feature, value)| feature.encode(value)));
    }

    /// Row-major `rows` as numbers, for [`super::Forest::fit`].
    pub fn encode_rows(&self, rows: &[OwnedValue]) -> Vec<f64> {
        let features = self.features.iter().cycle();
        rows.iter().zip(features).map(|(value, feature)| feature.encode(value.as_value())).collect()
    }

    /// Memory in bytes: the struct and what it owns.
    pub fn bytes(&self) -> usize {
        let owned = |feature: &Feature| match feature {
            Feature::Numeric { .. } => 0,
            Feature::Categorical { ordinals } => {
                ordinals.iter().map(|(value, _)| size_of::<(OwnedValue, u32)>() + text_bytes(value)).sum::<usize>()
            }
        };
        size_of::<Encoder>() + self.features.iter().map(|f| size_of::<Feature>() + owned(f)).sum::<usize>()
    }
}

impl Feature {
    fn fit<'a>(column: impl Iterator<Item = Value<'a>> + Clone) -> Feature {
        let mut numbers: Vec<f64> = column.clone().filter_map(number).collect();
        let known = column.clone().filter(|value| !value.is_null()).count();
        if known > 0 && 2 * numbers.len() >= known {
            return Feature::Numeric { median: super::exact(&mut numbers, 0.5).unwrap_or(0.0) };
        }
        let mut sorted: Vec<Value<'a>> = column.collect();
        sorted.sort_by(|a, b| by_text(*a, *b));
        let mut counted: Vec<(Value<'a>, usize)> = Vec::new();
        for value in sorted {
            match counted.last_mut() {
                Some((last, count)) if by_text(*last, value).is_eq() => *count += 1,
                _ => counted.push((value, 1)),
            }
        }
        // Stable: equal counts stay in order of text.
        counted.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let mut ordinals: Vec<(OwnedValue, u32)> =
            counted.iter().zip(0..).map(|(&(value, _), ordinal)| (value.into(), ordinal)).collect();
        ordinals.sort_by(|a, b| by_text(a.0.as_value(), b.0.as_value()));
        Feature::Categorical { ordinals }
    }

    fn encode(&self, value: Value<'_>) -> f64 {
        match self {
            Feature::Numeric { median } => number(value).unwrap_or(*median),
            Feature::Categorical { ordinals } => ordinals
                .binary_search_by(|(known, _)| by_text(known.as_value(), value))
                .ok()
                .and_then(|at| ordinals.get(at))
                .map_or(ordinals.len() as f64, |&(_, ordinal)| f64::from(ordinal)),
        }
    }
}

fn text_bytes(value: &OwnedValue) -> usize {
    match value {
        OwnedValue::Str(text) | OwnedValue::Json(text) => text.len(),
        _ => 0,
    }
}

fn number(value: Value<'_>) -> Option<f64> {
    value.as_f64().filter(|x| x.is_finite())
}

/// A total order: null, false, true, numbers, texts, JSON. `1` and `1.0` are equal.
fn by_text(a: Value<'_>, b: Value<'_>) -> Ordering {
    fn class(value: Value<'_>) -> u8 {
        match value {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Int(_) | Value::Float(_) => 2,
            Value::Str(_) => 3,
            Value::Json(_) => 4,
        }
    }
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(&b),
        (Value::Str(a), Value::Str(b)) | (Value::Json(a), Value::Json(b)) => a.cmp(b),
        _ => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
            _ => class(a).cmp(&class(b)),
        },
    }
}
