//! Several servers as real processes, a plain balancer before them, and clients.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use openrms_client::{
    Client, Credentials, Discovery, Home, HttpOptions, HttpTransport, JoinPolicy, MachineIdentity,
    MachineSettings, Persistence, Secret,
};
use socket2::{Domain, Socket, Type};

use crate::support::{PASSWORD, rmsd, text};

/// A fresh database at the PostgreSQL of the tests, not made yet.
pub struct TestDatabase {
    /// Without the password.
    pub url: String,
    pub password_file: PathBuf,
}

impl TestDatabase {
    /// None when there is no PostgreSQL; says so, as then nothing was tested.
    pub fn new(folder: &Path) -> Option<Self> {
        let Ok(server) = std::env::var("OPENRMS_TEST_POSTGRES") else {
            println!("skipped: no PostgreSQL (eval \"$(tests/testbed/postgres up)\" starts one)");
            return None;
        };
        let (scheme, rest) = server.split_once("://").unwrap();
        let (who, place) = rest.rsplit_once('@').unwrap();
        let (user, password) = who.split_once(':').unwrap_or((who, ""));
        let (host, _) = place.split_once('/').unwrap();
        let mut name = [0; 8];
        openrms_crypto::random::fill(&mut name).unwrap();
        let name = u64::from_le_bytes(name);
        let password_file = folder.join("database.password");
        std::fs::write(&password_file, password).unwrap();
        Some(Self {
            url: format!("{scheme}://{user}@{host}/t{name:016x}"),
            password_file,
        })
    }

    /// Where the server of the database listens.
    pub fn address(&self) -> SocketAddr {
        let (_, place) = self.url.rsplit_once('@').unwrap();
        place.split_once('/').unwrap().0.parse().unwrap()
    }

    /// Its URL for those who reach it by another address.
    pub fn through(&self, address: SocketAddr) -> String {
        let (who, place) = self.url.rsplit_once('@').unwrap();
        let (_, name) = place.split_once('/').unwrap();
        format!("{who}@{address}/{name}?sslmode=disable")
    }

    /// The arguments of `rmsd provision`.
    pub fn arguments(&self) -> Vec<String> {
        vec![
            "--database".into(),
            self.url.clone(),
            "--database-password-file".into(),
            self.password_file.display().to_string(),
        ]
    }
}

/// Tells whoever looks at it that it is over, also when the test fails.
pub struct StopOnDrop<'w>(pub &'w AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Writes down a secret; the name of its file.
pub fn secret(path: &Path, value: &str) -> String {
    std::fs::write(path, value).unwrap();
    text(path)
}

/// Puts a person into the list of a data directory, with the password of all of them.
pub fn add_person(data: &str, password: &Path, name: &str) {
    let password = secret(password, PASSWORD);
    let mail = format!("{name}@example.test");
    let mut add = vec!["person", "add", name, "--mail", &mail, "--data", data];
    add.extend(["--password-file", &password]);
    let (code, _, complaint) = rmsd(&add, "");
    assert_eq!(code, 0, "{name}: {complaint}");
}

/// A port of loopback that nobody else gets, and that is not listened on.
pub struct Port {
    pub address: SocketAddr,
    _held: Socket,
}

impl Port {
    pub fn reserve() -> Self {
        let held = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        held.set_reuse_address(true).unwrap();
        held.set_reuse_port(true).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        held.bind(&any.into()).unwrap();
        Self {
            address: held.local_addr().unwrap().as_socket().unwrap(),
            _held: held,
        }
    }
}

/// `rmsd serve` with a data directory; killed when dropped.
pub struct Node {
    pub data: PathBuf,
    program: PathBuf,
    environment: Vec<(String, String)>,
    namespace: Option<String>,
    child: Option<Child>,
}

impl Node {
    pub fn new(data: PathBuf) -> Self {
        Self {
            data,
            program: Self::this_release().to_owned(),
            environment: Vec::new(),
            namespace: None,
            child: None,
        }
    }

    /// The program of this release.
    pub fn this_release() -> &'static Path {
        Path::new(env!("CARGO_BIN_EXE_rmsd"))
    }

    /// That of the previous release; none where it was not built, which it says.
    pub fn previous_release() -> Option<PathBuf> {
        let Some(folder) = std::env::var_os("OPENRMS_PREVIOUS_RELEASE") else {
            println!(
                "skipped: no previous release (eval \"$(tests/testbed/previous-release up)\" builds it)"
            );
            return None;
        };
        Some(Path::new(&folder).join("rmsd"))
    }

    /// With the program of some release.
    pub fn of_release(mut self, program: &Path) -> Self {
        self.set_release(program);
        self
    }

    /// Installs the program of another release; the one that runs is still of the old.
    pub fn set_release(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
    }

    /// On a machine of its own.
    pub fn in_namespace(mut self, name: &str) -> Self {
        self.namespace = Some(name.to_owned());
        self
    }

    /// The program, as it runs on this server's machine.
    pub fn rmsd(&self) -> Command {
        let program = &self.program;
        let mut command = match &self.namespace {
            None => Command::new(program),
            Some(name) => {
                // Becomes the program: its process is the one to be killed.
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name]).arg(program);
                command
            }
        };
        command
            .env_remove("RMSD_CONFIG")
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of the program, which must succeed.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let done = self.rmsd().args(arguments).output().unwrap();
        let complaint = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{arguments:?}: {complaint}");
        String::from_utf8(done.stdout).unwrap()
    }

    pub fn with_environment(mut self, name: &str, value: &Path) -> Self {
        let value = value.display().to_string();
        self.environment.push((name.to_owned(), value));
        self
    }

    /// Starts it, and returns when it serves.
    pub fn start(&mut self) {
        let log = self.data.with_extension("log");
        let file = File::options().append(true).create(true).open(&log);
        let mut child = self
            .rmsd()
            .args(["serve", "--data"])
            .arg(&self.data)
            .env("RMSD_LOG", "warn")
            .stdout(Stdio::piped())
            .stderr(file.unwrap())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let output = child.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut said).unwrap();
        self.child = Some(child);
        let log = std::fs::read_to_string(log).unwrap();
        assert!(said.starts_with("http"), "rmsd does not serve: {log}");
    }

    /// Ends it without a warning.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Ends it as a service manager does; true when it ended well.
    pub fn stop(&mut self) -> bool {
        let Some(mut child) = self.child.take() else {
            return true;
        };
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        child.wait().unwrap().success()
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.wait().unwrap();
        }
    }

    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Hands connections on to servers in turn, past those that do not answer.
pub struct Balancer {
    pub address: SocketAddr,
    targets: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Balancer {
    pub fn start() -> Self {
        Self::at(Ipv4Addr::LOCALHOST)
    }

    pub fn at(address: Ipv4Addr) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let targets = Arc::new(Mutex::new(Vec::<SocketAddr>::new()));
        let shared = targets.clone();
        std::thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                let Ok(client) = client else { return };
                let mut order = shared.lock().unwrap().clone();
                let count = order.len().max(1);
                order.rotate_left(number % count);
                std::thread::spawn(move || hand_on(client, &order));
            }
        });
        Self { address, targets }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn direct_to(&self, targets: &[SocketAddr]) {
        *self.targets.lock().unwrap() = targets.to_vec();
    }
}

fn hand_on(client: TcpStream, targets: &[SocketAddr]) {
    let server = targets
        .iter()
        .find_map(|target| TcpStream::connect_timeout(target, Duration::from_secs(2)).ok());
    let Some(server) = server else { return };
    let pump = |mut from: TcpStream, mut to: TcpStream| {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let there = std::thread::spawn(move || pump(from, to));
    pump(server, client);
    let _ = there.join();
}

/// A client with nothing but a new folder.
pub fn client(home: PathBuf, name: &str) -> Client {
    client_of(home, name, None, MachineSettings::default())
}

/// The same, with further TLS roots and settings of its machine.
pub fn client_of(
    home: PathBuf,
    name: &str,
    extra_roots: Option<String>,
    machine: MachineSettings,
) -> Client {
    let options = HttpOptions {
        system_roots: false,
        extra_roots,
        ..HttpOptions::default()
    };
    Client::builder(
        Home::open(home).unwrap(),
        MachineIdentity::new("0123456789abcdef", 1000),
        HttpTransport::new(&options).unwrap(),
    )
    .discovery(Discovery {
        machine,
        ..Discovery::default()
    })
    .credentials(Credentials::Basic {
        user: name.to_owned(),
        password: Secret::from(crate::support::PASSWORD.as_bytes()),
    })
    .build()
}

/// Brings a client to RAC and CLC.
pub fn sign_in(client: &Client, url: &str) {
    client
        .init(&url.parse().unwrap(), &JoinPolicy::TrustOnFirstUse)
        .unwrap();
    client.activate().unwrap();
    client.certify(Persistence::Persistent).unwrap();
    client.client_licensor().unwrap();
}

/// Waits until something holds, and fails when it does not in good time.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
