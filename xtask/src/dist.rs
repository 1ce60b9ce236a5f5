//! Packages, and the channel that hands them out: `cargo xtask dist`. What is compiled, packed and
//! signed is so by the tools of each trade (cargo, debhelper, rpmbuild, tar, gpg, openssl); here is the
//! order, and what each is given. The same commit gives the same packages, byte for byte.

mod catalog;
mod channel;
mod debian;
mod keys;
mod manifest;
mod notices;
mod programs;
mod rpm;
mod run;
mod sbom;
mod stage;
mod tarball;
mod version;
mod windows;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};

use crate::Failure;
use channel::Channel;
use keys::Keys;
use stage::Stage;
use version::Version;

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Dist {
    #[command(subcommand)]
    step: Option<Step>,
    #[command(flatten)]
    all: All,
}

#[derive(Subcommand)]
enum Step {
    /// Builds the programs into target/release: auditable, and the same in any folder.
    Build,
    /// Builds the client for Windows and packs it, for `--windows` of the others.
    Windows(windows::Windows),
    /// Makes a throwaway set of keys, to try with. A release is signed with keys of its own.
    Keys {
        /// Folder to make.
        folder: PathBuf,
    },
    /// Signs the packages that are there once more, as a newer publication that expires later.
    Publish(Publish),
}

/// Packages, and with `--keys` the channel.
#[derive(Args)]
struct All {
    /// Programs (rms, rmsd) that were made elsewhere, in the place of a build.
    #[arg(long)]
    binaries: Option<PathBuf>,
    /// Version of the packages in the place of the source's; the programs keep theirs.
    #[arg(long)]
    as_version: Option<Version>,
    /// Keys to sign the channel with, as `dist keys` lays them out; without them none is made.
    #[arg(long)]
    keys: Option<PathBuf>,
    #[command(flatten)]
    publication: Publication,
}

#[derive(Args)]
struct Publish {
    /// Keys to sign with.
    #[arg(long)]
    keys: PathBuf,
    #[command(flatten)]
    publication: Publication,
}

#[derive(Args)]
struct Publication {
    /// Folder of packages/ and channel/.
    #[arg(long, default_value = "target/dist")]
    output: PathBuf,
    /// Folder of packages for Windows (*.msi, *.exe), already signed.
    #[arg(long)]
    windows: Option<PathBuf>,
    /// Where the channel will be found, for the descriptions of the repositories.
    #[arg(long, default_value = "https://packages.example.com/openrms")]
    url: String,
    /// Time of the publication in seconds since 1970, in the place of now.
    #[arg(long)]
    signed_at: Option<u64>,
    /// Days until machines take nothing more from the channel.
    #[arg(long, default_value_t = 90)]
    valid_days: u64,
}

/// What all packages of a run have in common.
struct Release {
    version: Version,
    /// Time of the commit in seconds since 1970, which stands for the time of everything made.
    time: u64,
}

pub(crate) fn run(dist: Dist) -> Result<(), Failure> {
    match dist.step {
        Some(Step::Build) => programs::build(commit_time()?).map(drop),
        Some(Step::Windows(options)) => windows::make(&options),
        Some(Step::Keys { folder }) => keys::make(&folder),
        Some(Step::Publish(publish)) => {
            let packages = Packages::read(&publish.publication.output)?;
            let keys = Keys::open(&publish.keys)?;
            publish.publication.channel(&packages, &keys)
        }
        None => all(&dist.all),
    }
}

fn all(options: &All) -> Result<(), Failure> {
    let time = commit_time()?;
    let version = match &options.as_version {
        Some(version) => version.clone(),
        None => env!("CARGO_PKG_VERSION").parse()?,
    };
    let release = Release { version, time };
    let keys = options.keys.as_deref().map(Keys::open).transpose()?;
    let programs = match &options.binaries {
        Some(folder) => folder.clone(),
        None => programs::build(time)?,
    };

    let output = &options.publication.output;
    let work = output.join("build");
    let made = output.join("packages");
    for folder in [&work, &made] {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
    }
    let (work, made) = (fs::canonicalize(work)?, fs::canonicalize(made)?);
    sbom::build(&release, &work.join("sbom"), &made)?;
    let stage = Stage::make(
        &work.join("stage"),
        &programs,
        &made,
        keys.as_ref(),
        &release,
    )?;
    debian::build(&stage, &release, &work.join("debian"), &made)?;
    rpm::build(&stage, &release, &work.join("rpm"), &made)?;
    catalog::build(&stage, &work.join("catalog"), &made)?;
    tarball::build(&stage, &release, &work.join("tarball"), &made)?;
    fs::write(made.join(VERSION), format!("{}\n", release.version))?;
    fs::write(made.join(TIME), format!("{time}\n"))?;
    fs::write(made.join(SUMS), manifest::sums(&made, &[SUMS])?)?;
    fs::remove_dir_all(&work)?;
    println!("{}", made.display());

    let Some(keys) = keys else {
        println!("no channel: --keys says which keys sign it");
        return Ok(());
    };
    let packages = Packages::read(output)?;
    options.publication.channel(&packages, &keys)
}

impl Publication {
    fn channel(&self, packages: &Packages, keys: &Keys) -> Result<(), Failure> {
        let signed_at = match self.signed_at {
            Some(time) => time,
            None => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
        };
        let lifetime = self.valid_days.checked_mul(24 * 60 * 60);
        let expires = lifetime.and_then(|lifetime| signed_at.checked_add(lifetime));
        let place = self.output.join("channel");
        let channel = Channel {
            version: &packages.version,
            signed_at,
            expires: expires.ok_or("--valid-days: too many")?,
            url: self.url.trim_end_matches('/'),
        };
        channel.make(&packages.folder, self.windows.as_deref(), keys, &place)?;
        println!("{}", place.display());
        Ok(())
    }
}

/// Packages that were made.
struct Packages {
    folder: PathBuf,
    version: Version,
}

impl Packages {
    fn read(output: &Path) -> Result<Self, Failure> {
        let folder = output.join("packages");
        let file = folder.join(VERSION);
        let version =
            fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let version = version.trim().parse()?;
        Ok(Self { folder, version })
    }
}

/// The time of the commit, or what `SOURCE_DATE_EPOCH` says where there is no repository.
fn commit_time() -> Result<u64, Failure> {
    let said = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(said) => said,
        Err(_) => run::output("git", |git| git.args(["log", "-1", "--format=%ct"]))?,
    };
    let time = said.trim().parse();
    time.map_err(|_| format!("SOURCE_DATE_EPOCH: {said:?} is no number of seconds").into())
}

/// Which version the packages beside it are of.
const VERSION: &str = "VERSION";
/// The time that stands for that of everything made.
const TIME: &str = "SOURCE_DATE_EPOCH";
/// Their checksums, as `sha256sum -c` reads them.
const SUMS: &str = "SHA256SUMS";
/// The machines that packages are made for, as each kind calls them.
const ARCHITECTURE: &str = "x86_64";
const DEBIAN_ARCHITECTURE: &str = "amd64";
