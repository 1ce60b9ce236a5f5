//! Fetching small public documents over HTTP, with bounds on size and time and without following
//! anybody elsewhere.

use std::time::Duration;

use super::FetchUrl;
use crate::outbound::{self, OutboundError, ReadError};

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

impl HttpFetch {
    /// Trusts the roots that this machine trusts, and those in `further_roots` (PEM). Asks
    /// through `proxy`, when there is one.
    pub(crate) fn new(
        further_roots: Option<&str>,
        proxy: Option<&str>,
    ) -> Result<Self, OutboundError> {
        outbound::agent(further_roots, proxy, TIMEOUT).map(Self)
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
        outbound::read(&mut answer, limit).map_err(|error| match error {
            ReadError::Broken(reason) => FetchError::Unreachable(reason),
            ReadError::TooLarge(limit) => FetchError::TooLarge(limit),
        })
    }
}

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
        assert!(matches!(outcome, Err(OutboundError::Roots(_))));
        let outcome = HttpFetch::new(None, Some("not a proxy")).map(drop);
        assert_eq!(outcome, Err(OutboundError::Proxy));
    }
}
