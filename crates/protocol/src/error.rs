//! What can be wrong with a message, by name, and which fault the specification gives it
//! ([MS-RMPR] 3.1.4.5, 3.1.4.6).

use crate::certificate::CertificateError;
use crate::endpoints::Contract;
use crate::fault::{Fault, FaultClass, FaultCode};
use crate::soap::{ResponseHead, SoapVersion, encode_fault};
use crate::version::DataVersion;

/// Why a message was not accepted. Values quoted from the message are cut to a short excerpt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The body is longer than [`crate::Limits::body_bytes`].
    #[error("the message has {length} bytes, more than the {limit} allowed")]
    BodyTooLarge {
        /// Bytes received.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The body is not UTF-8.
    #[error("the message is not UTF-8 at byte {at}")]
    NotUtf8 {
        /// Offset of the first wrong byte.
        at: usize,
    },
    /// The XML declaration or content type names an encoding other than UTF-8.
    #[error("the message declares the encoding {name:?}; only UTF-8 is read")]
    UnsupportedEncoding {
        /// The encoding named.
        name: String,
    },
    /// A `<!DOCTYPE`: refused whole, so that no entity can be declared.
    #[error("the message holds a document type declaration")]
    Doctype,
    /// A processing instruction, which SOAP forbids.
    #[error("the message holds the processing instruction {target:?}")]
    ProcessingInstruction {
        /// Its target.
        target: String,
    },
    /// An XML declaration that is not at the very start.
    #[error("an XML declaration stands inside the message")]
    MisplacedDeclaration,
    /// An entity other than the five predefined ones.
    #[error("the entity {name:?} is not declared")]
    UndeclaredEntity {
        /// Its name.
        name: String,
    },
    /// A character XML does not allow.
    #[error("the message holds a character XML does not allow near byte {at}")]
    IllegalCharacter {
        /// Offset near it.
        at: usize,
    },
    /// The XML is not well formed.
    #[error("the message is not well-formed XML near byte {at}: {what}")]
    NotWellFormed {
        /// Offset near the mistake.
        at: usize,
        /// What is wrong.
        what: String,
    },
    /// The message ends inside an element.
    #[error("the message ends inside {element:?}")]
    Truncated {
        /// The innermost open element.
        element: String,
    },
    /// A prefix without declaration.
    #[error("the prefix {prefix:?} is bound to no namespace")]
    UnboundPrefix {
        /// The prefix.
        prefix: String,
    },
    /// Elements nested deeper than [`crate::Limits::depth`].
    #[error("elements are nested deeper than {limit}")]
    TooDeep {
        /// Levels allowed.
        limit: usize,
    },
    /// More of something than a limit allows.
    #[error("more than {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// Count allowed.
        limit: usize,
    },
    /// A value longer than a limit allows.
    #[error("{what} has {length} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Which value.
        what: &'static str,
        /// Its bytes.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The document element is not a SOAP envelope.
    #[error("expected a SOAP envelope, found {found:?}")]
    NotAnEnvelope {
        /// What stands there instead.
        found: String,
    },
    /// The document element of an off-line document is another one.
    #[error("expected {expected:?} as document element, found {found:?}")]
    NotTheDocument {
        /// The element looked for.
        expected: &'static str,
        /// The one found.
        found: String,
    },
    /// The content type belongs to the other version of SOAP.
    #[error("the content type {content_type:?} does not go with the envelope's version of SOAP")]
    ContentTypeMismatch {
        /// The content type received.
        content_type: String,
    },
    /// `SOAPAction` (or the `action` parameter) names another operation than the body.
    #[error("the SOAP action {action:?} is not that of the operation {operation}")]
    ActionMismatch {
        /// The action received.
        action: String,
        /// The operation in the body.
        operation: &'static str,
    },
    /// A header addressed to this receiver that must be understood and is not.
    #[error("the header {name:?} must be understood and is not known")]
    MustUnderstand {
        /// Local name of the header.
        name: String,
    },
    /// The body does not hold exactly one operation.
    #[error("the SOAP body holds {count} elements instead of one operation")]
    NotOneOperation {
        /// How many elements it holds.
        count: usize,
    },
    /// No operation of this name in this namespace.
    #[error("no operation {name:?} in the namespace {namespace:?}")]
    UnknownOperation {
        /// Namespace of the element in the body.
        namespace: String,
        /// Its local name.
        name: String,
    },
    /// The answer is that of another operation.
    #[error("expected the answer {expected}, found {found:?}")]
    UnexpectedResponse {
        /// Element awaited.
        expected: &'static str,
        /// Element found.
        found: String,
    },
    /// A required value is absent or null.
    #[error("{element} is missing in {parent}")]
    Missing {
        /// The absent element.
        element: &'static str,
        /// Where it belongs.
        parent: String,
    },
    /// An element that may stand once stands twice.
    #[error("{element} stands more than once in {parent}")]
    Duplicate {
        /// The repeated element.
        element: String,
        /// Where it stands.
        parent: String,
    },
    /// A value does not have the form of its type.
    #[error("{element} holds {value:?}, which is not {expected}")]
    BadValue {
        /// The element.
        element: &'static str,
        /// Excerpt of its value.
        value: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A certificate in the message is not one.
    #[error("in {element}: {source}")]
    Certificate {
        /// The element that carries it.
        element: String,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// A version in `VersionData` is malformed.
    #[error("{field} holds {value:?}, which is no data version")]
    MalformedVersion {
        /// `MinimumVersion` or `MaximumVersion`.
        field: &'static str,
        /// Excerpt of its value.
        value: String,
    },
    /// The client asks for a version above the server's.
    #[error("data version {asked} is asked for, the highest supported is {highest}")]
    UnsupportedVersion {
        /// Version asked for.
        asked: DataVersion,
        /// Highest version of the server.
        highest: DataVersion,
    },
    /// Several licences are asked for without version 1.1.0.0 (3.4.4.1).
    #[error("{items} licences are asked for without data version 1.1.0.0")]
    BatchNotAgreed {
        /// How many.
        items: usize,
    },
}

impl ProtocolError {
    /// The fault a server answers with.
    ///
    /// Missing values are `System.ArgumentNullException`, versions have their own two names
    /// (3.1.4.6), an `ApplicationData` over its bound is `UnspecifiedErrorException` (3.4.4.1),
    /// and what cannot be read at all is `System.InvalidOperationException`, as for an improper
    /// `ServiceType` (3.7.4.2).
    pub fn fault(&self) -> Fault {
        let code = match self {
            Self::MalformedVersion { .. } => FaultCode::MalformedDataVersion,
            Self::UnsupportedVersion { .. } => FaultCode::UnsupportedDataVersion,
            Self::Missing { .. } => FaultCode::ArgumentNull,
            Self::TooLarge { .. }
            | Self::TooMany { .. }
            | Self::BodyTooLarge { .. }
            | Self::BatchNotAgreed { .. } => FaultCode::UnspecifiedError,
            _ => FaultCode::InvalidOperation,
        };
        let class = match self {
            Self::NotAnEnvelope { .. } | Self::ContentTypeMismatch { .. } => {
                FaultClass::VersionMismatch
            }
            Self::MustUnderstand { .. } => FaultClass::MustUnderstand,
            _ => FaultClass::Server,
        };
        Fault {
            class,
            code: Some(code),
            message: self.to_string(),
        }
    }
}

/// A request that was not accepted, with what is known about how to say so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Rejection {
    /// SOAP version to answer in.
    pub soap: SoapVersion,
    /// Interface addressed, when the body was read that far.
    pub contract: Option<Contract>,
    /// What was wrong.
    pub error: ProtocolError,
}

impl Rejection {
    /// The envelope that tells the client, to be sent with HTTP status 500.
    pub fn encode(&self) -> String {
        encode_fault(&ResponseHead::fault(self.soap), &self.fault())
    }

    /// The fault to answer with: that of the error, but where servers ask about groups, whose
    /// faults are a list of their own ([MS-RMPRS] 2.2.9.1), what cannot be read is
    /// `System.ArgumentException`.
    pub fn fault(&self) -> Fault {
        let mut fault = self.error.fault();
        if self.contract == Some(Contract::GroupExpansion)
            && fault.code == Some(FaultCode::InvalidOperation)
        {
            fault.code = Some(FaultCode::Argument);
        }
        fault
    }
}

/// A short, printable piece of a value that came from outside.
pub(crate) fn excerpt(text: &str) -> String {
    let mut short: String = text
        .chars()
        .take(EXCERPT)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(EXCERPT).is_some() {
        short.push('…');
    }
    short
}

const EXCERPT: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_servers_what_cannot_be_read_is_an_argument_exception() {
        let rejection = |contract| Rejection {
            soap: SoapVersion::V11,
            contract: Some(contract),
            error: ProtocolError::Doctype,
        };
        let code = |contract| rejection(contract).fault().code;
        assert_eq!(code(Contract::GroupExpansion), Some(FaultCode::Argument));
        assert_eq!(code(Contract::Licensing), Some(FaultCode::InvalidOperation));
    }
}
