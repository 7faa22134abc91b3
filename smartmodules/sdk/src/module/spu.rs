//! A stage of the front that an SPU runs: one record in the output for each batch of the log.

use super::{Module, Work};
use crate::front::{MAX_ROWS_BYTES, Progress, Tally};
use crate::wire::{Input, Records};
use fluvio_smartmodule::dataplane::smartmodule::SmartModuleTransformErrorStatus as Status;
use perfstream_core::Stage;
use perfstream_core::clock::NEVER;
use perfstream_core::decode::Record;
use std::borrow::Cow;

impl<S: Stage> Module<S> {
    /// Processes a batch and writes what became of it. The first stage gets the batch of the log, a
    /// later one what the stage before it wrote.
    pub(super) fn front(&mut self, input: &Input<'_>) -> Result<(), Status> {
        let before = self.tally();
        let (mut progress, work) = match self.runtime.decode.events_only {
            true => self.decode_batch(input)?,
            false => received(input)?,
        };
        if let Some(work) = work {
            match self.run_batch(&work, false, &mut false) {
                Ok(()) if self.out.packed_len() <= MAX_ROWS_BYTES => {
                    progress.stages.push(self.tally().since(&before));
                }
                _ => {
                    self.out.begin(&[]);
                    progress.stages.clear();
                }
            }
            self.position = 0;
            if let Work::Decoded(rows) = work {
                self.spare = Some(rows);
            }
        }
        progress.write(&self.out, &mut self.writer);
        self.out.begin(&[]);
        Ok(())
    }

    fn tally(&self) -> Tally {
        Tally { decode: self.decoder.counts(), counters: self.stage.counters().into_iter().map(|(_, n)| n).collect() }
    }

    /// The rows of a batch of the log; none if its records have no log times, for which the decoder's
    /// state stands in, or if they are too many.
    fn decode_batch(&mut self, input: &Input<'_>) -> Result<(Progress, Option<Work<'static>>), Status> {
        let mut rows = self.spare.take().unwrap_or_default();
        rows.begin(&[]);
        let timed = input.base_timestamp_ms > 0;
        let (mut next, mut newest_log_time, mut fits) = (input.base_offset, NEVER, true);
        for record in Records::new(input.records).map_err(|_| Status::DecodingRecords)? {
            let record = record.map_err(|_| Status::DecodingRecords)?;
            // Counted, as readers do it: what a producer wrote as the record's offset is its word alone.
            let offset = next;
            next += 1;
            let log_time = input.base_timestamp_ms.saturating_add(record.timestamp_delta_ms).saturating_mul(1000);
            newest_log_time = newest_log_time.max(log_time);
            if timed && fits {
                self.decoder.decode(&Record { offset, log_time, key: record.key, value: record.value }, &mut rows);
                fits = rows.size_bytes() <= MAX_ROWS_BYTES;
            }
        }
        let newest = self.decoder.take_newest();
        let progress =
            Progress { first: input.base_offset, next, log_time: newest_log_time, newest, stages: Vec::new() };
        if timed && fits {
            return Ok((progress, Some(Work::Decoded(rows))));
        }
        self.spare = Some(rows);
        Ok((progress, None))
    }
}

/// What the stage before this one wrote: one record. None if that has given up, or left no row.
fn received<'a>(input: &Input<'a>) -> Result<(Progress, Option<Work<'a>>), Status> {
    let mut records = Records::new(input.records).map_err(|_| Status::DecodingRecords)?;
    let record = records.next().and_then(Result::ok).ok_or(Status::DecodingRecords)?;
    let (mut progress, rows) = Progress::read(record.value).ok_or(Status::DecodingRecords)?;
    if rows.is_empty() {
        if !progress.stages.is_empty() {
            progress.stages.push(Tally::default());
        }
        return Ok((progress, None));
    }
    Ok((progress, Some(Work::Packed(Cow::Borrowed(rows)))))
}
