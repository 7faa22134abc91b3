//! One thing wrong with a file, and how it is printed.
//!
//! The code of a diagnostic never changes its meaning. `E` stops a run, `W` does not.

use crate::source::Source;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::ops::Range;

/// Stops a run, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing runs
    Error,
    /// Doubtful, but it works
    Warning,
}

/// All codes, with what they mean.
pub const CODES: &[(&str, &str)] = &[
    ("E001", "unknown key"),
    ("E002", "missing key"),
    ("E003", "wrong type"),
    ("E004", "value not in the list of what is allowed"),
    ("E005", "not a duration"),
    ("E006", "unknown stage"),
    ("E007", "version of a stage that is not here"),
    ("E008", "expression that cannot be read"),
    ("E009", "value out of its range or form"),
    ("E010", "a stage refuses its configuration"),
    ("E011", "unknown kind of record in routes"),
    ("E012", "name used twice"),
    ("E013", "group_by without the partition key"),
    ("E014", "output goes back into the input topic"),
    ("E015", "unknown kind of document or apiVersion"),
    ("E016", "this stage cannot run on the SPU"),
    ("E017", "a receiver that is not there"),
    ("E018", "a call that no step before makes"),
    ("E019", "a part of a framework that is not there"),
    ("E020", "not YAML"),
    ("E021", "key given twice"),
    ("E022", "YAML that a pipeline file does not use"),
    ("E030", "file cannot be read"),
    ("E031", "not UTF-8"),
    ("E032", "file too large"),
    ("E033", "no document"),
    ("E034", "too many faults"),
    ("W101", "field that the input schema does not have"),
    ("W102", "name that no stage before produces"),
    ("W103", "a stage doubts its configuration"),
    ("W104", "module that perfstream does not know"),
    ("W105", "stage that no event reaches"),
    ("W106", "pipeline that its framework does not name"),
];

/// One thing wrong in one place.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// One of [`CODES`]
    pub code: &'static str,
    /// Error or warning, as the code says
    pub severity: Severity,
    /// File it is in
    pub file: String,
    /// Bytes of the file; None if the file could not be read
    pub span: Option<Range<usize>>,
    /// One line: what was found
    pub message: String,
    /// What is allowed; stands under the place
    pub label: String,
    /// Other places that belong to it, each with what it is
    pub related: Vec<(Range<usize>, String)>,
    /// How to mend it
    pub hint: Option<String>,
}

impl Diagnostic {
    /// Something wrong at `span`.
    pub fn new(code: &'static str, source: &Source, span: Range<usize>, message: impl Into<String>) -> Diagnostic {
        let span = source.first_line(&span);
        Diagnostic { span: Some(span), ..Diagnostic::of_file(code, &source.name, message) }
    }

    /// Something wrong with a file as a whole.
    pub fn of_file(code: &'static str, file: &str, message: impl Into<String>) -> Diagnostic {
        let severity = if code.starts_with('W') { Severity::Warning } else { Severity::Error };
        let (label, related, hint) = (String::new(), Vec::new(), None);
        Diagnostic { code, severity, file: file.into(), span: None, message: message.into(), label, related, hint }
    }

    /// Says what is allowed.
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = label.into();
        self
    }

    /// Says how to mend it.
    pub fn hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hint = Some(hint.into());
        self
    }

    /// Says how to mend it, if it is known.
    pub fn hint_if(mut self, hint: Option<String>) -> Diagnostic {
        self.hint = hint.or(self.hint);
        self
    }

    /// Adds another place.
    pub fn related(mut self, source: &Source, span: Range<usize>, what: impl Into<String>) -> Diagnostic {
        self.related.push((source.first_line(&span), what.into()));
        self
    }
}

/// One diagnostic as rustc would print it.
pub fn render(diagnostic: &Diagnostic, source: Option<&Source>, color: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    // What the user wrote may hold control characters; the terminal must not obey them.
    let clean = |text: &str| annotate_snippets::normalize_untrusted_str(text);
    let title = level.primary_title(clean(&diagnostic.message)).id(diagnostic.code);
    let mut group: Group<'_> = match (&diagnostic.span, source) {
        (Some(span), Some(source)) => {
            // Only the lines that matter: the renderer walks over all it gets.
            let spans = || diagnostic.related.iter().map(|(span, _)| span).chain([span]);
            let part = source
                .lines_around(spans().map(|s| s.start).min().unwrap_or(0)..spans().map(|s| s.end).max().unwrap_or(0));
            let shift = |span: &Range<usize>| span.start - part.start..span.end - part.start;
            let primary = AnnotationKind::Primary.span(shift(span)).label(clean(&diagnostic.label));
            let mut snippet = Snippet::source(&source.text[part.clone()])
                .line_start(source.line(part.start))
                .path(clean(&source.name))
                .annotation(primary);
            for (span, what) in &diagnostic.related {
                snippet = snippet.annotation(AnnotationKind::Context.span(shift(span)).label(clean(what)));
            }
            title.element(snippet)
        }
        _ => {
            let mut group = title.element(Level::NOTE.message(format!("in {}", clean(&diagnostic.file))));
            if !diagnostic.label.is_empty() {
                group = group.element(Level::NOTE.message(clean(&diagnostic.label)));
            }
            group
        }
    };
    if let Some(hint) = &diagnostic.hint {
        group = group.element(Level::HELP.message(clean(hint)));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    renderer.term_width(120).render(&[group])
}

/// The word of `allowed` that `word` was probably meant to be.
pub fn did_you_mean<'a>(word: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let fold = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let word = fold(word);
    let score = |candidate: &str| {
        let candidate = fold(candidate);
        match candidate == word {
            true => 1.0,
            // The first word of several: `skip` for `skip-and-log`.
            false if word.len() >= 3 && candidate.starts_with(&format!("{word}_")) => 0.9,
            // One letter wrong, missing, too many, or two swapped.
            false if word.len() >= 3 && strsim::damerau_levenshtein(&word, &candidate) == 1 => 0.85,
            false => strsim::jaro_winkler(&word, &candidate).min(
                // Two letters of three wrong is another word, however they begin.
                1.0 - strsim::damerau_levenshtein(&word, &candidate) as f64
                    / (word.chars().count().max(3) as f64 * 1.5),
            ),
        }
    };
    let best = allowed.into_iter().take(1000).map(|c| (score(c), c)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= 0.6).then(|| format!("did you mean `{}`?", best.1))
}

/// `a`, `b` and `c`, shortened if they are many.
pub fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.into_iter().collect();
    let shown: Vec<_> = words.iter().take(24).map(|w| format!("`{w}`")).collect();
    match words.len() > shown.len() {
        true => format!("{} and {} more", shown.join(", "), words.len() - shown.len()),
        false => shown.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_sorted() {
        assert!(CODES.windows(2).all(|w| w[0].0 < w[1].0));
    }

    #[test]
    fn suggestions() {
        let keys = ["where", "criteria", "group_by", "allowed_lateness"];
        assert_eq!(did_you_mean("wehre", keys).as_deref(), Some("did you mean `where`?"));
        assert_eq!(did_you_mean("groupBy", keys).as_deref(), Some("did you mean `group_by`?"));
        assert_eq!(did_you_mean("allowed-lateness", keys).as_deref(), Some("did you mean `allowed_lateness`?"));
        assert_eq!(did_you_mean("zzz", keys), None);
        assert_eq!(did_you_mean("", keys), None);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let source = Source::new("f", "a: \u{1b}[31m\n");
        let diagnostic = Diagnostic::new("E003", &source, 3..8, "found \u{1b}[31m");
        assert!(!render(&diagnostic, Some(&source), false).contains('\u{1b}'));
    }
}
