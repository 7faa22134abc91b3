//! What is wrong with a configuration, said so that the user can mend it.

use serde::{Deserialize, Serialize};

/// One thing wrong, or doubtful, in a stage's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// Where, as a path inside the stage's `with:` block: `windows[0].slide`, `where`.
    pub path: String,
    /// Byte offset inside the text at `path`, for expressions.
    pub at: Option<usize>,
    /// One line: what was found and what is allowed.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
    /// A warning does not stop a run.
    pub warning: bool,
}

impl Issue {
    /// An error at `path`.
    pub fn error(path: impl Into<String>, message: impl Into<String>) -> Issue {
        Issue { path: path.into(), at: None, message: message.into(), hint: None, warning: false }
    }

    /// A warning at `path`.
    pub fn warning(path: impl Into<String>, message: impl Into<String>) -> Issue {
        Issue { warning: true, ..Issue::error(path, message) }
    }

    /// Adds how to mend it.
    pub fn hint(mut self, hint: impl Into<String>) -> Issue {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the byte offset inside the text.
    pub fn at(mut self, at: usize) -> Issue {
        self.at = Some(at);
        self
    }

    /// Puts the path below `parent`.
    pub fn under(mut self, parent: &str) -> Issue {
        self.path = match (parent.is_empty(), self.path.is_empty()) {
            (true, _) => self.path,
            (_, true) => parent.into(),
            _ if self.path.starts_with('[') => format!("{parent}{}", self.path),
            _ => format!("{parent}.{}", self.path),
        };
        self
    }
}

impl std::fmt::Display for Issue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong, so that all of it can be said at once.
pub type Issues = Vec<Issue>;

/// Fails if `issues` holds an error; warnings alone pass.
pub fn fail_on_errors(issues: &[Issue]) -> Result<(), Issues> {
    match issues.iter().any(|i| !i.warning) {
        true => Err(issues.to_vec()),
        false => Ok(()),
    }
}

/// The candidate that is like `name`, if one is: upper case and `_` for `-` do not count.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let name = plain(name);
    candidates
        .into_iter()
        .map(|candidate| (strsim::levenshtein(&name, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= (name.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
