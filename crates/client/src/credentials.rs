//! Who the caller is, towards the configured server and nobody else.

use std::fmt;

use openrms_crypto::Secret;
use openrms_xrml::values::encode_base64;
use zeroize::Zeroizing;

use crate::url::Origin;

/// What proves who the caller is.
#[derive(Clone)]
pub enum Credentials {
    /// User name and password.
    Basic {
        /// User name, in a form that the server's directory knows.
        user: String,
        /// Password, UTF-8.
        password: Secret,
    },
    /// A token that somebody else issued.
    Bearer(Secret),
    /// The Kerberos ticket of whoever is logged on.
    Negotiate,
}

/// A way to sign in that a server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// User name and password.
    Basic,
    /// A token of somebody whom the server trusts.
    Bearer,
    /// A Kerberos ticket.
    Negotiate,
}

/// Where credentials come from: a prompt, a keyring, the environment.
///
/// It is asked only for the configured server, and only when the connection is private
/// ([`Origin::is_private`]); what it answers is sent there and nowhere else.
pub trait CredentialSource: Send + Sync {
    /// Credentials for that origin, for `user` when one is configured. `offered` is what the
    /// server takes, once it has said so.
    fn credentials(
        &self,
        origin: &Origin,
        user: Option<&str>,
        offered: Option<&[Scheme]>,
    ) -> Option<Credentials>;
}

/// Nobody: for commands that need no server.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCredentials;

impl Scheme {
    /// The schemes of `WWW-Authenticate` headers, those that are known.
    pub fn offered<'h>(headers: impl Iterator<Item = &'h str>) -> Vec<Self> {
        let mut offered = Vec::new();
        // A comma stands between challenges and between what belongs to one; a word that is no
        // scheme's name is passed over.
        for part in headers.flat_map(|header| header.split(',')) {
            let word = part.split_ascii_whitespace().next().unwrap_or_default();
            let known = match word.to_ascii_lowercase().as_str() {
                "basic" => Self::Basic,
                "bearer" => Self::Bearer,
                "negotiate" => Self::Negotiate,
                _ => continue,
            };
            if !offered.contains(&known) {
                offered.push(known);
            }
        }
        offered
    }
}

impl Credentials {
    /// The way to sign in that they are for.
    pub fn scheme(&self) -> Scheme {
        match self {
            Self::Basic { .. } => Scheme::Basic,
            Self::Bearer(_) => Scheme::Bearer,
            Self::Negotiate => Scheme::Negotiate,
        }
    }

    /// The value of the `Authorization` header, wiped when dropped; of a ticket there is none, as
    /// it is made anew for each request.
    pub(crate) fn authorization(&self) -> Option<Zeroizing<String>> {
        Some(match self {
            Self::Basic { user, password } => {
                let mut pair = Zeroizing::new(Vec::with_capacity(user.len() + password.len() + 1));
                pair.extend_from_slice(user.as_bytes());
                pair.push(b':');
                pair.extend_from_slice(password.expose());
                let encoded = Zeroizing::new(encode_base64(&pair));
                Zeroizing::new(format!("Basic {}", *encoded))
            }
            Self::Bearer(token) => Zeroizing::new(format!(
                "Bearer {}",
                String::from_utf8_lossy(token.expose()).trim()
            )),
            Self::Negotiate => return None,
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { user, .. } => write!(f, "Basic({user:?})"),
            Self::Bearer(_) => f.write_str("Bearer"),
            Self::Negotiate => f.write_str("Negotiate"),
        }
    }
}

impl CredentialSource for NoCredentials {
    fn credentials(
        &self,
        _: &Origin,
        _: Option<&str>,
        _: Option<&[Scheme]>,
    ) -> Option<Credentials> {
        None
    }
}

impl CredentialSource for Credentials {
    fn credentials(
        &self,
        _: &Origin,
        _: Option<&str>,
        _: Option<&[Scheme]>,
    ) -> Option<Credentials> {
        Some(self.clone())
    }
}
