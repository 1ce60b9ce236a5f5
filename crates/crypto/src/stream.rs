//! Long secrets at rest: AES-256-GCM over chunks, by the STREAM construction of Hoang, Reyhanitabar,
//! Rogaway and Vizár (2015). Each chunk's nonce is its number and whether it is the last, so that
//! cutting, reordering, repeating and joining of streams are all found out.
//!
//! ```text
//! chunk   64 KiB of text (the last: any length up to that) || tag of 16 bytes
//! nonce   number of the chunk, 11 bytes, big-endian || 1 for the last chunk, else 0
//! ```

use std::fmt;
use std::io::{self, Read, Write};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::{Zeroize as _, Zeroizing};

/// Seals what is written to it. Without [`Sealer::finish`] what it wrote cannot be opened.
pub struct Sealer<W> {
    chunks: Chunks,
    buffer: Zeroizing<Vec<u8>>,
    out: W,
}

/// Opens what [`Sealer`] wrote. Gives out nothing that was not authenticated; that the end was the
/// end is known when reading has come to it.
pub struct Opener<R> {
    chunks: Chunks,
    sealed: R,
    /// One byte more than a chunk: whether there is one tells whether the chunk is the last.
    buffer: Zeroizing<Vec<u8>>,
    /// Of the buffer, what is text and not yet given out.
    text: std::ops::Range<usize>,
    /// The byte beyond the chunk that was opened last.
    ahead: Option<u8>,
    ended: bool,
}

/// What is wrong with a stream. Comes out of readers as [`io::ErrorKind::InvalidData`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// It ends before its last chunk.
    #[error("it was cut short after {0} bytes")]
    Cut(u64),
    /// Something follows its last chunk.
    #[error("something follows its end")]
    Longer,
    /// A chunk is not what was sealed there, or not all of it.
    #[error("it was altered, or cut short, near byte {0}")]
    Altered(u64),
    /// More chunks than can be numbered.
    #[error("it is too long")]
    TooLong,
    /// The library failed.
    #[error("sealing failed")]
    Failed,
}

/// Key and number of the next chunk.
struct Chunks {
    key: LessSafeKey,
    associated: Vec<u8>,
    next: u64,
}

impl<W: Write> Sealer<W> {
    /// A stream under a key that no other stream has. `associated` is authenticated with every
    /// chunk and must be given again to open.
    pub fn new(key: &[u8; 32], associated: &[u8], out: W) -> Result<Self, StreamError> {
        Ok(Self {
            chunks: Chunks::new(key, associated)?,
            buffer: Zeroizing::new(Vec::with_capacity(CHUNK + TAG)),
            out,
        })
    }

    /// Writes the last chunk and gives the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        let mut chunk = std::mem::take(&mut *self.buffer);
        let sealed = self.chunks.seal(last, &mut chunk);
        let written = sealed
            .map_err(io::Error::from)
            .and_then(|()| self.out.write_all(&chunk));
        // What is left in it is text when sealing failed.
        chunk.zeroize();
        *self.buffer = chunk;
        written
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // A full chunk waits until it is known not to be the last.
        if self.buffer.len() == CHUNK && !text.is_empty() {
            self.seal(false)?;
        }
        let room = CHUNK.saturating_sub(self.buffer.len());
        let taken = text.get(..room.min(text.len())).unwrap_or_default();
        self.buffer.extend_from_slice(taken);
        Ok(taken.len())
    }

    /// Does nothing: chunks are written when they are full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<R: Read> Opener<R> {
    /// A stream sealed under this key and beside this data.
    pub fn new(key: &[u8; 32], associated: &[u8], sealed: R) -> Result<Self, StreamError> {
        Ok(Self {
            chunks: Chunks::new(key, associated)?,
            sealed,
            buffer: Zeroizing::new(Vec::with_capacity(CHUNK + TAG + 1)),
            text: 0..0,
            ahead: None,
            ended: false,
        })
    }

    fn open_next(&mut self) -> io::Result<()> {
        self.text = 0..0;
        self.buffer.clear();
        self.buffer.extend(self.ahead.take());
        let wanted = (CHUNK + TAG + 1).saturating_sub(self.buffer.len());
        (&mut self.sealed)
            .take(wanted as u64)
            .read_to_end(&mut self.buffer)?;
        let last = self.buffer.len() <= CHUNK + TAG;
        if !last {
            self.ahead = self.buffer.pop();
        }
        let length = self.chunks.open(last, &mut self.buffer)?;
        self.text = 0..length;
        self.ended = last;
        Ok(())
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.text.is_empty() && !self.ended {
            self.open_next()?;
        }
        let text = self.buffer.get(self.text.clone()).unwrap_or_default();
        let count = text.len().min(to.len());
        if let (Some(to), Some(text)) = (to.get_mut(..count), text.get(..count)) {
            to.copy_from_slice(text);
        }
        self.text.start += count;
        Ok(count)
    }
}

impl Chunks {
    fn new(key: &[u8; 32], associated: &[u8]) -> Result<Self, StreamError> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| StreamError::Failed)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            associated: associated.to_owned(),
            next: 0,
        })
    }

    fn seal(&mut self, last: bool, chunk: &mut Vec<u8>) -> Result<(), StreamError> {
        let aad = Aad::from(self.associated.as_slice());
        self.key
            .seal_in_place_append_tag(nonce(self.next, last), aad, chunk)
            .map_err(|_| StreamError::Failed)?;
        self.next = self.next.checked_add(1).ok_or(StreamError::TooLong)?;
        Ok(())
    }

    /// Opens a chunk in place; the length of its text.
    fn open(&mut self, last: bool, chunk: &mut [u8]) -> Result<usize, StreamError> {
        let at = self.next.saturating_mul((CHUNK + TAG) as u64);
        let Some(length) = chunk.len().checked_sub(TAG) else {
            return Err(StreamError::Cut(at.saturating_add(chunk.len() as u64)));
        };
        // No chunk but the first is empty: one that is was made by cutting its text off.
        if length == 0 && self.next > 0 {
            return Err(StreamError::Altered(at));
        }
        if self.opens(last, chunk) {
            self.next = self.next.checked_add(1).ok_or(StreamError::TooLong)?;
            return Ok(length);
        }
        Err(match (self.opens(!last, chunk), last) {
            (true, true) => StreamError::Cut(at.saturating_add(chunk.len() as u64)),
            (true, false) => StreamError::Longer,
            (false, _) => StreamError::Altered(at),
        })
    }

    fn opens(&self, last: bool, chunk: &mut [u8]) -> bool {
        let aad = Aad::from(self.associated.as_slice());
        let before = chunk.to_vec();
        let opened = self
            .key
            .open_in_place(nonce(self.next, last), aad, chunk)
            .is_ok();
        if !opened {
            // The library wipes what it does not open.
            chunk.copy_from_slice(&before);
        }
        opened
    }
}

impl<W> fmt::Debug for Sealer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

impl<R> fmt::Debug for Opener<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener")
    }
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

fn nonce(number: u64, last: bool) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    let digits = number.to_be_bytes();
    for (to, from) in nonce.iter_mut().skip(3).zip(digits) {
        *to = from;
    }
    if let Some(flag) = nonce.last_mut() {
        *flag = last.into();
    }
    Nonce::assume_unique_for_key(nonce)
}

/// Bytes of text in a chunk.
pub const CHUNK: usize = 64 << 10;
const TAG: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: [u8; 32] = [5; 32];

    fn sealed(text: &[u8]) -> Vec<u8> {
        let mut sealer = Sealer::new(&KEY, b"header", Vec::new()).unwrap();
        sealer.write_all(text).unwrap();
        sealer.finish().unwrap()
    }

    fn opened(sealed: &[u8]) -> Result<Vec<u8>, StreamError> {
        let mut text = Vec::new();
        let mut opener = Opener::new(&KEY, b"header", sealed).unwrap();
        match opener.read_to_end(&mut text) {
            Ok(_) => Ok(text),
            Err(error) => Err(*error.get_ref().unwrap().downcast_ref().unwrap()),
        }
    }

    #[test]
    fn texts_of_all_lengths_around_chunks_come_back() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7] {
            let text: Vec<u8> = (0..=250).cycle().take(length).collect();
            let sealed = sealed(&text);
            let chunks = length.div_ceil(CHUNK).max(1);
            assert_eq!(sealed.len(), length + chunks * TAG);
            assert!(opened(&sealed).unwrap() == text, "{length}");
        }
    }

    #[test]
    fn a_stream_cut_anywhere_is_found_out() {
        let whole = sealed(&vec![7; 2 * CHUNK + 100]);
        let chunk = CHUNK + TAG;
        for end in [
            0,
            1,
            TAG,
            chunk - 1,
            chunk,
            chunk + 5,
            2 * chunk,
            whole.len() - 1,
        ] {
            let found = opened(&whole[..end]).unwrap_err();
            let between = end % chunk < TAG;
            assert_eq!(
                matches!(found, StreamError::Cut(_)),
                between,
                "{end}: {found}"
            );
        }
    }

    #[test]
    fn what_follows_the_end_is_refused() {
        for length in [100, CHUNK] {
            let mut whole = sealed(&vec![7; length]);
            whole.push(0);
            assert!(opened(&whole).is_err());
            whole.truncate(whole.len() - 1);
            whole.extend(sealed(b"another"));
            assert!(opened(&whole).is_err());
        }
        let mut whole = sealed(&vec![7; CHUNK]);
        whole.push(0);
        assert_eq!(opened(&whole), Err(StreamError::Longer));
    }

    #[test]
    fn chunks_cannot_be_exchanged_repeated_left_out_or_taken_from_another_place() {
        let chunk = CHUNK + TAG;
        let whole = sealed(&vec![7; 3 * CHUNK]);
        let (one, two, three) = (
            &whole[..chunk],
            &whole[chunk..2 * chunk],
            &whole[2 * chunk..],
        );
        for wrong in [
            [two, one, three].concat(),
            [one, one, three].concat(),
            [one, three].concat(),
            [three, two, one].concat(),
            [one, two, two, three].concat(),
        ] {
            assert!(opened(&wrong).is_err());
        }
        let mut other = Opener::new(&KEY, b"another header", whole.as_slice()).unwrap();
        assert!(other.read_to_end(&mut Vec::new()).is_err());
        let mut other = Opener::new(&[6; 32], b"header", whole.as_slice()).unwrap();
        assert!(other.read_to_end(&mut Vec::new()).is_err());
    }

    #[test]
    fn nothing_that_was_altered_is_given_out() {
        let whole = sealed(&vec![7; CHUNK + 100]);
        let chunk = CHUNK + TAG;
        for at in [0, 1, CHUNK, chunk - 1, chunk, whole.len() - 1] {
            let mut wrong = whole.clone();
            wrong[at] ^= 0x10;
            let mut text = Vec::new();
            let mut opener = Opener::new(&KEY, b"header", wrong.as_slice()).unwrap();
            assert!(opener.read_to_end(&mut text).is_err());
            assert_eq!(text.len(), if at < chunk { 0 } else { CHUNK });
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_text_written_in_any_pieces_comes_back(
            pieces in proptest::collection::vec(0..100_000_usize, 0..5)
        ) {
            let mut sealer = Sealer::new(&KEY, b"header", Vec::new()).unwrap();
            let mut text = Vec::new();
            for (number, length) in (0..).zip(pieces) {
                let piece: Vec<u8> = vec![number; length];
                sealer.write_all(&piece).unwrap();
                text.extend(piece);
            }
            let sealed = sealer.finish().unwrap();
            prop_assert!(opened(&sealed).unwrap() == text);
        }
    }
}
