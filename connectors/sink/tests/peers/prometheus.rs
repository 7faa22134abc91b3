//! A real Prometheus takes the values of dashboards. PERFSTREAM_TEST_PROMETHEUS names it.

use crate::common::{Service, append_to};
use crate::process::{Process, now_ms};
use anyhow::{Context, Result, ensure};
use perfstream_log::{NewRecord, Place};
use perfstream_sink::config::RemoteWrite;
use perfstream_sink::journal::Journal;
use perfstream_sink::remote_write::{Options, Summary, Writer};
use perfstream_sink::secret::Secrets;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

fn start() -> Result<Process> {
    let program = std::env::var_os("PERFSTREAM_TEST_PROMETHEUS").context("PERFSTREAM_TEST_PROMETHEUS is not set")?;
    Process::start(&PathBuf::from(program), |dir, listen| {
        let file = dir.join("prometheus.yml");
        std::fs::write(&file, "{}")?;
        Ok(vec![
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", dir.join("data").display()),
            format!("--web.listen-address={listen}"),
            "--web.enable-remote-write-receiver".to_string(),
        ])
    })
}

fn write(dir: &Path, url: &str) -> Result<Summary> {
    let remote: RemoteWrite =
        serde_json::from_value(json!({ "name": "store", "url": url, "allow_http": true, "allow_private": true }))?;
    let log = dir.to_path_buf();
    let options = Options {
        connect: Arc::new(move || Place::embedded(&log)),
        topic: "dashboards".into(),
        once: true,
        past: true,
    };
    let journal = Journal::open(&dir.join("sink.store.db"))?;
    Writer::new(&remote, &Secrets::default(), journal, options)?.run(&Arc::new(AtomicBool::new(false)))
}

fn frame(page: &str, points: &[(i64, f64)]) -> NewRecord {
    let point = |(time_ms, value): &(i64, f64)| {
        json!({ "field": "p75_lcp", "metric": "lcp", "window": "one_minute", "time_ms": time_ms, "value": value,
                "labels": { "page": page, "sec-ch-ua": "x" } })
    };
    let points: Vec<Value> = points.iter().map(point).collect();
    let value = json!({ "type": "frame", "dashboard": "d", "pipeline": "lcp", "points": points, "events": [] });
    NewRecord { log_time_ms: 0, key: None, value: value.to_string().into_bytes() }
}

#[test]
#[ignore = "needs a Prometheus"]
fn it_has_every_value_at_its_time() -> Result<()> {
    let prometheus = start()?;
    let (dir, url) = (tempfile::tempdir()?, format!("{}/api/v1/write", prometheus.url));
    // Whole seconds, a few minutes ago.
    let at = |n: i64| -> Result<i64> { Ok((now_ms()? / 1000 - 300 + 60 * n) * 1000) };
    let (first, second, third) = (at(0)?, at(1)?, at(2)?);
    append_to(
        dir.path(),
        "dashboards",
        &[frame("/a", &[(first, 1500.5), (second, 1600.0)]), frame("/b", &[(first, 9.0)])],
    )?;
    assert_eq!(write(dir.path(), &url)?, Summary { samples: 3, ..Summary::default() });
    // A restart goes on; a value of before comes again in a copy and changes nothing.
    append_to(dir.path(), "dashboards", &[frame("/a", &[(second, 1700.0), (third, 1800.0)])])?;
    let again = write(dir.path(), &url)?;
    // Of that, a Prometheus may refuse the one value that it has already, and the others come all the same.
    ensure!(again.samples + again.refused == 2 && again.refused <= 1, "{again:?}");
    let query = "query=perfstream_value%7Bpage%3D%22%2Fa%22%7D%5B1h%5D";
    let answer: Value = serde_json::from_str(&prometheus.get(&format!("/api/v1/query?{query}"))?)?;
    let series = answer["data"]["result"].as_array().context("series")?;
    assert_eq!(series.len(), 1, "{answer}");
    let labels = json!({ "__name__": "perfstream_value", "field": "p75_lcp", "metric": "lcp", "page": "/a",
                         "pipeline": "lcp", "sec_ch_ua": "x", "window": "one_minute" });
    assert_eq!(series[0]["metric"], labels);
    let values = json!([[first / 1000, "1500.5"], [second / 1000, "1600"], [third / 1000, "1800"]]);
    assert_eq!(series[0]["values"], values);
    Ok(())
}

#[test]
#[ignore = "needs a Prometheus"]
fn a_store_that_is_not_well_is_asked_again_from_the_same_place() -> Result<()> {
    let (dir, prometheus, service) = (tempfile::tempdir()?, start()?, Service::start(0));
    let time_ms = now_ms()? / 1000 * 1000;
    append_to(dir.path(), "dashboards", &[frame("/a", &[(time_ms, 1.0)])])?;
    // It is told to wait, and killed before it is well: nothing is taken for sent.
    let stop = Arc::new(AtomicBool::new(false));
    let remote: RemoteWrite = serde_json::from_value(
        json!({ "name": "store", "url": format!("{}/busy", service.url), "allow_http": true, "allow_private": true }),
    )?;
    let log = dir.path().to_path_buf();
    let connect = Arc::new(move || Place::embedded(&log));
    let options = Options { connect, topic: "dashboards".into(), once: true, past: true };
    let journal = Journal::open(&dir.path().join("sink.store.db"))?;
    let writer = Writer::new(&remote, &Secrets::default(), journal, options)?;
    let told = stop.clone();
    let thread = std::thread::spawn(move || writer.run(&told));
    crate::process::wait("a request", || Ok(service.tries.load(std::sync::atomic::Ordering::SeqCst) > 0))?;
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    let summary = thread.join().expect("the writer ends")?;
    assert_eq!((summary.samples, summary.failures), (0, 1));
    assert_eq!(write(dir.path(), &format!("{}/api/v1/write", prometheus.url))?.samples, 1);
    Ok(())
}
