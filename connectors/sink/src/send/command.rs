//! A program as a receiver: the notice on its standard input, no shell, no secrets in its environment.

use anyhow::{Context, Result, bail};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(20);

/// Runs it to its end; any status but 0 is an error, and so is taking longer than `timeout`.
pub fn run(argv: &[String], key: &str, body: &str, timeout: Duration) -> Result<()> {
    let (program, arguments) = argv.split_first().context("expected a program")?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME" || name == "LANG"))
        .env("PERFSTREAM_IDEMPOTENCY_KEY", key)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let started = Instant::now();
    let (mut stdin, body) = (child.stdin.take().context("no standard input")?, body.to_string());
    // A thread of its own: a program that does not read must not stop the clock. One that closes
    // its input early says by its status whether that is an error.
    let writer = std::thread::spawn(move || drop(stdin.write_all(body.as_bytes())));
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if started.elapsed() > timeout => {
                child.kill()?;
                child.wait()?;
                bail!("{program} took longer than {timeout:?}");
            }
            None => std::thread::sleep(POLL),
        }
    };
    drop(writer);
    match status.success() {
        true => Ok(()),
        false => bail!("{program} ended with {status}"),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn sh(script: &str, timeout: Duration) -> Result<()> {
        run(&["sh", "-c", script].map(String::from), "key-1", "{}\n", timeout)
    }

    #[test]
    fn runs_programs() {
        let long = Duration::from_secs(60);
        assert!(sh("read body && test \"$body\" = '{}' && test $PERFSTREAM_IDEMPOTENCY_KEY = key-1", long).is_ok());
        assert!(sh("exit 3", long).unwrap_err().to_string().contains("3"));
        assert!(sh("exec sleep 100", Duration::from_millis(50)).unwrap_err().to_string().contains("longer"));
        assert!(run(&["/nonexistent".into()], "", "", long).is_err());
    }
}
