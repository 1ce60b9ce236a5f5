//! What is measured, named after the performance counters of Windows Rights Management Services.
//! Each serving thread counts in its own memory; whoever asks adds them up. [`families`] is the one
//! table from which everything is written, in the text format of Prometheus.

mod families;
mod histogram;
mod keys;
mod logging;
mod process;
mod render;
mod source;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use openrms_engine::Step;
use openrms_protocol::{Contract, OperationName};

use crate::forests::ForestCounters;

pub(crate) use histogram::{Histogram, Timed};
pub(crate) use keys::{CountedProvider, KeyCounters};
pub(crate) use logging::Logging;
pub(crate) use render::render;
pub(crate) use watch::{Passed, Watch};

/// Counters of one thread, apart from those of others by at least a cache line.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Counters {
    operations: [Counter; OperationName::ALL.len()],
    steps: [Timed; Step::ALL.len()],
    /// Failed before it was known what was asked.
    nonspecific: Timed,
    /// Written down, and how long that held up the answers.
    pub(crate) logging: Timed,
    pub(crate) logging_failures: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) turned_away: AtomicU64,
    pub(crate) failed_sign_ins: AtomicU64,
    pub(crate) super_user: AtomicU64,
}

/// The counters of all threads.
pub(crate) type AllCounters = Box<[Arc<Counters>]>;

/// What all threads count in one place, as it happens seldom or takes long anyway.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) logging: Logging,
    pub(crate) keys: Arc<KeyCounters>,
    pub(crate) forests: Arc<ForestCounters>,
}

/// Requests for one operation.
#[derive(Debug, Default)]
struct Counter {
    /// All of them.
    requests: Histogram,
    /// Those that were answered with a fault, which `requests` has as well.
    failures: Timed,
}

/// A performance object of the original server, as far as requests are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Object {
    Certification,
    Licensing,
    Enrollment,
    GroupExpansion,
    ActivationProxy,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            operations: std::array::from_fn(|_| Counter::default()),
            steps: std::array::from_fn(|_| Timed::default()),
            nonspecific: Timed::default(),
            logging: Timed::default(),
            logging_failures: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            failed_sign_ins: AtomicU64::new(0),
            super_user: AtomicU64::new(0),
        }
    }
}

impl Counters {
    /// Counts one request.
    pub(crate) fn count(&self, operation: Option<OperationName>, failed: bool, micros: u64) {
        let known =
            operation.and_then(|name| OperationName::ALL.iter().position(|other| *other == name));
        let Some(counter) = known.and_then(|index| self.operations.get(index)) else {
            self.nonspecific.record(micros);
            return;
        };
        counter.requests.record(micros);
        if failed {
            counter.failures.record(micros);
        }
    }

    /// Counts one step of a decision.
    fn count_step(&self, step: Step, micros: u64) {
        if let Some(timed) = self.steps.get(step as usize) {
            timed.record(micros);
        }
    }

    /// Counts ULs that were given to super users.
    pub(crate) fn count_super_user(&self, licenses: u64) {
        self.super_user.fetch_add(licenses, Relaxed);
    }
}

impl Object {
    /// The object that counts an operation. Whatever is not about certification, enrollment or
    /// other forests belongs to the licensing pipeline.
    fn of(operation: OperationName) -> Self {
        match operation.contract() {
            Contract::Certification | Contract::Precertification => Self::Certification,
            Contract::Enrollment => Self::Enrollment,
            Contract::GroupExpansion => Self::GroupExpansion,
            Contract::Activation => Self::ActivationProxy,
            _ => Self::Licensing,
        }
    }

    /// The object that counts a step.
    fn of_step(step: Step) -> Self {
        match step {
            Step::GetUser
            | Step::AddNewUser
            | Step::AssociateUserAndMachine
            | Step::GenerateUserCertificate
            | Step::AddEnablingBits => Self::Certification,
            Step::VerifyCertificates
            | Step::OpenLicense
            | Step::AskDirectory
            | Step::WriteLicense => Self::Licensing,
        }
    }
}
