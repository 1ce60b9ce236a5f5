//! The little DER that private keys need: PKCS#8 (RFC 5208) around PKCS#1 (RFC 8017 A.1.2).

use zeroize::Zeroizing;

use crate::rsa::parts::Parts;

/// PKCS#1 `RSAPrivateKey` of the numbers.
pub(super) fn write_pkcs1(parts: &Parts) -> Zeroizing<Vec<u8>> {
    let exponent = parts.exponent.to_be_bytes();
    let numbers = [
        &[0u8][..],
        &parts.modulus,
        &exponent,
        &parts.d,
        &parts.p,
        &parts.q,
        &parts.dp,
        &parts.dq,
        &parts.q_inverse,
    ];
    // Allocated once: growing would leave copies of the key behind.
    let mut body = Zeroizing::new(Vec::with_capacity(
        numbers.iter().map(|n| n.len() + 6).sum(),
    ));
    for number in numbers {
        write_integer(&mut body, number);
    }
    wrap(SEQUENCE, &[], &body)
}

/// PKCS#8 `PrivateKeyInfo` of the numbers.
pub(super) fn write_pkcs8(parts: &Parts) -> Zeroizing<Vec<u8>> {
    let key = wrap(OCTET_STRING, &[], &write_pkcs1(parts));
    wrap(SEQUENCE, PKCS8_PREFIX, &key)
}

/// The numbers in a PKCS#8 `PrivateKeyInfo`; attributes after the key are passed over.
pub(super) fn read_pkcs8(der: &[u8]) -> Result<Parts, &'static str> {
    let mut outer = Reader(der);
    let mut info = outer.element(SEQUENCE).ok_or("no PKCS#8 sequence")?;
    outer.end().ok_or("bytes after the PKCS#8 sequence")?;
    let key = info
        .after(PKCS8_PREFIX)
        .ok_or("not PKCS#8 version 0 with an RSA key")?;
    info = key;
    let inner = info
        .element(OCTET_STRING)
        .ok_or("no private key in the PKCS#8 sequence")?;
    read_pkcs1(inner.0)
}

/// The numbers in a PKCS#1 `RSAPrivateKey`.
pub(super) fn read_pkcs1(der: &[u8]) -> Result<Parts, &'static str> {
    let mut outer = Reader(der);
    let mut body = outer.element(SEQUENCE).ok_or("no PKCS#1 sequence")?;
    outer.end().ok_or("bytes after the PKCS#1 sequence")?;
    let mut number = || {
        body.integer()
            .ok_or("a number of the RSA key is missing or negative")
    };
    if !number()?.is_empty() {
        return Err("the RSA key has more than two primes");
    }
    let modulus = number()?.to_vec();
    let exponent = number()?;
    if exponent.len() > 4 {
        return Err("the public exponent is too large");
    }
    let exponent = exponent
        .iter()
        .fold(0, |value, &byte| (value << 8) | u32::from(byte));
    let mut secret = || number().map(|bytes| Zeroizing::new(bytes.to_vec()));
    let (d, p, q) = (secret()?, secret()?, secret()?);
    let (dp, dq, q_inverse) = (secret()?, secret()?, secret()?);
    body.end().ok_or("bytes after the numbers of the RSA key")?;
    Ok(Parts {
        modulus,
        exponent,
        p,
        q,
        dp,
        dq,
        q_inverse,
        d,
    })
}

/// PKCS#1 `RSAPublicKey` (RFC 8017 A.1.1) of a big-endian modulus and an exponent.
pub(super) fn write_public_pkcs1(modulus: &[u8], exponent: u32) -> Vec<u8> {
    let mut body = Vec::with_capacity(modulus.len() + 16);
    write_integer(&mut body, modulus);
    write_integer(&mut body, &exponent.to_be_bytes());
    wrap(SEQUENCE, &[], &body).to_vec()
}

/// The big-endian modulus and the exponent in a PKCS#1 `RSAPublicKey`.
pub(super) fn read_public_pkcs1(der: &[u8]) -> Option<(&[u8], u32)> {
    let mut outer = Reader(der);
    let mut body = outer.element(SEQUENCE)?;
    outer.end()?;
    let (modulus, exponent) = (body.integer()?, body.integer()?);
    body.end()?;
    if exponent.len() > 4 {
        return None;
    }
    let exponent = exponent
        .iter()
        .fold(0, |value, &byte| (value << 8) | u32::from(byte));
    Some((modulus, exponent))
}

/// The PKCS#1 `RSAPublicKey` in a `SubjectPublicKeyInfo` (RFC 5280 4.1).
pub(super) fn read_subject_public_key(der: &[u8]) -> Option<&[u8]> {
    let mut outer = Reader(der);
    let mut info = outer.element(SEQUENCE)?;
    outer.end()?;
    let algorithm = info.element(SEQUENCE)?;
    let bits = info.element(BIT_STRING)?;
    info.end()?;
    if algorithm.0 != RSA_ENCRYPTION {
        return None;
    }
    bits.0.strip_prefix(&[0])
}

fn write_integer(out: &mut Vec<u8>, number: &[u8]) {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    let digits = number.get(zeros..).unwrap_or_default();
    let sign = digits.first().is_none_or(|&byte| byte >= 0x80);
    out.push(INTEGER);
    write_length(out, digits.len() + usize::from(sign));
    if sign {
        out.push(0);
    }
    out.extend_from_slice(digits);
}

fn write_length(out: &mut Vec<u8>, len: usize) {
    // Private keys of at most 4096 bits stay far below 65536 bytes.
    let [high, low] = u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
    match (high, low) {
        (0, 0..=0x7F) => out.push(low),
        (0, _) => out.extend_from_slice(&[0x81, low]),
        _ => out.extend_from_slice(&[0x82, high, low]),
    }
}

fn wrap(tag: u8, prefix: &[u8], body: &[u8]) -> Zeroizing<Vec<u8>> {
    let len = prefix.len() + body.len();
    let mut out = Zeroizing::new(Vec::with_capacity(len + 4));
    out.push(tag);
    write_length(&mut out, len);
    out.extend_from_slice(prefix);
    out.extend_from_slice(body);
    out
}

/// Reads elements one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The content of the next element, when it has this tag.
    fn element(&mut self, tag: u8) -> Option<Reader<'a>> {
        let [found, first, rest @ ..] = self.0 else {
            return None;
        };
        if *found != tag {
            return None;
        }
        let (len, rest) = match (first, rest) {
            (0..=0x7F, _) => (usize::from(*first), rest),
            (0x81, [low, rest @ ..]) => (usize::from(*low), rest),
            (0x82, [high, low, rest @ ..]) => {
                (usize::from(u16::from_be_bytes([*high, *low])), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some(Reader(content))
    }

    /// The next number without leading zeros; zero is empty, negative numbers are refused.
    fn integer(&mut self) -> Option<&'a [u8]> {
        let digits = self.element(INTEGER)?.0;
        if digits.first().is_none_or(|&byte| byte >= 0x80) {
            return None;
        }
        digits.get(digits.iter().take_while(|&&byte| byte == 0).count()..)
    }

    fn after(&self, prefix: &[u8]) -> Option<Reader<'a>> {
        self.0.strip_prefix(prefix).map(Reader)
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// Version 0, then the algorithm rsaEncryption (1.2.840.113549.1.1.1) with NULL parameters.
const PKCS8_PREFIX: &[u8] = &[
    0x02, 0x01, 0x00, 0x30, 0x0D, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01,
    0x05, 0x00,
];
/// The algorithm alone.
const RSA_ENCRYPTION: &[u8] = &[
    0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00,
];
