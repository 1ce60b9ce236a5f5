//! The channel over HTTP, below `/openrms/repo/`. Nobody signs in: what is there is public, and believed
//! for its signatures alone. Only what the manifest lists is found.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path as Wanted, State as Extract};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::response::{Html, IntoResponse, Redirect};
use axum::routing::get;
use openrms_crypto::sha256;
use openrms_xrml::Time;
use tokio::sync::Semaphore;

use super::body::FileBody;
use super::manifest::{Manifest, Sha256Sum};
use super::range::{Asked, Part};
use super::{Channel, RepoError, Repository, page};
use crate::clock;
use crate::events::Event;
use crate::http::Core;

/// The channel that a server hands out.
#[derive(Debug)]
pub(crate) struct Served {
    repository: Repository,
    current: ArcSwapOption<Channel>,
    /// A permit for each download under way.
    places: Arc<Semaphore>,
    downloads: AtomicU64,
    /// Whether it was said that the channel has expired.
    told: AtomicBool,
}

impl Served {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            repository: Repository::new(folder),
            current: ArcSwapOption::empty(),
            places: Arc::new(Semaphore::new(DOWNLOADS)),
            downloads: AtomicU64::new(0),
            told: AtomicBool::new(false),
        }
    }

    /// The channel that is there now.
    pub(crate) fn channel(&self) -> Result<Option<Arc<Channel>>, RepoError> {
        let folder = self.repository.current_folder()?;
        let known = self.current.load_full();
        if known.as_ref().map(|channel| &channel.folder) == folder.as_ref() {
            return Ok(known);
        }
        let fresh = self.repository.current()?.map(Arc::new);
        self.current.store(fresh.clone());
        Ok(fresh)
    }

    /// Looks whether machines still take the channel, and tells when they do not any more.
    pub(crate) fn look(&self, now: Time) {
        match self.channel() {
            Ok(Some(channel)) if channel.manifest.is_expired(now) => {
                if !self.told.swap(true, Relaxed) {
                    let since = channel.manifest.expires();
                    Event::ChannelExpired.emit(format_args!("the channel expired at {since}"));
                }
            }
            Ok(_) => self.told.store(false, Relaxed),
            Err(error) => tracing::warn!(%error, "the channel cannot be read"),
        }
    }

    /// Whether machines do not take the channel any more, when it was last looked.
    pub(crate) fn is_expired(&self) -> bool {
        self.told.load(Relaxed)
    }

    /// Files that were asked for and handed out, whole or in part.
    pub(crate) fn downloads(&self) -> u64 {
        self.downloads.load(Relaxed)
    }

    /// When the channel expires, in seconds since 1970.
    pub(crate) fn expiry(&self) -> Option<u64> {
        let current = self.current.load();
        current
            .as_ref()
            .and_then(|channel| channel.manifest.expires().unix().try_into().ok())
    }
}

/// Everything below `/openrms/repo`.
pub(crate) fn router() -> Router<Core> {
    Router::new()
        .route("/openrms/repo", get(async || Redirect::permanent(PLACE)))
        .route(PLACE, get(front))
        .route("/openrms/repo/{*path}", get(file))
}

async fn file(
    Extract(core): Extract<Core>,
    Wanted(path): Wanted<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let served = &core.state.repo;
    let channel = match served.channel() {
        Ok(Some(channel)) => channel,
        Ok(None) => return none_here(),
        Err(error) => return broken(&error),
    };
    let Some(sum) = channel.sum(&path) else {
        return (StatusCode::NOT_FOUND, "The channel has no such file.\n").into_response();
    };
    let tag = format!("\"{}\"", page::hex(&sum));
    let mut response = match Asked::of(&headers, &tag) {
        Asked::Known => StatusCode::NOT_MODIFIED.into_response(),
        asked => {
            let Ok(place) = served.places.clone().try_acquire_owned() else {
                let later = [(header::RETRY_AFTER, "10")];
                let why = "Too many downloads are under way.\n";
                return (StatusCode::SERVICE_UNAVAILABLE, later, why).into_response();
            };
            let opened = open(channel.folder.join(&path), &asked);
            let (file, length, part) = match opened {
                Ok(opened) => opened,
                Err(error) => return broken(&RepoError::Io(path.into(), error)),
            };
            served.downloads.fetch_add(1, Relaxed);
            content(file, length, part, |file, bytes| {
                Body::new(FileBody::new(file, bytes, place))
            })
        }
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    let kind = HeaderValue::from_static(content_type(&path));
    headers.insert(header::CONTENT_TYPE, kind);
    for (name, value) in &ALWAYS {
        headers.insert(name.clone(), HeaderValue::from_static(value));
    }
    response
}

impl Channel {
    /// The hash of a file that is handed out; the manifest's own are not listed in it.
    fn sum(&self, path: &str) -> Option<Sha256Sum> {
        match path {
            Manifest::FILE => Some(sha256(&self.bytes)),
            // Few bytes; and who asks for one asks seldom.
            Manifest::SIGNATURE | Manifest::OPENPGP_SIGNATURE => {
                let most = super::import::LONGEST_OPENPGP;
                let bytes = crate::files::read_limited(&self.folder.join(path), most).ok()?;
                Some(sha256(&bytes))
            }
            _ => self.manifest.sum(path).copied(),
        }
    }
}

/// The file, at the first byte that is sent; its length; and what of it is sent.
fn open(path: PathBuf, asked: &Asked) -> io::Result<(File, u64, Part)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let part = asked.part(length);
    if let Part::Of { from, .. } = part {
        file.seek(SeekFrom::Start(from))?;
    }
    Ok((file, length, part))
}

fn content(
    file: File,
    length: u64,
    part: Part,
    body: impl FnOnce(File, u64) -> Body,
) -> Response<Body> {
    let (status, range, bytes) = match part {
        Part::Nothing => {
            let range = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
            return (StatusCode::RANGE_NOT_SATISFIABLE, range).into_response();
        }
        Part::Whole => (StatusCode::OK, None, length),
        Part::Of { from, bytes } => {
            let last = from.saturating_add(bytes).saturating_sub(1);
            let range = format!("bytes {from}-{last}/{length}");
            (StatusCode::PARTIAL_CONTENT, Some(range), bytes)
        }
    };
    let mut response = Response::new(body(file, bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, bytes.into());
    if let Some(Ok(range)) = range.map(HeaderValue::try_from) {
        headers.insert(header::CONTENT_RANGE, range);
    }
    response
}

/// What a person is to do.
async fn front(Extract(core): Extract<Core>) -> Response<Body> {
    let channel = match core.state.repo.channel() {
        Ok(Some(channel)) => channel,
        Ok(None) => return none_here(),
        Err(error) => return broken(&error),
    };
    let snapshot = core.state.snapshot();
    let base = snapshot.cluster.base_url().trim_end_matches("/_wmcs");
    let place = format!("{base}{}", PLACE.trim_end_matches('/'));
    let name = &snapshot.cluster.policies.name;
    let mut response = Html(page::html(&channel, name, &place, clock::now())).into_response();
    for (name, value) in &ALWAYS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name.clone(), value);
    }
    response
}

fn none_here() -> Response<Body> {
    let text = "This cluster hands out no packages.\n";
    (StatusCode::NOT_FOUND, text).into_response()
}

fn broken(error: &RepoError) -> Response<Body> {
    tracing::error!(%error, "the channel cannot be read");
    let text = "The packages cannot be read now.\n";
    (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
}

fn content_type(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let (_, ending) = name.rsplit_once('.').unwrap_or_default();
    match ending {
        "deb" => "application/vnd.debian.binary-package",
        "rpm" => "application/x-rpm",
        "msi" => "application/x-msi",
        "exe" => "application/vnd.microsoft.portable-executable",
        "gz" => "application/gzip",
        "xz" => "application/x-xz",
        "zst" => "application/zstd",
        "json" => "application/json",
        "xml" => "application/xml",
        "pem" => "application/x-pem-file",
        "gpg" => "application/pgp-keys",
        "asc" | "sig" | "sh" | "ps1" | "sources" | "repo" | "manifest" | "md" | "txt" => TEXT,
        "" if matches!(name, "InRelease" | "Release" | "Packages") => TEXT,
        _ => "application/octet-stream",
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

/// Packages are looked at by nobody's browser.
static ALWAYS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-cache"),
    (header::ACCEPT_RANGES, "bytes"),
];

const PLACE: &str = "/openrms/repo/";
/// So many at a time; whoever takes them slowly keeps nobody from licences.
const DOWNLOADS: usize = 512;
