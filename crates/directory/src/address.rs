//! Mail addresses, the canonical name of an identity (MS-RMPR 3.1.4.1; form of RFC 822, 6.1).

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// A mail address: `local@domain`, no display name, no comments.
///
/// Compared without regard to case, as the rights evaluation must; the spelling it was read with
/// is kept for display and for certificates.
#[derive(Clone)]
pub struct Address {
    original: Box<str>,
    /// Only when it differs from the original.
    lower: Option<Box<str>>,
}

impl Address {
    /// The spelling it was read with.
    pub fn as_str(&self) -> &str {
        &self.original
    }

    /// The lower-case spelling, for look-ups and comparison.
    pub fn key(&self) -> &str {
        self.lower.as_deref().unwrap_or(&self.original)
    }

    /// The part after the `@`, lower-case.
    pub fn domain(&self) -> &str {
        self.key().rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// Whether the address is in `domain` or in a sub-domain of it, as trusted user domains
    /// list them. Compared without regard to case.
    pub fn is_in_domain(&self, domain: &str) -> bool {
        let wanted = lower_case(domain);
        match self.domain().strip_suffix(wanted.as_ref()) {
            Some(rest) => !wanted.is_empty() && (rest.is_empty() || rest.ends_with('.')),
            None => false,
        }
    }
}

/// `text` in lower case, borrowed when it already is.
pub(crate) fn lower_case(text: &str) -> Cow<'_, str> {
    if text
        .bytes()
        .all(|b| b.is_ascii() && !b.is_ascii_uppercase())
    {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.to_lowercase())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_ADDRESS {
            return Err(AddressError::TooLong);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::NoAt)?;
        check_local(local)?;
        check_domain(domain)?;
        let lower = match lower_case(text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(lower) if lower == text => None,
            Cow::Owned(lower) => Some(lower.into_boxed_str()),
        };
        Ok(Self {
            original: text.into(),
            lower,
        })
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Address {}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.original)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.original)
    }
}

/// What is wrong with a text that should be a mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Longer than a mail address can be.
    #[error("longer than 320 bytes")]
    TooLong,
    /// No `@`.
    #[error("has no @")]
    NoAt,
    /// The part before the `@` is empty, too long, or holds something it must not.
    #[error("the part before the @ is not a mailbox name")]
    LocalPart,
    /// The part after the `@` is not a domain.
    #[error("the part after the @ is not a domain")]
    Domain,
}

fn check_local(local: &str) -> Result<(), AddressError> {
    if local.is_empty() || local.len() > MAX_LOCAL {
        return Err(AddressError::LocalPart);
    }
    let ok = match local.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').is_some_and(is_quoted_text),
        None => local
            .split('.')
            .all(|atom| !atom.is_empty() && atom.chars().all(is_atom_char)),
    };
    if ok {
        Ok(())
    } else {
        Err(AddressError::LocalPart)
    }
}

fn is_quoted_text(text: &str) -> bool {
    let mut escaped = false;
    for c in text.chars() {
        match c {
            _ if c.is_control() => return false,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return false,
            _ => {}
        }
    }
    !escaped && !text.is_empty()
}

fn is_atom_char(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
    } else {
        is_letter(c)
    }
}

/// Letters and digits of all scripts (RFC 6531), but nothing invisible, also in lower case.
fn is_letter(c: char) -> bool {
    c.is_alphanumeric() && c.to_lowercase().all(char::is_alphanumeric)
}

fn check_domain(domain: &str) -> Result<(), AddressError> {
    let label_ok = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| is_letter(c) || c == '-' || c == '_')
    };
    if domain.len() <= MAX_DOMAIN && domain.split('.').all(label_ok) {
        Ok(())
    } else {
        Err(AddressError::Domain)
    }
}

const MAX_ADDRESS: usize = 320;
const MAX_LOCAL: usize = 64;
const MAX_DOMAIN: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_spelling_is_kept_and_the_case_does_not_count() {
        let written: Address = "Alice.Smith@Corp.Example".parse().unwrap();
        assert_eq!(written.as_str(), "Alice.Smith@Corp.Example");
        assert_eq!(written.key(), "alice.smith@corp.example");
        assert_eq!(written, "ALICE.SMITH@CORP.EXAMPLE".parse().unwrap());
        assert_eq!(written.domain(), "corp.example");
    }

    #[test]
    fn a_domain_includes_its_sub_domains_only() {
        let address: Address = "a@mail.Corp.example".parse().unwrap();
        assert!(address.is_in_domain("corp.EXAMPLE"));
        assert!(address.is_in_domain("mail.corp.example"));
        assert!(!address.is_in_domain("orp.example"));
        assert!(!address.is_in_domain(""));
    }

    #[test]
    fn what_is_wrong_with_an_address_is_named() {
        let error = |text: &str| text.parse::<Address>().unwrap_err();
        assert_eq!(error("alice"), AddressError::NoAt);
        assert_eq!(error("@corp.example"), AddressError::LocalPart);
        assert_eq!(error("a..b@corp.example"), AddressError::LocalPart);
        assert_eq!(error("Alice <a@corp.example"), AddressError::LocalPart);
        assert_eq!(error("a b@corp.example"), AddressError::LocalPart);
        assert_eq!(error("a@b@corp.example"), AddressError::LocalPart);
        assert_eq!(error("a@corp..example"), AddressError::Domain);
        assert_eq!(error("a@"), AddressError::Domain);
        assert_eq!(error("a@corp.example\n"), AddressError::Domain);
        assert_eq!(
            error(&format!("{}@x", "a".repeat(400))),
            AddressError::TooLong
        );
        assert!("\"a b\\\"\"@corp".parse::<Address>().is_ok());
        assert!("o'brien+tag@corp.example".parse::<Address>().is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_either_refused_or_has_a_stable_key(text in "\\PC{0,40}(@\\PC{0,20})?") {
            if let Ok(address) = text.parse::<Address>() {
                let again: Address = address.key().parse().unwrap();
                prop_assert_eq!(again.key(), address.key());
                prop_assert!(address.as_str().contains('@'));
            }
        }
    }
}
