//! A TCP proxy on loopback that can break connections in the ways networks do.

use anyhow::Result;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the proxy does with the traffic of all its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Forwards it
    Pass,
    /// Forwards it after a pause, each way
    Delay(Duration),
    /// Closes all connections, and new ones at once
    Cut,
}

/// The way a half of a connection goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Response,
}

#[derive(Clone, Copy)]
struct State {
    traffic: Traffic,
    /// Connections with smaller numbers are half open
    half_open_below: u64,
    /// Connections with smaller numbers get no answers
    unanswered_below: u64,
    accepted: u64,
}

/// A proxy; it ends with the runtime it was started in.
#[derive(Clone)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<watch::Sender<State>>,
}

impl Proxy {
    /// Listens on a free port and forwards to `target`.
    pub async fn start(target: SocketAddr) -> Result<Proxy> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = State { traffic: Traffic::Pass, half_open_below: 0, unanswered_below: 0, accepted: 0 };
        let state = Arc::new(watch::Sender::new(state));
        tokio::spawn(accept(listener, target, state.clone()));
        Ok(Proxy { address, state })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on does this with the traffic.
    pub fn set(&self, traffic: Traffic) {
        self.state.send_modify(|state| state.traffic = traffic);
    }

    /// The connections that are open now forward nothing any more and are not closed, until they are
    /// cut; new ones are as [`set`](Proxy::set) says.
    pub fn half_open(&self) {
        self.state.send_modify(|state| state.half_open_below = state.accepted);
    }

    /// The connections that are open now forward requests and lose the answers; new ones are as
    /// [`set`](Proxy::set) says.
    pub fn drop_responses(&self) {
        self.state.send_modify(|state| state.unanswered_below = state.accepted);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, state: Arc<watch::Sender<State>>) {
    while let Ok((client, _)) = listener.accept().await {
        if state.borrow().traffic == Traffic::Cut {
            continue;
        }
        // The server may be down; the client sees its connection closed.
        let Ok(server) = TcpStream::connect(target).await else { continue };
        let number = state.borrow().accepted;
        state.send_modify(|state| state.accepted += 1);
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let (request, response) = (state.subscribe(), state.subscribe());
        // When one half ends, both do: dropping the halves of the other closes the sockets.
        tokio::spawn(async move {
            tokio::select! {
                () = forward(from_client, to_server, Way::Request, number, request) => {}
                () = forward(from_server, to_client, Way::Response, number, response) => {}
            }
        });
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: Way,
    number: u64,
    mut state: watch::Receiver<State>,
) {
    let mut bytes = vec![0; 64 << 10];
    // Once a byte was held back, the rest of that connection makes no sense to its reader.
    let mut broken = false;
    loop {
        let now = *state.borrow_and_update();
        if now.traffic == Traffic::Cut {
            return;
        }
        let unanswered = way == Way::Response && number < now.unanswered_below;
        broken |= unanswered || number < now.half_open_below;
        let read = tokio::select! {
            read = from.read(&mut bytes) => read,
            changed = state.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        match read {
            Err(_) => return,
            Ok(0) if broken => {
                // Held open until it is cut; an error is the end of the proxy.
                let _ = state.wait_for(|state| state.traffic == Traffic::Cut).await;
                return;
            }
            Ok(0) => return,
            Ok(count) => {
                if let Traffic::Delay(pause) = now.traffic {
                    tokio::time::sleep(pause).await;
                }
                if !broken && to.write_all(&bytes[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
