//! What breaks a signature, and what the digest is over (MS-RMPR 2.2.9.1.12).

use openrms_crypto::{Digest, HashAlgorithm, Mode};
use openrms_xrml::node::SignatureError;
use openrms_xrml::surface::{self, RecoverError};
use openrms_xrml::{Kind, Node, XrmlError};

use crate::support::{Hierarchy, account};

const PL: Kind = Kind::PublishingLicense;

fn sample() -> String {
    let hierarchy = Hierarchy::new(Mode::One);
    hierarchy.pl(&hierarchy.person(account("author")))
}

fn verify(text: &str) -> Result<(), SignatureError> {
    Node::parse(text).unwrap().verify().map(|_| ())
}

#[test]
fn every_changed_character_of_the_body_fails_the_digest() {
    let text = sample();
    assert_eq!(verify(&text), Ok(()));
    for (from, to) in [
        ("author@example.org", "author@example.orG"),
        ("<BODY type=", "<BODY  type="),
        ("</ISSUEDTIME><", "</ISSUEDTIME> <"),
        ("</ISSUEDTIME><", "</ISSUEDTIME>\n<"),
        ("<ID type=\"Unspecified\" />", "<ID type=\"Unspecified\"/>"),
        ("<ID type=\"Unspecified\" />", "<ID type='Unspecified' />"),
        ("12:30", "12:31"),
        ("日本", "日木"),
    ] {
        assert!(text.contains(from), "{from}");
        let changed = text.replacen(from, to, 1);
        assert_eq!(
            verify(&changed),
            Err(SignatureError::DigestMismatch(PL)),
            "{to}"
        );
    }
}

#[test]
fn the_digest_is_over_utf_16_and_not_over_utf_8() {
    let text = sample();
    let node = Node::parse(text.as_str()).unwrap();
    let digest = node.signature().unwrap().digest;
    let utf16: Vec<u8> = node
        .body()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(Digest::of(HashAlgorithm::Sha1, &utf16), digest);
    assert_ne!(
        Digest::of(HashAlgorithm::Sha1, node.body().as_bytes()),
        digest
    );
    let big: Vec<u8> = node
        .body()
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    assert_ne!(Digest::of(HashAlgorithm::Sha1, &big), digest);
    assert!(node.body().starts_with("<BODY") && node.body().ends_with("</BODY>"));
}

#[test]
fn what_stands_outside_the_body_is_not_signed_and_cannot_say_anything() {
    let text = sample();
    assert_eq!(verify(&text.replacen("<XrML ", "<XrML  ", 1)), Ok(()));
    assert_eq!(verify(&text.replace("</BODY><", "</BODY>\n<")), Ok(()));
    assert_eq!(verify(&format!("\r\n {text}\n")), Ok(()));
    for (from, to) in [
        ("</BODY><", "</BODY>text<"),
        ("<BODY", "text<BODY"),
        ("</SIGNATURE>", "</SIGNATURE>&#32;x"),
        ("</BODY>", "</BODY>\u{a0}"),
    ] {
        let error = Node::parse(text.replacen(from, to, 1)).unwrap_err();
        assert!(
            error.to_string().contains("text beside BODY and SIGNATURE"),
            "{to}: {error}"
        );
    }
    let error = Node::parse(text.replacen("</BODY>", "</BODY><RIGHT />", 1)).unwrap_err();
    assert!(matches!(error, XrmlError::Invalid { field: "XrML", .. }));
}

#[test]
fn a_reversed_or_foreign_or_missing_signature_is_named() {
    use base64::Engine as _;
    let text = sample();
    let node = Node::parse(text.as_str()).unwrap();
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let value = node.signature().unwrap().value.clone();
    let reversed: Vec<u8> = value.iter().rev().copied().collect();
    let changed = text.replace(&encode(&value), &encode(&reversed));
    assert_ne!(changed, text);
    assert_eq!(verify(&changed), Err(SignatureError::SignatureMismatch(PL)));

    // The digest of the changed body with the old signature.
    let moved = text.replacen("author@example.org", "thief@example.org.", 1);
    let body = Node::parse(moved.as_str()).unwrap().body().to_owned();
    let digest = Digest::of_utf16le(HashAlgorithm::Sha1, &body);
    let old = encode(node.signature().unwrap().digest.as_bytes());
    let resigned = moved.replace(&old, &encode(digest.as_bytes()));
    assert_eq!(
        verify(&resigned),
        Err(SignatureError::SignatureMismatch(PL))
    );

    let from = text.find("<SIGNATURE>").unwrap();
    let until = text.find("</SIGNATURE>").unwrap() + "</SIGNATURE>".len();
    let unsigned = [&text[..from], &text[until..]].concat();
    assert_eq!(verify(&unsigned), Err(SignatureError::Unsigned(PL)));

    let from = text.find("<ISSUER>").unwrap();
    let until = text.find("</ISSUER>").unwrap() + "</ISSUER>".len();
    let anonymous = [&text[..from], &text[until..]].concat();
    assert_eq!(verify(&anonymous), Err(SignatureError::NoIssuerKey(PL)));
}

#[test]
fn both_orders_and_both_names_of_the_hash_are_read() {
    let text = sample();
    let scheme = "<ALGORITHM>RSA PKCS#1-V1.5</ALGORITHM>";
    let signature = text.find("<SIGNATURE>").unwrap();
    assert!(text[signature..].starts_with(&format!("<SIGNATURE>{scheme}<DIGEST>")));
    let server = text
        .replace(scheme, "")
        .replace("</DIGEST>", &format!("</DIGEST>{scheme}"));
    assert_eq!(verify(&server), Ok(()));
    assert_eq!(verify(&text.replace(">SHA1<", ">SHA-1<")), Ok(()));
    let error = Node::parse(text.replace(">SHA1<", ">MD5<")).unwrap_err();
    assert!(matches!(
        error,
        XrmlError::Invalid {
            field: "DIGEST/ALGORITHM",
            ..
        }
    ));
}

#[test]
fn the_digest_of_the_specifications_example_is_the_published_one() {
    use base64::Engine as _;
    let Some(text) = crate::corpus::text("spec/rac.xml") else {
        return;
    };
    let node = Node::parse(text).unwrap();
    let digest = Digest::of_utf16le(HashAlgorithm::Sha1, node.body());
    let encoded = base64::engine::general_purpose::STANDARD.encode(digest.as_bytes());
    assert_eq!(encoded, "DiOe5fmkcpM4lWDQpiVUSOhDNxI=");
}

#[test]
fn a_node_that_another_library_wrote_again_is_recovered() {
    let text = sample();
    let libxml2 = text.replace(" />", "/>");
    assert_eq!(verify(&libxml2), Err(SignatureError::DigestMismatch(PL)));
    assert_eq!(*surface::recover(&libxml2).unwrap().text().as_ref(), *text);
    assert_eq!(*surface::recover(&text).unwrap().text().as_ref(), *text);

    let hierarchy = Hierarchy::new(Mode::One);
    let person = hierarchy.person(account("author"));
    let pl = hierarchy.pl(&person);
    let server = hierarchy.ul(&pl, &person, &hierarchy.slc, openrms_xrml::Hand::Server);
    let owner = hierarchy.ul(&pl, &person, &person.clc, openrms_xrml::Hand::Client);
    for ul in [server, owner] {
        let again = ul.replace(" />", "/>").replace("name = ", "name=");
        assert_eq!(*surface::recover(&again).unwrap().text().as_ref(), *ul);
    }
}

#[test]
fn nothing_but_the_spelling_of_tags_is_forgiven() {
    let text = sample();
    let mismatch = RecoverError::Signature(SignatureError::DigestMismatch(PL));
    for (from, to) in [
        ("</ISSUEDTIME><", "</ISSUEDTIME> <"),
        ("</ISSUEDTIME><", "</ISSUEDTIME>\n<"),
        ("author@example.org", "Author@example.org"),
        ("12:30", " 12:30"),
        ("<BODY type=", "<BODY  type="),
    ] {
        let changed = text.replacen(from, to, 1);
        let found = surface::recover(&changed).map(|_| ());
        if found.is_ok() || !matches!(found, Err(RecoverError::Malformed(_))) {
            assert_eq!(found, Err(mismatch.clone()), "{to}");
        }
    }
}
