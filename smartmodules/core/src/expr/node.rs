//! The parsed form. Chains of `AND`, `OR`, `+` and `*` are flat, so that only what [`super::MAX_DEPTH`]
//! counts makes the tree deep.

use super::func::Func;
use super::{MAX_REGEX_BYTES, Scalar};
use crate::row::Slot;
use rustc_hash::FxHashSet;
use std::cmp::Ordering;

/// One operation of an expression.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Num(f64),
    Str(Box<str>),
    Field(Slot),
    Neg(Box<Node>),
    /// From left to right: `first op x op y …`, all of one precedence.
    Arith(Box<Node>, Vec<(Arith, Node)>),
    Cmp(Box<Node>, Cmp, Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    /// Value, constant items, and the items that are not constant.
    In(Box<Node>, Box<ConstSet>, Vec<Node>),
    /// Value, lowest, highest
    Between(Box<[Node; 3]>),
    IsNull(Box<Node>),
    Matches(Box<Node>, Box<regex_lite::Regex>),
    Call(Func, Vec<Node>),
}

impl Node {
    /// False if the node never yields a truth value.
    pub(super) fn may_be_bool(&self) -> bool {
        match self {
            Node::Num(_) | Node::Str(_) | Node::Neg(_) | Node::Arith(..) => false,
            Node::Call(func, args) => match func {
                Func::If => args.iter().skip(1).any(Node::may_be_bool),
                Func::Coalesce => args.iter().any(Node::may_be_bool),
                _ => func.yields_bool(),
            },
            _ => true,
        }
    }

    /// See [`super::Expr::bound_of`].
    pub(super) fn bound_of(&self, field: Slot) -> Option<(f64, bool)> {
        let number = |node: &Node| match node {
            Node::Num(x) => Some(*x),
            Node::Neg(inner) => inner.constant()?.as_f64().map(|x| -x),
            _ => None,
        };
        let is_it = |node: &Node| matches!(node, Node::Field(slot) if *slot == field);
        match self {
            Node::And(parts) | Node::Or(parts) => parts.iter().find_map(|part| part.bound_of(field)),
            Node::Cmp(left, op, right) => {
                let above = match op {
                    Cmp::Gt | Cmp::Ge => true,
                    Cmp::Lt | Cmp::Le => false,
                    Cmp::Eq | Cmp::Ne => return None,
                };
                match (is_it(left), is_it(right)) {
                    (true, false) => number(right).map(|x| (x, above)),
                    (false, true) => number(left).map(|x| (x, !above)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Its value, if it is a constant.
    pub(crate) fn constant(&self) -> Option<Scalar<'_>> {
        Some(match self {
            Node::Null => Scalar::Null,
            Node::Bool(b) => Scalar::Bool(*b),
            Node::Num(x) => Scalar::Num(*x),
            Node::Str(s) => Scalar::Str((&**s).into()),
            _ => return None,
        })
    }
}

/// `+ - * / %`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arith {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

impl Arith {
    /// None where the result is no finite number, as for a division by zero.
    pub(super) fn apply(self, a: f64, b: f64) -> Option<f64> {
        let x = match self {
            Arith::Add => a + b,
            Arith::Sub => a - b,
            Arith::Mul => a * b,
            Arith::Div => a / b,
            Arith::Rem => a % b, // the sign is that of a, as in SQL
        };
        x.is_finite().then_some(x)
    }
}

/// `= != < <= > >=`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cmp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Cmp {
    /// Of finite numbers.
    #[inline]
    pub(super) fn numbers(self, a: f64, b: f64) -> bool {
        match self {
            Cmp::Eq => a == b,
            Cmp::Ne => a != b,
            Cmp::Lt => a < b,
            Cmp::Le => a <= b,
            Cmp::Gt => a > b,
            Cmp::Ge => a >= b,
        }
    }

    #[inline]
    pub(super) fn holds(self, order: Ordering) -> bool {
        match self {
            Cmp::Eq => order.is_eq(),
            Cmp::Ne => order.is_ne(),
            Cmp::Lt => order.is_lt(),
            Cmp::Le => order.is_le(),
            Cmp::Gt => order.is_gt(),
            Cmp::Ge => order.is_ge(),
        }
    }

    /// Of texts. Equality looks at the lengths first.
    #[inline]
    pub(super) fn texts(self, a: &str, b: &str) -> bool {
        match self {
            Cmp::Eq => a == b,
            Cmp::Ne => a != b,
            _ => self.holds(a.cmp(b)),
        }
    }
}

/// Lists up to this long are walked; longer ones are searched.
const WALKED: usize = 8;

/// The constants of an `IN` list, looked up by type.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConstSet {
    /// Ascending
    numbers: Vec<f64>,
    texts: Vec<Box<str>>,
    /// The same as `texts`, when they are many.
    text_set: FxHashSet<Box<str>>,
    has_true: bool,
    has_false: bool,
    has_null: bool,
}

impl ConstSet {
    /// A set of constants.
    pub(crate) fn new<'a>(items: impl IntoIterator<Item = Scalar<'a>>) -> ConstSet {
        let mut set = ConstSet::default();
        for item in items {
            match item {
                Scalar::Num(x) => set.numbers.push(x),
                Scalar::Str(s) => set.texts.push(s.into()),
                Scalar::Bool(true) => set.has_true = true,
                Scalar::Bool(false) => set.has_false = true,
                Scalar::Null | Scalar::Json(_) => set.has_null = true,
            }
        }
        set.numbers.sort_by(f64::total_cmp);
        if set.texts.len() > WALKED {
            set.text_set = set.texts.iter().cloned().collect();
        }
        set
    }

    /// `x = a OR x = b OR …`: unknown if nothing is equal and an item is null or of another type.
    pub(crate) fn contains(&self, x: &Scalar<'_>) -> Option<bool> {
        let (found, alike) = match x {
            Scalar::Null | Scalar::Json(_) => return None,
            Scalar::Num(x) => (self.has_number(*x), self.numbers.len()),
            Scalar::Str(s) => (self.has_text(s), self.texts.len()),
            Scalar::Bool(b) => {
                (if *b { self.has_true } else { self.has_false }, self.has_true as usize + self.has_false as usize)
            }
        };
        let kinds = self.numbers.len() + self.texts.len() + self.has_true as usize + self.has_false as usize;
        match found {
            true => Some(true),
            false => (!self.has_null && alike == kinds).then_some(false),
        }
    }

    fn has_number(&self, x: f64) -> bool {
        match self.numbers.len() {
            0..=WALKED => self.numbers.contains(&x),
            _ => self.numbers.binary_search_by(|n| n.partial_cmp(&x).unwrap_or(Ordering::Less)).is_ok(),
        }
    }

    fn has_text(&self, s: &str) -> bool {
        match self.texts.len() {
            0..=WALKED => self.texts.iter().any(|t| **t == *s),
            _ => self.text_set.contains(s),
        }
    }
}

/// Compiles a regular expression within [`MAX_REGEX_BYTES`]. It matches anywhere in a text unless
/// it has anchors.
pub(crate) fn pattern(text: &str) -> Result<regex_lite::Regex, String> {
    let regex = regex_lite::RegexBuilder::new(text).size_limit(MAX_REGEX_BYTES).nest_limit(64).build();
    regex.map_err(|e| e.to_string())
}
