//! `perfstream sink --page ADDRESS`: the live page.

use super::place::place;
use anyhow::{Context, Result, bail};
use clap::Args;
use perfstream_sink::page::{Connect, Page, PageOptions, Topics};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

#[derive(Args)]
pub struct PageArgs {
    /// Serve the live page here, for instance 127.0.0.1:8080; needs no --config
    #[arg(long = "page", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// A name that the page answers to beside its address; may be repeated
    #[arg(long = "page-host", value_name = "NAME")]
    hosts: Vec<String>,
    /// File with a token that viewers must know; needed where others can reach the address
    #[arg(long = "page-token-file", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Topic with dashboard records, for the page and for `remote_write`
    #[arg(long, value_name = "TOPIC", default_value = "dashboards")]
    dashboards: String,
    /// Topic with insights, for the page
    #[arg(long, value_name = "TOPIC", default_value = "insights")]
    insights: String,
}

/// A page that is served.
pub struct Served {
    task: JoinHandle<Result<()>>,
    ended: Arc<Notify>,
}

impl PageArgs {
    /// Is a page asked for?
    pub fn is_wanted(&self) -> bool {
        self.listen.is_some()
    }

    /// Topic with dashboard records.
    pub fn dashboards(&self) -> &str {
        &self.dashboards
    }

    /// Serves the page, if one is asked for, until it is ended.
    pub fn serve(&self, runtime: &Runtime, connect: Connect) -> Result<Option<Served>> {
        let Some(listen) = self.listen else { return Ok(None) };
        let options = PageOptions {
            listen,
            hosts: self.hosts.clone(),
            token: self.token_file.as_deref().map(token).transpose()?,
            topics: Topics {
                dashboards: self.dashboards.clone(),
                status: perfstream::topics::STATUS.into(),
                insights: self.insights.clone(),
            },
        };
        let page = runtime.block_on(Page::bind(options, connect))?;
        eprintln!("the page is at http://{}/", page.address()?);
        let ended = Arc::new(Notify::new());
        let told = ended.clone();
        let task = runtime.spawn(page.serve(async move { told.notified().await }));
        Ok(Some(Served { task, ended }))
    }
}

impl Served {
    /// Ends it.
    pub fn end(self, runtime: &Runtime) -> Result<()> {
        self.ended.notify_one();
        runtime.block_on(self.task)?
    }
}

fn token(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("token file {}", path.display()))?;
    let token = text.trim();
    // It travels in a cookie and in an address.
    if token.len() < 16 || !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)) {
        bail!("{}: expected at least 16 letters, digits, `-`, `_`, `.` or `~`", path.display());
    }
    Ok(token.into())
}

/// Opens the log that the sink reads, as often as it is needed.
pub fn connect(data: Option<PathBuf>, cluster: Option<Option<String>>, runtime: &Runtime) -> Connect {
    let handle = runtime.handle().clone();
    Arc::new(move || place(data.as_deref(), cluster.as_ref(), &handle))
}
