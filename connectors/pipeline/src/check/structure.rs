//! Keys, types and values against a JSON Schema, said in terms of the file.
//!
//! `jsonschema` finds what does not fit; this turns each finding into a diagnostic at its place. A
//! `oneOf` or `anyOf` that fails is resolved to the branch the user meant: by the tag (`type`), by
//! the type of the value, else the branch with the fewest errors, and its errors are reported.

mod branch;
mod walk;
mod words;

pub use walk::{collect_properties, options, resolve};
pub use words::first_sentence;

use super::MAX_FINDINGS;
use crate::diagnostic::{Diagnostic, did_you_mean, list};
use crate::source::Source;
use crate::yaml::{Data, Node};
use jsonschema::Validator;
use jsonschema::error::{ValidationError, ValidationErrorKind as Kind};
use serde_json::Value;
use std::ops::Range;
use words::{bound, duration_hint, one_of, plain, subject, types};

/// A schema, ready to be asked.
pub struct Structure {
    schema: Value,
    validator: Option<Validator>,
}

/// What one check works on.
struct Place<'a> {
    schema: &'a Value,
    root: &'a Node,
    source: &'a Source,
    out: &'a mut Vec<Diagnostic>,
    wrong: Vec<String>,
}

/// Branches nest at most this deep; the config structs' nest less.
const MAX_BRANCHES: usize = 16;

impl Structure {
    /// Compiles a schema. One that cannot be compiled finds nothing (a test compiles all of them).
    pub fn new(schema: Value) -> Structure {
        let validator = jsonschema::draft202012::new(&schema).ok();
        Structure { schema, validator }
    }

    /// Could it be compiled?
    pub fn is_usable(&self) -> bool {
        self.validator.is_some()
    }

    /// The schema itself.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// Everything in `node` that does not fit. Gives JSON pointers to what is wrong (for a missing
    /// key, to the map that lacks it).
    pub fn check(&self, node: &Node, source: &Source, out: &mut Vec<Diagnostic>) -> Vec<String> {
        let Some(validator) = &self.validator else { return Vec::new() };
        let value = node.to_value();
        let errors: Vec<_> = validator.iter_errors(&value).take(MAX_FINDINGS).map(ValidationError::to_owned).collect();
        let mut place = Place { schema: &self.schema, root: node, source, out, wrong: Vec::new() };
        for error in &errors {
            place.report(error, 0);
        }
        place.wrong
    }
}

impl Place<'_> {
    fn report(&mut self, error: &ValidationError<'_>, depth: usize) {
        let here = error.instance_path().as_str();
        let node = self.root.at_pointer(here);
        match error.kind() {
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                let step = |name: &str| format!("{here}/{}", name.replace('~', "~0").replace('/', "~1"));
                self.wrong.extend(unexpected.iter().take(MAX_FINDINGS).map(|name| step(name)));
            }
            Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } if depth < MAX_BRANCHES => {}
            _ => self.wrong.push(here.to_string()),
        }
        match error.kind() {
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                let allowed = self.properties_beside(error);
                for name in unexpected.iter().take(MAX_FINDINGS) {
                    self.unknown_key(node, name, &allowed);
                }
            }
            Kind::Required { property } => self.missing_key(error, node, property.as_str().unwrap_or_default()),
            Kind::Type { kind } => self.wrong_type(error, node, &types(kind)),
            Kind::Enum { options } => {
                let options: Vec<_> = options.as_array().into_iter().flatten().map(plain).collect();
                self.not_allowed(node, &options);
            }
            Kind::Constant { expected_value } => self.not_allowed(node, &[plain(expected_value)]),
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } if depth < MAX_BRANCHES => {
                self.branches(error, node, context, depth);
            }
            Kind::Pattern { .. } => self.wrong_form(error, node),
            kind => {
                let message = format!("{} {}", subject(node), bound(kind, node));
                self.push("E009", node.mark(), message, String::new(), None);
            }
        }
    }

    fn push(&mut self, code: &'static str, span: Range<usize>, message: String, label: String, hint: Option<String>) {
        self.out.push(Diagnostic::new(code, self.source, span, message).label(label).hint_if(hint));
    }

    /// The schema that holds the keyword of `error`.
    fn schema_of(&self, error: &ValidationError<'_>) -> &Value {
        let path = error.schema_path().as_str();
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        self.schema.pointer(parent).unwrap_or(&Value::Null)
    }

    fn properties_beside(&self, error: &ValidationError<'_>) -> Vec<String> {
        let mut names = Vec::new();
        collect_properties(self.schema, self.schema_of(error), &mut names, 0);
        names
    }

    fn unknown_key(&mut self, node: &Node, name: &str, allowed: &[String]) {
        let span = node.key_of(name).map_or_else(|| node.mark(), |k| k.span.clone());
        let words = || allowed.iter().map(String::as_str);
        let free = words().filter(|w| node.get(w).is_none());
        let hint = did_you_mean(name, free).or_else(|| did_you_mean(name, words()));
        let label = match allowed.is_empty() {
            true => "no key is allowed here".to_string(),
            false => format!("allowed: {}", list(words())),
        };
        self.push("E001", span, format!("unknown key `{name}`"), label, hint);
    }

    fn missing_key(&mut self, error: &ValidationError<'_>, node: &Node, name: &str) {
        let property = &self.schema_of(error)["properties"][name];
        let about = property["description"].as_str().map(first_sentence);
        let options = options(self.schema, property);
        let hint = match (about, options.is_empty()) {
            (Some(about), true) => Some(format!("`{name}`: {about}")),
            (_, false) => Some(format!("`{name}` is one of {}", list(options.iter().map(String::as_str)))),
            (None, true) => None,
        };
        let span = node.key.clone().unwrap_or_else(|| node.mark());
        self.push("E002", span, format!("missing key `{name}`"), format!("`{name}` is required here"), hint);
    }

    fn wrong_type(&mut self, error: &ValidationError<'_>, node: &Node, expected: &[&str]) {
        if error.schema_path().as_str().contains("/$defs/Duration/") {
            return self.not_a_duration(node);
        }
        let wanted = expected.join(" or ");
        let hint = match &node.data {
            Data::Number(_) | Data::Bool(_) if expected.contains(&"string") => Some("put it in quotes".to_string()),
            Data::String(text) if expected.contains(&"list") => {
                let short = text.len() < 60 && !text.contains(['[', ']', '\n']);
                short.then(|| format!("write `[{text}]`"))
            }
            Data::String(text) if wanted.contains("number") || wanted.contains("whole") => {
                text.parse::<f64>().is_ok().then(|| "write it without quotes".to_string())
            }
            Data::String(text) if wanted.contains("boolean") => {
                matches!(&*text.to_lowercase(), "yes" | "no" | "on" | "off")
                    .then(|| "write `true` or `false`".to_string())
            }
            _ => None,
        };
        let found = match &node.data {
            Data::String(_) => format!("string {}", node.describe()),
            _ => node.describe(),
        };
        let message = format!("{} must be a {wanted}, found {found}", subject(node));
        let message = match node.data {
            Data::Null => format!("{} has no value; expected a {wanted}", subject(node)),
            _ => message,
        };
        self.push("E003", node.mark(), message, format!("expected a {wanted}"), hint);
    }

    fn not_a_duration(&mut self, node: &Node) {
        let hint = match &node.data {
            Data::Number(n) => Some(format!("add a unit: `{n}s`, `{n}m`, `{n}h`")),
            Data::String(text) => duration_hint(text),
            _ => None,
        };
        let message = format!("{} must be a duration, found {}", subject(node), node.describe());
        let label = "expected a number and a unit (us, ms, s, m, h, d, w), as `30s` or `1h30m`".to_string();
        self.push("E005", node.mark(), message, label, hint);
    }

    fn not_allowed(&mut self, node: &Node, options: &[String]) {
        let words = || options.iter().map(String::as_str);
        let found = node.str().unwrap_or_default();
        let hint = did_you_mean(found, words());
        let message = format!("{} is {}, which is not allowed", subject(node), node.describe());
        self.push("E004", node.mark(), message, format!("expected {}{}", one_of(options), list(words())), hint);
    }

    fn wrong_form(&mut self, error: &ValidationError<'_>, node: &Node) {
        if error.schema_path().as_str().contains("/$defs/Duration/") {
            return self.not_a_duration(node);
        }
        let schema = self.schema_of(error);
        let form = schema["description"].as_str().map_or_else(
            || format!("a text that matches `{}`", schema["pattern"].as_str().unwrap_or_default()),
            str::to_string,
        );
        let message = format!("{} has not the right form: {}", subject(node), node.describe());
        self.push("E009", node.mark(), message, format!("expected {form}"), None);
    }
}
