//! The helpers of a server: a bounded number, each for one handshake at a time. Between the two
//! halves of a handshake its helper is reserved, but only for so long that clients which never
//! answer do not keep others waiting.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openrms_directory::AccountName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::helper::{Helper, HelperError, Launcher, Refusal};
use super::message::Token;
use crate::state::Gauge;

/// The helpers.
pub(super) struct Pool {
    launcher: Launcher,
    /// A permit for each helper that is at work or reserved.
    slots: Arc<Semaphore>,
    waiting: Gauge,
    shelf: Mutex<Shelf>,
}

/// A handshake whose client has a challenge to answer. Its helper is free again when this is
/// dropped.
pub(super) struct Handshake {
    pool: Arc<Pool>,
    number: u64,
}

/// Why a handshake does not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// All helpers are taken.
    #[error("all helpers are at work")]
    Busy,
    /// The client took so long that its helper was given to another.
    #[error("the handshake took too long")]
    TooLate,
    /// The client's message or answer is wrong.
    #[error("refused with {:?}", .0.0)]
    Refused(Refusal),
    /// The helper failed.
    #[error(transparent)]
    Helper(#[from] HelperError),
}

/// The helpers that are not at work.
#[derive(Default)]
struct Shelf {
    idle: Vec<Helper>,
    /// The oldest handshake first.
    half_done: VecDeque<HalfDone>,
    handshakes: u64,
}

struct HalfDone {
    number: u64,
    since: Instant,
    held: Held,
}

/// A helper in use. Not given back, it is killed and makes room for another.
struct Held {
    helper: Helper,
    slot: OwnedSemaphorePermit,
}

impl Pool {
    /// Starts the first helper, to learn now whether it can be started.
    pub(super) fn start(launcher: Launcher, processes: u16) -> Result<Self, HelperError> {
        let first = launcher.start()?;
        Ok(Self {
            launcher,
            slots: Arc::new(Semaphore::new(processes.into())),
            waiting: Gauge::new(usize::from(processes) * WAITING_EACH),
            shelf: Mutex::new(Shelf {
                idle: vec![first],
                ..Shelf::default()
            }),
        })
    }

    /// Begins a handshake: the challenge for the client, and what its answer is checked with.
    pub(super) async fn begin(
        self: &Arc<Self>,
        begin: &Token,
    ) -> Result<(Token, Handshake), HandshakeError> {
        let Held { helper, slot } = self.reserve().await?;
        let (helper, answer) = helper.challenge(begin).await?;
        let held = Held { helper, slot };
        match answer {
            Ok(challenge) => Ok((challenge, self.keep(held))),
            Err(refusal) => {
                self.put_back(held);
                Err(HandshakeError::Refused(refusal))
            }
        }
    }

    /// Takes a helper: one that is free, a new one, or that of a handshake nobody goes on with.
    async fn reserve(&self) -> Result<Held, HandshakeError> {
        let _waiting = self.waiting.begin().ok_or(HandshakeError::Busy)?;
        let end = Instant::now() + PATIENCE;
        loop {
            if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
                return self.hold(slot);
            }
            let now = Instant::now();
            let next = match self.shelf().stale(now) {
                Ok(held) => return Ok(held),
                Err(next) => next,
            };
            if now >= end {
                return Err(HandshakeError::Busy);
            }
            let free = Arc::clone(&self.slots).acquire_owned();
            // Never closed, so there is nothing to fail.
            if let Ok(Ok(slot)) = tokio::time::timeout_at(next.min(end).into(), free).await {
                return self.hold(slot);
            }
        }
    }

    fn hold(&self, slot: OwnedSemaphorePermit) -> Result<Held, HandshakeError> {
        // One that died since is forgotten.
        let idle = std::iter::from_fn(|| self.shelf().idle.pop()).find_map(|mut helper| {
            let alive = helper.is_alive();
            alive.then_some(helper)
        });
        let helper = idle.map_or_else(|| self.launcher.start(), Ok)?;
        Ok(Held { helper, slot })
    }

    fn keep(self: &Arc<Self>, held: Held) -> Handshake {
        let mut shelf = self.shelf();
        shelf.handshakes += 1;
        let number = shelf.handshakes;
        shelf.half_done.push_back(HalfDone {
            number,
            since: Instant::now(),
            held,
        });
        Handshake {
            pool: Arc::clone(self),
            number,
        }
    }

    fn put_back(&self, Held { helper, slot }: Held) {
        self.shelf().idle.push(helper);
        // Not before: whoever gets the slot finds the helper.
        drop(slot);
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handshake {
    /// Has the client's answer checked: whose it is.
    pub(super) async fn finish(self, answer: &Token) -> Result<AccountName, HandshakeError> {
        let reserved = self.pool.shelf().take(self.number);
        let Held { helper, slot } = reserved.ok_or(HandshakeError::TooLate)?;
        let (helper, answer) = helper.check(answer).await?;
        self.pool.put_back(Held { helper, slot });
        answer.map_err(HandshakeError::Refused)
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        let abandoned = self.pool.shelf().take(self.number);
        if let Some(held) = abandoned {
            self.pool.put_back(held);
        }
    }
}

impl Shelf {
    /// The helper of a handshake, unless another has it.
    fn take(&mut self, number: u64) -> Option<Held> {
        let at = self.half_done.iter().position(|h| h.number == number)?;
        Some(self.half_done.remove(at)?.held)
    }

    /// The helper of the oldest handshake, when its client had time enough to answer; else when to
    /// look again.
    fn stale(&mut self, now: Instant) -> Result<Held, Instant> {
        let stale = |handshake: &mut HalfDone| now >= handshake.since + TIME_TO_ANSWER;
        match self.half_done.pop_front_if(stale) {
            Some(handshake) => Ok(handshake.held),
            None => Err(self.half_done.front().map_or(now, |oldest| oldest.since) + TIME_TO_ANSWER),
        }
    }
}

/// A client answers a challenge without asking anybody: a round trip, over however slow a line.
const TIME_TO_ANSWER: Duration = Duration::from_secs(1);
/// How long somebody waits for a helper. Longer than it takes for stale handshakes to give way.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many may wait, for each helper.
const WAITING_EACH: usize = 16;

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;

    use super::*;
    use crate::sign_in::ntlm::message::Message;

    /// Helpers that make challenges and check nothing.
    fn pool(processes: u16) -> Arc<Pool> {
        let script = "while read -r line; do echo TT TlRMTVNTUAACAAAA; done";
        let launcher = Launcher {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            time_limit: Duration::from_mins(1),
            runtime: Handle::current(),
        };
        Arc::new(Pool::start(launcher, processes).unwrap())
    }

    async fn begun(pool: &Arc<Pool>) -> Handshake {
        let Some(Message::Begin(begin)) = Message::read("TlRMTVNTUAABAAAA") else {
            panic!("not a message");
        };
        pool.begin(&begin).await.unwrap().1
    }

    #[tokio::test]
    async fn a_handshake_holds_its_helper_until_it_is_dropped() {
        let pool = pool(2);
        let (one, other) = (begun(&pool).await, begun(&pool).await);
        assert_eq!(pool.slots.available_permits(), 0);
        drop(one);
        assert_eq!(pool.slots.available_permits(), 1);
        assert_eq!(pool.shelf().idle.len(), 1);
        drop(other);
        assert_eq!(pool.slots.available_permits(), 2);
    }

    #[tokio::test]
    async fn a_client_has_its_time_to_answer_before_it_gives_way() {
        let pool = pool(1);
        let _handshake = begun(&pool).await;
        let now = Instant::now();
        let next = pool.shelf().stale(now).err().unwrap();
        assert!(next > now && next <= now + TIME_TO_ANSWER);
        assert!(pool.shelf().stale(next).is_ok());
    }

    #[tokio::test]
    async fn no_more_wait_than_there_is_room_for() {
        let pool = pool(1);
        let _at_work = pool.reserve().await.ok().unwrap();
        let waiting: Vec<_> = (0..WAITING_EACH)
            .map(|_| {
                let pool = Arc::clone(&pool);
                tokio::spawn(async move { pool.reserve().await.is_ok() })
            })
            .collect();
        while pool.waiting.count() < WAITING_EACH {
            tokio::task::yield_now().await;
        }
        tokio::select! {
            biased;
            refused = pool.reserve() => assert!(matches!(refused, Err(HandshakeError::Busy))),
            () = std::future::ready(()) => panic!("one more waits"),
        }
        for one in waiting {
            one.abort();
        }
    }
}
