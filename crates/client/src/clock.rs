//! Time: handed in, and remembered, so that a clock set back is noticed.

use openrms_xrml::Time;

use crate::storage::{Home, Lock, StorageError};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now, in UTC.
    fn now(&self) -> Time;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Time::from_unix(since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX)))
    }
}

impl<F: Fn() -> Time + Send + Sync> Clock for F {
    fn now(&self) -> Time {
        self()
    }
}

/// The clock against the newest time this store has seen.
///
/// The newest time is a plain file of the user's own: it notices a clock that was set back, it
/// does not stop somebody who edits the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// What the clock says.
    pub now: Time,
    /// The newest time seen before, when it is later by more than [`TOLERANCE`] seconds.
    pub set_back_from: Option<Time>,
}

impl Moment {
    /// The time that limits are judged by: never earlier than a time that was already seen.
    pub fn judged(&self) -> Time {
        self.set_back_from
            .map_or(self.now, |newest| newest.max(self.now))
    }

    /// Compares the clock with what is stored, and stores what is newer.
    pub(crate) fn observe(home: &Home, clock: &dyn Clock) -> Result<Self, StorageError> {
        let now = clock.now();
        let newest = read(home)?;
        match newest {
            Some(newest) if newest > now.plus(TOLERANCE) => Ok(Self {
                now,
                set_back_from: Some(newest),
            }),
            Some(newest) if now <= newest.plus(STEP) => Ok(Self {
                now,
                set_back_from: None,
            }),
            _ => {
                let lock = home.lock()?;
                lock.write(FILE, now.unix().to_string().as_bytes())?;
                Ok(Self {
                    now,
                    set_back_from: None,
                })
            }
        }
    }

    /// What the store and the clock say, without writing.
    pub(crate) fn look(home: &Home, clock: &dyn Clock) -> Result<Self, StorageError> {
        let now = clock.now();
        let set_back_from = read(home)?.filter(|newest| *newest > now.plus(TOLERANCE));
        Ok(Self { now, set_back_from })
    }

    /// Forgets the newest time. Only where every license it guards goes as well.
    pub(crate) fn forget(lock: &Lock<'_>) -> Result<(), StorageError> {
        lock.remove(FILE)
    }
}

fn read(home: &Home) -> Result<Option<Time>, StorageError> {
    let text = home.read_text(FILE)?;
    Ok(text
        .and_then(|text| text.trim().parse().ok())
        .map(Time::from_unix))
}

/// Seconds a clock may go back without notice: what time services correct.
pub const TOLERANCE: i64 = 300;
/// Seconds between two stored times, so that not every command writes.
const STEP: i64 = 60;
const FILE: &str = "newest-time";
