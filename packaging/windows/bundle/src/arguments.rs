//! The command line. `-` and `/` begin options alike, and their letters' case does not count, as with
//! the original and with `msiexec`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::packages::Package;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Both packages, in their order.
    Install {
        /// Nothing on the screen, where a package is not told otherwise.
        quiet: bool,
        /// What packages are told in the place of that, by their number from 0, without the verb and
        /// the name.
        overrides: BTreeMap<usize, Vec<OsString>>,
        log: Option<PathBuf>,
    },
    /// The packages into a folder, and nothing else.
    Extract(PathBuf),
    /// Both removed, the last first.
    Remove { quiet: bool, log: Option<PathBuf> },
    /// How it is used.
    Help,
}

/// What is wrong with a command line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArgumentError {
    #[error("{0}: no such option")]
    Unknown(String),
    #[error("{0} wants a value")]
    NoValue(&'static str),
    #[error("-override wants the number of a package, from 1 to {0}")]
    NoSuchPackage(usize),
    #[error("-override {0} is given twice")]
    Twice(usize),
    #[error("-override {number} begins with /I {name}")]
    OtherPackage { number: usize, name: &'static str },
    #[error("-override {number}: {option} is for the program to decide")]
    Forbidden { number: usize, option: String },
    #[error("{0} does not go with /x")]
    NotWithRemoval(&'static str),
}

impl Request {
    /// Reads what follows the program's name.
    pub(crate) fn parse(
        arguments: impl Iterator<Item = OsString>,
        packages: &[Package],
    ) -> Result<Self, ArgumentError> {
        let mut arguments = arguments.peekable();
        let (mut quiet, mut log, mut removal) = (false, None, None);
        let mut overrides = BTreeMap::new();
        while let Some(argument) = arguments.next() {
            let option = option(&argument).unwrap_or_default();
            match option.as_str() {
                "?" | "h" | "help" => return Ok(Self::Help),
                "q" | "quiet" | "qn" => quiet = true,
                "log" => {
                    let file = arguments.next().ok_or(ArgumentError::NoValue("/log"))?;
                    log = Some(PathBuf::from(file));
                }
                "override" => {
                    let number = arguments.next().and_then(|text| number(&text, packages));
                    let number = number.ok_or(ArgumentError::NoSuchPackage(packages.len()))?;
                    let mut words = Vec::new();
                    while let Some(word) = arguments.next_if(|word| !is_override(word)) {
                        words.push(word);
                    }
                    let words = checked(number, words, packages)?;
                    if overrides.insert(number, words).is_some() {
                        return Err(ArgumentError::Twice(number + 1));
                    }
                }
                "x" => {
                    let folder = arguments.next_if(|next| self::option(next).is_none());
                    // `/x /t:PATH` is the other form of `/x PATH`.
                    let folder = folder.map(|folder| target(&folder).unwrap_or(folder.into()));
                    removal = Some(folder);
                }
                _ => return Err(ArgumentError::Unknown(text(&argument))),
            }
        }
        match removal {
            Some(_) if !overrides.is_empty() => Err(ArgumentError::NotWithRemoval("-override")),
            Some(Some(folder)) => Ok(Self::Extract(folder)),
            Some(None) => Ok(Self::Remove { quiet, log }),
            None => Ok(Self::Install {
                quiet,
                overrides,
                log,
            }),
        }
    }

    /// The file that takes a line for each step.
    pub(crate) fn log(&self) -> Option<&Path> {
        match self {
            Self::Install { log, .. } | Self::Remove { log, .. } => log.as_deref(),
            Self::Extract(_) | Self::Help => None,
        }
    }
}

/// The words of an override behind `/I NAME`, which must be there. What would run something else, or
/// restart the machine, is refused.
fn checked(
    number: usize,
    words: Vec<OsString>,
    packages: &[Package],
) -> Result<Vec<OsString>, ArgumentError> {
    let name = packages.get(number).map_or("", |package| package.name);
    let number = number + 1;
    let mut words = words.into_iter();
    let verb = words.next().and_then(|word| option(&word));
    let named = words.next().filter(|word| word.eq_ignore_ascii_case(name));
    if verb.as_deref() != Some("i") || named.is_none() {
        return Err(ArgumentError::OtherPackage { number, name });
    }
    let words: Vec<OsString> = words.collect();
    let forbidden = words.iter().find(|word| is_forbidden(word));
    match forbidden {
        Some(word) => Err(ArgumentError::Forbidden {
            number,
            option: text(word),
        }),
        None => Ok(words),
    }
}

/// What a word behind `/I NAME` may not be: another verb, another package, a restart.
fn is_forbidden(word: &OsStr) -> bool {
    let word = text(word).to_ascii_lowercase();
    if let Some(option) = word.strip_prefix(['-', '/']) {
        let allowed = ["q", "qn", "qb", "qr", "quiet", "passive", "norestart"];
        let is_logging = option.starts_with('l');
        return !(allowed.contains(&option) || is_logging);
    }
    match word.split_once('=') {
        Some(("reboot", value)) => !matches!(value, "reallysuppress" | "r"),
        Some(("transforms" | "patch", _)) => true,
        _ => false,
    }
}

/// An option without what begins it, in small letters; `None` for anything else, paths and what has a
/// path in it as well.
fn option(argument: &OsStr) -> Option<String> {
    let text = argument.to_str()?;
    let rest = text.strip_prefix(['-', '/'])?;
    (!rest.contains(['/', '\\'])).then(|| rest.to_ascii_lowercase())
}

fn is_override(argument: &OsStr) -> bool {
    option(argument).as_deref() == Some("override")
}

fn number(text: &OsStr, packages: &[Package]) -> Option<usize> {
    let number: usize = text.to_str()?.parse().ok()?;
    (1..=packages.len()).contains(&number).then(|| number - 1)
}

/// The folder of `/t:PATH`.
fn target(argument: &OsStr) -> Option<PathBuf> {
    let text = argument.to_str()?;
    let rest = text.strip_prefix(['-', '/'])?.strip_prefix(['t', 'T'])?;
    let folder = rest.strip_prefix(':')?;
    (!folder.is_empty()).then(|| folder.into())
}

fn text(argument: &OsStr) -> String {
    argument.to_string_lossy().into_owned()
}

pub(crate) const HELP: &str = "\
OpenRMS for Windows: the client (Client.msi, 1) and, for old applications, BackCompat.msi (2).

  (nothing)             install both
  /q                    without anything on the screen
  -override N ARGUMENTS tell package N ARGUMENTS instead, which begin with /I and its name:
                        -override 1 /I Client.msi REBOOT=ReallySuppress /q
                        -override 2 /I BackCompat.msi REBOOT=ReallySuppress /q
  /x PATH, /x /t:PATH   put the packages into the folder PATH, install nothing
  /x                    remove both
  /log FILE             a line for each step, at the end of FILE

The second package is not tried when the first failed. The machine is never restarted. Exit codes are
those of the Windows Installer: 0 done, 3010 done and to be completed by a restart, 1603 failed, 1620 a
package is not what it was, 1639 wrong usage.";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Request, ArgumentError> {
        let words = line.split_whitespace().map(OsString::from);
        Request::parse(words, &crate::steps::tests::PACKAGES)
    }

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn s16_the_command_line_of_the_original_is_taken_word_for_word() {
        let line = "-override 1 /I Client.msi REBOOT=ReallySuppress /q \
                    -override 2 /I BackCompat.msi REBOOT=ReallySuppress /q";
        let told = words("REBOOT=ReallySuppress /q");
        let request = Request::Install {
            quiet: false,
            overrides: BTreeMap::from([(0, told.clone()), (1, told)]),
            log: None,
        };
        assert_eq!(parse(line), Ok(request));
    }

    #[test]
    fn letters_and_signs_of_options_do_not_matter() {
        let lower = parse("-OVERRIDE 1 -i client.MSI /Q /L*v c:install.log");
        let request = Request::Install {
            quiet: false,
            overrides: BTreeMap::from([(0, words("/Q /L*v c:install.log"))]),
            log: None,
        };
        assert_eq!(lower, Ok(request));
    }

    #[test]
    fn a_folder_behind_x_is_extracted_to_and_none_means_removal() {
        let folder = || Ok(Request::Extract("C:\\packages".into()));
        assert_eq!(parse("/x C:\\packages"), folder());
        assert_eq!(parse("-X /T:C:\\packages"), folder());
        let removal = |quiet| Ok(Request::Remove { quiet, log: None });
        assert_eq!(parse("/x"), removal(false));
        assert_eq!(parse("/x /q"), removal(true));
        assert_eq!(parse("/q /x"), removal(true));
    }

    #[test]
    fn an_override_runs_its_own_package_and_no_other() {
        for line in [
            "-override 1",
            "-override 1 /q",
            "-override 1 /I BackCompat.msi /q",
            "-override 1 /I \\\\share\\Client.msi /q",
            "-override 1 /x Client.msi /q",
        ] {
            let error = parse(line).unwrap_err();
            assert!(
                matches!(error, ArgumentError::OtherPackage { .. }),
                "{line}"
            );
        }
        for word in [
            "/i",
            "/p",
            "/update",
            "/x",
            "/f",
            "/a",
            "/forcerestart",
            "/pC:\\a.msp",
            "REBOOT=Force",
            "TRANSFORMS=a.mst",
            "patch=a.msp",
        ] {
            let error = parse(&format!("-override 2 /I BackCompat.msi {word}")).unwrap_err();
            assert!(matches!(error, ArgumentError::Forbidden { .. }), "{word}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "-override",
            "-override 0 /I Client.msi",
            "-override 3 /I Client.msi",
            "-override x",
            "-override 1 /I Client.msi -override 1 /I Client.msi",
            "-override 1 /I Client.msi /q -override",
            "/x -override 1 /I Client.msi",
            "/log",
            "Client.msi",
            "/z",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
