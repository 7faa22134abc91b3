//! Events from a file or standard input: every line is a record, its end closes everything.

use super::{BATCH_BYTES, BATCH_RECORDS, RunOptions, Worker};
use crate::host::Lines as Batch;
use crate::output::{Emission, Lines};
use crate::partition::partition_of;
use crate::plan::Plan;
use crate::summary::Summary;
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use perfstream_core::Tick;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Runs one pipeline over one file.
pub fn run(plan: &Plan, path: &Path, options: &RunOptions, lines: &mut Lines) -> Result<Summary> {
    let mut worker = Worker::new(Arc::new(plan.clone()), &options.chain);
    let batches = (0..options.partitions.max(1)).map(|_| Batch::default()).collect();
    for partition in 0..options.partitions.max(1) {
        worker.warm_up(partition)?;
    }
    let mut run = FileRun { plan, worker, lines, batches };
    match options.follow {
        true => run.follow(path)?,
        false => run.whole(path, options.progress)?,
    }
    run.worker.summary()
}

struct FileRun<'r, 'p> {
    plan: &'p Plan,
    worker: Worker,
    lines: &'r mut Lines,
    /// Lines not yet processed, per partition
    batches: Vec<Batch>,
}

impl FileRun<'_, '_> {
    /// To the end of the file, then closes everything.
    fn whole(&mut self, path: &Path, progress: bool) -> Result<()> {
        let (mut reader, bar) = open(path, progress)?;
        let mut partial = Vec::new();
        loop {
            let bytes = reader.fill_buf().with_context(|| format!("input {}", path.display()))?;
            if bytes.is_empty() {
                break;
            }
            let mut start = 0;
            for end in memchr::memchr_iter(b'\n', bytes) {
                // Straight out of the reader's memory, unless the line began in what was read before.
                match partial.is_empty() {
                    true => self.add(without_return(&bytes[start..end]))?,
                    false => {
                        partial.extend_from_slice(&bytes[start..end]);
                        self.add(without_return(&partial))?;
                        partial.clear();
                    }
                }
                start = end + 1;
            }
            partial.extend_from_slice(&bytes[start..]);
            let read = bytes.len();
            reader.consume(read);
            bar.inc(read as u64);
        }
        if !partial.is_empty() {
            self.add(without_return(&partial))?;
        }
        bar.finish_and_clear();
        self.flush_all()?;
        self.tick(Tick { time: 0, offset: -1, end_of_input: true })
    }

    /// Lines as they come, with a tick every second; ends with the input or the process.
    fn follow(&mut self, path: &Path) -> Result<()> {
        let incoming = lines_of(path)?;
        loop {
            match incoming.recv_timeout(Duration::from_secs(1)) {
                Ok(line) => {
                    self.add(&line?)?;
                    while let Ok(line) = incoming.try_recv() {
                        self.add(&line?)?;
                    }
                    self.flush_all()?;
                }
                Err(RecvTimeoutError::Timeout) => {
                    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                    self.tick(Tick { time: now.as_micros() as i64, offset: -1, end_of_input: false })?;
                }
                Err(RecvTimeoutError::Disconnected) => return self.flush_all(),
            }
            self.lines.flush()?;
        }
    }

    fn add(&mut self, line: &[u8]) -> Result<()> {
        let count = self.batches.len() as u32;
        let partition = partition_of(line, self.plan.partition_by.as_deref(), count) as usize;
        let batch = &mut self.batches[partition];
        batch.push(line);
        if batch.len() >= BATCH_RECORDS || batch.size_bytes() >= BATCH_BYTES {
            self.flush(partition)?;
        }
        Ok(())
    }

    fn flush(&mut self, partition: usize) -> Result<()> {
        let mut failed = Ok(());
        let batch = &mut self.batches[partition];
        let mut send = writer(self.plan, self.lines, &mut failed);
        self.worker.process_lines(partition as u32, batch, &mut send)?;
        batch.advance();
        drop(send);
        failed
    }

    fn flush_all(&mut self) -> Result<()> {
        (0..self.batches.len()).try_for_each(|p| self.flush(p))
    }

    fn tick(&mut self, tick: Tick) -> Result<()> {
        for partition in 0..self.batches.len() {
            let tick = Tick { offset: self.batches[partition].first_offset - 1, ..tick };
            let mut failed = Ok(());
            self.worker.tick(partition as u32, &tick, &mut writer(self.plan, self.lines, &mut failed))?;
            failed?;
        }
        Ok(())
    }
}

/// Writes emissions; the first failure is kept for the caller.
fn writer<'w>(plan: &'w Plan, lines: &'w mut Lines, failed: &'w mut Result<()>) -> impl FnMut(Emission) + 'w {
    move |emission| {
        if failed.is_ok() {
            *failed = lines.write(&plan.router.topics()[emission.topic], &emission.record.value);
        }
    }
}

fn open(path: &Path, progress: bool) -> Result<(Box<dyn BufRead>, ProgressBar)> {
    if path == Path::new("-") {
        return Ok((Box::new(BufReader::new(std::io::stdin())), ProgressBar::hidden()));
    }
    let file = File::open(path).with_context(|| format!("input {}", path.display()))?;
    let bar = match progress {
        true => ProgressBar::new(file.metadata().map_or(0, |m| m.len())),
        false => ProgressBar::hidden(),
    };
    let template = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    Ok((Box::new(BufReader::with_capacity(1 << 18, file)), bar))
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Reads lines in a thread of its own, so that time can pass while none comes. A file is followed
/// as it grows.
fn lines_of(path: &Path) -> Result<Receiver<std::io::Result<Vec<u8>>>> {
    let is_file = path != Path::new("-");
    let (sender, receiver) = sync_channel(BATCH_RECORDS);
    if is_file {
        open(path, false)?; // its error is the caller's; the thread opens it again
    }
    let path = path.to_path_buf();
    std::thread::spawn(move || {
        let Ok((mut reader, _)) = open(&path, false) else { return };
        let mut partial = Vec::new();
        let mut part = Vec::new();
        loop {
            part.clear();
            match reader.read_until(b'\n', &mut part) {
                Ok(0) if is_file => std::thread::sleep(Duration::from_millis(100)),
                Ok(0) => return,
                Ok(_) => {
                    partial.extend_from_slice(&part);
                    // A line that is still being written has no end yet.
                    if partial.last() != Some(&b'\n') && is_file {
                        continue;
                    }
                    let end = partial.trim_ascii_end().len();
                    partial.truncate(end);
                    if sender.send(Ok(std::mem::take(&mut partial))).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    drop(sender.send(Err(error)));
                    return;
                }
            }
        }
    });
    Ok(receiver)
}
