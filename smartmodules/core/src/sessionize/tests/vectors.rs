//! The CLS and INP vectors, each as records through the stage, in three forms of saying where a
//! navigation begins.

use super::*;

const CLS: &str = include_str!("../../../../../tests/vectors/cls.json");
const CLS_RANDOM: &str = include_str!("../../../../../tests/golden/cls_random.json");
const INP: &str = include_str!("../../../../../tests/vectors/inp.json");
const INP_RANDOM: &str = include_str!("../../../../../tests/golden/inp_random.json");

#[derive(Clone, Copy, PartialEq, Debug)]
enum Form {
    /// A record that marks the restart
    Reset,
    /// `navigationType` on every event
    Type,
    /// `navigationId` and `navigationType` on every event
    Id,
}

fn vectors(text: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(text).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

/// Records of one vector: its entries, with the restarts between them.
fn lines(entries: &[Value], resets: &[(usize, String)], form: Form) -> Vec<String> {
    let mut lines = vec![json!({ "sessionId": "s", "navigationType": "navigate" })];
    if form == Form::Id {
        lines[0]["navigationId"] = json!("n0");
    }
    let (mut kind, mut number) = ("navigate".to_string(), 0);
    for i in 0..=entries.len() {
        for (_, reset) in resets.iter().filter(|(before, _)| *before == i) {
            if form == Form::Reset {
                lines.push(json!({ "sessionId": "s", "reset": reset }));
                continue;
            }
            if reset != "hidden" {
                kind = reset.clone();
                number += 1;
                // The page view is told of even if no entry follows in it.
                let mut marker = json!({ "sessionId": "s", "navigationType": kind, "navigationStartTime": number });
                if form == Form::Id {
                    marker["navigationId"] = json!(format!("n{number}"));
                }
                lines.push(marker);
            }
        }
        let Some(entry) = entries.get(i) else { break };
        let mut entry = entry.clone();
        entry["sessionId"] = json!("s");
        if form != Form::Reset {
            entry["navigationType"] = json!(kind);
        }
        if form == Form::Id {
            entry["navigationId"] = json!(format!("n{number}"));
        }
        lines.push(entry);
    }
    lines.iter().map(Value::to_string).chain(["@end".to_string()]).collect()
}

fn results(method: &str, entries: &[Value], resets: &[(usize, String)], form: Form) -> Vec<Value> {
    let lines = lines(entries, resets, form);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let functions = json!({ "session_cls": { "type": "cls-with-session-gaps" } });
    let functions = if method == "cls" { functions } else { json!({}) };
    check(json!({ "method": method, "timeout": "1h", "functions": functions }), &lines).0
}

fn same_number(got: &Value, want: &Value) -> bool {
    got.as_f64().is_some() && got.as_f64() == want.as_f64()
}

#[test]
fn cls() {
    let all = vectors(CLS).into_iter().chain(vectors(CLS_RANDOM));
    for (n, v) in all.enumerate() {
        let of = |r: &Value| (r["beforeIndex"].as_u64().unwrap() as usize, r["type"].as_str().unwrap().to_string());
        let resets: Vec<_> = v["resets"].as_array().into_iter().flatten().map(of).collect();
        let form = [Form::Reset, Form::Type, Form::Id];
        for form in if n < 8 { &form[..] } else { &form[n % 3..n % 3 + 1] } {
            let rows = results("cls", v["shifts"].as_array().unwrap(), &resets, *form);
            let expected = v["expected"].as_array().unwrap();
            let id = format!("{} {form:?}", v["id"]);
            assert_eq!(rows.len(), expected.len(), "{id}");
            for (row, want) in rows.iter().zip(expected) {
                assert!(same_number(&row["cumulativeShift"], &want["cls"]), "{id}: {row}, expected {want}");
                assert!(same_number(&row["session_cls"], &want["cls"]), "{id}: {row}");
                assert_eq!(row["stability"], want["rating"], "{id}");
                assert_eq!(row["navigationType"], want["navigationType"], "{id}");
                assert_eq!(row["window_entries"], want["window"], "{id}");
                let largest = &want["largestShift"];
                assert_eq!(row["largestShiftTarget"], largest["target"], "{id}");
                assert!(largest.is_null() || same_number(&row["largestShift"], &largest["value"]), "{id}");
                if let Some(sources) = want.get("sources") {
                    assert_eq!(row["shiftSources"], *sources, "{id}");
                }
            }
        }
    }
}

fn check_inp(id: &str, rows: &[Value], expected: &[Value]) {
    assert_eq!(rows.len(), expected.len(), "{id}");
    for (row, want) in rows.iter().zip(expected) {
        if want.is_null() {
            assert_eq!((&row["inp"], &row["rating"]), (&Value::Null, &Value::Null), "{id}");
            continue;
        }
        for (name, want) in want.as_object().unwrap() {
            let got = &row[name.as_str()];
            assert!(got == want || same_number(got, want), "{id} {name}: {got}, expected {want}");
        }
    }
}

#[test]
fn inp() {
    for v in vectors(INP) {
        let mut entries = v["entries"].as_array().unwrap().clone();
        let reset_at = v["bfcacheBefore"].as_u64().map(|n| n as usize);
        for (i, entry) in entries.iter_mut().enumerate() {
            let again = reset_at.is_some_and(|at| i >= at);
            entry["interactionCount"] = v[if again { "count2" } else { "interactionCount" }].clone();
        }
        let resets: Vec<_> = reset_at.into_iter().map(|at| (at, "back-forward-cache".to_string())).collect();
        for form in [Form::Reset, Form::Type, Form::Id] {
            let rows = results("inp", &entries, &resets, form);
            check_inp(&format!("{} {form:?}", v["id"]), &rows, v["expected"].as_array().unwrap());
        }
        // Without the count it is estimated from the ids, which gives the same here.
        entries.iter_mut().for_each(|e| drop(e.as_object_mut().unwrap().remove("interactionCount")));
        let rows = results("inp", &entries, &resets, Form::Reset);
        check_inp(&format!("{} estimated", v["id"]), &rows, v["expected"].as_array().unwrap());
    }
}

#[test]
fn inp_by_the_independent_script() {
    for (n, v) in vectors(INP_RANDOM).into_iter().enumerate() {
        let entry = |(i, e): (usize, &Value)| {
            let (start, delay, proc) = (e[1].as_f64().unwrap(), e[3].as_f64().unwrap(), e[4].as_f64().unwrap());
            let mut entry = json!({ "interactionId": e[0], "startTime": e[1], "duration": e[2] });
            // The names of the library's attribution, the absolute times, and the short names.
            let names = [("inputDelay", "processingDuration"), ("processingStart", "processingEnd"), ("delay", "proc")];
            let (first, second) = names[n % 3];
            let absolute = n % 3 == 1;
            entry[first] = json!(if absolute { start + delay } else { delay });
            entry[second] = json!(if absolute { start + delay + proc } else { proc });
            if !v["counts"][i].is_null() {
                entry["interactionCount"] = v["counts"][i].clone();
            }
            entry
        };
        let entries: Vec<Value> = v["entries"].as_array().unwrap().iter().enumerate().map(entry).collect();
        let of = |r: &Value| (r["beforeIndex"].as_u64().unwrap() as usize, r["type"].as_str().unwrap().to_string());
        let resets: Vec<_> = v["resets"].as_array().unwrap().iter().map(of).collect();
        let form = [Form::Reset, Form::Type, Form::Id][n / 3 % 3];
        let rows = results("inp", &entries, &resets, form);
        check_inp(&format!("{} {form:?}", v["id"]), &rows, v["expected"].as_array().unwrap());
    }
}
