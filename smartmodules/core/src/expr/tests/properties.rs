//! Properties, against a second evaluator that is written for clarity: a tree is printed with few
//! and with all parentheses, parsed, and must yield what the tree yields.

use super::*;
use proptest::prelude::*;
use std::cmp::Ordering;

#[derive(Debug, Clone)]
enum Tree {
    Null,
    Bool(bool),
    Num(i32),
    Str(String),
    Field(usize),
    Binary(Box<Tree>, &'static str, Box<Tree>),
    Not(Box<Tree>),
    Neg(Box<Tree>),
    In(Box<Tree>, Vec<Tree>, bool),
    Between(Box<Tree>, Box<Tree>, Box<Tree>, bool),
    IsNull(Box<Tree>, bool),
    If(Box<Tree>, Box<Tree>, Box<Tree>),
}

/// Names that need backticks, and two that do not.
const NAMES: [&str; 4] = ["a", "b.c", "page-load", "and"];

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::Bool),
        (-4..5).prop_map(Tree::Num),
        "[ab'\"\\\\]{0,2}".prop_map(Tree::Str),
        (0..NAMES.len()).prop_map(Tree::Field),
    ];
    leaf.prop_recursive(5, 40, 4, |part| {
        let boxed = part.clone().prop_map(Box::new);
        let op = prop::sample::select(&["OR", "AND", "=", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%"][..]);
        prop_oneof![
            6 => (boxed.clone(), op, boxed.clone()).prop_map(|(a, op, b)| Tree::Binary(a, op, b)),
            1 => boxed.clone().prop_map(Tree::Not),
            1 => boxed.clone().prop_map(Tree::Neg),
            1 => (boxed.clone(), prop::collection::vec(part, 1..4), any::<bool>()).prop_map(|(a, l, n)| Tree::In(a, l, n)),
            1 => (boxed.clone(), boxed.clone(), boxed.clone(), any::<bool>()).prop_map(|(a, b, c, n)| Tree::Between(a, b, c, n)),
            1 => (boxed.clone(), any::<bool>()).prop_map(|(a, n)| Tree::IsNull(a, n)),
            1 => (boxed.clone(), boxed.clone(), boxed).prop_map(|(a, b, c)| Tree::If(a, b, c)),
        ]
    })
}

/// How tightly a tree binds: 0 `OR` … 6 literals and calls.
fn level(tree: &Tree) -> u8 {
    match tree {
        Tree::Binary(_, "OR", _) => 0,
        Tree::Binary(_, "AND", _) => 1,
        Tree::Not(_) => 2,
        Tree::Binary(_, "+" | "-", _) => 4,
        Tree::Binary(_, "*" | "/" | "%", _) => 5,
        Tree::Binary(..) | Tree::In(..) | Tree::Between(..) | Tree::IsNull(..) => 3,
        _ => 6,
    }
}

fn print(tree: &Tree, all: bool) -> String {
    // An operand that must bind at least as tightly as `least`.
    let sub = |t: &Tree, least: u8| match all || level(t) < least {
        true => format!("({})", print(t, all)),
        false => print(t, all),
    };
    let not = |n: &bool| if *n { "NOT " } else { "" };
    match tree {
        Tree::Null => "null".into(),
        Tree::Bool(b) => b.to_string(),
        Tree::Num(n) => n.to_string(),
        Tree::Str(s) if all => format!("\"{}\"", s.replace('"', "\"\"")),
        Tree::Str(s) => format!("'{}'", s.replace('\'', "''")),
        Tree::Field(i) if all || *i > 1 => format!("`{}`", NAMES[*i]),
        Tree::Field(i) => NAMES[*i].into(),
        Tree::Binary(a, op, b) => {
            let own = level(tree);
            // Chains are left-associative; comparisons do not chain at all.
            let left = if own == 3 { 4 } else { own };
            format!("{} {op} {}", sub(a, left), sub(b, own + 1))
        }
        Tree::Not(a) => format!("NOT {}", sub(a, 2)),
        Tree::Neg(a) => format!("- {}", sub(a, 6)),
        Tree::In(a, list, n) => {
            let items: Vec<String> = list.iter().map(|t| print(t, all)).collect();
            format!("{} {}IN ({})", sub(a, 4), not(n), items.join(", "))
        }
        Tree::Between(a, b, c, n) => format!("{} {}between {} and {}", sub(a, 4), not(n), sub(b, 4), sub(c, 4)),
        Tree::IsNull(a, n) => format!("{} IS {}NULL", sub(a, 4), not(n)),
        Tree::If(a, b, c) => format!("if({}, {}, {})", print(a, all), print(b, all), print(c, all)),
    }
}

type Row4 = [Value<'static>; 4];

fn truth(tree: &Tree, row: &Row4) -> Option<bool> {
    oracle(tree, row).as_bool()
}

fn logic(b: Option<bool>) -> Scalar<'static> {
    b.map_or(Scalar::Null, Scalar::Bool)
}

fn or(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}

fn order(a: &Scalar<'_>, b: &Scalar<'_>) -> Option<Ordering> {
    match (a, b) {
        (Scalar::Num(a), Scalar::Num(b)) => a.partial_cmp(b),
        (Scalar::Str(a), Scalar::Str(b)) => Some(a.cmp(b)),
        (Scalar::Bool(a), Scalar::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn oracle(tree: &Tree, row: &Row4) -> Scalar<'static> {
    let negate = |b: Option<bool>, n: &bool| logic(b.map(|b| b != *n));
    match tree {
        Tree::Null => Scalar::Null,
        Tree::Bool(b) => Scalar::Bool(*b),
        Tree::Num(n) => Scalar::Num(*n as f64),
        Tree::Str(s) => Scalar::Str(s.clone().into()),
        Tree::Field(i) => row[*i].into(),
        Tree::Not(a) => logic(truth(a, row).map(|b| !b)),
        Tree::Neg(a) => oracle(a, row).as_f64().map_or(Scalar::Null, |x| Scalar::Num(-x)),
        Tree::In(a, list, n) => {
            let a = oracle(a, row);
            let found = list.iter().map(|item| order(&a, &oracle(item, row)).map(Ordering::is_eq));
            negate(found.fold(Some(false), or), n)
        }
        Tree::Between(a, b, c, n) => {
            let (a, b, c) = (oracle(a, row), oracle(b, row), oracle(c, row));
            let outside = or(order(&a, &b).map(Ordering::is_lt), order(&a, &c).map(Ordering::is_gt));
            negate(outside.map(|b| !b), n)
        }
        Tree::IsNull(a, n) => Scalar::Bool(oracle(a, row).is_null() != *n),
        Tree::If(a, b, c) => oracle(if truth(a, row) == Some(true) { b } else { c }, row),
        Tree::Binary(a, "OR", b) => logic(or(truth(a, row), truth(b, row))),
        // De Morgan's AND
        Tree::Binary(a, "AND", b) => logic(or(truth(a, row).map(|b| !b), truth(b, row).map(|b| !b)).map(|b| !b)),
        Tree::Binary(a, op, b) => binary(oracle(a, row), op, oracle(b, row)),
    }
}

fn binary(a: Scalar<'static>, op: &str, b: Scalar<'static>) -> Scalar<'static> {
    let order = order(&a, &b);
    let compared = match op {
        "=" => order.map(Ordering::is_eq),
        "!=" => order.map(Ordering::is_ne),
        "<" => order.map(Ordering::is_lt),
        "<=" => order.map(Ordering::is_le),
        ">" => order.map(Ordering::is_gt),
        ">=" => order.map(Ordering::is_ge),
        _ => {
            let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) else {
                return Scalar::Null;
            };
            let x = match op {
                "+" => a + b,
                "-" => a - b,
                "*" => a * b,
                "/" => a / b,
                _ => a % b,
            };
            return if x.is_finite() { Scalar::Num(x) } else { Scalar::Null };
        }
    };
    logic(compared)
}

fn value() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-4..5_i64).prop_map(Value::Int),
        prop::sample::select(vec![0.5, -2.0, 1e308]).prop_map(Value::Float),
        prop::sample::select(vec!["", "a", "b'"]).prop_map(Value::Str),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_the_plain_evaluator(tree in tree(), row in prop::array::uniform4(value())) {
        let expected = oracle(&tree, &row);
        for all in [false, true] {
            let text = print(&tree, all);
            let mut fields = Fields::default();
            let expr = Expr::parse(&text, &mut fields).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
            let names: Vec<&str> = fields.names().collect();
            let get = |slot: Slot| NAMES.iter().position(|n| *n == names[slot.0]).map_or(Value::Null, |i| row[i]);
            prop_assert_eq!(&expr.eval(&get), &expected, "{}", text);
            prop_assert_eq!(expr.test_with(&get), expected.as_bool(), "{}", text);
            prop_assert!(expr.is_condition() || expected.as_bool().is_none(), "{}", text);
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused_inside_it(text in "\\PC{0,60}") {
        check(&text)?;
    }

    #[test]
    fn any_tokens_are_parsed_or_refused(words in prop::collection::vec(prop::sample::select(vec![
        "(", ")", ",", "a", "1", "-", "+", "*", "<", "=", "'x'", "and", "or", "NOT", "in", "between", "is", "null",
        "matches", "if", "min", "`q", "`", "'", "1e", ".", "é", "\n"]), 0..40), glue in prop::sample::select(vec!["", " "])) {
        check(&words.join(glue))?;
    }
}

/// Parses or points into the text; what parses can be evaluated.
fn check(text: &str) -> Result<(), TestCaseError> {
    match Expr::parse(text, &mut Fields::default()) {
        Ok(expr) => drop(expr.eval(&|_| Value::Null)),
        Err(issue) => {
            let at = issue.at.ok_or_else(|| TestCaseError::fail("no position"))?;
            prop_assert!(text.is_char_boundary(at), "{} in {:?}", at, text);
        }
    }
    Ok(())
}
