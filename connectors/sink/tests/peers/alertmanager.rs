//! A real Alertmanager: alerts that it is sent, routes and times that it understands as we do, and the
//! body of its own webhook. PERFSTREAM_TEST_ALERTMANAGER names it; amtool lies beside it.

use crate::common::{Service, append, options, record};
use crate::process::{Process, now_ms, wait};
use anyhow::{Context, Result, ensure};
use perfstream_log::{NewRecord, Place};
use perfstream_sink::config::Receivers;
use perfstream_sink::journal::Journal;
use perfstream_sink::matcher::Labels;
use perfstream_sink::routing::Routing;
use perfstream_sink::run::Sink;
use perfstream_sink::secret::Secrets;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

struct Alertmanager(Process);

fn program() -> Result<PathBuf> {
    Ok(std::env::var_os("PERFSTREAM_TEST_ALERTMANAGER").context("PERFSTREAM_TEST_ALERTMANAGER is not set")?.into())
}

impl Alertmanager {
    /// By itself, without others of its kind.
    fn start(config: &Value) -> Result<Alertmanager> {
        let args = |dir: &Path, listen: &str| {
            let file = dir.join("alertmanager.yml");
            std::fs::write(&file, config.to_string())?;
            Ok(vec![
                format!("--config.file={}", file.display()),
                format!("--storage.path={}", dir.join("data").display()),
                format!("--web.listen-address={listen}"),
                "--cluster.listen-address=".to_string(),
            ])
        };
        Ok(Alertmanager(Process::start(&program()?, args)?))
    }

    fn url(&self) -> &str {
        &self.0.url
    }

    /// Labels of the alerts that it holds for active.
    fn active(&self) -> Result<Vec<Labels>> {
        let alerts: Vec<Value> = serde_json::from_str(&self.0.get("/api/v2/alerts?active=true")?)?;
        alerts.iter().map(|alert| Ok(serde_json::from_value(alert["labels"].clone())?)).collect()
    }
}

/// A receiver that tells the Alertmanager, or something like it.
fn told(receiver: Value) -> Receivers {
    let mut receiver = receiver;
    let base = json!({ "name": "am", "allow_http": true, "allow_private": true });
    receiver.as_object_mut().unwrap().extend(base.as_object().unwrap().clone());
    let route = json!({ "receiver": "am", "group_wait": "0s", "group_interval": "1s" });
    serde_json::from_value(json!({ "receivers": [receiver], "route": route })).unwrap()
}

/// Sends what is in the log.
fn send(dir: &Path, receivers: &Receivers) -> Result<()> {
    let journal = Journal::open(&dir.join("sink.db"))?;
    let sink = Sink::new(receivers, &Secrets::default(), journal, Place::embedded(dir)?, options())?;
    let summary = sink.run(&AtomicBool::new(false))?;
    ensure!((summary.refused, summary.failures) == (0, 0), "{summary:?}");
    Ok(())
}

fn changed(record: &NewRecord, changes: &Value) -> Result<NewRecord> {
    let mut value: Value = serde_json::from_slice(&record.value)?;
    let object = value.as_object_mut().context("an object")?;
    object.extend(changes.as_object().context("an object")?.clone());
    Ok(NewRecord { value: value.to_string().into_bytes(), ..record.clone() })
}

#[test]
#[ignore = "needs an Alertmanager"]
fn it_holds_an_alert_that_rises_and_ends() -> Result<()> {
    let quiet = json!({ "route": { "receiver": "nobody" }, "receivers": [{ "name": "nobody" }] });
    let alertmanager = Alertmanager::start(&quiet)?;
    let receivers = told(json!({ "alertmanager": { "url": alertmanager.url() } }));
    let dir = tempfile::tempdir()?;
    let warning = changed(&record("a", "firing"), &json!({ "severity": "warning" }))?;
    append(dir.path(), &[warning, record("b", "firing")])?;
    send(dir.path(), &receivers)?;
    let severities = |alertmanager: &Alertmanager| -> Result<BTreeSet<String>> {
        let active = alertmanager.active()?;
        Ok(active.iter().map(|labels| format!("{} {}", labels["page"], labels["severity"])).collect())
    };
    let expected = |texts: &[&str]| texts.iter().map(|text| (*text).to_string()).collect::<BTreeSet<_>>();
    wait("two alerts", || Ok(severities(&alertmanager)? == expected(&["/a warning", "/b critical"])))?;
    let labels = alertmanager.active()?.into_iter().find(|labels| labels["page"] == "/b").context("b")?;
    assert_eq!((labels["alertname"].as_str(), labels["pipeline"].as_str()), ("LCP Critical", "lcp"));
    let escalated = json!({ "transition": "escalated", "step": 1, "severity": "critical" });
    append(dir.path(), &[changed(&record("a", "firing"), &escalated)?])?;
    send(dir.path(), &receivers)?;
    wait("the higher severity alone", || Ok(severities(&alertmanager)? == expected(&["/a critical", "/b critical"])))?;
    append(dir.path(), &[record("a", "resolved"), record("b", "resolved")])?;
    send(dir.path(), &receivers)?;
    wait("the end", || Ok(severities(&alertmanager)?.is_empty()))
}

/// Names and types of a value; those of labels and annotations are free.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| match name.to_lowercase() {
                name if name.ends_with("labels") || name.ends_with("annotations") => (name, json!("free")),
                _ => (name.clone(), shape(value)),
            })
            .collect(),
        // The different shapes of its items.
        Value::Array(items) => {
            let shapes: BTreeSet<String> = items.iter().map(|item| shape(item).to_string()).collect();
            shapes.into_iter().collect()
        }
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "bool".into(),
        Value::Null => "null".into(),
    }
}

#[test]
#[ignore = "needs an Alertmanager"]
fn our_webhook_has_the_shape_of_its_own() -> Result<()> {
    let service = Service::start(0);
    let alertmanager = Alertmanager::start(&json!({
        "route": { "receiver": "hook", "group_by": ["alertname"], "group_wait": "1s", "group_interval": "1s" },
        "receivers": [{ "name": "hook", "webhook_configs": [{ "url": format!("{}/theirs", service.url) }] }],
    }))?;
    let now = perfstream_core::time::format(now_ms()? * 1000);
    let started = json!({ "started_at": now, "timestamp": now });
    let dir = tempfile::tempdir()?;
    append(dir.path(), &[changed(&record("a", "firing"), &started)?, changed(&record("b", "firing"), &started)?])?;
    send(dir.path(), &told(json!({ "alertmanager": { "url": alertmanager.url() } })))?;
    let theirs = || service.accepted().into_iter().filter(|(path, ..)| path == "/theirs").map(|(_, _, body)| body);
    wait("its webhook", || Ok(theirs().next().is_some()))?;
    std::fs::remove_file(dir.path().join("sink.db"))?;
    send(
        dir.path(),
        &told(json!({ "webhook": { "url": format!("{}/ours", service.url), "format": "alertmanager" } })),
    )?;
    let ours = service.accepted().into_iter().find(|(path, ..)| path == "/ours").context("ours")?.2;
    let theirs = theirs().next().context("theirs")?;
    assert_eq!(shape(&ours), shape(&theirs));
    for key in ["version", "status"] {
        assert_eq!(ours[key], theirs[key], "{key}");
    }
    // The end that is not there.
    assert!(ours["alerts"][0]["endsAt"].is_string() && theirs["alerts"][0]["endsAt"].is_string());
    assert_eq!(ours["alerts"][0]["labels"], theirs["alerts"][0]["labels"]);
    Ok(())
}

/// Numbers that look random and are always the same (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

const MATCHERS: [&str; 12] = [
    "severity=critical",
    "severity=~\"critical|error\"",
    "severity!=info",
    "page=~/shop.*",
    "page=~\"/shop\"",
    "page!~\".*cart\"",
    "team=",
    "team=web",
    "team!=web",
    "alertname=\"LCP Critical\"",
    "browser=~\".+\"",
    "browser!=Chrome",
];
const NAMES: [&str; 4] = ["chat", "pager", "mail", "log"];

/// A route as both understand it.
fn route(numbers: &mut Numbers, depth: u64) -> Value {
    let mut route = json!({ "continue": numbers.below(3) == 0 });
    route["matchers"] = (0..numbers.below(3)).map(|_| numbers.one(&MATCHERS)).collect();
    if numbers.below(3) > 0 {
        route["receiver"] = numbers.one(&NAMES).into();
    }
    if depth > 0 {
        route["routes"] = (0..numbers.below(4)).map(|_| self::route(numbers, depth - 1)).collect();
    }
    route
}

#[test]
#[ignore = "needs an Alertmanager"]
fn routes_lead_where_its_own_lead() -> Result<()> {
    let amtool = program()?.with_file_name("amtool");
    let mut numbers = Numbers(1);
    let mut several = 0;
    for _ in 0..25 {
        let routes: Vec<Value> = (0..4).map(|_| route(&mut numbers, 2)).collect();
        let document = json!({
            "receivers": NAMES.map(|name| json!({ "name": name })),
            "route": { "receiver": "chat", "routes": routes },
        });
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("alertmanager.yml");
        std::fs::write(&file, document.to_string())?;
        let routing = Routing::new(&serde_json::from_value(document.clone())?)?;
        for _ in 0..8 {
            let mut labels = Labels::new();
            for (name, values) in [
                ("severity", &["critical", "error", "info"][..]),
                ("page", &["/shop", "/shop/cart", "/"]),
                ("team", &["web", "shop"]),
                ("browser", &["Chrome", "Safari"]),
                ("alertname", &["LCP Critical", "INP"]),
            ] {
                if numbers.below(4) > 0 {
                    labels.insert(name.into(), numbers.one(values).into());
                }
            }
            let said = Command::new(&amtool)
                .args(["config", "routes", "test"])
                .arg(format!("--config.file={}", file.display()))
                .args(labels.iter().map(|(name, value)| format!("{name}={value}")))
                .output()?;
            ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
            let text = String::from_utf8(said.stdout)?;
            // It names a receiver as often as routes lead to it.
            let mut theirs: Vec<&str> = Vec::new();
            for name in text.trim().split(',') {
                if !theirs.contains(&name) {
                    theirs.push(name);
                }
            }
            let ours = routing.of_labels(&labels, &[]);
            let ours: Vec<&str> = ours.iter().map(|told| told.receiver.as_str()).collect();
            assert_eq!(ours, theirs, "{labels:?} in {document}");
            several += usize::from(ours.len() > 1);
        }
    }
    assert!(several > 20, "few of the routes branch: {several}");
    Ok(())
}

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const ZONES: [&str; 5] = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"];

/// A range that does not go backwards, of numbers or of names.
fn range(numbers: &mut Numbers, from: u64, to: u64, text: impl Fn(u64) -> String) -> String {
    let first = from + numbers.below(to - from + 1);
    let last = first + numbers.below(to - first + 1);
    format!("{}:{}", text(first), text(last))
}

/// Times as both understand them; each part is there in two of five.
fn period(numbers: &mut Numbers) -> Value {
    let mut period = json!({ "location": numbers.one(&ZONES) });
    if numbers.below(5) < 2 {
        let (from, length) = (numbers.below(16), 4 + numbers.below(5));
        let times = [(from, from + length)];
        period["times"] = times
            .map(|(from, to)| json!({ "start_time": format!("{from:02}:30"), "end_time": format!("{to:02}:00") }))
            .to_vec()
            .into();
    }
    if numbers.below(5) < 2 {
        period["weekdays"] = vec![range(numbers, 0, 6, |n| WEEKDAYS[n as usize].into())].into();
    }
    if numbers.below(5) < 2 {
        let negative = numbers.below(2) == 0;
        let text = |n: u64| if negative { format!("-{}", 32 - n) } else { n.to_string() };
        period["days_of_month"] = vec![range(numbers, 1, 31, text)].into();
    }
    if numbers.below(5) < 2 {
        period["months"] = vec![range(numbers, 1, 12, |n| n.to_string())].into();
    }
    if numbers.below(5) < 2 {
        period["years"] = vec![range(numbers, 2024, 2040, |n| n.to_string())].into();
    }
    period
}

#[test]
#[ignore = "needs an Alertmanager"]
fn the_same_routes_are_silent_now() -> Result<()> {
    const ROUTES: usize = 80;
    let mut numbers = Numbers(2);
    let intervals: Vec<Value> = (0..ROUTES)
        .map(|n| json!({ "name": format!("t{n}"), "time_intervals": [period(&mut numbers), period(&mut numbers)] }))
        .collect();
    let routes: Vec<Value> = (0..ROUTES)
        .map(|n| {
            let key = if n % 3 == 0 { "active_time_intervals" } else { "mute_time_intervals" };
            json!({ "matchers": [format!("page=/{n}")], key: [format!("t{n}")] })
        })
        .collect();
    let service = Service::start(0);
    // With `group_wait: 0s` it may look at a new group before the alert is in it, and then waits for five minutes.
    let theirs = json!({
        "time_intervals": intervals,
        "receivers": [
            { "name": "am", "webhook_configs": [{ "url": format!("{}/theirs", service.url), "send_resolved": false }] },
        ],
        "route": { "receiver": "am", "group_by": ["page"], "group_wait": "1s", "group_interval": "1s", "routes": routes },
    });
    let alertmanager = Alertmanager::start(&theirs)?;
    let receivers: Receivers = serde_json::from_value(json!({
        "time_intervals": intervals, "receivers": [{ "name": "am" }],
        "route": { "receiver": "am", "group_by": ["page"], "routes": routes },
    }))?;
    let routing = Routing::new(&receivers)?;
    let ours = |at_ms: i64| -> BTreeSet<String> {
        let page = |n: usize| format!("/{n}");
        let told = |page: &String| {
            let labels = Labels::from([("page".to_string(), page.clone())]);
            routing.of_labels(&labels, &[]).iter().any(|told| routing.silent(&told.timing, at_ms).is_none())
        };
        (0..ROUTES).map(page).filter(told).collect()
    };
    let before = ours(now_ms()?);
    let dir = tempfile::tempdir()?;
    let records: Vec<NewRecord> = (0..ROUTES).map(|n| record(&n.to_string(), "firing")).collect();
    append(dir.path(), &records)?;
    send(dir.path(), &told(json!({ "alertmanager": { "url": alertmanager.url() } })))?;
    let got = || -> BTreeSet<String> {
        let bodies = service.accepted().into_iter().filter(|(path, ..)| path == "/theirs");
        bodies.filter_map(|(_, _, body)| Some(body["groupLabels"]["page"].as_str()?.to_string())).collect()
    };
    let all = wait("every notice", || Ok(got().is_superset(&before)));
    ensure!(all.is_ok(), "not told: {:?} of {intervals:?}", before.difference(&got()).collect::<Vec<_>>());
    // Those that should not come have had the time to.
    std::thread::sleep(Duration::from_secs(3));
    assert!((15..ROUTES - 15).contains(&before.len()), "{} of {ROUTES} are told", before.len());
    if ours(now_ms()?) == before {
        assert_eq!(got(), before);
    } else {
        println!("a time began or ended meanwhile: nothing is compared");
    }
    Ok(())
}
