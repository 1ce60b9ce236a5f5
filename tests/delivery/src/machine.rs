//! A machine of Debian's: a layer above a root file system, in which commands are run (chroot with
//! namespaces of its own) or which is started as a machine is, systemd being its first process.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use tempfile::TempDir;

use crate::folder;
use crate::network::Network;
use crate::process::{Ran, until};

/// What a machine begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// The least that Debian is: no systemd, no curl, no Python.
    Bare,
    /// What can be started.
    Systemd,
    /// What installs RPM packages.
    Dnf,
}

/// A machine that is switched off, in which commands can be run.
#[derive(Debug)]
pub struct Machine {
    network: Rc<Network>,
    name: String,
    root: PathBuf,
    // After the layer above it is gone.
    _layers: TempDir,
}

/// A machine that runs; switched off when dropped.
#[derive(Debug)]
pub struct Booted<'a> {
    machine: &'a Machine,
    container: Child,
    first_process: String,
    // Machines that run at once get in the way of each other's control groups.
    turn: File,
}

/// All that is on a machine's disk, a line for each file: what it is, whose, and its hash. What
/// changes by itself is left out: logs, caches, and what apt knows of archives.
#[derive(Debug, PartialEq, Eq)]
pub struct Digest(Vec<String>);

impl Machine {
    /// None where there are no root file systems, which is said.
    pub fn new(base: Base, network: &Rc<Network>) -> Option<Self> {
        let bases = folder(
            "OPENRMS_TEST_DEBIAN",
            "there are no root file systems (tests/testbed/debian up)",
        )?;
        let below = bases.join(match base {
            Base::Bare => "bare",
            Base::Systemd => "systemd",
            Base::Dnf => "dnf",
        });
        // Beside the file system below: layers are not kept in memory.
        let layers = tempfile::Builder::new()
            .prefix("machine-")
            .tempdir_in(&bases)
            .unwrap();
        let [above, work, root] = ["above", "work", "root"].map(|name| {
            let path = layers.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        });
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            below.display(),
            above.display(),
            work.display()
        );
        let mut mount = Command::new("mount");
        mount.args(["-t", "overlay", "overlay", "-o", &options]);
        Ran::of(mount.arg(&root)).done();
        let name = layers.path().file_name().unwrap().to_str().unwrap();
        Some(Self {
            network: Rc::clone(network),
            name: name.replace('_', "-").to_lowercase(),
            root,
            _layers: layers,
        })
    }

    /// Where a file of the machine is.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Puts a file or a folder there, readable for everybody: below `to` where that ends with `/`.
    pub fn put(&self, from: &Path, to: &str) {
        let to = self.root.join(to.trim_start_matches('/'));
        let folder = if to.as_os_str().as_bytes().ends_with(b"/") {
            &to
        } else {
            to.parent().unwrap()
        };
        fs::create_dir_all(folder).unwrap();
        let mut copy = Command::new("cp");
        copy.args(["-r", "--no-preserve=mode,ownership"]);
        Ran::of(copy.arg(from).arg(to)).done();
    }

    /// Writes a file there.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Reads one.
    #[track_caller]
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Whether it is there.
    pub fn has(&self, path: &str) -> bool {
        self.at(path).exists()
    }

    /// Runs a line of the shell there, as root, while the machine is off.
    pub fn run(&self, line: &str) -> Ran {
        Ran::of(self.container().arg("--pipe").args(["/bin/sh", "-c", line]))
    }

    /// As somebody else, in their own folder.
    pub fn run_as(&self, user: &str, line: &str) -> Ran {
        let shell = ["runuser", "--login", user, "--command", line];
        Ran::of(self.container().arg("--pipe").args(shell))
    }

    /// Switches it on.
    pub fn boot(&self) -> Booted<'_> {
        let layers = self.root.parent().unwrap();
        let turn = File::create(layers.with_file_name("turn")).unwrap();
        turn.lock().unwrap();
        self.boot_in(turn)
    }

    fn boot_in(&self, turn: File) -> Booted<'_> {
        let log = File::create(self.root.with_extension("log")).unwrap();
        let container = self
            .container()
            .args(["--boot", "--console=read-only"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut booted = Booted {
            machine: self,
            first_process: String::new(),
            container,
            turn,
        };
        booted.wait();
        booted
    }

    /// What is on its disk.
    pub fn digest(&self) -> Digest {
        let mut list = Command::new("sh");
        list.args(["-c", LIST]).current_dir(&self.root);
        let mut lines: Vec<_> = Ran::of(&mut list)
            .done()
            .lines()
            .map(str::to_owned)
            .collect();
        lines.sort_unstable();
        Digest(lines)
    }

    fn container(&self) -> Command {
        let mut command = Command::new("systemd-nspawn");
        command
            .args(["--quiet", "--register=no", "--keep-unit"])
            .args(["--resolv-conf=off", "--timezone=off", "--link-journal=no"])
            .arg(format!("--machine={}", self.name))
            .arg(argument("--network-namespace-path=", &self.network.path()))
            .arg(argument("--directory=", &self.root));
        command
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.root).status();
    }
}

impl Booted<'_> {
    /// Runs a line of the shell there, as root.
    pub fn run(&self, line: &str) -> Ran {
        Ran::of(self.inside().args(["/bin/sh", "-c", line]))
    }

    /// As somebody who logs on for it: their own systemd runs as well.
    pub fn run_as(&self, user: &str, line: &str) -> Ran {
        Ran::of(
            self.inside()
                .args(["systemd-run", "--quiet", "--wait", "--pipe", "--collect"])
                .args(["--property=PAMName=login", "--property=WorkingDirectory=~"])
                .arg(format!("--uid={user}"))
                .args(["/bin/sh", "-c", line]),
        )
    }

    /// Waits until a line of the shell, run there as root, ends well.
    #[track_caller]
    pub fn until(&self, line: &str) {
        until(line, || self.run(line).code == 0);
    }

    /// Switches it off and on again.
    pub fn reboot(&mut self) {
        self.halt();
        let turn = self.turn.try_clone().unwrap();
        let again = self.machine.boot_in(turn);
        *self = again;
    }

    /// Switches it off, as people do.
    pub fn halt(&mut self) {
        self.run("systemctl poweroff");
        self.container.wait().unwrap();
    }

    fn wait(&mut self) {
        let container = self.container.id().to_string();
        let children = format!("/proc/{container}/task/{container}/children");
        until("the machine starts", || {
            let ended = self.container.try_wait().unwrap();
            let log = || fs::read_to_string(self.machine.root.with_extension("log"));
            assert_eq!(ended, None, "{}", log().unwrap_or_default());
            let listed = fs::read_to_string(&children).unwrap_or_default();
            listed.trim().clone_into(&mut self.first_process);
            // One child, the first process of the machine.
            self.first_process.parse::<u32>().is_ok() && self.is_up()
        });
    }

    fn is_up(&self) -> bool {
        let state = self.run("systemctl is-system-running").out;
        matches!(state.trim(), "running" | "degraded")
    }

    fn inside(&self) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--root"])
            .arg(format!("--target={}", self.first_process))
            .args(["--", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
        command
    }
}

impl Drop for Booted<'_> {
    fn drop(&mut self) {
        // All of the machine ends with its first process, and nothing of it with what started it.
        let first = self.first_process.parse::<u32>();
        let running = matches!(self.container.try_wait(), Ok(None));
        match first {
            Ok(first) if running => {
                let _ = Command::new("kill")
                    .arg("-KILL")
                    .arg(first.to_string())
                    .status();
            }
            _ => {
                let _ = self.container.kill();
            }
        }
        let _ = self.container.wait();
    }
}

impl Digest {
    /// What another one has in its place, for a message: a line for each difference.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let of = |sign: char, some: &Self, others: &Self| {
            let lines = some.0.iter().filter(|line| !others.0.contains(line));
            lines
                .map(|line| format!("{sign} {line}"))
                .collect::<Vec<_>>()
        };
        [of('-', self, other), of('+', other, self)].concat()
    }
}

fn argument(option: &str, path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(option);
    argument.push::<&OsStr>(path.as_ref());
    argument
}

/// Everything but what changes by itself.
const LIST: &str = r#"
everything() {
  find . -xdev \( -path ./var/cache -o -path ./var/lib/apt/lists -o -path ./var/log \
    -o -path ./tmp -o -path ./var/tmp -o -path ./run -o -path ./proc -o -path ./sys -o -path ./dev \) -prune -o "$@"
}
everything -printf '%y %m %U:%G %p %l\n'
everything -type f -exec sha256sum {} +
"#;
