//! The content key on the server: opened, never shown, released only against a grant, or when the
//! cluster has ended.

use openrms_crypto::sealed_key::{self, OpenedPayload, Payload};
use openrms_crypto::{ContentKey, Digest, PrivateKey, SealedKeyVersion, erd};
use openrms_xrml::author_proof;
use openrms_xrml::pl::{AsNode, NewRights};
use openrms_xrml::rights_data::RightsData;
use openrms_xrml::values::EnablingBits;
use openrms_xrml::{Time, XrmlError, pl::PublishingLicense};

use crate::decommission::Decommissioned;
use crate::evaluate::Grant;

/// Names one content key without telling it: the digest of its sealed form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContentTag([u8; 32]);

/// A content key that was opened with the server's key. It can decrypt its own rights data and be
/// sealed to whom a grant names; there is no way to get at the key itself while the cluster is in
/// service.
#[derive(Debug)]
pub struct HeldContent {
    key: ContentKey,
    tag: ContentTag,
    bound_hash: Digest,
}

/// Why a content key was not opened or not released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The PL holds no sealed key, or one that this server's key does not open.
    #[error("the content key does not open with this server's key")]
    CannotOpen,
    /// What was sealed is not a content key.
    #[error("the sealed key is not a content key")]
    NotAContentKey,
    /// The rights data do not decrypt to rights data.
    #[error("rights data: {0}")]
    RightsData(#[from] XrmlError),
    /// The grant was made for another content.
    #[error("the grant is for another content")]
    ForeignGrant,
    /// The grant does not let rights be changed.
    #[error("the grant does not let rights be changed")]
    MayNotEdit,
    /// Sealing failed.
    #[error("sealing to the account's key failed")]
    CannotSeal,
}

impl HeldContent {
    /// Opens the content key of a PL.
    pub fn open<N: std::ops::Deref<Target: AsNode>>(
        license: &PublishingLicense<N>,
        key: &dyn PrivateKey,
    ) -> Result<Self, VaultError> {
        let sealed = license.sealed_key().ok_or(VaultError::CannotOpen)?;
        let opened = sealed_key::open(key, sealed.version, &sealed.bytes)
            .map_err(|_| VaultError::CannotOpen)?;
        let OpenedPayload::ContentKey(key) = opened.payload else {
            return Err(VaultError::NotAContentKey);
        };
        let tag = ContentTag(openrms_crypto::sha256(&sealed.bytes));
        Ok(Self {
            key,
            tag,
            bound_hash: opened.bound_hash,
        })
    }

    /// What names this content in a grant.
    pub fn tag(&self) -> &ContentTag {
        &self.tag
    }

    /// Decrypts the PL's rights data.
    pub fn rights_data(&self, encrypted: &[u8]) -> Result<RightsData, VaultError> {
        let plain = erd::decrypt(&self.key, encrypted).map_err(|error| XrmlError::Invalid {
            field: "Encrypted-Rights-Data",
            reason: error.to_string(),
        })?;
        Ok(RightsData::from_decrypted(&plain)?)
    }

    /// Whether the hash inside the sealed key is that of the text it should be bound to.
    pub fn is_bound_to(&self, text: &str) -> bool {
        Digest::of_utf16le(self.bound_hash.algorithm(), text) == self.bound_hash
    }

    /// When the author published, if `proof` is theirs for these rights data.
    pub fn proven_time(&self, proof: &[u8], owner: &str, encrypted_rights: &[u8]) -> Option<Time> {
        author_proof::proven_time(proof, &self.key, owner, encrypted_rights)
    }

    /// Seals the content key to the RAC that the grant was made for, bound to `binding_text`.
    pub fn release(
        &self,
        grant: &Grant,
        version: SealedKeyVersion,
        binding_text: &str,
    ) -> Result<EnablingBits, VaultError> {
        if *grant.content() != self.tag {
            return Err(VaultError::ForeignGrant);
        }
        let bound = Digest::of_utf16le(version.hash(), binding_text);
        sealed_key::seal(
            grant.holder(),
            version,
            Payload::ContentKey(&self.key),
            &bound,
        )
        .map(|bytes| EnablingBits { version, bytes })
        .map_err(|_| VaultError::CannotSeal)
    }

    /// Encrypts other rights data under the content key (MS-RMSI 3.4.4.1), for a grant that lets
    /// them be changed, and proves the author over them: who they were and when they published,
    /// as the license that was there before proved.
    pub fn republish(
        &self,
        grant: &Grant,
        rights: &RightsData,
        author: Option<(&str, Time)>,
    ) -> Result<NewRights, VaultError> {
        if *grant.content() != self.tag {
            return Err(VaultError::ForeignGrant);
        }
        if !grant.may_edit_rights() {
            return Err(VaultError::MayNotEdit);
        }
        let text = rights.node().text().encode_utf16();
        let plain: Vec<u8> = text.flat_map(u16::to_le_bytes).collect();
        let encrypted = erd::encrypt(&self.key, &plain).map_err(|_| VaultError::CannotSeal)?;
        let author_proof = author
            .map(|(owner, published)| {
                author_proof::author_proof(&self.key, owner, published, &encrypted)
            })
            .transpose()
            .map_err(|_| VaultError::CannotSeal)?;
        Ok(NewRights {
            encrypted,
            author_proof,
        })
    }

    /// The content key itself, from a cluster that has ended (MS-RMSI 3.2.4.1): the one way out in
    /// clear.
    pub fn surrender(&self, _ended: &Decommissioned<'_>) -> ContentKey {
        self.key.clone()
    }

    /// Seals the content key anew to the server it is already sealed to, with a fresh binding
    /// (MS-RMPR 3.5.4.1). The key stays with the same holder, so no grant is needed.
    pub fn rebind(
        &self,
        server: &dyn PrivateKey,
        version: SealedKeyVersion,
        binding_text: &str,
    ) -> Result<EnablingBits, VaultError> {
        let bound = Digest::of_utf16le(version.hash(), binding_text);
        sealed_key::seal(
            server.public(),
            version,
            Payload::ContentKey(&self.key),
            &bound,
        )
        .map(|bytes| EnablingBits { version, bytes })
        .map_err(|_| VaultError::CannotSeal)
    }
}
