//! The commands of the manual, as it shows them: the tests run these, and no others.

use std::fs;

use crate::Site;
use crate::service::Service;

/// Whose commands a block shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Whoever looks after the machine (`sh,machine`).
    Root,
    /// Whoever uses it (`sh,person`).
    Person,
}

/// What a page of the manual tells somebody to run below a heading, or before the first one. The
/// addresses of its examples are those of this site.
#[track_caller]
pub fn commands(site: &Site, page: &str, heading: Option<&str>, by: By) -> String {
    let path = format!("{}/../../book/src/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).unwrap();
    let fence = match by {
        By::Root => "```sh,machine\n",
        By::Person => "```sh,person\n",
    };
    let mut sections = text.split("\n## ");
    let section = match heading {
        None => sections.next(),
        Some(heading) => sections.find(|section| section.starts_with(heading)),
    };
    let section = section.unwrap_or_else(|| panic!("{page}: no heading {heading:?}"));
    let blocks = section.split(fence).skip(1);
    let blocks: Vec<_> = blocks
        .map(|block| block.split("```").next().unwrap())
        .collect();
    assert!(!blocks.is_empty(), "{page}: no commands at {heading:?}");
    blocks
        .concat()
        .replace("https://rms.example.com/openrms/repo", &site.url)
        .replace("https://rms.example.com", Service::URL)
}
