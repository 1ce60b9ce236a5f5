//! What can be wrong with a certificate or license, by field.

use crate::node::Kind;
use crate::text::TextError;
use crate::tree::TreeError;

/// Why a text is not the certificate or license it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XrmlError {
    /// The bytes are not text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The text is not an acceptable XML node.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A chain without any node, or text between or after its nodes.
    #[error("not a chain of XrML nodes: {0}")]
    NotAChain(&'static str),
    /// More nodes than a chain may have.
    #[error("more than {0} nodes in one chain")]
    TooManyNodes(usize),
    /// A field that the specification demands is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field that may occur once occurs more than once.
    #[error("{0} occurs more than once")]
    Repeated(&'static str),
    /// A field's value cannot be read.
    #[error("{field} is not valid: {reason}")]
    Invalid {
        /// Element or attribute.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The node says it is something this library does not know.
    #[error("unknown kind of certificate: BODY `{body}`, DESCRIPTOR `{descriptor}`")]
    UnknownKind {
        /// BODY type attribute.
        body: String,
        /// DESCRIPTOR OBJECT type attribute.
        descriptor: String,
    },
    /// A node of another kind than the one asked for.
    #[error("expected a {expected}, found a {found}")]
    WrongKind {
        /// What the caller needs.
        expected: Kind,
        /// What the node is.
        found: Kind,
    },
}

impl XrmlError {
    #[expect(clippy::needless_pass_by_value, reason = "so that it fits `map_err`")]
    pub(crate) fn invalid(field: &'static str, reason: impl ToString) -> Self {
        // Reasons quote the text, which may be long.
        Self::Invalid {
            field,
            reason: reason.to_string().chars().take(LONGEST_REASON).collect(),
        }
    }
}

const LONGEST_REASON: usize = 120;
