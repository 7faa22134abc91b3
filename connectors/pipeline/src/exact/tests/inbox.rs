//! Requests of the inbox: copied into the control topic once, seen by a replay where they were seen first.

use super::*;

const TEAMS: &str = "
apiVersion: perfstream/v1
kind: Pipeline
meta: { name: p }
input: { topic: in, schema: { timestamp: datetime, value: number, page: string }, partition_by: page, time: { field: timestamp } }
transforms:
  - uses: perfstream/enrich@0.1.0
    with: { tables: { teams: { key: [page], rows: [{ page: /0, team: shop }] } }, lookups: [{ table: teams, on: [page], fields: [team] }] }
  - uses: perfstream/aggregate@0.1.0
    with:
      group_by: [page, team]
      windows: [{ name: w, type: tumbling, size: 10s, functions: { n: { type: count } } }]
output: { topic: out, partition_by: page, schema: { timestamp: datetime, page: string, sum: number } }
routes: { window: windows }
";

fn teams(instance: &str) -> Job {
    Job { inbox_topic: Some("inbox".into()), ..job(TEAMS, instance) }
}

/// Asks for another team of page /1, and for one of page /2 that stands twice in the inbox; one record is no request.
fn ask(log: &SimLog, round: usize) {
    let row = |page: &str, team: String| {
        format!("{{\"type\":\"reference\",\"table\":\"teams\",\"rows\":[{{\"page\":\"{page}\",\"team\":\"{team}\"}}]}}")
    };
    let requests =
        [row("/1", format!("team-{round}")), row("/2", "twice".into()), "no request".into(), row("/2", "twice".into())];
    requests.iter().for_each(|request| log.append("inbox", 0, 0, None, request.as_bytes()));
}

fn windows(log: &SimLog) -> BTreeMap<String, usize> {
    let mut teams = BTreeMap::new();
    for record in (0..2).flat_map(|partition| log.all("windows", partition)) {
        let value: serde_json::Value = serde_json::from_slice(&record.value).expect("JSON");
        *teams.entry(value["team"].as_str().unwrap_or("none").to_string()).or_default() += 1;
    }
    teams
}

/// Workers that die at given calls while requests come; the last one lives.
fn requests_and_deaths(faults: &[(u64, bool)], read_records: usize) -> SimLog {
    let log = log(0);
    log.create("inbox", 1);
    for (round, fault) in faults.iter().map(Some).chain([None]).enumerate() {
        (round * 40..round * 40 + 40).for_each(|n| feed(&log, n));
        ask(&log, round);
        let client = match fault {
            Some((at, after)) => {
                let fault = if *after { Fault::After } else { Fault::Before };
                Client::with_fault(&log, read_records, *at, fault)
            }
            None => Client::new(&log, read_records),
        };
        let started = PartitionWorker::start(client, teams(&format!("w{round}")), 0, START * 1_000_000);
        match started.and_then(|mut worker| run_to_end(&mut worker, 200)) {
            Ok(()) => {}
            Err(error) => assert!(fault.is_some(), "{error:#}"),
        }
    }
    log
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn deaths_change_no_answer(faults in proptest::collection::vec((0u64..300, any::<bool>()), 1..5), read_records in 1usize..40) {
        let log = requests_and_deaths(&faults, read_records);
        holds(&log)?;
        let copies: Vec<_> = outputs(&log).into_iter().filter(|(_, n)| *n > 1).collect();
        prop_assert!(copies.is_empty(), "copies {copies:?}");
        let controls = log.all("control", 0);
        let asked = controls.iter().filter(|r| String::from_utf8_lossy(&r.value).contains("\"event\":\"control\"")).count();
        prop_assert!(asked > 0);
    }
}

#[test]
fn rows_count_from_where_they_were_seen() {
    let log = requests_and_deaths(&[(150, true)], 7);
    let teams = windows(&log);
    for team in ["shop", "team-0", "team-1", "twice"] {
        assert!(teams.contains_key(team), "{team}: {teams:?}");
    }
    let holds_requests = |entry: &perfstream_log::LogRecord| {
        serde_json::from_slice::<serde_json::Value>(&entry.value).expect("JSON")["controls"]
            .as_array()
            .map_or(0, |controls| controls.iter().filter(|event| event["event"] == "control").count())
    };
    let copied: usize = log.all("control", 0).iter().map(holds_requests).sum();
    assert_eq!(copied, 6, "three of each round, none twice: what is no request is left out");
}
