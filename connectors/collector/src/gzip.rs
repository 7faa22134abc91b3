//! gzip of what servers send, bounded in what it becomes.

use std::io::Read;

/// Why a body was not unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unpackable {
    /// It becomes longer than is allowed; no more than that was unpacked
    TooLong,
    /// It breaks off or is no gzip
    Broken(String),
}

/// Unpacks gzip of any number of members (RFC 1952) to at most `limit_bytes`.
pub fn unpack(packed: &[u8], limit_bytes: usize) -> Result<Vec<u8>, Unpackable> {
    let mut whole = Vec::new();
    let bounded = flate2::read::MultiGzDecoder::new(packed).take(limit_bytes as u64 + 1).read_to_end(&mut whole);
    match bounded {
        Ok(_) if whole.len() > limit_bytes => Err(Unpackable::TooLong),
        Ok(_) => Ok(whole),
        Err(error) => Err(Unpackable::Broken(error.to_string())),
    }
}
