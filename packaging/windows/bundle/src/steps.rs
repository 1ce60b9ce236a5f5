//! What is done, package by package: written to a folder of this run's own, checked, and kept from
//! change while the Windows Installer reads it. The second package is never tried after a failure.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::arguments::Request;
use crate::installer::Installer;
use crate::log::Log;
use crate::packages::Package;

/// Why nothing, or nothing more, was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error("this program was made without packages")]
    NoPackages,
    #[error("{name}: file-altered: it is not the package that this program was made with")]
    Altered { name: &'static str },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the Windows Installer cannot be run: {0}")]
    Installer(io::Error),
}

impl StepError {
    pub(crate) fn exit_code(&self) -> i32 {
        match self {
            Self::Altered { .. } => INSTALL_PACKAGE_INVALID,
            Self::NoPackages | Self::Io { .. } | Self::Installer(_) => INSTALL_FAILURE,
        }
    }
}

/// Does what is asked for, and gives the program's exit code.
pub(crate) fn perform(
    request: &Request,
    packages: &[Package],
    installer: &mut impl Installer,
    log: &mut Log,
) -> Result<i32, StepError> {
    if packages.is_empty() {
        return Err(StepError::NoPackages);
    }
    match request {
        Request::Help => Ok(SUCCESS),
        Request::Extract(folder) => extract(packages, folder, log),
        Request::Install {
            quiet, overrides, ..
        } => {
            let steps = packages.iter().enumerate().map(|(number, package)| {
                let told = overrides.get(&number);
                (
                    package,
                    "/i",
                    told.cloned().unwrap_or_else(|| screen(*quiet)),
                )
            });
            each(steps, installer, log)
        }
        Request::Remove { quiet, .. } => {
            let steps = packages.iter().rev();
            each(
                steps.map(|package| (package, "/x", screen(*quiet))),
                installer,
                log,
            )
        }
    }
}

/// One after the other, until one fails.
fn each<'p>(
    steps: impl Iterator<Item = (&'p Package, &'static str, Vec<OsString>)>,
    installer: &mut impl Installer,
    log: &mut Log,
) -> Result<i32, StepError> {
    let folder = tempfile::Builder::new().prefix("openrms-").tempdir();
    let folder = folder.map_err(|source| StepError::Io {
        path: std::env::temp_dir(),
        source,
    })?;
    let mut outcome = SUCCESS;
    for (package, verb, told) in steps {
        let path = folder.path().join(package.name);
        write(package, &path)?;
        let _held = hold(package, &path)?;
        let mut arguments = vec![verb.into(), path.into_os_string()];
        arguments.extend(told);
        // The last word counts, whatever was told.
        arguments.extend(["REBOOT=ReallySuppress".into(), "/norestart".into()]);
        log.line(&format_args!("{}: {verb} begins", package.name));
        let code = installer.run(&arguments).map_err(StepError::Installer)?;
        log.line(&format_args!("{}: {verb} ended with {code}", package.name));
        match code {
            SUCCESS => {}
            SUCCESS_REBOOT_REQUIRED | SUCCESS_REBOOT_INITIATED => outcome = SUCCESS_REBOOT_REQUIRED,
            UNKNOWN_PRODUCT if verb == "/x" => {}
            failure => return Ok(failure),
        }
    }
    Ok(outcome)
}

fn extract(packages: &[Package], folder: &Path, log: &mut Log) -> Result<i32, StepError> {
    let io = |source| StepError::Io {
        path: folder.to_owned(),
        source,
    };
    fs::create_dir_all(folder).map_err(io)?;
    for package in packages {
        let path = folder.join(package.name);
        write(package, &path)?;
        hold(package, &path)?;
        log.line(&path.display());
    }
    Ok(SUCCESS)
}

fn write(package: &Package, path: &Path) -> Result<(), StepError> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|mut file| {
        file.write_all(package.bytes)?;
        file.sync_all()
    })
    .map_err(|source| StepError::Io {
        path: path.to_owned(),
        source,
    })
}

/// Opens what was written so that nobody can change it any more, and only then looks at what it is.
fn hold(package: &Package, path: &Path) -> Result<File, StepError> {
    let io = |source| StepError::Io {
        path: path.to_owned(),
        source,
    };
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, FILE_SHARE_READ);
    let mut file = options.open(path).map_err(io)?;
    let mut digest = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        let length = file.read(&mut piece).map_err(io)?;
        match piece.get(..length) {
            Some(read) if length > 0 => digest.update(read),
            _ => break,
        }
    }
    if digest.finalize()[..] == package.sha256 {
        Ok(file)
    } else {
        Err(StepError::Altered { name: package.name })
    }
}

fn screen(quiet: bool) -> Vec<OsString> {
    vec![if quiet { "/qn" } else { "/qb" }.into()]
}

const SUCCESS: i32 = 0;
const INSTALL_FAILURE: i32 = 1603;
const UNKNOWN_PRODUCT: i32 = 1605;
const INSTALL_PACKAGE_INVALID: i32 = 1620;
pub(crate) const INVALID_COMMAND_LINE: i32 = 1639;
const SUCCESS_REBOOT_INITIATED: i32 = 1641;
const SUCCESS_REBOOT_REQUIRED: i32 = 3010;
#[cfg(windows)]
const FILE_SHARE_READ: u32 = 1;
const PIECE: usize = 1 << 16;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// SHA-256 of `one` and of `two`.
    pub(crate) const PACKAGES: [Package; 2] = [
        Package {
            name: "Client.msi",
            bytes: b"one",
            sha256: *b"\x76\x92\xc3\xad\x35\x40\xbb\x80\x3c\x02\x0b\x3a\xee\x66\xcd\x88\
                       \x87\x12\x32\x34\xea\x0c\x6e\x71\x43\xc0\xad\xd7\x3f\xf4\x31\xed",
        },
        Package {
            name: "BackCompat.msi",
            bytes: b"two",
            sha256: *b"\x3f\xc4\xcc\xfe\x74\x58\x70\xe2\xc0\xd9\x9f\x71\xf3\x0f\xf0\x65\
                       \x6c\x8d\xed\xd4\x1c\xc1\xd7\xd3\xd3\x76\xb0\xdb\xe6\x85\xe2\xf3",
        },
    ];

    /// Gives the codes it was made with, and remembers what it was told and read.
    struct Scripted {
        codes: Vec<i32>,
        told: Vec<String>,
        read: Vec<Vec<u8>>,
    }

    impl Installer for Scripted {
        fn run(&mut self, arguments: &[OsString]) -> io::Result<i32> {
            let path = Path::new(&arguments[1]);
            self.read.push(fs::read(path)?);
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let rest = arguments[2..].iter().map(|word| word.to_string_lossy());
            let words = [arguments[0].to_string_lossy().into_owned(), name];
            let words: Vec<_> = words.into_iter().chain(rest.map(String::from)).collect();
            self.told.push(words.join(" "));
            Ok(self.codes.remove(0))
        }
    }

    fn run(request: &Request, packages: &[Package], codes: &[i32]) -> (i32, Vec<String>) {
        let mut installer = Scripted {
            codes: codes.to_vec(),
            told: Vec::new(),
            read: Vec::new(),
        };
        let done = perform(request, packages, &mut installer, &mut Log::to(None));
        let whole: Vec<_> = packages.iter().map(|package| package.bytes).collect();
        assert!(installer.read.iter().all(|read| whole.contains(&&read[..])));
        (
            done.unwrap_or_else(|error| error.exit_code()),
            installer.told,
        )
    }

    fn install() -> Request {
        Request::Install {
            quiet: true,
            overrides: BTreeMap::new(),
            log: None,
        }
    }

    #[test]
    fn s16_the_client_comes_first_silent_and_without_a_restart() {
        let (code, told) = run(&install(), &PACKAGES, &[0, 0]);
        assert_eq!(code, 0);
        assert_eq!(
            told,
            [
                "/i Client.msi /qn REBOOT=ReallySuppress /norestart",
                "/i BackCompat.msi /qn REBOOT=ReallySuppress /norestart",
            ]
        );
    }

    #[test]
    fn s16_the_second_package_is_not_tried_when_the_first_failed() {
        let (code, told) = run(&install(), &PACKAGES, &[1603]);
        assert_eq!((code, told.len()), (1603, 1));
    }

    #[test]
    fn a_restart_that_is_wanted_is_told_and_not_made() {
        assert_eq!(run(&install(), &PACKAGES, &[3010, 0]).0, 3010);
        assert_eq!(run(&install(), &PACKAGES, &[0, 1641]).0, 3010);
        assert_eq!(run(&install(), &PACKAGES, &[3010, 1603]).0, 1603);
    }

    #[test]
    fn what_was_altered_inside_the_program_is_not_run() {
        for altered in 0..2 {
            let mut packages = PACKAGES;
            packages[altered].bytes = b"evil";
            let (code, told) = run(&install(), &packages, &[0, 0]);
            assert_eq!((code, told.len()), (1620, altered));
        }
    }

    #[test]
    fn both_are_removed_the_last_first_and_one_that_is_not_there_is_no_failure() {
        let removal = Request::Remove {
            quiet: true,
            log: None,
        };
        let (code, told) = run(&removal, &PACKAGES, &[1605, 0]);
        assert_eq!(code, 0);
        assert!(told[0].starts_with("/x BackCompat.msi"));
        assert!(told[1].starts_with("/x Client.msi"));
    }

    #[test]
    fn packages_are_extracted_and_nothing_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("a").join("b");
        let request = Request::Extract(to.clone());
        assert_eq!(run(&request, &PACKAGES, &[]), (0, Vec::new()));
        assert_eq!(fs::read(to.join("Client.msi")).unwrap(), b"one");
        assert_eq!(fs::read(to.join("BackCompat.msi")).unwrap(), b"two");
        assert_eq!(run(&request, &PACKAGES, &[]).0, 1603);
    }

    #[test]
    fn a_program_without_packages_does_nothing() {
        assert_eq!(run(&install(), &[], &[]).0, 1603);
    }
}
