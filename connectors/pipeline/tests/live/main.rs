//! The shipped frameworks while faults happen: a real host, by node-exporter and Prometheus, whose processors burn and
//! whose disk fills; a real service, by the SDK of OpenTelemetry, whose dependency is slow. Their durations are a
//! sixtieth of the shipped ones, so that minutes are seconds. Ignored by default: `cargo xtask test` installs the
//! programs where it can, and runs them.

mod programs;

use programs::{Live, Mount, python, wait};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Threads until it is dropped.
struct Busy {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Busy {
    fn new(threads: usize, work: impl Fn() + Send + Sync + Clone + 'static) -> Busy {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = |_| {
            let (stop, work) = (stop.clone(), work.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    work();
                }
            })
        };
        Busy { threads: (0..threads).map(thread).collect(), stop }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// A request to a server on loopback; failures are for the server's spans to tell.
fn get(port: u16, path: &str) -> bool {
    let mut answer = Vec::new();
    let mut ask = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        stream.read_to_end(&mut answer).map(drop)
    };
    ask().is_ok() && answer.starts_with(b"HTTP/1.0 200")
}

#[test]
#[ignore = "needs Prometheus and node-exporter"]
fn a_host_burns_its_processors_and_fills_its_disk() {
    let Some(mount) = Mount::new(64) else {
        println!("skipped: a host whose disk fills: a tmpfs can be mounted by root only");
        return;
    };
    let mut live = Live::start("infrastructure", &["host", "filesystems"]);
    live.scrape_this_host();
    let place = mount.path().to_string();
    wait("windows of the file system", || live.rows("infrastructure-windows", "mountpoint", &place) > 0);
    assert_eq!(live.alerts("Disk Full", "mountpoint", &place), Vec::<String>::new());
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let burn = Busy::new(2 * cores, || (0..1_000_000u64).for_each(|n| _ = std::hint::black_box(n)));
    mount.fill(63);
    wait("Disk Full", || live.alerts("Disk Full", "mountpoint", &place) == ["firing"]);
    wait("CPU High", || live.alerts("CPU High", "host", "test-1").contains(&"firing".into()));
    drop(burn);
    mount.empty();
    wait("the end of Disk Full", || live.alerts("Disk Full", "mountpoint", &place) == ["firing", "resolved"]);
    wait("the end of CPU High", || live.alerts("CPU High", "host", "test-1").ends_with(&["resolved".into()]));
}

#[test]
#[ignore = "needs the SDK of OpenTelemetry"]
fn a_service_waits_for_its_slow_dependency() {
    let mut live = Live::start("backend", &["services", "routes"]);
    let port: u16 = live.spawn_and_read(python().arg("tests/live/service.py").arg(live.collector()));
    let load = Busy::new(16, move || {
        get(port, "/cart");
        get(port, "/pay");
    });
    wait("windows of the route", || live.rows("backend-windows", "route", "/pay") > 0);
    assert_eq!(live.alerts("Route Slow", "route", "/pay"), Vec::<String>::new());
    assert!(get(port, "/dependency?ms=1500"));
    wait("Route Slow", || live.alerts("Route Slow", "route", "/pay") == ["firing"]);
    // Who does not ask the dependency is not slow.
    assert_eq!(live.alerts("Route Slow", "route", "/cart"), Vec::<String>::new());
    assert!(get(port, "/dependency?ms=0"));
    wait("the end of Route Slow", || live.alerts("Route Slow", "route", "/pay") == ["firing", "resolved"]);
    drop(load);
}
