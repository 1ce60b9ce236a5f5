//! Kerberos (RFC 4121) over MIT's GSS-API library, which is opened at run time: HTTP Negotiate
//! (RFC 4559) with SPNEGO (RFC 4178) and no other mechanism, and SASL's GSSAPI (RFC 4752).
//!
//! A server makes one [`Acceptor`] and asks it who sent a token; a client makes one [`Initiator`]
//! for each exchange over HTTP, or one [`sasl::Client`] for each connection. All block, on files
//! and, for clients, on the KDC: asynchronous callers put the calls on a blocking pool. What the domain controller said of a person, their SID and
//! those of their groups, is read from the ticket by [`Logon`].

mod acceptor;
mod end_point;
mod error;
mod ffi;
pub mod http;
mod initiator;
mod pac;
pub mod sasl;
mod tickets;
mod token;

pub use acceptor::{Accepted, Acceptor, AcceptorSettings};
pub use end_point::end_point_hash;
pub use error::NegotiateError;
pub use initiator::{Initiator, Step};
pub use pac::{Logon, PacError};
pub use tickets::{TicketSource, Tickets};
pub use token::{Offer, TokenError};

/// The longest token that is looked at, in bytes: the most that Windows makes (`MaxTokenSize`).
pub const MAX_TOKEN: usize = 65_535;
