//! The directory services database: bounded, pruned, shared by processes, and never in the way.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

use openrms_store::{
    CachedAnswer, DirectoryCache, NewAnswer, SqliteDirectoryCache, Store as _, StoreError,
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Row};

fn folder_and_file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("directory.db");
    (folder, file)
}

async fn open(path: &Path) -> SqliteDirectoryCache {
    let opened = SqliteDirectoryCache::open(path).await.unwrap();
    assert!(opened.set_aside.is_none(), "{opened:?}");
    opened.cache
}

fn answer(question: &[u8], asked: i64) -> NewAnswer<'_> {
    NewAnswer {
        kind: "account",
        question,
        generation: 0,
        asked,
        expires: asked + 720,
        sealed: b"sealed",
    }
}

async fn found(cache: &SqliteDirectoryCache, question: &[u8]) -> Option<CachedAnswer> {
    cache.find("account", question, 100).await.unwrap().1
}

async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .connect()
        .await
        .unwrap()
}

async fn count(path: &Path) -> i64 {
    let mut connection = connect(path).await;
    let row = sqlx::query("SELECT COUNT(*) FROM answer")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    row.get(0)
}

#[tokio::test]
async fn an_answer_is_found_by_its_question_and_the_newest_counts() {
    let (_folder, path) = folder_and_file();
    let cache = open(&path).await;
    assert_eq!(cache.find("account", b"q", 100).await.unwrap(), (0, None));
    cache.keep(&[answer(b"q", 1_000)]).await.unwrap();
    let newer = NewAnswer {
        sealed: b"newer",
        ..answer(b"q", 2_000)
    };
    cache.keep(&[newer, answer(b"r", 7)]).await.unwrap();
    let expected = CachedAnswer {
        asked: 2_000,
        expires: 2_720,
        sealed: b"newer".to_vec(),
    };
    assert_eq!(found(&cache, b"q").await, Some(expected.clone()));
    assert_eq!(cache.find("forest", b"q", 100).await.unwrap().1, None);
    assert_eq!(found(&cache, b"s").await, None);
    // Longer than anybody wants to read.
    assert_eq!(cache.find("account", b"q", 4).await.unwrap().1, None);
    cache.close().await;
    assert_eq!(found(&open(&path).await, b"q").await, Some(expected));
}

#[tokio::test]
async fn nothing_of_an_earlier_generation_is_found_also_when_it_comes_late() {
    let (_folder, path) = folder_and_file();
    let (one, other) = (open(&path).await, open(&path).await);
    one.keep(&[answer(b"q", 1_000)]).await.unwrap();
    assert!(found(&other, b"q").await.is_some());
    other.forget().await.unwrap();
    assert_eq!(one.find("account", b"q", 100).await.unwrap(), (1, None));
    assert_eq!(count(&path).await, 0);
    one.keep(&[answer(b"q", 1_000)]).await.unwrap();
    assert_eq!(found(&one, b"q").await, None);
    let current = NewAnswer {
        generation: 1,
        ..answer(b"q", 1_000)
    };
    one.keep(&[current, answer(b"r", 1_000)]).await.unwrap();
    assert!(found(&other, b"q").await.is_some());
    assert_eq!(found(&other, b"r").await, None);
    // Should a row of an earlier generation be there, it is none.
    let mut connection = connect(&path).await;
    sqlx::raw_sql("UPDATE answer SET generation = 0")
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(found(&other, b"q").await, None);
}

#[tokio::test]
async fn what_has_ended_or_comes_from_the_future_goes_and_then_the_oldest() {
    let (_folder, path) = folder_and_file();
    let cache = open(&path).await;
    let questions: Vec<[u8; 2]> = (0..100_u16).map(u16::to_be_bytes).collect();
    let now = 10_000;
    let asked = |number: usize| match number {
        0..20 => now - 720,
        20..30 => now + 3_600,
        _ => now - 500 + i64::try_from(number).unwrap(),
    };
    let answers = questions.iter().enumerate();
    let answers: Vec<_> = answers
        .map(|(n, question)| answer(question, asked(n)))
        .collect();
    cache.keep(&answers).await.unwrap();
    let others = answers.iter().map(|answer| NewAnswer {
        kind: "forest",
        ..*answer
    });
    cache.keep(&others.collect::<Vec<_>>()).await.unwrap();
    cache.prune("account", 1_000, now).await.unwrap();
    // The other kind loses what has ended.
    assert_eq!(count(&path).await, 70 + 80);
    cache.prune("account", 10, now).await.unwrap();
    assert_eq!(count(&path).await, 10 + 80);
    for (number, question) in questions.iter().enumerate() {
        assert_eq!(
            found(&cache, question).await.is_some(),
            number >= 90,
            "{number}"
        );
    }
    cache.prune("forest", 0, now).await.unwrap();
    assert_eq!(count(&path).await, 10);
}

#[tokio::test]
async fn whoever_prunes_after_each_batch_stays_within_the_bound() {
    let (_folder, path) = folder_and_file();
    let cache = open(&path).await;
    for batch in 0..40_u32 {
        let questions: Vec<_> = (0..64).map(|n| (batch * 64 + n).to_be_bytes()).collect();
        let answers = questions
            .iter()
            .map(|question| answer(question, batch.into()));
        cache.keep(&answers.collect::<Vec<_>>()).await.unwrap();
        cache.prune("account", 100, batch.into()).await.unwrap();
        assert!(count(&path).await <= 100);
    }
    assert_eq!(count(&path).await, 100);
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = folder_and_file();
    let cache = open(&path).await;
    cache.keep(&[answer(b"q", 1)]).await.unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap().flatten() {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", file.path().display());
    }
}

#[tokio::test]
async fn it_can_be_deleted_at_any_time() {
    let (folder, path) = folder_and_file();
    let cache = open(&path).await;
    cache.keep(&[answer(b"q", 1)]).await.unwrap();
    // While it is in use, and what belongs to it stays.
    std::fs::remove_file(&path).unwrap();
    assert!(folder.path().join("directory.db-wal").exists());
    let opened = SqliteDirectoryCache::open(&path).await.unwrap();
    assert_eq!(found(&opened.cache, b"q").await, None);
    opened.cache.keep(&[answer(b"q", 2)]).await.unwrap();
    // Whoever still has the old one open goes on with it.
    cache.forget().await.unwrap();
    cache.close().await;
    assert_eq!(found(&opened.cache, b"q").await.unwrap().asked, 2);
    opened.cache.close().await;
    assert_eq!(found(&open(&path).await, b"q").await.unwrap().asked, 2);
}

/// A database with some pages of answers.
async fn filled(path: &Path) {
    let cache = open(path).await;
    let questions: Vec<_> = (0..200_u32).map(u32::to_be_bytes).collect();
    let answers: Vec<_> = questions
        .iter()
        .map(|question| answer(question, 1))
        .collect();
    cache.keep(&answers).await.unwrap();
    cache.close().await;
}

#[tokio::test]
async fn what_cannot_be_used_is_set_aside() {
    let (folder, path) = folder_and_file();
    filled(&path).await;
    let good = std::fs::read(&path).unwrap();
    let mut damaged = good.clone();
    damaged[4096..].fill(0xFF);
    let cluster = folder.path().join("cluster.db");
    let store = openrms_store::Sqlite::create(&cluster).await.unwrap();
    store.close().await;
    let cases = [
        Vec::new(),
        vec![0x5A; 8192],
        good[..50].to_vec(),
        damaged,
        std::fs::read(&cluster).unwrap(),
    ];
    for contents in cases {
        std::fs::write(&path, &contents).unwrap();
        let opened = SqliteDirectoryCache::open(&path).await.unwrap();
        let (aside, why) = opened.set_aside.unwrap();
        assert!(matches!(why, StoreError::Corrupt { .. }), "{why:?}");
        assert_eq!(std::fs::read(&aside).unwrap(), contents);
        assert_eq!(aside, folder.path().join("directory.db.unusable"));
        opened.cache.keep(&[answer(b"q", 3)]).await.unwrap();
        opened.cache.close().await;
        assert!(found(&open(&path).await, b"q").await.is_some());
    }
}

#[tokio::test]
async fn a_database_of_a_newer_release_is_set_aside_whole() {
    let (_folder, path) = folder_and_file();
    filled(&path).await;
    let mut connection = connect(&path).await;
    let statement = "INSERT INTO _sqlx_migrations
        (version, description, success, checksum, execution_time) VALUES (99, 'future', 1, x'00', 0)";
    sqlx::raw_sql(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let opened = SqliteDirectoryCache::open(&path).await.unwrap();
    let (aside, why) = opened.set_aside.unwrap();
    assert!(
        matches!(why, StoreError::SchemaTooNew { found: 99, .. }),
        "{why:?}"
    );
    assert_eq!(found(&opened.cache, &0_u32.to_be_bytes()).await, None);
    assert_eq!(count(&aside).await, 200);
}

#[tokio::test]
async fn several_who_find_it_unusable_end_up_with_the_same_new_one() {
    let (_folder, path) = folder_and_file();
    std::fs::write(&path, b"garbage").unwrap();
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let path = path.clone();
        opening.spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.unwrap();
            let opened = runtime.block_on(SqliteDirectoryCache::open(&path)).unwrap();
            runtime.block_on(opened.cache.close());
            usize::from(opened.set_aside.is_some())
        });
    }
    let aside: usize = opening.join_all().await.into_iter().sum();
    assert_eq!(aside, 1);
}

/// Several processes write, prune and forget at once; each sees to it that what it finds is what
/// somebody wrote.
#[tokio::test]
async fn processes_share_one_file() {
    let (_folder, path) = folder_and_file();
    let children: Vec<_> = (0..4)
        .map(|number| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "one_of_several_processes", "--ignored"])
                .env(CHILD_FILE, &path)
                .env(CHILD_NUMBER, number.to_string())
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert!(count(&path).await <= 50);
    let cache = open(&path).await;
    assert_eq!(cache.find("account", b"", 1).await.unwrap().0, 4 * 4);
}

/// Not a test: one of the processes of the one above.
#[tokio::test]
#[ignore = "run by processes_share_one_file"]
async fn one_of_several_processes() {
    let (Some(path), Ok(number)) = (std::env::var_os(CHILD_FILE), std::env::var(CHILD_NUMBER))
    else {
        return;
    };
    let cache = open(Path::new(&path)).await;
    let number: u32 = number.parse().unwrap();
    for round in 0..100_u32 {
        let (generation, _) = cache.find("account", b"", 100).await.unwrap();
        let questions: Vec<_> = (0..8).map(|n| (round * 8 + n).to_be_bytes()).collect();
        let answers: Vec<_> = questions
            .iter()
            .map(|question| NewAnswer {
                generation,
                sealed: question,
                ..answer(question, i64::from(round))
            })
            .collect();
        cache.keep(&answers).await.unwrap();
        cache.prune("account", 50, i64::from(round)).await.unwrap();
        for question in &questions {
            let found = cache.find("account", question, 100).await.unwrap().1;
            assert!(found.is_none_or(|found| found.sealed == question));
        }
        if round % 25 == number {
            cache.forget().await.unwrap();
            let (now, _) = cache.find("account", b"", 100).await.unwrap();
            assert!(now > generation);
        }
    }
    cache.close().await;
}

const CHILD_FILE: &str = "OPENRMS_STORE_TEST_FILE";
const CHILD_NUMBER: &str = "OPENRMS_STORE_TEST_NUMBER";
