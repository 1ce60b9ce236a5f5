//! The layer between the client library and a server: what the library says in clear is sealed on
//! its way, and what the server seals is opened (RFC 4422 3.7, RFC 4752 3.1).

use std::io;
use std::sync::{Mutex, PoisonError};

use openrms_negotiate::NegotiateError;
use openrms_negotiate::sasl::{SecurityLayer, frame_length};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Why the layer ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum PumpError {
    /// One of the two is gone.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What came is not what the server sealed.
    #[error(transparent)]
    Frame(#[from] NegotiateError),
}

/// Carries messages both ways until either side ends, or one that is not the server's comes: of
/// that nothing reaches the library.
pub(super) async fn run<S, L>(server: S, library: L, layer: SecurityLayer) -> Result<(), PumpError>
where
    S: AsyncRead + AsyncWrite,
    L: AsyncRead + AsyncWrite,
{
    let (from_server, to_server) = tokio::io::split(server);
    let (from_library, to_library) = tokio::io::split(library);
    let layer = Mutex::new(layer);
    tokio::select! {
        ended = seal(from_library, to_server, &layer) => ended,
        ended = open(from_server, to_library, &layer) => ended,
    }
}

async fn seal(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    layer: &Mutex<SecurityLayer>,
) -> Result<(), PumpError> {
    let mut message = vec![0; with(layer, |layer| layer.longest()).min(CHUNK)];
    loop {
        let length = from.read(&mut message).await?;
        let Some(message) = message.get(..length).filter(|message| !message.is_empty()) else {
            return Ok(());
        };
        let frame = with(layer, |layer| layer.seal(message))?;
        to.write_all(&frame).await?;
    }
}

async fn open(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    layer: &Mutex<SecurityLayer>,
) -> Result<(), PumpError> {
    loop {
        let mut prefix = [0; 4];
        from.read_exact(&mut prefix).await?;
        let length = frame_length(prefix)?;
        // Memory is taken for what comes and not for what is announced.
        let mut frame = Vec::new();
        let announced = u64::try_from(length).unwrap_or(u64::MAX);
        (&mut from).take(announced).read_to_end(&mut frame).await?;
        if frame.len() < length {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let message = with(layer, |layer| layer.open(&frame))?;
        to.write_all(&message).await?;
    }
}

fn with<T>(layer: &Mutex<SecurityLayer>, work: impl FnOnce(&mut SecurityLayer) -> T) -> T {
    work(&mut layer.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What is read from the library at a time: no request of ours is longer.
const CHUNK: usize = 1 << 14;
