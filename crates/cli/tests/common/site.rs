//! An authority and a root cluster that it certifies, as real processes, and people's machines: all
//! of it on this machine, or on one without a way out.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;

use openrms_protocol::{Feature, Service, ServiceLevel};
use serde_json::Value;
use tempfile::TempDir;

use super::{Run, ended, of_program};

/// A root cluster that serves, and who certified it.
pub struct Site {
    pub level: ServiceLevel,
    pub root: Daemon,
    /// None where it certified itself.
    authority: Option<Daemon>,
    ground: Ground,
}

/// What everything stands on.
struct Ground {
    programs: Programs,
    place: Place,
    folder: TempDir,
}

/// `rmsd serve`, killed when dropped.
pub struct Daemon {
    pub url: String,
    pub data: PathBuf,
    child: Child,
}

/// The programs of client and server.
#[derive(Clone)]
pub struct Programs {
    pub rms: PathBuf,
    pub rmsd: PathBuf,
}

/// Where programs run.
#[derive(Clone)]
pub enum Place {
    /// Like this test.
    Here,
    /// In a network namespace with nothing but loopback, gone when dropped.
    Alone(std::rc::Rc<Namespace>),
}

pub struct Namespace(String);

impl Programs {
    /// As they were built; none where that of the server was not, which it says: a run of all tests
    /// builds it beside that of the client.
    pub fn built() -> Option<Self> {
        let rms = PathBuf::from(env!("CARGO_BIN_EXE_rms"));
        let rmsd = rms.with_file_name("rmsd");
        let version = Command::new(&rmsd).arg("--version").output();
        let version = version.map(|done| String::from_utf8_lossy(&done.stdout).into_owned());
        let is_ours = version.is_ok_and(|said| said.trim().ends_with(env!("CARGO_PKG_VERSION")));
        if !is_ours {
            println!("skipped: the server's program is not built (cargo build --bin rmsd)");
        }
        is_ours.then_some(Self { rms, rmsd })
    }

    /// Copies of them where nothing else is, which nobody may change.
    pub fn installed(&self, folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let [rms, rmsd] = [&self.rms, &self.rmsd].map(|program| {
            let copy = folder.join(program.file_name().unwrap());
            fs::copy(program, &copy).unwrap();
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o555)).unwrap();
            copy
        });
        Self { rms, rmsd }
    }
}

impl Place {
    /// A machine without a way out; none where this user may not make one, which it says.
    pub fn alone() -> Option<Self> {
        let name = format!("rms-alone-{}", std::process::id());
        let ip = |arguments: &[&str]| {
            let done = Command::new("ip").args(arguments).output();
            done.is_ok_and(|done| done.status.success())
        };
        if !ip(&["netns", "add", &name]) {
            println!("skipped: network namespaces take root and iproute2");
            return None;
        }
        let namespace = Namespace(name);
        assert!(ip(&["-n", &namespace.0, "link", "set", "lo", "up"]));
        Some(Self::Alone(namespace.into()))
    }

    /// The same program, run there.
    pub fn at(&self, command: Command) -> Command {
        let Self::Alone(namespace) = self else {
            return command;
        };
        let mut there = Command::new("ip");
        there
            .args(["netns", "exec", &namespace.0])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => there.env(name, value),
                None => there.env_remove(name),
            };
        }
        there
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

impl Site {
    /// An authority, and a root cluster of that level, of mode 1. It is enrolled by files where it
    /// can be, otherwise on line.
    pub fn new(level: ServiceLevel, programs: Programs, place: Place) -> Self {
        let ground = Ground::new(programs, place);
        let authority = own_url();
        let settings = ["--mode", "1", "--url", &authority, "--name", "Authority"];
        ground.provision("authority", &settings).unwrap();
        let authority = ground.serve("authority", &authority);

        let url = own_url();
        let settings = [
            "--mode",
            "1",
            "--url",
            &url,
            "--service-level",
            level.name(),
        ];
        if level.has(Feature::OfflineEnrollment) {
            ground
                .provision("root", &[&settings[..], &["--offline"]].concat())
                .unwrap();
            ground.enroll_by_files();
        } else {
            let service = Service::Enrollment.url(&authority.url);
            let by = ["--authority", &service];
            ground
                .provision("root", &[&settings[..], &by].concat())
                .unwrap();
        }
        let activation = format!("{}/_wmcs/certification/Activation.asmx", authority.url);
        ground.configure("root", &format!("[activation]\nservice = '{activation}'\n"));
        ground.add_people_and_template("root");
        Self {
            level,
            root: ground.serve("root", &url),
            authority: Some(authority),
            ground,
        }
    }

    /// A root cluster of mode 2 that certified itself; why there is none of that level.
    pub fn of_mode_two(level: ServiceLevel, programs: Programs) -> Result<Self, String> {
        let ground = Ground::new(programs, Place::Here);
        let url = own_url();
        let settings = [
            "--mode",
            "2",
            "--url",
            &url,
            "--service-level",
            level.name(),
        ];
        ground.provision("root", &settings)?;
        ground.add_people_and_template("root");
        Ok(Self {
            level,
            root: ground.serve("root", &url),
            authority: None,
            ground,
        })
    }

    pub fn programs(&self) -> Programs {
        self.ground.programs.clone()
    }

    /// A path in the folder of everything.
    pub fn at(&self, name: &str) -> PathBuf {
        self.ground.folder.path().join(name)
    }

    /// The client's program as somebody would run it, on a machine of theirs.
    pub fn command_as<A: AsRef<OsStr>>(
        &self,
        machine: &str,
        name: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = of_program(&self.ground.programs.rms, arguments);
        command
            .env("RMS_HOME", self.at(machine))
            .env("RMS_SERVER", &self.root.url)
            .env("RMS_USER", mail(name))
            .env("RMS_PASSWORD", password(name));
        self.ground.place.at(command)
    }

    /// Runs it.
    pub fn run_as<A: AsRef<OsStr>>(
        &self,
        machine: &str,
        name: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Run {
        ended(self.command_as(machine, name, arguments).output().unwrap())
    }

    /// How often the root cluster has done an operation well.
    pub fn answered(&self, operation: &str) -> usize {
        self.events(operation).len()
    }

    /// By which path it did an operation last.
    pub fn last_endpoint(&self, operation: &str) -> String {
        let events = self.events(operation);
        let last = events.last().expect("it was done");
        last["endpoint"].as_str().unwrap_or_default().to_owned()
    }

    fn events(&self, operation: &str) -> Vec<Value> {
        let audit = fs::read_to_string(self.root.data.join("audit.jsonl")).unwrap_or_default();
        let events = audit
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        events
            .filter(|event| event["operation"] == operation && event["outcome"] == "ok")
            .collect()
    }
}

impl Ground {
    fn new(programs: Programs, place: Place) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            programs,
            place,
            folder,
        }
    }

    /// The name of a file in the folder.
    fn at(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        path.to_str().unwrap().to_owned()
    }

    /// Runs the server's program; what it complained of.
    fn rmsd(&self, arguments: &[&str]) -> Result<(), String> {
        let mut command = Command::new(&self.programs.rmsd);
        command
            .args(arguments)
            .env_remove("RMSD_CONFIG")
            .stdin(Stdio::null());
        let run = ended(self.place.at(command).output().unwrap());
        match run.code {
            0 => Ok(()),
            _ => Err(format!("{arguments:?}: {}{}", run.out, run.err)),
        }
    }

    fn provision(&self, data: &str, settings: &[&str]) -> Result<(), String> {
        let data = self.at(data);
        let fixed = ["provision", "root", "--data", &data];
        self.rmsd(&[&fixed, settings].concat())
    }

    /// Carries the request to the authority and its answer back.
    fn enroll_by_files(&self) {
        let [root, authority] = ["root", "authority"].map(|name| self.at(name));
        let [request, answer, bundle] = ["request", "answer", "bundle"].map(|name| self.at(name));
        for step in [
            &["enroll", "request", &request, "--data", &root][..],
            &[
                "authority",
                "sign",
                &request,
                "-o",
                &answer,
                "--data",
                &authority,
            ],
            &["client-bundle", &bundle, "--data", &authority],
            &[
                "enroll", "complete", &answer, "--bundle", &bundle, "--data", &root,
            ],
        ] {
            self.rmsd(step).unwrap();
        }
    }

    /// Adds to what provisioning wrote, and opens what is closed until an administrator opens it.
    fn configure(&self, data: &str, more: &str) {
        let file = self.at(&format!("{data}/rmsd.toml"));
        let written = fs::read_to_string(&file).unwrap();
        let opened = CLOSED.map(|name| format!("[services.{name}]\naccess = 'signed-in'\n"));
        let opened = opened.concat();
        fs::write(
            &file,
            format!("audit = 'audit.jsonl'\n{written}\n{more}{opened}"),
        )
        .unwrap();
    }

    fn add_people_and_template(&self, data: &str) {
        let data = self.at(data);
        for name in PEOPLE {
            let secret = self.at("password");
            fs::write(&secret, password(name)).unwrap();
            let mail = mail(name);
            let mut add = vec!["person", "add", name, "--mail", &mail, "--data", &data];
            add.extend(["--password-file", &secret]);
            self.rmsd(&add).unwrap();
        }
        let template = self.at("template.toml");
        fs::write(&template, TEMPLATE).unwrap();
        self.rmsd(&["template", "add", &template, "--data", &data])
            .unwrap();
    }

    fn serve(&self, data: &str, url: &str) -> Daemon {
        let data = PathBuf::from(self.at(data));
        let mut serve = Command::new(&self.programs.rmsd);
        serve.arg("serve").arg("--data").arg(&data);
        serve.env_remove("RMSD_CONFIG").env("RMSD_LOG", "warn");
        let log = data.with_extension("log");
        let mut child = self
            .place
            .at(serve)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let out = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut said).unwrap();
        let log = fs::read_to_string(log).unwrap();
        assert!(said.starts_with("http"), "rmsd does not serve: {log}");
        Daemon {
            url: url.to_owned(),
            data,
            child,
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A URL of loopback at an address of this process alone, so that nobody else serves there.
fn own_url() -> String {
    static PORT: AtomicU16 = AtomicU16::new(8080);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let port = PORT.fetch_add(1, Relaxed);
    format!("http://127.{}.{middle}.{low}:{port}", 64 + high % 64)
}

pub fn mail(name: &str) -> String {
    format!("{name}@corp.example")
}

pub fn password(name: &str) -> String {
    format!("correct horse {name}")
}

const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];
/// Services that are closed until an administrator opens them.
const CLOSED: [&str; 2] = ["server-certification", "mobile-certification"];
const TEMPLATE: &str = r#"
names = [{ lcid = 1033, name = "Staff only" }]

[[grant]]
who = "everyone"
rights = ["VIEW"]
"#;
