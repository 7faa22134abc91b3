//! A `oneOf` or `anyOf` that fails: which branch was meant.

use super::words::{plain, types};
use super::{Kind, Place};
use crate::diagnostic::list;
use crate::yaml::Node;
use jsonschema::error::ValidationError;

impl Place<'_> {
    /// Finds the branch that was meant and reports its errors.
    pub(super) fn branches(
        &mut self,
        error: &ValidationError<'_>,
        node: &Node,
        context: &[Vec<ValidationError<'static>>],
        depth: usize,
    ) {
        let here = error.instance_path().as_str();
        let of_type: Vec<_> = context.iter().filter(|branch| !is_of_another_type(branch, here)).collect();
        if of_type.is_empty() {
            let mut expected = Vec::new();
            context.iter().for_each(|branch| own_types(branch, here, &mut expected));
            self.wrong.push(here.to_string());
            // `nothing` is always possible where a value is optional; leaving the key out says it.
            expected.retain(|t| *t != "nothing" || context.len() == 1);
            let duration = context.iter().flatten().find(|e| e.schema_path().as_str().contains("/$defs/Duration/"));
            return self.wrong_type(duration.unwrap_or(error), node, &expected);
        }
        let values: Vec<_> = of_type.iter().map(|branch| own_values(branch, here)).collect();
        if values.iter().all(|v| !v.is_empty()) {
            self.wrong.push(here.to_string());
            return self.not_allowed(node, &values.concat());
        }
        let tagged: Vec<_> =
            of_type.iter().filter(|branch| !branch.iter().any(|e| wrong_tag(e, here).is_some())).collect();
        if tagged.is_empty() {
            self.wrong.push(here.to_string());
            let (key, mut options) = (wrong_tag_key(&of_type, here), Vec::new());
            for (at, expected) in of_type.iter().flat_map(|b| b.iter()).filter_map(|e| wrong_tag(e, here)) {
                if at == key {
                    options.push(expected);
                }
            }
            return self.not_allowed(node.get(&key).unwrap_or(node), &options);
        }
        if tagged.len() > 1
            && let Some((key, options)) = self.missing_tag(&tagged, node)
        {
            self.wrong.push(here.to_string());
            let span = node.key.clone().unwrap_or_else(|| node.mark());
            let hint = format!("`{key}` is one of {}", list(options.iter().map(String::as_str)));
            let label = format!("`{key}` is required here");
            return self.push("E002", span, format!("missing key `{key}`"), label, Some(hint));
        }
        if let Some(best) = tagged.iter().min_by_key(|branch| branch.len()) {
            for error in best.iter() {
                self.report(error, depth + 1);
            }
        }
    }

    /// The tag that all branches want and the value lacks, with the values it may have.
    fn missing_tag(&self, branches: &[&&Vec<ValidationError<'static>>], node: &Node) -> Option<(String, Vec<String>)> {
        let mut found: Option<(String, Vec<String>)> = None;
        for branch in branches {
            let tag = branch.iter().find_map(|e| match e.kind() {
                Kind::Required { property } => {
                    let name = property.as_str()?;
                    let value = self.schema_of(e)["properties"][name].get("const")?;
                    node.get(name).is_none().then(|| (name.to_string(), plain(value)))
                }
                _ => None,
            });
            let (name, value) = tag?;
            let (key, options) = found.get_or_insert_with(|| (name.clone(), Vec::new()));
            if *key != name {
                return None;
            }
            options.push(value);
        }
        found
    }
}

/// Does a branch fail because the value at `here` is of another type than all it allows?
fn is_of_another_type(branch: &[ValidationError<'_>], here: &str) -> bool {
    branch.iter().filter(|e| e.instance_path().as_str() == here).any(|error| match error.kind() {
        Kind::Type { .. } => true,
        Kind::OneOfNotValid { context } | Kind::AnyOf { context } => {
            context.iter().all(|branch| is_of_another_type(branch, here))
        }
        _ => false,
    })
}

/// The types that a branch would take at `here`.
fn own_types(branch: &[ValidationError<'_>], here: &str, found: &mut Vec<&'static str>) {
    for error in branch.iter().filter(|e| e.instance_path().as_str() == here) {
        match error.kind() {
            Kind::Type { kind } => {
                let new: Vec<_> = types(kind).into_iter().filter(|t| !found.contains(t)).collect();
                found.extend(new);
            }
            Kind::OneOfNotValid { context } | Kind::AnyOf { context } => {
                context.iter().for_each(|branch| own_types(branch, here, found));
            }
            _ => {}
        }
    }
}

/// The values that a branch of constants would take at `here`.
fn own_values(branch: &[ValidationError<'_>], here: &str) -> Vec<String> {
    let mut values = Vec::new();
    for error in branch.iter().filter(|e| e.instance_path().as_str() == here) {
        match error.kind() {
            Kind::Constant { expected_value } => values.push(plain(expected_value)),
            Kind::Enum { options } => values.extend(options.as_array().into_iter().flatten().map(plain)),
            Kind::OneOfNotValid { context } | Kind::AnyOf { context } => {
                values.extend(context.iter().flat_map(|b| own_values(b, here)));
            }
            _ => {}
        }
    }
    values
}

/// The key right below `here` whose constant is another one, and that constant.
fn wrong_tag(error: &ValidationError<'_>, here: &str) -> Option<(String, String)> {
    let Kind::Constant { expected_value } = error.kind() else { return None };
    let key = error.instance_path().as_str().strip_prefix(here)?.strip_prefix('/')?;
    (!key.contains('/')).then(|| (key.replace("~1", "/").replace("~0", "~"), plain(expected_value)))
}

fn wrong_tag_key(branches: &[&Vec<ValidationError<'static>>], here: &str) -> String {
    branches.iter().flat_map(|b| b.iter()).find_map(|e| wrong_tag(e, here)).map_or_else(String::new, |(key, _)| key)
}
