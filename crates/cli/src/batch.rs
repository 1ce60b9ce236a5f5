//! Many files: found in folders, given a target each, worked on side by side.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Map, Value, json};

use crate::failure::{Exit, Failure};
use crate::shell::{Shell, plain};

/// A file to work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its place below the folder that the command line named; a name for a file named itself.
    pub(crate) place: PathBuf,
    /// Length in bytes, for progress.
    pub(crate) length: u64,
}

/// Where outputs go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Beside each source.
    Beside,
    /// Beside each source, which goes away.
    InPlace,
    /// To that file, the only one.
    File(PathBuf),
    /// Below that folder.
    Folder(PathBuf),
}

/// The targets of one run, so that no two of its files end as one: the second would be lost, with
/// `--force`, or pass for done before.
#[derive(Debug, Default)]
pub(crate) struct Targets(Mutex<HashSet<PathBuf>>);

/// How work on one file ended well.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// An output was written; fields for the JSON document.
    Written(PathBuf, Map<String, Value>),
    /// There was nothing to do, and why.
    Skipped(&'static str),
}

impl Destination {
    /// What `-o` and `--in-place` ask for. A folder is meant where one is, or where there are
    /// several files to put into it.
    pub(crate) fn of(output: Option<PathBuf>, in_place: bool, several: bool) -> Self {
        match output {
            Some(path) if several || path.is_dir() || ends_in_separator(&path) => {
                Self::Folder(path)
            }
            Some(path) => Self::File(path),
            None if in_place => Self::InPlace,
            None => Self::Beside,
        }
    }

    /// Makes the folder that a target is in, where a folder was asked for.
    pub(crate) fn make_folder_of(&self, target: &Path) -> Result<(), Failure> {
        match (self, target.parent()) {
            (Self::Folder(_), Some(folder)) => {
                fs::create_dir_all(folder).map_err(|error| Failure::io("made", folder, &error))
            }
            _ => Ok(()),
        }
    }

    /// The target of a source whose output would be called `name`.
    pub(crate) fn target(&self, source: &Source, name: &str) -> PathBuf {
        match self {
            Self::Beside | Self::InPlace => source.path.with_file_name(name),
            Self::File(path) => path.clone(),
            Self::Folder(folder) => folder.join(source.place.with_file_name(name)),
        }
    }
}

impl Targets {
    /// Takes a target for one source.
    pub(crate) fn claim(&self, target: &Path) -> Result<(), Failure> {
        let mut taken = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if taken.insert(target.to_owned()) {
            return Ok(());
        }
        let target = plain(&target.to_string_lossy());
        let message = format!("{target} is where another file of this run goes");
        let hint = "work on them one at a time, or into folders of their own";
        Err(Failure::new(Exit::Failed, "output-twice", message, hint))
    }
}

/// The files that the command line means: those it names, and with `recursive` those in the
/// folders it names, in order of name. Symbolic links in folders are not followed.
pub(crate) fn find(named: &[PathBuf], recursive: bool) -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    for path in named {
        let metadata = fs::metadata(path).map_err(|error| Failure::io("read", path, &error))?;
        if !metadata.is_dir() {
            let place = PathBuf::from(path.file_name().unwrap_or(path.as_os_str()));
            sources.push(Source {
                path: path.clone(),
                place,
                length: metadata.len(),
            });
        } else if recursive {
            walk(path, Path::new(""), &mut sources)?;
        } else {
            let message = format!("{} is a folder", plain(&path.to_string_lossy()));
            let hint = "--recursive takes all files in it";
            return Err(Failure::new(Exit::Failed, "is-a-folder", message, hint));
        }
    }
    let mut seen = HashSet::new();
    sources.retain(|source| seen.insert(source.path.clone()));
    Ok(sources)
}

fn walk(folder: &Path, place: &Path, sources: &mut Vec<Source>) -> Result<(), Failure> {
    let io = |error| Failure::io("read", folder, &error);
    let mut entries = fs::read_dir(folder)
        .map_err(io)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(io)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type().map_err(io)?;
        let place = place.join(entry.file_name());
        if kind.is_dir() {
            walk(&entry.path(), &place, sources)?;
        } else if kind.is_file() && !is_left_over(&entry.file_name().to_string_lossy()) {
            let length = entry.metadata().map_err(io)?.len();
            sources.push(Source {
                path: entry.path(),
                place,
                length,
            });
        }
    }
    Ok(())
}

/// What a killed run left behind of an output.
fn is_left_over(name: &str) -> bool {
    let salt = name
        .strip_suffix(".part")
        .and_then(|rest| rest.rsplit_once('.'));
    salt.is_some_and(|(hidden, salt)| {
        hidden.starts_with('.') && salt.len() == 16 && salt.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// Works on all sources, several at a time, and answers for all of them. The first failure in
/// the order of the sources decides how the program ends; the others are worked on all the same.
pub(crate) fn run(
    shell: Shell,
    verb: &str,
    sources: &[Source],
    work: impl Fn(&Source) -> Result<Outcome, Failure> + Sync,
) -> Result<(), Failure> {
    let bar = shell.bar(sources.iter().map(|source| source.length).sum());
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, Result<Outcome, Failure>)>> = Mutex::new(Vec::new());
    let worker = || {
        while let Some((index, source)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, sources.get(i)?)))
        {
            let result = work(source);
            bar.inc(source.length);
            if let Ok(mut results) = results.lock() {
                results.push((index, result));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads().min(sources.len()) {
            scope.spawn(worker);
        }
        worker();
    });
    bar.finish_and_clear();
    let mut results = results
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);

    let mut documents = Vec::new();
    let mut lines = String::new();
    let mut failure = None;
    for ((_, result), source) in results.into_iter().zip(sources) {
        let name = source.path.to_string_lossy();
        let mut fields = Map::from_iter([("file".to_owned(), json!(name))]);
        match result {
            Ok(Outcome::Written(target, more)) => {
                let target = target.to_string_lossy();
                _ = writeln!(lines, "{} {verb}: {}", plain(&name), plain(&target));
                fields.insert("ok".to_owned(), true.into());
                fields.insert("output".to_owned(), json!(target));
                fields.extend(more);
            }
            Ok(Outcome::Skipped(why)) => {
                _ = writeln!(lines, "{} skipped: {why}", plain(&name));
                fields.insert("ok".to_owned(), true.into());
                fields.insert("skipped".to_owned(), why.into());
            }
            Err(error) => {
                if !shell.is_json() && sources.len() > 1 {
                    shell.complain(&error);
                }
                fields.insert("ok".to_owned(), false.into());
                fields.insert("error".to_owned(), error.error());
                failure.get_or_insert(error);
            }
        }
        documents.push(Value::Object(fields));
    }
    let document = json!({ "files": documents });
    match failure {
        None => shell.answer(&document, || lines),
        Some(failure) if shell.is_json() => Err(failure.beside(document)),
        Some(failure) => {
            shell.put(lines.as_bytes())?;
            let failed = documents
                .iter()
                .filter(|document| document["ok"] == false)
                .count();
            Err(match sources.len() {
                1 => failure,
                many => Failure {
                    message: format!("{failed} of {many} files failed"),
                    hint: String::new(),
                    ..failure
                },
            })
        }
    }
}

/// Enough to keep the disk and the server busy, few enough to keep memory bounded.
fn threads() -> usize {
    thread::available_parallelism()
        .map_or(2, usize::from)
        .clamp(2, 8)
}

fn ends_in_separator(path: &Path) -> bool {
    path.as_os_str()
        .to_string_lossy()
        .ends_with(std::path::MAIN_SEPARATOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_walked_in_order_and_without_leftovers() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("b")).unwrap();
        for name in ["c", "a", "b/d", ".a.0123456789abcdef.part"] {
            fs::write(at(name), name).unwrap();
        }
        std::os::unix::fs::symlink(at("a"), at("link")).unwrap();
        let found = find(&[folder.path().to_owned(), at("a")], true).unwrap();
        let places: Vec<_> = found.iter().map(|s| s.place.to_str().unwrap()).collect();
        assert_eq!(places, ["a", "b/d", "c"]);
        assert_eq!(
            find(&[folder.path().to_owned()], false).unwrap_err().code,
            "is-a-folder"
        );
        let to = Destination::of(Some("/out".into()), false, true);
        assert_eq!(to.target(&found[1], "d.pfile"), Path::new("/out/b/d.pfile"));
        assert_eq!(
            Destination::Beside.target(&found[1], "d.pfile"),
            at("b/d.pfile")
        );
    }

    #[test]
    fn two_files_of_a_run_do_not_end_as_one() {
        let to = Destination::of(Some("/out".into()), false, true);
        let named = |path: &str| Source {
            path: path.into(),
            place: "x.txt".into(),
            length: 1,
        };
        let targets = Targets::default();
        let claim = |path| targets.claim(&to.target(&named(path), "x.ptxt"));
        claim("a/x.txt").unwrap();
        assert_eq!(claim("b/x.txt").unwrap_err().code, "output-twice");
    }
}
