//! A file as the body of an answer, read piece by piece while the peer takes it.

use std::fs::File;
use std::io::{self, Read as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinHandle, spawn_blocking};

/// So many bytes of an open file, from where it stands.
pub(super) struct FileBody {
    left: u64,
    state: State,
    /// Given back when the download is over.
    _place: OwnedSemaphorePermit,
}

enum State {
    Idle(File),
    Reading(JoinHandle<io::Result<(File, Bytes)>>),
    Over,
}

impl FileBody {
    pub(super) fn new(file: File, bytes: u64, place: OwnedSemaphorePermit) -> Self {
        Self {
            left: bytes,
            state: State::Idle(file),
            _place: place,
        }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return Poll::Ready(None),
                State::Idle(_) if self.left == 0 => return Poll::Ready(None),
                State::Idle(file) => {
                    let most = self.left.min(PIECE);
                    self.state = State::Reading(spawn_blocking(move || piece(file, most)));
                }
                State::Reading(mut reading) => {
                    let Poll::Ready(read) = Pin::new(&mut reading).poll(context) else {
                        self.state = State::Reading(reading);
                        return Poll::Pending;
                    };
                    let read = read.map_err(io::Error::other).flatten();
                    let (file, bytes) = match read {
                        Ok(read) => read,
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    };
                    if bytes.is_empty() {
                        // Somebody cut it: the peer must not take it for whole.
                        let error = io::ErrorKind::UnexpectedEof.into();
                        return Poll::Ready(Some(Err(error)));
                    }
                    self.left = self.left.saturating_sub(bytes.len() as u64);
                    self.state = State::Idle(file);
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

fn piece(mut file: File, most: u64) -> io::Result<(File, Bytes)> {
    let mut bytes = Vec::with_capacity(usize::try_from(most).unwrap_or(0));
    file.by_ref().take(most).read_to_end(&mut bytes)?;
    Ok((file, bytes.into()))
}

/// Bytes that are in memory of each download.
const PIECE: u64 = 64 << 10;
