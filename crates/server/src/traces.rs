//! Traces for a collector of OpenTelemetry: one span for each request that is sampled, by the
//! conventions for HTTP servers, and in it one for each step that was noted. They leave on a thread
//! of their own, over OTLP with HTTP and protobuf. What does not leave in time is let go: no request
//! waits for a collector, and none fails for its sake.

mod exporter;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use axum::http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{
    Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use serde::Deserialize;

use crate::metrics::Passed;
use crate::outbound::OutboundError;
use crate::soap::Trace;

/// Where traces go, and which.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracesConfig {
    /// Base URL of the collector; `/v1/traces` is put behind it.
    pub endpoint: Endpoint,
    /// The share of requests that are traced when the caller does not say.
    #[serde(default)]
    pub sample: Share,
    /// A file with headers for the collector, one `Name: value` a line: credentials, mostly.
    pub headers_file: Option<PathBuf>,
    /// Whether spans tell accounts and contents.
    #[serde(default)]
    pub identifiers: bool,
}

/// A number from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Share(f64);

/// An `http` or `https` URL.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Endpoint(String);

/// Why nothing can be traced.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The file with headers cannot be read.
    #[error("[traces] headers_file {0}: {1}")]
    Headers(PathBuf, io::Error),
    /// A line of it is no header. It is not told: it may hold a secret.
    #[error("[traces] headers_file {0}: line {1} is not `Name: value`")]
    Header(PathBuf, usize),
    /// HTTP cannot be set up.
    #[error("[traces] {0}")]
    Outbound(#[from] OutboundError),
    /// The exporter does not take the settings.
    #[error("[traces] endpoint: {0}")]
    Exporter(String),
}

/// Traces that are switched on.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
    share: Share,
    identifiers: bool,
}

/// A request that is traced.
pub(crate) struct Traced<'t> {
    traces: &'t Traces,
    parent: Context,
    begun: (SystemTime, Instant),
}

/// What a span tells of a request.
#[derive(Debug)]
pub(crate) struct Told<'r> {
    pub(crate) method: &'r str,
    /// The path of the service, as it is spelled here and not by the caller.
    pub(crate) route: &'static str,
    pub(crate) scheme: &'static str,
    pub(crate) status: u16,
    /// As the log calls the request.
    pub(crate) id: &'r str,
    pub(crate) trace: &'r Trace,
}

impl TracesConfig {
    /// Paths that start at `base`.
    pub(crate) fn below(mut self, base: &Path) -> Self {
        self.headers_file = self.headers_file.map(|path| base.join(path));
        self
    }
}

impl Traces {
    /// Begins to export.
    pub(crate) fn start(config: &TracesConfig, server: &str) -> Result<Self, TracesError> {
        let processor = exporter::processor(config)?;
        // Not what the environment says: the configuration file says it all.
        let resource = Resource::builder_empty()
            .with_service_name("rmsd")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", server.to_owned()))
            .build();
        let provider = SdkTracerProvider::builder()
            // What is not sampled never becomes a span.
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(resource)
            .with_span_processor(processor)
            .build();
        Ok(Self {
            tracer: provider.tracer("rmsd"),
            provider,
            propagator: TraceContextPropagator::new(),
            share: config.sample,
            identifiers: config.identifiers,
        })
    }

    /// Decides whether a request is traced. A caller that says so in `traceparent` is obeyed; the
    /// header must have been taken from those who are not to be believed.
    pub(crate) fn sample(&self, headers: &HeaderMap) -> Option<Traced<'_>> {
        let extractor = HeaderExtractor(headers);
        let parent = self
            .propagator
            .extract_with_context(&Context::new(), &extractor);
        let span = parent.span();
        let caller = span.span_context();
        let is_sampled = if caller.is_valid() {
            caller.is_sampled()
        } else {
            self.share.falls()
        };
        is_sampled.then(|| Traced {
            traces: self,
            parent: parent.clone(),
            begun: (SystemTime::now(), Instant::now()),
        })
    }

    /// Lets what was noted leave, for a moment.
    pub(crate) fn stop(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(exporter::WHOLE_TIME) {
            tracing::warn!(%error, "the last traces did not leave");
        }
    }
}

impl Traced<'_> {
    /// Tells of a request that is answered.
    pub(crate) fn finish(self, told: &Told<'_>, passed: Vec<Passed>) {
        let tracer = &self.traces.tracer;
        let name = format!("{} {}", told.method, told.route);
        let mut span = tracer
            .span_builder(name)
            .with_kind(SpanKind::Server)
            .with_start_time(self.begun.0)
            .with_attributes(self.attributes(told))
            .start_with_context(tracer, &self.parent);
        if told.status >= 500 {
            span.set_status(Status::error(""));
        }
        let within = Context::new().with_remote_span_context(span.span_context().clone());
        for Passed { name, begun, ended } in passed {
            let mut step = tracer
                .span_builder(name)
                .with_kind(SpanKind::Internal)
                .with_start_time(self.at(begun))
                .start_with_context(tracer, &within);
            step.end_with_timestamp(self.at(ended));
        }
        span.end_with_timestamp(self.at(Instant::now()));
    }

    fn attributes(&self, told: &Told<'_>) -> Vec<KeyValue> {
        let mut attributes = vec![
            KeyValue::new("http.request.method", told.method.to_owned()),
            KeyValue::new("http.route", told.route),
            KeyValue::new("url.path", told.route),
            KeyValue::new("url.scheme", told.scheme),
            KeyValue::new("http.response.status_code", i64::from(told.status)),
            KeyValue::new("rms.request", told.id.to_owned()),
            KeyValue::new("rms.outcome", told.trace.outcome()),
        ];
        if let Some(operation) = told.trace.operation {
            attributes.push(KeyValue::new("rms.operation", operation.as_str()));
        }
        if told.status >= 500 {
            attributes.push(KeyValue::new("error.type", told.trace.outcome()));
        }
        if self.traces.identifiers {
            let items = told.trace.items.iter();
            let named = items.flat_map(|item| {
                let account = item.account.as_ref().map(|who| ("rms.account", who));
                let content = item.content.as_ref().map(|what| ("rms.content", what));
                account.into_iter().chain(content)
            });
            let named = named.map(|(name, value)| KeyValue::new(name, value.clone()));
            attributes.extend(named.take(MOST_IDENTIFIERS));
        }
        attributes
    }

    /// The time of day at an instant of this request.
    fn at(&self, instant: Instant) -> SystemTime {
        self.begun.0 + instant.saturating_duration_since(self.begun.1)
    }
}

impl Share {
    /// Whether one of many falls into the share, by chance.
    fn falls(self) -> bool {
        let mut random = [0; 4];
        // Without chance nothing is traced.
        openrms_crypto::random::fill(&mut random).is_ok()
            && f64::from(u32::from_le_bytes(random)) < self.0 * (f64::from(u32::MAX) + 1.0)
    }
}

impl Default for Share {
    fn default() -> Self {
        Self(0.01)
    }
}

impl TryFrom<f64> for Share {
    type Error = String;

    fn try_from(number: f64) -> Result<Self, String> {
        (0.0..=1.0)
            .contains(&number)
            .then_some(Self(number))
            .ok_or_else(|| format!("sample {number} is not from 0 to 1"))
    }
}

impl Endpoint {
    fn traces(&self) -> String {
        format!("{}/v1/traces", self.0.trim_end_matches('/'))
    }
}

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let uri: Result<axum::http::Uri, _> = text.parse();
        let fits = uri.is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
                && uri.query().is_none()
        });
        if fits {
            Ok(Self(text))
        } else {
            Err(format!("endpoint {text:?} is not an http or https URL"))
        }
    }
}

const MOST_IDENTIFIERS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TracesConfig, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        let endpoint = "endpoint = 'http://collector:4318/'\n";
        let config = read(endpoint).unwrap();
        assert_eq!(config.endpoint.traces(), "http://collector:4318/v1/traces");
        assert!(!config.identifiers);
        for (text, name) in [
            ("endpoint = 'collector:4318'".to_owned(), "collector:4318"),
            ("endpoint = 'ftp://collector'".to_owned(), "ftp"),
            (format!("{endpoint}sample = 1.5"), "1.5"),
            (format!("{endpoint}sample = nan"), "NaN"),
            (format!("{endpoint}rate = 1"), "rate"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_share_of_nothing_is_nothing_and_of_all_is_all() {
        assert!((0..100).all(|_| !Share(0.0).falls()));
        assert!((0..100).all(|_| Share(1.0).falls()));
    }
}
