//! Bytes of a message, taken one value after another ([MS-RMPRS] 2.3.3): little-endian numbers,
//! texts with their length before them. Nothing is allocated.

use super::error::BinaryError;
use super::record::RecordType;

/// A place in a message.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    text_limit: usize,
}

impl<'a> Cursor<'a> {
    /// The begin of a message, whose texts may have so many bytes each.
    pub(super) const fn new(bytes: &'a [u8], text_limit: usize) -> Self {
        Self {
            bytes,
            at: 0,
            text_limit,
        }
    }

    /// Bytes before this place.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Bytes after this place.
    pub(super) const fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    pub(super) fn byte(&mut self) -> Result<u8, BinaryError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(super) fn int32(&mut self) -> Result<i32, BinaryError> {
        self.array().map(i32::from_le_bytes)
    }

    pub(super) fn single(&mut self) -> Result<f32, BinaryError> {
        self.array().map(f32::from_le_bytes)
    }

    pub(super) fn boolean(&mut self) -> Result<bool, BinaryError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(BinaryError::BadValue {
                field: "a boolean",
                value: other.to_string(),
                expected: "0 or 1",
            }),
        }
    }

    /// A text with its length before it (2.3.3.4).
    pub(super) fn text(&mut self) -> Result<&'a str, BinaryError> {
        let length = self.length()?;
        let limit = self.text_limit;
        if length > limit {
            let what = "a text";
            return Err(BinaryError::TooLarge {
                what,
                length,
                limit,
            });
        }
        let at = self.at;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| BinaryError::NotUtf8 { at })
    }

    /// The type of the next record, and where that begins.
    pub(super) fn record(&mut self) -> Result<(RecordType, usize), BinaryError> {
        let at = self.at;
        let code = self.byte()?;
        match RecordType::from_code(code) {
            Some(kind) => Ok((kind, at)),
            None => Err(BinaryError::UnknownRecord { code, at }),
        }
    }

    /// The next record, which must be of this type.
    pub(super) fn expect(
        &mut self,
        wanted: RecordType,
        expected: &'static str,
    ) -> Result<(), BinaryError> {
        match self.record()? {
            (found, _) if found == wanted => Ok(()),
            (found, at) => Err(BinaryError::MisplacedRecord {
                expected,
                found,
                at,
            }),
        }
    }

    /// A number that must have this value.
    pub(super) fn fixed(&mut self, field: &'static str, value: i32) -> Result<(), BinaryError> {
        match self.int32()? {
            found if found == value => Ok(()),
            found => Err(BinaryError::BadValue {
                field,
                value: found.to_string(),
                expected: "the number it must be",
            }),
        }
    }

    /// Seven bits a byte, the lowest first; the eighth says that another byte follows.
    fn length(&mut self) -> Result<usize, BinaryError> {
        let at = self.at;
        let mut length = 0_u32;
        for index in 0..5_u32 {
            let byte = self.byte()?;
            let last = byte & 0x80 == 0;
            let overlong = index > 0 && byte == 0;
            let overflow = index == 4 && byte > 0x07;
            if overlong || overflow {
                return Err(BinaryError::BadLength { at });
            }
            length |= u32::from(byte & 0x7f) << (7 * index);
            if last {
                return usize::try_from(length).map_err(|_| BinaryError::BadLength { at });
            }
        }
        Err(BinaryError::BadLength { at })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BinaryError> {
        let found = self
            .bytes
            .get(self.at..)
            .and_then(<[u8]>::first_chunk::<N>)
            .ok_or_else(|| self.truncated())?;
        self.at += N;
        Ok(*found)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], BinaryError> {
        let end = self
            .at
            .checked_add(length)
            .ok_or_else(|| self.truncated())?;
        let found = self
            .bytes
            .get(self.at..end)
            .ok_or_else(|| self.truncated())?;
        self.at = end;
        Ok(found)
    }

    fn truncated(&self) -> BinaryError {
        BinaryError::Truncated {
            at: self.bytes.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(bytes: &[u8]) -> Result<usize, BinaryError> {
        Cursor::new(bytes, 0).length()
    }

    #[test]
    fn lengths_take_one_byte_to_five() {
        assert_eq!(length(&[0]), Ok(0));
        assert_eq!(length(&[0x7f]), Ok(127));
        assert_eq!(length(&[0xf3, 0x01]), Ok(243));
        assert_eq!(length(&[0x80, 0x80, 0x01]), Ok(16_384));
        let longest = [0xff, 0xff, 0xff, 0xff, 0x07];
        assert_eq!(length(&longest), Ok(2_147_483_647));
    }

    #[test]
    fn lengths_longer_than_they_need_be_are_refused() {
        let bad = BinaryError::BadLength { at: 0 };
        for bytes in [
            &[0x80, 0x00][..],
            &[0xff, 0xff, 0xff, 0xff, 0x08],
            &[0xff, 0xff, 0xff, 0xff, 0x87, 0x01],
        ] {
            assert_eq!(length(bytes), Err(bad.clone()), "{bytes:?}");
        }
        assert!(matches!(
            length(&[0x80]),
            Err(BinaryError::Truncated { .. })
        ));
    }
}
