//! Taking a database out of service, to go on with another one in its place.

use crate::{Location, Postgres, Sqlite, Store, StoreError};

/// A database that nobody else has open, to be read and then left behind.
#[derive(Debug)]
pub struct Moving(Source);

#[derive(Debug)]
enum Source {
    Sqlite(Sqlite),
    Postgres(Box<Postgres>),
}

impl Moving {
    /// Opens a database for this alone; [`StoreError::InUse`] when anybody else has it open. A file
    /// is locked until it is closed. A server of databases is asked who else is connected, which
    /// keeps nobody from coming later: [`Moving::leave`] does.
    pub async fn open(location: &Location) -> Result<Self, StoreError> {
        let in_use = || StoreError::InUse {
            what: location.to_string(),
        };
        let source = match location {
            Location::Sqlite(path) => match Sqlite::open_alone(path).await {
                Err(StoreError::Busy) => return Err(in_use()),
                opened => Source::Sqlite(opened?),
            },
            Location::Postgres(location) => {
                Source::Postgres(Box::new(Postgres::open_one(location).await?))
            }
        };
        let moving = Self(source);
        if moving.is_alone().await? {
            Ok(moving)
        } else {
            moving.store().close().await;
            Err(in_use())
        }
    }

    /// The database.
    pub fn store(&self) -> &dyn Store {
        match &self.0 {
            Source::Sqlite(store) => store,
            Source::Postgres(store) => &**store,
        }
    }

    /// Whether still nobody else has it open.
    pub async fn is_alone(&self) -> Result<bool, StoreError> {
        match &self.0 {
            Source::Sqlite(_) => Ok(true),
            Source::Postgres(store) => store.is_alone().await,
        }
    }

    /// Writes down where everything has gone. From then on opening it is refused with
    /// [`StoreError::Moved`]; a release that does not know of this says that the schema is too new.
    pub async fn leave(&self, to: &Location) -> Result<(), StoreError> {
        match &self.0 {
            Source::Sqlite(store) => store.leave(&to.to_string()).await,
            Source::Postgres(store) => store.leave(&to.to_string()).await,
        }
    }

    /// Takes back [`Moving::leave`].
    pub async fn stay(&self) -> Result<(), StoreError> {
        match &self.0 {
            Source::Sqlite(store) => store.stay().await,
            Source::Postgres(store) => store.stay().await,
        }
    }
}

/// The step of the schema that no release knows: it says where everything has gone.
pub(crate) const GONE: i64 = i64::MAX;
