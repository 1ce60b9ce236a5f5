//! A fresh database of a real PostgreSQL for each test.

#![allow(dead_code, reason = "not every test file needs all of it")]

use openrms_store::{Change, Location, PostgresLocation, SealedBytes, StoredKey};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use zeroize::Zeroizing;

/// A key pair that is none.
pub(crate) fn key(number: u8) -> StoredKey {
    StoredKey {
        sealed: SealedBytes::new(vec![number; 700]),
        public_modulus: vec![number; 256],
        sealed_by: String::new(),
        created: 0,
    }
}

/// A change of the setting `a`.
pub(crate) fn setting(value: &str) -> Change {
    Change::PutSetting {
        name: "a".to_owned(),
        value: value.to_owned(),
    }
}

/// A database that was made for one test; [`TestDatabase::destroy`] takes it away.
pub(crate) struct TestDatabase {
    pub(crate) name: String,
    url: String,
}

impl TestDatabase {
    /// None when no server is named; says so, as then nothing was tested.
    pub(crate) async fn new() -> Option<Self> {
        let Ok(url) = std::env::var("OPENRMS_TEST_POSTGRES") else {
            println!("skipped: no PostgreSQL (eval \"$(tests/testbed/postgres up)\" starts one)");
            return None;
        };
        let name = format!("t{}", uuid::Uuid::new_v4().simple());
        let database = Self { name, url };
        database
            .administer(&format!("CREATE DATABASE {}", database.name))
            .await;
        Some(database)
    }

    /// Statements as the user of the server's URL, in the database.
    pub(crate) async fn connect(&self) -> PgConnection {
        let options: PgConnectOptions = self.url.parse().unwrap();
        options.database(&self.name).connect().await.unwrap()
    }

    pub(crate) async fn execute(&self, statements: &str) {
        let mut connection = self.connect().await;
        connection
            .execute(sqlx::raw_sql(AssertSqlSafe(statements.to_owned())))
            .await
            .unwrap();
        connection.close().await.unwrap();
    }

    /// Statements outside of the database.
    pub(crate) async fn administer(&self, statement: &str) {
        let mut connection: PgConnection = self
            .url
            .parse::<PgConnectOptions>()
            .unwrap()
            .connect()
            .await
            .unwrap();
        connection
            .execute(AssertSqlSafe(statement.to_owned()))
            .await
            .unwrap();
        connection.close().await.unwrap();
    }

    pub(crate) fn location(&self) -> Location {
        Location::Postgres(Box::new(self.postgres()))
    }

    pub(crate) fn postgres(&self) -> PostgresLocation {
        let (user, password) = self.credentials();
        self.postgres_as(&user, &password)
    }

    /// As another user of the server.
    pub(crate) fn postgres_as(&self, user: &str, password: &str) -> PostgresLocation {
        let options: PgConnectOptions = self.url.parse().unwrap();
        let (host, port) = (options.get_host(), options.get_port());
        let url = format!("postgres://{user}@{host}:{port}/{}", self.name);
        let location: PostgresLocation = url.parse().unwrap();
        location.with_password(Zeroizing::new(password.to_owned()))
    }

    pub(crate) fn port(&self) -> u16 {
        self.url.parse::<PgConnectOptions>().unwrap().get_port()
    }

    fn credentials(&self) -> (String, String) {
        let authority = self.url.split("//").nth(1).unwrap().split('@').next();
        let (user, password) = authority.unwrap().split_once(':').unwrap();
        (user.to_owned(), password.to_owned())
    }

    /// A test that fails leaves its database to be looked at.
    pub(crate) async fn destroy(self) {
        self.administer(&format!("DROP DATABASE {} WITH (FORCE)", self.name))
            .await;
    }
}
