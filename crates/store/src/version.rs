//! Versions of products in up to four numbers, as exclusion policies compare them.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One to four numbers with dots between. `2.1` equals `2.1.0.0`; the number of parts it was
/// written with is kept, since policies go into licenses as they were typed.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProductVersion {
    numbers: [u32; 4],
    written: u8,
}

impl ProductVersion {
    /// Version 0, written as one number.
    pub const ZERO: Self = Self {
        numbers: [0; 4],
        written: 1,
    };

    /// A version of four numbers.
    pub const fn new(major: u32, minor: u32, build: u32, revision: u32) -> Self {
        Self {
            numbers: [major, minor, build, revision],
            written: 4,
        }
    }

    /// Major, minor, build and revision; what was not written is 0.
    pub const fn numbers(&self) -> [u32; 4] {
        self.numbers
    }
}

impl FromStr for ProductVersion {
    type Err = ProductVersionError;

    fn from_str(text: &str) -> Result<Self, ProductVersionError> {
        let mut numbers = [0; 4];
        let mut slots = numbers.iter_mut();
        let mut written = 0;
        for part in text.split('.') {
            let slot = slots.next().ok_or(ProductVersionError)?;
            if !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(ProductVersionError);
            }
            *slot = part.parse().map_err(|_| ProductVersionError)?;
            written += 1;
        }
        Ok(Self { numbers, written })
    }
}

impl TryFrom<String> for ProductVersion {
    type Error = ProductVersionError;

    fn try_from(text: String) -> Result<Self, ProductVersionError> {
        text.parse()
    }
}

impl From<ProductVersion> for String {
    fn from(version: ProductVersion) -> Self {
        version.to_string()
    }
}

impl fmt::Display for ProductVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, number) in self
            .numbers
            .iter()
            .take(usize::from(self.written))
            .enumerate()
        {
            if position > 0 {
                f.write_str(".")?;
            }
            write!(f, "{number}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ProductVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for ProductVersion {
    fn eq(&self, other: &Self) -> bool {
        self.numbers == other.numbers
    }
}

impl Eq for ProductVersion {}

impl Hash for ProductVersion {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.numbers.hash(state);
    }
}

impl PartialOrd for ProductVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ProductVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers)
    }
}

/// From one version to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRange {
    /// The lowest version meant.
    pub minimum: ProductVersion,
    /// The highest version meant.
    pub maximum: ProductVersion,
}

/// A text that should be a version is not one to four numbers of 32 bits with dots between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a version of one to four numbers")]
pub struct ProductVersionError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number_and_keep_their_spelling() {
        let version = |text: &str| text.parse::<ProductVersion>().unwrap();
        assert!(version("2.1.5.2600") > version("2.1.5"));
        assert!(version("10") > version("9.9.9.9"));
        assert_eq!(version("5.0"), version("5.0.0.0"));
        assert_eq!(version("0").to_string(), "0");
        assert_eq!(version("2.1.5.2600").to_string(), "2.1.5.2600");
        assert_eq!(ProductVersion::new(5, 0, 0, 0).to_string(), "5.0.0.0");
        for wrong in ["", "1.", "1.2.3.4.5", "-1", "+1", "4294967296", "1.x"] {
            assert!(wrong.parse::<ProductVersion>().is_err(), "{wrong:?}");
        }
    }
}
