//! What can be wrong with a message of the binary form, by name.

use super::exception::RemotingException;
use super::record::RecordType;

/// Why a message was not accepted. Texts quoted from it are cut to a short excerpt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BinaryError {
    /// The message, or one text of it, is longer than [`crate::Limits`] allow.
    #[error("{what} has {length} bytes, more than the {limit} allowed")]
    TooLarge {
        /// What is too long.
        what: &'static str,
        /// Its bytes.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// More of something than [`crate::Limits`] allow.
    #[error("more than {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// Count allowed.
        limit: usize,
    },
    /// Records stand inside one another deeper than [`crate::Limits::depth`].
    #[error("records are nested deeper than {limit}")]
    TooDeep {
        /// Levels allowed.
        limit: usize,
    },
    /// The message ends inside a record.
    #[error("the message ends at byte {at}, inside a record")]
    Truncated {
        /// Its length.
        at: usize,
    },
    /// Bytes follow the record that ends the message.
    #[error("{count} bytes follow the end of the message")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// A length that takes more bytes than it needs, or than there may be (2.3.3.4).
    #[error("the length of a text at byte {at} is not written as it must be")]
    BadLength {
        /// Where it begins.
        at: usize,
    },
    /// A text that is not UTF-8.
    #[error("the text at byte {at} is not UTF-8")]
    NotUtf8 {
        /// Where it begins.
        at: usize,
    },
    /// A record of a type 2.3.2.1 does not have.
    #[error("a record of the unknown type {code:#04x} at byte {at}")]
    UnknownRecord {
        /// Its number.
        code: u8,
        /// Where it begins.
        at: usize,
    },
    /// A record that may not stand where it does.
    #[error("expected {expected}, found a record {found:?} at byte {at}")]
    MisplacedRecord {
        /// What belongs there.
        expected: &'static str,
        /// What stands there.
        found: RecordType,
        /// Where it begins.
        at: usize,
    },
    /// A value of a type 2.3.2.3 does not have, or does not allow there.
    #[error("a value of the unknown type {code:#04x} at byte {at}")]
    UnknownPrimitive {
        /// Its number.
        code: u8,
        /// Where it begins.
        at: usize,
    },
    /// A method other than the one there is.
    #[error("no method {name:?}")]
    UnknownMethod {
        /// Its name.
        name: String,
    },
    /// A server type of no version of the product (2.3.1.2).
    #[error("no server type {name:?}")]
    UnknownServerType {
        /// Its name.
        name: String,
    },
    /// A library other than the four of 2.3.4.1.
    #[error("no library {name:?}")]
    UnknownLibrary {
        /// Its name.
        name: String,
    },
    /// A class other than the nine of 2.3.6.
    #[error("no class {name:?}")]
    UnknownClass {
        /// Its name.
        name: String,
    },
    /// A class whose record does not describe it as 2.3.6 does.
    #[error("the class {class} is described with another {what}")]
    ClassMismatch {
        /// The class.
        class: &'static str,
        /// What is not as it must be.
        what: &'static str,
    },
    /// A class that is not in the library its record says, or a library that was not declared.
    #[error("the class {class} is not in library {id}")]
    WrongLibrary {
        /// The class.
        class: &'static str,
        /// The library's identifier in this message.
        id: i32,
    },
    /// Libraries of two versions of the product in one message.
    #[error("the message holds libraries of two versions")]
    MixedVersions,
    /// An identifier that is no positive number.
    #[error("{id} identifies no object")]
    BadId {
        /// The identifier.
        id: i32,
    },
    /// Two objects with one identifier.
    #[error("two objects are identified by {id}")]
    DuplicateId {
        /// The identifier.
        id: i32,
    },
    /// A reference to an object that is not in the message.
    #[error("no object is identified by {id}")]
    DanglingReference {
        /// The identifier.
        id: i32,
    },
    /// Objects that lead back to themselves.
    #[error("{what} leads back to itself")]
    Cycle {
        /// What should have had an end.
        what: &'static str,
    },
    /// A value that is null where it may not be, or of another kind than belongs there.
    #[error("{field} holds {found}, which is not {expected}")]
    Unexpected {
        /// The field.
        field: &'static str,
        /// What stands there.
        found: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
    /// A number or text other than the specification allows.
    #[error("{field} holds {value}, which is not {expected}")]
    BadValue {
        /// The field.
        field: &'static str,
        /// The value.
        value: String,
        /// What was expected.
        expected: &'static str,
    },
}

impl BinaryError {
    /// What a server answers a request it cannot read with: there are no faults (3.6.4.1).
    pub fn exception(&self) -> RemotingException<'static> {
        RemotingException::new(self.to_string())
    }
}
