//! Where the cluster's database is, as the configuration of one server says it.

use std::path::PathBuf;

use openrms_store::{Location, LocationError, PostgresLocation};

use crate::credential::{Credential, CredentialError};

/// Where the cluster's database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// In a file of the data directory, for a cluster of one server.
    Embedded(PathBuf),
    /// At a database server, for any number of servers.
    Server(DatabaseServer),
}

/// A database at a server, and what signs in there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseServer {
    /// The database's URL as it was given, which holds no password.
    pub url: String,
    /// The password, where the server asks for one.
    pub password: Credential,
    location: Box<PostgresLocation>,
}

impl Database {
    /// The database, with the password read.
    pub(crate) fn location(&self) -> Result<Location, CredentialError> {
        Ok(match self {
            Self::Embedded(path) => Location::Sqlite(path.clone()),
            Self::Server(server) => Location::Postgres(server.location()?),
        })
    }

    /// Whether other servers can have the same database.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Server(_))
    }
}

impl DatabaseServer {
    /// A database by its URL.
    pub fn new(url: &str, password: Credential) -> Result<Self, LocationError> {
        Ok(Self {
            location: Box::new(url.parse()?),
            url: url.to_owned(),
            password,
        })
    }

    /// The same, with the password read.
    pub(crate) fn location(&self) -> Result<Box<PostgresLocation>, CredentialError> {
        let location = self.location.clone();
        if self.password == Credential::None {
            return Ok(location);
        }
        let password = self.password.read_text("Password of the database")?;
        Ok(Box::new(location.with_password(password)))
    }
}
