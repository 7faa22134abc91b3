//! What is wrong or doubtful in a [`SessionizeConfig`].

use crate::config::{Issue, Issues};
use crate::duration::Span;
use crate::sessionize::config::{Function, Method, SessionizeConfig};

/// Longest list that `collect-list` may be told to keep.
pub const MAX_LIST: usize = 10_000;

/// Names of the output record that no function may take.
pub(crate) const RESERVED: [&str; 26] = [
    "id",
    "kind",
    "timestamp",
    "pipeline",
    "stage",
    "page",
    "navigation",
    "navigationType",
    "session_start",
    "session_end",
    "events",
    "cumulativeShift",
    "largestShift",
    "largestShiftTarget",
    "shiftSources",
    "window_entries",
    "stability",
    "cls_rating",
    "inp",
    "rating",
    "interactionId",
    "inputDelay",
    "processingDuration",
    "presentationDelay",
    "interactionCount",
    "closed_by",
];

impl Function {
    /// The field it reads of its own.
    pub fn field(&self) -> Option<&str> {
        match self {
            Function::Count {} | Function::ClsWithSessionGaps {} => None,
            Function::CollectList { field, .. }
            | Function::Sum { field }
            | Function::Min { field }
            | Function::Max { field }
            | Function::Last { field } => Some(field),
        }
    }
}

impl SessionizeConfig {
    /// Are layout shifts read?
    pub fn reads_shifts(&self) -> bool {
        self.method == Method::Cls || self.functions.values().any(|f| matches!(f, Function::ClsWithSessionGaps {}))
    }

    /// Everything that is wrong.
    pub fn check(&self) -> Issues {
        let mut issues = Issues::new();
        let mut positive = |path: &str, span: Span| {
            if span <= Span::ZERO {
                issues.push(Issue::error(path, format!("expected a duration above 0s, found `{span}`")));
            }
        };
        positive("timeout", self.timeout);
        positive("max_length", self.max_length);
        for (path, n, most) in
            [("max_sessions", self.max_sessions, 10_000_000), ("max_navigations", self.max_navigations, 10_000)]
        {
            if n == 0 || n > most {
                issues.push(Issue::error(path, format!("expected 1 to {most}, found {n}")));
            }
        }
        for (path, name) in self.field_names() {
            if name.trim().is_empty() {
                let hint = "leave the key out to take its default";
                let hint = if path == "key" { "such as `sessionId`" } else { hint };
                issues.push(Issue::error(path, "expected the name of a field, found an empty text").hint(hint));
            }
        }
        if RESERVED.contains(&self.key.as_str()) && self.key != "page" {
            let message = format!("expected a field that the result does not use itself, found `{}`", self.key);
            issues.push(Issue::error("key", message).hint("rename the field before this stage"));
        }
        for (name, function) in &self.functions {
            self.check_function(name, function, &mut issues);
        }
        issues
    }

    fn check_function(&self, name: &str, function: &Function, issues: &mut Issues) {
        let path = format!("functions.{name}");
        if name.is_empty() || RESERVED.contains(&name) || name == self.key {
            let message = format!("expected a name that the result does not use itself, found `{name}`");
            issues.push(Issue::error(path.clone(), message).hint("choose another name for this result"));
        }
        if let Function::CollectList { limit, .. } = function
            && !(1..=MAX_LIST).contains(limit)
        {
            issues.push(Issue::error(format!("{path}.limit"), format!("expected 1 to {MAX_LIST}, found {limit}")));
        }
        if function.field().is_some_and(|f| f.trim().is_empty()) {
            let message = "expected the name of a field, found an empty text";
            issues.push(Issue::error(format!("{path}.field"), message));
        }
    }

    /// What works but is doubtful.
    pub fn doubts(&self) -> Issues {
        let mut issues = Issues::new();
        if self.reads_shifts() && Span::ZERO < self.timeout && self.timeout < Span::seconds(5) {
            let message = format!("`{}` may cut a CLS window, which spans up to 5s", self.timeout);
            issues.push(Issue::warning("timeout", message).hint("the gap of 1s inside a window is built in"));
        }
        if Span::ZERO < self.max_length && self.max_length < self.timeout {
            let message = format!("`{}` is shorter than `timeout`, so idle time never ends a session", self.max_length);
            issues.push(Issue::warning("max_length", message));
        }
        issues
    }

    fn field_names(&self) -> Vec<(String, &str)> {
        let single = [
            ("key", &self.key),
            ("value", &self.value),
            ("start_time", &self.start_time),
            ("had_recent_input", &self.had_recent_input),
            ("sources", &self.sources),
            ("page", &self.page),
            ("interaction_id", &self.interaction_id),
            ("duration", &self.duration),
            ("delay", &self.delay),
            ("proc", &self.proc),
            ("interaction_count", &self.interaction_count),
            ("navigation_type", &self.navigation_type),
            ("reset", &self.reset),
        ];
        let list = self.navigation.iter().enumerate();
        let list = list.map(|(i, name)| (format!("navigation[{i}]"), name.as_str()));
        single.into_iter().map(|(path, name)| (path.to_string(), name.as_str())).chain(list).collect()
    }
}
