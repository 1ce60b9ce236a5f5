//! gzip of answers, for callers that ask for it.

use std::io::Write as _;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_ENCODING;
use flate2::Compression;
use flate2::write::GzEncoder;

/// The body compressed, when the caller takes gzip and it is long enough to gain by it.
pub(super) fn gzip(headers: &HeaderMap, body: &[u8]) -> Option<Vec<u8>> {
    if body.len() <= SHORT || !accepts_gzip(headers) {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 2), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let name = name.trim();
        let weight = parameters.trim().strip_prefix("q=").map(str::trim);
        let refused = weight
            .and_then(|q| q.parse::<f32>().ok())
            .is_some_and(|q| q <= 0.0);
        (name.eq_ignore_ascii_case("gzip") || name == "*") && !refused
    })
}

const SHORT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_used_when_asked_for_and_not_refused() {
        let asks = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, axum::http::HeaderValue::from_static(text));
            accepts_gzip(&headers)
        };
        assert!(asks("gzip") && asks("deflate, GZIP;q=0.5") && asks("*"));
        assert!(!asks("deflate") && !asks("gzip;q=0") && !asks("gzip; q=0.0"));
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
