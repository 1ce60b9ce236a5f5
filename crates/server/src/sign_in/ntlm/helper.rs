//! One `ntlm_auth` of winbind's, a child process that speaks the line protocol of Squid's helpers
//! (`squid-2.5-ntlmssp`): it makes challenges and has the domain check the answers to them.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use openrms_directory::AccountName;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::message::Token;

/// How helpers are started.
pub(super) struct Launcher {
    pub(super) program: PathBuf,
    /// What comes before the argument that names the protocol.
    pub(super) arguments: Vec<String>,
    /// For each answer.
    pub(super) time_limit: Duration,
    /// Where their pipes are looked after. It outlives whichever thread starts one.
    pub(super) runtime: Handle,
}

/// A running helper. It is killed when this is dropped: whatever fails takes the helper by value
/// and gives it back only when it did what the protocol says, so none that is out of step is ever
/// asked about somebody else.
pub(super) struct Helper {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    time_limit: Duration,
}

/// What came of a question.
pub(super) type Answered<T> = Result<(Helper, Result<T, Refusal>), HelperError>;

/// The domain, or the helper for it, says no: the name of a status of NT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) String);

impl Refusal {
    /// Whether nobody could be asked, so that it tells nothing of the client.
    pub(super) fn is_outage(&self) -> bool {
        OUTAGES.contains(&self.0.as_str())
    }
}

/// Why a helper is of no more use.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelperError {
    /// It cannot be started.
    #[error("the helper cannot be started: {0}")]
    Start(io::Error),
    /// Its pipes broke.
    #[error("the helper cannot be spoken to: {0}")]
    Pipe(#[from] io::Error),
    /// It closed its output.
    #[error("the helper ended")]
    Ended,
    /// No answer in time.
    #[error("the helper did not answer in time")]
    TimeOut,
    /// The answer has no end, or a second one follows it.
    #[error("the helper said more than an answer")]
    TooMuch,
    /// The answer is none to the question.
    #[error("the helper's answer is not one to the question")]
    Unexpected,
    /// It says itself that something is broken: winbind, most often.
    #[error("the helper cannot do its work: {0:?}")]
    Broken(String),
}

/// A line of a helper.
#[derive(Debug, PartialEq, Eq)]
enum Line<'l> {
    /// A challenge for the client.
    Challenge(&'l str),
    /// The account whose answer was right.
    Authenticated(&'l str),
    /// The answer, or the message, was wrong.
    Refused(&'l str),
    /// Something other than the client is to blame.
    Broken(&'l str),
}

impl Launcher {
    /// Starts a helper.
    pub(super) fn start(&self) -> Result<Helper, HelperError> {
        let _runtime = self.runtime.enter();
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .arg(PROTOCOL)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(HelperError::Start)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(HelperError::Ended);
        };
        Ok(Helper {
            child,
            input,
            output: BufReader::new(output),
            time_limit: self.time_limit,
        })
    }
}

impl Helper {
    /// Whether it still runs.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Begins a handshake, and forgets the one before.
    pub(super) async fn challenge(self, begin: &Token) -> Answered<Token> {
        let (helper, line) = self.ask("YR", begin).await?;
        let answer = match Line::read(&line)? {
            Line::Challenge(text) => Ok(Token::challenge(text).ok_or(HelperError::Unexpected)?),
            Line::Refused(why) => Err(Refusal(why.to_owned())),
            Line::Broken(why) => return Err(HelperError::Broken(why.to_owned())),
            Line::Authenticated(_) => return Err(HelperError::Unexpected),
        };
        Ok((helper, answer))
    }

    /// Has the client's answer checked: whose it is.
    pub(super) async fn check(self, answer: &Token) -> Answered<AccountName> {
        let (helper, line) = self.ask("KK", answer).await?;
        let answer = match Line::read(&line)? {
            Line::Authenticated(name) => Ok(account(name).ok_or(HelperError::Unexpected)?),
            Line::Refused(why) => Err(Refusal(why.to_owned())),
            Line::Broken(why) => return Err(HelperError::Broken(why.to_owned())),
            Line::Challenge(_) => return Err(HelperError::Unexpected),
        };
        Ok((helper, answer))
    }

    async fn ask(mut self, verb: &str, token: &Token) -> Result<(Self, String), HelperError> {
        let question = format!("{verb} {}\n", token.as_str());
        let time_limit = self.time_limit;
        let talk = async {
            self.input.write_all(question.as_bytes()).await?;
            self.input.flush().await?;
            self.line().await
        };
        let line = timeout(time_limit, talk)
            .await
            .map_err(|_| HelperError::TimeOut)??;
        Ok((self, line))
    }

    async fn line(&mut self) -> Result<String, HelperError> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.output).take(MAX_LINE);
        bounded.read_until(b'\n', &mut line).await?;
        if line.pop_if(|last| *last == b'\n').is_none() {
            return Err(match bounded.limit() {
                0 => HelperError::TooMuch,
                _ => HelperError::Ended,
            });
        }
        if !self.output.buffer().is_empty() {
            return Err(HelperError::TooMuch);
        }
        String::from_utf8(line).map_err(|_| HelperError::Unexpected)
    }
}

impl<'l> Line<'l> {
    fn read(line: &'l str) -> Result<Self, HelperError> {
        let (code, rest) = line.split_once(' ').unwrap_or((line, ""));
        match code {
            "TT" => Ok(Self::Challenge(rest)),
            "AF" => Ok(Self::Authenticated(rest)),
            "NA" => Ok(Self::Refused(rest)),
            "BH" => Ok(Self::Broken(rest)),
            _ => Err(HelperError::Unexpected),
        }
    }
}

/// The account that winbind names. Without its domain it could be anybody's of any domain: it is
/// none then. Domain and user are parted by `winbind separator`, which neither can hold.
fn account(name: &str) -> Option<AccountName> {
    let (domain, user) = name.split_once(SEPARATORS)?;
    format!("{domain}\\{user}").parse().ok()
}

const PROTOCOL: &str = "--helper-protocol=squid-2.5-ntlmssp";
/// No controller of the domain answers, or winbind does not let this server's account ask
/// (MS-ERREF 2.3.1).
const OUTAGES: [&str; 4] = [
    "NT_STATUS_NO_LOGON_SERVERS",
    "NT_STATUS_DOMAIN_CONTROLLER_NOT_FOUND",
    "NT_STATUS_IO_TIMEOUT",
    "NT_STATUS_ACCESS_DENIED",
];
/// Those that administrators use; more would be guessed.
const SEPARATORS: [char; 3] = ['\\', '+', '/'];
/// Of a challenge with many names of the target, with room to spare.
const MAX_LINE: u64 = 32 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn script(text: &str, milliseconds: u64) -> Helper {
        let launcher = Launcher {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), text.into()],
            time_limit: Duration::from_millis(milliseconds),
            runtime: Handle::current(),
        };
        launcher.start().unwrap()
    }

    fn token() -> Token {
        Token::challenge("TlRMTVNTUAACAAAA").unwrap()
    }

    #[tokio::test]
    async fn a_line_is_read_to_its_bound_and_no_further() {
        let endless = script("read -r line; exec tr '\\000' A </dev/zero", 60_000);
        let error = endless.check(&token()).await.err().unwrap();
        assert!(matches!(error, HelperError::TooMuch), "{error}");
        let unfinished = script("read -r line; printf 'AF EXAMPLE\\\\alice'", 60_000);
        let error = unfinished.check(&token()).await.err().unwrap();
        assert!(matches!(error, HelperError::Ended), "{error}");
    }

    #[tokio::test]
    async fn a_question_that_is_not_read_is_given_up_in_time() {
        let deaf = script("exec sleep 600", 50);
        let error = deaf.check(&token()).await.err().unwrap();
        assert!(matches!(error, HelperError::TimeOut), "{error}");
    }

    #[test]
    fn an_account_has_its_domain_whatever_parts_them() {
        for name in ["CORP\\alice", "CORP+alice", "CORP/alice"] {
            assert_eq!(account(name), "CORP\\alice".parse().ok(), "{name}");
        }
        let several = account("CORP\\Zoë Ž").unwrap();
        assert_eq!((several.domain(), several.user()), (Some("CORP"), "Zoë Ž"));
    }

    #[test]
    fn an_account_without_a_domain_is_nobodys() {
        for name in [
            "",
            "alice",
            "\\alice",
            "CORP\\",
            "CORP\\a\\b",
            "CORP+a\\b",
            "alice@corp.example",
            "CORP\\alice\r",
            "CORP\\ alice",
            "* CORP\\*",
        ] {
            assert_eq!(account(name), None, "{name:?}");
        }
    }

    #[test]
    fn lines_are_told_by_their_codes() {
        assert_eq!(Line::read("TT abc=").unwrap(), Line::Challenge("abc="));
        assert_eq!(
            Line::read("AF A\\b c").unwrap(),
            Line::Authenticated("A\\b c")
        );
        assert_eq!(Line::read("NA NT_X").unwrap(), Line::Refused("NT_X"));
        assert_eq!(Line::read("BH").unwrap(), Line::Broken(""));
        for wrong in ["", "AF\tA\\b", "af A\\b", " AF A\\b", "AFA\\b", "OK A\\b"] {
            assert!(Line::read(wrong).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_an_account_of_a_domain_signs_in(line in "(TT |AF |NA |BH |)[ -~\\PC]{0,40}") {
            if let Ok(Line::Authenticated(name)) = Line::read(&line)
                && let Some(account) = account(name)
            {
                prop_assert!(line.starts_with("AF "));
                prop_assert!(account.domain().is_some_and(|domain| !domain.is_empty()));
                prop_assert!(name.ends_with(account.user()));
            }
        }
    }
}
