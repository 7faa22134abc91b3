//! A page with the one script tag in a real browser, from another origin: what it measures is in the
//! topics.
//!
//! Needs `chromium` and `chromedriver` on PATH, else it ends after one line. The library web-vitals is
//! that of the recording (`npm ci` in tests/recording, or WEB_VITALS names the file of its attribution
//! build); without it the script sends raw entries alone, and only those are looked for.

mod common;

use common::Collector;
use perfstream_collector::Options;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// For anything that the browser does.
const WITHIN: Duration = Duration::from_secs(60);

fn on_path(name: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(name).is_file())
}

/// web-vitals as one script for pages.
fn library() -> Option<Vec<u8>> {
    let of_recording = "../../tests/recording/node_modules/web-vitals/dist/web-vitals.attribution.iife.js";
    let path = std::env::var_os("WEB_VITALS").map(PathBuf::from);
    let path = path.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(of_recording));
    std::fs::read(path).ok()
}

/// Serves the page and the library until the test's process ends.
fn serve(page: impl Fn(SocketAddr) -> String, library: Option<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let page = page(address);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut line = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let _ = reader.read_line(&mut line);
            let mut header = String::new();
            while reader.read_line(&mut header).is_ok_and(|n| n > 2) {
                header.clear();
            }
            let (status, kind, body) = match (line.split(' ').nth(1), &library) {
                (Some("/cart?x=secret"), _) => ("200 OK", "text/html", page.as_bytes()),
                (Some("/web-vitals.js"), Some(library)) => ("200 OK", "text/javascript", library.as_slice()),
                _ => ("404 Not Found", "text/plain", &b""[..]),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), body].concat());
        }
    });
    address
}

/// A browser, driven by the WebDriver protocol of the W3C.
struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn start() -> Browser {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={}", address.port())).stdout(Stdio::null()).stderr(Stdio::null());
        let driver = command.spawn().unwrap();
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Browser { driver, address, session: String::new(), _profile: profile };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < WITHIN, "chromedriver does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}});
        let answer = browser.ask("POST", "/session", &wanted);
        browser.session = answer["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {answer}")).into();
        browser
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_ask(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// chromedriver keeps the connection, whatever is asked, so the length says where an answer ends.
    fn try_ask(&self, method: &str, path: &str, body: &Value) -> std::io::Result<Value> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(WITHIN))?;
        let body = body.to_string();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes())?;
        let (mut reader, mut length, mut line) = (BufReader::new(stream), 0, String::new());
        while reader.read_line(&mut line)? > 2 {
            if let Some((_, value)) = line.to_lowercase().split_once("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            line.clear();
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer)?;
        let mut answer: Value = serde_json::from_slice(&answer)?;
        Ok(answer["value"].take())
    }

    fn open(&self, url: &str) {
        self.ask("POST", &format!("/session/{}/url", self.session), &json!({ "url": url }));
    }

    fn click(&self, selector: &str) {
        let path = format!("/session/{}/element", self.session);
        let found = self.ask("POST", &path, &json!({"using": "css selector", "value": selector}));
        let element = found.as_object().and_then(|o| o.values().next()).and_then(Value::as_str);
        let element = element.unwrap_or_else(|| panic!("no {selector}: {found}"));
        let answer = self.ask("POST", &format!("{path}/{element}/click"), &json!({}));
        assert!(answer.is_null(), "{answer}");
    }

    /// What an expression of the page is.
    fn value(&self, expression: &str) -> Value {
        let script = json!({"script": format!("return {expression}"), "args": []});
        self.ask("POST", &format!("/session/{}/execute/sync", self.session), &script)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.try_ask("DELETE", &format!("/session/{}", self.session), &json!({}));
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A headline that is painted, a box that moves it, and a button whose handler takes its time.
fn page(collector: SocketAddr, library: bool) -> String {
    let library = if library { "<script src=\"/web-vitals.js\" defer></script>" } else { "" };
    format!(
        "<!doctype html><meta charset=utf-8><title>Cart</title>{library}
         <script src=\"http://{collector}/perfstream.js\" data-token=\"pub\" data-release=\"7\" defer></script>
         <div id=top></div><h1 class=headline>A headline that is large enough to be painted last</h1>
         <button id=buy>Buy</button>
         <script>
           setTimeout(() => {{ document.getElementById(\"top\").style.height = \"200px\"; window.moved = true; }}, 700);
           new PerformanceObserver((list) => {{
             window.timed ||= list.getEntries().some((entry) => entry.name === \"click\");
           }}).observe({{ type: \"event\", durationThreshold: 40 }});
           document.getElementById(\"buy\").onclick = () => {{
             const until = performance.now() + 120;
             while (performance.now() < until);
           }};
         </script>"
    )
}

#[test]
fn a_page_with_the_script_tag() {
    if !on_path("chromium") || !on_path("chromedriver") {
        eprintln!("skipped: the browser test, for chromium and chromedriver are not both on PATH");
        return;
    }
    let library = library();
    if library.is_none() {
        eprintln!("in part: no library web-vitals (`npm ci` in tests/recording), so raw entries alone");
    }
    let has_library = library.is_some();
    // The page must know the collector's port, and the collector the page's origin.
    let reserved = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = reserved.local_addr().unwrap();
    let site = serve(|_| page(port, has_library), library);
    drop(reserved);
    let origin = format!("http://{site}");
    let options = Options { origins: vec![origin.clone()], tokens: vec!["pub".into()], ..Options::default() };
    let collector = Collector::at(port, options);

    let browser = Browser::start();
    browser.open(&format!("{origin}/cart?x=secret"));
    let until = |what: &str, is: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !is() {
            assert!(begun.elapsed() < WITHIN, "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    until("the box has moved", &|| browser.value("window.moved") == json!(true));
    browser.click("#buy");
    // The browser tells of a click when its effect is painted; a page that is left before never hears of it.
    until("the click was timed", &|| browser.value("window.timed") == json!(true));
    // The page is left: what it knows is sent now.
    browser.open("about:blank");

    let mut topics = vec!["cls-stream", "inp-events-stream"];
    if has_library {
        topics.extend(["lcp-stream", "fcp-stream", "ttfb-stream", "inp-stream"]);
    }
    for topic in &topics {
        until(&format!("{topic} has a record"), &|| !collector.records(topic).is_empty());
    }
    for topic in &topics {
        for record in collector.records(topic) {
            let known = ["page", "browser", "device", "release"].map(|name| record[name].as_str().unwrap_or("none"));
            assert_eq!(known, ["/cart", "chrome", "desktop", "7"], "{topic}: {record}");
            assert!(record["sessionId"].is_string() && record["navigationId"].is_string(), "{record}");
        }
    }
    let shifts = collector.records("cls-stream");
    assert!(shifts.iter().any(|shift| shift["value"].as_f64().is_some_and(|v| v > 0.0)), "{shifts:?}");
    let clicks = collector.records("inp-events-stream");
    let slow = |event: &Value| event["duration"].as_f64().is_some_and(|ms| ms >= 100.0) && event["target"] == "#buy";
    assert!(clicks.iter().any(slow), "{clicks:?}");
    if has_library {
        let inp = collector.records("inp-stream");
        assert!(inp.iter().any(|r| r["value"].as_f64().is_some_and(|ms| ms >= 100.0)), "{inp:?}");
    }
    assert_eq!(collector.records("dead-letters"), Vec::<Value>::new());
}
