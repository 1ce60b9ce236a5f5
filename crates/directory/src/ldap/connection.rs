//! One connection to one server: TLS, signing in, searches with paging, and changes of single
//! objects (RFC 4511, RFC 2696). Any number of searches share a connection.

use std::collections::HashSet;
use std::future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ldap3::asn1::parse_tag;
use ldap3::controls::{Control, PagedResults};
use ldap3::result::LdapError;
use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, LdapResult, Mod, Scope, SearchStream, StdStream,
};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::channel::{self, Channel};
use super::entry::{Entry, invalid};
use super::kerberos::Kerberos;
use super::secrets::{LdapSecrets, LdapSignIn};
use super::settings::{LdapSettings, LdapSettingsError, Scheme, ServerUrl};
use super::task::Task;
use crate::DirectoryError;

/// Everything that is needed to connect to a server.
pub(super) struct Connector {
    tls: Arc<ClientConfig>,
    sign_in: SignIn,
    limit: Duration,
}

enum SignIn {
    Password {
        name: String,
        password: Zeroizing<String>,
        /// Without TLS.
        plain: bool,
    },
    Kerberos(Kerberos),
}

/// A connection that is signed in. Closed when dropped.
pub(super) struct Connection {
    ldap: Ldap,
    driver: JoinHandle<()>,
    name: String,
}

/// A search, the only operation that the answers of a directory need.
#[derive(Debug, Clone)]
pub(super) struct Search {
    pub(super) base: String,
    pub(super) scope: Scope,
    pub(super) filter: String,
    pub(super) attributes: Arc<[String]>,
    /// The search ends when this many entries have come.
    pub(super) enough: usize,
}

/// A change of one object, the other operation.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// Makes the object.
    Add(Vec<(String, HashSet<String>)>),
    /// Gives attributes these values and no others.
    Replace(Vec<(String, HashSet<String>)>),
    /// Removes the object, which must have none below it.
    Delete,
}

/// Why one server gave no entries.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// It cannot be connected to.
    Connect(String),
    /// The connection ended.
    Lost(String),
    /// It did not answer in time.
    Timeout,
    /// It is alive, but cannot answer now.
    Unwilling(String),
    /// It does not let the service account in, and asking again may lock the account out.
    Refused,
    /// There is no ticket for it, or it does not take the ticket, or cannot prove who it is.
    SignIn(String),
    /// It answered, and any other would answer the same.
    Answer(DirectoryError),
}

impl Connector {
    pub(super) fn new(
        settings: &LdapSettings,
        secrets: LdapSecrets,
    ) -> Result<Self, LdapSettingsError> {
        let LdapSecrets { sign_in, roots } = secrets;
        let sign_in = match sign_in {
            LdapSignIn::Password { name, password } => {
                if name.is_empty() || password.is_empty() {
                    return Err(LdapSettingsError::Anonymous);
                }
                let plain = settings.allow_plain;
                SignIn::Password {
                    name,
                    password,
                    plain,
                }
            }
            LdapSignIn::Kerberos(source) => SignIn::Kerberos(Kerberos::new(settings, source)?),
        };
        let seals = !matches!(sign_in, SignIn::Password { plain: false, .. });
        let roots = if seals && settings.is_without_ldaps() {
            RootCertStore::empty()
        } else {
            trusted(roots)?
        };
        Ok(Self {
            tls: tls(roots)?,
            sign_in,
            limit: Duration::from_secs(settings.time_out_for_gc),
        })
    }

    /// Connects and signs in.
    pub(super) async fn connect(
        self: &Arc<Self>,
        server: &ServerUrl,
    ) -> Result<Connection, Failure> {
        let (connector, server) = (Arc::clone(self), server.clone());
        contained(
            self.limit,
            async move { connector.try_connect(&server).await },
        )
        .await
    }

    async fn try_connect(&self, server: &ServerUrl) -> Result<Connection, Failure> {
        let stream = connect(server)
            .await
            .map_err(|error| Failure::Connect(error.to_string()))?;
        match &self.sign_in {
            SignIn::Password {
                name,
                password,
                plain,
            } => {
                let mut connection = self.unsigned(server, stream, *plain, name).await?;
                connection.simple_bind(name, password).await?;
                Ok(connection)
            }
            SignIn::Kerberos(kerberos) => {
                let (channel, principal) = kerberos.sign_in(server, stream, &self.tls).await?;
                Connection::through(channel, principal).await
            }
        }
    }

    /// A connection on which nobody signed in yet.
    async fn unsigned(
        &self,
        server: &ServerUrl,
        stream: TcpStream,
        plain: bool,
        name: &str,
    ) -> Result<Connection, Failure> {
        if server.scheme() == Scheme::Ldap && !plain {
            let stream = channel::start_tls(server, stream, &self.tls).await?;
            let channel = Channel::inside_tls(server, stream)?;
            return Connection::through(channel, name.to_owned()).await;
        }
        let settings = LdapConnSettings::new()
            .set_std_stream(StdStream::Tcp(stream.into_std().map_err(channel::cannot)?))
            .set_config(Arc::clone(&self.tls));
        let url = server.to_string();
        Connection::begin(settings, &url, future::ready(()), name.to_owned()).await
    }
}

impl Connection {
    /// Begins to speak LDAP through a channel.
    async fn through(channel: Channel, name: String) -> Result<Self, Failure> {
        let settings = LdapConnSettings::new().set_std_stream(StdStream::Unix(channel.stream));
        Self::begin(settings, LOCAL, channel.work, name).await
    }

    /// Begins to speak LDAP; `beside` is done as long as that goes on.
    async fn begin(
        settings: LdapConnSettings,
        url: &str,
        beside: impl Future<Output = ()> + Send + 'static,
        name: String,
    ) -> Result<Self, Failure> {
        let (driver, ldap) = LdapConnAsync::with_settings(settings, url)
            .await
            .map_err(cannot)?;
        // Whoever waits for an answer learns of the end of the connection by itself.
        let driver = tokio::spawn(async move {
            let _ = tokio::join!(driver.drive(), beside);
        });
        Ok(Self { ldap, driver, name })
    }

    async fn simple_bind(&mut self, name: &str, password: &str) -> Result<(), Failure> {
        let answer = self.ldap.simple_bind(name, password).await;
        match answer.map_err(cannot)?.rc {
            SUCCESS => Ok(()),
            STRONGER_AUTH_REQUIRED
            | CONFIDENTIALITY_REQUIRED
            | INAPPROPRIATE_AUTHENTICATION
            | INVALID_CREDENTIALS
            | INSUFFICIENT_ACCESS => Err(Failure::Refused),
            rc => Err(Failure::Connect(format!("bind ended with code {rc}"))),
        }
    }

    /// Who signed in.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_open(&self) -> bool {
        !self.driver.is_finished()
    }

    /// All entries found, without referrals. Nothing there is no error.
    pub(super) async fn search(
        self: &Arc<Self>,
        search: &Search,
        page_size: u16,
        limit: Duration,
    ) -> Result<Vec<Entry>, Failure> {
        let (connection, search) = (Arc::clone(self), search.clone());
        contained(limit, async move {
            connection.try_search(&search, page_size).await
        })
        .await
    }

    async fn try_search(&self, search: &Search, page_size: u16) -> Result<Vec<Entry>, Failure> {
        let mut ldap = self.ldap.clone();
        let mut entries = Vec::new();
        let mut cookie = Vec::new();
        loop {
            if search.scope != Scope::Base {
                ldap.with_controls(PagedResults {
                    size: i32::from(page_size),
                    cookie,
                });
            }
            let attributes = Arc::clone(&search.attributes);
            let mut page = ldap
                .streaming_search(&search.base, search.scope, &search.filter, attributes)
                .await
                .map_err(lost)?;
            let read = read_page(&mut page, search.enough, &mut entries).await;
            // Also when reading failed: it frees the number of the request.
            let end = page.finish().await;
            read?;
            if entries.len() >= search.enough {
                return Ok(entries);
            }
            check(&end)?;
            cookie = next_cookie(&end.ctrls)?;
            if cookie.is_empty() {
                return Ok(entries);
            }
        }
    }

    /// Changes the object of a DN. Gives the result code, which is the server's decision.
    pub(super) async fn change(
        &self,
        dn: &str,
        change: Change,
        limit: Duration,
    ) -> Result<u32, Failure> {
        let (mut ldap, dn) = (self.ldap.clone(), dn.to_owned());
        contained(limit, async move {
            let answer = match change {
                Change::Add(attributes) => ldap.add(&dn, attributes).await,
                Change::Replace(attributes) => {
                    let replace = |(name, values)| Mod::Replace(name, values);
                    let attributes = attributes.into_iter().map(replace).collect();
                    ldap.modify(&dn, attributes).await
                }
                Change::Delete => ldap.delete(&dn).await,
            };
            Ok(answer.map_err(lost)?.rc)
        })
        .await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Without delay, so that a request need not wait for the answers to earlier ones.
async fn connect(server: &ServerUrl) -> std::io::Result<TcpStream> {
    let stream = match server.addresses() {
        [] => TcpStream::connect((server.host(), server.port())).await?,
        known => {
            let at = |&address| SocketAddr::new(address, server.port());
            let known: Vec<_> = known.iter().map(at).collect();
            TcpStream::connect(known.as_slice()).await?
        }
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Those given, or else those of this machine.
fn trusted(roots: Vec<CertificateDer<'static>>) -> Result<RootCertStore, LdapSettingsError> {
    let wrong = |reason: String| LdapSettingsError::Roots { reason };
    let mut store = RootCertStore::empty();
    if roots.is_empty() {
        let system = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(system.certs);
    }
    for root in roots {
        store.add(root).map_err(|error| wrong(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(wrong("this machine trusts none".to_owned()));
    }
    Ok(store)
}

fn tls(roots: RootCertStore) -> Result<Arc<ClientConfig>, LdapSettingsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| LdapSettingsError::Roots {
            reason: error.to_string(),
        })?;
    Ok(Arc::new(
        builder.with_root_certificates(roots).with_no_client_auth(),
    ))
}

/// Gives work up after some time, or when the client library does.
async fn contained<T: Send + 'static>(
    limit: Duration,
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    match timeout(limit, Task::start(&Handle::current(), work)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(Failure::Lost("what it sends is not LDAP".to_owned())),
        Err(_) => Err(Failure::Timeout),
    }
}

async fn read_page(
    page: &mut SearchStream<'_, String, Arc<[String]>>,
    enough: usize,
    entries: &mut Vec<Entry>,
) -> Result<(), Failure> {
    while entries.len() < enough {
        let Some(item) = page.next().await.map_err(lost)? else {
            break;
        };
        if !item.is_ref() && !item.is_intermediate() {
            entries.push(Entry::read(item.0).map_err(Failure::Answer)?);
        }
    }
    Ok(())
}

fn check(end: &LdapResult) -> Result<(), Failure> {
    match end.rc {
        // A referral stands for what this server does not hold, as what is not there.
        SUCCESS | REFERRAL | NO_SUCH_OBJECT => Ok(()),
        SIZE_LIMIT_EXCEEDED => Err(Failure::Answer(DirectoryError::LimitExceeded {
            what: "entries of one search",
        })),
        // The last one is how Active Directory says that a connection is not signed in any more.
        TIME_LIMIT_EXCEEDED | ADMIN_LIMIT_EXCEEDED | BUSY | UNAVAILABLE | OPERATIONS_ERROR => Err(
            Failure::Unwilling(format!("search ended with code {}", end.rc)),
        ),
        INSUFFICIENT_ACCESS => Err(Failure::Refused),
        rc => Err(Failure::Answer(invalid(
            "search result",
            &format!("code {rc}"),
        ))),
    }
}

/// Where the next page begins; empty after the last one.
fn next_cookie(controls: &[Control]) -> Result<Vec<u8>, Failure> {
    let paging = controls
        .iter()
        .map(|Control(_, raw)| raw)
        .find(|raw| raw.ctype == PAGED_RESULTS);
    let Some(paging) = paging else {
        return Ok(Vec::new());
    };
    let value = paging.val.as_deref().unwrap_or_default();
    let cookie = parse_tag(value)
        .ok()
        .and_then(|(_, tag)| tag.expect_constructed()?.pop()?.expect_primitive());
    cookie.ok_or_else(|| Failure::Answer(invalid("paged results", "without a cookie")))
}

#[allow(clippy::needless_pass_by_value, reason = "handed to map_err")]
fn cannot(error: LdapError) -> Failure {
    Failure::Connect(error.to_string())
}

fn lost(error: LdapError) -> Failure {
    match error {
        // A filter of ours that is none would be so everywhere.
        LdapError::FilterParsing => Failure::Answer(invalid("filter", "not a filter")),
        error => Failure::Lost(error.to_string()),
    }
}

/// The client library's URL of a connection within this process.
const LOCAL: &str = "ldapi:///";

// RFC 4511 appendix A and RFC 2696.
pub(super) const SUCCESS: u32 = 0;
const OPERATIONS_ERROR: u32 = 1;
const TIME_LIMIT_EXCEEDED: u32 = 3;
const SIZE_LIMIT_EXCEEDED: u32 = 4;
const STRONGER_AUTH_REQUIRED: u32 = 8;
const REFERRAL: u32 = 10;
const ADMIN_LIMIT_EXCEEDED: u32 = 11;
const CONFIDENTIALITY_REQUIRED: u32 = 13;
pub(super) const NO_SUCH_OBJECT: u32 = 32;
const INAPPROPRIATE_AUTHENTICATION: u32 = 48;
const INVALID_CREDENTIALS: u32 = 49;
pub(super) const INSUFFICIENT_ACCESS: u32 = 50;
const BUSY: u32 = 51;
const UNAVAILABLE: u32 = 52;
pub(super) const NOT_ALLOWED_ON_NON_LEAF: u32 = 66;
pub(super) const ENTRY_ALREADY_EXISTS: u32 = 68;
const PAGED_RESULTS: &str = "1.2.840.113556.1.4.319";
