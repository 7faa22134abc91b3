//! YAML to a tree that knows where everything stands.
//!
//! Built on saphyr's parser events, not on its tree, because a pipeline file needs more than the
//! tree keeps: keys given twice are errors, a map keeps its order, aliases cannot blow a small file
//! up, and a broken document does not hide what is wrong in the others of its file.

use crate::check::MAX_FINDINGS;
use crate::diagnostic::Diagnostic;
use crate::source::Source;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use std::collections::HashMap;
use std::ops::Range;

mod number;
mod tree;
pub use tree::{Data, Key, Node};

/// Maps and lists nest at most this deep.
pub const MAX_DEPTH: usize = 64;
/// A file has at most this many nodes, with aliases counted as what they stand for.
pub const MAX_NODES: usize = 200_000;

/// The documents of a file that are not empty; what is wrong goes to `out`.
pub fn parse(source: &Source, out: &mut Vec<Diagnostic>) -> Vec<Node> {
    let mut documents = Vec::new();
    let (mut nodes, before) = (0, out.len());
    for range in split(&source.text) {
        if out.len() - before > MAX_FINDINGS {
            let message = format!("`{}` has too many faults: the rest of it was not read", source.name);
            out.push(Diagnostic::of_file("E034", &source.name, message));
            break;
        }
        let mut reader = Reader::new(source, range, &mut nodes);
        reader.read();
        out.append(&mut reader.out);
        documents.append(&mut reader.documents);
    }
    documents.retain(|d| !matches!(d.data, Data::Null));
    documents
}

/// Byte ranges of the documents: cut at lines that begin with `---`, which end a document
/// wherever they stand.
fn split(text: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let (mut start, mut at, mut content) = (0, 0, false);
    for line in text.split_inclusive('\n') {
        let marker =
            line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if marker {
            if content {
                parts.push(start..at);
                start = at;
            }
            content = true;
        } else {
            // Directives and comments in front of `---` belong to the document behind it.
            content |= !line.trim().is_empty() && !line.starts_with(['#', '%', '\u{feff}']);
        }
        at += line.len();
    }
    parts.push(start..text.len());
    parts
}

struct Reader<'s, 'n> {
    source: &'s Source,
    base: usize,
    text: &'s str,
    /// Byte offset of every character; empty if all are ASCII.
    chars: Vec<u32>,
    nodes: &'n mut usize,
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    out: Vec<Diagnostic>,
    documents: Vec<Node>,
    stopped: bool,
}

/// A map or list that has not ended.
struct Open {
    anchor: usize,
    start: usize,
    depth_of_children: usize,
    end: usize,
    items: Vec<Node>,
    pairs: Option<Vec<(Key, Node)>>,
    key: Option<Key>,
    /// Where each key stands: a map may have many
    seen: HashMap<String, Range<usize>>,
}

impl<'s, 'n> Reader<'s, 'n> {
    fn new(source: &'s Source, range: Range<usize>, nodes: &'n mut usize) -> Self {
        let text = &source.text[range.clone()];
        let chars = match text.is_ascii() {
            true => Vec::new(),
            false => text.char_indices().map(|(at, _)| at as u32).collect(),
        };
        let (stack, anchors, out, documents) = Default::default();
        Reader { source, base: range.start, text, chars, nodes, stack, anchors, out, documents, stopped: false }
    }

    fn byte(&self, mark: &Marker) -> usize {
        let within = match self.chars.is_empty() {
            true => mark.index().min(self.text.len()),
            false => self.chars.get(mark.index()).map_or(self.text.len(), |b| *b as usize),
        };
        self.base + within
    }

    fn range(&self, span: &Span) -> Range<usize> {
        let start = self.byte(&span.start);
        let end = self.byte(&span.end).max(start);
        // The parser counts the blanks behind a quoted text to it.
        let written = self.source.text.get(start..end).map_or(0, |text| text.trim_end().len());
        start..start + written
    }

    fn read(&mut self) {
        let text = self.text;
        let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str(text);
        // Every event consumes input or closes what was opened; the bound is a belt over braces.
        for _ in 0..4 * text.len() + 16 {
            match parser.next_event() {
                None => break,
                Some(Ok((event, span))) => self.event(event, self.range(&span)),
                Some(Err(error)) => {
                    self.scan_error(&error);
                    break;
                }
            }
            if self.stopped || self.out.len() > MAX_FINDINGS {
                break;
            }
        }
    }

    fn scan_error(&mut self, error: &ScanError) {
        let info = error.info();
        let at = self.byte(error.marker());
        let line = self.source.line(at);
        let has_tab = self
            .source
            .text
            .lines()
            .nth(line.saturating_sub(1))
            .is_some_and(|l| l[..l.len() - l.trim_start().len()].contains('\t'));
        let hint = if has_tab || info.contains("tab") {
            Some("indent with spaces: YAML allows no tabs there")
        } else if info.contains("quoted scalar") || info.contains("end of stream") {
            Some("a quote, `[` or `{` above is not closed")
        } else if info.contains("mapping values are not allowed") {
            Some("a text with `: ` in it needs quotes; or the line is indented too far")
        } else if info.contains("',' or") || info.contains("flow") {
            Some("a `[` or `{` above is not closed, or a comma is missing")
        } else if info.contains("cannot start any token") {
            Some("a text that begins with this character needs quotes")
        } else if info.contains("anchor") {
            Some("an alias `*name` needs an anchor `&name` before it; to begin a text with `*`, quote it")
        } else {
            None
        };
        // At the end of the file there is nothing to underline: take the last line that has text.
        let end = self.base + self.text.trim_end().len();
        let at = if at >= end && end > self.base {
            end - self.text.trim_end().chars().next_back().map_or(0, char::len_utf8)
        } else {
            at
        };
        let diagnostic = Diagnostic::new("E020", self.source, at..at, format!("this is not YAML: {info}"));
        self.out.push(diagnostic.hint_if(hint.map(Into::into)));
    }

    fn event(&mut self, event: Event<'_>, span: Range<usize>) {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {}
            Event::DocumentEnd => self.anchors.clear(),
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                *self.nodes += node.as_ref().map_or(0, Node::count);
                if *self.nodes > MAX_NODES {
                    return self.refuse(&format!("more than {MAX_NODES} values in one file"), span);
                }
                let deep = self.depth() + node.as_ref().map_or(0, Node::depth) > MAX_DEPTH;
                match node {
                    Some(node) if !deep => self.add(node, 0),
                    _ => self.refuse("an alias stands for something that contains it, or nests too deep", span),
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.tag(tag.as_deref(), &span);
                let plain = style == ScalarStyle::Plain;
                let is_str = tag.is_some_and(|t| t.suffix == "str");
                let data = match plain && !is_str {
                    true => number::resolve(&text),
                    false => Data::String(text.into_owned()),
                };
                if let Data::Number(number) = &data
                    && number.is_empty()
                {
                    self.note("E022", "a number that JSON cannot carry", span.clone(), "expected a finite number");
                }
                self.add(Node { empty: plain && span.is_empty(), ..Node::new(data, span) }, anchor);
            }
            Event::SequenceStart(anchor, tag) => {
                self.tag(tag.as_deref(), &span);
                self.open(anchor, span, None);
            }
            Event::MappingStart(anchor, tag) => {
                self.tag(tag.as_deref(), &span);
                self.open(anchor, span, Some(Vec::new()));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.stack.pop() {
                    let closed = self.source.text.get(span.clone()).is_some_and(|t| t.starts_with([']', '}']));
                    let end = if closed { span.end } else { open.end };
                    let data = match open.pairs {
                        Some(pairs) => Data::Map(pairs),
                        None => Data::Seq(open.items),
                    };
                    self.add(Node::new(data, open.start..end.max(open.start)), open.anchor);
                }
            }
        }
        if *self.nodes > MAX_NODES && !self.stopped {
            self.refuse(&format!("more than {MAX_NODES} values in one file"), 0..0);
        }
    }

    fn tag(&mut self, tag: Option<&Tag>, span: &Range<usize>) {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            self.note("E022", format!("the tag `{tag}`"), span.clone(), "pipeline files have no tags");
        }
    }

    fn depth(&self) -> usize {
        self.stack.last().map_or(0, |o| o.depth_of_children)
    }

    fn open(&mut self, anchor: usize, span: Range<usize>, pairs: Option<Vec<(Key, Node)>>) {
        let depth_of_children = self.depth() + 1;
        if depth_of_children > MAX_DEPTH {
            return self.refuse(&format!("maps and lists nest more than {MAX_DEPTH} deep"), span);
        }
        let (items, key, end, seen) = (Vec::new(), None, span.end, HashMap::new());
        self.stack.push(Open { anchor, start: span.start, depth_of_children, end, items, pairs, key, seen });
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize) {
        *self.nodes += 1;
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(mut open) = self.stack.pop() else { return self.documents.push(node) };
        open.end = open.end.max(node.span.end);
        match (&mut open.pairs, open.key.take()) {
            (None, _) => open.items.push(node),
            (Some(_), None) => open.key = Some(self.key(node)),
            (Some(pairs), Some(key)) => {
                if let Some(first) = open.seen.get(&key.name) {
                    let message = format!("the key `{}` stands here twice", key.name);
                    let diagnostic = Diagnostic::new("E021", self.source, key.span.clone(), message)
                        .label("again here")
                        .related(self.source, first.clone(), "first here")
                        .hint("keep one of them");
                    self.out.push(diagnostic);
                } else {
                    // A value that is not there stands where its key is.
                    let span = if node.empty { key.span.clone() } else { node.span.clone() };
                    let name = Some(key.name.as_str().into());
                    open.seen.insert(key.name.clone(), key.span.clone());
                    pairs.push((key.clone(), Node { span, name, key: Some(key.span), ..node }));
                }
            }
        }
        self.stack.push(open);
    }

    fn key(&mut self, node: Node) -> Key {
        let name = match node.data {
            Data::String(text) => text,
            Data::Null | Data::Bool(_) | Data::Number(_) => {
                self.source.text.get(node.span.clone()).unwrap_or_default().to_string()
            }
            Data::Seq(_) | Data::Map(_) => {
                self.note("E022", "a map or list as a key", node.span.clone(), "expected a word");
                String::new()
            }
        };
        if name == "<<" {
            self.note(
                "E022",
                "a merge key `<<`",
                node.span.clone(),
                "pipeline files have no merge keys; write the keys out",
            );
        }
        Key { name, span: node.span }
    }

    fn note(&mut self, code: &'static str, what: impl Into<String>, span: Range<usize>, label: &str) {
        self.out.push(Diagnostic::new(code, self.source, span, what).label(label));
    }

    fn refuse(&mut self, what: &str, span: Range<usize>) {
        self.stopped = true;
        self.note("E022", what, span, "");
    }
}

#[cfg(test)]
mod tests;
