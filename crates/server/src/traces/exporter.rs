//! How spans leave: in batches, on a thread of their own, over the HTTP client of the server.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor};
use zeroize::Zeroizing;

use super::{TracesConfig, TracesError};
use crate::outbound;

/// Prepares the thread and its queue.
pub(super) fn processor(config: &TracesConfig) -> Result<BatchSpanProcessor, TracesError> {
    let headers = match &config.headers_file {
        Some(path) => read_headers(path)?,
        None => HashMap::new(),
    };
    let client = Client {
        agent: outbound::agent(None, None, WHOLE_TIME)?,
        failing: AtomicBool::new(false),
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(config.endpoint.traces())
        .with_headers(headers)
        .with_timeout(WHOLE_TIME)
        .build()
        .map_err(|error| TracesError::Exporter(error.to_string()))?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(DELAY)
        .build();
    Ok(BatchSpanProcessor::builder(exporter)
        .with_batch_config(batches)
        .build())
}

/// Headers, one a line. Empty lines and those that begin with `#` are none.
fn read_headers(path: &Path) -> Result<HashMap<String, String>, TracesError> {
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| TracesError::Headers(path.to_owned(), error))?;
    let lines = text.lines().zip(1..);
    let lines = lines.filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
    let header = |(line, number): (&str, usize)| {
        let wrong = || TracesError::Header(path.to_owned(), number);
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let (name, value) = (name.trim(), value.trim());
        let fits = axum::http::HeaderName::try_from(name).is_ok()
            && axum::http::HeaderValue::try_from(value).is_ok();
        fits.then(|| (name.to_owned(), value.to_owned()))
            .ok_or_else(wrong)
    };
    lines.map(header).collect()
}

/// The HTTP client of the server, as the exporter wants one. Blocks: the thread is the exporter's.
#[derive(Debug)]
struct Client {
    agent: ureq::Agent,
    failing: AtomicBool,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.send(request);
        let failed = match &sent {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(answer.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        // Once, and not for each batch.
        let before = self.failing.swap(failed.is_some(), Relaxed);
        match failed {
            Some(error) if !before => {
                tracing::warn!(error, "traces are lost: the collector does not take them");
            }
            None if before => tracing::info!("the collector takes traces again"),
            _ => {}
        }
        sent
    }
}

impl Client {
    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let body: &[u8] = &body;
        let mut answer = self.agent.run(Request::from_parts(parts, body))?;
        let body = outbound::read(&mut answer, MAX_ANSWER)?;
        let (parts, _) = answer.into_parts();
        Ok(Response::from_parts(parts, body.into()))
    }
}

/// For a batch to leave, and for the last ones when the server stops.
pub(super) const WHOLE_TIME: Duration = Duration::from_secs(5);
const DELAY: Duration = Duration::from_secs(2);
/// Spans that wait; further ones are let go.
const QUEUE: usize = 4096;
const BATCH: usize = 512;
const MAX_ANSWER: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_header_is_refused_without_being_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path();
        std::fs::write(
            path,
            "# for the collector\nAuthorization: Bearer abc\n\nX-Scope:1\n",
        )
        .unwrap();
        let headers = read_headers(path).unwrap();
        assert_eq!(headers["Authorization"], "Bearer abc");
        assert_eq!(headers["X-Scope"], "1");
        std::fs::write(path, "Authorization: a\nsecret without a name\n").unwrap();
        let error = read_headers(path).unwrap_err().to_string();
        assert!(
            error.contains("line 2") && !error.contains("secret"),
            "{error}"
        );
    }
}
