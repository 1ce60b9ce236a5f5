//! The servers of a directory: one connection to each, which one to ask, and whom to ask next.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::connection::{Connection, Connector, Failure, Search};
use super::entry::Entry;
use super::health::{Health, Standing};
use super::roster::{Member, Roster};
use super::settings::{LdapSettings, ServerUrl};
use crate::{DirectoryError, ForestName};

/// The servers of one directory. To be used on one runtime only, since connections live there.
pub(super) struct Pool {
    roster: Roster,
    settings: Arc<LdapSettings>,
    forest: ForestName,
    connector: Arc<Connector>,
    turn: AtomicUsize,
    searches: Searches,
}

/// What became of the searches since the start.
#[derive(Default)]
struct Searches {
    found: AtomicU64,
    empty: AtomicU64,
    failed: AtomicU64,
}

/// What a directory was asked and how its servers are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LdapCounters {
    /// Searches that found something.
    pub found: u64,
    /// Searches that found nothing.
    pub empty: u64,
    /// Searches that no server answered, or only with an error.
    pub failed: u64,
    /// Servers that do well now; to each there is at most one connection.
    pub up: usize,
    /// Servers that answer slowly, or failed lately.
    pub slow: usize,
    /// Servers that failed too often and are asked only when too few others are left.
    pub dead: usize,
}

/// A server, and what is known of it.
pub(super) struct Server {
    url: ServerUrl,
    in_flight: AtomicUsize,
    health: Mutex<Health>,
    /// Locked while connecting, so that all who need a connection wait for the same one.
    slot: tokio::sync::Mutex<Slot>,
    /// How often connecting has ended.
    attempts: AtomicU64,
}

#[derive(Default)]
struct Slot {
    connection: Option<Arc<Connection>>,
    /// What the last attempt to connect ended with.
    failure: Option<Failure>,
}

impl Pool {
    pub(super) fn new(settings: LdapSettings, forest: ForestName, connector: Connector) -> Self {
        let settings = Arc::new(settings);
        Self {
            roster: Roster::new(Arc::clone(&settings)),
            settings,
            forest,
            connector: Arc::new(connector),
            turn: AtomicUsize::new(0),
            searches: Searches::default(),
        }
    }

    pub(super) fn settings(&self) -> &LdapSettings {
        &self.settings
    }

    pub(super) fn forest(&self) -> &ForestName {
        &self.forest
    }

    /// Asks one server after another until one answers. When all failed, also those that are
    /// found only then.
    pub(super) async fn search(&self, search: &Search) -> Result<Vec<Entry>, DirectoryError> {
        let answer = self.ask_one_after_another(search).await;
        let count = match &answer {
            Ok(entries) if entries.is_empty() => &self.searches.empty,
            Ok(_) => &self.searches.found,
            Err(_) => &self.searches.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        answer
    }

    pub(super) fn counters(&self) -> LdapCounters {
        let mut counters = LdapCounters {
            found: self.searches.found.load(Ordering::Relaxed),
            empty: self.searches.empty.load(Ordering::Relaxed),
            failed: self.searches.failed.load(Ordering::Relaxed),
            ..LdapCounters::default()
        };
        let now = Instant::now();
        for member in self.roster.members().iter() {
            match member.server.health().standing(now) {
                Standing::Good => counters.up += 1,
                Standing::Slow => counters.slow += 1,
                Standing::Down | Standing::Avoid => counters.dead += 1,
            }
        }
        counters
    }

    async fn ask_one_after_another(&self, search: &Search) -> Result<Vec<Entry>, DirectoryError> {
        let mut asked: Vec<Arc<Server>> = Vec::new();
        let mut last = None;
        loop {
            let next = self.next(&asked).await;
            if next.is_empty() {
                break;
            }
            for server in next {
                match server.search(self, search).await {
                    Ok(entries) => return Ok(entries),
                    Err(Failure::Answer(error)) => return Err(error),
                    Err(failure) => {
                        tracing::warn!(server = %server.url, ?failure, "directory server failed");
                        last = Some(failure);
                    }
                }
                asked.push(server);
            }
        }
        // With nobody to ask, why the servers are not asked; with no servers, why there are none.
        let members = self.roster.members();
        let remembered = || {
            let failure = |member: &Member| member.server.health().last_failure().cloned();
            members.iter().find_map(failure)
        };
        let found_out = || self.roster.failure().map(Failure::Answer);
        Err(self.error(last.or_else(remembered).or_else(found_out)))
    }

    /// Whom to ask first, second and so on, of those who were not asked yet. When there is nobody,
    /// DNS is asked for others; when there are too few, too, but nobody waits for that.
    async fn next(&self, asked: &[Arc<Server>]) -> Vec<Arc<Server>> {
        let mut order = self.in_order(Instant::now(), asked);
        if order.servers.is_empty() {
            if self.roster.look().await {
                order = self.in_order(Instant::now(), asked);
            }
        } else if order.alive < self.settings.threshold_alive {
            self.roster.look_meanwhile();
        }
        order.servers
    }

    fn in_order(&self, now: Instant, asked: &[Arc<Server>]) -> Order {
        let members = self.roster.members();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = members.len();
        let mut alive = Vec::with_capacity(count);
        let mut down = Vec::new();
        for (position, Member { server, is_near }) in members.iter().enumerate() {
            let standing = server.health().standing(now);
            let place = (position + count - turn % count) % count;
            let cost = cost(
                &self.settings,
                place,
                server.in_flight.load(Ordering::Relaxed),
                standing == Standing::Slow,
            );
            // Another site is asked when the near one does not answer.
            let rank = (!is_near, cost);
            match standing {
                Standing::Good | Standing::Slow => alive.push((rank, server)),
                Standing::Down => down.push((rank, server)),
                Standing::Avoid => {}
            }
        }
        alive.sort_by_key(|(rank, _)| *rank);
        let count_alive = alive.len();
        if count_alive < self.settings.threshold_alive.max(1) {
            down.sort_by_key(|(rank, _)| *rank);
            alive.append(&mut down);
        }
        let is_new = |server: &&Arc<Server>| !asked.iter().any(|known| Arc::ptr_eq(known, server));
        let servers = alive.into_iter().map(|(_, server)| server).filter(is_new);
        Order {
            servers: servers.cloned().collect(),
            alive: count_alive,
        }
    }

    /// The error when asking itself broke off: the client library gave up on what came, or the
    /// runtime is ending.
    pub(super) fn broken(&self) -> DirectoryError {
        DirectoryError::Unreachable {
            directory: self.forest.to_string(),
            reason: "the question broke off".to_owned(),
        }
    }

    fn error(&self, failure: Option<Failure>) -> DirectoryError {
        let directory = self.forest.to_string();
        let reason = match failure {
            Some(Failure::Answer(error)) => return error,
            Some(Failure::Timeout) => return DirectoryError::Timeout { directory },
            Some(Failure::Refused) => return DirectoryError::Refused { directory },
            Some(Failure::SignIn(reason)) => return DirectoryError::SignIn { directory, reason },
            Some(Failure::Connect(reason) | Failure::Lost(reason) | Failure::Unwilling(reason)) => {
                reason
            }
            None => "no server is usable".to_owned(),
        };
        DirectoryError::Unreachable { directory, reason }
    }
}

/// Whom to ask, and how many of all servers are alive.
struct Order {
    servers: Vec<Arc<Server>>,
    alive: usize,
}

impl Server {
    pub(super) fn new(url: ServerUrl) -> Self {
        Self {
            url,
            in_flight: AtomicUsize::new(0),
            health: Mutex::default(),
            slot: tokio::sync::Mutex::default(),
            attempts: AtomicU64::new(0),
        }
    }

    pub(super) fn url(&self) -> &ServerUrl {
        &self.url
    }

    async fn search(&self, pool: &Pool, search: &Search) -> Result<Vec<Entry>, Failure> {
        let _in_flight = InFlight::new(&self.in_flight);
        let limit = Duration::from_secs(pool.settings.ldap_time_out);
        let mut retried = false;
        loop {
            let (connection, is_new) = self.connection(pool).await?;
            let begin = Instant::now();
            let page_size = pool.settings.page_size;
            let outcome = connection.search(search, page_size, limit).await;
            let now = Instant::now();
            match outcome {
                answer @ (Ok(_) | Err(Failure::Answer(_))) => {
                    self.health().answered(&pool.settings, now - begin, now);
                    return answer;
                }
                Err(failure) => {
                    let was_current = self.discard(&connection).await;
                    // Servers close connections that were idle, and forget them when restarted.
                    let excused = !is_new && !retried && matches!(failure, Failure::Lost(_));
                    if excused {
                        retried = true;
                        continue;
                    }
                    // Once for all who were waiting on the same connection.
                    if was_current {
                        self.health().failed(&pool.settings, failure.clone(), now);
                    }
                    return Err(failure);
                }
            }
        }
    }

    /// The open connection, or a new one; and whether it is new.
    async fn connection(&self, pool: &Pool) -> Result<(Arc<Connection>, bool), Failure> {
        let attempts = self.attempts.load(Ordering::Acquire);
        let mut slot = self.slot.lock().await;
        if let Some(connection) = slot.connection.as_ref().filter(|open| open.is_open()) {
            return Ok((Arc::clone(connection), false));
        }
        // Somebody else tried while this one was waiting.
        if self.attempts.load(Ordering::Acquire) != attempts
            && let Some(failure) = &slot.failure
        {
            return Err(failure.clone());
        }
        slot.connection = None;
        let outcome = pool.connector.connect(&self.url).await;
        self.attempts.fetch_add(1, Ordering::Release);
        match outcome {
            Ok(connection) => {
                tracing::debug!(server = %self.url, "connected to the directory");
                let connection = Arc::new(connection);
                slot.connection = Some(Arc::clone(&connection));
                slot.failure = None;
                Ok((connection, true))
            }
            Err(failure) => {
                self.health()
                    .failed(&pool.settings, failure.clone(), Instant::now());
                slot.failure = Some(failure.clone());
                Err(failure)
            }
        }
    }

    /// Whether it was still the connection in use.
    async fn discard(&self, connection: &Arc<Connection>) -> bool {
        let mut slot = self.slot.lock().await;
        let current = slot.connection.as_ref();
        let was_current = current.is_some_and(|current| Arc::ptr_eq(current, connection));
        if was_current {
            slot.connection = None;
        }
        was_current
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lower, the sooner asked.
fn cost(settings: &LdapSettings, place: usize, in_flight: usize, slow: bool) -> u64 {
    let weighted = |weight: u32, amount: usize| {
        u64::from(weight).saturating_mul(u64::try_from(amount).unwrap_or(u64::MAX))
    };
    weighted(settings.wt_round_robin, place)
        .saturating_add(weighted(settings.wt_thread_count, in_flight))
        .saturating_add(weighted(settings.wt_slow, usize::from(slow)))
}

/// Counts a request for as long as it lives, also when nobody waits for it any more.
struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_servers_are_asked_later_and_slow_ones_last() {
        let settings = LdapSettings::default();
        let cost = |place, in_flight, slow| cost(&settings, place, in_flight, slow);
        assert!(cost(0, 0, false) < cost(1, 0, false));
        assert!(cost(14, 0, false) < cost(0, 1, false));
        assert!(cost(14, 9, false) < cost(0, 0, true));
        assert!(cost(0, usize::MAX, true) >= cost(0, 0, true));
    }
}
