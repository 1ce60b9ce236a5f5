//! Proof that whoever wrote a PL knew its content key; shared by the client, which makes it, and
//! the server, which checks it. Beyond the specification: other clients write none.
//!
//! A PL's sealed key and encrypted rights data can be copied into another PL by anyone with a
//! CLC, who could then call themselves its owner; and as rights data are enciphered block by
//! block, their blocks can be rearranged. This value, made from the content key, the owner's mail
//! address and the encrypted rights data, cannot be made without the content key. It stands in the
//! PL as clear AUTHENTICATEDDATA, id `APPSPECIFIC`, name [`AUTHOR_PROOF_NAME`], in base64.

use openrms_crypto::envelope::{self, EnvelopeError};
use openrms_crypto::{ContentKey, sha256};

/// The proof for a content key, the owner's mail address (case and white space round it do not
/// count) and the encrypted rights data.
pub fn author_proof(
    key: &ContentKey,
    owner: &str,
    encrypted_rights: &[u8],
) -> Result<[u8; 32], EnvelopeError> {
    let owner = sha256(owner.trim().to_ascii_lowercase().as_bytes());
    let salt = [owner, sha256(encrypted_rights)].concat();
    envelope::derive(key.expose(), &salt, b"openrms author proof 1").map(|proof| *proof)
}

/// `name` of the AUTHENTICATEDDATA (id `APPSPECIFIC`) that carries the proof, in base64.
pub const AUTHOR_PROOF_NAME: &str = "OpenRMS.AuthorProof";

#[cfg(test)]
mod tests {
    use openrms_crypto::Cipher;

    use super::*;

    #[test]
    fn the_proof_depends_on_key_owner_and_rights_but_not_on_case() {
        let key = ContentKey::new(Cipher::Cbc4k, &[7; 32]).unwrap();
        let other = ContentKey::new(Cipher::Cbc4k, &[8; 32]).unwrap();
        let proof = author_proof(&key, "a@b", b"rights").unwrap();
        assert_eq!(author_proof(&key, " A@B ", b"rights").unwrap(), proof);
        assert_ne!(author_proof(&other, "a@b", b"rights").unwrap(), proof);
        assert_ne!(author_proof(&key, "c@b", b"rights").unwrap(), proof);
        assert_ne!(author_proof(&key, "a@b", b"other!").unwrap(), proof);
    }
}
