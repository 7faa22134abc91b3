//! The functions. An argument that is null or of the wrong type makes the result null, except for
//! `coalesce` and `if`.

use super::Scalar;
use std::borrow::Cow;

/// A function of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Func {
    Abs,
    Min,
    Max,
    Round,
    Floor,
    Ceil,
    Sqrt,
    Ln,
    Coalesce,
    Lower,
    Upper,
    Length,
    If,
    Contains,
    StartsWith,
}

/// Name, function, least and most arguments.
const FUNCTIONS: [(&str, Func, usize, usize); 15] = [
    ("abs", Func::Abs, 1, 1),
    ("min", Func::Min, 1, usize::MAX),
    ("max", Func::Max, 1, usize::MAX),
    ("round", Func::Round, 1, 2),
    ("floor", Func::Floor, 1, 1),
    ("ceil", Func::Ceil, 1, 1),
    ("sqrt", Func::Sqrt, 1, 1),
    ("ln", Func::Ln, 1, 1),
    ("coalesce", Func::Coalesce, 1, usize::MAX),
    ("lower", Func::Lower, 1, 1),
    ("upper", Func::Upper, 1, 1),
    ("length", Func::Length, 1, 1),
    ("if", Func::If, 3, 3),
    ("contains", Func::Contains, 2, 2),
    ("starts_with", Func::StartsWith, 2, 2),
];

impl Func {
    /// The function of that name, in any case; or the names that look like it.
    pub(super) fn find(name: &str) -> Result<Func, String> {
        let found = FUNCTIONS.iter().find(|(n, ..)| n.eq_ignore_ascii_case(name));
        found.map(|(_, func, ..)| *func).ok_or_else(|| {
            let name = name.to_ascii_lowercase();
            let near = FUNCTIONS.iter().map(|(n, ..)| (strsim::damerau_levenshtein(n, &name), *n)).min();
            match near {
                Some((distance, near)) if distance <= 2 && distance < near.len() => {
                    format!("did you mean `{near}`?")
                }
                _ => format!("functions: {}, forecast", FUNCTIONS.map(|(n, ..)| n).join(", ")),
            }
        })
    }

    /// Complains about a number of arguments that it does not take.
    pub(super) fn check_count(self, found: usize) -> Result<(), String> {
        let Some((name, _, least, most)) = FUNCTIONS.iter().find(|(_, f, ..)| *f == self) else {
            return Ok(());
        };
        if (*least..=*most).contains(&found) {
            return Ok(());
        }
        let expected = match (*least, *most) {
            (1, 1) => "1 argument".into(),
            (n, usize::MAX) => format!("at least {n} argument"),
            (n, m) if n == m => format!("{n} arguments"),
            (n, m) => format!("{n} to {m} arguments"),
        };
        Err(format!("expected {expected} for `{name}`, found {found}"))
    }

    pub(super) fn yields_bool(self) -> bool {
        matches!(self, Func::Contains | Func::StartsWith)
    }
}

/// A function of one number.
pub(super) fn of_number(func: Func, x: f64) -> Option<f64> {
    let y = match func {
        Func::Abs => x.abs(),
        Func::Floor => x.floor(),
        Func::Ceil => x.ceil(),
        Func::Sqrt => x.sqrt(),
        Func::Ln => x.ln(),
        _ => return None,
    };
    y.is_finite().then_some(y)
}

/// Rounds half away from zero to `digits` decimals (negative: tens, hundreds; −15 to 15).
pub(super) fn round(x: f64, digits: f64) -> Option<f64> {
    let digits = digits.round().clamp(-15.0, 15.0) as i32;
    if digits == 0 {
        return Some(x.round());
    }
    // Powers of ten up to 1e15 are exact; dividing by one rounds once.
    let power = 10f64.powi(digits.abs());
    let y = if digits > 0 { (x * power).round() / power } else { (x / power).round() * power };
    // Too large to have decimals: scaling overflowed, the number is itself.
    Some(if y.is_finite() { y } else { x })
}

/// `lower` and `upper`; borrowed where nothing changes.
pub(super) fn change_case<'a>(text: Cow<'a, str>, upper: bool) -> Cow<'a, str> {
    let other = |c: char| {
        if upper { !c.is_ascii() || c.is_ascii_lowercase() } else { !c.is_ascii() || c.is_ascii_uppercase() }
    };
    match (text.chars().any(other), upper) {
        (false, _) => text,
        (true, true) => Cow::Owned(text.to_uppercase()),
        (true, false) => Cow::Owned(text.to_lowercase()),
    }
}

/// Length of a text in characters.
pub(super) fn length<'a>(text: &Scalar<'_>) -> Scalar<'a> {
    text.as_str().map_or(Scalar::Null, |s| Scalar::Num(s.chars().count() as f64))
}
