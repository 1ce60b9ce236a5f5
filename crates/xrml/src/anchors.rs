//! Trust anchors: the keys at which a chain may end.
//!
//! A hierarchy's own anchors are configuration. The root of Microsoft's production hierarchy is
//! built in as a named set, for reading and verifying what Microsoft's software wrote.

use openrms_crypto::PublicKey;

use crate::error::XrmlError;
use crate::tree::{Limits, Tree};
use crate::values::{child_text, decode_base64, read_public_key};
use crate::writer::Xml;

/// A key that is trusted by itself, with the name people know it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Name, for messages.
    pub name: String,
    /// The key.
    pub key: PublicKey,
}

/// A set of anchors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Anchors(Vec<Anchor>);

impl Anchors {
    /// A set of the given anchors.
    pub fn new(anchors: impl IntoIterator<Item = Anchor>) -> Self {
        Self(anchors.into_iter().collect())
    }

    /// The root of Microsoft's production hierarchy, in which AD RMS servers enroll.
    #[must_use]
    pub fn microsoft() -> Self {
        let key = decode_base64(&MICROSOFT_ROOT_MODULUS.concat())
            .ok()
            .and_then(|modulus| PublicKey::from_le(&modulus, 65_537).ok());
        Self(
            key.map(|key| Anchor {
                name: MICROSOFT_ROOT_NAME.into(),
                key,
            })
            .into_iter()
            .collect(),
        )
    }

    /// The anchors in order.
    pub fn iter(&self) -> impl Iterator<Item = &Anchor> {
        self.0.iter()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a key is one of the set.
    #[must_use]
    pub fn contains(&self, key: &PublicKey) -> bool {
        self.0.iter().any(|anchor| anchor.key == *key)
    }

    /// Adds the anchors of another set.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Writes the set as an exchange file: `<ANCHORS>` with an `<ANCHOR>` of NAME and PUBLICKEY
    /// for each.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut xml = Xml::default();
        xml.raw("<ANCHORS>\n");
        for anchor in &self.0 {
            xml.raw("<ANCHOR>")
                .leaf("NAME", &anchor.name)
                .public_key(&anchor.key);
            xml.raw("</ANCHOR>\n");
        }
        xml.raw("</ANCHORS>\n");
        xml.finish()
    }

    /// Reads an exchange file.
    pub fn from_xml(text: &str) -> Result<Self, XrmlError> {
        let tree = Tree::parse(
            text,
            &Limits {
                bytes: 1 << 20,
                ..Limits::default()
            },
        )?;
        let root = tree.root();
        if root.name() != "ANCHORS" {
            return Err(XrmlError::invalid("ANCHORS", "not a set of trust anchors"));
        }
        let mut anchors = Vec::new();
        for anchor in root.children_named("ANCHOR") {
            let key = anchor
                .child("PUBLICKEY")
                .ok_or(XrmlError::Missing("ANCHOR/PUBLICKEY"))?;
            anchors.push(Anchor {
                name: child_text(anchor, "NAME", "ANCHOR/NAME")?,
                key: read_public_key(key)?,
            });
        }
        Ok(Self(anchors))
    }
}

const MICROSOFT_ROOT_NAME: &str = "Microsoft DRM Production Root";
/// Base64 of the little-endian modulus, as its certificates carry it.
const MICROSOFT_ROOT_MODULUS: &[&str] = &[
    "XylCwSoow3MdnsVPkTtwIY5rk647bS64Nf7M2HS8klRk5ahhcMx9VOlntzqX3SYyqxoXQFDR/kTWVTpb",
    "XVMsSYLxqr+WD1jTdHsv//79QwHtrKhLMR7jcLcMnXfAE39KaUAZg3dFSEt+JYbZboSjPeJo6D1aZmcZ",
    "vladrIq+KpBqbgIEqabqPAgG8/IbhtNblaDkTo7ev+AuIWec9EjHJCYk0TSzJf423iHZYJXDMz081OBr",
    "KY+jMtqk8aMpiqvcX6mv7mT7IwYw9aEklx+3pmLqBY87VWzlxFK88jl5CLHbJqxL5iwC3VpfVz0Ualng",
    "1KtDqZmcZdjwPcQc3RMxlg==",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_root_has_the_known_fingerprint() {
        let anchors = Anchors::microsoft();
        let root = anchors.iter().next().unwrap();
        assert_eq!(
            root.key.fingerprint_hex(),
            "7c48b30c8bef32eefa35b7b87b6d0835"
        );
        assert!(anchors.contains(&root.key));
    }

    #[test]
    fn a_set_reads_back_as_it_was_written() {
        let anchors = Anchors::microsoft();
        assert_eq!(Anchors::from_xml(&anchors.to_xml()), Ok(anchors));
        assert!(Anchors::from_xml("<X/>").is_err());
    }
}
