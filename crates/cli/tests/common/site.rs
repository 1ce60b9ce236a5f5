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

use openrms_protocol::{Feature, ServiceLevel};
use serde_json::Value;
use tempfile::TempDir;

use super::{Run, ended, of_program};

/// Both servers, which serve.
pub struct Site {
    pub level: ServiceLevel,
    programs: Programs,
    pub authority: Daemon,
    pub root: Daemon,
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
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let rmsd = |arguments: &[&str]| rmsd(&programs.rmsd, &place, arguments);
        let [vendor, root] = [own_url(), own_url()];
        let (vendor_data, root_data) = (text(&at("authority")), text(&at("root")));
        let level_name = level.name();
        rmsd(&[
            "provision",
            "root",
            "--mode",
            "1",
            "--name",
            "Authority",
            "--url",
            &vendor,
            "--data",
            &vendor_data,
        ]);
        let authority = Daemon::start(&programs.rmsd, &place, &vendor, &at("authority"));
        let by = if level.has(Feature::OfflineEnrollment) {
            vec!["--offline"]
        } else {
            vec!["--authority", &vendor]
        };
        let mut provision = vec!["provision", "root", "--mode", "1", "--url", &root];
        provision.extend(["--data", &root_data, "--service-level", level_name]);
        provision.extend(by);
        rmsd(&provision);
        if level.has(Feature::OfflineEnrollment) {
            let [request, response, bundle] =
                ["request", "response", "bundle"].map(|n| text(&at(n)));
            rmsd(&["enroll", "request", &request, "--data", &root_data]);
            rmsd(&[
                "authority",
                "sign",
                &request,
                "-o",
                &response,
                "--data",
                &vendor_data,
            ]);
            rmsd(&["client-bundle", &bundle, "--data", &vendor_data]);
            let complete = ["enroll", "complete", &response, "--bundle", &bundle];
            rmsd(&[&complete[..], &["--data", &root_data]].concat());
        }
        let config = at("root").join("rmsd.toml");
        let settings = fs::read_to_string(&config).unwrap();
        let services = OPEN.map(|name| format!("[services.{name}]\naccess = 'signed-in'\n"));
        let activation = format!("{vendor}/_wmcs/certification/Activation.asmx");
        fs::write(
            &config,
            format!(
                "audit = 'audit.jsonl'\n{settings}\n#{activation}\n{}",
                services.concat()
            ),
        )
        .unwrap();
        for name in PEOPLE {
            let mail = mail(name);
            let secret = at("password");
            fs::write(&secret, password(name)).unwrap();
            let secret = text(&secret);
            let mut add = vec!["person", "add", name, "--mail", &mail, "--data", &root_data];
            add.extend(["--password-file", &secret]);
            rmsd(&add);
        }
        let template = at("template.toml");
        fs::write(&template, TEMPLATE).unwrap();
        rmsd(&["template", "add", &text(&template), "--data", &root_data]);
        let root = Daemon::start(&programs.rmsd, &place, &root, &at("root"));
        Self {
            level,
            programs,
            authority,
            root,
            place,
            folder,
        }
    }

    /// A path in the folder of everything.
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The client's program as somebody would run it, on a machine of theirs.
    pub fn command_as<A: AsRef<OsStr>>(
        &self,
        machine: &str,
        name: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = of_program(&self.programs.rms, arguments);
        command
            .env("RMS_HOME", self.at(machine))
            .env("RMS_SERVER", &self.root.url)
            .env("RMS_USER", mail(name))
            .env("RMS_PASSWORD", password(name));
        self.place.at(command)
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
        let audit = fs::read_to_string(self.root.data.join("audit.jsonl")).unwrap_or_default();
        let events = audit
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        events
            .filter(|event| event["operation"] == operation && event["outcome"] == "ok")
            .count()
    }
}

impl Daemon {
    fn start(program: &Path, place: &Place, url: &str, data: &Path) -> Self {
        let mut serve = Command::new(program);
        serve.arg("serve").arg("--data").arg(data);
        serve.env_remove("RMSD_CONFIG").env("RMSD_LOG", "warn");
        let log = data.with_extension("log");
        let mut child = place
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
        Self {
            url: url.to_owned(),
            data: data.to_owned(),
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

fn rmsd(program: &Path, place: &Place, arguments: &[&str]) {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_remove("RMSD_CONFIG")
        .stdin(Stdio::null());
    let run = ended(place.at(command).output().unwrap());
    assert_eq!(run.code, 0, "{arguments:?}: {}{}", run.out, run.err);
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
const OPEN: [&str; 2] = ["server-certification", "mobile-certification"];
const TEMPLATE: &str = r#"
names = [{ lcid = 1033, name = "Staff only" }]

[[grant]]
who = "everyone"
rights = ["VIEW"]
"#;
