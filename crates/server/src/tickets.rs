//! Whose Kerberos tickets the server signs in with elsewhere, as its configuration file says it:
//! those that a key gets, those of a file, or the server's own (RFC 4120 section 1.3).
//!
//! ```toml
//! kerberos = { keytab = "/etc/openrms/svc-rms.keytab", principal = "svc-rms@CORP.EXAMPLE" }
//! kerberos = { ccache = "/run/openrms/svc-rms.ccache" }
//! kerberos = {}
//! ```

use std::io;
use std::path::{self, Path, PathBuf};

pub use openrms_negotiate::TicketSource;
use serde::{Deserialize, Serialize};

/// The value of `kerberos`: the server's own tickets when nothing is said.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TicketTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    keytab: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ccache: Option<PathBuf>,
}

impl TicketTable {
    /// How a configuration file in any folder says it.
    pub(crate) fn of(source: &TicketSource) -> io::Result<Self> {
        Ok(match source {
            TicketSource::Own => Self::default(),
            TicketSource::File(ccache) => Self {
                ccache: Some(path::absolute(ccache)?),
                ..Self::default()
            },
            TicketSource::Keytab { keytab, principal } => Self {
                keytab: Some(path::absolute(keytab)?),
                principal: Some(principal.clone()),
                ccache: None,
            },
        })
    }

    /// What it says. Relative paths start at `base`.
    pub(crate) fn source(self, base: &Path) -> Result<TicketSource, &'static str> {
        match (self.keytab, self.principal, self.ccache) {
            (None, None, None) => Ok(TicketSource::Own),
            (None, None, Some(ccache)) => Ok(TicketSource::File(base.join(ccache))),
            (Some(keytab), Some(principal), None) => Ok(TicketSource::Keytab {
                keytab: base.join(keytab),
                principal,
            }),
            (Some(_), None, None) => Err("`kerberos.principal` is missing beside `keytab`"),
            (None, Some(_), None) => Err("`kerberos.keytab` is missing beside `principal`"),
            (_, _, Some(_)) => {
                Err("`kerberos.ccache` takes the place of `keytab` and `principal`: not both")
            }
        }
    }
}
