//! Certificates and licenses as they travel: the raw text of each `<XrML>…</XrML>`, untouched
//! ([MS-RMPR] 2.2.3.1, 2.2.4.1). What is inside is the business of the XrML crate.
//!
//! A digest is taken over the text as it stands, so nothing here rewrites it. Slicing by search
//! instead of by tokens is safe because everything that could make a search and a parser differ
//! is refused: comments, CDATA sections, processing instructions, an `<XrML` inside another.

use std::borrow::Cow;
use std::fmt;

use memchr::memmem;

use crate::error::ProtocolError;
use crate::limits::Limits;
use crate::xml::{Element, Writer};

/// The text of one certificate or license, from `<XrML` to `</XrML>`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CertificateText<'a>(Cow<'a, str>);

/// Certificates of one chain, leaf first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct CertificateChain<'a>(pub Vec<CertificateText<'a>>);

/// Why a text is not a certificate that can be sliced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// There is something else than `<XrML …>` where a certificate should begin.
    #[error("a certificate begins with <XrML")]
    NotXrml,
    /// The start tag is broken: a quote is left open, or markup stands in it.
    #[error("the start tag of the certificate is broken")]
    StartTag,
    /// No `</XrML>` follows.
    #[error("the certificate has no </XrML>")]
    Unterminated,
    /// An `<XrML` before the `</XrML>`.
    #[error("an <XrML stands inside another")]
    Nested,
    /// `<XrML/>`.
    #[error("the certificate is empty")]
    Empty,
    /// A comment, CDATA section, document type or processing instruction inside.
    #[error("the certificate holds markup other than elements")]
    ForbiddenMarkup,
    /// More than one certificate where one belongs.
    #[error("more than one certificate where one belongs")]
    MoreThanOne,
    /// No certificate where one belongs.
    #[error("no certificate where one belongs")]
    Absent,
    /// Text or elements beside the certificate.
    #[error("something else stands beside the certificate")]
    Trailing,
}

impl<'a> CertificateText<'a> {
    /// Takes the text of exactly one certificate, without anything around it.
    pub fn new(text: impl Into<Cow<'a, str>>) -> Result<Self, CertificateError> {
        let text = text.into();
        let length = certificate_length(&text)?;
        if length == text.len() {
            Ok(Self(text))
        } else {
            Err(CertificateError::Trailing)
        }
    }

    /// The raw text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same text, no longer borrowed from the message.
    pub fn into_owned(self) -> CertificateText<'static> {
        CertificateText(Cow::Owned(self.0.into_owned()))
    }

    /// The raw text itself.
    pub fn into_inner(self) -> Cow<'a, str> {
        self.0
    }

    /// A borrow of the same text.
    pub fn borrow(&self) -> CertificateText<'_> {
        CertificateText(Cow::Borrowed(&self.0))
    }
}

impl AsRef<str> for CertificateText<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CertificateText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateText({} bytes)", self.0.len())
    }
}

impl<'a> CertificateChain<'a> {
    /// Splits a blob of concatenated certificates, the form in which chains are stored: leading
    /// byte order mark, XML declaration, white space and trailing NULs are allowed around them.
    pub fn split(blob: &'a str) -> Result<Self, CertificateError> {
        let mut rest = blob.trim_start_matches('\u{feff}').trim_matches(padding);
        if let Some(after) = rest.strip_prefix("<?xml") {
            rest = after
                .split_once("?>")
                .ok_or(CertificateError::NotXrml)?
                .1
                .trim_start();
        }
        let mut chain = Vec::new();
        while !rest.is_empty() {
            let length = certificate_length(rest)?;
            let (one, after) = rest
                .split_at_checked(length)
                .ok_or(CertificateError::NotXrml)?;
            chain.push(CertificateText(Cow::Borrowed(one)));
            rest = after.trim_start();
        }
        if chain.is_empty() {
            Err(CertificateError::Absent)
        } else {
            Ok(Self(chain))
        }
    }

    /// The certificates, leaf first.
    pub fn iter(&self) -> std::slice::Iter<'_, CertificateText<'a>> {
        self.0.iter()
    }

    /// The leaf.
    pub fn leaf(&self) -> Option<&CertificateText<'a>> {
        self.0.first()
    }

    /// How many certificates there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all certificates together.
    pub fn total_bytes(&self) -> usize {
        self.0.iter().map(|certificate| certificate.0.len()).sum()
    }

    /// The certificates joined without anything between: the form in which chains are stored.
    pub fn concatenated(&self) -> String {
        let mut blob = String::with_capacity(self.total_bytes());
        for certificate in &self.0 {
            blob.push_str(&certificate.0);
        }
        blob
    }

    /// The same chain, no longer borrowed from the message.
    pub fn into_owned(self) -> CertificateChain<'static> {
        CertificateChain(
            self.0
                .into_iter()
                .map(CertificateText::into_owned)
                .collect(),
        )
    }

    /// Reads an `ArrayOfXmlNode`, which must hold at least one certificate. `each` bounds one
    /// certificate, `total` all of them.
    pub(crate) fn decode(
        element: &Element<'a>,
        what: &'static str,
        (each, total): (usize, usize),
        limits: &Limits,
    ) -> Result<Self, ProtocolError> {
        let mut chain = Vec::new();
        for entry in element.children_named("Certificate") {
            for certificate in certificates_in(entry)? {
                let length = certificate.0.len();
                if length > each {
                    return Err(ProtocolError::TooLarge {
                        what,
                        length,
                        limit: each,
                    });
                }
                if chain.len() == limits.certificates_per_chain {
                    let limit = limits.certificates_per_chain;
                    return Err(ProtocolError::TooMany {
                        what: "certificates in a chain",
                        limit,
                    });
                }
                chain.push(certificate);
            }
        }
        let chain = Self(chain);
        let length = chain.total_bytes();
        if chain.is_empty() {
            Err(ProtocolError::Missing {
                element: "Certificate",
                parent: element.name.to_owned(),
            })
        } else if length > total {
            Err(ProtocolError::TooLarge {
                what,
                length,
                limit: total,
            })
        } else {
            Ok(chain)
        }
    }

    /// Writes an `ArrayOfXmlNode` of this name.
    pub(crate) fn encode(&self, name: &str, out: &mut Writer) {
        out.element(name, |out| {
            for certificate in &self.0 {
                out.element("Certificate", |out| out.raw(certificate.as_str()));
            }
        });
    }
}

impl<'a> FromIterator<CertificateText<'a>> for CertificateChain<'a> {
    fn from_iter<T: IntoIterator<Item = CertificateText<'a>>>(certificates: T) -> Self {
        Self(certificates.into_iter().collect())
    }
}

impl<'c, 'a> IntoIterator for &'c CertificateChain<'a> {
    type Item = &'c CertificateText<'a>;
    type IntoIter = std::slice::Iter<'c, CertificateText<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The certificates an element carries: literal `<XrML>` children, or else the same as escaped
/// text or in a CDATA section (some SOAP stacks escape what they are given as a string).
pub(crate) fn certificates_in<'a>(
    element: &Element<'a>,
) -> Result<Vec<CertificateText<'a>>, ProtocolError> {
    let wrong = |source| ProtocolError::Certificate {
        element: element.name.to_owned(),
        source,
    };
    let blank = element.text.trim().is_empty();
    if !element.certificates.is_empty() {
        return if blank && element.children.is_empty() {
            Ok(element
                .certificates
                .iter()
                .map(|&raw| CertificateText(raw.into()))
                .collect())
        } else {
            Err(wrong(CertificateError::Trailing))
        };
    }
    if element.nil || (blank && element.children.is_empty()) {
        return Ok(Vec::new());
    }
    if !element.children.is_empty() {
        return Err(wrong(CertificateError::NotXrml));
    }
    match &element.text {
        Cow::Borrowed(text) => Ok(CertificateChain::split(text).map_err(wrong)?.0),
        Cow::Owned(text) => Ok(CertificateChain::split(text).map_err(wrong)?.into_owned().0),
    }
}

/// The one certificate an element carries.
pub(crate) fn certificate_in<'a>(
    element: &Element<'a>,
) -> Result<CertificateText<'a>, ProtocolError> {
    let mut all = certificates_in(element)?;
    let wrong = |source| ProtocolError::Certificate {
        element: element.name.to_owned(),
        source,
    };
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(_), false) => Err(wrong(CertificateError::MoreThanOne)),
        (None, _) => Err(wrong(CertificateError::Absent)),
    }
}

/// Length of the certificate at the start of `text`, its end tag included.
pub(crate) fn certificate_length(text: &str) -> Result<usize, CertificateError> {
    let bytes = text.as_bytes();
    let after_name = bytes.strip_prefix(OPEN).ok_or(CertificateError::NotXrml)?;
    if !matches!(
        after_name.first(),
        Some(b'>' | b' ' | b'\t' | b'\r' | b'\n' | b'/')
    ) {
        return Err(CertificateError::NotXrml);
    }
    check_start_tag(after_name)?;
    let close = memmem::find(bytes, CLOSE).ok_or(CertificateError::Unterminated)?;
    let inside = bytes
        .get(OPEN.len()..close)
        .ok_or(CertificateError::Unterminated)?;
    if memmem::find(inside, OPEN).is_some() {
        return Err(CertificateError::Nested);
    }
    let forbidden = |at: usize| at > 0 && inside.get(at - 1) == Some(&b'<');
    if memchr::memchr2_iter(b'!', b'?', inside).any(forbidden) {
        return Err(CertificateError::ForbiddenMarkup);
    }
    let tail = bytes.get(close + CLOSE.len()..).unwrap_or_default();
    let blanks = tail.iter().take_while(|b| b.is_ascii_whitespace()).count();
    if tail.get(blanks) == Some(&b'>') {
        Ok(close + CLOSE.len() + blanks + 1)
    } else {
        Err(CertificateError::Unterminated)
    }
}

/// Checks the rest of a start tag: quotes close, no markup in it, content to follow.
fn check_start_tag(rest: &[u8]) -> Result<(), CertificateError> {
    let mut quote = None;
    let mut before = 0;
    for &byte in rest {
        match (quote, byte) {
            (_, b'<') => return Err(CertificateError::StartTag),
            (Some(open), _) if open == byte => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'>') if before == b'/' => return Err(CertificateError::Empty),
            (None, b'>') => return Ok(()),
            _ => {}
        }
        before = byte;
    }
    Err(CertificateError::Unterminated)
}

fn padding(c: char) -> bool {
    c == '\0' || c.is_ascii_whitespace()
}

const OPEN: &[u8] = b"<XrML";
const CLOSE: &[u8] = b"</XrML";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_keeps_its_bytes() {
        let text = "<XrML xmlns=\"\" version = '1.2'>\n<BODY a=\"1\"></BODY>\t</XrML >";
        assert_eq!(CertificateText::new(text).unwrap().as_str(), text);
    }

    #[test]
    fn what_could_make_search_and_parser_differ_is_refused() {
        let refused = |text: &str| CertificateText::new(text.to_owned()).unwrap_err();
        assert_eq!(refused("<XrMLs></XrMLs>"), CertificateError::NotXrml);
        assert_eq!(refused(" <XrML></XrML>"), CertificateError::NotXrml);
        assert_eq!(refused("<XrML>"), CertificateError::Unterminated);
        assert_eq!(refused("<XrML></XrMLx>"), CertificateError::Unterminated);
        assert_eq!(refused("<XrML/>"), CertificateError::Empty);
        assert_eq!(refused("<XrML a='>x</XrML>"), CertificateError::StartTag);
        assert_eq!(refused("<XrML <a>x</XrML>"), CertificateError::StartTag);
        assert_eq!(
            refused("<XrML><XrML></XrML></XrML>"),
            CertificateError::Nested
        );
        assert_eq!(
            refused("<XrML><!--</XrML>--></XrML>"),
            CertificateError::ForbiddenMarkup
        );
        assert_eq!(
            refused("<XrML><![CDATA[a]]></XrML>"),
            CertificateError::ForbiddenMarkup
        );
        assert_eq!(
            refused("<XrML><?a?></XrML>"),
            CertificateError::ForbiddenMarkup
        );
        assert_eq!(refused("<XrML></XrML> "), CertificateError::Trailing);
    }

    #[test]
    fn a_question_mark_in_an_address_is_no_markup() {
        assert!(CertificateText::new("<XrML><A>http://a/?b=c!</A></XrML>").is_ok());
    }

    #[test]
    fn a_blob_splits_into_its_certificates() {
        let blob = "\u{feff}<?xml version=\"1.0\"?><XrML>1</XrML>\n<XrML a='b'>2</XrML>\n\0\0";
        let chain = CertificateChain::split(blob).unwrap();
        assert_eq!(chain.concatenated(), "<XrML>1</XrML><XrML a='b'>2</XrML>");
        assert_eq!(CertificateChain::split(" "), Err(CertificateError::Absent));
        assert_eq!(
            CertificateChain::split("<XrML>1</XrML>x"),
            Err(CertificateError::NotXrml)
        );
    }
}
