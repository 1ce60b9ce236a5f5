//! The two voices of the program: answers on standard output, as text or as one JSON document;
//! messages, questions and progress bars on standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Args;
use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use openrms_client::level::{ClientLevel, NoSuchLevel};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};

/// How the program talks; options of every command.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Shell {
    /// Answer with one JSON document on standard output.
    #[arg(long, global = true)]
    json: bool,
    /// No messages and no progress bars; answers and errors only.
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Behave as a client of that version of RMS; else `RMS_CLIENT_LEVEL`, else as `rms init` or
    /// `rms activate` remembered, else as the newest.
    #[arg(long, global = true, value_name = "LEVEL", value_parser = parse_level)]
    client_level: Option<ClientLevel>,
}

impl Shell {
    /// A shell for the error of a command line that could not be read.
    pub(crate) fn for_json() -> Self {
        Self {
            json: true,
            quiet: false,
            client_level: None,
        }
    }

    /// Whether the answer is JSON.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// The version of RMS that it is told to behave as.
    pub(crate) fn client_level(self) -> Option<ClientLevel> {
        self.client_level
    }

    /// A message to whoever is watching.
    pub(crate) fn say(self, message: impl Display) {
        if !self.quiet {
            _ = writeln!(io::stderr(), "{message}");
        }
    }

    /// The answer of a command: the document with `--json`, the text otherwise.
    pub(crate) fn answer(
        self,
        document: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let out = if self.json {
            serde_json::to_string_pretty(document)
                .map_err(|error| Failure::new(Exit::Failed, "internal", error.to_string(), ""))?
        } else {
            text()
        };
        let newline = if out.is_empty() || out.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        self.put(format!("{out}{newline}").as_bytes())
    }

    /// Bytes on standard output. A reader that went away is no failure.
    #[allow(
        clippy::unused_self,
        reason = "the voices of the program are methods of the shell"
    )]
    pub(crate) fn put(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let message = format!("standard output cannot be written: {error}");
                Err(Failure::new(Exit::Failed, "io", message, ""))
            }
            _ => Ok(()),
        }
    }

    /// Says what went wrong and how the program ends.
    pub(crate) fn fail(self, failure: &Failure) -> ExitCode {
        if self.json {
            let document = format!("{:#}\n", failure.document());
            _ = self.put(document.as_bytes());
        } else {
            self.complain(failure);
        }
        failure.exit.into()
    }

    /// One of several errors, on standard error.
    #[allow(
        clippy::unused_self,
        reason = "the voices of the program are methods of the shell"
    )]
    pub(crate) fn complain(self, failure: &Failure) {
        _ = writeln!(io::stderr(), "rms: {failure}");
    }

    /// A bar over so many bytes; hidden where nobody watches.
    pub(crate) fn bar(self, total: u64) -> ProgressBar {
        if self.quiet || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        match ProgressStyle::with_template(BAR) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }

    /// Asks for a password on the terminal, without echo. Not on a terminal: `None`.
    pub(crate) fn password(self, prompt: &str) -> Option<Zeroizing<String>> {
        let term = self.terminal()?;
        term.write_str(&format!("{prompt}: ")).ok()?;
        term.read_secure_line().ok().map(Zeroizing::new)
    }

    /// Asks a yes-or-no question on the terminal. Not on a terminal: `None`.
    pub(crate) fn confirm(self, question: &str) -> Option<bool> {
        let term = self.terminal()?;
        term.write_str(&format!("{question} [y/N] ")).ok()?;
        let line = term.read_line().ok()?;
        Some(matches!(line.trim(), "y" | "Y" | "yes"))
    }

    #[allow(
        clippy::unused_self,
        reason = "the voices of the program are methods of the shell"
    )]
    fn terminal(self) -> Option<Term> {
        let watched = io::stdin().is_terminal() && io::stderr().is_terminal();
        watched.then(Term::stderr)
    }
}

/// Text of strangers made safe for a terminal: no control characters, no change of direction.
pub(crate) fn plain(text: &str) -> String {
    let hostile = |c: char| {
        c.is_control()
            || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
    };
    if !text.contains(hostile) {
        return text.to_owned();
    }
    text.chars()
        .map(|c| {
            if hostile(c) {
                c.escape_unicode().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
}

const BAR: &str = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}";

fn parse_level(name: &str) -> Result<ClientLevel, NoSuchLevel> {
    name.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_talk_to_the_terminal() {
        assert_eq!(plain("Nur Lesen"), "Nur Lesen");
        assert_eq!(plain("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(plain("a\u{202e}b"), "a\\u{202e}b");
    }
}
