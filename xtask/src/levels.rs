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

/// What works between each server and each client.
fn matrix() -> String {
    let pairs = || {
        let servers = ServiceLevel::ALL.iter();
        servers.flat_map(|server| {
            ClientLevel::ALL
                .iter()
                .map(move |client| (*server, *client))
        })
    };
    let names = pairs().map(|(server, client)| format!("server {server}, client {client}"));
    let mut table = head("what", names);
    for &feature in Feature::ALL {
        if feature.clients().is_some() {
            let can = pairs().map(|(server, client)| mark(client.can(feature, server)));
            row(&mut table, feature.what(), can);
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
