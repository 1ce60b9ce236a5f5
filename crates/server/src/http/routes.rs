//! Which path leads where.

use std::sync::Arc;

use axum::extract::{Query, State as Extract};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use openrms_crypto::Mode;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::service::service;
use crate::health::{self, Condition, Report};
use crate::metrics::{self, Counters};
use crate::state::State;

/// One serving thread's view of the server.
#[derive(Clone)]
pub(crate) struct Core {
    pub(crate) state: Arc<State>,
    /// Which thread.
    pub(crate) index: usize,
    /// A permit for each request under way on this thread.
    pub(crate) under_way: Arc<Semaphore>,
}

impl Core {
    pub(crate) fn new(state: Arc<State>, index: usize) -> Self {
        Self {
            state,
            index,
            under_way: Arc::new(Semaphore::new(PERMITS as usize)),
        }
    }

    /// Waits until no request is under way on this thread.
    pub(crate) async fn idle(&self) {
        // Never closed, so there is nothing to fail.
        let _ = self.under_way.acquire_many(PERMITS).await;
    }

    /// The counters of this thread.
    pub(crate) fn counters(&self) -> &Counters {
        // As many as there are threads, and at least one.
        let all = self.state.counters();
        &all[self.index % all.len()]
    }
}

/// Everything that is served. The services' paths are matched without regard to case, which is
/// why they are not routes but what is left over.
pub(crate) fn router(core: Core) -> Router {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(counters))
        .route(CLIENT_BUNDLE_PATH, get(client_bundle))
        .merge(crate::admin::router())
        .merge(crate::repo::router())
        .fallback(service)
        .with_state(core)
}

/// The process lives.
async fn alive() -> &'static str {
    "ok\n"
}

/// Whether the server can do its work, and how each component is.
async fn ready(Extract(core): Extract<Core>, headers: HeaderMap) -> Response {
    health::look(&core.state).await;
    let report = Report::of(&core.state);
    let status = match report.worst {
        Condition::Ok | Condition::Degraded => StatusCode::OK,
        Condition::Failed => StatusCode::SERVICE_UNAVAILABLE,
    };
    let accepted = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    if accepted.is_some_and(|accepted| accepted.contains("application/json")) {
        return (status, Json(report)).into_response();
    }
    (status, report.text()).into_response()
}

async fn counters(Extract(core): Extract<Core>) -> Response {
    let kind: [(HeaderName, &str); 1] = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (kind, metrics::render(&core.state)).into_response()
}

/// What is asked of the client bundle.
#[derive(Debug, Deserialize)]
struct Wanted {
    /// The cryptographic mode of the machine to be activated; the cluster's when absent.
    mode: Option<u32>,
}

async fn client_bundle(Extract(core): Extract<Core>, Query(wanted): Query<Wanted>) -> Response {
    let snapshot = core.state.snapshot();
    let mode = wanted.mode.map(Mode::from_number);
    if mode == Some(None) {
        return (StatusCode::BAD_REQUEST, "There are modes 1 and 2.\n").into_response();
    }
    match snapshot.bundle(mode.flatten()) {
        Some(bundle) => {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (kind, bundle.to_owned()).into_response()
        }
        None => (
            StatusCode::NOT_FOUND,
            "This cluster hands out no client bundle.\n",
        )
            .into_response(),
    }
}

/// Where a client finds what it needs to join.
pub(crate) const CLIENT_BUNDLE_PATH: &str = "/.well-known/openrms/client";
/// More than there can be connections.
const PERMITS: u32 = 1 << 20;
