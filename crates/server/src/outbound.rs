//! HTTP that this server asks others over: with bounds on size and time, the roots that this
//! machine trusts, and without following anybody elsewhere.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Why nobody can be asked at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// The further roots are not certificates.
    #[error("the further root certificates cannot be read: {0}")]
    Roots(String),
    /// The proxy's URL cannot be read.
    #[error("the proxy's URL cannot be read")]
    Proxy,
}

/// Why an answer was not read to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadError {
    /// The connection broke, or nothing came in time.
    #[error("{0}")]
    Broken(String),
    /// More than was asked for.
    #[error("longer than {0} bytes")]
    TooLarge(usize),
}

/// Prepares asking. Trusts the roots that this machine trusts, and those in `further_roots`
/// (PEM). Asks through `proxy`, when there is one.
pub(crate) fn agent(
    further_roots: Option<&str>,
    proxy: Option<&str>,
    whole_time: Duration,
) -> Result<ureq::Agent, OutboundError> {
    let proxy = proxy.map(ureq::Proxy::new).transpose();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(provider)
        .root_certs(RootCerts::new_with_certs(&roots(further_roots)?))
        .build();
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .proxy(proxy.map_err(|_| OutboundError::Proxy)?)
        .timeout_global(Some(whole_time))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .build();
    Ok(config.new_agent())
}

/// Reads an answer's body. The bound is on what comes out of decompression.
pub(crate) fn read(
    answer: &mut ureq::http::Response<ureq::Body>,
    limit: usize,
) -> Result<Vec<u8>, ReadError> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let reader = answer.body_mut().with_config().limit(u64::MAX).reader();
    let mut body = Vec::new();
    reader
        .take(most)
        .read_to_end(&mut body)
        .map_err(|error| ReadError::Broken(error.to_string()))?;
    if body.len() > limit {
        return Err(ReadError::TooLarge(limit));
    }
    Ok(body)
}

/// Name or address of the host in a URL; an IPv6 address in its brackets.
pub(crate) fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn roots(further: Option<&str>) -> Result<Vec<Certificate<'static>>, OutboundError> {
    // A root that cannot be read is one the machine trusts in vain; the others still count.
    let found = rustls_native_certs::load_native_certs();
    let mut roots: Vec<_> = found
        .certs
        .iter()
        .map(|der| Certificate::from_der(der).to_owned())
        .collect();
    for item in parse_pem(further.unwrap_or_default().as_bytes()) {
        match item.map_err(|error| OutboundError::Roots(error.to_string()))? {
            PemItem::Certificate(certificate) => roots.push(certificate),
            _ => return Err(OutboundError::Roots("not a certificate".into())),
        }
    }
    Ok(roots)
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url_is_without_scheme_port_and_path() {
        for (url, name) in [
            ("https://rms.example/_wmcs", "rms.example"),
            ("http://127.0.0.1:8080/a:1", "127.0.0.1"),
            ("https://[::1]:443", "[::1]"),
            ("https://[::1]/_wmcs", "[::1]"),
            ("rms.example", "rms.example"),
            ("", ""),
        ] {
            assert_eq!(host(url), name, "{url}");
        }
    }
}
