//! Which partition a key belongs to.

use siphasher::sip::SipHasher;
use std::hash::{Hash, Hasher};

/// The partition of a key among `count`: as Fluvio's producer does it (SipHash-2-4 with a zero key
/// over the key's length and bytes), so that records of other producers lie where ours do.
pub fn partition_of_key(key: &[u8], count: u32) -> u32 {
    let mut hasher = SipHasher::new();
    key.hash(&mut hasher);
    (hasher.finish() % u64::from(count.max(1))) as u32
}
