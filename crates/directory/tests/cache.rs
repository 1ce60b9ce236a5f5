//! The memory in front of a directory: what it keeps, for how long, and what it asks once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod scripted;

use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use openrms_directory::{
    Account, BuiltIn, CacheSettings, CachedDirectory, Directory, DirectoryError,
};
use scripted::{LIST, NOBODY, Scripted, Shared, alice, who};
use tokio::task::JoinSet;

/// A cache whose time stands still until it is told.
struct Bench {
    script: Arc<Scripted>,
    cache: Arc<CachedDirectory<Shared>>,
    passed: Arc<Mutex<Duration>>,
}

impl Bench {
    fn new(settings: &CacheSettings) -> Self {
        let script = Scripted::new();
        let passed = Arc::new(Mutex::new(Duration::ZERO));
        let (start, time) = (Instant::now(), Arc::clone(&passed));
        let clock = Arc::new(move || start + *time.lock().unwrap());
        let directory = Shared(Arc::clone(&script));
        Self {
            script,
            cache: Arc::new(CachedDirectory::with_clock(directory, settings, clock)),
            passed,
        }
    }

    fn minutes_pass(&self, minutes: u64) {
        *self.passed.lock().unwrap() += Duration::from_secs(60 * minutes);
    }

    async fn until_asked(&self, times: usize) {
        while self.script.asked() < times {
            tokio::task::yield_now().await;
        }
    }

    async fn alice(&self) -> Option<Account> {
        self.cache.account(&who("alice")).await.unwrap()
    }

    async fn is_in_staff(&self) -> bool {
        let memberships = self.cache.memberships(&alice()).await.unwrap();
        memberships.is_in_group("staff@corp.example")
    }
}

#[tokio::test]
async fn an_answer_is_kept_until_its_time_is_over() {
    let bench = Bench::new(&CacheSettings::default());
    assert!(bench.alice().await.is_some() && bench.is_in_staff().await);
    assert_eq!(bench.script.asked(), 2);
    bench.script.load(NOBODY);
    bench.minutes_pass(11);
    assert!(bench.alice().await.is_some() && bench.is_in_staff().await);
    assert_eq!(bench.script.asked(), 2);
    bench.minutes_pass(1);
    assert!(bench.alice().await.is_none() && !bench.is_in_staff().await);
    let counters = bench.cache.counters();
    assert_eq!((counters.accounts.hits, counters.accounts.misses), (1, 2));
    assert_eq!(
        (counters.memberships.hits, counters.memberships.misses),
        (1, 2)
    );
    assert_eq!(
        counters.forests,
        openrms_directory::TableCounters::default()
    );
}

#[tokio::test]
async fn a_flush_counts_at_once() {
    let bench = Bench::new(&CacheSettings::default());
    assert!(bench.is_in_staff().await);
    bench.script.load(NOBODY);
    bench.cache.flush().await;
    assert!(!bench.is_in_staff().await);
}

#[tokio::test]
async fn an_answer_on_its_way_does_not_outlive_a_flush() {
    let bench = Bench::new(&CacheSettings::default());
    let ask = || {
        let cache = Arc::clone(&bench.cache);
        tokio::spawn(async move {
            let memberships = cache.memberships(&alice()).await.unwrap();
            memberships.is_in_group("staff@corp.example")
        })
    };
    bench.script.held.send_replace(true);
    let on_its_way = ask();
    bench.until_asked(1).await;
    bench.script.load(NOBODY);
    bench.cache.flush().await;
    bench.script.held.send_replace(false);
    assert!(on_its_way.await.unwrap());
    assert!(!bench.is_in_staff().await);

    bench.script.load(LIST);
    bench.cache.flush().await;
    bench.script.held.send_replace(true);
    let on_its_way = ask();
    bench.until_asked(3).await;
    bench.script.load(NOBODY);
    bench.cache.flush().await;
    // Whoever asks after the flush does not wait for the older answer.
    let later = ask();
    bench.until_asked(4).await;
    bench.script.held.send_replace(false);
    assert!(on_its_way.await.unwrap());
    assert!(!later.await.unwrap());
    assert!(!bench.is_in_staff().await);
    assert_eq!(bench.script.asked(), 4);
}

#[tokio::test]
async fn that_somebody_is_unknown_is_kept_for_less_long() {
    let bench = Bench::new(&CacheSettings::default());
    bench.script.load(NOBODY);
    for _ in 0..3 {
        assert!(bench.alice().await.is_none());
        assert_eq!(bench.cache.forest_of(&who("alice")).await.unwrap(), None);
    }
    assert_eq!(bench.script.asked(), 2);
    bench.script.load(LIST);
    bench.minutes_pass(2);
    assert!(bench.alice().await.is_some());
    assert!(
        bench
            .cache
            .forest_of(&who("alice"))
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn errors_are_told_and_not_kept_and_the_known_go_on_being_answered() {
    let bench = Bench::new(&CacheSettings::default());
    assert!(bench.alice().await.is_some());
    let error = DirectoryError::Timeout {
        directory: "corp.example".to_owned(),
    };
    bench.script.break_with(Some(error.clone()));
    assert!(bench.alice().await.is_some());
    for _ in 0..2 {
        let answer = bench.cache.account(&who("bob")).await;
        assert_eq!(answer, Err(error.clone()));
    }
    assert_eq!(bench.script.asked(), 3);
    bench.minutes_pass(12);
    assert_eq!(bench.cache.account(&who("alice")).await, Err(error));
    bench.script.break_with(None);
    assert!(bench.alice().await.is_some());
}

#[tokio::test]
async fn what_many_ask_at_once_is_asked_once() {
    let bench = Bench::new(&CacheSettings::default());
    bench.script.held.send_replace(true);
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let cache = Arc::clone(&bench.cache);
        tasks.spawn(async move { cache.account(&who("alice")).await.unwrap().is_some() });
    }
    while bench.cache.counters().accounts.misses < 100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.script.asked(), 1);
    bench.script.held.send_replace(false);
    assert!(tasks.join_all().await.into_iter().all(|found| found));
    assert_eq!(bench.script.asked(), 1);
}

#[tokio::test]
async fn if_whoever_asks_goes_away_another_asks() {
    let bench = Bench::new(&CacheSettings::default());
    bench.script.held.send_replace(true);
    let ask = || {
        let cache = Arc::clone(&bench.cache);
        tokio::spawn(async move { cache.account(&who("alice")).await.unwrap().is_some() })
    };
    let first = ask();
    bench.until_asked(1).await;
    let second = ask();
    while bench.cache.counters().accounts.misses < 2 {
        tokio::task::yield_now().await;
    }
    first.abort();
    bench.until_asked(2).await;
    bench.script.held.send_replace(false);
    assert!(second.await.unwrap());
}

#[tokio::test]
async fn a_table_is_bounded_and_may_be_empty() {
    let settings = CacheSettings {
        principal_cache_max: 10,
        group_id_cache_max: 0,
        ..CacheSettings::default()
    };
    let bench = Bench::new(&settings);
    let name = |number: usize| who(&format!("nobody{number}"));
    for number in 0..1_000 {
        bench.cache.account(&name(number)).await.unwrap();
    }
    let asked = bench.script.asked();
    for number in 0..1_000 {
        bench.cache.account(&name(number)).await.unwrap();
    }
    assert!(
        bench.script.asked() - asked >= 900,
        "{}",
        bench.script.asked() - asked
    );
    let asked = bench.script.asked();
    for _ in 0..2 {
        bench.cache.forest_of(&who("alice")).await.unwrap();
    }
    assert_eq!(bench.script.asked(), asked + 2);
}

#[tokio::test]
async fn a_warm_answer_costs_next_to_nothing() {
    let directory = BuiltIn::from_toml(LIST).unwrap();
    let cache = CachedDirectory::new(directory, &CacheSettings::default());
    let (sid, identity) = (who("S-1-5-21-1-2-3-1101"), alice());
    let rounds: u32 = 20_000;
    let begin = Instant::now();
    for _ in 0..rounds {
        black_box(cache.account(&sid).await.unwrap());
        black_box(cache.memberships(&identity).await.unwrap());
    }
    let each = begin.elapsed() / rounds;
    println!("account and memberships from memory: {each:?}");
    // Far above what it takes, for machines that do other things as well.
    assert!(each < Duration::from_micros(100), "{each:?}");
}

#[test]
fn settings_are_read_by_their_names() {
    let settings: CacheSettings =
        toml::from_str("principal_cache_max = 5\nunknown_expire_minutes = 0").unwrap();
    assert_eq!(
        (settings.principal_cache_max, settings.group_id_cache_max),
        (5, 1_000)
    );
    assert!(toml::from_str::<CacheSettings>("principal_cache = 5").is_err());
}
