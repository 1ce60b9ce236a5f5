//! A server in a process of its own, and rounds of load against it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use openrms_crypto::Mode;
use openrms_directory::People;
use openrms_server::provision::{RootOptions, provision_root};
use openrms_server::{Config, Server};

use crate::http::{Connection, Waiting};
use crate::people::Machine;
use crate::{Failure, clock};

/// What a server is made of.
pub(crate) struct Setup<'a> {
    pub(crate) mode: Mode,
    pub(crate) threads: usize,
    /// The built-in list; none for a server that asks a directory.
    pub(crate) people: Option<People>,
    /// Tables that the configuration file has besides.
    pub(crate) tables: &'a str,
}

/// A server that ends with this value.
pub(crate) struct ServerProcess {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

/// What a round asks for.
pub(crate) enum Load {
    /// The same requests again and again.
    Repeat(Vec<Vec<u8>>),
    /// Each request once.
    Once(Vec<Vec<u8>>),
}

/// One round of one case.
pub(crate) struct Round {
    pub(crate) licenses: usize,
    pub(crate) cpu: f64,
    /// As much of it as the log's listener had.
    pub(crate) listener: f64,
    pub(crate) elapsed: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// By how much the counters of the caches rose.
    pub(crate) caches: Vec<(String, f64)>,
}

/// Serves a provisioned data directory until the process is ended.
pub(crate) fn serve(data: &Path) -> Result<(), Failure> {
    let running = Server::start(Config::for_data_dir(data)?)?;
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    running.stop();
    Ok(())
}

impl ServerProcess {
    /// Provisions a server and waits until it serves.
    pub(crate) fn start(setup: Setup<'_>) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join(DATA);
        let address = {
            let probe = std::net::TcpListener::bind("127.0.0.1:0")?;
            probe.local_addr()?
        };
        let mut root = RootOptions::new(&data, format!("http://{address}"));
        root.mode = setup.mode;
        root.people = setup.people;
        root.listen = vec![address];
        provision_root(&root)?;
        let config = data.join("rmsd.toml");
        let text = std::fs::read_to_string(&config)?;
        let (threads, tables) = (setup.threads, setup.tables);
        std::fs::write(&config, format!("threads = {threads}\n{text}\n{tables}"))?;

        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg(&data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or("no output")?;
        let server = Self {
            child,
            address,
            folder,
        };
        let mut ready = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut ready)?;
        if ready.trim() != "ready" {
            return Err("the server did not start".into());
        }
        Ok(server)
    }

    /// A machine that the server trusts.
    pub(crate) fn machine(&self, mode: Mode) -> Result<Machine, Failure> {
        let bundle = openrms_server::client_bundle(self.folder.path().join(DATA))?;
        Machine::activate(
            &bundle.trust.spc_issuer_key_pem,
            &bundle.trust.spc_issuer_chain,
            mode,
        )
    }

    /// A connection for what is not timed.
    pub(crate) fn connect(&self) -> Result<Connection, Failure> {
        Connection::open(self.address, Waiting::Asleep)
    }

    /// Loads the server over some connections for some seconds.
    pub(crate) fn round(
        &self,
        load: &Load,
        connections: usize,
        waiting: Waiting,
        seconds: f64,
    ) -> Result<Round, Failure> {
        let (requests, once) = match load {
            Load::Repeat(requests) => (requests, false),
            Load::Once(requests) => (requests, true),
        };
        let next = AtomicUsize::new(0);
        let barrier = Barrier::new(connections + 1);
        let before = self.metrics()?;
        let mut latencies = Vec::new();
        let (mut spent, mut elapsed) = (Duration::ZERO, Duration::ZERO);
        let mut listened = Duration::ZERO;
        std::thread::scope(|scope| -> Result<(), Failure> {
            let workers: Vec<_> = (0..connections)
                .map(|_| {
                    scope.spawn(|| -> Result<Vec<f64>, Failure> {
                        let mut connection = Connection::open(self.address, waiting)?;
                        let mut latencies = Vec::new();
                        barrier.wait();
                        let end = Instant::now() + Duration::from_secs_f64(seconds);
                        while Instant::now() < end {
                            let index = next.fetch_add(1, Ordering::Relaxed);
                            if once && index >= requests.len() {
                                break;
                            }
                            let start = Instant::now();
                            let (status, body) =
                                connection.send(&requests[index % requests.len()])?;
                            latencies.push(start.elapsed().as_secs_f64());
                            if status != 200 {
                                return Err(String::from_utf8_lossy(body).into_owned().into());
                            }
                        }
                        Ok(latencies)
                    })
                })
                .collect();
            let cpu = clock::process(self.child.id());
            let listener = clock::listener(self.child.id());
            let start = Instant::now();
            barrier.wait();
            for worker in workers {
                latencies.extend(worker.join().map_err(|_| "a connection failed")??);
            }
            elapsed = start.elapsed();
            spent = clock::process(self.child.id()).saturating_sub(cpu);
            listened = clock::listener(self.child.id()).saturating_sub(listener);
            Ok(())
        })?;
        let after = self.metrics()?;
        let round = Round::new(latencies, spent, elapsed, &before, &after);
        Ok(Round {
            listener: listened.as_secs_f64(),
            ..round
        })
    }

    /// Hits and misses of the caches, as the server tells them.
    fn metrics(&self) -> Result<Vec<(String, f64)>, Failure> {
        let mut connection = self.connect()?;
        let request = b"GET /metrics HTTP/1.1\r\nHost: bench\r\n\r\n";
        let (_, body) = connection.send(request)?;
        let lines = std::str::from_utf8(body)?
            .lines()
            .filter(|line| line.contains("cache"));
        Ok(lines
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Round {
    fn new(
        mut latencies: Vec<f64>,
        cpu: Duration,
        elapsed: Duration,
        before: &[(String, f64)],
        after: &[(String, f64)],
    ) -> Self {
        latencies.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let index = (latencies.len() as f64 * share) as usize;
            latencies
                .get(index.min(latencies.len().saturating_sub(1)))
                .copied()
                .unwrap_or(0.0)
        };
        let caches = after.iter().map(|(name, value)| {
            let earlier = before
                .iter()
                .find(|(n, _)| n == name)
                .map_or(0.0, |(_, v)| *v);
            (name.clone(), value - earlier)
        });
        Self {
            licenses: latencies.len(),
            cpu: cpu.as_secs_f64(),
            listener: 0.0,
            elapsed: elapsed.as_secs_f64(),
            p50: at(0.5),
            p99: at(0.99),
            caches: caches.filter(|(_, change)| *change > 0.0).collect(),
        }
    }
}

/// The data directory, in the folder of a server.
const DATA: &str = "data";
