//! Who is calling (`RequestContext` of MS-RMPR 3.1.1.1.8 and 3.1.4.3): the ways to sign in, and
//! which of them are offered where.

mod basic;
mod bearer;
mod certificate;
mod failures;
mod jwks;
mod negotiate;
mod ntlm;
mod token;

use std::sync::Arc;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use openrms_directory::{Directory, DirectoryError, Identity, Sid};
use openrms_engine::Caller;
use openrms_negotiate::{Acceptor, AcceptorSettings, NegotiateError};
use openrms_protocol::Service;
use tokio::runtime::Handle;

use crate::access::{GroupRef, Scheme};
use crate::config::{self, Config};
use crate::http::{self, Peer};
use crate::outbound::OutboundError;
use crate::snapshot::Snapshot;
use crate::state::State;

use bearer::Bearer;
use jwks::{Fetch, HttpFetch};
use ntlm::{Message, Ntlm, NtlmStartError};

pub(crate) use bearer::BearerSettings;
pub(crate) use certificate::ClientCertificate;
pub(crate) use failures::FailedSignIns;
pub(crate) use ntlm::NtlmSession;

/// The ways to sign in that are switched on, the people list's passwords aside.
pub(crate) struct Schemes {
    /// Kerberos.
    pub(crate) negotiate: Option<Arc<Acceptor>>,
    /// What a ticket that is bound to this server's TLS is bound to.
    pub(crate) end_point: Option<Vec<u8>>,
    /// For clients that know nothing better.
    pub(crate) ntlm: Option<Arc<Ntlm>>,
    /// Tokens of `OpenID` Connect issuers.
    pub(crate) bearer: Option<Bearer>,
}

/// Why a way to sign in cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum SchemeError {
    /// Tickets cannot be checked.
    #[error("[sign_in.negotiate]: {0}")]
    Negotiate(#[from] NegotiateError),
    /// The helper for NTLM does not start.
    #[error("[sign_in.ntlm] helper {0}")]
    Ntlm(#[from] NtlmStartError),
    /// Issuers of tokens cannot be asked for their keys.
    #[error("[sign_in.tokens]: {0}")]
    Tokens(OutboundError),
}

/// What a request carries to say whose it is.
#[derive(Clone, Copy)]
pub(crate) struct Credentials<'r> {
    pub(crate) headers: &'r HeaderMap,
    pub(crate) connection: &'r ConnectionFacts,
}

impl Credentials<'_> {
    /// Whether the request says whose it is, rightly or not.
    pub(crate) fn are_given(&self) -> bool {
        self.headers.contains_key(AUTHORIZATION)
    }
}

/// What the connection itself tells of the caller; nothing where a proxy is between.
#[derive(Clone, Default)]
pub(crate) struct ConnectionFacts {
    pub(crate) tls: TlsFacts,
    /// Where NTLM goes on, when it may.
    pub(crate) ntlm: Option<Arc<NtlmSession>>,
}

/// The TLS between the caller and this server, as far as no proxy is between.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsFacts {
    /// The certificate that the caller showed.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
    /// Whether the caller's TLS ends here, with this server's own certificate.
    pub(crate) ends_here: bool,
}

/// Somebody who signed in.
pub(crate) struct SignedIn {
    pub(crate) caller: Caller,
    /// SIDs of groups that whoever vouched for the caller told.
    groups: Vec<Sid>,
    /// What the caller is told in turn, to know that this is the right server.
    pub(crate) reply: Option<HeaderValue>,
}

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSignedIn {
    /// Passwords would cross the network in the clear.
    #[error(
        "Passwords are accepted over HTTPS, or from the server's own machine, and nowhere else."
    )]
    Insecure,
    /// The caller has to answer this first.
    #[error("The sign-in goes on with the next request.")]
    HalfDone(HeaderValue),
    /// No credentials, or not in a form that is offered.
    #[error("Sign in with your account name or mail address and your password.")]
    Missing,
    /// Wrong account or password, a ticket that does not hold, or a disabled account.
    #[error("The account and what was shown for it do not let you in.")]
    Refused,
    /// Too many failures.
    #[error("Too many sign-ins failed. Try again in a minute.")]
    TooMany,
    /// Too many sign-ins are being checked.
    #[error("The server is busy checking passwords. Try again in a moment.")]
    Busy,
    /// The keys of whoever issued the token cannot be had.
    #[error("The issuer of the token does not answer.")]
    Issuer,
    /// Federated sign-on must tell a mail address (MS-RMPR 3.1.4.1).
    #[error("{0}")]
    MailAddress(String),
    /// The directory did not say who the caller is.
    #[error("The directory did not answer.")]
    Directory {
        /// Why.
        error: DirectoryError,
        /// What the caller is told in turn all the same.
        reply: Option<HeaderValue>,
    },
}

impl From<DirectoryError> for NotSignedIn {
    fn from(error: DirectoryError) -> Self {
        Self::Directory { error, reply: None }
    }
}

impl Schemes {
    /// Opens what the configuration names. Helpers are looked after on `runtime`.
    pub(crate) fn start(config: &Config, runtime: Handle) -> Result<Self, SchemeError> {
        let acceptor = |negotiate: &config::Negotiate| {
            let cache = negotiate.replay_cache.clone();
            Acceptor::new(&AcceptorSettings {
                keytab: negotiate.keytab.clone(),
                replay_cache: cache.unwrap_or_else(|| config.data.replay_cache()),
                service: None,
            })
        };
        let negotiate = config.negotiate.as_ref().map(acceptor).transpose()?;
        let bearer = |settings: &BearerSettings| {
            let http = HttpFetch::new(None, config.outbound_proxy.as_deref())
                .map_err(SchemeError::Tokens)?;
            let http: Arc<dyn Fetch> = Arc::new(http);
            Ok::<_, SchemeError>(Bearer::new(settings.clone(), &http))
        };
        let ntlm = config.ntlm.as_ref();
        let ntlm = ntlm.map(|ntlm| Ntlm::start(ntlm, runtime)).transpose()?;
        Ok(Self {
            negotiate: negotiate.map(Arc::new),
            ntlm: ntlm.map(Arc::new),
            end_point: config.tls.as_ref().and_then(http::end_point),
            bearer: config.tokens.as_ref().map(bearer).transpose()?,
        })
    }

    /// Whether tokens of federated people are taken, or else those of accounts of the directory.
    pub(crate) fn takes_tokens(&self, federated: bool) -> bool {
        let bearer = self.bearer.as_ref();
        bearer.is_some_and(|bearer| bearer.has_issuer(federated))
    }
}

/// Signs the caller in by what the request carries.
pub(crate) async fn sign_in(
    state: &State,
    snapshot: &Snapshot,
    peer: Peer,
    service: Service,
    carried: Credentials<'_>,
) -> Result<SignedIn, NotSignedIn> {
    let offered = offered(state, snapshot, (peer, carried.connection), service);
    let given = carried
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.split_once(' '));
    let is = |scheme: Scheme| {
        offered.contains(&scheme)
            && given.is_some_and(|(name, _)| name.eq_ignore_ascii_case(scheme.name()))
    };
    let (_, credentials) = given.unwrap_or_default();
    let credentials = credentials.trim();
    let directory = snapshot.accounts.directory();
    if let Some(session) = &carried.connection.ntlm {
        let is_offered = offered.contains(&Scheme::Ntlm);
        if let Some(message) = given.and_then(ntlm_message).filter(|_| is_offered) {
            return session.go_on(directory, peer, message).await;
        }
        if carried.are_given() {
            // Whoever says who they are is who they say, or nobody, from here on.
            session.end();
        } else if is_offered && let Some(signed_in) = session.account(directory).await? {
            return Ok(signed_in);
        }
    }
    if let Some(list) = snapshot.accounts.list().filter(|_| is(Scheme::Basic)) {
        let account = basic::check(state, list, peer, credentials).await?;
        return Ok(SignedIn {
            caller: account.into(),
            groups: Vec::new(),
            reply: None,
        });
    }
    if let Some(acceptor) = state
        .schemes
        .negotiate
        .as_ref()
        .filter(|_| is(Scheme::Negotiate))
    {
        let bindings = state.schemes.end_point.clone();
        let bindings = bindings.filter(|_| carried.connection.tls.ends_here);
        return negotiate::check(acceptor, directory, peer, credentials, bindings).await;
    }
    if let Some(bearer) = state.schemes.bearer.as_ref().filter(|_| is(Scheme::Bearer)) {
        return token::check(bearer, directory, (peer, service), credentials).await;
    }
    if let (Some(settings), Some(shown), None) = (
        &state.config.certificates,
        &carried.connection.tls.certificate,
        given,
    ) && offered.contains(&Scheme::Certificate)
    {
        return certificate::check(settings, directory, shown).await;
    }
    // Whoever could sign in with a password is not asked for it where it would be overheard.
    if offered.is_empty() {
        Err(NotSignedIn::Insecure)
    } else {
        Err(NotSignedIn::Missing)
    }
}

/// What a caller who did not sign in is told to try.
pub(crate) fn challenges(
    state: &State,
    snapshot: &Snapshot,
    caller: (Peer, &ConnectionFacts),
    service: Service,
) -> impl Iterator<Item = HeaderValue> {
    let offered = offered(state, snapshot, caller, service);
    offered
        .into_iter()
        .filter_map(|scheme| scheme.challenge().map(HeaderValue::from_static))
}

impl SignedIn {
    /// Whether the caller is in one of these groups, by what was vouched for or by what the
    /// directory says.
    pub(crate) async fn is_in_one(
        &self,
        groups: &[GroupRef],
        directory: &dyn Directory,
    ) -> Result<bool, DirectoryError> {
        let identity = match &self.caller {
            Caller::Account(account) if account.enabled => Identity::from(&**account),
            Caller::Federated(account) => Identity::from(account),
            // A ticket outlives the account by hours.
            Caller::Account(_) | Caller::Nobody => return Ok(false),
        };
        let vouched =
            |group: &GroupRef| matches!(group, GroupRef::Sid(sid) if self.groups.contains(sid));
        if groups.iter().any(vouched) {
            return Ok(true);
        }
        let memberships = directory.memberships(&identity).await?;
        Ok(groups.iter().any(|group| match group {
            GroupRef::Sid(sid) => memberships.contains_sid(sid.as_str()),
            GroupRef::Address(address) => memberships.is_in_group(address.key()),
        }))
    }
}

impl Scheme {
    /// Its name in HTTP.
    fn name(self) -> &'static str {
        match self {
            Self::Basic => "Basic",
            Self::Negotiate => "Negotiate",
            Self::Ntlm => "NTLM",
            Self::Bearer => "Bearer",
            // Not HTTP's business: nobody can write it in a header.
            Self::Certificate => "",
        }
    }

    fn challenge(self) -> Option<&'static str> {
        match self {
            Self::Basic => Some("Basic realm=\"OpenRMS\", charset=\"UTF-8\""),
            Self::Negotiate => Some("Negotiate"),
            Self::Ntlm => Some("NTLM"),
            Self::Bearer => Some("Bearer realm=\"OpenRMS\""),
            Self::Certificate => None,
        }
    }
}

/// A message of NTLM, and the word that it came with. Old clients put it into Negotiate as it is.
fn ntlm_message((word, credentials): (&str, &str)) -> Option<(&'static str, Message)> {
    let scheme = [Scheme::Ntlm, Scheme::Negotiate]
        .into_iter()
        .find(|scheme| word.eq_ignore_ascii_case(scheme.name()))?;
    Some((scheme.name(), Message::read(credentials.trim())?))
}

/// The ways to sign in at a service over this connection, the one that asks least of people
/// first.
fn offered(
    state: &State,
    snapshot: &Snapshot,
    (peer, connection): (Peer, &ConnectionFacts),
    service: Service,
) -> Vec<Scheme> {
    let is_on = |scheme: &Scheme| match scheme {
        Scheme::Negotiate => state.schemes.negotiate.is_some(),
        Scheme::Ntlm => {
            let session = connection.ntlm.as_ref();
            session.is_some_and(|session| session.is_for(peer))
        }
        Scheme::Bearer => {
            state.schemes.takes_tokens(service.is_external()) && peer.may_send_passwords()
        }
        Scheme::Certificate => state.config.certificates.is_some() && peer.tls,
        Scheme::Basic => {
            snapshot.accounts.list().is_some() && state.config.basic && peer.may_send_passwords()
        }
    };
    [
        Scheme::Certificate,
        Scheme::Negotiate,
        Scheme::Ntlm,
        Scheme::Bearer,
        Scheme::Basic,
    ]
    .into_iter()
    .filter(|scheme| is_on(scheme) && state.config.access.allows(service, *scheme))
    .collect()
}

#[cfg(test)]
mod tests {
    use openrms_directory::{Account, BuiltIn};

    use super::*;

    #[tokio::test]
    async fn a_ticket_that_outlived_its_account_opens_nothing() {
        let directory = BuiltIn::from_toml(PEOPLE).unwrap();
        let who = openrms_directory::AccountRef::parse("alice").unwrap();
        let alice = directory.account(&who).await.unwrap().unwrap();
        let vouched: Sid = "S-1-5-21-9-9-9-513".parse().unwrap();
        let groups = [
            GroupRef::Sid(vouched.clone()),
            GroupRef::try_from("staff@corp.example".to_owned()).unwrap(),
        ];
        for (enabled, group) in [(true, 0), (true, 1), (false, 0), (false, 1)] {
            let signed_in = SignedIn {
                caller: Caller::from(Account {
                    enabled,
                    ..alice.clone()
                }),
                groups: vec![vouched.clone()],
                reply: None,
            };
            let is_in = signed_in.is_in_one(&groups[group..=group], &directory);
            assert_eq!(is_in.await.unwrap(), enabled, "group {group}");
        }
    }

    const PEOPLE: &str = "forest = \"corp.example\"\ndomain_sid = \"S-1-5-21-1-2-3\"\n\
        next_rid = 1200\n[[person]]\naccount = \"alice\"\nsid = \"S-1-5-21-1-2-3-1101\"\n\
        display_name = \"Alice\"\nmail = \"alice@corp.example\"\n[[group]]\n\
        address = \"staff@corp.example\"\nsid = \"S-1-5-21-1-2-3-1102\"\nmembers = [\"alice\"]\n";
}
