//! A child process that never outlives the test.

use anyhow::{Context, Result};
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running child; dropping it kills it.
pub(super) struct Process {
    child: Child,
    /// Kills the child when this process dies without a drop: its standard input ends then.
    guard: Child,
}

impl Process {
    pub(super) fn start(
        binary: &Path,
        arguments: &[&str],
        environment: &[(&str, &Path)],
        log: &Path,
    ) -> Result<Process> {
        let out = File::options().create(true).append(true).open(log)?;
        let mut child = Command::new(binary)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let guard = Command::new("sh")
            .args(["-c", &format!("read _; kill -9 {}", child.id())])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match guard {
            Ok(guard) => Ok(Process { child, guard }),
            Err(error) => {
                end(&mut child);
                Err(error).context("cannot start sh")
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The guard first, so that it never kills a process that got the same number later.
        end(&mut self.guard);
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // Both fail only if it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

/// The server's binary: what `FLUVIO_RUN` names, or `fluvio-run` on `PATH`.
pub(super) fn server_binary() -> Option<PathBuf> {
    let named = std::env::var_os("FLUVIO_RUN").filter(|name| !name.is_empty()).map(PathBuf::from);
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let on_path = || std::env::split_paths(&paths).map(|dir| dir.join("fluvio-run")).find(|file| file.is_file());
    named.filter(|file| file.is_file()).or_else(on_path)
}

/// Ports that nobody listens on at this moment.
pub(super) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All are held until all are known, so that they differ.
    let listeners: Vec<TcpListener> =
        (0..N).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<std::io::Result<_>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
