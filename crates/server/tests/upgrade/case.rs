//! A cluster of one server as the release before left it, and the program beside it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use openrms_crypto::Mode;
use openrms_server::{Config, Server};
use openrms_store::{
    AuthorityRole, Change, ClusterServer, ConfigurationSnapshot, Location, Sqlite, Store as _,
};
use serde_json::Value as Json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use crate::fleet::{TestDatabase, secret};
use crate::support::{TestServer, text};

/// A cluster of one server that serves, in this process.
pub(crate) struct Case {
    pub(crate) server: TestServer,
    pub(crate) password: PathBuf,
}

impl Case {
    pub(crate) fn new() -> Self {
        let server = TestServer::start_with(Mode::Two, |config| {
            config.server_name = Some("one".into());
            let file = config.data.config();
            let said = fs::read_to_string(&file).unwrap();
            fs::write(&file, format!("server_name = \"one\"\n{said}")).unwrap();
        });
        let password = server.folder.path().join("backup.password");
        secret(&password, SECRET);
        Self { server, password }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.server.data().join("openrms.db")
    }

    pub(crate) fn make_older(&self) {
        make_older(&self.database());
    }

    pub(crate) fn backup(&self, name: &str) -> PathBuf {
        let place = (self.server.folder.path(), self.password.as_path());
        backup(place, name, &[])
    }

    pub(crate) fn rmsd(&self, arguments: &[&str], archive: Option<&PathBuf>) -> (i32, Json) {
        run(&self.server.data(), arguments, archive, &self.password)
    }

    pub(crate) fn stopped(self) -> Stopped {
        let TestServer {
            running,
            folder,
            bundle,
            mode,
        } = self.server;
        let address = running.url().trim_start_matches("http://").to_owned();
        running.stop();
        Stopped {
            folder,
            bundle,
            mode,
            address,
            password: self.password,
        }
    }
}

/// The same, while no server runs.
pub(crate) struct Stopped {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) bundle: openrms_server::ClientBundle,
    pub(crate) mode: Mode,
    pub(crate) address: String,
    pub(crate) password: PathBuf,
}

impl Stopped {
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.at("data")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.data().join("openrms.db")
    }

    pub(crate) fn left_by_the_release_before(self) -> Self {
        self.make_older();
        self
    }

    pub(crate) fn make_older(&self) {
        make_older(&self.database());
    }

    pub(crate) fn backup(&self, name: &str) -> PathBuf {
        self.backup_with(name, &[])
    }

    pub(crate) fn backup_with(&self, name: &str, more: &[&str]) -> PathBuf {
        backup((self.folder.path(), &self.password), name, more)
    }

    pub(crate) fn rmsd(&self, arguments: &[&str], archive: Option<&PathBuf>) -> (i32, Json) {
        run(&self.data(), arguments, archive, &self.password)
    }

    pub(crate) fn change(&self, value: &str) {
        block_on(async {
            let store = Sqlite::open(&self.database()).await.unwrap();
            let set = Change::PutSetting {
                name: "changed".to_owned(),
                value: value.to_owned(),
            };
            store.apply(&[set], None).await.unwrap();
            store.close().await;
        });
    }

    pub(crate) fn started(self) -> TestServer {
        let mut config = Config::for_data_dir(self.data()).unwrap();
        config.listen = vec![self.address.parse().unwrap()];
        config.limits.spare_keys = 0;
        TestServer {
            running: Server::start(config).unwrap(),
            folder: self.folder,
            bundle: self.bundle,
            mode: self.mode,
        }
    }

    /// All files of the data directory but the database.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.data()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path != self.database() {
                    files.insert(path.clone(), fs::read(path).unwrap());
                }
            }
        }
        files
    }

    pub(crate) fn state(&self) -> State {
        block_on(async {
            let location = Location::Sqlite(self.database());
            let read = location.open_to_read().await.unwrap();
            let state = State {
                schema: read.schema.newest(),
                stored: read.store.snapshot().await.unwrap(),
                roles: read.store.authority_roles().await.unwrap(),
                servers: read.store.servers().await.unwrap(),
                keys: format!("{:?}", read.store.key_protection().await.unwrap()),
            };
            read.store.close().await;
            state
        })
    }
}

/// What a database holds, whatever its schema.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    pub(crate) schema: i64,
    pub(crate) stored: ConfigurationSnapshot,
    pub(crate) roles: Vec<AuthorityRole>,
    pub(crate) servers: Vec<ClusterServer>,
    pub(crate) keys: String,
}

impl State {
    /// URL, keys, certificates, policies, templates, trust: all but the number of the version.
    pub(crate) fn configuration(&self) -> ConfigurationSnapshot {
        ConfigurationSnapshot {
            version: openrms_store::ConfigurationVersion::default(),
            ..self.stored.clone()
        }
    }
}

fn run(data: &Path, arguments: &[&str], archive: Option<&PathBuf>, password: &Path) -> (i32, Json) {
    let (data, password) = (text(data), text(password));
    let mut all = arguments.to_vec();
    all.extend(["--json", "--data", &data]);
    let archive = archive.map(|archive| text(archive));
    if let Some(archive) = &archive {
        all.extend(["--backup", archive, "--password-file", &password]);
    } else if arguments[0] == "restore" {
        all.extend(["--password-file", &password]);
    }
    let (exit, out, err) = rmsd(&all);
    let answer = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    (exit, answer)
}

fn backup((folder, password): (&Path, &Path), name: &str, more: &[&str]) -> PathBuf {
    let archive = folder.join(name);
    let (data, output, password) = (text(&folder.join("data")), text(&archive), text(password));
    let fixed = ["backup", "--data", &data, "-o", &output];
    let sealed = ["--password-file", &password];
    let (exit, _, err) = rmsd(&[&fixed[..], &sealed, more].concat());
    assert_eq!(exit, 0, "{err}");
    archive
}

/// Runs the program on a machine on which nobody can tell of its updates, which would take seconds.
pub(crate) fn rmsd(arguments: &[&str]) -> (i32, String, String) {
    let done = program(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = done.status.code().unwrap();
    (code, text(done.stdout), text(done.stderr))
}

pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rmsd"));
    command
        .args(arguments)
        .env_remove("RMSD_CONFIG")
        .env("PATH", "/nowhere")
        .stdin(Stdio::null());
    command
}

/// One of the checks of an answer, whether it was refused or not.
pub(crate) fn check(answer: &Json, name: &str) -> Json {
    let checks = answer.get("found").unwrap_or(answer)["checks"].as_array();
    let mut checks = checks.unwrap_or_else(|| panic!("{answer}")).iter();
    let check = checks.find(|check| check["name"] == name);
    check.unwrap_or_else(|| panic!("{name}: {answer}")).clone()
}

/// The database as the release before left it, with a server of its own on the list.
pub(crate) fn make_older(database: &Path) {
    block_on(async {
        if schema_of(database).await == 4 {
            let steps = OLDER.replace("HISTORY", "_sqlx_migrations");
            run_at(database, &steps).await;
        }
    });
}

pub(crate) async fn make_older_at(database: &TestDatabase) {
    let password = fs::read_to_string(&database.password_file).unwrap();
    let url = database.url.replacen('@', &format!(":{password}@"), 1);
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let steps = OLDER.replace("HISTORY", "openrms_schema");
    let done = sqlx::raw_sql(AssertSqlSafe(steps))
        .execute(&mut connection)
        .await;
    done.unwrap();
    connection.close().await.unwrap();
}

pub(crate) fn schema(database: &Path) -> i64 {
    block_on(schema_of(database))
}

async fn schema_of(database: &Path) -> i64 {
    let location = Location::Sqlite(database.to_owned());
    location.schema().await.unwrap().unwrap()
}

pub(crate) async fn run_at(database: &Path, statements: &str) {
    let url = format!("sqlite://{}", database.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let statements = AssertSqlSafe(statements.to_owned());
    let done = sqlx::raw_sql(statements).execute(&mut connection).await;
    done.unwrap();
    connection.close().await.unwrap();
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

pub(crate) const SECRET: &str = "Tr1cky-horse-b";

pub(crate) const RELEASE: &str = env!("CARGO_PKG_VERSION");

const OLDER: &str = "ALTER TABLE cluster_server DROP COLUMN service_level;
    ALTER TABLE cluster_server DROP COLUMN upgraded_from;
    ALTER TABLE cluster_server DROP COLUMN upgraded_to;
    ALTER TABLE cluster_server DROP COLUMN upgraded_at;
    UPDATE cluster_server SET version = '0.1.0';
    DELETE FROM authority_role WHERE role LIKE 'machine-activation%';
    DELETE FROM HISTORY WHERE version = 4;";
