//! Writes nodes in the forms that Microsoft's servers and clients use, and signs them.

use std::fmt::Display;

use openrms_crypto::rsa::KeyError;
use openrms_crypto::{Digest, HashAlgorithm, PrivateKey, PublicKey};

use crate::node::{Node, PolicyList, SIGNATURE_SCHEME};
use crate::rights::{Right, TimeCondition};
use crate::time::{Interval, Time};
use crate::values::{EnablingBits, Object, SecurityLevel, encode_base64};

/// Whose hand a node is written in; readers accept both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hand {
    /// As servers and authorities write.
    Server,
    /// As clients write.
    Client,
}

/// Someone with a key, as it is copied from certificate to certificate: OBJECT, PUBLICKEY and
/// SECURITYLEVEL elements, verbatim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    xml: String,
    object: Object,
    key: PublicKey,
}

impl Identity {
    /// A new identity.
    #[must_use]
    pub fn new(object: Object, key: PublicKey, levels: &[SecurityLevel]) -> Self {
        let mut xml = Xml::default();
        xml.object(&object).public_key(&key).security_levels(levels);
        Self {
            xml: xml.finish(),
            object,
            key,
        }
    }

    /// The identity that a certificate's PRINCIPAL has, verbatim; `None` without a key.
    #[must_use]
    pub fn of_principal(node: &Node) -> Option<Self> {
        let principal = node.content().principal.as_ref()?;
        Some(Self {
            xml: principal
                .identity_raw
                .iter()
                .map(|range| node.slice(range))
                .collect(),
            object: principal.object.clone(),
            key: principal.key.clone()?,
        })
    }

    /// The identity of a node's ISSUER, verbatim; `None` without a key.
    #[must_use]
    pub fn of_issuer(node: &Node) -> Option<Self> {
        let issuer = node.content().issuer.as_ref()?;
        Some(Self {
            xml: issuer
                .identity_raw
                .iter()
                .map(|range| node.slice(range))
                .collect(),
            object: issuer.object.clone(),
            key: issuer.key.clone()?,
        })
    }

    /// OBJECT, PUBLICKEY and SECURITYLEVEL elements.
    #[must_use]
    pub fn xml(&self) -> &str {
        &self.xml
    }

    /// Who.
    #[must_use]
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Their key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The ISSUER element that names this identity.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("<ISSUER>{}</ISSUER>", self.xml)
    }
}

/// Signs a BODY (from `<BODY` to `</BODY>`) and returns the whole node.
pub(crate) fn sign(
    hand: Hand,
    use_license: bool,
    body: &str,
    key: &dyn PrivateKey,
    hash: HashAlgorithm,
) -> Result<String, KeyError> {
    let digest = Digest::of_utf16le(hash, body);
    let signature = key.sign(&digest)?;
    let attributes = match hand {
        Hand::Server => r#"xmlns="" version="1.2""#,
        Hand::Client => r#"version="1.2" xmlns="""#,
    };
    let purpose = if use_license {
        r#" purpose="Content-License""#
    } else {
        ""
    };
    let mut xml = Xml {
        out: String::with_capacity(body.len() + 1024),
        hand,
    };
    xml.raw("<XrML ")
        .raw(attributes)
        .raw(purpose)
        .raw(">")
        .raw(body)
        .raw("<SIGNATURE>");
    if hand == Hand::Client {
        xml.leaf("ALGORITHM", SIGNATURE_SCHEME).digest(&digest);
    } else {
        xml.digest(&digest).leaf("ALGORITHM", SIGNATURE_SCHEME);
    }
    xml.base64_value(&signature).raw("</SIGNATURE></XrML>");
    Ok(xml.finish())
}

/// An element tree being written, front to back.
#[derive(Debug)]
pub(crate) struct Xml {
    out: String,
    hand: Hand,
}

impl Default for Xml {
    fn default() -> Self {
        Self::by(Hand::Server)
    }
}

impl Xml {
    /// A tree written in that hand.
    pub(crate) fn by(hand: Hand) -> Self {
        Self {
            out: String::new(),
            hand,
        }
    }

    pub(crate) fn finish(self) -> String {
        self.out
    }

    /// Markup as it stands.
    pub(crate) fn raw(&mut self, markup: &str) -> &mut Self {
        self.out.push_str(markup);
        self
    }

    /// Character data, escaped.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            match c {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                // Characters that XML cannot carry, and DEL, which the reader refuses.
                '\0'..='\u{8}'
                | '\u{b}'
                | '\u{c}'
                | '\u{e}'..='\u{1f}'
                | '\u{7f}'
                | '\u{fffe}'
                | '\u{ffff}' => {}
                '\r' => self.out.push_str("&#xD;"),
                _ => self.out.push(c),
            }
        }
        self
    }

    /// The rest of an element behind its attributes: ` />` when there is no text.
    fn content(&mut self, name: &str, text: &str) -> &mut Self {
        self.raw(">");
        let before = self.out.len();
        self.text(text);
        if self.out.len() == before {
            self.out.pop();
            return self.raw(" />");
        }
        self.raw("</").raw(name).raw(">")
    }

    /// ` name="value"` with the value escaped.
    pub(crate) fn attribute(&mut self, name: &str, value: &str) -> &mut Self {
        self.raw(" ").raw(name).raw("=").quoted(value)
    }

    fn named_with(&mut self, equals: &str, value: &str) -> &mut Self {
        self.raw(" name").raw(equals).quoted(value)
    }

    fn quoted(&mut self, value: &str) -> &mut Self {
        self.raw("\"");
        for part in value.split_inclusive(['"', '\n', '\t']) {
            let (body, last) = match part.chars().next_back() {
                Some(c @ ('"' | '\n' | '\t')) => (&part[..part.len() - 1], Some(c)),
                _ => (part, None),
            };
            self.text(body);
            match last {
                Some('"') => self.raw("&quot;"),
                Some('\n') => self.raw("&#xA;"),
                Some('\t') => self.raw("&#x9;"),
                _ => self,
            };
        }
        self.raw("\"")
    }

    pub(crate) fn leaf(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.raw("<").raw(name).content(name, &value.to_string())
    }

    pub(crate) fn object(&mut self, object: &Object) -> &mut Self {
        self.raw("<OBJECT");
        if let Some(kind) = &object.kind {
            self.attribute("type", kind);
        }
        self.raw("><ID").attribute("type", &object.id_type);
        if let Some(version) = &object.version {
            self.attribute("version", version);
        }
        self.content("ID", &object.id);
        if let Some(name) = &object.name {
            self.leaf("NAME", name);
        }
        for address in &object.addresses {
            self.raw("<ADDRESS").attribute("type", &address.kind);
            self.content("ADDRESS", &address.value);
        }
        self.raw("</OBJECT>")
    }

    pub(crate) fn public_key(&mut self, key: &PublicKey) -> &mut Self {
        self.raw("<PUBLICKEY><ALGORITHM>RSA</ALGORITHM><PARAMETER name=\"public-exponent\">")
            .raw("<VALUE encoding=\"integer32\">")
            .text(&key.exponent().to_string())
            .raw("</VALUE></PARAMETER><PARAMETER name=\"modulus\">")
            .base64_value(key.modulus_le())
            .raw("</PARAMETER></PUBLICKEY>")
    }

    pub(crate) fn security_levels(&mut self, levels: &[SecurityLevel]) -> &mut Self {
        for level in levels {
            self.raw("<SECURITYLEVEL")
                .attribute("name", &level.name)
                .attribute("value", &level.value)
                .raw(" />");
        }
        self
    }

    pub(crate) fn enabling_bits(&mut self, bits: &EnablingBits) -> &mut Self {
        self.raw("<ENABLINGBITS")
            .attribute("type", bits.type_name())
            .raw(">")
            .base64_value(&bits.bytes)
            .raw("</ENABLINGBITS>")
    }

    pub(crate) fn base64_value(&mut self, bytes: &[u8]) -> &mut Self {
        self.raw("<VALUE encoding=\"base64\"")
            .attribute("size", &(bytes.len() * 8).to_string())
            .raw(">")
            .raw(&encode_base64(bytes))
            .raw("</VALUE>")
    }

    pub(crate) fn digest(&mut self, digest: &Digest) -> &mut Self {
        self.raw("<DIGEST>")
            .leaf("ALGORITHM", digest.algorithm().wire_name())
            .raw("<PARAMETER name=\"codingtype\"><VALUE encoding=\"string\">surface-coding</VALUE>")
            .raw("</PARAMETER>")
            .base64_value(digest.as_bytes())
            .raw("</DIGEST>")
    }

    pub(crate) fn issued(&mut self, at: Time) -> &mut Self {
        self.leaf("ISSUEDTIME", at)
    }

    pub(crate) fn validity(&mut self, interval: Option<Interval>) -> &mut Self {
        if let Some(interval) = interval {
            self.raw("<VALIDITYTIME>")
                .bounds(interval)
                .raw("</VALIDITYTIME>");
        }
        self
    }

    pub(crate) fn time_condition(&mut self, time: &TimeCondition) -> &mut Self {
        if let Some(range) = time.range {
            self.raw("<TIME><RANGETIME>")
                .bounds(range)
                .raw("</RANGETIME></TIME>");
        }
        if let Some(days) = time.days {
            self.raw("<TIME><INTERVALTIME")
                .attribute("days", &days.to_string())
                .raw(" /></TIME>");
        }
        self
    }

    pub(crate) fn descriptor(&mut self, object: &Object) -> &mut Self {
        self.raw("<DESCRIPTOR>").object(object).raw("</DESCRIPTOR>")
    }

    pub(crate) fn distribution_point(&mut self, object: &Object) -> &mut Self {
        self.raw("<DISTRIBUTIONPOINT>")
            .object(object)
            .raw("</DISTRIBUTIONPOINT>")
    }

    /// One right round the conditions that `write` writes.
    pub(crate) fn right(&mut self, right: &Right, write: impl FnOnce(&mut Self)) -> &mut Self {
        self.bare_right(right, |xml| {
            xml.raw("<CONDITIONLIST>");
            write(xml);
            xml.raw("</CONDITIONLIST>");
        })
    }

    /// One right without CONDITIONLIST, as clients write the owner's.
    pub(crate) fn bare_right(&mut self, right: &Right, write: impl FnOnce(&mut Self)) -> &mut Self {
        let name = if right.has_element() {
            right.name()
        } else {
            "RIGHT"
        };
        self.raw("<").raw(name);
        if !right.has_element() {
            self.named_with(
                if self.hand == Hand::Client {
                    " = "
                } else {
                    "="
                },
                right.name(),
            );
        }
        self.raw(">");
        write(self);
        self.raw("</").raw(name).raw(">")
    }

    pub(crate) fn authenticated(&mut self, id: &str, name: &str, value: &str) -> &mut Self {
        self.raw("<AUTHENTICATEDDATA");
        match self.hand {
            Hand::Server => self.attribute("name", name).attribute("id", id),
            Hand::Client => self.attribute("id", id).attribute("name", name),
        };
        self.content("AUTHENTICATEDDATA", value)
    }

    pub(crate) fn policy_list(&mut self, list: &PolicyList) -> &mut Self {
        self.raw("<POLICYLIST");
        self.attribute(
            "type",
            if list.exclusion {
                "exclusion"
            } else {
                "inclusion"
            },
        );
        if list.policies.is_empty() {
            return self.raw(" />");
        }
        self.raw(">");
        for policy in &list.policies {
            self.raw("<POLICY><OBJECT><ID type=\"filename\"")
                .content("ID", &policy.filename)
                .raw("<VERSIONSPAN")
                .attribute("min", &policy.min)
                .attribute("max", &policy.max)
                .raw(" /></OBJECT></POLICY>");
        }
        self.raw("</POLICYLIST>")
    }

    pub(crate) fn bounds(&mut self, interval: Interval) -> &mut Self {
        self.leaf("FROM", interval.from)
            .leaf("UNTIL", interval.until)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::{Limits, Tree};

    /// What is left of a text on the wire: characters that XML cannot carry are gone.
    fn carried(text: &str) -> String {
        let forbidden = |c: char| {
            (c < ' ' && !matches!(c, '\t' | '\n' | '\r'))
                || matches!(c, '\u{7f}' | '\u{fffe}' | '\u{ffff}')
        };
        text.chars().filter(|&c| !forbidden(c)).collect()
    }

    fn hostile_text() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[<>&;'\"\\]\r\n\t \u{0}-\u{20}\u{7f}\u{fffe}\u{ffff}a-cé日\u{1F512}]{0,40}",
            "(&amp;|&#x41;|\\]\\]>|<!--|<!\\[CDATA\\[|&lt;|</A>|\" b=\"){0,6}",
        ]
    }

    proptest! {
        #[test]
        fn any_text_reads_back_but_for_white_space_round_it(text in hostile_text()) {
            let mut xml = Xml::default();
            xml.leaf("A", &text);
            let written = xml.finish();
            let tree = Tree::parse(&written, &Limits::default()).unwrap();
            let expected = carried(&text);
            // A carriage return is written as a reference and so is no white space round the text.
            let expected = expected.trim_matches([' ', '\t', '\n']);
            prop_assert_eq!(tree.root().text().unwrap(), expected);
            prop_assert_eq!(tree.elements().len(), 1);
        }

        #[test]
        fn any_attribute_reads_back(value in hostile_text(), hand in prop_oneof![
            Just(Hand::Server), Just(Hand::Client)
        ]) {
            let mut xml = Xml::by(hand);
            xml.raw("<A").attribute("b", &value).attribute("c", "d").raw(" />");
            let written = xml.finish();
            let tree = Tree::parse(&written, &Limits::default()).unwrap();
            prop_assert_eq!(tree.root().attribute("b").unwrap(), carried(&value));
            prop_assert_eq!(tree.root().attribute("c").unwrap(), "d");
            prop_assert!(!written.contains(['\n', '\t', '\r']));
        }

        #[test]
        fn any_object_reads_back(
            kind in proptest::option::of(hostile_text()),
            id in "[!-~é日]{0,20}",
            name in proptest::option::of("[!-~é日]([ -~é日]{0,20}[!-~é日])?"),
        ) {
            let kind = kind.map(|kind| carried(&kind).into());
            let object = Object { kind, id_type: "t".into(), id, name, ..Object::default() };
            let mut xml = Xml::default();
            xml.object(&object);
            let written = xml.finish();
            let tree = Tree::parse(&written, &Limits::default()).unwrap();
            prop_assert_eq!(Object::read(tree.root()).unwrap(), object);
        }
    }
}
