//! The fields of HTTP that an exchange travels in (RFC 4559 section 4), for clients that are
//! answered after one token, which Kerberos needs no more of.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Initiator, NegotiateError};

/// The value of `WWW-Authenticate` or `Authorization` that carries a token.
pub fn field(token: &[u8]) -> String {
    format!("{SCHEME} {}", STANDARD.encode(token))
}

impl Initiator {
    /// The `Authorization` field of a request.
    pub fn authorization(&mut self) -> Result<String, NegotiateError> {
        let token = self.step(None)?.token;
        token.map(|token| field(&token)).ok_or_else(no_proof)
    }

    /// Checks the server's proof in the `WWW-Authenticate` fields of its answer. An answer without
    /// one that holds is anybody's.
    pub fn check_proof<'h>(
        &mut self,
        fields: impl Iterator<Item = &'h str>,
    ) -> Result<(), NegotiateError> {
        let proof = fields
            .filter_map(|field| field.split_once(' '))
            .find(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME))
            .and_then(|(_, token)| STANDARD.decode(token.trim()).ok())
            .ok_or_else(no_proof)?;
        if self.step(Some(&proof))?.done {
            Ok(())
        } else {
            Err(NegotiateError::MoreLegs)
        }
    }
}

fn no_proof() -> NegotiateError {
    NegotiateError::NotMutual
}

const SCHEME: &str = "Negotiate";
