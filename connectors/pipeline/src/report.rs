//! Everything found in a set of files.

use crate::check::Document;
use crate::diagnostic::{Diagnostic, Severity, render};
use crate::model::Pipeline;
use crate::source::Source;
use serde_json::{Value, json};
use std::ops::Range;

/// Everything found in a set of files.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// In the order of the files, then of the places
    pub diagnostics: Vec<Diagnostic>,
    /// The files that could be read
    pub sources: Vec<Source>,
    /// Their documents, in order
    pub documents: Vec<Document>,
}

impl Report {
    /// Is there an error among them?
    pub fn is_error(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// Number of errors and of warnings.
    pub fn counts(&self) -> (usize, usize) {
        let errors = self.diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
        (errors, self.diagnostics.len() - errors)
    }

    /// The pipelines without errors.
    pub fn into_pipelines(self) -> Vec<Pipeline> {
        self.documents.into_iter().filter_map(|d| d.pipeline).collect()
    }

    /// The file of that name.
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|s| &*s.name == name)
    }

    /// Orders by file and place and drops what was said twice.
    pub fn sort(&mut self) {
        let yaml: Vec<_> =
            self.diagnostics.iter().filter(|d| d.code == "E022").map(|d| (d.file.clone(), d.span.clone())).collect();
        // What is no value of a pipeline file need not be of the right type as well.
        self.diagnostics
            .retain(|d| d.code == "E022" || !yaml.iter().any(|(file, span)| *file == d.file && *span == d.span));
        let order: Vec<_> = self.sources.iter().map(|s| s.name.clone()).collect();
        let place = |d: &Diagnostic| {
            let file = order.iter().position(|n| **n == *d.file).unwrap_or(usize::MAX);
            (file, d.span.as_ref().map_or(0, |s| s.start), d.code)
        };
        self.diagnostics.sort_by_key(place);
        self.diagnostics
            .dedup_by(|a, b| (a.code, &a.file, &a.span, &a.message) == (b.code, &b.file, &b.span, &b.message));
    }

    /// For people: each with the lines of the file, then a line that counts them.
    pub fn render(&self, color: bool) -> String {
        let mut text = String::new();
        for diagnostic in &self.diagnostics {
            text.push_str(&render(diagnostic, self.source(&diagnostic.file), color));
            text.push_str("\n\n");
        }
        if let (errors, warnings) = self.counts()
            && errors + warnings > 0
        {
            let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
            let line = match (errors, warnings) {
                (e, 0) => plural(e, "error"),
                (0, w) => plural(w, "warning"),
                (e, w) => format!("{}, {}", plural(e, "error"), plural(w, "warning")),
            };
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    /// For machines: a list of objects.
    pub fn json(&self) -> Value {
        let one = |d: &Diagnostic| {
            let source = self.source(&d.file);
            let at = |span: &Range<usize>| {
                let (line, column) = source.map_or((0, 0), |s| s.line_column(span.start));
                json!({ "line": line, "column": column, "start": span.start, "end": span.end })
            };
            json!({
                "code": d.code,
                "severity": match d.severity { Severity::Error => "error", Severity::Warning => "warning" },
                "file": d.file,
                "position": d.span.as_ref().map(at),
                "message": d.message,
                "label": d.label,
                "hint": d.hint,
                "related": d.related.iter().map(|(span, what)| json!({ "position": at(span), "message": what })).collect::<Vec<_>>(),
            })
        };
        Value::Array(self.diagnostics.iter().map(one).collect())
    }
}
