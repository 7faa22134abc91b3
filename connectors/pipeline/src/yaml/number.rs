//! What a plain scalar means (YAML 1.2 core schema), with the digits of a number kept.

use super::Data;

/// Null, a boolean, a number or text. A number that JSON cannot carry (`.inf`, `.nan`, `1e999`)
/// has no digits.
pub(super) fn resolve(text: &str) -> Data {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
        "true" | "True" | "TRUE" => return Data::Bool(true),
        "false" | "False" | "FALSE" => return Data::Bool(false),
        _ => {}
    }
    match number(text) {
        Some(digits) => Data::Number(digits),
        None => Data::String(text.into()),
    }
}

fn number(text: &str) -> Option<String> {
    let radix =
        |digits: &str, radix| i64::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with(['+', '-']));
    if let Some(n) =
        text.strip_prefix("0x").and_then(|d| radix(d, 16)).or_else(|| text.strip_prefix("0o").and_then(|d| radix(d, 8)))
    {
        return Some(n.to_string());
    }
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(body, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(String::new());
    }
    let digits = body.bytes().filter(u8::is_ascii_digit).count();
    let shape = body.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if digits == 0 || !shape || !body.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    if !value.is_finite() {
        return Some(String::new());
    }
    // As it stands, if JSON reads it; `007`, `.5`, `1.` and `+1` are written anew.
    if serde_json::from_str::<serde_json::Number>(text).is_ok() {
        return Some(text.into());
    }
    match text.parse::<i64>() {
        Ok(n) => Some(n.to_string()),
        Err(_) => Some(serde_json::Number::from_f64(value)?.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_schema() {
        for (text, digits) in [
            ("1", "1"),
            ("-7", "-7"),
            ("+7", "7"),
            ("007", "7"),
            ("0x10", "16"),
            ("0o17", "15"),
            ("1.50", "1.50"),
            (".5", "0.5"),
            ("1.", "1.0"),
            ("1e3", "1e3"),
            ("12345678901234567890", "12345678901234567890"),
            (".inf", ""),
            ("-.inf", ""),
            (".nan", ""),
            ("1e999", ""),
        ] {
            assert_eq!(resolve(text), Data::Number(digits.into()), "{text}");
        }
        for text in
            ["5m", "1.2.3", "0x", "0xg", "0x-1", "-", ".", "e5", "yes", "inf", "nan", "1_000", "--1", "2026-01-01"]
        {
            assert_eq!(resolve(text), Data::String(text.into()), "{text}");
        }
        assert_eq!(resolve("~"), Data::Null);
        assert_eq!(resolve("True"), Data::Bool(true));
    }
}
