//! A strict tree over the raw text of one license node.
//!
//! Digests are over the characters as they stand (surface coding, MS-RMPR 2.2.9.1.12), so every
//! element knows the exact slice it came from. Whatever would let the signed slice and the parsed
//! tree differ (comments, CDATA, processing instructions, entities, DOCTYPE) is refused by name.
//!
//! The scanner is our own: the language left after those refusals is start tags, end tags, quoted
//! attributes and text, and a general XML reader forgives what a signed text must not have (a
//! byte-order mark that moves every offset, names like `A/b`, references to control characters).

use std::borrow::Cow;
use std::ops::Range;

use references::{find_forbidden, unescape};
use scanner::Scanner;

mod references;
mod scanner;

/// Why a text is not an acceptable license node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The text is longer than [`Limits::bytes`].
    #[error("license text is {0} bytes, more than is accepted")]
    TooLarge(usize),
    /// Elements nest deeper than [`Limits::depth`].
    #[error("elements nest deeper than {0}")]
    TooDeep(usize),
    /// More than [`Limits::elements`] elements.
    #[error("more than {0} elements")]
    TooManyElements(usize),
    /// A comment, which surface coding would sign without anyone reading it.
    #[error("comment inside a license at byte {0}")]
    Comment(u64),
    /// A CDATA section.
    #[error("CDATA section inside a license at byte {0}")]
    CData(u64),
    /// A processing instruction or a misplaced XML declaration.
    #[error("processing instruction inside a license at byte {0}")]
    ProcessingInstruction(u64),
    /// A document type declaration.
    #[error("DOCTYPE inside a license at byte {0}")]
    Doctype(u64),
    /// A reference other than the five entities of XML and to characters that may stand in a text.
    #[error("reference at byte {0} is not to a known entity or an allowed character")]
    Entity(u64),
    /// A control or non-character that must not stand in a license.
    #[error("control character at byte {0}")]
    ControlCharacter(usize),
    /// On the element that starts there: the same attribute twice, too many, or one that cannot
    /// be read.
    #[error("bad or duplicate attribute at byte {0}")]
    Attribute(u64),
    /// Not well-formed XML.
    #[error("not well-formed at byte {position}: {reason}")]
    NotWellFormed {
        /// Byte offset in the text.
        position: u64,
        /// What is wrong there.
        reason: String,
    },
    /// Text outside the one root element, no root element, or several.
    #[error("a license node is exactly one XrML element")]
    NotOneElement,
}

/// Bounds that are checked before anything is allocated for the text.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest text, in bytes of UTF-8.
    pub bytes: usize,
    /// Deepest nesting of elements.
    pub depth: usize,
    /// Most elements.
    pub elements: usize,
}

impl Default for Limits {
    /// 8 MiB, the bound Windows puts on a publishing license (MS-RMPR note 43).
    fn default() -> Self {
        Self {
            bytes: 8 << 20,
            depth: 48,
            elements: 100_000,
        }
    }
}

/// The elements of one node, in document order, over the text they were read from.
#[derive(Debug)]
pub struct Tree<'a> {
    text: &'a str,
    elements: Vec<Span>,
}

/// One element of a [`Tree`].
#[derive(Debug, Clone, Copy)]
pub struct Element<'t> {
    tree: &'t Tree<'t>,
    index: usize,
}

#[derive(Debug, Clone)]
struct Span {
    /// From `<` of the start tag to past `>` of the end tag.
    whole: Range<u32>,
    /// Inside of the start tag: name and attributes.
    tag: Range<u32>,
    name_len: u32,
    /// Between start tag and end tag; empty for `<X />`.
    content: Range<u32>,
    first_child: u32,
    next_sibling: u32,
}

impl<'a> Tree<'a> {
    /// Parses a text that is exactly one element, white space round it allowed.
    pub fn parse(text: &'a str, limits: &Limits) -> Result<Self, TreeError> {
        if text.len() > limits.bytes || u32::try_from(text.len()).is_err() {
            return Err(TreeError::TooLarge(text.len()));
        }
        if let Some(at) = find_forbidden(text.as_bytes()) {
            return Err(TreeError::ControlCharacter(at));
        }
        Scanner::new(text, limits).run()
    }

    /// The root element.
    #[must_use]
    pub fn root(&self) -> Element<'_> {
        Element {
            tree: self,
            index: 0,
        }
    }

    /// Every element in document order, the root first.
    #[must_use]
    pub fn elements(&self) -> impl ExactSizeIterator<Item = Element<'_>> {
        (0..self.elements.len()).map(|index| Element { tree: self, index })
    }
}

impl<'t> Element<'t> {
    /// The tag name as written.
    #[must_use]
    pub fn name(&self) -> &'t str {
        let span = self.span();
        let start = span.tag.start as usize;
        &self.tree.text[start..start + span.name_len as usize]
    }

    /// The exact source of the element, both tags included.
    #[must_use]
    pub fn raw(&self) -> &'t str {
        &self.tree.text[self.range()]
    }

    /// Byte range of [`Element::raw`] in the text of the tree.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        let whole = &self.span().whole;
        whole.start as usize..whole.end as usize
    }

    /// The source between the tags.
    #[must_use]
    pub fn inner(&self) -> &'t str {
        &self.tree.text[self.inner_range()]
    }

    /// Byte range of [`Element::inner`] in the text of the tree.
    #[must_use]
    pub fn inner_range(&self) -> Range<usize> {
        let content = &self.span().content;
        content.start as usize..content.end as usize
    }

    /// The text of the tree between two offsets that ranges of its elements gave.
    pub(crate) fn between(&self, from: usize, to: usize) -> &'t str {
        self.tree.text.get(from..to).unwrap_or_default()
    }

    /// The text of an element without children, references resolved, ends trimmed.
    ///
    /// `None` when the element has children.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'t, str>> {
        if self.span().first_child != NONE {
            return None;
        }
        Some(unescape(trim(self.inner())))
    }

    /// An attribute's value, references resolved.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<Cow<'t, str>> {
        let span = self.span();
        let tag = &self.tree.text[span.tag.start as usize..span.tag.end as usize];
        let rest = tag.get(span.name_len as usize..)?;
        find_attribute(rest, name)
    }

    /// The child elements in order.
    pub fn children(&self) -> impl Iterator<Item = Element<'t>> + use<'t> {
        let tree = self.tree;
        let mut next = self.span().first_child;
        std::iter::from_fn(move || {
            if next == NONE {
                return None;
            }
            let element = Element {
                tree,
                index: next as usize,
            };
            next = element.span().next_sibling;
            Some(element)
        })
    }

    /// The first child of that name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<Element<'t>> {
        self.children().find(|child| child.name() == name)
    }

    /// All children of that name.
    pub fn children_named(
        &self,
        name: &'static str,
    ) -> impl Iterator<Item = Element<'t>> + use<'t> {
        self.children().filter(move |child| child.name() == name)
    }

    fn span(&self) -> &'t Span {
        &self.tree.elements[self.index]
    }
}

/// Cuts the white space of XML (and no other) from both ends.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(WHITE_SPACE)
}

/// Cuts the white space of XML from the start.
pub(crate) fn trim_start(text: &str) -> &str {
    text.trim_start_matches(WHITE_SPACE)
}

/// Attributes were checked for form and duplicates when the tree was built, so the first match is
/// the only one.
fn find_attribute<'t>(mut rest: &'t str, wanted: &str) -> Option<Cow<'t, str>> {
    loop {
        let equals = rest.bytes().position(|byte| byte == b'=')?;
        let (name, after) = (trim(&rest[..equals]), trim_start(&rest[equals + 1..]));
        let quote = *after.as_bytes().first()?;
        let value = after.get(1..)?;
        let end = memchr::memchr(quote, value.as_bytes())?;
        if name == wanted {
            return Some(unescape(&value[..end]));
        }
        rest = &value[end + 1..];
    }
}

const NONE: u32 = u32::MAX;
const WHITE_SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(), TreeError> {
        Tree::parse(text, &Limits::default()).map(|_| ())
    }

    #[test]
    fn every_element_knows_its_exact_source() {
        let text = r#" <XrML version="1.2"><BODY a = 'x&amp;y'><A/>t &lt; u</BODY><S></S></XrML> "#;
        let tree = Tree::parse(text, &Limits::default()).unwrap();
        let body = tree.root().child("BODY").unwrap();
        assert_eq!(body.raw(), "<BODY a = 'x&amp;y'><A/>t &lt; u</BODY>");
        assert_eq!(body.inner(), "<A/>t &lt; u");
        assert_eq!(body.attribute("a").unwrap(), "x&y");
        assert_eq!(body.attribute("b"), None);
        assert_eq!(body.child("A").unwrap().raw(), "<A/>");
        assert_eq!(body.child("A").unwrap().text().unwrap(), "");
        assert_eq!(body.text(), None);
        let names: Vec<_> = tree.root().children().map(|c| c.name()).collect();
        assert_eq!(names, ["BODY", "S"]);
    }

    #[test]
    fn whatever_could_hide_text_from_a_reader_is_refused_by_name() {
        assert!(matches!(
            parse("<A><!-- x --></A>"),
            Err(TreeError::Comment(3))
        ));
        assert!(matches!(
            parse("<A><![CDATA[x]]></A>"),
            Err(TreeError::CData(3))
        ));
        assert!(matches!(
            parse("<A><?x y?></A>"),
            Err(TreeError::ProcessingInstruction(3))
        ));
        assert!(matches!(
            parse("<?xml version='1.0'?><A/>"),
            Err(TreeError::ProcessingInstruction(0))
        ));
        assert!(matches!(
            parse("<!DOCTYPE A><A/>"),
            Err(TreeError::Doctype(0))
        ));
        assert_eq!(parse("<A>ab&bomb;</A>"), Err(TreeError::Entity(5)));
        assert_eq!(parse("<A b='&bomb;'/>"), Err(TreeError::Entity(6)));
        assert!(matches!(
            parse("<A b='1' b='2'/>"),
            Err(TreeError::Attribute(0))
        ));
        assert!(matches!(
            parse("<A>\u{1}</A>"),
            Err(TreeError::ControlCharacter(3))
        ));
        assert!(matches!(parse("<A/><A/>"), Err(TreeError::NotOneElement)));
        assert!(matches!(parse("<A>"), Err(TreeError::NotOneElement)));
        assert!(matches!(parse("x<A/>"), Err(TreeError::NotOneElement)));
        assert!(matches!(parse(""), Err(TreeError::NotOneElement)));
    }

    #[test]
    fn references_resolve_once_and_only_to_characters_that_may_stand() {
        let text = |inner: &str| {
            let source = format!("<A>{inner}</A>");
            let tree = Tree::parse(&source, &Limits::default())?;
            Ok(tree.root().text().unwrap().into_owned())
        };
        assert_eq!(
            text("&#65;&#x42;&amp;lt; &quot;&apos;"),
            Ok("AB&lt; \"'".into())
        );
        assert_eq!(text(" &#x20;a&#32; "), Ok(" a ".into()));
        assert_eq!(text("&#x1F512;"), Ok("\u{1F512}".into()));
        for refused in [
            "&#0;",
            "&#1;",
            "&#x1f;",
            "&#127;",
            "&#xFFFE;",
            "&#xD800;",
            "&#x110000;",
            "&#+65;",
            "&#;",
            "&#x;",
            "&;",
            "&",
            "& ",
            "&am",
            "&AMP;",
            "&#X41;",
            "&#99999999999999999999;",
        ] {
            assert_eq!(text(refused), Err(TreeError::Entity(3)), "{refused}");
        }
    }

    #[test]
    fn nothing_but_names_attributes_and_text_is_understood() {
        for text in [
            "<A>x</B>",
            "<A></A",
            "<A",
            "<",
            "</",
            "< A/>",
            "<1/>",
            "<é/>",
            "<A>x]]></A>",
            "<A/ >",
            "<A / >",
            "</>",
            "<A></>",
            "<A></A b='1'>",
            "<A//>",
        ] {
            assert!(
                matches!(parse(text), Err(TreeError::NotWellFormed { .. })),
                "{text}"
            );
        }
        for text in [
            "<A b/>",
            "<A b=x/>",
            "<A b=''c=''/>",
            "<A b='<'/>",
            "<A b='/>",
            "<A 'b'='1'/>",
            "<A=''/>",
            "<A<B/>",
            "<A b='1' c='2' b='3'/>",
            "<A b =/>",
        ] {
            assert_eq!(parse(text), Err(TreeError::Attribute(0)), "{text}");
        }
        // Byte-order marks and the spaces of other alphabets are text.
        for text in [
            "\u{feff}<A/>",
            "<A/>\u{a0}",
            "\u{2003}<A/>",
            "</A>",
            "<A/></A>",
        ] {
            assert_eq!(parse(text), Err(TreeError::NotOneElement), "{text}");
        }
        assert_eq!(parse("<A>\u{7f}</A>"), Err(TreeError::ControlCharacter(3)));
        assert_eq!(
            parse("<A>é\u{ffff}</A>"),
            Err(TreeError::ControlCharacter(5))
        );
        assert_eq!(parse("<A a = '>' b='/>' ><B /></A >"), Ok(()));
        assert_eq!(parse("<A>\u{ffe6}\u{fffd}\u{feff}]] ></A>"), Ok(()));
        let many: String = ('a'..='q').flat_map(|c| [' ', c, '=', '"', '"']).collect();
        assert_eq!(parse(&format!("<A{many}/>")), Err(TreeError::Attribute(0)));
    }

    #[test]
    fn depth_size_and_count_are_bounded() {
        let deep = "<A>".repeat(60) + &"</A>".repeat(60);
        assert_eq!(parse(&deep), Err(TreeError::TooDeep(48)));
        let limits = Limits {
            bytes: 10,
            depth: 5,
            elements: 3,
        };
        assert_eq!(
            Tree::parse("<A>01234567</A>", &limits).map(|_| ()),
            Err(TreeError::TooLarge(15))
        );
        let limits = Limits {
            bytes: 100,
            ..limits
        };
        assert_eq!(
            Tree::parse("<A><B/><B/><B/></A>", &limits).map(|_| ()),
            Err(TreeError::TooManyElements(3))
        );
    }
}
