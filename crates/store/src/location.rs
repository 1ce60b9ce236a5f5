//! Where the database of a cluster is, as its configuration says it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::sqlite::{self, Sqlite};
use crate::{Postgres, PostgresLocation, Schema, Store, StoreError};

/// Where the database of a cluster is. Shows no password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A file of this machine, for a cluster of one server.
    Sqlite(PathBuf),
    /// A database of a PostgreSQL server, or of one that speaks its language.
    Postgres(Box<PostgresLocation>),
}

/// A database that is only read. An export needs the newest schema.
#[derive(Debug, Clone)]
pub struct ToRead {
    /// The database.
    pub store: Arc<dyn Store>,
    /// How far its schema is.
    pub schema: Schema,
}

/// What is at a [`Location`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// There is no database.
    Missing,
    /// There is a database with nothing in it.
    Empty,
    /// The database of a cluster, of whatever release.
    Cluster,
    /// Something of somebody else, which is not to be touched.
    Foreign,
}

impl Location {
    /// Opens the database of a cluster and brings its schema up to date. What is missing, empty,
    /// foreign, damaged or newer is refused by name and not changed.
    pub async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(match self {
            Self::Sqlite(path) => Arc::new(Sqlite::open(path).await?),
            Self::Postgres(location) => Arc::new(Postgres::open(location).await?),
        })
    }

    /// As [`Location::open`], but makes a file that is missing, and the tables of a database that
    /// is empty. A database that a server does not have is [`StoreError::Missing`]: see
    /// [`Location::create_database`].
    pub async fn open_or_create(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(match self {
            Self::Sqlite(path) => Arc::new(Sqlite::open_or_create(path).await?),
            Self::Postgres(location) => Arc::new(Postgres::open_or_create(location).await?),
        })
    }

    /// Opens the database of a cluster as it is, of this release's schema or an older one, to be read
    /// and not written. Changes nothing; refused is what [`Location::open`] refuses.
    pub async fn open_to_read(&self) -> Result<ToRead, StoreError> {
        Ok(match self {
            Self::Sqlite(path) => {
                let (store, schema) = Sqlite::open_to_read(path).await?;
                let store = Arc::new(store);
                ToRead { store, schema }
            }
            Self::Postgres(location) => {
                let (store, schema) = Postgres::open_to_read(location).await?;
                let store = Arc::new(store);
                ToRead { store, schema }
            }
        })
    }

    /// Looks what is there, and changes nothing.
    pub async fn inspect(&self) -> Result<Found, StoreError> {
        match self {
            Self::Sqlite(path) => sqlite::inspect(path),
            Self::Postgres(location) => Postgres::inspect(location).await,
        }
    }

    /// The schema of a cluster's database, as the last release that opened it left it; none when
    /// there is no such database. Changes nothing.
    pub async fn schema(&self) -> Result<Option<i64>, StoreError> {
        match self {
            Self::Sqlite(path) => sqlite::schema(path).await,
            Self::Postgres(location) => Postgres::schema(location).await,
        }
    }

    /// Makes an empty database at a server, where the user may; one that is there already is
    /// [`StoreError::AlreadyExists`]. A file needs no such step.
    pub async fn create_database(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(location) => Postgres::create_database(location).await,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(location) => location.fmt(f),
        }
    }
}
