//! The logging listener: a thread that takes events from the spool to the logging database in
//! batches, and old ones out of it. A database that is down costs nothing but space in the spool.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use openrms_store::StoreError;
use openrms_store::logging::{Day, LoggingDatabase, retire};
use tokio::sync::Notify;
use tokio::time::{sleep_until, timeout};

use super::drain::{Drain, DrainError};
use super::journal::Journal;
use super::open_database;
use super::settings::LoggingConfig;
use crate::metrics::Shared;
use crate::{clock, events};

/// The thread, which ends when this is stopped.
#[derive(Debug)]
pub(crate) struct Listener {
    end: Arc<End>,
    thread: JoinHandle<()>,
}

/// When it is to be over, once that is known.
#[derive(Debug, Default)]
struct End {
    deadline: OnceLock<Instant>,
    told: Notify,
}

impl End {
    /// Waits until it is known.
    async fn near(&self) -> Instant {
        loop {
            if let Some(deadline) = self.deadline.get() {
                return *deadline;
            }
            self.told.notified().await;
        }
    }
}

impl Listener {
    pub(super) fn start(
        config: LoggingConfig,
        drain: Drain,
        journal: Arc<Journal>,
        shared: Arc<Shared>,
    ) -> std::io::Result<Self> {
        let end = Arc::new(End::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut work = Work {
            config,
            drain,
            journal,
            end: end.clone(),
            shared,
            database: None,
            trouble: Trouble::default(),
            retired: None,
        };
        let thread = std::thread::Builder::new()
            .name("rmsd-log".into())
            .spawn(move || runtime.block_on(work.run()))?;
        Ok(Self { end, thread })
    }

    /// Takes what waits to the database, for some seconds at most, and ends. The rest is taken
    /// after the next start.
    pub(crate) fn stop(self) {
        self.end
            .deadline
            .get_or_init(|| Instant::now() + LAST_DRAIN);
        self.end.told.notify_one();
        if self.thread.join().is_err() {
            tracing::error!("the logging listener had panicked");
        }
    }
}

struct Work {
    config: LoggingConfig,
    drain: Drain,
    journal: Arc<Journal>,
    end: Arc<End>,
    shared: Arc<Shared>,
    database: Option<Box<dyn LoggingDatabase>>,
    trouble: Trouble,
    /// When old days were last looked for.
    retired: Option<Instant>,
}

impl Work {
    async fn run(&mut self) {
        let end = self.end.clone();
        loop {
            let is_near = end.deadline.get().is_some();
            let cut_off = async { sleep_until(end.near().await.into()).await };
            // What is cut off is taken after the next start.
            let stepped = tokio::select! {
                stepped = self.step() => stepped,
                () = cut_off => break,
            };
            let pause = match stepped {
                Ok(true) => POLL,
                Ok(false) => Duration::ZERO,
                Err(error) => {
                    self.note_failure();
                    // Made anew the next time.
                    self.database = None;
                    self.trouble.tell(&error)
                }
            };
            if !pause.is_zero() {
                if is_near {
                    break;
                }
                // Only to be woken earlier.
                let _ = timeout(pause, end.near()).await;
            }
        }
        if let Some(database) = self.database.take() {
            // A server that does not answer must not keep this one from ending.
            let _ = timeout(LAST_DRAIN, database.close()).await;
        }
    }

    /// Takes one batch; whether nothing waits any more.
    async fn step(&mut self) -> Result<bool, DrainError> {
        let database = match &mut self.database {
            Some(database) => database,
            none => {
                let opened = open_database(&self.config.database).await;
                none.insert(opened?)
            }
        };
        let drained = self.drain.step(&**database).await?;
        self.trouble.is_over();
        let logging = &self.shared.logging;
        logging.stored.fetch_add(drained.events, Relaxed);
        logging.dead_lettered.fetch_add(drained.set_aside, Relaxed);
        logging.lost.fetch_add(drained.lost, Relaxed);
        let has_some = drained.events + drained.set_aside > 0;
        logging.batches.fetch_add(has_some.into(), Relaxed);
        self.note_waiting(drained.is_empty);
        if drained.is_empty && self.journal.is_full() {
            // The file that grows holds space that nothing else gives back.
            self.drain.turn_over()?;
            self.journal.try_again();
        }
        if drained.is_empty {
            self.retire().await.map_err(DrainError::Database)?;
        }
        Ok(drained.is_empty)
    }

    fn note_failure(&self) {
        self.shared.logging.failed_batches.fetch_add(1, Relaxed);
        self.note_waiting(false);
    }

    /// Measures what waits, as far as anything does.
    fn note_waiting(&self, is_empty: bool) {
        let logging = &self.shared.logging;
        logging
            .spool_bytes
            .store(self.drain.waiting_bytes(), Relaxed);
        let oldest = (!is_empty).then(|| self.drain.oldest()).flatten();
        let waited = oldest.map_or(0, |time| clock::millis() - time);
        let seconds = u64::try_from(waited / 1000).unwrap_or(0);
        logging.oldest_seconds.store(seconds, Relaxed);
    }

    /// Drops old days, once in a while.
    async fn retire(&mut self) -> Result<(), StoreError> {
        let (Some(database), Some(today)) = (&self.database, Day::of_millis(clock::millis()))
        else {
            return Ok(());
        };
        if self.retired.is_some_and(|last| last.elapsed() < RETIRE) {
            return Ok(());
        }
        // Also when it fails: what is not allowed now will not be in a moment.
        self.retired = Some(Instant::now());
        let oldest = today.minus(self.config.keep_days.saturating_sub(1));
        let retired = retire(&**database, oldest).await?;
        if !retired.days.is_empty() {
            let (days, certificates) = (retired.days.len(), retired.certificates);
            tracing::info!(%oldest, days, certificates, "old events were dropped");
        }
        Ok(())
    }
}

/// Tells of trouble when it begins, now and then while it lasts, and when it is over.
#[derive(Debug, Default)]
struct Trouble {
    attempts: u32,
    told: Option<Instant>,
}

impl Trouble {
    /// How long to wait.
    fn tell(&mut self, error: &DrainError) -> Duration {
        if self.told.is_none_or(|last| last.elapsed() >= TELL) {
            self.told = Some(Instant::now());
            events::Event::LoggingFailed
                .emit(format_args!("{error}; events wait in the spool meanwhile"));
        }
        let wait = FIRST_WAIT * 2_u32.saturating_pow(self.attempts.min(10));
        self.attempts = self.attempts.saturating_add(1);
        wait.min(LONGEST_WAIT)
    }

    fn is_over(&mut self) {
        if self.told.take().is_some() {
            tracing::info!("the logging database takes events again");
        }
        self.attempts = 0;
    }
}

/// Events of so long a time share a transaction when there are few.
const POLL: Duration = Duration::from_millis(250);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const LAST_DRAIN: Duration = Duration::from_secs(5);
const TELL: Duration = Duration::from_mins(1);
const RETIRE: Duration = Duration::from_hours(1);
