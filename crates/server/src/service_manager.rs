//! The service manager of the machine, such as systemd: the sockets that it hands over
//! (`sd_listen_fds(3)`) and what it is told (`sd_notify(3)`). Without one nothing happens.

use std::env;
use std::io;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::http::HandedOver;

/// Why sockets of the service manager cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketsError {
    /// A socket is for something that nobody knows.
    #[error(
        "the service manager hands over a socket named {0:?}: FileDescriptorName= is http or https"
    )]
    Name(String),
    /// A socket is not for TCP.
    #[error("a socket of the service manager cannot be used: {0}")]
    Socket(io::Error),
}

/// What the service manager is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Requests are answered.
    Ready,
    /// What can change is read anew; [`Notice::Ready`] follows.
    Reloading,
    /// The end has begun.
    Stopping,
}

/// The sockets that are handed over, taken once: each named `http` or `https`.
pub(crate) fn sockets() -> Result<Vec<HandedOver>, SocketsError> {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut given = ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..given.len() {
        let tls = match names.next() {
            Some("https") => true,
            Some("http") => false,
            other => return Err(SocketsError::Name(other.unwrap_or_default().to_owned())),
        };
        let listener = given
            .take_tcp_listener(index)
            .map_err(SocketsError::Socket)?;
        sockets.extend(listener.map(|listener| HandedOver { listener, tls }));
    }
    Ok(sockets)
}

/// Tells the service manager, with a line for those who look.
pub(crate) fn tell(notice: Notice, status: &str) {
    let mut told = vec![match notice {
        Notice::Ready => NotifyState::Ready,
        Notice::Reloading => NotifyState::Reloading,
        Notice::Stopping => NotifyState::Stopping,
    }];
    if notice == Notice::Reloading {
        // Since when; newer service managers want to know.
        told.extend(NotifyState::monotonic_usec_now());
    }
    told.push(NotifyState::Status(status));
    if let Err(error) = sd_notify::notify(&told) {
        tracing::warn!(%error, "the service manager was not told");
    }
}
