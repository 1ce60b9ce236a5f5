//! NTLM over real connections, with a helper that can be told to fail: whose a connection is, and
//! that nobody waits long for somebody else's handshake.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openrms_crypto::Mode;
use openrms_directory::{Member, NewPerson};
use openrms_protocol::server::{FindServiceLocationsForUser, ServiceType};
use openrms_protocol::{Operation, Service, SoapVersion, VersionData, encode_request};
use openrms_server::access::{AccessRules, Part, PartRule, Scheme};
use openrms_server::config::{Config, Ntlm};
use openrms_server::people::PeopleSource;
use support::{PASSWORD, TestServer, basic};

#[test]
fn a_handshake_signs_in_its_connection_and_no_other() {
    let server = start(2, |_| ());
    for scheme in ["NTLM", "Negotiate", "ntlm"] {
        let mut alice = Connection::open(&server);
        let mut other = Connection::open(&server);
        assert_eq!(alice.ask(&[]).status, 401);
        assert_eq!(alice.sign_in(scheme, "EXAMPLE\\alice", "right"), 200);
        for _ in 0..3 {
            assert_eq!(alice.ask(&[]).status, 200);
        }
        assert_eq!(other.ask(&[]).status, 401);
        assert_eq!(other.sign_in(scheme, "EXAMPLE\\bob", "right"), 200);
        assert_eq!(alice.ask(&[]).status, 200);
        assert_eq!(
            server.users(),
            [
                None,
                None,
                Some("EXAMPLE\\alice"),
                Some("EXAMPLE\\alice"),
                Some("EXAMPLE\\alice"),
                Some("EXAMPLE\\alice"),
                None,
                None,
                Some("EXAMPLE\\bob"),
                Some("EXAMPLE\\alice"),
            ]
            .map(|user| user.map(str::to_owned))
        );
        server.forget_audit();
    }
}

#[test]
fn it_is_not_there_until_it_is_switched_on() {
    let server = start(1, |config| config.ntlm = None);
    let mut connection = Connection::open(&server);
    assert_eq!(connection.ask(&[]).offers(), ["Basic"]);
    let answer = connection.begin("NTLM", "");
    assert_eq!((answer.status, answer.offers()), (401, vec!["Basic"]));
}

#[test]
fn each_service_has_its_own_rule() {
    let server = start(1, |config| {
        let rule = |schemes| PartRule {
            schemes: Some(schemes),
            ..PartRule::default()
        };
        let rules = [
            (Part::ServiceLocator, rule(vec![Scheme::Basic])),
            (Part::Certification, rule(vec![Scheme::Ntlm])),
        ];
        config.access = AccessRules::new(rules.into()).unwrap();
    });
    let mut connection = Connection::open(&server);
    assert_eq!(connection.ask(&[]).offers(), ["Basic"]);
    assert_eq!(connection.begin("NTLM", "").offers(), ["Basic"]);
    connection.service = Service::Certification;
    assert_eq!(connection.ask(&[]).offers(), ["NTLM"]);
    // Signed in, and then refused for what the request says.
    assert_eq!(connection.sign_in("NTLM", "EXAMPLE\\alice", "right"), 500);
    connection.service = Service::LicensingServiceLocator;
    assert_eq!(connection.ask(&[]).status, 401);
}

#[test]
fn a_wrong_answer_signs_in_nobody_and_the_challenge_is_of_no_more_use() {
    let server = start(1, |_| ());
    let mut connection = Connection::open(&server);
    let challenge = connection.begin("NTLM", "").challenge();
    let wrong = connection.answer("NTLM", &format!("EXAMPLE\\alice:wrong:{challenge}"));
    assert_eq!((wrong.status, wrong.offers()), (401, vec!["NTLM", "Basic"]));
    let again = connection.answer("NTLM", &format!("EXAMPLE\\alice:right:{challenge}"));
    assert_eq!(again.status, 401);
    assert_eq!(connection.ask(&[]).status, 401);
    assert_eq!(connection.sign_in("NTLM", "EXAMPLE\\alice", "right"), 200);
}

#[test]
fn an_answer_is_taken_on_the_connection_of_its_challenge_alone() {
    let server = start(2, |_| ());
    let (mut one, mut other) = (Connection::open(&server), Connection::open(&server));
    let challenge = one.begin("NTLM", "").challenge();
    let answer = format!("EXAMPLE\\alice:right:{challenge}");
    assert_eq!(other.answer("NTLM", &answer).status, 401);
    other.begin("NTLM", "");
    assert_eq!(other.answer("NTLM", &answer).status, 401);
    assert_eq!(one.answer("NTLM", &answer).status, 200);
}

#[test]
fn whoever_the_directory_does_not_know_in_that_domain_is_refused() {
    let server = start(1, |_| ());
    for stranger in ["EXAMPLE\\nobody", "OTHER\\alice"] {
        let mut connection = Connection::open(&server);
        assert_eq!(connection.sign_in("NTLM", stranger, "right"), 401);
        assert_eq!(connection.ask(&[]).status, 401);
    }
    // A name alone could be of any domain.
    let mut connection = Connection::open(&server);
    assert_eq!(connection.sign_in("NTLM", "alice", "right"), 503);
}

#[test]
fn whoever_is_disabled_is_out_on_an_open_connection_too() {
    let server = start(1, |_| ());
    let mut connection = Connection::open(&server);
    assert_eq!(connection.sign_in("NTLM", "EXAMPLE\\alice", "right"), 200);
    let alice = Member::parse("EXAMPLE\\alice").unwrap();
    let set = |disabled| {
        openrms_server::people::edit(&server.people(), |people| {
            people.set_disabled(&alice, disabled)
        })
        .unwrap();
        server.server.running.reload_now().unwrap();
    };
    set(true);
    assert_eq!(connection.ask(&[]).status, 401);
    assert_eq!(connection.sign_in("NTLM", "EXAMPLE\\alice", "right"), 401);
    set(false);
    // What the connection was is forgotten.
    assert_eq!(connection.ask(&[]).status, 401);
}

#[test]
fn other_credentials_win_over_what_the_connection_came_to_and_end_it() {
    let server = start(1, |_| ());
    let mut connection = Connection::open(&server);
    for (other, status) in [
        (basic("EXAMPLE\\bob", PASSWORD), 200),
        (basic("EXAMPLE\\bob", "wrong"), 401),
        ("Bearer a.b.c".to_owned(), 401),
        ("Negotiate".to_owned(), 401),
    ] {
        assert_eq!(connection.sign_in("NTLM", "EXAMPLE\\alice", "right"), 200);
        server.forget_audit();
        let answer = connection.ask(&[("authorization", &other)]);
        assert_eq!(answer.status, status, "{other}");
        let user = (status == 200).then(|| "EXAMPLE\\bob".to_owned());
        assert_eq!(server.users(), [user]);
        assert_eq!(connection.ask(&[]).status, 401, "{other}");
    }
}

#[test]
fn a_connection_that_a_proxy_may_share_is_nobodys() {
    let proxies = toml::from_str::<toml::Table>("it = [\"127.0.0.1\"]").unwrap();
    let proxies = proxies["it"].clone().try_into().unwrap();
    let behind = start(1, |config| config.proxies = proxies);
    let mut connection = Connection::open(&behind);
    let forwarded = [
        ("x-forwarded-for", "198.51.100.7"),
        ("x-forwarded-proto", "https"),
    ];
    for headers in [&forwarded[..], &[]] {
        assert_eq!(connection.ask(headers).offers(), ["Basic"]);
        let begin = message("NTLM", BEGIN, "");
        let begin = [headers, &[("authorization", &begin)]].concat();
        assert_eq!(connection.ask(&begin).offers(), ["Basic"]);
    }

    // A proxy that is not listed, but says what it is.
    let server = start(1, |_| ());
    let mut connection = Connection::open(&server);
    assert_eq!(connection.sign_in("NTLM", "EXAMPLE\\alice", "right"), 200);
    for header in ["via", "forwarded", "x-forwarded-for"] {
        let answer = connection.ask(&[(header, "198.51.100.7")]);
        assert_eq!((answer.status, answer.offers()), (401, vec!["Basic"]));
    }
}

#[test]
fn it_is_for_version_1_1_of_http_alone() {
    let server = start(1, |_| ());
    let mut old = Connection::open(&server);
    old.version = "HTTP/1.0";
    let begin = message("NTLM", BEGIN, "");
    let answer = old.ask(&[("authorization", &begin), ("connection", "keep-alive")]);
    assert_eq!((answer.status, answer.offers()), (401, vec!["Basic"]));
    // Version 2 is not spoken at all.
    let mut new = Connection::open(&server);
    new.stream.get_mut().write_all(HTTP_2).unwrap();
    let mut answer = Vec::new();
    let _ = new.stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 401"), "{answer:?}");
}

#[test]
fn a_helper_that_fails_is_replaced_and_the_client_told_to_try_again() {
    let server = start(1, |config| {
        let ntlm = config.ntlm.as_mut().unwrap();
        ntlm.time_limit = NonZeroU16::MIN;
    });
    for failure in [
        "hang",
        "die",
        "garbage",
        "endless",
        "twice",
        "otherwise",
        "broken",
        "offline",
    ] {
        let before = Instant::now();
        let mut connection = Connection::open(&server);
        let begun = connection.begin("NTLM", failure);
        assert_eq!(begun.status, 503, "{failure}");
        assert_eq!(begun.header("retry-after"), Some("1"));
        connection.begin("NTLM", "");
        assert_eq!(connection.answer("NTLM", failure).status, 503, "{failure}");
        assert_eq!(connection.ask(&[]).status, 401, "{failure}");
        assert_eq!(
            connection.sign_in("NTLM", "EXAMPLE\\alice", "right"),
            200,
            "{failure}"
        );
        assert!(before.elapsed() < Duration::from_secs(20), "{failure}");
    }
}

#[test]
fn a_helper_that_died_while_nobody_asked_is_not_asked() {
    let server = start(1, |_| ());
    let mut connection = Connection::open(&server);
    assert_eq!(connection.sign_in("NTLM", "EXAMPLE\\alice", "right"), 200);
    let challenge = connection.begin("NTLM", "").challenge();
    let process = challenge.split_once('.').unwrap().0;
    // The connection's end sets the helper free.
    drop(connection);
    let killed = std::process::Command::new("kill")
        .args(["-9", process])
        .status();
    assert!(killed.unwrap().success());
    let mut connection = Connection::open(&server);
    let end = Instant::now() + Duration::from_secs(30);
    while connection.sign_in("NTLM", "EXAMPLE\\alice", "right") != 200 {
        assert!(Instant::now() < end);
    }
}

#[test]
fn more_clients_than_helpers_all_get_their_turn() {
    let server = start(2, |_| ());
    std::thread::scope(|scope| {
        for number in 0..12 {
            let server = &server;
            scope.spawn(move || {
                let who = ["EXAMPLE\\alice", "EXAMPLE\\bob"][number % 2];
                for _ in 0..5 {
                    let mut connection = Connection::open(server);
                    assert_eq!(connection.sign_in("NTLM", who, "right"), 200);
                    assert_eq!(connection.ask(&[]).status, 200);
                }
            });
        }
    });
    let ended: Vec<_> = server.users().into_iter().flatten().collect();
    assert_eq!(ended.len(), 12 * 5 * 2);
}

#[test]
fn handshakes_that_nobody_ends_give_way() {
    let server = start(2, |_| ());
    let mut unfinished = Vec::new();
    for _ in 0..4 {
        let mut connection = Connection::open(&server);
        let challenge = connection.begin("NTLM", "").challenge();
        unfinished.push((connection, challenge));
    }
    let before = Instant::now();
    let mut connection = Connection::open(&server);
    assert_eq!(connection.sign_in("NTLM", "EXAMPLE\\alice", "right"), 200);
    assert!(
        before.elapsed() < Duration::from_secs(4),
        "{:?}",
        before.elapsed()
    );
    // Whoever gave way has to begin anew, and can.
    let (oldest, challenge) = &mut unfinished[0];
    let late = oldest.answer("NTLM", &format!("EXAMPLE\\alice:right:{challenge}"));
    assert_eq!(late.status, 503);
    assert_eq!(oldest.sign_in("NTLM", "EXAMPLE\\alice", "right"), 200);
}

#[test]
fn whoever_waits_too_long_for_a_helper_is_told_to_try_again() {
    let server = start(1, |config| {
        let ntlm = config.ntlm.as_mut().unwrap();
        ntlm.time_limit = NonZeroU16::new(60).unwrap();
    });
    let mut holder = Connection::open(&server);
    let challenge = holder.begin("NTLM", "").challenge();
    holder.send(&[("authorization", &message("NTLM", ANSWER, "hang"))]);
    let process = challenge.split_once('.').unwrap().0;
    let end = Instant::now() + Duration::from_secs(30);
    // The helper is at work once it is asleep.
    while !std::fs::read_to_string(format!("/proc/{process}/comm"))
        .unwrap()
        .starts_with("sleep")
    {
        assert!(Instant::now() < end);
        std::thread::yield_now();
    }
    let before = Instant::now();
    let mut connection = Connection::open(&server);
    let answer = connection.begin("NTLM", "");
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("1"))
    );
    assert!(
        before.elapsed() < Duration::from_secs(20),
        "{:?}",
        before.elapsed()
    );
    let killed = std::process::Command::new("kill")
        .args(["-9", process])
        .status();
    assert!(killed.unwrap().success());
    assert_eq!(holder.receive().status, 503);
    assert_eq!(connection.sign_in("NTLM", "EXAMPLE\\alice", "right"), 200);
}

#[test]
fn a_server_does_not_start_without_the_helper_it_is_told_to_use() {
    let outcome = std::panic::catch_unwind(|| {
        start(1, |config| {
            config.ntlm.as_mut().unwrap().helper = "/nowhere/ntlm_auth".into();
        })
    });
    let why = outcome.err().unwrap();
    let why = why.downcast_ref::<String>().unwrap();
    assert!(why.contains("/nowhere/ntlm_auth"), "{why}");
}

/// A server with NTLM and people of the domain EXAMPLE.
struct NtlmServer {
    server: TestServer,
    folder: tempfile::TempDir,
}

impl NtlmServer {
    fn people(&self) -> PathBuf {
        self.folder.path().join("people.toml")
    }

    /// Whose the requests so far were.
    fn users(&self) -> Vec<Option<String>> {
        let users = self.server.audit().into_iter();
        users
            .map(|line| line["user"].as_str().map(str::to_owned))
            .collect()
    }

    fn forget_audit(&self) {
        std::fs::write(self.server.data().join("audit.jsonl"), "").unwrap();
    }
}

fn start(processes: u16, edit: impl FnOnce(&mut Config)) -> NtlmServer {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("people.toml");
    let mut people = openrms_server::people::empty("example.test".parse().unwrap(), None).unwrap();
    for name in ["alice", "bob"] {
        let account = format!("EXAMPLE\\{name}");
        people
            .add_person(NewPerson {
                account: account.parse().unwrap(),
                display_name: name.into(),
                mail: Some(format!("{name}@example.test").parse().unwrap()),
                addresses: Vec::new(),
                created: None,
            })
            .unwrap();
        let who = Member::parse(&account).unwrap();
        people.set_password(&who, PASSWORD).unwrap();
    }
    std::fs::write(&file, people.to_toml().unwrap()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/ntlm-helper.sh");
    let server = TestServer::start_with(Mode::Two, |config| {
        config.people = PeopleSource::File(file);
        config.ntlm = Some(Ntlm {
            helper: "/bin/sh".into(),
            helper_arguments: vec![script.to_str().unwrap().to_owned()],
            processes: NonZeroU16::new(processes).unwrap(),
            ..Ntlm::default()
        });
        edit(config);
    });
    NtlmServer { server, folder }
}

/// One connection, held open by hand.
struct Connection {
    stream: BufReader<TcpStream>,
    service: Service,
    version: &'static str,
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
}

impl Connection {
    fn open(server: &NtlmServer) -> Self {
        let address = server.server.running.url().strip_prefix("http://").unwrap();
        Self {
            stream: BufReader::new(TcpStream::connect(address).unwrap()),
            service: Service::LicensingServiceLocator,
            version: "HTTP/1.1",
        }
    }

    /// Sends a request whose answer is about the caller.
    fn ask(&mut self, headers: &[(&str, &str)]) -> Answer {
        self.send(headers);
        self.receive()
    }

    fn send(&mut self, headers: &[(&str, &str)]) {
        let services = vec![ServiceType::LicensingInternalService];
        let body = encode_request(
            SoapVersion::V11,
            Service::LicensingServiceLocator.contract(),
            Some(VersionData::CLIENT),
            &Operation::FindServiceLocationsForUser(FindServiceLocationsForUser { services }),
        );
        let length = body.len().to_string();
        let own = [
            ("host", "localhost"),
            ("content-type", "text/xml; charset=utf-8"),
            ("content-length", &length),
        ];
        let mut request = Vec::new();
        write!(request, "POST {} {}\r\n", self.service.path(), self.version).unwrap();
        for (name, value) in own.iter().chain(headers) {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
        write!(request, "\r\n{body}").unwrap();
        self.stream.get_mut().write_all(&request).unwrap();
    }

    fn receive(&mut self) -> Answer {
        let mut line = || {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        let first = line();
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<_> = std::iter::from_fn(|| {
            let line = line();
            let (name, value) = line.split_once(": ")?;
            Some((name.to_ascii_lowercase(), value.to_owned()))
        })
        .collect();
        let answer = Answer { status, headers };
        let length: usize = answer.header("content-length").unwrap().parse().unwrap();
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        answer
    }

    fn begin(&mut self, scheme: &str, says: &str) -> Answer {
        self.ask(&[("authorization", &message(scheme, BEGIN, says))])
    }

    fn answer(&mut self, scheme: &str, says: &str) -> Answer {
        self.ask(&[("authorization", &message(scheme, ANSWER, says))])
    }

    /// Both halves of a handshake; the status of the second.
    fn sign_in(&mut self, scheme: &str, who: &str, password: &str) -> u16 {
        let begun = self.begin(scheme, "");
        if begun.status != 401 {
            return begun.status;
        }
        let (word, _) = begun
            .header("www-authenticate")
            .unwrap()
            .split_once(' ')
            .unwrap();
        assert!(word.eq_ignore_ascii_case(scheme), "{word}");
        let challenge = begun.challenge();
        self.answer(scheme, &format!("{who}:{password}:{challenge}"))
            .status
    }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter().filter(|(own, _)| own == name);
        all.next().map(|(_, value)| value.as_str())
    }

    /// The schemes that are offered.
    fn offers(&self) -> Vec<&str> {
        let offers = self
            .headers
            .iter()
            .filter(|(name, _)| name == "www-authenticate");
        offers
            .map(|(_, value)| value.split(' ').next().unwrap())
            .collect()
    }

    /// What the helper wants answered.
    fn challenge(&self) -> String {
        let (_, token) = self
            .header("www-authenticate")
            .unwrap()
            .split_once(' ')
            .unwrap();
        let message = STANDARD.decode(token).unwrap();
        let (_, challenge) = message.split_at(HEAD);
        String::from_utf8(challenge.to_vec()).unwrap()
    }
}

/// The value of `Authorization`.
fn message(scheme: &str, kind: u8, says: &str) -> String {
    let head = [b"NTLMSSP\0".as_slice(), &[kind, 0, 0, 0], b"|"].concat();
    format!(
        "{scheme} {}",
        STANDARD.encode([&head, says.as_bytes()].concat())
    )
}

const BEGIN: u8 = 1;
const ANSWER: u8 = 3;
const HEAD: usize = 13;
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
