//! What an issuer answers by way of the browser (RFC 6749 4.1.2, RFC 9207): a code, or why not.

use openrms_crypto::Secret;
use zeroize::Zeroizing;

use super::encoding::fields;
use super::error::OidcError;
use super::metadata::Metadata;

/// The code in the query of the redirect. Nothing in an answer to somebody else counts, not even
/// a refusal.
pub(super) fn code(query: &str, state: &Secret, metadata: &Metadata) -> Result<Secret, OidcError> {
    let answer = Answer::read(query)?;
    let ours = answer.state.map(|text| Secret::from(text.as_bytes()));
    if ours.as_ref() != Some(state) {
        return Err(OidcError::StateMismatch);
    }
    let expected = metadata.issuer();
    let named = match &answer.iss {
        Some(found) => found.as_str() == expected.as_str(),
        None => !metadata.names_itself_in_answers(),
    };
    if !named {
        return Err(OidcError::IssuerMismatch {
            expected: expected.clone(),
            found: answer.iss.map(|iss| iss.to_string()).unwrap_or_default(),
        });
    }
    if let Some(error) = answer.error {
        let description = answer.error_description.as_deref();
        return Err(refusal(&error, description.map_or("", String::as_str)));
    }
    match answer.code {
        Some(code) if !code.is_empty() => Ok(Secret::from(code.as_bytes())),
        _ => Err(OidcError::Answer("it holds no code")),
    }
}

/// An error by its name (RFC 6749 4.1.2.1 and 5.2).
pub(super) fn refusal(error: &str, description: &str) -> OidcError {
    let shortened = |text: &str| text.chars().take(LONGEST_SHOWN).collect();
    let description = shortened(description);
    match error {
        "access_denied" => OidcError::Declined { description },
        _ => OidcError::Refused {
            error: shortened(error),
            description,
        },
    }
}

#[derive(Default)]
struct Answer {
    code: Option<Zeroizing<String>>,
    state: Option<Zeroizing<String>>,
    iss: Option<Zeroizing<String>>,
    error: Option<Zeroizing<String>>,
    error_description: Option<Zeroizing<String>>,
}

impl Answer {
    fn read(query: &str) -> Result<Self, OidcError> {
        let read = fields(query).ok_or(OidcError::Answer("it is not a form"))?;
        let mut answer = Self::default();
        for (name, value) in read {
            let field = match name.as_str() {
                "code" => &mut answer.code,
                "state" => &mut answer.state,
                "iss" => &mut answer.iss,
                "error" => &mut answer.error,
                "error_description" => &mut answer.error_description,
                _ => continue,
            };
            // Two readers could take different ones for the true one (RFC 6749 3.1).
            if field.replace(value).is_some() {
                return Err(OidcError::Answer("it says something twice"));
            }
        }
        Ok(answer)
    }
}

const LONGEST_SHOWN: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Coded as _;

    fn read(query: &str, more: &str) -> Result<Secret, OidcError> {
        let issuer = "https://login.example".parse().unwrap();
        let document = format!(
            r#"{{"issuer": "https://login.example", {more}
                "authorization_endpoint": "https://login.example/auth",
                "token_endpoint": "https://login.example/token"}}"#
        );
        let metadata = Metadata::read(&issuer, document.as_bytes()).unwrap();
        code(query, &Secret::from(&b"s1"[..]), &metadata)
    }

    fn refused(query: &str) -> &'static str {
        read(query, "").unwrap_err().code()
    }

    #[test]
    fn the_code_is_taken_from_the_answer_to_this_sign_in() {
        for query in [
            "code=c%2F1&state=s1",
            "state=s1&code=c/1&session_state=x",
            "code=c/1&state=s1&iss=https%3A%2F%2Flogin.example",
        ] {
            let code = read(query, "").unwrap();
            assert_eq!(code, Secret::from(&b"c/1"[..]), "{query}");
        }
    }

    #[test]
    fn an_answer_to_another_sign_in_says_nothing() {
        for query in [
            "code=c",
            "code=c&state=",
            "code=c&state=s2",
            "code=c&state=s11",
            "error=access_denied&state=s2",
            "",
        ] {
            assert_eq!(refused(query), "state-mismatch", "{query}");
        }
    }

    #[test]
    fn what_is_said_twice_or_not_at_all_is_no_answer() {
        for query in [
            "code=c&code=d&state=s1",
            "code=c&state=s1&state=s2",
            "code=c&state=%zz",
            "state=s1",
            "code=&state=s1",
        ] {
            assert_eq!(refused(query), "redirect-malformed", "{query}");
        }
    }

    #[test]
    fn an_answer_of_another_issuer_is_not_taken() {
        let other = "code=c&state=s1&iss=https%3A%2F%2Fevil.example";
        assert_eq!(refused(other), "issuer-mismatch");
        let named = r#""authorization_response_iss_parameter_supported": true,"#;
        let error = read("code=c&state=s1", named).unwrap_err();
        assert_eq!(error.code(), "issuer-mismatch");
    }

    #[test]
    fn a_person_who_declines_is_told_from_an_issuer_that_refuses() {
        let declined = "error=access_denied&error_description=no+thanks&state=s1";
        let error = read(declined, "").unwrap_err();
        assert_eq!(error.code(), "sign-in-declined");
        assert!(error.to_string().contains("no thanks"));
        assert_eq!(refused("error=invalid_target&state=s1"), "issuer-refuses");
        // A code beside an error does not count.
        assert_eq!(
            refused("error=invalid_scope&code=c&state=s1"),
            "issuer-refuses"
        );
    }
}
