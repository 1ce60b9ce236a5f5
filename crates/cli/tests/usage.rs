//! The command line itself: help texts, wrong usage, exit codes and the shape of errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::rms;

#[test]
fn every_command_has_a_help_text_with_examples_of_its_arguments() {
    fn visit(command: &clap::Command, path: &[String]) {
        let mut arguments = path.to_vec();
        arguments.push("--help".to_owned());
        let run = rms(&arguments);
        assert_eq!(run.code, 0, "{path:?}");
        assert!(run.out.contains("Usage:"), "{path:?}");
        assert!(
            command.get_about().is_some(),
            "{path:?} says not what it does"
        );
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "{path:?} {} has no help",
                argument.get_id()
            );
        }
        for sub in command.get_subcommands() {
            let mut deeper = path.to_vec();
            deeper.push(sub.get_name().to_owned());
            visit(sub, &deeper);
        }
    }
    visit(&openrms_cli::command(), &[]);
}

#[test]
fn the_definition_of_the_command_line_is_sound() {
    openrms_cli::command().debug_assert();
}

#[test]
fn wrong_usage_is_exit_2() {
    for arguments in [
        &["inspect"][..],
        &["no-such"],
        &["inspect", "--no-such", "x"],
        &[],
    ] {
        let run = rms(arguments);
        assert_eq!(run.code, 2, "{arguments:?}");
        assert!(run.out.is_empty() && !run.err.is_empty(), "{arguments:?}");
    }
    let run = rms(["inspect", "--json"]);
    assert_eq!((run.code, run.error_code().as_str()), (2, "usage"));
    let error = &run.json()["error"];
    assert!(
        error["message"].as_str().unwrap().contains("FILE"),
        "{error}"
    );
    assert!(error["hint"].is_string());
}

#[test]
fn a_missing_file_is_exit_1_and_a_plain_one_exit_6() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain.txt");
    let name = path.to_str().unwrap();
    let run = rms(["inspect", "--json", name]);
    assert_eq!((run.code, run.error_code().as_str()), (1, "not-found"));
    std::fs::write(&path, "twenty bytes of text").unwrap();
    let run = rms(["inspect", "--json", name]);
    assert_eq!((run.code, run.error_code().as_str()), (6, "not-protected"));
    assert!(
        run.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("20 bytes")
    );
    let run = rms(["inspect", folder.path().to_str().unwrap()]);
    assert_eq!(run.code, 1);
}

#[test]
fn many_files_are_answered_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map");
    let stream = openrms_formats::dataspaces::DataSpaceMap::single("EncryptedPackage", "space");
    std::fs::write(&path, stream.to_bytes()).unwrap();
    let name = path.to_str().unwrap();
    let run = rms(["inspect", "--json", name, name]);
    assert_eq!(run.code, 0);
    assert_eq!(
        run.json()[1]["details"]["entries"][0]["data_space"],
        "space"
    );
    let run = rms(["inspect", "--json", name, "/no/such/file"]);
    assert_eq!((run.code, run.error_code().as_str()), (1, "not-found"));
    assert_eq!(run.json()["files"][0]["format"], "ooxml");
    assert_eq!(run.json()["files"][1]["error"]["code"], "not-found");
}

#[test]
fn whole_office_documents_are_inspected() {
    use openrms_formats::compound::{Family, write};
    let Some(corpus) = common::corpus() else {
        return;
    };
    let license = std::fs::read(corpus.join("spec/pl.xml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let formats = [
        (Family::OfficeXml, "ooxml", "EncryptedPackage"),
        (Family::OfficeBinary, "office-binary", "\tDRMContent"),
        (Family::Envelope, "xps", "EncryptedPackage"),
    ];
    for (family, format, stream) in formats {
        let path = folder.path().join(format);
        let file = std::fs::File::create_new(&path).unwrap();
        write(file, family, &license, 20, &[0xCC; 32][..]).unwrap();
        let run = rms(["inspect", "--json", path.to_str().unwrap()]);
        assert_eq!(run.code, 0, "{}", run.out);
        let document = run.json();
        assert_eq!(document["format"], format);
        assert_eq!(document["declared_length"], 20);
        assert_eq!(document["ciphertext_length"], 32);
        assert_eq!(document["details"]["content_stream"], stream);
        assert_eq!(document["license"]["owner"], "owner@contoso.com");
        assert_eq!(rms(["verify", path.to_str().unwrap()]).code, 0);
    }
}
