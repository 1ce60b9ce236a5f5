//! Which issuers' tokens are accepted, and what they must say.
//!
//! ```toml
//! [[issuers]]
//! issuer = "https://login.example/tenant/v2.0"
//! audiences = ["https://rights.corp.example/"]
//! required_scopes = ["rights.use"]
//! mail_domains = ["corp.example"]
//! claims = { mail = "upn", scopes = "scp" }
//! ```

use openrms_directory::{Address, ForestName};
use serde::Deserialize;

use crate::sign_in::jwks::{FetchUrl, IssuerUrl, KeySource, SignatureAlgorithm};

/// The issuers whose tokens are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "Listed")]
pub(crate) struct BearerSettings(Vec<IssuerSettings>);

/// One issuer, and what its tokens must say.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssuerSettings {
    /// Its name, to the letter: `iss` of tokens, and `issuer` of its discovery document.
    pub(crate) issuer: IssuerUrl,
    /// Who this server is to it: `aud` of tokens has at least one of these.
    pub(crate) audiences: OneOrMore<Name>,
    /// How tokens may be signed.
    #[serde(default)]
    pub(crate) algorithms: OneOrMore<SignatureAlgorithm>,
    /// Where its keys are; asked for by discovery when absent.
    #[serde(default)]
    pub(crate) jwks_uri: Option<FetchUrl>,
    /// How far its clock may be from this server's.
    #[serde(default = "leeway_seconds")]
    pub(crate) leeway_seconds: Seconds<MAX_LEEWAY>,
    /// When its keys are fetched again, and with it how long a withdrawn key is accepted.
    #[serde(default = "keys_fresh_seconds")]
    pub(crate) keys_fresh_seconds: Seconds<MAX_KEYS_FRESH>,
    /// How long its keys are used when it cannot be reached.
    #[serde(default = "keys_keep_seconds")]
    pub(crate) keys_keep_seconds: Seconds<MAX_KEYS_KEEP>,
    /// The names of claims.
    #[serde(default)]
    pub(crate) claims: ClaimNames,
    /// What `email_verified` must say.
    #[serde(default)]
    pub(crate) verified_mail: VerifiedMail,
    /// Domains of mail addresses that it may speak for, sub-domains included; all when absent.
    #[serde(default)]
    pub(crate) mail_domains: Option<OneOrMore<MailDomain>>,
    /// Scopes that a token must have, all of them.
    #[serde(default)]
    pub(crate) required_scopes: Vec<Name>,
    /// Roles that a token must have, all of them.
    #[serde(default)]
    pub(crate) required_roles: Vec<Name>,
    /// Whether it vouches for people whom the directory has no account for, and for them alone:
    /// federated accounts (MS-RMPR 3.1.1.1.6). Only with `mail_domains`.
    #[serde(default)]
    pub(crate) federated: bool,
    /// Whether it may say which SID somebody has. With a SID of its choice an issuer can pass
    /// off anybody as anybody, whatever `mail_domains` says.
    #[serde(default)]
    pub(crate) trust_sids: bool,
}

/// The names of the claims that are read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClaimNames {
    /// The mail address.
    pub(crate) mail: Name,
    /// Further mail addresses of a federated account, in one text or a list.
    pub(crate) aliases: Name,
    /// The account's name.
    pub(crate) account: Name,
    /// The SID of the account in its own forest.
    pub(crate) sid: Name,
    /// The groups.
    pub(crate) groups: Name,
    /// The scopes, in one text or a list.
    pub(crate) scopes: Name,
    /// The roles, in one text or a list.
    pub(crate) roles: Name,
}

/// What `email_verified` (OIDC Core 1.0, 5.1) must say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum VerifiedMail {
    /// True, or nothing.
    #[default]
    NotDenied,
    /// True.
    Required,
    /// It is not looked at.
    Ignored,
}

/// A list that is not empty.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<T>", bound = "T: Deserialize<'de>")]
pub(crate) struct OneOrMore<T>(Vec<T>);

/// A text that is not empty.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Name(String);

/// The domain of mail addresses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct MailDomain(String);

/// A number of seconds, at most `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub(crate) struct Seconds<const MAX: u32>(u32);

/// What is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingError {
    /// A list has nothing in it.
    #[error("the list must not be empty")]
    EmptyList,
    /// A name is empty, very long, or has control characters.
    #[error("a name must have 1 to {MAX_NAME} bytes and no control characters")]
    Name,
    /// Not the part of a mail address after the `@`.
    #[error("{0:?} is not the domain of mail addresses")]
    MailDomain(String),
    /// More seconds than make sense.
    #[error("at most {0} seconds")]
    TooLong(u32),
    /// An issuer stands there twice.
    #[error("the issuer {0} is listed twice")]
    IssuerTwice(String),
    /// Anybody of any domain would be believed.
    #[error("the federated issuer {0} must have mail_domains")]
    FederatedEverywhere(String),
    /// A SID is an account's.
    #[error("the federated issuer {0} must not have trust_sids")]
    FederatedSids(String),
}

impl BearerSettings {
    /// The issuers.
    pub(super) fn into_issuers(self) -> Vec<IssuerSettings> {
        self.0
    }

    /// The names of the federated issuers.
    pub(crate) fn federated(&self) -> impl Iterator<Item = &str> {
        let issuers = self.0.iter().filter(|issuer| issuer.federated);
        issuers.map(|issuer| issuer.issuer.as_str())
    }

    /// A federated issuer that may speak for the people of a forest.
    pub(crate) fn federated_over(&self, forest: &ForestName) -> Option<&IssuerUrl> {
        let anybody: Address = format!("a@{forest}").parse().ok()?;
        let mut issuers = self.0.iter();
        issuers
            .find(|issuer| issuer.federated && issuer.may_speak_for(&anybody))
            .map(|issuer| &issuer.issuer)
    }
}

impl IssuerSettings {
    /// Where the issuer's keys are.
    pub(super) fn key_source(&self) -> KeySource {
        KeySource {
            issuer: self.issuer.clone(),
            jwks_uri: self.jwks_uri.clone(),
            fresh_seconds: self.keys_fresh_seconds.0.into(),
            keep_seconds: self.keys_keep_seconds.0.into(),
        }
    }

    /// Whether the issuer may speak for this address.
    pub(super) fn may_speak_for(&self, address: &Address) -> bool {
        self.mail_domains.as_ref().is_none_or(|domains| {
            let mut domains = domains.as_slice().iter();
            domains.any(|domain| address.is_in_domain(&domain.0))
        })
    }
}

impl Default for ClaimNames {
    fn default() -> Self {
        let name = |text: &str| Name(text.to_owned());
        Self {
            mail: name("email"),
            aliases: name("proxyAddresses"),
            account: name("preferred_username"),
            sid: name("onprem_sid"),
            groups: name("groups"),
            scopes: name("scope"),
            roles: name("roles"),
        }
    }
}

impl<T> OneOrMore<T> {
    pub(super) fn as_slice(&self) -> &[T] {
        &self.0
    }
}

impl Default for OneOrMore<SignatureAlgorithm> {
    fn default() -> Self {
        Self(vec![
            SignatureAlgorithm::Rs256,
            SignatureAlgorithm::Ps256,
            SignatureAlgorithm::Es256,
        ])
    }
}

impl Name {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: u32> Seconds<MAX> {
    pub(super) fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<Listed> for BearerSettings {
    type Error = SettingError;

    fn try_from(listed: Listed) -> Result<Self, SettingError> {
        let mut seen = std::collections::HashSet::new();
        for issuer in &listed.issuers {
            if !seen.insert(issuer.issuer.as_str()) {
                return Err(SettingError::IssuerTwice(issuer.issuer.to_string()));
            }
            if issuer.federated && issuer.mail_domains.is_none() {
                return Err(SettingError::FederatedEverywhere(issuer.issuer.to_string()));
            }
            if issuer.federated && issuer.trust_sids {
                return Err(SettingError::FederatedSids(issuer.issuer.to_string()));
            }
        }
        Ok(Self(listed.issuers))
    }
}

impl<T> TryFrom<Vec<T>> for OneOrMore<T> {
    type Error = SettingError;

    fn try_from(list: Vec<T>) -> Result<Self, SettingError> {
        if list.is_empty() {
            return Err(SettingError::EmptyList);
        }
        Ok(Self(list))
    }
}

impl TryFrom<String> for Name {
    type Error = SettingError;

    fn try_from(text: String) -> Result<Self, SettingError> {
        let ok = (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(char::is_control);
        if ok {
            Ok(Self(text))
        } else {
            Err(SettingError::Name)
        }
    }
}

impl TryFrom<String> for MailDomain {
    type Error = SettingError;

    fn try_from(text: String) -> Result<Self, SettingError> {
        let is_domain = !text.contains('@') && format!("a@{text}").parse::<Address>().is_ok();
        if is_domain {
            Ok(Self(text))
        } else {
            Err(SettingError::MailDomain(text))
        }
    }
}

impl<const MAX: u32> TryFrom<u32> for Seconds<MAX> {
    type Error = SettingError;

    fn try_from(seconds: u32) -> Result<Self, SettingError> {
        if seconds <= MAX {
            Ok(Self(seconds))
        } else {
            Err(SettingError::TooLong(MAX))
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    issuers: Vec<IssuerSettings>,
}

fn leeway_seconds() -> Seconds<MAX_LEEWAY> {
    Seconds(60)
}

fn keys_fresh_seconds() -> Seconds<MAX_KEYS_FRESH> {
    Seconds(60 * 60)
}

fn keys_keep_seconds() -> Seconds<MAX_KEYS_KEEP> {
    Seconds(24 * 60 * 60)
}

const MAX_NAME: usize = 1024;
const MAX_LEEWAY: u32 = 5 * 60;
const MAX_KEYS_FRESH: u32 = 24 * 60 * 60;
const MAX_KEYS_KEEP: u32 = 7 * 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(more: &str) -> Result<BearerSettings, String> {
        let issuer = "issuer = \"https://login.example\"\naudiences = [\"rights\"]\n";
        toml::from_str(&format!("[[issuers]]\n{issuer}{more}"))
            .map_err(|error: toml::de::Error| error.to_string())
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let settings = read("").unwrap().into_issuers().remove(0);
        assert_eq!(settings.leeway_seconds.get(), 60);
        assert_eq!(settings.claims.mail.as_str(), "email");
        assert_eq!(settings.claims.account.as_str(), "preferred_username");
        assert_eq!(settings.algorithms, OneOrMore::default());
        assert_eq!(settings.verified_mail, VerifiedMail::NotDenied);
        assert!(!settings.trust_sids);
        let changed = read("claims = { mail = \"upn\" }\nverified_mail = \"required\"").unwrap();
        let changed = changed.into_issuers().remove(0);
        assert_eq!(changed.claims.mail.as_str(), "upn");
        assert_eq!(changed.claims.groups.as_str(), "groups");
        assert_eq!(changed.verified_mail, VerifiedMail::Required);
    }

    #[test]
    fn symmetric_algorithms_and_none_cannot_be_configured() {
        for name in [
            "HS256", "HS384", "HS512", "none", "None", "", "rs256", "RSA-OAEP",
        ] {
            assert!(
                read(&format!("algorithms = [\"{name}\"]")).is_err(),
                "{name}"
            );
        }
        for name in ["RS256", "RS512", "PS384", "ES256", "ES384", "EdDSA"] {
            assert!(
                read(&format!("algorithms = [\"{name}\"]")).is_ok(),
                "{name}"
            );
        }
    }

    #[test]
    fn settings_that_would_mean_nothing_or_everything_are_refused() {
        for wrong in [
            "algorithms = []",
            "mail_domains = []",
            "mail_domains = [\"\"]",
            "mail_domains = [\"@corp.example\"]",
            "mail_domains = [\".example\"]",
            "required_scopes = [\"\"]",
            "leeway_seconds = 301",
            "leeway_seconds = -1",
            "keys_keep_seconds = 604801",
            "jwks_uri = \"http://login.example/keys\"",
            "claims = { mial = \"upn\" }",
            "audience = \"rights\"",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(toml::from_str::<BearerSettings>("issuer = 1").is_err());
        let none = "[[issuers]]\nissuer = \"https://login.example\"\naudiences = []";
        assert!(toml::from_str::<BearerSettings>(none).is_err());
    }

    #[test]
    fn a_federated_issuer_has_domains_that_are_not_the_directorys_and_no_sids() {
        let forest = |name: &str| name.parse::<ForestName>().unwrap();
        assert!(
            read("federated = true")
                .unwrap_err()
                .contains("mail_domains")
        );
        for none in ["[]", "[\"*\"]", "[\"*.partner.example\"]", "[\"\"]"] {
            let domains = format!("federated = true\nmail_domains = {none}");
            assert!(read(&domains).is_err(), "{none}");
        }
        let partner = "federated = true\nmail_domains = [\"Partner.example\"]";
        assert!(read(&format!("{partner}\ntrust_sids = true")).is_err());
        let settings = read(partner).unwrap();
        for (name, over) in [
            ("partner.example", true),
            ("ad.partner.EXAMPLE", true),
            ("example", false),
            ("corp.example", false),
        ] {
            let found = settings.federated_over(&forest(name));
            assert_eq!(found.is_some(), over, "{name}");
        }
        let own = read("mail_domains = [\"corp.example\"]").unwrap();
        assert_eq!(own.federated_over(&forest("corp.example")), None);
    }

    #[test]
    fn an_issuer_is_listed_once() {
        let twice = "[[issuers]]\nissuer = \"https://login.example\"\naudiences = [\"a\"]\n";
        let error = toml::from_str::<BearerSettings>(&twice.repeat(2)).unwrap_err();
        assert!(error.to_string().contains("listed twice"));
    }
}
