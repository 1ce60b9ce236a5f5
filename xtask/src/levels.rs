//! What works between which versions, as the manual prints it ([`openrms_protocol::level`]).

use std::fmt::Write as _;
use std::path::Path;

use openrms_protocol::{ClientLevel, Feature, ServiceLevel};

use crate::{Failure, page};

/// Prints both tables. With `write`, the manual gets them; otherwise they must be those it has.
pub(crate) fn print(write: bool) -> Result<(), Failure> {
    let (levels, matrix) = (levels(), matrix());
    println!("{levels}\n{matrix}");
    page::keep(Path::new(PAGE), "levels", &levels, write)?;
    page::keep(Path::new(PAGE), "matrix", &matrix, write)
}

/// What each level of a server has.
fn levels() -> String {
    let names = ServiceLevel::ALL.iter().map(|level| level.name());
    let mut table = head("what", names);
    for &feature in Feature::ALL {
        let has = |level: &ServiceLevel| mark(level.has(feature));
        row(
            &mut table,
            feature.what(),
            ServiceLevel::ALL.iter().map(has),
        );
    }
    let versions = ServiceLevel::ALL.iter().map(|level| {
        let version = level.highest_data_version();
        version.to_string()
    });
    row(
        &mut table,
        "Highest version of data in `VersionData`",
        versions,
    );
    table
}

/// With which clients each server does what.
fn matrix() -> String {
    let names = ServiceLevel::ALL
        .iter()
        .map(|level| format!("server {level}"));
    let mut table = head("what", names);
    for &feature in Feature::ALL {
        if feature.clients().is_some() {
            let with = ServiceLevel::ALL.iter().map(|&server| {
                let clients = ClientLevel::ALL.iter();
                let clients = clients.filter(|client| client.can(feature, server));
                let names: Vec<_> = clients.map(|client| client.name()).collect();
                if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                }
            });
            row(&mut table, feature.what(), with);
        }
    }
    table
}

fn head(first: &str, names: impl Iterator<Item = impl AsRef<str>>) -> String {
    let mut table = String::new();
    let mut columns = 1;
    row(&mut table, first, names.inspect(|_| columns += 1));
    let _ = writeln!(table, "|{}", "---|".repeat(columns));
    table
}

fn row(table: &mut String, first: &str, cells: impl Iterator<Item = impl AsRef<str>>) {
    let _ = write!(table, "| {first} |");
    for cell in cells {
        let _ = write!(table, " {} |", cell.as_ref());
    }
    table.push('\n');
}

fn mark(is_there: bool) -> &'static str {
    if is_there { "yes" } else { "no" }
}

const PAGE: &str = "book/src/versions.md";
