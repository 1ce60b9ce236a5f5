//! The administration site and its API, for programs on the same machine that hold the token of
//! the data directory. A page in plain HTML that works without scripts.
//!
//! Browsers get a cookie for the token, once; changes from a page carry a value that only the
//! page knows. Programs send the token as `Authorization: Bearer`.

mod api;
mod guard;
mod page;
mod status;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{get, post};

use crate::http::Core;
pub(crate) use page::Text;

/// Everything below `/admin`.
pub(crate) fn router() -> Router<Core> {
    Router::new()
        .route("/admin", get(page::to_front))
        .route("/admin/", get(page::front))
        .route("/admin/style.css", get(page::style))
        .route("/admin/templates", post(page::change_template))
        .route("/admin/api/status", get(api::status))
        .route(
            "/admin/api/templates",
            get(api::templates).post(api::create),
        )
        .route("/admin/api/templates/{id}/{action}", post(api::change))
        .layer(map_response(secure))
}

/// Nothing from elsewhere runs in these pages, frames them, or keeps them.
async fn secure(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in &SECURITY {
        headers.insert(name.clone(), HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

static SECURITY: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];
