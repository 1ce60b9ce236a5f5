//! PKCS#1 v1.5 unpadding (RFC 8017 7.2.2) without branches on what the block holds: who can send
//! blocks must not learn whether one was padded well. A bad block yields a made-up secret of the
//! most common form, and fails later like any wrong key (implicit rejection).

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq, ConstantTimeGreater};
use zeroize::Zeroizing;

use crate::random;
use crate::rsa::KeyError;
use crate::secret::Secret;

/// Removes the padding `00 02 (8 or more nonzero) 00` from a decrypted block.
pub(crate) fn unpad(mut block: Zeroizing<Vec<u8>>) -> Result<Secret, KeyError> {
    let len = u32::try_from(block.len()).map_err(|_| KeyError::CannotOpen)?;
    let mut made_up = Zeroizing::new([0u8; MADE_UP_LEN]);
    random::fill(&mut made_up[SESSION_HEADER.len()..])
        .map_err(|_| KeyError::Failed("drawing random bytes"))?;
    for (to, from) in made_up.iter_mut().zip(SESSION_HEADER) {
        *to = from;
    }

    let mut good = Choice::from(1);
    let mut searching = Choice::from(1);
    let mut separator = 0u32;
    for (at, byte) in (0u32..).zip(block.iter()) {
        match at {
            0 => good &= byte.ct_eq(&0),
            1 => good &= byte.ct_eq(&2),
            _ => {
                let found = searching & byte.ct_eq(&0);
                separator.conditional_assign(&at, found);
                searching &= !found;
            }
        }
    }
    // At least eight bytes of filling lie between the two first bytes and the separator.
    good &= separator.ct_gt(&9);

    let made_up_len = u32::try_from(MADE_UP_LEN).unwrap_or_default();
    let secret_len = u32::conditional_select(&made_up_len, &(len - 1 - separator), good);
    for (byte, other) in block.iter_mut().rev().zip(made_up.iter().rev()) {
        byte.conditional_assign(other, !good);
    }
    // Only the length shows from here on, and a made-up secret has the commonest one.
    let start = block.len().saturating_sub(secret_len as usize);
    Ok(Secret::from(block.get(start..).unwrap_or_default()))
}

/// The `KeyHeader` of an AES-128 session key ([MS-RMPR] 2.2.9.1.13.1).
const SESSION_HEADER: [u8; 12] = [0x1C, 0, 0xFF, 0xFF, 16, 0, 16, 0, 0x01, 0x10, 0, 0];
const MADE_UP_LEN: usize = SESSION_HEADER.len() + 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn block(filling: usize, secret: &[u8]) -> Zeroizing<Vec<u8>> {
        let mut block = vec![0, 2];
        block.extend(std::iter::repeat_n(0xAA, filling));
        block.push(0);
        block.extend_from_slice(secret);
        Zeroizing::new(block)
    }

    #[test]
    fn well_padded_secrets_of_any_length_come_out() {
        for len in [0, 1, 28, 36, 44, 117] {
            let secret = vec![0x5A; len];
            assert_eq!(unpad(block(125 - len, &secret)).unwrap().expose(), secret);
        }
    }

    #[test]
    fn a_zero_inside_the_secret_is_not_a_separator() {
        let secret = [1, 0, 2, 0];
        assert_eq!(unpad(block(121, &secret)).unwrap().expose(), secret);
    }

    #[test]
    fn bad_padding_gives_a_made_up_session_key_each_time() {
        let mut wrong_kind = block(97, &[7; 28]);
        wrong_kind[1] = 1;
        let mut wrong_start = block(97, &[7; 28]);
        wrong_start[0] = 1;
        let no_separator = Zeroizing::new([&[0, 2][..], &[0xAA; 126]].concat());
        let short_filling = block(7, &[7; 118]);
        for bad in [wrong_kind, wrong_start, no_separator, short_filling] {
            let (one, two) = (unpad(bad.clone()).unwrap(), unpad(bad).unwrap());
            assert_eq!(one.len(), 28);
            assert_eq!(one.expose()[..12], SESSION_HEADER);
            assert_ne!(one, two);
        }
    }
}
