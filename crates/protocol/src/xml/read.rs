//! Reads XML into a small tree: names resolved to namespaces, text unescaped, certificates and
//! application data left as raw slices. Tokens are quick-xml's; the checks it leaves to its
//! caller (nesting, prefixes, entities, document types) are made here.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::attributes::Attributes;
use quick_xml::events::{BytesRef, Event};

use crate::certificate::certificate_length;
use crate::error::{ProtocolError, excerpt};
use crate::limits::Limits;
use crate::xml::element::{Attribute, Element};

/// Where the text comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// An HTTP body: the declared encoding must be UTF-8.
    Message,
    /// A text already decoded from a file: the declared encoding is history.
    File,
}

/// Parses a whole document. `opaque` names elements whose content is checked for balance but
/// kept raw.
pub(crate) fn parse<'a>(
    text: &'a str,
    source: Source,
    opaque: &[&str],
    limits: &Limits,
) -> Result<Element<'a>, ProtocolError> {
    // quick-xml drops the mark without counting it, which would shift every slice.
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let parser = Parser {
        text,
        base: 0,
        reader: reader(text),
        source,
        open: Vec::with_capacity(8),
        bindings: Vec::with_capacity(8),
        opaque_tags: Vec::new(),
        elements: 0,
        root: None,
        limits,
    };
    parser.run(opaque)
}

struct Parser<'a, 'l> {
    text: &'a str,
    /// Offset in `text` at which `reader` was started.
    base: usize,
    reader: Reader<&'a [u8]>,
    source: Source,
    open: Vec<Open<'a>>,
    bindings: Vec<(&'a str, Cow<'a, str>)>,
    /// Tags open inside an opaque element.
    opaque_tags: Vec<&'a str>,
    elements: usize,
    root: Option<Element<'a>>,
    limits: &'l Limits,
}

/// An element whose end tag has not come yet.
struct Open<'a> {
    element: Element<'a>,
    tag: &'a str,
    content_from: usize,
    bindings_before: usize,
    opaque: bool,
}

impl<'a> Parser<'a, '_> {
    fn run(mut self, opaque: &[&str]) -> Result<Element<'a>, ProtocolError> {
        loop {
            let event = match self.reader.read_event() {
                Ok(event) => event,
                Err(error) => return Err(self.broken(&error)),
            };
            let end = self.position();
            match event {
                Event::Start(tag) => {
                    self.start(end, tag.len(), tag.name().as_ref().len(), opaque)?;
                }
                Event::Empty(tag) => self.empty(end, tag.len(), tag.name().as_ref().len())?,
                Event::End(tag) => self.end(end, tag.name().as_ref())?,
                Event::Text(text) => self.characters(text.into_inner(), end)?,
                Event::CData(text) => {
                    if self.open.is_empty() {
                        return Err(self.malformed("character data outside the document element"));
                    }
                    self.characters(text.into_inner(), end)?;
                }
                Event::GeneralRef(reference) => self.reference(&reference, end)?,
                Event::Comment(comment) => {
                    if comment.contains("--") {
                        return Err(self.malformed("a comment holds --"));
                    }
                }
                Event::Decl(declaration) => {
                    if end != self.declaration_end() {
                        return Err(ProtocolError::MisplacedDeclaration);
                    }
                    if let Some(Ok(name)) = declaration.encoding() {
                        self.check_encoding(&name)?;
                    }
                }
                Event::PI(instruction) => {
                    let target = excerpt(instruction.target());
                    return Err(ProtocolError::ProcessingInstruction { target });
                }
                Event::DocType(_) => return Err(ProtocolError::Doctype),
                Event::Eof => return self.finish(),
            }
        }
    }

    fn start(
        &mut self,
        end: usize,
        length: usize,
        name_length: usize,
        opaque: &[&str],
    ) -> Result<(), ProtocolError> {
        let content = self.slice(end.saturating_sub(length + 1), end.saturating_sub(1))?;
        let tag = self.tag_name(content, name_length)?;
        if self.open.last().is_some_and(|open| open.opaque) {
            self.check_depth()?;
            self.opaque_tags.push(tag);
            return Ok(());
        }
        if tag == "XrML" && !self.open.is_empty() {
            return self.certificate(end.saturating_sub(length + 2));
        }
        let mut open = self.open_element(content, tag)?;
        open.content_from = end;
        open.opaque = opaque.contains(&open.element.name);
        self.open.push(open);
        Ok(())
    }

    fn empty(
        &mut self,
        end: usize,
        length: usize,
        name_length: usize,
    ) -> Result<(), ProtocolError> {
        let content = self.slice(end.saturating_sub(length + 2), end.saturating_sub(2))?;
        let tag = self.tag_name(content, name_length)?;
        if self.open.last().is_some_and(|open| open.opaque) {
            return Ok(());
        }
        if tag == "XrML" && !self.open.is_empty() {
            return self.certificate(end.saturating_sub(length + 3));
        }
        let open = self.open_element(content, tag)?;
        self.close(open);
        Ok(())
    }

    fn end(&mut self, end: usize, tag: &str) -> Result<(), ProtocolError> {
        if let Some(inner) = self.opaque_tags.pop() {
            return if inner == tag {
                Ok(())
            } else {
                Err(self.mismatch(inner, tag))
            };
        }
        let Some(mut open) = self.open.pop() else {
            return Err(self.malformed("an end tag without start tag"));
        };
        if open.tag != tag {
            return Err(self.mismatch(open.tag, tag));
        }
        let before = self.text.as_bytes().get(..end).unwrap_or_default();
        let from = memchr::memrchr(b'<', before).unwrap_or(end);
        open.element.raw = self.slice(open.content_from, from)?;
        self.close(open);
        Ok(())
    }

    /// Slices the certificate that begins at `from` and goes on behind it.
    fn certificate(&mut self, from: usize) -> Result<(), ProtocolError> {
        let rest = self.slice(from, self.text.len())?;
        let Some(open) = self.open.last_mut() else {
            return Ok(());
        };
        let length = certificate_length(rest).map_err(|source| ProtocolError::Certificate {
            element: open.element.name.to_owned(),
            source,
        })?;
        let limit = self.limits.certificates_per_chain;
        if open.element.certificates.len() == limit {
            return Err(ProtocolError::TooMany {
                what: "certificates in a chain",
                limit,
            });
        }
        let (one, rest) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if rest.starts_with(BYTE_ORDER_MARK) {
            return Err(self.malformed("a byte order mark inside the message"));
        }
        open.element.certificates.push(one);
        self.base = from + length;
        self.reader = reader(rest);
        Ok(())
    }

    fn open_element(&mut self, content: &'a str, tag: &'a str) -> Result<Open<'a>, ProtocolError> {
        self.check_depth()?;
        if self.root.is_some() {
            return Err(self.malformed("a second document element"));
        }
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err(ProtocolError::TooMany {
                what: "elements",
                limit: self.limits.elements,
            });
        }
        let bindings_before = self.bindings.len();
        let mut plain = Vec::new();
        let mut count = 0;
        // Uniqueness is checked by comparing with all before: bounded by the count below.
        for attribute in Attributes::new(content, tag.len()) {
            let attribute = attribute.map_err(|error| self.malformed(&error.to_string()))?;
            count += 1;
            if count > self.limits.attributes {
                let limit = self.limits.attributes;
                return Err(ProtocolError::TooMany {
                    what: "attributes on an element",
                    limit,
                });
            }
            let key = attribute.key.into_inner();
            let Cow::Borrowed(raw) = attribute.value else {
                return Err(self.malformed("an attribute"));
            };
            let value = self.attribute_value(raw)?;
            if key == "xmlns" {
                self.bindings.push(("", value));
            } else if let Some(prefix) = key.strip_prefix("xmlns:") {
                if value.is_empty() || prefix == "xmlns" {
                    return Err(self.malformed("a prefix cannot be bound to this"));
                }
                self.bindings.push((prefix, value));
            } else {
                plain.push((key, value));
            }
        }
        // Every name is looked up in all bindings in scope, so these are bounded too.
        if self.bindings.len() > BINDINGS {
            let what = "namespace declarations in scope";
            return Err(ProtocolError::TooMany {
                what,
                limit: BINDINGS,
            });
        }
        let (prefix, name) = split_name(tag);
        let namespace = self.resolve(prefix)?;
        let mut attributes = Vec::with_capacity(plain.len());
        for (key, value) in plain {
            let (prefix, name) = split_name(key);
            let namespace = if prefix.is_empty() {
                Cow::Borrowed("")
            } else {
                self.resolve(prefix)?
            };
            attributes.push(Attribute {
                namespace,
                name,
                value,
            });
        }
        let nil = attributes.iter().any(|a| {
            a.namespace == XSI && a.name == "nil" && matches!(a.value.trim(), "true" | "1")
        });
        let element = Element {
            namespace,
            name,
            attributes,
            children: Vec::new(),
            text: Cow::Borrowed(""),
            certificates: Vec::new(),
            raw: "",
            nil,
        };
        Ok(Open {
            element,
            tag,
            content_from: 0,
            bindings_before,
            opaque: false,
        })
    }

    fn close(&mut self, open: Open<'a>) {
        self.bindings.truncate(open.bindings_before);
        match self.open.last_mut() {
            Some(parent) => parent.element.children.push(open.element),
            None => self.root = Some(open.element),
        }
    }

    fn characters(&mut self, text: Cow<'a, str>, end: usize) -> Result<(), ProtocolError> {
        if text
            .bytes()
            .any(|b| b < b' ' && !matches!(b, b'\t' | b'\n' | b'\r'))
        {
            return Err(ProtocolError::IllegalCharacter { at: end });
        }
        let Some(open) = self.open.last_mut() else {
            return if text.trim().is_empty() {
                Ok(())
            } else {
                Err(self.malformed("text outside the envelope"))
            };
        };
        if open.opaque {
            return Ok(());
        }
        // XML has one line end; a lone or paired carriage return in the source stands for it.
        let text = if text.contains('\r') {
            Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
        } else {
            text
        };
        if open.element.text.is_empty() {
            open.element.text = text;
        } else {
            open.element.text.to_mut().push_str(&text);
        }
        Ok(())
    }

    fn reference(&mut self, reference: &BytesRef<'a>, end: usize) -> Result<(), ProtocolError> {
        let mut buffer = [0; 4];
        let resolved: &str = if reference.is_char_ref() {
            match reference.resolve_char_ref() {
                Ok(Some(c)) if xml_char(c) => c.encode_utf8(&mut buffer),
                _ => return Err(ProtocolError::IllegalCharacter { at: end }),
            }
        } else {
            quick_xml::escape::resolve_xml_entity(reference).ok_or_else(|| {
                ProtocolError::UndeclaredEntity {
                    name: excerpt(reference),
                }
            })?
        };
        match self.open.last_mut() {
            None => Err(self.malformed("text outside the envelope")),
            Some(open) if open.opaque => Ok(()),
            Some(open) => {
                open.element.text.to_mut().push_str(resolved);
                Ok(())
            }
        }
    }

    fn attribute_value<'v>(&self, raw: &'v str) -> Result<Cow<'v, str>, ProtocolError> {
        if raw.contains('<') {
            return Err(self.malformed("an attribute holds <"));
        }
        let value = quick_xml::escape::unescape(raw).map_err(|error| match error {
            quick_xml::escape::EscapeError::UnrecognizedEntity(_, name) => {
                ProtocolError::UndeclaredEntity {
                    name: excerpt(&name),
                }
            }
            other => self.malformed(&other.to_string()),
        })?;
        if value.chars().all(xml_char) {
            Ok(value)
        } else {
            Err(ProtocolError::IllegalCharacter {
                at: self.position(),
            })
        }
    }

    fn resolve(&self, prefix: &str) -> Result<Cow<'a, str>, ProtocolError> {
        if prefix == "xml" {
            return Ok(Cow::Borrowed(XML));
        }
        // Most names have no prefix; comparing two empty texts costs more than asking for it.
        let same = |bound: &str| {
            if prefix.is_empty() {
                bound.is_empty()
            } else {
                bound == prefix
            }
        };
        match self.bindings.iter().rev().find(|(bound, _)| same(bound)) {
            Some((_, namespace)) => Ok(namespace.clone()),
            None if prefix.is_empty() => Ok(Cow::Borrowed("")),
            None => Err(ProtocolError::UnboundPrefix {
                prefix: excerpt(prefix),
            }),
        }
    }

    fn tag_name(&self, content: &'a str, length: usize) -> Result<&'a str, ProtocolError> {
        let tag = content.get(..length).unwrap_or_default();
        let (prefix, name) = split_name(tag);
        let wrong = |part: &str| {
            part.contains([':', '<', '&', '"', '\'', '='])
                || part.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '.'))
        };
        if name.is_empty() || wrong(name) || wrong(prefix) || tag.starts_with(':') {
            return Err(self.malformed("a tag without proper name"));
        }
        Ok(tag)
    }

    fn check_depth(&self) -> Result<(), ProtocolError> {
        let limit = self.limits.depth;
        if self.open.len() + self.opaque_tags.len() >= limit {
            return Err(ProtocolError::TooDeep { limit });
        }
        Ok(())
    }

    fn check_encoding(&self, name: &str) -> Result<(), ProtocolError> {
        let readable = ["utf-8", "utf8", "us-ascii", "ascii"];
        if self.source == Source::File || readable.iter().any(|r| name.eq_ignore_ascii_case(r)) {
            Ok(())
        } else {
            Err(ProtocolError::UnsupportedEncoding {
                name: excerpt(name),
            })
        }
    }

    /// Where a declaration that stands at the very start ends.
    fn declaration_end(&self) -> usize {
        if self.text.starts_with("<?xml") {
            self.text.find("?>").map_or(0, |at| at + 2)
        } else {
            0
        }
    }

    fn finish(mut self) -> Result<Element<'a>, ProtocolError> {
        if let Some(open) = self.open.last() {
            let tag = self.opaque_tags.last().copied().unwrap_or(open.tag);
            return Err(ProtocolError::Truncated {
                element: excerpt(tag),
            });
        }
        self.root
            .take()
            .ok_or_else(|| self.malformed("no element at all"))
    }

    fn position(&self) -> usize {
        let read = usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX);
        self.base.saturating_add(read)
    }

    fn slice(&self, from: usize, to: usize) -> Result<&'a str, ProtocolError> {
        self.text
            .get(from..to)
            .ok_or_else(|| self.malformed("a tag is cut"))
    }

    fn malformed(&self, what: &str) -> ProtocolError {
        ProtocolError::NotWellFormed {
            at: self.position(),
            what: excerpt(what),
        }
    }

    fn mismatch(&self, open: &str, close: &str) -> ProtocolError {
        self.malformed(&format!(
            "<{}> is closed by </{}>",
            excerpt(open),
            excerpt(close)
        ))
    }

    fn broken(&self, error: &quick_xml::Error) -> ProtocolError {
        let unfinished = matches!(error, quick_xml::Error::Syntax(_));
        match self.open.last() {
            Some(open) if unfinished => ProtocolError::Truncated {
                element: excerpt(open.tag),
            },
            _ => self.malformed(&error.to_string()),
        }
    }
}

fn reader(text: &str) -> Reader<&[u8]> {
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    // End names are checked here, because a certificate is skipped without being tokenised.
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    reader
}

fn split_name(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or(("", name))
}

fn xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

const BINDINGS: usize = 128;
const BYTE_ORDER_MARK: char = '\u{feff}';
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
const XML: &str = "http://www.w3.org/XML/1998/namespace";
