//! The list of a channel's files. It is read after its signature was verified; a publisher's key that
//! was stolen must not be more than that.
#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use openrms_server::repo::manifest::Manifest;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::parse(bytes) {
        for (path, sum) in manifest.files() {
            let mut parts = Path::new(path).components();
            assert!(parts.all(|part| matches!(part, Component::Normal(_))));
            assert_eq!(manifest.sum(path), Some(sum));
        }
    }
});
