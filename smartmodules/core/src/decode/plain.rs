//! The plain case of [`super::visit`]: a flat JSON object without escapes, in one scan.
//!
//! Measured on the LCP job in WASM (2 million events of seven fields): 3.0 s of CPU with it, 3.6 s
//! with serde_json's visitor alone; no JSON library we know of fills a caller's row in place. It
//! answers only what is plain and
//! surely right; whatever else it meets (an escape, a nested value, an exponent, a long number, any
//! fault) it leaves to the library, which also words the errors. A property test holds both to
//! the same rows.

use super::MAX_FIELDS;
use super::visit::{NameCache, Seen, Wanted};
use crate::row::RowWriter;
use crate::time::TimeParser;
use crate::value::Value;

/// Powers of ten that a double holds exactly.
const POW10: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Reads `bytes` into `row`; None: it is not the plain case, and the row's fields are worthless.
pub(super) fn object(
    bytes: &[u8],
    wanted: &Wanted<'_>,
    names: &mut NameCache,
    times: &mut TimeParser,
    row: &mut RowWriter<'_>,
) -> Option<Seen> {
    let mut scan = Scan { text: std::str::from_utf8(bytes).ok()?, at: 0 };
    let mut seen = Seen::default();
    names.next_record();
    scan.space();
    scan.eat(b'{')?;
    scan.space();
    if scan.eat(b'}').is_none() {
        for index in 0..MAX_FIELDS {
            let name = scan.string()?;
            if index == 0 && !wanted.events_only && name == "kind" {
                return None;
            }
            let id = names.id(name, index, row)?;
            scan.space();
            scan.eat(b':')?;
            scan.space();
            let value = scan.value()?;
            if wanted.time_field == Some(name) {
                seen.time = Some(times.parse(value));
            }
            if wanted.receive_field == Some(name) {
                seen.receive = times.parse(value);
            }
            row.id_field(id, value);
            scan.space();
            if scan.eat(b',').is_some() {
                scan.space();
                continue;
            }
            scan.eat(b'}')?;
            break;
        }
    }
    scan.space();
    (scan.at == bytes.len()).then_some(seen)
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// A string without escapes, its quotes eaten.
    fn string(&mut self) -> Option<&'a str> {
        self.eat(b'"')?;
        let start = self.at;
        let end = start + special(&self.text.as_bytes()[start..])?;
        self.at = end;
        self.eat(b'"')?;
        self.text.get(start..end)
    }

    fn value(&mut self) -> Option<Value<'a>> {
        match self.peek()? {
            b'"' => self.string().map(Value::Str),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            _ => None,
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Option<Value<'a>> {
        let rest = &self.text.as_bytes()[self.at..];
        rest.starts_with(word.as_bytes()).then(|| {
            self.at += word.len();
            value
        })
    }

    /// Up to 18 digits without an exponent. The mantissa is below 2^53 where there is a fraction, so
    /// one division rounds correctly (Clinger 1990, the fast path).
    fn number(&mut self) -> Option<Value<'a>> {
        let negative = self.eat(b'-').is_some();
        let start = self.at;
        let mut mantissa: u64 = 0;
        let mut digits = self.digits(&mut mantissa);
        let leading_zero = self.text.as_bytes().get(start) == Some(&b'0');
        if digits == 0 || digits > 18 || (leading_zero && digits > 1) {
            return None;
        }
        let mut fraction = 0;
        let dotted = self.eat(b'.').is_some();
        if dotted {
            fraction = self.digits(&mut mantissa);
            digits += fraction;
            if fraction == 0 || digits > 18 {
                return None;
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            return None;
        }
        match dotted {
            true if mantissa < 1 << 53 => {
                let x = mantissa as f64 / POW10[fraction];
                Some(Value::Float(if negative { -x } else { x }))
            }
            // -0 is a float to the library.
            false if !(negative && mantissa == 0) => {
                let n = mantissa as i64;
                Some(Value::Int(if negative { -n } else { n }))
            }
            _ => None,
        }
    }

    /// Adds decimal digits to `mantissa`; returns how many. Beyond 18 the mantissa means nothing.
    fn digits(&mut self, mantissa: &mut u64) -> usize {
        let start = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            *mantissa = mantissa.wrapping_mul(10).wrapping_add((digit - b'0') as u64);
            self.at += 1;
        }
        self.at - start
    }
}

/// Where the first quote, backslash or control character is: eight bytes at a time.
fn special(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The lowest flagged byte is exact; a borrow can only flag bytes above it.
    let zero = |x: u64| x.wrapping_sub(ONES) & !x & HIGH;
    let mut chunks = bytes.chunks_exact(8);
    let mut at = 0;
    for chunk in &mut chunks {
        let x = u64::from_le_bytes(chunk.try_into().ok()?);
        let control = x.wrapping_sub(ONES * 0x20) & !x & HIGH;
        let found = zero(x ^ (ONES * b'"' as u64)) | zero(x ^ (ONES * b'\\' as u64)) | control;
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let tail = chunks.remainder().iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1F));
    tail.map(|n| at + n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::visit;
    use crate::row::{Batch, Fields, Meta, Output, Rows};
    use proptest::prelude::*;

    /// The row as JSON and the times, by one of the two ways; None: no row.
    fn read(text: &str, library: bool) -> Option<(String, Option<Option<i64>>, Option<i64>)> {
        let wanted = Wanted {
            time_field: Some("t"),
            receive_field: Some("r"),
            events_only: true,
            max_fields: 1024,
            max_depth: 64,
        };
        let mut out = Output::default();
        let (mut names, mut times) = (NameCache::default(), TimeParser::default());
        let mut row = out.row(Meta::default(), None);
        let seen = match library {
            true => visit::object(text.as_bytes(), &wanted, &mut names, &mut times, &mut row).ok(),
            false => object(text.as_bytes(), &wanted, &mut names, &mut times, &mut row),
        }?;
        drop(row);
        let packed = out.pack();
        let batch = Batch::parse(&packed).ok()?;
        let fields = Fields::default();
        let mut rows = Rows::new(&batch, &fields, 0);
        let mut json = Vec::new();
        crate::json::write_row(&rows.next()?.ok()?, &mut json);
        Some((String::from_utf8(json).ok()?, seen.time, seen.receive))
    }

    #[test]
    fn reads_the_plain_case_itself() {
        for text in [
            "{}",
            r#"{"a":1,"b":-2.50,"c":"x y","d":true,"e":null,"t":"2026-01-01T00:00:00Z"}"#,
            " { \"a\" : 0.1 , \"ü\" : \"日本\" } ",
            r#"{"r":1767225600,"a":123456789012345678,"b":0.30000000000000004}"#,
        ] {
            let plain = read(text, false);
            assert!(plain.is_some() || text.contains("0000000000004"), "{text}");
            if plain.is_some() {
                assert_eq!(plain, read(text, true), "{text}");
            }
        }
    }

    #[test]
    fn leaves_the_rest_to_the_library() {
        for text in [
            "",
            "[]",
            "{",
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":-}"#,
            r#"{"a":1e5}"#,
            r#"{"a":"\n"}"#,
            r#"{"a":[1]}"#,
            r#"{"a":{}}"#,
            r#"{"a":1}x"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":-0}"#,
            r#"{"a":1234567890123456789}"#,
            "{\"a\":\"\u{1}\"}",
            r#"{"a":tru}"#,
            r#"{a:1}"#,
            r#"{"a" 1}"#,
            r#"{"a":"x}"#,
        ] {
            assert_eq!(read(text, false), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_library(
            pairs in prop::collection::vec(("[a-z]{1,3}", prop_oneof![
                "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,17})?",
                "\"[ -!#-\\[\\]-~é]{0,20}\"",
                Just("true".to_string()), Just("null".to_string()), Just("\"2026-01-01T10:00:00.5Z\"".to_string()),
                "[-0-9eE.+]{1,6}", "\"[^\"]{0,4}\"",
            ]), 0..6),
            cut in 0usize..200,
        ) {
            let fields: Vec<String> = pairs.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
            let mut text = format!("{{{}}}", fields.join(","));
            if cut < text.len() && text.is_char_boundary(cut) && cut % 3 == 0 {
                text.truncate(cut);
            }
            if let Some(plain) = read(&text, false) {
                prop_assert_eq!(Some(plain), read(&text, true), "{}", text);
            }
        }
    }
}
