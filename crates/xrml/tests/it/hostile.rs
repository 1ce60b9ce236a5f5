//! Hostile input: a file for each thing that can be wrong, named for it, and random damage.

use std::path::PathBuf;

use openrms_crypto::Mode;
use openrms_xrml::pl::{PlContent, PublishingLicense};
use openrms_xrml::surface;
use openrms_xrml::tree::Limits;
use openrms_xrml::{Hand, Node, chain, text};

use crate::support::{Hierarchy, account, rights_data_request};

/// A file of `testdata/hostile`, how it is made from a good PL, and what is said of it.
type Case = (&'static str, fn(&str) -> Vec<u8>, &'static str);

fn cases() -> Vec<Case> {
    vec![
        // Text
        ("good", |t| t.into(), "verified"),
        ("empty", |_| Vec::new(), "license is empty"),
        ("only-zero-bytes", |_| vec![0; 64], "license is empty"),
        (
            "not-utf-8",
            |t| [t.as_bytes(), b"\xff\xfe"].concat(),
            "not valid utf-8",
        ),
        (
            "lone-surrogate-in-utf-16",
            |t| put(utf16(t), 40, &[0x00, 0xd8]),
            "not valid utf-16le",
        ),
        (
            "half-a-utf-16-unit",
            |t| [utf16(t), vec![b'<']].concat(),
            "not valid utf-16le",
        ),
        // Markup that hides text
        (
            "entity-expansion",
            |t| {
                let bomb =
                    "<!DOCTYPE XrML [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;\">]>";
                format!("{bomb}{}", t.replacen("12:30", "&b;", 1)).into()
            },
            "text between nodes",
        ),
        (
            "doctype-inside",
            |t| after(t, "<XrML", "<!DOCTYPE BODY>"),
            "DOCTYPE inside",
        ),
        (
            "unknown-entity",
            |t| t.replacen("12:30", "&bomb;", 1).into(),
            "reference at byte",
        ),
        (
            "reference-to-control-character",
            |t| t.replacen("12:30", "&#1;", 1).into(),
            "reference at byte",
        ),
        (
            "reference-without-end",
            |t| t.replacen("12:30", "&amp", 1).into(),
            "reference at byte",
        ),
        (
            "comment-round-body-text",
            |t| t.replacen("<WORK>", "<!--<WORK>-->", 1).into(),
            "comment inside",
        ),
        (
            "second-body-in-a-comment",
            |t| after(t, "<XrML", "<!--<BODY></BODY>-->"),
            "comment inside",
        ),
        (
            "cdata",
            |t| t.replacen("author@", "<![CDATA[author@]]>", 1).into(),
            "CDATA section",
        ),
        (
            "processing-instruction",
            |t| after(t, "<BODY", "<?x y?>"),
            "processing instruction",
        ),
        (
            "xml-declaration-inside",
            |t| after(t, "<XrML", "<?xml version=\"1.0\"?>"),
            "processing instruction",
        ),
        (
            "control-character",
            |t| t.replacen("author@", "auth\u{8}or@", 1).into(),
            "control character",
        ),
        (
            "non-character",
            |t| t.replacen("author@", "auth\u{ffff}or@", 1).into(),
            "control character",
        ),
        // Form
        (
            "duplicate-attribute",
            |t| t.replacen("<BODY ", "<BODY type=\"LICENSE\" ", 1).into(),
            "bad or duplicate attribute",
        ),
        (
            "attribute-without-quotes",
            |t| t.replacen("version=\"3.0\"", "version=3.0", 1).into(),
            "bad or duplicate attribute",
        ),
        (
            "tags-that-cross",
            |t| t.replacen("</FROM><UNTIL>", "<UNTIL></FROM>", 1).into(),
            "not well-formed",
        ),
        (
            "unterminated-node",
            |t| t[..t.len() / 2].into(),
            "a node does not end",
        ),
        (
            "unterminated-tag",
            |t| t.replacen("</BODY>", "</BODY", 1).into(),
            "not well-formed",
        ),
        (
            "depth-49",
            |t| after(t, "<BODY", &("<A>".repeat(47) + &"</A>".repeat(47))),
            "nest deeper than 48",
        ),
        (
            "oversize",
            |t| after(t, "<BODY", &" ".repeat(SMALL.bytes)),
            "more than is accepted",
        ),
        (
            "too-many-elements",
            |t| after(t, "<BODY", &"<A/>".repeat(SMALL.elements)),
            "elements",
        ),
        // Structure
        (
            "root-is-not-xrml",
            |t| {
                t.replacen("<XrML", "<XrMLx", 1)
                    .replace("</XrML>", "</XrMLx><XrML></XrML>")
                    .into()
            },
            "a license node is exactly one XrML element",
        ),
        (
            "nested-xrml",
            |t| after(t, "<BODY", "<XrML version=\"1.2\"></XrML>"),
            "text between nodes",
        ),
        (
            "nested-empty-xrml",
            |t| after(t, "<BODY", "<XrML />"),
            "a node inside another",
        ),
        (
            "text-between-nodes",
            |t| format!("{t}x{t}").into(),
            "text between nodes",
        ),
        (
            "text-beside-body",
            |t| t.replacen("</BODY>", "</BODY>x", 1).into(),
            "text beside BODY",
        ),
        ("no-body", |t| cut(t, "BODY"), "BODY is missing"),
        (
            "two-bodies",
            |t| {
                t.replacen(
                    "<SIGNATURE>",
                    "<BODY type=\"LICENSE\"></BODY><SIGNATURE>",
                    1,
                )
                .into()
            },
            "BODY occurs more than once",
        ),
        (
            "child-beside-body",
            |t| t.replacen("<SIGNATURE>", "<EXTRA /><SIGNATURE>", 1).into(),
            "children other than",
        ),
        (
            "unknown-kind",
            |t| {
                t.replacen("Microsoft Rights Label", "Microsoft Rights Cable", 1)
                    .into()
            },
            "unknown kind",
        ),
        (
            "no-issued-time",
            |t| cut(t, "ISSUEDTIME"),
            "ISSUEDTIME is missing",
        ),
        (
            "issued-time-is-no-time",
            |t| t.replacen("12:30", "25:30", 1).into(),
            "ISSUEDTIME is not valid",
        ),
        (
            "repeated-issuer",
            |t| twice(t, "ISSUER"),
            "ISSUER occurs more than once",
        ),
        (
            "repeated-issued-principals",
            |t| twice(t, "ISSUEDPRINCIPALS"),
            "ISSUEDPRINCIPALS occurs more than once",
        ),
        (
            "repeated-principal",
            |t| twice(t, "PRINCIPAL"),
            "PRINCIPAL occurs more than once",
        ),
        (
            "repeated-public-key",
            |t| twice(t, "PUBLICKEY"),
            "PUBLICKEY occurs more than once",
        ),
        (
            "repeated-modulus",
            |t| {
                t.replacen("name=\"public-exponent\"", "name=\"modulus\"", 1)
                    .into()
            },
            "public-exponent is missing",
        ),
        (
            "repeated-work",
            |t| twice(t, "WORK"),
            "WORK occurs more than once",
        ),
        (
            "repeated-descriptor",
            |t| twice(t, "DESCRIPTOR"),
            "DESCRIPTOR occurs more than once",
        ),
        (
            "repeated-enabling-bits",
            |t| twice(t, "ENABLINGBITS"),
            "ENABLINGBITS occurs more than once",
        ),
        (
            "repeated-rights-data",
            |t| twice(t, "AUTHENTICATEDDATA"),
            "Encrypted-Rights-Data occurs more than once",
        ),
        (
            "repeated-signature",
            |t| twice(t, "SIGNATURE"),
            "SIGNATURE occurs more than once",
        ),
        (
            "id-with-children",
            |t| t.replacen("<NAME>", "<NAME><B />", 1).into(),
            "NAME is not valid",
        ),
        // Values
        (
            "modulus-size-disagrees",
            |t| t.replacen("size=\"1024\"", "size=\"2048\"", 1).into(),
            "modulus is not valid: size",
        ),
        (
            "enabling-bits-size-disagrees",
            |t| t.replacen("size=\"512\"", "size=\"520\"", 1).into(),
            "ENABLINGBITS is not valid: size",
        ),
        (
            "enabling-bits-of-unknown-type",
            |t| t.replacen("\"sealed-key\"", "\"sealed-key-v9\"", 1).into(),
            "ENABLINGBITS type is not valid",
        ),
        (
            "modulus-is-truncated-base64",
            |t| {
                t.replacen("==</VALUE>", "=</VALUE>", 1)
                    .replacen("=</VALUE>", "</VALUE>", 1)
                    .into()
            },
            "modulus is not valid",
        ),
        (
            "modulus-with-leading-zero",
            |t| modulus(t, |m| *m.last_mut().unwrap() = 0),
            "PUBLICKEY is not valid",
        ),
        (
            "modulus-even",
            |t| modulus(t, |m| m[0] &= 0xfe),
            "PUBLICKEY is not valid",
        ),
        (
            "modulus-short",
            |t| modulus(t, |m| m.truncate(64)),
            "PUBLICKEY is not valid",
        ),
        (
            "exponent-even",
            |t| t.replacen("65537", "65536", 1).into(),
            "public-exponent is not valid",
        ),
        (
            "exponent-3",
            |t| t.replacen("65537", "3", 1).into(),
            "public-exponent is not valid",
        ),
        (
            "exponent-with-sign",
            |t| t.replacen("65537", "+65537", 1).into(),
            "public-exponent is not valid",
        ),
        (
            "key-of-another-algorithm",
            |t| t.replacen(">RSA<", ">DSA<", 1).into(),
            "PUBLICKEY/ALGORITHM is not valid",
        ),
        (
            "unknown-digest",
            |t| t.replacen(">SHA1<", ">MD5<", 1).into(),
            "DIGEST/ALGORITHM is not valid",
        ),
        (
            "digest-of-the-wrong-length",
            |t| t.replacen(">SHA1<", ">SHA256<", 1).into(),
            "DIGEST/VALUE is not valid",
        ),
        (
            "digest-size-disagrees",
            |t| t.replacen("size=\"160\"", "size=\"256\"", 1).into(),
            "DIGEST/VALUE is not valid: size",
        ),
        (
            "unknown-coding",
            |t| t.replacen("surface-coding", "c14n", 1).into(),
            "DIGEST codingtype is not valid",
        ),
        (
            "no-coding",
            |t| {
                t.replacen("<PARAMETER name=\"codingtype\"><VALUE encoding=\"string\">surface-coding</VALUE></PARAMETER>", "", 1).into()
            },
            "DIGEST codingtype is missing",
        ),
        (
            "unknown-signature-scheme",
            |t| t.replacen("PKCS#1-V1.5", "PSS", 1).into(),
            "SIGNATURE/ALGORITHM is not valid",
        ),
        ("no-signature", |t| cut(t, "SIGNATURE"), "is not signed"),
        (
            "no-issuer",
            |t| cut(t, "ISSUER"),
            "does not name its issuer's key",
        ),
        (
            "no-digest",
            |t| cut(t, "DIGEST"),
            "SIGNATURE/DIGEST is missing",
        ),
        (
            "no-rights-data",
            |t| cut(t, "AUTHENTICATEDDATA"),
            "was changed",
        ),
        (
            "body-changed",
            |t| t.replacen("author@", "thief1@", 1).into(),
            "was changed",
        ),
        (
            "white-space-between-tags",
            |t| t.replacen("<WORK>", "\n<WORK>", 1).into(),
            "was changed",
        ),
        (
            "signature-too-short",
            |t| signature(t, |s| s.truncate(64)),
            "not its issuer's",
        ),
        (
            "signature-reversed",
            |t| signature(t, |s| s.reverse()),
            "not its issuer's",
        ),
        (
            "signature-empty",
            |t| signature(t, Vec::clear),
            "not its issuer's",
        ),
    ]
}

/// Bounds of the files here, so that they stay small.
const SMALL: Limits = Limits {
    bytes: 6000,
    depth: 48,
    elements: 500,
};

fn after(text: &str, tag: &str, what: &str) -> Vec<u8> {
    let at = text.find(tag).unwrap();
    let at = at + text[at..].find('>').unwrap() + 1;
    [&text[..at], what, &text[at..]].concat().into()
}

/// Where the first element of that name stands.
fn element(text: &str, name: &str) -> std::ops::Range<usize> {
    let start = text
        .find(&format!("<{name}>"))
        .or_else(|| text.find(&format!("<{name} ")))
        .unwrap();
    let end = format!("</{name}>");
    start..start + text[start..].find(&end).unwrap() + end.len()
}

fn cut(text: &str, name: &str) -> Vec<u8> {
    let at = element(text, name);
    [&text[..at.start], &text[at.end..]].concat().into()
}

fn twice(text: &str, name: &str) -> Vec<u8> {
    let at = element(text, name);
    [&text[..at.end], &text[at.start..]].concat().into()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn put(mut bytes: Vec<u8>, at: usize, what: &[u8]) -> Vec<u8> {
    bytes[at..at + what.len()].copy_from_slice(what);
    bytes
}

/// Changes the VALUE that follows `marker`, and its size.
fn value(text: &str, marker: &str, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let at = text.find(marker).unwrap() + marker.len();
    let end = at + text[at..].find("</VALUE>").unwrap();
    let start = at + text[at..].find('>').unwrap() + 1;
    let mut bytes = STANDARD.decode(&text[start..end]).unwrap();
    change(&mut bytes);
    let value = format!(
        " encoding=\"base64\" size=\"{}\">{}",
        bytes.len() * 8,
        STANDARD.encode(&bytes)
    );
    [&text[..at], &value, &text[end..]].concat().into()
}

fn modulus(text: &str, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    value(text, "<PARAMETER name=\"modulus\"><VALUE", change)
}

fn signature(text: &str, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    value(text, "</DIGEST><VALUE", change)
}

fn folder() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/hostile").into()
}

/// Reads a file as a server would and says how that ended.
fn read(bytes: &[u8]) -> String {
    let outcome = || -> Result<(), String> {
        let (text, _) = text::decode(bytes).map_err(|error| error.to_string())?;
        for part in chain::split(&text).map_err(|error| error.to_string())? {
            let node = Node::parse_with(part, &SMALL).map_err(|error| error.to_string())?;
            PublishingLicense::new(Box::new(node.clone()))
                .map(|_| ())
                .or_else(|error| match error {
                    openrms_xrml::XrmlError::Repeated(_) => Err(error.to_string()),
                    _ => Ok(()),
                })?;
            node.verify().map_err(|error| error.to_string())?;
        }
        Ok(())
    };
    outcome().err().unwrap_or_else(|| "verified".into())
}

#[test]
fn each_hostile_file_is_refused_for_what_its_name_says() {
    let mut found: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut known: Vec<String> = cases()
        .iter()
        .map(|case| format!("{}.xml", case.0))
        .collect();
    found.sort();
    known.sort();
    assert_eq!(found, known, "files and cases differ");
    let mut wrong = Vec::new();
    for (name, _, expected) in cases() {
        let said = read(&std::fs::read(folder().join(format!("{name}.xml"))).unwrap());
        if !said.contains(expected) {
            wrong.push(format!("{name}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "writes testdata/hostile anew"]
fn write_the_hostile_files() {
    let hierarchy = Hierarchy::new(Mode::One);
    let author = hierarchy.person(account("author"));
    let content = PlContent {
        encrypted_rights: vec![7; 32],
        sealed_key: crate::support::bits(Mode::One, 64),
        extra: Vec::new(),
        ..hierarchy.pl_content()
    };
    let urls = ("https://rms/_wmcs/licensing", None);
    let clc = &author.clc;
    let good = content
        .sign(&clc.identity, urls, &clc.key, hierarchy.hash())
        .unwrap();
    for (name, make, _) in cases() {
        std::fs::write(folder().join(format!("{name}.xml")), make(&good)).unwrap();
    }
}

/// A small generator of its own, so that a failure comes again with its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }
}

fn samples() -> Vec<String> {
    let hierarchy = Hierarchy::new(Mode::One);
    let person = hierarchy.person(account("author"));
    let pl = hierarchy.pl(&person);
    let ul = hierarchy.ul(&pl, &person, &hierarchy.slc, Hand::Server);
    let mut samples = vec![
        hierarchy.template(),
        rights_data_request().text(),
        hierarchy.revocation_list(vec![]),
        [pl.as_str(), &person.clc.text, &hierarchy.slc.text].concat(),
        ul,
        person.rac.text,
        person.spc.text,
    ];
    // Real ones, but not ten that are alike.
    let real = crate::corpus::every_text();
    samples.extend(real.into_iter().filter(|text| text.len() < 38_000));
    samples
}

/// The bodies that are truly signed in those texts.
fn signed_bodies(samples: &[String]) -> Vec<String> {
    let nodes = samples.iter().flat_map(|text| chain::parse(text).unwrap());
    nodes
        .filter(|node| node.digest_holds() && node.signature_holds())
        .map(|node| node.body().to_owned())
        .collect()
}

fn damage(random: &mut Random, samples: &[String]) -> Vec<u8> {
    let pick = random.below(samples.len());
    let mut bytes = samples[pick].clone().into_bytes();
    if random.below(8) == 0 {
        bytes = utf16(&samples[pick]);
    }
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        let len = random.below(40).min(bytes.len() - at);
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = b"<>/&;\"' =\0\xff]!?-"[random.below(15)],
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..at + len)),
            4 => {
                let piece = bytes[at..at + len].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => {
                let other = samples[random.below(samples.len())].as_bytes();
                let from = random.below(other.len());
                let until = from + random.below(4000).min(other.len() - from);
                bytes.splice(at..at + len, other[from..until].iter().copied());
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

#[test]
fn ten_thousand_damaged_texts_neither_panic_nor_verify() {
    let samples = samples();
    let bodies = signed_bodies(&samples);
    let mut random = Random(0x5eed_0000_0000_0001);
    let (mut parsed, mut verified) = (0, 0);
    for round in 0..10_000 {
        let bytes = damage(&mut random, &samples);
        let Ok((text, _)) = text::decode(&bytes) else {
            continue;
        };
        let Ok(nodes) = chain::parse(&text) else {
            continue;
        };
        parsed += 1;
        for node in nodes {
            _ = PublishingLicense::new(Box::new(node.clone())).map(|pl| pl.binding_text());
            _ = openrms_xrml::rights_data::RightsData::parse(node.text()).map(|data| data.names());
            let body = node.body().to_owned();
            // Most are stopped by the digest, which costs less than the signature.
            if let Ok(node) = node.verify() {
                verified += 1;
                assert!(bodies.contains(&body), "round {round}: {}", node.text());
            }
        }
    }
    // Damage outside the body or in another node of the chain leaves good nodes.
    assert!(
        parsed > 300 && verified > 200,
        "{parsed} parsed, {verified} verified"
    );
}

#[test]
fn damaged_texts_are_not_recovered_by_spelling_them_anew() {
    let samples = samples();
    let bodies = signed_bodies(&samples);
    let mut random = Random(0x5eed_0000_0000_0002);
    for round in 0..1_000 {
        let bytes = damage(&mut random, &samples);
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        if let Ok(node) = surface::recover(&text) {
            assert!(
                bodies.iter().any(|body| body == node.body()),
                "round {round}: {text}"
            );
        }
    }
}
