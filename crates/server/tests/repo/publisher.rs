//! Channels for the tests, signed with a key of their own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openrms_crypto::sha256;

/// Whoever signs releases.
pub struct Publisher(KeyPair);

/// What stands above the files of a manifest.
#[derive(Clone, Copy)]
pub struct Heading {
    pub version: &'static str,
    pub serial: u64,
    pub expires: u64,
}

pub static PUBLISHER: LazyLock<Publisher> = LazyLock::new(|| Publisher::new(KeySize::Rsa3072));

pub const FIRST: Heading = Heading {
    version: "0.2.0",
    serial: 1_800_000_000,
    expires: 4_000_000_000,
};

impl Publisher {
    pub fn new(size: KeySize) -> Self {
        Self(KeyPair::generate(size).unwrap())
    }

    pub fn pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        let body = STANDARD.encode(der.as_ref());
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    }

    pub fn sign(&self, bytes: &[u8]) -> String {
        let mut signature = vec![0; self.0.public_modulus_len()];
        let random = SystemRandom::new();
        self.0
            .sign(&RSA_PKCS1_SHA256, &random, bytes, &mut signature)
            .unwrap();
        STANDARD.encode(signature) + "\n"
    }

    /// Writes the channel into a folder, and answers with it.
    pub fn publish(
        &self,
        folder: PathBuf,
        heading: Heading,
        files: &BTreeMap<&str, Vec<u8>>,
    ) -> PathBuf {
        let Heading {
            version,
            serial,
            expires,
        } = heading;
        let mut manifest = format!(
            "openrms-manifest 1\nversion: {version}\nserial: {serial}\nexpires: {expires}\n\n"
        );
        for (path, bytes) in files {
            let place = folder.join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, bytes).unwrap();
            for byte in sha256(bytes) {
                write!(manifest, "{byte:02x}").unwrap();
            }
            writeln!(manifest, "  {path}").unwrap();
        }
        self.sign_anew(&folder, &manifest);
        folder
    }

    /// With another manifest.
    pub fn sign_anew(&self, folder: &Path, manifest: &str) {
        fs::write(folder.join("openrms.manifest"), manifest).unwrap();
        let signature = self.sign(manifest.as_bytes());
        fs::write(folder.join("openrms.manifest.sig"), signature).unwrap();
    }
}

/// A small channel; its packages are made up.
pub fn files() -> BTreeMap<&'static str, Vec<u8>> {
    let large = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    BTreeMap::from([
        ("apt/dists/stable/InRelease", b"Origin: OpenRMS\n".to_vec()),
        ("apt/pool/openrms-client_0.2.0_amd64.deb", large),
        ("install.sh", b"#!/bin/sh\n".to_vec()),
        ("openrms-archive-keyring.gpg", vec![0x99, 0x01]),
        ("rpm/openrms-client-0.2.0-1.x86_64.rpm", b"rpm".to_vec()),
        ("rpm/repodata/repomd.xml", b"<repomd/>".to_vec()),
        ("windows/OpenRMS-0.2.0-x64.exe", b"MZ".to_vec()),
    ])
}

/// Everything in a folder, byte for byte; what a link leads to stands for it.
pub fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else {
            continue;
        };
        for entry in entries {
            let Ok(entry) = entry else { continue };
            // What is being made or removed meanwhile may be gone.
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else {
                continue;
            };
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_symlink() {
                let to = fs::read_link(&path).unwrap_or_default();
                found.insert(path, to.into_os_string().into_encoded_bytes());
            } else if let Ok(bytes) = fs::read(&path) {
                found.insert(path, bytes);
            }
        }
    }
    found
}
