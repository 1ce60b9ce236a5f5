//! RSA for cryptographic mode 1 ([MS-RMPR] 3.1.4.7) over AWS-LC's C interface: 1024-bit keys and
//! SHA-1 signatures, which the safe `aws-lc-rs` interface refuses. Nothing else belongs here.
//!
//! Every pointer stays inside this file: keys are owned and freed by `Rsa`, buffers are Rust's.

use std::fmt;
use std::ptr::{NonNull, null_mut};

use aws_lc_sys as ffi;
use zeroize::Zeroizing;

/// The hash whose `DigestInfo` goes into a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1, 20 bytes.
    Sha1,
    /// SHA-256, 32 bytes.
    Sha256,
}

/// A private key with its CRT numbers, of 1024 to 4096 bits.
pub struct PrivateKey(Rsa);

impl PrivateKey {
    /// Makes a key of `bits` bits with exponent 65537.
    pub fn generate(bits: u16) -> Result<Self, Mode1Error> {
        if !(MIN_BITS..=MAX_BITS).contains(&u32::from(bits)) {
            return Err(Mode1Error);
        }
        let rsa = Rsa::new()?;
        let exponent = BigNumber::from_be(&[1, 0, 1])?;
        // SAFETY: both pointers are live and owned here; no callback is given; on success AWS-LC
        // fills `rsa`, on failure it leaves it empty.
        let done = unsafe {
            ffi::RSA_generate_key_ex(rsa.ptr(), bits.into(), exponent.0.as_ptr(), null_mut())
        };
        succeeded(done)?;
        Ok(Self(rsa))
    }

    /// Takes a key from PKCS#1 `RSAPrivateKey` DER (RFC 8017 A.1.2). AWS-LC checks that all its
    /// numbers belong together.
    pub fn from_pkcs1_der(der: &[u8]) -> Result<Self, Mode1Error> {
        // SAFETY: pointer and length describe `der`, which AWS-LC only reads during the call. A
        // non-null answer is a new object that `Rsa` takes over.
        let rsa = Rsa::own(unsafe { ffi::RSA_private_key_from_bytes(der.as_ptr(), der.len()) })?;
        if !(MIN_BITS..=MAX_BITS).contains(&rsa.bits()) {
            return Err(Mode1Error);
        }
        Ok(Self(rsa))
    }

    /// The key as PKCS#1 `RSAPrivateKey` DER.
    pub fn to_pkcs1_der(&self) -> Result<Zeroizing<Vec<u8>>, Mode1Error> {
        let (mut bytes, mut len) = (null_mut(), 0);
        // SAFETY: the key is live; the two out-pointers are valid for writes.
        let done =
            unsafe { ffi::RSA_private_key_to_bytes(&raw mut bytes, &raw mut len, self.0.ptr()) };
        succeeded(done)?;
        let bytes = NonNull::new(bytes).ok_or(Mode1Error)?;
        // SAFETY: on success AWS-LC allocated `len` initialised bytes at `bytes`, which nobody
        // else knows; they are copied here and freed below, after the last use of the slice.
        let der =
            Zeroizing::new(unsafe { std::slice::from_raw_parts(bytes.as_ptr(), len) }.to_vec());
        // SAFETY: `bytes` was allocated by AWS-LC and is not used again. AWS-LC wipes what it
        // frees.
        unsafe { ffi::OPENSSL_free(bytes.as_ptr().cast()) };
        Ok(der)
    }

    /// RSASSA-PKCS1-v1_5 over a digest, big-endian, as long as the modulus.
    pub fn sign(&self, hash: Hash, digest: &[u8]) -> Result<Vec<u8>, Mode1Error> {
        let (nid, expected) = match hash {
            Hash::Sha1 => (ffi::NID_sha1, 20),
            Hash::Sha256 => (ffi::NID_sha256, 32),
        };
        if digest.len() != expected {
            return Err(Mode1Error);
        }
        let mut signature = vec![0; self.0.size()];
        let mut len = 0;
        // SAFETY: the key is live, `digest` is read for its length, and `signature` has the
        // RSA_size bytes that RSA_sign may write.
        let done = unsafe {
            ffi::RSA_sign(
                nid,
                digest.as_ptr(),
                digest.len(),
                signature.as_mut_ptr(),
                &raw mut len,
                self.0.ptr(),
            )
        };
        succeeded(done)?;
        if len as usize != signature.len() {
            return Err(Mode1Error);
        }
        Ok(signature)
    }

    /// The bare private operation: the padded block, big-endian, as long as the modulus. The
    /// caller removes the padding in constant flow.
    pub fn decrypt_raw(&self, block: &[u8]) -> Result<Zeroizing<Vec<u8>>, Mode1Error> {
        let plain = self.decrypt(block, ffi::RSA_NO_PADDING)?;
        if plain.len() != self.0.size() {
            return Err(Mode1Error);
        }
        Ok(plain)
    }

    /// RSAES-OAEP with SHA-1, MGF1-SHA-1 and an empty label.
    pub fn decrypt_oaep_sha1(&self, block: &[u8]) -> Result<Zeroizing<Vec<u8>>, Mode1Error> {
        self.decrypt(block, ffi::RSA_PKCS1_OAEP_PADDING)
    }

    fn decrypt(&self, block: &[u8], padding: i32) -> Result<Zeroizing<Vec<u8>>, Mode1Error> {
        let mut plain = Zeroizing::new(vec![0; self.0.size()]);
        let mut len = 0;
        // SAFETY: the key is live, `block` is read for its length, and `plain` is written for at
        // most its length, which is passed as the limit.
        let done = unsafe {
            ffi::RSA_decrypt(
                self.0.ptr(),
                &raw mut len,
                plain.as_mut_ptr(),
                plain.len(),
                block.as_ptr(),
                block.len(),
                padding,
            )
        };
        succeeded(done)?;
        plain.truncate(len);
        Ok(plain)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({} bits)", self.0.bits())
    }
}

/// A public key prepared for wrapping secrets, of 1024 to 4096 bits.
pub struct PublicKey(Rsa);

impl PublicKey {
    /// Takes the modulus and the exponent, big-endian.
    pub fn new(modulus: &[u8], exponent: &[u8]) -> Result<Self, Mode1Error> {
        let (n, e) = (BigNumber::from_be(modulus)?, BigNumber::from_be(exponent)?);
        // SAFETY: both numbers are live; RSA_new_public_key copies them and checks the key. A
        // non-null answer is a new object that `Rsa` takes over.
        let rsa = Rsa::own(unsafe { ffi::RSA_new_public_key(n.0.as_ptr(), e.0.as_ptr()) })?;
        if !(MIN_BITS..=MAX_BITS).contains(&rsa.bits()) {
            return Err(Mode1Error);
        }
        Ok(Self(rsa))
    }

    /// RSAES-PKCS1-v1_5, big-endian, as long as the modulus.
    pub fn encrypt_pkcs1(&self, secret: &[u8]) -> Result<Vec<u8>, Mode1Error> {
        self.encrypt(secret, ffi::RSA_PKCS1_PADDING)
    }

    /// RSAES-OAEP with SHA-1, MGF1-SHA-1 and an empty label.
    pub fn encrypt_oaep_sha1(&self, secret: &[u8]) -> Result<Vec<u8>, Mode1Error> {
        self.encrypt(secret, ffi::RSA_PKCS1_OAEP_PADDING)
    }

    fn encrypt(&self, secret: &[u8], padding: i32) -> Result<Vec<u8>, Mode1Error> {
        let mut block = vec![0; self.0.size()];
        let mut len = 0;
        // SAFETY: the key is live, `secret` is read for its length, and `block` is written for
        // at most its length, which is passed as the limit.
        let done = unsafe {
            ffi::RSA_encrypt(
                self.0.ptr(),
                &raw mut len,
                block.as_mut_ptr(),
                block.len(),
                secret.as_ptr(),
                secret.len(),
                padding,
            )
        };
        succeeded(done)?;
        if len != block.len() {
            return Err(Mode1Error);
        }
        Ok(block)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} bits)", self.0.bits())
    }
}

/// AWS-LC refused or failed; its reasons are dropped on purpose, they could tell about padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode1Error;

impl fmt::Display for Mode1Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the RSA operation failed")
    }
}

impl std::error::Error for Mode1Error {}

/// An owned AWS-LC RSA object.
struct Rsa(NonNull<ffi::RSA>);

// SAFETY: an RSA object has no tie to the thread that made it.
unsafe impl Send for Rsa {}
// SAFETY: AWS-LC documents (openssl/rsa.h) that an RSA object may be used by many threads at once
// as long as none calls a mutating function. After construction this crate only signs, encrypts,
// decrypts and marshals, which lock the caches they fill inside.
unsafe impl Sync for Rsa {}

impl Rsa {
    fn new() -> Result<Self, Mode1Error> {
        // SAFETY: no arguments; a non-null answer is a new object that `own` takes over.
        Self::own(unsafe { ffi::RSA_new() })
    }

    fn own(rsa: *mut ffi::RSA) -> Result<Self, Mode1Error> {
        NonNull::new(rsa).map(Self).ok_or_else(failed)
    }

    fn ptr(&self) -> *mut ffi::RSA {
        self.0.as_ptr()
    }

    fn size(&self) -> usize {
        // SAFETY: the object is live and has a modulus: every constructor has succeeded.
        unsafe { ffi::RSA_size(self.ptr()) as usize }
    }

    fn bits(&self) -> u32 {
        // SAFETY: as in `size`.
        unsafe { ffi::RSA_bits(self.ptr()) }
    }
}

impl Drop for Rsa {
    fn drop(&mut self) {
        // SAFETY: the object is owned by `self` alone and not used again; RSA_free wipes it.
        unsafe { ffi::RSA_free(self.ptr()) };
    }
}

/// An owned AWS-LC big number holding a public value.
struct BigNumber(NonNull<ffi::BIGNUM>);

impl BigNumber {
    fn from_be(bytes: &[u8]) -> Result<Self, Mode1Error> {
        if bytes.len() > MAX_BITS as usize / 8 {
            return Err(Mode1Error);
        }
        // SAFETY: pointer and length describe `bytes`; a null third argument asks for a new
        // number, which `BigNumber` takes over.
        let number = unsafe { ffi::BN_bin2bn(bytes.as_ptr(), bytes.len(), null_mut()) };
        NonNull::new(number).map(Self).ok_or_else(failed)
    }
}

impl Drop for BigNumber {
    fn drop(&mut self) {
        // SAFETY: the number is owned by `self` alone and not used again.
        unsafe { ffi::BN_free(self.0.as_ptr()) };
    }
}

fn succeeded(answer: i32) -> Result<(), Mode1Error> {
    if answer == 1 { Ok(()) } else { Err(failed()) }
}

/// Empties AWS-LC's error queue of this thread, so that a later caller does not find our error.
fn failed() -> Mode1Error {
    // SAFETY: takes no arguments and touches only this thread's queue.
    unsafe { ffi::ERR_clear_error() };
    Mode1Error
}

const MIN_BITS: u32 = 1024;
const MAX_BITS: u32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_1024_bit_key_survives_its_der_form_and_signs_alike() {
        let key = PrivateKey::generate(1024).unwrap();
        let again = PrivateKey::from_pkcs1_der(&key.to_pkcs1_der().unwrap()).unwrap();
        let signature = key.sign(Hash::Sha1, &[7; 20]).unwrap();
        assert_eq!(signature.len(), 128);
        assert_eq!(signature, again.sign(Hash::Sha1, &[7; 20]).unwrap());
        assert_ne!(signature, key.sign(Hash::Sha256, &[7; 32]).unwrap());
    }

    #[test]
    fn keys_of_other_sizes_and_broken_der_are_refused() {
        assert!(PrivateKey::generate(512).is_err());
        assert!(PrivateKey::generate(8192).is_err());
        assert!(PrivateKey::from_pkcs1_der(&[]).is_err());
        let der = PrivateKey::generate(1024).unwrap().to_pkcs1_der().unwrap();
        for len in 0..der.len() {
            assert!(PrivateKey::from_pkcs1_der(&der[..len]).is_err());
        }
    }

    #[test]
    fn a_digest_of_the_wrong_length_is_not_signed() {
        let key = PrivateKey::generate(1024).unwrap();
        assert_eq!(key.sign(Hash::Sha1, &[0; 32]), Err(Mode1Error));
    }

    #[test]
    fn public_keys_out_of_bounds_are_refused() {
        assert!(PublicKey::new(&[], &[1, 0, 1]).is_err());
        assert!(PublicKey::new(&[0xFF; 64], &[1, 0, 1]).is_err());
        assert!(PublicKey::new(&[0xFF; 1024], &[1, 0, 1]).is_err());
        assert!(PublicKey::new(&[0xFF; 128], &[2]).is_err());
    }
}
