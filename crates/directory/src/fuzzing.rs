//! The entry for a fuzz target of what anybody may send before they have proved who they are. What
//! was accepted must also hold together; a broken promise panics, which is how a fuzzer notices.

use crate::ldap::first_messages::{Asked, LONGEST, LONGEST_TEXT, Response};

/// The answer to a bind with SASL, or to `StartTLS`, without its frame.
pub fn first_response(bytes: &[u8]) {
    for asked in [Asked::Bind, Asked::StartTls] {
        let Ok(response) = Response::read(bytes, asked, 2) else {
            continue;
        };
        assert!(bytes.len() > LONGEST || response.credentials.len() < LONGEST);
        assert!(response.text.chars().count() <= LONGEST_TEXT);
        assert!(!response.text.chars().any(char::is_control));
    }
}
