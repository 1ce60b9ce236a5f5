//! The URL that a service connection point holds (`serviceBindingInformation`,
//! MS-RMPR 3.1.4.4.1.1), which anybody who may write there has chosen.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::ForestName;

/// The URL of a cluster's certification pipeline without a file name, such as
/// `https://rms.example.com/_wmcs/certification` (MS-RMPR 3.1.4.4.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificationUrl {
    text: Box<str>,
    /// How URLs that lead to the same place look alike.
    key: Box<str>,
}

/// What is wrong with a text that should be a [`CertificationUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificationUrlError {
    /// There is no text, or there are several.
    #[error("not exactly one value")]
    Count,
    /// Not a plain URL of less than 2048 characters.
    #[error("not a URL without query, fragment and user name")]
    Syntax,
    /// Neither `https://` nor `http://`.
    #[error("begins with neither https:// nor http://")]
    Scheme,
    /// Host or port.
    #[error("without a host, or with a port that is none")]
    Host,
    /// Does not end as it should.
    #[error("does not end in /certification")]
    Path,
}

impl CertificationUrl {
    /// The URL, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether both lead to the same place, however they are written.
    pub fn is_same_place_as(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl FromStr for CertificationUrl {
    type Err = CertificationUrlError;

    fn from_str(text: &str) -> Result<Self, CertificationUrlError> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let plain = |b: u8| b.is_ascii_graphic() && !b"?#@\\\"<>^`{|}".contains(&b);
        if text.len() >= LONGEST_URL || !text.bytes().all(plain) {
            return Err(CertificationUrlError::Syntax);
        }
        let lower = text.to_ascii_lowercase();
        let (scheme, rest) = lower
            .split_once("://")
            .ok_or(CertificationUrlError::Scheme)?;
        let default_port = match scheme {
            "https" => 443,
            "http" => 80,
            _ => return Err(CertificationUrlError::Scheme),
        };
        let (authority, path) = rest
            .find('/')
            .and_then(|slash| rest.split_at_checked(slash))
            .ok_or(CertificationUrlError::Path)?;
        let (host, port) = host_and_port(authority).ok_or(CertificationUrlError::Host)?;
        if !path.ends_with("/certification") {
            return Err(CertificationUrlError::Path);
        }
        let port = port.unwrap_or(default_port);
        Ok(Self {
            text: text.into(),
            key: format!("{scheme}://{host}:{port}{path}").into(),
        })
    }
}

impl fmt::Display for CertificationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Of `host`, `host:port` or `[address]:port`.
fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    // In brackets a colon belongs to the address.
    let host_end = authority.find(']').map_or(0, |bracket| bracket + 1);
    let tail = authority.get(host_end..)?;
    let (host, port) = match tail.find(':') {
        Some(colon) => authority.split_at_checked(host_end + colon)?,
        None => (authority, ""),
    };
    let port = match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|&port| port != 0)?)
        }
        Some(_) => return None,
        None => None,
    };
    let bracketed = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let valid = match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<ForestName>().is_ok(),
    };
    valid.then_some((host, port))
}

const LONGEST_URL: usize = 2048;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> CertificationUrl {
        text.parse().unwrap()
    }

    #[test]
    fn urls_that_lead_to_the_same_place_are_known_as_such() {
        let plain = url("https://rms.corp.example/_wmcs/certification");
        for same in [
            "https://RMS.corp.example:443/_wmcs/Certification",
            "HTTPS://rms.corp.example/_wmcs/certification/",
        ] {
            assert!(url(same).is_same_place_as(&plain), "{same}");
        }
        for other in [
            "http://rms.corp.example/_wmcs/certification",
            "https://rms.corp.example:8443/_wmcs/certification",
            "https://rms2.corp.example/_wmcs/certification",
            "https://[::1]:443/_wmcs/certification",
        ] {
            assert!(!url(other).is_same_place_as(&plain), "{other}");
        }
        assert_eq!(
            url("https://RMS.corp.example/_wmcs/certification/").as_str(),
            "https://RMS.corp.example/_wmcs/certification"
        );
    }

    #[test]
    fn what_is_no_url_of_a_certification_pipeline_is_refused_by_name() {
        use CertificationUrlError::{Host, Path, Scheme, Syntax};
        let long = format!("https://a/{}/certification", "x".repeat(LONGEST_URL));
        for (text, expected) in [
            ("", Scheme),
            ("rms.corp.example", Scheme),
            ("file:///certification", Scheme),
            ("https://rms.corp.example", Path),
            ("https://rms.corp.example/_wmcs/licensing", Path),
            ("https://rms/_wmcs/certification/ServiceLocator.asmx", Path),
            ("https:///certification", Host),
            ("https://rms:0/certification", Host),
            ("https://rms:65536/certification", Host),
            ("https://rms:/certification", Host),
            ("https://[::g]/certification", Host),
            ("https://]:1/certification", Host),
            ("https://rms@evil/certification", Syntax),
            ("https://rms/?x=/certification", Syntax),
            ("https://rms/#/certification", Syntax),
            ("https://rms /certification", Syntax),
            ("https://rms\\evil/certification", Syntax),
            ("https://rms\0/certification", Syntax),
            ("https://r\u{e9}s/certification", Syntax),
            (&long, Syntax),
        ] {
            assert_eq!(
                text.parse::<CertificationUrl>().unwrap_err(),
                expected,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_a_url(text in "(https?://)?\\PC{0,40}(/certification)?") {
            if let Ok(url) = text.parse::<CertificationUrl>() {
                prop_assert!(url.as_str().parse::<CertificationUrl>().unwrap().is_same_place_as(&url));
                prop_assert!(!url.as_str().contains(['@', '?', '#', ' ']));
            }
        }
    }
}
