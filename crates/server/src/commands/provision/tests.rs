use super::interview::Person;
use super::*;
use crate::key_protection::KeyProtection;

/// Answers by what the question begins with; takes the default otherwise.
struct Script {
    answers: Vec<(&'static str, &'static str)>,
    asked: Vec<String>,
}

impl Person for Script {
    fn ask(&mut self, question: &str, default: &str) -> Result<String, Failure> {
        self.asked.push(question.to_owned());
        let at = self
            .answers
            .iter()
            .position(|(begin, _)| question.starts_with(begin));
        Ok(at.map_or(default.to_owned(), |at| {
            self.answers.remove(at).1.to_owned()
        }))
    }

    fn tell(&mut self, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}

fn interviewed(answers: &[(&'static str, &'static str)], known: Answers) -> (Answers, Vec<String>) {
    let mut script = Script {
        answers: answers.to_vec(),
        asked: Vec::new(),
    };
    let answers = interview::root(known, &mut script).unwrap();
    assert!(script.answers.is_empty(), "not asked: {:?}", script.answers);
    (answers, script.asked)
}

#[test]
fn a_person_is_asked_what_the_original_asks_and_again_after_a_wrong_answer() {
    let (answers, asked) = interviewed(
        &[
            ("URL of the cluster", "ftp://rms.example"),
            ("URL of the cluster", "https://rms.example"),
            ("Name", "Example"),
            ("URL of the database", "postgres://rms@db.example/openrms"),
            ("PEM file with the certificate", "cert.pem"),
            ("PEM file with its key", "key.pem"),
            ("How private keys", "paper"),
            ("How private keys", "module"),
            ("Label", "rms"),
            ("Mail address", "rms-admin@example.com"),
            ("URL of the HTTP proxy", "http://proxy:3128"),
        ],
        Answers::default(),
    );
    assert_eq!(answers.url.as_deref(), Some("https://rms.example"));
    assert_eq!(answers.name.as_deref(), Some("Example"));
    assert_eq!(answers.data.as_deref(), Some(Path::new("/var/lib/openrms")));
    assert_eq!(answers.keys.pkcs11_token.as_deref(), Some("rms"));
    assert_eq!(answers.authority.as_deref(), Some("self"));
    assert_eq!(answers.proxy.as_deref(), Some("http://proxy:3128"));
    assert_eq!(asked.len(), 16, "{asked:?}");
}

#[test]
fn what_is_known_is_not_asked_again() {
    let known = Answers {
        name: Some("Known".into()),
        mode: Some(ModeArgument::One),
        keys: KeyArguments {
            key_file: true,
            ..KeyArguments::default()
        },
        ..Answers::default()
    };
    let (answers, asked) = interviewed(&[("URL of the cluster", "http://rms.example")], known);
    assert_eq!(answers.name.as_deref(), Some("Known"));
    let repeated = ["Name", "Cryptographic", "How private", "PEM"];
    let again = asked
        .iter()
        .filter(|question| repeated.iter().any(|begin| question.starts_with(begin)));
    assert_eq!(again.count(), 0, "{asked:?}");
}

#[test]
fn a_file_answers_what_the_command_line_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answers.toml");
    let password = folder.path().join("password");
    std::fs::write(&password, "correct horse battery staple").unwrap();
    let text = format!(
        "url = 'http://rms.example'\nname = 'From the file'\nmode = 1\nlisten = ['127.0.0.1:80']\n\
         administrator-contact = 'rms@example.com'\npassword-file = '{}'\n",
        password.display()
    );
    std::fs::write(&file, text).unwrap();
    let given = Answers {
        name: Some("Given".into()),
        ..Answers::default()
    };
    let options = given.or(Answers::read(&file).unwrap()).options().unwrap();
    assert_eq!(options.url, "http://rms.example");
    assert_eq!(options.name, "Given");
    assert_eq!(options.mode, Mode::One);
    assert_eq!(options.listen, ["127.0.0.1:80".parse().unwrap()]);
    assert_eq!(options.contact.as_deref(), Some("rms@example.com"));
    assert_eq!(options.keys, KeyProtection::Password);
    for wrong in [
        "mode = 3",
        "url = 1",
        "surprise = true",
        "password-file = [",
    ] {
        std::fs::write(&file, wrong).unwrap();
        let refused = Answers::read(&file).unwrap_err();
        assert_eq!((refused.exit, refused.code), (6, "bad-answers"), "{wrong}");
    }
}

#[test]
fn weak_passwords_are_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "secret").unwrap();
    let answers = Answers {
        url: Some("http://rms.example".into()),
        keys: KeyArguments {
            password_file: Some(password),
            ..KeyArguments::default()
        },
        ..Answers::default()
    };
    assert_eq!(answers.options().unwrap_err().code, "weak-password");
}
