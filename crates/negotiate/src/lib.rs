//! HTTP Negotiate (RFC 4559): SPNEGO (RFC 4178) with Kerberos (RFC 4121) and nothing else, over
//! MIT's GSS-API library, which is opened at run time.
//!
//! A server makes one [`Acceptor`] and asks it who sent a token; a client makes one [`Initiator`]
//! for each exchange. Both block, on files and, for the client, on the KDC: asynchronous callers
//! put the calls on a blocking pool. What the domain controller said of a person, their SID and
//! those of their groups, is read from the ticket by [`Logon`].

mod acceptor;
mod error;
mod ffi;
pub mod http;
mod initiator;
mod pac;
mod token;

pub use acceptor::{Accepted, Acceptor, AcceptorSettings};
pub use error::NegotiateError;
pub use initiator::{Initiator, Step};
pub use pac::{Logon, PacError};
pub use token::{Offer, TokenError};

/// The longest token that is looked at, in bytes: the most that Windows makes (`MaxTokenSize`).
pub const MAX_TOKEN: usize = 65_535;
