//! Why nobody was signed in, as RFC 6749 4.1.2.1 and 5.2 and our own checks have it.

use std::time::Duration;

use super::IssuerUrl;
use crate::error::{Class, Coded};
use crate::transport::TransportError;

/// Why an issuer did not sign anybody in, or is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OidcError {
    /// The issuer does not answer.
    #[error("the issuer does not answer: {0}")]
    Unreachable(#[from] TransportError),
    /// There is no discovery document.
    #[error("{url} answers with HTTP status {status}")]
    NoDiscovery {
        /// Where it should be.
        url: String,
        /// The status.
        status: u16,
    },
    /// An answer of the issuer that is not what it should be.
    #[error("the answer of {url} cannot be read: {reason}")]
    Malformed {
        /// What was asked.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// Somebody else than the issuer that was asked.
    #[error("not {expected} answers, but {found:?}")]
    IssuerMismatch {
        /// The issuer that was asked.
        expected: IssuerUrl,
        /// Who the answer says it is of.
        found: String,
    },
    /// Others could read what is sent there.
    #[error("the issuer wants {url} to be used, which is not https")]
    Insecure {
        /// The endpoint.
        url: String,
    },
    /// The issuer cannot check who redeems a code.
    #[error("{0} does not know PKCE with S256")]
    NoPkce(IssuerUrl),
    /// There is no port on this machine to be answered at.
    #[error("no answer can be received at 127.0.0.1: {0}")]
    Loopback(String),
    /// No random numbers.
    #[error("no random numbers")]
    Random,
    /// The person did not sign in.
    #[error("nobody signed in within {} minutes", after.as_secs().div_ceil(60))]
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// The person, or the issuer for them, said no.
    #[error("the sign-in was declined{}", explained(description))]
    Declined {
        /// What the issuer says of it; may be empty.
        description: String,
    },
    /// The issuer refuses.
    #[error("the issuer refuses: {error}{}", explained(description))]
    Refused {
        /// The name of its error.
        error: String,
        /// What it says of it; may be empty.
        description: String,
    },
    /// The answer belongs to another sign-in.
    #[error("the answer that the browser brought is not of this sign-in")]
    StateMismatch,
    /// The answer is none.
    #[error("the answer that the browser brought cannot be read: {0}")]
    Answer(&'static str),
    /// The identity token belongs to another sign-in or client.
    #[error("the identity token is not of this sign-in: {0}")]
    IdentityToken(&'static str),
    /// The access token is meant for the issuer alone.
    #[error("the access token is not a JWT, so that no server but the issuer can read it")]
    NotJwt,
}

impl Coded for OidcError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(TransportError::Tls { .. }) => "tls-failed",
            Self::Unreachable(_) => "issuer-not-reachable",
            Self::NoDiscovery { .. } => "issuer-not-found",
            Self::Malformed { .. } => "issuer-answer-malformed",
            Self::IssuerMismatch { .. } => "issuer-mismatch",
            Self::Insecure { .. } => "issuer-insecure",
            Self::NoPkce(_) => "issuer-without-pkce",
            Self::Loopback(_) => "no-loopback-port",
            Self::Random => "no-randomness",
            Self::TimedOut { .. } => "sign-in-timeout",
            Self::Declined { .. } => "sign-in-declined",
            Self::Refused { .. } => "issuer-refuses",
            Self::StateMismatch => "state-mismatch",
            Self::Answer(_) => "redirect-malformed",
            Self::IdentityToken(_) => "identity-token-mismatch",
            Self::NotJwt => "token-not-jwt",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Unreachable(TransportError::Tls { .. })
            | Self::IssuerMismatch { .. }
            | Self::Insecure { .. }
            | Self::NoPkce(_)
            | Self::StateMismatch
            | Self::IdentityToken(_) => Class::NotTrusted,
            Self::Unreachable(_) | Self::NoDiscovery { .. } => Class::Unreachable,
            Self::Malformed { .. } | Self::Answer(_) | Self::NotJwt => Class::Malformed,
            Self::Declined { .. } | Self::Refused { .. } => Class::Denied,
            Self::Loopback(_) | Self::Random | Self::TimedOut { .. } => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unreachable(TransportError::Tls { .. }) => {
                "the issuer's TLS certificate must lead to a root this machine trusts"
            }
            Self::Unreachable(_) => "check the issuer's URL and the network",
            Self::NoDiscovery { .. } => {
                "the issuer's URL is what stands before /.well-known/openid-configuration"
            }
            Self::IssuerMismatch { .. } => "write the issuer as it writes itself, to the letter",
            Self::TimedOut { .. } | Self::Declined { .. } => {
                "start again and finish in the browser"
            }
            Self::Refused { error, .. } => match error.as_str() {
                "invalid_target" => "--resource must be a server that the issuer knows",
                "invalid_scope" => "--scope must hold scopes that the issuer knows",
                "invalid_client" | "unauthorized_client" => {
                    "the client must be registered at the issuer as a native one without a secret"
                }
                _ => "the issuer's log says more",
            },
            Self::StateMismatch => {
                "start again; if it happens again, another program on this machine interferes"
            }
            Self::NotJwt => {
                "name the rights-management server as the issuer knows it: --resource URL"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

fn explained(description: &str) -> String {
    if description.is_empty() {
        String::new()
    } else {
        format!(" ({description})")
    }
}
