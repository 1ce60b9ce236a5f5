//! Secrets of a server: the password of the cluster or the PIN of its security module, which open
//! its keys, and the passwords that it signs in with elsewhere. From a file, a credential of the service manager, or a person; never from a command
//! line, which every user of the machine can read.

use std::io;
use std::path::{Path, PathBuf};

use console::Term;
use openrms_crypto::Secret;
use zeroize::Zeroizing;

use crate::files;

/// Where the secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Credential {
    /// Nowhere: enough for keys that a key file protects.
    #[default]
    None,
    /// This file, also one that the service manager hands over. Line ends at its end do not count.
    File(PathBuf),
    /// Whoever sits at the terminal.
    Prompt,
    /// Whoever called gave it.
    Given(Secret),
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// Nothing was said about where it comes from.
    #[error("no password or PIN is configured, and nobody can be asked")]
    None,
    /// The file cannot be read.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    /// Nothing can be read from the terminal.
    #[error("the terminal: {0}")]
    Terminal(io::Error),
    /// It is no text.
    #[error("the password from {0} is not UTF-8")]
    NotText(String),
    /// There is nothing in it.
    #[error("the password or PIN from {0} is empty")]
    Empty(String),
}

impl Credential {
    /// The file that it is in, if it is in one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::None | Self::Prompt | Self::Given(_) => None,
        }
    }

    /// As [`Credential::read`], of something that is text.
    pub(crate) fn read_text(&self, what: &str) -> Result<Zeroizing<String>, CredentialError> {
        let secret = self.read(what)?;
        let text =
            std::str::from_utf8(&secret).map_err(|_| CredentialError::NotText(self.to_string()))?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// The secret; `what` is asked for at a terminal.
    pub fn read(&self, what: &str) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
        let secret = match self {
            Self::None => return Err(CredentialError::None),
            Self::File(path) => from_file(path)?,
            Self::Prompt => ask(what).map_err(CredentialError::Terminal)?,
            Self::Given(secret) => Zeroizing::new(secret.expose().to_vec()),
        };
        if secret.is_empty() {
            return Err(CredentialError::Empty(self.to_string()));
        }
        Ok(secret)
    }
}

impl std::fmt::Display for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("nowhere"),
            Self::File(path) => path.display().fmt(f),
            Self::Prompt => f.write_str("the terminal"),
            Self::Given(_) => f.write_str("the caller"),
        }
    }
}

/// Asks somebody at the terminal, who does not see what they type.
pub(crate) fn ask(what: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let term = Term::stderr();
    term.write_str(&format!("{what}: "))?;
    Ok(Zeroizing::new(term.read_secure_line()?.into_bytes()))
}

/// Why a new password is too weak to guard the keys of a cluster; none when it is not. Whoever
/// gets hold of the database can try passwords for as long as they like.
pub fn weakness(password: &[u8]) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(password) else {
        return Some("it is not UTF-8");
    };
    let length = text.chars().count();
    let mut different: Vec<char> = text.chars().collect();
    different.sort_unstable();
    different.dedup();
    let classes: [fn(char) -> bool; 4] = [
        char::is_lowercase,
        char::is_uppercase,
        |c| c.is_ascii_digit(),
        |c| !c.is_alphanumeric(),
    ];
    let classes = classes
        .iter()
        .filter(|class| text.chars().any(**class))
        .count();
    if length < 12 {
        Some("it has fewer than 12 characters")
    } else if different.len() < 6 {
        Some("it repeats a few characters")
    } else if length < 20 && classes < 3 {
        Some(
            "below 20 characters it needs three of: small letters, capital letters, digits, others",
        )
    } else {
        None
    }
}

fn from_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let bytes = files::read_limited(path, LONGEST)
        .map_err(|error| CredentialError::File(path.to_owned(), error))?;
    let bytes = Zeroizing::new(bytes);
    // Editors end a file with a line feed; no password does.
    let end = bytes
        .iter()
        .rposition(|byte| !matches!(byte, b'\n' | b'\r'))
        .map_or(0, |at| at + 1);
    Ok(Zeroizing::new(
        bytes.get(..end).unwrap_or_default().to_vec(),
    ))
}

const LONGEST: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_passwords_are_told_from_strong_ones() {
        for weak in [
            "",
            "Secret1!",
            "aaaaaaaaaaaaaaaa",
            "abcdefghijkl",
            "Ab1!Ab1!Ab1!",
        ] {
            assert!(weakness(weak.as_bytes()).is_some(), "{weak}");
        }
        for strong in [
            "Tr1cky-horse-b",
            "correct horse battery staple",
            "řůžová Žirafa 3",
        ] {
            assert_eq!(weakness(strong.as_bytes()), None, "{strong}");
        }
        assert!(weakness(b"\xff\xfe valid length 12A").is_some());
    }

    #[test]
    fn a_password_file_may_end_with_a_line_feed_and_must_not_be_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "secret of two  words\r\n\n").unwrap();
        let read = Credential::File(path.clone()).read("").unwrap();
        assert_eq!(&**read, b"secret of two  words");
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(
            Credential::File(path).read(""),
            Err(CredentialError::Empty(_))
        ));
    }
}
