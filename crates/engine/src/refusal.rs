//! A decision's "no": the fault the caller gets, and the reason that only the log gets.

use openrms_crypto::rsa::KeyError;
use openrms_protocol::{Fault, FaultCode};
use openrms_store::StoreError;

use crate::cluster::NotEnrolled;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {reason}")]
pub struct Refusal {
    /// The fault of the specification's tables.
    pub code: FaultCode,
    /// What exactly was wrong; for the log, never for the wire.
    pub reason: String,
    /// What the caller is told besides the exception's name: whom to turn to.
    pub told: Option<String>,
}

impl Refusal {
    /// A refusal.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "errors and texts are both handed over"
    )]
    pub fn new(code: FaultCode, reason: impl ToString) -> Self {
        Self {
            code,
            reason: reason.to_string(),
            told: None,
        }
    }

    /// The same, with something that the caller is told.
    #[must_use]
    pub fn telling(mut self, told: Option<String>) -> Self {
        self.told = told;
        self
    }

    /// What goes out on the wire: the exception's name and nothing that helps an attacker.
    pub fn fault(&self) -> Fault {
        Fault::new(self.code, self.told.clone().unwrap_or_default())
    }
}

impl From<KeyError> for Refusal {
    fn from(error: KeyError) -> Self {
        Self::new(FaultCode::UnspecifiedError, format!("server key: {error}"))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::new(FaultCode::UnspecifiedError, format!("store: {error}"))
    }
}

impl From<NotEnrolled> for Refusal {
    fn from(error: NotEnrolled) -> Self {
        Self::new(FaultCode::UnspecifiedError, error)
    }
}
