//! Recommendations: rules with sources, from `recommendations.yaml`. A rule whose condition holds for a segment says
//! its text with that segment's numbers; no rule holds, no recommendation.
//!
//! Facts of a segment: FIELD (median of the results), FIELD_max, FIELD_last; FIELD_trend (per hour), FIELD_shift (after less
//! before), FIELD_shift_share, FIELD_shift_at, FIELD_period_hours, FIELD_spikes_minutes where there is such a pattern;
//! FIELD_breach_minutes where a forecast foresees one; `alerts`, `anomalies`; and the parts of web vitals (`parts`).

use super::record::Recommendation;
use crate::source::Source;
use crate::yaml;
use anyhow::{Context, Result, bail};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use perfstream_core::Value as Known;
use perfstream_core::expr::Expr;
use perfstream_core::patterns::sentence;
use perfstream_core::row::Fields;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The rules that the binary has.
const RULES: &str = include_str!("recommendations.yaml");

/// What is known of a segment: numbers and words by name.
pub type Facts = BTreeMap<String, Value>;

/// A segment's name, its labels and what is known of it.
#[derive(Debug, Clone, Default)]
pub struct Segment {
    /// `page=/, browser=chrome`
    pub name: String,
    /// Its labels
    pub labels: BTreeMap<String, Value>,
    /// What is known of it
    pub facts: Facts,
    /// Results; the busiest segment is told first
    pub events: f64,
}

/// A rule as its file has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    id: String,
    title: String,
    when: String,
    text: String,
    source: String,
}

/// The rules, ready to be asked.
pub struct Rules {
    rules: Vec<(Rule, Expr)>,
    fields: Fields,
    texts: Environment<'static>,
}

impl Rules {
    /// The rules of the binary.
    pub fn shipped() -> Result<Rules> {
        Rules::parse(RULES)
    }

    /// Of a YAML list of rules.
    fn parse(text: &str) -> Result<Rules> {
        let mut faults = Vec::new();
        let documents = yaml::parse(&Source::new("recommendations.yaml", text), &mut faults);
        if let Some(fault) = faults.first() {
            bail!("recommendations.yaml: {}", fault.message);
        }
        let list = documents.first().context("recommendations.yaml has no document")?.to_value();
        let list: Vec<Rule> = serde_json::from_value(list).context("recommendations.yaml")?;
        let (mut rules, mut fields, mut texts) = (Vec::new(), Fields::default(), environment());
        for rule in list {
            let when = Expr::parse(&rule.when, &mut fields);
            let when = when.map_err(|issue| anyhow::anyhow!("rule `{}`: when: {}", rule.id, issue.message))?;
            texts
                .add_template_owned(rule.id.clone(), rule.text.clone())
                .with_context(|| format!("rule `{}`", rule.id))?;
            rules.push((rule, when));
        }
        Ok(Rules { rules, fields, texts })
    }

    /// What the rules say, in their order; of the segments for which one holds the busiest is told, the others are
    /// counted.
    pub fn ask(&self, segments: &[Segment]) -> Result<Vec<Recommendation>> {
        let mut order: Vec<&Segment> = segments.iter().collect();
        order.sort_by(|a, b| b.events.total_cmp(&a.events).then_with(|| a.name.cmp(&b.name)));
        let mut told = Vec::new();
        for (rule, when) in &self.rules {
            let mut holding = order.iter().filter(|segment| self.holds(when, &segment.facts));
            let Some(segment) = holding.next() else { continue };
            let text = self.texts.get_template(&rule.id)?.render(Serde(&segment.facts));
            told.push(Recommendation {
                rule: rule.id.clone(),
                title: rule.title.clone(),
                text: text.with_context(|| format!("rule `{}`", rule.id))?.trim().to_string(),
                segment: segment.labels.clone(),
                others: holding.count() as u64,
                when: rule.when.clone(),
                source: rule.source.clone(),
            });
        }
        Ok(told)
    }

    fn holds(&self, when: &Expr, facts: &Facts) -> bool {
        let values: Vec<Known<'_>> =
            self.fields.names().map(|name| facts.get(name).map_or(Known::Null, known)).collect();
        when.test_with(&|slot| values.get(slot.0).copied().unwrap_or(Known::Null)) == Some(true)
    }
}

fn known(value: &Value) -> Known<'_> {
    match value {
        Value::String(text) => Known::Str(text),
        value => value.as_f64().map_or(Known::Null, Known::Float),
    }
}

/// Texts with `{{ name|number }}` and `{{ name|percent }}`; a name that is not known is an error.
fn environment() -> Environment<'static> {
    let mut texts = Environment::new();
    texts.set_undefined_behavior(UndefinedBehavior::Strict);
    texts.add_filter("number", |x: f64| sentence::number(x));
    texts.add_filter("percent", |x: f64| format!("{:.0} %", x * 100.0));
    texts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn segment(name: &str, events: f64, facts: Value) -> Segment {
        let facts = facts.as_object().cloned().unwrap_or_default().into_iter().collect();
        Segment { name: name.into(), events, facts, ..Segment::default() }
    }

    #[test]
    fn no_rule_holds_no_recommendation() {
        let fast = segment("page=/", 9.0, json!({ "p75_lcp": 1200.0, "p75_inp": 90.0, "cpu_usage": 0.2, "alerts": 0 }));
        assert!(Rules::shipped().unwrap().ask(&[fast, Segment::default()]).unwrap().is_empty());
    }

    #[test]
    fn the_part_that_is_slow_decides_what_is_said() {
        let rules = Rules::shipped().unwrap();
        for (part, rule) in [
            ("timeToFirstByte", "lcp-time-to-first-byte"),
            ("resourceLoadDelay", "lcp-resource-load-delay"),
            ("resourceLoadDuration", "lcp-resource-load-duration"),
            ("elementRenderDelay", "lcp-element-render-delay"),
        ] {
            let facts = json!({ "p75_lcp": 4210.0, "lcp_part": part, part: 1900.0, format!("{part}_share"): 0.52 });
            let told = rules.ask(&[segment("a", 1.0, facts.clone()), segment("b", 2.0, facts)]).unwrap();
            assert_eq!(told.iter().map(|r| &*r.rule).collect::<Vec<_>>(), [rule]);
            assert!(told[0].text.contains("1900 ms") && told[0].text.contains("52 %"), "{}", told[0].text);
            assert!(told[0].text.contains("4210 ms"), "{}", told[0].text);
            assert_eq!((told[0].others, &*told[0].source), (1, "https://web.dev/articles/optimize-lcp"));
        }
        let bare = rules.ask(&[segment("a", 1.0, json!({ "p75_lcp": 4210.0 }))]).unwrap();
        assert_eq!(bare[0].rule, "lcp-parts-unknown");
    }

    /// Each rule's text needs only what its condition knows to be there.
    #[test]
    fn every_text_can_be_said() {
        let rules = Rules::shipped().unwrap();
        assert!(rules.rules.len() >= 15, "{} rules", rules.rules.len());
        for (rule, when) in &rules.rules {
            let names: Vec<&str> = rules.fields.names().collect();
            let facts: Facts = when.slots().iter().map(|slot| (names[slot.0].to_string(), json!(0.5))).collect();
            let template = rules.texts.get_template(&rule.id).unwrap();
            let text = template.render(Serde(&facts)).unwrap_or_else(|error| panic!("{}: {error}", rule.id));
            assert!(text.contains("0.5") || text.contains("50 %"), "{} says no number: {text}", rule.id);
            assert!(rule.source.starts_with("https://"), "{}", rule.id);
        }
    }

    #[test]
    fn a_bad_rule_is_named() {
        let bad = "- { id: a, title: A, when: 'x >', text: t, source: s }";
        let error = Rules::parse(bad).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.starts_with("rule `a`: when:"), "{error}");
    }
}
