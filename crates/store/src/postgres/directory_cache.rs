//! The directory services database in a schema of its own, beside what the cluster keeps: shared by
//! all servers of the cluster.

#[path = "../tables/answers.rs"]
mod answers;

use std::fmt;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPool;
use sqlx::{Postgres, Transaction};

use super::fault;
use super::{PostgresLocation, again, close, close_pool, connect, pool, schema, unacquired};
use crate::StoreError;

/// A [`DirectoryCache`](crate::DirectoryCache) in a database of a PostgreSQL server.
#[derive(Clone)]
pub struct PostgresDirectoryCache {
    pool: PgPool,
}

impl PostgresDirectoryCache {
    /// Opens the database, and makes its tables when there are none. One of a newer release is
    /// refused, as servers of that release may be using it.
    pub async fn open(location: &PostgresLocation) -> Result<Self, StoreError> {
        let location = location.clone().in_schema(schema::DIRECTORY);
        let mut connection = connect(&location).await?;
        schema::migrate(&mut connection, &schema::directory()).await?;
        close(connection).await;
        Ok(Self {
            pool: pool(CONNECTIONS, location.options()),
        })
    }

    async fn run<T, W: Future<Output = Result<T, StoreError>>>(
        &self,
        work: impl Fn() -> W,
    ) -> Result<T, StoreError> {
        again(work).await
    }

    async fn reader(&self) -> Result<PoolConnection<Db>, StoreError> {
        let acquired = self.pool.acquire().await;
        acquired.map_err(|error| unacquired(&self.pool, &error))
    }

    async fn begin_writing(&self) -> Result<Transaction<'static, Db>, StoreError> {
        let begun = self.pool.begin().await;
        begun.map_err(|error| unacquired(&self.pool, &error))
    }

    async fn close_all(&self) {
        close_pool(&self.pool).await;
    }
}

impl fmt::Debug for PostgresDirectoryCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresDirectoryCache")
    }
}

/// What [`answers`] is compiled for.
type Backend = PostgresDirectoryCache;
type Db = Postgres;

/// Answers are few: what is asked often is remembered by each server itself.
const CONNECTIONS: u32 = 2;
