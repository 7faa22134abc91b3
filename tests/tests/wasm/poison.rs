//! Every kind of bad record, at every place of a batch, through real modules: one dead letter with
//! the reason of its case, and everything else as if a rule had dropped the record.

use perfstream::chain::{Chain, ChainOptions};
use perfstream::host::{LogRecord, NO_LOG_TIME};
use perfstream::plan::Plan;
use perfstream::summary::Balance;
use perfstream_core::{Kind, Tick, time};
use perfstream_tests::poison::{Case, cases, object};
use perfstream_tests::run::{Line, counters};
use perfstream_tests::{plan, wasm};

const START: i64 = 1_767_600_000_000_000;
const CHAINS: [&str; 3] = ["lcp", "cls", "detect"];

/// Good record number `n` of a chain: name and JSON text of its fields.
fn event(chain: &str, n: usize, at_us: i64) -> Vec<(String, String)> {
    let text = |s: String| serde_json::Value::from(s).to_string();
    let mut fields = vec![
        ("timestamp", text(time::format(at_us))),
        ("id", text(format!("id-{n}"))),
        ("value", if chain != "cls" { format!("{}.5", 1000 + n * 37 % 5000) } else { format!("0.0{}", n % 9) }),
        ("page", text(["/", "/checkout"][n % 2].into())),
        ("browser", text("chrome".into())),
    ];
    if chain != "cls" {
        fields.extend([("device", text(["mobile", "desktop"][n / 2 % 2].into())), ("connection", text("4g".into()))]);
    } else {
        fields.extend([
            ("sessionId", text(format!("s{}", n / 20 * 3 + n % 3))),
            ("startTime", format!("{}", (n % 40) * 400)),
            ("hadRecentInput", n.is_multiple_of(5).to_string()),
            ("sources", "[\"#hero\",\"#ad\"]".into()),
        ]);
    }
    fields.into_iter().map(|(name, text)| (name.to_string(), text)).collect()
}

/// A record that a rule drops. Its time is that of the very first event, so it moves no clock.
fn filtered(chain: &str, n: usize) -> Vec<u8> {
    let mut fields = event(chain, n, START);
    fields.iter_mut().filter(|f| f.0 == "page").for_each(|f| f.1 = "\"/health\"".into());
    object(&fields)
}

/// A chain that is fed batches with the offsets of a log.
struct Fed {
    chain: Chain,
    next: i64,
    events_out: u64,
}

impl Fed {
    fn new(plan: &Plan, options: &ChainOptions) -> Fed {
        Fed { chain: Chain::new(&plan.spec, options).expect("a chain"), next: 0, events_out: 0 }
    }

    fn batch(&mut self, values: &[Vec<u8>]) -> Vec<Line> {
        let records = values.iter().zip(self.next..);
        let records = records.map(|(value, offset)| LogRecord {
            offset,
            log_time_ms: NO_LOG_TIME,
            key: None,
            value: value.clone(),
        });
        let records: Vec<LogRecord> = records.collect();
        self.next += records.len() as i64;
        let mut lines = Vec::new();
        self.chain.process(&records, &mut |row| lines.push(Line::of(row))).expect("no trap");
        self.note(lines)
    }

    fn end(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        let tick = Tick { time: 0, offset: self.next - 1, end_of_input: true };
        self.chain.tick(&tick, &mut |row| lines.push(Line::of(row))).expect("no trap");
        self.note(lines)
    }

    fn note(&mut self, lines: Vec<Line>) -> Vec<Line> {
        self.events_out += lines.iter().filter(|l| l.kind == Kind::Event).count() as u64;
        lines
    }

    fn balance(&mut self) -> Balance {
        Balance::new(&counters(&mut self.chain).expect("counters"), self.events_out)
    }
}

/// Five good records with `odd` before number `place`; alone if there is no place.
fn batch(chain: &str, n: &mut usize, place: Option<usize>, odd: &[u8]) -> Vec<Vec<u8>> {
    let Some(place) = place else {
        return vec![odd.to_vec()];
    };
    let mut values = Vec::new();
    for i in 0..=5 {
        if i == place {
            values.push(odd.to_vec());
        }
        if i < 5 {
            *n += 1;
            values.push(object(&event(chain, *n, START + *n as i64 * 1_000_000)));
        }
    }
    values
}

/// Checks a dead letter against the record it is about.
fn check_letter(case: &Case, offset: i64, value: &[u8], letter: &Line) -> Result<(), String> {
    let fields = letter.value();
    let expect = |what: &str, good: bool| {
        if good { Ok(()) } else { Err(format!("{what}: {}", letter.json)) }
    };
    expect("reason", fields["reason"].as_str() == case.reason.as_deref())?;
    expect("offset", fields["offset"] == offset && letter.offset == offset)?;
    expect("partition", fields["partition"] == 0)?;
    // A stage that refuses an event has only its row, written as JSON anew.
    let of_row = matches!(fields["reason"].as_str(), Some("schema" | "missing_key"));
    expect("size", of_row || fields["size_bytes"] == value.len())?;
    expect("detail", fields["detail"].as_str().is_some_and(|d| !d.is_empty()))?;
    let start = String::from_utf8_lossy(&value[..value.len().min(16)]).into_owned();
    let sample = fields["sample"].as_str().unwrap_or_default();
    expect("sample", of_row || start.starts_with(sample) || sample.starts_with(start.trim_end_matches('\u{FFFD}')))?;
    expect("sample", sample.chars().count() <= 1024)
}

#[test]
fn every_kind_at_every_place() {
    let cases = cases("cases/poison");
    assert!(cases.len() >= 30, "{} cases", cases.len());
    let mut failures = Vec::new();
    for chain in CHAINS {
        let plan = plan(&format!("cases/chains/{chain}.yaml"));
        let (mut with, mut without) = (Fed::new(&plan, &wasm()), Fed::new(&plan, &wasm()));
        let (mut n, mut m, mut dead, mut seen) = (0, 0, 0, 0);
        for case in cases.iter().filter(|c| c.is_for(chain)) {
            for place in [Some(0), Some(3), Some(5), None] {
                // Of an id that nothing else has: a duplicate is dropped before later stages see it.
                let odd = case.record(&event(chain, 300_000 + dead as usize, START));
                let at = with.next + place.unwrap_or(0) as i64;
                let (mut letters, lines): (Vec<Line>, Vec<Line>) = with
                    .batch(&batch(chain, &mut n, place, &odd))
                    .into_iter()
                    .partition(|l| l.kind == Kind::DeadLetter);
                let expected = without.batch(&batch(chain, &mut m, place, &filtered(chain, 200_000 + dead as usize)));
                dead += 1;
                seen += lines.len();
                let mut fail = |what: String| failures.push(format!("{chain}: {} at {place:?}: {what}", case.name));
                match (letters.pop(), letters.len()) {
                    (Some(letter), 0) => check_letter(case, at, &odd, &letter).unwrap_or_else(&mut fail),
                    (_, more) => fail(format!("{} dead letters", more + 1)),
                }
                if lines != expected {
                    fail(format!("neighbours: {lines:#?} instead of {expected:#?}"));
                }
            }
        }
        let (last, expected) = (with.end(), without.end());
        assert_eq!(last, expected, "{chain}: the end");
        assert!(seen + last.len() > 50, "{chain}: only {seen} rows came out");
        let (balance, before) = (with.balance(), without.balance());
        assert!(balance.holds(), "{chain}: {balance:?}");
        assert_eq!(Balance { dead, filtered: 0, ..before }, balance, "{chain}");
        assert_eq!(before.filtered, dead, "{chain}");
    }
    let shown: Vec<&str> = failures.iter().take(20).map(|f| &f[..f.len().min(3000)]).collect();
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), shown.join("\n"));
}

#[test]
fn odd_but_good_records_are_data() {
    let cases = cases("cases/harmless");
    for chain in CHAINS {
        let plan = plan(&format!("cases/chains/{chain}.yaml"));
        let forms = [wasm(), ChainOptions { packed: false, ..wasm() }];
        let mut fed = forms.map(|options| Fed::new(&plan, &options));
        let mut n = 0;
        for case in cases.iter().filter(|c| c.is_for(chain)) {
            assert_eq!(case.reason, None, "{}: what is dead belongs to cases/poison", case.name);
            let odd = case.record(&event(chain, 100_000 + n, START + n as i64 * 1_000_000));
            let values = batch(chain, &mut n, Some(2), &odd);
            let before = fed[0].balance();
            let [packed, json] = fed.each_mut().map(|f| f.batch(&values));
            assert_eq!(packed, json, "{chain}: {}: JSON between stages", case.name);
            let after = fed[0].balance();
            assert_eq!(after.dead, 0, "{chain}: {}: {packed:?}", case.name);
            assert_eq!(after.filtered - before.filtered, case.filtered as u64, "{chain}: {}", case.name);
            assert!(after.holds(), "{chain}: {}: {after:?}", case.name);
        }
        let [packed, json] = fed.each_mut().map(Fed::end);
        assert_eq!(packed, json, "{chain}: JSON between stages");
        assert_eq!(fed[0].balance(), fed[1].balance(), "{chain}");
        assert!(packed.len() > 3, "{chain}: {packed:?}");
    }
}

#[test]
fn nothing_but_poison() {
    for chain in CHAINS {
        let plan = plan(&format!("cases/chains/{chain}.yaml"));
        let mut fed = Fed::new(&plan, &wasm());
        let cases: Vec<Case> = cases("cases/poison").into_iter().filter(|c| c.is_for(chain)).collect();
        let values: Vec<Vec<u8>> = cases.iter().map(|c| c.record(&event(chain, 0, START))).collect();
        let lines = fed.batch(&values);
        let reasons: Vec<_> = lines.iter().map(|l| l.value()["reason"].as_str().map(String::from)).collect();
        let expected: Vec<_> = cases.iter().map(|c| c.reason.clone()).collect();
        assert_eq!(reasons, expected, "{chain}");
        assert!(lines.iter().enumerate().all(|(n, l)| l.kind == Kind::DeadLetter && l.offset == n as i64), "{chain}");
        assert_eq!(fed.end(), [], "{chain}");
        assert!(fed.balance().holds(), "{chain}");
    }
}
