//! PostgreSQL: what is refused and how it is named, and servers at the same time.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use openrms_store::{
    Change, ClusterServer, DirectoryCache, Found, Location, Moving, NewAnswer,
    PostgresDirectoryCache, Restoring, SCHEMA, Sqlite, Store, StoreError, Upgrade,
};
use sqlx::{Connection as _, Row as _};
use support::{TestDatabase, key, setting};

fn postgres(location: openrms_store::PostgresLocation) -> Location {
    Location::Postgres(Box::new(location))
}

#[tokio::test]
async fn a_wrong_password_and_a_database_that_is_not_there_are_named() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let location = postgres(database.postgres_as("rms", "wr0ng"));
    for error in [
        location.open().await.unwrap_err(),
        location.inspect().await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::SignIn { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("wr0ng"));
    }
    let location = database.location();
    database
        .administer(&format!("DROP DATABASE {}", database.name))
        .await;
    assert_eq!(location.inspect().await.unwrap(), Found::Missing);
    assert_eq!(location.schema().await.unwrap(), None);
    for opened in [location.open().await, location.open_or_create().await] {
        let error = opened.unwrap_err();
        assert!(matches!(&error, StoreError::Missing { what } if what.contains(&database.name)));
    }
    location.create_database().await.unwrap();
    let again = location.create_database().await;
    assert!(matches!(again, Err(StoreError::AlreadyExists { .. })));
    assert_eq!(location.inspect().await.unwrap(), Found::Empty);
    database.destroy().await;
}

#[tokio::test]
async fn a_restore_that_was_not_completed_goes_on_and_nobody_else_opens_the_database() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let (one, location) = (database.postgres(), database.location());
    let (first, second) = ("a".repeat(64), "b".repeat(64));
    assert!(Restoring::may_begin(&one, &first).await.unwrap());
    assert!(!Restoring::was_begun(&one, &first).await.unwrap());
    // Tables that a process made before it was killed.
    location.open_or_create().await.unwrap().close().await;
    assert!(Restoring::may_begin(&one, &first).await.unwrap());

    let begun = Restoring::begin(&one, &second).await.unwrap();
    assert!(!begun.is_filled());
    begun.store().close().await;
    for opened in [location.open().await, location.open_or_create().await] {
        let error = opened.unwrap_err();
        assert!(matches!(&error, StoreError::Unfinished { backup } if *backup == second));
    }
    assert!(location.schema().await.is_err());
    // Nothing has come of that one.
    let begun = Restoring::begin(&one, &first).await.unwrap();
    assert!(!begun.is_filled());
    begun.store().apply(&[setting("1")], None).await.unwrap();
    begun.store().close().await;

    assert!(!Restoring::may_begin(&one, &second).await.unwrap());
    assert!(!Restoring::was_begun(&one, &second).await.unwrap());
    let refused = Restoring::begin(&one, &second).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::NotEmpty { .. }),
        "{refused:?}"
    );
    assert!(Restoring::was_begun(&one, &first).await.unwrap());
    let begun = Restoring::begin(&one, &first).await.unwrap();
    assert!(begun.is_filled());
    begun.complete().await.unwrap();

    let store = location.open().await.unwrap();
    assert_eq!(store.snapshot().await.unwrap().settings["a"], "1");
    store.close().await;
    assert!(!Restoring::may_begin(&one, &first).await.unwrap());
    assert!(!Restoring::was_begun(&one, &first).await.unwrap());
    let refused = Restoring::begin(&one, &first).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::NotEmpty { .. }),
        "{refused:?}"
    );
    database.destroy().await;
}

#[tokio::test]
async fn nobody_listening_is_unreachable_and_says_where() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let url = format!("postgres://rms@127.0.0.1:{port}/rms");
    let error = postgres(url.parse().unwrap()).open().await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Unreachable { what, .. } if *what == url),
        "{error:?}"
    );
}

#[tokio::test]
async fn only_a_certificate_for_its_name_is_believed() {
    let (Some(database), Ok(ca)) = (
        TestDatabase::new().await,
        std::env::var("OPENRMS_TEST_POSTGRES_CA"),
    ) else {
        return;
    };
    let port = database.port();
    let open = async |host: &str, rest: &str| {
        let url = format!("postgres://rms@{host}:{port}/{}?{rest}", database.name);
        let location: openrms_store::PostgresLocation = url.parse().unwrap();
        let location = location.with_password("rms".to_owned().into());
        postgres(location).inspect().await
    };
    let trusted = format!("sslmode=verify-full&sslrootcert={ca}");
    assert_eq!(open("localhost", &trusted).await.unwrap(), Found::Empty);
    for (host, rest) in [
        ("127.0.0.1", trusted.as_str()),
        ("localhost", "sslmode=verify-full"),
    ] {
        let error = open(host, rest).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Unreachable { reason, .. } if reason.contains("cert")),
            "{error:?}"
        );
    }
    database.destroy().await;
}

#[tokio::test]
async fn a_database_of_somebody_else_is_refused_and_left_as_it_is() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    for foreign in [
        "CREATE TABLE invoices (id INTEGER)",
        "CREATE TABLE configuration (id INTEGER)",
    ] {
        database.execute(foreign).await;
        let location = database.location();
        assert_eq!(location.inspect().await.unwrap(), Found::Foreign);
        for opened in [location.open().await, location.open_or_create().await] {
            assert!(
                matches!(opened, Err(StoreError::Foreign { .. })),
                "{opened:?}"
            );
        }
        let mut connection = database.connect().await;
        let tables: i64 = sqlx::query(
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'public'",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap()
        .get(0);
        assert_eq!(tables, 1);
        connection.close().await.unwrap();
        database
            .execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            .await;
    }
    assert_eq!(database.location().inspect().await.unwrap(), Found::Empty);
    database.destroy().await;
}

#[tokio::test]
async fn what_an_extension_puts_beside_the_tables_makes_no_database_foreign() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    // As Citus does, in each of its databases.
    database
        .execute(
            "CREATE VIEW citus_tables AS SELECT 1 AS one; GRANT SELECT ON citus_tables TO PUBLIC",
        )
        .await;
    let location = database.location();
    assert_eq!(location.inspect().await.unwrap(), Found::Empty);
    location.open_or_create().await.unwrap().close().await;
    assert_eq!(location.inspect().await.unwrap(), Found::Cluster);
    location.open().await.unwrap().close().await;
    database.destroy().await;
}

#[tokio::test]
async fn s27_s49_an_older_release_and_this_one_share_a_database_also_while_it_is_upgraded() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let location = database.location();
    location.open_or_create().await.unwrap().close().await;
    database
        .execute(
            "ALTER TABLE cluster_server DROP COLUMN service_level;
             ALTER TABLE cluster_server DROP COLUMN upgraded_from;
             ALTER TABLE cluster_server DROP COLUMN upgraded_to;
             ALTER TABLE cluster_server DROP COLUMN upgraded_at;
             DELETE FROM openrms_schema WHERE version = 4",
        )
        .await;
    // What release 0.1.0 says when a server of it is there, and asks, on one connection.
    let mut old = database.connect().await;
    let mut says_that_it_is_there = async || {
        let said = sqlx::query(
            "INSERT INTO cluster_server (name, joined, last_seen, version, address)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (name) DO UPDATE SET last_seen = excluded.last_seen,
               version = excluded.version, address = excluded.address",
        );
        let said = said
            .bind("old")
            .bind(1_i64)
            .bind(1_i64)
            .bind("0.1.0")
            .bind("");
        said.execute(&mut old).await.unwrap();
        let asked = "SELECT name, joined, last_seen, version, address FROM cluster_server";
        sqlx::query(asked).fetch_all(&mut old).await.unwrap().len()
    };
    assert_eq!(says_that_it_is_there().await, 1);

    let read = location.open_to_read().await.unwrap();
    assert_eq!((read.schema.newest(), read.schema.oldest()), (3, 3));
    let servers = read.store.servers().await.unwrap();
    assert_eq!((servers.len(), &servers[0].service_level), (1, &None));
    read.store.snapshot().await.unwrap();
    read.store.close().await;
    assert_eq!(location.schema().await.unwrap(), Some(3));

    let store = location.open().await.unwrap();
    assert_eq!(location.schema().await.unwrap(), Some(SCHEMA));
    let upgrade = Upgrade {
        from: "0.1.0".to_owned(),
        to: "0.2.0".to_owned(),
        at: 7,
    };
    let recorded = store.record_upgrade("old", Some("2.0"), Some(&upgrade));
    assert!(recorded.await.unwrap());
    let new = ClusterServer {
        name: "new".to_owned(),
        joined: 7,
        last_seen: 7,
        version: "0.2.0".to_owned(),
        address: String::new(),
        service_level: Some("2.0".to_owned()),
        upgrade: None,
    };
    store.register_server(&new).await.unwrap();
    assert_eq!(says_that_it_is_there().await, 2);
    let servers = store.servers().await.unwrap();
    assert_eq!(servers[0], new);
    assert_eq!(servers[1].upgrade, Some(upgrade));
    store.close().await;
    old.close().await.unwrap();
    database.destroy().await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_by_name_unless_it_is_for_older_releases_too() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let location = database.location();
    location.open_or_create().await.unwrap().close().await;
    assert_eq!(location.inspect().await.unwrap(), Found::Cluster);
    assert_eq!(location.schema().await.unwrap(), Some(SCHEMA));
    database
        .execute(
            "INSERT INTO openrms_schema (version, description, success, checksum, execution_time)
             VALUES (99, 'future', TRUE, '', 0)",
        )
        .await;
    for opened in [location.open().await, location.open_or_create().await] {
        assert!(matches!(
            opened,
            Err(StoreError::SchemaTooNew {
                found: 99,
                supported: SCHEMA
            })
        ));
    }
    database
        .execute(
            "UPDATE openrms_schema SET description = 'future for schema 3' WHERE version = 99;
             ALTER TABLE cluster_server ADD COLUMN added TEXT; CREATE TABLE added (name TEXT)",
        )
        .await;
    location.open().await.unwrap().close().await;
    assert_eq!(location.inspect().await.unwrap(), Found::Cluster);
    database
        .execute("DELETE FROM openrms_schema WHERE version = 99; UPDATE openrms_schema SET checksum = ''")
        .await;
    assert!(matches!(
        location.open().await,
        Err(StoreError::Corrupt { .. })
    ));
    database.destroy().await;
}

#[tokio::test]
async fn a_user_who_may_only_read_is_told_so_and_one_without_ddl_can_serve() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    database
        .location()
        .open_or_create()
        .await
        .unwrap()
        .close()
        .await;
    let (reader, writer) = (
        format!("r_{}", database.name),
        format!("w_{}", database.name),
    );
    database
        .execute(&format!(
            "CREATE ROLE {reader} LOGIN PASSWORD 'r';
             GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader};
             CREATE ROLE {writer} LOGIN PASSWORD 'w';
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {writer}"
        ))
        .await;
    let store = postgres(database.postgres_as(&reader, "r"))
        .open()
        .await
        .unwrap();
    assert!(store.snapshot().await.unwrap().settings.is_empty());
    for refused in [
        store.apply(&[setting("1")], None).await.map(|_| ()),
        store.insert_user_key("alice", key(1)).await.map(|_| ()),
    ] {
        assert!(
            matches!(refused, Err(StoreError::Denied { .. })),
            "{refused:?}"
        );
    }
    store.close().await;
    let store = postgres(database.postgres_as(&writer, "w"))
        .open()
        .await
        .unwrap();
    store.apply(&[setting("1")], None).await.unwrap();
    store.close().await;
    // A server of databases that only repeats what another writes.
    database
        .administer(&format!(
            "ALTER ROLE {writer} SET default_transaction_read_only = on"
        ))
        .await;
    let store = postgres(database.postgres_as(&writer, "w"))
        .open()
        .await
        .unwrap();
    let refused = store.apply(&[setting("2")], None).await;
    assert!(matches!(refused, Err(StoreError::ReadOnly)), "{refused:?}");
    store.close().await;
    database
        .execute(&format!(
            "DROP OWNED BY {reader}, {writer}; DROP ROLE {reader}, {writer}"
        ))
        .await;
    database.destroy().await;
}

#[tokio::test]
async fn text_that_the_database_cannot_hold_is_refused_by_name() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let store = database.location().open_or_create().await.unwrap();
    let refused = store.insert_user_key("a\0b", key(1)).await;
    assert!(
        matches!(refused, Err(StoreError::Invalid { .. })),
        "{refused:?}"
    );
    let strange = "'; DROP TABLE user_key; -- \u{1F511} %s $1";
    store.insert_user_key(strange, key(1)).await.unwrap();
    assert_eq!(store.user_key(strange).await.unwrap(), Some(key(1)));
    store.close().await;
    database.destroy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_that_start_at_once_make_the_tables_once() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    for _ in 0..5 {
        let mut starting = Vec::new();
        for _ in 0..8 {
            let location = database.location();
            starting.push(tokio::spawn(async move {
                location.open_or_create().await.unwrap()
            }));
        }
        for started in starting {
            let store = started.await.unwrap();
            assert_eq!(store.snapshot().await.unwrap().version.number(), 0);
            store.close().await;
        }
        database
            .execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            .await;
    }
    database.destroy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_that_race_agree_on_one_key_and_lose_no_change() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let mut stores = vec![database.location().open_or_create().await.unwrap()];
    stores.push(database.location().open().await.unwrap());
    for round in 0..10 {
        let account = format!("account {round}");
        let racers: Vec<_> = (0..8)
            .map(|number| {
                let (store, account) = (Arc::clone(&stores[number % 2]), account.clone());
                let key = key(u8::try_from(number).unwrap());
                tokio::spawn(async move { store.insert_user_key(&account, key).await.unwrap() })
            })
            .collect();
        let stored = {
            let mut winners = Vec::new();
            for racer in racers {
                winners.push(racer.await.unwrap());
            }
            assert!(winners.iter().all(|winner| *winner == winners[0]));
            winners.remove(0)
        };
        assert_eq!(stores[0].user_key(&account).await.unwrap(), Some(stored));
    }
    let mut writers = Vec::new();
    for store in &stores {
        for _ in 0..4 {
            let store = Arc::clone(store);
            writers.push(tokio::spawn(async move {
                let mut refused = 0_u32;
                for _ in 0..10 {
                    loop {
                        let found = store.configuration_version().await.unwrap();
                        match store.apply(&[setting("x")], Some(found)).await {
                            Ok(version) => {
                                assert_eq!(version, found.next());
                                break;
                            }
                            Err(StoreError::VersionConflict { .. }) => refused += 1,
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                }
                refused
            }));
        }
    }
    let mut refused = 0;
    for writer in writers {
        refused += writer.await.unwrap();
    }
    assert!(refused > 0, "nobody raced");
    assert_eq!(
        stores[0].configuration_version().await.unwrap().number(),
        80
    );
    for store in stores {
        store.close().await;
    }
    database.destroy().await;
}

/// Every transaction fails once as if others had been in its way, in the manner of databases that
/// know nothing but serializable ones.
#[tokio::test]
async fn what_others_were_in_the_way_of_is_done_again() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let store = database.location().open_or_create().await.unwrap();
    database
        .execute(
            "CREATE SEQUENCE attempts;
             CREATE FUNCTION fail_at_first() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF nextval('attempts') % 3 <> 0 THEN
                 RAISE EXCEPTION 'try again' USING ERRCODE = '40001';
               END IF;
               RETURN NEW;
             END $$;
             CREATE TRIGGER t BEFORE UPDATE ON configuration FOR EACH ROW EXECUTE FUNCTION fail_at_first();
             CREATE TRIGGER t BEFORE INSERT ON user_key FOR EACH ROW EXECUTE FUNCTION fail_at_first()",
        )
        .await;
    assert_eq!(
        store.apply(&[setting("1")], None).await.unwrap().number(),
        1
    );
    assert_eq!(
        store.insert_user_key("alice", key(1)).await.unwrap(),
        key(1)
    );
    database
        .execute("ALTER SEQUENCE attempts INCREMENT BY 3 RESTART 1")
        .await;
    let refused = store.apply(&[setting("2")], None).await;
    assert!(
        matches!(refused, Err(StoreError::Contention)),
        "{refused:?}"
    );
    assert_eq!(store.snapshot().await.unwrap().settings["a"], "1");
    store.close().await;
    database.destroy().await;
}

#[tokio::test]
async fn a_change_is_heard_by_other_servers() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let one = database.location().open_or_create().await.unwrap();
    let other = database.location().open().await.unwrap();
    // Heard from the first waiting on.
    let early = tokio::time::timeout(Duration::from_millis(500), other.changed()).await;
    assert!(early.is_err());
    one.apply(&[setting("1")], None).await.unwrap();
    heard(&*other).await;
    one.set_key_protection("{}", None).await.unwrap();
    heard(&*other).await;
    // What is not made is not heard, nor what is no change of these.
    one.apply(&[Change::RemoveSetting("b".to_owned())], None)
        .await
        .unwrap_err();
    one.insert_user_key("alice", key(1)).await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(300), other.changed()).await;
    assert!(quiet.is_err());
    // A connection that was lost may have missed something.
    database
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND query LIKE 'LISTEN%'",
        )
        .await;
    heard(&*other).await;
    one.apply(&[setting("2")], None).await.unwrap();
    heard(&*other).await;
    for store in [one, other] {
        store.close().await;
    }
    database.destroy().await;
}

async fn heard(store: &dyn Store) {
    let heard = tokio::time::timeout(Duration::from_secs(20), store.changed()).await;
    heard.expect("nothing was heard");
}

#[tokio::test]
async fn the_directory_cache_is_shared_by_all_servers_and_no_part_of_the_cluster() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let one = PostgresDirectoryCache::open(&database.postgres())
        .await
        .unwrap();
    let other = PostgresDirectoryCache::open(&database.postgres())
        .await
        .unwrap();
    // The cluster's own tables can come after it.
    assert_eq!(database.location().inspect().await.unwrap(), Found::Empty);
    database
        .location()
        .open_or_create()
        .await
        .unwrap()
        .close()
        .await;
    let answer = |question: &'static [u8], generation, asked| NewAnswer {
        kind: "account",
        question,
        generation,
        asked,
        expires: asked + 720,
        sealed: b"sealed",
    };
    one.keep(&[answer(b"q", 0, 1_000), answer(b"r", 0, 1_001)])
        .await
        .unwrap();
    let (generation, found) = other.find("account", b"q", 100).await.unwrap();
    assert_eq!((generation, found.unwrap().asked), (0, 1_000));
    assert_eq!(other.find("account", b"q", 3).await.unwrap(), (0, None));
    one.prune("account", 1, 1_002).await.unwrap();
    assert_eq!(other.find("account", b"q", 100).await.unwrap(), (0, None));
    other.forget().await.unwrap();
    one.keep(&[answer(b"q", 0, 1_000)]).await.unwrap();
    assert_eq!(one.find("account", b"r", 100).await.unwrap(), (1, None));
    assert_eq!(one.find("account", b"q", 100).await.unwrap(), (1, None));
    one.close().await;
    other.close().await;
    database.destroy().await;
}

#[tokio::test]
async fn a_database_that_was_left_behind_is_opened_by_nobody() {
    let database = TestDatabase::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cluster.db");
    let mut locations = vec![Location::Sqlite(path)];
    locations.extend(database.as_ref().map(TestDatabase::location));
    let to: Location = postgres("postgres://rms@elsewhere/openrms".parse().unwrap());
    for location in locations {
        let serving = location.open_or_create().await.unwrap();
        serving.apply(&[setting("1")], None).await.unwrap();
        let refused = Moving::open(&location).await;
        assert!(
            matches!(refused, Err(StoreError::InUse { .. })),
            "{refused:?}"
        );
        serving.apply(&[setting("2")], None).await.unwrap();
        serving.close().await;
        let moving = Moving::open(&location).await.unwrap();
        assert_eq!(moving.store().snapshot().await.unwrap().settings["a"], "2");
        moving.leave(&to).await.unwrap();
        assert!(moving.is_alone().await.unwrap());
        moving.store().close().await;
        for error in [
            location.open().await.unwrap_err(),
            location.open_or_create().await.unwrap_err(),
            location.schema().await.unwrap_err(),
            Moving::open(&location).await.unwrap_err(),
        ] {
            assert!(
                matches!(&error, StoreError::Moved { to: said } if *said == to.to_string()),
                "{error:?}"
            );
        }
    }
    if let Some(database) = database {
        database.destroy().await;
    }
}

#[tokio::test]
async fn a_file_that_is_being_moved_is_opened_by_nobody_else_and_can_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cluster.db");
    Sqlite::create(&path).await.unwrap().close().await;
    let location = Location::Sqlite(path);
    let moving = Moving::open(&location).await.unwrap();
    let refused = location.open().await;
    assert!(matches!(refused, Err(StoreError::Busy)), "{refused:?}");
    moving.leave(&location).await.unwrap();
    moving.stay().await.unwrap();
    moving.store().close().await;
    location.open().await.unwrap().close().await;
}
