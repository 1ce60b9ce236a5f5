//! Whose tickets a client signs in with (RFC 4120 section 1.3): those of whoever runs the program,
//! those of a file, or such as it gets itself with the key in a keytab.

use std::ffi::CString;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::NegotiateError;
use crate::acceptor::{is_service, typed_path};
use crate::ffi::{Context, Credential, Gss, Name, Purpose, Status};

/// Where tickets come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TicketSource {
    /// Whoever runs the program got them (`KRB5CCNAME`, or the cache that `krb5.conf` names).
    Own,
    /// They are in a file that `kinit -c` made and somebody keeps fresh.
    File(PathBuf),
    /// They are got from the domain controller with the key in a keytab.
    Keytab {
        /// The file, as `ktutil` or `samba-tool domain exportkeytab` write it.
        keytab: PathBuf,
        /// Whose key it is, `svc-rms@CORP.EXAMPLE`; without a realm, of the default one.
        principal: String,
    },
}

/// A source of tickets that is ready for use, by any thread.
///
/// Tickets that were got with a keytab are kept in memory for as long as the process runs, and new
/// ones are got when half of their time is over. Each exchange looks for valid ones anew.
pub struct Tickets {
    gss: &'static Gss,
    holder: Holder,
}

impl Tickets {
    /// Opens the library, and looks whether a keytab can be read. Whether there are tickets is only
    /// seen when one is needed.
    pub fn new(source: TicketSource) -> Result<Self, NegotiateError> {
        let holder = match source {
            TicketSource::Own => Holder::Own,
            TicketSource::File(path) => Holder::File(typed_path("FILE:", &path)?),
            TicketSource::Keytab { keytab, principal } => Holder::Keytab(Client {
                keys: typed_path("FILE:", &keytab)?,
                memory: unused_memory(),
                principal: checked(principal)?,
                keytab: readable(keytab)?,
                turn: Mutex::default(),
            }),
        };
        Ok(Self {
            gss: Gss::load()?,
            holder,
        })
    }

    /// Whose tickets they are, `alice@CORP.EXAMPLE`. Blocks as getting a ticket does.
    pub fn principal(&self) -> Result<String, NegotiateError> {
        let credential = self.credential(Purpose::SignIn)?;
        let name = credential.owner().and_then(|name| name.display());
        let name = String::from_utf8(name.map_err(refusal)?);
        name.ok()
            .filter(|name| !name.chars().any(char::is_control))
            .ok_or(NegotiateError::PrincipalName)
    }

    /// A credential with a valid ticket, as far as that can be known without the service. Blocks on
    /// the KDC when a keytab's ticket is to be got or renewed.
    pub(crate) fn credential(&self, purpose: Purpose) -> Result<Credential, NegotiateError> {
        let cache = match &self.holder {
            Holder::Own => None,
            Holder::File(cache) => Some(cache.as_c_str()),
            Holder::Keytab(client) => return client.credential(self.gss, purpose),
        };
        self.gss
            .initiator_credential(cache, purpose)
            .map_err(refusal)
    }

    /// The name of a service that [`check_target`] let pass.
    pub(crate) fn target(&self, target: &str) -> Result<Name, NegotiateError> {
        self.gss.service_name(target).map_err(refusal)
    }

    /// An exchange that has not begun.
    pub(crate) fn context(&self) -> Context {
        self.gss.context()
    }
}

/// `service@host.name`.
pub(crate) fn check_target(target: &str) -> Result<(), NegotiateError> {
    if target.contains('@') && is_service(target) {
        return Ok(());
    }
    Err(NegotiateError::ServiceName {
        name: target.to_owned(),
    })
}

/// Expired tickets are known by their text: the library finds out late, and calls it a failure
/// among others.
pub(crate) fn refusal(status: Status) -> NegotiateError {
    let text = status.text;
    match status.routine {
        Status::NO_CREDENTIAL | Status::CREDENTIALS_EXPIRED => NegotiateError::NoTicket { text },
        _ if text.ends_with(EXPIRED) => NegotiateError::NoTicket { text },
        _ => NegotiateError::Refused { text },
    }
}

enum Holder {
    Own,
    File(CString),
    Keytab(Client),
}

/// Somebody with a key.
struct Client {
    keytab: PathBuf,
    keys: CString,
    memory: CString,
    principal: String,
    /// One thread at a time gets a ticket, and the others then find it.
    turn: Mutex<()>,
}

impl Client {
    fn credential(
        &self,
        gss: &'static Gss,
        purpose: Purpose,
    ) -> Result<Credential, NegotiateError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        gss.principal_name(&self.principal)
            .and_then(|name| gss.keytab_credential(&name, &self.keys, &self.memory, purpose))
            .map_err(|Status { text, .. }| {
                let (keytab, principal) = (self.keytab.clone(), self.principal.clone());
                if text.ends_with(WRONG_KEY) {
                    return NegotiateError::WrongKey { keytab, principal };
                }
                // What the library says when there is no key to fill the empty cache with.
                let text = if text.ends_with(EMPTY_CACHE) {
                    "it holds no key of theirs".to_owned()
                } else {
                    text
                };
                NegotiateError::NoKeytabTicket {
                    keytab,
                    principal,
                    text,
                }
            })
    }
}

/// Looked at here because the library would say so only when a ticket is needed.
fn readable(keytab: PathBuf) -> Result<PathBuf, NegotiateError> {
    match File::open(&keytab) {
        Ok(_) => Ok(keytab),
        Err(source) => Err(NegotiateError::Keytab {
            path: keytab,
            source,
        }),
    }
}

fn checked(principal: String) -> Result<String, NegotiateError> {
    let sound = (1..=LONGEST_NAME).contains(&principal.len())
        && !principal.starts_with('@')
        && !principal.chars().any(|c| c.is_control() || c == ' ');
    if sound {
        Ok(principal)
    } else {
        Err(NegotiateError::Principal { name: principal })
    }
}

/// A cache of this process that nobody else uses: two accounts must not find each other's tickets.
fn unused_memory() -> CString {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // Digits hold no NUL.
    CString::new(format!("MEMORY:openrms-{number}")).unwrap_or_default()
}

/// MIT's text of `KRB_AP_ERR_TKT_EXPIRED` (RFC 4120 7.5.9).
const EXPIRED: &str = "Ticket expired";
/// MIT's text of `KDC_ERR_PREAUTH_FAILED`.
const WRONG_KEY: &str = "Preauthentication failed";
/// MIT's text of a cache in memory that nothing was put into.
const EMPTY_CACHE: &str = "No credentials cache found";
const LONGEST_NAME: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn keytab(keytab: PathBuf, principal: &str) -> Result<Tickets, NegotiateError> {
        Tickets::new(TicketSource::Keytab {
            keytab,
            principal: principal.to_owned(),
        })
    }

    #[test]
    fn tickets_go_from_thread_to_thread() {
        fn shared<T: Send + Sync>() {}
        shared::<Tickets>();
    }

    #[test]
    fn a_keytab_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("ldap.keytab");
        let error = keytab(missing.clone(), "svc@CORP.EXAMPLE").err().unwrap();
        assert!(matches!(error, NegotiateError::Keytab { path, .. } if path == missing));
    }

    #[test]
    fn principals_have_sound_names() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ldap.keytab");
        std::fs::write(&file, [5, 2]).unwrap();
        let long = "a".repeat(LONGEST_NAME + 1);
        for bad in ["", "@CORP.EXAMPLE", "a b@CORP.EXAMPLE", "a\0@B", &long] {
            let error = keytab(file.clone(), bad).err().unwrap();
            assert!(matches!(error, NegotiateError::Principal { name } if name == bad));
        }
    }

    #[test]
    fn each_keytab_has_a_memory_of_its_own() {
        assert_ne!(unused_memory(), unused_memory());
    }
}
