//! A server that is a process of its own, and requests for licenses that it grants.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use openrms_crypto::Mode;
use openrms_protocol::licensing::AcquireLicense;
use openrms_protocol::{Operation, Service, SoapVersion, VersionData, encode_request};
use openrms_server::provision::{RootOptions, provision_root};

use crate::support::{self, Client, Draft, Person, TestServer};
use crate::{PATIENCE, wait_until};

/// Requests for licenses that are granted.
pub(crate) struct Load {
    request: Vec<u8>,
}

impl Load {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let body = cluster.license_request();
        let kind = SoapVersion::V11;
        let contract = Service::License.contract();
        let action = contract.soap_action(openrms_protocol::OperationName::AcquireLicense);
        let request = format!(
            "POST /_wmcs/licensing/license.asmx HTTP/1.1\r\nHost: test\r\nContent-Type: {}\r\n\
             SOAPAction: \"{action}\"\r\nContent-Length: {}\r\n\r\n{body}",
            kind.request_content_type(&action),
            body.len()
        );
        Self {
            request: request.into_bytes(),
        }
    }

    /// Asks from several connections while something happens; the answers that came whole. With
    /// `kill`, the server is killed at the end of it, under load.
    pub(crate) fn run(
        &self,
        server: &Server,
        connections: usize,
        meanwhile: impl FnOnce(),
        kill: bool,
    ) -> BTreeMap<String, u16> {
        let stop = AtomicBool::new(false);
        let answered = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..connections)
                .map(|_| {
                    scope.spawn(|| {
                        let mut given = BTreeMap::new();
                        let Some(mut connection) = Connection::open(server.address) else {
                            return given;
                        };
                        while !stop.load(SeqCst) {
                            match connection.ask(&self.request) {
                                Some((request, status)) => {
                                    answered.fetch_add(1, SeqCst);
                                    given.insert(request, status);
                                }
                                None => break,
                            }
                        }
                        given
                    })
                })
                .collect();
            wait_until(|| answered.load(SeqCst) > 0);
            meanwhile();
            if kill {
                server.kill();
            }
            stop.store(true, SeqCst);
            workers
                .into_iter()
                .flat_map(|worker| worker.join().unwrap())
                .collect()
        })
    }

    pub(crate) fn once(&self, server: &Server) -> (String, u16) {
        let mut connection = Connection::open(server.address).unwrap();
        connection.ask(&self.request).unwrap()
    }

    /// Asks until there was enough.
    pub(crate) fn until(
        &self,
        server: &Server,
        enough: impl Fn(&BTreeMap<String, u16>) -> bool,
    ) -> BTreeMap<String, u16> {
        let end = Instant::now() + PATIENCE;
        let mut connection = Connection::open(server.address).unwrap();
        let mut given = BTreeMap::new();
        while !enough(&given) {
            assert!(Instant::now() < end, "{}", server.log());
            for _ in 0..50 {
                given.extend([connection.ask(&self.request).unwrap()]);
            }
        }
        given
    }
}

/// One connection of HTTP, kept alive.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Some(Self(BufReader::new(stream)))
    }

    /// The request's name and the status of the answer; `None` when it did not come whole.
    fn ask(&mut self, request: &[u8]) -> Option<(String, u16)> {
        self.0.get_mut().write_all(request).ok()?;
        let (mut status, mut name, mut length) = (0, String::new(), 0);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest.get(..3)?.parse().ok()?;
            } else if let Some(value) = line.strip_prefix("x-request-id: ") {
                value.clone_into(&mut name);
            } else if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).ok()?;
        Some((name, status))
    }
}

/// A provisioned server that is a process of its own.
pub(crate) struct Cluster {
    pub(crate) folder: tempfile::TempDir,
    address: SocketAddr,
}

impl Cluster {
    pub(crate) fn provision(tables: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        provision_root(&RootOptions {
            people: Some(support::people()),
            listen: vec![address],
            ..RootOptions::new(folder.path().join("data"), format!("http://{address}"))
        })
        .unwrap();
        let config = folder.path().join("data/rmsd.toml");
        let mut file = File::options().append(true).open(config).unwrap();
        write!(file, "\n{tables}").unwrap();
        Self { folder, address }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A request for a license that is granted; its making is not logged where the log is.
    fn license_request(&self) -> String {
        let mut config = openrms_server::Config::for_data_dir(self.data()).unwrap();
        config.logging.enabled = false;
        config.limits.spare_keys = 0;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let running = openrms_server::Server::start_with_listener(config, listener).unwrap();
        let server = TestServer {
            running,
            bundle: openrms_server::client_bundle(self.data()).unwrap(),
            mode: Mode::Two,
            folder: tempfile::tempdir().unwrap(),
        };
        let client = Client::new(&server, SoapVersion::V11);
        let alice: Person = client.join("alice");
        let license = Draft::new(&alice, &[("VIEW", "alice@example.test")]).sign(&alice);
        let request = AcquireLicense::single(alice.params(Some(&license)));
        let contract = Service::License.contract();
        let operation = Operation::from(request);
        encode_request(
            SoapVersion::V11,
            contract,
            Some(VersionData::CLIENT),
            &operation,
        )
    }

    /// Does something while the server serves, and kills it then unless it has ended.
    pub(crate) fn with_server<T>(&self, work: impl FnOnce(&Server) -> T) -> T {
        let server = self
            .spawn(Command::new(env!("CARGO_BIN_EXE_rmsd")))
            .unwrap();
        work(&server)
    }

    /// With its spool on a disk of 128 KiB; `None` where none can be made.
    pub(crate) fn spawn_on_tiny_disk(&self) -> Option<Server> {
        let spool = self.data().join("spool");
        fs::create_dir_all(&spool).unwrap();
        let mut command = Command::new("unshare");
        command
            .args(["--map-root-user", "--mount", "sh", "-c"])
            .arg("mount -t tmpfs -o size=128k tmpfs \"$1\" || exit 77; shift; exec \"$@\"")
            .arg("sh")
            .arg(spool)
            .arg(env!("CARGO_BIN_EXE_rmsd"));
        self.spawn(command)
    }

    fn spawn(&self, mut command: Command) -> Option<Server> {
        let log = self.folder.path().join("rmsd.log");
        let file = File::options()
            .append(true)
            .create(true)
            .open(&log)
            .unwrap();
        let mut child = command
            .args(["serve", "--data"])
            .arg(self.data())
            .env_remove("RMSD_CONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .ok()?;
        let mut said = String::new();
        let output = child.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut said).unwrap();
        if said.is_empty() {
            let status = child.wait().unwrap();
            let told = fs::read_to_string(&log).unwrap();
            assert!(
                matches!(status.code(), Some(1 | 77)) && !told.contains("rmsd:"),
                "{told}"
            );
            return None;
        }
        Some(Server {
            child: std::sync::Mutex::new(child),
            address: self.address,
            url: format!("http://{}", self.address),
            log,
        })
    }
}

/// A process that serves.
pub(crate) struct Server {
    child: std::sync::Mutex<Child>,
    address: SocketAddr,
    pub(crate) url: String,
    log: PathBuf,
}

impl Server {
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        // Fails when it has ended, which is what is wanted.
        let _ = child.kill();
        child.wait().unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn end_in_order(&self) {
        let mut child = self.child.lock().unwrap();
        let asked = Command::new("kill")
            .arg(child.id().to_string())
            .status()
            .unwrap();
        assert!(asked.success());
        assert!(child.wait().unwrap().success(), "{}", self.log());
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
