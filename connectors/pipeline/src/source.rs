//! The text of a file and where its lines begin.

use std::ops::Range;
use std::sync::Arc;

/// A pipeline file is at most this long.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// A file's name and text, with byte offsets to lines and columns.
#[derive(Debug, Clone)]
pub struct Source {
    /// As the user wrote it on the command line
    pub name: Arc<str>,
    /// The whole text
    pub text: Arc<str>,
    line_starts: Arc<[usize]>,
}

impl Source {
    /// Takes over a text.
    pub fn new(name: &str, text: &str) -> Source {
        let starts = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        Source { name: name.into(), text: text.into(), line_starts: std::iter::once(0).chain(starts).collect() }
    }

    /// Line (from 1) of a byte offset.
    pub fn line(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at).max(1)
    }

    /// Line and column (both from 1; the column in characters) of a byte offset.
    pub fn line_column(&self, at: usize) -> (usize, usize) {
        let line = self.line(at);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..at.max(start)).map_or(0, |part| part.chars().count());
        (line, column + 1)
    }

    /// The whole lines that a span touches.
    pub fn lines_around(&self, span: Range<usize>) -> Range<usize> {
        let start = self.line_starts.get(self.line(span.start) - 1).copied().unwrap_or(0);
        let end = self.line_starts.get(self.line(span.end.max(span.start))).copied().unwrap_or(self.text.len());
        start.min(span.start)..end.max(span.end).min(self.text.len())
    }

    /// The part of `span` on its first line, never empty where a character follows.
    pub fn first_line(&self, span: &Range<usize>) -> Range<usize> {
        let start = span.start.min(self.text.len());
        let end = span.end.clamp(start, self.text.len());
        let part = self.text.get(start..end).unwrap_or_default();
        let cut = part.find('\n').map_or(part, |at| &part[..at]).trim_end();
        match cut.is_empty() {
            false => start..start + cut.len(),
            true => {
                start
                    ..start
                        + self.text.get(start..).and_then(|t| t.chars().next()).map_or(0, |c| match c {
                            '\n' => 0,
                            c => c.len_utf8(),
                        })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns() {
        let source = Source::new("f", "a: 1\né: ü\n");
        assert_eq!(source.line_column(0), (1, 1));
        assert_eq!(source.line_column(5), (2, 1));
        assert_eq!(source.line_column(9), (2, 4)); // é has two bytes and is one column
        assert_eq!(source.line_column(12), (3, 1));
        assert_eq!(source.first_line(&(0..8)), 0..4);
        assert_eq!(source.first_line(&(11..11)), 11..11);
        assert_eq!(source.first_line(&(100..200)), 12..12);
    }
}
