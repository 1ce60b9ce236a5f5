//! The question on the wire ([MS-RMPRS] 2.3.1.2).

use super::cursor::Cursor;
use super::error::BinaryError;
use super::graph::{Array, Graph, Item, unexpected};
use super::record::{PrimitiveType, REQUEST_FLAGS, RecordType, STRING_CODE};
use super::writer::{MAJOR, MINOR, Writer};
use super::{ProductVersion, Request};
use crate::error::excerpt;
use crate::group_expansion::{IsPrincipalMemberOf, wire_count};
use crate::limits::Limits;

/// Reads a question. Of the limits, those for the body, a text, items of an array, elements (here
/// records) and depth hold.
pub fn parse_request(body: &[u8], limits: &Limits) -> Result<Request, BinaryError> {
    let (mut cursor, root) = open(body, limits)?;
    cursor.expect(RecordType::IsPrincipalMemberOfRequest, "a request")?;
    cursor.fixed("MessageEnum", REQUEST_FLAGS)?;
    let method = coded_text(&mut cursor)?;
    if method != METHOD {
        let name = excerpt(method);
        return Err(BinaryError::UnknownMethod { name });
    }
    let server_type = coded_text(&mut cursor)?;
    let version = ProductVersion::from_server_type(server_type).ok_or_else(|| {
        let name = excerpt(server_type);
        BinaryError::UnknownServerType { name }
    })?;
    let graph = Graph::read(cursor, limits)?;
    let question = question(&graph, root, limits)?;
    Ok(Request { version, question })
}

/// Writes a question.
pub fn encode_request(request: &Request) -> Vec<u8> {
    let question = &request.question;
    let mut out = Writer::<()>::new(request.version);
    out.record(RecordType::IsPrincipalMemberOfRequest);
    out.int32(REQUEST_FLAGS);
    out.coded_text(METHOD);
    out.coded_text(&request.version.server_type());
    let arguments = out.id();
    out.array(RecordType::ArraySingleObject, arguments, ARGUMENTS);
    let principal = out.string(&question.principal_name);
    if question.principal_cross_forest == question.principal_name {
        out.reference(principal);
    } else {
        out.string(&question.principal_cross_forest);
    }
    let groups = out.id();
    out.reference(groups);
    out.record(RecordType::MemberPrimitiveTyped);
    out.byte(PrimitiveType::Int32.code());
    out.int32(wire_count(question.cross_forest_calls_so_far));
    out.nulls(1);
    let count = question.target_groups.len();
    out.array(RecordType::ArraySingleString, groups, count);
    for group in &question.target_groups {
        out.string(group);
    }
    out.finish()
}

/// Reads the record that begins every message; answers with the root's identifier (2.3.1.1).
pub(super) fn open<'a>(
    body: &'a [u8],
    limits: &Limits,
) -> Result<(Cursor<'a>, Item<'a>), BinaryError> {
    let (length, limit) = (body.len(), limits.body_bytes);
    if length > limit {
        let what = "the message";
        return Err(BinaryError::TooLarge {
            what,
            length,
            limit,
        });
    }
    let mut cursor = Cursor::new(body, limits.text_bytes);
    cursor.expect(
        RecordType::SerializedStreamHeader,
        "the header of a message",
    )?;
    let root = cursor.int32()?;
    // Reserved, and to be ignored.
    cursor.int32()?;
    cursor.fixed("MajorVersion", MAJOR)?;
    cursor.fixed("MinorVersion", MINOR)?;
    Ok((cursor, Item::Reference(root)))
}

fn question(
    graph: &Graph<'_>,
    root: Item<'_>,
    limits: &Limits,
) -> Result<IsPrincipalMemberOf, BinaryError> {
    let arguments = graph.array("ArgumentsArray", root)?;
    let [principal, cross_forest, groups, calls, last] = fixed("ArgumentsArray", arguments)?;
    let Item::Int32(calls) = calls else {
        return Err(unexpected(CALLS, calls.kind(), "a number"));
    };
    let Item::Nulls(_) = last else {
        return Err(unexpected("ObjectNull", last.kind(), "null"));
    };
    let groups = graph.texts("TargetGroups", groups)?;
    Ok(IsPrincipalMemberOf {
        principal_name: name("Principal", graph, principal)?.to_owned(),
        principal_cross_forest: name("PrincipalCrossForest", graph, cross_forest)?.to_owned(),
        target_groups: names(graph, groups, limits)?,
        cross_forest_calls_so_far: u32::try_from(calls).map_err(|_| BinaryError::BadValue {
            field: CALLS,
            value: calls.to_string(),
            expected: "a count",
        })?,
    })
}

/// The groups: at least one, and all of them together no longer than one text may be, for one
/// text may be referred to many times.
fn names(
    graph: &Graph<'_>,
    array: &Array<'_>,
    limits: &Limits,
) -> Result<Vec<String>, BinaryError> {
    let limit = limits.batch_items;
    if usize::try_from(array.length).map_or(true, |length| length > limit) {
        let what = "target groups";
        return Err(BinaryError::TooMany { what, limit });
    }
    if array.length == 0 {
        return Err(unexpected("TargetGroups", "nothing", "one group or more"));
    }
    let mut all = Vec::new();
    let mut length = 0_usize;
    for slot in array.slots() {
        let group = name("TargetGroups", graph, slot)?;
        length = length.saturating_add(group.len());
        let limit = limits.text_bytes;
        if length > limit {
            let what = "the names of the groups";
            return Err(BinaryError::TooLarge {
                what,
                length,
                limit,
            });
        }
        all.push(group.to_owned());
    }
    Ok(all)
}

/// The slots of an array that has so many.
pub(super) fn fixed<'a, const N: usize>(
    field: &'static str,
    array: &Array<'a>,
) -> Result<[Item<'a>; N], BinaryError> {
    let slots: Vec<_> = array.slots().take(N.saturating_add(1)).collect();
    slots.try_into().map_err(|_| BinaryError::BadValue {
        field,
        value: format!("{} items", array.length),
        expected: "the number of items it must have",
    })
}

fn name<'a>(
    field: &'static str,
    graph: &Graph<'a>,
    item: Item<'a>,
) -> Result<&'a str, BinaryError> {
    match graph.text(field, item)?.map(str::trim) {
        Some("") => Err(unexpected(field, "an empty text", "a name")),
        Some(name) => Ok(name),
        None => Err(unexpected(field, "null", "a name")),
    }
}

fn coded_text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, BinaryError> {
    let at = cursor.at();
    match cursor.byte()? {
        STRING_CODE => cursor.text(),
        code => Err(BinaryError::UnknownPrimitive { code, at }),
    }
}

const METHOD: &str = "IsPrincipalMemberOf";
const CALLS: &str = "CrossForestCallsSoFar";
/// Items of the array of arguments (2.3.1.2.1).
const ARGUMENTS: usize = 5;
