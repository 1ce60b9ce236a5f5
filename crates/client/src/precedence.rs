//! Whose word counts: that of the command line, else the environment's, the person's, the
//! machine's. Where the machine's administrator made a setting final, it is theirs alone.

use std::fmt;
use std::path::PathBuf;

use openrms_protocol::ClientLevel;

use crate::error::{Class, Coded};
use crate::machine_settings::{Fixable, Place};
use crate::proxy::{NoProxy, Proxy};
use crate::url::ServerUrl;

/// Something said, and by which option or variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word<T> {
    /// What.
    pub value: T,
    /// The option or variable, as it is typed.
    pub by: &'static str,
}

/// What a command line, or the environment, says for one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spoken {
    /// The server.
    pub server: Option<Word<ServerUrl>>,
    /// The version of RMS to behave as.
    pub client_level: Option<Word<ClientLevel>>,
    /// Further TLS authorities, PEM.
    pub ca_file: Option<Word<PathBuf>>,
    /// The HTTP proxy.
    pub proxy: Option<Word<Proxy>>,
    /// Whom to reach without it.
    pub no_proxy: Option<Word<NoProxy>>,
}

/// Who set something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetBy {
    /// An option of the command.
    Command(&'static str),
    /// A variable of the environment.
    Environment(&'static str),
    /// The person's settings.
    Person(Place),
    /// The machine's settings; no place where the caller handed them in.
    Machine(Option<Place>),
    /// Nobody.
    Default,
}

/// Somebody said otherwise than the machine's administrator, whose word is final.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{by} sets {key}, which is final in {}", place.as_deref().unwrap_or("this machine's settings"))]
pub struct FinalError {
    /// The setting.
    pub key: &'static str,
    /// The option or variable.
    pub by: &'static str,
    /// Where it was made final.
    pub place: Option<String>,
}

/// Everything said about one setting.
pub(crate) struct Said<'a, T> {
    pub(crate) key: Fixable,
    pub(crate) command: Option<&'a Word<T>>,
    pub(crate) environment: Option<&'a Word<T>>,
    pub(crate) person: Option<(T, Place)>,
    pub(crate) machine: Option<&'a T>,
    /// Where the machine's settings say it, and whether they are final.
    pub(crate) place: Option<Place>,
    pub(crate) is_final: bool,
}

impl Spoken {
    /// Names the server and nothing else.
    pub fn naming(server: ServerUrl) -> Self {
        let by = "the caller";
        Self {
            server: Some(Word { value: server, by }),
            ..Self::default()
        }
    }
}

impl<T: Clone + PartialEq> Said<'_, T> {
    /// What counts, and who said it. Other words of the command and of the environment than a final
    /// one are refused, lest somebody believes that they count; what a person once set is passed
    /// over.
    pub(crate) fn in_force(self) -> Result<Option<(T, SetBy)>, FinalError> {
        let spoken = [
            self.command.map(|word| (word, SetBy::Command(word.by))),
            self.environment
                .map(|word| (word, SetBy::Environment(word.by))),
        ];
        let machine = self
            .machine
            .map(|value| (value.clone(), SetBy::Machine(self.place.clone())));
        if let Some((value, by)) = machine.as_ref().filter(|_| self.is_final) {
            let other = spoken
                .iter()
                .flatten()
                .find(|(word, _)| word.value != *value);
            return match other {
                Some((word, _)) => Err(FinalError {
                    key: self.key.name(),
                    by: word.by,
                    place: self.place.map(|place| place.to_string()),
                }),
                None => Ok(Some((value.clone(), by.clone()))),
            };
        }
        let mut spoken = spoken.into_iter().flatten();
        let spoken = spoken.next().map(|(word, by)| (word.value.clone(), by));
        let person = self.person.map(|(value, at)| (value, SetBy::Person(at)));
        Ok(spoken.or(person).or(machine))
    }
}

impl SetBy {
    /// Stable name, for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Command(_) => "option",
            Self::Environment(_) => "environment",
            Self::Person(_) => "settings",
            Self::Machine(_) => "machine",
            Self::Default => "default",
        }
    }
}

impl fmt::Display for SetBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(by) | Self::Environment(by) => f.write_str(by),
            Self::Person(place) | Self::Machine(Some(place)) => place.fmt(f),
            Self::Machine(None) => f.write_str("this machine's settings"),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Coded for FinalError {
    fn code(&self) -> &'static str {
        "setting-is-final"
    }

    fn class(&self) -> Class {
        Class::Denied
    }

    fn hint(&self) -> Option<String> {
        Some("leave it out, or ask whoever looks after this machine".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<'a>(
        command: Option<&'a Word<u8>>,
        environment: Option<&'a Word<u8>>,
        person: Option<u8>,
        machine: Option<&'a u8>,
        is_final: bool,
    ) -> Said<'a, u8> {
        Said {
            key: Fixable::Server,
            command,
            environment,
            person: person.map(|value| (value, Place::of("settings.toml"))),
            machine,
            place: Some(Place::of("client.toml")),
            is_final,
        }
    }

    #[test]
    fn the_nearer_word_counts_unless_the_machines_is_final() {
        let [one, two] = [(1, "--x"), (2, "X")].map(|(value, by)| Word { value, by });
        let tell = |said: Said<'_, u8>| {
            let found = said.in_force().map_err(|error| error.to_string());
            found.map(|found| found.map(|(value, by)| format!("{value} {by}")))
        };
        let (command, environment) = (Some(&one), Some(&two));
        let ok = |text: &str| Ok(Some(text.to_owned()));
        let all = |is_final| said(command, environment, Some(3), Some(&4), is_final);
        assert_eq!(tell(all(false)), ok("1 --x"));
        assert_eq!(
            tell(said(None, environment, Some(3), Some(&4), false)),
            ok("2 X")
        );
        let person = || said(None, None, Some(3), Some(&4), false);
        assert_eq!(tell(person()), ok("3 settings.toml"));
        assert_eq!(
            tell(said(None, None, None, Some(&4), false)),
            ok("4 client.toml")
        );
        assert_eq!(tell(said(None, None, None, None, true)), Ok(None));

        let refused = tell(all(true)).unwrap_err();
        assert_eq!(refused, "--x sets server, which is final in client.toml");
        assert_eq!(
            tell(said(None, None, Some(3), Some(&4), true)),
            ok("4 client.toml")
        );
        // Who says the same is not in the way, and nothing is final that was not set.
        assert_eq!(
            tell(said(command, None, None, Some(&1), true)),
            ok("1 client.toml")
        );
        assert_eq!(tell(said(command, None, None, None, true)), ok("1 --x"));
    }
}
