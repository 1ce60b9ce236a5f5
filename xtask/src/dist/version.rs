//! The version of a release, `0.2.0` or `0.3.0-rc.1`, as each kind of package writes it.

use std::fmt;
use std::str::FromStr;

/// Three numbers, and what comes before the release that they name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    numbers: [u32; 3],
    before: Option<String>,
}

impl Version {
    /// The three numbers: all that the Windows Installer compares.
    pub(crate) fn numbers(&self) -> String {
        let [major, minor, patch] = self.numbers;
        format!("{major}.{minor}.{patch}")
    }

    /// As Debian and RPM order it: what follows `~` comes before the release itself.
    pub(crate) fn packaged(&self) -> String {
        self.to_string().replace('-', "~")
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || format!("{text:?} is no version (0.2.0 or 0.3.0-rc.1)");
        let (release, before) = match text.split_once('-') {
            Some((release, before)) => (release, Some(before)),
            None => (text, None),
        };
        let named = |before: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.';
            !before.is_empty() && before.bytes().all(allowed)
        };
        if !before.is_none_or(named) {
            return Err(malformed());
        }
        let numbers = release.split('.').map(str::parse);
        let numbers: Result<Vec<u32>, _> = numbers.collect();
        let numbers = numbers.ok().and_then(|numbers| numbers.try_into().ok());
        Ok(Self {
            numbers: numbers.ok_or_else(malformed)?,
            before: before.map(str::to_owned),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(out, "{major}.{minor}.{patch}")?;
        match &self.before {
            Some(before) => write!(out, "-{before}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_written_as_it_was_read() {
        for text in ["0.2.0", "10.20.30", "0.3.0-rc.1"] {
            assert_eq!(text.parse::<Version>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_comes_before_a_release_is_older_to_package_managers() {
        let version: Version = "0.3.0-rc.1".parse().unwrap();
        assert_eq!(version.packaged(), "0.3.0~rc.1");
    }

    #[test]
    fn anything_else_is_no_version() {
        for text in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "v1.2.3",
            "1.2.x",
            "1.2.3-",
            "1.2.3-a b",
            "1.2.3-a_b",
            "1.2.3-a-b",
        ] {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
        }
    }
}
