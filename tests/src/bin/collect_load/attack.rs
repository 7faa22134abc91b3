//! Attackers, each kind from addresses of its own: slow clients, long bodies, gzip bombs.
//!
//! They come back as soon as they are thrown out, but not faster than [`PAUSE`] lets them: what is
//! asked is whether the collector keeps its places and its memory, not who has more processors.

use crate::client::connect;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

/// Addresses of the slow clients: 127.0.0.2 and on.
const SLOW_ADDRESSES: u32 = 4;

/// Clients that send long bodies, and as many that send bombs.
const BIG: u32 = 8;

/// Before an attacker comes back.
const PAUSE: Duration = Duration::from_millis(100);

/// A byte of a slow client's head.
const DRIP: Duration = Duration::from_millis(500);

#[derive(Default)]
struct Counts {
    slow: AtomicU64,
    long: AtomicU64,
    bombs: AtomicU64,
}

pub struct Attack {
    tasks: Vec<JoinHandle<()>>,
    counts: Arc<Counts>,
}

/// Starts all of them.
pub fn start(address: SocketAddr, slow: u32) -> Attack {
    let counts = Arc::<Counts>::default();
    let bomb: Arc<[u8]> = bomb(address).into();
    let mut tasks = Vec::new();
    for n in 0..slow {
        let (from, counts) = (Ipv4Addr::new(127, 0, 0, (2 + n % SLOW_ADDRESSES) as u8), counts.clone());
        tasks.push(tokio::spawn(async move {
            loop {
                // Refused or timed out is what it expects.
                let _ = drip(address, from).await;
                counts.slow.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(PAUSE).await;
            }
        }));
    }
    for n in 0..BIG {
        let (counts, bomb, sized) = (counts.clone(), bomb.clone(), n % 2 == 0);
        tasks.push(tokio::spawn(async move {
            loop {
                let _ = long(address, sized).await;
                counts.long.fetch_add(1, Ordering::Relaxed);
                let _ = send(address, Ipv4Addr::new(127, 0, 0, 31), &bomb).await;
                counts.bombs.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(PAUSE).await;
            }
        }));
    }
    Attack { tasks, counts }
}

impl Attack {
    pub async fn stop_and_show(self) {
        for task in &self.tasks {
            task.abort();
        }
        for task in self.tasks {
            drop(task.await);
        }
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        println!(
            "  thrown out: {} slow clients, {} bodies of 10 MB, {} gzip bombs",
            count(&self.counts.slow),
            count(&self.counts.long),
            count(&self.counts.bombs)
        );
    }
}

/// A head that never ends, byte by byte.
async fn drip(address: SocketAddr, from: Ipv4Addr) -> anyhow::Result<()> {
    let mut stream = connect(address, from).await?;
    stream.write_all(format!("POST /v1/vitals HTTP/1.1\r\nhost: {address}\r\nx-slow: ").as_bytes()).await?;
    let mut answer = [0; 256];
    loop {
        tokio::select! {
            read = stream.read(&mut answer) => if read? == 0 { return Ok(()) },
            () = tokio::time::sleep(DRIP) => stream.write_all(b"x").await?,
        }
    }
}

/// Ten megabytes, with their length said beforehand or not.
async fn long(address: SocketAddr, sized: bool) -> anyhow::Result<()> {
    let mut stream = connect(address, Ipv4Addr::new(127, 0, 0, 30)).await?;
    let head = format!("POST /v1/vitals HTTP/1.1\r\nhost: {address}\r\n");
    let length = if sized { "content-length: 10000000" } else { "transfer-encoding: chunked" };
    stream.write_all(format!("{head}{length}\r\n\r\n").as_bytes()).await?;
    let piece = vec![b' '; 10_000];
    for _ in 0..1000 {
        if !sized {
            stream.write_all(b"2710\r\n").await?;
        }
        stream.write_all(&piece).await?;
        if !sized {
            stream.write_all(b"\r\n").await?;
        }
    }
    Ok(())
}

/// 60 MB of spaces as 60 kB.
fn bomb(address: SocketAddr) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let spaces = vec![b' '; 1 << 20];
    let packed = (0..60).try_for_each(|_| encoder.write_all(&spaces)).and_then(|()| encoder.finish());
    let packed = packed.unwrap_or_default();
    let head =
        format!("POST /v1/vitals HTTP/1.1\r\nhost: {address}\r\ncontent-encoding: gzip\r\nconnection: close\r\n");
    [format!("{head}content-length: {}\r\n\r\n", packed.len()).as_bytes(), &packed].concat()
}

async fn send(address: SocketAddr, from: Ipv4Addr, request: &[u8]) -> anyhow::Result<()> {
    let mut stream = connect(address, from).await?;
    stream.write_all(request).await?;
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(())
}
