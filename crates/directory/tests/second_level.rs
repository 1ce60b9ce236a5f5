//! The database behind the memory: what it answers, for how long, and what it must never spoil.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod scripted;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use openrms_directory::{
    Account, AccountRef, Address, AnswerKind, AnswerSeal, AnswerStore, AnswerStoreError,
    CacheSettings, CachedDirectory, CachedForests, Directory, DirectoryError, ForeignForests,
    ForeignGroup, ForeignQuestion, ForestName, FoundAnswer, Identity, KeptAnswer, Memberships,
    SecondLevel, StoredAnswer, WallClock,
};
use proptest::prelude::*;
use scripted::{LIST, NOBODY, Scripted, Shared, alice, who};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// A database in memory that can fail, hang and lose.
struct Shelves {
    contents: Mutex<Contents>,
    finding: watch::Sender<Habit>,
    writing: watch::Sender<Habit>,
    found: AtomicUsize,
}

#[derive(Default)]
struct Contents {
    generation: i64,
    answers: HashMap<(AnswerKind, [u8; 32]), (i64, StoredAnswer)>,
    /// Of each call of `prune`.
    bounds: Vec<(AnswerKind, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    Works,
    Fails,
    Hangs,
}

impl Shelves {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            contents: Mutex::default(),
            finding: watch::Sender::new(Habit::Works),
            writing: watch::Sender::new(Habit::Works),
            found: AtomicUsize::new(0),
        })
    }

    fn len(&self) -> usize {
        self.contents.lock().unwrap().answers.len()
    }

    fn change_all(&self, change: impl Fn(&mut StoredAnswer)) {
        let mut contents = self.contents.lock().unwrap();
        for (_, answer) in contents.answers.values_mut() {
            change(answer);
        }
    }

    /// Waits until at least so many answers are there.
    async fn until_there_are(&self, number: usize) {
        while self.len() < number {
            tokio::task::yield_now().await;
        }
    }
}

async fn done(habit: &watch::Sender<Habit>) -> Result<(), AnswerStoreError> {
    let mut habit = habit.subscribe();
    let habit = *habit
        .wait_for(|habit| *habit != Habit::Hangs)
        .await
        .unwrap();
    match habit {
        Habit::Fails => Err(AnswerStoreError("no luck".into())),
        _ => Ok(()),
    }
}

#[async_trait]
impl AnswerStore for Shelves {
    async fn find(
        &self,
        kind: AnswerKind,
        question: &[u8; 32],
    ) -> Result<FoundAnswer, AnswerStoreError> {
        self.found.fetch_add(1, Ordering::SeqCst);
        done(&self.finding).await?;
        let contents = self.contents.lock().unwrap();
        let answer = contents.answers.get(&(kind, *question)).cloned();
        Ok(FoundAnswer {
            generation: contents.generation,
            answer: answer
                .filter(|(generation, _)| *generation == contents.generation)
                .map(|(_, answer)| answer),
        })
    }

    async fn keep(&self, answers: &[KeptAnswer]) -> Result<(), AnswerStoreError> {
        done(&self.writing).await?;
        let mut contents = self.contents.lock().unwrap();
        for kept in answers {
            let answer = (kept.generation, kept.answer.clone());
            contents.answers.insert((kept.kind, kept.question), answer);
        }
        Ok(())
    }

    async fn prune(&self, kind: AnswerKind, most: u64, _: i64) -> Result<(), AnswerStoreError> {
        self.contents.lock().unwrap().bounds.push((kind, most));
        Ok(())
    }

    async fn forget(&self) -> Result<(), AnswerStoreError> {
        done(&self.writing).await?;
        self.contents.lock().unwrap().generation += 1;
        Ok(())
    }

    async fn close(&self) {}
}

/// A directory, a database, and a time that stands still until it is told.
struct Bench {
    script: Arc<Scripted>,
    shelves: Arc<Shelves>,
    settings: CacheSettings,
    passed: Arc<Mutex<Duration>>,
    /// What the system's clock says.
    wall: Arc<Mutex<Duration>>,
}

/// One server of the cluster.
struct Server {
    cache: CachedDirectory<Shared>,
    level: Arc<SecondLevel>,
}

impl Bench {
    fn new() -> Self {
        Self {
            script: Scripted::new(),
            shelves: Shelves::new(),
            settings: CacheSettings::default(),
            passed: Arc::default(),
            wall: Arc::new(Mutex::new(Duration::from_millis(1_700_000_000_700))),
        }
    }

    fn clock(&self) -> openrms_directory::Clock {
        let (start, time) = (Instant::now(), Arc::clone(&self.passed));
        Arc::new(move || start + *time.lock().unwrap())
    }

    fn level(&self) -> Arc<SecondLevel> {
        let wall = Arc::clone(&self.wall);
        SecondLevel::start(
            Arc::clone(&self.shelves) as Arc<dyn AnswerStore>,
            AnswerSeal::new(b"secret of the cluster", "corp.example").unwrap(),
            WallClock::new(move || *wall.lock().unwrap(), self.clock()),
            &Handle::current(),
        )
    }

    /// A server that was started just now.
    fn server(&self) -> Server {
        let directory = Shared(Arc::clone(&self.script));
        let level = self.level();
        let cache = CachedDirectory::with_clock(directory, &self.settings, self.clock());
        Server {
            cache: cache.with_second_level(&level),
            level,
        }
    }

    fn seconds_pass(&self, seconds: u64) {
        *self.passed.lock().unwrap() += Duration::from_secs(seconds);
        *self.wall.lock().unwrap() += Duration::from_secs(seconds);
    }

    fn directory_goes_down(&self) {
        self.script.break_with(Some(down()));
    }
}

impl Server {
    async fn alice(&self) -> Result<Option<Account>, DirectoryError> {
        self.cache.account(&who("alice")).await
    }

    async fn is_in_staff(&self) -> Result<bool, DirectoryError> {
        let memberships = self.cache.memberships(&alice()).await?;
        Ok(memberships.is_in_group("staff@corp.example"))
    }
}

fn down() -> DirectoryError {
    DirectoryError::Timeout {
        directory: "corp.example".to_owned(),
    }
}

#[tokio::test]
async fn a_server_that_is_started_anew_knows_what_was_asked_before() {
    let bench = Bench::new();
    let staff: Address = "staff@corp.example".parse().unwrap();
    let first = bench.server();
    let account = first.alice().await.unwrap();
    assert!(account.is_some() && first.is_in_staff().await.unwrap());
    let forest = first.cache.forest_of(&who("alice")).await.unwrap();
    let foreign = first.cache.foreign_groups_in(&staff).await.unwrap();
    assert_eq!(first.cache.account(&who("bob")).await, Ok(None));
    first.level.close().await;
    assert_eq!(bench.shelves.len(), 5);

    bench.directory_goes_down();
    let second = bench.server();
    assert_eq!(second.alice().await.unwrap(), account);
    assert!(second.is_in_staff().await.unwrap());
    let forest_again = second.cache.forest_of(&who("alice")).await;
    assert_eq!(forest_again.unwrap(), forest);
    let foreign_again = second.cache.foreign_groups_in(&staff).await;
    assert_eq!(foreign_again.unwrap(), foreign);
    assert_eq!(second.cache.account(&who("bob")).await, Ok(None));
    assert_eq!(second.cache.account(&who("carol")).await, Err(down()));
    let counters = second.level.counters();
    assert_eq!((counters.hits, counters.misses), (5, 1));
    // From now on memory knows.
    let found = bench.shelves.found.load(Ordering::SeqCst);
    assert!(second.is_in_staff().await.unwrap());
    assert_eq!(bench.shelves.found.load(Ordering::SeqCst), found);
}

#[tokio::test]
async fn an_answer_ends_in_the_database_when_it_ends_in_memory() {
    let bench = Bench::new();
    let first = bench.server();
    assert!(first.is_in_staff().await.unwrap());
    first.level.close().await;
    bench.script.load(NOBODY);
    bench.seconds_pass(11 * 60);
    let second = bench.server();
    assert!(second.is_in_staff().await.unwrap());
    // Taken into memory a minute before its end, it keeps its own end.
    bench.seconds_pass(59);
    assert!(second.is_in_staff().await.unwrap());
    bench.seconds_pass(1);
    assert!(!second.is_in_staff().await.unwrap());
    assert!(!bench.server().is_in_staff().await.unwrap());
}

#[tokio::test]
async fn that_somebody_is_unknown_ends_earlier() {
    let bench = Bench::new();
    bench.script.load(NOBODY);
    let first = bench.server();
    assert_eq!(first.alice().await, Ok(None));
    first.level.close().await;
    bench.script.load(LIST);
    bench.seconds_pass(119);
    assert_eq!(bench.server().alice().await, Ok(None));
    bench.seconds_pass(1);
    assert!(bench.server().alice().await.unwrap().is_some());
}

#[tokio::test]
async fn settings_that_became_shorter_count_for_what_is_kept() {
    let mut bench = Bench::new();
    let first = bench.server();
    assert!(first.alice().await.unwrap().is_some());
    first.level.close().await;
    bench.directory_goes_down();
    bench.settings.principal_cache_expire_minutes = 1;
    assert!(bench.server().alice().await.unwrap().is_some());
    bench.seconds_pass(60);
    assert_eq!(bench.server().alice().await, Err(down()));
}

#[tokio::test]
async fn a_table_that_keeps_nothing_keeps_nothing_in_the_database() {
    for (most, minutes, factor) in [(0, 12, 10), (1_000, 0, 10), (1_000, 12, 0)] {
        let mut bench = Bench::new();
        bench.settings.principal_cache_max = most;
        bench.settings.principal_cache_expire_minutes = minutes;
        bench.settings.database_max_factor = factor;
        let server = bench.server();
        assert!(server.alice().await.unwrap().is_some());
        server.level.close().await;
        assert_eq!(bench.shelves.len(), 0);
    }
}

#[tokio::test]
async fn the_database_is_bounded_by_a_multiple_of_what_memory_holds() {
    let mut bench = Bench::new();
    bench.settings.group_membership_cache_max = 7;
    let server = bench.server();
    assert!(server.alice().await.unwrap().is_some());
    assert!(server.is_in_staff().await.unwrap());
    server.level.close().await;
    let mut bounds = bench.shelves.contents.lock().unwrap().bounds.clone();
    bounds.sort_by_key(|(_, most)| *most);
    let expected = [(AnswerKind::Memberships, 70), (AnswerKind::Account, 10_000)];
    assert_eq!(bounds, expected);
}

#[tokio::test]
async fn a_flush_counts_for_the_database_at_once() {
    let bench = Bench::new();
    let (one, other) = (bench.server(), bench.server());
    assert!(one.is_in_staff().await.unwrap());
    bench.shelves.until_there_are(1).await;
    bench.script.load(NOBODY);
    one.cache.flush().await;
    assert!(!one.is_in_staff().await.unwrap());
    assert!(!other.is_in_staff().await.unwrap());
}

#[tokio::test]
async fn an_answer_on_its_way_is_not_kept_in_the_database_after_a_flush() {
    let bench = Bench::new();
    let (one, other) = (Arc::new(bench.server()), bench.server());
    bench.script.held.send_replace(true);
    let on_its_way = {
        let one = Arc::clone(&one);
        tokio::spawn(async move { one.is_in_staff().await.unwrap() })
    };
    while bench.script.asked() < 1 {
        tokio::task::yield_now().await;
    }
    bench.script.load(NOBODY);
    // On another server, which knows nothing of the question.
    other.cache.flush().await;
    bench.script.held.send_replace(false);
    assert!(on_its_way.await.unwrap());
    one.level.close().await;
    assert!(!bench.server().is_in_staff().await.unwrap());
}

#[tokio::test]
async fn a_flush_wins_over_answers_that_wait_to_be_written() {
    let bench = Bench::new();
    let server = bench.server();
    bench.shelves.writing.send_replace(Habit::Hangs);
    assert!(server.is_in_staff().await.unwrap());
    assert!(server.alice().await.unwrap().is_some());
    bench.script.load(NOBODY);
    let ((), ()) = tokio::join!(server.cache.flush(), async {
        tokio::task::yield_now().await;
        bench.shelves.writing.send_replace(Habit::Works);
    });
    bench.directory_goes_down();
    server.level.close().await;
    for server in [&server, &bench.server()] {
        assert_eq!(server.is_in_staff().await, Err(down()));
        assert_eq!(server.alice().await, Err(down()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_cannot_be_emptied_is_not_read_until_it_is() {
    let bench = Bench::new();
    let server = bench.server();
    assert!(server.is_in_staff().await.unwrap());
    bench.shelves.until_there_are(1).await;
    bench.shelves.writing.send_replace(Habit::Fails);
    bench.directory_goes_down();
    let begin = tokio::time::Instant::now();
    server.cache.flush().await;
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert_eq!(server.is_in_staff().await, Err(down()));
    bench.script.break_with(None);
    bench.shelves.writing.send_replace(Habit::Works);
    while bench.shelves.contents.lock().unwrap().generation == 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::task::yield_now().await;
    assert!(server.is_in_staff().await.unwrap());
    server.level.close().await;
    bench.directory_goes_down();
    assert!(bench.server().is_in_staff().await.unwrap());
}

#[tokio::test]
async fn a_database_that_fails_spoils_no_look_up() {
    let bench = Bench::new();
    bench.shelves.finding.send_replace(Habit::Fails);
    let server = bench.server();
    assert!(server.is_in_staff().await.unwrap());
    assert_eq!(server.level.counters().errors, 1);
    bench.shelves.finding.send_replace(Habit::Works);
    bench.shelves.writing.send_replace(Habit::Fails);
    assert!(server.alice().await.unwrap().is_some());
    server.level.close().await;
    let counters = server.level.counters();
    assert_eq!((counters.errors, counters.dropped), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_slow_database_is_not_waited_for_and_then_spared() {
    let bench = Bench::new();
    bench.shelves.finding.send_replace(Habit::Hangs);
    let server = bench.server();
    let begin = tokio::time::Instant::now();
    assert!(server.alice().await.unwrap().is_some());
    assert!(begin.elapsed() < Duration::from_secs(1));
    assert!(server.is_in_staff().await.unwrap());
    assert_eq!(bench.shelves.found.load(Ordering::SeqCst), 1);
    assert_eq!(server.level.counters().errors, 1);
    bench.shelves.finding.send_replace(Habit::Works);
    bench.seconds_pass(6);
    server.cache.forest_of(&who("alice")).await.unwrap();
    assert_eq!(bench.shelves.found.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_the_database_cannot_take_in_time_is_dropped_and_counted() {
    let bench = Bench::new();
    bench.shelves.writing.send_replace(Habit::Hangs);
    let server = bench.server();
    for number in 0..1_000 {
        let nobody = who(&format!("nobody{number}"));
        assert_eq!(server.cache.account(&nobody).await, Ok(None));
    }
    assert!(server.level.counters().dropped >= 500);
    bench.shelves.writing.send_replace(Habit::Works);
    server.level.close().await;
    let written = bench.shelves.len() as u64;
    assert!(written > 0);
    assert_eq!(written + server.level.counters().dropped, 1_000);
}

#[tokio::test]
async fn a_damaged_answer_is_passed_over_and_overwritten() {
    let changes: [fn(&mut StoredAnswer); 5] = [
        |answer| answer.sealed.truncate(3),
        |answer| answer.sealed[20] ^= 1,
        |answer| answer.sealed.clear(),
        // Somebody would have it count longer.
        |answer| answer.expires += 60,
        |answer| answer.asked += 60,
    ];
    for change in changes {
        let bench = Bench::new();
        let first = bench.server();
        assert!(first.is_in_staff().await.unwrap());
        first.level.close().await;
        bench.shelves.change_all(change);
        let second = bench.server();
        assert!(second.is_in_staff().await.unwrap());
        assert_eq!(second.level.counters().hits, 0);
        second.level.close().await;
        bench.directory_goes_down();
        assert!(bench.server().is_in_staff().await.unwrap());
    }
}

#[tokio::test]
async fn an_answer_from_the_future_is_not_believed() {
    let bench = Bench::new();
    let first = bench.server();
    assert!(first.is_in_staff().await.unwrap());
    first.level.close().await;
    bench.directory_goes_down();
    *bench.wall.lock().unwrap() -= Duration::from_mins(1);
    assert_eq!(bench.server().is_in_staff().await, Err(down()));
}

#[tokio::test]
async fn setting_the_clock_back_prolongs_nothing_in_a_running_server() {
    let bench = Bench::new();
    let server = bench.server();
    assert!(server.is_in_staff().await.unwrap());
    bench.shelves.until_there_are(1).await;
    bench.script.load(NOBODY);
    bench.seconds_pass(12 * 60);
    *bench.wall.lock().unwrap() -= Duration::from_mins(10);
    assert!(!server.is_in_staff().await.unwrap());
}

/// Another forest, which knows Alice until it is closed.
struct Partner(watch::Receiver<bool>);

#[async_trait]
impl ForeignForests for Partner {
    async fn is_member(&self, question: ForeignQuestion<'_>) -> Result<bool, DirectoryError> {
        if *self.0.borrow() {
            Ok(question.who.as_str().starts_with("alice@"))
        } else {
            Err(down())
        }
    }

    fn max_calls(&self) -> u32 {
        10
    }
}

#[tokio::test]
async fn what_other_forests_answer_is_kept_as_well() {
    let bench = Bench::new();
    let open = watch::Sender::new(true);
    let start = |level: &Arc<SecondLevel>| {
        CachedForests::new(Partner(open.subscribe()), &bench.settings).with_second_level(level)
    };
    let forest: ForestName = "partner.example".parse().unwrap();
    let groups = ["all@partner.example".parse().unwrap()];
    let ask = async |forests: &CachedForests<Partner>, who: &str| {
        let question = ForeignQuestion {
            forest: &forest,
            who: &who.parse().unwrap(),
            groups: &groups,
            calls: 1,
        };
        forests.is_member(question).await
    };
    let level = bench.level();
    let first = start(&level);
    assert_eq!(ask(&first, "alice@corp.example").await, Ok(true));
    assert_eq!(ask(&first, "bob@corp.example").await, Ok(false));
    level.close().await;
    open.send_replace(false);
    let level = bench.level();
    let second = start(&level);
    assert_eq!(ask(&second, "Alice@Corp.Example").await, Ok(true));
    assert_eq!(ask(&second, "bob@corp.example").await, Ok(false));
    second.flush().await;
    assert_eq!(ask(&second, "alice@corp.example").await, Err(down()));
}

/// A directory whose only answer is which version it is in; each third version knows nobody.
struct Versions(Arc<AtomicUsize>, ForestName);

#[async_trait]
impl Directory for Versions {
    async fn account(&self, _: &AccountRef) -> Result<Option<Account>, DirectoryError> {
        let version = self.0.load(Ordering::SeqCst);
        // What is written while others do something.
        tokio::task::yield_now().await;
        Ok((!version.is_multiple_of(3)).then(|| Account {
            sid: "S-1-5-21-1-2-3-4".parse().unwrap(),
            name: "alice".parse().unwrap(),
            display_name: version.to_string(),
            mail: None,
            proxy_addresses: Vec::new(),
            enabled: true,
            forest: self.1.clone(),
            created: None,
        }))
    }

    async fn memberships(&self, _: &Identity) -> Result<Arc<Memberships>, DirectoryError> {
        Err(down())
    }

    fn home_forest(&self) -> &ForestName {
        &self.1
    }

    async fn forest_of(&self, _: &AccountRef) -> Result<Option<ForestName>, DirectoryError> {
        Err(down())
    }

    async fn foreign_groups_in(&self, _: &Address) -> Result<Arc<[ForeignGroup]>, DirectoryError> {
        Err(down())
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// A server is asked, perhaps while it is flushed.
    Ask {
        server: usize,
        flush: Option<Order>,
    },
    Flush(usize),
    Restart(usize),
    Pass(u64),
    /// The directory changes.
    Change,
    /// The writers get a chance.
    Settle,
    /// The system's clock is set forward.
    Forward(u64),
}

#[derive(Debug, Clone, Copy)]
enum Order {
    FlushFirst,
    QuestionFirst,
}

fn step() -> impl Strategy<Value = Step> {
    let server = 0..3_usize;
    let flush = prop_oneof![
        4 => Just(None),
        1 => Just(Some(Order::FlushFirst)),
        1 => Just(Some(Order::QuestionFirst)),
    ];
    prop_oneof![
        6 => (server.clone(), flush).prop_map(|(server, flush)| Step::Ask { server, flush }),
        1 => server.clone().prop_map(Step::Flush),
        2 => server.prop_map(Step::Restart),
        3 => (1..500_u64).prop_map(Step::Pass),
        3 => Just(Step::Change),
        3 => Just(Step::Settle),
        1 => (1..2_000_u64).prop_map(Step::Forward),
    ]
}

/// Three servers on one database.
struct Cluster {
    bench: Bench,
    version: Arc<AtomicUsize>,
    servers: Vec<CachedDirectory<Versions>>,
    /// When each version began, by the even clock.
    began: Vec<Duration>,
    /// When and at which version each server was last flushed.
    flushed: [usize; 3],
}

impl Cluster {
    fn new() -> Self {
        let mut cluster = Self {
            bench: Bench::new(),
            version: Arc::default(),
            servers: Vec::new(),
            began: vec![Duration::ZERO],
            flushed: [0; 3],
        };
        cluster.servers = (0..3).map(|_| cluster.start()).collect();
        cluster
    }

    fn start(&self) -> CachedDirectory<Versions> {
        let forest = "corp.example".parse().unwrap();
        let directory = Versions(Arc::clone(&self.version), forest);
        let bench = &self.bench;
        CachedDirectory::with_clock(directory, &bench.settings, bench.clock())
            .with_second_level(&bench.level())
    }

    async fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Ask { server, flush } => {
                let directory = &self.servers[server];
                let alice = who("alice");
                let question = directory.account(&alice);
                let answer = match flush {
                    None => question.await,
                    Some(Order::FlushFirst) => tokio::join!(biased; directory.flush(), question).1,
                    Some(Order::QuestionFirst) => {
                        tokio::join!(biased; question, directory.flush()).0
                    }
                };
                self.check(server, answer.unwrap().as_ref())?;
                if flush.is_some() {
                    self.flushed[server] = self.version.load(Ordering::SeqCst);
                    let answer = self.servers[server].account(&alice).await;
                    self.check(server, answer.unwrap().as_ref())?;
                }
            }
            Step::Flush(server) => {
                self.servers[server].flush().await;
                self.flushed[server] = self.version.load(Ordering::SeqCst);
            }
            // The queue of the server before is lost, as in a crash.
            Step::Restart(server) => self.servers[server] = self.start(),
            Step::Pass(seconds) => self.bench.seconds_pass(seconds),
            Step::Change => {
                self.version.fetch_add(1, Ordering::SeqCst);
                self.began.push(*self.bench.passed.lock().unwrap());
            }
            Step::Settle => {
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
            }
            Step::Forward(seconds) => {
                *self.bench.wall.lock().unwrap() += Duration::from_secs(seconds);
            }
        }
        Ok(())
    }

    /// The directory must have been so since the server's last flush, and not too long ago.
    fn check(&self, server: usize, answer: Option<&Account>) -> Result<(), TestCaseError> {
        let now = *self.bench.passed.lock().unwrap();
        let (is_possible, minutes): (Box<dyn Fn(usize) -> bool>, u64) = match answer {
            Some(account) => {
                let told: usize = account.display_name.parse().unwrap();
                (Box::new(move |version| version == told), 12)
            }
            None => (Box::new(|version: usize| version.is_multiple_of(3)), 2),
        };
        let current = self.version.load(Ordering::SeqCst);
        let justified = (self.flushed[server]..=current).any(|version| {
            let ended = self.began.get(version + 1).copied();
            let age = ended.map_or(Duration::ZERO, |ended| now.saturating_sub(ended));
            // An answer is over when its time is, not after it.
            is_possible(version) && age < Duration::from_secs(60 * minutes)
        });
        prop_assert!(justified, "{answer:?} at {now:?}, version {current}");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_answer_is_served_after_its_end_or_after_a_flush(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut cluster = Cluster::new();
            for step in &steps {
                cluster.take(step).await?;
            }
            Ok::<_, TestCaseError>(())
        })?;
    }
}
