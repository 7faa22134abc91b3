//! `tests/seed_map.yaml` says where each key of the user's document (`tests/seed.md`) lives; this
//! keeps it honest. A key that is not mapped fails, as do a mapping to a place that is not there, a
//! value that differs where the map says it is the same, and an entry for a key that the document
//! does not have.

mod typescript;

use perfstream::source::Source;
use perfstream::yaml::{self, Node};
use perfstream_core::Kind;
use perfstream_tests::{root, under_tests};
use serde_json::Value;
use std::collections::BTreeMap;
use typescript::{Leaf, leaves};

const PIPELINES: &str = "pipelines";

/// Issues that are to come.
const ISSUES: [&str; 2] = ["D", "E"];

/// Commands that are there.
const COMMANDS: [&str; 15] = [
    "check",
    "test",
    "explain",
    "schema",
    "run",
    "cat",
    "generate",
    "detect",
    "analyze",
    "report",
    "deploy",
    "status",
    "sessions",
    "--log",
    "--metrics",
];

fn documents(path: &std::path::Path) -> (String, Vec<Node>) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut found = Vec::new();
    let nodes = yaml::parse(&Source::new(&path.display().to_string(), &text), &mut found);
    assert!(found.is_empty(), "{}: {found:?}", path.display());
    (text, nodes)
}

/// The shipped pipelines by name.
struct Shipped {
    text: String,
    documents: BTreeMap<String, Node>,
}

impl Shipped {
    fn read() -> Shipped {
        let entries = root().join(PIPELINES).read_dir().expect("the pipelines");
        let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|file| file.extension().is_some_and(|end| end == "yaml"));
        files.sort();
        let name = |node: &Node| node.get("meta").and_then(|m| m.get("name")).and_then(Node::str).map(String::from);
        let mut shipped = Shipped { text: String::new(), documents: BTreeMap::new() };
        for (text, nodes) in files.iter().map(|file| documents(file)) {
            shipped.text.push_str(&text);
            shipped.documents.extend(nodes.into_iter().filter_map(|n| Some((name(&n)?, n))));
        }
        shipped
    }

    /// `lcp.transforms[aggregate].with.windows[five_minutes].size`: `[x]` is item number x, or the
    /// item whose name or stage is x.
    fn at(&self, path: &str) -> Option<&Node> {
        let (document, rest) = path.split_once('.')?;
        let mut node = self.documents.get(document)?;
        for step in rest.split('.') {
            let mut parts = step.split(['[', ']']).filter(|p| !p.is_empty());
            node = node.get(parts.next()?)?;
            for which in parts {
                node = item(node, which)?;
            }
        }
        Some(node)
    }
}

fn item<'n>(list: &'n Node, which: &str) -> Option<&'n Node> {
    if let Ok(index) = which.parse::<usize>() {
        return list.items().get(index);
    }
    let stage = format!("perfstream/{which}@");
    let has = |node: &Node, key: &str, test: &dyn Fn(&str) -> bool| node.get(key).and_then(Node::str).is_some_and(test);
    list.items().iter().find(|n| has(n, "name", &|s| s == which) || has(n, "uses", &|s| s.starts_with(&stage)))
}

/// Numbers are equal by value; anything else as it stands.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        _ => a == b,
    }
}

/// What is wrong with one mapping.
fn fault(leaf: &Leaf, target: &str, shipped: &Shipped) -> Option<String> {
    let (word, rest) = target.split_once(' ').unwrap_or((target, ""));
    let here = |path: &str| shipped.at(path).ok_or_else(|| format!("{PIPELINES} has no `{path}`"));
    match word {
        "=" => match (here(rest), &leaf.value) {
            (Err(missing), _) => Some(missing),
            (Ok(_), None) => Some("the document gives no plain value; use `~`".into()),
            (Ok(node), Some(value)) if equal(&node.to_value(), value) => None,
            (Ok(node), Some(value)) => Some(format!("the document says {value}, `{rest}` is {}", node.to_value())),
        },
        "~" => here(rest).err(),
        "text" => match leaf.value.as_ref().and_then(Value::as_str) {
            Some(text) if shipped.text.contains(text) => None,
            value => Some(format!("{PIPELINES} does not contain {value:?}")),
        },
        "perfstream" if COMMANDS.contains(&rest) => None,
        "record"
            if rest.split_once('.').is_some_and(|(kind, field)| Kind::parse(kind).is_some() && !field.is_empty()) =>
        {
            None
        }
        "issue" if ISSUES.contains(&rest) => None,
        _ => Some(format!("`{target}` is no target")),
    }
}

#[test]
fn every_key_of_the_users_document_has_its_place() {
    let seed = std::fs::read_to_string(under_tests("seed.md")).expect("tests/seed.md");
    let shipped = Shipped::read();
    let (_, map) = documents(&under_tests("seed_map.yaml"));
    let mut targets: BTreeMap<String, String> = BTreeMap::new();
    for (section, keys) in map.iter().flat_map(Node::pairs) {
        for (key, target) in keys.pairs() {
            let target = target.str().unwrap_or_default().to_string();
            targets.insert(format!("{}.{}", section.name, key.name), target);
        }
    }
    let mut faults = Vec::new();
    let found = leaves(&seed);
    assert!(found.len() > 300, "only {} keys were found: is the document whole?", found.len());
    for leaf in &found {
        match targets.get(&leaf.path) {
            None => faults.push(format!("{}: not mapped ({:?})", leaf.path, leaf.value)),
            Some(target) => faults.extend(fault(leaf, target, &shipped).map(|f| format!("{}: {f}", leaf.path))),
        }
    }
    for key in targets.keys().filter(|key| !found.iter().any(|leaf| leaf.path == **key)) {
        faults.push(format!("{key}: the document has no such key"));
    }
    assert!(faults.is_empty(), "{} faults in tests/seed_map.yaml:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn keys_are_found() {
    let text = "```typescript\nexport interface A {\n  id: string;\n  list: B[];\n}\nclass C {\n  private m: Map<string, A> = new Map();\n\
        private make(): A[] {\n    return [{ id: 'x', deep: { n: 0.5, on: true }, list: [1, 2], many: [{ k: 'v' }], f: g(1, 2) }];\n  }\n\
        public async go(): Promise<R> {\n const r: R = { short, time: new Date() };\n logger.info('Began', { n: r.length });\n }\n}\n```";
    let found: Vec<String> =
        leaves(text).into_iter().map(|l| l.value.map_or(l.path.clone(), |v| format!("{}={v}", l.path))).collect();
    let want = [
        "A.id",
        "A.list",
        "C.m",
        "make[0].id=\"x\"",
        "make[0].deep.n=0.5",
        "make[0].deep.on=true",
        "make[0].list=[1.0,2.0]",
        "make[0].many[0].k=\"v\"",
        "make[0].f",
        "r.short",
        "r.time",
        "Began.n",
    ];
    assert_eq!(found, want);
}

#[test]
fn a_wrong_map_is_found() {
    let shipped = Shipped::read();
    let leaf = Leaf { path: "x".into(), value: Some("lcp-stream".into()) };
    let says = |target: &str| fault(&leaf, target, &shipped);
    assert_eq!(says("= lcp.input.topic"), None);
    assert_eq!(says("text"), None);
    assert_eq!(says("~ lcp.transforms[aggregate].with.windows[five_minutes].size"), None);
    for (target, part) in [
        ("= cls.input.topic", "the document says \"lcp-stream\""),
        ("= lcp.input.nothing", "has no `lcp.input.nothing`"),
        ("~ lcp.transforms[respond].with", "has no"),
        ("issue A", "is no target"),
        ("record window", "is no target"),
        ("", "is no target"),
    ] {
        assert!(says(target).is_some_and(|f| f.contains(part)), "{target}: {:?}", says(target));
    }
}
