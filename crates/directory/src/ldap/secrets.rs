//! Who signs in to a directory, with a password (RFC 4513 5.1.3) or with Kerberos (RFC 4752), and
//! which servers are believed to be it.

use std::fmt;

use openrms_negotiate::TicketSource;
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

/// Who signs in to the directory, and whom TLS trusts.
#[derive(Debug)]
pub struct LdapSecrets {
    /// Who signs in.
    pub sign_in: LdapSignIn,
    /// Authorities of the servers' certificates; those of this machine when empty. Of no meaning
    /// with Kerberos on `ldap://`: there the server proves with its own key who it is.
    pub roots: Vec<CertificateDer<'static>>,
}

/// How to sign in.
pub enum LdapSignIn {
    /// With a password, inside TLS.
    Password {
        /// A DN or a user principal name (`svc-rms@corp.example`).
        name: String,
        /// Its password.
        password: Zeroizing<String>,
    },
    /// With a Kerberos ticket for `ldap/` and the server's name as its URL has it. On `ldap://` all
    /// that follows is sealed with the key of the ticket; on `ldaps://` TLS protects it, and the
    /// ticket is bound to the server's certificate.
    Kerberos(TicketSource),
}

impl LdapSignIn {
    /// Who it is, as far as is known before the server says so.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Password { name, .. } => name,
            Self::Kerberos(TicketSource::Keytab { principal, .. }) => principal,
            Self::Kerberos(_) => "the owner of the Kerberos ticket",
        }
    }
}

impl fmt::Debug for LdapSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { name, .. } => f
                .debug_struct("Password")
                .field("name", name)
                .finish_non_exhaustive(),
            Self::Kerberos(source) => f.debug_tuple("Kerberos").field(source).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_printed() {
        let secrets = LdapSecrets {
            sign_in: LdapSignIn::Password {
                name: "svc".to_owned(),
                password: Zeroizing::new("hunter2".to_owned()),
            },
            roots: Vec::new(),
        };
        let printed = format!("{secrets:?}");
        assert!(printed.contains("svc") && !printed.contains("hunter2"));
    }
}
