//! Why a side of the exchange could not be set up, or a token was not taken.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::{MAX_TOKEN, PacError, TokenError};

/// What went wrong. Texts of the library are those of `gss_display_status` (RFC 2744 5.11): they
/// name principals and files, never keys; control characters are taken out.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NegotiateError {
    /// The library is not on this machine, or too old.
    #[error(
        "Kerberos sign-in needs MIT's GSS-API library: install the Debian package \
         libgssapi-krb5-2 ({reason})"
    )]
    NoLibrary {
        /// What the dynamic linker said.
        reason: String,
    },
    /// Windows: the library is opened by name only where the search for it is the administrator's.
    #[error("Kerberos sign-in is not available on this system")]
    NotOnThisSystem,
    /// The keytab does not exist or may not be read by this account.
    #[error("the keytab {path} cannot be read: {source}")]
    Keytab {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The replay cache cannot be opened or made by this account.
    #[error("the replay cache {path} cannot be written: {source}")]
    ReplayCache {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The library takes paths as text without NUL characters.
    #[error("the path {path:?} is not UTF-8 or holds a NUL character")]
    Path {
        /// The file.
        path: PathBuf,
    },
    /// Not the name of a service: `HTTP` or `HTTP@host.name`.
    #[error("{name:?} is not the name of a service, as HTTP@host.name is")]
    ServiceName {
        /// What was given.
        name: String,
    },
    /// The keytab is readable, but holds no key of the service.
    #[error("the keytab {path} has no key of the service {service}: {text}")]
    NoKey {
        /// The file.
        path: PathBuf,
        /// The service of the settings.
        service: String,
        /// The library's text.
        text: String,
    },
    /// The token is empty or too long.
    #[error("a token of {length} bytes; 1 to {MAX_TOKEN} are allowed")]
    TokenLength {
        /// Its length in bytes.
        length: usize,
    },
    /// The first token of the client is damaged.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The client offers other mechanisms than Kerberos, NTLM most often.
    #[error("the client does not offer Kerberos")]
    NotKerberos,
    /// The client's token would need another round trip, which Kerberos does without.
    #[error("the exchange would need a second token from the client")]
    MoreLegs,
    /// The same token was accepted before, here or by another server with this replay cache.
    #[error("the token was used before: it is a replay")]
    Replay,
    /// The token was made for another TLS channel than the one that it came on.
    #[error("the token belongs to another TLS channel (RFC 5929)")]
    ChannelBindings,
    /// The ticket is of nobody (RFC 8062).
    #[error("the ticket is an anonymous one")]
    Anonymous,
    /// The name of the client's principal is not text.
    #[error("the name of the principal is not UTF-8 or holds control characters")]
    PrincipalName,
    /// The domain controller's description of the account is damaged.
    #[error("the logon information of the ticket: {0}")]
    Pac(#[from] PacError),
    /// The library refused the token of the other side, or could not make one.
    #[error("refused: {text}")]
    Refused {
        /// The library's text.
        text: String,
    },
    /// The person has no ticket, or it has expired.
    #[error("there is no valid Kerberos ticket: run kinit ({text})")]
    NoTicket {
        /// The library's text.
        text: String,
    },
    /// With the keytab no ticket can be got: it has no key of the principal, nobody has that name,
    /// the account is disabled, or no domain controller answers.
    #[error("no ticket for {principal} with the keytab {keytab}: {text}")]
    NoKeytabTicket {
        /// The file.
        keytab: PathBuf,
        /// The principal of the settings.
        principal: String,
        /// The library's text.
        text: String,
    },
    /// The domain controller has another key of the principal than the keytab. To ask again may
    /// lock the account out.
    #[error("the keytab {keytab} has another key of {principal} than the domain controller")]
    WrongKey {
        /// The file.
        keytab: PathBuf,
        /// The principal of the settings.
        principal: String,
    },
    /// Not the name of a principal.
    #[error("{name:?} is not the name of a principal, as svc-rms@CORP.EXAMPLE is")]
    Principal {
        /// What was given.
        name: String,
    },
    /// The server did not prove who it is.
    #[error("the server did not prove its identity (no mutual authentication)")]
    NotMutual,
    /// A step was asked for after the last, after a failure, or out of order.
    #[error("the exchange is over, or the server's token is missing")]
    OutOfOrder,
    /// The server's offer of layers is not as RFC 4752 3.1 has it.
    #[error("the server offers its security layers in an unknown form")]
    LayerOffer,
    /// The server would have everything travel unencrypted.
    #[error("the server offers no layer that encrypts")]
    NoSealing,
    /// The server wants to sign or encrypt what TLS protects already.
    #[error("the server wants a security layer inside TLS")]
    LayerForced,
    /// A message is not encrypted.
    #[error("a message is not encrypted, though that was agreed on")]
    Unsealed,
    /// A frame of the server is empty, or longer than it was told that it may be.
    #[error("a frame of {length} bytes")]
    FrameLength {
        /// Its length in bytes.
        length: usize,
    },
}
