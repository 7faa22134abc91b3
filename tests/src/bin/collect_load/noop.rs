//! What the collector is compared with: its HTTP library with a handler that does nothing, in a process
//! of its own, as the collector is.

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use tokio::net::TcpListener;

/// Serves until it is killed; prints where.
pub async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let router = Router::new().route("/v1/vitals", post(|_body: Bytes| async { StatusCode::NO_CONTENT }));
    Ok(axum::serve(listener, router).await?)
}

/// This program again, as the server.
pub struct Noop {
    child: Child,
    pub address: SocketAddr,
}

impl Noop {
    pub fn start() -> Result<Noop> {
        // The options that it must have are of no use to it.
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--noop", "--perfstream", "-", "--dir", "-"]);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no standard output")?).read_line(&mut line)?;
        Ok(Noop { child, address: line.trim().parse()? })
    }
}

impl Drop for Noop {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
