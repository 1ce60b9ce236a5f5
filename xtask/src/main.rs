//! Project chores: `cargo xtask help`.

mod dist;
mod fuzz_seeds;
mod levels;
mod page;
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
    /// Makes the packages, and the channel that hands them out.
    Dist(Box<dist::Dist>),
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
    /// Prints what works between which versions, and looks whether the manual says the same.
    Levels {
        /// Write it into the manual.
        #[arg(long)]
        write: bool,
    },
    /// Prints which requirements are shown by which tests, with their outcome, and looks whether the
    /// manual says the same.
    Seeds {
        /// Reports of tests that were run (`JUnit` files), in the place of a run now.
        reports: Vec<PathBuf>,
        /// Write it into the manual.
        #[arg(long)]
        write: bool,
    },
}

fn main() {
    let result = match Arguments::parse().chore {
        Chore::Dist(options) => dist::run(*options),
        Chore::Pages { folder } => pages::write(&folder),
        Chore::FuzzSeeds { folder } => fuzz_seeds::write(&folder),
        Chore::Levels { write } => levels::print(write),
        Chore::Seeds { reports, write } => seeds::print(&reports, write),
    };
    if let Err(error) = result {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

/// Anything that ends a chore.
type Failure = Box<dyn std::error::Error>;
