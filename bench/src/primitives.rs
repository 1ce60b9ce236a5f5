//! What a license and a file are made of, in process: content ciphers against OpenSSL's serial CBC,
//! digests of licenses, strict parsing against the private-key operation it stands beside.

use std::process::Command;
use std::time::Duration;

use openrms_crypto::content::{KeyBits, decrypt_units, encrypt_units};
use openrms_crypto::{Cipher, ContentKey, Digest, HashAlgorithm, Mode, PrivateKey, SoftwareKey};
use openrms_xrml::rights::{Right, TimeCondition};
use openrms_xrml::rights_data::{Grantee, RightGrant, RightsDataRequest};
use openrms_xrml::{Guid, Node};

use crate::{Failure, clock};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds; the median is printed.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Fail when CBC4K encryption is below 5 times OpenSSL's serial CBC.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let key = ContentKey::generate(Cipher::Cbc4kNoPadding, KeyBits::Aes256)?;
    let mut buffer = vec![0x5A; 512 << 10];
    let mut ours = Vec::new();
    let mut opened = Vec::new();
    let mut serial = Vec::new();
    for _ in 0..options.rounds {
        let bytes = buffer.len() as f64;
        ours.push(bytes / clock::each(SHORT, || _ = encrypt_units(&key, 0, &mut buffer)) / 1e9);
        opened.push(bytes / clock::each(SHORT, || _ = decrypt_units(&key, 0, &mut buffer)) / 1e9);
        serial.extend(openssl_cbc());
    }
    let ours = clock::median(&mut ours);
    println!("CBC4K AES-256, 512 KiB in place");
    println!(
        "  encrypt {ours:.2} GB per CPU second, decrypt {:.2}",
        clock::median(&mut opened)
    );
    if serial.is_empty() {
        println!("  OpenSSL: no `openssl` program here to compare with");
    } else {
        let serial = clock::median(&mut serial);
        let ratio = ours / serial;
        println!("  OpenSSL aes-256-cbc, 4 KiB blocks: {serial:.2}; ratio {ratio:.1}");
        if options.check && ratio < 5.0 {
            return Err(format!("CBC4K is {ratio:.1} times serial CBC, the goal is 5").into());
        }
    }

    let text = license_text()?;
    let private = SoftwareKey::generate(Mode::Two)?;
    let digest = Digest::of(HashAlgorithm::Sha256, b"x");
    let mut figures: [Vec<f64>; 3] = Default::default();
    for _ in 0..options.rounds {
        figures[0].push(clock::each(SHORT, || _ = private.sign(&digest)));
        figures[1].push(clock::each(SHORT, || _ = Node::parse(text.as_str())));
        figures[2].push(clock::each(SHORT, || {
            std::hint::black_box(Digest::of_utf16le(HashAlgorithm::Sha256, &text));
        }));
    }
    let [sign, parse, hash] = figures.map(|mut figures| clock::median(&mut figures) * 1e6);
    println!("license text of {} bytes", text.len());
    println!(
        "  RSA-2048 private-key operation {sign:.1} us (P = {:.0})",
        1e6 / sign
    );
    println!(
        "  strict parse {parse:.1} us, {:.2} operations",
        parse / sign
    );
    println!(
        "  SHA-256 over UTF-16LE {hash:.1} us, {:.2} operations",
        hash / sign
    );
    Ok(())
}

/// What OpenSSL's own speed program says, in GB per CPU second.
fn openssl_cbc() -> Option<f64> {
    let output = Command::new("openssl")
        .args([
            "speed",
            "-evp",
            "aes-256-cbc",
            "-bytes",
            "4096",
            "-seconds",
            "1",
            "-mr",
        ])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("+F:"))?;
    Some(line.rsplit(':').next()?.trim().parse::<f64>().ok()? / 1e9)
}

/// Rights data as large as those of a busy license: parsed like any node.
fn license_text() -> Result<String, Failure> {
    let grants = (0..60).map(|n| {
        let who = Grantee::Address(format!("person{n}@bench.example"));
        RightGrant::new(Right::new(if n % 2 == 0 { "VIEW" } else { "REPLY" }), who)
    });
    Ok(RightsDataRequest {
        issued: crate::people::now(),
        descriptor: None,
        referral: None,
        content_id: Guid::from_random(openrms_crypto::random::guid_bytes()?),
        owner: Grantee::Address("author@bench.example".into()).object(),
        precondition: TimeCondition::default(),
        grants: grants.collect(),
        app_data: Vec::new(),
        policy_lists: Vec::new(),
    }
    .text())
}

const SHORT: Duration = Duration::from_millis(60);
