//! Names of forests and of accounts.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::Deserialize;

use crate::address::lower_case;

/// The fully qualified DNS name of a forest, lower-case (MS-RMPR 3.1.1.2.4).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct ForestName(Box<str>);

impl ForestName {
    /// The name, for example `corp.example`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ForestName {
    type Err = ForestNameError;

    fn from_str(text: &str) -> Result<Self, ForestNameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let label_ok = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .chars()
                    .all(|c| c.is_alphanumeric() || c == '-' || c == '_')
        };
        if text.len() > 255 || !text.split('.').all(label_ok) {
            return Err(ForestNameError);
        }
        Ok(Self(lower_case(text).into()))
    }
}

impl TryFrom<String> for ForestName {
    type Error = ForestNameError;

    fn try_from(text: String) -> Result<Self, ForestNameError> {
        text.parse()
    }
}

impl fmt::Display for ForestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that should be a forest's DNS name is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a DNS name")]
pub struct ForestNameError;

/// An account name, `DOMAIN\user` or `user` (the `name` of a `DomainAccount`,
/// MS-RMPR 3.1.1.1.5), compared without regard to case.
#[derive(Clone)]
pub struct AccountName {
    text: Box<str>,
    lower: Box<str>,
}

impl AccountName {
    /// The spelling it was read with.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The lower-case spelling, for look-ups.
    pub fn key(&self) -> &str {
        &self.lower
    }

    /// The domain before the backslash, as written.
    pub fn domain(&self) -> Option<&str> {
        self.text.split_once('\\').map(|(domain, _)| domain)
    }

    /// The user after the backslash, as written.
    pub fn user(&self) -> &str {
        self.text
            .split_once('\\')
            .map_or(&self.text, |(_, user)| user)
    }
}

impl FromStr for AccountName {
    type Err = AccountNameError;

    fn from_str(text: &str) -> Result<Self, AccountNameError> {
        let (domain, user) = match text.split_once('\\') {
            Some((domain, user)) => (Some(domain), user),
            None => (None, text),
        };
        // What a SAM account name must not hold, and the @ that would make it an address.
        let part_ok = |part: &str| {
            !part.is_empty()
                && part.len() <= 256
                && part.trim() == part
                && !part
                    .chars()
                    .any(|c| c.is_control() || "\"/\\[]:;|=,+*?<>@".contains(c))
        };
        if !part_ok(user) || !domain.is_none_or(part_ok) {
            return Err(AccountNameError);
        }
        Ok(Self {
            text: text.into(),
            lower: lower_case(text).into(),
        })
    }
}

impl PartialEq for AccountName {
    fn eq(&self, other: &Self) -> bool {
        self.lower == other.lower
    }
}

impl Eq for AccountName {}

impl Hash for AccountName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.lower.hash(state);
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text that should be an account name is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an account name of the form DOMAIN\\user or user")]
pub struct AccountNameError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_name_has_a_user_and_perhaps_a_domain() {
        let full: AccountName = "CORP\\Alice".parse().unwrap();
        assert_eq!((full.domain(), full.user()), (Some("CORP"), "Alice"));
        assert_eq!(full, "corp\\alice".parse().unwrap());
        let bare: AccountName = "alice".parse().unwrap();
        assert_eq!((bare.domain(), bare.user()), (None, "alice"));
        for wrong in [
            "", "\\alice", "CORP\\", "a\\b\\c", "a@b", " alice", "a\nb", "a*",
        ] {
            assert_eq!(
                wrong.parse::<AccountName>(),
                Err(AccountNameError),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn a_forest_is_a_dns_name_in_lower_case() {
        assert_eq!(
            "Corp.Example.".parse::<ForestName>().unwrap().as_str(),
            "corp.example"
        );
        for wrong in ["", ".", "a..b", "a b", "-a.b", "a/b"] {
            assert_eq!(
                wrong.parse::<ForestName>(),
                Err(ForestNameError),
                "{wrong:?}"
            );
        }
    }
}
