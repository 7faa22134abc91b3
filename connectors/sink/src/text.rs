//! Texts for people, by templates (minijinja): what broke, where, since when, how bad against what.
//!
//! A template knows `status` (firing or resolved), `repeat`, `receiver`, `rule`, `pipeline`, `stage`,
//! `severity`, `transition`, `step`, `summary`, `condition`, `started_at`, `ended_at`, `reason`,
//! `window`, `window_start`, `window_end`, `alert_id`, `place` (topic/partition@offset of the alert
//! record), `partition` and `offset` of the input record that brought it about, the maps `labels` and `values`, and both as texts: `where` and `how`; of an anomaly `usual` (how bad
//! against what) and `cause`, else empty; `link` to the alert on the live page, if its address is known.
//! Control characters of what records bring are taken out.

use crate::alert::plain;
use crate::engine::Notice;
use anyhow::Result;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde_json::Map;

const TITLE: &str = "[{{ status | upper }}] {{ rule }}{% if where %}: {{ where }}{% endif %}";
const TEXT: &str = "\
{% if summary %}{{ summary }}
{% endif -%}
{{ severity }}{% if step %} (escalated, level {{ step }}){% endif %}, since {{ started_at }}\
{% if ended_at %}, until {{ ended_at }}{% if reason %} ({{ reason }}){% endif %}{% endif %}
{% if how %}{{ how }}, condition: {{ condition }}
{% endif -%}
{% if usual %}{{ usual }}
{% endif -%}
{% if cause %}mostly {{ cause }}
{% endif -%}
{% if window_start %}window {{ window }} from {{ window_start }} to {{ window_end }}
{% endif -%}
pipeline {{ pipeline }}\
{% if offset is defined %}, input up to {{ partition }}@{{ offset }}{% endif %}, alert {{ alert_id }}, record {{ place }}\
{% if link %}
{{ link }}{% endif %}";

/// Templates of one receiver.
pub struct Texts {
    environment: Environment<'static>,
    page: Option<String>,
}

/// Says what is wrong with a template; it is tried on an empty notice.
pub fn check(template: &str) -> Result<(), String> {
    let texts = Texts::new(Some(template), None).map_err(|error| error.to_string())?;
    let none = || Value::from(Serde(Map::new()));
    let empty = context! { status => "firing", labels => none(), values => none() };
    texts.render("title", empty).map(|_| ()).map_err(|error| error.to_string())
}

impl Texts {
    /// These templates, or the defaults.
    pub fn new(title: Option<&str>, text: Option<&str>) -> Result<Texts> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.add_template_owned("title", title.unwrap_or(TITLE).to_string())?;
        environment.add_template_owned("text", text.unwrap_or(TEXT).to_string())?;
        Ok(Texts { environment, page: None })
    }

    /// With links to the live page at this address.
    pub fn with_page(mut self, page: Option<&str>) -> Texts {
        self.page = page.map(|page| page.trim_end_matches('/').to_string());
        self
    }

    /// Address of the live page, or nothing.
    pub fn page(&self) -> &str {
        self.page.as_deref().unwrap_or_default()
    }

    /// The alert on the live page.
    pub fn link(&self, notice: &Notice) -> Option<String> {
        let page = self.page.as_deref()?;
        let id: String = url::form_urlencoded::byte_serialize(notice.alert.alert_id.as_bytes()).collect();
        Some(format!("{page}/#alert={id}"))
    }

    /// The first line.
    pub fn title(&self, receiver: &str, notice: &Notice) -> String {
        self.of("title", receiver, notice).replace('\n', " ")
    }

    /// The body.
    pub fn text(&self, receiver: &str, notice: &Notice) -> String {
        self.of("text", receiver, notice)
    }

    /// A template that fails on one notice, or says nothing of it, must not keep it back: the plain facts stand for it.
    fn of(&self, template: &str, receiver: &str, notice: &Notice) -> String {
        let plain = || format!("{} is {}", notice.alert.rule, notice.alert.state.name());
        let text = self.render(template, self.facts(receiver, notice)).unwrap_or_else(|error| {
            tracing::warn!(receiver, template, "the template failed: {error}");
            plain()
        });
        let text: String = text.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
        // Some services refuse an empty text, and the notice with it.
        if text.trim().is_empty() { plain() } else { text }
    }

    fn facts(&self, receiver: &str, notice: &Notice) -> Value {
        let alert = &notice.alert;
        let status = alert.state.name();
        let (place, how) = (pairs(&alert.labels), pairs(&alert.values));
        let (usual, cause) =
            alert.anomaly.as_ref().map(|anomaly| (anomaly.usual(), anomaly.cause())).unwrap_or_default();
        let link = self.link(notice).unwrap_or_default();
        context! {
            status, receiver, usual, cause, link, repeat => notice.repeat, where => place, how => how,
            ..Value::from(Serde(alert))
        }
    }

    fn render(&self, template: &str, facts: Value) -> Result<String, minijinja::Error> {
        Ok(self.environment.get_template(template)?.render(facts)?.trim().to_string())
    }
}

/// `browser=Chrome, page=/checkout`
pub fn pairs(map: &Map<String, serde_json::Value>) -> String {
    let pairs: Vec<String> = map.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
    pairs.join(", ")
}

/// The beginning of a text, of at most `max` characters, with `…` where it is cut.
pub fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.into();
    }
    text.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{State, example};

    #[test]
    fn the_defaults_say_it_all() {
        let texts = Texts::new(None, None).unwrap();
        let notice = Notice { alert: example("5d0c", State::Resolved), repeat: 0 };
        assert_eq!(texts.title("chat", &notice), "[RESOLVED] LCP Critical: browser=Chrome, page=/checkout");
        assert_eq!(
            texts.text("chat", &notice),
            "LCP Critical is resolved\n\
             critical, since 2026-01-01T00:05:00Z, until 2026-01-01T00:20:00Z (condition_false)\n\
             p75_lcp=6200, condition: p75_lcp > 6000\n\
             window one_minute from 2026-01-01T00:04:00Z to 2026-01-01T00:05:00Z\n\
             pipeline lcp, input up to 0@4711, alert 5d0c, record alerts/0@17"
        );
    }

    #[test]
    fn an_anomaly_says_how_bad_against_what_and_there_is_a_link() {
        let record = serde_json::json!({
            "kind": "anomaly", "anomaly_id": "x", "state": "open", "value": 1530, "expected": 1002.1,
            "range": [905.34, 1098.9], "direction": "up",
            "contributions": [{ "feature": "cls", "share": 0.15 }, { "feature": "lcp", "part": "level", "share": 0.5 },
                              { "feature": "lcp", "part": "pair", "share": 0.3 }, { "feature": "fid", "share": 0.05 }],
            "baseline": { "value": 1031.5, "from": "2026-01-05T08:00:00Z", "to": "2026-01-05T10:00:00Z", "n": 240 },
            "summary": "lcp of page=/ is 53 % above 1002.1000",
        });
        let mut alert = example("5d/0c", State::Firing);
        alert.anomaly = Some(crate::alert::Anomaly::parse(record.to_string().as_bytes()).unwrap());
        let texts = Texts::new(None, None).unwrap().with_page(Some("https://perf.example.com/"));
        assert_eq!(
            texts.text("chat", &Notice { alert, repeat: 0 }),
            "LCP Critical is firing\n\
             critical, since 2026-01-01T00:05:00Z\n\
             p75_lcp=6200, condition: p75_lcp > 6000\n\
             lcp of page=/ is 53 % above 1002.1000; 905.34 to 1099 is usual, by 240 values since 2026-01-05T08:00:00Z\n\
             mostly lcp 80 %, cls 15 %\n\
             window one_minute from 2026-01-01T00:04:00Z to 2026-01-01T00:05:00Z\n\
             pipeline lcp, input up to 0@4711, alert 5d/0c, record alerts/0@17\n\
             https://perf.example.com/#alert=5d%2F0c"
        );
    }

    #[test]
    fn own_templates_and_hostile_labels() {
        let texts = Texts::new(Some("{{ labels.page }}\u{1b}[31m"), Some("{{ nothing.at.all }}x")).unwrap();
        let mut alert = example("a", State::Firing);
        alert.labels.insert("page".into(), "{{ 1 + 1 }}\u{7}\n".into());
        let notice = Notice { alert, repeat: 0 };
        assert_eq!(texts.title("chat", &notice), "{{ 1 + 1 }} [31m");
        assert_eq!(texts.text("chat", &notice), "x");
        let empty = Texts::new(Some(" "), None).unwrap();
        assert_eq!(empty.title("chat", &notice), "LCP Critical is firing");
        assert!(check("{{ rule").is_err() && check("{{ rule | nofilter }}").is_err());
        assert!(check("{{ rule | upper }} {{ labels.page }}").is_ok());
    }

    #[test]
    fn cuts_by_characters() {
        assert_eq!((cut("ééé", 3), cut("éééé", 3)), ("ééé".into(), "éé…".into()));
    }
}
