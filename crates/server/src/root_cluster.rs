//! How a licensing cluster signs in to its root cluster, which certifies nobody before it knows who
//! is calling (MS-RMPRS 3.3): for `rmsd renew`, and for the server that renews by itself.
//!
//! ```toml
//! [root_cluster]
//! user = "licensing"
//! password_file = "/etc/openrms/root-cluster.password"
//! ```
//!
//! In place of `user` and `password_file` (or `systemd`), `kerberos` says whose tickets to sign in
//! with, as for `[directory]`.

use std::io;
use std::path::{self, Path, PathBuf};
use std::sync::Arc;

use openrms_negotiate::Tickets;
use serde::{Deserialize, Serialize};

use crate::credential::Credential;
use crate::enrollment::{EnrollError, SignIn};
use crate::tickets::{TicketSource, TicketTable};

/// How this server signs in to its root cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootSignIn {
    /// With a password, over TLS or on this machine.
    Password {
        /// Somebody who may enroll licensing clusters there.
        user: String,
        /// Where their password is.
        password: Credential,
    },
    /// With Kerberos tickets.
    Kerberos(TicketSource),
}

/// `[root_cluster]`, as it is read and written.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RootClusterTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) systemd: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kerberos: Option<TicketTable>,
}

impl RootSignIn {
    /// Gets what is needed to sign in: reads the password, or looks for the key. Whether there are
    /// tickets is only seen when one is used.
    pub(crate) fn open(&self) -> Result<SignIn, EnrollError> {
        Ok(match self {
            Self::Password { user, password } => {
                let password = password.read_text(&format!("Password of {user}"))?;
                SignIn::Password(user.clone(), password)
            }
            Self::Kerberos(source) => {
                let tickets = Tickets::new(source.clone());
                let tickets = tickets.map_err(|error| EnrollError::Kerberos(error.to_string()))?;
                SignIn::Kerberos(Arc::new(tickets))
            }
        })
    }

    /// How a configuration file in any folder says it; none for a password that is in no file.
    pub(crate) fn table(&self) -> io::Result<Option<RootClusterTable>> {
        let table = match self {
            Self::Password { user, password } => {
                let Some(file) = password.file() else {
                    return Ok(None);
                };
                RootClusterTable {
                    user: Some(user.clone()),
                    password_file: Some(path::absolute(file)?),
                    ..RootClusterTable::default()
                }
            }
            Self::Kerberos(source) => RootClusterTable {
                kerberos: Some(TicketTable::of(source)?),
                ..RootClusterTable::default()
            },
        };
        Ok(Some(table))
    }
}

impl RootClusterTable {
    /// Exactly one of the two ways, and of that all. Relative paths start at `base`.
    pub(crate) fn sign_in(
        self,
        password: Credential,
        base: &Path,
    ) -> Result<RootSignIn, &'static str> {
        match (self.user, password, self.kerberos) {
            (None, Credential::None, Some(kerberos)) => {
                kerberos.source(base).map(RootSignIn::Kerberos)
            }
            (_, _, Some(_)) => Err("`kerberos` takes the place of `user` and a password: not both"),
            (Some(_), Credential::None, None) => {
                Err("`password_file` or `systemd` is missing beside `user`")
            }
            (Some(user), password, None) => Ok(RootSignIn::Password { user, password }),
            (None, Credential::None, None) => {
                Err("who signs in is missing: `user` and `password_file`, or `kerberos`")
            }
            (None, _, None) => Err("`user` is missing beside the password"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Config;

    fn read(section: &str) -> Result<RootSignIn, String> {
        load(&format!("[root_cluster]\n{section}\n"))
    }

    fn load(text: &str) -> Result<RootSignIn, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rmsd.toml");
        std::fs::write(&file, text).unwrap();
        Config::load(&file)
            .map(|config| config.root_cluster.unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_password_or_tickets_are_named_and_what_is_written_reads_the_same() {
        let password = RootSignIn::Password {
            user: "licensing".to_owned(),
            password: Credential::File("/etc/openrms/root.password".into()),
        };
        let keytab = RootSignIn::Kerberos(TicketSource::Keytab {
            keytab: "/etc/openrms/svc.keytab".into(),
            principal: "svc@CORP.EXAMPLE".to_owned(),
        });
        for (text, sign_in) in [
            (
                "user = 'licensing'\npassword_file = '/etc/openrms/root.password'",
                password,
            ),
            (
                "kerberos = { keytab = '/etc/openrms/svc.keytab', principal = 'svc@CORP.EXAMPLE' }",
                keytab,
            ),
            (
                "kerberos = { ccache = '/run/svc.ccache' }",
                RootSignIn::Kerberos(TicketSource::File("/run/svc.ccache".into())),
            ),
            ("kerberos = {}", RootSignIn::Kerberos(TicketSource::Own)),
        ] {
            assert_eq!(read(text).unwrap(), sign_in);
            let section = sign_in.table().unwrap().unwrap();
            let written = toml::to_string(&BTreeMap::from([("root_cluster", section)])).unwrap();
            assert_eq!(load(&written).unwrap(), sign_in, "{written}");
        }
        let typed = RootSignIn::Password {
            user: "licensing".to_owned(),
            password: Credential::Prompt,
        };
        assert!(typed.table().unwrap().is_none());
    }

    #[test]
    fn who_signs_in_is_said_once_and_wholly() {
        for (text, words) in [
            ("", "who signs in is missing"),
            ("user = 'a'", "`password_file` or `systemd` is missing"),
            ("password_file = 'p'", "`user` is missing"),
            ("user = 'a'\nkerberos = {}", "not both"),
            ("password_file = 'p'\nkerberos = {}", "not both"),
            ("user = 'a'\npassword_file = 'p'\nsystemd = 's'", "not both"),
            ("kerberos = { keytab = 'k' }", "`kerberos.principal`"),
            ("user = 'a'\npassword = 'p'", "unknown field `password`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
