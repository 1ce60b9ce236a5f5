//! Content of any length in constant memory: an [`Encryptor`] to write through, a [`Decryptor`]
//! to read through, and functions that pump one stream into another.

use std::fmt;
use std::io::{self, Read, Write};

use zeroize::Zeroizing;

use crate::content::units::{Units, pad, padding};
use crate::content::{Cipher, ContentError, ContentKey};

/// Enciphers everything `from` gives into `to`, in constant memory. Answers the number of
/// *plaintext* bytes; [`Cipher::ciphertext_len`] gives what was written.
pub fn encrypt_stream(key: &ContentKey, mut from: impl Read, to: impl Write) -> io::Result<u64> {
    let mut encryptor = Encryptor::new(key, to);
    while encryptor.fill_from(&mut from)? > 0 {}
    encryptor.finish().map(|(_, length)| length)
}

/// Deciphers everything `from` gives into `to`, in constant memory; `length` as in
/// [`crate::content::decrypt`]. Answers the number of plaintext bytes written. Errors of the
/// content are [`io::ErrorKind::InvalidData`] around a [`ContentError`].
///
/// Text is written before the end of the content has been seen, so on an error `to` holds a
/// beginning that must be thrown away.
pub fn decrypt_stream(
    key: &ContentKey,
    from: impl Read,
    mut to: impl Write,
    length: Option<u64>,
) -> io::Result<u64> {
    let mut decryptor = Decryptor::new(key, from, length);
    let mut written = 0;
    loop {
        let text = decryptor.next_text()?;
        if text.is_empty() {
            break;
        }
        to.write_all(text)?;
        written += text.len() as u64;
    }
    to.flush()?;
    Ok(written)
}

/// Enciphers what is written to it and passes it on. [`Encryptor::finish`] writes the end; an
/// encryptor dropped without it leaves a cut ciphertext behind.
pub struct Encryptor<W> {
    units: Units,
    to: W,
    /// Text, from a unit's start; enciphered in place when full.
    buffer: Zeroizing<Vec<u8>>,
    unit: u64,
    length: u64,
}

impl<W: Write> Encryptor<W> {
    /// Enciphers into `to`.
    pub fn new(key: &ContentKey, to: W) -> Self {
        // Room for the padding, so that the buffer never moves and leaves a copy behind.
        let buffer = Zeroizing::new(Vec::with_capacity(CHUNK + key.cipher().unit_len()));
        Self {
            units: Units::new(key),
            to,
            buffer,
            unit: 0,
            length: 0,
        }
    }

    /// Pads, enciphers and writes the rest. Answers the inner writer, flushed, and the length of
    /// the text.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        pad(self.units.cipher(), &mut self.buffer)?;
        self.flush_units()?;
        self.to.flush()?;
        Ok((self.to, self.length))
    }

    /// Reads once, straight into the buffer; 0 at the end of `from`.
    fn fill_from(&mut self, from: &mut impl Read) -> io::Result<usize> {
        let room = CHUNK.saturating_sub(self.buffer.len()) as u64;
        let read = from.by_ref().take(room).read_to_end(&mut self.buffer)?;
        self.count(read)?;
        Ok(read)
    }

    fn count(&mut self, read: usize) -> io::Result<()> {
        self.length += read as u64;
        if self.buffer.len() >= CHUNK {
            self.flush_units()
        } else {
            Ok(())
        }
    }

    fn flush_units(&mut self) -> io::Result<()> {
        self.units.encrypt(self.unit, &mut self.buffer)?;
        self.unit += (self.buffer.len() / self.units.cipher().unit_len()) as u64;
        self.to.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl<W: Write> Write for Encryptor<W> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let room = CHUNK.saturating_sub(self.buffer.len());
        let taken = text.get(..room).unwrap_or(text);
        self.buffer.extend_from_slice(taken);
        self.count(taken.len())?;
        Ok(taken.len())
    }

    /// Passes the flush on; text short of a whole unit stays in the buffer.
    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<W> fmt::Debug for Encryptor<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Encryptor({:?}, {} bytes so far)",
            self.units.cipher(),
            self.length
        )
    }
}

/// Deciphers what it reads. The end of the inner stream is the end of the content.
pub struct Decryptor<R> {
    units: Units,
    from: R,
    buffer: Zeroizing<Vec<u8>>,
    /// Bytes at the start of the buffer that are text to hand out; ciphertext held back follows.
    text: usize,
    /// Bytes of that text already handed out.
    given: usize,
    unit: u64,
    /// Text still to come when the length was declared.
    left: Option<u64>,
    declared: u64,
    ended: bool,
}

impl<R: Read> Decryptor<R> {
    /// Deciphers from `from`; `length` as in [`crate::content::decrypt`].
    pub fn new(key: &ContentKey, from: R, length: Option<u64>) -> Self {
        Self {
            units: Units::new(key),
            from,
            buffer: Zeroizing::new(Vec::with_capacity(CHUNK + HELD_BACK)),
            text: 0,
            given: 0,
            unit: 0,
            left: length,
            declared: length.unwrap_or_default(),
            ended: false,
        }
    }

    /// The next piece of text; empty at the end.
    fn next_text(&mut self) -> io::Result<&[u8]> {
        while self.given == self.text && !self.ended {
            self.refill()?;
        }
        let start = std::mem::replace(&mut self.given, self.text);
        Ok(self.buffer.get(start..self.text).unwrap_or_default())
    }

    /// Reads and deciphers the next chunk. The last bytes are held back until more is seen to
    /// follow, since only the content's last block carries padding.
    fn refill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.text);
        (self.text, self.given) = (0, 0);
        let capacity = CHUNK + HELD_BACK;
        let room = capacity.saturating_sub(self.buffer.len());
        self.from
            .by_ref()
            .take(room as u64)
            .read_to_end(&mut self.buffer)?;
        self.ended = self.buffer.len() < capacity;

        let chunk = if self.ended { self.buffer.len() } else { CHUNK };
        let cipher_text = self.buffer.get_mut(..chunk).unwrap_or_default();
        self.units.decrypt(self.unit, cipher_text)?;
        self.unit += (chunk / self.units.cipher().unit_len()) as u64;

        let mut text = chunk;
        if let Some(left) = &mut self.left {
            // Past the declared length only the form of the content is checked.
            text = usize::try_from(*left).unwrap_or(usize::MAX).min(chunk);
            *left -= text as u64;
            if self.ended && *left > 0 {
                let (declared, found) = (self.declared, self.declared - *left);
                return Err(ContentError::Truncated { declared, found }.into());
            }
        } else if self.ended && self.units.cipher() == Cipher::Cbc4k {
            text -= padding(self.buffer.get(..chunk).unwrap_or_default())?;
        }
        if text < chunk {
            self.buffer.drain(text..chunk);
        }
        self.text = text;
        Ok(())
    }
}

impl<R: Read> Read for Decryptor<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        while self.given == self.text && !self.ended {
            self.refill()?;
        }
        let text = self.buffer.get(self.given..self.text).unwrap_or_default();
        let count = text.len().min(to.len());
        for (to, from) in to.iter_mut().zip(text) {
            *to = *from;
        }
        self.given += count;
        Ok(count)
    }
}

impl<R> fmt::Debug for Decryptor<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Decryptor({:?}, at unit {})",
            self.units.cipher(),
            self.unit
        )
    }
}

/// Bytes enciphered at once: a multiple of every unit, enough for two groups of the widest back
/// end, and still within the second-level cache.
const CHUNK: usize = 512 * 1024;

/// Ciphertext kept until more follows: a multiple of every unit.
const HELD_BACK: usize = 4096;
