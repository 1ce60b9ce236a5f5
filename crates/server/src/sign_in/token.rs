//! Access tokens of `OpenID` Connect issuers (RFC 6750): the issuer says who the caller is, the
//! directory which account that is, or that it has none for somebody of another organization.

use openrms_directory::{AccountRef, Directory};
use openrms_engine::{Caller, FederatedAccount};
use openrms_protocol::Service;

use super::bearer::{Bearer, BearerError, Standing};
use super::{NotSignedIn, SignedIn};
use crate::clock;
use crate::http::Peer;

/// Checks a token.
pub(super) async fn check(
    bearer: &Bearer,
    directory: &dyn Directory,
    (peer, service): (Peer, Service),
    token: &str,
) -> Result<SignedIn, NotSignedIn> {
    let refused = |why: &str| {
        tracing::info!(peer = %peer.address, endpoint = service.path(), why, "sign-in refused");
        NotSignedIn::Refused
    };
    let identity = match bearer.check(token, clock::now()).await {
        Ok(identity) => identity,
        Err(BearerError::Keys(error)) => {
            tracing::warn!(%error, "the keys of an issuer cannot be had");
            return Err(NotSignedIn::Issuer);
        }
        Err(error @ (BearerError::MailMissing | BearerError::MailInvalid))
            if service.is_external() =>
        {
            return Err(NotSignedIn::MailAddress(error.to_string()));
        }
        Err(error) => return Err(refused(&error.to_string())),
    };
    let issuer = identity.issuer.as_str();
    // Each kind of people has paths of its own (MS-RMPR 3.1.4.2).
    let found = match (identity.standing, service.is_external()) {
        (Standing::Federated { aliases }, true) => {
            FederatedAccount::find(directory, identity.mail, aliases)
                .await?
                .map(Caller::Federated)
        }
        // An account's name, and groups, are the issuer's words for its own people; a SID counts
        // only where the configuration trusts it with SIDs.
        (Standing::Directory { sid }, false) => {
            let who = sid.map_or(AccountRef::Address(identity.mail), AccountRef::Sid);
            directory.account(&who).await?.map(Caller::from)
        }
        (Standing::Federated { .. }, false) => {
            return Err(refused(
                "a federated issuer speaks at the external paths alone",
            ));
        }
        (Standing::Directory { .. }, true) => {
            return Err(refused("the external paths are for federated issuers"));
        }
    };
    let Some(caller) = found else {
        tracing::info!(
            peer = %peer.address,
            issuer,
            subject = identity.subject,
            "a token of somebody whom its issuer may not speak for here"
        );
        return Err(NotSignedIn::Refused);
    };
    Ok(SignedIn {
        caller,
        groups: Vec::new(),
        reply: None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use openrms_directory::BuiltIn;
    use serde_json::{Value, json};

    use super::super::bearer::test_issuer::{NOW, TestIssuer, TestKey, claims, settings};
    use super::super::jwks::Fetch;
    use super::*;

    /// What becomes of a token with these claims changed, at a service.
    async fn outcome(more: &str, service: Service, changed: Value) -> Result<Caller, NotSignedIn> {
        let key = TestKey::ec("one");
        let http: Arc<dyn Fetch> = Arc::new(TestIssuer::with(&[&key]));
        let bearer = Bearer::new(settings(more), &http);
        let directory = BuiltIn::from_toml(PEOPLE).unwrap();
        let peer = Peer {
            address: ([127, 0, 0, 1], 1).into(),
            tls: true,
        };
        // Valid by the clock of this machine.
        let mut all = claims(&changed);
        all["nbf"] = json!(0);
        all["exp"] = json!(NOW.unix());
        let token = key.token(&all);
        let signed_in = check(&bearer, &directory, (peer, service), &token).await;
        signed_in.map(|signed_in| signed_in.caller)
    }

    #[tokio::test]
    async fn accounts_and_federated_people_have_paths_of_their_own() {
        let own = "mail_domains = [\"corp.example\"]";
        let federated = format!("federated = true\n{own}");
        let pat = || json!({ "email": "pat@corp.example" });
        for (more, service, changed, expected) in [
            (own, Service::Certification, json!({}), Some("alice")),
            (own, Service::CertificationExternal, json!({}), None),
            (own, Service::Certification, pat(), None),
            (
                &federated,
                Service::CertificationExternal,
                pat(),
                Some("pat@corp.example"),
            ),
            (
                &federated,
                Service::LicenseExternal,
                pat(),
                Some("pat@corp.example"),
            ),
            (&federated, Service::Certification, pat(), None),
            // The directory has an account for her, by both of her addresses.
            (&federated, Service::CertificationExternal, json!({}), None),
            (&federated, Service::Certification, json!({}), None),
            (
                &federated,
                Service::CertificationExternal,
                json!({ "email": "a.smith@corp.example" }),
                None,
            ),
        ] {
            let caller = outcome(more, service, changed).await;
            let name = caller.as_ref().ok().and_then(Caller::name);
            assert_eq!(name.as_deref(), expected, "{service:?} {more}");
        }
    }

    #[tokio::test]
    async fn a_federated_person_must_have_a_mail_address() {
        let federated = "federated = true\nmail_domains = [\"corp.example\"]";
        for none in [json!("pat"), json!(null), json!("a b@corp.example")] {
            let changed = json!({ "email": none });
            let at = Service::CertificationExternal;
            let refused = outcome(federated, at, changed).await.unwrap_err();
            assert!(matches!(refused, NotSignedIn::MailAddress(_)), "{none}");
        }
        let outside = json!({ "email": "pat@other.example" });
        let refused = outcome(federated, Service::CertificationExternal, outside).await;
        assert!(matches!(refused, Err(NotSignedIn::Refused)));
    }

    const PEOPLE: &str = "forest = \"corp.example\"\ndomain_sid = \"S-1-5-21-1-2-3\"\n\
        next_rid = 1200\n[[person]]\naccount = \"alice\"\nsid = \"S-1-5-21-1-2-3-1101\"\n\
        display_name = \"Alice\"\nmail = \"alice@corp.example\"\n\
        addresses = [\"a.smith@corp.example\"]\n";
}
