//! Answers and exceptions on the wire ([MS-RMPRS] 2.3.1.3).

use std::borrow::Cow;

use super::class::Class;
use super::cursor::Cursor;
use super::error::BinaryError;
use super::exception::RemotingException;
use super::graph::{Graph, Item, unexpected};
use super::principal::{
    AnyDictionary, Entry, HashTable, LOAD_FACTOR, ListDictionary, Principal, StringCollection,
    Value,
};
use super::record::{ANSWER_FLAGS, EXCEPTION_FLAGS, PrimitiveType, RecordType};
use super::request::{fixed, open};
use super::writer::Writer;
use super::{Answer, ProductVersion, Response};
use crate::limits::Limits;

/// Reads an answer or an exception, with everything in it: an answer of which only a part can be
/// read is none (4.3).
pub fn parse_response<'a>(body: &'a [u8], limits: &Limits) -> Result<Response<'a>, BinaryError> {
    let (mut cursor, root) = open(body, limits)?;
    cursor.expect(RecordType::IsPrincipalMemberOfResponse, "an answer")?;
    let is_member = match cursor.int32()? {
        ANSWER_FLAGS => Some(return_value(&mut cursor)?),
        EXCEPTION_FLAGS => None,
        other => {
            return Err(BinaryError::BadValue {
                field: "MessageEnum",
                value: other.to_string(),
                expected: "that of an answer or an exception",
            });
        }
    };
    let graph = Graph::read(cursor, limits)?;
    let array = graph.array("ReturnArray", root)?;
    let [first, context] = fixed("ReturnArray", array)?;
    if graph
        .class("LogicalCallContext", Class::LogicalCallContext, context)?
        .is_none()
    {
        return Err(unexpected("LogicalCallContext", "null", "an object"));
    }
    let Some(is_member) = is_member else {
        let exception = RemotingException::read(&graph, first, limits)?;
        return Ok(Response::Exception(exception));
    };
    let arguments = graph.array("ReturnArguments", first)?;
    let [a, b, c, d, principal] = fixed("ReturnArgumentsArray", arguments)?;
    for item in [a, b, c, d] {
        if !matches!(item, Item::Nulls(_)) {
            return Err(unexpected("NullValues", item.kind(), "null"));
        }
    }
    let principal = Principal::read(&graph, principal)?;
    let version = graph
        .version
        .ok_or_else(|| unexpected("BinaryLibrary", "nothing", "a library of the product"))?;
    Ok(Response::Answer(Answer {
        version,
        is_member,
        principal,
    }))
}

/// Writes an answer or an exception.
pub fn encode_response(response: &Response<'_>) -> Vec<u8> {
    // An exception names no library with a version in it.
    let version = match response {
        Response::Answer(answer) => answer.version,
        Response::Exception(_) => ProductVersion::V1_0Sp2,
    };
    let mut out = Writer::new(version);
    out.record(RecordType::IsPrincipalMemberOfResponse);
    let first = match response {
        Response::Answer(answer) => {
            out.int32(ANSWER_FLAGS);
            out.byte(PrimitiveType::Boolean.code());
            out.boolean(answer.is_member);
            Later::Arguments(&answer.principal)
        }
        Response::Exception(exception) => {
            out.int32(EXCEPTION_FLAGS);
            Later::Exception(exception)
        }
    };
    let root = out.id();
    out.array(RecordType::ArraySingleObject, root, 2);
    out.refer(first);
    out.refer(Later::Context);
    while let Some((id, object)) = out.next() {
        object.write(&mut out, id);
    }
    out.finish()
}

fn return_value(cursor: &mut Cursor<'_>) -> Result<bool, BinaryError> {
    let at = cursor.at();
    let code = cursor.byte()?;
    if code == PrimitiveType::Boolean.code() {
        cursor.boolean()
    } else {
        Err(BinaryError::UnknownPrimitive { code, at })
    }
}

/// An object that was referred to and is to be written.
enum Later<'w> {
    Arguments(&'w Principal<'w>),
    Context,
    Principal(&'w Principal<'w>),
    ListDictionary(&'w ListDictionary<'w>),
    HashTable(&'w HashTable<'w>),
    StringCollection(&'w StringCollection<'w>),
    /// The first of these entries, with the others behind it.
    Node(&'w Entry<'w>, &'w [Entry<'w>]),
    Keys(&'w [Entry<'w>]),
    Values(&'w [Entry<'w>]),
    ArrayList(&'w [Cow<'w, str>]),
    Items(&'w [Cow<'w, str>]),
    Exception(&'w RemotingException<'w>),
}

impl<'w> Later<'w> {
    fn write(self, out: &mut Writer<Self>, id: i32) {
        match self {
            Self::Arguments(principal) => {
                out.array(RecordType::ArraySingleObject, id, NULL_ARGUMENTS + 1);
                out.nulls(NULL_ARGUMENTS);
                out.refer(Self::Principal(principal));
            }
            Self::Context => out.class(Class::LogicalCallContext, id),
            Self::Principal(principal) => write_principal(principal, out, id),
            Self::ListDictionary(ListDictionary(entries)) => {
                out.class(Class::ListDictionary, id);
                out.refer_optional(Self::node(entries));
                // The version counts changes: one for each entry that was added.
                out.count(entries.len());
                out.count(entries.len());
                out.nulls(1);
            }
            Self::Node(entry, others) => {
                out.class(Class::DictionaryNode, id);
                out.string(&entry.key);
                write_value(&entry.value, out);
                out.refer_optional(Self::node(others));
            }
            Self::HashTable(HashTable(entries)) => {
                out.class(Class::HashTable, id);
                out.single(LOAD_FACTOR);
                out.count(entries.len());
                out.nulls(1);
                out.nulls(1);
                out.int32(hash_size(entries.len()));
                out.refer(Self::Keys(entries));
                out.refer(Self::Values(entries));
            }
            Self::Keys(entries) => {
                out.array(RecordType::ArraySingleObject, id, entries.len());
                for entry in entries {
                    out.string(&entry.key);
                }
            }
            Self::Values(entries) => {
                out.array(RecordType::ArraySingleObject, id, entries.len());
                for entry in entries {
                    write_value(&entry.value, out);
                }
            }
            Self::StringCollection(StringCollection(texts)) => {
                out.class(Class::StringCollection, id);
                out.refer(Self::ArrayList(texts));
            }
            Self::ArrayList(texts) => {
                out.class(Class::ArrayList, id);
                out.refer(Self::Items(texts));
                out.count(texts.len());
                out.count(texts.len());
            }
            Self::Items(texts) => {
                // A list of .NET has room for 16 and doubles it.
                let room = texts.len().max(16).next_power_of_two();
                out.array(RecordType::ArraySingleObject, id, room);
                for text in texts {
                    out.string(text);
                }
                out.nulls(room.saturating_sub(texts.len()));
            }
            Self::Exception(exception) => write_exception(exception, out, id),
        }
    }

    fn node(entries: &'w [Entry<'w>]) -> Option<Self> {
        let (first, others) = entries.split_first()?;
        Some(Self::Node(first, others))
    }
}

fn write_principal<'w>(principal: &'w Principal<'w>, out: &mut Writer<Later<'w>>, id: i32) {
    out.class(Class::Principal, id);
    out.refer_optional(principal.identifiers.as_ref().map(Later::ListDictionary));
    out.refer_optional(principal.group_membership.as_ref().map(Later::HashTable));
    out.refer_optional(
        principal
            .foreign_members
            .as_ref()
            .map(Later::ListDictionary),
    );
    out.refer_optional(principal.parsing_dictionary.as_ref().map(|any| match any {
        AnyDictionary::List(list) => Later::ListDictionary(list),
        AnyDictionary::Hash(table) => Later::HashTable(table),
    }));
    let containers = principal.container_object_guids.as_ref();
    out.refer_optional(containers.map(Later::StringCollection));
    out.optional_string(principal.object_guid.as_deref());
    out.optional_string(principal.origination_forest.as_deref());
    // A value, not an object: nobody can refer to it, and its identifier is negative.
    let value = out.id().saturating_neg();
    out.class(Class::ExplicitParse, value);
    out.int32(principal.explicit_parse);
    out.boolean(principal.exists);
    out.boolean(principal.lookup_exists);
}

fn write_exception<'w>(exception: &'w RemotingException<'w>, out: &mut Writer<Later<'w>>, id: i32) {
    out.class(Class::RemotingException, id);
    out.optional_string(exception.class_name.as_deref());
    out.optional_string(exception.message.as_deref());
    out.refer_optional(exception.inner.as_deref().map(Later::Exception));
    out.optional_string(exception.help_url.as_deref());
    out.optional_string(exception.stack_trace.as_deref());
    out.optional_string(exception.remote_stack_trace.as_deref());
    out.int32(exception.remote_stack_index);
    out.optional_string(exception.exception_method.as_deref());
    out.int32(exception.h_result);
    out.optional_string(exception.source.as_deref());
}

fn write_value<O>(value: &Value<'_>, out: &mut Writer<O>) {
    let typed = |out: &mut Writer<O>, kind: PrimitiveType| {
        out.record(RecordType::MemberPrimitiveTyped);
        out.byte(kind.code());
    };
    match value {
        Value::Null => out.nulls(1),
        Value::Text(text) => {
            out.string(text);
        }
        Value::Boolean(value) => {
            typed(out, PrimitiveType::Boolean);
            out.boolean(*value);
        }
        Value::Byte(value) => {
            typed(out, PrimitiveType::Byte);
            out.byte(*value);
        }
        Value::Int32(value) => {
            typed(out, PrimitiveType::Int32);
            out.int32(*value);
        }
        Value::Single(value) => {
            typed(out, PrimitiveType::Single);
            out.single(*value);
        }
    }
}

/// Buckets for so many entries: .NET starts with 11 and wants prime numbers.
fn hash_size(entries: usize) -> i32 {
    // 0.72 of the buckets may be used.
    let enough =
        |size: i32| usize::try_from(size).is_ok_and(|size| entries.saturating_mul(100) < size * 72);
    HASH_SIZES
        .iter()
        .copied()
        .find(|size| enough(*size))
        .unwrap_or(LARGEST_HASH_SIZE)
}

const HASH_SIZES: [i32; 8] = [11, 23, 47, 97, 197, 397, 797, 1597];
/// Larger tables grow while they are read.
const LARGEST_HASH_SIZE: i32 = 3203;
/// Nulls before the principal (2.3.1.3.2).
const NULL_ARGUMENTS: usize = 4;
