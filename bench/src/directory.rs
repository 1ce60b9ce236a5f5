//! Use licenses for a person in 15 nested groups: from the built-in list, from an Active Directory
//! whose answers are remembered, and from one that is asked for each license anew. All else is the
//! same: the shape of the groups, what is published, who asks, how.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use openrms_crypto::Mode;
use openrms_directory::{Address, Member, NewPerson, People};
use openrms_negotiate::Initiator;

use crate::Failure;
use crate::ceiling::Ceiling;
use crate::http::{SignIn, Waiting};
use crate::people::{acquire, check_license, check_refusal};
use crate::report::{Row, print_ceiling, print_rows};
use crate::server::{Load, Round, ServerProcess, Setup};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds of load for each case of each round.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Rounds; the median of their ratios is printed.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Fail when a directory whose answers are remembered gives less than 0.95 of the licenses of
    /// the built-in list.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let corp = match Corp::from_env() {
        Ok(corp) => corp,
        Err(missing) => {
            println!("skipped: {missing} is not set, there is no Active Directory to measure with");
            return Ok(());
        }
    };
    let list = Case::new(LIST, &Source::List)?;
    let warm = Case::new(WARM, &Source::Directory(&corp, ""))?;
    let cold = Case::new(COLD, &Source::Directory(&corp, NOTHING_KEPT))?;

    let mut ceiling = Ceiling::new(MODE)?;
    let mut rounds = [Vec::new(), Vec::new(), Vec::new()];
    for number in 0..options.rounds {
        // What drifts on a shared machine favours each of the two as often.
        let mut order = [(0, &list), (1, &warm), (2, &cold)];
        if number % 2 == 1 {
            order.swap(0, 1);
        }
        for (place, case) in order {
            rounds[place].push(ceiling.beside(case.round(options.seconds)?));
        }
    }
    let [of_list, of_warm, of_cold] = rounds;
    let rows = [
        Row::new(list.name, 1, of_list),
        Row::new(warm.name, 1, of_warm),
        Row::new(cold.name, 1, of_cold),
    ];
    print_ceiling(MODE, THREADS, &rows);
    print_rows(&rows);
    let [list, directories @ ..] = &rows;
    for row in directories {
        let [low, middle, high] = row.compared_with(list);
        println!(
            "{} / {LIST}: {middle:.3} per CPU second, median of {} pairs ({low:.3} to {high:.3})",
            row.name, options.rounds
        );
    }
    if options.check {
        let [_, ratio, _] = directories[0].compared_with(list);
        if ratio < GOAL {
            return Err(format!("{WARM}: {ratio:.3} of the {LIST}, the goal is {GOAL}").into());
        }
        println!("goal met: {WARM} >= {GOAL} of the {LIST}");
    }
    Ok(())
}

/// Where a server learns who people are.
enum Source<'a> {
    /// From its own list.
    List,
    /// From a directory, with these settings of the cache.
    Directory(&'a Corp, &'a str),
}

/// A server and what is asked of it.
struct Case {
    name: &'static str,
    server: ServerProcess,
    load: Load,
}

impl Case {
    /// Starts the server, lets people in, and sees that the group's content opens for its member
    /// and for nobody else.
    fn new(name: &'static str, source: &Source<'_>) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let tables = match source {
            Source::List => NO_SPARE_KEYS.to_owned(),
            Source::Directory(corp, cache) => {
                format!("{NO_SPARE_KEYS}{}{cache}", corp.tables(folder.path())?)
            }
        };
        let people = match source {
            Source::List => Some(people_in_fifteen_groups()?),
            Source::Directory(..) => None,
        };
        let server = ServerProcess::start(Setup {
            mode: MODE,
            threads: THREADS,
            people,
            tables: &tables,
        })?;
        let machine = server.machine(MODE)?;
        let mut connection = server.connect()?;
        let mut certify = |(name, password)| {
            let sign_in = match source {
                Source::List => SignIn::Password(name, password),
                Source::Directory(..) => SignIn::Negotiate(token(folder.path(), name, password)?),
            };
            machine.certify(&mut connection, &sign_in)
        };
        let (frank, alice, bob) = (certify(FRANK)?, certify(ALICE)?, certify(BOB)?);
        let author = machine.author(&mut connection, alice)?;
        let contents = (0..CONTENTS)
            .map(|_| author.publish(&[TOP], OTHERS))
            .collect::<Result<Vec<_>, _>>()?;
        for content in &contents {
            check_license(&mut connection, &frank, content)?;
            check_refusal(&mut connection, &bob, content)?;
        }
        let requests = contents.iter().map(|c| acquire(&frank, &c.license));
        Ok(Self {
            name,
            server,
            load: Load::Repeat(requests.collect()),
        })
    }

    fn round(&self, seconds: f64) -> Result<Round, Failure> {
        // One after another: what several ask at once is asked of a directory once. Asleep, as the
        // directory needs a core as well.
        self.server.round(&self.load, 1, Waiting::Asleep, seconds)
    }
}

/// What the environment says of the directory.
struct Corp {
    url: String,
    authority: PathBuf,
    password: String,
    keytab: PathBuf,
}

impl Corp {
    /// The directory, or the variable that is missing.
    fn from_env() -> Result<Self, &'static str> {
        let variable = |name| std::env::var(name).map_err(|_| name);
        Ok(Self {
            url: variable("CORP_LDAPS_URL")?,
            authority: variable("AD_CA")?.into(),
            password: variable("CORP_SVC_PASSWORD")?,
            keytab: variable("CORP_HTTP_KEYTAB")?.into(),
        })
    }

    /// The directory in a configuration file. Licensing is open as it is with the built-in list,
    /// so that no request pays for a sign-in.
    fn tables(&self, folder: &Path) -> Result<String, Failure> {
        let password_file = folder.join("directory.password");
        std::fs::write(&password_file, &self.password)?;
        Ok(format!(
            "[directory]\n\
             servers = ['{}']\n\
             forest = 'corp.example'\n\
             bind_name = 'svc-rms@corp.example'\n\
             password_file = '{}'\n\
             authorities = '{}'\n\
             [sign_in.negotiate]\n\
             keytab = '{}'\n\
             [services.licensing]\n\
             access = 'anyone'\n\
             [services.publishing]\n\
             access = 'anyone'\n",
            self.url,
            password_file.display(),
            self.authority.display(),
            self.keytab.display()
        ))
    }
}

/// A token of somebody who logs on for it.
fn token(folder: &Path, name: &str, password: &str) -> Result<Vec<u8>, Failure> {
    let tickets = folder.join(format!("{name}.tickets"));
    let mut kinit = Command::new("kinit")
        .arg("-c")
        .arg(&tickets)
        .arg(format!("{name}@CORP.EXAMPLE"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("kinit: {error}"))?;
    let mut input = kinit.stdin.take().ok_or("no input")?;
    writeln!(input, "{password}")?;
    drop(input);
    if !kinit.wait()?.success() {
        return Err(format!("{name} got no ticket").into());
    }
    let mut initiator = Initiator::with_ticket_file("HTTP@rms.corp.example", &tickets)?;
    Ok(initiator.step(None)?.token.ok_or("no token")?)
}

/// The people and groups of the test bed, as a list: five times team in section in division.
fn people_in_fifteen_groups() -> Result<People, Failure> {
    let mut list = People::new("corp.example".parse()?, None, [1, 2, 3])?;
    for (name, password) in [FRANK, ALICE, BOB] {
        list.add_person(NewPerson {
            account: name.parse()?,
            display_name: name.to_owned(),
            mail: Some(format!("{name}@corp.example").parse()?),
            addresses: Vec::new(),
            created: None,
        })?;
        list.set_password(&Member::parse(name).ok_or("name")?, password)?;
    }
    for n in 1..=5 {
        let mut member = FRANK.0.to_owned();
        for level in ["team", "section", "division"] {
            let group = format!("{level}-{n}@corp.example");
            let address: Address = group.parse()?;
            list.add_group(address.clone())?;
            list.add_member(&address, Member::parse(&member).ok_or("member")?)?;
            member = group;
        }
    }
    Ok(list)
}

const LIST: &str = "built-in list";
const WARM: &str = "directory, warm cache";
const COLD: &str = "directory, cold cache";
const GOAL: f64 = 0.95;
const MODE: Mode = Mode::Two;
const THREADS: usize = 1;

/// In fifteen groups of the test bed; its passwords are no secret.
const FRANK: (&str, &str) = ("frank", "Frank-Passw0rd");
/// Publishes.
const ALICE: (&str, &str) = ("alice", "Alice-Passw0rd");
/// In groups, but in none of Frank's.
const BOB: (&str, &str) = ("bob", "Bob-Passw0rd");
/// Who may read: a group that holds Frank at the third level.
const TOP: &str = "division-5@corp.example";
/// Further readers, for publishing licenses as large as in `license`.
const OTHERS: usize = 5;
const CONTENTS: usize = 32;

/// Making keys is billed to the server, and not what is measured.
const NO_SPARE_KEYS: &str = "[limits]\nspare_keys = 0\n";
const NOTHING_KEPT: &str = "[directory.cache]\n\
                            principal_cache_max = 0\n\
                            group_id_cache_max = 0\n\
                            group_membership_cache_max = 0\n";
