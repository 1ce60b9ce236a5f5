//! HTTP below the services: a thread for each core with its own listener, connections with bounds
//! and timeouts, orderly ends. Work is done where the request came in.

mod compress;
mod connection;
mod listener;
mod routes;
mod service;
mod tls;

use std::net::SocketAddr;

pub(crate) use connection::serve;
pub use listener::HandedOver;
pub(crate) use listener::{ListenError, Listeners};
pub(crate) use routes::{CLIENT_BUNDLE_PATH, Core, router};
pub(crate) use tls::{TlsError, acceptor, end_point, first_certificate, use_aws_lc};

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) tls: bool,
}

impl Peer {
    /// Whether it is a program on this machine.
    pub(crate) fn is_loopback(self) -> bool {
        self.address.ip().to_canonical().is_loopback()
    }

    /// Whether a password does not cross the network in the clear.
    pub(crate) fn may_send_passwords(self) -> bool {
        self.tls || self.is_loopback()
    }
}
