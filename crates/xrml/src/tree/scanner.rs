//! The scanner behind [`super::Tree`]: one pass over the text, no back-tracking, nothing allocated
//! but the list of elements.

use std::ops::Range;

use super::references::check_references;
use super::{Limits, NONE, Span, Tree, TreeError, trim};

/// Goes through the text once, front to back.
pub(super) struct Scanner<'a, 'l> {
    text: &'a str,
    at: usize,
    limits: &'l Limits,
    elements: Vec<Span>,
    /// Open elements: index and last child seen.
    open: Vec<(usize, u32)>,
}

impl<'a, 'l> Scanner<'a, 'l> {
    pub(super) fn new(text: &'a str, limits: &'l Limits) -> Self {
        Self {
            text,
            at: 0,
            limits,
            elements: Vec::with_capacity((text.len() / TYPICAL_ELEMENT).min(limits.elements)),
            open: Vec::with_capacity(TYPICAL_DEPTH),
        }
    }

    pub(super) fn run(mut self) -> Result<Tree<'a>, TreeError> {
        while self.at < self.text.len() {
            let start = self.at;
            match self.bytes() {
                [b'<', b'/', ..] => self.end_tag(start)?,
                [b'<', b'?', ..] => return Err(TreeError::ProcessingInstruction(start as u64)),
                [b'<', b'!', rest @ ..] => {
                    return Err(match rest {
                        [b'-', b'-', ..] => TreeError::Comment(start as u64),
                        [b'[', ..] => TreeError::CData(start as u64),
                        _ => TreeError::Doctype(start as u64),
                    });
                }
                [b'<', ..] => self.start_tag(start)?,
                rest => {
                    self.at += memchr::memchr(b'<', rest).unwrap_or(rest.len());
                    self.character_data(start)?;
                }
            }
        }
        if self.elements.is_empty() || !self.open.is_empty() {
            return Err(TreeError::NotOneElement);
        }
        Ok(Tree {
            text: self.text,
            elements: self.elements,
        })
    }

    fn start_tag(&mut self, start: usize) -> Result<(), TreeError> {
        if self.open.is_empty() && !self.elements.is_empty() {
            return Err(TreeError::NotOneElement);
        }
        if self.open.len() >= self.limits.depth {
            return Err(TreeError::TooDeep(self.limits.depth));
        }
        if self.elements.len() >= self.limits.elements {
            return Err(TreeError::TooManyElements(self.limits.elements));
        }
        self.at += 1;
        let name = self
            .name()
            .ok_or_else(|| malformed(start, "a tag without a name"))?;
        let tag_end = self.attributes(start)?;
        let empty = self.eat(b'/');
        if !self.eat(b'>') {
            return Err(malformed(start, "a tag that does not end"));
        }
        let index = self.elements.len();
        if let Some((parent, last)) = self.open.last_mut() {
            let this = offset(index);
            if *last == NONE {
                self.elements[*parent].first_child = this;
            } else {
                self.elements[*last as usize].next_sibling = this;
            }
            *last = this;
        }
        self.elements.push(Span {
            whole: offset(start)..offset(self.at),
            tag: offset(name.start)..offset(tag_end),
            name_len: offset(name.len()),
            content: offset(self.at)..offset(self.at),
            first_child: NONE,
            next_sibling: NONE,
        });
        if !empty {
            self.open.push((index, NONE));
        }
        Ok(())
    }

    /// Checks the attributes up to `>` or `/>` and returns where they end.
    fn attributes(&mut self, start: usize) -> Result<usize, TreeError> {
        if matches!(self.bytes(), [b'>' | b'/', ..]) {
            return Ok(self.at);
        }
        let bad = || TreeError::Attribute(start as u64);
        let mut names: [&str; MAX_ATTRIBUTES] = [""; MAX_ATTRIBUTES];
        let mut count = 0;
        loop {
            let end = self.at;
            let spaced = self.skip_white_space();
            if matches!(self.bytes(), [b'>' | b'/', ..]) {
                return Ok(end);
            }
            if self.at == self.text.len() {
                return Err(malformed(start, "a tag that does not end"));
            }
            let name = self.name().filter(|_| spaced).ok_or_else(bad)?;
            let name = &self.text[name];
            if count == MAX_ATTRIBUTES || names[..count].contains(&name) {
                return Err(bad());
            }
            names[count] = name;
            count += 1;
            self.skip_white_space();
            if !self.eat(b'=') {
                return Err(bad());
            }
            self.skip_white_space();
            let quote = match self.bytes() {
                [quote @ (b'"' | b'\''), ..] => *quote,
                _ => return Err(bad()),
            };
            self.at += 1;
            let len = memchr::memchr(quote, self.bytes()).ok_or_else(bad)?;
            let value = &self.text[self.at..self.at + len];
            if value.contains('<') {
                return Err(bad());
            }
            check_references(value, self.at)?;
            self.at += len + 1;
        }
    }

    fn end_tag(&mut self, start: usize) -> Result<(), TreeError> {
        self.at += 2;
        let name = self
            .name()
            .ok_or_else(|| malformed(start, "an end tag without a name"))?;
        self.skip_white_space();
        if !self.eat(b'>') {
            return Err(malformed(start, "an end tag that does not end"));
        }
        let (index, _) = self.open.pop().ok_or(TreeError::NotOneElement)?;
        let span = &mut self.elements[index];
        let opened = span.tag.start as usize..(span.tag.start + span.name_len) as usize;
        if self.text[name] != self.text[opened] {
            return Err(malformed(
                start,
                "an end tag that does not fit its start tag",
            ));
        }
        span.content.end = offset(start);
        span.whole.end = offset(self.at);
        Ok(())
    }

    /// Checks the text from `start` to where the scanner stands.
    fn character_data(&self, start: usize) -> Result<(), TreeError> {
        let text = &self.text[start..self.at];
        if self.open.is_empty() {
            return if trim(text).is_empty() {
                Ok(())
            } else {
                Err(TreeError::NotOneElement)
            };
        }
        if memchr::memchr(b']', text.as_bytes()).is_some() && text.contains("]]>") {
            return Err(malformed(start, "`]]>` in character data"));
        }
        check_references(text, start)
    }

    fn bytes(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.bytes().first() == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn skip_white_space(&mut self) -> bool {
        let is_space = |b: &&u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
        let count = self.bytes().iter().take_while(is_space).count();
        self.at += count;
        count > 0
    }

    /// XrML's names are ASCII.
    fn name(&mut self) -> Option<Range<usize>> {
        let in_name = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':');
        let bytes = self.bytes();
        let first = bytes.first()?;
        if !first.is_ascii_alphabetic() && *first != b'_' {
            return None;
        }
        let start = self.at;
        self.at += bytes.iter().take_while(in_name).count();
        Some(start..self.at)
    }
}

fn malformed(position: usize, reason: &str) -> TreeError {
    TreeError::NotWellFormed {
        position: position as u64,
        reason: reason.into(),
    }
}

/// Offsets fit: the length was checked against `u32` first.
fn offset(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

/// Bytes of text for each element, and depth, of an ordinary node: where lists start out.
const TYPICAL_ELEMENT: usize = 48;
const TYPICAL_DEPTH: usize = 16;
/// Most attributes of one element; real ones have up to four.
const MAX_ATTRIBUTES: usize = 16;
