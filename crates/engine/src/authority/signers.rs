//! Who signs for a service of a hierarchy: for each cryptographic mode that it has, a key and the
//! certificates above it.

use std::sync::Arc;

use openrms_crypto::{KeyHandle, KeyProvider, PrivateKey};
use openrms_protocol::CertificateChain;
use openrms_store::AuthorityRole;
use openrms_xrml::issuing::issue_range;
use openrms_xrml::{Identity, Interval};

use super::{AuthorityError, certified, is_role};

/// The signers of a service, one for each mode.
#[derive(Debug)]
pub(crate) struct Signers(Vec<Signer>);

/// Who signs in one mode.
#[derive(Debug)]
pub(crate) struct Signer {
    pub(crate) identity: Identity,
    /// Its certificate and what is above.
    pub(crate) chain: CertificateChain<'static>,
    pub(crate) key: Arc<dyn PrivateKey>,
    /// When it may issue.
    pub(crate) range: Interval,
}

impl Signers {
    /// Those of a role that a hierarchy has; none where it has none of that role.
    pub(crate) fn load(
        roles: &[AuthorityRole],
        name: &'static str,
        provider: &dyn KeyProvider,
    ) -> Result<Option<Self>, AuthorityError> {
        let signers = roles
            .iter()
            .filter(|role| is_role(role, name))
            .map(|role| Signer::load(role, name, provider))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((!signers.is_empty()).then_some(Self(signers)))
    }

    /// The one with a key of that length, which says of which mode it is.
    pub(crate) fn of_bits(&self, bits: usize) -> Option<&Signer> {
        let mut signers = self.0.iter();
        signers.find(|signer| signer.identity.key().bits() == bits)
    }
}

impl Signer {
    fn load(
        role: &AuthorityRole,
        name: &'static str,
        provider: &dyn KeyProvider,
    ) -> Result<Self, AuthorityError> {
        let handle = KeyHandle::new(role.sealed_private_key.as_slice().to_vec());
        let key = provider
            .load(&handle)
            .map_err(|error| AuthorityError::Key(name, error.to_string()))?;
        let bad = |error: &str| AuthorityError::Certificate(name, error.into());
        let (leaf, _) = certified(role, name)?;
        Ok(Self {
            identity: Identity::of_principal(&leaf).ok_or_else(|| bad("it names nobody"))?,
            chain: CertificateChain::split(&role.certificate)
                .map_err(|error| bad(&error.to_string()))?
                .into_owned(),
            key,
            range: issue_range(&leaf).ok_or_else(|| bad("may not issue"))?,
        })
    }
}
