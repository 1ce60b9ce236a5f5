//! What a protected file says in clear to people without a client (the redirection header of a
//! pfile): what it is, and where their administrator says how to open it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::url::{Origin, UrlError};

/// Where people without a client learn what to install.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NoticeUrl(String);

impl NoticeUrl {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NoticeUrl {
    type Error = UrlError;

    /// It goes into every protected file, so it is `http` or `https`, short and of plain characters.
    fn try_from(text: String) -> Result<Self, UrlError> {
        let error = |reason| UrlError {
            url: text.chars().take(200).collect(),
            reason,
        };
        Origin::of(&text)?;
        if text.len() > LONGEST {
            return Err(error("it is longer than 512 characters"));
        }
        Ok(Self(text))
    }
}

impl From<NoticeUrl> for String {
    fn from(url: NoticeUrl) -> Self {
        url.0
    }
}

impl fmt::Display for NoticeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The clear text, with the line ends that every editor shows.
pub(crate) fn text(url: Option<&NoticeUrl>) -> String {
    let how = match url {
        Some(url) => format!("To open it, see {url}"),
        None => "To open it, install OpenRMS; your administrator says how.".to_owned(),
    };
    format!(
        "\r\n\r\n\r\nThis file is protected. It cannot be read in this program.\r\n{how}\r\n\r\n\
         Do not change this file in any way: doing so will result in data loss.\r\n\r\n"
    )
}

const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<NoticeUrl, UrlError> {
        NoticeUrl::try_from(text.to_owned())
    }

    #[test]
    fn the_notice_names_the_administrators_page_and_has_bounds() {
        let page = url("https://help.example/rms?os=linux").unwrap();
        assert!(text(Some(&page)).contains("see https://help.example/rms?os=linux\r\n"));
        assert!(text(None).contains("OpenRMS"));
        let longest = format!("https://help.example/{}", "x".repeat(LONGEST - 21));
        assert!(text(Some(&url(&longest).unwrap())).len() < 1024);
        for wrong in [
            format!("{longest}x"),
            "help.example".into(),
            "javascript:alert(1)".into(),
            "https://help.example/\r\nRun this:".into(),
            "https://help.example/ü".into(),
            "https://user@help.example".into(),
        ] {
            assert!(url(&wrong).is_err(), "{wrong}");
        }
    }
}
