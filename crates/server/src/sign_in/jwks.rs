//! The keys of an issuer of tokens: found by discovery (OIDC Discovery 1.0, section 4),
//! kept, fetched again when they are old or a token names one that is not among them
//! (OIDC Core 1.0, 10.1.1).

pub(crate) mod fetch;
mod key_set;
mod url;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use openrms_xrml::Time;
use serde::Deserialize;
use tokio::sync::{Mutex, Semaphore};

pub(crate) use fetch::{Fetch, FetchError};
pub(crate) use key_set::{KeySet, KeySetError, NoSuchKey, PublicKey, SignatureAlgorithm};
pub(crate) use url::{FetchUrl, IssuerUrl};

/// The keys of one issuer. Whatever callers ask for, the issuer is asked by one at a time, and
/// seldom: tokens that name keys nobody has cannot make this server pester it.
pub(crate) struct IssuerKeys {
    source: KeySource,
    http: Arc<dyn Fetch>,
    known: ArcSwapOption<KnownKeys>,
    turn: Arc<Mutex<Turn>>,
    waiting: Semaphore,
    patience: Duration,
}

/// Where the keys of an issuer are, and how long they are good for.
#[derive(Debug, Clone)]
pub(crate) struct KeySource {
    /// Whose keys.
    pub(crate) issuer: IssuerUrl,
    /// Where they are, when the issuer is not to be asked for it.
    pub(crate) jwks_uri: Option<FetchUrl>,
    /// Seconds after which they are fetched again.
    pub(crate) fresh_seconds: u64,
    /// Seconds for which they are used when they cannot be fetched again.
    pub(crate) keep_seconds: u64,
}

/// Keys that were fetched.
#[derive(Debug)]
pub(crate) struct KnownKeys {
    /// The keys.
    pub(crate) keys: KeySet,
    fetched: Time,
}

/// Why the keys of an issuer cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeysError {
    /// The issuer cannot be reached or does not answer as it should.
    #[error("{url}: {error}")]
    Fetch {
        /// What was asked for.
        url: String,
        /// Why it was not had.
        error: FetchError,
    },
    /// The discovery document is not one.
    #[error("{url}: not a discovery document: {reason}")]
    Discovery {
        /// Where it is.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The discovery document is another issuer's.
    #[error("{url}: the document is of another issuer")]
    OtherIssuer {
        /// Where it is.
        url: String,
    },
    /// The discovery document leads to keys without TLS.
    #[error("{url}: jwks_uri is not an https URL")]
    InsecureKeys {
        /// Where it is.
        url: String,
    },
    /// The keys cannot be read.
    #[error("{url}: {error}")]
    KeySet {
        /// Where they are.
        url: String,
        /// What is wrong with them.
        error: KeySetError,
    },
    /// The issuer was asked a moment ago.
    #[error("the issuer was asked for its keys a moment ago")]
    TooSoon,
    /// Too many callers wait for the issuer already.
    #[error("too many callers wait for the issuer's keys")]
    Busy,
    /// The fetch ended without an answer, as when the server stops.
    #[error("fetching the issuer's keys was interrupted")]
    Interrupted,
}

impl IssuerKeys {
    /// Nothing is fetched yet.
    pub(crate) fn new(source: KeySource, http: Arc<dyn Fetch>) -> Self {
        Self {
            source,
            http,
            known: ArcSwapOption::empty(),
            turn: Arc::default(),
            waiting: Semaphore::new(MAX_WAITING),
            patience: PATIENCE,
        }
    }

    /// The keys to use at this time.
    pub(crate) async fn current(self: &Arc<Self>, now: Time) -> Result<Arc<KnownKeys>, KeysError> {
        let seen = self.known.load_full();
        match seen.as_ref().filter(|known| self.is_usable(known, now)) {
            Some(known) if known.age(now) < self.source.fresh_seconds => Ok(Arc::clone(known)),
            // A withdrawn key must not live on for want of a look, but an issuer that does not
            // answer must not hold up its people either: one of them waits for it, and not long.
            Some(known) if self.turn.try_lock().is_err() => Ok(Arc::clone(known)),
            Some(known) => {
                let refetch = self.refetch(Why::Old, seen.as_ref(), now);
                let _ = tokio::time::timeout(self.patience, refetch).await;
                Ok(self.known.load_full().unwrap_or_else(|| Arc::clone(known)))
            }
            None => {
                self.refetch(Why::Old, seen.as_ref(), now).await?;
                let fetched = self.known.load_full();
                fetched
                    .filter(|known| self.is_usable(known, now))
                    .ok_or(KeysError::Interrupted)
            }
        }
    }

    /// The keys after a token named one that is not among those `seen`: newer ones, when the
    /// issuer may be asked again and answers, else the same.
    pub(crate) async fn after_miss(
        self: &Arc<Self>,
        seen: Arc<KnownKeys>,
        now: Time,
    ) -> Arc<KnownKeys> {
        match self.refetch(Why::Missing, Some(&seen), now).await {
            Ok(()) => self.known.load_full().unwrap_or(seen),
            Err(error) => {
                tracing::debug!(issuer = %self.source.issuer, %error, "keys not fetched again");
                seen
            }
        }
    }

    fn is_usable(&self, known: &KnownKeys, now: Time) -> bool {
        known.age(now) < self.source.keep_seconds.max(self.source.fresh_seconds)
    }

    /// Fetches the keys, unless others than those `seen` have arrived meanwhile.
    async fn refetch(
        self: &Arc<Self>,
        why: Why,
        seen: Option<&Arc<KnownKeys>>,
        now: Time,
    ) -> Result<(), KeysError> {
        let _waiting = self.waiting.try_acquire().map_err(|_| KeysError::Busy)?;
        let mut turn = Arc::clone(&self.turn).lock_owned().await;
        let known = self.known.load_full();
        if known.as_ref().map(Arc::as_ptr) != seen.map(Arc::as_ptr) {
            return Ok(());
        }
        turn.take(why, now)?;
        let this = Arc::clone(self);
        // It goes on when this caller hangs up: others wait for the same answer.
        tokio::task::spawn_blocking(move || this.ask(&mut turn, now))
            .await
            .unwrap_or(Err(KeysError::Interrupted))
    }

    /// Blocks for as long as the issuer takes.
    fn ask(&self, turn: &mut Turn, now: Time) -> Result<(), KeysError> {
        let answer = self.locate(turn, now).and_then(|url| self.fetch_keys(&url));
        match answer {
            Ok(keys) => {
                tracing::info!(issuer = %self.source.issuer, keys = keys.len(), "keys fetched");
                turn.failure = None;
                let known = KnownKeys { keys, fetched: now };
                self.known.store(Some(Arc::new(known)));
                Ok(())
            }
            Err(error) => {
                tracing::warn!(issuer = %self.source.issuer, %error, "keys not fetched");
                turn.discovered = None;
                turn.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Where the keys are.
    fn locate(&self, turn: &mut Turn, now: Time) -> Result<FetchUrl, KeysError> {
        if let Some(url) = &self.source.jwks_uri {
            return Ok(url.clone());
        }
        if let Some((url, at)) = &turn.discovered
            && apart(*at, now) < DISCOVERY_SECONDS
        {
            return Ok(url.clone());
        }
        let url = discover(&self.source.issuer, &*self.http)?;
        turn.discovered = Some((url.clone(), now));
        Ok(url)
    }

    fn fetch_keys(&self, url: &FetchUrl) -> Result<KeySet, KeysError> {
        let body = fetch(&*self.http, url, MAX_KEY_SET)?;
        KeySet::parse(&body).map_err(|error| KeysError::KeySet {
            url: url.to_string(),
            error,
        })
    }
}

impl KnownKeys {
    fn age(&self, now: Time) -> u64 {
        apart(self.fetched, now)
    }
}

/// What the issuer says of itself.
fn discover(issuer: &IssuerUrl, http: &dyn Fetch) -> Result<FetchUrl, KeysError> {
    let discovery = issuer.discovery();
    let url = || discovery.to_string();
    let body = fetch(http, discovery, MAX_DISCOVERY)?;
    let document: Discovery =
        serde_json::from_slice(&body).map_err(|error| KeysError::Discovery {
            url: url(),
            reason: error.to_string(),
        })?;
    if document.issuer != issuer.as_str() {
        return Err(KeysError::OtherIssuer { url: url() });
    }
    let keys = FetchUrl::try_from(document.jwks_uri)
        .map_err(|_| KeysError::InsecureKeys { url: url() })?;
    // An issuer elsewhere has no business on this machine.
    if discovery.is_https() && !keys.is_https() {
        return Err(KeysError::InsecureKeys { url: url() });
    }
    Ok(keys)
}

fn fetch(http: &dyn Fetch, url: &FetchUrl, limit: usize) -> Result<Vec<u8>, KeysError> {
    http.get(url, limit).map_err(|error| KeysError::Fetch {
        url: url.to_string(),
        error,
    })
}

/// The two members that count; they may not be given twice.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// Why the issuer is asked.
#[derive(Debug, Clone, Copy)]
enum Why {
    /// There are no keys, or old ones.
    Old,
    /// A token names a key that is not there.
    Missing,
}

/// Held by whoever asks the issuer; remembers when that was.
#[derive(Debug, Default)]
struct Turn {
    refreshed: Option<Time>,
    missed: Option<Time>,
    discovered: Option<(FetchUrl, Time)>,
    failure: Option<KeysError>,
}

impl Turn {
    /// Whether the issuer may be asked now; notes that it is.
    fn take(&mut self, why: Why, now: Time) -> Result<(), KeysError> {
        let (last, pause) = match why {
            Why::Old => (&mut self.refreshed, RETRY_SECONDS),
            Why::Missing => (&mut self.missed, MISS_SECONDS),
        };
        if last.is_some_and(|last| apart(last, now) < pause) {
            return Err(self.failure.clone().unwrap_or(KeysError::TooSoon));
        }
        *last = Some(now);
        Ok(())
    }
}

/// Seconds between two instants. A clock that was set back makes things old, not new.
fn apart(one: Time, other: Time) -> u64 {
    one.unix().abs_diff(other.unix())
}

const MISS_SECONDS: u64 = 60;
const RETRY_SECONDS: u64 = 15;
const DISCOVERY_SECONDS: u64 = 24 * 60 * 60;
const PATIENCE: Duration = Duration::from_secs(2);
const MAX_WAITING: usize = 64;
const MAX_DISCOVERY: usize = 64 << 10;
const MAX_KEY_SET: usize = 256 << 10;
