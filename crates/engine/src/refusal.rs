//! A decision's "no": the fault the caller gets, and the reason that only the log gets.

use openrms_crypto::rsa::KeyError;
use openrms_protocol::{Fault, FaultCode};
use openrms_store::StoreError;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {reason}")]
pub struct Refusal {
    /// The fault of the specification's tables.
    pub code: FaultCode,
    /// What exactly was wrong; for the log, never for the wire.
    pub reason: String,
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
        }
    }

    /// What goes out on the wire: the exception's name and nothing that helps an attacker.
    pub fn fault(&self) -> Fault {
        Fault::from(self.code)
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
