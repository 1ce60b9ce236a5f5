//! Whom a server shows itself as over TLS: also one that is not trusted, for whoever has to find
//! out why.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openrms_xrml::Time;
use openrms_xrml::values::encode_base64;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::proxy::Proxy;
use crate::url::Origin;

/// A server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Whom it names.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// When it ends.
    pub until: Time,
    /// Whether this machine trusts it for that server.
    pub is_trusted: bool,
}

/// Shakes hands with a server, by a proxy where one is given, and looks at its certificate. Nothing
/// is sent to it. `None` where there is none to be seen.
pub(crate) fn look(
    origin: &Origin,
    proxy: Option<&Proxy>,
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
    longest: Duration,
) -> Option<PeerCertificate> {
    let first = proxy.map_or(origin, Proxy::origin);
    // A proxy that is itself behind TLS is not looked through.
    if !origin.is_tls() || proxy.is_some_and(|proxy| proxy.origin().is_tls()) {
        return None;
    }
    let mut stream = connect(first, longest)?;
    if let Some(proxy) = proxy {
        tunnel(&mut stream, proxy, origin).ok()?;
    }
    let seen = Arc::new(Recorder {
        inner: WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone())
            .build()
            .ok(),
        provider: provider.clone(),
        seen: Mutex::default(),
    });
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(seen.clone())
        .with_no_client_auth();
    let host = origin.host().trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).ok()?;
    let mut connection = ClientConnection::new(config.into(), name).ok()?;
    let mut is_trusted = true;
    while is_trusted && connection.is_handshaking() {
        is_trusted = connection.complete_io(&mut stream).is_ok();
    }
    let der = seen
        .seen
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    Some(PeerCertificate {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        until: Time::from_unix(certificate.validity().not_after.timestamp()),
        is_trusted,
    })
}

/// Verifies as everywhere, and remembers what it was shown.
#[derive(Debug)]
struct Recorder {
    /// None on a machine that trusts nobody.
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some(end_entity.clone().into_owned());
        let inner = self.inner.as_ref();
        let inner = inner.ok_or(rustls::CertificateError::UnknownIssuer)?;
        inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

fn connect(origin: &Origin, longest: Duration) -> Option<TcpStream> {
    let host = origin.host().trim_matches(['[', ']']);
    let mut addresses = (host, origin.port()).to_socket_addrs().ok()?;
    let stream = addresses.find_map(|at| TcpStream::connect_timeout(&at, longest).ok())?;
    stream.set_read_timeout(Some(longest)).ok()?;
    stream.set_write_timeout(Some(longest)).ok()?;
    Some(stream)
}

/// Has a proxy connect to a server (RFC 9110 9.3.6).
fn tunnel(stream: &mut TcpStream, proxy: &Proxy, origin: &Origin) -> io::Result<()> {
    let to = format!("{}:{}", origin.host(), origin.port());
    let user = proxy.user_info().map(|user| encode_base64(user.as_bytes()));
    let user = user.map(|user| format!("Proxy-Authorization: Basic {user}\r\n"));
    let user = Zeroizing::new(user.unwrap_or_default());
    let request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{}\r\n", *user);
    let request = Zeroizing::new(request);
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    // Byte by byte: what follows the empty line is the server's.
    while !head.ends_with(b"\r\n\r\n") && head.len() < LONGEST_HEAD {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let status = head.get(9..12).unwrap_or_default();
    if head.starts_with(b"HTTP/1.") && status.starts_with(b"2") {
        Ok(())
    } else {
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}

const LONGEST_HEAD: usize = 8 << 10;
