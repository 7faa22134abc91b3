//! What was away too long: input, control entries and configurations that the log has let go.

use super::*;

/// The `gap` records of the outputs, as text.
fn gaps(log: &SimLog) -> Vec<String> {
    let text = |(_, value): (String, Vec<u8>)| String::from_utf8_lossy(&value).into_owned();
    outputs(log).into_keys().map(text).filter(|record| record.contains("\"kind\":\"gap\"")).collect()
}

fn start(client: Client, instance: &str, renew_after: i64) -> PartitionWorker<Client> {
    let job = Job { renew_after, ..job(PIPELINE, instance) };
    PartitionWorker::start(client, job, 0, START * 1_000_000).expect("a start")
}

#[test]
fn input_that_is_gone_is_a_gap_and_an_alert() {
    let log = log(40);
    let mut first = start(Client::new(&log, 7), "first", RENEW_AFTER);
    run_to_end(&mut first, 60).expect("no fault");
    assert_eq!(first.next(), 40);
    drop(first);
    (40..120).for_each(|n| feed(&log, n));
    let mut next = start(Client::new(&log, 7).without("in", 60), "next", RENEW_AFTER);
    run_to_end(&mut next, 60).expect("no fault");
    assert_eq!(next.next(), 120);
    let [gap] = &gaps(&log)[..] else { panic!("{:?}", gaps(&log)) };
    for part in ["\"from\":40", "\"to\":60", "retention"] {
        assert!(gap.contains(part), "{gap}");
    }
    let alert = outputs(&log).into_keys().map(|(topic, value)| (topic, String::from_utf8_lossy(&value).into_owned()));
    assert!(alert.into_iter().any(|(topic, value)| topic == "alerts" && value.contains("retention")), "no alert");
    holds(&log).expect("what the control topic says, and nothing else");
}

#[test]
fn a_configuration_is_written_again_before_the_topic_lets_it_go() {
    let evicted_before = |log: &SimLog| log.all("control", 0).len() as i64 - 30;
    let run = |renew_after| {
        let log = log(120);
        let mut worker = start(Client::new(&log, 3), "first", renew_after);
        run_to_end(&mut worker, 120).expect("no fault");
        drop(worker);
        (120..150).for_each(|n| feed(&log, n));
        let client = Client::new(&log, 3).without("control", evicted_before(&log));
        let mut next = start(client, "next", renew_after);
        let state = next.recovered().state_bytes;
        run_to_end(&mut next, 60).expect("no fault");
        assert_eq!(next.next(), 150);
        (log, state)
    };
    let (renewed, state) = run(20);
    assert!(state > 0, "a snapshot was used");
    assert_eq!(gaps(&renewed), Vec::<String>::new());
    holds(&renewed).expect("the same records");
    // Without, the snapshots are of no use, and the gap says so.
    let (lost, state) = run(RENEW_AFTER);
    assert_eq!(state, 0);
    assert!(gaps(&lost).iter().any(|gap| gap.contains("state_lost")), "{:?}", gaps(&lost));
}

#[test]
fn records_in_another_partition_than_their_keys_are_counted() {
    let log = SimLog::default();
    for topic in ["control", "state", "in"] {
        log.create(topic, 2);
    }
    Plan::of(&job(PIPELINE, "x").plan).expect("a plan").router.topics().iter().for_each(|topic| log.create(topic, 2));
    let mut expected = 0;
    for n in 0..40 {
        let page = format!("/{}", n % 7);
        let value = format!("{{\"timestamp\":{},\"value\":1,\"page\":\"{page}\"}}", START + n);
        log.append("in", 0, (START + n) * 1000, Some(page.as_bytes()), value.as_bytes());
        expected += u64::from(perfstream_log::partition_of_key(page.as_bytes(), 2) != 0);
    }
    let mut worker = start(Client::new(&log, 7), "w", RENEW_AFTER);
    run_to_end(&mut worker, 40).expect("no fault");
    assert!((1..40).contains(&expected));
    assert_eq!(worker.misplaced(), expected);
}
