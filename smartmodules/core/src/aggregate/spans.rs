//! The spans of windows: which are needed, how long they may be, and the slices they share.

use super::config::{WindowConfig, WindowType};
use super::plan::Shape;
use crate::config::{Issue, Issues};
use crate::duration::Span;

/// Longest window
const MAX_SIZE: Span = Span::seconds(366 * 86_400);
/// A window of more slices than this costs too much to fold.
const MAX_SLICES: i64 = 10_000;

/// The window's shape, if its spans are right.
pub(super) fn shape(window: &WindowConfig) -> Option<Shape> {
    let positive = |span: Option<Span>| span.map(Span::us).filter(|us| *us > 0);
    match window.window_type {
        WindowType::Tumbling => positive(window.size).map(|size| Shape::Time { size, slide: size }),
        WindowType::Sliding => {
            let (size, slide) = (positive(window.size)?, positive(window.slide)?);
            (size % slide == 0).then_some(Shape::Time { size, slide })
        }
        WindowType::Session => {
            let max_length = positive(window.max_length).unwrap_or(i64::MAX);
            positive(window.gap).map(|gap| Shape::Session { gap, max_length })
        }
    }
}

/// The greatest common divisor of all sizes and slides.
pub(super) fn slice_us(windows: &[WindowConfig]) -> i64 {
    let mut width = 0;
    for window in windows {
        if let Some(Shape::Time { slide, .. }) = shape(window) {
            width = gcd(width, slide);
        }
    }
    width.max(1)
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Which spans a window has, and how long they are.
pub(super) fn spans(window: &WindowConfig, path: &str, issues: &mut Issues) {
    use WindowType::{Session, Sliding, Tumbling};
    let kind = window.window_type;
    let mut span = |name: &str, value: Option<Span>, needed: bool, allowed: bool, example: &str| match value {
        None if needed => issues.push(
            Issue::error(format!("{path}.{name}"), "expected a duration, found nothing")
                .hint(format!("as `{name}: {example}`")),
        ),
        Some(found) if !allowed => {
            let message = format!("expected no `{name}` in a {} window, found {found}", word(kind));
            issues.push(Issue::error(format!("{path}.{name}"), message).hint("remove it, or change `type`"));
        }
        Some(found) if found <= Span::ZERO || found > MAX_SIZE => {
            issues.push(Issue::error(format!("{path}.{name}"), format!("expected above 0s to 366d, found {found}")));
        }
        _ => {}
    };
    span("size", window.size, kind != Session, kind != Session, "5m");
    // A tumbling window's slide is its size; saying so does no harm.
    let same = kind == Tumbling && window.slide == window.size;
    span("slide", window.slide, kind == Sliding, kind == Sliding || same, "30s");
    span("gap", window.gap, kind == Session, kind == Session, "1s");
    span("max_length", window.max_length, false, kind == Session, "1h");
    span("output_interval", window.output_interval, false, true, "30s");
    if window.allowed_lateness > MAX_SIZE {
        let message = format!("expected at most 366d, found {}", window.allowed_lateness);
        issues.push(Issue::error(format!("{path}.allowed_lateness"), message));
    }
    if let (Sliding, Some(size), Some(slide)) = (kind, window.size, window.slide)
        && slide > Span::ZERO
        && size > Span::ZERO
        && size.us() % slide.us() != 0
    {
        let below = (size.us() / slide.us()).max(1) * slide.us();
        let message = format!("expected a multiple of the slide {slide}, found {size}");
        let hint = format!("{} or {} would do", Span(below), Span(below.saturating_add(slide.us())));
        issues.push(Issue::error(format!("{path}.size"), message).hint(hint));
    }
}

fn word(kind: WindowType) -> &'static str {
    match kind {
        WindowType::Tumbling => "tumbling",
        WindowType::Sliding => "sliding",
        WindowType::Session => "session",
    }
}

/// No window of more slices than can be folded.
pub(super) fn slices(windows: &[WindowConfig], issues: &mut Issues) {
    let width = slice_us(windows);
    for (at, window) in windows.iter().enumerate() {
        if let Some(Shape::Time { size, .. }) = shape(window)
            && size / width > MAX_SLICES
        {
            let message = format!(
                "expected at most {MAX_SLICES} slices per window, found {} of {} (what all sizes and slides share)",
                size / width,
                Span(width)
            );
            issues.push(Issue::error(format!("windows[{at}].size"), message).hint("use rounder sizes and slides"));
        }
    }
}
