//! What is wrong with a config, all of it at once.

use super::*;

#[test]
fn everything_wrong_is_said_at_once() {
    let with = json!({
        "rename": {"a": "x", "b": "x", "c": "c", "d": "a", "page": "path"},
        "source": "user-contxt",
        "tables": {
            "pages": {"key": ["page", "page"], "file": "pages.csv"},
            "teams": {"key": ["id"], "max_rows": 2, "rows": [{"id": 1}, 2, {"name": "x"}, {"id": 1}]},
            "bare": {},
        },
        "lookups": [
            {"table": "page", "fields": []},
            {"table": "teams", "on": ["page", "b"], "fields": ["name"], "default": {"nam": 1}},
            {"table": "user-context", "fields": ["x"]},
        ],
        "derive": ["hour_of_day", "os", "os", "moon-phase"],
        "time_zone": "berlin",
        "metric": "LPC",
        "kinds": ["windows"],
        "drop": ["a", "a", ""],
    });
    let found = issues(with);
    let want = [
        "kinds[0]: unknown kind `windows` (did you mean `window`?)",
        "rename.b: another field is renamed to `x` already (give each its own name)",
        "rename.c: `c` is renamed to itself (remove it)",
        "rename.d: `a` is renamed itself (a new name must not be an old one; use two steps)",
        "tables.bare.key: expected the fields that identify a row, found none (such as `key: [id]`)",
        "tables.pages.key[1]: `page` stands here twice (remove one)",
        "tables.pages.file: expected rows, found the file `pages.csv` (only `perfstream` reads files, at deploy time; put the rows under `rows`)",
        "source: unknown source `user-contxt` (did you mean `user-context`?)",
        "lookups[0].fields: expected at least one field of the row, found none (such as `fields: [name]`)",
        "lookups[0].table: unknown table `page` (did you mean `pages`?)",
        "lookups[1].default.nam: unknown field `nam` (did you mean `name`?)",
        "lookups[1].on: expected 1 fields, one for each of the key [id], found 2 (name them in the key's order)",
        "lookups[1].on[0]: `page` is renamed to `path` before it is read here (write `path`)",
        "lookups[1].on[1]: `b` is renamed to `x` before it is read here (write `x`)",
        "lookups[2].table: `user-context` is joined by its own rule (write `source: user-context` and `fields`)",
        "tables.teams.rows[1]: expected an object, found number (such as `{ id: a, name: b }`)",
        "tables.teams.rows[2]: no value for the key field `id` (every row needs all key fields, not null)",
        "tables.teams.rows[3]: an earlier row has the same key (remove one, or add a field to `key`)",
        "derive[2]: `os` stands here twice (remove one)",
        "derive[0]: unknown derived field `hour_of_day` (did you mean `hour-of-day`?)",
        "derive[3]: unknown derived field `moon-phase` (one of `hour-of-day`, `day-of-week`, `rating`, `browser`, `device`, `os`)",
        "metric: unknown metric `LPC` (one of `LCP`, `INP`, `CLS`, `FCP`, `TTFB`, `FID`)",
        "time_zone: expected an IANA time zone or an offset, found `berlin` (did you mean `Europe/Berlin`?)",
        "drop[1]: `a` stands here twice (remove one)",
        "drop[2]: expected a field name, found an empty text",
    ];
    assert_eq!(found, want);
    assert_eq!(issues(json!({"fields": ["location"]})).len(), 1);
    assert!(
        serde_json::from_value::<Config>(json!({"derived": []}))
            .unwrap_err()
            .to_string()
            .contains("unknown field `derived`")
    );
}

#[test]
fn doubts() {
    let config = |with: Json| Enrich::warnings(&serde_json::from_value(with).unwrap());
    let found: Vec<String> = config(json!({
        "source": "user-context", "fields": ["locaton"], "rename": {"device": "d"}, "time_zone": "+01:00",
        "tables": {"t": {"key": ["id"]}}, "derive": ["rating"], "drop": ["rating"],
    }))
    .iter()
    .map(|i| format!("{} {i}", i.warning))
    .collect();
    let want = [
        "true time_zone: has no effect: `derive` has none of hour-of-day, day-of-week",
        "true tables.t: no lookup uses this table",
        "true drop[0]: `rating` is derived, and then dropped",
        "true rename.device: `source: user-context` reads `device`, which is renamed before that",
        "true fields[0]: no row of `user-context` has `locaton`: null until a reference record brings it (did you mean `location`?)",
    ];
    assert_eq!(found, want);
    assert_eq!(
        config(json!({"source": "user-context", "derive": ["rating", "hour-of-day"], "time_zone": "+01:00"})),
        []
    );
}

#[test]
fn too_many_bad_rows_are_counted() {
    let found = issues(
        json!({"tables": {"t": {"key": ["id"], "rows": vec![0; 25]}}, "lookups": [{"table": "t", "fields": ["x"]}]}),
    );
    assert_eq!((found.len(), found[10].as_str()), (11, "tables.t.rows: 15 more rows are like that"));
}
