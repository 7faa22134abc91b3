//! Fluvio's encoding of a batch, walked in place and written without copies.
//!
//! Checked against the crates' own codecs in the tests. Two differences are deliberate: nothing
//! here allocates per record, and varints are written as true 64-bit zigzag (the crate's encoder
//! shifts by 31 and so garbles deltas beyond 2^30; its decoder reads ours).

/// The bytes are not what Fluvio writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireError;

/// From this version on an input carries the base timestamp (in 22 itself, behind the deprecated
/// parameters).
const TIMESTAMPS_VERSION: i16 = 22;

/// An encoded `SmartModuleInput`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input<'a> {
    /// Offset of the first record
    pub base_offset: i64,
    /// Log time of the first record, milliseconds since the epoch; negative: none
    pub base_timestamp_ms: i64,
    /// The encoded records
    pub records: &'a [u8],
}

/// Reads the frame of a `SmartModuleInput`.
pub fn read_input(bytes: &[u8], version: i16) -> Result<Input<'_>, WireError> {
    let mut at = Cursor(bytes);
    let base_offset = at.i64()?;
    let len = at.u32()? as usize;
    let records = at.take(len)?;
    // Between them stand deprecated fields, by version; the timestamp is the last thing.
    let base_timestamp_ms = match version >= TIMESTAMPS_VERSION && at.0.len() >= 8 {
        true => {
            let last = &at.0[at.0.len() - 8..];
            i64::from_be_bytes(last.try_into().map_err(|_| WireError)?)
        }
        false => -1,
    };
    Ok(Input { base_offset, base_timestamp_ms, records })
}

/// What stands before the `records_len` bytes of records in a `SmartModuleInput`.
pub fn input_head(base_offset: i64, records_len: u32) -> [u8; 12] {
    let mut head = [0; 12];
    head[..8].copy_from_slice(&base_offset.to_be_bytes());
    head[8..].copy_from_slice(&records_len.to_be_bytes());
    head
}

/// What stands behind them.
pub fn input_tail(base_timestamp_ms: i64, version: i16) -> Vec<u8> {
    let mut tail = Vec::with_capacity(16);
    if version <= TIMESTAMPS_VERSION {
        tail.extend_from_slice(&[0, 0]); // no parameters
        if version >= 20 {
            tail.push(0); // no lookback
        }
        if version >= 16 {
            tail.extend_from_slice(&0u32.to_be_bytes()); // no join record
        }
    }
    if version >= TIMESTAMPS_VERSION {
        tail.extend_from_slice(&base_timestamp_ms.to_be_bytes());
    }
    tail
}

/// Writes a `SmartModuleInput`.
pub fn write_input(dest: &mut Vec<u8>, base_offset: i64, base_timestamp_ms: i64, records: &[u8], version: i16) {
    dest.extend_from_slice(&input_head(base_offset, records.len() as u32));
    dest.extend_from_slice(records);
    dest.extend_from_slice(&input_tail(base_timestamp_ms, version));
}

/// Takes the last record off an encoded `Vec<Record>` if its value is `value`; was it there?
pub fn pop_value(bytes: &mut Vec<u8>, value: &[u8]) -> Result<bool, WireError> {
    let mut records = Records::new(bytes)?;
    let mut last = None;
    loop {
        let start = bytes.len() - records.at.0.len();
        match records.next() {
            None => break,
            Some(record) => last = Some((start, record?.value == value)),
        }
    }
    let Some((start, true)) = last else { return Ok(false) };
    let (count, _) = bytes.split_first_chunk_mut::<4>().ok_or(WireError)?;
    *count = (u32::from_be_bytes(*count) - 1).to_be_bytes();
    bytes.truncate(start);
    Ok(true)
}

/// One record in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// Added to the base offset
    pub offset_delta: i64,
    /// Added to the base timestamp, milliseconds
    pub timestamp_delta_ms: i64,
    /// Key
    pub key: Option<&'a [u8]>,
    /// Value
    pub value: &'a [u8],
}

/// The records of an encoded `Vec<Record>`.
pub struct Records<'a> {
    at: Cursor<'a>,
    left: u32,
}

impl<'a> Records<'a> {
    /// Starts at the count.
    pub fn new(bytes: &'a [u8]) -> Result<Records<'a>, WireError> {
        if bytes.is_empty() {
            return Ok(Records { at: Cursor(bytes), left: 0 });
        }
        let mut at = Cursor(bytes);
        let left = at.u32()?;
        Ok(Records { at, left })
    }

    fn read(&mut self) -> Result<RawRecord<'a>, WireError> {
        let len = usize::try_from(self.at.varint()?).map_err(|_| WireError)?;
        let mut body = Cursor(self.at.take(len)?);
        body.take(1)?; // attributes
        let timestamp_delta_ms = body.varint()?;
        let offset_delta = body.varint()?;
        let key = match body.take(1)? {
            [0] => None,
            _ => Some(body.bytes()?),
        };
        let value = body.bytes()?;
        Ok(RawRecord { offset_delta, timestamp_delta_ms, key, value })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RawRecord<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let record = self.read();
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

/// Appends records to an encoded `Vec<Record>`.
#[derive(Debug, Default)]
pub struct RecordWriter {
    bytes: Vec<u8>,
    count: u32,
}

impl RecordWriter {
    /// Empties it.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&[0; 4]);
        self.count = 0;
    }

    /// Appends a record.
    pub fn push(&mut self, record: &RawRecord<'_>) {
        let len = record.value.len();
        self.push_with(record, len, |dest| dest.extend_from_slice(record.value));
    }

    /// Appends a record whose value is the `len` bytes that `write` appends; that of `record` is not
    /// looked at.
    pub fn push_with(&mut self, record: &RawRecord<'_>, len: usize, write: impl FnOnce(&mut Vec<u8>)) {
        if self.bytes.is_empty() {
            self.clear();
        }
        let key_len = record.key.map_or(0, |k| varint_len(k.len() as i64) + k.len());
        let value_len = varint_len(len as i64) + len;
        let deltas = varint_len(record.timestamp_delta_ms) + varint_len(record.offset_delta);
        let dest = &mut self.bytes;
        write_varint(dest, (1 + deltas + 1 + key_len + value_len + 1) as i64);
        dest.push(0);
        write_varint(dest, record.timestamp_delta_ms);
        write_varint(dest, record.offset_delta);
        dest.push(record.key.is_some() as u8);
        if let Some(key) = record.key {
            write_varint(dest, key.len() as i64);
            dest.extend_from_slice(key);
        }
        write_varint(dest, len as i64);
        dest.reserve(len + 1);
        write(dest);
        write_varint(dest, 0);
        self.count += 1;
    }

    /// Bytes so far.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Records so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The encoded `Vec<Record>`.
    pub fn finish(&mut self) -> &[u8] {
        if self.bytes.is_empty() {
            self.clear();
        }
        self.bytes[..4].copy_from_slice(&self.count.to_be_bytes());
        &self.bytes
    }

    /// The encoded `Vec<Record>`, owned.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.finish();
        self.bytes
    }

    /// The encoded `SmartModuleOutput` without an error.
    pub fn finish_output(&mut self) -> &[u8] {
        self.finish();
        self.bytes.push(0); // error: none
        &self.bytes
    }
}

fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

fn varint_len(n: i64) -> usize {
    (64 - (zigzag(n) | 1).leading_zeros() as usize).div_ceil(7)
}

fn write_varint(dest: &mut Vec<u8>, n: i64) {
    let mut v = zigzag(n);
    while v >= 0x80 {
        dest.push(v as u8 | 0x80);
        v >>= 7;
    }
    dest.push(v as u8);
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let (part, rest) = self.0.split_at_checked(len).ok_or(WireError)?;
        self.0 = rest;
        Ok(part)
    }

    fn u32(&mut self) -> Result<u32, WireError> {
        let part = self.take(4)?;
        Ok(u32::from_be_bytes(part.try_into().map_err(|_| WireError)?))
    }

    fn i64(&mut self) -> Result<i64, WireError> {
        let part = self.take(8)?;
        Ok(i64::from_be_bytes(part.try_into().map_err(|_| WireError)?))
    }

    fn varint(&mut self) -> Result<i64, WireError> {
        let mut v: u64 = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            v |= ((byte & 0x7F) as u64) << shift;
            if byte & 0x80 == 0 {
                return Ok((v >> 1) as i64 ^ -((v & 1) as i64));
            }
        }
        Err(WireError)
    }

    fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let len = usize::try_from(self.varint()?).map_err(|_| WireError)?;
        self.take(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluvio_smartmodule::Record;
    use fluvio_smartmodule::dataplane::core::{Decoder, Encoder};
    use fluvio_smartmodule::dataplane::smartmodule::{SmartModuleInput, SmartModuleOutput};

    fn samples() -> Vec<RawRecord<'static>> {
        let long: &'static [u8] = vec![b'x'; 70_000].leak();
        let r =
            |offset_delta, timestamp_delta_ms, key, value| RawRecord { offset_delta, timestamp_delta_ms, key, value };
        vec![
            r(0, 0, None, b"".as_slice()),
            r(1, 63, Some(b"k".as_slice()), b"v"),
            r(2, -64, Some(b""), b"{}"),
            r(300, 1 << 20, None, long),
            r(-1, -5, Some(long), b"\xff\x00"),
        ]
    }

    #[test]
    fn the_crate_reads_what_we_write() {
        for version in [16, 21, 22, 23, 25] {
            let mut writer = RecordWriter::default();
            samples().iter().for_each(|r| writer.push(r));
            let mut bytes = Vec::new();
            write_input(&mut bytes, 7, 1_000, writer.finish(), version);
            let mut input = SmartModuleInput::default();
            Decoder::decode(&mut input, &mut bytes.as_slice(), version).unwrap();
            assert_eq!(input.base_offset(), 7);
            if version >= 22 {
                assert_eq!(input.base_timestamp(), 1_000);
            }
            let records = input.try_into_smartmodule_records(version).unwrap();
            for (got, want) in records.iter().zip(samples()) {
                assert_eq!(got.offset(), 7 + want.offset_delta);
                assert_eq!(got.value().as_ref(), want.value);
                assert_eq!(got.key().map(|k| k.as_ref()), want.key);
            }
            assert_eq!(records.len(), samples().len());
        }
    }

    #[test]
    fn we_read_what_the_crate_writes() {
        let records: Vec<Record> = samples()
            .iter()
            .map(|r| {
                let mut record = Record { value: r.value.into(), ..Record::default() };
                record.key = r.key.map(Into::into);
                record.preamble.set_offset_delta(r.offset_delta);
                record.preamble.set_timestamp_delta(r.timestamp_delta_ms);
                record
            })
            .collect();
        for version in [16, 21, 22, 23, 25] {
            let mut input = SmartModuleInput::try_from_records(records.clone(), version).unwrap();
            input.set_base_offset(42);
            input.set_base_timestamp(99);
            let mut bytes = Vec::new();
            input.encode(&mut bytes, version).unwrap();
            let read = read_input(&bytes, version).unwrap();
            assert_eq!(read.base_offset, 42);
            assert_eq!(read.base_timestamp_ms, if version >= 22 { 99 } else { -1 });
            let got: Vec<_> = Records::new(read.records).unwrap().map(Result::unwrap).collect();
            assert_eq!(got, samples());
        }
    }

    #[test]
    fn the_crate_reads_our_output() {
        let mut writer = RecordWriter::default();
        samples().iter().for_each(|r| writer.push(r));
        let mut output = SmartModuleOutput::default();
        Decoder::decode(&mut output, &mut std::io::Cursor::new(writer.finish_output()), 22).unwrap();
        assert!(output.error.is_none());
        assert_eq!(output.successes.len(), samples().len());
    }

    #[test]
    fn the_last_record_is_taken_off_by_its_value() {
        let mut writer = RecordWriter::default();
        samples().iter().for_each(|r| writer.push(r));
        let before = writer.finish().to_vec();
        let mark = b"more".as_slice();
        writer.push(&RawRecord { offset_delta: 0, timestamp_delta_ms: 0, key: None, value: mark });
        let mut bytes = writer.finish().to_vec();
        assert_eq!(pop_value(&mut bytes, mark), Ok(true));
        assert_eq!(bytes, before);
        assert_eq!(pop_value(&mut bytes, mark), Ok(false));
        assert_eq!(bytes, before);
        assert_eq!(pop_value(&mut Vec::new(), mark), Ok(false));
        bytes.pop();
        assert_eq!(pop_value(&mut bytes, mark), Err(WireError));
    }

    #[test]
    fn torn_bytes_are_errors() {
        let mut writer = RecordWriter::default();
        samples().iter().take(3).for_each(|r| writer.push(r));
        let bytes = writer.finish().to_vec();
        for end in 4..bytes.len() {
            let read: Result<Vec<_>, _> = Records::new(&bytes[..end]).unwrap().collect();
            assert_eq!(read, Err(WireError), "{end}");
        }
        for n in [i64::MAX, i64::MIN, 1 << 40, -(1 << 40), 0, -1] {
            let mut bytes = Vec::new();
            write_varint(&mut bytes, n);
            assert_eq!((Cursor(&bytes).varint(), bytes.len()), (Ok(n), varint_len(n)));
        }
    }
}
