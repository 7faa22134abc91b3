//! Values, truth tables, binding.

mod errors;
mod properties;

use super::*;

fn value_of(text: &str, row: &[(&str, Value<'static>)]) -> Scalar<'static> {
    let mut fields = Fields::default();
    let expr: &'static Expr =
        Box::leak(Box::new(Expr::parse(text, &mut fields).unwrap_or_else(|e| panic!("{text}: {e}"))));
    let names: Vec<String> = fields.names().map(String::from).collect();
    expr.eval(&|slot| row.iter().find(|(n, _)| names[slot.0] == *n).map_or(Value::Null, |(_, v)| *v))
}

const ROW: [(&str, Value<'static>); 8] = [
    ("forecast_a b_1m30s", Value::Int(7)),
    ("x", Value::Int(6)),
    ("y", Value::Float(2.5)),
    ("s", Value::Str("Größe")),
    ("t", Value::Bool(true)),
    ("f", Value::Bool(false)),
    ("n", Value::Null),
    ("list", Value::Json("[1,2]")),
];

/// Each text yields what the text behind it yields.
#[test]
fn values() {
    for (text, same) in [
        // Precedence
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("10 - 4 - 3", "3"),
        ("100 / 10 / 5", "2"),
        ("7 % 4 * 2", "6"),
        ("-x + 1", "-5"),
        ("- - x", "6"),
        ("2 - -x", "8"),
        ("x-1", "5"),
        ("f AND f OR t", "true"),
        ("t OR f AND f", "true"),
        ("NOT f AND f", "false"),
        ("NOT (f AND f)", "true"),
        ("NOT x = 5", "true"),
        ("x + 1 > y * 2 AND x IN (1, 2 + 4)", "true"),
        ("x BETWEEN 1 AND 6 AND f", "false"),
        ("x NOT BETWEEN 1 AND 5 OR f", "true"),
        ("t and Not f aNd TRUE", "true"),
        // Durations are milliseconds, and a forecast is the field of that name.
        ("30m", "1800000"),
        ("1h30m + 1.5s - 2ms", "5401498"),
        ("forecast(x, 15m) IS NULL", "true"),
        ("Forecast(`a b`, 90s) + 1", "8"),
        // Comparisons
        ("x = 6", "true"),
        ("x == 6.0", "true"),
        ("x <> 6", "false"),
        ("x != y", "true"),
        ("x <= 6 AND x >= 6 AND NOT x < 6 AND NOT x > 6", "true"),
        ("s = 'Größe'", "true"),
        ("s > \"Gr\"", "true"),
        ("s = 6", "null"),
        ("x = 'Größe'", "null"),
        ("n = null", "null"),
        ("n IS NULL AND nosuch IS NULL AND x IS NOT NULL", "true"),
        ("t = true", "true"),
        ("list = list", "true"),
        ("list < list", "null"),
        // IN as a chain of OR
        ("x IN (6, 'a', null)", "true"),
        ("x IN (5, 7)", "false"),
        ("x IN (5, null)", "null"),
        ("x IN (5, 'a')", "null"),
        ("x NOT IN (5, 7)", "true"),
        ("n IN (1)", "null"),
        ("s IN ('a', 'Größe')", "true"),
        ("t IN (false, true)", "true"),
        ("x IN (y, y + 3.5)", "true"),
        ("x IN (y, n)", "null"),
        // MATCHES searches
        ("s MATCHES 'r.ß'", "true"),
        ("s MATCHES '^r'", "false"),
        ("s NOT MATCHES '^r'", "true"),
        ("x MATCHES '6'", "null"),
        // No number is null
        ("x / 0", "null"),
        ("x % 0", "null"),
        ("0 / 0 = 0", "null"),
        ("1e308 * 10", "null"),
        ("sqrt(-1)", "null"),
        ("ln(0)", "null"),
        ("s + 1", "null"),
        ("-s", "null"),
        // Functions
        ("abs(-3)", "3"),
        ("min(x, y, 9)", "2.5"),
        ("max(x, y)", "6"),
        ("max(x, n)", "null"),
        ("round(2.5)", "3"),
        ("round(-2.5)", "-3"),
        ("round(1.005 * 1000, -2)", "1000"),
        ("round(2.345, 2)", "2.35"),
        ("round(1e300, 15)", "1e300"),
        ("floor(y) + ceil(y)", "5"),
        ("sqrt(16)", "4"),
        ("ln(1)", "0"),
        ("coalesce(n, nosuch, s)", "'Größe'"),
        ("coalesce(n)", "null"),
        ("lower(s)", "'größe'"),
        ("UPPER('aß1')", "'ASS1'"),
        ("lower('abc')", "'abc'"),
        ("length(s)", "5"),
        ("length(x)", "null"),
        ("if(x > 5, 'big', 'small')", "'big'"),
        ("if(n > 5, 'big', 'small')", "'small'"),
        ("contains(s, 'röß')", "true"),
        ("starts_with(s, 'r')", "false"),
        ("starts_with(n, 'r')", "null"),
        // Lexis
        ("`x`", "6"),
        ("'it''s'", "\"it's\""),
        ("\"a\"\"b\"", "'a\"b'"),
        ("length('a\\d')", "3"),
        (".5 + 1.5e1 + 1E-1", "15.6"),
    ] {
        assert_eq!(value_of(text, &ROW), value_of(same, &ROW), "{text}");
    }
}

/// Kleene's tables, with `n` (null) as the unknown.
#[test]
fn three_valued_logic() {
    for (a, b, and, or) in [
        ("t", "t", "true", "true"),
        ("t", "f", "false", "true"),
        ("t", "n", "null", "true"),
        ("f", "f", "false", "false"),
        ("f", "n", "false", "null"),
        ("n", "n", "null", "null"),
    ] {
        for (a, b) in [(a, b), (b, a)] {
            assert_eq!(value_of(&format!("{a} AND {b}"), &ROW), value_of(and, &ROW), "{a} AND {b}");
            assert_eq!(value_of(&format!("{a} OR {b}"), &ROW), value_of(or, &ROW), "{a} OR {b}");
        }
    }
    for (text, same) in
        [("NOT t", "false"), ("NOT f", "true"), ("NOT n", "null"), ("NOT x", "null"), ("x AND t", "null")]
    {
        assert_eq!(value_of(text, &ROW), value_of(same, &ROW), "{text}");
    }
    // BETWEEN is the AND of two comparisons.
    for (text, same) in [
        ("n BETWEEN 1 AND 2", "null"),
        ("x BETWEEN 7 AND n", "false"),
        ("x BETWEEN n AND 5", "false"),
        ("x BETWEEN n AND 7", "null"),
        ("x NOT BETWEEN n AND 5", "true"),
        ("s BETWEEN 'A' AND 'Z'", "true"),
        ("s BETWEEN 1 AND 9", "null"),
    ] {
        assert_eq!(value_of(text, &ROW), value_of(same, &ROW), "{text}");
    }
}

#[test]
fn long_lists_are_searched() {
    let numbers: Vec<String> = (0..500).rev().map(|n| (n * 3).to_string()).collect();
    let texts: Vec<String> = (0..500).map(|n| format!("'p{}'", n * 3)).collect();
    let mut fields = Fields::default();
    let number = Expr::parse(&format!("x IN ({}, -0)", numbers.join(",")), &mut fields).unwrap();
    let text = Expr::parse(&format!("x IN ({})", texts.join(",")), &mut fields).unwrap();
    for n in 0..1500_i64 {
        assert_eq!(number.test_with(&|_| Value::Int(n)), Some(n % 3 == 0), "{n}");
        let page = format!("p{n}");
        assert_eq!(text.test_with(&|_| Value::Str(&page)), Some(n % 3 == 0), "{n}");
    }
    assert_eq!(number.test_with(&|_| Value::Float(-0.0)), Some(true));
    assert_eq!(number.test_with(&|_| Value::Str("p3")), None);
}

#[test]
fn fields_are_bound_once_in_order() {
    let mut fields = Fields::default();
    fields.slot("other");
    let expr = Expr::parse("b > 1 AND a.c = `b` AND `page-load` > a.c", &mut fields).unwrap();
    assert_eq!(expr.slots(), [Slot(1), Slot(2), Slot(3)]);
    assert_eq!(fields.names().collect::<Vec<_>>(), ["other", "b", "a.c", "page-load"]);
    assert_eq!(expr.text(), "b > 1 AND a.c = `b` AND `page-load` > a.c");
    let kinds = ["a > 1", "a", "if(a, b, true)", "null", "a + 1", "'x'", "-a", "coalesce(1, 2)", "abs(a)"];
    let conditions = kinds.map(|text| Expr::parse(text, &mut fields).unwrap().is_condition());
    assert_eq!(conditions, [true, true, true, true, false, false, false, false, false]);
}

#[test]
fn a_nested_text_with_escapes_is_a_text() {
    let row = [("user.name", Value::Json(r#""a\nb""#))];
    assert_eq!(value_of("user.name MATCHES 'a\\sb' AND length(user.name) = 3", &row), Scalar::Bool(true));
    assert_eq!(value_of("user.name != 'x'", &row), Scalar::Bool(true));
}
