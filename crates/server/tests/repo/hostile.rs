//! Bundles and folders that are not what they should be: links, ways out, bombs, what comes twice.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use openrms_server::repo::{Limits, RepoError};
use tar::{Builder, EntryType, Header};

use crate::publisher::{FIRST, tree};
use crate::{NOW, Place, key};

/// What an error is to be.
type Verdict = fn(&RepoError) -> bool;

/// A tar file of a channel, with something added or left out.
fn bundle(place: &Place, edit: impl FnOnce(&mut Builder<File>)) -> PathBuf {
    let source = place.publish("channel", FIRST);
    let file = place.at("bundle.tar");
    let mut builder = Builder::new(File::create(&file).unwrap());
    for (path, bytes) in tree(&source) {
        let path = path.strip_prefix(&source).unwrap();
        add(
            &mut builder,
            path.to_str().unwrap(),
            EntryType::Regular,
            &bytes,
        );
    }
    edit(&mut builder);
    builder.finish().unwrap();
    file
}

fn add(builder: &mut Builder<File>, path: &str, kind: EntryType, bytes: &[u8]) {
    let mut header = Header::new_ustar();
    // As a hostile one has it: the library itself writes no such names.
    let name = &mut header.as_old_mut().name;
    name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    if matches!(kind, EntryType::Symlink | EntryType::Link) {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_cksum();
    builder.append(&header, bytes).unwrap();
}

#[test]
fn a_bundle_with_anything_but_the_files_of_its_manifest_is_refused() {
    let cases: [(&str, EntryType, Verdict); 13] = [
        ("../escaped", EntryType::Regular, is_not_listed),
        ("/escaped", EntryType::Regular, is_not_listed),
        ("apt/../../escaped", EntryType::Regular, is_not_listed),
        ("more.txt", EntryType::Regular, is_not_listed),
        (".hidden", EntryType::Regular, is_not_listed),
        ("install.sh", EntryType::Regular, is_malformed),
        ("install.sh", EntryType::Symlink, is_malformed),
        ("link", EntryType::Symlink, is_malformed),
        ("link", EntryType::Link, is_malformed),
        ("device", EntryType::Char, is_malformed),
        ("pipe", EntryType::Fifo, is_malformed),
        ("long", EntryType::GNULongName, is_malformed),
        ("pax", EntryType::XHeader, is_malformed),
    ];
    for (path, kind, expected) in cases {
        let place = Place::new();
        let file = bundle(&place, |builder| add(builder, path, kind, b"x"));
        let error = place.import(&file).unwrap_err();
        assert!(expected(&error), "{path}, {kind:?}: {error}");
        let escaped = [
            place.at("escaped"),
            place.at("repo/escaped"),
            "/escaped".into(),
        ];
        assert!(escaped.iter().all(|path| !path.exists()), "{path}");
        assert!(place.repository().current().unwrap().is_none());
    }
    // The folders of a bundle, whatever they are called, are not made for their own sake.
    let place = Place::new();
    let file = bundle(&place, |builder| {
        add(builder, "../../folder", EntryType::Directory, b"");
    });
    place.import(&file).unwrap();
    assert!(!place.at("folder").exists());
}

#[test]
fn a_bundle_that_is_cut_or_nothing_of_the_kind_is_refused() {
    let place = Place::new();
    let whole = fs::read(bundle(&place, |_| {})).unwrap();
    let file = place.at("cut.tar");
    let cuts = [
        0,
        1,
        511,
        512,
        513,
        1024,
        2048,
        whole.len() / 2,
        whole.len() - 2048,
    ];
    for length in cuts {
        fs::write(&file, &whole[..length]).unwrap();
        assert!(place.import(&file).is_err(), "{length}");
    }
    fs::write(&file, vec![0xff; 4096]).unwrap();
    assert!(is_malformed(&place.import(&file).unwrap_err()));
    assert!(place.import(Path::new("/nonexistent")).is_err());
    assert!(place.repository().current().unwrap().is_none());
}

#[test]
fn a_folder_with_links_or_something_missing_is_refused() {
    let place = Place::new();
    let source = place.publish("channel", FIRST);
    let script = source.join("install.sh");
    let kept = fs::read(&script).unwrap();
    fs::remove_file(&script).unwrap();
    assert!(
        matches!(place.import(&source), Err(RepoError::FileMissing(path)) if path == "install.sh")
    );
    // The same bytes, but elsewhere.
    fs::write(place.at("elsewhere"), &kept).unwrap();
    std::os::unix::fs::symlink(place.at("elsewhere"), &script).unwrap();
    assert!(is_not_listed(&place.import(&source).unwrap_err()));
    fs::remove_file(&script).unwrap();
    fs::write(&script, &kept).unwrap();
    std::os::unix::fs::symlink("/etc", source.join("etc")).unwrap();
    assert!(is_not_listed(&place.import(&source).unwrap_err()));
    fs::remove_file(source.join("etc")).unwrap();
    fs::remove_file(source.join("openrms.manifest.sig")).unwrap();
    assert!(matches!(
        place.import(&source),
        Err(RepoError::FileMissing(_))
    ));
    std::os::unix::fs::symlink(place.at("elsewhere"), source.join("openrms.manifest.sig")).unwrap();
    assert!(matches!(place.import(&source), Err(RepoError::Io(..))));
}

#[test]
fn bombs_stop_at_the_bounds_and_leave_nothing_behind() {
    let place = Place::new();
    let source = place.publish("channel", FIRST);
    for limits in [
        Limits {
            file_bytes: 1000,
            all_bytes: 1 << 30,
        },
        Limits {
            file_bytes: 1 << 30,
            all_bytes: 1000,
        },
    ] {
        let repository = place.repository().with_limits(limits);
        let error = repository.import(&source, &key(), NOW).unwrap_err();
        assert!(matches!(error, RepoError::TooLarge(..)), "{error}");
        assert!(tree(&place.at("repo")).is_empty());
    }
    // A manifest that is announced with terabytes, and one that has too many.
    let huge = place.at("huge.tar");
    let mut file = File::create(&huge).unwrap();
    let mut header = Header::new_ustar();
    header.set_path("openrms.manifest").unwrap();
    header.set_size(1 << 42);
    header.set_cksum();
    file.write_all(header.as_bytes()).unwrap();
    file.write_all(&vec![b'a'; 5 << 20]).unwrap();
    let error = place.import(&huge).unwrap_err();
    assert!(matches!(error, RepoError::TooLarge(..)), "{error}");
    fs::write(source.join("openrms.manifest"), vec![b'a'; 5 << 20]).unwrap();
    let error = place.import(&source).unwrap_err();
    assert!(matches!(error, RepoError::TooLarge(..)), "{error}");
    // More entries than any channel has.
    let file = place.at("many.tar");
    let mut builder = Builder::new(File::create(&file).unwrap());
    for number in 0..50_000 {
        add(
            &mut builder,
            &format!("d{number}"),
            EntryType::Directory,
            b"",
        );
    }
    builder.finish().unwrap();
    assert!(is_malformed(&place.import(&file).unwrap_err()));
}

fn is_not_listed(error: &RepoError) -> bool {
    matches!(error, RepoError::NotListed(_))
}

fn is_malformed(error: &RepoError) -> bool {
    matches!(error, RepoError::Bundle(_))
}
