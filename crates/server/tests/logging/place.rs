//! Logging databases of tests, and ways to keep a server from them.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use openrms_store::logging::{
    Chosen, EventFilter, LogEvent, LoggingDatabase, PostgresLogging, Reports, SqliteLogging,
};
use openrms_store::{PostgresLocation, Uuid};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::block_on;
use crate::load::Cluster;

/// Where a log is.
pub(crate) enum LogPlace {
    Sqlite,
    Postgres(Database),
}

impl LogPlace {
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::Sqlite];
        match std::env::var("OPENRMS_TEST_POSTGRES") {
            Ok(server) => all.push(Self::Postgres(Database::fresh(&server))),
            Err(_) => println!("skipped: PostgreSQL, OPENRMS_TEST_POSTGRES names no server"),
        }
        all
    }

    pub(crate) fn table(&self) -> String {
        self.table_through(None)
    }

    pub(crate) fn table_through(&self, gate: Option<&Gate>) -> String {
        match self {
            Self::Sqlite => String::new(),
            Self::Postgres(database) => {
                let address = gate.map_or(database.server, |gate| gate.address);
                let url = database.url(address);
                let file = database.folder.path().join("password");
                let file = file.display();
                format!("[logging]\ndatabase = \"{url}\"\npassword_file = '{file}'\n")
            }
        }
    }

    /// A way to the database that can be closed.
    pub(crate) fn gate(&self) -> Option<Gate> {
        match self {
            Self::Sqlite => None,
            Self::Postgres(database) => Some(Gate::to(database.server)),
        }
    }

    pub(crate) fn count(&self, cluster: &Cluster) -> u64 {
        self.with(cluster, async |database| {
            Reports::new(database, Chosen::EVER).count().await.unwrap()
        })
    }

    pub(crate) fn events(&self, cluster: &Cluster) -> Vec<LogEvent<'static>> {
        self.with(cluster, async |database| {
            let reports = Reports::new(database, Chosen::EVER);
            let any = EventFilter::default();
            reports.events(&any, None, usize::MAX).await.unwrap()
        })
    }

    fn with<T>(&self, cluster: &Cluster, work: impl AsyncFnOnce(&dyn LoggingDatabase) -> T) -> T {
        block_on(async {
            let database: Box<dyn LoggingDatabase> = match self {
                Self::Sqlite => {
                    let path = cluster.data().join("logging.db");
                    Box::new(SqliteLogging::open_or_create(&path).await.unwrap())
                }
                Self::Postgres(database) => {
                    let location: PostgresLocation = database.url(database.server).parse().unwrap();
                    let location = location.with_password(database.password.clone().into());
                    Box::new(PostgresLogging::open(&location).await.unwrap())
                }
            };
            let done = work(&*database).await;
            database.close().await;
            done
        })
    }
}

/// A new database of a PostgreSQL server.
pub(crate) struct Database {
    server: SocketAddr,
    user: String,
    password: String,
    name: String,
    /// Holds the password.
    folder: tempfile::TempDir,
}

impl Database {
    fn fresh(server: &str) -> Self {
        let name = format!("log_{}", Uuid::new_v4().simple());
        block_on(async {
            let mut connection = PgConnection::connect(server).await.unwrap();
            let make = AssertSqlSafe(format!("CREATE DATABASE {name}"));
            sqlx::query(make).execute(&mut connection).await.unwrap();
        });
        let (_, rest) = server.split_once("://").unwrap();
        let (who, rest) = rest.split_once('@').unwrap();
        let (user, password) = who.split_once(':').unwrap();
        let (address, _) = rest.split_once('/').unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("password"), password).unwrap();
        Self {
            server: address.parse().unwrap(),
            user: user.to_owned(),
            password: password.to_owned(),
            name,
            folder,
        }
    }

    fn url(&self, address: SocketAddr) -> String {
        format!("postgres://{}@{address}/{}", self.user, self.name)
    }
}

impl std::fmt::Debug for LogPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
        })
    }
}

/// A transaction of another process that keeps a SQLite database from being written.
pub(crate) struct Hold(
    Option<std::thread::JoinHandle<()>>,
    std::sync::mpsc::Sender<()>,
);

impl Hold {
    fn of(path: &Path) -> Self {
        let (release, released) = std::sync::mpsc::channel();
        let (held, holds) = std::sync::mpsc::channel();
        let url = format!("sqlite://{}", path.display());
        let thread = std::thread::spawn(move || {
            block_on(async {
                let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
                let begun = sqlx::query("BEGIN IMMEDIATE")
                    .execute(&mut connection)
                    .await;
                begun.unwrap();
                held.send(()).unwrap();
                // Ends when the other end is dropped.
                let _ = released.recv();
                connection.close().await.unwrap();
            });
        });
        holds.recv().unwrap();
        Self(Some(thread), release)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.1.send(()).unwrap();
        self.0.take().unwrap().join().unwrap();
    }
}

/// A database that cannot be reached for as long as this lives.
#[allow(dead_code, reason = "only dropped")]
pub(crate) enum Outage<'g> {
    Held(Hold),
    Closed(Closed<'g>),
}

impl<'g> Outage<'g> {
    /// Closes the gate; without one, somebody else holds the SQLite database.
    pub(crate) fn begin(cluster: &Cluster, gate: Option<&'g Gate>) -> Self {
        match gate {
            Some(gate) => Self::Closed(gate.close()),
            None => Self::Held(Hold::of(&cluster.data().join("logging.db"))),
        }
    }
}

/// A gate that is closed until this is dropped.
pub(crate) struct Closed<'g>(&'g Gate);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.is_open.store(true, SeqCst);
    }
}

/// A proxy of TCP that can be closed: connections end, and new ones are not taken.
pub(crate) struct Gate {
    address: SocketAddr,
    is_open: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Gate {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_open = Arc::new(AtomicBool::new(true));
        let streams = Arc::new(Mutex::new(Vec::new()));
        let gate = Self {
            address,
            is_open: is_open.clone(),
            streams: streams.clone(),
        };
        // Ends with the process.
        std::thread::spawn(move || {
            for inner in listener.incoming().map_while(Result::ok) {
                if !is_open.load(SeqCst) {
                    continue;
                }
                let Ok(outer) = TcpStream::connect(server) else {
                    continue;
                };
                streams
                    .lock()
                    .unwrap()
                    .extend([inner.try_clone().unwrap(), outer.try_clone().unwrap()]);
                let pairs = [
                    (inner.try_clone().unwrap(), outer.try_clone().unwrap()),
                    (outer, inner),
                ];
                for (mut from, mut to) in pairs {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(std::net::Shutdown::Both);
                    });
                }
            }
        });
        gate
    }

    fn close(&self) -> Closed<'_> {
        self.is_open.store(false, SeqCst);
        for stream in self.streams.lock().unwrap().drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        Closed(self)
    }
}
