//! NTLM for old clients (MS-RMPR 3.1.4.3, MS-NTHT): winbind's helper checks the answer to its
//! challenge with the domain, the directory says whose account it is. It signs in a connection,
//! not a request.

mod helper;
mod message;
mod pool;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use openrms_directory::{Account, AccountRef, Directory, Sid};
use tokio::runtime::Handle;

use super::{NotSignedIn, SignedIn};
use crate::config;
use crate::http::Peer;

use helper::Launcher;
use message::Token;
use pool::{Handshake, HandshakeError, Pool};

pub(super) use message::Message;

/// NTLM, switched on.
pub(crate) struct Ntlm {
    pool: Arc<Pool>,
    plain_http: bool,
}

/// What a connection came to by NTLM. It is for connections of one client alone: where a proxy may
/// share one between people, there is none.
pub(crate) struct NtlmSession {
    ntlm: Arc<Ntlm>,
    progress: Mutex<Progress>,
}

enum Progress {
    /// Nobody signed in.
    None,
    /// The client has a challenge to answer.
    HalfDone(Handshake),
    /// Whose the connection is. Only the SID: what else is known of them may change.
    SignedIn { sid: Sid, since: Instant },
}

/// The helper cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NtlmStartError(String);

impl Ntlm {
    /// Starts a helper. Its pipes, and those of all to come, are looked after on `runtime`.
    pub(super) fn start(settings: &config::Ntlm, runtime: Handle) -> Result<Self, NtlmStartError> {
        let launcher = Launcher {
            program: settings.helper.clone(),
            arguments: settings.helper_arguments.clone(),
            time_limit: Duration::from_secs(settings.time_limit.get().into()),
            runtime,
        };
        let pool = Pool::start(launcher, settings.processes.get())
            .map_err(|error| NtlmStartError(format!("{}: {error}", settings.helper.display())))?;
        Ok(Self {
            pool: Arc::new(pool),
            plain_http: settings.plain_http,
        })
    }
}

impl NtlmSession {
    /// A connection that is nobody's yet.
    pub(crate) fn new(ntlm: Arc<Ntlm>) -> Self {
        Self {
            ntlm,
            progress: Mutex::new(Progress::None),
        }
    }

    /// Whether it is for somebody who comes this way.
    pub(super) fn is_for(&self, peer: Peer) -> bool {
        self.ntlm.plain_http || peer.may_send_passwords()
    }

    /// Goes on with the handshake. A message comes with the word of HTTP that the client uses for
    /// it, and is answered with the same.
    pub(super) async fn go_on(
        &self,
        directory: &dyn Directory,
        peer: Peer,
        (scheme, message): (&str, Message),
    ) -> Result<SignedIn, NotSignedIn> {
        let name = match (message, self.replace(Progress::None)) {
            (Message::Begin(begin), before) => {
                // Its helper may be the one that is wanted now.
                drop(before);
                let begun = self.ntlm.pool.begin(&begin).await;
                let (challenge, handshake) = begun.map_err(|error| refused(peer, &error))?;
                self.replace(Progress::HalfDone(handshake));
                return Err(NotSignedIn::HalfDone(field(scheme, &challenge)?));
            }
            (Message::Answer(answer), Progress::HalfDone(handshake)) => {
                let checked = handshake.finish(&answer).await;
                checked.map_err(|error| refused(peer, &error))?
            }
            (Message::Answer(_), Progress::None | Progress::SignedIn { .. }) => {
                return Err(NotSignedIn::Missing);
            }
        };
        let account = directory.account(&AccountRef::Name(name.clone())).await?;
        let Some(account) = account.filter(|account| account.enabled) else {
            tracing::info!(peer = %peer.address, %name, "no account of the directory, or disabled");
            return Err(NotSignedIn::Refused);
        };
        self.replace(Progress::SignedIn {
            sid: account.sid.clone(),
            since: Instant::now(),
        });
        Ok(signed_in(account))
    }

    /// Who signed in on this connection, as the directory knows them now.
    pub(super) async fn account(
        &self,
        directory: &dyn Directory,
    ) -> Result<Option<SignedIn>, NotSignedIn> {
        let Some(sid) = self.remembered(Instant::now()) else {
            return Ok(None);
        };
        let account = directory.account(&AccountRef::Sid(sid)).await?;
        let Some(account) = account.filter(|account| account.enabled) else {
            self.end();
            return Err(NotSignedIn::Refused);
        };
        Ok(Some(signed_in(account)))
    }

    /// Makes the connection nobody's.
    pub(super) fn end(&self) {
        self.replace(Progress::None);
    }

    fn replace(&self, progress: Progress) -> Progress {
        let mut own = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *own, progress)
    }

    fn remembered(&self, now: Instant) -> Option<Sid> {
        match &*self.progress.lock().unwrap_or_else(PoisonError::into_inner) {
            Progress::SignedIn { sid, since } if now.duration_since(*since) < REMEMBERED => {
                Some(sid.clone())
            }
            _ => None,
        }
    }
}

fn signed_in(account: Account) -> SignedIn {
    SignedIn {
        caller: account.into(),
        groups: Vec::new(),
        reply: None,
    }
}

fn refused(peer: Peer, error: &HandshakeError) -> NotSignedIn {
    match error {
        HandshakeError::Refused(refusal) if !refusal.is_outage() => {
            tracing::info!(peer = %peer.address, %error, "sign-in refused");
            NotSignedIn::Refused
        }
        HandshakeError::Busy | HandshakeError::TooLate => {
            tracing::info!(peer = %peer.address, %error, "NTLM has to be tried again");
            NotSignedIn::Busy
        }
        HandshakeError::Refused(_) | HandshakeError::Helper(_) => {
            tracing::warn!(peer = %peer.address, %error, "NTLM does not work");
            NotSignedIn::Busy
        }
    }
}

fn field(scheme: &str, challenge: &Token) -> Result<HeaderValue, NotSignedIn> {
    let field = format!("{scheme} {}", challenge.as_str());
    let mut field = HeaderValue::try_from(field).map_err(|_| NotSignedIn::Busy)?;
    // Not for the log.
    field.set_sensitive(true);
    Ok(field)
}

/// A password that was changed meanwhile is asked for after this at the latest.
const REMEMBERED: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn session(plain_http: bool) -> NtlmSession {
        let settings = config::Ntlm {
            helper: "/bin/cat".into(),
            plain_http,
            ..config::Ntlm::default()
        };
        let ntlm = Ntlm::start(&settings, Handle::current()).unwrap();
        NtlmSession::new(Arc::new(ntlm))
    }

    #[tokio::test]
    async fn it_crosses_no_network_in_the_clear_unless_that_is_wanted() {
        let peer = |address: &str, tls| Peer {
            address: address.parse().unwrap(),
            tls,
        };
        for plain_http in [false, true] {
            let session = session(plain_http);
            assert!(session.is_for(peer("127.0.0.1:1", false)));
            assert!(session.is_for(peer("192.0.2.1:1", true)));
            assert_eq!(session.is_for(peer("192.0.2.1:1", false)), plain_http);
        }
    }

    #[tokio::test]
    async fn a_connection_is_somebodys_for_an_hour() {
        let session = session(false);
        let since = Instant::now();
        let sid: Sid = "S-1-5-21-1-2-3-1101".parse().unwrap();
        session.replace(Progress::SignedIn {
            sid: sid.clone(),
            since,
        });
        let almost = since + Duration::from_mins(59);
        assert_eq!(session.remembered(almost), Some(sid));
        assert_eq!(session.remembered(since + Duration::from_hours(1)), None);
    }
}
