//! What a backup says of itself, and which files are in it.

use serde::{Deserialize, Serialize};

/// What a backup is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The release that made it.
    pub release: String,
    /// When, in seconds since 1970.
    pub created: i64,
    /// The cluster's name.
    pub name: String,
    /// Its base URL.
    pub url: String,
    /// How its keys are kept.
    pub keys: Keeping,
}

/// How the keys of a cluster are kept, and whether the backup has what opens them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keeping {
    /// By a key file; the backup has the key.
    KeyFile,
    /// By a password; the backup has the key as well, and opens without that password.
    Password,
    /// The backup has no key, on request: the key file or password is kept elsewhere.
    Elsewhere,
    /// In a security module, which the keys never leave.
    SecurityModule,
}

/// The files in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileName {
    /// The configuration of the server that the backup was made on.
    Configuration,
    /// The people list.
    People,
    /// The audit file.
    Audit,
}

impl FileName {
    pub(super) const ALL: [Self; 3] = [Self::Configuration, Self::People, Self::Audit];

    /// Its name in the archive, and in the data directory it is restored to.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "rmsd.toml",
            Self::People => "people.toml",
            Self::Audit => "audit.jsonl",
        }
    }
}
