//! `openrms.manifest`, the signed list of all files of a channel: which version it is, when it was
//! signed, until when it counts, and the SHA-256 of each file.
//!
//! ```text
//! openrms-manifest 1
//! version: 0.2.0
//! serial: 1798761600
//! expires: 1806537600
//!
//! 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae  apt/pool/a.deb
//! ```
//!
//! The signature beside it (`openrms.manifest.sig`) is RSASSA-PKCS1-v1_5 with SHA-256, in base64.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openrms_crypto::{Digest, HashAlgorithm, PublicKey};
use openrms_store::ProductVersion;
use openrms_xrml::Time;

/// A manifest that was read. Whether anybody signed it is [`Manifest::verify`]'s to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    version: Version,
    serial: u64,
    expires: u64,
    files: BTreeMap<String, Sha256Sum>,
}

/// The SHA-256 of a file.
pub type Sha256Sum = [u8; 32];

/// The version of the packages of a channel, compared by its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    text: String,
    number: ProductVersion,
}

/// The public key by which releases are known: RSA of at least 3072 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseKey(PublicKey);

/// Why a manifest is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// A line is not what it is to be. Lines count from 1.
    #[error("line {line} of the manifest: {reason}")]
    Line {
        /// Which.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It is longer than any channel's.
    #[error("the manifest is longer than {MOST_BYTES} bytes")]
    TooLong,
    /// The signature is not the release key's over these bytes.
    #[error("the manifest is not signed with the release key {0}")]
    Forged(String),
}

/// Why a release key is none.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseKeyError {
    /// It cannot be read.
    #[error("it is no RSA public key in PEM: {0}")]
    Unreadable(#[from] openrms_crypto::rsa::PublicKeyError),
    /// It is too short to be believed for years.
    #[error("it has {0} bits, fewer than {LEAST_KEY_BITS}")]
    Short(usize),
}

impl Manifest {
    /// Its name in a channel.
    pub const FILE: &'static str = "openrms.manifest";
    /// The name of its signature under the release key.
    pub const SIGNATURE: &'static str = "openrms.manifest.sig";
    /// The name of its `OpenPGP` signature, which the tools of bare systems verify.
    pub const OPENPGP_SIGNATURE: &'static str = "openrms.manifest.asc";

    /// Reads a manifest after its signature was verified over the same bytes.
    pub fn verify(bytes: &[u8], signature: &[u8], key: &ReleaseKey) -> Result<Self, ManifestError> {
        if bytes.len() > MOST_BYTES {
            return Err(ManifestError::TooLong);
        }
        let forged = || ManifestError::Forged(key.0.fingerprint_hex());
        let signature = STANDARD
            .decode(signature.trim_ascii())
            .map_err(|_| forged())?;
        let digest = Digest::of(HashAlgorithm::Sha256, bytes);
        key.0.verify(&digest, &signature).map_err(|_| forged())?;
        Self::parse(bytes)
    }

    /// Reads a manifest, whoever wrote it.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MOST_BYTES {
            return Err(ManifestError::TooLong);
        }
        let mut lines = Lines::new(bytes);
        if lines.next()? != FIRST_LINE {
            return Err(lines.wrong("it does not begin with `openrms-manifest 1`"));
        }
        let version = lines.header("version: ", "`version: ` is missing")?;
        let version = Version::parse(version).ok_or(lines.wrong("this is no version"))?;
        let serial = lines.header("serial: ", "`serial: ` is missing")?;
        let serial = seconds(serial).ok_or(lines.wrong("this is no number of seconds"))?;
        let expires = lines.header("expires: ", "`expires: ` is missing")?;
        let expires = seconds(expires).ok_or(lines.wrong("this is no number of seconds"))?;
        if !lines.next()?.is_empty() {
            return Err(lines.wrong("an empty line comes after the headers"));
        }
        let mut files: BTreeMap<String, Sha256Sum> = BTreeMap::new();
        while !lines.at_end() {
            let (sum, path) = lines
                .next()?
                .split_once("  ")
                .ok_or(lines.wrong("a hash and a path have two spaces between them"))?;
            let sum = sha256_sum(sum).ok_or(lines.wrong("this is no SHA-256"))?;
            if !is_path(path) {
                return Err(lines.wrong("this path may not be in a channel"));
            }
            let last = files.last_key_value();
            if last.is_some_and(|(last, _)| last.as_str() >= path) {
                return Err(lines.wrong("the paths are not in order, or one comes twice"));
            }
            if folders(path).any(|folder| files.contains_key(folder)) {
                return Err(lines.wrong("this path lies below a file"));
            }
            if files.len() == MOST_FILES {
                return Err(lines.wrong("there are more files than a channel has"));
            }
            files.insert(path.to_owned(), sum);
        }
        Ok(Self {
            version,
            serial,
            expires,
            files,
        })
    }

    /// The version of the packages.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// When it was signed, in seconds since 1970; each publication has a higher one.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// From when on it does not count any more.
    pub fn expires(&self) -> Time {
        Time::from_unix(i64::try_from(self.expires).unwrap_or(i64::MAX))
    }

    /// Whether it does not count any more.
    pub fn is_expired(&self, now: Time) -> bool {
        self.expires() <= now
    }

    /// The files by path, in order.
    pub fn files(&self) -> impl ExactSizeIterator<Item = (&str, &Sha256Sum)> {
        self.files.iter().map(|(path, sum)| (path.as_str(), sum))
    }

    /// The hash of a file; none when the channel does not have it.
    pub fn sum(&self, path: &str) -> Option<&Sha256Sum> {
        self.files.get(path)
    }
}

impl Version {
    /// Reads `MAJOR.MINOR.PATCH`, perhaps with a suffix after `-`, `+` or `~` that is not compared.
    pub fn parse(text: &str) -> Option<Self> {
        let may = |byte: u8| byte.is_ascii_alphanumeric() || b".-+~".contains(&byte);
        if text.len() > LONGEST_VERSION || !text.bytes().all(may) {
            return None;
        }
        let number = text.split(['-', '+', '~']).next()?.parse().ok()?;
        Some(Self {
            text: text.to_owned(),
            number,
        })
    }

    /// Whether it comes before another.
    pub fn is_before(&self, other: &Self) -> bool {
        self.number < other.number
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl ReleaseKey {
    /// Reads it from PEM (`SubjectPublicKeyInfo`).
    pub fn from_pem(pem: &str) -> Result<Self, ReleaseKeyError> {
        let key = PublicKey::from_pem(pem)?;
        if key.bits() < LEAST_KEY_BITS {
            return Err(ReleaseKeyError::Short(key.bits()));
        }
        Ok(Self(key))
    }
}

/// Lines that are counted, each ended by a line feed.
struct Lines<'m> {
    rest: &'m [u8],
    line: usize,
}

impl<'m> Lines<'m> {
    fn new(rest: &'m [u8]) -> Self {
        Self { rest, line: 0 }
    }

    fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn next(&mut self) -> Result<&'m str, ManifestError> {
        self.line += 1;
        let end = self.rest.iter().position(|&byte| byte == b'\n');
        let (line, rest) = end
            .and_then(|end| self.rest.split_at_checked(end))
            .ok_or(self.wrong("it does not end with a line feed"))?;
        self.rest = rest.get(1..).unwrap_or_default();
        if line.len() > LONGEST_LINE {
            return Err(self.wrong("it is longer than any line"));
        }
        std::str::from_utf8(line).map_err(|_| self.wrong("it is not UTF-8"))
    }

    fn header(
        &mut self,
        name: &'static str,
        missing: &'static str,
    ) -> Result<&'m str, ManifestError> {
        self.next()?.strip_prefix(name).ok_or(self.wrong(missing))
    }

    fn wrong(&self, reason: &'static str) -> ManifestError {
        ManifestError::Line {
            line: self.line,
            reason,
        }
    }
}

/// A decimal number in its one spelling, as far as clocks of this century go.
fn seconds(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || text.is_empty() || text.len() > 12 || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok()
}

fn sha256_sum(text: &str) -> Option<Sha256Sum> {
    let mut sum = [0; 32];
    if text.len() != 64 {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    for (to, pair) in sum.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *to = digit(high)? << 4 | digit(low)?;
    }
    Some(sum)
}

/// Whether a path may be in a channel: it stays inside, means the same everywhere, and is none of the
/// manifest's own.
fn is_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+~-/".contains(&byte);
    let own = [
        Manifest::FILE,
        Manifest::SIGNATURE,
        Manifest::OPENPGP_SIGNATURE,
    ];
    path.len() <= LONGEST_PATH
        && path.bytes().all(plain)
        && path
            .split('/')
            .all(|part| !matches!(part, "" | "." | "..") && part.len() <= LONGEST_NAME)
        && !own.contains(&path)
}

/// The folders that a path goes through.
fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(at, _)| path.get(..at))
}

const FIRST_LINE: &str = "openrms-manifest 1";
/// Bytes of a manifest.
pub(super) const MOST_BYTES: usize = 4 << 20;
/// Files of a channel.
pub(super) const MOST_FILES: usize = 10_000;
/// What the headers of tar files hold without an extension.
pub(super) const LONGEST_PATH: usize = 150;
const LONGEST_NAME: usize = 100;
const LONGEST_LINE: usize = 64 + 2 + LONGEST_PATH;
const LONGEST_VERSION: usize = 64;
const LEAST_KEY_BITS: usize = 3072;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SUM: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

    fn manifest(files: &str) -> String {
        format!("{FIRST_LINE}\nversion: 0.2.0\nserial: 17\nexpires: 18\n\n{files}")
    }

    #[test]
    fn a_manifest_is_read() {
        let text = manifest(&format!("{SUM}  a/b-1~rc+2.deb\n{SUM}  a_c\n"));
        let read = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(read.version().to_string(), "0.2.0");
        assert_eq!((read.serial(), read.expires().unix()), (17, 18));
        let paths: Vec<_> = read.files().map(|(path, _)| path).collect();
        assert_eq!(paths, ["a/b-1~rc+2.deb", "a_c"]);
        assert_eq!(read.sum("a_c").unwrap()[..2], [0x2c, 0x26]);
        assert_eq!(read.sum("b"), None);
        assert!(!read.is_expired(Time::from_unix(17)) && read.is_expired(Time::from_unix(18)));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let good = manifest(&format!("{SUM}  a\n"));
        let with = |from: &str, to: &str| good.replacen(from, to, 1);
        let file = |path: &str| manifest(&format!("{SUM}  {path}\n"));
        let two = |one: &str, two: &str| manifest(&format!("{SUM}  {one}\n{SUM}  {two}\n"));
        for (text, line) in [
            (String::new(), 1),
            (with("manifest 1", "manifest 2"), 1),
            (with("version: ", "Version: "), 2),
            (with("0.2.0", "0.2.0/.."), 2),
            (with("0.2.0", ""), 2),
            (with("17", "017"), 3),
            (with("17", "+17"), 3),
            (with("17", ""), 3),
            (with("17", "9999999999999"), 3),
            (with("18", "18 "), 4),
            (with("18\n\n", "18\n\n\n"), 6),
            (with("18\n\n", "18\nmore: 1\n\n"), 5),
            (with("\n\n", "\n"), 5),
            (with("  a", " a"), 6),
            (with("2c26", "2C26"), 6),
            (with("2c26", "c26"), 6),
            (good.trim_end().to_owned(), 6),
            (good.replace('\n', "\r\n"), 1),
            (file("/etc/passwd"), 6),
            (file("../a"), 6),
            (file("a/../b"), 6),
            (file("a/./b"), 6),
            (file("a//b"), 6),
            (file("a/"), 6),
            (file(""), 6),
            (file("a b"), 6),
            (file("a\\b"), 6),
            (file("ä"), 6),
            (file("openrms.manifest.sig"), 6),
            (file(&"x".repeat(LONGEST_NAME + 1)), 6),
            (file(&"x/".repeat(LONGEST_PATH / 2 + 1)), 6),
            (two("b", "a"), 7),
            (two("a", "a"), 7),
            (two("a", "a/b"), 7),
        ] {
            match Manifest::parse(text.as_bytes()) {
                Err(ManifestError::Line { line: found, .. }) => assert_eq!(found, line, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        let long = vec![b'\n'; MOST_BYTES + 1];
        assert_eq!(Manifest::parse(&long), Err(ManifestError::TooLong));
        let line = |number: usize| [SUM, "  ", &format!("{number:06}"), "\n"].concat();
        let many: Vec<_> = (0..=MOST_FILES).map(line).collect();
        let many = many.concat();
        assert!(Manifest::parse(manifest(&many).as_bytes()).is_err());
    }

    #[test]
    fn a_file_is_in_the_way_of_a_folder_also_when_others_stand_between() {
        // In the order of bytes `a-` and `a.` come before `a/`.
        let text = manifest(&format!("{SUM}  a\n{SUM}  a-\n{SUM}  a/b\n"));
        assert!(Manifest::parse(text.as_bytes()).is_err());
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("0.9.0").is_before(&version("0.10.0")));
        assert!(!version("0.2.0").is_before(&version("0.2.0")));
        assert!(!version("0.2.0~rc1").is_before(&version("0.2.0")));
        for wrong in ["", "x", "1.2.3.4.5", "1 ", "-1"] {
            assert_eq!(Version::parse(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_has_paths_that_stay_inside(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            path in "[a./_-]{1,12}",
        ) {
            for text in [bytes, manifest(&format!("{SUM}  {path}\n")).into_bytes()] {
                if let Ok(read) = Manifest::parse(&text) {
                    for (path, _) in read.files() {
                        let plain = std::path::Path::new(path).components().all(
                            |part| matches!(part, std::path::Component::Normal(_)));
                        prop_assert!(plain && !path.is_empty());
                    }
                }
            }
        }
    }
}
