//! The live page: what the records of the topic of dashboards say, as they come.
//!
//! One thread reads ([`feed`]) into one bounded model ([`model`]); viewers get a snapshot and then every
//! change as server-sent events. A verdict, an acknowledgement or an approval is a request to the pipeline's inbox, as
//! from any other tool, and comes back to all viewers from there.

mod feed;
mod guard;
mod inbox;
pub(crate) mod metrics;
pub(crate) mod model;
mod routes;

pub use feed::{Connect, Feed, Topics};
pub use model::Model;

use anyhow::{Context, Result, bail};
use guard::Guard;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Changes that a viewer may be behind; then it begins anew.
const BACKLOG: usize = 1024;

/// How to serve.
#[derive(Debug, Clone)]
pub struct PageOptions {
    /// Where it listens
    pub listen: SocketAddr,
    /// Names that it answers to, beside the address
    pub hosts: Vec<String>,
    /// Asked of whoever looks
    pub token: Option<String>,
    /// What it reads
    pub topics: Topics,
}

/// A page that listens.
pub struct Page {
    listener: TcpListener,
    shared: Arc<routes::Shared>,
    options: PageOptions,
    connect: Connect,
}

impl Page {
    /// Opens the address. One that others can reach needs a token.
    pub async fn bind(options: PageOptions, connect: Connect) -> Result<Page> {
        let address = options.listen;
        if !address.ip().is_loopback() && options.token.is_none() {
            bail!("others can reach {address}: give `--page-token-file FILE`, or listen on 127.0.0.1");
        }
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let guard = Guard::new(listener.local_addr()?, &options.hosts, options.token.as_deref());
        let shared = Arc::new(routes::Shared::new(guard, Feed::new(BACKLOG), connect.clone()));
        Ok(Page { listener, shared, options, connect })
    }

    /// Where it listens; the port is the real one also where 0 was asked for.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves until `stop`.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let Page { listener, shared, options, connect } = self;
        let reader = shared.clone();
        let thread = std::thread::Builder::new().name("page".into()).spawn(move || {
            let is_over = || reader.is_closed();
            feed::follow(&reader.feed, &connect, &options.topics, is_over);
        })?;
        let told = shared.clone();
        axum::serve(listener, routes::router(&shared))
            .with_graceful_shutdown(async move {
                stop.await;
                told.close();
            })
            .await?;
        thread.join().map_err(|_| anyhow::anyhow!("the page's reader died"))
    }
}
