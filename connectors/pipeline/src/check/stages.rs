//! `transforms:`: which stage, which version, and what it says of its `with:` block.

use super::structure::{Structure, collect_properties};
use crate::detectors::Detectors;
use crate::diagnostic::{Diagnostic, did_you_mean, list};
use crate::inlined::Named;
use crate::model::{Uses, unique_name};
use crate::registry::{self, GROUP, Lint, STAGES, StageEntry, VERSION};
use crate::source::Source;
use crate::thresholds;
use crate::yaml::{Data, Key, Node};
use perfstream_core::{Context, Issue, Span};
use std::collections::BTreeMap;
use std::sync::LazyLock;

static SCHEMAS: LazyLock<BTreeMap<&str, Structure>> =
    LazyLock::new(|| STAGES.iter().map(|s| (s.name, Structure::new(s.schema()))).collect());

/// The compiled schema of a stage's `with:` block.
pub fn schema(stage: &str) -> Option<&'static Structure> {
    SCHEMAS.get(stage)
}

/// A stage of a document, and the fields it reads.
pub struct Reads<'a> {
    /// Its entry in `transforms:`
    pub transform: &'a Node,
    /// The stage; None if it is not perfstream's
    pub stage: Option<&'static StageEntry>,
    /// Names of the fields it reads, if its configuration could be read
    pub fields: Vec<String>,
}

/// Checks every stage of a pipeline.
pub fn check<'a>(
    source: &Source,
    pipeline: &'a Node,
    name: &str,
    detectors: &Detectors,
    out: &mut Vec<Diagnostic>,
) -> Vec<Reads<'a>> {
    let transforms = pipeline.get("transforms").map_or(&[][..], Node::items);
    let mut names: Vec<(String, &Node)> = Vec::new();
    let mut taken = Vec::new();
    let mut all = Vec::new();
    let rules = thresholds::of_document(pipeline);
    let named = Named { file: &source.name, detectors, rules: &rules };
    for transform in transforms.iter().filter(|t| matches!(t.data, Data::Map(_))) {
        if let Some(name) = transform.get("name")
            && let Some(text) = name.str()
        {
            if let Some((_, first)) = names.iter().find(|(n, _)| n == text) {
                out.push(twice(source, "stages", text, name, first));
            }
            names.push((text.into(), name));
        }
        let stage = transform.get("uses").and_then(|uses| find(source, uses, out));
        let mut fields = Vec::new();
        if let Some(stage) = stage {
            misplaced_keys(stage, transform, out);
            let given = transform.get("name").and_then(Node::str).unwrap_or(stage.name);
            let unique = unique_name(given, &taken);
            let context = context(pipeline, name, &unique);
            taken.push(unique);
            fields = with_block(source, (stage, transform), &context, named, out);
        }
        all.push(Reads { transform, stage, fields });
    }
    all
}

/// A name that two things of a kind have.
pub(super) fn twice(source: &Source, what: &str, name: &str, second: &Node, first: &Node) -> Diagnostic {
    Diagnostic::new("E012", source, second.mark(), format!("two {what} have the name `{name}`"))
        .label("again here")
        .related(source, first.mark(), "first here")
        .hint("give one of them another name")
}

fn find(source: &Source, uses: &Node, out: &mut Vec<Diagnostic>) -> Option<&'static StageEntry> {
    let text = uses.str()?;
    let bare = text.rsplit('/').next().unwrap_or(text);
    let bare = bare.split('@').next().unwrap_or(bare);
    let known = || list(STAGES.iter().map(|s| s.name));
    let mut error = |code, message: String, label: String, hint: Option<String>| {
        out.push(Diagnostic::new(code, source, uses.mark(), message).label(label).hint_if(hint));
    };
    let Some(parts) = Uses::parse(text) else {
        let stage = registry::find(bare);
        let hint = stage.map(|s| format!("write `{}`", s.uses()));
        let hint = hint.or_else(|| did_you_mean(bare, STAGES.iter().map(|s| s.name)));
        let message = format!("`uses` must name a SmartModule, found `{text}`");
        error("E006", message, "expected `group/name@version`, as `perfstream/filter@0.1.0`".into(), hint);
        return stage;
    };
    if parts.group != GROUP {
        let hint = did_you_mean(parts.group, [GROUP]);
        let message = format!("perfstream does not know the module `{text}`: its `with` is not checked");
        error("W104", message, format!("perfstream's own stages: {}", known()), hint);
        return None;
    }
    let Some(stage) = registry::find(parts.name) else {
        let hint = did_you_mean(parts.name, STAGES.iter().map(|s| s.name));
        error("E006", format!("unknown stage `{}`", parts.name), format!("expected one of {}", known()), hint);
        return None;
    };
    if parts.version != VERSION {
        let message = format!("version {} of `{}` is not here", parts.version, stage.name);
        error("E007", message, format!("this perfstream has {VERSION}"), Some(format!("write `{}`", stage.uses())));
    }
    Some(stage)
}

/// Keys of the stage that stand beside `with:` instead of in it: the schema has reported them as
/// unknown; this adds where they belong.
fn misplaced_keys(stage: &StageEntry, transform: &Node, out: &mut [Diagnostic]) {
    let Some(schema) = schema(stage.name) else { return };
    let mut known = Vec::new();
    collect_properties(schema.schema(), schema.schema(), &mut known, 0);
    for (key, _) in transform.pairs().iter().filter(|(key, _)| known.contains(&key.name)) {
        for diagnostic in out.iter_mut().filter(|d| d.code == "E001" && starts_at(d, key)) {
            diagnostic.hint = Some(format!("`{}` belongs under `with:`", key.name));
        }
    }
}

fn starts_at(diagnostic: &Diagnostic, key: &Key) -> bool {
    diagnostic.span.as_ref().is_some_and(|s| s.start == key.span.start)
}

fn context(pipeline: &Node, name: &str, stage: &str) -> Context {
    let time = pipeline.get("input").and_then(|i| i.get("time"));
    let span = |key: &str| time.and_then(|t| t.get(key)).and_then(Node::str).and_then(|s| Span::parse(s).ok());
    let defaults = Context::default();
    Context {
        pipeline: name.into(),
        stage: stage.into(),
        out_of_orderness: span("out_of_orderness").unwrap_or(defaults.out_of_orderness),
        idle_after: span("idle_after").unwrap_or(defaults.idle_after),
        ..defaults
    }
}

/// The stage's schema, then its lint. Gives the fields it reads.
fn with_block(
    source: &Source,
    (stage, transform): (&StageEntry, &Node),
    context: &Context,
    named: Named<'_>,
    out: &mut Vec<Diagnostic>,
) -> Vec<String> {
    // Without `with:` the stage has its defaults, and what it says stands at `uses:`.
    let empty = Node { data: Data::Map(Vec::new()), ..transform.get("uses").unwrap_or(transform).clone() };
    let with = match transform.get("with") {
        Some(node) if !matches!(node.data, Data::Map(_)) => return Vec::new(), // reported by the model's schema
        Some(node) => node,
        None => &empty,
    };
    let mut found = Vec::new();
    let wrong = schema(stage.name).map(|s| s.check(with, source, &mut found)).unwrap_or_default();
    let config = match named.inline(stage.name, with.to_json()) {
        Ok(config) => config,
        Err(issue) => {
            found.push(of_issue(source, stage, with, &issue));
            out.append(&mut found);
            return Vec::new();
        }
    };
    let Lint { mut issues, unreadable, reads } = stage.lint(&config, context);
    // What is wrong inside of a detector is said at its own document.
    issues.retain(|issue| !issue.path.starts_with("detector."));
    match unreadable {
        // What the stage can read has no unknown key, whatever the schema says (aliases).
        None => found.retain(|d| d.code == "E009"),
        Some((column, text)) if found.is_empty() => {
            let code = if text.starts_with("expected a duration") { "E005" } else { "E010" };
            let message = format!("`{}` cannot take this: {text}", stage.name);
            found.push(Diagnostic::new(code, source, with.at_json(column).mark(), message));
        }
        Some(_) => rest_of(source, stage, with, wrong, context, &mut found),
    }
    for issue in &issues {
        let diagnostic = of_issue(source, stage, with, issue);
        // The schema has said the same of the same place, in its words.
        if !found.iter().any(|d| d.span == diagnostic.span && d.code == "E009") {
            found.push(diagnostic);
        }
    }
    out.append(&mut found);
    reads
}

/// What the stage says of the parts of a block that its schema has not refused, so that one wrong
/// key does not hide a wrong expression. Only what surely stays wrong is said: of single values,
/// and not of names that were taken out.
fn rest_of(
    source: &Source,
    stage: &StageEntry,
    with: &Node,
    mut wrong: Vec<String>,
    context: &Context,
    out: &mut Vec<Diagnostic>,
) {
    let Some(schema) = schema(stage.name) else { return };
    let mut rest = with.clone();
    let mut removed = Vec::new();
    for _ in 0..8 {
        // From the back, so that places in lists stay right.
        wrong.sort_unstable_by(|a, b| natural(b).cmp(&natural(a)));
        wrong.dedup();
        for pointer in &wrong {
            removed.extend(pointer.rsplit('/').next().map(str::to_string));
            if !rest.remove(pointer) {
                return;
            }
        }
        wrong = schema.check(&rest, source, &mut Vec::new());
        if wrong.is_empty() {
            break;
        }
    }
    let lint = stage.lint(&rest.to_json(), context);
    let about_removed =
        |issue: &Issue| removed.iter().any(|name| !name.is_empty() && issue.message.contains(&format!("`{name}`")));
    for issue in lint.issues.iter().filter(|i| !i.warning && !about_removed(i)) {
        let (node, exact) = rest.at_path(&issue.path);
        if exact && is_whole(with, node) {
            out.push(of_issue(source, stage, &rest, issue));
        }
    }
}

/// Does `node`, taken from a part of `with`, stand there as it is?
fn is_whole(with: &Node, node: &Node) -> bool {
    (with.span == node.span && with == node)
        || with.items().iter().any(|child| is_whole(child, node))
        || with.pairs().iter().any(|(_, child)| is_whole(child, node))
}

/// A pointer with its list places as numbers, for ordering.
fn natural(pointer: &str) -> Vec<(u64, &str)> {
    pointer.split('/').map(|part| (part.parse().unwrap_or(0), part)).collect()
}

/// An issue of a stage, at its place in the file.
fn of_issue(source: &Source, stage: &StageEntry, with: &Node, issue: &Issue) -> Diagnostic {
    let (node, exact) = with.at_path(&issue.path);
    let code = match (issue.warning, issue.at) {
        (true, _) => "W103",
        (false, Some(_)) => "E008",
        (false, None) => "E010",
    };
    let span = match issue.at {
        Some(at) if exact => inside(source, node, at),
        _ => node.mark(),
    };
    let subject = match issue.path.is_empty() || exact {
        true => String::new(),
        false => format!("`{}`: ", issue.path),
    };
    let label = if exact { String::new() } else { format!("in `{}`", stage.name) };
    Diagnostic::new(code, source, span, format!("{subject}{}", issue.message)).label(label).hint_if(issue.hint.clone())
}

/// The place of byte `at` of a text. Escapes and folded lines shift it; then the text as a whole.
pub(super) fn inside(source: &Source, node: &Node, at: usize) -> std::ops::Range<usize> {
    let Some(text) = node.str() else { return node.mark() };
    let written = source.text.get(node.span.clone()).unwrap_or_default();
    let quote = usize::from(written.starts_with(['"', '\'']));
    if !written.get(quote..).is_some_and(|w| w.starts_with(text)) || !text.is_char_boundary(at) {
        return node.mark();
    }
    let start = node.span.start + quote + at;
    // The word or sign there.
    let rest = text.get(at..).unwrap_or_default();
    let word = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.'))).unwrap_or(rest.len());
    match rest.is_empty() {
        true => start.saturating_sub(1)..start,
        false => start..start + word.max(rest.chars().next().map_or(0, char::len_utf8)),
    }
}
