//! The administration API, in JSON.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use openrms_store::StoreError;
use serde_json::json;

use super::guard::Admin;
use super::status::Status;
use crate::clock;
use crate::http::Core;
use crate::template::{self, Description, TemplateError};

pub(super) async fn status(_: Admin, Extract(core): Extract<Core>) -> Response {
    match Status::gather(&core).await {
        Ok(status) => Json(status).into_response(),
        Err(error) => failure(&error.into()),
    }
}

pub(super) async fn templates(_: Admin, Extract(core): Extract<Core>) -> Response {
    Json(template::list(&core.state.snapshot().cluster)).into_response()
}

pub(super) async fn create(
    admin: Admin,
    Extract(core): Extract<Core>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(denied) = admin.may_change(form_key(&headers)) {
        return denied.into_response();
    }
    let text = String::from_utf8_lossy(&body);
    let outcome = match Description::parse(&text) {
        Ok(description) => put(&core, &description).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(id) => (StatusCode::CREATED, Json(json!({ "id": id }))).into_response(),
        Err(error) => failure(&error),
    }
}

pub(super) async fn change(
    admin: Admin,
    Extract(core): Extract<Core>,
    Path((id, action)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Err(denied) = admin.may_change(form_key(&headers)) {
        return denied.into_response();
    }
    match act(&core, &id, &action).await {
        Ok(()) => Json(json!({ "id": id, "done": action })).into_response(),
        Err(error) => failure(&error),
    }
}

/// Signs and stores a template and serves it from now on.
pub(super) async fn put(core: &Core, description: &Description) -> Result<String, TemplateError> {
    let snapshot = core.state.snapshot();
    let store = &*core.state.opened.store;
    let level = core.state.config.service_level;
    let id = template::put(store, &snapshot.cluster, level, description, clock::now()).await?;
    refresh(core).await;
    tracing::info!(template = %id, "a template was stored");
    Ok(id.to_string())
}

/// `archive`, `publish` or `delete`.
pub(super) async fn act(core: &Core, id: &str, action: &str) -> Result<(), TemplateError> {
    let store = &*core.state.opened.store;
    let now = clock::now();
    match action {
        "archive" => template::set_published(store, id, false, now).await?,
        "publish" => template::set_published(store, id, true, now).await?,
        "delete" => template::remove(store, id).await?,
        _ => {
            let reason = format!("{action:?} is none of archive, publish and delete");
            return Err(TemplateError::Field {
                field: "action",
                reason,
            });
        }
    }
    refresh(core).await;
    tracing::info!(template = id, action, "a template was changed");
    Ok(())
}

async fn refresh(core: &Core) {
    if let Err(error) = core.state.refresh().await {
        tracing::error!(%error, "the configuration in use stays in use");
    }
}

fn form_key(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-openrms-form-key")?.to_str().ok()
}

fn failure(error: &TemplateError) -> Response {
    let (status, code) = match error {
        TemplateError::Syntax(_) => (StatusCode::BAD_REQUEST, "malformed"),
        TemplateError::Field { .. } => (StatusCode::BAD_REQUEST, "wrong-field"),
        TemplateError::Level(_) => (StatusCode::BAD_REQUEST, "service-level"),
        TemplateError::Unknown(_) => (StatusCode::NOT_FOUND, "not-found"),
        TemplateError::Store(StoreError::Decommissioned) => {
            (StatusCode::CONFLICT, "decommissioned")
        }
        TemplateError::Store(StoreError::Busy) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        TemplateError::Store(_) | TemplateError::Sign(_) => {
            tracing::error!(%error, "administration failed");
            (StatusCode::INTERNAL_SERVER_ERROR, "failed")
        }
    };
    let body = json!({ "error": { "code": code, "message": error.to_string() } });
    (status, Json(body)).into_response()
}
