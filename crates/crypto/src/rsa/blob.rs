//! CAPI PRIVATEKEYBLOB: how a RAC's or CLC's private key travels inside a sealed key
//! ([MS-RMPR] 2.2.9.1.13, "an RSA private key").

use zeroize::Zeroizing;

use crate::rsa::parts::Parts;
use crate::secret::Secret;

/// A private key in CAPI form, its length and magic checked; 596 bytes for RSA-1024 and 1172 for
/// RSA-2048.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateKeyBlob(Secret);

impl PrivateKeyBlob {
    /// Finds the blob at the start of `bytes`; what follows it is ignored.
    pub fn parse(bytes: &[u8]) -> Result<Self, BlobError> {
        let (header, _) = bytes
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(BlobError("shorter than its header"))?;
        let [
            kind,
            version,
            _,
            _,
            a0,
            a1,
            a2,
            a3,
            m0,
            m1,
            m2,
            m3,
            b0,
            b1,
            b2,
            b3,
            _,
            _,
            _,
            _,
        ] = *header;
        if [kind, version] != [PRIVATE_KEY_BLOB, BLOB_VERSION] {
            return Err(BlobError("not a private key of version 2"));
        }
        if ![RSA_SIGN, RSA_KEYX].contains(&[a0, a1, a2, a3]) {
            return Err(BlobError("not an RSA key"));
        }
        if [m0, m1, m2, m3] != *MAGIC {
            return Err(BlobError("no RSA2 magic"));
        }
        let bits = u32::from_le_bytes([b0, b1, b2, b3]);
        if !(1024..=4096).contains(&bits) || bits % 16 != 0 {
            return Err(BlobError("modulus length out of bounds"));
        }
        let blob = bytes
            .get(..blob_len(bits as usize))
            .ok_or(BlobError("cut short"))?;
        Ok(Self(Secret::from(blob)))
    }

    /// The blob's bytes.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// The length of the modulus in bits.
    pub fn bits(&self) -> usize {
        // The length is fixed by the modulus: HEADER_LEN + 9 * bits / 16.
        (self.0.len() - HEADER_LEN) / 9 * 16
    }

    /// The modulus, lowest byte first: it must equal the one in the certificate's PUBLICKEY.
    pub fn modulus_le(&self) -> &[u8] {
        self.expose()
            .get(HEADER_LEN..HEADER_LEN + self.bits() / 8)
            .unwrap_or_default()
    }

    /// Writes the numbers of a key that passed [`Parts::check`].
    pub(super) fn from_parts(parts: &Parts) -> Self {
        let whole = parts.modulus.len();
        let half = whole / 2;
        let bits = whole * 8;
        let mut out = Vec::with_capacity(blob_len(bits));
        out.extend_from_slice(&[PRIVATE_KEY_BLOB, BLOB_VERSION, 0, 0]);
        out.extend_from_slice(&RSA_SIGN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&u32::try_from(bits).unwrap_or_default().to_le_bytes());
        out.extend_from_slice(&parts.exponent.to_le_bytes());
        let fields: [(&[u8], usize); 7] = [
            (&parts.modulus, whole),
            (&parts.p, half),
            (&parts.q, half),
            (&parts.dp, half),
            (&parts.dq, half),
            (&parts.q_inverse, half),
            (&parts.d, whole),
        ];
        for (number, width) in fields {
            out.extend(number.iter().rev().chain(std::iter::repeat(&0)).take(width));
        }
        Self(Secret::new(out))
    }

    /// Reads the numbers, unchecked.
    pub(super) fn to_parts(&self) -> Option<Parts> {
        let whole = self.bits() / 8;
        let half = whole / 2;
        let (exponent, mut rest) = self.expose().get(16..)?.split_first_chunk::<4>()?;
        let mut field = |width: usize| {
            let (number, after) = rest.split_at_checked(width)?;
            rest = after;
            let used = width - number.iter().rev().take_while(|&&byte| byte == 0).count();
            Some(Zeroizing::new(
                number.iter().take(used).rev().copied().collect::<Vec<u8>>(),
            ))
        };
        Some(Parts {
            modulus: field(whole)?.to_vec(),
            exponent: u32::from_le_bytes(*exponent),
            p: field(half)?,
            q: field(half)?,
            dp: field(half)?,
            dq: field(half)?,
            q_inverse: field(half)?,
            d: field(whole)?,
        })
    }
}

/// Why bytes are no PRIVATEKEYBLOB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a PRIVATEKEYBLOB: {0}")]
pub struct BlobError(pub(crate) &'static str);

/// Header, modulus, five numbers of half its length, the private exponent.
fn blob_len(bits: usize) -> usize {
    HEADER_LEN + bits / 16 * 9
}

const HEADER_LEN: usize = 20;
const PRIVATE_KEY_BLOB: u8 = 7;
const BLOB_VERSION: u8 = 2;
const RSA_SIGN: [u8; 4] = [0, 0x24, 0, 0];
const RSA_KEYX: [u8; 4] = [0, 0xA4, 0, 0];
const MAGIC: &[u8; 4] = b"RSA2";
