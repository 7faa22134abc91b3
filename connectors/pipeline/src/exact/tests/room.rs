//! A state partition that holds only so much keeps every snapshot that an advance names.

use super::{Client, SimLog};
use crate::exact::control::{Holder, SnapshotRef};
use crate::exact::snapshot::{Room, Snapshots, States};
use perfstream_log::LogRecord;
use proptest::prelude::*;

/// Fluvio lets a segment go as a whole; this is one of the tests.
const SEGMENT_BYTES: u64 = 8 << 10;

/// Offset of the oldest record that is left when a partition holds `bytes`.
fn left(records: &[LogRecord], bytes: u64) -> i64 {
    let mut held = SEGMENT_BYTES;
    for record in records.iter().rev() {
        held += record.value.len() as u64 + 20;
        if held > bytes {
            return record.offset + 1;
        }
    }
    0
}

/// A state of `bytes` that changes from one `version` to the next in one place.
fn state(bytes: usize, version: u8) -> Vec<u8> {
    let mut random = 1u32;
    let mut state: Vec<u8> = (0..bytes)
        .map(|_| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 24) as u8
        })
        .collect();
    if let Some(first) = state.first_mut() {
        *first = version;
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// However often a state is written, and however often its writer dies, with chunks and without a manifest.
    #[test]
    fn snapshots_that_are_named_are_whole(
        partition_kib in 256u64..2048,
        share in 0.01f64..0.4,
        retain in 1u32..6,
        rounds in 20usize..120,
        deaths in proptest::collection::btree_set(0usize..120, 0..8),
    ) {
        let log = SimLog::default();
        log.create("state", 1);
        let room = Room { partition_bytes: partition_kib << 10, retain };
        let holder = Holder { epoch: 1, instance: "w".into() };
        let bytes = (share * room.partition_bytes as f64) as usize;
        let mut snapshots = Snapshots::new("state", 0, holder.clone(), room);
        let mut named: Vec<(SnapshotRef, States)> = Vec::new();
        for round in 0..rounds {
            if deaths.contains(&round) {
                // Its last chunks are in the log, and no manifest is.
                log.append("state", 0, 0, Some(b"chunk"), &state(16 << 10, 0));
                snapshots = Snapshots::new("state", 0, holder.clone(), room);
                if let Some((newest, _)) = named.first() {
                    let client = &mut Client::new(&log, 1000);
                    let loaded = snapshots.load(client, newest).expect("the newest");
                    snapshots.build_on(client, loaded).expect("an extent");
                }
            }
            let states = States { stages: vec![state(bytes, round as u8)], next: round as i64, ..States::default() };
            let at = snapshots.save(&mut Client::new(&log, 1000), &states).expect("a snapshot");
            named.insert(0, (at, states));
            named.truncate(room.kept(bytes as u64) as usize);
            let mut client = Client::new(&log, 1000).without("state", left(&log.all("state", 0), room.partition_bytes));
            for (at, states) in &named {
                let loaded = snapshots.load(&mut client, at);
                prop_assert!(loaded.is_ok(), "{loaded:?}");
                prop_assert_eq!(&loaded.expect("just seen").states, states);
            }
        }
    }
}

#[test]
fn a_large_state_keeps_fewer_snapshots() {
    let room = Room { partition_bytes: 4 << 30, retain: 3 };
    let mib = |n: u64| room.kept(n << 20);
    assert_eq!((mib(0), mib(100), mib(700), mib(900), mib(1700)), (3, 3, 3, 1, 1));
    assert!(room.holds(1700 << 20) && !room.holds(2000 << 20));
}
