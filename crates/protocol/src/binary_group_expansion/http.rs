//! How the binary form travels over HTTP ([MS-RMPRS] 2.1.1). Nothing here opens a connection.

use crate::endpoints::below;

/// Path of the interface (2.1), written as there.
pub const PATH: &str = "/_wmcs/DrmRemote/DirectoryServices/DirectoryServices.rem";
/// Method of a request (2.1.1.1.1).
pub const METHOD: &str = "POST";
/// The other method a server takes, of the HTTP extension framework.
pub const EXTENSION_METHOD: &str = "M-POST";
/// `Content-Type` of requests and answers.
pub const CONTENT_TYPE: &str = "application/octet-stream";
/// What the `User-Agent` of a request should contain.
pub const USER_AGENT: &str = "MS .NET Remoting";
/// Status of every answer, exceptions included (2.1.1.2.2).
pub const STATUS: u16 = 200;
/// Status of what is no request: the body is empty then (2.1.1.2.1).
pub const BAD_REQUEST: u16 = 400;

/// An HTTP request that is not one of this interface, to be answered with [`BAD_REQUEST`] and an
/// empty body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransportFault {
    /// Neither POST nor M-POST.
    #[error("the method is neither POST nor M-POST")]
    Method,
    /// The content type is absent or another one.
    #[error("the content type is not application/octet-stream")]
    ContentType,
}

/// What a client does with a reply (2.1.1.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Success or an error of the server: the body is to be read.
    Read,
    /// Anything else: the body must not be looked at.
    Failed,
}

/// Whether a path is that of this interface, in any case.
pub fn is_path(path: &str) -> bool {
    path.eq_ignore_ascii_case(PATH)
}

/// Its URL. `base` is as for [`crate::Service::url`].
pub fn url(base: &str) -> String {
    below(base, PATH)
}

/// Whether a server may look at the body of a request.
pub fn check_request(method: &str, content_type: Option<&str>) -> Result<(), TransportFault> {
    if method != METHOD && method != EXTENSION_METHOD {
        return Err(TransportFault::Method);
    }
    let media = content_type.and_then(|text| text.split(';').next());
    match media {
        Some(media) if media.trim().eq_ignore_ascii_case(CONTENT_TYPE) => Ok(()),
        _ => Err(TransportFault::ContentType),
    }
}

/// What to do with a reply of this status.
pub const fn reply(status: u16) -> Reply {
    match status {
        200..=299 | 500..=599 => Reply::Read,
        _ => Reply::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_methods_and_the_one_content_type_are_taken() {
        let octets = Some("application/octet-stream");
        assert_eq!(check_request("POST", octets), Ok(()));
        let with_parameter = Some("Application/Octet-Stream; x=y");
        assert_eq!(check_request("M-POST", with_parameter), Ok(()));
        for method in ["GET", "post", "PUT", ""] {
            let fault = Err(TransportFault::Method);
            assert_eq!(check_request(method, octets), fault, "{method:?}");
        }
        for other in [
            None,
            Some("text/xml"),
            Some(""),
            Some("application/octet-streams"),
        ] {
            let fault = Err(TransportFault::ContentType);
            assert_eq!(check_request("POST", other), fault, "{other:?}");
        }
    }

    #[test]
    fn errors_of_the_server_are_read_and_errors_of_the_client_are_not() {
        assert_eq!(reply(200), Reply::Read);
        assert_eq!(reply(500), Reply::Read);
        for status in [100, 302, 400, 401, 404] {
            assert_eq!(reply(status), Reply::Failed, "{status}");
        }
    }

    #[test]
    fn the_url_is_the_base_and_the_path() {
        let wanted = "https://rms.example/_wmcs/DrmRemote/DirectoryServices/DirectoryServices.rem";
        for base in ["https://rms.example", "https://rms.example/_wmcs/"] {
            assert_eq!(url(base), wanted);
        }
        assert!(is_path(&PATH.to_lowercase()));
    }
}
