//! Listening sockets: one for each thread and address, so that the kernel spreads connections.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Config;

/// One thread's listeners, each with whether it speaks TLS.
pub(crate) type ThreadListeners = Vec<(TcpListener, bool)>;

/// A listening socket that was made by somebody else.
#[derive(Debug)]
pub struct HandedOver {
    /// The socket.
    pub listener: TcpListener,
    /// Whether it speaks TLS, with what `[tls]` of the configuration says; else plain HTTP.
    pub tls: bool,
}

/// All listeners.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) threads: Vec<ThreadListeners>,
    /// Where the first one listens.
    pub(crate) first: SocketAddr,
    pub(crate) first_tls: bool,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken, or may not be used.
    #[error("{0} cannot be listened on: {1}")]
    Address(SocketAddr, std::io::Error),
    /// The listener that was handed in cannot be used.
    #[error("the listener cannot be used: {0}")]
    Given(std::io::Error),
    /// There is nothing to listen on.
    #[error("the configuration names no address to listen on")]
    Nowhere,
    /// A certificate is missing for a socket that was handed over.
    #[error("a socket for HTTPS is handed over, but the configuration has no [tls]")]
    NoCertificate,
}

impl Listeners {
    /// Listens as the configuration says.
    pub(crate) fn bind(config: &Config, threads: usize) -> Result<Self, ListenError> {
        let plain = config.listen.iter().map(|address| (*address, false));
        let tls = config
            .tls
            .iter()
            .flat_map(|tls| tls.listen.iter().map(|a| (*a, true)));
        for (address, _) in plain.clone().chain(tls.clone()) {
            unused(address).map_err(|error| ListenError::Address(address, error))?;
        }
        let mut all: Vec<ThreadListeners> = (0..threads).map(|_| Vec::new()).collect();
        let mut first = None;
        for (address, is_tls) in plain.chain(tls) {
            let failed = |error| ListenError::Address(address, error);
            // A free port is chosen once and then shared.
            let mut address = address;
            for listeners in &mut all {
                let listener = reusable(address).map_err(failed)?;
                address = listener.local_addr().map_err(failed)?;
                listeners.push((listener, is_tls));
            }
            first = first.or(Some((address, is_tls)));
        }
        let (first, first_tls) = first.ok_or(ListenError::Nowhere)?;
        Ok(Self {
            threads: all,
            first,
            first_tls,
        })
    }

    /// Shares sockets that were made before: the kernel wakes every thread for a connection, and one
    /// gets it.
    pub(crate) fn share(
        config: &Config,
        sockets: &[HandedOver],
        threads: usize,
    ) -> Result<Self, ListenError> {
        if config.tls.is_none() && sockets.iter().any(|socket| socket.tls) {
            return Err(ListenError::NoCertificate);
        }
        let first = sockets.first().ok_or(ListenError::Nowhere)?;
        for socket in sockets {
            let listener = &socket.listener;
            listener.set_nonblocking(true).map_err(ListenError::Given)?;
        }
        let copy = |socket: &HandedOver| {
            let listener = socket.listener.try_clone().map_err(ListenError::Given)?;
            Ok((listener, socket.tls))
        };
        let copies = |_| sockets.iter().map(copy).collect();
        Ok(Self {
            threads: (0..threads).map(copies).collect::<Result<_, _>>()?,
            first: first.listener.local_addr().map_err(ListenError::Given)?,
            first_tls: first.tls,
        })
    }

    /// A URL by which this machine reaches the first listener.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.first_tls { "https" } else { "http" };
        let mut address = self.first;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("{scheme}://{address}")
    }
}

/// Fails when a server listens there. Threads share an address, and so would two servers of one
/// person without a word: the kernel would deal connections to either cluster.
fn unused(address: SocketAddr) -> std::io::Result<()> {
    listening(&socket(address)?, address)
}

fn reusable(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    listening(&socket, address)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn listening(socket: &Socket, address: SocketAddr) -> std::io::Result<()> {
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)
}

const BACKLOG: i32 = 1024;
