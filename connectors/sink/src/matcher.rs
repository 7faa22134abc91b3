//! Matchers of labels in Alertmanager's words: `page="/a"`, `severity!=info`, `page=~"/shop/.*"`.
//!
//! A label that is not there is the empty text. Regular expressions match the whole value.

use regex_lite::Regex;
use std::collections::BTreeMap;

/// Labels by name.
pub type Labels = BTreeMap<String, String>;

/// One condition on one label.
#[derive(Debug, Clone)]
pub struct Matcher {
    label: String,
    test: Test,
    negated: bool,
    text: String,
}

#[derive(Debug, Clone)]
enum Test {
    Equal(String),
    Regex(Regex),
}

impl Matcher {
    /// Reads `label OP value`; OP is `=`, `!=`, `=~` or `!~`, the value may stand in double quotes.
    pub fn parse(text: &str) -> Result<Matcher, String> {
        let bad = || format!("expected a matcher such as `severity=critical` or `page=~\"/shop/.*\"`, found `{text}`");
        let at = text.find(['=', '!']).ok_or_else(bad)?;
        let (label, rest) = text.split_at(at);
        let label = label.trim();
        if label.is_empty() || label.contains(char::is_whitespace) {
            return Err(bad());
        }
        let ops = [("=~", false, true), ("!~", true, true), ("!=", true, false), ("=", false, false)];
        let (op, negated, regex) = ops.into_iter().find(|(op, ..)| rest.starts_with(op)).ok_or_else(bad)?;
        let value = unquoted(rest[op.len()..].trim()).ok_or_else(bad)?;
        let test = match regex {
            false => Test::Equal(value),
            true => Test::Regex(
                Regex::new(&format!("^(?:{value})$"))
                    .map_err(|error| format!("`{value}` is not a regular expression: {error}"))?,
            ),
        };
        Ok(Matcher { label: label.into(), test, negated, text: text.trim().into() })
    }

    /// Does it hold for these labels?
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.label).map_or("", String::as_str);
        let is = match &self.test {
            Test::Equal(wanted) => wanted == value,
            Test::Regex(regex) => regex.is_match(value),
        };
        is != self.negated
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Do all of them hold?
pub fn all(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels))
}

fn unquoted(text: &str) -> Option<String> {
    match text.starts_with('"') {
        true if text.len() < 2 => None,
        true => serde_json::from_str(text).ok(),
        false if text.contains('"') => None,
        false => Some(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_alertmanager_does() {
        let labels: Labels =
            [("severity", "critical"), ("page", "/shop/cart")].map(|(k, v)| (k.into(), v.into())).into();
        for (text, holds) in [
            ("severity=critical", true),
            ("severity = \"critical\"", true),
            ("severity!=critical", false),
            ("page=~\"/shop/.*\"", true),
            ("page=~/shop", false),
            ("page!~/shop", true),
            ("team=", true),
            ("team!=web", true),
            ("team=~.+", false),
        ] {
            assert_eq!(Matcher::parse(text).unwrap().matches(&labels), holds, "{text}");
        }
        for bad in ["", "severity", "=x", "a b=c", "a=\"b", "a=~(", "a!b"] {
            assert!(Matcher::parse(bad).is_err(), "{bad}");
        }
    }
}
