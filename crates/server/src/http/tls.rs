//! HTTPS: certificate and key from PEM files, TLS 1.2 and 1.3 by AWS-LC.

use std::path::PathBuf;
use std::sync::Arc;

use openrms_crypto::fips;
use openrms_negotiate::end_point_hash;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::config::{Certificates, Tls};

/// Why HTTPS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not PEM of what it should hold.
    #[error("{0}: {1}")]
    Pem(PathBuf, rustls::pki_types::pem::Error),
    /// The authorities of client certificates cannot be used.
    #[error("{0}: {1}")]
    Authorities(PathBuf, String),
    /// FIPS is asked for, and TLS would offer more than is approved.
    #[error("FIPS is asked for, and TLS is not limited to what is approved")]
    NotFips,
    /// Certificate and key do not go together.
    #[error("the certificate cannot be used: {0}")]
    Unusable(rustls::Error),
}

/// Reads the files.
pub(crate) fn acceptor(tls: &Tls, clients: Option<&Certificates>) -> Result<TlsAcceptor, TlsError> {
    use_aws_lc();
    let pem = |path: &PathBuf, error| TlsError::Pem(path.clone(), error);
    let chain = CertificateDer::pem_file_iter(&tls.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem(&tls.certificate, error))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| pem(&tls.key, error))?;
    let builder = match clients {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(clients) => ServerConfig::builder().with_client_cert_verifier(verifier(clients)?),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(TlsError::Unusable)?;
    if fips::is_required() && !config.fips() {
        return Err(TlsError::NotFips);
    }
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What tickets are bound to: the hash of this server's certificate. Where there is none, tickets
/// are not held against it.
pub(crate) fn end_point(tls: &Tls) -> Option<Vec<u8>> {
    end_point_hash(&first_certificate(tls)?)
}

/// This server's own certificate.
pub(crate) fn first_certificate(tls: &Tls) -> Option<CertificateDer<'static>> {
    let mut chain = CertificateDer::pem_file_iter(&tls.certificate).ok()?;
    chain.find_map(Result::ok)
}

/// Client certificates are asked for and need not be shown: there are other ways to sign in. One
/// that is shown and does not hold ends the connection.
fn verifier(clients: &Certificates) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let wrong = |error: String| TlsError::Authorities(clients.authorities.clone(), error);
    let mut roots = RootCertStore::empty();
    let authorities = CertificateDer::pem_file_iter(&clients.authorities)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(error.to_string()))?;
    for authority in authorities {
        roots
            .add(authority)
            .map_err(|error| wrong(error.to_string()))?;
    }
    WebPkiClientVerifier::builder(Arc::new(roots))
        .allow_unauthenticated()
        .build()
        .map_err(|error| wrong(error.to_string()))
}

/// Makes AWS-LC the provider of this process, unless one was chosen already.
pub(crate) fn use_aws_lc() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// The end point of a certificate that openssl makes, and the hash that openssl tells.
    fn made(digest: &str) -> (Option<Vec<u8>>, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("it.pem"), folder.path().join("it.key"));
        let openssl = |arguments: &[&str]| {
            let output = Command::new("openssl").args(arguments).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            output.stdout
        };
        let path = certificate.to_str().unwrap();
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=it",
            digest,
            "-out",
            path,
            "-keyout",
            key.to_str().unwrap(),
        ]);
        let told = openssl(&["x509", "-in", path, "-noout", "-fingerprint", "-sha256"]);
        let told = String::from_utf8(told).unwrap();
        let hex = told.trim().split_once('=').unwrap().1.split(':');
        let hash = hex.map(|byte| u8::from_str_radix(byte, 16).unwrap());
        let tls = Tls {
            listen: Vec::new(),
            certificate,
            key,
        };
        (end_point(&tls), hash.collect())
    }

    #[test]
    fn the_end_point_is_the_hash_of_the_certificate_by_its_own_algorithm() {
        let (end_point, hash) = made("-sha256");
        assert_eq!(end_point, Some(hash));
        assert_eq!(made("-sha384").0, None);
    }
}
