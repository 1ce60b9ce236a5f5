//! The version of RMS that this client behaves as, and what that keeps it from (MS-RMPR 3.8.4.1,
//! product notes 36, 54). What works between which versions is [`openrms_protocol::level`]'s to say.

use openrms_crypto::Mode;
pub use openrms_protocol::level::{Activation, ClientLevel, NoSuchLevel};
use openrms_protocol::server::{
    GetServerInfo, GetServerInfoResponse, ServerInfoRequest, ServerInfoType, ServerInfoValue,
};
use openrms_protocol::{Contract, Feature, Response, Service, ServiceLevel};

use crate::client::Client;
use crate::error::{Class, Coded, Error};
use crate::hierarchy::Hierarchy;
use crate::lockbox::Lockbox;
use crate::service::Auth;
use crate::settings::Settings;

/// What a client of that level does not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LevelError {
    /// It does not make its security processor, and there is no server to get it from.
    #[error("a client of level {0} is activated over the network, and it has no server")]
    NeedsNetwork(ClientLevel),
    /// The lockbox came about in the other way.
    #[error("a client of level {0} cannot use the lockbox here, which came about in another way")]
    OtherLockbox(ClientLevel),
    /// RSA-2048 and SHA-256.
    #[error("a client of level {0} does not do cryptographic mode 2, which the cluster is in")]
    ModeTwo(ClientLevel),
    /// No server does that with it.
    #[error("a client of level {level} has no part in this: {}", feature.what())]
    Never {
        /// What it is.
        level: ClientLevel,
        /// What was asked for.
        feature: Feature,
    },
    /// Older servers would have done it.
    #[error("a server of level {server} does not do this with clients of level {level}: {}", feature.what())]
    ServerTooNew {
        /// What it is.
        level: ClientLevel,
        /// What the server says it is.
        server: ServiceLevel,
        /// What was asked for.
        feature: Feature,
    },
}

impl Coded for LevelError {
    fn code(&self) -> &'static str {
        match self {
            Self::NeedsNetwork(_) => "activation-needs-network",
            Self::OtherLockbox(_) => "lockbox-of-other-level",
            Self::ModeTwo(_) => "client-level-mode",
            Self::Never { .. } => "client-level-lacks",
            Self::ServerTooNew { .. } => "server-too-new",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::NeedsNetwork(_) => Class::Unreachable,
            Self::OtherLockbox(_) => Class::Usage,
            Self::ModeTwo(_) | Self::Never { .. } | Self::ServerTooNew { .. } => Class::Denied,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NeedsNetwork(_) => "say where the service is: rms init --server URL".into(),
            Self::OtherLockbox(_) => "leave --client-level out; or use another RMS_HOME, or take \
                                      the folder away, then activate and sign in anew"
                .into(),
            Self::ModeTwo(_) | Self::Never { .. } => "behave as a newer version: rms status tells \
                                                      the level, --client-level names another"
                .into(),
            Self::ServerTooNew { .. } => "publish off line".into(),
        })
    }
}

impl Client {
    /// The version of RMS that it behaves as: what the caller said, else what was remembered, else
    /// what the machine's settings say.
    pub fn level(&self) -> Result<ClientLevel, Error> {
        let said = self.discovery.level(&self.settings()?)?;
        Ok(said.map(|(level, _)| level).unwrap_or_default())
    }

    /// Refuses to use a lockbox that came about in another way than that of the level.
    pub(crate) fn check_lockbox_of_level(&self) -> Result<(), Error> {
        let level = self.level()?;
        match Lockbox::activation_of(&self.home)? {
            Some(activation) if activation != level.activation() => {
                Err(LevelError::OtherLockbox(level).into())
            }
            _ => Ok(()),
        }
    }

    /// Remembers the level, where the caller said one.
    pub(crate) fn remember_level(&self) -> Result<(), Error> {
        if let Some(level) = self.discovery.spoken_level()
            && self.settings()?.client_level != Some(level)
        {
            let lock = self.home.lock()?;
            Settings::update(&lock, |settings| settings.client_level = Some(level))?;
        }
        Ok(())
    }

    /// Whether it is activated over the network.
    pub(crate) fn is_activated_over_network(&self) -> Result<bool, Error> {
        Ok(self.level()?.activation() == Activation::Network)
    }

    /// Refuses a hierarchy of a mode that it does not do.
    pub(crate) fn check_mode_of_level(&self, hierarchy: &Hierarchy) -> Result<(), Error> {
        let level = self.level()?;
        if hierarchy.mode() == Mode::Two && !level.can(Feature::ModeTwo, ServiceLevel::V2) {
            return Err(LevelError::ModeTwo(level).into());
        }
        Ok(())
    }

    /// Refuses what it does with no server at all.
    pub(crate) fn check_ever(&self, feature: Feature) -> Result<(), Error> {
        let level = self.level()?;
        if ServiceLevel::ALL
            .iter()
            .any(|&server| level.can(feature, server))
        {
            Ok(())
        } else {
            Err(LevelError::Never { level, feature }.into())
        }
    }

    /// Refuses to publish on line with a server that does not do so with this level. Most need not
    /// be asked which they are.
    pub(crate) fn check_online_publishing(&self) -> Result<(), Error> {
        let level = self.level()?;
        let can = |server: &ServiceLevel| {
            level.can(Feature::OnlinePublishing, *server)
                || level.can(Feature::OnlinePublishingOfVersion1, *server)
        };
        if ServiceLevel::ALL.iter().all(can) {
            return Ok(());
        }
        let server = self.server_level()?;
        if can(&server) {
            return Ok(());
        }
        let feature = Feature::OnlinePublishingOfVersion1;
        Err(LevelError::ServerTooNew {
            level,
            server,
            feature,
        }
        .into())
    }

    /// The level that the server says it is; one that does not say is of the newest.
    fn server_level(&self) -> Result<ServiceLevel, Error> {
        let request = ServerInfoRequest {
            kind: ServerInfoType::VersionInfo,
            additional_info: None,
        };
        let ask = GetServerInfo {
            requests: vec![request],
        };
        let ask = ask.into();
        let version = self.ask_licensing(Service::LicensingServer, |caller, url| {
            let take = |response: Response<'_>| {
                let answer = GetServerInfoResponse::try_from(response)?;
                let mut values = answer.entries.into_iter().map(|entry| entry.value);
                Ok(values.find_map(|value| match value {
                    ServerInfoValue::VersionInfo(version) => Some(version),
                    _ => None,
                }))
            };
            caller.call(&url, Contract::Server, &ask, Auth::OnDemand, take)
        })?;
        let level = version.and_then(|version| ServiceLevel::of_version(&version));
        Ok(level.unwrap_or_default())
    }
}
