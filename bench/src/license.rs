//! Use licenses over HTTP at several numbers of connections, known and never seen, in ratio to P.

use openrms_crypto::Mode;
use openrms_directory::{Member, NewPerson, People};
use openrms_protocol::licensing::LicenseOutcome;

use crate::Failure;
use crate::ceiling::Ceiling;
use crate::http::{SignIn, Waiting};
use crate::people::{
    Author, Content, Person, acquire, acquire_batch, check, check_license, check_refusal, read,
};
use crate::report::{Row, print_ceiling, print_rows};
use crate::server::{Load, Round, ServerProcess, Setup};

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
    /// Fail below 0.6 P hot and 0.35 P for licenses never seen (mode 2), and when the log costs
    /// more than 5 percent of the licenses.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mode = Mode::from_number(u32::from(options.mode)).ok_or("mode 1 or 2")?;
    let stage = Stage::new(mode, options.threads, "")?;
    stage.verify_every_answer()?;
    let mut ceiling = Ceiling::new(mode)?;

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
                rounds.push(ceiling.beside(stage.round(&load, connections, options.seconds)?));
            }
            rows.push(Row::new(name, connections, rounds));
        }
    }
    for &connections in options.connections.iter().filter(|_| wanted(NEVER_SEEN)) {
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            let count = (options.seconds * 2500.0) as usize;
            let load = Load::Once(stage.never_seen(count)?);
            let round = stage.round(&load, connections, options.seconds * 3.0)?;
            rounds.push(ceiling.beside(round));
        }
        rows.push(Row::new(NEVER_SEEN, connections, rounds));
    }
    let logged = if wanted(LOGGED) {
        let [logged, unlogged] = with_and_without_log(&stage, &mut ceiling, options)?;
        let ratios = (
            logged.compared_while_serving(&unlogged),
            logged.compared_with(&unlogged),
        );
        rows.extend([logged, unlogged]);
        Some(ratios)
    } else {
        None
    };
    if let Some(content) = stage.contents.first() {
        let license = content.license.leaf().map_or(0, |leaf| leaf.as_str().len());
        let request = hot.first().map_or(0, Vec::len);
        println!("publishing licenses of {license} bytes, requests of {request} bytes");
    }
    print_ceiling(mode, options.threads, &rows);
    print_rows(&rows);
    if let Some(([low, middle, high], [least, all, most])) = logged {
        println!(
            "licenses with the log for each without: {middle:.3} ({low:.3} to {high:.3}), with its \
             listener {all:.3} ({least:.3} to {most:.3})"
        );
        if options.check && middle < LOGGED_GOAL {
            return Err(format!("the log: {middle:.3}, the goal is {LOGGED_GOAL}").into());
        }
    }
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

/// The same load at a server that logs and at one that does not, round by round.
fn with_and_without_log(
    stage: &Stage,
    ceiling: &mut Ceiling,
    options: &Options,
) -> Result<[Row; 2], Failure> {
    let mode = Mode::from_number(u32::from(options.mode)).ok_or("mode 1 or 2")?;
    let silent = Stage::new(mode, options.threads, "[logging]\nenabled = false\n")?;
    let connections = options.connections.iter().copied().max().unwrap_or(1);
    let loads = [stage, &silent].map(|stage| (stage, Load::Repeat(stage.hot())));
    let mut rounds = [Vec::new(), Vec::new()];
    // More rounds than elsewhere: the difference is small.
    for _ in 0..=options.rounds * 2 {
        for ((stage, load), rounds) in loads.iter().zip(&mut rounds) {
            rounds.push(ceiling.beside(stage.round(load, connections, options.seconds)?));
        }
    }
    let [logged, unlogged] = rounds;
    Ok([
        Row::new(LOGGED, connections, logged),
        Row::new(UNLOGGED, connections, unlogged),
    ])
}

/// A server with people and content.
struct Stage {
    server: ServerProcess,
    threads: usize,
    people: Vec<Person>,
    outsider: Person,
    author: Author,
    contents: Vec<Content>,
}

impl Stage {
    fn new(mode: Mode, threads: usize, tables: &str) -> Result<Self, Failure> {
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
        let server = ServerProcess::start(Setup {
            mode,
            threads,
            people: Some(list),
            tables,
        })?;
        let machine = server.machine(mode)?;
        let mut connection = server.connect()?;
        let sign_in = |name| SignIn::Password(name, PASSWORD);
        let mut people = Vec::new();
        for name in &names {
            people.push(machine.certify(&mut connection, &sign_in(name))?);
        }
        let outsider = machine.certify(&mut connection, &sign_in("outsider"))?;
        let author = machine.certify(&mut connection, &sign_in("author"))?;
        let author = machine.author(&mut connection, author)?;
        let readers: Vec<&str> = people.iter().map(|p| p.email.as_str()).collect();
        let contents = (0..CONTENTS)
            .map(|_| author.publish(&readers, 0))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            server,
            threads,
            people,
            outsider,
            author,
            contents,
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
        let mut connection = self.server.connect()?;
        let (person, content) = (&self.people[0], &self.contents[0]);
        for _ in 0..2 {
            check_license(&mut connection, person, content)?;
        }
        check_refusal(&mut connection, &self.outsider, content)?;
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
        // The server has a core of its own then.
        let waiting = if connections == 1 && self.threads < cores() {
            Waiting::Awake
        } else {
            Waiting::Asleep
        };
        self.server.round(load, connections, waiting, seconds)
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

const NEVER_SEEN: &str = "license never seen";
const LOGGED: &str = "with the log";
const UNLOGGED: &str = "without the log";
const LOGGED_GOAL: f64 = 0.95;
/// Six readers with five rights each make publishing licenses of about 17 KB.
const PEOPLE: usize = 6;
const CONTENTS: usize = 32;
const PASSWORD: &str = "bench-password";
