//! The tree: what was written, in order, and where.

use serde_json::Value;
use std::fmt::Write;
use std::ops::Range;

/// A value in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is
    pub data: Data,
    /// Its bytes in the file
    pub span: Range<usize>,
    /// The bytes of its key, if it is a value of a map
    pub key: Option<Range<usize>>,
    /// The text of its key
    pub name: Option<std::sync::Arc<str>>,
    /// Nothing is written there (`key:` without a value)
    pub empty: bool,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Nothing, `~` or `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as JSON text; empty for what JSON cannot carry
    Number(String),
    /// Text
    String(String),
    /// A list
    Seq(Vec<Node>),
    /// A map, in order; no key twice
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Its text
    pub name: String,
    /// Its bytes in the file
    pub span: Range<usize>,
}

impl Node {
    /// A value that is no map's.
    pub(super) fn new(data: Data, span: Range<usize>) -> Node {
        Node { data, span, key: None, name: None, empty: false }
    }

    /// The value under `name`, if this is a map that has it.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.pairs().iter().find(|(k, _)| k.name == name).map(|(_, node)| node)
    }

    /// The key `name` of this map.
    pub fn key_of(&self, name: &str) -> Option<&Key> {
        self.pairs().iter().find(|(k, _)| k.name == name).map(|(key, _)| key)
    }

    /// The pairs of a map, else nothing.
    pub fn pairs(&self) -> &[(Key, Node)] {
        match &self.data {
            Data::Map(pairs) => pairs,
            _ => &[],
        }
    }

    /// The items of a list, else nothing.
    pub fn items(&self) -> &[Node] {
        match &self.data {
            Data::Seq(items) => items,
            _ => &[],
        }
    }

    /// The text, if it is one.
    pub fn str(&self) -> Option<&str> {
        match &self.data {
            Data::String(text) => Some(text),
            _ => None,
        }
    }

    /// Where to point: a scalar or a short flow collection itself, else its key.
    pub fn mark(&self) -> Range<usize> {
        let long = self.span.len() > 60;
        match (&self.data, &self.key) {
            (Data::Map(_) | Data::Seq(_), Some(key)) if long => key.clone(),
            _ => self.span.clone(),
        }
    }

    /// `null`, `boolean`, `number`, `string`, `list` or `map`.
    pub fn type_name(&self) -> &'static str {
        match &self.data {
            Data::Null => "nothing",
            Data::Bool(_) => "boolean",
            Data::Number(_) => "number",
            Data::String(_) => "string",
            Data::Seq(_) => "list",
            Data::Map(_) => "map",
        }
    }

    /// `string `abc``, for messages; long values are cut.
    pub fn describe(&self) -> String {
        match &self.data {
            Data::Null | Data::Seq(_) | Data::Map(_) => self.type_name().into(),
            Data::Bool(b) => format!("boolean `{b}`"),
            Data::Number(n) if n.is_empty() => "a number that JSON cannot carry".into(),
            Data::Number(n) => format!("number `{}`", cut(n)),
            Data::String(s) => format!("`{}`", cut(s)),
        }
    }

    /// The value, with the order of keys lost.
    pub fn to_value(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(b) => Value::Bool(*b),
            Data::Number(n) => n.parse().map_or(Value::Null, Value::Number),
            Data::String(s) => Value::String(s.clone()),
            Data::Seq(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            Data::Map(pairs) => Value::Object(pairs.iter().map(|(k, v)| (k.name.clone(), v.to_value())).collect()),
        }
    }

    /// The value as JSON text, with keys in the order of the file and the digits of numbers kept.
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        self.write_json(&mut text);
        text
    }

    /// The innermost value that holds byte `column` of [`Node::to_json`]'s text.
    pub fn at_json(&self, column: usize) -> &Node {
        fn find(node: &Node, start: usize, column: usize) -> &Node {
            let mut at = start + 1;
            let items = node.items().iter().map(|n| (n, 0));
            let key_len = |name: &str| Value::String(name.into()).to_string().len() + 1;
            let pairs = node.pairs().iter().map(|(k, n)| (n, key_len(&k.name)));
            for (child, before) in items.chain(pairs) {
                at += before;
                let end = at + child.to_json().len();
                if column <= end {
                    return if column < at { node } else { find(child, at, column) };
                }
                at = end + 1;
            }
            node
        }
        find(self, 0, column)
    }

    fn write_json(&self, text: &mut String) {
        match &self.data {
            Data::Null => text.push_str("null"),
            Data::Bool(b) => text.push_str(if *b { "true" } else { "false" }),
            Data::Number(n) if n.is_empty() => text.push_str("null"),
            Data::Number(n) => text.push_str(n),
            Data::String(s) => write_string(s, text),
            Data::Seq(items) => {
                text.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        text.push(',');
                    }
                    item.write_json(text);
                }
                text.push(']');
            }
            Data::Map(pairs) => {
                text.push('{');
                for (at, (key, value)) in pairs.iter().enumerate() {
                    if at > 0 {
                        text.push(',');
                    }
                    write_string(&key.name, text);
                    text.push(':');
                    value.write_json(text);
                }
                text.push('}');
            }
        }
    }

    /// The value at a JSON pointer, or the nearest one above it.
    pub fn at_pointer(&self, pointer: &str) -> &Node {
        let mut node = self;
        for part in pointer.split('/').skip(1) {
            let name = part.replace("~1", "/").replace("~0", "~");
            let next = match &node.data {
                Data::Seq(items) => name.parse().ok().and_then(|at: usize| items.get(at)),
                _ => node.get(&name),
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }

    /// The same without the value at a JSON pointer; false if there is none. The root stays.
    pub fn remove(&mut self, pointer: &str) -> bool {
        let Some((part, rest)) = pointer.strip_prefix('/').map(|p| p.split_once('/').unwrap_or((p, ""))) else {
            return false;
        };
        let name = part.replace("~1", "/").replace("~0", "~");
        let rest = pointer.get(1 + part.len()..).filter(|_| !rest.is_empty());
        match &mut self.data {
            Data::Seq(items) => match name.parse().ok().filter(|at: &usize| *at < items.len()) {
                Some(at) => match rest {
                    Some(rest) => items[at].remove(rest),
                    None => {
                        items.remove(at);
                        true
                    }
                },
                None => false,
            },
            Data::Map(pairs) => match pairs.iter().position(|(k, _)| k.name == name) {
                Some(at) => match rest {
                    Some(rest) => pairs[at].1.remove(rest),
                    None => {
                        pairs.remove(at);
                        true
                    }
                },
                None => false,
            },
            _ => false,
        }
    }

    /// The value at a path such as `windows[0].functions.p75`, or the nearest one above it; and
    /// whether all of the path was there. Keys with dots are found too.
    pub fn at_path(&self, path: &str) -> (&Node, bool) {
        if path.is_empty() {
            return (self, true);
        }
        if let Some((index, rest)) = path.strip_prefix('[').and_then(|p| p.split_once(']')) {
            let next = index.parse().ok().and_then(|at: usize| self.items().get(at));
            return next.map_or((self, false), |node| node.at_path(rest.strip_prefix('.').unwrap_or(rest)));
        }
        // The longest key that begins the path.
        let fits = |name: &str| path.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        let best = self
            .pairs()
            .iter()
            .filter_map(|(k, v)| Some((k.name.len(), v, fits(&k.name)?)))
            .max_by_key(|(len, ..)| *len);
        match best {
            Some((_, node, rest)) => node.at_path(rest.strip_prefix('.').unwrap_or(rest)),
            None => (self, false),
        }
    }

    /// Calls `f` for every text in it, in order.
    pub fn each_string<'a>(&'a self, f: &mut impl FnMut(&'a Node, &'a str)) {
        match &self.data {
            Data::String(text) => f(self, text),
            Data::Seq(items) => items.iter().for_each(|n| n.each_string(f)),
            Data::Map(pairs) => pairs.iter().for_each(|(_, n)| n.each_string(f)),
            _ => {}
        }
    }

    pub(super) fn count(&self) -> usize {
        1 + self.items().iter().map(Node::count).sum::<usize>()
            + self.pairs().iter().map(|(_, n)| n.count()).sum::<usize>()
    }

    pub(super) fn depth(&self) -> usize {
        let below = self.items().iter().chain(self.pairs().iter().map(|(_, n)| n)).map(Node::depth).max();
        1 + below.unwrap_or(0)
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.into(),
    }
}

fn write_string(text: &str, out: &mut String) {
    // Writing to a String never fails.
    let _ = write!(out, "{}", Value::String(text.into()));
}
