//! A framework of a user's own, its rows, and a sink that executes what it asks for.

use super::common::{Service, p75_lcp};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Six seconds each.
const ROWS: i64 = 300;

/// The framework's file in a directory; it names the shipped `incidents.yaml`.
pub fn file(dir: &Path) -> PathBuf {
    let incidents = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/incidents.yaml");
    let path = dir.join("own.yaml");
    let text = include_str!("own.yaml").replace("INCIDENTS", &incidents.display().to_string());
    std::fs::write(&path, text).expect("a file");
    path
}

/// Half an hour up to now of a page that is twice as slow in the last three minutes: what is asked for expires after
/// five.
fn rows() -> Vec<String> {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs() as i64;
    let row = |n: i64| {
        json!({ "timestamp": now_s - 6 * (ROWS - n), "page": "/", "p75_lcp": p75_lcp(n), "count": 50 }).to_string()
    };
    (0..ROWS).map(row).collect()
}

/// Receivers of which one takes changes of flags.
pub fn receivers(dir: &Path, flags: &Service) -> PathBuf {
    let path = dir.join("receivers.yaml");
    let open = "allow_http: true, allow_private: true";
    let text = format!(
        "apiVersion: perfstream/v1\nkind: Receivers\nmeta: {{ name: own }}\nreceivers:\n\
         \x20 - {{ name: flags, {open}, webhook: {{ url: 'http://{0}/flags', format: json }} }}\n\
         \x20 - {{ name: hook, {open}, webhook: {{ url: 'http://{0}/hook', format: cloudevents }} }}\n\
         allow_actions: true\nroute: {{ group_wait: 0s, group_interval: 1s }}\n",
        flags.address
    );
    std::fs::write(&path, text).expect("a file");
    path
}

/// The whole story: an alert waits for an approval, gets it, is answered by a change of a flag, which does not help
/// and is taken back. `actions` reads the topic of actions, `append` writes to a topic.
pub fn story(actions: impl Fn() -> Vec<Value>, append: impl Fn(&str, &[String]), flags: &Service) {
    let until = |step: &str| {
        let started = Instant::now();
        loop {
            let actions = actions();
            if actions.iter().any(|action| action["step"] == step) {
                return actions;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{step}: {actions:#?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    append("pages", &rows());
    let waiting = until("awaiting_approval");
    assert_eq!((waiting.len(), &waiting[0]["target"]), (1, &json!("/")));
    let approval = json!({ "type": "approval", "action_id": waiting[0]["action_id"], "approved": true, "by": "ada" });
    append("responses-inbox", &[approval.to_string()]);
    let ended = until("rolled_back");
    let steps: Vec<&str> = ended.iter().filter_map(|action| action["step"].as_str()).collect();
    let wanted =
        ["awaiting_approval", "approved", "requested", "done", "not_recovered", "rollback_requested", "rolled_back"];
    assert_eq!(steps, wanted);
    assert!(ended.iter().all(|action| action["action_id"] == waiting[0]["action_id"]), "{ended:#?}");
    let changes = changes(flags);
    let values: Vec<&Value> = changes.iter().map(|change| &change["value"]).collect();
    assert_eq!(values, [false, true], "each once");
    assert!(changes.iter().all(|change| change["flagKey"] == "hero"), "{changes:?}");
}

/// The bodies of the requests to change a flag.
fn changes(flags: &Service) -> Vec<Value> {
    let got = flags.got();
    let requests = got.iter().filter(|request| request.starts_with("POST /flags "));
    let bodies = requests.filter_map(|request| request.split_once("\r\n\r\n"));
    bodies.map(|(_, body)| serde_json::from_str(body).expect("JSON")).collect()
}
