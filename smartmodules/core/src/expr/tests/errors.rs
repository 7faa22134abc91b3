//! What is refused: the text of every error, and the limits.

use super::*;

#[test]
fn errors_say_where_what_and_how() {
    for (text, at, message) in [
        ("", 0, "expected a value, found the end"),
        ("value >", 7, "expected a value, found the end"),
        ("(value > AND 1)", 9, "expected a value, found `AND`"),
        ("max(a, b AND", 12, "expected a value, found the end"),
        ("abs(a b)", 6, "expected `,` or `)`, found `b` (the `(` at byte 3 is not closed)"),
        ("(a > 1 b", 7, "expected `)`, found `b` (the `(` at byte 0 is not closed)"),
        ("(a + 1 AND (b = 2)", 18, "expected `)`, found the end (the `(` at byte 0 is not closed)"),
        ("a > 1)", 5, "expected an operator or the end, found `)` (there is no `(` for it)"),
        ("a > 1 b", 6, "expected an operator or the end, found `b`"),
        (
            "a LIKE 'x'",
            2,
            "expected an operator or the end, found `LIKE` (use MATCHES 'regex', contains(text, part) or starts_with(text, part))",
        ),
        (
            "1 < a < 2",
            6,
            "expected `AND`, `OR` or the end, found `<` (comparisons do not chain; write `a < b AND b < c`)",
        ),
        ("a = 'x", 4, "expected a closing `'`, found the end (it opens here; inside, the quote is written twice)"),
        ("`a = 1", 0, "expected a closing backtick, found the end (it opens here; inside, the quote is written twice)"),
        ("`` = 1", 0, "expected a field name between the backticks, found nothing"),
        ("a && b", 2, "expected `AND`, found `&&`"),
        ("a || b", 2, "expected `OR`, found `||`"),
        ("!a", 0, "expected `NOT`, found `!`"),
        (
            "größe > 1 # x",
            12,
            "expected a name, a number, a text or an operator, found `#` (a field name with other characters stands in backticks)",
        ),
        (
            "a > 5x",
            4,
            "expected a number, found `5x` (a name that starts with a digit stands in backticks; a duration is as `30m`)",
        ),
        (
            "a > 1.",
            4,
            "expected a number, found `1.` (a name that starts with a digit stands in backticks; a duration is as `30m`)",
        ),
        ("a > .", 4, "expected a number or a field name, found `.`"),
        ("a > 1e999", 4, "expected a number up to 1.8e308, found a larger one"),
        ("a IS 1", 5, "expected `NULL` or `NOT NULL`, found `1` (for other values use `=`)"),
        ("a IS NOT", 8, "expected `NULL`, found the end (for other values use `=`)"),
        ("a NOT > 1", 6, "expected `IN`, `BETWEEN` or `MATCHES`, found `>`"),
        ("a IN 1", 5, "expected `(` and the items of the list, found `1`"),
        ("a IN ()", 6, "expected a value, found `)`"),
        ("a BETWEEN 1 OR 2", 12, "expected `AND` and the upper bound, found `OR`"),
        ("a MATCHES b", 10, "expected a regular expression in quotes, found `b`"),
        ("a MATCHES '('", 10, "expected a regular expression, found `'('`: found open group without closing ')'"),
        ("1 + aabs(a)", 4, "expected a function, found `aabs` (did you mean `abs`?)"),
        ("starts_wiht(a, 'b')", 0, "expected a function, found `starts_wiht` (did you mean `starts_with`?)"),
        (
            "median(a)",
            0,
            "expected a function, found `median` (functions: abs, min, max, round, floor, ceil, sqrt, ln, coalesce, lower, upper, length, if, contains, starts_with, forecast)",
        ),
        ("forecast(1, 5m)", 9, "expected a field, found `1` (as in `forecast(p75_lcp, 15m)`)"),
        ("forecast(a)", 10, "expected `,` and a horizon, found `)` (as in `forecast(p75_lcp, 15m)`)"),
        (
            "forecast(a, 5)",
            12,
            "expected a horizon such as `15m`, found `5` (one of `horizons` of the step `forecast`)",
        ),
        ("forecast(a, 5m", 14, "expected `)`, found the end (the `(` at byte 8 is not closed)"),
        ("if(a, 1)", 0, "expected 3 arguments for `if`, found 2"),
        ("round()", 0, "expected 1 to 2 arguments for `round`, found 0"),
        ("1 + min()", 4, "expected at least 1 argument for `min`, found 0"),
        ("abs(1, 2)", 0, "expected 1 argument for `abs`, found 2"),
        (
            "a = b 'a very long text that is cut off'",
            6,
            "expected an operator or the end, found `'a very long text that i…`",
        ),
    ] {
        let mut fields = Fields::default();
        let issue = Expr::parse(text, &mut fields).expect_err(text);
        assert_eq!((issue.at, issue.to_string().as_str()), (Some(at), message), "{text}");
        assert_eq!(issue.path, "");
        assert_eq!(fields.names().count(), 0, "a failed parse binds nothing");
    }
}

#[test]
fn nesting_and_length_are_limited() {
    let parse = |text: &str| Expr::parse(text, &mut Fields::default()).map_err(|e| e.to_string());
    for (open, inner, close) in
        [("(", "a", ")"), ("NOT ", "a", ""), ("- ", "a", ""), ("abs(", "a", ")"), ("a IN (", "1", ")")]
    {
        let nest = |n: usize| format!("{}{inner}{}", open.repeat(n), close.repeat(n));
        assert!(parse(&nest(MAX_DEPTH)).is_ok(), "{open}");
        let error = parse(&nest(MAX_DEPTH + 1)).unwrap_err();
        assert_eq!(error, "expected at most 64 levels of nesting, found more", "{open}");
        assert!(parse(&nest(MAX_BYTES / open.len() - 200)).is_err(), "{open}");
    }
    // Long chains are flat: neither parsing nor evaluation goes deep.
    for op in [" + ", " * ", " AND ", " OR ", "-"] {
        let text = vec!["1"; MAX_BYTES / (op.len() + 1)].join(op);
        assert!(parse(&text).is_ok(), "{op}");
        let _ = value_of(&text, &ROW);
    }
    assert_eq!(parse(&" ".repeat(MAX_BYTES + 1)).unwrap_err(), "expected at most 8192 bytes, found 8193");
    // Megabytes of automaton in a few bytes are refused.
    assert!(parse("a MATCHES '(x{1000}){1000}'").unwrap_err().contains("regular expression"));
}
