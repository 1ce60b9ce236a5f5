//! The outside of NTLM's messages (MS-NLMP 2.2.1) as HTTP carries them (MS-NTHT): bounds and kind.
//! What is inside is the helper's to read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A message of a client.
pub(crate) enum Message {
    /// It begins (`NEGOTIATE_MESSAGE`).
    Begin(Token),
    /// It answers the challenge (`AUTHENTICATE_MESSAGE`).
    Answer(Token),
}

/// A message of some kind in base64. No `Debug`: whoever has the answer to a challenge can try
/// passwords on it.
pub(crate) struct Token(String);

impl Message {
    /// Reads what follows the scheme in `Authorization`. `None` when it is no message of NTLM that
    /// a client sends.
    pub(crate) fn read(credentials: &str) -> Option<Self> {
        let (kind, token) = Token::read(credentials)?;
        match kind {
            NEGOTIATE_MESSAGE => Some(Self::Begin(token)),
            AUTHENTICATE_MESSAGE => Some(Self::Answer(token)),
            _ => None,
        }
    }
}

impl Token {
    /// Reads the challenge of a server (`CHALLENGE_MESSAGE`).
    pub(super) fn challenge(text: &str) -> Option<Self> {
        let (kind, token) = Self::read(text)?;
        (kind == CHALLENGE_MESSAGE).then_some(token)
    }

    /// The message in base64, without any other character.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn read(text: &str) -> Option<(u32, Self)> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let bytes = STANDARD.decode(text).ok()?;
        let rest = bytes.strip_prefix(SIGNATURE)?;
        let kind = u32::from_le_bytes(*rest.first_chunk()?);
        Some((kind, Self(text.to_owned())))
    }
}

const SIGNATURE: &[u8] = b"NTLMSSP\0";
const NEGOTIATE_MESSAGE: u32 = 1;
const CHALLENGE_MESSAGE: u32 = 2;
const AUTHENTICATE_MESSAGE: u32 = 3;
/// Real ones have a few hundred bytes, and those with many names of the target two thousand.
const MAX_TEXT: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(kind: u32, rest: &[u8]) -> String {
        STANDARD.encode([SIGNATURE, &kind.to_le_bytes(), rest].concat())
    }

    #[test]
    fn each_side_is_heard_only_with_messages_of_its_own() {
        assert!(matches!(
            Message::read(&text(1, b"\x07\x82\x08\xa2")),
            Some(Message::Begin(_))
        ));
        assert!(matches!(
            Message::read(&text(3, &[0; 52])),
            Some(Message::Answer(_))
        ));
        assert!(Message::read(&text(2, &[0; 48])).is_none());
        assert!(Token::challenge(&text(2, &[0; 48])).is_some());
        assert!(Token::challenge(&text(3, &[0; 48])).is_none());
    }

    #[test]
    fn what_is_short_long_or_of_another_mechanism_is_none() {
        let spnego = STANDARD.encode(b"\x60\x48\x06\x06\x2b\x06\x01\x05\x05\x02");
        let long = text(1, &vec![0; MAX_TEXT]);
        let cut = STANDARD.encode(b"NTLMSSP\0\x01\0\0");
        for wrong in ["", "NTLMSSP", "TlRMTVNTUAA", &cut, &spnego, &long] {
            assert!(Message::read(wrong).is_none(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_message_is_one_word_of_base64(text in ".{0,80}", tail in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(Message::read(&text).is_none());
            let with_line = format!("{}\nKK {text}", self::text(1, &tail));
            prop_assert!(Message::read(&with_line).is_none());
            if let Some(Message::Begin(token)) = Message::read(&self::text(1, &tail)) {
                let fits = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
                prop_assert!(token.as_str().chars().all(fits));
            } else {
                prop_assert!(false, "not read");
            }
        }
    }
}
