//! What a command did.

use std::fmt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A command that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; -1 after a signal.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Runs it to its end.
    pub fn of(command: &mut Command) -> Self {
        let done = command.stdin(Stdio::null()).output();
        let done = done.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            code: done.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&done.stdout).into_owned(),
            err: String::from_utf8_lossy(&done.stderr).into_owned(),
        }
    }

    /// What it printed, where it did what it should.
    #[track_caller]
    pub fn done(self) -> String {
        assert_eq!(self.code, 0, "{self}");
        self.out
    }

    /// What it said of itself beside that, where it did what it should.
    #[track_caller]
    pub fn done_quietly(self) -> String {
        assert_eq!(self.code, 0, "{self}");
        self.err
    }

    /// What it complained of, where it ended with this code.
    #[track_caller]
    pub fn refused(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self}");
        self.err
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}\n{}\n{}", self.code, self.out, self.err)
    }
}

/// Waits until something holds, a minute at most.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(PAUSE);
    }
}

const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(50);
