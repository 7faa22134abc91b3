//! Where rows go: kinds to topics, topics to files, the log or the terminal.

use crate::analysis::Analysis;
use crate::model::default_topic;
use anyhow::{Context, Result};
use perfstream_core::row::{Fields, Slot};
use perfstream_core::{Kind, Row, Value};
use perfstream_log::NewRecord;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// A record on its way to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emission {
    /// What it is
    pub kind: Kind,
    /// Index into [`Router::topics`]
    pub topic: usize,
    /// The record
    pub record: NewRecord,
}

/// Decides the topics of a row.
#[derive(Debug, Clone, Default)]
pub struct Router {
    topics: Vec<String>,
    by_kind: BTreeMap<Kind, usize>,
    analysis: Option<(usize, Analysis)>,
    key: Option<Slot>,
    source: Option<Slot>,
    fields: Fields,
}

impl Router {
    /// `routes` name topics for kinds; `results` is the kind that goes to the output topic when no
    /// analysis is made of it; `key` is the field that partitions the output.
    pub fn new(
        routes: &BTreeMap<Kind, String>,
        output_topic: &str,
        results: Kind,
        key: Option<&str>,
        analysis: Option<Analysis>,
        mut fields: Fields,
    ) -> Router {
        let (key, source) = (key.map(|name| fields.slot(name)), Some(fields.slot("source_offset")));
        let mut router = Router { key, source, fields, ..Router::default() };
        for kind in Kind::ALL {
            let topic = match (routes.get(&kind), default_topic(kind)) {
                (Some(topic), _) => topic,
                (None, Some(topic)) => topic,
                (None, None) if kind == results && analysis.is_none() => output_topic,
                (None, None) => continue,
            };
            let topic = router.topic(topic);
            router.by_kind.insert(kind, topic);
        }
        router.analysis = analysis.map(|a| (router.topic(output_topic), a));
        router
    }

    fn topic(&mut self, name: &str) -> usize {
        if let Some(at) = self.topics.iter().position(|t| t == name) {
            return at;
        }
        self.topics.push(name.to_string());
        self.topics.len() - 1
    }

    /// Names of the topics it may write to.
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// The fields it reads of each row.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// A record that is not of the chain's making, for the topic of its kind.
    pub fn own(&self, kind: Kind, value: Vec<u8>) -> Option<Emission> {
        let topic = *self.by_kind.get(&kind)?;
        Some(Emission { kind, topic, record: NewRecord { log_time_ms: 0, key: None, value } })
    }

    /// Sends a row of an input partition on its ways.
    pub fn route(&self, row: &Row<'_>, partition: u32, send: &mut dyn FnMut(Emission)) {
        let log_time_ms = row.meta.log_time / 1000;
        let record = |value| NewRecord { log_time_ms, key: self.key_of(row), value };
        if let Some(topic) = self.by_kind.get(&row.meta.kind) {
            let mut value = Vec::with_capacity(256);
            perfstream_core::json::write_row(row, &mut value);
            self.add_source(row, partition, &mut value);
            send(Emission { kind: row.meta.kind, topic: *topic, record: record(value) });
        }
        if let Some((topic, analysis)) = &self.analysis
            && let Some(result) = analysis.project(row)
        {
            let (kind, topic) = match result.kind {
                Kind::Analysis => (Kind::Analysis, Some(topic)),
                kind => (kind, self.by_kind.get(&kind)),
            };
            if let Some(topic) = topic {
                send(Emission { kind, topic: *topic, record: record(result.json) });
            }
        }
    }

    /// A user's own record carries no id of ours: its place in the input tells it from its like.
    fn add_source(&self, row: &Row<'_>, partition: u32, json: &mut Vec<u8>) {
        let known = |slot| row.get(slot) != Value::Null;
        if !matches!(row.meta.kind, Kind::Event | Kind::Late) || self.source.is_some_and(known) {
            return;
        }
        if json.pop() == Some(b'}') {
            let text = format!(",\"source_partition\":{partition},\"source_offset\":{}}}", row.meta.offset);
            json.extend_from_slice(text.as_bytes());
        }
    }

    fn key_of(&self, row: &Row<'_>) -> Option<Vec<u8>> {
        let own = || row.key.map(<[u8]>::to_vec);
        match self.key.map(|slot| row.get(slot)) {
            None | Some(Value::Null) => own(),
            Some(Value::Str(text)) => Some(text.as_bytes().to_vec()),
            Some(value) => {
                let mut text = Vec::new();
                perfstream_core::json::write_value(value, &mut text);
                Some(text)
            }
        }
    }
}

/// JSON lines: one file per topic in a directory, or all on standard output.
pub enum Lines {
    /// Standard output
    Stdout(BufWriter<std::io::Stdout>),
    /// Files in a directory
    Dir(PathBuf, BTreeMap<String, BufWriter<File>>),
}

impl Lines {
    /// To standard output.
    pub fn stdout() -> Lines {
        Lines::Stdout(BufWriter::new(std::io::stdout()))
    }

    /// To `dir/TOPIC.jsonl`; files of earlier runs are replaced.
    pub fn dir(dir: &Path) -> Result<Lines> {
        std::fs::create_dir_all(dir).with_context(|| format!("output directory {}", dir.display()))?;
        Ok(Lines::Dir(dir.to_path_buf(), BTreeMap::new()))
    }

    /// Removes what an earlier run left for these topics: a file that is there is of this run.
    pub fn prepare(&mut self, topics: &[String]) -> Result<()> {
        if let Lines::Dir(dir, files) = self {
            for topic in topics.iter().filter(|topic| !files.contains_key(*topic)) {
                let path = dir.join(format!("{topic}.jsonl"));
                if path.exists() {
                    std::fs::remove_file(&path).with_context(|| format!("output file {}", path.display()))?;
                }
            }
        }
        Ok(())
    }

    /// Writes a record as a line.
    pub fn write(&mut self, topic: &str, value: &[u8]) -> Result<()> {
        let writer: &mut dyn Write = match self {
            Lines::Stdout(out) => out,
            Lines::Dir(dir, files) => {
                if !files.contains_key(topic) {
                    let path = dir.join(format!("{topic}.jsonl"));
                    let file = File::create(&path).with_context(|| format!("output file {}", path.display()))?;
                    files.insert(topic.to_string(), BufWriter::with_capacity(1 << 18, file));
                }
                files.get_mut(topic).context("just opened")?
            }
        };
        writer.write_all(value)?;
        writer.write_all(b"\n")?;
        Ok(())
    }

    /// Makes what was written visible.
    pub fn flush(&mut self) -> Result<()> {
        match self {
            Lines::Stdout(out) => out.flush()?,
            Lines::Dir(_, files) => files.values_mut().try_for_each(Write::flush)?,
        }
        Ok(())
    }
}
