//! The Binary Group Expansion interface ([MS-RMPRS] 2.1.1, 2.3, 3.6): the question of
//! [`crate::group_expansion`] as servers before RMS 1.0 SP2 ask it, in the binary format of .NET
//! remoting over HTTP.
//!
//! That format can name any class, and readers that built whatever the sender named have let
//! strangers run code in many a server. There is no such reader here: nine classes, four
//! libraries, one method and one order of members are known, each by its full name, and anything
//! else is refused with the name it had. What is read are texts, numbers and truth values; no
//! name from the wire is ever looked up, loaded or called.
//!
//! A server reads with [`parse_request`] and answers with [`encode_response`]; a client asks with
//! [`encode_request`] and reads with [`parse_response`]. How both travel is in [`http`].

use std::borrow::Cow;

use crate::group_expansion::IsPrincipalMemberOf;
use crate::level::ServiceLevel;

pub use error::BinaryError;
pub use exception::RemotingException;
pub use principal::{
    AnyDictionary, Entry, HashTable, ListDictionary, Principal, StringCollection, Value,
};
pub use record::RecordType;
pub use request::{encode_request, parse_request};
pub use response::{encode_response, parse_response};

mod class;
mod cursor;
mod error;
mod exception;
mod graph;
pub mod http;
mod principal;
mod record;
mod request;
mod response;
mod writer;

/// A question in the binary form (2.3.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Version of the server that asks. It understands no answer in another one (note <4>).
    pub version: ProductVersion,
    /// What is asked. Example 4.3 has `mail=` before each address.
    pub question: IsPrincipalMemberOf,
}

/// What comes back (2.3.1.3).
#[derive(Debug, Clone, PartialEq)]
pub enum Response<'a> {
    /// The question was answered.
    Answer(Answer<'a>),
    /// It could not be. This form has no faults (3.6.4.1): whatever went wrong is an exception,
    /// sent with HTTP status 200 like an answer.
    Exception(RemotingException<'a>),
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<'a> {
    /// Version of the server; when answering, that of the request.
    pub version: ProductVersion,
    /// Whether the principal is in at least one of the groups. Nothing else in an answer may be
    /// acted on (2.3.1, 4.3).
    pub is_member: bool,
    /// What the server found out about the principal on the way.
    pub principal: Principal<'a>,
}

/// The products that have this interface, by which their libraries are named (2.3.1.2, 2.3.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProductVersion {
    /// RMS 1.0.
    V1_0,
    /// RMS 1.0 SP1.
    V1_0Sp1,
    /// RMS 1.0 SP2, the last that speaks it.
    V1_0Sp2,
}

impl ProductVersion {
    /// Every version.
    pub const ALL: &'static [Self] = &[Self::V1_0, Self::V1_0Sp1, Self::V1_0Sp2];

    /// The version that servers of a level ask in.
    pub const fn of_level(level: ServiceLevel) -> Self {
        match level {
            ServiceLevel::V1 => Self::V1_0,
            ServiceLevel::Sp1 => Self::V1_0Sp1,
            ServiceLevel::Sp2 | ServiceLevel::V2 => Self::V1_0Sp2,
        }
    }

    /// The version of the library, such as `5.2.3790.300`.
    pub const fn number(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0.3246.0",
            Self::V1_0Sp1 => "5.2.3790.134",
            Self::V1_0Sp2 => "5.2.3790.300",
        }
    }

    /// The server type a request is for (2.3.1.2).
    pub fn server_type(self) -> String {
        let number = self.number();
        format!("{SERVER_TYPE_START}{number}{SERVER_TYPE_END}")
    }

    /// The library of the product's own classes (2.3.4.1).
    pub fn library_name(self) -> String {
        let number = self.number();
        format!("{LIBRARY_START}{number}{LIBRARY_END}")
    }

    /// The version a request with this server type asks.
    pub fn from_server_type(name: &str) -> Option<Self> {
        Self::between(name, SERVER_TYPE_START, SERVER_TYPE_END)
    }

    /// The version whose classes are in the library of this name.
    pub fn from_library_name(name: &str) -> Option<Self> {
        Self::between(name, LIBRARY_START, LIBRARY_END)
    }

    fn between(name: &str, start: &str, end: &str) -> Option<Self> {
        let number = name.strip_prefix(start)?.strip_suffix(end)?;
        Self::ALL.iter().copied().find(|v| v.number() == number)
    }
}

/// An optional text of the wire, or of somebody who writes one.
type Text<'a> = Option<Cow<'a, str>>;

const SERVER_TYPE_START: &str = "soap:RemoteActiveDirectoryServices, \
    http://schemas.microsoft.com/clr/nsassem/Microsoft.DigitalRightsManagement.\
    DirectoryServices/Plugin.DirectoryServices%2C%20Version%3D";
const SERVER_TYPE_END: &str = "%2C%20Culture%3Dneutral%2C%20PublicKeyToken%3D31bf3856ad364e35";
const LIBRARY_START: &str = "Plugin.DirectoryServices, Version=";
const LIBRARY_END: &str = ", Culture=neutral, PublicKeyToken=31bf3856ad364e35";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_found_by_both_of_its_names() {
        for &version in ProductVersion::ALL {
            let name = version.server_type();
            assert_eq!(ProductVersion::from_server_type(&name), Some(version));
            let name = version.library_name();
            assert_eq!(ProductVersion::from_library_name(&name), Some(version));
        }
        assert_eq!(
            ProductVersion::from_library_name(
                "Plugin.DirectoryServices, Version=5.2.3790.301, Culture=neutral, \
                 PublicKeyToken=31bf3856ad364e35"
            ),
            None
        );
    }
}
