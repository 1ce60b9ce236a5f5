//! `rms open`: the original again, for those who may have it.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _, Write};
use std::path::PathBuf;

use clap::Args;
use openrms_client::open::OpenError;
use openrms_client::{Client, Exported, Opened, Output, Overwrite};
use openrms_formats::names;
use serde_json::{Map, json};
use zeroize::Zeroizing;

use super::protect::{failed, is_protected, sources_are_several};
use crate::batch::{self, Destination, Outcome, Source, Targets};
use crate::examine::examine;
use crate::failure::{Exit, Failure};
use crate::session::Connection;
use crate::shell::{Shell, plain};

/// Arguments of `rms open`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "options of a command line")]
#[command(
    after_help = "Saving the original needs the right EXPORT or OWNER. With VIEW only, \
                        `--stdout` shows text on a terminal."
)]
pub(crate) struct Open {
    /// Protected files; folders with --recursive.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where to: a file, or a folder.
    #[arg(short, long, value_name = "OUT", conflicts_with_all = ["in_place", "stdout"])]
    output: Option<PathBuf>,
    /// The original takes the place of the protected file.
    #[arg(long, conflicts_with = "stdout")]
    in_place: bool,
    /// Write the original to standard output.
    #[arg(long, conflicts_with = "json")]
    stdout: bool,
    /// Take all protected files in folders.
    #[arg(short, long)]
    recursive: bool,
    /// Overwrite files that are there.
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Open {
    pub(crate) fn run(self, shell: Shell) -> Result<(), Failure> {
        let mut sources = batch::find(&self.files, self.recursive)?;
        // Folders hold other files, too.
        sources.retain(|source| self.files.contains(&source.path) || is_protected(&source.path));
        let several = sources_are_several(&self.files);
        let to = Destination::of(self.output.clone(), self.in_place, several);
        // What is no protected file is said before anybody is asked for a password.
        let examined = match sources.as_slice() {
            [source] => Some(examine(&source.path)?),
            _ => None,
        };
        let client = self
            .connection
            .ready(shell)
            .map_err(|failure| match &examined {
                Some(examined) => examined.name_server(failure),
                None => failure,
            })?;
        client.account()?;
        if self.stdout {
            return sources
                .iter()
                .try_for_each(|source| show(shell, &client, source));
        }
        let targets = Targets::default();
        batch::run(shell, "opened", &sources, |source| {
            self.open(&client, (&to, &targets), source)
        })
    }

    fn open(
        &self,
        client: &Client,
        (to, targets): (&Destination, &Targets),
        source: &Source,
    ) -> Result<Outcome, Failure> {
        let opened = client
            .open_file(&source.path)?
            .export()
            .map_err(OpenError::from)
            .map_err(failed)?;
        write_original(opened, source, (to, targets), self.force)
    }
}

/// Writes the original of a file, and removes the protected one where the original takes its
/// place.
pub(super) fn write_original(
    content: Exported<fs::File>,
    source: &Source,
    (to, targets): (&Destination, &Targets),
    force: bool,
) -> Result<Outcome, Failure> {
    let name = source
        .place
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let target = to.target(
        source,
        &names::original_name(&name, Some(content.extension())),
    );
    targets.claim(&target)?;
    let metadata =
        fs::metadata(&source.path).map_err(|error| Failure::io("read", &source.path, &error))?;
    to.make_folder_of(&target)?;
    let in_place = *to == Destination::InPlace;
    let same = target == source.path && in_place;
    let overwrite = if force || same {
        Overwrite::Force
    } else {
        Overwrite::Never
    };
    let mut output = Output::create(&target, overwrite, Some(&metadata)).map_err(failed)?;
    let content_id = content.content_id().to_owned();
    let length = content.copy_to(&mut output).map_err(failed)?;
    let target = output.commit().map(|_| target).map_err(failed)?;
    if in_place && !same {
        fs::remove_file(&source.path)
            .map_err(|error| Failure::io("removed", &source.path, &error))?;
    }
    let more = Map::from_iter([
        ("content_id".to_owned(), json!(content_id)),
        ("length".to_owned(), json!(length)),
    ]);
    Ok(Outcome::Written(target, more))
}

/// Writes the original to standard output; with VIEW only, text to a terminal.
fn show(shell: Shell, client: &Client, source: &Source) -> Result<(), Failure> {
    let mut opened = client.open_file(&source.path)?;
    if opened.may("EXPORT") {
        let opened = opened.export().map_err(OpenError::from).map_err(failed)?;
        // Standard output breaks lines into single writes; content is written in large ones.
        let mut out = io::BufWriter::with_capacity(1 << 16, Pipe(io::stdout().lock()));
        opened.copy_to(&mut out).map_err(failed)?;
        return Ok(());
    }
    let name = plain(&source.path.to_string_lossy());
    let held: Vec<_> = opened
        .held()
        .rights
        .iter()
        .map(|held| held.right.name().to_owned())
        .collect();
    let denied = |reason: &str| {
        let message = format!("{name}: {reason}; you hold {}", held.join(", "));
        let hint = "ask the author for EXPORT to have the original outside of this program";
        Failure::new(Exit::Denied, "export-denied", message, hint)
    };
    if !opened.may("VIEW") {
        return Err(denied("showing it needs VIEW"));
    }
    if !io::stdout().is_terminal() {
        return Err(denied(
            "with VIEW only, text is shown on a terminal and nowhere else",
        ));
    }
    let text = read_text(&mut opened).map_err(|error| Failure::io("read", &source.path, &error))?;
    let text = text.ok_or_else(|| denied("it is not text that a terminal could show"))?;
    for line in text.lines() {
        shell.put(format!("{}\n", plain(&line.replace('\t', "    "))).as_bytes())?;
    }
    Ok(())
}

/// The whole content, when it is UTF-8 and fits a screen's patience.
fn read_text(opened: &mut Opened<fs::File>) -> io::Result<Option<Zeroizing<String>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    opened.take(MOST_SHOWN + 1).read_to_end(&mut bytes)?;
    let fits = bytes.len() as u64 <= MOST_SHOWN && !bytes.contains(&0);
    let text = std::str::from_utf8(&bytes).ok().filter(|_| fits);
    Ok(text.map(|text| Zeroizing::new(text.trim_start_matches('\u{feff}').to_owned())))
}

/// A pipe whose reader may go away.
struct Pipe<W>(W);

impl<W: Write> Write for Pipe<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            outcome => outcome,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            outcome => outcome,
        }
    }
}

/// Bytes of text that are shown on a terminal.
const MOST_SHOWN: u64 = 16 << 20;
