//! The listener: connections bounded in number, in all and of each address, heads in bytes and time,
//! and a drain at the end.

use crate::cluster::ClusterStore;
use crate::counters::Counters;
use crate::guard::network;
use crate::http::{Peer, Shared, router};
use crate::options::Options;
use crate::queue::Queue;
use crate::store::{EmbeddedStore, Store};
use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use perfstream_log::cluster::Target;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt;

/// Headers of a request; browsers send about twenty.
const HEADERS: usize = 64;

/// hyper's least buffer for a head.
const LEAST_HEADER_BYTES: usize = 8192;

/// Where the records go.
#[derive(Debug, Clone)]
pub enum Destination {
    /// The embedded log in a directory, whose topics have so many partitions
    Embedded(PathBuf, u32),
    /// A Fluvio cluster; topics that are missing get so many partitions, or are not made
    Cluster(Target, Option<u32>),
}

/// Collects until a signal (SIGTERM, SIGINT): then requests that are there are answered, and all
/// that was taken is in the log when it returns. Fails if the log or the address cannot be opened.
pub fn run(options: Options, destination: &Destination) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // The log's own, which ends last: what was taken is written when the connections are gone.
    let log_runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let store: Box<dyn Store> = match destination {
        Destination::Embedded(dir, partitions) => Box::new(EmbeddedStore::open(dir, *partitions)?),
        Destination::Cluster(target, create) => {
            let mut store = ClusterStore::connect(log_runtime.handle().clone(), target.clone())?;
            let missing = store.prepare(&options.needed_topics(), *create)?;
            if !missing.is_empty() {
                tracing::warn!(
                    "the cluster has no topics {}; events for them become dead letters until `perfstream deploy` or \
                     `--create-topics` makes them",
                    missing.join(", ")
                );
            }
            Box::new(store)
        }
    };
    let writer = runtime.block_on(async {
        let (server, writer) = Server::bind(options, store).await?;
        tracing::info!("collecting at http://{}", server.address()?);
        server.serve(signal()).await?;
        anyhow::Ok(writer)
    })?;
    // Ends requests that were not done in time, which hold the queue open.
    runtime.shutdown_timeout(Duration::from_secs(1));
    writer.join().map_err(|_| anyhow::anyhow!("the writer thread died"))
}

/// Returns at SIGTERM or SIGINT.
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        tracing::error!("SIGTERM is not heard");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tracing::info!("stopping: open requests are answered first");
}

/// A collector that listens.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
}

impl Server {
    /// Opens the address and starts the writer thread, which ends when the server has.
    pub async fn bind(options: Options, store: Box<dyn Store>) -> Result<(Server, JoinHandle<()>)> {
        let address = options.listen;
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let counters = Arc::new(Counters::default());
        let (queue, writer) = Queue::start(store, counters.clone(), options.queue_bytes, options.commit_timeout)?;
        let shared = Arc::new(Shared::new(options, queue, counters));
        Ok((Server { listener, shared }, writer))
    }

    /// Where it listens; the port is the real one also where 0 was asked for.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves until `stop`, then waits for open requests, at most the drain timeout.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<()> {
        let Server { listener, shared } = self;
        let (options, counters) = (&shared.options, &shared.counters);
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(options.header_timeout)
            .max_buf_size(options.header_bytes.max(LEAST_HEADER_BYTES))
            .max_headers(HEADERS);
        let (router, graceful) = (router(&shared), GracefulShutdown::new());
        let room = Arc::new(Semaphore::new(options.max_connections));
        // Behind a proxy all connections are of one address.
        let each = if options.address_header.is_some() { usize::MAX } else { options.max_connections_per_address };
        let addresses = Arc::new(Addresses::new(each));
        tokio::pin!(stop);
        loop {
            let (stream, peer) = tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of file descriptors: the next may be free in a moment.
                        tracing::warn!("no connection could be accepted: {error}");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let seat = addresses.take(peer.ip());
            let (Ok(place), Some(seat)) = (room.clone().try_acquire_owned(), seat) else {
                counters.refused_connection();
                tokio::spawn(refuse(stream));
                continue;
            };
            counters.connections(options.max_connections - room.available_permits());
            let router = router.clone();
            let service = service_fn(move |request| answer(router.clone(), request, peer));
            let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
            let (room, counters, max) = (room.clone(), counters.clone(), options.max_connections);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!("connection of {peer}: {error}");
                }
                drop((place, seat));
                counters.connections(max - room.available_permits());
            });
        }
        drop(listener);
        if tokio::time::timeout(options.drain_timeout, graceful.shutdown()).await.is_err() {
            tracing::warn!("some requests did not end within {} s", options.drain_timeout.as_secs());
        }
        Ok(())
    }
}

/// Connections by address, bounded for each: one address cannot have all places.
struct Addresses {
    open: Mutex<BTreeMap<IpAddr, usize>>,
    each: usize,
}

/// A connection that counts for its address until it is dropped.
struct Seat {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    fn new(each: usize) -> Addresses {
        Addresses { open: Mutex::default(), each }
    }

    fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Seat> {
        let address = network(peer);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        // An entry is never 0 but here, where it may just have been made, and the bound is at least 1.
        if *count >= self.each.max(1) {
            return None;
        }
        *count += 1;
        Some(Seat { addresses: self.clone(), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.addresses.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = open.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

async fn answer(
    router: Router,
    mut request: hyper::Request<Incoming>,
    peer: SocketAddr,
) -> Result<axum::response::Response, std::convert::Infallible> {
    request.extensions_mut().insert(Peer(peer));
    let request: Request = request.map(Body::new);
    router.oneshot(request).await
}

/// Says why, without reading: who has no place gets no time either.
async fn refuse(stream: TcpStream) {
    let body = r#"{"error":"connections","found":"too many connections","allowed":"try again","retry_after_s":1}"#;
    let head =
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-type: application/json";
    let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    // So few bytes fit into the buffer of a socket that is new.
    if stream.writable().await.is_ok()
        && let Err(error) = stream.try_write(answer.as_bytes())
    {
        tracing::debug!("too many connections, and one did not hear of it: {error}");
    }
}
