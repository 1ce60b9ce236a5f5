//! Use licenses over HTTP from a server in a process of its own, in ratio to P: the best scalar
//! rate of RSA private-key operations of the same library, measured between the rounds.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use openrms_crypto::{Digest, Mode, PrivateKey, SoftwareKey};
use openrms_directory::{Member, NewPerson, People};
use openrms_protocol::FaultCode;
use openrms_protocol::licensing::LicenseOutcome;
use openrms_server::provision::{RootOptions, provision_root};
use openrms_server::{Config, Server};

use crate::http::{Connection, Waiting};
use crate::people::{Author, Content, Machine, Person, acquire, acquire_batch, check, read};
use crate::report::{Row, print_rows};
use crate::{Failure, clock};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Cryptographic mode.
    #[arg(long, default_value_t = 2)]
    mode: u8,
    /// Connections, one case each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64])]
    connections: Vec<usize>,
    /// Seconds of load for each round of each case.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Rounds; the median is printed.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Threads of the server.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Only the cases whose name holds this text.
    #[arg(long, default_value = "")]
    only: String,
    /// Fail below 0.6 P hot and 0.35 P for licenses never seen (mode 2).
    #[arg(long)]
    check: bool,
}

/// What a case asks for.
enum Load {
    /// The same requests again and again.
    Repeat(Vec<Vec<u8>>),
    /// Each request once.
    Once(Vec<Vec<u8>>),
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mode = Mode::from_number(u32::from(options.mode)).ok_or("mode 1 or 2")?;
    let stage = Stage::new(mode, options.threads)?;
    stage.verify_every_answer()?;
    let private = SoftwareKey::generate(mode)?;
    let digest = Digest::of(mode.hash(), b"benchmark");
    let ceiling = || {
        1.0 / clock::each(Duration::from_millis(250), || {
            std::hint::black_box(private.sign(&digest).is_ok());
        })
    };
    // The machine is shared: a round is held against P as it was just before and just after it.
    let mut last = ceiling();
    let mut beside = |round: Result<Round, Failure>| -> Result<_, Failure> {
        let before = std::mem::replace(&mut last, ceiling());
        Ok((round?, f64::midpoint(before, last)))
    };

    let hot: Vec<Vec<u8>> = stage.hot();
    let repeated = stage.repeated();
    let mut rows = Vec::new();
    let wanted = |name: &str| name.contains(&options.only);
    for (name, many) in [("hot", &hot), ("one license, many readers", &repeated)] {
        if !wanted(name) {
            continue;
        }
        for &connections in &options.connections {
            let mut rounds = Vec::new();
            for _ in 0..options.rounds {
                let load = Load::Repeat(many.clone());
                rounds.push(beside(stage.round(&load, connections, options.seconds))?);
            }
            rows.push(Row::new(name, connections, rounds));
        }
    }
    for &connections in options.connections.iter().filter(|_| wanted(NEVER_SEEN)) {
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            let count = (options.seconds * 2500.0) as usize;
            let load = Load::Once(stage.never_seen(count)?);
            rounds.push(beside(stage.round(
                &load,
                connections,
                options.seconds * 3.0,
            ))?);
        }
        rows.push(Row::new(NEVER_SEEN, connections, rounds));
    }
    let mut ceilings: Vec<f64> = rows.iter().flat_map(Row::ceilings).collect();
    let p = clock::median(&mut ceilings);
    let (low, high) = (ceilings.first(), ceilings.last());
    if let Some(content) = stage.contents.first() {
        let license = content.license.leaf().map_or(0, |leaf| leaf.as_str().len());
        let request = hot.first().map_or(0, Vec::len);
        println!("publishing licenses of {license} bytes, requests of {request} bytes");
    }
    println!(
        "mode {}, server threads {}; P = {p:.0} private-key operations per CPU second \
         ({:.0} to {:.0})",
        mode.number(),
        options.threads,
        low.unwrap_or(&p),
        high.unwrap_or(&p)
    );
    print_rows(&rows);
    if options.check {
        let worst = |name: &str| {
            let same = rows.iter().filter(|row| row.name == name);
            same.map(Row::ratio).fold(f64::MAX, f64::min)
        };
        for (name, goal) in [("hot", 0.6), (NEVER_SEEN, 0.35)] {
            if !wanted(name) {
                continue;
            }
            let ratio = worst(name);
            if ratio < goal {
                return Err(format!("{name}: {ratio:.2} P, the goal is {goal} P").into());
            }
        }
        println!("goals met: hot >= 0.6 P, never seen >= 0.35 P");
    }
    Ok(())
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

/// A server with people and content.
struct Stage {
    server: Child,
    threads: usize,
    address: SocketAddr,
    people: Vec<Person>,
    outsider: Person,
    author: Author,
    contents: Vec<Content>,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new(mode: Mode, threads: usize) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        let address = {
            let probe = std::net::TcpListener::bind("127.0.0.1:0")?;
            probe.local_addr()?
        };
        let mut list = People::new("bench.example".parse()?, None, [1, 2, 3])?;
        let names: Vec<String> = (0..PEOPLE).map(|n| format!("person{n}")).collect();
        for name in names
            .iter()
            .map(String::as_str)
            .chain(["author", "outsider"])
        {
            list.add_person(NewPerson {
                account: name.parse()?,
                display_name: name.to_owned(),
                mail: Some(format!("{name}@bench.example").parse()?),
                addresses: Vec::new(),
                created: None,
            })?;
            list.set_password(&Member::parse(name).ok_or("name")?, PASSWORD)?;
        }
        let mut root = RootOptions::new(&data, format!("http://{address}"));
        root.mode = mode;
        root.people = Some(list);
        root.listen = vec![address];
        provision_root(&root)?;
        let config = data.join("rmsd.toml");
        let text = std::fs::read_to_string(&config)?;
        std::fs::write(&config, format!("threads = {threads}\n{text}"))?;

        let mut server = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg(&data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut ready = String::new();
        let out = server.stdout.take().ok_or("no output")?;
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut ready)?;
        if ready.trim() != "ready" {
            return Err("the server did not start".into());
        }
        let bundle = openrms_server::client_bundle(&data)?;
        let machine = Machine::activate(
            &bundle.trust.spc_issuer_key_pem,
            &bundle.trust.spc_issuer_chain,
            mode,
        )?;
        let mut connection = Connection::open(address, Waiting::Asleep)?;
        let mut people = Vec::new();
        for name in &names {
            people.push(machine.certify(&mut connection, name, PASSWORD)?);
        }
        let outsider = machine.certify(&mut connection, "outsider", PASSWORD)?;
        let author = machine.certify(&mut connection, "author", PASSWORD)?;
        let author = machine.author(&mut connection, author)?;
        let readers: Vec<&str> = people.iter().map(|p| p.email.as_str()).collect();
        let contents = (0..CONTENTS)
            .map(|_| author.publish(&readers, 0))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            server,
            threads,
            address,
            people,
            outsider,
            author,
            contents,
            _folder: folder,
        })
    }

    fn hot(&self) -> Vec<Vec<u8>> {
        let pairs = self
            .people
            .iter()
            .flat_map(|p| self.contents.iter().map(move |c| (p, c)));
        pairs
            .map(|(person, content)| acquire(person, &content.license))
            .collect()
    }

    fn repeated(&self) -> Vec<Vec<u8>> {
        let content = self.contents.iter().take(1);
        content
            .flat_map(|c| self.people.iter().map(|person| acquire(person, &c.license)))
            .collect()
    }

    fn never_seen(&self, count: usize) -> Result<Vec<Vec<u8>>, Failure> {
        let readers: Vec<&str> = self.people.iter().map(|p| p.email.as_str()).collect();
        (0..count)
            .map(|n| {
                let content = self.author.publish(&readers, 0)?;
                let person = &self.people[n % self.people.len()];
                Ok(acquire(person, &content.license))
            })
            .collect()
    }

    /// Every kind of answer, looked at as a client would before anything is timed.
    fn verify_every_answer(&self) -> Result<(), Failure> {
        let mut connection = Connection::open(self.address, Waiting::Asleep)?;
        let (person, content) = (&self.people[0], &self.contents[0]);
        for _ in 0..2 {
            let (status, body) = connection.send(&acquire(person, &content.license))?;
            let answer = read(body)?;
            let Some(LicenseOutcome::License {
                certificate_chain, ..
            }) = answer.items.first()
            else {
                return Err(format!("no license, HTTP {status}").into());
            };
            check(person, certificate_chain, content)?;
        }
        let (status, body) = connection.send(&acquire(&self.outsider, &content.license))?;
        let fault = openrms_protocol::parse_response(
            openrms_protocol::OperationName::AcquireLicense,
            body,
            &openrms_protocol::Limits::client(),
        )?
        .outcome;
        match fault {
            Err(fault) if fault.code == Some(FaultCode::NoRightsForRequestedPrincipal) => {}
            other => return Err(format!("outsider: HTTP {status}, {other:?}").into()),
        }
        let batch = acquire_batch(person, &[&self.contents[0], &self.contents[1]]);
        let (_, body) = connection.send(&batch)?;
        let answer = read(body)?;
        for (item, content) in answer.items.iter().zip(&self.contents) {
            let LicenseOutcome::License {
                certificate_chain, ..
            } = item
            else {
                return Err("an item of the batch failed".into());
            };
            check(person, certificate_chain, content)?;
        }
        Ok(())
    }

    fn round(&self, load: &Load, connections: usize, seconds: f64) -> Result<Round, Failure> {
        let (requests, once) = match load {
            Load::Repeat(requests) => (requests, false),
            Load::Once(requests) => (requests, true),
        };
        // The server has a core of its own then.
        let waiting = if connections == 1 && self.threads < cores() {
            Waiting::Awake
        } else {
            Waiting::Asleep
        };
        let next = AtomicUsize::new(0);
        let barrier = Barrier::new(connections + 1);
        let before = self.metrics()?;
        let mut latencies = Vec::new();
        let (mut spent, mut elapsed) = (Duration::ZERO, Duration::ZERO);
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
            let cpu = clock::process(self.server.id());
            let start = Instant::now();
            barrier.wait();
            for worker in workers {
                latencies.extend(worker.join().map_err(|_| "a connection failed")??);
            }
            elapsed = start.elapsed();
            spent = clock::process(self.server.id()).saturating_sub(cpu);
            Ok(())
        })?;
        let after = self.metrics()?;
        Ok(Round::new(latencies, spent, elapsed, &before, &after))
    }

    /// Hits and misses of the caches, as the server tells them.
    fn metrics(&self) -> Result<Vec<(String, f64)>, Failure> {
        let mut connection = Connection::open(self.address, Waiting::Asleep)?;
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

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// One round of one case.
pub(crate) struct Round {
    pub(crate) licenses: usize,
    pub(crate) cpu: f64,
    pub(crate) elapsed: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) caches: Vec<(String, f64)>,
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
            elapsed: elapsed.as_secs_f64(),
            p50: at(0.5),
            p99: at(0.99),
            caches: caches.filter(|(_, change)| *change > 0.0).collect(),
        }
    }
}

const NEVER_SEEN: &str = "license never seen";
/// Six readers with five rights each make publishing licenses of about 17 KB.
const PEOPLE: usize = 6;
const CONTENTS: usize = 32;
const PASSWORD: &str = "bench-password";
