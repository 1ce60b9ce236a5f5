//! The questions of the set-up, put to a person. Each shows what it takes to be the answer.

use console::Term;
use openrms_protocol::Feature;

use super::super::{Failure, Output};
use super::{Answers, DEFAULT_DATA, DEFAULT_NAME, ModeArgument};

/// Whoever answers.
pub(super) trait Person {
    /// The answer to a question; the default when they say nothing.
    fn ask(&mut self, question: &str, default: &str) -> Result<String, Failure>;

    /// Tells them something.
    fn tell(&mut self, text: &str) -> Result<(), Failure>;
}

/// Somebody at the terminal of this process.
pub(super) struct Terminal;

impl Terminal {
    /// Whether there is somebody.
    pub(super) fn is_there(output: &Output) -> bool {
        use std::io::IsTerminal as _;
        !output.json && !output.quiet && std::io::stdin().is_terminal() && Term::stderr().is_term()
    }
}

impl Person for Terminal {
    fn ask(&mut self, question: &str, default: &str) -> Result<String, Failure> {
        let term = Term::stderr();
        let shown = if default.is_empty() {
            String::new()
        } else {
            format!(" [{default}]")
        };
        term.write_str(&format!("{question}{shown}: "))
            .map_err(Failure::failed)?;
        let line = term.read_line().map_err(Failure::failed)?;
        let answer = line.trim();
        Ok(if answer.is_empty() { default } else { answer }.to_owned())
    }

    fn tell(&mut self, text: &str) -> Result<(), Failure> {
        Term::stderr().write_line(text).map_err(Failure::failed)
    }
}

/// Asks what is not answered yet.
pub(super) fn root(answers: Answers, person: &mut dyn Person) -> Result<Answers, Failure> {
    let mut answers = answers;
    person.tell(
        "Setting up a root cluster. Nothing is made before the last question, and then everything \
         is looked into first.",
    )?;
    while answers.url.is_none() {
        person.tell(
            "The URL goes into every license and can never be changed: use a DNS name that will \
             last, and https for more than a trial.",
        )?;
        let url = person.ask("URL of the cluster", "")?;
        match crate::provision::base_url(&url) {
            Ok(_) => answers.url = Some(url),
            Err(error) => person.tell(&error.to_string())?,
        }
    }
    if answers.name.is_none() {
        answers.name = Some(person.ask("Name of the cluster and its certificate", DEFAULT_NAME)?);
    }
    if answers.data.is_none() {
        answers.data = Some(person.ask("Data directory", DEFAULT_DATA)?.into());
    }
    if answers.database.database.is_none() {
        let question = "URL of the database (postgres://…) for several servers; empty for a file";
        let database = person.ask(question, "")?;
        if !database.is_empty() {
            answers.database.database = Some(database);
            let file = person.ask("File with the database's password, if it asks for one", "")?;
            answers.database.database_password_file = (!file.is_empty()).then(|| file.into());
        }
    }
    let is_secure = answers.url.as_deref().is_some_and(|url| {
        url.get(..8)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
    });
    if is_secure && answers.tls_certificate.is_none() {
        let question = "PEM file with the certificate; empty when a proxy in front does HTTPS";
        let certificate = person.ask(question, "")?;
        if !certificate.is_empty() {
            answers.tls_certificate = Some(certificate.into());
            answers.tls_key = Some(person.ask("PEM file with its key", "")?.into());
        }
    }
    let level = answers.service_level.unwrap_or_default();
    if answers.mode.is_none() && level.has(Feature::ModeTwo) {
        let question = "Cryptographic mode, 2 (RSA-2048, SHA-256) or 1 (for old clients)";
        let mode = person.ask(question, "2")?;
        answers.mode = Some(if mode == "1" {
            ModeArgument::One
        } else {
            ModeArgument::Two
        });
    }
    if !answers.keys.is_chosen() {
        keys(&mut answers, person)?;
    }
    if answers.authority.is_none() && !answers.offline {
        let (question, default) = if level.has(Feature::SelfEnrollment) {
            let question = "Who certifies this server: self, or the URL of an enrollment service";
            (question, "self")
        } else {
            (
                "URL of the enrollment service that certifies this server",
                "",
            )
        };
        answers.authority = Some(person.ask(question, default)?);
    }
    if answers.administrator_contact.is_none() {
        let question = "Mail address of the administrator, for people who are refused something";
        let contact = person.ask(question, "")?;
        answers.administrator_contact = (!contact.is_empty()).then_some(contact);
    }
    if answers.proxy.is_none() {
        let proxy = person.ask("URL of the HTTP proxy towards the Internet, if any", "")?;
        answers.proxy = (!proxy.is_empty()).then_some(proxy);
    }
    Ok(answers)
}

fn keys(answers: &mut Answers, person: &mut dyn Person) -> Result<(), Failure> {
    let question = "How private keys are kept: password, module (PKCS #11) or file";
    loop {
        match person.ask(question, "password")?.as_str() {
            "password" => {
                answers.keys.ask_password = true;
                return Ok(());
            }
            "module" => {
                let library = person.ask("Library of the module", SOFTHSM)?;
                answers.keys.pkcs11_library = Some(library.into());
                answers.keys.pkcs11_token = Some(person.ask("Label of its token", "")?);
                return Ok(());
            }
            "file" => {
                answers.keys.key_file = true;
                return Ok(());
            }
            other => person.tell(&format!("{other:?} is none of them"))?,
        }
    }
}

const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
