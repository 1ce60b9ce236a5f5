//! What ties an exchange to the TLS channel that it runs in: `tls-server-end-point` (RFC 5929
//! section 4).

use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The hash of a server's certificate by the algorithm of its signature, SHA-256 for the weak ones.
/// `None` for a certificate whose signature uses another: then there is nothing to tie to.
pub fn end_point_hash(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let signature = parsed.signature_algorithm.algorithm.to_id_string();
    SHA256_SIGNATURES
        .contains(&signature.as_str())
        .then(|| openrms_crypto::sha256(certificate).to_vec())
}

/// RSA with MD5, SHA-1 and SHA-256, ECDSA with SHA-1 and SHA-256.
const SHA256_SIGNATURES: [&str; 5] = [
    "1.2.840.113549.1.1.4",
    "1.2.840.113549.1.1.5",
    "1.2.840.113549.1.1.11",
    "1.2.840.10045.4.1",
    "1.2.840.10045.4.3.2",
];
