//! The keys of the TypeScript in `tests/seed.md`.
//!
//! What is a key: a member of an interface; a name before `:` (or alone, the shorthand) in an object
//! literal; a `private` member of the class, constructor parameters included; a name given to
//! `frameworks.set`. What is none: types, parameters, local constants, calls.
//!
//! Where an object stands gives the front of its keys' path: the interface, the constant it is
//! assigned to, the method that returns it, or the text of the log call it is handed to. Deeper
//! keys follow with `.key` and `[index]`. Only leaves are listed; a list of plain values is a leaf.

use serde_json::Value;

/// A leaf: its path and, where the document gives a plain one, its value.
#[derive(Debug, PartialEq)]
pub(crate) struct Leaf {
    pub(crate) path: String,
    pub(crate) value: Option<Value>,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(f64),
    Sign(char),
}

/// The leaves of all ```` ```typescript ```` blocks of a Markdown text.
pub(crate) fn leaves(markdown: &str) -> Vec<Leaf> {
    let mut scan = Scan { tokens: Vec::new(), at: 0, leaves: Vec::new() };
    for block in markdown.split("```typescript").skip(1) {
        scan.tokens.extend(tokens(block.split("```").next().unwrap_or_default()));
    }
    scan.file();
    scan.leaves
}

fn tokens(code: &str) -> Vec<Token> {
    let chars: Vec<char> = code.chars().collect();
    let (mut at, mut found) = (0, Vec::new());
    let until =
        |from: usize, stop: &dyn Fn(char) -> bool| (from..chars.len()).find(|&i| stop(chars[i])).unwrap_or(chars.len());
    while at < chars.len() {
        let c = chars[at];
        let end = match c {
            _ if c.is_whitespace() => at + 1,
            '/' if chars.get(at + 1) == Some(&'/') => until(at, &|c| c == '\n'),
            '\'' | '`' => {
                let end = until(at + 1, &|d| d == c);
                found.push(Token::Text(chars[at + 1..end].iter().collect()));
                end + 1
            }
            _ if c.is_ascii_digit() => {
                let end = until(at, &|c| !c.is_ascii_digit() && c != '.');
                let text: String = chars[at..end].iter().collect();
                found.push(Token::Number(text.parse().expect("a number")));
                end
            }
            _ if c.is_alphabetic() || c == '_' => {
                let end = until(at, &|c| !c.is_alphanumeric() && c != '_');
                found.push(Token::Word(chars[at..end].iter().collect()));
                end
            }
            _ => {
                found.push(Token::Sign(c));
                at + 1
            }
        };
        at = end;
    }
    found
}

struct Scan {
    tokens: Vec<Token>,
    at: usize,
    leaves: Vec<Leaf>,
}

impl Scan {
    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead)
    }

    fn word(&self, ahead: usize) -> &str {
        match self.peek(ahead) {
            Some(Token::Word(word)) => word,
            _ => "",
        }
    }

    fn sign(&self, ahead: usize, sign: char) -> bool {
        self.peek(ahead) == Some(&Token::Sign(sign))
    }

    fn leaf(&mut self, path: String, value: Option<Value>) {
        self.leaves.push(Leaf { path, value });
    }

    /// Declarations and statements, one after the other: code needs no nesting to be told apart.
    fn file(&mut self) {
        let (mut class, mut method) = (String::new(), String::new());
        while self.at < self.tokens.len() {
            match self.word(0) {
                "interface" => {
                    let name = self.word(1).to_string();
                    self.skip_to('{');
                    self.object(&name);
                    continue;
                }
                "class" => class = self.word(1).to_string(),
                "private" | "public" => {
                    let name = usize::from(self.word(1) == "async") + 1;
                    if self.sign(name + 1, ':') {
                        self.leaf(format!("{class}.{}", self.word(name)), None);
                    } else {
                        method = self.word(name).to_string();
                    }
                }
                "const" => {
                    let name = self.word(1).to_string();
                    self.skip_to('=');
                    self.at += 1;
                    if self.sign(0, '{') {
                        self.object(&name);
                    }
                    continue;
                }
                "return" if self.sign(1, '{') || self.sign(1, '[') => {
                    self.at += 1;
                    self.value(&method.clone());
                    continue;
                }
                "logger" => self.log_call(),
                "frameworks" => {
                    if let (true, "set", Some(Token::Text(name))) = (self.sign(1, '.'), self.word(2), self.peek(4)) {
                        let path = format!("frameworks.set.{name}");
                        self.leaf(path, None);
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// `logger.info('text', { … })`
    fn log_call(&mut self) {
        if let (true, Some(Token::Text(text)), true) = (self.sign(1, '.'), self.peek(4).cloned(), self.sign(6, '{')) {
            self.at += 6;
            self.object(&text);
            self.at -= 1;
        }
    }

    fn skip_to(&mut self, sign: char) {
        while self.at < self.tokens.len() && !self.sign(0, sign) {
            self.at += 1;
        }
    }

    /// From `{` to behind `}`.
    fn object(&mut self, path: &str) {
        self.at += 1;
        while self.at < self.tokens.len() && !self.sign(0, '}') {
            if matches!(self.peek(0), Some(Token::Sign(',' | ';'))) {
                self.at += 1;
                continue;
            }
            let key = format!("{path}.{}", self.word(0));
            assert!(!self.word(0).is_empty(), "{path}: expected a key, found {:?}", self.peek(0));
            self.at += 1;
            if self.sign(0, ':') {
                self.at += 1;
                self.value(&key);
            } else {
                self.leaf(key, None);
            }
        }
        self.at += 1;
    }

    fn value(&mut self, path: &str) {
        if self.sign(0, '{') {
            return self.object(path);
        }
        if self.sign(0, '[') {
            return self.list(path);
        }
        let plain = if matches!(self.peek(1), Some(Token::Sign(',' | '}'))) { self.plain(0) } else { None };
        self.expression();
        self.leaf(path.to_string(), plain);
    }

    fn plain(&self, ahead: usize) -> Option<Value> {
        match self.peek(ahead)? {
            Token::Text(text) => Some(text.as_str().into()),
            Token::Number(x) => Some((*x).into()),
            Token::Word(word) => word.parse::<bool>().ok().map(Value::from),
            Token::Sign(_) => None,
        }
    }

    /// A list of plain values is one leaf; the items of another have paths of their own.
    fn list(&mut self, path: &str) {
        self.at += 1;
        let (mut values, mut index) = (Vec::new(), 0);
        while self.at < self.tokens.len() && !self.sign(0, ']') {
            if let Some(value) = self.plain(0) {
                values.push(value);
                self.at += 1;
            } else if self.sign(0, ',') {
                self.at += 1;
            } else {
                self.value(&format!("{path}[{index}]"));
                index += 1;
            }
        }
        self.at += 1;
        if index == 0 {
            self.leaf(path.to_string(), Some(Value::Array(values)));
        }
    }

    /// To the `,`, `;` or bracket that ends it.
    fn expression(&mut self) {
        let mut depth = 0;
        while let Some(token) = self.peek(0) {
            match token {
                Token::Sign('(' | '[' | '{') => depth += 1,
                Token::Sign(')' | ']' | '}') if depth == 0 => return,
                Token::Sign(')' | ']' | '}') => depth -= 1,
                Token::Sign(',' | ';') if depth == 0 => return,
                _ => {}
            }
            self.at += 1;
        }
    }
}
