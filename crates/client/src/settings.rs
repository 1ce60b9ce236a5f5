//! `settings.toml`: where the service is, and who signs in.

use std::collections::BTreeMap;

use openrms_protocol::ClientLevel;
use serde::{Deserialize, Serialize};

use crate::discovery::{FoundBy, Locations, Overrides, Redirects};
use crate::machine_settings::{Place, places};
use crate::storage::{Home, Lock, StorageError};

/// What a person set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Base URL of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Who named it, when it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_by: Option<FoundBy>,
    /// User name to sign in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The version of RMS that the client behaves as; the newest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "level_text")]
    pub client_level: Option<ClientLevel>,
    /// As whom it signs in.
    #[serde(default, skip_serializing_if = "Role::is_person")]
    pub role: Role,
    /// The account in use: a folder under `accounts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Where the server said its services are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<Locations>,
    /// Where single services are, whatever the server says.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub service_location: Overrides,
    /// Clusters that have ended.
    #[serde(default, skip_serializing_if = "Redirects::is_empty")]
    pub decommission: Redirects,
    /// Where each value stands, by its key.
    #[serde(skip)]
    pub(crate) places: BTreeMap<String, Place>,
}

/// As whom a client signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A person.
    #[default]
    Person,
    /// A service of a server, such as one that handles mail: it is certified where an administrator
    /// lists it (`ServerCertification.asmx`, since Service Pack 1).
    Service,
}

impl Role {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "for serde")]
    fn is_person(&self) -> bool {
        *self == Self::Person
    }
}

impl Settings {
    /// Reads them; nothing is set when there is no file.
    pub fn load(home: &Home) -> Result<Self, StorageError> {
        let Some(text) = home.read_text(FILE)? else {
            return Ok(Self::default());
        };
        let mut settings: Self = toml::from_str(&text).map_err(|error| StorageError::Settings {
            path: home.at(FILE),
            reason: error.message().to_owned(),
        })?;
        settings.places = places(&home.at(FILE).to_string_lossy(), &text);
        Ok(settings)
    }

    /// Where a value stands, by its key.
    pub(crate) fn place_of(&self, key: &str) -> Place {
        let place = self.places.get(key).cloned();
        place.unwrap_or_else(|| Place::of(FILE))
    }

    /// Changes them: read, changed and written under the lock.
    pub fn update(lock: &Lock<'_>, change: impl FnOnce(&mut Self)) -> Result<Self, StorageError> {
        let mut settings = Self::load(lock.home())?;
        change(&mut settings);
        let text = toml::to_string(&settings).map_err(|error| StorageError::Settings {
            path: lock.home().at(FILE),
            reason: error.to_string(),
        })?;
        lock.write(FILE, text.as_bytes())?;
        Ok(settings)
    }
}

/// Levels by their names.
pub(crate) mod level_text {
    use openrms_protocol::ClientLevel;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    #[allow(
        clippy::ref_option,
        clippy::trivially_copy_pass_by_ref,
        reason = "for serde"
    )]
    pub(crate) fn serialize<S: Serializer>(
        level: &Option<ClientLevel>,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        match level {
            Some(level) => out.serialize_str(level.name()),
            None => out.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'d, D: Deserializer<'d>>(
        text: D,
    ) -> Result<Option<ClientLevel>, D::Error> {
        let name = String::deserialize(text)?;
        name.parse().map(Some).map_err(D::Error::custom)
    }
}

const FILE: &str = "settings.toml";
