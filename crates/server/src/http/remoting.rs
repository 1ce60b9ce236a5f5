//! Group expansion for servers before RMS 1.0 SP2, in their binary form (MS-RMPRS 2.1.1.2): open to
//! whom the SOAP form is open to.

use axum::http::{HeaderValue, StatusCode, header, request};
use axum::response::{IntoResponse, Response};
use openrms_engine::{Refusal, expansion};
use openrms_protocol::Service;
use openrms_protocol::binary_group_expansion::{
    self as binary, Answer, Principal, RemotingException, http as wire,
};

use super::Peer;
use super::routes::Core;
use super::service::{BodyError, read_body};
use crate::access::Access;
use crate::clock;
use crate::sign_in::{self, Credentials, NotSignedIn, SignedIn, TlsFacts, sign_in};
use crate::snapshot::Snapshot;

/// Answers a question.
pub(super) async fn remoting(
    core: Core,
    (peer, tls): (Peer, TlsFacts),
    parts: request::Parts,
    body: axum::body::Body,
) -> Response {
    let kind = parts.headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok());
    if wire::check_request(parts.method.as_str(), kind).is_err() {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let state = &core.state;
    let snapshot = state.snapshot();
    let credentials = Credentials {
        headers: &parts.headers,
        tls: &tls,
    };
    let access = state.access(Service::GroupExpansion);
    if access == Access::Closed {
        return StatusCode::FORBIDDEN.into_response();
    }
    let service = Service::GroupExpansion;
    let signed_in = match sign_in(state, &snapshot, peer, service, credentials).await {
        Ok(signed_in) => signed_in,
        Err(NotSignedIn::Directory { .. } | NotSignedIn::Issuer | NotSignedIn::Busy) => {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        Err(_) => {
            let mut refused = StatusCode::UNAUTHORIZED.into_response();
            for offer in sign_in::challenges(state, &snapshot, peer, service) {
                refused
                    .headers_mut()
                    .append(header::WWW_AUTHENTICATE, offer);
            }
            return refused;
        }
    };
    if !may_ask(&access, &signed_in, &snapshot).await {
        return StatusCode::FORBIDDEN.into_response();
    }
    let limits = &state.config.limits;
    let read = read_body(&parts.headers, body, limits.body_bytes);
    let body = match tokio::time::timeout(limits.body_time(), read).await {
        Ok(Ok(body)) => body,
        Ok(Err(BodyError::TooLarge)) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        _ => return StatusCode::BAD_REQUEST.into_response(),
    };
    let context = state.context(&snapshot, clock::now());
    let answer = match binary::parse_request(&body, &state.limits) {
        Err(error) => {
            tracing::info!(peer = %peer.address, %error, "a binary question that cannot be read");
            binary::encode_response(&binary::Response::Exception(error.exception()))
        }
        Ok(request) => {
            let question = &request.question;
            match expansion::is_principal_member_of(&context, question).await {
                Ok(response) => binary::encode_response(&binary::Response::Answer(Answer {
                    version: request.version,
                    is_member: response.is_member,
                    principal: Principal::named(&*question.principal_name, response.is_member),
                })),
                Err(refusal) => exception(&refusal),
            }
        }
    };
    let mut response = (
        [(header::CONTENT_TYPE, wire::CONTENT_TYPE)],
        axum::body::Bytes::from(answer),
    )
        .into_response();
    if let Some(reply) = signed_in.reply {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, reply);
    }
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn may_ask(access: &Access, signed_in: &SignedIn, snapshot: &Snapshot) -> bool {
    match access {
        Access::Members(groups) => {
            let directory = snapshot.accounts.directory();
            signed_in
                .is_in_one(groups, directory)
                .await
                .unwrap_or(false)
        }
        Access::SignedIn => true,
        Access::Closed | Access::Anyone => false,
    }
}

/// The form has no faults: the name of one travels in an exception.
fn exception(refusal: &Refusal) -> Vec<u8> {
    tracing::info!(code = refusal.code.wire_name(), reason = refusal.reason);
    let name = refusal.fault().fault_string();
    binary::encode_response(&binary::Response::Exception(RemotingException::new(name)))
}
