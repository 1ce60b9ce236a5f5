//! One bounded table: answers with an end, and one question in flight for each key.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use tokio::sync::watch;

use super::answer_store::AnswerKind;
use super::form::{Answer, Question};
use super::second_level::{Found, SecondLevel, Shelf};
use crate::DirectoryError;

pub(super) struct Table<K, V> {
    answers: Option<Cache<K, Kept<V>>>,
    /// Asked before the directory is.
    shelf: Option<Shelf>,
    limits: Limits,
    flights: Mutex<Flights<K, V>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// How much a table keeps, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) most: usize,
    pub(super) most_in_database: u64,
    /// What the directory knows.
    pub(super) known: Duration,
    /// That it does not know somebody.
    pub(super) unknown: Duration,
}

/// How often a table had the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableCounters {
    /// Answered from memory.
    pub hits: u64,
    /// Asked of the database or the directory, or waited for somebody else who did.
    pub misses: u64,
}

impl Limits {
    /// How long an answer counts.
    pub(super) fn of(&self, is_known: bool) -> Duration {
        if is_known { self.known } else { self.unknown }
    }
}

#[derive(Clone)]
struct Kept<V> {
    value: V,
    until: Instant,
}

type Outcome<V> = Result<V, DirectoryError>;

/// The questions on their way.
struct Flights<K, V> {
    by_key: HashMap<K, Flight<V>>,
    /// Raised by each flush, to tell flights that began before it.
    generation: u64,
}

struct Flight<V> {
    generation: u64,
    /// `None` until it lands; closed without one when whoever asked has gone away.
    answer: watch::Receiver<Option<Outcome<V>>>,
}

impl<K, V> Table<K, V>
where
    K: Question,
    V: Answer,
{
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            // The cache itself has no size of nothing.
            answers: (limits.most > 0).then(|| Cache::new(limits.most)),
            shelf: None,
            limits,
            flights: Mutex::new(Flights {
                by_key: HashMap::new(),
                generation: 0,
            }),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Puts a database behind the memory.
    pub(super) fn set_shelf(&mut self, level: &Arc<SecondLevel>, kind: AnswerKind) {
        self.shelf = Shelf::new(level, kind, self.limits);
    }

    /// The answer from memory, from whoever is asking already, from the database, or from `ask`.
    pub(super) async fn get<F>(
        &self,
        key: &K,
        now: &(dyn Fn() -> Instant + Send + Sync),
        is_known: impl Fn(&V) -> bool,
        ask: impl Fn() -> F,
    ) -> Outcome<V>
    where
        F: Future<Output = Outcome<V>>,
    {
        let begin = now();
        if let Some(value) = self.kept(key, begin) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(value);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        loop {
            let mut awaited = match self.join(key) {
                Role::Waits(answer) => answer,
                Role::Asks(landing) => {
                    // It may have landed between the look above and taking the lock.
                    let begin = now();
                    if let Some(value) = self.kept(key, begin) {
                        return Ok(value);
                    }
                    let slip = match self.found(key, &is_known).await {
                        Found::Answer(value, remaining) => {
                            let answer = Ok(value);
                            landing.land(&answer, Some(begin + remaining));
                            return answer;
                        }
                        Found::Nothing(slip) => slip,
                    };
                    let answer = ask().await;
                    let keep = answer
                        .as_ref()
                        .ok()
                        .map(|value| begin + self.limits.of(is_known(value)));
                    landing.land(&answer, keep);
                    if let (Ok(value), Some(slip)) = (&answer, slip) {
                        slip.put(value, is_known);
                    }
                    return answer;
                }
            };
            // An error is that whoever asked has gone away: somebody else must.
            if let Ok(landed) = awaited.wait_for(Option::is_some).await
                && let Some(answer) = &*landed
            {
                return answer.clone();
            }
        }
    }

    pub(super) fn flush(&self) {
        let mut flights = self.flights();
        flights.generation += 1;
        flights.by_key.clear();
        if let Some(answers) = &self.answers {
            answers.clear();
        }
    }

    pub(super) fn counters(&self) -> TableCounters {
        TableCounters {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    /// What the database has.
    async fn found(&self, key: &K, is_known: impl Fn(&V) -> bool) -> Found<'_, V> {
        match &self.shelf {
            Some(shelf) => shelf.find(key, is_known).await,
            None => Found::Nothing(None),
        }
    }

    fn kept(&self, key: &K, now: Instant) -> Option<V> {
        let kept = self.answers.as_ref()?.get(key)?;
        (now < kept.until).then_some(kept.value)
    }

    fn join(&self, key: &K) -> Role<'_, K, V> {
        let mut flights = self.flights();
        if let Some(flight) = flights.by_key.get(key) {
            return Role::Waits(flight.answer.clone());
        }
        let generation = flights.generation;
        let (sender, answer) = watch::channel(None);
        let flight = Flight { generation, answer };
        flights.by_key.insert(key.clone(), flight);
        Role::Asks(Landing {
            table: self,
            key: key.clone(),
            generation,
            sender,
        })
    }

    fn flights(&self) -> MutexGuard<'_, Flights<K, V>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Role<'a, K: Question, V: Answer> {
    Asks(Landing<'a, K, V>),
    Waits(watch::Receiver<Option<Outcome<V>>>),
}

/// Held by whoever asks. Dropped without an answer, it leaves the question to another.
struct Landing<'a, K: Question, V: Answer> {
    table: &'a Table<K, V>,
    key: K,
    generation: u64,
    sender: watch::Sender<Option<Outcome<V>>>,
}

impl<K: Question, V: Answer> Landing<'_, K, V> {
    fn land(self, answer: &Outcome<V>, keep: Option<Instant>) {
        {
            let flights = self.table.flights();
            // Under the lock that a flush takes, so that nothing older outlives it.
            if flights.generation == self.generation
                && let (Ok(value), Some(until), Some(answers)) = (answer, keep, &self.table.answers)
            {
                let value = value.clone();
                answers.insert(self.key.clone(), Kept { value, until });
            }
        }
        self.sender.send_replace(Some(answer.clone()));
    }
}

impl<K: Question, V: Answer> Drop for Landing<'_, K, V> {
    fn drop(&mut self) {
        let mut flights = self.table.flights();
        // After a flush the flight of this key, if any, is another one.
        let flight = flights.by_key.get(&self.key);
        if flight.is_some_and(|flight| flight.generation == self.generation) {
            flights.by_key.remove(&self.key);
        }
    }
}
