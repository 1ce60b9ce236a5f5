//! Names of hosts as they may stand in a URL: RFC 1123 2.1, with the underscore that is in use.

use std::fmt;
use std::str::FromStr;

/// A host's name, lower-case, without the dot at its end. Never an address, in any spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostName(Box<str>);

impl HostName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `domain` itself or below it.
    pub fn is_within(&self, domain: &HostName) -> bool {
        let rest = self.0.strip_suffix(&*domain.0);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<Self, HostNameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let fits = |label: &str| {
            (1..=LONGEST_LABEL).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        // Resolvers read `127.1`, `2130706433` and `127.0.0.0x1` as addresses.
        let last = text.rsplit('.').next().unwrap_or(text);
        let is_name = last.starts_with(|first: char| first.is_ascii_alphabetic());
        if text.len() > LONGEST || !text.split('.').all(fits) || !is_name {
            return Err(HostNameError);
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that should be the name of a host is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a host")]
pub struct HostNameError;

const LONGEST: usize = 253;
const LONGEST_LABEL: usize = 63;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> HostName {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_in_any_spelling_are_no_names() {
        for text in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "127.0.0.0x1",
            "::1",
            "[::1]",
            "",
            ".",
            "a..b",
            "a.-b",
            "a b",
            "a\u{1b}[2J",
            "a@b",
            "a/b",
            "b\u{fc}ro.example",
        ] {
            assert!(text.parse::<HostName>().is_err(), "{text:?}");
        }
        assert_eq!(name("DC_1.Corp.Example.").as_str(), "dc_1.corp.example");
    }

    #[test]
    fn within_a_domain_are_whole_labels_only() {
        let domain = name("corp.example");
        assert!(name("rms.corp.example").is_within(&domain));
        assert!(name("corp.example").is_within(&domain));
        assert!(!name("evilcorp.example").is_within(&domain));
        assert!(!name("corp.example.evil.test").is_within(&domain));
    }

    proptest! {
        #[test]
        fn what_is_taken_for_a_name_is_fit_for_a_url(text in "\\PC{0,80}|[a-z0-9.:_@/-]{0,40}") {
            if let Ok(name) = text.parse::<HostName>() {
                let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
                prop_assert!(name.as_str().bytes().all(fits));
                prop_assert!(name.as_str().parse::<std::net::IpAddr>().is_err());
            }
        }
    }
}
