//! What the administrator of a machine says to all its people: `client.toml` and the files of
//! `client.d` in a folder, `/etc/openrms` as packages have it. Never written here.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use openrms_directory::dns::NameServer;
use serde::Deserialize;

use crate::discovery::{Overrides, Redirects};
use crate::error::{Class, Coded};
use crate::url::ServerUrl;

/// Settings for everybody on a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MachineSettings {
    server: Option<ServerUrl>,
    name_servers: Option<Vec<NameServer>>,
    service_location: Overrides,
    decommission: Redirects,
    fips: Option<bool>,
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
}

impl Coded for MachineSettingsError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "machine-settings-not-readable",
            Self::Malformed { .. } => "machine-settings-malformed",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Io { .. } => Class::Failed,
            Self::Malformed { .. } => Class::Malformed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some("it is for whoever looks after this machine to correct".into())
    }
}

impl MachineSettings {
    /// Reads `client.toml`, then `client.d/*.toml` in the order of their names. What a later file
    /// says wins; files that are not there say nothing.
    pub fn read(folder: &Path) -> Result<Self, MachineSettingsError> {
        let mut settings = Self::default();
        let mut files = vec![folder.join("client.toml")];
        files.append(&mut drop_ins(&folder.join("client.d"))?);
        for path in files {
            if let Some(text) = read(&path)? {
                let later: Self = toml::from_str(&text).map_err(|error| {
                    let reason = error.message().to_owned();
                    MachineSettingsError::Malformed { path, reason }
                })?;
                settings = later.or(settings);
            }
        }
        Ok(settings)
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

    /// Whether only cryptography approved by FIPS 140-3 is to be used, of a validated module.
    pub fn fips(&self) -> bool {
        self.fips.unwrap_or_default()
    }

    fn or(self, earlier: Self) -> Self {
        Self {
            server: self.server.or(earlier.server),
            name_servers: self.name_servers.or(earlier.name_servers),
            service_location: self.service_location.or(earlier.service_location),
            decommission: self.decommission.or(earlier.decommission),
            fips: self.fips.or(earlier.fips),
        }
    }
}

fn drop_ins(folder: &Path) -> Result<Vec<PathBuf>, MachineSettingsError> {
    let io = |source| MachineSettingsError::Io {
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(io)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn read(path: &Path) -> Result<Option<String>, MachineSettingsError> {
    let io = |source| MachineSettingsError::Io {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let mut text = String::new();
    let length = file
        .take(LARGEST + 1)
        .read_to_string(&mut text)
        .map_err(io)?;
    if length as u64 > LARGEST {
        return Err(MachineSettingsError::Malformed {
            path: path.to_owned(),
            reason: format!("it is larger than {LARGEST} bytes"),
        });
    }
    Ok(Some(text))
}

const LARGEST: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
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
        let pages = page("find.md") + &page("decommission.md") + &page("fips.md");
        let blocks: Vec<_> = pages.split("```toml,client\n").skip(1).collect();
        assert!(blocks.len() >= 5);
        for block in blocks {
            let block = block.split("```").next().unwrap();
            toml::from_str::<MachineSettings>(block).unwrap();
        }
    }

    #[test]
    fn the_certification_override_names_the_server() {
        let text = "[service_location]\ncertification = 'https://a.example/_wmcs/certification'";
        let folder = folder(&[("client.toml", text)]);
        let settings = MachineSettings::read(folder.path()).unwrap();
        assert_eq!(settings.server().unwrap().as_str(), "https://a.example");
    }
}
