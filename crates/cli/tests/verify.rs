//! `rms verify` on copies of genuine files that somebody tampered with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{corpus, rms};
use openrms_xrml::values::{decode_base64, encode_base64};

#[test]
fn a_changed_byte_fails_the_digest_of_a_bare_license() {
    let Some(corpus) = corpus() else { return };
    let text = fs::read_to_string(corpus.join("spec/pl.xml")).unwrap();
    let changed = text.replacen("owner@contoso.com", "0wner@contoso.com", 1);
    refused(&changed.into_bytes(), "pl.xml");
}

#[test]
fn a_changed_byte_fails_the_digest_of_a_pfile() {
    let Some(corpus) = corpus() else { return };
    let mut bytes = fs::read(corpus.join("pfile/CleanAlice.txt.pfile")).unwrap();
    let at = find(&bytes, b"alice@isvtenant999");
    bytes[at] = b'A';
    refused(&bytes, "a.pfile");
}

#[test]
fn a_blank_between_tags_fails_the_digest() {
    let Some(corpus) = corpus() else { return };
    let text = fs::read_to_string(corpus.join("spec/rac.xml")).unwrap();
    refused(
        text.replacen("</ISSUEDTIME><", "</ISSUEDTIME> <", 1)
            .as_bytes(),
        "rac.xml",
    );

    let bytes = fs::read(corpus.join("pfile/CleanAlice.txt.pfile")).unwrap();
    refused(
        &with_license(&bytes, |text| {
            text.replacen("</ISSUEDTIME><", "</ISSUEDTIME> <", 1)
        }),
        "a.pfile",
    );
}

#[test]
fn a_reversed_signature_is_refused() {
    let Some(corpus) = corpus() else { return };
    let text = fs::read_to_string(corpus.join("spec/clc.xml")).unwrap();
    let json = refused(reverse_signature(&text).as_bytes(), "clc.xml");
    assert_eq!(json["nodes"][0]["digest_ok"], true);
    assert_eq!(json["nodes"][0]["signature_ok"], false);

    let bytes = fs::read(corpus.join("pfile/AliceBvt.txt.pfile")).unwrap();
    refused(&with_license(&bytes, reverse_signature), "a.pfile");
}

#[test]
fn a_change_that_makes_a_field_unreadable_is_a_change_all_the_same() {
    let Some(corpus) = corpus() else { return };
    let text = fs::read_to_string(corpus.join("spec/pl.xml")).unwrap();
    for (old, new) in [
        ("2010-06-11T21:41", "2010-06-11X21:41"),
        ("sealed-key", "sealed-kez"),
    ] {
        assert!(text.contains(old));
        let (_folder, path) = copy(text.replacen(old, new, 1).as_bytes(), "pl.xml");
        let run = rms(["verify", "--json", path.to_str().unwrap()]);
        assert_eq!(
            (run.code, run.error_code().as_str()),
            (4, "signature"),
            "{}",
            run.out
        );
        assert_eq!(rms(["inspect", path.to_str().unwrap()]).code, 6);
    }
}

#[test]
fn every_bit_of_the_signed_text_counts() {
    let Some(corpus) = corpus() else { return };
    let bytes = fs::read(corpus.join("spec/clc.xml")).unwrap();
    let body = find(&bytes, b"<BODY")..find(&bytes, b"</BODY>");
    for at in body.step_by(97) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let (_folder, path) = copy(&changed, "clc.xml");
        let code = rms([Path::new("verify"), &path]).code;
        // A changed character may also make the text unreadable.
        assert!(code == 4 || code == 6, "byte {at}: exit {code}");
    }
}

#[test]
fn a_template_nobody_signed_is_refused_and_rights_data_are_unsigned() {
    let Some(corpus) = corpus() else { return };
    let path = corpus.join("spec/template.xml");
    let run = rms(["verify", "--json", path.to_str().unwrap()]);
    assert_eq!((run.code, run.error_code().as_str()), (4, "signature"));
    let path = corpus.join("spec/erd-plain.xml");
    let run = rms(["verify", "--json", path.to_str().unwrap()]);
    assert_eq!((run.code, run.error_code().as_str()), (4, "unsigned"));
    assert!(
        run.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("unsigned")
    );
}

#[test]
fn a_cut_file_is_malformed() {
    let Some(corpus) = corpus() else { return };
    let bytes = fs::read(corpus.join("spec/pl.xml")).unwrap();
    let (_folder, path) = copy(&bytes[..bytes.len() / 2], "pl.xml");
    assert_eq!(rms([Path::new("verify"), &path]).code, 6);
    let bytes = fs::read(corpus.join("pfile/AliceBvt.txt.pfile")).unwrap();
    for length in [7, 20, 400, 470, 40_000] {
        let (_folder, path) = copy(&bytes[..length], "a.pfile");
        let run = rms(["verify", "--json", path.to_str().unwrap()]);
        assert_eq!(run.code, 6, "{length} bytes: {}", run.out);
    }
}

#[test]
fn one_bad_file_among_good_ones_decides_the_exit_code() {
    let Some(corpus) = corpus() else { return };
    let good = corpus.join("spec/pl.xml");
    let bad = corpus.join("spec/template.xml");
    let run = rms([
        "verify",
        "--json",
        good.to_str().unwrap(),
        bad.to_str().unwrap(),
    ]);
    assert_eq!(run.code, 4);
    assert_eq!(run.json()["files"][0]["ok"], true);
    assert_eq!(run.json()["files"][1]["ok"], false);
}

/// Checks that `verify` says exit 4 of these bytes; gives what it says.
fn refused(bytes: &[u8], name: &str) -> serde_json::Value {
    let (_folder, path) = copy(bytes, name);
    let run = rms(["verify", "--json", path.to_str().unwrap()]);
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (4, "signature"),
        "{}",
        run.out
    );
    assert_eq!(run.json()["ok"], false);
    run.json()
}

fn copy(bytes: &[u8], name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn find(bytes: &[u8], needle: &[u8]) -> usize {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
        .unwrap()
}

/// Turns the bytes of the last VALUE of a license, its signature, round.
fn reverse_signature(text: &str) -> String {
    let end = text.rfind("</VALUE></SIGNATURE>").unwrap();
    let start = text[..end].rfind('>').unwrap() + 1;
    let mut value = decode_base64(&text[start..end]).unwrap();
    value.reverse();
    format!(
        "{}{}{}",
        &text[..start],
        encode_base64(&value),
        &text[end..]
    )
}

/// A pfile 3.0 with a changed license, its header put right.
fn with_license(pfile: &[u8], change: impl Fn(&str) -> String) -> Vec<u8> {
    let u32_at = |at: usize| u32::from_le_bytes(pfile[at..at + 4].try_into().unwrap()) as usize;
    let block = 18 + u32_at(14);
    let (at, length, content) = (u32_at(block + 12), u32_at(block + 16), u32_at(block + 20));
    let license = change(std::str::from_utf8(&pfile[at..at + length]).unwrap());
    let mut out = pfile[..at].to_vec();
    out.extend(license.as_bytes());
    out.extend(&pfile[content..]);
    let mut put = |at: usize, value: usize| {
        out[at..at + 4].copy_from_slice(&u32::try_from(value).unwrap().to_le_bytes());
    };
    put(block + 16, license.len());
    put(block + 20, at + license.len());
    put(block + 32, at + license.len());
    out
}
