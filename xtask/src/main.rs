//! Project chores: `cargo run -p xtask -- help`.

mod pages;
mod seeds;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Project chores")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Writes man pages and shell completions of both programs.
    Pages {
        /// Folder to write into.
        folder: PathBuf,
    },
    /// Writes seeds for the fuzz targets, one folder each.
    FuzzSeeds {
        /// Folder to write into.
        folder: PathBuf,
    },
}

fn main() {
    let result = match Arguments::parse().chore {
        Chore::Pages { folder } => pages::write(&folder),
        Chore::FuzzSeeds { folder } => seeds::write(&folder),
    };
    if let Err(error) = result {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

/// Anything that ends a chore.
type Failure = Box<dyn std::error::Error>;
