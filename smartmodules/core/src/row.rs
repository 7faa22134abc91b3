//! Rows and the packed batch: how records travel between stages.
//!
//! A packed batch is one record value: `MAGIC`, the length of the rows (u32), the rows, then the
//! table of field names. Little-endian throughout. The magic is not valid UTF-8, so no JSON, CSV
//! or other text is ever taken for a batch; a forged or torn one reads as [`Corrupt`], never as a
//! panic. Row: `len u32 | kind u8 | offset i64 | log_time i64 | event_time i64 | key len u32
//! (MAX = none) | key | fields`; field: `name u32 | tag u8 | payload`.
//!
//! The name table of an output starts as the input's, so a row that a stage passes through is one
//! memory copy.

mod kind;

pub use kind::Kind;

use crate::clock::NEVER;
use crate::value::Value;
use rustc_hash::FxHashMap;

/// First bytes of a packed batch.
pub const MAGIC: [u8; 4] = [0xFF, b'P', b'S', 0x01];

/// A stage stops emitting in one call at about this many bytes; the host drains the rest.
pub const OUTPUT_LIMIT_BYTES: usize = 3 << 20;

const HEADER: usize = 1 + 8 + 8 + 8 + 4;
const NO_KEY: u32 = u32::MAX;

/// What every row carries beside its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// What it is
    pub kind: Kind,
    /// Offset of the input record it is, or that triggered it
    pub offset: i64,
    /// Log time of that record, microseconds since the epoch
    pub log_time: i64,
    /// Event time in microseconds since the epoch; [`NEVER`] if it has none
    pub event_time: i64,
}

/// The bytes are not a packed batch of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt;

/// A packed batch, read in place.
#[derive(Debug, Clone)]
pub struct Batch<'a> {
    rows: &'a [u8],
    names: Vec<&'a str>,
}

impl<'a> Batch<'a> {
    /// Is this value a packed batch?
    pub fn is_packed(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// Reads the frame and the name table; rows are read one by one.
    pub fn parse(bytes: &'a [u8]) -> Result<Batch<'a>, Corrupt> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(Corrupt)?;
        let mut at = 0;
        let len = take_u32(rest, &mut at)? as usize;
        let rows = take(rest, &mut at, len)?;
        let count = take_u32(rest, &mut at)? as usize;
        let mut names = Vec::with_capacity(count.min(rest.len()));
        for _ in 0..count {
            let len = take_u32(rest, &mut at)? as usize;
            names.push(std::str::from_utf8(take(rest, &mut at, len)?).map_err(|_| Corrupt)?);
        }
        if at != rest.len() {
            return Err(Corrupt);
        }
        Ok(Batch { rows, names })
    }

    /// Field names by id.
    pub fn names(&self) -> &[&'a str] {
        &self.names
    }
}

fn take<'a>(bytes: &'a [u8], at: &mut usize, len: usize) -> Result<&'a [u8], Corrupt> {
    let end = at.checked_add(len).ok_or(Corrupt)?;
    let part = bytes.get(*at..end).ok_or(Corrupt)?;
    *at = end;
    Ok(part)
}

fn take_u32(bytes: &[u8], at: &mut usize) -> Result<u32, Corrupt> {
    let part = take(bytes, at, 4)?;
    Ok(u32::from_le_bytes([part[0], part[1], part[2], part[3]]))
}

fn take_8(bytes: &[u8], at: &mut usize) -> Result<[u8; 8], Corrupt> {
    let part = take(bytes, at, 8)?;
    part.try_into().map_err(|_| Corrupt)
}

/// A field's value at `at`, which moves behind it. Text is checked only where it is wanted.
fn take_value<'a>(bytes: &'a [u8], at: &mut usize, wanted: bool) -> Result<Value<'a>, Corrupt> {
    let tag = *bytes.get(*at).ok_or(Corrupt)?;
    *at += 1;
    Ok(match tag {
        0 => Value::Null,
        1 => Value::Bool(false),
        2 => Value::Bool(true),
        3 => Value::Int(i64::from_le_bytes(take_8(bytes, at)?)),
        4 => Value::Float(f64::from_le_bytes(take_8(bytes, at)?)),
        5 | 6 => {
            let len = take_u32(bytes, at)? as usize;
            let text = take(bytes, at, len)?;
            if !wanted {
                return Ok(Value::Null);
            }
            let text = std::str::from_utf8(text).map_err(|_| Corrupt)?;
            if tag == 5 { Value::Str(text) } else { Value::Json(text) }
        }
        _ => return Err(Corrupt),
    })
}

/// Which fields a stage reads: each gets a slot, so that reading one is an index.
#[derive(Debug, Default, Clone)]
pub struct Fields {
    wanted: Vec<Wanted>,
}

#[derive(Debug, Clone)]
struct Wanted {
    name: Box<str>,
    /// `location.country`: the first part, and the rest to walk inside the object.
    path: Option<(Box<str>, Box<str>)>,
}

/// The place of a field in a stage's rows, from [`Fields::slot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot(pub usize);

impl Fields {
    /// The slot of a field; the same name gives the same slot. A dotted name that is no field of
    /// the row itself is a path into an object.
    pub fn slot(&mut self, name: &str) -> Slot {
        if let Some(at) = self.wanted.iter().position(|w| &*w.name == name) {
            return Slot(at);
        }
        let path = name.split_once('.').map(|(first, rest)| (first.into(), rest.into()));
        self.wanted.push(Wanted { name: name.into(), path });
        Slot(self.wanted.len() - 1)
    }

    /// Names by slot.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.wanted.iter().map(|w| &*w.name)
    }
}

/// Walks the rows of one batch with the slots of one stage bound to it.
pub struct Rows<'a, 'b> {
    batch: &'b Batch<'a>,
    /// Per name id: the slots that want it.
    slot_of: Vec<u16>,
    paths: Vec<(u32, u16, &'b str)>,
    values: Vec<Option<Value<'a>>>,
    at: usize,
}

const NO_SLOT: u16 = u16::MAX;

impl<'a, 'b> Rows<'a, 'b> {
    /// Starts at byte `at` of the rows (0, or what [`Rows::position`] said).
    pub fn new(batch: &'b Batch<'a>, fields: &'b Fields, at: usize) -> Rows<'a, 'b> {
        let mut slot_of = vec![NO_SLOT; batch.names.len()];
        let mut paths = Vec::new();
        let by_name: FxHashMap<&str, u32> =
            batch.names.iter().enumerate().map(|(id, name)| (*name, id as u32)).collect();
        for (slot, wanted) in fields.wanted.iter().enumerate() {
            if let Some(id) = by_name.get(&*wanted.name) {
                slot_of[*id as usize] = slot as u16;
            } else if let Some((first, rest)) = &wanted.path
                && let Some(id) = by_name.get(&**first)
            {
                paths.push((*id, slot as u16, &**rest));
            }
        }
        Rows { batch, slot_of, paths, values: vec![None; fields.wanted.len()], at }
    }

    /// Where the next row starts.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The next row, or None at the end.
    #[allow(clippy::should_implement_trait)] // the row borrows the reader's slots
    pub fn next(&mut self) -> Option<Result<Row<'_>, Corrupt>> {
        if self.at >= self.batch.rows.len() {
            return None;
        }
        Some(self.read())
    }

    fn read(&mut self) -> Result<Row<'_>, Corrupt> {
        let rows: &'a [u8] = self.batch.rows;
        let start = self.at;
        // A torn row ends the batch: nothing behind it can be found.
        self.at = rows.len();
        let mut at = start;
        let len = take_u32(rows, &mut at)? as usize;
        let body = take(rows, &mut at, len)?;
        let end = at;
        let mut at = 1;
        let kind = Kind::from_code(*body.first().ok_or(Corrupt)?).ok_or(Corrupt)?;
        let offset = i64::from_le_bytes(take_8(body, &mut at)?);
        let log_time = i64::from_le_bytes(take_8(body, &mut at)?);
        let event_time = i64::from_le_bytes(take_8(body, &mut at)?);
        let key_len = take_u32(body, &mut at)?;
        let key = match key_len {
            NO_KEY => None,
            len => Some(take(body, &mut at, len as usize)?),
        };
        let fields = &body[at..];
        self.values.fill(None);
        let mut at = 0;
        while at < fields.len() {
            let id = take_u32(fields, &mut at)?;
            let slot = *self.slot_of.get(id as usize).ok_or(Corrupt)?;
            if self.paths.is_empty() {
                let value = take_value(fields, &mut at, slot != NO_SLOT)?;
                if slot != NO_SLOT {
                    self.values[slot as usize] = Some(value);
                }
                continue;
            }
            let value = take_value(fields, &mut at, true)?;
            if slot != NO_SLOT {
                self.values[slot as usize] = Some(value);
            }
            for (_, slot, path) in self.paths.iter().filter(|(wanted, ..)| *wanted == id) {
                if let Value::Json(text) = value {
                    self.values[*slot as usize] = crate::json::get_path(text, path);
                }
            }
        }
        self.at = end;
        Ok(Row {
            meta: Meta { kind, offset, log_time, event_time },
            key,
            values: &self.values,
            names: &self.batch.names,
            fields,
            raw: &rows[start..end],
        })
    }
}

/// One row of a batch.
#[derive(Clone, Copy)]
pub struct Row<'r> {
    /// What every row carries
    pub meta: Meta,
    /// Key of the record, for partitioning
    pub key: Option<&'r [u8]>,
    values: &'r [Option<Value<'r>>],
    names: &'r [&'r str],
    fields: &'r [u8],
    raw: &'r [u8],
}

impl<'r> Row<'r> {
    /// The value of a field; null if absent.
    pub fn get(&self, slot: Slot) -> Value<'r> {
        self.values.get(slot.0).copied().flatten().unwrap_or_default()
    }

    /// Is the field there (null counts)?
    pub fn has(&self, slot: Slot) -> bool {
        matches!(self.values.get(slot.0), Some(Some(_)))
    }

    /// All fields in order.
    pub fn fields(&self) -> FieldIter<'r> {
        FieldIter { names: self.names, fields: self.fields, at: 0 }
    }
}

/// Iterator over (name, value) of a row.
pub struct FieldIter<'r> {
    names: &'r [&'r str],
    fields: &'r [u8],
    at: usize,
}

impl<'r> Iterator for FieldIter<'r> {
    type Item = (&'r str, Value<'r>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.fields.len() {
            return None;
        }
        let mut read = || {
            let id = take_u32(self.fields, &mut self.at)?;
            let name = *self.names.get(id as usize).ok_or(Corrupt)?;
            Ok::<_, Corrupt>((name, take_value(self.fields, &mut self.at, true)?))
        };
        match read() {
            Ok(field) => Some(field),
            Err(Corrupt) => {
                self.at = self.fields.len();
                None
            }
        }
    }
}

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
        self.rows.reserve(HEADER + 4 + key.map_or(0, <[u8]>::len));
        self.rows.extend_from_slice(&[0; 4]);
        self.rows.push(meta.kind as u8);
        self.rows.extend_from_slice(&meta.offset.to_le_bytes());
        self.rows.extend_from_slice(&meta.log_time.to_le_bytes());
        self.rows.extend_from_slice(&meta.event_time.to_le_bytes());
        let key_len = key.map_or(NO_KEY, |k| k.len() as u32);
        self.rows.extend_from_slice(&key_len.to_le_bytes());
        self.rows.extend_from_slice(key.unwrap_or_default());
        self.count += 1;
        RowWriter { start, key_len: key.map_or(0, <[u8]>::len), out: self }
    }

    /// Should the stage stop emitting and let the host drain?
    pub fn is_full(&self) -> bool {
        self.rows.len() >= OUTPUT_LIMIT_BYTES
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

    /// The packed batch.
    pub fn pack(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.rows.len() + 64);
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
        let rows = &mut self.out.rows;
        rows.extend_from_slice(&id.to_le_bytes());
        let text = match value {
            Value::Null => return self.tag(0),
            Value::Bool(b) => return self.tag(1 + b as u8),
            Value::Int(n) => {
                rows.push(3);
                rows.extend_from_slice(&n.to_le_bytes());
                return self;
            }
            Value::Float(x) if x.is_finite() => {
                rows.push(4);
                rows.extend_from_slice(&x.to_le_bytes());
                return self;
            }
            Value::Float(_) => return self.tag(0),
            Value::Str(s) => {
                rows.push(5);
                s
            }
            Value::Json(s) => {
                rows.push(6);
                s
            }
        };
        rows.extend_from_slice(&(text.len() as u32).to_le_bytes());
        append(rows, text.as_bytes());
        self
    }

    fn tag(&mut self, tag: u8) -> &mut Self {
        self.out.rows.push(tag);
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

/// A meta for tests and for rows that no record triggered.
impl Default for Meta {
    fn default() -> Self {
        Meta { kind: Kind::Event, offset: -1, log_time: 0, event_time: NEVER }
    }
}
