//! How fast content is enciphered on one core, against AWS-LC doing the units of CBC4K one after
//! the other: `cargo run --release -p openrms-crypto --example cipher_speed`.
//!
//! The two take turns in one process, in CPU time where the system tells it, and medians of the
//! rounds are compared: on a shared machine only the ratio means something.

use std::time::Instant;

use aws_lc_rs::cipher::{
    AES_128, AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext,
    UnboundCipherKey,
};
use openrms_crypto::content::{self, Cipher, ContentKey, KeyBits};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("hardware AES: {}", aes::hardware_accelerated());
    println!(
        "{:<24} {:>9} {:>9} {:>9} {:>7}",
        "", "bytes", "ours", "serial", "ratio"
    );
    for bits in [KeyBits::Aes128, KeyBits::Aes256] {
        let key = ContentKey::generate(Cipher::Cbc4kNoPadding, bits)?;
        let algorithm = if bits == KeyBits::Aes128 {
            &AES_128
        } else {
            &AES_256
        };
        let raw = || UnboundCipherKey::new(algorithm, key.expose());
        let encrypting = EncryptingKey::cbc(raw()?)?;
        let decrypting = DecryptingKey::cbc(raw()?)?;
        for len in LENGTHS {
            let mut buffer = vec![0x5A; len];
            let (mut ours, mut serial) = (Vec::new(), Vec::new());
            let (mut ours_back, mut serial_back) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                ours.push(rate(&mut buffer, |buffer| {
                    content::encrypt_units(&key, 0, buffer).is_ok()
                }));
                serial.push(rate(&mut buffer, |buffer| {
                    buffer.chunks_mut(UNIT).zip(0u128..).all(|(unit, number)| {
                        let iv = EncryptionContext::Iv128((&number.to_le_bytes()).into());
                        encrypting.less_safe_encrypt(unit, iv).is_ok()
                    })
                }));
                ours_back.push(rate(&mut buffer, |buffer| {
                    content::decrypt_units(&key, 0, buffer).is_ok()
                }));
                serial_back.push(rate(&mut buffer, |buffer| {
                    buffer.chunks_mut(UNIT).zip(0u128..).all(|(unit, number)| {
                        let iv = DecryptionContext::Iv128((&number.to_le_bytes()).into());
                        decrypting.decrypt(unit, iv).is_ok()
                    })
                }));
            }
            report(&format!("{bits:?} CBC4K encrypt"), len, ours, serial);
            report(
                &format!("{bits:?} CBC4K decrypt"),
                len,
                ours_back,
                serial_back,
            );
        }
    }
    Ok(())
}

/// GB per CPU-second of `work` over `buffer`, repeated until the clock's coarseness is small.
fn rate(buffer: &mut [u8], work: impl Fn(&mut [u8]) -> bool) -> f64 {
    let (start, cpu) = (Instant::now(), cpu_nanoseconds());
    let mut bytes = 0;
    while start.elapsed().as_millis() < 60 {
        assert!(work(buffer), "the cipher failed");
        bytes += buffer.len();
    }
    let wall = start.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss)]
    let seconds = match (cpu, cpu_nanoseconds()) {
        (Some(from), Some(to)) if to > from => (to - from) as f64 / 1e9,
        _ => wall,
    };
    #[allow(clippy::cast_precision_loss)]
    let bytes = bytes as f64;
    bytes / seconds / 1e9
}

/// Time this thread has spent on a core, where Linux tells it.
fn cpu_nanoseconds() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

fn report(name: &str, len: usize, ours: Vec<f64>, serial: Vec<f64>) {
    let (ours, serial) = (median(ours), median(serial));
    println!(
        "{name:<24} {len:>9} {ours:>9.2} {serial:>9.2} {:>6.1}x",
        ours / serial
    );
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

const UNIT: usize = 4096;
const LENGTHS: [usize; 5] = [UNIT, 8 * UNIT, 24 * UNIT, 128 * UNIT, 16_384 * UNIT];
const ROUNDS: usize = 5;
