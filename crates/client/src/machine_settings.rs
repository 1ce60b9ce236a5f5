//! What the administrator of a machine says to all its people: the defaults of packages, then
//! `client.toml` and the files of `client.d` in a folder, `/etc/openrms` as packages have it. Never
//! written here. It takes the place of the original's registry keys below `MSDRM` and
//! `Office\Common\DRM`.

mod layers;
#[cfg(windows)]
mod registry;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use openrms_directory::dns::NameServer;
use openrms_protocol::ClientLevel;
use serde::{Deserialize, Serialize};

use crate::discovery::{Overrides, Redirects};
use crate::error::{Class, Coded};
use crate::hierarchy::{Bundle, Hierarchy, HierarchyError, JoinPolicy};
use crate::notice::NoticeUrl;
use crate::proxy::{NoProxy, Proxy};
use crate::settings::level_text;
use crate::url::ServerUrl;

pub use self::layers::Place;
use self::layers::{Layer, line_of};
pub(crate) use self::layers::{places, read_bounded};

/// Settings for everybody on a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MachineSettings {
    server: Option<ServerUrl>,
    name_servers: Option<Vec<NameServer>>,
    service_location: Overrides,
    decommission: Redirects,
    hierarchy: Option<PathBuf>,
    templates: Option<PathBuf>,
    #[serde(with = "level_text")]
    client_level: Option<ClientLevel>,
    proxy: Option<Proxy>,
    no_proxy: Option<NoProxy>,
    ca_file: Option<PathBuf>,
    notice_url: Option<NoticeUrl>,
    store_per_computer: Option<bool>,
    fips: Option<bool>,
    #[serde(rename = "final")]
    fixed: BTreeSet<Fixable>,
    /// Where each value stands, by its key.
    #[serde(skip)]
    places: BTreeMap<String, Place>,
}

/// A setting that people may otherwise set as they like, and that `final` makes the machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fixable {
    /// The server.
    Server,
    /// Where single services are.
    ServiceLocation,
    /// Clusters that have ended.
    Decommission,
    /// The version of RMS to behave as.
    ClientLevel,
    /// The HTTP proxy, and whom to reach without it.
    Proxy,
    /// Further TLS authorities.
    CaFile,
    /// Whom to trust: final wherever it is set, so that it need not be said.
    Hierarchy,
}

/// Why settings of a machine cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MachineSettingsError {
    /// A file or folder cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file does not hold settings.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Everybody may change a file.
    #[error("{} may be changed by everybody", path.display())]
    WritableByAll {
        /// Which.
        path: PathBuf,
    },
}

impl Coded for MachineSettingsError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "machine-settings-not-readable",
            Self::Malformed { .. } => "machine-settings-malformed",
            Self::WritableByAll { .. } => "machine-settings-unsafe",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Io { .. } => Class::Failed,
            Self::Malformed { .. } => Class::Malformed,
            Self::WritableByAll { .. } => Class::NotTrusted,
        }
    }

    fn hint(&self) -> Option<String> {
        Some("it is for whoever looks after this machine to correct".into())
    }
}

impl Fixable {
    /// The key.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::ServiceLocation => "service_location",
            Self::Decommission => "decommission",
            Self::ClientLevel => "client_level",
            Self::Proxy => "proxy",
            Self::CaFile => "ca_file",
            Self::Hierarchy => "hierarchy",
        }
    }
}

impl MachineSettings {
    /// Reads `client.toml`, then `client.d/*.toml` in the order of their names. What a later file
    /// says wins; files that are not there say nothing.
    pub fn read(folder: &Path) -> Result<Self, MachineSettingsError> {
        Self::default().with_folder(folder)
    }

    /// The same, where the files of another folder, which packages put there, say first what counts
    /// unless the administrator says otherwise.
    pub fn read_over(defaults: &Path, folder: &Path) -> Result<Self, MachineSettingsError> {
        let mut packaged = Layer::drop_ins(defaults)?.into_iter();
        let packaged = packaged.try_fold(Self::default(), Self::with_layer)?;
        packaged.with_folder(folder)
    }

    /// What a text of TOML says, which wins; it stands in `place`. Paths in it are in full.
    pub fn with_text(self, place: &Path, text: String) -> Result<Self, MachineSettingsError> {
        let path = place.to_owned();
        self.with_layer(Layer { path, text })
    }

    fn with_folder(self, folder: &Path) -> Result<Self, MachineSettingsError> {
        let mut layers: Vec<Layer> = Layer::read(&folder.join("client.toml"))?
            .into_iter()
            .collect();
        layers.append(&mut Layer::drop_ins(&folder.join("client.d"))?);
        layers.into_iter().try_fold(self, Self::with_layer)
    }

    fn with_layer(self, layer: Layer) -> Result<Self, MachineSettingsError> {
        let Layer { path, text } = layer;
        let mut later: Self = toml::from_str(&text).map_err(|error| {
            let line = error.span().map(|span| line_of(&text, span.start));
            let line = line
                .map(|line| format!("line {line}: "))
                .unwrap_or_default();
            MachineSettingsError::Malformed {
                path: path.clone(),
                reason: format!("{line}{}", error.message().trim_end()),
            }
        })?;
        // A file names others beside it, so that they can be carried together.
        let folder = path.parent().unwrap_or(Path::new(""));
        let files = [
            &mut later.hierarchy,
            &mut later.templates,
            &mut later.ca_file,
        ];
        for file in files.into_iter().flatten() {
            *file = folder.join(&*file);
        }
        later.places = places(&path.to_string_lossy(), &text);
        Ok(later.or(self))
    }

    /// The server, which the certification override names as well.
    pub fn server(&self) -> Option<&ServerUrl> {
        let certification = self.service_location.certification.as_ref();
        self.server
            .as_ref()
            .or(certification.map(super::discovery::CertificationCluster::server))
    }

    /// Who is asked when the service is looked for in DNS; nobody when the machine's own name
    /// servers are.
    pub fn name_servers(&self) -> &[NameServer] {
        self.name_servers.as_deref().unwrap_or_default()
    }

    /// Where single services are.
    pub fn service_location(&self) -> &Overrides {
        &self.service_location
    }

    /// Clusters that have ended.
    pub fn decommission(&self) -> &Redirects {
        &self.decommission
    }

    /// The hierarchy that everybody on the machine belongs to: a client bundle in a file, which is
    /// believed because an administrator placed it. Reads the file.
    pub fn hierarchy(&self) -> Result<Option<Hierarchy>, HierarchyError> {
        let Some(path) = &self.hierarchy else {
            return Ok(None);
        };
        let unreadable = |reason: String| HierarchyError::File {
            path: path.clone(),
            reason,
        };
        let text = read_bounded(path, LARGEST_BUNDLE).map_err(HierarchyError::Place)?;
        let text = text.ok_or_else(|| unreadable("there is no such file".into()))?;
        let bundle: Bundle =
            serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        Hierarchy::from_bundle(&bundle, &JoinPolicy::TrustOnFirstUse).map(Some)
    }

    /// The file of that hierarchy.
    pub fn hierarchy_file(&self) -> Option<&Path> {
        self.hierarchy.as_deref()
    }

    /// A folder with templates for everybody.
    pub fn templates(&self) -> Option<&Path> {
        self.templates.as_deref()
    }

    /// The version of RMS to behave as.
    pub fn client_level(&self) -> Option<ClientLevel> {
        self.client_level
    }

    /// The HTTP proxy.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// Whom to reach without it.
    pub fn no_proxy(&self) -> Option<&NoProxy> {
        self.no_proxy.as_ref()
    }

    /// A file with further TLS authorities, PEM.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// Where people without the client learn what to install.
    pub fn notice_url(&self) -> Option<&NoticeUrl> {
        self.notice_url.as_ref()
    }

    /// Whether a person's store has a folder for each computer, because several computers share
    /// their home folder.
    pub fn store_per_computer(&self) -> bool {
        self.store_per_computer.unwrap_or_default()
    }

    /// Whether only cryptography approved by FIPS 140-3 is to be used, of a validated module.
    pub fn fips(&self) -> bool {
        self.fips.unwrap_or_default()
    }

    /// Whether people cannot set it.
    pub fn is_final(&self, key: Fixable) -> bool {
        self.fixed.contains(&key)
    }

    /// Where a value stands, by its key: `server`, `service_location.activation`.
    pub fn place_of(&self, key: &str) -> Option<&Place> {
        self.places.get(key)
    }

    pub(crate) fn places(&self) -> &BTreeMap<String, Place> {
        &self.places
    }

    fn or(self, earlier: Self) -> Self {
        let mut places = earlier.places;
        places.extend(self.places);
        Self {
            server: self.server.or(earlier.server),
            name_servers: self.name_servers.or(earlier.name_servers),
            service_location: self.service_location.or(earlier.service_location),
            decommission: self.decommission.or(earlier.decommission),
            hierarchy: self.hierarchy.or(earlier.hierarchy),
            templates: self.templates.or(earlier.templates),
            client_level: self.client_level.or(earlier.client_level),
            proxy: self.proxy.or(earlier.proxy),
            no_proxy: self.no_proxy.or(earlier.no_proxy),
            ca_file: self.ca_file.or(earlier.ca_file),
            notice_url: self.notice_url.or(earlier.notice_url),
            store_per_computer: self.store_per_computer.or(earlier.store_per_computer),
            fips: self.fips.or(earlier.fips),
            fixed: &self.fixed | &earlier.fixed,
            places,
        }
    }
}

/// More than the longest chain with its keys.
const LARGEST_BUNDLE: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("client.d")).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn later_files_win_value_by_value() {
        let folder = folder(&[
            (
                "client.toml",
                "server = 'https://a.example'\nname_servers = ['192.0.2.53']",
            ),
            (
                "client.d/20-site.toml",
                "server = 'https://c.example'\n[service_location]\n\
                 enterprise_publishing = 'https://lic.example'",
            ),
            (
                "client.d/10-all.toml",
                "server = 'https://b.example'\n[service_location]\n\
                 cloud_publishing = 'https://cloud.example'",
            ),
            ("client.d/30-off.toml.bak", "nonsense"),
        ]);
        let settings = MachineSettings::read(folder.path()).unwrap();
        assert_eq!(settings.server().unwrap().as_str(), "https://c.example");
        assert_eq!(settings.name_servers().len(), 1);
        let overrides = settings.service_location();
        assert!(overrides.enterprise_publishing.is_some() && overrides.cloud_publishing.is_some());
    }

    #[test]
    fn without_files_nothing_is_set() {
        let nothing = MachineSettings::read(Path::new("/nonexistent/openrms")).unwrap();
        assert_eq!(nothing, MachineSettings::default());
        assert_eq!(nothing.server(), None);
    }

    #[test]
    fn what_is_wrong_is_an_error_that_names_the_file() {
        for text in ["sever = 'https://a'", "server = 'ftp://a'", "server ="] {
            let folder = folder(&[("client.d/10-wrong.toml", text)]);
            let error = MachineSettings::read(folder.path()).unwrap_err();
            assert_eq!(error.code(), "machine-settings-malformed");
            assert!(error.to_string().contains("10-wrong.toml"), "{error}");
        }
        let large = "#".repeat(300_000);
        let folder = folder(&[("client.toml", &large)]);
        let error = MachineSettings::read(folder.path()).unwrap_err();
        assert_eq!(error.code(), "machine-settings-malformed");
        fs::write(folder.path().join("client.toml"), [0xff, 0xfe]).unwrap();
        let error = MachineSettings::read(folder.path()).unwrap_err();
        assert_eq!(error.code(), "machine-settings-not-readable");
    }

    #[test]
    fn all_settings_in_the_manual_are_ones() {
        let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../book/src");
        let page = |name| fs::read_to_string(book.join(name)).unwrap();
        let pages = [
            "activation.md",
            "decommission.md",
            "find.md",
            "fips.md",
            "settings.md",
            "without-client.md",
        ];
        let pages = pages.map(page).concat();
        let blocks: Vec<_> = pages.split("```toml,client\n").skip(1).collect();
        assert!(blocks.len() >= 9);
        for block in blocks {
            let block = block.split("```").next().unwrap();
            toml::from_str::<MachineSettings>(block).unwrap();
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_fall_over(text: String, key: String, value: String) {
            for text in [text.clone(), format!("{key} = {value}"), format!("[{key}]\n{text}")] {
                let _ = places("client.toml", &text);
                let _ = MachineSettings::default().with_text(Path::new("/x/client.toml"), text);
            }
        }
    }

    #[test]
    fn defaults_of_packages_count_least() {
        let packaged = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(packaged.path().join(name), text).unwrap();
        put(
            "50-a.toml",
            "server = 'https://a.example'\nhierarchy = 'hierarchy.json'",
        );
        put("60-b.toml", "server = 'https://b.example'");
        let folder = folder(&[("client.d/10-c.toml", "server = 'https://c.example'")]);
        let settings = MachineSettings::read_over(packaged.path(), folder.path()).unwrap();
        assert_eq!(settings.server().unwrap().as_str(), "https://c.example");
        let beside = packaged.path().join("hierarchy.json");
        assert_eq!(settings.hierarchy_file(), Some(&*beside));
        let place = settings.place_of("hierarchy").unwrap();
        assert_eq!(place.line(), Some(2));
        assert!(place.name().ends_with("50-a.toml"));
    }

    #[test]
    fn the_certification_override_names_the_server() {
        let text = "[service_location]\ncertification = 'https://a.example/_wmcs/certification'";
        let folder = folder(&[("client.toml", text)]);
        let settings = MachineSettings::read(folder.path()).unwrap();
        assert_eq!(settings.server().unwrap().as_str(), "https://a.example");
    }
}
