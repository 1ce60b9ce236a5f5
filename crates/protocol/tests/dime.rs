//! DIME: the example of [MS-RMPR] 4.3, both layouts, and hostile messages. Each file in
//! `testdata/dime/hostile` is named for the error it must give, `error--detail.bin`.

#![allow(clippy::unwrap_used)] // Helpers of tests may fail like tests.

use std::path::Path;

use openrms_protocol::SoapVersion;
use openrms_protocol::activation::{encode_message, parse_message};
use openrms_protocol::dime::{DimeError, Layout, Payload, PayloadKind, encode, parse};
use proptest::prelude::*;

#[test]
fn the_example_of_the_specification_is_written_as_it_stands_there() {
    let (envelope, attachment) = ("x".repeat(4_780), vec![7; 158_974]);
    let message = encode_message(SoapVersion::V11, envelope.clone(), [attachment.clone()]).unwrap();
    let first = bits("1 0 0 0000000000000 010 0000000101001 00000000000000000001001010101100");
    assert_eq!(message[..8], first);
    let second = 8 + 44 + 4_780;
    let head = bits("0 0 1 0000000010000 001 0000000011000 00000000000000011111111111111111");
    assert_eq!(message[second..second + 8], head);
    assert_eq!(message[second + 8..second + 24], *b"SecureRepository");
    // The figure of the specification has one bit too many.
    let third = second + 8 + 16 + 24 + 0x2_0000;
    let head = bits("0 1 0 0000000000000 000 0000000000000 00000000000000000110110011111111");
    assert_eq!(message[third..third + 8], head);
    assert_eq!(message.len(), third + 8 + 27_904);
    let parts = (envelope.into_bytes(), vec![attachment]);
    assert_eq!(parse_message(&message, 1).unwrap(), parts);
    assert_eq!(parse_message(&message, 0), Err(DimeError::TooMany(1)));
}

#[test]
fn attachments_keep_their_order_and_have_names_of_their_own() {
    let attachments = [vec![1], vec![2], vec![3]];
    let message = encode_message(SoapVersion::V12, String::new(), attachments.clone()).unwrap();
    let payloads = parse(&message, 4).unwrap();
    let names: Vec<_> = payloads.iter().map(|payload| payload.id.as_str()).collect();
    let wanted = [
        "",
        "SecureRepository",
        "SecureRepository2",
        "SecureRepository3",
    ];
    assert_eq!(names, wanted);
    assert_eq!(parse_message(&message, 3).unwrap().1, attachments);
}

#[test]
fn an_envelope_alone_has_no_attachments() {
    for envelope in [
        "<Envelope/>",
        "\u{feff}<?xml version='1.0'?><Envelope/>",
        "\r\n <a/>",
    ] {
        let parts = parse_message(envelope.as_bytes(), 0).unwrap();
        assert_eq!(parts, (envelope.as_bytes().to_vec(), Vec::new()));
    }
}

#[test]
fn both_layouts_are_read_and_written() {
    let payloads = [
        soap(b"<Envelope/>".to_vec()),
        package(b"first second".to_vec()),
    ];
    for (name, layout) in [
        ("short.bin", Layout::Short),
        ("versioned.bin", Layout::Versioned),
    ] {
        let message = file(name);
        assert_eq!(parse(&message, 2).unwrap(), payloads, "{name}");
        let whole = encode(&payloads, layout, usize::MAX).unwrap();
        assert_eq!(parse(&whole, 2).unwrap(), payloads, "{name}");
    }
    let [only] = parse(&file("options.bin"), 1).unwrap().try_into().unwrap();
    assert_eq!(only, package(b"x".to_vec()));
}

#[test]
fn the_last_part_may_go_without_its_filling() {
    let message = encode(&[package(vec![1; 5])], Layout::Short, 100).unwrap();
    for missing in 0..4 {
        let cut = &message[..message.len() - missing];
        assert_eq!(parse(cut, 1).unwrap(), [package(vec![1; 5])]);
    }
    let cut = &message[..message.len() - 4];
    assert_eq!(parse(cut, 1), Err(DimeError::Cut));
}

#[test]
fn every_hostile_message_gives_the_error_in_its_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/dime/hostile");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let error = parse(&std::fs::read(&path).unwrap(), 9).unwrap_err();
        let kind = match error {
            DimeError::Cut => "cut",
            DimeError::Begin => "begin",
            DimeError::End => "end",
            DimeError::Version(_) => "version",
            DimeError::Chunk => "chunk",
            DimeError::Format(_) => "format",
            DimeError::Name => "name",
            DimeError::TooMany(_) => "too-many",
            DimeError::Empty => "empty",
        };
        assert_eq!(Some(kind), name.split("--").next(), "{name}: {error}");
        seen += 1;
    }
    assert!(seen > 20, "only {seen} files");
}

#[test]
fn what_cannot_be_a_message_is_not_written() {
    assert_eq!(encode(&[], Layout::Short, 1), Err(DimeError::Empty));
    let mut named = package(Vec::new());
    named.id = "n".repeat(0x2000);
    let encoded = |named: &Payload, layout| encode(std::slice::from_ref(named), layout, 1);
    assert_eq!(encoded(&named, Layout::Short), Err(DimeError::Name));
    assert!(encoded(&named, Layout::Versioned).is_ok());
    named.id = "é".to_owned();
    assert_eq!(encoded(&named, Layout::Versioned), Err(DimeError::Name));
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        data in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..5),
        chunk in 0..400_usize,
        versioned in any::<bool>(),
    ) {
        let layout = if versioned { Layout::Versioned } else { Layout::Short };
        let payloads: Vec<_> = data.into_iter().map(package).collect();
        let message = encode(&payloads, layout, chunk).unwrap();
        prop_assert_eq!(parse(&message, payloads.len()).unwrap(), payloads);
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
        place in 0..200_usize,
    ) {
        let _ = parse(&bytes, 3);
        let mut message = file("short.bin");
        let end = (place + 4).min(message.len()).max(place.min(message.len()));
        message.splice(place.min(end)..end, bytes.drain(..bytes.len().min(5)));
        let _ = parse(&message, 3);
    }
}

fn soap(data: Vec<u8>) -> Payload {
    Payload {
        id: String::new(),
        kind: PayloadKind::Uri(SoapVersion::V11.namespace().to_owned()),
        data,
    }
}

fn package(data: Vec<u8>) -> Payload {
    Payload {
        id: "SecureRepository".to_owned(),
        kind: PayloadKind::Media("application/octet-stream".to_owned()),
        data,
    }
}

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/dime");
    std::fs::read(folder.join(name)).unwrap()
}

/// Bits as the specification prints them.
fn bits(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b' ').collect();
    let byte = |bits: &[u8]| bits.iter().fold(0, |byte, bit| byte << 1 | (bit - b'0'));
    digits.chunks(8).map(byte).collect()
}
