//! Prints what splitting, parsing and verifying a publishing license costs, in microseconds.
//!
//! `cargo run --release -p openrms-xrml --example parse_speed`

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use openrms_crypto::rsa::KeyError;
use openrms_crypto::{HashAlgorithm, Mode, PrivateKey, SealedKeyVersion, SoftwareKey};
use openrms_xrml::pl::PlContent;
use openrms_xrml::tree::{Limits, Tree};
use openrms_xrml::values::{EnablingBits, Guid, Object, SecurityLevel};
use openrms_xrml::{Identity, Node, Time, chain};

fn main() -> Result<(), KeyError> {
    let author = SoftwareKey::generate(Mode::Two)?;
    let server = SoftwareKey::generate(Mode::Two)?;
    for rights_bytes in [2_368, 10_000, 26_960] {
        let text: Arc<str> = license(&author, &server, rights_bytes)?.into();
        println!("publishing license of {} bytes", text.len());
        measure("split", || chain::split(&text).is_ok());
        measure("Tree::parse", || {
            Tree::parse(&text, &Limits::default()).is_ok()
        });
        measure("Node::parse", || Node::parse(text.clone()).is_ok());
        measure("parse and digest", || {
            Node::parse(text.clone()).is_ok_and(|n| n.digest_holds())
        });
        measure("parse and verify", || {
            Node::parse(text.clone()).is_ok_and(|n| n.verify().is_ok())
        });
    }
    Ok(())
}

fn measure(what: &str, mut once: impl FnMut() -> bool) {
    assert!(once(), "{what} refused the license");
    let mut best = f64::MAX;
    for _ in 0..20 {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            black_box(once());
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS));
    }
    println!("  {what:18} {best:8.1} us");
}

fn license(
    author: &SoftwareKey,
    server: &SoftwareKey,
    rights_bytes: usize,
) -> Result<String, KeyError> {
    let content = PlContent {
        issued: Time::from_unix(1_700_000_000),
        validity: None,
        descriptor: None,
        server: Identity::new(
            Object::guid(Some("MS-DRM-Server"), Guid::from_random([1; 16]))
                .named("RMS")
                .at("https://rms.example.org/_wmcs"),
            server.public().clone(),
            &[SecurityLevel::new("Server-SKU", "OpenRMS")],
        ),
        sealed_key: EnablingBits {
            version: SealedKeyVersion::V2,
            bytes: vec![7; 336],
        },
        referral: None,
        content_id: Guid::from_random([2; 16]),
        owner: Object {
            id_type: "Unspecified".into(),
            ..Object::default()
        }
        .named("a@example.org"),
        encrypted_rights: (0..=255).cycle().take(rights_bytes).collect(),
        extra: Vec::new(),
    };
    let object = Object {
        kind: Some("Group-Identity".into()),
        id_type: "Windows".into(),
        id: "S-1-5-21-1-2-3-1000".into(),
        ..Object::default()
    };
    let author_identity =
        Identity::new(object.named("a@example.org"), author.public().clone(), &[]);
    let urls = ("https://rms.example.org/_wmcs/licensing", None);
    content.sign(&author_identity, urls, author, HashAlgorithm::Sha256)
}

const ROUNDS: u32 = 200;
