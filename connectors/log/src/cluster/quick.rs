//! TCP connections whose acknowledgements are never delayed.
//!
//! An SPU sends a batch in two writes and keeps the second back until the first is acknowledged
//! (Nagle's algorithm); Linux delays that acknowledgement by 40 ms where nothing is sent in return
//! (RFC 1122, 4.2.3.2). A reader only listens, so each batch would be 40 ms late.

use async_net::TcpStream;
use async_trait::async_trait;
use fluvio_future::net::{
    AsConnectionFd, BoxReadConnection, BoxWriteConnection, ConnectionFd, DomainConnector, TcpDomainConnector,
};
use futures_util::io::AsyncRead;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Connects without TLS.
#[derive(Debug, Clone, Default)]
pub(crate) struct QuickConnector;

#[async_trait]
impl TcpDomainConnector for QuickConnector {
    async fn connect(&self, address: &str) -> io::Result<(BoxWriteConnection, BoxReadConnection, ConnectionFd)> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let fd = stream.as_connection_fd();
        acknowledge_at_once(&stream);
        Ok((Box::new(stream.clone()), Box::new(QuickRead(stream)), fd))
    }

    fn new_domain(&self, _domain: String) -> DomainConnector {
        Box::new(QuickConnector)
    }

    fn domain(&self) -> &str {
        "localhost"
    }

    fn clone_box(&self) -> DomainConnector {
        Box::new(QuickConnector)
    }
}

/// The reading half.
struct QuickRead(TcpStream);

impl AsyncRead for QuickRead {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.0).poll_read(context, buffer);
        if read.is_ready() {
            // The kernel leaves the mode on its own; it has to be asked for again.
            acknowledge_at_once(&self.0);
        }
        read
    }
}

#[cfg(target_os = "linux")]
fn acknowledge_at_once(stream: &TcpStream) {
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_quickack(true) {
        tracing::debug!("acknowledgements stay delayed: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
fn acknowledge_at_once(_: &TcpStream) {}
