//! Capability versions and the `VersionData` SOAP header ([MS-RMPR] 2.2.3.3, 2.2.4.2, 3.1.4.6).

use std::fmt;
use std::str::FromStr;

use crate::error::ProtocolError;
use crate::limits::Limits;
use crate::xml::{Element, Writer};

/// A capability version `a.b.c.d`; `a` weighs most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataVersion(pub u16, pub u16, pub u16, pub u16);

impl DataVersion {
    /// The first version: one licence per request.
    pub const V1_0: Self = Self(1, 0, 0, 0);
    /// Adds several licences per request (note <1>).
    pub const V1_1: Self = Self(1, 1, 0, 0);
    /// What servers of Windows Server 2008 R2 with Service Pack 1, and later, answer (note <1>).
    pub const V1_2: Self = Self(1, 2, 0, 0);
}

impl fmt::Display for DataVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.0, self.1, self.2, self.3)
    }
}

/// The text is not four decimal numbers joined by dots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a data version is four numbers joined by dots, such as 1.0.0.0")]
pub struct NotAVersion;

impl FromStr for DataVersion {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let mut parts = text.split('.');
        let mut next = || -> Result<u16, NotAVersion> {
            let part = parts.next().ok_or(NotAVersion)?;
            if part.is_empty() || part.len() > 5 || !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(NotAVersion);
            }
            part.parse().map_err(|_| NotAVersion)
        };
        let version = Self(next()?, next()?, next()?, next()?);
        match parts.next() {
            None => Ok(version),
            Some(_) => Err(NotAVersion),
        }
    }
}

/// The range of versions a sender speaks, carried in the SOAP header. Both ends are optional on
/// the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VersionData {
    /// Lowest version the sender can do with.
    pub minimum: Option<DataVersion>,
    /// Highest version the sender may use in this exchange.
    pub maximum: Option<DataVersion>,
}

impl VersionData {
    /// What a client says when it asks for one thing.
    pub const CLIENT: Self = Self::range(DataVersion::V1_0, DataVersion::V1_0);
    /// What a client says when it asks for several licences at once (3.4.4.1).
    pub const CLIENT_BATCH: Self = Self::range(DataVersion::V1_0, DataVersion::V1_1);

    /// A header with both ends given.
    pub const fn range(minimum: DataVersion, maximum: DataVersion) -> Self {
        Self {
            minimum: Some(minimum),
            maximum: Some(maximum),
        }
    }

    /// Whether a server whose highest version is `highest` may answer (2.2.4.2).
    ///
    /// Fails with [`ProtocolError::UnsupportedVersion`] when the sender's highest version, or its
    /// lowest, lies above `highest`, and with [`ProtocolError::MalformedVersion`] when its lowest
    /// lies above its highest (MS-RMSI 3.1.4.1).
    pub fn check(&self, highest: DataVersion) -> Result<(), ProtocolError> {
        if let (Some(minimum), Some(maximum)) = (self.minimum, self.maximum)
            && minimum > maximum
        {
            return Err(ProtocolError::MalformedVersion {
                field: "MinimumVersion",
                value: minimum.to_string(),
            });
        }
        match self.maximum.max(self.minimum) {
            Some(asked) if asked > highest => {
                Err(ProtocolError::UnsupportedVersion { asked, highest })
            }
            _ => Ok(()),
        }
    }

    /// Whether several licences per request are agreed on (3.4.4.1): the sender's highest version
    /// reaches 1.1.0.0.
    pub fn allows_batch(&self) -> bool {
        self.maximum
            .is_some_and(|maximum| maximum >= DataVersion::V1_1)
    }

    pub(crate) fn decode(element: &Element<'_>, limits: &Limits) -> Result<Self, ProtocolError> {
        let end = |name: &'static str| -> Result<Option<DataVersion>, ProtocolError> {
            let Some(child) = element.child(name)? else {
                return Ok(None);
            };
            let text = child.short_text(limits)?;
            text.trim()
                .parse()
                .map(Some)
                .map_err(|_| ProtocolError::MalformedVersion {
                    field: name,
                    value: crate::error::excerpt(text),
                })
        };
        Ok(Self {
            minimum: end("MinimumVersion")?,
            maximum: end("MaximumVersion")?,
        })
    }

    pub(crate) fn encode(&self, namespace: &str, out: &mut Writer) {
        out.start_in("VersionData", namespace);
        if let Some(minimum) = self.minimum {
            out.leaf("MinimumVersion", &minimum.to_string());
        }
        if let Some(maximum) = self.maximum {
            out.leaf("MaximumVersion", &maximum.to_string());
        }
        out.end("VersionData");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_order_by_their_first_number_first() {
        let parse = |text: &str| text.parse::<DataVersion>().unwrap();
        assert!(parse("1.1.0.0") > parse("1.0.65535.9"));
        assert!(parse("2.0.0.0") > parse("1.9.9.9"));
        assert_eq!(parse("1.1.0.0").to_string(), "1.1.0.0");
    }

    #[test]
    fn what_is_not_four_numbers_is_not_a_version() {
        for text in [
            "",
            "1",
            "1.0.0",
            "1.0.0.0.0",
            "1.0.0.",
            "+1.0.0.0",
            "1.0.0.x",
            "1.0.0.99999",
        ] {
            assert_eq!(text.parse::<DataVersion>(), Err(NotAVersion), "{text:?}");
        }
    }

    #[test]
    fn a_client_that_asks_for_more_than_the_server_has_is_refused() {
        let asks = VersionData::range(DataVersion::V1_0, DataVersion(1, 2, 0, 0));
        assert!(matches!(
            asks.check(DataVersion::V1_1),
            Err(ProtocolError::UnsupportedVersion { .. })
        ));
        let upside_down = VersionData::range(DataVersion::V1_1, DataVersion::V1_0);
        assert!(matches!(
            upside_down.check(DataVersion::V1_1),
            Err(ProtocolError::MalformedVersion { .. })
        ));
        assert!(VersionData::CLIENT_BATCH.check(DataVersion::V1_1).is_ok());
        assert!(VersionData::default().check(DataVersion::V1_1).is_ok());
    }
}
