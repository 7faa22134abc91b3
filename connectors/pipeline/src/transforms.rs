//! `perfstream transforms`: the stateless front of a chain as Fluvio's own transforms file, for
//! `fluvio consume --transforms` and for other people's connectors.
//!
//! Fluvio passes parameters as strings of at most 32,767 bytes and takes no top-level numbers, so
//! every parameter is a quoted string, and a long configuration is split over several keys.

use crate::chain::front::front_len;
use crate::plan::PlanSpec;
use crate::registry;
use anyhow::{Context as _, Result, bail};
use perfstream_core::Context;
use perfstream_sdk::OutputForm;
use std::fmt::Write;

/// A stage and its parameters as Fluvio takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// `perfstream/filter@0.1.0`
    pub uses: String,
    /// Key and value
    pub with: Vec<(String, String)>,
}

/// The stages before the first one that keeps state, and the names of the rest.
pub fn front(plan: &PlanSpec) -> Result<(Vec<Step>, Vec<&str>)> {
    let chain = &plan.chain;
    let len = front_len(chain)?;
    let step = |n: usize| {
        let entry = registry::find(&chain.stages[n].stage).context("found before")?;
        Ok(Step { uses: entry.uses(), with: chain.params(n, Context::default(), OutputForm::Json) })
    };
    let steps = (0..len).map(step).collect::<Result<_>>()?;
    Ok((steps, chain.stages[len..].iter().map(|s| s.name.as_str()).collect()))
}

/// The file. An error if the chain begins with a stage that keeps state.
pub fn file(plan: &PlanSpec) -> Result<String> {
    let (steps, rest) = front(plan)?;
    if steps.is_empty() {
        bail!(
            "pipeline `{}` begins with `{}`, which keeps state: in the cluster its state would be lost with each \
             connection; run the pipeline with `perfstream run`, or put a filter without dedupe in front",
            plan.chain.pipeline,
            rest.first().unwrap_or(&"")
        );
    }
    let mut text = format!("# The stateless front of the pipeline `{}`.\n", plan.chain.pipeline);
    if !rest.is_empty() {
        writeln!(text, "# Not in it, for they keep state: {}. `perfstream run` runs all.", rest.join(", "))?;
    }
    text.push_str("transforms:\n");
    for step in steps {
        writeln!(text, "  - uses: {}\n    with:", step.uses)?;
        for (key, value) in step.with {
            // A JSON string is a double-quoted YAML string.
            writeln!(text, "      {key}: {}", serde_json::to_string(&value)?)?;
        }
    }
    Ok(text)
}
