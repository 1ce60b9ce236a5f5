//! `rms quickstart`: first contact. A server, three people and a protected document, all on this
//! machine and in one folder.

mod place;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use openrms_client::{
    Class, Client, Credentials, Discovery, Grant, HttpOptions, HttpTransport, JoinPolicy,
    NoPassphrase, Overwrite, OwnPolicy, Policy, ServerUrl, Signer, Spoken, Who,
};
use openrms_formats::names;
use openrms_xrml::rights::Right;
use serde::Serialize;
use serde_json::{Value, json};

use crate::failure::{Exit, Failure};
use crate::session::{client_of, secret};
use crate::shell::{Shell, plain};
use place::Place;

/// Arguments of `rms quickstart`.
#[derive(Debug, Args)]
pub(crate) struct Quickstart {
    /// What alice protects; a made-up letter when none is given. Your files stay as they are.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder for everything; a new one when none is given. May be used again.
    #[arg(long, value_name = "D")]
    dir: Option<PathBuf>,
    /// Leave the server running until Ctrl-C.
    #[arg(long)]
    stay: bool,
}

/// A step that was taken.
#[derive(Debug, Serialize)]
struct Step {
    name: String,
    ok: bool,
    ms: u64,
}

/// The steps so far; each is told as soon as it is taken.
struct Steps {
    shell: Shell,
    taken: Vec<Step>,
}

/// What came of it.
struct Tour {
    protected: Vec<PathBuf>,
    admin_url: String,
}

impl Quickstart {
    pub(crate) fn run(self, shell: Shell) -> Result<(), Failure> {
        for file in &self.files {
            fs::metadata(file).map_err(|error| Failure::io("read", file, &error))?;
        }
        let place = Place::new(self.dir.as_deref())?;
        shell.say(format_args!(
            "everything is in {}",
            plain(&place.root().to_string_lossy())
        ));
        let mut steps = Steps {
            shell,
            taken: Vec::new(),
        };
        let server = steps.take("set up the server", || place.provision())?;
        let running = steps.take("start the server", || server.start())?;
        let tour = self.tour(&mut steps, &place, running.url(), running.admin_url())?;
        let document = json!({
            "steps": steps.taken,
            "protected": tour.protected.first().map(|path| path.to_string_lossy()),
            "files": tour.protected.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
            "opened_matches": true,
            "denied": true,
            "admin_url": tour.admin_url,
            "url": running.url(),
            "dir": place.root().to_string_lossy(),
        });
        shell.answer(&document, || self.text(&place, running.url(), &tour))?;
        if self.stay {
            shell.say("the server stays until Ctrl-C");
            wait_for_the_end()?;
        }
        running.stop();
        Ok(())
    }

    fn tour(
        &self,
        steps: &mut Steps,
        place: &Place,
        url: &str,
        admin_url: String,
    ) -> Result<Tour, Failure> {
        let documents = place.documents(&self.files)?;
        let alice = steps.take("alice signs in", || {
            let alice = sign_in(place, url, "alice")?;
            alice.client_licensor()?;
            Ok(alice)
        })?;
        let mut protected = Vec::new();
        for document in &documents {
            let name = document.file_name().unwrap_or_default().to_string_lossy();
            let step = format!("alice protects {} for bob to view", plain(&name));
            let target = place.protected_folder().join(names::pfile_name(&name));
            steps.take(&step, || protect_for_bob(&alice, document, &target))?;
            protected.push(target);
        }
        let bob = steps.take("bob signs in", || {
            let bob = sign_in(place, url, "bob")?;
            bob.account()?;
            Ok(bob)
        })?;
        steps.take("bob opens it and reads what alice wrote", || {
            documents
                .iter()
                .zip(&protected)
                .try_for_each(|(document, protected)| {
                    let opened = bob.open_file(protected)?;
                    if is_same(document, opened)? {
                        Ok(())
                    } else {
                        Err(failed("bob did not get what alice protected"))
                    }
                })
        })?;
        steps.take("carol is refused", || {
            let carol = sign_in(place, url, "carol")?;
            carol.account()?;
            protected
                .iter()
                .try_for_each(|protected| match carol.open_file(protected) {
                    Err(error) if error.class() == Class::Denied => Ok(()),
                    Err(error) => Err(error.into()),
                    Ok(_) => Err(failed("carol could open it")),
                })
        })?;
        Ok(Tour {
            protected,
            admin_url,
        })
    }

    fn text(&self, place: &Place, url: &str, tour: &Tour) -> String {
        let shown = |path: &Path| plain(&path.to_string_lossy());
        let mut text = String::new();
        for path in &tour.protected {
            _ = writeln!(text, "protected       {}", shown(path));
        }
        _ = writeln!(text, "administration  {}", tour.admin_url);
        if self.stay {
            let first = tour
                .protected
                .first()
                .map(|path| shown(path))
                .unwrap_or_default();
            _ = write!(
                text,
                "\nTo go on as alice (bob and carol likewise), in another terminal:\n\n\
                 export RMS_HOME='{}'\n\
                 export RMS_SERVER='{url}'\n\
                 export RMS_USER='{}'\n\
                 export RMS_PASSWORD=\"$(cat '{}')\"\n\n\
                 rms status\n\
                 rms rights '{first}'\n\
                 rms protect FILE --grant bob@{}:VIEW,PRINT\n",
                shown(&place.home("alice")),
                place::address("alice"),
                shown(&place.password_file("alice")),
                place::DOMAIN,
            );
        } else {
            _ = writeln!(
                text,
                "The server has ended. To look round, run the same with --dir '{}' --stay.",
                shown(place.root())
            );
        }
        text
    }
}

impl Steps {
    /// Takes a step. One that fails ends the tour with exit 1, and tells of the steps before.
    fn take<T>(
        &mut self,
        name: &str,
        step: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let begun = Instant::now();
        let outcome = step();
        let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let ok = outcome.is_ok();
        self.shell.say(format_args!(
            "{} {name} ({ms} ms)",
            if ok { "done  " } else { "FAILED" }
        ));
        self.taken.push(Step {
            name: name.to_owned(),
            ok,
            ms,
        });
        outcome.map_err(|failure| {
            let message = format!("{name}: {}", failure.message);
            let steps: Value = json!({ "steps": self.taken });
            Failure {
                exit: Exit::Failed,
                message,
                ..failure
            }
            .beside(steps)
        })
    }
}

/// A client of one of the people, who belongs to the server's hierarchy.
fn sign_in(place: &Place, url: &str, name: &str) -> Result<Client, Failure> {
    let transport =
        HttpTransport::new(&HttpOptions::default()).map_err(|error| failed(&error.to_string()))?;
    let server: ServerUrl = url
        .parse()
        .map_err(|error: openrms_client::url::UrlError| failed(&error.to_string()))?;
    let discovery = Discovery {
        explicit: Spoken::naming(server.clone()),
        ..Discovery::default()
    };
    let credentials = Credentials::Basic {
        user: place::address(name),
        password: secret(&place.password(name)?),
    };
    let client = client_of(
        &place.home(name),
        transport,
        discovery,
        credentials,
        NoPassphrase,
    )?
    .build();
    client.init(&server, &JoinPolicy::TrustOnFirstUse)?;
    Ok(client)
}

fn protect_for_bob(alice: &Client, document: &Path, target: &Path) -> Result<(), Failure> {
    let grant = Grant {
        who: Who::Address(place::address("bob")),
        rights: vec![Right::new("VIEW")],
    };
    let policy = Policy::Own(OwnPolicy::of([grant]));
    alice.protect_file(document, target, Overwrite::Force, &policy, Signer::Author)?;
    Ok(())
}

/// Compares a file with what a reader gives, in constant memory.
fn is_same(document: &Path, mut opened: impl Read) -> Result<bool, Failure> {
    let io = |error| Failure::io("read", document, &error);
    let mut original = BufReader::new(File::open(document).map_err(io)?);
    let (mut left, mut right) = (vec![0; PIECE], Vec::with_capacity(PIECE));
    loop {
        let count = original.read(&mut left).map_err(io)?;
        right.clear();
        let wanted = if count == 0 { 1 } else { count as u64 };
        opened
            .by_ref()
            .take(wanted)
            .read_to_end(&mut right)
            .map_err(io)?;
        if left.get(..count) != Some(right.as_slice()) {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
    }
}

/// Waits for Ctrl-C or the word of a service manager.
fn wait_for_the_end() -> Result<(), Failure> {
    let cannot = |error: std::io::Error| failed(&format!("signals cannot be waited for: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(cannot)?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminated = signal(SignalKind::terminate()).map_err(cannot)?;
        tokio::select! {
            outcome = tokio::signal::ctrl_c() => outcome.map_err(cannot),
            _ = terminated.recv() => Ok(()),
        }
    })
}

fn failed(message: &str) -> Failure {
    Failure::new(Exit::Failed, "quickstart-failed", message, "")
}

const PIECE: usize = 1 << 16;
