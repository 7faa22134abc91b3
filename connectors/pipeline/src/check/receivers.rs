//! Documents of kind `Receivers`, and what pipelines say of them.

use super::Document;
use crate::detectors::ENVELOPE;
use crate::diagnostic::{Diagnostic, did_you_mean, list};
use crate::model::{DocumentKind, steps};
use crate::source::Source;
use crate::yaml::Node;
use perfstream_core::Issue;
use perfstream_sink::config::Receivers;

/// The typed content of a document that the schema has accepted.
pub fn read(node: &Node) -> Result<Receivers, serde_json::Error> {
    let mut document = node.to_value();
    if let Some(keys) = document.as_object_mut() {
        ENVELOPE.iter().for_each(|key| _ = keys.remove(*key));
    }
    serde_json::from_str(&document.to_string())
}

/// What the sink would say, at its places in the document.
pub fn check(source: &Source, node: &Node, out: &mut Vec<Diagnostic>) {
    let issues = match read(node) {
        Ok(receivers) => receivers.lint(),
        Err(error) => vec![Issue::error("", error.to_string())],
    };
    for issue in issues {
        let (place, exact) = node.at_path(&issue.path);
        let message = if exact { issue.message } else { format!("`{}`: {}", issue.path, issue.message) };
        let diagnostic = match message.starts_with("this is a secret") {
            // With its place the line would be shown, and the secret stands in it.
            true => {
                let line = source.line(place.mark().start);
                Diagnostic::of_file("E010", &source.name, format!("line {line}, `{}`: {message}", issue.path))
            }
            false => Diagnostic::new("E010", source, place.mark(), message),
        };
        out.push(diagnostic.hint_if(issue.hint));
    }
}

/// Receivers that rules name and no document has. Files without a `Receivers` document say nothing:
/// theirs may stand in another file.
pub fn names(documents: &[Document], out: &mut Vec<Diagnostic>) {
    let of_kind = |kind| documents.iter().filter(move |document| document.kind == kind);
    if of_kind(DocumentKind::Receivers).next().is_none() {
        return;
    }
    let receivers = of_kind(DocumentKind::Receivers).filter_map(|d| d.node.get("receivers")).flat_map(Node::items);
    let known: Vec<&str> = receivers.filter_map(|receiver| receiver.get("name")?.str()).collect();
    for document in of_kind(DocumentKind::Pipeline) {
        for node in named(&document.node) {
            let Some(name) = node.str().filter(|name| !known.contains(name)) else { continue };
            let diagnostic =
                Diagnostic::new("E017", &document.source, node.mark(), format!("there is no receiver `{name}`"));
            let known = || known.iter().copied();
            out.push(diagnostic.label(format!("known: {}", list(known()))).hint_if(did_you_mean(name, known())));
        }
    }
}

/// The ids in `notification` of a pipeline's alert rules, and in the actions of its `respond` rules.
fn named(pipeline: &Node) -> impl Iterator<Item = &Node> {
    let rules = |stage| steps(pipeline, stage).filter_map(|step| step.get("with")?.get("rules")).flat_map(Node::items);
    let told = rules("alert").filter_map(|rule| rule.get("notification")).flat_map(Node::items);
    let acts = rules("respond").flat_map(|rule| ["action", "rollback"].into_iter().filter_map(|key| rule.get(key)));
    told.chain(acts.filter_map(|act| act.get("receiver")))
}

#[cfg(test)]
mod tests {
    use crate::check::check_text;

    const LCP: &str = include_str!("tests/lcp.yaml");

    fn codes(text: &str) -> Vec<(&'static str, String)> {
        let found = check_text("f.yaml", text).diagnostics;
        found.into_iter().filter(|d| d.code.starts_with('E')).map(|d| (d.code, d.message)).collect()
    }

    fn receivers(inside: &str) -> String {
        format!("apiVersion: perfstream/v1\nkind: Receivers\nmeta: {{ name: r }}\n{inside}")
    }

    #[test]
    fn a_document_is_checked_by_schema_and_lint() {
        let good =
            "receivers:\n  - { name: slack, slack: { url: '${{ secrets.SLACK }}' } }\nroute: { receiver: slack }\n";
        assert_eq!(codes(&receivers(good)), []);
        for (right, wrong, code) in [
            ("url:", "urll:", "E001"),
            ("receivers:", "receiver:", "E002"),
            ("receiver: slack", "receiver: slak", "E010"),
            ("'${{ secrets.SLACK }}'", "https://hooks.example/canary", "E010"),
            ("route: {", "route: { group_wait: soon,", "E005"),
        ] {
            let found = codes(&receivers(&good.replacen(right, wrong, 1)));
            assert!(found.iter().any(|(found, _)| *found == code), "{wrong}: {found:?}");
            assert!(!format!("{found:?}").contains("canary"), "{found:?}");
        }
    }

    #[test]
    fn a_rule_that_names_nobody() {
        let good = "receivers:\n  - { name: slack, slack: { url: '${{ secrets.SLACK }}' } }\n";
        let both = |pipeline: &str| format!("{pipeline}\n---\n{}", receivers(good));
        let alert = "  - uses: perfstream/alert@0.1.0\n    with: { rules: [{ name: slow, condition: value > 1, notification: [slack, email] }] }\n";
        let lcp = LCP.replace("output:\n", &format!("{alert}output:\n"));
        let other = lcp.replace("slack", "slakc");
        assert_eq!(codes(&other), [], "without receivers nothing is known");
        assert_eq!(codes(&both(&lcp)), [("E017", "there is no receiver `email`".to_string())]);
        let respond = "  - uses: perfstream/respond@0.1.0\n    with: { rules: [{ name: r, on: alert, target: x, action: { kind: webhook, receiver: slack }, verify: { within: 1m }, rollback: { kind: webhook, receiver: slac } }] }\n";
        let acts = LCP.replace("output:\n", &format!("{respond}output:\n"));
        assert_eq!(codes(&both(&acts)), [("E017", "there is no receiver `slac`".to_string())]);
        let found = codes(&both(&other));
        assert!(found.contains(&("E017", "there is no receiver `slakc`".into())), "{found:?}");
    }
}
