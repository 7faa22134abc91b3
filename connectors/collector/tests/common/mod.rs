//! A collector in the test's own process, onto an embedded log of its own.
// Each file of tests takes what it needs of this.
#![allow(dead_code)]

use perfstream_collector::store::{EmbeddedStore, Store};
use perfstream_collector::{Options, Server};
use perfstream_log::embedded::Log;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// A collector in a thread, and its log.
pub struct Collector {
    pub address: SocketAddr,
    pub stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    pub dir: tempfile::TempDir,
}

impl Collector {
    pub fn start(options: Options) -> Collector {
        let dir = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(dir.path(), 4).unwrap();
        Collector::with(options, Box::new(store), dir)
    }

    pub fn with(options: Options, store: Box<dyn Store>, dir: tempfile::TempDir) -> Collector {
        Collector::listening(SocketAddr::from(([127, 0, 0, 1], 0)), options, store, dir)
    }

    /// At an address that is known before.
    pub fn at(listen: SocketAddr, options: Options) -> Collector {
        let dir = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(dir.path(), 4).unwrap();
        Collector::listening(listen, options, Box::new(store), dir)
    }

    fn listening(listen: SocketAddr, mut options: Options, store: Box<dyn Store>, dir: tempfile::TempDir) -> Collector {
        options.listen = listen;
        let (stop, stopped) = oneshot::channel::<()>();
        let (bound, address) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let writer = runtime.block_on(async {
                let (server, writer) = Server::bind(options, store).await.unwrap();
                bound.send(server.address().unwrap()).unwrap();
                server.serve(async { drop(stopped.await) }).await.unwrap();
                writer
            });
            runtime.shutdown_timeout(Duration::from_secs(1));
            writer.join().unwrap();
        });
        Collector { address: address.recv().unwrap(), stop: Some(stop), thread: Some(thread), dir }
    }

    /// Sends a request as it is; the status, the head in lower case, and the body.
    pub fn raw(&self, request: &[u8]) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // A refused body may be cut off while it is still being sent.
        let _ = stream.write_all(request);
        answer(&mut stream)
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String, String) {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        request.extend(headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")));
        request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        self.raw(&[request.as_bytes(), body].concat())
    }

    pub fn post(&self, body: &str) -> (u16, Value) {
        let (status, _, body) = self.send("POST", "/v1/vitals", &[], body.as_bytes());
        (status, serde_json::from_str(&body).unwrap_or_default())
    }

    /// All records of a topic, read by another connection to the log.
    pub fn records(&self, topic: &str) -> Vec<Value> {
        let log = Log::open(self.dir.path()).unwrap();
        let read = |p| log.read(topic, p, 0, 10_000).unwrap();
        log.partitions(topic)
            .unwrap()
            .into_iter()
            .flat_map(read)
            .map(|r| serde_json::from_slice(&r.value).unwrap())
            .collect()
    }

    pub fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}

pub fn answer(stream: &mut TcpStream) -> (u16, String, String) {
    let mut bytes = Vec::new();
    // A connection that is reset after its answer has given it.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, head.to_lowercase(), body.to_owned())
}

pub fn lcp(id: u32) -> String {
    json!({"name": "LCP", "value": 1200, "id": format!("v6-{id}"), "page": "/a"}).to_string()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
