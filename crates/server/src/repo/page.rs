//! The page of the channel: what a person types on a machine so that it takes its packages from here.

use std::fmt::Write as _;
use std::path::Path;

use openrms_xrml::Time;

use super::Channel;
use super::manifest::Sha256Sum;
use crate::admin::Text;

/// The page of a channel that is found at `place`.
pub(super) fn html(channel: &Channel, cluster: &str, place: &str, now: Time) -> String {
    let status = channel.status(now);
    let state = if status.expired { EXPIRED } else { "" };
    let sum = |file: &str| channel.manifest.sum(file).map(hex).unwrap_or_default();
    let programs = channel.manifest.files().map(|(path, _)| path);
    let is_bundle = |path: &&str| {
        let ending = Path::new(path).extension();
        path.starts_with("windows/") && ending.is_some_and(|ending| ending == "exe")
    };
    let windows = programs.filter(is_bundle).last();
    let windows = windows.map_or_else(String::new, |bundle| {
        format!("<h2>Windows</h2>\n<p>Run <a href=\"{bundle}\">{bundle}</a>.</p>\n")
    });
    include_str!("page/index.html")
        .replace("@STATE@", state)
        .replace("@VERSION@", &Text(&status.version).to_string())
        .replace("@EXPIRES@", &status.expires)
        .replace("@KEYRING@", &sum("openrms-archive-keyring.gpg"))
        .replace("@RELEASE@", &sum("openrms-release.pem"))
        .replace("@WINDOWS@", &windows)
        .replace("@URL@", &Text(place).to_string())
        // Last: what people named may hold anything.
        .replace("@NAME@", &Text(cluster).to_string())
}

pub(super) fn hex(sum: &Sha256Sum) -> String {
    let mut text = String::with_capacity(2 * sum.len());
    for byte in sum {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

const EXPIRED: &str = "<p><strong>This publication has expired, and machines refuse it. Ask your \
                       administrator to bring in a newer one.</strong></p>";
