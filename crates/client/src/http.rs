//! [`Transport`] over the network: HTTP/1.1, TLS by rustls with AWS-LC, the machine's own roots.

use std::cell::RefCell;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use openrms_negotiate::{Initiator, NegotiateError};
use openrms_protocol::Limits;
use openrms_xrml::Time;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use zeroize::Zeroizing;

use crate::credentials::{Credentials, Scheme};
use crate::proxy::{NoProxy, Proxy};
use crate::tls::{self, PeerCertificate};
use crate::transport::{Response, Transport, TransportError};
use crate::url::Origin;

/// How connections are made.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for each piece of an answer.
    pub read_timeout: Duration,
    /// PEM text of further TLS roots, of an organization's own authority.
    pub extra_roots: Option<String>,
    /// Whether the machine's roots count besides.
    pub system_roots: bool,
    /// An HTTP proxy. The environment's is not looked at; hand it in.
    pub proxy: Option<Proxy>,
    /// Whom to reach without it.
    pub no_proxy: NoProxy,
}

/// HTTP over the network. Connections are kept and used again.
#[derive(Debug, Clone)]
pub struct HttpTransport {
    tls: Tls,
    direct: ureq::Agent,
    proxied: Option<(ureq::Agent, NoProxy)>,
    limit: usize,
}

/// What is needed to look at a server's certificate.
#[derive(Debug, Clone)]
struct Tls {
    roots: Arc<Vec<Certificate<'static>>>,
    provider: Arc<CryptoProvider>,
    proxy: Option<Proxy>,
    longest: Duration,
}

/// Why the network cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpSetupError {
    /// The further roots cannot be read.
    #[error("the TLS roots cannot be read: {0}")]
    Roots(String),
    /// The proxy's URL cannot be read.
    #[error("the proxy's URL cannot be read")]
    Proxy,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_mins(1),
            extra_roots: None,
            system_roots: true,
            proxy: None,
            no_proxy: NoProxy::default(),
        }
    }
}

impl HttpTransport {
    /// Prepares connections; none is made yet.
    pub fn new(options: &HttpOptions) -> Result<Self, HttpSetupError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let roots = roots(options)?;
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider.clone())
            .root_certs(RootCerts::new_with_certs(&roots))
            .build();
        let agent = |proxy: Option<ureq::Proxy>| {
            ureq::Agent::config_builder()
                .tls_config(tls.clone())
                .proxy(proxy)
                .timeout_connect(Some(options.connect_timeout))
                .timeout_resolve(Some(options.connect_timeout))
                .timeout_recv_response(Some(options.read_timeout))
                .timeout_recv_body(Some(options.read_timeout))
                .timeout_send_body(Some(options.read_timeout))
                .max_redirects(0)
                .max_redirects_will_error(false)
                .http_status_as_error(false)
                .user_agent(concat!("openrms/", env!("CARGO_PKG_VERSION")))
                .build()
                .new_agent()
        };
        let proxied = match &options.proxy {
            Some(proxy) => {
                let proxy = ureq::Proxy::new(proxy.url()).map_err(|_| HttpSetupError::Proxy)?;
                Some((agent(Some(proxy)), options.no_proxy.clone()))
            }
            None => None,
        };
        Ok(Self {
            tls: Tls {
                roots: roots.into(),
                provider,
                proxy: options.proxy.clone(),
                longest: options.connect_timeout,
            },
            direct: agent(None),
            proxied,
            limit: Limits::client().body_bytes,
        })
    }

    /// By the proxy, where there is one and the server is not one to reach without it.
    fn agent(&self, url: &str) -> &ureq::Agent {
        match &self.proxied {
            Some((agent, direct)) if !Origin::of(url).is_ok_and(|to| direct.covers(&to)) => agent,
            _ => &self.direct,
        }
    }

    /// Posts a form (`application/x-www-form-urlencoded`), without credentials of its own.
    pub(crate) fn post_form(&self, url: &str, form: &[u8]) -> Result<Response, TransportError> {
        let request = self
            .agent(url)
            .post(url)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .header("Accept", "application/json");
        self.read(url, request.send(form))
    }

    fn read(
        &self,
        url: &str,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Response, TransportError> {
        let mut answer = answer.map_err(|error| named(url, &error))?;
        let location = answer.headers().get("location");
        let location = location
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let offered = Scheme::offered(
            answer
                .headers()
                .get_all("www-authenticate")
                .iter()
                .filter_map(|value| value.to_str().ok()),
        );
        let date = answer.headers().get("date");
        let date = date.and_then(|value| http_date(value.to_str().ok()?));
        let status = answer.status().as_u16();
        // The bound is on what comes out of decompression.
        let most = u64::try_from(self.limit)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        let mut body = Vec::new();
        let reader = answer.body_mut().with_config().limit(u64::MAX).reader();
        reader
            .take(most)
            .read_to_end(&mut body)
            .map_err(|error| TransportError::Broken {
                url: url.to_owned(),
                reason: error.to_string(),
            })?;
        if body.len() > self.limit {
            return Err(TransportError::TooLarge {
                url: url.to_owned(),
                limit: self.limit,
            });
        }
        Ok(Response {
            status,
            location,
            offered,
            date,
            body,
        })
    }
}

impl Transport for HttpTransport {
    fn post(
        &self,
        url: &str,
        soap_action: &str,
        content_type: &str,
        body: &[u8],
        auth: Option<&Credentials>,
    ) -> Result<Response, TransportError> {
        let ask = |agent: &ureq::Agent, longest_idle| {
            let mut request = agent
                .post(url)
                .config()
                .max_idle_age(longest_idle)
                .build()
                .header("Content-Type", content_type)
                .header("SOAPAction", format!("\"{soap_action}\""));
            let authorization = Authorization::of(auth, url)?;
            if let Some(value) = authorization.header() {
                request = request.header("Authorization", value);
            }
            let answer = request.send(body);
            authorization.check(url, &answer)?;
            Ok(answer)
        };
        let agent = self.agent(url);
        let mut answer = ask(agent, LONGEST_IDLE)?;
        // A server of the cluster is gone, perhaps since a connection to it was last used. Another
        // one answers, and whatever these services are asked they may be asked twice.
        if answer.as_ref().is_err_and(is_cut_off) {
            answer = ask(agent, Duration::ZERO)?;
        }
        self.read(url, answer)
    }

    fn get(&self, url: &str, auth: Option<&Credentials>) -> Result<Response, TransportError> {
        let mut request = self.agent(url).get(url);
        let authorization = Authorization::of(auth, url)?;
        if let Some(value) = authorization.header() {
            request = request.header("Authorization", value);
        }
        let answer = request.call();
        authorization.check(url, &answer)?;
        self.read(url, answer)
    }

    fn peer_certificate(&self, origin: &Origin) -> Option<PeerCertificate> {
        let Tls {
            roots,
            provider,
            proxy,
            longest,
        } = &self.tls;
        let is_direct = match &self.proxied {
            Some((_, direct)) => direct.covers(origin),
            None => true,
        };
        let proxy = proxy.as_ref().filter(|_| !is_direct);
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(
            roots
                .iter()
                .map(|root| CertificateDer::from(root.der().to_vec())),
        );
        tls::look(origin, proxy, store, provider, *longest)
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the only form that servers send (RFC 9110 5.6.7).
fn http_date(text: &str) -> Option<Time> {
    let (_, rest) = text.split_once(", ")?;
    let mut parts = rest.split(' ');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let month = 1 + MONTHS.iter().position(|name| *name == month)?;
    let clock = parts.next()?;
    let ends = parts.next() == Some("GMT") && parts.next().is_none();
    ends.then(|| format!("{year}-{month:02}-{day}T{clock}").parse().ok())?
}

/// Whether the other end went away without an answer.
fn is_cut_off(error: &ureq::Error) -> bool {
    use std::io::ErrorKind as Kind;
    let ureq::Error::Io(error) = error else {
        return false;
    };
    matches!(
        error.kind(),
        Kind::UnexpectedEof | Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe
    )
}

/// What goes with a request, and what must come back for it.
enum Authorization {
    None,
    Plain(Zeroizing<String>),
    Ticket {
        header: Zeroizing<String>,
        initiator: RefCell<Initiator>,
    },
}

impl Authorization {
    fn of(auth: Option<&Credentials>, url: &str) -> Result<Self, TransportError> {
        let Some(auth) = auth else {
            return Ok(Self::None);
        };
        if let Some(header) = auth.authorization() {
            return Ok(Self::Plain(header));
        }
        let failed = |error: NegotiateError| kerberos(url, &error);
        let origin = Origin::of(url).map_err(|_| TransportError::BadUrl(url.to_owned()))?;
        let mut initiator = Initiator::new(&format!("HTTP@{}", origin.host())).map_err(failed)?;
        let header = Zeroizing::new(initiator.authorization().map_err(failed)?);
        Ok(Self::Ticket {
            header,
            initiator: RefCell::new(initiator),
        })
    }

    fn header(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Plain(header) | Self::Ticket { header, .. } => Some(header),
        }
    }

    /// A server that let the ticket in must know its own key; otherwise what it answers is not
    /// believed.
    fn check(
        &self,
        url: &str,
        answer: &Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<(), TransportError> {
        let (Self::Ticket { initiator, .. }, Ok(answer)) = (self, answer) else {
            return Ok(());
        };
        if matches!(answer.status().as_u16(), 401 | 403) {
            return Ok(());
        }
        let fields = answer.headers().get_all("www-authenticate").iter();
        initiator
            .borrow_mut()
            .check_proof(fields.filter_map(|value| value.to_str().ok()))
            .map_err(|error| kerberos(url, &error))
    }
}

fn kerberos(url: &str, error: &NegotiateError) -> TransportError {
    TransportError::Kerberos {
        url: url.to_owned(),
        reason: error.to_string(),
    }
}

fn roots(options: &HttpOptions) -> Result<Vec<Certificate<'static>>, HttpSetupError> {
    let mut roots = Vec::new();
    if options.system_roots {
        // A root that cannot be read is one the machine trusts in vain; the others still count.
        let found = rustls_native_certs::load_native_certs();
        roots.extend(
            found
                .certs
                .iter()
                .map(|der| Certificate::from_der(der).to_owned()),
        );
    }
    if let Some(pem) = &options.extra_roots {
        for item in parse_pem(pem.as_bytes()) {
            match item.map_err(|error| HttpSetupError::Roots(error.to_string()))? {
                PemItem::Certificate(certificate) => roots.push(certificate),
                _ => return Err(HttpSetupError::Roots("not a certificate".into())),
            }
        }
    }
    Ok(roots)
}

fn named(url: &str, error: &ureq::Error) -> TransportError {
    let url = url.to_owned();
    let reason = error.to_string();
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => TransportError::BadUrl(url),
        ureq::Error::HostNotFound => TransportError::HostNotFound { url },
        ureq::Error::Timeout(phase) => TransportError::Timeout {
            url,
            phase: phase.to_string(),
        },
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_) => {
            TransportError::Tls { url, reason }
        }
        ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => {
            TransportError::Connect { url, reason }
        }
        ureq::Error::Io(error) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused
            | std::io::ErrorKind::HostUnreachable
            | std::io::ErrorKind::NetworkUnreachable
            | std::io::ErrorKind::AddrNotAvailable => TransportError::Connect {
                url,
                reason: error.to_string(),
            },
            // rustls wraps what it says of certificates in I/O errors.
            std::io::ErrorKind::InvalidData => TransportError::Tls {
                url,
                reason: error.to_string(),
            },
            // The standard library has no kind for this, but always says so.
            _ if error.to_string().starts_with("failed to lookup address") => {
                TransportError::HostNotFound { url }
            }
            _ => TransportError::Broken {
                url,
                reason: error.to_string(),
            },
        },
        _ => TransportError::Broken { url, reason },
    }
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
/// Connections that were not used for longer are not used again.
const LONGEST_IDLE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_a_server_tells_is_read_or_left() {
        let unix = |text| http_date(text).map(Time::unix);
        assert_eq!(unix("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        for wrong in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 GMT x",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 99999 08:49:37 GMT",
            "Sun, \u{661} Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(unix(wrong), None, "{wrong}");
        }
    }
}
