//! Signing in to a real Active Directory with Kerberos, where the environment names one
//! (`CORP_LDAPS_URL` and the like) and its controllers' names are known. Skipped with a line where
//! it does not, and where there is no library of MIT's.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod test_bed;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use openrms_directory::{
    Account, AccountRef, Directory, DirectoryError, Identity, LdapDirectory, LdapSecrets,
    LdapSettings, LdapSettingsError, LdapSignIn, Memberships,
};
use openrms_negotiate::{NegotiateError, TicketSource, Tickets};
use tempfile::TempDir;
use test_bed::TestBed;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// The forest, its controller by name, and a folder for tickets.
struct Corp {
    bed: TestBed,
    controller: String,
    folder: TempDir,
}

impl Corp {
    fn find() -> Option<Self> {
        let bed = TestBed::from_env("CORP", "corp.example")?;
        if let Err(error @ NegotiateError::NoLibrary { .. }) = Tickets::new(TicketSource::Own) {
            println!("skipped: {error}");
            return None;
        }
        Some(Self {
            controller: bed.controller()?,
            bed,
            folder: tempfile::tempdir().unwrap(),
        })
    }

    fn settings(&self, scheme: &str, port: u16) -> LdapSettings {
        let server = format!("{scheme}://{}:{port}", self.controller);
        LdapSettings {
            servers: vec![server.parse().unwrap()],
            ..self.bed.settings()
        }
    }

    /// The service account by its key.
    fn keytab(&self) -> TicketSource {
        let (user, password) = ("svc-rms", &self.bed.service_password);
        TicketSource::Keytab {
            keytab: self.bed.keytab(self.folder.path(), user, password),
            principal: format!("{user}@{}", self.bed.realm()),
        }
    }

    /// Somebody by a ticket.
    fn tickets(&self, user: &str, password: &str, life: &str) -> TicketSource {
        TicketSource::File(self.bed.kinit(self.folder.path(), user, password, life))
    }

    /// What the library did in another process.
    fn trace(&self) -> PathBuf {
        self.folder.path().join("trace")
    }

    /// Runs an ignored test with other settings of the library, which looks at the environment; its
    /// own tickets are alice's.
    fn in_another_process(&self, test: &str, config: &Path) {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture"])
            .env("KRB5_CONFIG", config)
            .env("KRB5CCNAME", self.folder.path().join("alice.ccache"))
            .env("KRB5_TRACE", self.trace())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        print!("{said}");
        assert!(said.contains("1 passed"), "{child:?}");
    }

    fn directory(&self, settings: LdapSettings, source: TicketSource) -> LdapDirectory {
        LdapDirectory::new(settings, self.bed.tickets(source), Handle::current()).unwrap()
    }
}

fn who(text: &str) -> AccountRef {
    AccountRef::parse(text).unwrap()
}

async fn account(directory: &LdapDirectory, text: &str) -> Account {
    directory.account(&who(text)).await.unwrap().expect(text)
}

async fn error(directory: &LdapDirectory) -> DirectoryError {
    directory.account(&who("alice")).await.unwrap_err()
}

#[tokio::test]
async fn a_ticket_finds_what_a_password_finds_on_every_port() {
    let Some(corp) = Corp::find() else { return };
    let secrets = corp.bed.secrets();
    let by_password = LdapDirectory::new(corp.bed.settings(), secrets, Handle::current()).unwrap();
    let expected = account(&by_password, "alice").await;
    let identity = Identity::from(&expected);
    let groups = by_password.memberships(&identity).await.unwrap();
    let alice = corp.tickets("alice", "Alice-Passw0rd", "1h");
    for source in [corp.keytab(), alice] {
        for (scheme, port) in [
            ("ldap", 389),
            ("ldap", 3268),
            ("ldaps", 636),
            ("ldaps", 3269),
        ] {
            let directory = corp.directory(corp.settings(scheme, port), source.clone());
            let found = account(&directory, "a.archer@corp.example").await;
            assert_eq!(found, expected, "{scheme} {port}");
            let found = directory.memberships(&identity).await.unwrap();
            let addresses = |found: &Memberships| -> HashSet<String> {
                found.group_addresses().map(str::to_owned).collect()
            };
            assert_eq!(addresses(&found), addresses(&groups), "{scheme} {port}");
            let nobody = directory.account(&who("nobody@corp.example")).await;
            assert_eq!(nobody.unwrap(), None);
        }
    }
}

#[tokio::test]
async fn nothing_can_be_read_on_the_way_and_many_questions_share_one_connection() {
    let Some(corp) = Corp::find() else { return };
    let way = Way::to(&corp).await;
    let directory = Arc::new(corp.directory(corp.settings("ldap", way.port), corp.keytab()));
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let directory = Arc::clone(&directory);
        tasks.spawn(async move {
            for _ in 0..50 {
                account(&directory, "a.archer@corp.example").await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(way.connections(), 1);
    let passed = way.passed();
    assert!(passed.len() > 100_000, "{}", passed.len());
    // The mechanism is asked for in clear; no name, no attribute and no filter is.
    let holds = |text: &str| passed.windows(text.len()).any(|at| at == text.as_bytes());
    assert!(holds("GSSAPI"));
    for secret in ["archer", "Archer", "objectClass", "proxyAddresses"] {
        assert!(!holds(secret), "{secret}");
    }
}

#[tokio::test]
async fn what_is_changed_or_repeated_on_the_way_is_believed_by_nobody() {
    let Some(corp) = Corp::find() else { return };
    let way = Way::to(&corp).await;
    let directory = corp.directory(corp.settings("ldap", way.port), corp.keytab());
    let expected = account(&directory, "alice").await;
    for (number, harm) in [
        Harm::Flip,
        Harm::Repeat,
        Harm::Replace(&[0; 4]),
        Harm::Replace(&[0xFF; 4]),
        Harm::Replace(&[0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]),
        Harm::Cut,
    ]
    .into_iter()
    .enumerate()
    {
        way.harm(1, harm);
        // On the connection that ends, and then on another; of two, one may still be on the first.
        for _ in 0..2 {
            assert_eq!(account(&directory, "alice").await, expected, "{harm:?}");
        }
        assert_eq!(way.connections(), number + 2, "{harm:?}");
    }
}

#[tokio::test]
async fn an_offer_that_is_changed_on_the_way_ends_the_bind() {
    let Some(corp) = Corp::find() else { return };
    for part in 1..=3 {
        let way = Way::to(&corp).await;
        way.harm(part, Harm::Flip);
        let settings = LdapSettings {
            retry_down: 1,
            ..corp.settings("ldap", way.port)
        };
        let directory = corp.directory(settings, corp.keytab());
        let error = error(&directory).await;
        println!("{part}: {error}");
        assert!(
            matches!(error, DirectoryError::SignIn { .. }),
            "{part}: {error}"
        );
        assert_eq!(way.connections(), 1);
    }
}

#[tokio::test]
async fn whoever_cannot_sign_in_is_told_why() {
    let Some(corp) = Corp::find() else { return };
    let folder = corp.folder.path();
    let keytab = |user: &str, password: &str, principal: &str| TicketSource::Keytab {
        keytab: corp.bed.keytab(folder, user, password),
        principal: principal.to_owned(),
    };
    let said = async |source| {
        let directory = corp.directory(corp.settings("ldap", 389), source);
        let error = error(&directory).await;
        println!("{error}");
        error
    };
    for (source, words) in [
        (
            TicketSource::File(folder.join("nobody.ccache")),
            "run kinit",
        ),
        (expired(&corp), "run kinit"),
        (
            keytab("svc-rms", "any", "other@CORP.EXAMPLE"),
            "it holds no key of theirs",
        ),
        (
            keytab("nobody", "any", "nobody@CORP.EXAMPLE"),
            "not found in Kerberos database",
        ),
        (
            keytab("dave", "Dave-Passw0rd", "dave@CORP.EXAMPLE"),
            "revoked",
        ),
    ] {
        let error = said(source).await;
        assert!(matches!(error, DirectoryError::SignIn { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let error = said(keytab("bob", "wrong", "bob@CORP.EXAMPLE")).await;
    assert!(matches!(error, DirectoryError::Refused { .. }), "{error}");
}

/// A ticket whose time is over.
fn expired(corp: &Corp) -> TicketSource {
    let tickets = corp.tickets("alice", "Alice-Passw0rd", "1s");
    let cache = corp.folder.path().join("alice.ccache");
    let valid = || {
        let mut klist = Command::new("klist");
        klist.arg("-s").arg(&cache).status().unwrap().success()
    };
    while valid() {
        std::thread::yield_now();
    }
    tickets
}

#[tokio::test]
async fn a_wrong_key_is_not_tried_again_and_a_missing_ticket_is() {
    let Some(corp) = Corp::find() else { return };
    let folder = corp.folder.path();
    let way = Way::to(&corp).await;
    let wrong = TicketSource::Keytab {
        keytab: corp.bed.keytab(folder, "bob", "wrong"),
        principal: "bob@CORP.EXAMPLE".to_owned(),
    };
    let directory = corp.directory(corp.settings("ldap", way.port), wrong);
    for _ in 0..3 {
        let error = error(&directory).await;
        assert!(matches!(error, DirectoryError::Refused { .. }), "{error}");
    }
    assert_eq!(way.connections(), 1);

    let later = TicketSource::File(folder.join("alice.ccache"));
    let directory = corp.directory(corp.settings("ldap", 389), later);
    let error = error(&directory).await;
    assert!(matches!(error, DirectoryError::SignIn { .. }), "{error}");
    corp.tickets("alice", "Alice-Passw0rd", "1h");
    account(&directory, "alice").await;
}

#[tokio::test]
async fn a_controller_that_was_away_is_found_again() {
    let Some(corp) = Corp::find() else { return };
    let Some(program) = std::env::var_os("AD_TESTBED") else {
        println!("skipped: AD_TESTBED is not set, nobody can stop the directory");
        return;
    };
    let run = |verb: &str| {
        let done = Command::new(&program)
            .args([verb, "corp"])
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    let directories = [("ldap", 389), ("ldaps", 636)]
        .map(|(scheme, port)| corp.directory(corp.settings(scheme, port), corp.keytab()));
    for directory in &directories {
        account(directory, "alice").await;
    }
    run("stop-dc");
    let mut down = Vec::new();
    for directory in &directories {
        down.push(directory.account(&who("alice")).await);
    }
    run("start-dc");
    for outcome in down {
        let error = outcome.unwrap_err();
        assert!(
            matches!(error, DirectoryError::Unreachable { .. }),
            "{error}"
        );
    }
    let end = Instant::now() + Duration::from_mins(1);
    for directory in &directories {
        while let Err(error) = directory.account(&who("alice")).await {
            assert!(Instant::now() < end, "no recovery: {error}");
        }
    }
}

#[tokio::test]
async fn a_key_distribution_center_that_does_not_answer_takes_no_longer_than_is_allowed() {
    let Some(corp) = Corp::find() else { return };
    corp.tickets("alice", "Alice-Passw0rd", "1h");
    // It takes connections, and never says anything.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let config = corp.folder.path().join("krb5.conf");
    let text = format!(
        "[libdefaults]\ndefault_realm = CORP.EXAMPLE\ndns_lookup_kdc = false\n\
         dns_canonicalize_hostname = false\nudp_preference_limit = 1\n\
         [realms]\nCORP.EXAMPLE = {{\nkdc = {address}\n}}\n\
         [domain_realm]\n.corp.example = CORP.EXAMPLE\n"
    );
    std::fs::write(&config, text).unwrap();
    corp.in_another_process("questions_to_a_directory_whose_center_is_silent", &config);
    drop(silent);
}

#[tokio::test]
#[ignore = "run by another test"]
async fn questions_to_a_directory_whose_center_is_silent() {
    let corp = Corp::find().unwrap();
    let settings = LdapSettings {
        time_out_for_gc: 1,
        ldap_time_out: 1,
        ..corp.settings("ldap", 389)
    };
    let directory = Arc::new(corp.directory(settings, TicketSource::Own));
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let directory = Arc::clone(&directory);
        tasks.spawn(async move { error(&directory).await });
    }
    while let Some(done) = tasks.join_next().await {
        let error = done.unwrap();
        assert!(matches!(error, DirectoryError::Timeout { .. }), "{error}");
    }
    println!("20 questions: {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_key_gets_a_new_ticket_before_the_old_one_ends_and_no_sooner() {
    let Some(corp) = Corp::find() else { return };
    let text = std::fs::read_to_string(std::env::var_os("KRB5_CONFIG").unwrap()).unwrap();
    let config = corp.folder.path().join("krb5.conf");
    // With less than half a minute left, a ticket is as good as ended.
    let life = "[libdefaults]\n  ticket_lifetime = 33s\n";
    std::fs::write(&config, text.replacen("[libdefaults]\n", life, 1)).unwrap();
    corp.in_another_process("questions_for_longer_than_a_ticket_lives", &config);
    let trace = std::fs::read_to_string(corp.trace()).unwrap();
    let count = |words: &str| trace.lines().filter(|line| line.contains(words)).count();
    let got = count("Getting initial credentials for svc-rms@CORP.EXAMPLE");
    let used = count("Getting credentials svc-rms@CORP.EXAMPLE -> ldap/dc1.corp.example");
    println!("{got} tickets got, used {used} times");
    assert!((2..=4).contains(&got) && used > 10 * got, "{got} {used}");
}

#[tokio::test]
#[ignore = "run by another test"]
async fn questions_for_longer_than_a_ticket_lives() {
    let corp = Corp::find().unwrap();
    let settings = LdapSettings {
        retry_down: u32::MAX,
        ..corp.settings("ldap", 389)
    };
    let directory = corp.directory(settings, corp.keytab());
    let end = Instant::now() + Duration::from_secs(6);
    while Instant::now() < end {
        // Samba's KDC wants a ticket that lasts five minutes longer; ours is looked for all the same.
        let error = error(&directory).await;
        assert!(error.to_string().contains("Ticket expired"), "{error}");
    }
}

#[tokio::test]
async fn settings_that_contradict_kerberos_are_refused_by_name() {
    let refused = |url: &str, allow_plain: bool, source: TicketSource| {
        let settings = LdapSettings {
            forest: Some("corp.example".parse().unwrap()),
            servers: vec![url.parse().unwrap()],
            allow_plain,
            ..LdapSettings::default()
        };
        let secrets = LdapSecrets {
            sign_in: LdapSignIn::Kerberos(source),
            roots: Vec::new(),
        };
        let directory = LdapDirectory::new(settings, secrets, Handle::current());
        directory.err().unwrap()
    };
    let error = refused("ldap://localhost", true, TicketSource::Own);
    assert_eq!(error, LdapSettingsError::PlainKerberos);
    for url in ["ldap://10.0.0.1", "ldaps://[::1]:3269"] {
        let error = refused(url, false, TicketSource::Own);
        let server = url.parse().unwrap();
        assert_eq!(error, LdapSettingsError::AddressForKerberos { server });
    }
    let missing = TicketSource::Keytab {
        keytab: "/nowhere/svc.keytab".into(),
        principal: "svc@CORP.EXAMPLE".to_owned(),
    };
    let error = refused("ldap://dc1.corp.example", false, missing);
    assert!(error.to_string().contains("/nowhere/svc.keytab"), "{error}");
}

/// What is done to what a server sends.
#[derive(Debug, Clone, Copy)]
enum Harm {
    Flip,
    Repeat,
    Replace(&'static [u8]),
    Cut,
}

/// The way to a controller, on which somebody sits.
struct Way {
    port: u16,
    state: Arc<State>,
    _task: JoinSet<()>,
}

#[derive(Default)]
struct State {
    connections: AtomicUsize,
    passed: Mutex<Vec<u8>>,
    /// Which of the next answers is harmed, and how.
    harm: Mutex<Option<(usize, Harm)>>,
}

impl State {
    fn harm_of_this(&self) -> Option<Harm> {
        let mut planned = self.harm.lock().unwrap();
        let (answer, harm) = planned.take()?;
        if answer > 1 {
            *planned = Some((answer - 1, harm));
            return None;
        }
        Some(harm)
    }
}

impl Way {
    /// Tickets are for names without ports, so that the way leads to another port of the address.
    async fn to(corp: &Corp) -> Self {
        let server = TcpStream::connect((corp.controller.as_str(), 389)).await;
        let server = server.unwrap().peer_addr().unwrap();
        let listener = TcpListener::bind((server.ip(), 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let there = TcpStream::connect(server).await.unwrap();
                let state = Arc::clone(&shared);
                connections.spawn(async move { carry(client, there, &state).await });
            }
        });
        Self {
            port,
            state,
            _task: task,
        }
    }

    fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    fn passed(&self) -> Vec<u8> {
        self.state.passed.lock().unwrap().clone()
    }

    /// Harms an answer to come; the next one is the first.
    fn harm(&self, answer: usize, harm: Harm) {
        *self.state.harm.lock().unwrap() = Some((answer, harm));
    }
}

/// Ends both connections as soon as one ends.
async fn carry(client: TcpStream, server: TcpStream, state: &State) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = async {
        let mut bytes = vec![0; 65_536];
        while let Ok(length @ 1..) = from_client.read(&mut bytes).await {
            state.passed.lock().unwrap().extend(&bytes[..length]);
            to_server.write_all(&bytes[..length]).await.ok()?;
        }
        None::<()>
    };
    let back = async {
        let mut bytes = vec![0; 65_536];
        while let Ok(length @ 1..) = from_server.read(&mut bytes).await {
            let mut sent = bytes[..length].to_vec();
            state.passed.lock().unwrap().extend(&sent);
            let harm = state.harm_of_this();
            match harm {
                None => {}
                Some(Harm::Flip) => *sent.last_mut().unwrap() ^= 1,
                Some(Harm::Repeat) => sent.extend(sent.clone()),
                Some(Harm::Replace(with)) => sent = with.to_vec(),
                Some(Harm::Cut) => sent.truncate(length - 1),
            }
            to_client.write_all(&sent).await.ok()?;
            if matches!(harm, Some(Harm::Cut)) {
                return None;
            }
        }
        None::<()>
    };
    tokio::select! {
        _ = there => {}
        _ = back => {}
    }
}
