//! One element of the envelope, and the questions messages ask of it.

use std::borrow::Cow;

use crate::error::{ProtocolError, excerpt};
use crate::limits::Limits;

/// One element of the message.
#[derive(Debug)]
pub(crate) struct Element<'a> {
    /// Namespace, empty for none.
    pub(crate) namespace: Cow<'a, str>,
    /// Local name.
    pub(crate) name: &'a str,
    /// Attributes other than namespace declarations.
    pub(crate) attributes: Vec<Attribute<'a>>,
    /// Child elements other than certificates.
    pub(crate) children: Vec<Element<'a>>,
    /// All character data directly inside, unescaped once.
    pub(crate) text: Cow<'a, str>,
    /// Raw text of the certificates directly inside.
    pub(crate) certificates: Vec<&'a str>,
    /// Raw content, from the end of the start tag to the begin of the end tag.
    pub(crate) raw: &'a str,
    /// Whether it says `xsi:nil="true"`.
    pub(crate) nil: bool,
}

/// One attribute.
#[derive(Debug)]
pub(crate) struct Attribute<'a> {
    pub(crate) namespace: Cow<'a, str>,
    pub(crate) name: &'a str,
    pub(crate) value: Cow<'a, str>,
}

impl<'a> Element<'a> {
    pub(crate) fn is(&self, namespace: &str, name: &str) -> bool {
        self.name == name && self.namespace == namespace
    }

    /// Children of this name in the namespace of this element, nulls included.
    pub(crate) fn children_named(&self, name: &str) -> impl Iterator<Item = &Element<'a>> {
        self.children
            .iter()
            .filter(move |child| child.is(&self.namespace, name))
    }

    /// The child of this name; a null counts as absent. Unknown siblings are passed over, as
    /// schema-driven stacks do.
    pub(crate) fn child(&self, name: &str) -> Result<Option<&Element<'a>>, ProtocolError> {
        let mut found = self.children_named(name);
        let first = found.next();
        if found.next().is_some() {
            return Err(ProtocolError::Duplicate {
                element: name.to_owned(),
                parent: self.name.to_owned(),
            });
        }
        Ok(first.filter(|child| !child.nil))
    }

    pub(crate) fn required(&self, name: &'static str) -> Result<&Element<'a>, ProtocolError> {
        self.child(name)?.ok_or_else(|| ProtocolError::Missing {
            element: name,
            parent: self.name.to_owned(),
        })
    }

    /// Non-null children of an array, at least one, at most `limits.batch_items`.
    pub(crate) fn items(
        &self,
        name: &'static str,
        limits: &Limits,
    ) -> Result<Vec<&Element<'a>>, ProtocolError> {
        let items = self.any_items(name, limits)?;
        if items.is_empty() || items.iter().any(|item| item.nil) {
            return Err(ProtocolError::Missing {
                element: name,
                parent: self.name.to_owned(),
            });
        }
        Ok(items)
    }

    /// The one non-null child of an array that must hold no more.
    pub(crate) fn only_item(
        &self,
        name: &'static str,
        limits: &Limits,
    ) -> Result<&Element<'a>, ProtocolError> {
        match self.items(name, limits)?.as_slice() {
            [only] => Ok(only),
            _ => Err(ProtocolError::TooMany {
                what: name,
                limit: 1,
            }),
        }
    }

    /// Children of an array, at most `limits.batch_items`.
    pub(crate) fn any_items(
        &self,
        name: &'static str,
        limits: &Limits,
    ) -> Result<Vec<&Element<'a>>, ProtocolError> {
        let limit = limits.batch_items;
        let items: Vec<_> = self
            .children_named(name)
            .take(limit.saturating_add(1))
            .collect();
        if items.len() > limit {
            return Err(ProtocolError::TooMany { what: name, limit });
        }
        Ok(items)
    }

    /// Text of an element that holds only text, bounded by `limits.text_bytes`.
    pub(crate) fn short_text(&self, limits: &Limits) -> Result<&str, ProtocolError> {
        if !self.children.is_empty() || !self.certificates.is_empty() {
            return Err(ProtocolError::BadValue {
                element: "text element",
                value: excerpt(self.name),
                expected: "text without elements",
            });
        }
        let (length, limit) = (self.text.len(), limits.text_bytes);
        if length > limit {
            return Err(ProtocolError::TooLarge {
                what: "text value",
                length,
                limit,
            });
        }
        Ok(&self.text)
    }

    /// Text of an optional child.
    pub(crate) fn text_of(
        &self,
        name: &str,
        limits: &Limits,
    ) -> Result<Option<String>, ProtocolError> {
        match self.child(name)? {
            Some(child) => Ok(Some(child.short_text(limits)?.to_owned())),
            None => Ok(None),
        }
    }

    /// Value of the attribute of this name in no namespace.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attribute_in("", name)
    }

    pub(crate) fn attribute_in(&self, namespace: &str, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|attribute| attribute.name == name && attribute.namespace == namespace)
            .map(|attribute| &*attribute.value)
    }
}
