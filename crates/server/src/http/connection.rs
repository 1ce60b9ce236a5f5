//! One thread: accepts connections, serves them, lets them end when the server stops.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::listener::ThreadListeners;
use super::routes::Core;
use super::{Peer, router};
use crate::events::Event;
use crate::proxies;
use crate::sign_in::{ClientCertificate, ConnectionFacts, NtlmSession, TlsFacts};
use crate::state::State;

/// Serves until `stop` says so, then until requests under way are answered.
pub(crate) async fn serve(
    core: Core,
    listeners: ThreadListeners,
    tls: Option<TlsAcceptor>,
    stop: watch::Receiver<bool>,
) {
    let routes = router(core.clone());
    let mut loops = JoinSet::new();
    for (listener, is_tls) in listeners {
        match TcpListener::from_std(listener) {
            Ok(listener) => {
                let tls = tls.clone().filter(|_| is_tls);
                loops.spawn(accept(
                    core.clone(),
                    routes.clone(),
                    listener,
                    tls,
                    stop.clone(),
                ));
            }
            Err(error) => Event::PartFailed.emit(format_args!("a listener was lost: {error}")),
        }
    }
    while loops.join_next().await.is_some() {}
}

async fn accept(
    core: Core,
    routes: Router,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Whoever could say so being gone means stop as well.
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, address)) => {
                let peer = Peer {
                    address,
                    tls: tls.is_some(),
                };
                let (core, routes, tls) = (core.clone(), routes.clone(), tls.clone());
                let stop = stop.clone();
                connections.spawn(connection(core, routes, stream, peer, tls, stop));
            }
            Err(error) => {
                // Out of files, most likely: others must end before anything gets better.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let drain = async {
        while connections.join_next().await.is_some() {}
        core.idle().await;
    };
    if tokio::time::timeout(core.state.config.limits.drain_time(), drain)
        .await
        .is_err()
    {
        Event::ShutdownFailed.emit("connections were cut off: their requests took too long");
    }
}

async fn connection(
    core: Core,
    routes: Router,
    stream: TcpStream,
    peer: Peer,
    tls: Option<TlsAcceptor>,
    stop: watch::Receiver<bool>,
) {
    let counters = core.counters();
    counters
        .connections
        .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let _ = stream.set_nodelay(true);
    let state = core.state.clone();
    let place = state.connections.begin();
    let full = place.is_none();
    if full {
        counters
            .turned_away
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // Turning away takes a place as well; of these there are few.
        if state.connections.count() > state.config.limits.connections + TURNING_AWAY {
            return;
        }
    }
    let routes = (!full).then_some(routes);
    let times = state.config.limits.header_time();
    match tls {
        None => {
            let caller = (peer, TlsFacts::default());
            http(stream, routes, caller, state.clone(), stop).await;
        }
        Some(tls) => match tokio::time::timeout(times, tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                let shown = stream.get_ref().1.peer_certificates();
                let certificate = shown
                    .and_then(|chain| ClientCertificate::read(chain.first()?))
                    .map(Arc::new);
                let facts = TlsFacts {
                    certificate,
                    ends_here: true,
                };
                http(stream, routes, (peer, facts), state.clone(), stop).await;
            }
            Ok(Err(error)) => tracing::debug!(peer = %peer.address, %error, "TLS failed"),
            Err(_) => tracing::debug!(peer = %peer.address, "TLS took too long"),
        },
    }
}

/// Speaks HTTP on a connection; without routes, only to say that the server is full.
async fn http<S>(
    stream: S,
    routes: Option<Router>,
    (peer, tls): (Peer, TlsFacts),
    state: Arc<State>,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let header_time = state.config.limits.header_time();
    let ntlm = state.schemes.ntlm.clone();
    let ntlm = ntlm.map(|ntlm| Arc::new(NtlmSession::new(ntlm)));
    let service = service_fn(move |mut request: Request<Incoming>| {
        let routes = routes.clone();
        let proxies = &state.config.proxies;
        let caller = proxies.caller(peer, request.headers());
        let is_forwarded = proxies::is_forwarded(request.headers());
        // What a proxy shows, and the TLS that it speaks, are its own.
        let is_proxy = proxies.contains(peer.address.ip());
        let facts = if is_proxy {
            ConnectionFacts::default()
        } else {
            // A connection is one client's only where nothing lets several share it.
            let own = !is_forwarded && request.version() == Version::HTTP_11;
            ConnectionFacts {
                tls: tls.clone(),
                ntlm: ntlm.clone().filter(|_| own),
            }
        };
        // Nor does just anybody decide what is traced.
        if state.traces.is_some() && !is_proxy {
            request.headers_mut().remove("traceparent");
        }
        async move {
            let Some(routes) = routes else {
                return Ok::<_, Infallible>(full());
            };
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(facts);
            TowerToHyperService::new(routes)
                .call(request.map(Body::new))
                .await
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_time)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(peer = %peer.address, %error, "connection ended");
                }
                return;
            }
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn full() -> Response<Body> {
    let mut response = Response::new(Body::from("The server has too many connections open.\n"));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    headers.insert(
        header::CONNECTION,
        header::HeaderValue::from_static("close"),
    );
    response
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const TURNING_AWAY: usize = 64;
const MAX_HEADERS: usize = 64;
