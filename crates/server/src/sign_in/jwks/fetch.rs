//! Fetching small public documents over HTTP, with bounds on size and time and without following
//! anybody elsewhere.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::FetchUrl;

/// Fetches documents.
pub(crate) trait Fetch: Send + Sync {
    /// What is at `url`, when it is no longer than `limit` bytes. Blocks, but not for ever.
    fn get(&self, url: &FetchUrl, limit: usize) -> Result<Vec<u8>, FetchError>;
}

/// Why a document was not fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    /// No answer, or not to the end.
    #[error("not reached: {0}")]
    Unreachable(String),
    /// Another answer than 200, be it a redirection.
    #[error("answered {0}")]
    Status(u16),
    /// More than was asked for.
    #[error("longer than {0} bytes")]
    TooLarge(usize),
}

/// Fetches documents over HTTP.
pub(crate) struct HttpFetch(ureq::Agent);

/// Why fetching cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchSetupError {
    /// The further roots are not certificates.
    #[error("the further root certificates cannot be read: {0}")]
    Roots(String),
    /// The proxy's URL cannot be read.
    #[error("the proxy's URL cannot be read")]
    Proxy,
}

impl HttpFetch {
    /// Trusts the roots that this machine trusts, and those in `further_roots` (PEM). Asks
    /// through `proxy`, when there is one.
    pub(crate) fn new(
        further_roots: Option<&str>,
        proxy: Option<&str>,
    ) -> Result<Self, FetchSetupError> {
        let proxy = proxy.map(ureq::Proxy::new).transpose();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::new_with_certs(&roots(further_roots)?))
            .build();
        let config = ureq::Agent::config_builder()
            .tls_config(tls)
            .proxy(proxy.map_err(|_| FetchSetupError::Proxy)?)
            .timeout_global(Some(TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .build();
        Ok(Self(config.new_agent()))
    }
}

impl Fetch for HttpFetch {
    fn get(&self, url: &FetchUrl, limit: usize) -> Result<Vec<u8>, FetchError> {
        let mut answer = self
            .0
            .get(url.uri())
            .header("Accept", "application/json")
            .call()
            .map_err(|error| FetchError::Unreachable(error.to_string()))?;
        if answer.status() != ureq::http::StatusCode::OK {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        // The bound is on what comes out of decompression.
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let reader = answer.body_mut().with_config().limit(u64::MAX).reader();
        let mut body = Vec::new();
        reader
            .take(most)
            .read_to_end(&mut body)
            .map_err(|error| FetchError::Unreachable(error.to_string()))?;
        if body.len() > limit {
            return Err(FetchError::TooLarge(limit));
        }
        Ok(body)
    }
}

fn roots(further: Option<&str>) -> Result<Vec<Certificate<'static>>, FetchSetupError> {
    // A root that cannot be read is one the machine trusts in vain; the others still count.
    let found = rustls_native_certs::load_native_certs();
    let mut roots: Vec<_> = found
        .certs
        .iter()
        .map(|der| Certificate::from_der(der).to_owned())
        .collect();
    for item in parse_pem(further.unwrap_or_default().as_bytes()) {
        match item.map_err(|error| FetchSetupError::Roots(error.to_string()))? {
            PemItem::Certificate(certificate) => roots.push(certificate),
            _ => return Err(FetchSetupError::Roots("not a certificate".into())),
        }
    }
    Ok(roots)
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use axum::Router;
    use axum::http::StatusCode;
    use axum::response::Redirect;
    use axum::routing::get;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// What comes of fetching at most 100 bytes from a server.
    async fn fetched(router: Router) -> Result<Vec<u8>, FetchError> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let serving = tokio::spawn(axum::serve(listener, router).into_future());
        let outcome = tokio::task::spawn_blocking(move || {
            let http = HttpFetch::new(None, None).unwrap();
            http.get(&FetchUrl::try_from(url).unwrap(), 100)
        });
        let outcome = outcome.await.unwrap();
        serving.abort();
        outcome
    }

    #[tokio::test]
    async fn a_document_is_fetched_when_it_is_not_too_long() {
        let text = |length: usize| Router::new().route("/", get("a".repeat(length)));
        assert_eq!(fetched(text(100)).await, Ok(vec![b'a'; 100]));
        assert_eq!(fetched(text(101)).await, Err(FetchError::TooLarge(100)));
    }

    #[tokio::test]
    async fn a_document_may_not_swell_when_it_is_unpacked() {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&[b'a'; 10_000]).unwrap();
        let packed = packed.finish().unwrap();
        assert!(packed.len() < 100);
        let router = Router::new().route(
            "/",
            get(move || std::future::ready(([("content-encoding", "gzip")], packed.clone()))),
        );
        assert_eq!(fetched(router).await, Err(FetchError::TooLarge(100)));
    }

    #[tokio::test]
    async fn nothing_but_200_is_an_answer_and_redirections_are_not_followed() {
        let there = Router::new()
            .route(
                "/",
                get(|| std::future::ready(Redirect::temporary("/there"))),
            )
            .route("/there", get("keys"));
        assert_eq!(fetched(there).await, Err(FetchError::Status(307)));
        let error = get(|| std::future::ready((StatusCode::NOT_FOUND, "keys")));
        let error = Router::new().route("/", error);
        assert_eq!(fetched(error).await, Err(FetchError::Status(404)));
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_not_reached() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let http = HttpFetch::new(None, None).unwrap();
        let outcome = http.get(&FetchUrl::try_from(url).unwrap(), 100);
        assert!(
            matches!(outcome, Err(FetchError::Unreachable(_))),
            "{outcome:?}"
        );
    }

    #[test]
    fn roots_and_proxies_that_are_none_are_refused() {
        let garbage = "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n";
        let outcome = HttpFetch::new(Some(garbage), None).map(drop);
        assert!(matches!(outcome, Err(FetchSetupError::Roots(_))));
        let outcome = HttpFetch::new(None, Some("not a proxy")).map(drop);
        assert_eq!(outcome, Err(FetchSetupError::Proxy));
    }
}
