//! The classes that may stand in a message, as tables ([MS-RMPRS] 2.3.6): their names, libraries,
//! and members in order. The reader compares with these tables, the writer copies them.

use super::record::{BinaryType, PrimitiveType};

/// A class of 2.3.6. `ClassWithId` (2.3.6.10) is no class but a way to write another object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    LogicalCallContext,
    Principal,
    ExplicitParse,
    ListDictionary,
    HashTable,
    StringCollection,
    DictionaryNode,
    ArrayList,
    RemotingException,
}

/// The libraries of 2.3.4.1, apart from their version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LibraryKind {
    /// `System`.
    System,
    /// `Plugin.DirectoryServices`, of the product.
    DirectoryServices,
}

/// A member of a class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) kind: MemberKind,
}

/// What a member may hold, with what 2.3.6 calls its additional information.
#[derive(Debug, Clone, Copy)]
pub(super) enum MemberKind {
    Primitive(PrimitiveType),
    String,
    Object,
    ObjectArray,
    SystemClass(&'static str),
    Class(Class),
}

impl Class {
    const ALL: &'static [Self] = &[
        Self::LogicalCallContext,
        Self::Principal,
        Self::ExplicitParse,
        Self::ListDictionary,
        Self::HashTable,
        Self::StringCollection,
        Self::DictionaryNode,
        Self::ArrayList,
        Self::RemotingException,
    ];

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|class| class.name() == name)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::LogicalCallContext => "System.Runtime.Remoting.Messaging.LogicalCallContext",
            Self::Principal => "Microsoft.DigitalRightsManagement.DirectoryServices.Principal",
            Self::ExplicitParse => {
                "Microsoft.DigitalRightsManagement.DirectoryServices.Principal+ExplicitParseEnum"
            }
            Self::ListDictionary => "System.Collections.Specialized.ListDictionary",
            Self::HashTable => "System.Collections.Hashtable",
            Self::StringCollection => "System.Collections.Specialized.StringCollection",
            Self::DictionaryNode => "System.Collections.Specialized.ListDictionary+DictionaryNode",
            Self::ArrayList => "System.Collections.ArrayList",
            Self::RemotingException => "System.Runtime.Remoting.RemotingException",
        }
    }

    /// Its library; `None` for those whose record has none.
    pub(super) const fn library(self) -> Option<LibraryKind> {
        match self {
            Self::Principal | Self::ExplicitParse => Some(LibraryKind::DirectoryServices),
            Self::ListDictionary | Self::StringCollection | Self::DictionaryNode => {
                Some(LibraryKind::System)
            }
            Self::LogicalCallContext
            | Self::HashTable
            | Self::ArrayList
            | Self::RemotingException => None,
        }
    }

    pub(super) const fn members(self) -> &'static [Member] {
        match self {
            Self::LogicalCallContext => &[],
            Self::Principal => PRINCIPAL,
            Self::ExplicitParse => EXPLICIT_PARSE,
            Self::ListDictionary => LIST_DICTIONARY,
            Self::HashTable => HASH_TABLE,
            Self::StringCollection => STRING_COLLECTION,
            Self::DictionaryNode => DICTIONARY_NODE,
            Self::ArrayList => ARRAY_LIST,
            Self::RemotingException => REMOTING_EXCEPTION,
        }
    }
}

impl MemberKind {
    pub(super) const fn binary_type(self) -> BinaryType {
        match self {
            Self::Primitive(_) => BinaryType::Primitive,
            Self::String => BinaryType::String,
            Self::Object => BinaryType::Object,
            Self::ObjectArray => BinaryType::ObjectArray,
            Self::SystemClass(_) => BinaryType::SystemClass,
            Self::Class(_) => BinaryType::Class,
        }
    }
}

const fn member(name: &'static str, kind: MemberKind) -> Member {
    Member { name, kind }
}

/// Name of the `System` library (2.3.4.1).
pub(super) const SYSTEM_LIBRARY: &str =
    "System, Version=1.0.5000.0, Culture=neutral, PublicKeyToken=b77a5c561934e089";

const BOOLEAN: MemberKind = MemberKind::Primitive(PrimitiveType::Boolean);
const INT32: MemberKind = MemberKind::Primitive(PrimitiveType::Int32);
const SINGLE: MemberKind = MemberKind::Primitive(PrimitiveType::Single);

const PRINCIPAL: &[Member] = &[
    member(
        "_PrincipalIdentifiers",
        MemberKind::Class(Class::ListDictionary),
    ),
    member(
        "_GroupMembership",
        MemberKind::SystemClass("System.Collections.Hashtable"),
    ),
    member("_ForeignMembers", MemberKind::Class(Class::ListDictionary)),
    member(
        "_parsingDictionary",
        MemberKind::SystemClass("System.Collections.IDictionary"),
    ),
    member(
        "_ContainerObjectGuids",
        MemberKind::Class(Class::StringCollection),
    ),
    member("_strObjectGuid", MemberKind::String),
    member("_strOriginationForest", MemberKind::String),
    member("_explicitParse", MemberKind::Class(Class::ExplicitParse)),
    member("_exists", BOOLEAN),
    member("DirectoryLookupXML+_exists", BOOLEAN),
];

const EXPLICIT_PARSE: &[Member] = &[member("value__", INT32)];

const LIST_DICTIONARY: &[Member] = &[
    member("head", MemberKind::Class(Class::DictionaryNode)),
    member("version", INT32),
    member("count", INT32),
    member(
        "comparer",
        MemberKind::SystemClass("System.Collections.IComparer"),
    ),
];

const HASH_TABLE: &[Member] = &[
    member("LoadFactor", SINGLE),
    member("Version", INT32),
    member(
        "Comparer",
        MemberKind::SystemClass("System.Collections.IComparer"),
    ),
    member(
        "HashCodeProvider",
        MemberKind::SystemClass("System.Collections.IHashCodeProvider"),
    ),
    member("HashSize", INT32),
    member("Keys", MemberKind::ObjectArray),
    member("Values", MemberKind::ObjectArray),
];

const STRING_COLLECTION: &[Member] = &[member(
    "data",
    MemberKind::SystemClass("System.Collections.ArrayList"),
)];

const DICTIONARY_NODE: &[Member] = &[
    member("key", MemberKind::Object),
    member("value", MemberKind::Object),
    member("next", MemberKind::Class(Class::DictionaryNode)),
];

const ARRAY_LIST: &[Member] = &[
    member("_items", MemberKind::ObjectArray),
    member("_size", INT32),
    member("_version", INT32),
];

const REMOTING_EXCEPTION: &[Member] = &[
    member("ClassName", MemberKind::String),
    member("Message", MemberKind::String),
    member(
        "InnerException",
        MemberKind::SystemClass("System.Exception"),
    ),
    member("HelpURL", MemberKind::String),
    member("StackTraceString", MemberKind::String),
    member("RemoteStackTraceString", MemberKind::String),
    member("RemoteStackIndex", INT32),
    member("ExceptionMethod", MemberKind::String),
    member("HResult", INT32),
    member("Source", MemberKind::String),
];
