//! P: the best scalar rate of RSA private-key operations of the library that the server signs
//! with, measured between the rounds.

use std::time::Duration;

use openrms_crypto::{Digest, Mode, PrivateKey, SoftwareKey};

use crate::server::Round;
use crate::{Failure, clock};

/// P, over and over.
pub(crate) struct Ceiling {
    key: SoftwareKey,
    digest: Digest,
    last: f64,
}

impl Ceiling {
    /// Measures it for the first time.
    pub(crate) fn new(mode: Mode) -> Result<Self, Failure> {
        let mut ceiling = Self {
            key: SoftwareKey::generate(mode)?,
            digest: Digest::of(mode.hash(), b"benchmark"),
            last: 0.0,
        };
        ceiling.last = ceiling.measure();
        Ok(ceiling)
    }

    /// A round that has just ended, and P beside it: the machine is shared, so what counts is P as
    /// it was just before and just after.
    pub(crate) fn beside(&mut self, round: Round) -> (Round, f64) {
        let now = self.measure();
        let before = std::mem::replace(&mut self.last, now);
        (round, f64::midpoint(before, now))
    }

    fn measure(&self) -> f64 {
        1.0 / clock::each(Duration::from_millis(250), || {
            std::hint::black_box(self.key.sign(&self.digest).is_ok());
        })
    }
}
