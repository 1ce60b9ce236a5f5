//! Hostile input: each file in `testdata/hostile` is named for the error it must give,
//! `error--detail.xml`; then bounds, and mutations that must never panic.

mod common;

use std::fmt::Write as _;
use std::path::Path;

use openrms_protocol::{
    CertificateError, Contract, HttpHead, Limits, OperationName, ProtocolError, ResponseHead,
    SoapVersion, VersionData, encode_request, encode_response, offline_enrollment, parse_request,
    parse_response,
};

const PL: &str = "<IssuanceLicense><Certificate><XrML>pl</XrML></Certificate></IssuanceLicense>";

#[test]
fn every_hostile_file_gives_the_error_in_its_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/hostile");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let wanted = name.split("--").next().unwrap();
        let body = std::fs::read(&path).unwrap();
        let error = match parse_request(HttpHead::default(), &body, &Limits::server()) {
            Ok(request) => panic!("{name} was accepted: {request:?}"),
            Err(rejection) => rejection.error,
        };
        assert_eq!(kebab(&error), wanted, "{name}: {error}");
        assert!(error.to_string().len() < 400, "{name}: a long error");
        seen += 1;
    }
    assert!(seen > 70, "only {seen} files");
}

#[test]
fn a_batch_of_more_than_a_hundred_is_refused() {
    assert!(parse(&batch(100)).is_ok());
    let error = parse(&batch(101)).unwrap_err();
    assert_eq!(
        error,
        ProtocolError::TooMany {
            what: "AcquireLicenseParams",
            limit: 100
        }
    );
}

#[test]
fn licensee_certificates_are_bounded_in_size_and_number() {
    let sized = |length: usize| {
        format!(
            "<Certificate><XrML>{}</XrML></Certificate>",
            "a".repeat(length - 13)
        )
    };
    let request = |certificates: &str| single(certificates, PL, "");
    assert!(parse(&request(&sized(30_720))).is_ok());
    let error = parse(&request(&sized(30_721))).unwrap_err();
    assert!(matches!(
        error,
        ProtocolError::TooLarge {
            length: 30_721,
            limit: 30_720,
            ..
        }
    ));
    assert!(parse(&request(&sized(20).repeat(100))).is_ok());
    let error = parse(&request(&sized(20).repeat(101))).unwrap_err();
    assert!(matches!(error, ProtocolError::TooMany { limit: 100, .. }));
}

#[test]
fn a_publishing_license_is_bounded_as_a_whole() {
    let half = format!(
        "<Certificate><XrML>{}</XrML></Certificate>",
        "a".repeat(4 << 20)
    );
    let pl = format!("<IssuanceLicense>{half}{half}</IssuanceLicense>");
    let rac = "<Certificate><XrML>rac</XrML></Certificate>";
    let error = parse(&single(rac, &pl, "")).unwrap_err();
    assert!(matches!(
        error,
        ProtocolError::TooLarge {
            what: "an issuance license",
            ..
        }
    ));
}

#[test]
fn application_data_is_bounded_and_kept_raw() {
    let rac = "<Certificate><XrML>rac</XrML></Certificate>";
    let data = |length: usize| format!("<ApplicationData>{}</ApplicationData>", "a".repeat(length));
    assert!(parse(&single(rac, PL, &data(102_400))).is_ok());
    let error = parse(&single(rac, PL, &data(102_401))).unwrap_err();
    assert!(matches!(
        error,
        ProtocolError::TooLarge {
            what: "the application data",
            ..
        }
    ));
    let many = format!(
        "<ApplicationData>{}</ApplicationData>",
        "<a/>".repeat(25_000)
    );
    assert!(parse(&single(rac, PL, &many)).is_ok());
}

#[test]
fn deep_nesting_is_refused_wherever_it_is() {
    let deep = format!("{}{}", "<a>".repeat(10_000), "</a>".repeat(10_000));
    let rac = "<Certificate><XrML>rac</XrML></Certificate>";
    let data = format!("<ApplicationData>{deep}</ApplicationData>");
    for body in [deep.clone(), single(rac, PL, &data), single(rac, PL, &deep)] {
        assert_eq!(
            parse(&body).unwrap_err(),
            ProtocolError::TooDeep { limit: 48 }
        );
    }
}

#[test]
fn floods_of_elements_and_attributes_are_refused() {
    let rac = "<Certificate><XrML>rac</XrML></Certificate>";
    let error = parse(&single(rac, PL, &"<a/>".repeat(40_000))).unwrap_err();
    assert_eq!(
        error,
        ProtocolError::TooMany {
            what: "elements",
            limit: 32_768
        }
    );
    let mut flood = "<a".to_owned();
    for index in 0..100_000 {
        write!(flood, " b{index}=''").unwrap();
    }
    let error = parse(&(flood + "/>")).unwrap_err();
    assert_eq!(
        error,
        ProtocolError::TooMany {
            what: "attributes on an element",
            limit: 32
        }
    );
}

#[test]
fn a_flood_of_namespace_declarations_is_refused() {
    let mut flood = String::new();
    for level in 0..10 {
        flood.push_str("<a");
        for index in 0..30 {
            write!(flood, " xmlns:p{level}x{index}='u'").unwrap();
        }
        flood.push('>');
    }
    let error = parse(&flood).unwrap_err();
    let what = "namespace declarations in scope";
    assert_eq!(error, ProtocolError::TooMany { what, limit: 128 });
}

#[test]
fn a_body_over_its_bound_is_not_looked_at() {
    let body = batch(2);
    let limits = Limits::server().with_body_bytes(body.len() - 1);
    let rejection = parse_request(HttpHead::default(), body.as_bytes(), &limits).unwrap_err();
    assert!(matches!(
        rejection.error,
        ProtocolError::BodyTooLarge { .. }
    ));
}

#[test]
fn headers_that_contradict_the_envelope_are_refused() {
    let body = batch(1);
    let parse = |content_type, soap_action| {
        let head = HttpHead {
            content_type,
            soap_action,
        };
        parse_request(head, body.as_bytes(), &Limits::server()).map_err(|rejection| rejection.error)
    };
    let action = "http://microsoft.com/DRM/LicensingService/AcquireLicense";
    assert!(parse(Some("text/xml; charset=\"UTF-8\""), Some("\"\"")).is_ok());
    assert!(parse(Some("application/xml"), Some(action)).is_ok());
    let wrong = parse(Some("application/soap+xml"), None).unwrap_err();
    assert!(matches!(wrong, ProtocolError::ContentTypeMismatch { .. }));
    let wrong = parse(None, Some("urn:x/Certify")).unwrap_err();
    assert!(matches!(wrong, ProtocolError::ActionMismatch { .. }));
    let wrong = parse(Some("text/xml; charset=utf-16"), None).unwrap_err();
    assert!(matches!(wrong, ProtocolError::UnsupportedEncoding { .. }));
}

#[test]
fn certificates_in_answers_are_checked_alike() {
    let head = ResponseHead::fault(SoapVersion::V11);
    let body = encode_response(&head, &common::responses().remove(0)).replace("<BODY>", "<XrML>");
    let error =
        parse_response(OperationName::Certify, body.as_bytes(), &Limits::client()).unwrap_err();
    assert!(matches!(
        error,
        ProtocolError::Certificate {
            source: CertificateError::Nested,
            ..
        }
    ));
}

#[test]
fn cutting_a_message_anywhere_never_panics_and_never_passes() {
    for operation in common::requests() {
        let contract = operation.name().contract();
        let versions = Some(VersionData::CLIENT_BATCH);
        let body = encode_request(SoapVersion::V11, contract, versions, &operation);
        for end in 0..body.len() {
            let cut = &body.as_bytes()[..end];
            assert!(parse_request(HttpHead::default(), cut, &Limits::server()).is_err());
        }
    }
}

#[test]
fn ten_thousand_mutations_never_panic() {
    let mut seeds = Vec::new();
    for operation in common::requests() {
        let contract = operation.name().contract();
        let versions = Some(VersionData::CLIENT_BATCH);
        seeds.push(encode_request(SoapVersion::V11, contract, versions, &operation).into_bytes());
    }
    for response in common::responses() {
        let head = ResponseHead::fault(SoapVersion::V12);
        seeds.push(encode_response(&head, &response).into_bytes());
    }
    let tokens: &[&[u8]] = &[
        b"<",
        b">",
        b"</",
        b"/>",
        b"&",
        b";",
        b"<!--",
        b"-->",
        b"<![CDATA[",
        b"]]>",
        b"<XrML",
        b"</XrML>",
        b"<?",
        b"xmlns=\"\"",
        b"xmlns:a='b'",
        b"\xef\xbb\xbf",
        b"\0",
        b"&#x41;",
        b"<!DOCTYPE a>",
        b"ApplicationData",
    ];
    let mut random = Random(0x5eed);
    for round in 0..10_000 {
        let mut body = seeds[round % seeds.len()].clone();
        for _ in 0..=random.below(4) {
            let at = random.below(body.len().max(1));
            match random.below(5) {
                0 if !body.is_empty() => body[at] = u8::try_from(random.below(256)).unwrap(),
                1 => body.truncate(at),
                2 => {
                    let token = tokens[random.below(tokens.len())];
                    body.splice(at..at, token.iter().copied());
                }
                3 => {
                    let end = (at + random.below(40)).min(body.len());
                    body.drain(at.min(end)..end);
                }
                _ => {
                    let end = (at + random.below(200)).min(body.len());
                    let piece = body[at.min(end)..end].to_vec();
                    let to = random.below(body.len() + 1);
                    body.splice(to..to, piece);
                }
            }
        }
        if let Err(rejection) = parse_request(HttpHead::default(), &body, &Limits::server()) {
            assert!(!rejection.encode().is_empty());
        }
        for &name in OperationName::ALL {
            let _ = parse_response(name, &body, &Limits::client());
        }
        let _ = offline_enrollment::decode_request(&body, &Limits::server());
        let _ = offline_enrollment::decode_response(&body, &Limits::client());
        let _ = offline_enrollment::decode_sub_request(&body, &Limits::server());
        let _ = offline_enrollment::decode_sub_response(&body, &Limits::client());
    }
}

fn parse(body: &str) -> Result<(), ProtocolError> {
    parse_request(HttpHead::default(), body.as_bytes(), &Limits::server())
        .map(|_| ())
        .map_err(|rejection| rejection.error)
}

fn single(certificates: &str, pl: &str, more: &str) -> String {
    let namespace = Contract::Licensing.namespace();
    format!(
        "<Envelope xmlns=\"http://schemas.xmlsoap.org/soap/envelope/\"><Body>\
         <AcquireLicense xmlns=\"{namespace}\"><RequestParams><AcquireLicenseParams>\
         <LicenseeCerts>{certificates}</LicenseeCerts>{pl}{more}\
         </AcquireLicenseParams></RequestParams></AcquireLicense></Body></Envelope>"
    )
}

fn batch(items: usize) -> String {
    let mut batch = common::batch();
    let item = batch.items.remove(0);
    batch.items = vec![item; items];
    let versions = Some(VersionData::CLIENT_BATCH);
    encode_request(
        SoapVersion::V11,
        Contract::Licensing,
        versions,
        &batch.into(),
    )
}

/// The variant's name in lower case with hyphens; for certificates, what is wrong with them.
fn kebab(error: &ProtocolError) -> String {
    let name = match error {
        ProtocolError::Certificate { source, .. } => format!("Certificate{source:?}"),
        other => format!("{other:?}"),
    };
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
