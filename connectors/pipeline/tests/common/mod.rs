//! What several tests of this package use: a receiver in the test's own process, perfstream as one that ends with
//! the test, its metrics, and a page that becomes slow.

// Each test program takes what it needs of this.
#![allow(dead_code)]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A receiver that notes its requests as they came, and answers each with a status and a body.
pub struct Service {
    pub address: SocketAddr,
    got: Arc<Mutex<Vec<String>>>,
}

impl Service {
    pub fn start(status: &'static str, body: &'static str) -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let service = Service { address: listener.local_addr().expect("an address"), got: Arc::default() };
        let got = service.got.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let request = read(&mut stream);
                got.lock().expect("no panic before").push(request);
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                drop(stream.write_all((head + body).as_bytes()));
            }
        });
        service
    }

    /// Requests so far: head and body.
    pub fn got(&self) -> Vec<String> {
        self.got.lock().expect("no panic before").clone()
    }
}

/// A request of a length that is said, or what comes until nothing more does.
fn read(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let mut part = [0; 65_536];
    while let Ok(n @ 1..) = stream.read(&mut part) {
        bytes.extend_from_slice(&part[..n]);
        if is_whole(&String::from_utf8_lossy(&bytes)) {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    length.is_some_and(|length: usize| body.len() >= length)
}

/// A port that nobody listens at.
pub fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
}

/// What is served at `/metrics`, head and body; empty while nobody listens.
pub fn scrape(address: SocketAddr) -> String {
    let mut text = String::new();
    if let Ok(mut stream) = TcpStream::connect(address) {
        drop(stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n"));
        drop(stream.read_to_string(&mut text));
    }
    text
}

/// The n-th value of a page that is twice as slow from the 270th on.
pub fn p75_lcp(n: i64) -> i64 {
    (1000 + n * 37 % 101) * if n >= 270 { 2 } else { 1 }
}

/// A process that ends with the test.
pub struct Running(Child);

impl Running {
    /// perfstream, silent.
    pub fn start(args: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_perfstream"));
        Running::of(command.args(args).stdout(Stdio::null()).stderr(Stdio::null()))
    }

    /// Another command.
    pub fn of(command: &mut Command) -> Running {
        Running(command.stdin(Stdio::null()).spawn().expect("a process"))
    }

    /// It ends well when it is told to.
    pub fn stop(mut self) {
        kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM).expect("a signal");
        assert!(self.0.wait().expect("an end").success());
    }

    /// It dies, without a word.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `stop` it is gone already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
