//! Writing rows.

use super::batch::{Batch, Row};
use super::{HEADER, Kind, MAGIC, Meta, NO_KEY, OUTPUT_LIMIT_BYTES};
use crate::value::Value;
use rustc_hash::FxHashMap;

/// Appends bytes, short ones word by word: in WASM a copy of unknown length is a call into the host
/// (measured: a tenth of the time of the LCP job), a word is a store.
pub(crate) fn append(dest: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() > 64 {
        dest.extend_from_slice(bytes);
        return;
    }
    dest.reserve(bytes.len());
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        dest.extend_from_slice(word);
    }
    for byte in rest {
        dest.push(*byte);
    }
}

/// Are short texts the same? Word by word: in WASM a comparison of unknown length is a call, and
/// goes byte by byte.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let ((words_a, rest_a), (words_b, rest_b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    words_a.iter().zip(words_b).all(|(a, b)| u64::from_le_bytes(*a) == u64::from_le_bytes(*b))
        && rest_a.iter().zip(rest_b).all(|(a, b)| a == b)
}

/// Ids of field names, and the names by id.
#[derive(Debug, Default)]
pub(crate) struct Names {
    ids: FxHashMap<Box<str>, u32>,
    list: Vec<Box<str>>,
}

impl Names {
    pub(crate) fn id(&mut self, name: &str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.list.len() as u32;
        self.list.push(name.into());
        self.ids.insert(name.into(), id);
        id
    }

    pub(crate) fn get(&self, id: u32) -> Option<&str> {
        self.list.get(id as usize).map(|n| &**n)
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    fn clear(&mut self) {
        self.ids.clear();
        self.list.clear();
    }
}

/// Where a stage writes its rows.
#[derive(Debug, Default)]
pub struct Output {
    rows: Vec<u8>,
    pub(crate) names: Names,
    count: usize,
}

impl Output {
    /// Empties it and takes over the names of the batch that is read next, so that
    /// [`Output::pass`] can copy its rows.
    pub fn begin(&mut self, names: &[&str]) {
        self.rows.clear();
        self.count = 0;
        // The same names in the same order as before: the usual case, and nothing to do.
        let same = self.names.len() >= names.len() && names.iter().zip(&self.names.list).all(|(a, b)| **a == **b);
        if !same || self.names.len() > 4096 {
            self.names.clear();
            for name in names {
                // A forged batch may name a field twice; both ids must stand.
                let id = self.names.list.len() as u32;
                self.names.list.push((*name).into());
                self.names.ids.entry((*name).into()).or_insert(id);
            }
        }
    }

    /// Passes a row of the current batch on, unchanged.
    pub fn pass(&mut self, row: &Row<'_>) {
        self.rows.extend_from_slice(row.raw);
        self.count += 1;
    }

    /// Passes a row of the current batch on and lets more fields be added.
    pub fn extend(&mut self, row: &Row<'_>) -> RowWriter<'_> {
        let start = self.rows.len();
        self.rows.extend_from_slice(row.raw);
        self.count += 1;
        RowWriter { start, key_len: row.key.map_or(0, <[u8]>::len), out: self }
    }

    /// Starts a new row; it ends when the writer goes.
    pub fn row(&mut self, meta: Meta, key: Option<&[u8]>) -> RowWriter<'_> {
        let start = self.rows.len();
        let mut head = [0; 4 + HEADER];
        head[4] = meta.kind as u8;
        head[5..13].copy_from_slice(&meta.offset.to_le_bytes());
        head[13..21].copy_from_slice(&meta.log_time.to_le_bytes());
        head[21..29].copy_from_slice(&meta.event_time.to_le_bytes());
        head[29..].copy_from_slice(&key.map_or(NO_KEY, |k| k.len() as u32).to_le_bytes());
        self.rows.extend_from_slice(&head);
        if let Some(key) = key {
            append(&mut self.rows, key);
        }
        self.count += 1;
        RowWriter { start, key_len: key.map_or(0, <[u8]>::len), out: self }
    }

    /// Should the stage stop emitting and let the host drain?
    pub fn is_full(&self) -> bool {
        self.rows.len() >= OUTPUT_LIMIT_BYTES
    }

    /// Bytes of the rows written.
    pub fn size_bytes(&self) -> usize {
        self.rows.len()
    }

    /// Nothing written?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Rows written.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Appends the packed batch to `dest`.
    pub fn pack_into(&self, dest: &mut Vec<u8>) {
        dest.extend_from_slice(&MAGIC);
        dest.extend_from_slice(&(self.rows.len() as u32).to_le_bytes());
        dest.extend_from_slice(&self.rows);
        dest.extend_from_slice(&(self.names.list.len() as u32).to_le_bytes());
        for name in &self.names.list {
            dest.extend_from_slice(&(name.len() as u32).to_le_bytes());
            dest.extend_from_slice(name.as_bytes());
        }
    }

    /// How many bytes [`Output::pack_into`] appends.
    pub fn packed_len(&self) -> usize {
        MAGIC.len() + 4 + self.rows.len() + 4 + self.names.list.iter().map(|name| 4 + name.len()).sum::<usize>()
    }

    /// The packed batch.
    pub fn pack(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.packed_len());
        self.pack_into(&mut bytes);
        bytes
    }

    /// The rows written so far, to be read again.
    pub fn as_batch(&self) -> Batch<'_> {
        Batch { rows: &self.rows, names: self.names.list.iter().map(|n| &**n).collect() }
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.rows.truncate(len);
        self.count -= 1;
    }
}

/// Writes the fields of one row; the row is complete when this goes out of scope.
pub struct RowWriter<'o> {
    start: usize,
    key_len: usize,
    out: &'o mut Output,
}

impl RowWriter<'_> {
    /// Appends a field. NaN and infinities become null.
    pub fn field<'v>(&mut self, name: &str, value: impl Into<Value<'v>>) -> &mut Self {
        let id = self.out.names.id(name);
        self.id_field(id, value.into())
    }

    pub(crate) fn id_field(&mut self, id: u32, value: Value<'_>) -> &mut Self {
        let [a, b, c, d] = id.to_le_bytes();
        let rows = &mut self.out.rows;
        // Arrays of known length: each is one check of the capacity and a few stores.
        let number = |tag: u8, [e, f, g, h, i, j, k, l]: [u8; 8]| [a, b, c, d, tag, e, f, g, h, i, j, k, l];
        let mut text = |tag: u8, text: &str| {
            let [e, f, g, h] = (text.len() as u32).to_le_bytes();
            rows.extend_from_slice(&[a, b, c, d, tag, e, f, g, h]);
            append(rows, text.as_bytes());
        };
        match value {
            Value::Str(s) => text(5, s),
            Value::Json(s) => text(6, s),
            Value::Int(n) => rows.extend_from_slice(&number(3, n.to_le_bytes())),
            Value::Float(x) if x.is_finite() => rows.extend_from_slice(&number(4, x.to_le_bytes())),
            Value::Null | Value::Float(_) => rows.extend_from_slice(&[a, b, c, d, 0]),
            Value::Bool(yes) => rows.extend_from_slice(&[a, b, c, d, 1 + yes as u8]),
        }
        self
    }

    /// Appends a JSON field whose text `write` appends to the buffer it is given.
    pub(crate) fn json_field(&mut self, id: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let rows = &mut self.out.rows;
        rows.extend_from_slice(&id.to_le_bytes());
        rows.push(6);
        let at = rows.len();
        rows.extend_from_slice(&[0; 4]);
        write(rows);
        let len = (rows.len() - at - 4) as u32;
        rows[at..at + 4].copy_from_slice(&len.to_le_bytes());
    }

    pub(crate) fn names(&mut self) -> &mut Names {
        &mut self.out.names
    }

    /// Sets what may be known only after the fields.
    pub(crate) fn set_meta(&mut self, kind: Kind, log_time: i64, event_time: i64) {
        let at = self.start + 4;
        self.out.rows[at] = kind as u8;
        self.out.rows[at + 9..at + 17].copy_from_slice(&log_time.to_le_bytes());
        self.out.rows[at + 17..at + 25].copy_from_slice(&event_time.to_le_bytes());
    }

    /// Takes the fields back.
    pub(crate) fn clear_fields(&mut self) {
        let fields = self.start + 4 + HEADER + self.key_len;
        self.out.rows.truncate(fields);
    }

    /// Takes the row back.
    pub(crate) fn cancel(self) {
        let start = self.start;
        self.out.truncate(start);
    }
}

impl Drop for RowWriter<'_> {
    fn drop(&mut self) {
        // After `cancel` there is no row to close.
        if let Some(body) = self.out.rows.len().checked_sub(self.start + 4) {
            self.out.rows[self.start..self.start + 4].copy_from_slice(&(body as u32).to_le_bytes());
        }
    }
}
