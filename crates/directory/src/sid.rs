//! Security identifiers in their text form, `S-1-...` (MS-DTYP 2.4.2.1).

use std::fmt;
use std::str::FromStr;

/// A security identifier, validated and in canonical spelling: upper-case `S`, no leading zeros.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sid(Box<str>);

impl Sid {
    /// The canonical text, for example `S-1-5-21-1004336348-1177238915-682003330-512`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the binary form that directories and tickets carry (MS-DTYP 2.4.2.2).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SidError> {
        let Some(([revision, count, authority @ ..], rest)) = bytes.split_first_chunk::<8>() else {
            return Err(SidError::Length);
        };
        if *revision != 1 {
            return Err(SidError::Revision);
        }
        let count = usize::from(*count);
        if count == 0 || count > MAX_SUB_AUTHORITIES {
            return Err(SidError::SubAuthority { position: count });
        }
        let (sub_authorities, excess) = rest.as_chunks::<4>();
        if sub_authorities.len() != count || !excess.is_empty() {
            return Err(SidError::Length);
        }
        let authority = authority
            .iter()
            .fold(0_u64, |number, octet| number << 8 | u64::from(*octet));
        let mut text = canonical_head(authority);
        for sub_authority in sub_authorities {
            text.push('-');
            text.push_str(&u32::from_le_bytes(*sub_authority).to_string());
        }
        Ok(Self(text.into_boxed_str()))
    }

    /// The binary form (MS-DTYP 2.4.2.2), for look-ups in directories.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut parts = self.0.split('-').skip(2);
        let authority = parts.next().and_then(|part| authority(part).ok());
        let mut bytes = vec![1, 0];
        bytes.extend(authority.unwrap_or_default().to_be_bytes().iter().skip(2));
        let mut count = 0_u8;
        for number in parts.filter_map(|part| part.parse::<u32>().ok()) {
            bytes.extend(number.to_le_bytes());
            count += 1;
        }
        if let Some(place) = bytes.get_mut(1) {
            *place = count;
        }
        bytes
    }

    /// This SID with one more sub-authority, as a domain SID with a relative identifier.
    pub fn child(&self, relative_id: u32) -> Result<Self, SidError> {
        format!("{}-{relative_id}", self.0).parse()
    }

    /// The domain part and the relative identifier, the last sub-authority.
    pub fn split_relative_id(&self) -> Option<(&str, u32)> {
        let (domain, relative_id) = self.0.rsplit_once('-')?;
        Some((domain, relative_id.parse().ok()?))
    }
}

impl FromStr for Sid {
    type Err = SidError;

    fn from_str(text: &str) -> Result<Self, SidError> {
        if text.len() > MAX_TEXT {
            return Err(SidError::TooLong);
        }
        let mut parts = text.split('-');
        if !matches!(parts.next(), Some("S" | "s")) {
            return Err(SidError::Prefix);
        }
        if parts.next() != Some("1") {
            return Err(SidError::Revision);
        }
        let authority = authority(parts.next().ok_or(SidError::Authority)?)?;
        let mut canonical = canonical_head(authority);
        let mut count = 0_usize;
        for part in parts {
            count += 1;
            let number = decimal(part).and_then(|n| u32::try_from(n).ok());
            let Some(number) = number.filter(|_| count <= MAX_SUB_AUTHORITIES) else {
                return Err(SidError::SubAuthority { position: count });
            };
            canonical.push('-');
            canonical.push_str(&number.to_string());
        }
        if count == 0 {
            return Err(SidError::SubAuthority { position: 1 });
        }
        Ok(Self(canonical.into_boxed_str()))
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong with a text that should be a SID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SidError {
    /// The binary form is shorter or longer than it says.
    #[error("shorter or longer than it says")]
    Length,
    /// Longer than any SID can be.
    #[error("longer than a SID can be")]
    TooLong,
    /// Does not begin with `S-`.
    #[error("does not begin with S-")]
    Prefix,
    /// The revision is not 1.
    #[error("the revision is not 1")]
    Revision,
    /// The identifier authority is not a number of 48 bits.
    #[error("the identifier authority is not a number of 48 bits")]
    Authority,
    /// A sub-authority is missing, not a number of 32 bits, or one too many.
    #[error("sub-authority {position} is missing, not a number of 32 bits, or one too many")]
    SubAuthority {
        /// Counted from 1.
        position: usize,
    },
}

fn canonical_head(authority: u64) -> String {
    if authority > u64::from(u32::MAX) {
        format!("S-1-0x{authority:012X}")
    } else {
        format!("S-1-{authority}")
    }
}

fn authority(text: &str) -> Result<u64, SidError> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        // `from_str_radix` would take a sign.
        Some(hex) if hex.len() <= 12 && hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
            u64::from_str_radix(hex, 16).ok()
        }
        Some(_) => None,
        None => decimal(text),
    };
    number.filter(|&n| n < 1 << 48).ok_or(SidError::Authority)
}

fn decimal(text: &str) -> Option<u64> {
    if text.is_empty() || text.len() > 15 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

const MAX_SUB_AUTHORITIES: usize = 15;
const MAX_TEXT: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sid_is_read_and_spelled_canonically() {
        let sid: Sid = "s-1-05-21-0001-2-4294967295-500".parse().unwrap();
        assert_eq!(sid.as_str(), "S-1-5-21-1-2-4294967295-500");
        assert_eq!(
            sid.split_relative_id(),
            Some(("S-1-5-21-1-2-4294967295", 500))
        );
        let large: Sid = "S-1-0x10000000000A-1".parse().unwrap();
        assert_eq!(large.as_str(), "S-1-0x10000000000A-1");
        assert_eq!("S-1-17592186044426-1".parse::<Sid>().unwrap(), large);
    }

    #[test]
    fn what_is_wrong_with_a_sid_is_named() {
        let error = |text: &str| text.parse::<Sid>().unwrap_err();
        assert_eq!(error(""), SidError::Prefix);
        assert_eq!(error("X-1-5-21"), SidError::Prefix);
        assert_eq!(error("S-2-5-21"), SidError::Revision);
        assert_eq!(error("S-1"), SidError::Authority);
        assert_eq!(error("S-1-281474976710656-1"), SidError::Authority);
        assert_eq!(error("S-1-0x+1-1"), SidError::Authority);
        assert_eq!(error("S-1-5"), SidError::SubAuthority { position: 1 });
        assert_eq!(error("S-1-5-"), SidError::SubAuthority { position: 1 });
        assert_eq!(
            error("S-1-5-21-4294967296"),
            SidError::SubAuthority { position: 2 }
        );
        assert_eq!(error("S-1-5-21-+1"), SidError::SubAuthority { position: 2 });
        let sixteen = format!("S-1-5{}", "-1".repeat(16));
        assert_eq!(error(&sixteen), SidError::SubAuthority { position: 16 });
        assert_eq!(error(&"S-1-5-".repeat(100)), SidError::TooLong);
    }

    #[test]
    fn the_binary_form_is_read_and_written() {
        let administrators = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
        let sid = Sid::from_bytes(&administrators).unwrap();
        assert_eq!(sid.as_str(), "S-1-5-32-544");
        assert_eq!(sid.to_bytes(), administrators);
        let large: Sid = "S-1-0x10000000000A-1".parse().unwrap();
        assert_eq!(Sid::from_bytes(&large.to_bytes()), Ok(large));

        assert_eq!(Sid::from_bytes(&[]), Err(SidError::Length));
        assert_eq!(
            Sid::from_bytes(&administrators[..15]),
            Err(SidError::Length)
        );
        assert_eq!(
            Sid::from_bytes(&administrators[..12]),
            Err(SidError::Length)
        );
        let mut wrong = administrators;
        wrong[0] = 2;
        assert_eq!(Sid::from_bytes(&wrong), Err(SidError::Revision));
        wrong = administrators;
        wrong[1] = 16;
        assert_eq!(
            Sid::from_bytes(&wrong),
            Err(SidError::SubAuthority { position: 16 })
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_either_refused_or_the_binary_form_of_a_sid(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            count in 0_u8..17,
        ) {
            let mut bytes = bytes;
            if let [first, second, ..] = bytes.as_mut_slice() {
                (*first, *second) = (1, count);
            }
            bytes.truncate(8 + 4 * usize::from(count));
            if let Ok(sid) = Sid::from_bytes(&bytes) {
                prop_assert_eq!(sid.to_bytes(), bytes);
                prop_assert_eq!(sid.as_str().parse::<Sid>().unwrap(), sid);
            }
        }
    }
}
