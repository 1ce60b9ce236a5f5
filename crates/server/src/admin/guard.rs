//! Who may administer: programs on this machine that know the token.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openrms_crypto::{Secret, sha256};

use crate::http::{Core, Peer};

/// Somebody who may administer.
#[derive(Debug)]
pub(super) struct Admin {
    /// Whether the request may change things: it carries the token itself, not a cookie that a
    /// browser adds to requests of any origin.
    pub(super) by_token: bool,
    /// What a page puts into its forms.
    pub(super) form_key: String,
}

/// Why somebody may not.
pub(super) type Denied = (StatusCode, &'static str);

impl FromRequestParts<Core> for Admin {
    type Rejection = Denied;

    async fn from_request_parts(parts: &mut Parts, core: &Core) -> Result<Self, Denied> {
        match parts.extensions.get::<Peer>() {
            Some(peer) if peer.is_loopback() => {}
            _ => return Err(ELSEWHERE),
        }
        let token = core.state.admin_token.expose();
        let form_key = derived(token, FORM);
        if let Some(given) = bearer(&parts.headers) {
            return if same(given, token) {
                Ok(Self {
                    by_token: true,
                    form_key,
                })
            } else {
                Err(WRONG)
            };
        }
        let cookie = derived(token, COOKIE);
        if cookies(&parts.headers).any(|value| same(value, cookie.as_bytes())) {
            Ok(Self {
                by_token: false,
                form_key,
            })
        } else {
            Err(WRONG)
        }
    }
}

impl Admin {
    /// Whether a change that came with this form key was made by the page, not by another site.
    pub(super) fn may_change(&self, form_key: Option<&str>) -> Result<(), Denied> {
        let from_page = form_key.is_some_and(|given| same(given, self.form_key.as_bytes()));
        if self.by_token || from_page {
            Ok(())
        } else {
            Err(FORGED)
        }
    }
}

/// The value of a `Set-Cookie` for a browser that brought the token.
pub(super) fn cookie_for(core: &Core, peer: Peer, given: &str) -> Result<String, Denied> {
    if !peer.is_loopback() {
        return Err(ELSEWHERE);
    }
    let token = core.state.admin_token.expose();
    if !same(given, token) {
        return Err(WRONG);
    }
    let secure = if peer.tls { "; Secure" } else { "" };
    let value = derived(token, COOKIE);
    Ok(format!(
        "{COOKIE_NAME}={value}; Path=/admin; HttpOnly; SameSite=Strict{secure}"
    ))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(';'))
        .filter_map(|cookie| cookie.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
}

/// Compared in constant time.
fn same(given: &str, expected: &[u8]) -> bool {
    Secret::new(given.as_bytes().to_vec()) == Secret::new(expected.to_vec())
}

/// A value that shows knowledge of the token without telling it.
fn derived(token: &[u8], purpose: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(sha256(&[purpose, token].concat()))
}

const COOKIE_NAME: &str = "openrms-admin";
const COOKIE: &[u8] = b"openrms admin cookie 1\0";
const FORM: &[u8] = b"openrms admin form 1\0";
const ELSEWHERE: Denied = (
    StatusCode::FORBIDDEN,
    "Administration is open to the server's own machine only.\n",
);
const WRONG: Denied = (
    StatusCode::UNAUTHORIZED,
    "Open the address that `rmsd admin-url` prints: it carries the token of this server.\n",
);
const FORGED: Denied = (
    StatusCode::FORBIDDEN,
    "This change did not come from the administration page.\n",
);
