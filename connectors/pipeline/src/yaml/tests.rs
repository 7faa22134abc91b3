//! The YAML tree: places, keys given twice, bounds, and no panic on any text.

use super::*;
use proptest::prelude::*;

fn read(text: &str) -> (Vec<Node>, Vec<Diagnostic>) {
    let mut out = Vec::new();
    (parse(&Source::new("f", text), &mut out), out)
}

fn one(text: &str) -> Node {
    let (mut documents, out) = read(text);
    assert!(out.is_empty(), "{out:?}");
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

#[test]
fn keeps_order_and_digits() {
    let node = one("z: 1\na: [1.50, x, ~, true]\nm: { b: 2, a: \"1\" }\n");
    assert_eq!(node.to_json(), r#"{"z":1,"a":[1.50,"x",null,true],"m":{"b":2,"a":"1"}}"#);
}

#[test]
fn spans_cover_what_was_written() {
    let text = "é: ü\nb:\n  - { c: 'd e' }\n  - \"q\"\nn:\n";
    let node = one(text);
    assert_eq!(&text[node.get("é").unwrap().span.clone()], "ü");
    let b = node.get("b").unwrap();
    assert_eq!(&text[b.items()[0].span.clone()], "{ c: 'd e' }");
    assert_eq!(&text[b.items()[0].get("c").unwrap().span.clone()], "'d e'");
    assert_eq!(&text[b.items()[1].span.clone()], "\"q\"");
    assert_eq!(&text[node.get("n").unwrap().span.clone()], "n");
    assert_eq!(&text[b.key.clone().unwrap()], "b");
}

#[test]
fn paths() {
    let node = one("w: [{ f: { p.75: { x: 1 } } }]\n");
    assert_eq!(node.at_path("w[0].f.p.75.x").0.data, Data::Number("1".into()));
    assert!(!node.at_path("w[0].f.nope").1);
    assert_eq!(node.at_path("w[0].f.nope").0, node.at_path("w[0].f").0);
    assert_eq!(node.at_pointer("/w/0/f/p.75/x").data, Data::Number("1".into()));
    for odd in ["[", "[x]", "[99]", "w[", "w]", "..", "w[0]["] {
        node.at_path(odd);
    }
}

#[test]
fn documents_are_apart() {
    let (documents, out) = read("# c\n---\na: 1\n---\nb: [\n---\nc: 3\n...\n---\n");
    assert_eq!(documents.len(), 2);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].code, "E020");
}

#[test]
fn a_small_file_cannot_become_a_large_tree() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..20 {
        let item = format!("*a{}", n - 1);
        text.push_str(&format!("a{n}: &a{n} [{}]\n", vec![item; 10].join(", ")));
    }
    let (_, out) = read(&text);
    assert_eq!(out.last().map(|d| d.code), Some("E022"));
    let (_, out) = read(&"[".repeat(100_000));
    assert!(!out.is_empty());
    let (_, out) = read(&"- ".repeat(100_000));
    assert!(!out.is_empty());
    let (_, out) = read(&"a: ".repeat(1000));
    assert!(!out.is_empty());
}

proptest! {
    #[test]
    fn any_text_is_read(text in "(?s).{0,200}") {
        read(&text);
    }

    #[test]
    fn yaml_like_text_is_read(text in "([a-c]: |- |\\[|\\]|\\{|\\}|\"|'|\\n|  |\t|&a |\\*a|!x |\\||>|#|---\\n|é|1|,|\\?|%){0,60}") {
        let (documents, _) = read(&text);
        for document in documents {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&document.to_json()).is_ok());
        }
    }
}
