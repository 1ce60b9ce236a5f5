//! HTTP Negotiate (RFC 4559) with Kerberos: the ticket says who the caller is, the directory what
//! is known of them (MS-RMPR 3.1.4.3).

use std::sync::Arc;

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openrms_directory::{Account, AccountRef, Directory, Sid};
use openrms_negotiate::{Acceptor, Logon};

use super::{NotSignedIn, SignedIn};
use crate::http::Peer;

/// Checks a token of the caller.
pub(super) async fn check(
    acceptor: &Arc<Acceptor>,
    directory: &dyn Directory,
    peer: Peer,
    credentials: &str,
    bindings: Option<Vec<u8>>,
) -> Result<SignedIn, NotSignedIn> {
    let token = STANDARD
        .decode(credentials)
        .map_err(|_| NotSignedIn::Missing)?;
    let acceptor = Arc::clone(acceptor);
    // The replay cache is a file.
    let accept = move || acceptor.accept(&token, bindings.as_deref());
    let accepted = tokio::task::spawn_blocking(accept).await;
    let accepted = match accepted {
        Ok(Ok(accepted)) => accepted,
        Ok(Err(error)) => {
            tracing::info!(peer = %peer.address, %error, "sign-in refused");
            return Err(NotSignedIn::Refused);
        }
        Err(error) => {
            tracing::error!(%error, "checking a ticket failed");
            return Err(NotSignedIn::Busy);
        }
    };
    // Without the part that the domain controller signed there is no SID, and a name alone could
    // be anybody's of any realm.
    let Some(logon) = &accepted.logon else {
        tracing::info!(peer = %peer.address, principal = accepted.principal, "a ticket without SIDs");
        return Err(NotSignedIn::Refused);
    };
    let reply = accepted.reply.as_deref().and_then(answer);
    let account = match account(&accepted.principal, logon, directory).await {
        Ok(account) => account,
        Err(NotSignedIn::Directory { error, .. }) => {
            return Err(NotSignedIn::Directory { error, reply });
        }
        Err(error) => return Err(error),
    };
    let groups = logon.group_sids.iter().filter_map(|sid| sid.parse().ok());
    Ok(SignedIn {
        groups: groups.collect(),
        reply,
        caller: account.into(),
    })
}

/// What the directory knows of the account. One that it does not know, of another forest, has no
/// mail address here, and the services say what that means.
async fn account(
    principal: &str,
    logon: &Logon,
    directory: &dyn Directory,
) -> Result<Account, NotSignedIn> {
    let sid: Sid = logon.user_sid.parse().map_err(|_| NotSignedIn::Refused)?;
    if let Some(account) = directory.account(&AccountRef::Sid(sid.clone())).await? {
        return Ok(account);
    }
    let name = format!("{}\\{}", logon.domain, logon.account);
    // As far as anybody here knows: the realm is a domain of theirs.
    let realm = principal.rsplit('@').next().unwrap_or_default();
    Ok(Account {
        sid,
        name: name.parse().map_err(|_| NotSignedIn::Refused)?,
        display_name: logon.account.clone(),
        mail: None,
        proxy_addresses: Vec::new(),
        enabled: true,
        forest: realm.parse().map_err(|_| NotSignedIn::Refused)?,
        created: None,
    })
}

fn answer(token: &[u8]) -> Option<HeaderValue> {
    HeaderValue::from_str(&openrms_negotiate::http::field(token)).ok()
}
