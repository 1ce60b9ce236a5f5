//! Keyed checksums of records that lie where others might write: HMAC-SHA256 (RFC 2104), cut to
//! 16 bytes (its section 5).

use aws_lc_rs::hmac;
use subtle::ConstantTimeEq as _;

/// A key for tags. Prepared once: a tag of a few hundred bytes costs less than a microsecond.
pub struct MacKey(hmac::Key);

impl MacKey {
    /// Prepares a key.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The tag of some bytes.
    pub fn tag(&self, bytes: &[u8]) -> [u8; TAG_LEN] {
        let whole = hmac::sign(&self.0, bytes);
        let mut tag = [0; TAG_LEN];
        for (to, from) in tag.iter_mut().zip(whole.as_ref()) {
            *to = *from;
        }
        tag
    }

    /// Whether a tag is that of these bytes; takes as long for any tag.
    pub fn is_tag(&self, bytes: &[u8], tag: &[u8; TAG_LEN]) -> bool {
        self.tag(bytes).ct_eq(tag).into()
    }
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey(..)")
    }
}

/// Length of a tag.
pub const TAG_LEN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_that_of_its_key_and_bytes_alone() {
        let key = MacKey::new(&[7; 32]);
        let tag = key.tag(b"a record");
        assert!(key.is_tag(b"a record", &tag));
        assert!(!key.is_tag(b"b record", &tag));
        assert!(!MacKey::new(&[8; 32]).is_tag(b"a record", &tag));
        for bit in 0..TAG_LEN * 8 {
            let mut other = tag;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.is_tag(b"a record", &other));
        }
    }

    #[test]
    fn tags_are_those_of_rfc_4231_cut_short() {
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        // Shorter keys are filled up with zeros, so this is test case 1.
        let tag = MacKey::new(&key).tag(b"Hi There");
        assert_eq!(
            u128::from_be_bytes(tag),
            0xb034_4c61_d8db_3853_5ca8_afce_af0b_f12b
        );
    }
}
