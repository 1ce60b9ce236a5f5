//! HTTP as the client needs it, behind a trait so that tests need no network.

use openrms_xrml::Time;

use crate::credentials::{Credentials, Scheme};
use crate::tls::PeerCertificate;
use crate::url::Origin;

/// Sends one request and waits for its answer. No redirect is followed: the caller decides where
/// a request goes.
pub trait Transport: Send + Sync {
    /// Posts a SOAP message.
    fn post(
        &self,
        url: &str,
        soap_action: &str,
        content_type: &str,
        body: &[u8],
        auth: Option<&Credentials>,
    ) -> Result<Response, TransportError>;

    /// Gets a document.
    fn get(&self, url: &str, auth: Option<&Credentials>) -> Result<Response, TransportError>;

    /// Whom a server shows itself as over TLS; `None` where that cannot be seen.
    fn peer_certificate(&self, _: &Origin) -> Option<PeerCertificate> {
        None
    }
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// `Location`, where a redirect leads.
    pub location: Option<String>,
    /// The ways to sign in that the server offers (`WWW-Authenticate`).
    pub offered: Vec<Scheme>,
    /// The server's time (`Date`).
    pub date: Option<Time>,
    /// The body, decompressed and bounded.
    pub body: Vec<u8>,
}

/// Why there was no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The URL cannot be used.
    #[error("{0:?} is not a usable URL")]
    BadUrl(String),
    /// No such host.
    #[error("the host of {url} was not found")]
    HostNotFound {
        /// What was asked.
        url: String,
    },
    /// Nobody listens there, or a firewall is between.
    #[error("no connection to {url}: {reason}")]
    Connect {
        /// What was asked.
        url: String,
        /// What the system says.
        reason: String,
    },
    /// The server's certificate, or the TLS handshake.
    #[error("TLS with {url} failed: {reason}")]
    Tls {
        /// What was asked.
        url: String,
        /// What TLS says.
        reason: String,
    },
    /// No answer in time.
    #[error("{url} did not answer in time ({phase})")]
    Timeout {
        /// What was asked.
        url: String,
        /// What was waited for.
        phase: String,
    },
    /// The answer is longer than any answer is.
    #[error("the answer of {url} is longer than {limit} bytes")]
    TooLarge {
        /// What was asked.
        url: String,
        /// Bytes allowed.
        limit: usize,
    },
    /// No ticket, or a server that cannot prove with it who it is.
    #[error("Kerberos with {url}: {reason}")]
    Kerberos {
        /// What was asked.
        url: String,
        /// What the library says.
        reason: String,
    },
    /// The connection broke, or HTTP was not spoken.
    #[error("{url}: {reason}")]
    Broken {
        /// What was asked.
        url: String,
        /// What happened.
        reason: String,
    },
}
