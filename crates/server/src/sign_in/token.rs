//! Access tokens of `OpenID` Connect issuers (RFC 6750): the issuer says who the caller is, the
//! directory which account that is.

use openrms_directory::{AccountRef, Directory};
use openrms_engine::Caller;

use super::bearer::{Bearer, BearerError};
use super::{NotSignedIn, SignedIn};
use crate::clock;
use crate::http::Peer;

/// Checks a token.
pub(super) async fn check(
    bearer: &Bearer,
    directory: &dyn Directory,
    peer: Peer,
    token: &str,
) -> Result<SignedIn, NotSignedIn> {
    let identity = match bearer.check(token, clock::now()).await {
        Ok(identity) => identity,
        Err(BearerError::Keys(error)) => {
            tracing::warn!(%error, "the keys of an issuer cannot be had");
            return Err(NotSignedIn::Issuer);
        }
        Err(error) => {
            tracing::info!(peer = %peer.address, %error, "sign-in refused");
            return Err(NotSignedIn::Refused);
        }
    };
    // An account's name, and groups, are the issuer's words for its own people; a SID counts only
    // where the configuration trusts it with SIDs.
    let who = match identity.sid {
        Some(sid) => AccountRef::Sid(sid),
        None => AccountRef::Address(identity.mail),
    };
    let Some(account) = directory.account(&who).await? else {
        tracing::info!(
            peer = %peer.address,
            issuer = identity.issuer,
            subject = identity.subject,
            "a token that names no account of the directory"
        );
        return Err(NotSignedIn::Refused);
    };
    Ok(SignedIn {
        caller: Caller {
            account: Some(account),
            scheme: Some("bearer"),
        },
        groups: Vec::new(),
        reply: None,
    })
}
