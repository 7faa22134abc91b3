//! Honest clients: one beacon after the other on connections that stay.

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// When the next beacon is sent.
#[derive(Clone, Copy)]
pub enum Pace {
    /// When the last one is acknowledged
    Most,
    /// So many a second, all connections together
    PerSecond(u64),
}

/// What a run came to.
pub struct Outcome {
    pub acknowledged: u64,
    pub failed: u64,
    /// Why the first one failed
    pub why: String,
    taken: Duration,
    latency_us: Histogram<u64>,
}

impl Outcome {
    fn new() -> Result<Outcome> {
        let latency_us = Histogram::new(3)?;
        Ok(Outcome { acknowledged: 0, failed: 0, why: String::new(), taken: Duration::ZERO, latency_us })
    }

    /// Events a second.
    pub fn per_second(&self) -> f64 {
        (self.acknowledged * crate::EVENTS) as f64 / self.taken.as_secs_f64()
    }

    pub fn ms(&self, quantile: f64) -> f64 {
        self.latency_us.value_at_quantile(quantile) as f64 / 1000.0
    }

    pub fn show(&self, name: &str) {
        println!(
            "{name}: {:.0} events/s acknowledged, {} beacons, {} not; p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            self.per_second(),
            self.acknowledged,
            self.failed,
            self.ms(0.5),
            self.ms(0.99),
            self.latency_us.max() as f64 / 1000.0
        );
    }
}

/// Sends for `length` on so many connections.
pub async fn run(address: SocketAddr, connections: u32, pace: Pace, length: Duration) -> Result<Outcome> {
    let begun = Instant::now();
    let until = begun + length;
    let tasks: Vec<_> =
        (0..connections).map(|n| tokio::spawn(one(address, n, connections, pace, begun, until))).collect();
    let mut all = Outcome::new()?;
    for task in tasks {
        let outcome = task.await??;
        all.acknowledged += outcome.acknowledged;
        all.failed += outcome.failed;
        if all.why.is_empty() {
            all.why = outcome.why;
        }
        all.latency_us.add(outcome.latency_us)?;
    }
    all.taken = begun.elapsed();
    Ok(all)
}

async fn one(
    address: SocketAddr,
    number: u32,
    connections: u32,
    pace: Pace,
    begun: Instant,
    until: Instant,
) -> Result<Outcome> {
    let mut outcome = Outcome::new()?;
    // 127.1.0.0/16 is loopback as well: every visitor has an address.
    let from = Ipv4Addr::new(127, 1, (number / 250) as u8, (number % 250) as u8 + 1);
    let mut stream = connect(address, from).await?;
    let gap = match pace {
        Pace::Most => Duration::ZERO,
        Pace::PerSecond(rate) => Duration::from_secs_f64(f64::from(connections) / rate as f64),
    };
    let mut due = begun + gap.mul_f64(f64::from(number) / f64::from(connections));
    for serial in 0_u64.. {
        let now = Instant::now();
        if now.max(due) >= until {
            break;
        }
        match pace {
            Pace::Most => due = now,
            Pace::PerSecond(_) => tokio::time::sleep_until(due.into()).await,
        }
        match send(&mut stream, &beacon(address, number, serial)).await {
            Ok(()) => {
                outcome.acknowledged += 1;
                outcome.latency_us.record(due.elapsed().as_micros().max(1) as u64)?;
            }
            Err(error) => {
                outcome.failed += 1;
                if outcome.why.is_empty() {
                    outcome.why = format!("{error:#}");
                }
                stream = connect(address, from).await?;
            }
        }
        due += gap;
    }
    Ok(outcome)
}

/// A connection from an address of this machine.
pub async fn connect(address: SocketAddr, from: Ipv4Addr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into()).with_context(|| format!("{from} is no address of this machine"))?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// As the script sends them: four metrics, four shifts, two event timings.
fn beacon(address: SocketAddr, number: u32, serial: u64) -> Vec<u8> {
    let id = format!("v6-{number}-{serial}");
    let value = 500 + serial % 3000;
    let mut events: Vec<String> = ["LCP", "FCP", "TTFB", "INP"]
        .iter()
        .map(|name| {
            format!(
                "{{\"name\":\"{name}\",\"value\":{value}.5,\"delta\":{value}.5,\"id\":\"{id}\",\"rating\":\"good\",\
                 \"navigationType\":\"navigate\",\"attribution\":{{\"target\":\"#hero\"}}}}"
            )
        })
        .collect();
    for n in 0..4 {
        events.push(format!(
            "{{\"entryType\":\"layout-shift\",\"id\":\"{id}-{n}\",\"value\":0.0{n}1,\"startTime\":{}.25,\
             \"hadRecentInput\":false,\"sources\":[\"div.card\"]}}",
            n * 700
        ));
    }
    for n in 4..6 {
        events.push(format!(
            "{{\"entryType\":\"event\",\"id\":\"{id}-{n}\",\"name\":\"click\",\"interactionId\":{n},\
             \"startTime\":{n}00.5,\"duration\":64,\"processingStart\":{n}10,\"processingEnd\":{n}20}}"
        ));
    }
    let body = format!(
        "{{\"page\":\"/p{}\",\"sessionId\":\"s{number}\",\"effectiveType\":\"4g\",\"events\":[{}]}}",
        serial % 50,
        events.join(",")
    );
    let agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";
    let head = format!(
        "POST /v1/vitals HTTP/1.1\r\nhost: {address}\r\nuser-agent: {agent}\r\ncontent-type: text/plain;charset=UTF-8\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body.into_bytes()].concat()
}

/// Sends a request; an error if the answer is not 204, which has no body.
async fn send(stream: &mut TcpStream, request: &[u8]) -> Result<()> {
    stream.write_all(request).await?;
    let mut answer = [0; 1024];
    let mut read = 0;
    loop {
        let free = answer.get_mut(read..).context("a long head")?;
        match stream.read(free).await? {
            0 => bail!("the connection was closed"),
            n => read += n,
        }
        let so_far = answer.get(..read).unwrap_or_default();
        if so_far.ends_with(b"\r\n\r\n") && so_far.starts_with(b"HTTP/1.1 204") {
            return Ok(());
        }
        if so_far.windows(4).any(|four| four == b"\r\n\r\n") {
            bail!("{}", String::from_utf8_lossy(so_far).replace("\r\n", " "));
        }
    }
}
