//! Signing in to a directory with Kerberos (RFC 4752; RFC 4513 5.2): what follows is sealed by it,
//! or inside TLS.

use std::sync::Arc;

use openrms_negotiate::sasl::{self, Agreed, Protection};
use openrms_negotiate::{NegotiateError, TicketSource, Tickets, end_point_hash};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, oneshot};

use super::channel::{self, Channel, ask, cannot, ended};
use super::connection::{Failure, SUCCESS};
use super::first_messages::{Asked, Response, ResponseError, bind_request};
use super::pump::{self, PumpError};
use super::settings::{LdapSettings, LdapSettingsError, Scheme, ServerUrl};

/// Signs in with tickets.
pub(super) struct Kerberos {
    /// Locked while a ticket is got: a KDC that does not answer then holds one thread, and not one
    /// for everybody who waits.
    tickets: Arc<Mutex<Tickets>>,
}

impl Kerberos {
    pub(super) fn new(
        settings: &LdapSettings,
        source: TicketSource,
    ) -> Result<Self, LdapSettingsError> {
        if settings.allow_plain {
            return Err(LdapSettingsError::PlainKerberos);
        }
        let mut servers = settings.servers.iter();
        if let Some(server) = servers.find(|server| server.is_address()) {
            return Err(LdapSettingsError::AddressForKerberos {
                server: server.clone(),
            });
        }
        let tickets = Tickets::new(source).map_err(|error| LdapSettingsError::Tickets {
            reason: error.to_string(),
        })?;
        Ok(Self {
            tickets: Arc::new(Mutex::new(tickets)),
        })
    }

    /// Signs in over a connection that has just been opened. Gives who signed in as well.
    pub(super) async fn sign_in(
        &self,
        server: &ServerUrl,
        stream: TcpStream,
        tls: &Arc<ClientConfig>,
    ) -> Result<(Channel, String), Failure> {
        match server.scheme() {
            Scheme::Ldap => self.sealed(server, stream).await,
            Scheme::Ldaps => self.inside_tls(server, stream, tls).await,
        }
    }

    async fn sealed(
        &self,
        server: &ServerUrl,
        mut stream: TcpStream,
    ) -> Result<(Channel, String), Failure> {
        let agreed = self.bind(&mut stream, server, Protection::Sealing).await?;
        let layer = agreed
            .layer
            .ok_or_else(|| refused(NegotiateError::Unsealed))?;
        let server = server.clone();
        let channel = Channel::new(|library| async move {
            match pump::run(stream, library, layer).await {
                Ok(()) => {}
                Err(PumpError::Io(error)) => ended(&server, &error),
                Err(PumpError::Frame(error)) => {
                    tracing::warn!(%server, %error, "what came is not what the server sealed");
                }
            }
        });
        Ok((channel?, agreed.principal))
    }

    async fn inside_tls(
        &self,
        server: &ServerUrl,
        stream: TcpStream,
        tls: &Arc<ClientConfig>,
    ) -> Result<(Channel, String), Failure> {
        let mut stream = channel::tls(server, stream, tls).await?;
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let end_point = certificate.and_then(|certificate| end_point_hash(certificate));
        let agreed = self
            .bind(&mut stream, server, Protection::Tls { end_point })
            .await?;
        Ok((Channel::inside_tls(server, stream)?, agreed.principal))
    }

    async fn bind<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        server: &ServerUrl,
        protection: Protection,
    ) -> Result<Agreed, Failure> {
        let (client, token) = self.begin(server, protection).await?;
        let proof = step(stream, 1, &token).await?.in_progress()?;
        let client = client.proved(&proof).map_err(refused)?;
        let offer = step(stream, 2, b"").await?.in_progress()?;
        let (choice, agreed) = client.choose(&offer).map_err(refused)?;
        let last = step(stream, 3, &choice).await?;
        if last.code == SUCCESS {
            Ok(agreed)
        } else {
            Err(last.refusal())
        }
    }

    /// Gets the ticket on a thread that nobody waits for longer than they want to, also not when
    /// the run-time ends: the KDC's answer may be long in coming.
    async fn begin(
        &self,
        server: &ServerUrl,
        protection: Protection,
    ) -> Result<(sasl::Client, Vec<u8>), Failure> {
        let tickets = Arc::clone(&self.tickets).lock_owned().await;
        let target = format!("ldap@{}", server.host());
        let (answer, begun) = oneshot::channel();
        let work = move || {
            // Whoever wanted to know may be gone.
            let _ = answer.send(sasl::Client::begin(&tickets, &target, protection));
        };
        let thread = std::thread::Builder::new().name("kerberos".to_owned());
        thread.spawn(work).map_err(cannot)?;
        begun.await.map_err(cannot)?.map_err(refused)
    }
}

async fn step<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    id: u8,
    credentials: &[u8],
) -> Result<Response, Failure> {
    let message = bind_request(id, MECHANISM, credentials);
    let answer = ask(stream, &message, Asked::Bind, id).await;
    answer.map_err(|error| match error {
        ResponseError::Io(error) => cannot(error),
        error => Failure::SignIn(error.to_string()),
    })
}

impl Response {
    /// The token of a server that goes on.
    fn in_progress(self) -> Result<Vec<u8>, Failure> {
        if self.code == SASL_BIND_IN_PROGRESS {
            Ok(self.credentials)
        } else {
            Err(self.refusal())
        }
    }

    fn refusal(self) -> Failure {
        let Self { code, text, .. } = self;
        Failure::SignIn(format!("the server refuses with code {code}: {text}"))
    }
}

fn refused(error: NegotiateError) -> Failure {
    match error {
        // As with a wrong password, asking on would lock the account out.
        NegotiateError::WrongKey { .. } => {
            tracing::warn!(%error, "the directory cannot be signed in to");
            Failure::Refused
        }
        error => Failure::SignIn(error.to_string()),
    }
}

const MECHANISM: &str = "GSSAPI";
const SASL_BIND_IN_PROGRESS: u32 = 14;
