//! The server under a service manager: what it tells it, sockets that it is handed, and the units of the
//! package, which are held to what they promise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use openrms_server::provision::{RootOptions, provision_root};
use rustix::process::{Pid, Signal, kill_process};
use support::{get, text};

/// A provisioned data directory whose server waits for its first start.
struct Place {
    folder: tempfile::TempDir,
    listener: TcpListener,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        provision_root(&RootOptions::new(folder.path().join("data"), url)).unwrap();
        let place = Self { folder, listener };
        // With a port of its own the server would be noticed.
        place.say(
            "10-quiet.toml",
            "listen = []\nthreads = 3\n[limits]\nspare_keys = 0\n",
        );
        place
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A setting beside those of the configuration file.
    fn say(&self, name: &str, settings: &str) {
        let folder = self.data().join("rmsd.d");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), settings).unwrap();
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// `rmsd serve` with sockets and their names, as a service manager starts it.
    fn serve(&self, sockets: [&TcpListener; 2], count: usize, names: &str) -> Command {
        let script = "exec 3<&0 4<&1 0</dev/null 1>&2; LISTEN_PID=$$ exec \"$@\"";
        let mut command = Command::new("sh");
        let [first, second] = sockets.map(|socket| OwnedFd::from(socket.try_clone().unwrap()));
        command
            .args([
                "-c",
                script,
                "sh",
                env!("CARGO_BIN_EXE_rmsd"),
                "serve",
                "--data",
            ])
            .arg(self.data())
            .env_remove("RMSD_CONFIG")
            .envs([
                ("LISTEN_FDS", count.to_string().as_str()),
                ("LISTEN_FDNAMES", names),
            ])
            .stdin(Stdio::from(first))
            .stdout(Stdio::from(second))
            .stderr(Stdio::piped());
        command
    }

    fn start(&self) -> Service {
        Service::start(
            self.serve([&self.listener; 2], 1, "http"),
            self.folder.path(),
        )
    }
}

/// A server, and what it tells its service manager; killed when dropped.
struct Service {
    child: Child,
    told: UnixDatagram,
}

impl Service {
    fn start(mut command: Command, folder: &Path) -> Self {
        let path = folder.join("notify");
        let _ = fs::remove_file(&path);
        let told = UnixDatagram::bind(&path).unwrap();
        told.set_read_timeout(Some(PATIENCE)).unwrap();
        command.env("NOTIFY_SOCKET", &path).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        Self { child, told }
    }

    /// The next thing that it says.
    fn says(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let length = self.told.recv(&mut bytes).expect("it says something");
        let said = std::str::from_utf8(&bytes[..length]).unwrap();
        said.lines().map(str::to_owned).collect()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_service_manager_is_told_when_requests_are_answered_of_reading_anew_and_of_the_end() {
    let place = Place::new();
    let mut service = place.start();
    let said = service.says();
    assert_eq!(said[0], "READY=1");
    assert_eq!(said[1], format!("STATUS=serving at {}", place.url("")));
    assert_eq!(get(&place.url("/readyz"), &[]).status, 200);
    for _ in 0..2 {
        service.signal(Signal::HUP);
        let said = service.says();
        assert_eq!(said[0], "RELOADING=1");
        let since = said[1].strip_prefix("MONOTONIC_USEC=").unwrap();
        assert!(since.parse::<u64>().unwrap() > 0);
        assert_eq!(service.says()[0], "READY=1");
    }
    // What cannot be read is said as well, and what was in use stays in use.
    let people = place.data().join("people.toml");
    let good = fs::read(&people).unwrap();
    fs::write(&people, "nonsense").unwrap();
    service.signal(Signal::HUP);
    assert_eq!(service.says()[0], "RELOADING=1");
    let said = service.says();
    assert_eq!(said[0], "READY=1");
    assert!(said[1].ends_with("is wrong, see the log"), "{said:?}");
    assert_eq!(get(&place.url("/readyz"), &[]).status, 200);
    fs::write(&people, good).unwrap();
    service.signal(Signal::TERM);
    assert_eq!(service.says()[0], "STOPPING=1");
    assert!(service.child.wait().unwrap().success());
}

#[test]
fn a_server_that_does_not_start_says_nothing() {
    let place = Place::new();
    fs::write(place.data().join("master.key"), "another").unwrap();
    let mut service = place.start();
    assert!(!service.child.wait().unwrap().success());
    service.told.set_nonblocking(true).unwrap();
    assert!(service.told.recv(&mut [0; 64]).is_err());
}

#[test]
fn sockets_that_are_handed_over_serve_and_connections_wait_while_the_server_is_started_anew() {
    let place = Place::new();
    let service = place.start();
    assert_eq!(service.says()[0], "READY=1");
    // More than there are threads, at the same time.
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| assert_eq!(get(&place.url("/healthz"), &[]).status, 200));
        }
    });
    drop(service);
    let waiting = std::thread::scope(|scope| {
        let waiting = TcpStream::connect(place.address()).unwrap();
        let asking = scope.spawn(|| get(&place.url("/healthz"), &[]).status);
        let service = place.start();
        assert_eq!(service.says()[0], "READY=1");
        assert_eq!(asking.join().unwrap(), 200);
        drop(waiting);
        service
    });
    drop(waiting);
}

#[test]
fn a_socket_for_https_speaks_tls_beside_one_for_http() {
    let place = Place::new();
    let testdata = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testdata");
    let tls = format!("[tls]\ncertificate = '{testdata}/tls.pem'\nkey = '{testdata}/tls.key'\n");
    place.say("20-tls.toml", &tls);
    let secure = TcpListener::bind("127.0.0.1:0").unwrap();
    let command = place.serve([&place.listener, &secure], 2, "http:https");
    let service = Service::start(command, place.folder.path());
    assert_eq!(service.says()[0], "READY=1");
    assert_eq!(get(&place.url("/healthz"), &[]).status, 200);
    let tls = ureq::tls::TlsConfig::builder()
        .unversioned_rustls_crypto_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .disable_verification(true)
        .build();
    let agent = ureq::Agent::config_builder().tls_config(tls).build();
    let url = format!("https://{}/healthz", secure.local_addr().unwrap());
    let answer = agent.new_agent().get(url).call().unwrap();
    assert_eq!(answer.status(), 200);
}

#[test]
fn sockets_that_cannot_be_served_are_refused() {
    let place = Place::new();
    let refusal = |names: &str| {
        let mut command = place.serve([&place.listener; 2], 1, names);
        let done = command.arg("--json").output().unwrap();
        assert!(!done.status.success());
        String::from_utf8(done.stderr).unwrap()
    };
    let named = refusal("smtp");
    assert!(
        named.contains("\"smtp\"") && named.contains("\"sockets\""),
        "{named}"
    );
    let secure = refusal("https");
    assert!(secure.contains("no-certificate"), "{secure}");
}

#[test]
fn the_unit_of_the_server_is_exposed_to_no_more_than_two_of_ten() {
    let Some(told) = systemd(&[
        "systemd-analyze",
        "security",
        "--offline=true",
        "--threshold=20",
        "--no-pager",
        &unit("rmsd.service"),
    ]) else {
        return;
    };
    let table = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success(), "{table}");
    // People's files are none of its business, whatever the sum is.
    let service = fs::read_to_string(unit("rmsd.service")).unwrap();
    for line in [
        "User=openrms",
        "ProtectHome=yes",
        "CapabilityBoundingSet=",
        "UMask=0077",
    ] {
        assert!(service.lines().any(|other| other == line), "{line}");
    }
}

#[test]
fn the_units_are_what_systemd_takes() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["rmsd.service", "rmsd.socket", "rmsd-http.socket"] {
        let text = fs::read_to_string(unit(name)).unwrap();
        let text = text.replace("/usr/bin/rmsd", env!("CARGO_BIN_EXE_rmsd"));
        fs::write(folder.path().join(name), text).unwrap();
    }
    let units = ["rmsd.service", "rmsd.socket", "rmsd-http.socket"];
    let units = units.map(|name| folder.path().join(name));
    let mut arguments = vec![
        "systemd-analyze",
        "verify",
        "--man=no",
        "--recursive-errors=no",
    ];
    arguments.extend(units.iter().map(|unit| unit.to_str().unwrap()));
    let Some(told) = systemd(&arguments) else {
        return;
    };
    let complaints = String::from_utf8_lossy(&told.stderr);
    assert!(
        told.status.success() && complaints.is_empty(),
        "{complaints}"
    );
}

#[test]
fn the_user_and_its_folders_are_made_by_the_files_of_the_package() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("etc")).unwrap();
    let root = format!("--root={}", text(folder.path()));
    let users = unit("sysusers.d/openrms-server.conf");
    let Some(told) = systemd(&["systemd-sysusers", &root, &users]) else {
        return;
    };
    assert!(told.status.success(), "{told:?}");
    let users = fs::read_to_string(folder.path().join("etc/passwd")).unwrap();
    assert!(
        users.contains("openrms:") && users.contains(":/usr/sbin/nologin"),
        "{users}"
    );
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can give folders to the user that was made");
        return;
    }
    let folders = unit("tmpfiles.d/openrms-server.conf");
    let Some(told) = systemd(&["systemd-tmpfiles", "--create", &root, &folders]) else {
        return;
    };
    assert!(told.status.success(), "{told:?}");
    let state = fs::metadata(folder.path().join("var/lib/openrms")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&state) & 0o7777, 0o700);
}

#[test]
fn root_is_kept_from_making_files_that_the_server_could_not_read() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can make a folder another user's");
        return;
    }
    let place = Place::new();
    std::os::unix::fs::chown(place.data(), Some(65534), Some(65534)).unwrap();
    let data = text(&place.data());
    let (exit, answer, _) = support::rmsd(&["admin-url", "--data", &data, "--json"], "");
    assert_eq!(exit, 3);
    assert!(
        answer.contains("not-the-owner") && answer.contains("65534"),
        "{answer}"
    );
    let options = RootOptions::new(place.data(), place.url(""));
    let error = provision_root(&options).unwrap_err().to_string();
    assert!(error.contains("65534"), "{error}");
}

/// A file of the package.
fn unit(name: &str) -> String {
    format!(
        "{}/../../packaging/systemd/{name}",
        env!("CARGO_MANIFEST_DIR")
    )
}

/// Runs a program of systemd; none where it is not there, which it says.
fn systemd(arguments: &[&str]) -> Option<Output> {
    let [program, arguments @ ..] = arguments else {
        return None;
    };
    match Command::new(program).args(arguments).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: no {program} (package systemd)");
            None
        }
        done => Some(done.unwrap()),
    }
}

const PATIENCE: Duration = Duration::from_mins(1);
