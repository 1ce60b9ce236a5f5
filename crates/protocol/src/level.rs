//! Versions of RMS that servers and clients behave as, and what works between which of them. One
//! table ([`Feature`]) says it, for decisions, tests and the manual alike (MS-RMPR 1.7, 2.2.9.4.2,
//! 3.1.4.7, 3.2; product notes 1, 9, 27, 28, 32, 54; MS-RMPRS 2.3.1.2, product note 2).

use std::fmt;
use std::str::FromStr;

use crate::binary_group_expansion::ProductVersion;
use crate::endpoints::Service;
use crate::soap::SoapVersion;
use crate::version::{DataVersion, VersionData};

/// The version of RMS that a server behaves as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ServiceLevel {
    /// RMS 1.0.
    V1,
    /// RMS 1.0 with Service Pack 1.
    Sp1,
    /// RMS 1.0 with Service Pack 2.
    Sp2,
    /// RMS 2.0: Windows Server 2008 R2 with its Service Pack 1, and later.
    #[default]
    V2,
}

/// The version of RMS that a client behaves as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ClientLevel {
    /// RMS 1.0: its security processor comes over the network.
    V1,
    /// RMS 1.0 with Service Pack 1: it activates itself.
    Sp1,
    /// RMS 2.0.
    #[default]
    V2,
}

/// How a client comes by its security processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// From the activation service, through its root cluster (MS-RMPR 3.2).
    Network,
    /// It makes it, with the network unplugged (MS-RMPR 3.8.4.1).
    Own,
}

/// A level with another name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no such level as {named:?}: there are {}", names.join(", "))]
pub struct NoSuchLevel {
    named: String,
    names: Vec<&'static str>,
}

/// A server does not do what its level has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the service level is {level}, and this takes {}: {}",
    feature.servers().0,
    feature.what()
)]
pub struct NotAtLevel {
    /// As which the server behaves.
    pub level: ServiceLevel,
    /// What was wanted of it.
    pub feature: Feature,
}

/// Why a server of one level cannot be made one of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// What came with a level stays; to go back is to restore.
    #[error("level {from} is newer than {to}: a level is left by restoring the backup made before")]
    Backwards {
        /// What it is.
        from: ServiceLevel,
        /// What it should be.
        to: ServiceLevel,
    },
    /// Service Pack 1 must come in between.
    #[error("level {from} is upgraded to {first} before it can become {to}")]
    First {
        /// What it is.
        from: ServiceLevel,
        /// What it must be first.
        first: ServiceLevel,
        /// What it should be.
        to: ServiceLevel,
    },
}

/// Declares the features once: name, between which levels of servers and of clients they work, and
/// what they are, which documentation and manual print.
macro_rules! features {
    ($($(#[doc = $doc:literal])+ $variant:ident = $from:ident..=$to:ident for $who:tt;)*) => {
        /// What works between some versions and not between others.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Feature { $($(#[doc = $doc])+ $variant,)* }

        impl Feature {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// What it is.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)* }
            }

            /// The oldest and the newest server that has it.
            #[must_use]
            pub const fn servers(self) -> (ServiceLevel, ServiceLevel) {
                match self { $(Self::$variant => (ServiceLevel::$from, ServiceLevel::$to),)* }
            }

            /// The oldest and the newest client that has a part in it; none where it is between
            /// servers.
            #[must_use]
            pub const fn clients(self) -> Option<(ClientLevel, ClientLevel)> {
                match self { $(Self::$variant => clients!($who),)* }
            }
        }
    };
}

macro_rules! clients {
    (servers) => {
        None
    };
    (($from:ident..=$to:ident)) => {
        Some((ClientLevel::$from, ClientLevel::$to))
    };
}

features! {
    /// A machine gets its security processor over the network.
    NetworkActivation = V1..=V2 for (V1..=V1);
    /// A machine makes its security processor itself, with the network unplugged.
    SelfActivation = V1..=V2 for (Sp1..=V2);
    /// People get RACs and CLCs, publish off line, and are licensed.
    Licensing = V1..=V2 for (V1..=V2);
    /// Authors publish on line.
    OnlinePublishing = V1..=V2 for (Sp1..=V2);
    /// Authors with clients of version 1.0 publish on line.
    OnlinePublishingOfVersion1 = V1..=V1 for (V1..=V1);
    /// Services of servers get RACs, with a security processor of their own (server lockbox).
    ServerCertification = Sp1..=V2 for (Sp1..=V2);
    /// Mobile devices get RACs.
    MobileCertification = Sp1..=V2 for (Sp1..=V2);
    /// Clients fetch rights policy templates from the server.
    TemplateDistribution = V2..=V2 for (V2..=V2);
    /// One request asks for up to 100 licenses.
    Batches = Sp2..=V2 for (V2..=V2);
    /// Federated people are served, on paths of their own.
    Federation = V2..=V2 for servers;
    /// RSA-2048 and SHA-256 (cryptographic mode 2).
    ModeTwo = V2..=V2 for (V2..=V2);
    /// SOAP 1.2, beside SOAP 1.1.
    Soap12 = V2..=V2 for servers;
    /// A root cluster is enrolled with the authority by files.
    OfflineEnrollment = Sp1..=V2 for servers;
    /// A root cluster is enrolled by what it was installed with, asking nobody.
    SelfEnrollment = V2..=V2 for servers;
    /// Certificates and licenses say what their server is called.
    ServerNames = V2..=V2 for servers;
    /// Templates have names in several languages.
    MultilingualTemplates = Sp1..=V2 for servers;
    /// Other forests expand groups over SOAP, beside the binary form.
    SoapGroupExpansion = Sp2..=V2 for servers;
}

impl ServiceLevel {
    /// All of them, the oldest first.
    pub const ALL: &'static [Self] = &[Self::V1, Self::Sp1, Self::Sp2, Self::V2];

    /// As configurations name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "1.0",
            Self::Sp1 => "sp1",
            Self::Sp2 => "sp2",
            Self::V2 => "2.0",
        }
    }

    /// Whether servers of this level have it.
    #[must_use]
    pub fn has(self, feature: Feature) -> bool {
        let (oldest, newest) = feature.servers();
        oldest <= self && self <= newest
    }

    /// Refuses what servers of this level do not have.
    pub fn require(self, feature: Feature) -> Result<(), NotAtLevel> {
        if self.has(feature) {
            Ok(())
        } else {
            Err(NotAtLevel {
                level: self,
                feature,
            })
        }
    }

    /// Whether there is that endpoint at this level.
    #[must_use]
    pub fn offers(self, service: Service) -> bool {
        let feature = match service {
            Service::ServerCertification => Feature::ServerCertification,
            Service::MobileCertification => Feature::MobileCertification,
            Service::TemplateDistribution => Feature::TemplateDistribution,
            Service::GroupExpansion => Feature::SoapGroupExpansion,
            Service::CertificationExternal
            | Service::CertificationExternalServer
            | Service::CertificationExternalServiceLocator
            | Service::LicenseExternal
            | Service::PublishExternal
            | Service::LicensingExternalServer
            | Service::LicensingExternalServiceLocator => Feature::Federation,
            _ => return true,
        };
        self.has(feature)
    }

    /// The versions of SOAP that it takes.
    #[must_use]
    pub fn soap_versions(self) -> &'static [SoapVersion] {
        if self.has(Feature::Soap12) {
            &[SoapVersion::V11, SoapVersion::V12]
        } else {
            &[SoapVersion::V11]
        }
    }

    /// The versions of data that its answers name (product note 1).
    #[must_use]
    pub const fn data_versions(self) -> VersionData {
        VersionData::range(DataVersion::V1_0, self.highest_data_version())
    }

    /// The highest version of data that it may be asked for.
    #[must_use]
    pub const fn highest_data_version(self) -> DataVersion {
        match self {
            Self::V1 | Self::Sp1 => DataVersion::V1_0,
            Self::Sp2 => DataVersion::V1_1,
            Self::V2 => DataVersion::V1_2,
        }
    }

    /// What SLCs and `GetServerInfo` say of its version; none where the cluster's own setting says
    /// it. Those of 1.0 and its service packs are the versions of their libraries (MS-RMPR 2.2.9,
    /// MS-RMPRS 2.3.1.2).
    #[must_use]
    pub const fn server_version(self) -> Option<&'static str> {
        match self {
            Self::V1 | Self::Sp1 | Self::Sp2 => Some(ProductVersion::of_level(self).number()),
            Self::V2 => None,
        }
    }

    /// What SLCs say it is (`Server-SKU`).
    #[must_use]
    pub const fn sku(self) -> &'static str {
        match self {
            Self::V1 | Self::Sp1 | Self::Sp2 => "RMS 1.0",
            Self::V2 => "RMS 2.0",
        }
    }

    /// The level of a server that says it is of that version ([`Self::server_version`]); none where it
    /// is no version.
    #[must_use]
    pub fn of_version(version: &str) -> Option<Self> {
        let mut numbers = [0; 4];
        for (number, part) in numbers.iter_mut().zip(version.split('.')) {
            *number = part.parse::<u32>().ok()?;
        }
        Some(match numbers {
            [0..5, ..] => Self::V1,
            [5, 0..2, ..] | [5, 2, 0..3790, _] | [5, 2, 3790, 0..300] => Self::Sp1,
            [5, ..] => Self::Sp2,
            _ => Self::V2,
        })
    }

    /// Whether a server of this level may be made one of another in one step: Service Pack 1 comes
    /// before everything later, and there is no way back but a restore.
    pub fn check_path(self, to: Self) -> Result<(), PathError> {
        match (self, to) {
            _ if to < self => Err(PathError::Backwards { from: self, to }),
            (Self::V1, Self::Sp2 | Self::V2) => Err(PathError::First {
                from: self,
                first: Self::Sp1,
                to,
            }),
            _ => Ok(()),
        }
    }
}

impl ClientLevel {
    /// All of them, the oldest first.
    pub const ALL: &'static [Self] = &[Self::V1, Self::Sp1, Self::V2];

    /// As commands name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "1.0",
            Self::Sp1 => "sp1",
            Self::V2 => "2.0",
        }
    }

    /// How it comes by its security processor.
    #[must_use]
    pub const fn activation(self) -> Activation {
        match self {
            Self::V1 => Activation::Network,
            Self::Sp1 | Self::V2 => Activation::Own,
        }
    }

    /// Whether it has a part in that, with a server of some level.
    #[must_use]
    pub fn can(self, feature: Feature, server: ServiceLevel) -> bool {
        let clients = feature.clients();
        server.has(feature)
            && clients.is_some_and(|(oldest, newest)| oldest <= self && self <= newest)
    }

    /// The versions of data that its requests name.
    #[must_use]
    pub fn data_versions(self) -> VersionData {
        let can_batch = self.can(Feature::Batches, ServiceLevel::V2);
        if can_batch {
            VersionData::CLIENT_BATCH
        } else {
            VersionData::CLIENT
        }
    }

    /// The version of its security processor, which servers compare with the oldest that they take:
    /// that of Service Pack 1 is at least 5.0.0.0.
    #[must_use]
    pub const fn security_processor_version(self) -> &'static str {
        match self {
            Self::V1 => "1.0.3246.0",
            Self::Sp1 => "5.1.0.0",
            Self::V2 => "6.1.7600.0",
        }
    }
}

impl fmt::Display for ServiceLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for ClientLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ServiceLevel {
    type Err = NoSuchLevel;

    fn from_str(name: &str) -> Result<Self, NoSuchLevel> {
        named(Self::ALL, Self::name, name)
    }
}

impl FromStr for ClientLevel {
    type Err = NoSuchLevel;

    fn from_str(name: &str) -> Result<Self, NoSuchLevel> {
        named(Self::ALL, Self::name, name)
    }
}

fn named<L: Copy>(all: &[L], name: fn(L) -> &'static str, named: &str) -> Result<L, NoSuchLevel> {
    let mut levels = all.iter().copied();
    levels
        .find(|&level| name(level).eq_ignore_ascii_case(named))
        .ok_or_else(|| NoSuchLevel {
            named: crate::error::excerpt(named),
            names: all.iter().copied().map(name).collect(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_named_in_any_case_and_nothing_else_is_one() {
        for &level in ServiceLevel::ALL {
            assert_eq!(level.name().to_uppercase().parse(), Ok(level));
        }
        for &level in ClientLevel::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        for name in ["", "1", "sp3", "2", "SP 1"] {
            assert!(name.parse::<ServiceLevel>().is_err(), "{name:?}");
            assert!(name.parse::<ClientLevel>().is_err(), "{name:?}");
        }
        let error = "sp9".parse::<ClientLevel>().unwrap_err().to_string();
        assert_eq!(
            error,
            r#"there is no such level as "sp9": there are 1.0, sp1, 2.0"#
        );
    }

    #[test]
    fn service_pack_1_comes_before_everything_later() {
        use ServiceLevel::{Sp1, Sp2, V1, V2};
        let allowed = [(V1, Sp1), (Sp1, Sp2), (Sp1, V2), (Sp2, V2)];
        for &from in ServiceLevel::ALL {
            for &to in ServiceLevel::ALL {
                let path = from.check_path(to);
                assert_eq!(path.is_ok(), from == to || allowed.contains(&(from, to)));
                if from > to {
                    assert_eq!(path, Err(PathError::Backwards { from, to }));
                }
            }
        }
    }

    #[test]
    fn a_server_is_known_by_the_version_it_says() {
        for &level in ServiceLevel::ALL {
            let version = level.server_version().unwrap_or("6.3.0.0");
            assert_eq!(ServiceLevel::of_version(version), Some(level), "{version}");
        }
        assert_eq!(ServiceLevel::of_version("10.0.1"), Some(ServiceLevel::V2));
        assert_eq!(ServiceLevel::of_version("5.3"), Some(ServiceLevel::Sp2));
        for none in ["", "x", ".1", "-1.0"] {
            assert_eq!(ServiceLevel::of_version(none), None, "{none:?}");
        }
    }

    #[test]
    fn what_a_level_has_not_is_refused_with_the_level_that_has_it() {
        assert_eq!(
            ServiceLevel::Sp1.require(Feature::OfflineEnrollment),
            Ok(())
        );
        let error = ServiceLevel::Sp2.require(Feature::ModeTwo).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the service level is sp2, and this takes 2.0: RSA-2048 and SHA-256 (cryptographic mode \
             2)."
        );
    }

    #[test]
    fn the_newest_has_everything_but_what_was_given_up() {
        let missing: Vec<_> = Feature::ALL
            .iter()
            .filter(|&&feature| !ServiceLevel::V2.has(feature))
            .collect();
        assert_eq!(missing, [&Feature::OnlinePublishingOfVersion1]);
        for &service in Service::ALL {
            assert!(ServiceLevel::V2.offers(service));
        }
        assert!(!ServiceLevel::V1.offers(Service::MobileCertification));
        assert!(!ServiceLevel::Sp1.offers(Service::GroupExpansion));
    }

    #[test]
    fn exactly_one_way_of_activation_is_open_to_each_client() {
        for &client in ClientLevel::ALL {
            for &server in ServiceLevel::ALL {
                let network = client.can(Feature::NetworkActivation, server);
                assert_eq!(network, client.activation() == Activation::Network);
                assert_ne!(network, client.can(Feature::SelfActivation, server));
            }
        }
    }
}
