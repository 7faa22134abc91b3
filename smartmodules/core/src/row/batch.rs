//! Reading a packed batch in place, with the slots of one stage bound to its rows.

use super::{Corrupt, Kind, MAGIC, Meta, NO_KEY};
use crate::value::Value;
use rustc_hash::FxHashMap;

/// A packed batch, read in place.
#[derive(Debug, Clone)]
pub struct Batch<'a> {
    pub(super) rows: &'a [u8],
    pub(super) names: Vec<&'a str>,
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

/// A field as it lies there.
struct RawField<'a> {
    name: u32,
    tag: u8,
    /// The eight bytes of a number, the bytes of a text, else nothing
    payload: &'a [u8],
}

impl<'a> RawField<'a> {
    /// The first field of `bytes`, which move behind it. Looking at one costs no more than its head.
    fn take(bytes: &mut &'a [u8]) -> Result<RawField<'a>, Corrupt> {
        let (head, rest) = bytes.split_first_chunk::<5>().ok_or(Corrupt)?;
        let [a, b, c, d, tag] = *head;
        let (len, rest) = match tag {
            0..=2 => (0, rest),
            3 | 4 => (8, rest),
            5 | 6 => {
                let (len, rest) = rest.split_first_chunk::<4>().ok_or(Corrupt)?;
                (u32::from_le_bytes(*len) as usize, rest)
            }
            _ => return Err(Corrupt),
        };
        let (payload, rest) = rest.split_at_checked(len).ok_or(Corrupt)?;
        *bytes = rest;
        Ok(RawField { name: u32::from_le_bytes([a, b, c, d]), tag, payload })
    }

    fn value(&self) -> Result<Value<'a>, Corrupt> {
        let number = || self.payload.try_into().map_err(|_| Corrupt);
        let text = || std::str::from_utf8(self.payload).map_err(|_| Corrupt);
        Ok(match self.tag {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            3 => Value::Int(i64::from_le_bytes(number()?)),
            4 => Value::Float(f64::from_le_bytes(number()?)),
            5 => Value::Str(text()?),
            _ => Value::Json(text()?),
        })
    }
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
        let mut rest = fields;
        while !rest.is_empty() {
            let field = RawField::take(&mut rest)?;
            let slot = *self.slot_of.get(field.name as usize).ok_or(Corrupt)?;
            if let Some(value) = self.values.get_mut(slot as usize) {
                *value = Some(field.value()?);
            }
            if !self.paths.is_empty() {
                self.walk_paths(&field)?;
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

    /// The slots that look inside this field.
    fn walk_paths(&mut self, field: &RawField<'a>) -> Result<(), Corrupt> {
        for (_, slot, path) in self.paths.iter().filter(|(wanted, ..)| *wanted == field.name) {
            if let Value::Json(text) = field.value()? {
                self.values[*slot as usize] = crate::json::get_path(text, path);
            }
        }
        Ok(())
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
    /// The whole row, its length in front
    pub(super) raw: &'r [u8],
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
        FieldIter { names: self.names, rest: self.fields }
    }
}

/// Iterator over (name, value) of a row.
pub struct FieldIter<'r> {
    names: &'r [&'r str],
    rest: &'r [u8],
}

impl<'r> Iterator for FieldIter<'r> {
    type Item = (&'r str, Value<'r>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut read = || {
            let field = RawField::take(&mut self.rest)?;
            let name = *self.names.get(field.name as usize).ok_or(Corrupt)?;
            Ok::<_, Corrupt>((name, field.value()?))
        };
        read().inspect_err(|_| self.rest = &[]).ok()
    }
}
