//! Who is calling, by the access token of an OIDC issuer: `Authorization: Bearer`
//! (RFC 6750, 2.1) with a signed JWT, validated as RFC 9068, section 4, and RFC 8725 ask.

mod settings;
mod token;

#[cfg(test)]
pub(super) mod test_issuer;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use openrms_directory::{Address, Sid};
use openrms_xrml::Time;
use serde_json::Value;

pub(crate) use settings::{BearerSettings, IssuerSettings, VerifiedMail};
use token::{Claims, Unverified};

use crate::sign_in::jwks::{Fetch, IssuerKeys, KeysError, NoSuchKey};

/// Accepts access tokens of the configured issuers.
pub(crate) struct Bearer(Vec<Issuer>);

/// Whom a token was issued to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BearerIdentity {
    /// Who says so.
    pub(crate) issuer: String,
    /// What the issuer calls them, for ever; unique at this issuer only.
    pub(crate) subject: String,
    /// The mail address, in a domain that the issuer may speak for.
    pub(crate) mail: Address,
    /// The account's name. Issuers need not keep it unique, nor to themselves
    /// (OIDC Core 1.0, 5.7).
    pub(crate) account: Option<String>,
    /// What the issuer may vouch for.
    pub(crate) standing: Standing,
    /// What the issuer calls their groups. Not all of them where it leaves out long lists.
    pub(crate) groups: Vec<String>,
    /// When the token expires.
    pub(crate) expires: Time,
}

/// For whom an issuer may speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// For accounts of the directory.
    Directory {
        /// The SID, when the issuer is trusted with SIDs.
        sid: Option<Sid>,
    },
    /// For people whom the directory has no account for.
    Federated {
        /// Their further mail addresses, in domains that the issuer may speak for.
        aliases: Vec<Address>,
    },
}

/// Why a token is not accepted. Nothing that stands in the token is told. The text of
/// [`Keys`](Self::Keys) has the issuer's URLs and is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BearerError {
    /// Longer than any token should be.
    #[error("the token is too long")]
    TooLong,
    /// Not a signed token in compact form.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// Encrypted, and nobody here has a key for it.
    #[error("the token is encrypted")]
    Encrypted,
    /// A token in a token.
    #[error("the token holds another token")]
    Nested,
    /// The header has extensions that must be understood, and none is.
    #[error("the token's header has critical extensions")]
    CriticalHeader,
    /// Another kind of token, such as one for signing out.
    #[error("the token is not an access token")]
    Kind,
    /// Signed in a way that is not configured, or not signed.
    #[error("the token's signature algorithm is not accepted")]
    Algorithm,
    /// Of an issuer that is not configured.
    #[error("the token's issuer is not accepted")]
    Issuer,
    /// The issuer's keys cannot be had. Not the caller's fault.
    #[error("the issuer's keys cannot be had: {0}")]
    Keys(#[from] KeysError),
    /// The issuer has no such key.
    #[error("the issuer has no key of the token's name and algorithm")]
    UnknownKey,
    /// The token names no key, and the issuer has several.
    #[error("the token does not say which of the issuer's keys it is signed with")]
    NoKeyId,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// Of the past.
    #[error("the token has expired")]
    Expired,
    /// Of the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// For somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// Only for whoever proves to have a key, which is not asked for here.
    #[error("the token is bound to a key and no bearer token")]
    BoundToKey,
    /// A claim that must be there is not.
    #[error("the token has no claim {0:?}")]
    ClaimMissing(String),
    /// A claim cannot be read.
    #[error("the token's claim {0:?} cannot be read")]
    ClaimInvalid(String),
    /// A required scope is missing.
    #[error("the token lacks the scope {0:?}")]
    ScopeMissing(String),
    /// A required role is missing.
    #[error("the token lacks the role {0:?}")]
    RoleMissing(String),
    /// No mail address.
    #[error("the token has no mail address")]
    MailMissing,
    /// Not a mail address.
    #[error("the token's mail address is none")]
    MailInvalid,
    /// The issuer does not vouch for the mail address.
    #[error("the mail address is not verified")]
    MailUnverified,
    /// The issuer may not speak for the domain.
    #[error("the issuer may not speak for the mail address's domain")]
    MailDomain,
}

impl Bearer {
    /// Fetches nothing before the first token comes.
    pub(crate) fn new(settings: BearerSettings, http: &Arc<dyn Fetch>) -> Self {
        let issuer = |settings: IssuerSettings| Issuer {
            keys: Arc::new(IssuerKeys::new(settings.key_source(), Arc::clone(http))),
            settings,
        };
        Self(settings.into_issuers().into_iter().map(issuer).collect())
    }

    /// Whether there is an issuer that speaks for federated people, or else one that speaks for
    /// accounts of the directory.
    pub(crate) fn has_issuer(&self, federated: bool) -> bool {
        let mut issuers = self.0.iter();
        issuers.any(|issuer| issuer.settings.federated == federated)
    }

    /// Whom the token was issued to, when it is valid now.
    pub(crate) async fn check(
        &self,
        token: &str,
        now: Time,
    ) -> Result<BearerIdentity, BearerError> {
        let token = Unverified::parse(token)?;
        let name = token.claimed_issuer()?;
        let mut issuers = self.0.iter();
        let issuer = issuers
            .find(|issuer| issuer.settings.issuer.as_str() == name)
            .ok_or(BearerError::Issuer)?;
        let claims = issuer.verify(token, now).await?;
        let expires = issuer.check_validity(&claims, now)?;
        issuer.check_authorization(&claims)?;
        issuer.identity(&claims, expires)
    }
}

struct Issuer {
    settings: IssuerSettings,
    keys: Arc<IssuerKeys>,
}

impl Issuer {
    async fn verify(&self, token: Unverified<'_>, now: Time) -> Result<Claims, BearerError> {
        let algorithm = token.algorithm();
        if !self.settings.algorithms.as_slice().contains(&algorithm) {
            return Err(BearerError::Algorithm);
        }
        let mut known = self.keys.current(now).await?;
        let unknown = |found: Result<_, NoSuchKey>| found == Err(NoSuchKey::Unknown);
        if unknown(known.keys.find(token.key_id(), algorithm).map(|_| ())) {
            known = self.keys.after_miss(known, now).await;
        }
        let keys = known.keys.find(token.key_id(), algorithm);
        let keys = keys.map_err(|why| match why {
            NoSuchKey::Unknown => BearerError::UnknownKey,
            NoSuchKey::Ambiguous => BearerError::NoKeyId,
        })?;
        token.verified_by(&keys)
    }

    /// Whether the token is for this server and this time; when it expires.
    fn check_validity(&self, claims: &Claims, now: Time) -> Result<Time, BearerError> {
        let missing = |claim: &str| BearerError::ClaimMissing(claim.to_owned());
        let leeway = i64::from(self.settings.leeway_seconds.get());
        let expires = claims.seconds("exp")?.ok_or_else(|| missing("exp"))?;
        if now.plus(-leeway).unix() >= expires {
            return Err(BearerError::Expired);
        }
        if let Some(begins) = claims.seconds("nbf")?
            && now.plus(leeway).unix() < begins
        {
            return Err(BearerError::NotYetValid);
        }
        let audiences = claims.texts("aud")?;
        if audiences.is_empty() {
            return Err(missing("aud"));
        }
        let mut ours = self.settings.audiences.as_slice().iter();
        if !ours.any(|our| audiences.contains(&our.as_str())) {
            return Err(BearerError::Audience);
        }
        // Proof of possession (RFC 7800) is what makes such a token worth anything.
        if claims.has("cnf") {
            return Err(BearerError::BoundToKey);
        }
        Ok(Time::from_unix(expires))
    }

    /// Whether the token has the scopes and the roles it must have.
    fn check_authorization(&self, claims: &Claims) -> Result<(), BearerError> {
        let names = &self.settings.claims;
        let (scopes, roles) = (
            &self.settings.required_scopes,
            &self.settings.required_roles,
        );
        if !scopes.is_empty() {
            let given = claims.texts(names.scopes.as_str())?;
            let given: Vec<_> = given.iter().flat_map(|text| text.split(' ')).collect();
            let lacking = scopes.iter().find(|scope| !given.contains(&scope.as_str()));
            if let Some(scope) = lacking {
                return Err(BearerError::ScopeMissing(scope.as_str().to_owned()));
            }
        }
        if !roles.is_empty() {
            let given = claims.texts(names.roles.as_str())?;
            let lacking = roles.iter().find(|role| !given.contains(&role.as_str()));
            if let Some(role) = lacking {
                return Err(BearerError::RoleMissing(role.as_str().to_owned()));
            }
        }
        Ok(())
    }

    fn identity(&self, claims: &Claims, expires: Time) -> Result<BearerIdentity, BearerError> {
        let names = &self.settings.claims;
        let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
        Ok(BearerIdentity {
            issuer: self.settings.issuer.as_str().to_owned(),
            subject: claims.required_text("sub")?.to_owned(),
            mail: self.mail(claims)?,
            account: claims.text(names.account.as_str())?.map(str::to_owned),
            standing: self.standing(claims)?,
            groups: owned(claims.texts(names.groups.as_str())?),
            expires,
        })
    }

    fn mail(&self, claims: &Claims) -> Result<Address, BearerError> {
        let text = claims.text(self.settings.claims.mail.as_str())?;
        let address: Address = text
            .filter(|text| !text.is_empty())
            .ok_or(BearerError::MailMissing)?
            .parse()
            .map_err(|_| BearerError::MailInvalid)?;
        let is_true = match claims.get("email_verified") {
            None => None,
            // Some issuers write it as a text.
            Some(Value::String(text)) => Some(text.eq_ignore_ascii_case("true")),
            Some(value) => Some(*value == Value::Bool(true)),
        };
        let verified = match self.settings.verified_mail {
            VerifiedMail::NotDenied => is_true.unwrap_or(true),
            VerifiedMail::Required => is_true.unwrap_or(false),
            VerifiedMail::Ignored => true,
        };
        if !verified {
            return Err(BearerError::MailUnverified);
        }
        if !self.settings.may_speak_for(&address) {
            return Err(BearerError::MailDomain);
        }
        Ok(address)
    }

    fn standing(&self, claims: &Claims) -> Result<Standing, BearerError> {
        if self.settings.federated {
            let aliases = self.aliases(claims)?;
            return Ok(Standing::Federated { aliases });
        }
        let sid = self.sid(claims)?;
        Ok(Standing::Directory { sid })
    }

    /// Further addresses. Those of other domains are somebody's all the same, and are left out.
    fn aliases(&self, claims: &Claims) -> Result<Vec<Address>, BearerError> {
        let listed = claims.texts(self.settings.claims.aliases.as_str())?;
        let bare = |text: &'_ str| match text.split_at_checked(SMTP.len()) {
            Some((kind, address)) if kind.eq_ignore_ascii_case(SMTP) => address.parse().ok(),
            _ => text.parse().ok(),
        };
        Ok(listed
            .into_iter()
            .filter_map(bare)
            .filter(|address| self.settings.may_speak_for(address))
            .take(MAX_ALIASES)
            .collect())
    }

    fn sid(&self, claims: &Claims) -> Result<Option<Sid>, BearerError> {
        let name = self.settings.claims.sid.as_str();
        match claims.text(name)? {
            Some(text) if self.settings.trust_sids => match text.parse() {
                Ok(sid) => Ok(Some(sid)),
                Err(_) => Err(BearerError::ClaimInvalid(name.to_owned())),
            },
            _ => Ok(None),
        }
    }
}

/// How Active Directory marks mail addresses among others.
const SMTP: &str = "smtp:";
/// Each is looked up in the directory, and stands in every certificate.
const MAX_ALIASES: usize = 16;
