//! Packages for Windows, made on Linux: the client by Debian's compiler, which has the source of its
//! standard library beside it, the packages by wixl, the signatures by osslsigncode. The same commit gives
//! the same packages, byte for byte, before they are signed; signatures hold their time and random numbers.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use clap::Args;

use super::run::run;
use super::version::Version;
use super::{Release, commit_time, programs};
use crate::Failure;

#[derive(Args)]
pub(crate) struct Windows {
    /// Folder of the packages; what is in it goes.
    #[arg(long, default_value = "target/dist/windows")]
    output: PathBuf,
    /// Keys, whose `code-signing` signs; without them nothing is signed.
    #[arg(long)]
    keys: Option<PathBuf>,
    /// A client (rms.exe) that was made elsewhere, in the place of a build.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Version of the packages in the place of the source's; the program keeps its own.
    #[arg(long)]
    as_version: Option<Version>,
}

/// The three packages of a run, in `output`.
pub(crate) fn make(options: &Windows) -> Result<(), Failure> {
    let version = match &options.as_version {
        Some(version) => version.clone(),
        None => env!("CARGO_PKG_VERSION").parse()?,
    };
    let release = Release {
        version,
        time: commit_time()?,
    };
    let signer = Signer::of(options.keys.as_deref())?;
    let program = match &options.program {
        Some(program) => program.clone(),
        None => build(("openrms-cli", "rms"), None, release.time)?,
    };

    if options.output.exists() {
        fs::remove_dir_all(&options.output)?;
    }
    let work = options.output.join("build");
    let inner = work.join("bundle");
    let files = work.join("files");
    for folder in [&inner, &files] {
        fs::create_dir_all(folder)?;
    }
    signer.sign(&program, &files.join("rms.exe"), "OpenRMS")?;
    for paper in ["LICENSE-MIT", "LICENSE-APACHE"] {
        fs::copy(paper, files.join(format!("{paper}.txt")))?;
    }
    for (package, title, name) in [
        ("client", "OpenRMS Client", "Client.msi"),
        (
            "backcompat",
            "OpenRMS Backward Compatibility",
            "BackCompat.msi",
        ),
    ] {
        let unsigned = work.join(format!("{package}.msi"));
        database(package, title, &files, &release, &unsigned)?;
        signer.sign(&unsigned, &inner.join(name), title)?;
    }
    let bundle = build(
        ("openrms-bundle", "openrms-bundle"),
        Some(&inner),
        release.time,
    )?;

    let Release { version, .. } = &release;
    let made = |name: &str, ending: &str| {
        options
            .output
            .join(format!("{name}-{version}-x64.{ending}"))
    };
    fs::copy(inner.join("Client.msi"), made("OpenRMS-Client", "msi"))?;
    fs::copy(
        inner.join("BackCompat.msi"),
        made("OpenRMS-BackCompat", "msi"),
    )?;
    signer.sign(&bundle, &made("OpenRMS", "exe"), "OpenRMS")?;
    fs::remove_dir_all(&work)?;
    println!("{}", options.output.display());
    Ok(())
}

/// Builds a program of the workspace for Windows; the bundle with the packages of a folder inside.
fn build(
    (package, name): (&str, &str),
    packages: Option<&Path>,
    time: u64,
) -> Result<PathBuf, Failure> {
    let target = programs::target()?.join("windows");
    let mut cargo = Command::new("/usr/bin/cargo");
    cargo
        .args(["build", "--release", "--locked", "--package", package])
        .args(["--bin", name])
        .args(["-Zbuild-std=std,panic_abort", "--target", TRIPLE])
        // The compilers of rustup know nothing of Windows, and their folder may come first.
        .env("PATH", "/usr/bin:/bin")
        .env("RUSTC", "/usr/bin/rustc")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        // For `-Zbuild-std`, which is all that is used of what is not stable.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", LINKER)
        .env(
            "RUSTFLAGS",
            flags("--remap-path-prefix", &target)? + NO_TIME,
        )
        .env("CFLAGS", flags("-ffile-prefix-map", &target)?)
        .env("SOURCE_DATE_EPOCH", time.to_string());
    match packages {
        Some(folder) => cargo.env("OPENRMS_BUNDLE", fs::canonicalize(folder)?),
        None => cargo.env_remove("OPENRMS_BUNDLE"),
    };
    // Not through `run`: what cargo says is for whoever waits.
    let status = cargo
        .status()
        .map_err(|error| format!("cargo: {error}; {TOOLCHAIN}"))?;
    if !status.success() {
        return Err(format!("cargo build for {TRIPLE}: {status}; {TOOLCHAIN}").into());
    }
    Ok(target
        .join(TRIPLE)
        .join("release")
        .join(format!("{name}.exe")))
}

/// Folders that a program is not to tell of; the most particular comes last, and wins.
fn flags(option: &str, target: &Path) -> Result<String, Failure> {
    let source = env::current_dir()?;
    let home = programs::cargo_home()?;
    let folders = [
        (home.as_path(), "/usr/src/cargo"),
        (source.as_path(), programs::SOURCE),
        (target, "/usr/src/openrms/target"),
    ];
    let flag = |(folder, name): (&Path, &str)| format!("{option}={}={name} ", folder.display());
    Ok(folders.into_iter().map(flag).collect())
}

/// A package of the Windows Installer, of `packaging/windows/PACKAGE.wxs` and the amendments beside it,
/// which say in its tables what wixl cannot.
fn database(
    package: &str,
    title: &str,
    files: &Path,
    release: &Release,
    to: &Path,
) -> Result<(), Failure> {
    let sources = fs::canonicalize("packaging/windows")?;
    let source = sources.join(format!("{package}.wxs"));
    let made = std::path::absolute(to)?;
    // As the names and times of files in the cabinet, all of it depends on what is packed alone.
    let time = UNIX_EPOCH + Duration::from_secs(release.time);
    let mut contents = Vec::new();
    for name in FILES {
        let file = File::options().append(true).open(files.join(name))?;
        file.set_modified(time)?;
        contents.extend_from_slice(&openrms_crypto::sha256(&fs::read(files.join(name))?));
    }
    contents.extend_from_slice(&fs::read(&source)?);
    let numbers = release.version.numbers();
    let product = guid(&["product", package, &numbers], &[]);
    let code = guid(&["package", package, &numbers], &contents);
    run("faketime", |faketime| {
        at(faketime, release.time)
            .current_dir(files)
            .args(["wixl", "-a", "x64", "-D", &format!("VERSION={numbers}")])
            .args(["-D", &format!("PRODUCT={product}")])
            .args(["-D", &format!("PACKAGE={code}"), "-o"])
            .arg(&made)
            .arg(&source)
    })?;
    run("faketime", |faketime| {
        at(faketime, release.time).arg("msibuild").arg(&made).args([
            "-s",
            title,
            "OpenRMS",
            "x64;1033",
            &format!("{{{code}}}"),
        ])
    })?;
    for amendments in [format!("{package}.sql"), "both.sql".to_owned()] {
        let Ok(queries) = fs::read_to_string(sources.join(&amendments)) else {
            continue;
        };
        for query in queries.lines() {
            run("msibuild", |msibuild| {
                msibuild.arg(&made).args(["-q", query])
            })
            .map_err(|error| format!("{amendments}: {query}: {error}"))?;
        }
    }
    Ok(())
}

/// A tool at a time that stands still.
fn at(faketime: &mut Command, time: u64) -> &mut Command {
    faketime
        .env("FAKETIME_FMT", "%s")
        .args(["-f", &time.to_string()])
}

/// An identifier that follows from what it identifies (RFC 9562 5.8).
fn guid(names: &[&str], contents: &[u8]) -> String {
    let mut text = format!("openrms windows 1\n{}\n", names.join("\n")).into_bytes();
    text.extend_from_slice(contents);
    let digest = openrms_crypto::sha256(&text);
    let mut bytes = [0; 16];
    bytes
        .iter_mut()
        .zip(digest)
        .for_each(|(byte, of)| *byte = of);
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut bytes;
    *version = (*version & 0x0f) | 0x80;
    *variant = (*variant & 0x3f) | 0x80;
    let text = format!("{:032X}", u128::from_be_bytes(bytes));
    let parts = [
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..],
    ];
    parts.join("-")
}

/// Authenticode, with a time stamp by the same set of keys.
struct Signer {
    folder: Option<PathBuf>,
}

impl Signer {
    fn of(keys: Option<&Path>) -> Result<Self, Failure> {
        let folder = keys.map(|keys| keys.join("code-signing"));
        if let Some(folder) = folder.as_ref().filter(|folder| !folder.is_dir()) {
            return Err(format!(
                "{}: it is not there (cargo xtask dist keys)",
                folder.display()
            )
            .into());
        }
        if folder.is_none() {
            println!("nothing is signed: --keys says which keys sign");
        }
        Ok(Self { folder })
    }

    /// Puts a signed copy there, or an unsigned one where there are no keys.
    fn sign(&self, file: &Path, to: &Path, title: &str) -> Result<(), Failure> {
        let Some(folder) = &self.folder else {
            fs::copy(file, to)?;
            return Ok(());
        };
        run("osslsigncode", |tool| {
            tool.args(["sign", "-h", "sha256", "-n", title, "-i", HOME_PAGE]);
            for (option, name) in [
                ("-certs", "cs.crt"),
                ("-key", "cs.key"),
                ("-TSA-certs", "ts.crt"),
                ("-TSA-key", "ts.key"),
            ] {
                tool.arg(option).arg(folder.join(name));
            }
            tool.arg("-in").arg(file).arg("-out").arg(to)
        })
    }
}

const TRIPLE: &str = "x86_64-pc-windows-gnu";
const LINKER: &str = "x86_64-w64-mingw32-gcc";
const TOOLCHAIN: &str = "it needs Debian's rustc-web, cargo-web, rust-web-src, \
                         gcc-mingw-w64-x86-64-posix, g++-mingw-w64-x86-64-posix, nasm and cmake";
/// The linker would note when it ran.
const NO_TIME: &str = "-Clink-arg=-Wl,--no-insert-timestamp";
/// What `client.wxs` packs.
const FILES: [&str; 3] = ["rms.exe", "LICENSE-MIT.txt", "LICENSE-APACHE.txt"];
const HOME_PAGE: &str = "https://github.com/openrms/openrms";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_follow_from_names_and_contents() {
        let product = guid(&["product", "client", "0.2.0"], &[]);
        assert_eq!(product, guid(&["product", "client", "0.2.0"], &[]));
        assert_ne!(product, guid(&["product", "client", "0.2.1"], &[]));
        assert_ne!(product, guid(&["product", "client", "0.2.0"], b"x"));
        let parts: Vec<_> = product.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(product.as_bytes()[14], b'8');
    }
}
