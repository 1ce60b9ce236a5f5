//! The cipher of the Encrypted Rights Data: AES-ECB under the content key's raw bytes, filled
//! with zeros to 16 bytes only where needed ([MS-RMPR] 2.2.9.7.6).

use crate::content::{ContentError, ContentKey, Schedule};

/// Enciphers the rights data (UTF-16LE text, no BOM), whatever cipher the key has for content.
pub fn encrypt(key: &ContentKey, rights_data: &[u8]) -> Result<Vec<u8>, ContentError> {
    let len = rights_data.len().next_multiple_of(16);
    let mut encrypted = Vec::with_capacity(len);
    encrypted.extend_from_slice(rights_data);
    encrypted.resize(len, 0);
    let (blocks, _) = encrypted.as_chunks_mut();
    Schedule::new(key).encrypt_ecb(blocks)?;
    Ok(encrypted)
}

/// Deciphers rights data; up to 15 bytes of fill may follow the text's last `</XrML>`.
pub fn decrypt(key: &ContentKey, encrypted: &[u8]) -> Result<Vec<u8>, ContentError> {
    let mut text = encrypted.to_vec();
    let (blocks, rest) = text.as_chunks_mut();
    if !rest.is_empty() {
        return Err(ContentError::NotWholeBlocks(encrypted.len() as u64));
    }
    Schedule::new(key).decrypt_ecb(blocks)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{self, Cipher};

    #[test]
    fn rights_data_is_filled_with_zeros_only_when_needed() {
        for cipher in [Cipher::Ecb, Cipher::Cbc4k] {
            let key = ContentKey::new(cipher, &[7; 32]).unwrap();
            for (len, encrypted_len) in [(0, 0), (1, 16), (15, 16), (16, 16), (1882, 1888)] {
                let text = vec![b'<'; len];
                let encrypted = encrypt(&key, &text).unwrap();
                assert_eq!(encrypted.len(), encrypted_len);
                let opened = decrypt(&key, &encrypted).unwrap();
                assert_eq!(opened[..len], text);
                assert!(opened[len..].iter().all(|&byte| byte == 0));
            }
        }
    }

    #[test]
    fn rights_data_is_ecb_whatever_the_cipher_of_the_content() {
        let key = ContentKey::new(Cipher::Cbc4k, &[7; 16]).unwrap();
        let text = [9; 48];
        let ecb = content::encrypt(&key.with_cipher(Cipher::Ecb), &text).unwrap();
        assert_eq!(encrypt(&key, &text), Ok(ecb));
    }

    #[test]
    fn rights_data_of_broken_length_is_refused() {
        let key = ContentKey::new(Cipher::Ecb, &[7; 16]).unwrap();
        assert_eq!(
            decrypt(&key, &[0; 17]),
            Err(ContentError::NotWholeBlocks(17))
        );
    }
}
