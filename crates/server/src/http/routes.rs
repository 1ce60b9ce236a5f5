//! Which path leads where.

use std::sync::Arc;

use axum::Router;
use axum::extract::State as Extract;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;

use super::service::service;
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
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/metrics", get(counters))
        .route(CLIENT_BUNDLE_PATH, get(client_bundle))
        .merge(crate::admin::router())
        .fallback(service)
        .with_state(core)
}

/// The process lives.
async fn health() -> &'static str {
    "ok\n"
}

/// The server can do its work: the database answers and the SLC is valid.
async fn ready(Extract(core): Extract<Core>) -> Response {
    let snapshot = core.state.snapshot();
    let not_ready = |why: &str| (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"));
    if snapshot.cluster.policies.decommissioned {
        return not_ready("the cluster is decommissioned").into_response();
    }
    if let Err(error) = snapshot.cluster.server() {
        return not_ready(&error.to_string()).into_response();
    }
    if !snapshot.cluster.may_issue(crate::clock::now()) {
        return not_ready("the server licensor certificate is not valid now: renew it (event 18)")
            .into_response();
    }
    match core.state.opened.store.configuration_version().await {
        Ok(_) => "ready\n".into_response(),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            not_ready("the database does not answer").into_response()
        }
    }
}

async fn counters(Extract(core): Extract<Core>) -> Response {
    let kind: [(HeaderName, &str); 1] = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (kind, metrics::render(&core.state)).into_response()
}

async fn client_bundle(Extract(core): Extract<Core>) -> Response {
    match &core.state.snapshot().bundle {
        Some(bundle) => {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (kind, bundle.clone()).into_response()
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
