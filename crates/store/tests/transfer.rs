//! Everything out of one database and into another: nothing is lost, and all or nothing arrives.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod support;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use openrms_store::{
    Change, ClusterServer, RowSink, RowSource, Sqlite, Store, StoreError, TABLES, Table, Value,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Row as _};
use support::TestDatabase;

type Rows = Vec<(&'static Table, Vec<Value>)>;

#[derive(Default)]
struct Collected(Rows);

impl RowSink for Collected {
    fn row(&mut self, table: &'static Table, row: &[Value]) -> Result<(), StoreError> {
        self.0.push((table, row.to_vec()));
        Ok(())
    }
}

struct Given(VecDeque<(&'static Table, Vec<Value>)>);

impl RowSource for Given {
    fn next(&mut self) -> Result<Option<(&'static Table, Vec<Value>)>, StoreError> {
        Ok(self.0.pop_front())
    }
}

/// Gives some rows and then breaks, as a damaged archive does.
struct Broken(Given);

impl RowSource for Broken {
    fn next(&mut self) -> Result<Option<(&'static Table, Vec<Value>)>, StoreError> {
        match self.0.next()? {
            None => Err(StoreError::Corrupt {
                what: "archive".to_owned(),
            }),
            row => Ok(row),
        }
    }
}

async fn exported(store: &dyn Store) -> Rows {
    let mut rows = Collected::default();
    store.export(&mut rows).await.unwrap();
    rows.0
}

fn given(rows: &Rows) -> Given {
    Given(rows.iter().cloned().collect())
}

/// Rows of every table, of some tables more than are read at a time, and with keys that languages
/// order otherwise than by their bytes.
fn everything() -> Rows {
    let mut rows = Rows::new();
    for table in TABLES {
        let count = match table.name {
            "configuration" | "key_protection" => 1,
            _ => 450,
        };
        let mut some: BTreeMap<Vec<u8>, Vec<Value>> = BTreeMap::new();
        for number in 0..count {
            let spelling = ["a", "B", "\u{e4}", "_", "b", "-Z"][number % 6];
            let text = format!("{spelling}{number}");
            let row = table.columns.iter().map(|&column| {
                let number = i64::try_from(number).unwrap();
                match (table.name, column) {
                    ("configuration", "version") => Value::Integer(17),
                    ("configuration" | "key_protection", "id") => Value::Integer(1),
                    ("rac_exclusion", "account" | "expires")
                    | ("issued_certificate", "body_text")
                        if number % 2 == 0 =>
                    {
                        Value::Null
                    }
                    ("issued_certificate", "account" | "expires_at") => match number % 3 {
                        0 => Value::Null,
                        _ if column == "account" => Value::Text(text.clone()),
                        _ => Value::Integer(number),
                    },
                    ("issued_certificate", "digest") if number % 2 == 1 => Value::Null,
                    (
                        _,
                        "sealed_private_key" | "sealed" | "public_modulus" | "rac_key" | "modulus"
                        | "public_key" | "digest",
                    ) => Value::Bytes(
                        vec![0, 0xFF, 0x80]
                            .into_iter()
                            .chain(text.bytes())
                            .collect(),
                    ),
                    (
                        _,
                        "ordinal" | "mode" | "created" | "retired" | "updated" | "allow_sid"
                        | "allow_federated" | "exponent" | "expires" | "issued_at" | "expires_at"
                        | "joined" | "last_seen" | "upgraded_at",
                    )
                    | ("key_protection", "version") => Value::Integer(number - 5),
                    _ => Value::Text(text.clone()),
                }
            });
            let row: Vec<Value> = row.collect();
            let key = match &row[0] {
                Value::Text(text) => text.as_bytes().to_vec(),
                Value::Bytes(bytes) => bytes.clone(),
                _ => Vec::new(),
            };
            some.insert(key, row);
        }
        rows.extend(some.into_values().map(|row| (table, row)));
    }
    rows
}

#[tokio::test]
async fn everything_comes_back_from_every_back_end_in_the_same_order() {
    let rows = everything();
    let folder = tempfile::tempdir().unwrap();
    let file = Sqlite::create(&folder.path().join("cluster.db"))
        .await
        .unwrap();
    let mut stores: Vec<Arc<dyn Store>> =
        vec![Arc::new(file), Arc::new(Sqlite::in_memory().await.unwrap())];
    let database = TestDatabase::new().await;
    if let Some(database) = &database {
        stores.push(database.location().open_or_create().await.unwrap());
    }
    for store in stores {
        store.import(&mut given(&rows)).await.unwrap();
        let back = exported(&*store).await;
        assert_eq!(back.len(), rows.len());
        for (one, other) in back.iter().zip(&rows) {
            assert_eq!(one, other);
        }
        assert_eq!(store.configuration_version().await.unwrap().number(), 17);
        store.close().await;
    }
    if let Some(database) = database {
        database.destroy().await;
    }
}

#[tokio::test]
async fn what_breaks_off_leaves_nothing() {
    let rows = everything();
    let database = TestDatabase::new().await;
    let mut stores: Vec<Arc<dyn Store>> = vec![Arc::new(Sqlite::in_memory().await.unwrap())];
    if let Some(database) = &database {
        stores.push(database.location().open_or_create().await.unwrap());
    }
    for store in stores {
        let empty = exported(&*store).await;
        assert_eq!(empty.len(), 1);
        let broken = store.import(&mut Broken(given(&rows))).await;
        assert!(matches!(broken, Err(StoreError::Corrupt { .. })));
        // Twice the same row, a row of another table, a template of nobody, and no version at all.
        let twice = [rows[0].clone(), rows[0].clone()];
        let other = [
            rows[0].clone(),
            (Table::named("template").unwrap(), rows[0].1.clone()),
        ];
        let short = [(rows[0].0, rows[0].1[..1].to_vec())];
        let orphan = (
            Table::named("trusted_publishing_template").unwrap(),
            vec![
                Value::Text("nobody".to_owned()),
                Value::Integer(0),
                Value::Text(String::new()),
            ],
        );
        for wrong in [
            twice.to_vec(),
            other.to_vec(),
            short.to_vec(),
            vec![rows[0].clone(), orphan],
            rows[1..].to_vec(),
            Vec::new(),
        ] {
            assert!(store.import(&mut given(&wrong)).await.is_err());
            assert_eq!(exported(&*store).await, empty);
        }
        store.import(&mut given(&rows)).await.unwrap();
        store.close().await;
    }
    if let Some(database) = database {
        database.destroy().await;
    }
}

#[tokio::test]
async fn a_database_that_holds_anything_takes_nothing() {
    let rows = everything();
    let store = Sqlite::in_memory().await.unwrap();
    let server = ClusterServer {
        name: "one".to_owned(),
        joined: 1,
        last_seen: 1,
        version: String::new(),
        address: String::new(),
        service_level: None,
        upgrade: None,
    };
    store.register_server(&server).await.unwrap();
    let refused = store.import(&mut given(&rows)).await;
    assert!(matches!(
        refused,
        Err(StoreError::NotEmpty {
            table: "cluster_server"
        })
    ));
    store.remove_server("one").await.unwrap();
    let setting = Change::PutSetting {
        name: "a".to_owned(),
        value: "1".to_owned(),
    };
    store.apply(&[setting], None).await.unwrap();
    store
        .apply(&[Change::RemoveSetting("a".to_owned())], None)
        .await
        .unwrap();
    let refused = store.import(&mut given(&rows)).await;
    assert!(matches!(
        refused,
        Err(StoreError::NotEmpty {
            table: "configuration"
        })
    ));
}

/// Whoever adds a table or a column and forgets to say how it is moved hears of it here.
#[tokio::test]
async fn the_list_of_tables_names_every_table_and_column_there_is() {
    let listed = |name: &str| {
        let mut columns: Vec<String> = Table::named(name)
            .map(|table| table.columns.iter().map(ToString::to_string).collect())
            .unwrap_or_default();
        columns.sort();
        columns
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cluster.db");
    Sqlite::create(&path).await.unwrap().close().await;
    let mut found = sqlite_tables(&path).await;
    found.remove("_sqlx_migrations");
    assert_eq!(found.len(), TABLES.len());
    for (table, columns) in &found {
        assert_eq!(*columns, listed(table), "{table}");
    }

    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let store = database.location().open_or_create().await.unwrap();
    store.close().await;
    let mut connection = database.connect().await;
    let rows = sqlx::query(
        "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT)
         FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    drop(connection);
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows {
        found.entry(row.get(0)).or_default().push(row.get(1));
    }
    found.remove("openrms_schema");
    assert_eq!(found.len(), TABLES.len());
    for (table, columns) in &found {
        assert_eq!(*columns, listed(table), "{table}");
    }
    database.destroy().await;
}

async fn sqlite_tables(path: &Path) -> BTreeMap<String, Vec<String>> {
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .connect()
        .await
        .unwrap();
    let rows = sqlx::query(
        "SELECT m.name, c.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c
         WHERE m.type = 'table' ORDER BY 1, 2",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows {
        found.entry(row.get(0)).or_default().push(row.get(1));
    }
    found
}
