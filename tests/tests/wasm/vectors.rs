//! The vectors that the web-vitals library gave, as event streams through whole pipelines: every
//! vector is a session of its own, and the entries of all sessions come interleaved.

use perfstream_core::{Kind, time};
use perfstream_tests::run::{Line, Ran, Schedule, run};
use perfstream_tests::{feed, plan, under_tests, wasm};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const START: i64 = 1_767_600_000_000_000;

fn vectors(file: &str) -> Vec<Value> {
    let path = under_tests("vectors").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file: Value = serde_json::from_str(&text).expect("JSON");
    file["vectors"].as_array().expect("vectors").clone()
}

/// The records of a vector: a page view, its entries, and marks where the metric starts again.
fn session(vector: &Value, entries: &[Value], resets: &[(usize, String)]) -> Vec<Value> {
    let id = &vector["id"];
    let mut records = vec![json!({ "sessionId": id, "navigationType": "navigate" })];
    for at in 0..=entries.len() {
        let here = resets.iter().filter(|(before, _)| *before == at);
        records.extend(here.map(|(_, kind)| json!({ "sessionId": id, "reset": kind })));
        if let Some(entry) = entries.get(at) {
            let mut entry = entry.clone();
            entry["sessionId"] = id.clone();
            records.push(entry);
        }
    }
    records
}

/// Takes a record of each session in turn, 10 ms apart, and runs them.
fn interleaved(path: &str, sessions: Vec<Vec<Value>>, defaults: &Value) -> Ran {
    let longest = sessions.iter().map(Vec::len).max().unwrap_or(0);
    let turns = (0..longest).flat_map(|n| sessions.iter().filter_map(move |s| s.get(n)));
    let lines = turns.enumerate().map(|(n, record)| {
        let mut line = defaults.clone();
        line["timestamp"] = time::format(START + n as i64 * 10_000).into();
        if let (Some(line), Some(fields)) = (line.as_object_mut(), record.as_object()) {
            line.extend(fields.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        line.to_string().into_bytes()
    });
    let steps = feed::file(&lines.collect::<Vec<_>>());
    let cuts = (0..steps.len()).step_by(7).collect();
    let ran = run(&plan(path).spec, &wasm(), &steps, &Schedule { cuts, ..Schedule::default() }).expect("no trap");
    assert!(
        ran.balance.holds() && ran.balance.dead == 0,
        "{:?} {:?}",
        ran.balance,
        ran.lines.iter().find(|l| l.kind == Kind::DeadLetter)
    );
    ran
}

/// Results by session, in order.
fn results(ran: &Ran) -> BTreeMap<String, Vec<Value>> {
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in ran.lines.iter().filter(|l| l.kind == Kind::Session).map(Line::value) {
        let session = row["sessionId"].as_str().unwrap_or_else(|| panic!("{row}")).to_string();
        found.entry(session).or_default().push(row);
    }
    found
}

fn same(found: &Value, expected: &Value) -> bool {
    found == expected || (found.is_number() && found.as_f64() == expected.as_f64())
}

#[test]
fn layout_shifts() {
    let vectors = vectors("cls.json");
    assert!(vectors.len() >= 8);
    let sessions = vectors.iter().map(|v| {
        let resets = v["resets"].as_array().into_iter().flatten();
        let resets = resets
            .map(|r| (r["beforeIndex"].as_u64().unwrap_or(0) as usize, r["type"].as_str().unwrap_or("").to_string()));
        session(v, v["shifts"].as_array().expect("shifts"), &resets.collect::<Vec<_>>())
    });
    let ran = interleaved("cases/chains/cls-vectors.yaml", sessions.collect(), &json!({ "page": "/" }));
    let found = results(&ran);
    for vector in &vectors {
        let id = vector["id"].as_str().expect("an id");
        let (rows, expected) = (&found[id], vector["expected"].as_array().expect("expected"));
        assert_eq!(rows.len(), expected.len(), "{id}: {rows:?}");
        for (row, want) in rows.iter().zip(expected) {
            let shifts = vector["shifts"].as_array().expect("shifts");
            assert!(same(&row["cumulativeShift"], &want["cls"]), "{id}: {row}\n{want}");
            assert_eq!(row["stability"], want["rating"], "{id}");
            assert_eq!(row["class"], want["rating"], "{id}: classify");
            assert_eq!(row["navigationType"], want["navigationType"], "{id}");
            assert_eq!(row["window_entries"], want["window"], "{id}");
            let largest = &want["largestShift"];
            assert_eq!(row["largestShiftTarget"], largest["target"], "{id}");
            assert!(largest.is_null() || same(&row["largestShift"], &largest["value"]), "{id}: {row}");
            // The sources of the winning window's shifts, each once, in order.
            let window = want["window"].as_array().into_iter().flatten().filter_map(Value::as_u64);
            let mut sources: Vec<&Value> = Vec::new();
            for source in window.flat_map(|n| shifts[n as usize]["sources"].as_array().into_iter().flatten()) {
                if !sources.contains(&source) {
                    sources.push(source);
                }
            }
            assert_eq!(row["shiftSources"], json!(sources), "{id}");
        }
    }
    assert_eq!(found.len(), vectors.len());
}

#[test]
fn interactions() {
    let vectors = vectors("inp.json");
    assert!(vectors.len() >= 7);
    let sessions = vectors.iter().map(|v| {
        let reset = v["bfcacheBefore"].as_u64().map(|n| n as usize);
        let mut entries = v["entries"].as_array().expect("entries").clone();
        for (n, entry) in entries.iter_mut().enumerate() {
            let again = reset.is_some_and(|at| n >= at);
            entry["interactionCount"] = v[if again { "count2" } else { "interactionCount" }].clone();
        }
        let resets: Vec<_> = reset.map(|at| (at, "back-forward-cache".to_string())).into_iter().collect();
        session(v, &entries, &resets)
    });
    let found = results(&interleaved("cases/chains/inp.yaml", sessions.collect(), &json!({ "page": "/" })));
    for vector in &vectors {
        let id = vector["id"].as_str().expect("an id");
        let (rows, expected) = (&found[id], vector["expected"].as_array().expect("expected"));
        assert_eq!(rows.len(), expected.len(), "{id}: {rows:?}");
        for (row, want) in rows.iter().zip(expected) {
            for (name, want) in want.as_object().expect("an object") {
                assert!(same(&row[name.as_str()], want), "{id}: {name} of {row}, expected {want}");
            }
            assert_eq!(row["class"], want["rating"], "{id}: classify");
        }
    }
    assert_eq!(found.len(), vectors.len());
}

#[test]
fn ratings() {
    let vectors = vectors("ratings.json");
    assert!(vectors.len() >= 20);
    let lines: Vec<Vec<u8>> =
        vectors.iter().map(|v| json!({ "name": v["name"], "value": v["value"] }).to_string().into_bytes()).collect();
    let ran = run(&plan("cases/chains/ratings.yaml").spec, &wasm(), &feed::file(&lines), &Schedule::default())
        .expect("no trap");
    let rated: Vec<Value> = ran.lines.iter().filter(|l| l.kind == Kind::Event).map(Line::value).collect();
    assert_eq!(rated.len(), vectors.len());
    for (row, vector) in rated.iter().zip(&vectors) {
        assert_eq!((&row["name"], &row["rating"]), (&vector["name"], &vector["rating"]), "{row}");
    }
}
