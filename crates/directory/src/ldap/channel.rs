//! The channel that the client library speaks through where it does not have the connection itself:
//! inside TLS that was started here, or sealed. What it reads is then the server's own.

use std::pin::Pin;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connection::{Failure, SUCCESS};
use super::first_messages::{Asked, Response, ResponseError, start_tls_request};
use super::settings::ServerUrl;

/// A channel.
pub(super) struct Channel {
    /// The client library's end.
    pub(super) stream: std::os::unix::net::UnixStream,
    /// Carries what goes through, until one of the ends is closed.
    pub(super) work: Work,
}

pub(super) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Channel {
    /// A channel whose work is done with the far end.
    pub(super) fn new<W>(work: impl FnOnce(UnixStream) -> W) -> Result<Self, Failure>
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let (near, far) = UnixStream::pair().map_err(cannot)?;
        Ok(Self {
            stream: near.into_std().map_err(cannot)?,
            work: Box::pin(work(far)),
        })
    }

    /// A channel to the other end of TLS.
    pub(super) fn inside_tls(
        server: &ServerUrl,
        mut stream: TlsStream<TcpStream>,
    ) -> Result<Self, Failure> {
        let server = server.clone();
        Self::new(|mut library| async move {
            let both = tokio::io::copy_bidirectional(&mut stream, &mut library).await;
            if let Err(error) = both {
                ended(&server, &error);
            }
        })
    }
}

/// Speaks TLS with a server.
pub(super) async fn tls(
    server: &ServerUrl,
    stream: TcpStream,
    tls: &Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, Failure> {
    let name = ServerName::try_from(server.host().to_owned()).map_err(cannot)?;
    let connector = TlsConnector::from(Arc::clone(tls));
    connector.connect(name, stream).await.map_err(cannot)
}

/// Has a server begin TLS (RFC 4511 4.14), and speaks it.
pub(super) async fn start_tls(
    server: &ServerUrl,
    mut stream: TcpStream,
    config: &Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, Failure> {
    let answer = ask(&mut stream, &start_tls_request(1), Asked::StartTls, 1)
        .await
        .map_err(cannot)?;
    if answer.code != SUCCESS {
        let Response { code, text, .. } = answer;
        return Err(Failure::Connect(format!(
            "StartTLS is refused with code {code}: {text}"
        )));
    }
    tls(server, stream, config).await
}

/// Sends one message and takes its answer.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    message: &[u8],
    asked: Asked,
    id: u8,
) -> Result<Response, ResponseError> {
    stream.write_all(message).await?;
    stream.flush().await?;
    Response::receive(stream, asked, id).await
}

pub(super) fn ended(server: &ServerUrl, error: &std::io::Error) {
    tracing::debug!(%server, %error, "directory connection ended");
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "of many types, to be handed to map_err"
)]
pub(super) fn cannot(error: impl ToString) -> Failure {
    Failure::Connect(error.to_string())
}
