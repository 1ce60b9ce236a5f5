//! The second level of the cache: a database behind the memory, where a server that was started
//! anew, and every other server of the cluster, finds what one of them has asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::Clock;
use super::answer_store::{
    AnswerKind, AnswerStore, AnswerStoreError, FoundAnswer, KeptAnswer, StoredAnswer,
};
use super::form::{Answer, Question};
use super::seal::AnswerSeal;
use super::table::Limits;

/// A database of answers, in use.
///
/// A look-up never fails for its sake: where it errs or is slow, the directory is asked instead.
/// It is written to after the answer was given, as far as it keeps up.
pub struct SecondLevel {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Queued>,
}

/// Tells how long ago 1970 began, and never goes back while the process lives, even when the
/// system's clock is set back.
pub struct WallClock {
    wall: Box<dyn Fn() -> Duration + Send + Sync>,
    steady: Clock,
    start: (Instant, Duration),
}

/// What became of questions to the second level, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SecondLevelCounters {
    /// Answered from the database.
    pub hits: u64,
    /// Not in the database, or too old.
    pub misses: u64,
    /// The database failed, or did not answer in time.
    pub errors: u64,
    /// Answers that were not written down, as the database did not keep up.
    pub dropped: u64,
}

struct Shared {
    store: Arc<dyn AnswerStore>,
    seal: AnswerSeal,
    now: WallClock,
    /// How many times it was to be forgotten. While that is more than was done, nothing is read.
    flushes: watch::Sender<u64>,
    flushed: watch::Sender<u64>,
    /// Seconds since 1970 until which a database that was slow is not asked.
    spared_until: AtomicU64,
    reading_fails: AtomicBool,
    writing_fails: AtomicBool,
    hits: AtomicU64,
    misses: AtomicU64,
    errors: AtomicU64,
    dropped: AtomicU64,
}

enum Queued {
    Answer {
        kept: KeptAnswer,
        most: u64,
    },
    /// The last: whoever sends it wants to know when all before it is written.
    End(oneshot::Sender<()>),
}

/// One table's part of the second level.
pub(super) struct Shelf {
    level: Arc<SecondLevel>,
    kind: AnswerKind,
    limits: Limits,
}

/// What a shelf has for a question.
pub(super) enum Found<'s, V> {
    /// An answer, and for how long it still counts.
    Answer(V, Duration),
    /// None; with what it takes to put one there.
    Nothing(Option<Slip<'s>>),
}

/// The right to put down an answer whose question is asked after this was handed out.
pub(super) struct Slip<'s> {
    shelf: &'s Shelf,
    question: [u8; 32],
    generation: i64,
    asked: i64,
}

/// A flush under way; until it is done nothing is read from the database.
#[must_use]
pub(super) struct Flush<'s> {
    shared: &'s Shared,
    number: u64,
}

impl SecondLevel {
    /// Puts a database to use; `runtime` must run as long as answers are to be written.
    pub fn start(
        store: Arc<dyn AnswerStore>,
        seal: AnswerSeal,
        now: WallClock,
        runtime: &Handle,
    ) -> Arc<Self> {
        let shared = Arc::new(Shared {
            store,
            seal,
            now,
            flushes: watch::Sender::new(0),
            flushed: watch::Sender::new(0),
            spared_until: AtomicU64::new(0),
            reading_fails: AtomicBool::new(false),
            writing_fails: AtomicBool::new(false),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        let (queue, queued) = mpsc::channel(QUEUE);
        runtime.spawn(Arc::clone(&shared).write(queued));
        Arc::new(Self { shared, queue })
    }

    /// Writes down what is queued and closes the database; not longer than some seconds. What is
    /// answered later is not written down.
    pub async fn close(&self) {
        let (done, all_written) = oneshot::channel();
        let end = async {
            if self.queue.send(Queued::End(done)).await.is_ok() {
                let _ = all_written.await;
            }
            self.shared.store.close().await;
        };
        if timeout(PATIENCE, end).await.is_err() {
            tracing::warn!("the database of directory answers was not closed in time");
        }
    }

    /// Counted since the start; a flush does not reset them.
    pub fn counters(&self) -> SecondLevelCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SecondLevelCounters {
            hits: read(&self.shared.hits),
            misses: read(&self.shared.misses),
            errors: read(&self.shared.errors),
            dropped: read(&self.shared.dropped),
        }
    }

    /// From now on nothing that is in the database is read; once it is emptied, it is used again.
    pub(super) fn flush(&self) -> Flush<'_> {
        let mut number = 0;
        self.shared.flushes.send_modify(|flushes| {
            *flushes += 1;
            number = *flushes;
        });
        Flush {
            shared: &self.shared,
            number,
        }
    }
}

impl Flush<'_> {
    /// Waits until the database is emptied, but not for long: what it still holds is not read.
    pub(super) async fn done(self) {
        let mut flushed = self.shared.flushed.subscribe();
        let done = flushed.wait_for(|flushed| *flushed >= self.number);
        if timeout(PATIENCE, done).await.is_err() {
            tracing::error!(
                "the database of directory answers cannot be emptied: it is not used until it is; \
                 should the server be started anew before, delete it first"
            );
        }
    }
}

impl WallClock {
    /// `wall` tells how long ago 1970 began, `steady` goes on evenly.
    pub fn new(wall: impl Fn() -> Duration + Send + Sync + 'static, steady: Clock) -> Self {
        let start = (steady(), wall());
        Self {
            wall: Box::new(wall),
            steady,
            start,
        }
    }

    fn now(&self) -> Duration {
        let (instant, wall) = self.start;
        let passed = (self.steady)().saturating_duration_since(instant);
        // The steady one stands still while the machine sleeps.
        (self.wall)().max(wall.saturating_add(passed))
    }
}

impl Shelf {
    /// `None` where nothing is to be kept.
    pub(super) fn new(level: &Arc<SecondLevel>, kind: AnswerKind, limits: Limits) -> Option<Self> {
        let keeps = limits.most_in_database > 0 && limits.known >= Duration::from_secs(1);
        keeps.then(|| Self {
            level: Arc::clone(level),
            kind,
            limits,
        })
    }

    pub(super) async fn find<Q: Question, V: Answer>(
        &self,
        question: &Q,
        is_known: impl Fn(&V) -> bool,
    ) -> Found<'_, V> {
        let shared = &self.level.shared;
        let begin = shared.now.now();
        let question = shared.seal.question(self.kind, &question.parts());
        let Some(found) = shared.ask(self.kind, &question, begin).await else {
            return Found::Nothing(None);
        };
        let value = found
            .answer
            .as_ref()
            .and_then(|answer| self.believe(&question, found.generation, answer, is_known));
        if let Some((value, remaining)) = value {
            shared.hits.fetch_add(1, Ordering::Relaxed);
            return Found::Answer(value, remaining);
        }
        shared.misses.fetch_add(1, Ordering::Relaxed);
        Found::Nothing(i64::try_from(begin.as_secs()).ok().map(|asked| Slip {
            shelf: self,
            question,
            generation: found.generation,
            asked,
        }))
    }

    /// The answer and for how long it counts, unless it has ended, is from the future, or is none
    /// of ours.
    fn believe<V: Answer>(
        &self,
        question: &[u8; 32],
        generation: i64,
        answer: &StoredAnswer,
        is_known: impl Fn(&V) -> bool,
    ) -> Option<(V, Duration)> {
        let shared = &self.level.shared;
        let plain = shared.seal.open(self.kind, question, generation, answer)?;
        let value = V::from_bytes(plain.expose())?;
        let instant = |seconds: i64| u64::try_from(seconds).ok().map(Duration::from_secs);
        let asked = instant(answer.asked)?;
        // Settings may have become shorter since.
        let longest = asked.checked_add(self.limits.of(is_known(&value)))?;
        let end = instant(answer.expires)?.min(longest);
        // Looked at only now, as reading takes its time.
        let now = shared.now.now();
        let remaining = end.checked_sub(now)?;
        (asked <= now && !remaining.is_zero()).then_some((value, remaining))
    }
}

impl Slip<'_> {
    /// Leaves an answer to be written down.
    pub(super) fn put<V: Answer>(self, value: &V, is_known: impl Fn(&V) -> bool) {
        let shelf = self.shelf;
        let counts = shelf.limits.of(is_known(value)).as_secs();
        let Ok(counts @ 1..) = i64::try_from(counts) else {
            return;
        };
        let mut kept = KeptAnswer {
            kind: shelf.kind,
            question: self.question,
            generation: self.generation,
            answer: StoredAnswer {
                asked: self.asked,
                expires: self.asked.saturating_add(counts),
                sealed: Vec::new(),
            },
        };
        let level = &shelf.level;
        let plain = value.to_bytes();
        let sealed = plain.is_some_and(|plain| level.shared.seal.seal(&mut kept, &plain));
        let most = shelf.limits.most_in_database;
        if !sealed || level.queue.try_send(Queued::Answer { kept, most }).is_err() {
            level.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Shared {
    /// What the database says, unless it must not be asked or does not answer.
    async fn ask(
        &self,
        kind: AnswerKind,
        question: &[u8; 32],
        now: Duration,
    ) -> Option<FoundAnswer> {
        let emptied = *self.flushed.borrow() >= *self.flushes.borrow();
        if !emptied || now.as_secs() < self.spared_until.load(Ordering::Relaxed) {
            return None;
        }
        let found = self.store.find(kind, question);
        if let Ok(outcome) = timeout(READING_PATIENCE, found).await {
            return self.noted(outcome, &self.reading_fails);
        }
        let until = now.saturating_add(SPARED).as_secs();
        self.spared_until.store(until, Ordering::Relaxed);
        self.noted::<FoundAnswer>(Err(slow()), &self.reading_fails)
    }

    /// Writes down what is queued, and empties the database when that is wanted.
    async fn write(self: Arc<Self>, mut queue: mpsc::Receiver<Queued>) {
        let mut flushes = self.flushes.subscribe();
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                wanted = self.flush_wanted(&mut flushes) => self.forget(wanted).await,
                taken = queue.recv_many(&mut batch, BATCH) => {
                    if taken == 0 || self.keep(&mut batch).await.is_break() {
                        return;
                    }
                }
            }
        }
    }

    /// Waits until more flushes are wanted than were done.
    async fn flush_wanted(&self, flushes: &mut watch::Receiver<u64>) -> u64 {
        let more = flushes.wait_for(|wanted| *self.flushed.borrow() < *wanted);
        match more.await.map(|wanted| *wanted) {
            Ok(wanted) => wanted,
            // Not while the sender, a field of this, is there.
            Err(_) => std::future::pending().await,
        }
    }

    async fn forget(&self, wanted: u64) {
        let forgotten = bounded(self.store.forget()).await;
        if self.noted(forgotten, &self.writing_fails).is_some() {
            self.flushed.send_replace(wanted);
        } else {
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    async fn keep(&self, batch: &mut Vec<Queued>) -> std::ops::ControlFlow<()> {
        let mut answers = Vec::with_capacity(batch.len());
        let mut bounds: Vec<(AnswerKind, u64)> = Vec::new();
        let mut end = None;
        for queued in batch.drain(..) {
            match queued {
                Queued::Answer { kept, most } => {
                    if bounds.iter().all(|(kind, _)| *kind != kept.kind) {
                        bounds.push((kept.kind, most));
                    }
                    answers.push(kept);
                }
                Queued::End(done) => end = Some(done),
            }
        }
        let kept = self.keep_all(&answers, &bounds).await;
        if self.noted(kept, &self.writing_fails).is_none() {
            let lost = answers.len() as u64;
            self.dropped.fetch_add(lost, Ordering::Relaxed);
        }
        match end {
            Some(done) => {
                let _ = done.send(());
                std::ops::ControlFlow::Break(())
            }
            None => std::ops::ControlFlow::Continue(()),
        }
    }

    async fn keep_all(
        &self,
        answers: &[KeptAnswer],
        bounds: &[(AnswerKind, u64)],
    ) -> Result<(), AnswerStoreError> {
        if answers.is_empty() {
            return Ok(());
        }
        bounded(self.store.keep(answers)).await?;
        let now = i64::try_from(self.now.now().as_secs()).unwrap_or(i64::MAX);
        for (kind, most) in bounds {
            bounded(self.store.prune(*kind, *most, now)).await?;
        }
        Ok(())
    }

    /// Counts errors, and says the first of a row and its end.
    fn noted<T>(&self, outcome: Result<T, AnswerStoreError>, fails: &AtomicBool) -> Option<T> {
        match outcome {
            Ok(value) => {
                if fails.load(Ordering::Relaxed) && fails.swap(false, Ordering::Relaxed) {
                    tracing::info!("the database of directory answers works again");
                }
                Some(value)
            }
            Err(error) => {
                self.errors.fetch_add(1, Ordering::Relaxed);
                if !fails.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "the database of directory answers fails");
                }
                None
            }
        }
    }
}

async fn bounded(
    work: impl Future<Output = Result<(), AnswerStoreError>>,
) -> Result<(), AnswerStoreError> {
    timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err(slow()))
}

fn slow() -> AnswerStoreError {
    AnswerStoreError("it did not answer in time".into())
}

/// A database that is slower than that helps nobody: the directory itself answers in less.
const READING_PATIENCE: Duration = Duration::from_millis(500);
/// How long a database that was slow is spared.
const SPARED: Duration = Duration::from_secs(5);
/// For what nobody's answer waits for.
const PATIENCE: Duration = Duration::from_secs(5);
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Answers that wait to be written: at most 64 MiB of the longest, mostly some KiB each.
const QUEUE: usize = 256;
const BATCH: usize = 64;
