//! DIME, in which the activation service answers: a SOAP message and beside it the security
//! processor as bytes, in one body (MS-RMPR 3.2.4.1, 4.3; draft-nielsen-dime).
//!
//! Two layouts of a record's head are about: eight bytes, as MS-RMPR 4.3 shows it, and twelve with a
//! version, as the draft has it that MS-RMPR names. Both are read.

/// `Content-Type` of a message.
pub const CONTENT_TYPE: &str = "application/dime";

/// One payload of a message. Payloads that come in chunks are put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Names it within the message; may be empty.
    pub id: String,
    /// What it is.
    pub kind: PayloadKind,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// What a payload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayloadKind {
    /// A media type, such as `application/octet-stream`.
    Media(String),
    /// A URI, such as the namespace of SOAP 1.1.
    Uri(String),
}

/// The layout of records' heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// Eight bytes, as MS-RMPR 4.3 shows it.
    #[default]
    Short,
    /// Twelve bytes: with version and options.
    Versioned,
}

/// Why bytes are no DIME message, or payloads cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DimeError {
    /// It ends in the middle of a record.
    #[error("a DIME record is cut short")]
    Cut,
    /// The first record does not begin a message, or a later one does.
    #[error("a DIME message does not begin where it begins")]
    Begin,
    /// There are bytes behind the last record.
    #[error("a DIME message does not end where it ends")]
    End,
    /// Another version than 1.
    #[error("DIME of version {0}")]
    Version(u8),
    /// A chunk that does not go on where the one before ended.
    #[error("a chunk of a DIME payload is out of place")]
    Chunk,
    /// A payload that does not say what it is, by a media type or a URI.
    #[error("a DIME payload is of type format {0}, not a media type or a URI")]
    Format(u8),
    /// A name that is not ASCII, or longer than there is room for.
    #[error("a name in a DIME record is not ASCII, or too long")]
    Name,
    /// More payloads than the limit allows.
    #[error("a DIME message of more than {0} payloads")]
    TooMany(usize),
    /// A message has at least one payload.
    #[error("a DIME message without a payload")]
    Empty,
}

/// Reads a message whole, of at most so many payloads. Their bytes are those of the message, which
/// is at hand.
pub fn parse(message: &[u8], most: usize) -> Result<Vec<Payload>, DimeError> {
    let mut bytes = Bytes(message);
    let layout = Layout::of(message)?;
    let mut payloads: Vec<Payload> = Vec::new();
    let mut goes_on = false;
    loop {
        let is_first = payloads.is_empty();
        let record = Record::read(&mut bytes, layout)?;
        if record.begins != is_first {
            return Err(DimeError::Begin);
        }
        if goes_on && let Some(payload) = payloads.last_mut() {
            record.go_on(payload)?;
        } else if payloads.len() >= most {
            return Err(DimeError::TooMany(most));
        } else {
            payloads.push(record.payload()?);
        }
        goes_on = record.goes_on;
        if record.ends {
            return match (goes_on, bytes.0.is_empty()) {
                (true, _) => Err(DimeError::Chunk),
                (false, false) => Err(DimeError::End),
                (false, true) => Ok(payloads),
            };
        }
    }
}

/// Writes a message, each payload in chunks of at most `chunk` bytes.
pub fn encode(payloads: &[Payload], layout: Layout, chunk: usize) -> Result<Vec<u8>, DimeError> {
    let last = payloads.len().checked_sub(1).ok_or(DimeError::Empty)?;
    let chunk = chunk.clamp(1, LONGEST_CHUNK);
    let mut out = Vec::new();
    for (index, payload) in payloads.iter().enumerate() {
        let (format, kind) = payload.kind.parts();
        let mut record = Record {
            begins: index == 0,
            ends: false,
            goes_on: false,
            format,
            id: payload.id.as_bytes(),
            kind: kind.as_bytes(),
            data: &[],
        };
        let mut left = payload.data.as_slice();
        loop {
            (record.data, left) = left.split_at(left.len().min(chunk));
            record.goes_on = !left.is_empty();
            record.ends = index == last && left.is_empty();
            record.write(layout, &mut out)?;
            if left.is_empty() {
                break;
            }
            // What it is and what it is called stands in the first chunk alone.
            record = Record {
                begins: false,
                format: UNCHANGED,
                id: &[],
                kind: &[],
                ..record
            };
        }
    }
    Ok(out)
}

impl PayloadKind {
    fn parts(&self) -> (u8, &str) {
        match self {
            Self::Media(name) => (MEDIA, name),
            Self::Uri(name) => (URI, name),
        }
    }
}

impl Layout {
    /// By the first byte: the short layout has the flag there that begins a message, the other one a
    /// version far below the numbers that would set that bit.
    fn of(message: &[u8]) -> Result<Self, DimeError> {
        let first = *message.first().ok_or(DimeError::Cut)?;
        match first >> 3 {
            _ if first & BEGINS != 0 => Ok(Self::Short),
            VERSION => Ok(Self::Versioned),
            0 => Err(DimeError::Begin),
            version => Err(DimeError::Version(version)),
        }
    }
}

/// One record as it stands in a message.
#[derive(Clone, Copy)]
struct Record<'m> {
    begins: bool,
    ends: bool,
    goes_on: bool,
    format: u8,
    id: &'m [u8],
    kind: &'m [u8],
    data: &'m [u8],
}

impl<'m> Record<'m> {
    fn read(bytes: &mut Bytes<'m>, layout: Layout) -> Result<Self, DimeError> {
        let (flags, format, options, id, kind) = match layout {
            Layout::Short => {
                let (first, second) = (bytes.number()?, bytes.number()?);
                let (id, kind) = (first & SHORT_LENGTH, second & SHORT_LENGTH);
                (first >> 13, second >> 13, 0, id, kind)
            }
            Layout::Versioned => {
                let head = bytes.number()?;
                match (head >> 11).to_le_bytes() {
                    [VERSION, _] => {}
                    [version, _] => return Err(DimeError::Version(version)),
                }
                let options = bytes.number()?;
                let (id, kind) = (bytes.number()?, bytes.number()?);
                (head >> 8 & 0x7, head >> 4 & 0xf, options, id, kind)
            }
        };
        let [a, b] = [bytes.number()?, bytes.number()?].map(u32::from);
        let length = usize::try_from(a << 16 | b).map_err(|_| DimeError::Cut)?;
        bytes.padded(options.into())?;
        Ok(Self {
            begins: flags & 4 != 0,
            ends: flags & 2 != 0,
            goes_on: flags & 1 != 0,
            format: format.to_le_bytes()[0],
            id: bytes.padded(id.into())?,
            kind: bytes.padded(kind.into())?,
            data: bytes.padded(length)?,
        })
    }

    fn payload(&self) -> Result<Payload, DimeError> {
        let kind = match self.format {
            MEDIA => PayloadKind::Media(name(self.kind)?),
            URI => PayloadKind::Uri(name(self.kind)?),
            // Only a chunk is of the type of what was before.
            UNCHANGED => return Err(DimeError::Chunk),
            format => return Err(DimeError::Format(format)),
        };
        Ok(Payload {
            id: name(self.id)?,
            kind,
            data: self.data.to_vec(),
        })
    }

    fn go_on(&self, payload: &mut Payload) -> Result<(), DimeError> {
        if self.format != UNCHANGED || !self.kind.is_empty() || !self.id.is_empty() {
            return Err(DimeError::Chunk);
        }
        payload.data.extend_from_slice(self.data);
        Ok(())
    }

    fn write(&self, layout: Layout, out: &mut Vec<u8>) -> Result<(), DimeError> {
        let length = |part: &[u8], most: u16| match u16::try_from(part.len()) {
            Ok(length) if length <= most && part.is_ascii() => Ok(length),
            _ => Err(DimeError::Name),
        };
        let flags =
            u16::from(self.begins) << 2 | u16::from(self.ends) << 1 | u16::from(self.goes_on);
        let format = u16::from(self.format);
        match layout {
            Layout::Short => {
                let id = length(self.id, SHORT_LENGTH)?;
                let kind = length(self.kind, SHORT_LENGTH)?;
                out.extend((flags << 13 | id).to_be_bytes());
                out.extend((format << 13 | kind).to_be_bytes());
            }
            Layout::Versioned => {
                let id = length(self.id, u16::MAX)?;
                let kind = length(self.kind, u16::MAX)?;
                let head = u16::from(VERSION) << 11 | flags << 8 | format << 4;
                for number in [head, 0, id, kind] {
                    out.extend(number.to_be_bytes());
                }
            }
        }
        let data = u32::try_from(self.data.len()).map_err(|_| DimeError::Name)?;
        out.extend(data.to_be_bytes());
        for part in [self.id, self.kind, self.data] {
            out.extend(part);
            out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        }
        Ok(())
    }
}

/// What is left of a message.
struct Bytes<'m>(&'m [u8]);

impl<'m> Bytes<'m> {
    fn number(&mut self) -> Result<u16, DimeError> {
        let (number, rest) = self.0.split_first_chunk().ok_or(DimeError::Cut)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*number))
    }

    /// So many bytes, and what fills them up to a multiple of four. Writers leave the filling of the
    /// very last part out.
    fn padded(&mut self, length: usize) -> Result<&'m [u8], DimeError> {
        let (part, rest) = self.0.split_at_checked(length).ok_or(DimeError::Cut)?;
        let filling = length.next_multiple_of(ALIGNMENT) - length;
        self.0 = rest.get(filling..).unwrap_or_default();
        Ok(part)
    }
}

fn name(bytes: &[u8]) -> Result<String, DimeError> {
    let text = bytes.is_ascii().then(|| String::from_utf8(bytes.to_vec()));
    text.and_then(Result::ok).ok_or(DimeError::Name)
}

/// In the first byte of the short layout.
const BEGINS: u8 = 0x80;
/// Type format of a chunk that goes on.
const UNCHANGED: u8 = 0;
const MEDIA: u8 = 1;
const URI: u8 = 2;
const VERSION: u8 = 1;
/// Thirteen bits.
const SHORT_LENGTH: u16 = 0x1fff;
const ALIGNMENT: usize = 4;
const LONGEST_CHUNK: usize = 1 << 30;
