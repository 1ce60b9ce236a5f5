//! Certificates that another XML library wrote again on their way here.
//!
//! A SOAP stack that holds certificates as trees writes `<X/>` where the signer wrote `<X />` or
//! `<X></X>` (libxml2), or `name="OWNER"` where the signer wrote `name = "OWNER"` (any). The digest
//! is over the characters, so the text is tried in the spellings that signers use; the one whose
//! digest and signature hold *is* the certificate from then on. Nothing else is forgiven: white
//! space between tags is not.

use crate::error::XrmlError;
use crate::node::{Node, SignatureError, Verified};

/// Why no spelling of a text is a signed node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// Not a certificate or license.
    #[error(transparent)]
    Malformed(#[from] XrmlError),
    /// The signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// Parses and verifies a node as it stands, else in one of the signers' spellings.
pub fn recover(text: &str) -> Result<Verified<Node>, RecoverError> {
    recover_under(text, None)
}

/// [`recover`] beneath a certificate that was read before: where that certifies the very key the
/// node names as its issuer's, the key is not prepared a second time.
pub fn recover_under(text: &str, above: Option<&Node>) -> Result<Verified<Node>, RecoverError> {
    let parse = |text: &str| -> Result<Node, XrmlError> {
        let mut node = Node::parse(text)?;
        if let Some(key) = above.and_then(Node::principal_key) {
            node.share_issuer_key(key);
        }
        Ok(node)
    };
    let error = match parse(text)?.verify() {
        Ok(node) => return Ok(node),
        Err(error @ SignatureError::DigestMismatch(_)) => error,
        Err(error) => return Err(error.into()),
    };
    let mut tried = vec![text.to_owned()];
    for spelling in SPELLINGS {
        let respelled = spelling.write(text);
        if tried.contains(&respelled) {
            continue;
        }
        if let Ok(node) = parse(&respelled)
            && let Ok(verified) = node.verify()
        {
            return Ok(verified);
        }
        tried.push(respelled);
    }
    Err(error.into())
}

/// A well-formed text in the spelling of servers, for what is not signed yet: a server that signs
/// what a client sent leaves one spelling in it, not two.
#[must_use]
pub fn as_server(text: &str) -> String {
    SPELLINGS[0].write(text)
}

/// How a signer spells what XML lets a writer choose. Empty elements are always ` />`, but for
/// the SECURITYLEVEL elements named here.
#[derive(Debug, Clone, Copy)]
struct Spelling {
    /// SECURITYLEVEL with an end tag.
    open_levels: bool,
    /// The client's own SECURITYLEVEL, which tells its version, too.
    open_own_level: bool,
    /// `<RIGHT name = "..">`.
    spaced_rights: bool,
}

impl Spelling {
    /// Writes a well-formed text again in this spelling.
    fn write(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + text.len() / 16);
        let mut rest = text;
        while let Some((before, tag, after)) = next_tag(rest) {
            out.push_str(before);
            rest = after;
            let inner = tag.strip_suffix('/').map(str::trim_end);
            let is_level = tag.starts_with("SECURITYLEVEL") && !tag.starts_with('/');
            let (inner, empty) = match inner {
                Some(inner) => (inner, true),
                None if is_level && after.starts_with(END_OF_LEVEL) => {
                    rest = &after[END_OF_LEVEL.len()..];
                    (tag.trim_end(), true)
                }
                None => (tag, false),
            };
            out.push('<');
            if self.spaced_rights && inner.starts_with("RIGHT ") {
                out.push_str(&inner.replacen("name=", "name = ", 1));
            } else {
                out.push_str(inner);
            }
            let own = inner.contains(OWN_LEVEL);
            if !empty {
                out.push('>');
            } else if is_level && self.open_levels && (self.open_own_level || !own) {
                out.push('>');
                out.push_str(END_OF_LEVEL);
            } else {
                out.push_str(" />");
            }
        }
        out.push_str(rest);
        out
    }
}

/// Cuts a text into what stands before its first tag, the inside of that tag, and the rest.
fn next_tag(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find('<')?;
    let mut quote = None;
    let inside = text.get(start + 1..)?;
    let end = inside.bytes().position(|byte| match (quote, byte) {
        (None, b'>') => true,
        (None, b'"' | b'\'') => {
            quote = Some(byte);
            false
        }
        (Some(open), _) if open == byte => {
            quote = None;
            false
        }
        _ => false,
    })?;
    Some((
        text.get(..start)?,
        inside.get(..end)?,
        inside.get(end + 1..)?,
    ))
}

const END_OF_LEVEL: &str = "</SECURITYLEVEL>";
const OWN_LEVEL: &str = r#"name="SDK""#;
/// Servers; Microsoft's client, which opens what it copied; this library's client, which copies
/// as it stands; all levels open.
const SPELLINGS: [Spelling; 4] = [
    Spelling {
        open_levels: false,
        open_own_level: false,
        spaced_rights: false,
    },
    Spelling {
        open_levels: true,
        open_own_level: false,
        spaced_rights: true,
    },
    Spelling {
        open_levels: false,
        open_own_level: false,
        spaced_rights: true,
    },
    Spelling {
        open_levels: true,
        open_own_level: true,
        spaced_rights: false,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_empty_elements_and_rights_are_spelled_anew() {
        let text = r#"<A b='x/>'><C/>y />z<SECURITYLEVEL name="SDK" value="1"></SECURITYLEVEL><SECURITYLEVEL name="a>b" value="2"/><RIGHT name="OWNER"></RIGHT></A>"#;
        let [server, client, _, all] = SPELLINGS.map(|spelling| spelling.write(text));
        assert_eq!(
            server,
            r#"<A b='x/>'><C />y />z<SECURITYLEVEL name="SDK" value="1" /><SECURITYLEVEL name="a>b" value="2" /><RIGHT name="OWNER"></RIGHT></A>"#
        );
        assert_eq!(
            client,
            r#"<A b='x/>'><C />y />z<SECURITYLEVEL name="SDK" value="1" /><SECURITYLEVEL name="a>b" value="2"></SECURITYLEVEL><RIGHT name = "OWNER"></RIGHT></A>"#
        );
        assert_eq!(
            all,
            r#"<A b='x/>'><C />y />z<SECURITYLEVEL name="SDK" value="1"></SECURITYLEVEL><SECURITYLEVEL name="a>b" value="2"></SECURITYLEVEL><RIGHT name="OWNER"></RIGHT></A>"#
        );
        assert_eq!(
            SPELLINGS[0].write(&client),
            server.replace("name=\"OWNER", "name = \"OWNER")
        );
    }
}
