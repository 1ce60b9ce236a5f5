//! What can be changed about the configuration.

use uuid::Uuid;

use crate::{
    ApplicationExclusion, AuthorityRole, LicensorKey, Policies, RacExclusion, RevocationAuthority,
    Template, TrustedPublishingDomain, TrustedSpcCaKey, TrustedUserDomain,
};

/// One change of the configuration, made by [`crate::Store::apply`]. `Put` adds an entry or
/// replaces the one with the same identifier; removing what is not there is
/// [`crate::StoreError::NotFound`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Replaces all policies.
    SetPolicies(Box<Policies>),
    /// Sets a further setting.
    PutSetting {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// Removes a further setting.
    RemoveSetting(String),
    /// Adds a key pair of the server; the identifier must be new.
    AddLicensorKey(LicensorKey),
    /// Gives a key pair its SLC chain, at enrollment or renewal.
    SetLicensorChain {
        /// Which key pair.
        id: String,
        /// The SLC chain, leaf first, concatenated.
        slc_chain: String,
    },
    /// Seals a private key anew, when what seals it changes.
    ResealLicensorKey {
        /// Which key pair.
        id: String,
        /// The private key, sealed.
        sealed_private_key: crate::SealedBytes,
    },
    /// Retires a key pair: it opens old content and signs nothing.
    RetireLicensorKey(String),
    /// Adds what the trust anchor holds for a role; the role must be new, as an anchor's key is never
    /// replaced.
    AddAuthorityRole(AuthorityRole),
    /// Adds or replaces a template.
    PutTemplate(Template),
    /// Removes a template. Content published with it can no longer be licensed.
    RemoveTemplate(Uuid),
    /// Adds or replaces a trusted user domain.
    PutTrustedUserDomain(TrustedUserDomain),
    /// Removes a trusted user domain.
    RemoveTrustedUserDomain(String),
    /// Adds or replaces a trusted publishing domain.
    PutTrustedPublishingDomain(TrustedPublishingDomain),
    /// Removes a trusted publishing domain.
    RemoveTrustedPublishingDomain(String),
    /// Adds or renames a trusted SPC issuer key.
    PutTrustedSpcCaKey(TrustedSpcCaKey),
    /// Removes the trusted SPC issuer key with this little-endian modulus.
    RemoveTrustedSpcCaKey(Vec<u8>),
    /// Adds or replaces an application exclusion.
    PutApplicationExclusion(ApplicationExclusion),
    /// Removes an application exclusion.
    RemoveApplicationExclusion(String),
    /// Excludes a RAC; its user's keys stay unless [`Change::DeleteUserKeys`] goes with it.
    PutRacExclusion(RacExclusion),
    /// Ends the exclusion of the RAC with this little-endian modulus.
    RemoveRacExclusion(Vec<u8>),
    /// Removes a user's key pairs, together with an exclusion; none being there is fine.
    DeleteUserKeys(String),
    /// Adds or renames a revocation authority.
    PutRevocationAuthority(RevocationAuthority),
    /// Removes the revocation authority with this public key.
    RemoveRevocationAuthority(Vec<u8>),
}

impl Change {
    /// Whether it may be made to a cluster that is decommissioned: nothing brings such a cluster
    /// back, nor adds to what it hands out.
    pub(crate) fn suits_decommissioned(&self) -> bool {
        match self {
            Self::SetPolicies(policies) => policies.decommissioned,
            Self::PutSetting { .. }
            | Self::RemoveSetting(_)
            | Self::ResealLicensorKey { .. }
            | Self::DeleteUserKeys(_) => true,
            _ => false,
        }
    }
}
