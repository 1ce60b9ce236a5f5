//! Benchmarks. Each prints our figure, the ceiling measured beside it in the same run, and the
//! ratio: this says more than seconds on a machine that others share.
//!
//! ```text
//! cargo run --release -p openrms-bench -- license            over HTTP, a server of its own
//! cargo run --release -p openrms-bench -- directory          Active Directory beside the list
//! cargo run --release -p openrms-bench -- spool              the log: spool, databases, bytes
//! cargo run --release -p openrms-bench -- primitives         ciphers, digests, parsing
//! cargo run --release -p openrms-bench -- license --check    fails below the goals
//! ```

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and seconds of a benchmark"
)]

mod ceiling;
mod clock;
mod directory;
mod http;
mod license;
mod people;
mod primitives;
mod report;
mod server;
mod spool;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Benchmarks of OpenRMS, as ratios to the ceiling of the same run")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Use licenses per CPU second over HTTP, against RSA itself.
    License(license::Options),
    /// Use licenses for somebody in 15 groups: built-in list, Active Directory remembered, Active
    /// Directory asked each time. Needs the test bed.
    Directory(directory::Options),
    /// Ciphers, digests and parsing, in process.
    Primitives(primitives::Options),
    /// Events of the log per second: into the spool, and from there into each kind of database.
    Spool(spool::Options),
    /// The server that is measured, in a process of its own.
    #[command(hide = true)]
    Serve {
        /// Its data directory.
        data: std::path::PathBuf,
    },
}

fn main() {
    let result = match Arguments::parse().what {
        What::License(options) => license::run(&options),
        What::Directory(options) => directory::run(&options),
        What::Primitives(options) => primitives::run(&options),
        What::Spool(options) => spool::run(&options),
        What::Serve { data } => server::serve(&data),
    };
    if let Err(error) = result {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

/// Anything that ends a benchmark.
type Failure = Box<dyn std::error::Error + Send + Sync>;
