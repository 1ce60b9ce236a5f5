//! The services of MS-RMPR over HTTP: POST for SOAP, GET for the WSDL or a word of explanation.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Instant;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Body as _;
use openrms_engine::context::check_not_decommissioned;
use openrms_engine::{Caller, Refusal, unanswered};
use openrms_protocol::binary_group_expansion::http as wire;
use openrms_protocol::{FaultCode, Feature, HttpHead, Service, ServiceLevel, SoapVersion, wsdl};

use super::routes::Core;
use super::{Peer, compress};
use crate::access::Access;
use crate::activation;
use crate::clock;
use crate::events::Event;
use crate::logging::journal::{Asked, NotKept};
use crate::metrics::Watch;
use crate::remoting;
use crate::sign_in::{self, ConnectionFacts, Credentials, NotSignedIn, SignedIn, sign_in};
use crate::snapshot::Snapshot;
use crate::soap::{self, Form, Incoming, Outgoing, Trace};
use crate::state::State;
use crate::traces::Told;

/// Answers whatever is not one of the server's own pages.
pub(super) async fn service(
    Extract(core): Extract<Core>,
    Extension(peer): Extension<Peer>,
    Extension(connection): Extension<ConnectionFacts>,
    request: Request,
) -> Response {
    let path = request.uri().path();
    let is_binary = wire::is_path(path);
    let service = if is_binary {
        Some(Service::GroupExpansion)
    } else {
        Service::from_path(path)
    };
    let level = core.state.config.service_level;
    // The binary form of group expansion is older than the other, and is always there.
    let Some(service) = service.filter(|&service| is_binary || level.offers(service)) else {
        return (StatusCode::NOT_FOUND, "There is nothing here.\n").into_response();
    };
    if !core.state.snapshot().cluster.offers(service) {
        return (StatusCode::NOT_FOUND, "The root cluster serves this.\n").into_response();
    }
    let form = if is_binary {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok());
        if wire::check_request(request.method().as_str(), kind).is_err() {
            return StatusCode::BAD_REQUEST.into_response();
        }
        Form::Binary
    } else {
        Form::Soap(wanted_soap(request.headers(), level))
    };
    match *request.method() {
        Method::POST => in_task(core, (peer, connection), (service, form), request).await,
        _ if is_binary => in_task(core, (peer, connection), (service, form), request).await,
        Method::GET | Method::HEAD => describe(&core, peer, service, &request),
        _ => {
            let allow = [(header::ALLOW, "GET, HEAD, POST")];
            (
                StatusCode::METHOD_NOT_ALLOWED,
                allow,
                "Services take POST.\n",
            )
                .into_response()
        }
    }
}

/// Answers in a task of its own: a caller that hangs up does not keep the work from being finished
/// and written down.
async fn in_task(
    core: Core,
    caller: (Peer, ConnectionFacts),
    asked: (Service, Form),
    request: Request,
) -> Response {
    let permit = core.under_way.clone().acquire_owned().await;
    let work = async move {
        let answer = post(core, caller, asked, request).await;
        drop(permit);
        answer
    };
    tokio::spawn(work).await.unwrap_or_else(|error| {
        Event::InternalError.emit(format_args!("a request ended in a panic: {error}"));
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}

async fn post(
    core: Core,
    (peer, connection): (Peer, ConnectionFacts),
    (service, form): (Service, Form),
    request: Request,
) -> Response {
    let start = Instant::now();
    let time = clock::millis();
    let state = core.state.clone();
    let id = state.next_request();
    let (parts, body) = request.into_parts();
    let mut user = None;
    let traced = state.traces.as_ref();
    let traced = traced.and_then(|traces| traces.sample(&parts.headers));
    let watch = Watch::new(core.counters(), traced.is_some());
    let answer = match state.requests.begin() {
        None => {
            core.counters()
                .turned_away
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Err(Refused::Full)
        }
        Some(_under_way) if !state.journal.admits() => Err(Refused::NotLogged),
        Some(_under_way) => {
            let credentials = Credentials {
                headers: &parts.headers,
                connection: &connection,
            };
            let asked = (service, form);
            answer(&core, peer, asked, credentials, body, &watch, &mut user).await
        }
    };
    let micros = clock::micros_since(start);
    let mut answer = answer;
    let endpoint = parts.uri.path();
    let mut trace = take_trace(&mut answer);
    core.counters()
        .count(trace.operation, trace.failed(), micros);
    let super_user = trace.super_user_grants();
    if super_user > 0 {
        core.counters().count_super_user(super_user);
        Event::SuperUserUsed.emit(format_args!("request {id} from {}", peer.address));
    }
    for item in &trace.items {
        if let Some((code, reason)) = &item.refusal {
            let operation = trace.operation.map(openrms_protocol::OperationName::as_str);
            tracing::info!(request = id, peer = %peer.address, endpoint, operation, code, reason);
        }
    }
    let asked = Asked {
        time,
        request: &id,
        peer: peer.address,
        secure: peer.tls,
        path: endpoint,
        user_agent: text(&parts.headers, header::USER_AGENT.as_str()),
        user: user.as_deref(),
        form: form.as_str(),
        micros,
    };
    // There may be no space, which is why it was refused.
    if !matches!(answer, Err(Refused::NotLogged)) {
        let begun = Instant::now();
        let written = write_down(&state, &asked, &trace).await;
        watch.note("Log", begun);
        match written {
            Ok(()) => core.counters().logging.record(clock::micros_since(begun)),
            Err(unwritten) => {
                // What cannot be written down is not handed out.
                let failures = &core.counters().logging_failures;
                failures.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                answer = unwritten.refuse(answer, form, &id);
                trace = take_trace(&mut answer);
            }
        }
    }
    let mut response = match answer {
        Ok(outgoing) => encode(&parts.headers, outgoing),
        Err(refused) => refused.response(form),
    };
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", id);
    }
    if let Some(traced) = traced {
        let told = Told {
            method: parts.method.as_str(),
            route: service.path(),
            scheme: if peer.tls { "https" } else { "http" },
            status: response.status().as_u16(),
            id: &id,
            trace: &trace,
        };
        traced.finish(&told, watch.passed());
    }
    response
}

/// Writes a request into the log, and into the audit file where there is one.
async fn write_down(state: &State, asked: &Asked<'_>, trace: &Trace) -> Result<(), Unwritten> {
    let kept = state.journal.write(asked, trace).await;
    kept.map_err(|NotKept| Unwritten::NoSpace)?;
    if state.audit.is_on() {
        let time = clock::timestamp(asked.time);
        let events = trace.events(
            (&time, asked.request),
            (asked.peer, asked.user),
            asked.path,
            asked.micros,
        );
        state.audit.write(&events).map_err(Unwritten::Audit)?;
    }
    Ok(())
}

/// Why a request was not written down.
enum Unwritten {
    /// There is no space for its events.
    NoSpace,
    /// The audit file failed.
    Audit(std::io::Error),
}

impl Unwritten {
    /// What the caller is answered instead.
    fn refuse(
        self,
        answer: Result<Outgoing, Refused>,
        form: Form,
        id: &str,
    ) -> Result<Outgoing, Refused> {
        let Self::Audit(error) = self else {
            return Err(Refused::NotLogged);
        };
        Event::LoggingFailed.emit(format_args!(
            "the audit file cannot be written: {error}; request {id} is refused"
        ));
        let refusal = Refusal::new(FaultCode::UnspecifiedError, "no audit");
        Ok(Outgoing {
            reply: answer.ok().and_then(|outgoing| outgoing.reply),
            ..soap::refuse(form, &refusal)
        })
    }
}

fn take_trace(answer: &mut Result<Outgoing, Refused>) -> Trace {
    match answer {
        Ok(outgoing) => std::mem::take(&mut outgoing.trace),
        Err(refused) => refused.trace(),
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Why a request was not looked into.
enum Refused {
    /// Too many requests are under way.
    Full,
    /// The log has no space.
    NotLogged,
    /// The body did not come, or not in time.
    NoBody(StatusCode, &'static str),
    /// Nobody may ask this unnamed; the ways to sign in.
    NotSignedIn(NotSignedIn, Vec<HeaderValue>),
}

async fn answer(
    core: &Core,
    peer: Peer,
    (service, form): (Service, Form),
    credentials: Credentials<'_>,
    body: Body,
    watch: &Watch<'_>,
    user: &mut Option<String>,
) -> Result<Outgoing, Refused> {
    let state = &core.state;
    let headers = credentials.headers;
    let refuse = |refusal: &Refusal| Ok(soap::refuse(form, refusal));
    // One version of everything from here to the end.
    let snapshot = state.snapshot();
    let limit = state.config.limits.body_bytes;
    let read = read_body(headers, body, limit);
    let body = match tokio::time::timeout(state.config.limits.body_time(), read).await {
        Err(_) => {
            return Err(Refused::NoBody(
                StatusCode::REQUEST_TIMEOUT,
                "the body took too long",
            ));
        }
        Ok(Err(BodyError::Broken)) => {
            return Err(Refused::NoBody(
                StatusCode::BAD_REQUEST,
                "the body broke off",
            ));
        }
        Ok(Err(BodyError::TooLarge)) => {
            let reason = format!("the body has more than {limit} bytes");
            return refuse(&Refusal::new(FaultCode::UnspecifiedError, reason));
        }
        Ok(Ok(body)) => body,
    };
    let (mut member, mut reply) = (Ok(()), None);
    let access = state.access(&snapshot, service);
    let caller = match &access {
        Access::Closed => {
            let reason = "the service is closed here";
            return refuse(&Refusal::new(FaultCode::UnauthorizedAccess, reason));
        }
        Access::Here if !soap::is_here(peer, snapshot.cluster.base_url()) => {
            let reason = "nobody was named who may use the service from elsewhere";
            let refusal = Refusal::new(FaultCode::UnauthorizedAccess, reason);
            return refuse(&refusal.telling(contact(&snapshot, service)));
        }
        Access::Anyone | Access::Here if !credentials.are_given() => Caller::Nobody,
        Access::Anyone | Access::Here | Access::SignedIn | Access::Members(_) => {
            let begun = Instant::now();
            let signed_in = sign_in(state, &snapshot, peer, service, credentials).await;
            watch.note("SignIn", begun);
            let signed_in = match signed_in {
                Ok(signed_in) => signed_in,
                Err(NotSignedIn::Directory { error, reply }) => {
                    let outgoing = soap::refuse(form, &unanswered(error));
                    return Ok(Outgoing { reply, ..outgoing });
                }
                Err(NotSignedIn::HalfDone(challenge)) => {
                    let offers = vec![challenge.clone()];
                    let half_done = NotSignedIn::HalfDone(challenge);
                    return Err(Refused::NotSignedIn(half_done, offers));
                }
                Err(NotSignedIn::MailAddress(reason)) => {
                    return refuse(&Refusal::new(FaultCode::VerifyEmailAddressFailed, reason));
                }
                Err(refused) => {
                    core.counters()
                        .failed_sign_ins
                        .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let caller = (peer, credentials.connection);
                    let offers = sign_in::challenges(state, &snapshot, caller, service);
                    return Err(Refused::NotSignedIn(refused, offers.collect()));
                }
            };
            *user = signed_in.caller.name().map(Into::into);
            member = check_member(&access, &signed_in, &snapshot).await;
            reply = signed_in.reply;
            signed_in.caller
        }
    };
    let incoming = Incoming {
        service,
        peer,
        head: HttpHead {
            content_type: text(headers, header::CONTENT_TYPE.as_str()),
            soap_action: text(headers, "soapaction"),
        },
        body: &body,
        caller: &caller,
        observer: watch,
    };
    let outgoing = match member {
        Ok(()) if service == Service::Activation && snapshot.activation.is_none() => {
            match check_not_decommissioned(&snapshot.cluster) {
                Ok(()) => activation::pass_on(state, incoming.head, &body, form).await,
                Err(refusal) => soap::refuse(form, &refusal),
            }
        }
        Ok(()) if form == Form::Binary => remoting::answer(state, &snapshot, watch, &body).await,
        Ok(()) => soap::answer(state, &snapshot, incoming).await,
        Err(refusal) => soap::refuse(form, &refusal.telling(contact(&snapshot, service))),
    };
    Ok(Outgoing { reply, ..outgoing })
}

/// Whom somebody turns to who may not enroll a licensing cluster.
fn contact(snapshot: &Snapshot, service: Service) -> Option<String> {
    let contact = snapshot.contact.as_ref();
    contact
        .filter(|_| service == Service::SubEnrollment)
        .cloned()
}

/// Some services are for the members of groups only.
async fn check_member(
    access: &Access,
    signed_in: &SignedIn,
    snapshot: &Snapshot,
) -> Result<(), Refusal> {
    let Access::Members(groups) = access else {
        return Ok(());
    };
    let directory = snapshot.accounts.directory();
    match signed_in.is_in_one(groups, directory).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Refusal::new(
            FaultCode::UnauthorizedAccess,
            "the caller is in none of the groups that may use the service",
        )),
        Err(error) => Err(unanswered(error)),
    }
}

enum BodyError {
    TooLarge,
    Broken,
}

/// Reads the body. Of one that is too long a little more is read and thrown away: a caller that
/// is still sending would not hear the answer.
async fn read_body(headers: &HeaderMap, mut body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse().ok());
    let mut length: usize = 0;
    let mut read = Vec::with_capacity(declared.unwrap_or(0).min(limit).min(FIRST_BYTES));
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(chunk) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
            continue;
        };
        length = length.saturating_add(chunk.len());
        if length.max(declared.unwrap_or(0)) <= limit {
            read.extend_from_slice(&chunk);
        } else if length > limit.saturating_add(PATIENCE_BYTES) {
            break;
        } else {
            read = Vec::new();
        }
    }
    if length > limit {
        Err(BodyError::TooLarge)
    } else {
        Ok(read.into())
    }
}

fn encode(headers: &HeaderMap, outgoing: Outgoing) -> Response {
    let plain = |status, kind| (status, Some(HeaderValue::from_static(kind)));
    let (status, kind) = match (outgoing.carried, outgoing.form) {
        (Some(carried), _) => (carried.status, carried.content_type),
        (None, Form::Soap(soap)) if outgoing.is_fault => {
            plain(StatusCode::INTERNAL_SERVER_ERROR, soap.content_type())
        }
        (None, Form::Soap(soap)) => plain(StatusCode::OK, soap.content_type()),
        (None, Form::Binary) => plain(StatusCode::OK, wire::CONTENT_TYPE),
    };
    let compressed = compress::gzip(headers, &outgoing.body);
    let is_compressed = compressed.is_some();
    let body = compressed.map_or_else(|| Bytes::from(outgoing.body), Bytes::from);
    let mut response = (status, body).into_response();
    let answer = response.headers_mut();
    answer.remove(header::CONTENT_TYPE);
    if let Some(kind) = kind {
        answer.insert(header::CONTENT_TYPE, kind);
    }
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(reply) = outgoing.reply {
        answer.insert(header::WWW_AUTHENTICATE, reply);
    }
    if is_compressed {
        answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

impl Refused {
    fn trace(&self) -> Trace {
        let (code, reason) = match self {
            Self::Full => ("full", "too many requests are under way".to_owned()),
            Self::NotLogged => ("not-logged", "the log has no space".to_owned()),
            Self::NoBody(_, reason) => ("no-body", (*reason).to_owned()),
            Self::NotSignedIn(why, _) => ("not-signed-in", format!("{why:?}")),
        };
        Trace::refused(None, code, reason)
    }

    fn response(self, form: Form) -> Response {
        match self {
            Self::Full | Self::NotLogged => {
                let full = Refusal::new(FaultCode::UnspecifiedError, "full");
                let outgoing = soap::refuse(form, &full);
                let mut response = encode(&HeaderMap::new(), outgoing);
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                response
            }
            Self::NoBody(status, reason) => (status, format!("{reason}\n")).into_response(),
            Self::NotSignedIn(why, offers) => {
                let status = match why {
                    NotSignedIn::Insecure => StatusCode::FORBIDDEN,
                    NotSignedIn::HalfDone(_)
                    | NotSignedIn::Missing
                    | NotSignedIn::Refused
                    | NotSignedIn::MailAddress(_) => StatusCode::UNAUTHORIZED,
                    NotSignedIn::TooMany => StatusCode::TOO_MANY_REQUESTS,
                    NotSignedIn::Busy | NotSignedIn::Issuer | NotSignedIn::Directory { .. } => {
                        StatusCode::SERVICE_UNAVAILABLE
                    }
                };
                let mut response = (status, format!("{why}\n")).into_response();
                if status == StatusCode::UNAUTHORIZED {
                    for offer in offers {
                        response
                            .headers_mut()
                            .append(header::WWW_AUTHENTICATE, offer);
                    }
                }
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    let soon = HeaderValue::from_static("1");
                    response.headers_mut().insert(header::RETRY_AFTER, soon);
                }
                response
            }
        }
    }
}

/// The version of SOAP a caller speaks, for answers to what was not read.
fn wanted_soap(headers: &HeaderMap, level: ServiceLevel) -> SoapVersion {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let is_newer = kind
        .to_ascii_lowercase()
        .starts_with(b"application/soap+xml");
    if is_newer && level.has(Feature::Soap12) {
        SoapVersion::V12
    } else {
        SoapVersion::V11
    }
}

/// The WSDL, or a word of explanation for people.
fn describe(core: &Core, peer: Peer, service: Service, request: &Request) -> Response {
    if request
        .uri()
        .query()
        .is_some_and(|query| query.eq_ignore_ascii_case("wsdl"))
    {
        let base = request_base(request, peer)
            .unwrap_or_else(|| core.state.snapshot().cluster.base_url().to_owned());
        let text = wsdl(service, core.state.config.service_level, &base);
        let kind = "text/xml; charset=utf-8";
        let outgoing = text.into_bytes();
        let mut response = match compress::gzip(request.headers(), &outgoing) {
            Some(zipped) => ([(header::CONTENT_ENCODING, "gzip")], zipped).into_response(),
            None => outgoing.into_response(),
        };
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        return response;
    }
    let operations: Vec<_> = service
        .contract()
        .operations()
        .iter()
        .map(|name| name.as_str())
        .collect();
    let text = format!(
        "{} is a service of a rights-management server. Programs POST to it: \
         {}.\nIts description is at {}?wsdl\n",
        service.path(),
        operations.join(", "),
        service.path(),
    );
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

/// Scheme and authority by which the caller reached this server.
fn request_base(request: &Request, peer: Peer) -> Option<String> {
    let host = request.headers().get(header::HOST)?.to_str().ok()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    let scheme = if peer.tls { "https" } else { "http" };
    (!host.is_empty() && host.len() <= 255 && host.chars().all(fits))
        .then(|| format!("{scheme}://{host}"))
}

const PATIENCE_BYTES: usize = 8 << 20;
/// Memory taken on the word of the caller.
const FIRST_BYTES: usize = 64 << 10;
