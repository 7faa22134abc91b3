//! Cases of bad (`cases/poison/`) and of odd but good records (`cases/harmless/`), one file each.
//!
//! ```json
//! { "why": "…", "reason": "too_deep", "bytes": [{ "text": "[" }, { "repeat": "[", "times": 9 }] }
//! ```
//! `bytes` are pieces in a row: `text`; `hex`; `repeat` with `times`; `packed`, a packed batch as
//! stages write it, with one event; `call`, the bytes of a control call. `event` instead of
//! `bytes` is a good event of the chain with some of its fields replaced (`set`, JSON text, which
//! need not be valid), taken out (`without`) or added (`fields`: so many; `pad_to`: a text that
//! makes the record so long).

use perfstream_core::row::{Meta, Output};
use perfstream_core::{Kind, Tick};
use perfstream_sdk::Call;
use serde::Deserialize;
use std::path::Path;

/// A case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The file's name without its end
    #[serde(skip)]
    pub name: String,
    /// What is special about it
    pub why: String,
    /// Reason of its dead letter; null in `harmless/`
    #[serde(default)]
    pub reason: Option<String>,
    /// The only chain it is for; null: all
    #[serde(default)]
    pub chain: Option<String>,
    /// Does the chain drop it by a rule?
    #[serde(default)]
    pub filtered: bool,
    #[serde(default)]
    bytes: Vec<Piece>,
    #[serde(default)]
    event: Option<Edit>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Piece {
    Text { text: String },
    Hex { hex: String },
    Repeat { repeat: String, times: usize },
    Packed { packed: String },
    Call { call: String },
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Edit {
    set: Vec<(String, String)>,
    first: Vec<(String, String)>,
    without: Vec<String>,
    fields: usize,
    pad_to: usize,
}

/// All cases of a folder under `tests/`; a file that is none fails.
///
/// # Panics
/// If one cannot be read.
pub fn cases(folder: &str) -> Vec<Case> {
    crate::files(folder).iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Case {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut case: Case = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    case.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    assert!(case.bytes.is_empty() || case.event.is_none(), "{}: `bytes` and `event`", case.name);
    case
}

impl Case {
    /// Is it for this chain?
    pub fn is_for(&self, chain: &str) -> bool {
        self.chain.as_deref().is_none_or(|c| c == chain)
    }

    /// The record, where a good one would be `fields` (name, JSON text).
    pub fn record(&self, fields: &[(String, String)]) -> Vec<u8> {
        match &self.event {
            Some(edit) => edit.apply(fields),
            None => self.bytes.iter().flat_map(|piece| piece.bytes(fields)).collect(),
        }
    }
}

/// A JSON object of fields whose values are JSON text.
pub fn object(fields: &[(String, String)]) -> Vec<u8> {
    let fields: Vec<String> =
        fields.iter().map(|(name, text)| format!("{}:{text}", serde_json::Value::from(name.as_str()))).collect();
    format!("{{{}}}", fields.join(",")).into_bytes()
}

impl Edit {
    fn apply(&self, fields: &[(String, String)]) -> Vec<u8> {
        let mut fields: Vec<(String, String)> = self.first.iter().chain(fields).cloned().collect();
        fields.retain(|(name, _)| !self.without.contains(name));
        for (name, text) in &self.set {
            match fields.iter_mut().find(|(n, _)| n == name) {
                Some(field) => field.1.clone_from(text),
                None => fields.push((name.clone(), text.clone())),
            }
        }
        for n in fields.len()..self.fields {
            fields.push((format!("f{n}"), n.to_string()));
        }
        let mut bytes = object(&fields);
        if let Some(missing) = self.pad_to.checked_sub(bytes.len() + ",\"note\":\"\"".len()) {
            fields.push(("note".into(), format!("\"{}\"", "x".repeat(missing))));
            bytes = object(&fields);
        }
        bytes
    }
}

impl Piece {
    fn bytes(&self, fields: &[(String, String)]) -> Vec<u8> {
        match self {
            Piece::Text { text } => text.clone().into_bytes(),
            Piece::Repeat { repeat, times } => repeat.repeat(*times).into_bytes(),
            Piece::Hex { hex } => {
                let digits: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
                let byte = |pair: &[u8]| u8::from_str_radix(&String::from_utf8_lossy(pair), 16);
                digits.chunks(2).map(|pair| byte(pair).unwrap_or_else(|e| panic!("{hex}: {e}"))).collect()
            }
            Piece::Packed { packed } => self::packed(packed, fields),
            Piece::Call { call } => match call.as_str() {
                "tick" => Call::Tick(Tick { time: i64::MAX, offset: 0, end_of_input: true }),
                "state" => Call::State(0),
                "restore" => Call::Restore { chunk: b"forged".to_vec(), last: true },
                "control" => Call::Control("{\"type\":\"reference\"}".into()),
                other => panic!("no call `{other}`"),
            }
            .to_bytes(),
        }
    }
}

/// A packed batch with one row: an `event`, or a `window` that would fire every alert.
fn packed(what: &str, fields: &[(String, String)]) -> Vec<u8> {
    let mut out = Output::default();
    let kind = Kind::parse(what).unwrap_or_else(|| panic!("no kind `{what}`"));
    let meta = Meta { kind, offset: 0, log_time: 0, event_time: 4_102_444_800_000_000 };
    let mut row = out.row(meta, None);
    for (name, text) in fields {
        match serde_json::from_str(text) {
            Ok(serde_json::Value::String(text)) => row.field(name, text.as_str()),
            Ok(serde_json::Value::Number(n)) => row.field(name, n.as_f64().unwrap_or_default()),
            _ => row.field(name, false),
        };
    }
    row.field("p75", 99_999.0);
    drop(row);
    out.pack()
}
