//! Proof key for code exchange (RFC 7636): whoever redeems a code shows that it is for them.

use openrms_crypto::{Secret, random, sha256};
use zeroize::Zeroizing;

use super::encoding::to_base64url;
use super::error::OidcError;

/// The code verifier (RFC 7636 4.1).
pub(super) struct Verifier(Zeroizing<String>);

impl Verifier {
    /// 256 random bits, 43 characters.
    pub(super) fn random() -> Result<Self, OidcError> {
        Ok(Self(random_base64url()?))
    }

    /// What the token endpoint is shown.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The challenge of method `S256` (RFC 7636 4.2), which everybody may see.
    pub(super) fn challenge(&self) -> String {
        to_base64url(&sha256(self.0.as_bytes()))
    }
}

/// A text that nobody guesses, for `state` and `nonce`.
pub(super) fn random_text() -> Result<Secret, OidcError> {
    Ok(Secret::from(random_base64url()?.as_bytes()))
}

fn random_base64url() -> Result<Zeroizing<String>, OidcError> {
    let mut bytes = Zeroizing::new([0; 32]);
    random::fill(&mut *bytes).map_err(|_| OidcError::Random)?;
    Ok(Zeroizing::new(to_base64url(&*bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636 appendix B.
    #[test]
    fn the_challenge_is_the_one_of_the_specification() {
        let verifier = Verifier(Zeroizing::new(
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into(),
        ));
        assert_eq!(
            verifier.challenge(),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn verifiers_are_long_enough_and_differ() {
        let (one, two) = (Verifier::random().unwrap(), Verifier::random().unwrap());
        assert_eq!(one.as_str().len(), 43);
        assert_ne!(one.as_str(), two.as_str());
    }
}
