//! Expressions: any text parses or is refused; what parses evaluates on any row.
//!
//! Input: the expression, then (after a byte 0x1E) a record; without one a fixed record stands in.
//! Held: a condition's test is its value; no number is NaN or infinite; a refused text binds no
//! field; the same text parses to the same answer twice.

use perfstream_core::decode::{DecodeConfig, Decoder, Record};
use perfstream_core::expr::{Expr, Scalar};
use perfstream_core::row::{Fields, Rows};
use perfstream_core::{Context, Output};

const ROW: &[u8] = br#"{"value":2600.5,"n":-3,"page":"/checkout","ok":true,"none":null,"s":"1e3","a":{"b":{"c":"x\"y"},"n":7},"l":[1,"2",null]}"#;

/// See the module.
pub fn expression(data: &[u8]) {
    let (text, record) = match data.iter().position(|b| *b == 0x1E) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, ROW),
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let mut fields = Fields::default();
    fields.slot("page");
    let expr = match Expr::parse(text, &mut fields) {
        Ok(expr) => expr,
        Err(issue) => {
            assert_eq!(fields.names().count(), 1, "a refused text bound a field");
            assert!(!issue.message.is_empty());
            return;
        }
    };
    let mut out = Output::default();
    out.begin(&[]);
    let mut decoder = Decoder::new(DecodeConfig { events_only: true, ..DecodeConfig::default() }, &Context::default());
    decoder.decode(&Record { offset: 0, log_time: 0, key: None, value: record }, &mut out);
    let batch = out.as_batch();
    let mut rows = Rows::new(&batch, &fields, 0);
    let row = rows.next().expect("one row").expect("our own row");
    let value = expr.eval_row(&row);
    if let Scalar::Num(x) = value {
        assert!(x.is_finite(), "{x}");
    }
    assert_eq!(expr.test(&row), value.as_bool(), "test and value differ: {value:?}");
    assert!(value.as_bool().is_none() || expr.is_condition(), "is_condition");
    let again = Expr::parse(text, &mut fields.clone()).expect("it parsed before");
    assert_eq!(again.eval_row(&row), value);
    assert_eq!(again.slots(), expr.slots());
}
