//! Proof that whoever wrote a PL knew its content key; shared by the client, which makes it, and
//! the server, which checks it. Beyond the specification: other clients write none.
//!
//! A PL's sealed key and encrypted rights data can be copied into another PL by anyone with a
//! CLC, who could then call themselves its owner; and as rights data are enciphered block by
//! block, their blocks can be rearranged. And the PL's time, from which days are counted, is that
//! of whoever signed it last. This value, made from the content key, the owner's mail address, the
//! author's time and the encrypted rights data, cannot be made without the content key. It stands
//! in the PL as clear AUTHENTICATEDDATA, id `APPSPECIFIC`, name [`AUTHOR_PROOF_NAME`], in base64:
//! the time, seconds since 1970 as 8 bytes, little-endian, and 32 bytes derived from all of it.

use openrms_crypto::envelope::{self, EnvelopeError};
use openrms_crypto::{ContentKey, Secret, sha256};

use crate::time::Time;

/// The proof for a content key, the owner's mail address (case and white space round it do not
/// count), the instant of publishing and the encrypted rights data.
pub fn author_proof(
    key: &ContentKey,
    owner: &str,
    published: Time,
    encrypted_rights: &[u8],
) -> Result<Vec<u8>, EnvelopeError> {
    let time = published.unix().to_le_bytes();
    let owner = sha256(owner.trim().to_ascii_lowercase().as_bytes());
    let salt = [&time[..], &owner, &sha256(encrypted_rights)].concat();
    let derived = envelope::derive(key.expose(), &salt, b"openrms author proof 1")?;
    Ok([&time[..], &*derived].concat())
}

/// The instant of publishing, when `proof` is the [`author_proof`] of that owner for these rights
/// data.
#[must_use]
pub fn proven_time(
    proof: &[u8],
    key: &ContentKey,
    owner: &str,
    encrypted_rights: &[u8],
) -> Option<Time> {
    let published = Time::from_unix(i64::from_le_bytes(*proof.first_chunk()?));
    let expected = author_proof(key, owner, published, encrypted_rights).ok()?;
    (Secret::new(expected) == Secret::new(proof.to_vec())).then_some(published)
}

/// `name` of the AUTHENTICATEDDATA (id `APPSPECIFIC`) that carries the proof, in base64.
pub const AUTHOR_PROOF_NAME: &str = "OpenRMS.AuthorProof";

#[cfg(test)]
mod tests {
    use openrms_crypto::Cipher;

    use super::*;

    #[test]
    fn the_proof_depends_on_key_owner_time_and_rights_but_not_on_case() {
        let key = ContentKey::new(Cipher::Cbc4k, &[7; 32]).unwrap();
        let other = ContentKey::new(Cipher::Cbc4k, &[8; 32]).unwrap();
        let time = Time::from_unix(1_700_000_040);
        let proof = author_proof(&key, "a@b", time, b"rights").unwrap();
        assert_eq!(proven_time(&proof, &key, " A@B ", b"rights"), Some(time));
        assert_eq!(proven_time(&proof, &other, "a@b", b"rights"), None);
        assert_eq!(proven_time(&proof, &key, "c@b", b"rights"), None);
        assert_eq!(proven_time(&proof, &key, "a@b", b"other!"), None);
        for at in 0..proof.len() {
            let mut changed = proof.clone();
            changed[at] ^= 1;
            assert_eq!(proven_time(&changed, &key, "a@b", b"rights"), None);
            assert_eq!(proven_time(&proof[..at], &key, "a@b", b"rights"), None);
        }
    }
}
