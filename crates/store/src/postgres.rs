//! The store in a database of a PostgreSQL server, or of one that speaks its language: only what
//! all of them have is used. Every statement ends within seconds, also when the server is dead.

mod codes;
mod directory_cache;
#[path = "tables/fault.rs"]
mod fault;
mod listen;
mod location;
#[path = "tables/log.rs"]
mod log;
mod logging;
mod schema;
#[path = "tables/mod.rs"]
mod tables;

use std::fmt;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Transaction};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::{Found, SCHEMA, Schema, StoreError};
use fault::{database, unreachable_database};
use listen::Listening;

pub use directory_cache::PostgresDirectoryCache;
pub use location::{LocationError, PostgresLocation};
pub use logging::PostgresLogging;

/// A [`Store`](crate::Store) in a database of a PostgreSQL server.
pub struct Postgres {
    pool: PgPool,
    listening: Listening,
    location: PostgresLocation,
    /// An older one than this release's in a database that is only read.
    schema: i64,
}

impl Postgres {
    /// Opens the database of a cluster and brings its schema up to date.
    pub(crate) async fn open(location: &PostgresLocation) -> Result<Self, StoreError> {
        let mut connection = connect(location).await?;
        match within(PATIENCE, schema::inspect(&mut connection)).await? {
            (Found::Cluster, _) => Self::prepare(location, connection).await,
            (Found::Foreign, found) => Err(foreign(location, found)),
            _ => Err(StoreError::Missing {
                what: location.to_string(),
            }),
        }
    }

    /// Opens a database of this schema or an older one as it is, to be read.
    pub(crate) async fn open_to_read(
        location: &PostgresLocation,
    ) -> Result<(Self, Schema), StoreError> {
        let location = location.clone().with_one_connection();
        let mut connection = connect(&location).await?;
        match within(PATIENCE, schema::inspect(&mut connection)).await? {
            (Found::Cluster, _) => {}
            (Found::Foreign, found) => return Err(foreign(&location, found)),
            _ => {
                let what = location.to_string();
                return Err(StoreError::Missing { what });
            }
        }
        let found = within(PATIENCE, schema::found(&mut connection)).await?;
        let mut opened = Self::with(&location, connection).await;
        opened.schema = found.newest().min(SCHEMA);
        Ok((opened, found))
    }

    /// As [`Postgres::open`], but makes the tables of a database that is empty.
    pub(crate) async fn open_or_create(location: &PostgresLocation) -> Result<Self, StoreError> {
        let mut connection = connect(location).await?;
        match within(PATIENCE, schema::inspect(&mut connection)).await? {
            (Found::Foreign, found) => Err(foreign(location, found)),
            _ => Self::prepare(location, connection).await,
        }
    }

    pub(crate) async fn inspect(location: &PostgresLocation) -> Result<Found, StoreError> {
        let mut connection = match connect(location).await {
            Err(StoreError::Missing { .. }) => return Ok(Found::Missing),
            connected => connected?,
        };
        let (found, _) = within(PATIENCE, schema::inspect(&mut connection)).await?;
        close(connection).await;
        Ok(found)
    }

    pub(crate) async fn create_database(location: &PostgresLocation) -> Result<(), StoreError> {
        let mut connection = connect(&location.for_maintenance()).await?;
        let creating = schema::create_database(&mut connection, location.database());
        let created = within(LONG_WORK, creating).await;
        close(connection).await;
        created
    }

    /// As [`Postgres::open`], with a single connection.
    pub(crate) async fn open_one(location: &PostgresLocation) -> Result<Self, StoreError> {
        Self::open(&location.clone().with_one_connection()).await
    }

    /// Whether no server of the cluster is connected. The server of databases needs a moment to
    /// notice that one has gone.
    pub(crate) async fn is_alone(&self) -> Result<bool, StoreError> {
        for _ in 0..LEAVING {
            let mut connection = self.reader().await?;
            if within(PATIENCE, schema::others(&mut connection)).await? == 0 {
                return Ok(true);
            }
            drop(connection);
            sleep(LEAVING_PAUSE).await;
        }
        Ok(false)
    }

    /// The backup whose restore into this database was not completed.
    pub(crate) async fn unfinished(
        location: &PostgresLocation,
    ) -> Result<Option<String>, StoreError> {
        let mut connection = match connect(location).await {
            Err(StoreError::Missing { .. }) => return Ok(None),
            connected => connected?,
        };
        let backup = within(PATIENCE, schema::unfinished(&mut connection)).await;
        close(connection).await;
        backup
    }

    pub(crate) async fn may_restore(
        location: &PostgresLocation,
        backup: &str,
    ) -> Result<bool, StoreError> {
        let mut connection = match connect(location).await {
            Err(StoreError::Missing { .. }) => return Ok(true),
            connected => connected?,
        };
        let begun = within(PATIENCE, schema::unfinished(&mut connection)).await?;
        let may = begun.as_deref() == Some(backup)
            || within(PATIENCE, schema::is_blank(&mut connection)).await?;
        close(connection).await;
        Ok(may)
    }

    /// Opens a database to restore a backup into; whether that has been done already.
    pub(crate) async fn begin_restoring(
        location: &PostgresLocation,
        backup: &str,
    ) -> Result<(Self, bool), StoreError> {
        let mut connection = connect(location).await?;
        let begun = within(PATIENCE, schema::unfinished(&mut connection)).await?;
        let is_blank = within(PATIENCE, schema::is_blank(&mut connection)).await?;
        if !is_blank && begun.as_deref() != Some(backup) {
            return Err(StoreError::NotEmpty {
                table: "configuration",
            });
        }
        if is_blank {
            // Perhaps of another backup, of which nothing has come.
            if begun.is_some() {
                schema::complete_restoring(&mut connection).await?;
            }
            schema::migrate(&mut connection, &schema::cluster()).await?;
            schema::begin_restoring(&mut connection, backup).await?;
        }
        Ok((Self::with(location, connection).await, !is_blank))
    }

    pub(crate) async fn complete_restoring(&self) -> Result<(), StoreError> {
        schema::complete_restoring(&mut *self.writer().await?).await
    }

    pub(crate) async fn leave(&self, to: &str) -> Result<(), StoreError> {
        within(PATIENCE, schema::leave(&mut *self.writer().await?, to)).await
    }

    pub(crate) async fn stay(&self) -> Result<(), StoreError> {
        within(PATIENCE, schema::stay(&mut *self.writer().await?)).await
    }

    pub(crate) async fn schema(location: &PostgresLocation) -> Result<Option<i64>, StoreError> {
        let mut connection = match connect(location).await {
            Err(StoreError::Missing { .. }) => return Ok(None),
            connected => connected?,
        };
        let (found, _) = within(PATIENCE, schema::inspect(&mut connection)).await?;
        let newest = match found {
            Found::Cluster => within(PATIENCE, schema::newest_step(&mut connection)).await?,
            _ => None,
        };
        close(connection).await;
        crate::sqlite::known_step(newest)
    }

    async fn prepare(
        location: &PostgresLocation,
        mut connection: Connection,
    ) -> Result<Self, StoreError> {
        schema::migrate(&mut connection, &schema::cluster()).await?;
        Ok(Self::with(location, connection).await)
    }

    async fn with(location: &PostgresLocation, mut connection: Connection) -> Self {
        let listening = Listening::new(location.options(), &mut connection).await;
        close(connection).await;
        Self::of(location, listening)
    }

    fn of(location: &PostgresLocation, listening: Listening) -> Self {
        Self {
            pool: pool(location.connections().get(), location.options()),
            listening,
            location: location.clone(),
            schema: SCHEMA,
        }
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Postgres({})", self.location)
    }
}

/// How the statements reach the database: [`tables`] asks for no more.
impl Postgres {
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

    async fn writer(&self) -> Result<PoolConnection<Db>, StoreError> {
        self.reader().await
    }

    /// A transaction that sees the database as it is at one instant, and writes nothing.
    async fn begin_reading(&self) -> Result<Transaction<'static, Db>, StoreError> {
        let begin = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let begun = self.pool.begin_with(begin).await;
        begun.map_err(|error| unacquired(&self.pool, &error))
    }

    async fn begin_writing(&self) -> Result<Transaction<'static, Db>, StoreError> {
        let begun = self.pool.begin().await;
        begun.map_err(|error| unacquired(&self.pool, &error))
    }

    /// Statements of this transaction may take as long as they need.
    async fn take_time(&self, transaction: &mut Connection) -> Result<(), StoreError> {
        let done = sqlx::raw_sql(UNHURRIED).execute(transaction).await;
        done.map(|_| ()).map_err(|error| database(&error))
    }

    /// Tells other servers, when the transaction takes effect, that something has changed.
    async fn announce(&self, transaction: &mut Connection) -> Result<(), StoreError> {
        self.listening.announce(transaction).await
    }

    async fn wait_for_change(&self) {
        self.listening.wait().await;
    }

    async fn close_all(&self) {
        self.listening.close().await;
        close_pool(&self.pool).await;
    }
}

/// Does work, and does it again when transactions of others were in its way.
async fn again<T, W: Future<Output = Result<T, StoreError>>>(
    work: impl Fn() -> W,
) -> Result<T, StoreError> {
    again_within(PATIENCE, work).await
}

/// As [`again`], with a limit for each attempt.
async fn again_within<T, W: Future<Output = Result<T, StoreError>>>(
    limit: Duration,
    work: impl Fn() -> W,
) -> Result<T, StoreError> {
    let mut pause = FIRST_PAUSE;
    for _ in 0..REPETITIONS {
        match within(limit, work()).await {
            Err(StoreError::Contention) => {
                // Not the same for all, who would only meet again.
                let part = u32::from(Uuid::new_v4().as_bytes()[0]);
                sleep(pause * part / 128).await;
                pause *= 2;
            }
            done => return done,
        }
    }
    within(limit, work()).await
}

/// A part of work that takes its time: as long as a living server takes for one, and no longer.
async fn part<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    within(BATCH, work).await
}

/// The outcome of work, unless that takes longer than a living server takes.
async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(unreachable_database(&format_args!(
            "no answer within {} seconds",
            limit.as_secs()
        ))),
    }
}

/// A connection of its own, errors named with where it was to go.
async fn connect(location: &PostgresLocation) -> Result<Connection, StoreError> {
    let what = || location.to_string();
    let connecting = async {
        let mut connection = location.options().connect().await?;
        sqlx::raw_sql(SETTINGS).execute(&mut connection).await?;
        Ok(connection)
    };
    match timeout(PATIENCE, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(match database(&error) {
            StoreError::Missing { .. } => StoreError::Missing { what: what() },
            StoreError::Unreachable { reason, .. } => StoreError::Unreachable {
                what: what(),
                reason,
            },
            other => other,
        }),
        Err(_) => Err(StoreError::Unreachable {
            what: what(),
            reason: format!("no answer within {} seconds", PATIENCE.as_secs()),
        }),
    }
}

async fn close(connection: Connection) {
    // The work is done: what becomes of the connection changes nothing.
    let _ = timeout(PING, connection.close()).await;
}

/// Closes a pool, but does not wait for a connection that hangs.
async fn close_pool(pool: &PgPool) {
    let _ = timeout(PATIENCE, pool.close()).await;
}

fn pool(connections: u32, options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .idle_timeout(Some(IDLE))
        .max_lifetime(Some(LIFETIME))
        // A server that was started anew is noticed before a statement is sent to it.
        .test_before_acquire(true)
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(SETTINGS).execute(connection).await?;
                Ok(())
            })
        })
        // The pool would wait without end for a server that hangs.
        .after_release(|connection, _| {
            Box::pin(async move {
                match timeout(PING, connection.ping()).await {
                    Ok(answered) => answered.map(|()| true),
                    Err(_) => Err(sqlx::Error::PoolTimedOut),
                }
            })
        })
        .connect_lazy_with(options)
}

/// With connections to spare, it was the server that did not answer.
fn unacquired(pool: &PgPool, error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::PoolTimedOut if pool.size() < pool.options().get_max_connections() => {
            unreachable_database(&format_args!(
                "no connection within {} seconds",
                ACQUIRE.as_secs()
            ))
        }
        other => database(other),
    }
}

fn foreign(location: &PostgresLocation, found: Option<String>) -> StoreError {
    StoreError::Foreign {
        what: location.to_string(),
        found: found.unwrap_or_default(),
    }
}

/// What [`tables`] is compiled for.
type Backend = Postgres;
type Db = sqlx::Postgres;
type Connection = sqlx::postgres::PgConnection;
type Row = sqlx::postgres::PgRow;
type Arguments = sqlx::postgres::PgArguments;

/// Whoever changes the configuration does so one after another.
const LOCKED_VERSION: &str = "SELECT version FROM configuration WHERE id = 1 FOR UPDATE";

/// Each less than [`PATIENCE`], so that it is the server that gives up and the connection stays.
/// A lock of a server of the cluster that vanished is not held for long. What is acknowledged is on
/// disk, whatever others want of the same server of databases.
const SETTINGS: &str = "SET statement_timeout = 4000; SET lock_timeout = 3000;
    SET idle_in_transaction_session_timeout = 15000; SET client_min_messages = warning;
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'";
const UNHURRIED: &str =
    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

/// How long a request waits for one piece of work.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a batch of rows may take, of an export, an import or the log.
const BATCH: Duration = Duration::from_secs(30);
/// How long it may take to make a database or its tables, and to answer a question about the log.
const LONG_WORK: Duration = Duration::from_mins(10);
/// How long it waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(3);
const PING: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_mins(10);
const LIFETIME: Duration = Duration::from_mins(30);
/// How often it is asked whether others have gone.
const LEAVING: u32 = 20;
const LEAVING_PAUSE: Duration = Duration::from_millis(100);
/// How often work is done again.
const REPETITIONS: u32 = 7;
const FIRST_PAUSE: Duration = Duration::from_millis(5);
