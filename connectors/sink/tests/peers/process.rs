//! A server of others, on a free port of loopback, with a directory of its own.

use anyhow::{Context, Result, bail, ensure};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const START_WITHIN: Duration = Duration::from_secs(20);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

pub struct Process {
    child: Child,
    pub url: String,
    _dir: tempfile::TempDir,
}

impl Process {
    /// `args` of its directory and the address to listen at. It is there when it says that it is ready.
    pub fn start(program: &Path, args: impl FnOnce(&Path, &str) -> Result<Vec<String>>) -> Result<Process> {
        let dir = tempfile::tempdir()?;
        let listen = format!("127.0.0.1:{}", TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        let child = Command::new(program)
            .args(args(dir.path(), &listen)?)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| program.display().to_string())?;
        let process = Process { child, url: format!("http://{listen}"), _dir: dir };
        let until = Instant::now() + START_WITHIN;
        while process.get("/-/ready").is_err() {
            ensure!(Instant::now() < until, "{} does not answer", program.display());
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(process)
    }

    pub fn get(&self, path: &str) -> Result<String> {
        // A client wants a provider of TLS even where it speaks none; that there is one already is no error.
        _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::blocking::Client::builder().no_proxy().build()?;
        Ok(client.get(format!("{}{path}", self.url)).send()?.error_for_status()?.text()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Waits until a check holds.
pub fn wait(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let until = Instant::now() + ANSWER_WITHIN;
    while !holds()? {
        if Instant::now() > until {
            bail!("{what} does not come about");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

pub fn now_ms() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}
