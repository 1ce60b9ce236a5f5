//! Operations with the private keys of the server, counted and timed wherever the keys live.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use openrms_crypto::provider::{KeyHandle, KeyProvider, ProviderError};
use openrms_crypto::rsa::{KeyError, Wrapping};
use openrms_crypto::{Digest, Mode, PrivateKey, PublicKey, Secret, SoftwareKey};

use super::{Histogram, Timed};
use crate::clock;

/// Operations with private keys since the start.
#[derive(Debug, Default)]
pub(crate) struct KeyCounters {
    pub(super) sign: KeyCounter,
    pub(super) open: KeyCounter,
    pub(super) load: KeyCounter,
    /// Whether the last signature failed. Opening fails with content that others broke.
    cannot_sign: AtomicBool,
}

/// One kind of operation.
#[derive(Debug, Default)]
pub(super) struct KeyCounter {
    /// All of them.
    pub(super) requests: Histogram,
    /// Those that failed, which `requests` has as well.
    pub(super) failures: Timed,
}

/// A key provider whose keys are counted.
#[derive(Debug)]
pub(crate) struct CountedProvider<'p> {
    inner: &'p dyn KeyProvider,
    counters: Arc<KeyCounters>,
}

struct CountedKey {
    inner: Arc<dyn PrivateKey>,
    counters: Arc<KeyCounters>,
}

impl<'p> CountedProvider<'p> {
    /// Counts what is done with the keys of `inner`.
    pub(crate) fn new(inner: &'p dyn KeyProvider, counters: &Arc<KeyCounters>) -> Self {
        Self {
            inner,
            counters: Arc::clone(counters),
        }
    }

    fn counted(&self, key: Arc<dyn PrivateKey>) -> Arc<dyn PrivateKey> {
        Arc::new(CountedKey {
            inner: key,
            counters: Arc::clone(&self.counters),
        })
    }
}

impl KeyProvider for CountedProvider<'_> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn generate(&self, mode: Mode) -> Result<(KeyHandle, Arc<dyn PrivateKey>), ProviderError> {
        let (handle, key) = self.inner.generate(mode)?;
        Ok((handle, self.counted(key)))
    }

    fn load(&self, handle: &KeyHandle) -> Result<Arc<dyn PrivateKey>, ProviderError> {
        let key = self.counters.load.time(|| self.inner.load(handle))?;
        Ok(self.counted(key))
    }

    fn import(&self, key: SoftwareKey) -> Result<(KeyHandle, Arc<dyn PrivateKey>), ProviderError> {
        let (handle, key) = self.inner.import(key)?;
        Ok((handle, self.counted(key)))
    }

    fn delete(&self, handle: &KeyHandle) -> Result<(), ProviderError> {
        self.inner.delete(handle)
    }
}

impl PrivateKey for CountedKey {
    fn public(&self) -> &PublicKey {
        self.inner.public()
    }

    fn sign(&self, digest: &Digest) -> Result<Vec<u8>, KeyError> {
        let signature = self.counters.sign.time(|| self.inner.sign(digest));
        let cannot = &self.counters.cannot_sign;
        cannot.store(signature.is_err(), Relaxed);
        signature
    }

    fn open_block(&self, wrapping: Wrapping, block: &[u8]) -> Result<Secret, KeyError> {
        let open = || self.inner.open_block(wrapping, block);
        self.counters.open.time(open)
    }
}

impl fmt::Debug for CountedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl KeyCounters {
    /// Whether the last signature failed.
    pub(crate) fn cannot_sign(&self) -> bool {
        self.cannot_sign.load(Relaxed)
    }
}

impl KeyCounter {
    fn time<T, E>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let begun = Instant::now();
        let outcome = work();
        let micros = clock::micros_since(begun);
        self.requests.record(micros);
        if outcome.is_err() {
            self.failures.record(micros);
        }
        outcome
    }
}
