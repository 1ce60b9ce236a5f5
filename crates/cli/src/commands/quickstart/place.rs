//! The folder of a quickstart: the server's data, a home for each person, their passwords, and
//! the documents.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use openrms_directory::{Member, NewPerson};
use openrms_server::provision::{RootOptions, provision_root};
use openrms_server::{Config, Running, Server, people};
use zeroize::Zeroizing;

use super::failed;
use crate::failure::Failure;
use crate::session::{first_line, random_text, user_folder};
use crate::shell::plain;

/// The folder.
pub(super) struct Place(PathBuf);

/// A server that was set up, and where it will listen.
pub(super) struct Ready {
    config: Config,
    listener: TcpListener,
}

impl Place {
    /// The folder that was asked for, or a new one below the user's state folder.
    pub(super) fn new(dir: Option<&Path>) -> Result<Self, Failure> {
        let root = if let Some(dir) = dir {
            dir.to_owned()
        } else {
            let parent = user_folder("XDG_STATE_HOME", ".local/state")?.join("openrms");
            private_folder(&parent)?;
            let folder = tempfile::Builder::new()
                .prefix("quickstart-")
                .tempdir_in(&parent);
            folder
                .map_err(|error| Failure::io("made", &parent, &error))?
                .keep()
        };
        private_folder(&root)?;
        let root = fs::canonicalize(&root).map_err(|error| Failure::io("read", &root, &error))?;
        Ok(Self(root))
    }

    pub(super) fn root(&self) -> &Path {
        &self.0
    }

    /// A person's client folder.
    pub(super) fn home(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Where a person's password is.
    pub(super) fn password_file(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.password"))
    }

    /// A person's password.
    pub(super) fn password(&self, name: &str) -> Result<Zeroizing<String>, Failure> {
        first_line(&self.password_file(name))
    }

    /// Where protected documents go; it is made.
    pub(super) fn protected_folder(&self) -> PathBuf {
        self.0.join("protected")
    }

    /// The files given, or a letter that is made up.
    pub(super) fn documents(&self, files: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
        private_folder(&self.protected_folder())?;
        if !files.is_empty() {
            return Ok(files.to_vec());
        }
        let letter = self.0.join("letter.txt");
        fs::write(&letter, LETTER).map_err(|error| Failure::io("written", &letter, &error))?;
        Ok(vec![letter])
    }

    /// Sets the server up, or finds the one of an earlier run; its port stays the same, as its URL
    /// stands in every license.
    pub(super) fn provision(&self) -> Result<Ready, Failure> {
        let data = self.0.join("server");
        let known = Config::for_data_dir(&data)
            .ok()
            .filter(|config| config.data.config().exists() && config.data.database().exists())
            .and_then(|config| config.listen.first().copied());
        let address = known.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let listener = TcpListener::bind(address).map_err(|error| in_use(address, &error))?;
        let address = listener
            .local_addr()
            .map_err(|error| in_use(address, &error))?;
        let mut options = RootOptions::new(&data, format!("http://{address}"));
        options.name = String::from("OpenRMS quickstart");
        options.people = Some(sample_people()?);
        provision_root(&options).map_err(|error| failed(&error.to_string()))?;
        let config = Config::for_data_dir(&data).map_err(|error| failed(&error.to_string()))?;
        self.check_passwords(&config)?;
        Ok(Ready { config, listener })
    }

    /// Gives those a password who have none in the folder.
    fn check_passwords(&self, config: &Config) -> Result<(), Failure> {
        for (name, _) in PEOPLE {
            let path = self.password_file(name);
            if path.exists() {
                continue;
            }
            let password = random_text()?;
            let who = Member::parse(name).ok_or_else(|| failed("no account name"))?;
            people::change(config, |list| list.set_password(&who, &password))
                .map_err(|error| failed(&error.to_string()))?;
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .and_then(|mut file| writeln!(file, "{}", *password))
                .map_err(|error| Failure::io("written", &path, &error))?;
        }
        Ok(())
    }
}

impl Ready {
    pub(super) fn start(self) -> Result<Running, Failure> {
        Server::start_with_listener(self.config, self.listener)
            .map_err(|error| failed(&error.to_string()))
    }
}

/// The people to begin with. Their passwords stay from run to run.
fn sample_people() -> Result<openrms_directory::People, Failure> {
    let wrong = |error: &dyn std::fmt::Display| failed(&format!("the people list: {error}"));
    let forest = DOMAIN.parse().map_err(|error| wrong(&error))?;
    let mut list = people::empty(forest, None).map_err(|error| wrong(&error))?;
    for (name, display_name) in PEOPLE {
        let mail = address(name).parse().map_err(|error| wrong(&error))?;
        let person = NewPerson {
            account: name.parse().map_err(|error| wrong(&error))?,
            display_name: display_name.to_owned(),
            mail: Some(mail),
            addresses: Vec::new(),
            created: None,
        };
        list.add_person(person).map_err(|error| wrong(&error))?;
    }
    Ok(list)
}

/// A person's mail address.
pub(super) fn address(name: &str) -> String {
    format!("{name}@{DOMAIN}")
}

fn private_folder(path: &Path) -> Result<(), Failure> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder
        .create(path)
        .map_err(|error| Failure::io("made", path, &error))
}

fn in_use(address: SocketAddr, error: &std::io::Error) -> Failure {
    let mut failure = failed(&format!(
        "{address} cannot be listened on: {}",
        plain(&error.to_string())
    ));
    failure.code = "address-in-use";
    "another quickstart may run in this folder; end it, or choose another --dir"
        .clone_into(&mut failure.hint);
    failure
}

/// Domain of the sample people; nobody can register it.
pub(super) const DOMAIN: &str = "quickstart.example";
const PEOPLE: [(&str, &str); 3] = [("alice", "Alice"), ("bob", "Bob"), ("carol", "Carol")];
const LETTER: &str = "\
Dear Bob,

this letter is for your eyes only. Whoever else gets the file gets nothing but noise.

Alice
";
