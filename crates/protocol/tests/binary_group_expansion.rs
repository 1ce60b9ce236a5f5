//! The binary form of group expansion: the examples of [MS-RMPRS] 4.3 byte for byte, what one
//! side writes the other reads, and hostile input. Each file in
//! `testdata/binary-group-expansion/hostile` is named for the error it must give,
//! `error--detail.bin`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use openrms_protocol::Limits;
use openrms_protocol::binary_group_expansion::{
    Answer, AnyDictionary, BinaryError, Entry, HashTable, ListDictionary, Principal,
    ProductVersion, RemotingException, Request, Response, StringCollection, Value, encode_request,
    encode_response, parse_request, parse_response,
};
use openrms_protocol::group_expansion::IsPrincipalMemberOf;
use proptest::prelude::*;

const REQUEST: &[u8] = include_bytes!("../testdata/binary-group-expansion/request.bin");
const RESPONSE: &[u8] = include_bytes!("../testdata/binary-group-expansion/response.bin");

#[test]
fn the_request_of_the_specification_is_read_and_written_byte_for_byte() {
    let request = parse_request(REQUEST, &Limits::server()).unwrap();
    let wanted = Request {
        version: ProductVersion::V1_0Sp2,
        question: common::question(),
    };
    assert_eq!(request, wanted);
    assert_eq!(encode_request(&request), REQUEST);
}

#[test]
fn the_answer_of_the_specification_is_read_and_written_byte_for_byte() {
    let response = parse_response(RESPONSE, &Limits::client()).unwrap();
    let entry = |key: &'static str| Entry {
        key: key.into(),
        value: Value::Boolean(true),
    };
    let wanted = Response::Answer(Answer {
        version: ProductVersion::V1_0Sp2,
        is_member: true,
        principal: Principal {
            identifiers: Some(ListDictionary(vec![
                entry("id=s-1-5-21-878380243-1958209386-896679168-1340"),
                entry("mail=user1@contoso.com"),
            ])),
            group_membership: Some(HashTable::default()),
            foreign_members: None,
            parsing_dictionary: None,
            container_object_guids: Some(StringCollection(vec![
                "5b98d9f16720f3489899d8893795f3ae".into(),
                "f2a0f0483745cb4ca23a4adcbd62f215".into(),
            ])),
            object_guid: Some("2992e4f5beebdd4bb10d827587aa775f".into()),
            origination_forest: None,
            explicit_parse: 0,
            exists: true,
            lookup_exists: true,
        },
    });
    assert_eq!(response, wanted);
    assert_eq!(encode_response(&response), RESPONSE);
}

#[test]
fn an_exception_has_the_flags_and_the_class_of_the_specification() {
    let mut exception = RemotingException::new("too many calls");
    exception.inner = Some(Box::new(RemotingException::new("the cause")));
    let response = Response::Exception(exception);
    let bytes = encode_response(&response);
    assert_eq!(bytes[17..22], [0x16, 0x41, 0x22, 0, 0]);
    let read = parse_response(&bytes, &Limits::client()).unwrap();
    assert_eq!(read, response);
    let Response::Exception(read) = read else {
        panic!("an answer")
    };
    assert_eq!(read.text(), "too many calls ---> the cause");
}

#[test]
fn a_request_that_cannot_be_read_is_answered_with_an_exception() {
    let error = parse_request(&REQUEST[..100], &Limits::server()).unwrap_err();
    let bytes = encode_response(&Response::Exception(error.exception()));
    match parse_response(&bytes, &Limits::client()).unwrap() {
        Response::Exception(exception) => assert_eq!(exception.text(), error.to_string()),
        Response::Answer(answer) => panic!("answered with {answer:?}"),
    }
}

#[test]
fn every_hostile_file_gives_the_error_in_its_name() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/testdata/binary-group-expansion/hostile"
    );
    let mut seen = 0;
    for entry in std::fs::read_dir(Path::new(folder)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let wanted = name.split("--").next().unwrap();
        let error = read(&std::fs::read(&path).unwrap()).expect_err(&name);
        assert_eq!(kebab(&error), wanted, "{name}: {error}");
        assert!(error.to_string().len() < 400, "{name}: a long error");
        seen += 1;
    }
    assert!(seen > 50, "only {seen} files");
}

#[test]
fn cutting_a_message_anywhere_never_panics_and_never_passes() {
    for whole in [REQUEST, RESPONSE] {
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "cut at {end}");
        }
    }
}

#[test]
fn a_message_over_its_bound_is_not_looked_at() {
    let limits = Limits::server().with_body_bytes(REQUEST.len() - 1);
    let error = parse_request(REQUEST, &limits).unwrap_err();
    assert_eq!(kebab(&error), "too-large");
}

#[test]
fn an_answer_is_no_request_and_a_request_no_answer() {
    let error = parse_request(RESPONSE, &Limits::server()).unwrap_err();
    assert_eq!(kebab(&error), "misplaced-record");
    let error = parse_response(REQUEST, &Limits::client()).unwrap_err();
    assert_eq!(kebab(&error), "misplaced-record");
}

#[test]
fn ten_thousand_mutations_never_panic_and_what_passes_is_written_and_read_again() {
    let exception = encode_response(&Response::Exception(RemotingException::new("why")));
    let seeds = [REQUEST, RESPONSE, &exception];
    let mut random = Random(0x5eed);
    let mut passed = 0;
    for round in 0..10_000 {
        let mut body = seeds[round % seeds.len()].to_vec();
        for _ in 0..=random.below(3) {
            let at = random.below(body.len().max(1));
            match random.below(6) {
                0 | 1 if !body.is_empty() => body[at] = u8::try_from(random.below(256)).unwrap(),
                2 if !body.is_empty() => body[at] ^= 1 << random.below(8),
                3 => body.truncate(at),
                4 => {
                    let end = (at + random.below(60)).min(body.len());
                    let piece = body[at.min(end)..end].to_vec();
                    let to = random.below(body.len() + 1);
                    body.splice(to..to, piece);
                }
                _ => {
                    let end = (at + random.below(30)).min(body.len());
                    body.drain(at.min(end)..end);
                }
            }
        }
        if let Ok(request) = parse_request(&body, &Limits::server()) {
            let again = encode_request(&request);
            assert_eq!(parse_request(&again, &Limits::server()).unwrap(), request);
            passed += 1;
        }
        if let Ok(response) = parse_response(&body, &Limits::client()) {
            let again = encode_response(&response);
            assert_eq!(
                encode_response(&parse_response(&again, &Limits::client()).unwrap()),
                again
            );
            passed += 1;
        }
    }
    assert!(passed > 100, "only {passed} mutations passed");
}

fn any_request() -> impl Strategy<Value = Request> {
    let name = "[!-~\u{e9}\u{1f600}]{1,200}";
    let groups = prop::collection::vec(name, 1..40);
    (
        any_version(),
        name,
        prop::option::of(name),
        groups,
        0..=i32::MAX,
    )
        .prop_map(|(version, principal, cross_forest, groups, calls)| {
            let mut question = IsPrincipalMemberOf::new(principal, groups);
            if let Some(cross_forest) = cross_forest {
                question.principal_cross_forest = cross_forest;
            }
            question.cross_forest_calls_so_far = u32::try_from(calls).unwrap();
            Request { version, question }
        })
}

fn any_version() -> impl Strategy<Value = ProductVersion> {
    prop::sample::select(ProductVersion::ALL)
}

fn any_text() -> impl Strategy<Value = Option<std::borrow::Cow<'static, str>>> {
    prop::option::of(".{0,200}".prop_map(std::borrow::Cow::from))
}

fn any_entries() -> impl Strategy<Value = Vec<Entry<'static>>> {
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        any::<u8>().prop_map(Value::Byte),
        any::<i32>().prop_map(Value::Int32),
        (-1e9_f32..1e9).prop_map(Value::Single),
        ".{0,20}".prop_map(|text| Value::Text(text.into())),
    ];
    let entry = (".{0,20}", value).prop_map(|(key, value)| Entry {
        key: key.into(),
        value,
    });
    prop::collection::vec(entry, 0..20)
}

fn any_principal() -> impl Strategy<Value = Principal<'static>> {
    let either = (any::<bool>(), any_entries()).prop_map(|(list, entries)| {
        if list {
            AnyDictionary::List(ListDictionary(entries))
        } else {
            AnyDictionary::Hash(HashTable(entries))
        }
    });
    let guids = prop::collection::vec("[0-9a-f]{32}".prop_map(std::borrow::Cow::from), 0..40);
    (
        prop::option::of(any_entries().prop_map(ListDictionary)),
        prop::option::of(any_entries().prop_map(HashTable)),
        prop::option::of(any_entries().prop_map(ListDictionary)),
        prop::option::of(either),
        prop::option::of(guids.prop_map(StringCollection)),
        (any_text(), any_text()),
        any::<(i32, bool, bool)>(),
    )
        .prop_map(
            |(identifiers, membership, foreign, parsing, guids, texts, rest)| Principal {
                identifiers,
                group_membership: membership,
                foreign_members: foreign,
                parsing_dictionary: parsing,
                container_object_guids: guids,
                object_guid: texts.0,
                origination_forest: texts.1,
                explicit_parse: rest.0,
                exists: rest.1,
                lookup_exists: rest.2,
            },
        )
}

fn any_exception() -> impl Strategy<Value = RemotingException<'static>> {
    let one = (
        (any_text(), any_text(), any_text(), any_text()),
        (any_text(), any_text(), any_text()),
        any::<(i32, i32)>(),
    )
        .prop_map(|(a, b, numbers)| RemotingException {
            class_name: a.0,
            message: a.1,
            inner: None,
            help_url: a.2,
            stack_trace: a.3,
            remote_stack_trace: b.0,
            remote_stack_index: numbers.0,
            exception_method: b.1,
            h_result: numbers.1,
            source: b.2,
        });
    prop::collection::vec(one, 1..5).prop_map(|chain| {
        let nest = |inner: Option<RemotingException<'static>>, outer| {
            Some(RemotingException {
                inner: inner.map(Box::new),
                ..outer
            })
        };
        chain.into_iter().fold(None, nest).unwrap()
    })
}

proptest! {
    // No files of seeds beside the tests: a failure prints the value it found.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_request_arrives_as_it_was_sent(request in any_request()) {
        let bytes = encode_request(&request);
        prop_assert_eq!(parse_request(&bytes, &Limits::server()).unwrap(), request);
    }

    #[test]
    fn any_answer_arrives_as_it_was_sent(
        version in any_version(),
        is_member: bool,
        principal in any_principal(),
    ) {
        let response = Response::Answer(Answer { version, is_member, principal });
        let bytes = encode_response(&response);
        prop_assert_eq!(parse_response(&bytes, &Limits::client()).unwrap(), response);
    }

    #[test]
    fn any_exception_arrives_as_it_was_sent(exception in any_exception()) {
        let response = Response::Exception(exception);
        let bytes = encode_response(&response);
        prop_assert_eq!(parse_response(&bytes, &Limits::client()).unwrap(), response);
    }

    #[test]
    fn bytes_without_sense_never_panic(bytes: Vec<u8>) {
        let mut body = REQUEST[..17].to_vec();
        body.extend(bytes);
        prop_assert!(parse_request(&body, &Limits::server()).is_err());
        prop_assert!(parse_response(&body, &Limits::server()).is_err());
    }
}

/// Reads a message as what its second record says it is.
fn read(bytes: &[u8]) -> Result<(), BinaryError> {
    if bytes.get(17) == Some(&0x16) {
        parse_response(bytes, &Limits::server()).map(|_| ())
    } else {
        parse_request(bytes, &Limits::server()).map(|_| ())
    }
}

/// The variant's name in lower case with hyphens.
fn kebab(error: &BinaryError) -> String {
    let name = format!("{error:?}");
    let mut out = String::new();
    for c in name.chars().take_while(char::is_ascii_alphanumeric) {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// A small seeded generator: the same mutations on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or_default() % bound.max(1)
    }
}
