//! The server's side of Negotiate (RFC 4559 section 4): one token in, who sent it and at most one
//! token back. A Kerberos client needs no second leg, so nothing is kept between two calls.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use crate::ffi::{Credential, Gss, Leg, Peer, Status};
use crate::{Logon, MAX_TOKEN, NegotiateError, Offer};

/// What an acceptor needs.
#[derive(Debug, Clone)]
pub struct AcceptorSettings {
    /// The keys of the service, as `ktutil` or `samba-tool domain exportkeytab` write them.
    pub keytab: PathBuf,
    /// The file in which used tokens are remembered, made if it is missing. All servers that hold
    /// the same keys on a machine share it. Its folder must be writable by their account only.
    pub replay_cache: PathBuf,
    /// The service that tickets must be for: `HTTP@host.name`, or `HTTP` for every host name that
    /// the keytab has; `None` means the latter. Tickets for the keytab's other services are
    /// refused.
    pub service: Option<String>,
}

/// Takes the tokens of clients. Shared by all threads; a call blocks for about a tenth of a
/// millisecond, on the replay cache.
pub struct Acceptor {
    credential: Credential,
}

/// Who sent a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The principal, `alice@CORP.EXAMPLE`, as the ticket spells it. Names are given to new people
    /// after their holders have left; where there is a [`Logon`], its SID says who it is.
    pub principal: String,
    /// The server's proof, for the `WWW-Authenticate` field of the answer.
    pub reply: Option<Vec<u8>>,
    /// What the domain controller says of the person, if the ticket holds it and its signature was
    /// found good. Kerberos realms without Active Directory have none.
    pub logon: Option<Logon>,
    /// The client named the same TLS channel as the server. A client that named none is accepted,
    /// and this is false; one that named another is refused.
    pub channel_bound: bool,
}

impl Acceptor {
    /// Opens the library and the keys. The replay cache cannot be switched off.
    pub fn new(settings: &AcceptorSettings) -> Result<Self, NegotiateError> {
        let service = settings.service.as_deref().unwrap_or(ANY_HOST);
        if !is_service(service) {
            return Err(NegotiateError::ServiceName {
                name: service.to_owned(),
            });
        }
        let keytab = typed_path("FILE:", &settings.keytab)?;
        let replay_cache = typed_path("file2:", &settings.replay_cache)?;
        // Looked at here because the library would say so only at the first token, or not why.
        File::open(&settings.keytab).map_err(|source| NegotiateError::Keytab {
            path: settings.keytab.clone(),
            source,
        })?;
        open_replay_cache(&settings.replay_cache).map_err(|source| {
            NegotiateError::ReplayCache {
                path: settings.replay_cache.clone(),
                source,
            }
        })?;
        let gss = Gss::load()?;
        let no_key = |status: Status| NegotiateError::NoKey {
            path: settings.keytab.clone(),
            service: service.to_owned(),
            text: status.text,
        };
        let name = gss.service_name(service).map_err(no_key)?;
        let credential = gss
            .acceptor_credential(&name, &keytab, &replay_cache)
            .map_err(no_key)?;
        Ok(Self { credential })
    }

    /// Takes the decoded token of an `Authorization: Negotiate` field. `channel_bindings` is the
    /// hash of the server's certificate by the rule of `tls-server-end-point` (RFC 5929 section
    /// 4.1), where TLS ends in this process.
    pub fn accept(
        &self,
        token: &[u8],
        channel_bindings: Option<&[u8]>,
    ) -> Result<Accepted, NegotiateError> {
        check_length(token)?;
        if Offer::read(token)? != Offer::Kerberos {
            return Err(NegotiateError::NotKerberos);
        }
        let bindings = channel_bindings.map(end_point);
        let leg = self
            .credential
            .accept(token, bindings.as_deref())
            .map_err(refusal)?;
        match leg {
            Leg::Complete(peer) => accepted(peer),
            Leg::More => Err(NegotiateError::MoreLegs),
        }
    }
}

/// Refuses tokens that no honest side sends before anything else looks at them.
pub(crate) fn check_length(token: &[u8]) -> Result<(), NegotiateError> {
    if (1..=MAX_TOKEN).contains(&token.len()) {
        return Ok(());
    }
    Err(NegotiateError::TokenLength {
        length: token.len(),
    })
}

/// The application data of the channel bindings (RFC 5929 section 4, RFC 5056 section 2.1).
pub(crate) fn end_point(hash: &[u8]) -> Vec<u8> {
    [TLS_SERVER_END_POINT, hash].concat()
}

/// `service` or `service@host.name`.
pub(crate) fn is_service(name: &str) -> bool {
    let (service, host) = name.split_once('@').unwrap_or((name, "any"));
    let word = |text: &str| {
        (1..=MAX_HOST_NAME).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
    };
    word(service) && word(host)
}

/// A path behind the library's word for its kind.
pub(crate) fn typed_path(kind: &str, path: &Path) -> Result<CString, NegotiateError> {
    let error = || NegotiateError::Path {
        path: path.to_owned(),
    };
    let text = path.to_str().ok_or_else(error)?;
    CString::new(format!("{kind}{text}")).map_err(|_| error())
}

/// Makes the file if need be, readable by this account only, and leaves what is in it.
fn open_replay_cache(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn accepted(peer: Peer) -> Result<Accepted, NegotiateError> {
    if !peer.kerberos {
        return Err(NegotiateError::NotKerberos);
    }
    if peer.anonymous {
        return Err(NegotiateError::Anonymous);
    }
    let principal = String::from_utf8(peer.name.display().map_err(refusal)?)
        .ok()
        .filter(|name| !name.is_empty() && !name.chars().any(char::is_control))
        .ok_or(NegotiateError::PrincipalName)?;
    let logon = peer
        .name
        .authenticated_attribute(LOGON_INFORMATION)
        .map_err(refusal)?
        .map(|information| Logon::read(&information))
        .transpose()?;
    Ok(Accepted {
        principal,
        reply: peer.reply,
        logon,
        channel_bound: peer.channel_bound,
    })
}

/// The refusals that have names of their own. Replays are known by their text: through SPNEGO the
/// library gives mechanisms' codes numbers of its own making, which differ from run to run.
fn refusal(status: Status) -> NegotiateError {
    match status.routine {
        Status::BAD_BINDINGS => NegotiateError::ChannelBindings,
        _ if status.text.ends_with(REPLAY) => NegotiateError::Replay,
        _ => NegotiateError::Refused { text: status.text },
    }
}

/// RFC 4559 section 4: the service is `HTTP`, with TLS too.
const ANY_HOST: &str = "HTTP";
const TLS_SERVER_END_POINT: &[u8] = b"tls-server-end-point:";
/// The name that MIT gives the buffer `KERB_VALIDATION_INFO` of a PAC.
const LOGON_INFORMATION: &str = "urn:mspac:logon-info";
/// MIT's text of `KRB_AP_ERR_REPEAT` (RFC 4120 7.5.9).
const REPLAY: &str = "Request is a replay";
const MAX_HOST_NAME: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_have_plain_names() {
        for good in ["HTTP", "HTTP@rms.corp.example", "HTTP@127.0.0.1"] {
            assert!(is_service(good), "{good}");
        }
        let long = format!("HTTP@{}", "a".repeat(256));
        for bad in [
            "",
            "@",
            "HTTP@",
            "@host",
            "HTTP@a@b",
            "HTTP/host",
            "HTTP@a\0b",
            "HTTP@ä",
            &long,
        ] {
            assert!(!is_service(bad), "{bad}");
        }
    }

    #[test]
    fn a_keytab_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let keytab = folder.path().join("http.keytab");
        let error = Acceptor::new(&AcceptorSettings {
            keytab: keytab.clone(),
            replay_cache: folder.path().join("replay"),
            service: None,
        })
        .err()
        .unwrap();
        assert!(matches!(error, NegotiateError::Keytab { path, .. } if path == keytab));
    }

    #[test]
    fn a_replay_cache_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let keytab = folder.path().join("http.keytab");
        std::fs::write(&keytab, [5, 2]).unwrap();
        let replay_cache = folder.path().join("missing/replay");
        let error = Acceptor::new(&AcceptorSettings {
            keytab,
            replay_cache: replay_cache.clone(),
            service: None,
        })
        .err()
        .unwrap();
        assert!(matches!(error, NegotiateError::ReplayCache { path, .. } if path == replay_cache));
    }

    #[test]
    fn a_path_with_a_nul_is_refused() {
        let error = typed_path("FILE:", Path::new("a\0b")).err().unwrap();
        assert!(matches!(error, NegotiateError::Path { .. }));
    }
}
