//! Documents of kind `Framework`: what their parts name must be there, and do what the part says.

use super::{Document, read_file};
use crate::diagnostic::{Diagnostic, did_you_mean, list};
use crate::frameworks::{PARTS, Part};
use crate::model::DocumentKind;
use crate::yaml::{self, Node};
use std::path::Path;

/// Checks the frameworks among documents, and that they name all pipelines that say they belong to them.
pub fn check(documents: &[Document], out: &mut Vec<Diagnostic>) {
    for framework in documents.iter().filter(|d| d.kind == DocumentKind::Framework) {
        let elsewhere = files(framework, out);
        let all: Vec<&Node> = documents.iter().map(|d| &d.node).chain(&elsewhere).collect();
        for (key, part) in PARTS {
            named(framework, key, part, &all, out);
        }
        left_out(framework, documents, out);
    }
}

/// The documents of `files`; what is wrong in them is said where they are given to `check` themselves.
fn files(framework: &Document, out: &mut Vec<Diagnostic>) -> Vec<Node> {
    let place = Path::new(&*framework.source.name).parent().unwrap_or(Path::new(""));
    let mut found = Vec::new();
    for node in framework.node.get("files").map_or(&[][..], Node::items) {
        let Some(path) = node.str().map(|path| place.join(path)) else { continue };
        match read_file(&path, &path.display().to_string()) {
            Ok(source) => found.extend(yaml::parse(&source, &mut Vec::new())),
            Err(error) => {
                let diagnostic = Diagnostic::new("E019", &framework.source, node.mark(), error.message);
                out.push(diagnostic.hint("paths of `files` begin where this file is"));
            }
        }
    }
    found
}

/// What a part names and no document has.
fn named(framework: &Document, key: &str, part: Part, documents: &[&Node], out: &mut Vec<Diagnostic>) {
    let mut known: Vec<&str> = documents.iter().flat_map(|document| part.names(document)).collect();
    known.sort_unstable();
    known.dedup();
    for node in framework.node.get(key).map_or(&[][..], Node::items) {
        let Some(name) = node.str().filter(|name| !known.contains(name)) else { continue };
        let message = format!("`{key}` names `{name}`, which is no {}", part.what());
        let known = || known.iter().copied();
        let hint = did_you_mean(name, known()).unwrap_or_else(|| "is its file among `files`?".into());
        let diagnostic = Diagnostic::new("E019", &framework.source, node.mark(), message);
        let label = if known().next().is_none() { "there is none".into() } else { format!("known: {}", list(known())) };
        out.push(diagnostic.label(label).hint(hint));
    }
}

/// Pipelines that say they belong to the framework and are in none of its parts.
fn left_out(framework: &Document, documents: &[Document], out: &mut Vec<Diagnostic>) {
    let parts = PARTS.iter().filter_map(|(key, _)| framework.node.get(key)).flat_map(Node::items);
    let named: Vec<&str> = parts.filter_map(Node::str).collect();
    for document in documents.iter().filter(|d| d.kind == DocumentKind::Pipeline && !named.contains(&&*d.name)) {
        let Some(of) = document.node.get("meta").and_then(|meta| meta.get("framework")) else { continue };
        if of.str() != Some(&framework.name) {
            continue;
        }
        let message = format!("`{}` is in no part of the framework `{}`", document.name, framework.name);
        let diagnostic = Diagnostic::new("W106", &document.source, of.mark(), message);
        out.push(diagnostic.hint("add it to `processors`, and to `analyzers` if it gives results"));
    }
}

#[cfg(test)]
mod tests {
    use crate::check::check_text;

    const LCP: &str = include_str!("tests/lcp.yaml");

    /// A framework around the pipeline `lcp`, with a change.
    fn found(right: &str, wrong: &str) -> Vec<(&'static str, String)> {
        let alert = "  - uses: perfstream/alert@0.1.0\n    with: { rules: [{ name: slow, condition: value > 1 }] }\n";
        let lcp = LCP.replace("output:\n", &format!("{alert}output:\n"));
        let framework = "apiVersion: perfstream/v1\nkind: Framework\nmeta: { name: web-vitals }\nid: web-vitals-real-time\n\
                         analyzers: [lcp]\ndetectors: []\nprocessors: [lcp]\nalerting: [lcp]\ndashboards: []\n\
                         automation: []\ncorrelation: []\nprediction: []\n";
        assert!(framework.contains(right));
        let text = format!("{lcp}\n---\n{}", framework.replace(right, wrong));
        // The doubts of the stages are not about the framework.
        let about = check_text("f.yaml", &text).diagnostics.into_iter().filter(|d| d.code != "W103");
        about.map(|d| (d.code, d.message)).collect()
    }

    #[test]
    fn parts_name_what_is_there() {
        assert_eq!(found("", ""), []);
        for (right, wrong, code, words) in [
            ("analyzers: [lcp]", "analyzers: [lpc]", "E019", "`analyzers` names `lpc`, which is no pipeline"),
            ("prediction: []", "prediction: [lcp]", "E019", "which is no pipeline with a step `forecast`"),
            ("detectors: []", "detectors: [best]", "E019", "which is no detector that a step `detect` uses"),
            ("dashboards: []", "dashboards: [lcp]", "E019", "which is no dashboard of a step `dashboard`"),
            ("analyzers: [lcp]", "files: [no-such.yaml]\nanalyzers: [lcp]", "E019", "no-such.yaml"),
            ("correlation: []", "", "E002", "correlation"),
            ("correlation: []", "corelation: []", "E001", "corelation"),
        ] {
            let found = found(right, wrong);
            assert!(found.iter().any(|(c, message)| *c == code && message.contains(words)), "{wrong}: {found:?}");
        }
    }

    #[test]
    fn a_pipeline_that_no_part_names() {
        let gone = found("[lcp]", "[]");
        assert_eq!(gone, [("W106", "`lcp` is in no part of the framework `web-vitals`".to_string())]);
    }
}
