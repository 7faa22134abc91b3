//! Thresholds by rule: a step `forecast` may look for the bound that an alert rule of its pipeline has.

use crate::diagnostic::{did_you_mean, list};
use crate::model::{Pipeline, Uses, steps};
use crate::yaml::Node;
use perfstream_core::Issue;
use perfstream_core::expr::Expr;
use perfstream_core::row::Fields;
use serde_json::Value;

/// Alert rules of a pipeline: name and condition.
pub type Rules = Vec<(String, String)>;

/// The rules of a pipeline.
pub fn of_pipeline(pipeline: &Pipeline) -> Rules {
    let alerts = pipeline.transforms.iter().filter(|step| Uses::parse(&step.uses).is_some_and(|u| u.name == "alert"));
    rules(alerts.filter_map(|step| serde_json::from_str(&step.with.0).ok()))
}

/// The rules of a document of kind `Pipeline`.
pub fn of_document(document: &Node) -> Rules {
    rules(steps(document, "alert").filter_map(|step| Some(step.get("with")?.to_value())))
}

fn rules(configs: impl IntoIterator<Item = Value>) -> Rules {
    let of = |config: Value| {
        let rules = config["rules"].as_array().cloned().unwrap_or_default();
        let text = |rule: &Value, key: &str| rule[key].as_str().map(str::to_string);
        rules.iter().filter_map(|rule| Some((text(rule, "name")?, text(rule, "condition")?))).collect::<Vec<_>>()
    };
    configs.into_iter().flat_map(of).collect()
}

/// The config of a `forecast` step with the bound and the side of the rule that it names; None if it names none.
pub fn inline(stage: &str, config: &str, rules: &Rules) -> Result<Option<String>, Issue> {
    if stage != "forecast" {
        return Ok(None);
    }
    let Ok(mut config) = serde_json::from_str::<Value>(config) else { return Ok(None) };
    let Some(name) = config["threshold"]["rule"].as_str() else { return Ok(None) };
    let Some((_, condition)) = rules.iter().find(|(known, _)| known == name) else {
        let known = || rules.iter().map(|(name, _)| name.as_str());
        let hint = did_you_mean(name, known()).unwrap_or_else(|| match rules.is_empty() {
            true => "the pipeline has no step `alert` with rules".into(),
            false => format!("the pipeline has {}", list(known())),
        });
        return Err(Issue::error("threshold.rule", format!("there is no alert rule `{name}`")).hint(hint));
    };
    let field = config["field"].as_str().unwrap_or_default();
    let mut fields = Fields::default();
    let slot = fields.slot(field);
    let bound = Expr::parse(condition, &mut fields).ok().and_then(|condition| condition.bound_of(slot));
    let Some((bound, above)) = bound else {
        let message = format!("the condition of `{name}` compares `{field}` with no number: `{condition}`");
        return Err(Issue::error("threshold.rule", message).hint("write `threshold: NUMBER`"));
    };
    config["threshold"] = bound.into();
    config["breach"] = if above { "above" } else { "below" }.into();
    Ok(Some(config.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(condition: &str, rule: &str) -> Result<(Value, Value), String> {
        let rules = rules([
            json!({ "rules": [{ "name": "Slow", "condition": condition }, { "name": "Gone", "absent": "5m" }] }),
        ]);
        let config = json!({ "field": "p75", "threshold": { "rule": rule } }).to_string();
        let config = inline("forecast", &config, &rules).map_err(|issue| issue.to_string())?.expect("a config");
        let config: Value = serde_json::from_str(&config).expect("JSON");
        Ok((config["threshold"].clone(), config["breach"].clone()))
    }

    #[test]
    fn the_bound_of_a_rule() {
        let is = |bound: f64, side: &str| Ok((json!(bound), json!(side)));
        assert_eq!(found("p75 > 4000", "Slow"), is(4000.0, "above"));
        assert_eq!(found("count >= 10 AND 0.5 >= p75", "Slow"), is(0.5, "below"));
        assert_eq!(found("(page = '/' OR p75 < -3) AND n > 1", "Slow"), is(-3.0, "below"));
        let error = |condition, rule| found(condition, rule).expect_err("no bound");
        assert!(error("p75 = 4000", "Slow").contains("compares `p75` with no number"));
        assert!(error("p75 > p50", "Slow").contains("compares `p75` with no number"));
        assert!(error("p75 > 1", "Slwo").contains("there is no alert rule `Slwo`"));
        assert!(error("p75 > 1", "Gone").contains("there is no alert rule `Gone`"), "it has no condition");
    }

    /// The stage gets the number, and a later change of the rule is a change of the stage.
    #[test]
    fn the_plan_has_the_number() {
        let text = "apiVersion: perfstream/v1\nkind: Pipeline\nmeta: { name: p }\ninput: { topic: in }\ntransforms:\n\
            \x20 - uses: perfstream/forecast@0.1.0\n    with: { field: v, threshold: { rule: Low } }\n\
            \x20 - uses: perfstream/alert@0.1.0\n\
            \x20   with: { rules: [{ name: Low, condition: v < 7, severity: warning, notification: [a] }] }\noutput: { topic: out }\n";
        let report = crate::check::check_text("p.yaml", text);
        assert!(!report.is_error(), "{}", report.render(false));
        let plan = crate::plan::PlanSpec::new(&report.into_pipelines()[0]).expect("a plan");
        let config: Value = serde_json::from_str(&plan.chain.stages[0].config).expect("JSON");
        assert_eq!((&config["threshold"], &config["breach"]), (&json!(7.0), &json!("below")));
    }

    #[test]
    fn what_names_no_rule_stays_as_it_is() {
        for (stage, config) in
            [("forecast", r#"{"threshold":5}"#), ("forecast", "{}"), ("alert", r#"{"threshold":{"rule":"x"}}"#)]
        {
            assert_eq!(inline(stage, config, &Rules::new()), Ok(None));
        }
    }
}
