//! Every statement of the crate is prepared by both real engines, so that a wrong one is found also
//! when no test takes its path; and what goes in and comes out has the types the crate reads.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod support;

use openrms_store::{
    DirectoryCache as _, PostgresDirectoryCache, Sqlite, SqliteDirectoryCache, Store as _,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Either, Executor as _, SqlSafeStr as _,
    Statement as _, TypeInfo as _,
};
use support::TestDatabase;

const CLUSTER: [&str; 4] = [
    include_str!("../src/tables/change.rs"),
    include_str!("../src/tables/cluster.rs"),
    include_str!("../src/tables/configuration.rs"),
    include_str!("../src/tables/records.rs"),
];
const ANSWERS: &str = include_str!("../src/tables/answers.rs");

/// The string literals of a source file that are statements.
fn statements(source: &str) -> Vec<String> {
    let quoted = source.split('"').skip(1).step_by(2);
    quoted
        .filter(|text| {
            ["SELECT ", "INSERT ", "UPDATE ", "DELETE "]
                .iter()
                .any(|verb| text.starts_with(verb))
        })
        .map(str::to_owned)
        .collect()
}

fn of_the_cluster() -> Vec<String> {
    let mut all: Vec<_> = CLUSTER
        .iter()
        .flat_map(|source| statements(source))
        .collect();
    for table in openrms_store::TABLES {
        all.push(format!(
            "SELECT {} FROM {}",
            table.columns.join(", "),
            table.name
        ));
    }
    assert!(all.len() > 60, "{}", all.len());
    all
}

fn of_the_answers() -> Vec<String> {
    let all = statements(ANSWERS);
    assert!(all.len() >= 8, "{}", all.len());
    all
}

#[tokio::test]
async fn sqlite_prepares_every_statement() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = folder.path().join("cluster.db");
    Sqlite::create(&cluster).await.unwrap().close().await;
    let answers = folder.path().join("directory.db");
    SqliteDirectoryCache::open(&answers)
        .await
        .unwrap()
        .cache
        .close()
        .await;
    for (path, statements) in [(cluster, of_the_cluster()), (answers, of_the_answers())] {
        let mut connection = SqliteConnectOptions::new()
            .filename(path)
            .connect()
            .await
            .unwrap();
        for statement in statements {
            let sql = AssertSqlSafe(statement.clone()).into_sql_str();
            let prepared = (&mut connection).prepare(sql).await;
            let prepared = prepared.unwrap_or_else(|error| panic!("{statement}: {error}"));
            for column in prepared.columns() {
                let name = column.type_info().name();
                // A column that is computed has none until it is.
                assert!(
                    ["INTEGER", "TEXT", "BLOB", "NULL"].contains(&name),
                    "{statement}: {name}"
                );
            }
        }
    }
}

#[tokio::test]
async fn postgresql_prepares_every_statement_with_the_types_that_are_bound() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let store = database.location().open_or_create().await.unwrap();
    store.close().await;
    let cache = PostgresDirectoryCache::open(&database.postgres())
        .await
        .unwrap();
    cache.close().await;
    let mut connection = database.connect().await;
    let of_this_driver = statements(include_str!("../src/postgres.rs"))
        .into_iter()
        .chain(statements(include_str!("../src/postgres/listen.rs")));
    let known = ["INT8", "TEXT", "BYTEA"];
    for (schema, statements) in [
        (
            "public",
            of_the_cluster().into_iter().chain(of_this_driver).collect(),
        ),
        ("openrms_directory", of_the_answers()),
    ] {
        let path = format!("SET search_path = {schema}");
        (&mut connection)
            .execute(AssertSqlSafe(path))
            .await
            .unwrap();
        for statement in statements {
            let sql = AssertSqlSafe(statement.clone()).into_sql_str();
            let prepared = (&mut connection).prepare(sql).await;
            let prepared = prepared.unwrap_or_else(|error| panic!("{statement}: {error}"));
            for column in prepared.columns() {
                let name = column.type_info().name();
                let nothing = name == "VOID" && statement.starts_with("SELECT pg_notify");
                assert!(known.contains(&name) || nothing, "{statement}: {name}");
            }
            if let Some(Either::Left(parameters)) = prepared.parameters() {
                for parameter in parameters {
                    let name = parameter.name();
                    assert!(known.contains(&name), "{statement}: {name}");
                }
            }
        }
    }
    drop(connection);
    database.destroy().await;
}
