//! The result fields of a window, and the expressions over them.

use super::build::Build;
use super::config::{Function, Functions};
use super::plan::WhatKind;
use crate::config::Issue;
use crate::expr::Expr;
use crate::row::Fields;

impl Build<'_> {
    /// Binds an expression to the columns it may read.
    pub(super) fn expression(
        &mut self,
        name: &str,
        text: &str,
        column: usize,
        functions: &Functions,
        columns: &[String],
    ) -> Option<WhatKind> {
        let path = format!("{}.{name}.expression", self.path);
        let mut names = Fields::default();
        let expr = match Expr::parse(text, &mut names) {
            Ok(expr) => expr,
            Err(issue) => {
                self.issues.push(issue.under(&path));
                return None;
            }
        };
        let mut slots = Vec::new();
        for wanted in names.names() {
            let found = columns.iter().position(|c| c == wanted);
            let later = |at: usize| at >= column && is_expression(functions, wanted);
            match found {
                Some(at) if !later(at) => slots.push(at),
                Some(_) => self.issues.push(
                    Issue::error(&path, format!("expected a function that is known here, found `{wanted}`"))
                        .hint("an expression may read only the expressions above it"),
                ),
                None => {
                    let known: Vec<&str> = columns.iter().map(String::as_str).filter(|c| *c != name).collect();
                    self.issues.push(
                        Issue::error(
                            &path,
                            format!("expected the name of a function of this window, found `{wanted}`"),
                        )
                        .hint(format!("there are: {}", known.join(", "))),
                    );
                }
            }
        }
        Some(WhatKind::Expression { expr, columns: slots })
    }
}

fn is_expression(functions: &Functions, name: &str) -> bool {
    functions.0.iter().any(|(n, f)| n == name && matches!(f, Function::Expression(_)))
}

/// The further fields that a function writes behind its own.
pub(super) fn extra(function: &Function) -> &'static [&'static str] {
    match function {
        Function::LinearRegression(_) => &["_intercept", "_r2", "_p_value"],
        Function::IsolationForest(_) => &["_ratio"],
        Function::CounterRate(_) => &["_series"],
        _ => &[],
    }
}

/// All result fields in order.
pub(super) fn columns(functions: &Functions) -> Vec<String> {
    let mut names = Vec::new();
    for (name, function) in &functions.0 {
        names.push(name.clone());
        names.extend(extra(function).iter().map(|suffix| format!("{name}{suffix}")));
    }
    names
}
