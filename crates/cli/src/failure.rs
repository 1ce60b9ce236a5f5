//! What went wrong, for people and scripts: exit code, stable name, message, and what to do next.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use openrms_client::Class;
use serde_json::{Map, Value, json};

use crate::shell::plain;

/// How the program ends when it is not done. The numbers are a promise to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something outside went wrong.
    Failed = 1,
    /// The command line does not make sense.
    Usage = 2,
    /// The caller has no, or no sufficient, right.
    Denied = 3,
    /// Signature, chain, hierarchy or revocation.
    Untrusted = 4,
    /// Server or directory unreachable.
    Unreachable = 5,
    /// Input that is not what it should be.
    Malformed = 6,
}

/// A command that did not do what was asked.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// How the program ends.
    pub(crate) exit: Exit,
    /// Stable name in kebab case.
    pub(crate) code: &'static str,
    /// What is wrong, with the file or service it is about.
    pub(crate) message: String,
    /// What to do next; may be empty.
    pub(crate) hint: String,
    /// What stands beside `error` in the JSON document.
    pub(crate) beside: Map<String, Value>,
}

impl Failure {
    /// A failure without anything beside it.
    pub(crate) fn new(
        exit: Exit,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            exit,
            code,
            message: message.into(),
            hint: hint.into(),
            beside: Map::new(),
        }
    }

    /// A command line that does not make sense.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message, hint)
    }

    /// A file that could not be read or written.
    pub(crate) fn io(doing: &str, path: &Path, error: &io::Error) -> Self {
        let (code, hint) = match error.kind() {
            io::ErrorKind::NotFound => ("not-found", "check the name"),
            io::ErrorKind::PermissionDenied => ("no-access", "check the permissions of the file"),
            io::ErrorKind::AlreadyExists => (
                "exists",
                "use --force to overwrite it, or -o to choose another name",
            ),
            io::ErrorKind::StorageFull => ("disk-full", "make room and try again"),
            _ => ("io", ""),
        };
        let message = format!(
            "{} cannot be {doing}: {error}",
            plain(&path.to_string_lossy())
        );
        Self::new(Exit::Failed, code, message, hint)
    }

    /// Puts something beside `error` in the JSON document.
    pub(crate) fn beside(mut self, document: Value) -> Self {
        match document {
            Value::Object(fields) => self.beside.extend(fields),
            other => _ = self.beside.insert("results".to_owned(), other),
        }
        self
    }

    /// The `error` object.
    pub(crate) fn error(&self) -> Value {
        json!({ "code": self.code, "message": self.message, "hint": self.hint })
    }

    /// The JSON document.
    pub(crate) fn document(&self) -> Value {
        let mut fields = self.beside.clone();
        fields.insert("error".to_owned(), self.error());
        Value::Object(fields)
    }
}

impl From<openrms_client::Error> for Failure {
    fn from(error: openrms_client::Error) -> Self {
        Self::new(
            error.class().into(),
            error.code(),
            plain(&error.full_message()),
            plain(&error.hint().unwrap_or_default()),
        )
    }
}

impl From<Class> for Exit {
    fn from(class: Class) -> Self {
        match class {
            Class::Failed => Self::Failed,
            Class::Usage => Self::Usage,
            Class::Denied => Self::Denied,
            Class::NotTrusted => Self::Untrusted,
            Class::Unreachable => Self::Unreachable,
            Class::Malformed => Self::Malformed,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.hint.is_empty() {
            write!(f, "\n  hint: {}", self.hint)?;
        }
        Ok(())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
