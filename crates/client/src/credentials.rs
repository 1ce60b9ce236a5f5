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
}

/// Where credentials come from: a prompt, a keyring, the environment.
///
/// It is asked only for the configured server, and only when the connection is private
/// ([`Origin::is_private`]); what it answers is sent there and nowhere else.
pub trait CredentialSource: Send + Sync {
    /// Credentials for that origin, for `user` when one is configured.
    fn credentials(&self, origin: &Origin, user: Option<&str>) -> Option<Credentials>;
}

/// Nobody: for commands that need no server.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCredentials;

impl Credentials {
    /// The value of the `Authorization` header; wiped when dropped.
    pub fn authorization(&self) -> Zeroizing<String> {
        match self {
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
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { user, .. } => write!(f, "Basic({user:?})"),
            Self::Bearer(_) => f.write_str("Bearer"),
        }
    }
}

impl CredentialSource for NoCredentials {
    fn credentials(&self, _: &Origin, _: Option<&str>) -> Option<Credentials> {
        None
    }
}

impl CredentialSource for Credentials {
    fn credentials(&self, _: &Origin, _: Option<&str>) -> Option<Credentials> {
        Some(self.clone())
    }
}

impl<F> CredentialSource for F
where
    F: Fn(&Origin, Option<&str>) -> Option<Credentials> + Send + Sync,
{
    fn credentials(&self, origin: &Origin, user: Option<&str>) -> Option<Credentials> {
        self(origin, user)
    }
}
