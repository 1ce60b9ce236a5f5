//! Both sides against a real Active Directory with two forests, alice in one and pat in the other.
//! Its addresses and files come in environment variables (`KRB5_CONFIG`, `CORP_HTTP_KEYTAB`, ...);
//! without them, or without the library, every test says that it is skipped.
//!
//! Helpers of tests may panic as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openrms_negotiate::{
    Accepted, Acceptor, AcceptorSettings, Initiator, NegotiateError, Offer, Step, TicketSource,
    Tickets, http, sasl,
};
use tempfile::TempDir;

#[test]
fn alice_is_known_by_her_sid_and_her_nested_groups() {
    let Some(forest) = Forest::find() else { return };
    let accepted = forest.accept(&token_of(&forest.alice()), None).unwrap();
    assert_eq!(accepted.principal, "alice@CORP.EXAMPLE");
    let logon = accepted.logon.unwrap();
    assert_eq!(logon.account, "alice");
    assert_eq!(logon.domain, "CORP");
    assert_eq!(logon.user_sid, forest.sid_in_directory("CORP", "alice"));
    for group in ["U-Kernel", "U-Engineering", "U-All", "DL-Docs-Readers"] {
        let sid = forest.sid_in_directory("CORP", group);
        assert!(logon.group_sids.contains(&sid), "{group} {sid}: {logon:?}");
    }
    for group in ["D-Newsletter", "G-Sales", "U-RMS-Superusers"] {
        let sid = forest.sid_in_directory("CORP", group);
        assert!(!logon.group_sids.contains(&sid), "{group} {sid}: {logon:?}");
    }
}

#[test]
fn pat_of_the_other_forest_is_known_by_the_groups_of_that_forest() {
    let Some(forest) = Forest::find() else { return };
    let pat = forest.kinit("pat@PARTNER.EXAMPLE", "Pat-Passw0rd.1");
    let accepted = forest.accept(&token_of(&pat), None).unwrap();
    assert_eq!(accepted.principal, "pat@PARTNER.EXAMPLE");
    let logon = accepted.logon.unwrap();
    assert_eq!(logon.domain, "PARTNER");
    assert_eq!(logon.user_sid, forest.sid_in_directory("PARTNER", "pat"));
    for group in ["U-Compilers", "U-Engineers"] {
        let sid = forest.sid_in_directory("PARTNER", group);
        assert!(logon.group_sids.contains(&sid), "{group} {sid}: {logon:?}");
    }
}

#[test]
fn the_server_proves_who_it_is_and_only_then_the_client_is_done() {
    let Some(forest) = Forest::find() else { return };
    let alice = forest.alice();
    let mut client = Initiator::with_ticket_file(SERVICE, &alice).unwrap();
    let first = client.step(None).unwrap();
    assert!(!first.done);
    let accepted = forest.accept(&first.token.unwrap(), None).unwrap();
    let last = client.step(accepted.reply.as_deref()).unwrap();
    assert_eq!(
        last,
        Step {
            token: None,
            done: true
        }
    );
    let after = client.step(None);
    assert!(matches!(after, Err(NegotiateError::OutOfOrder)));
}

#[test]
fn a_server_that_cannot_prove_who_it_is_is_refused() {
    let Some(forest) = Forest::find() else { return };
    let alice = forest.alice();
    let reply = |token: &[u8]| forest.accept(token, None).unwrap().reply.unwrap();
    let other = reply(&token_of(&alice));
    for damage in ["another exchange", "a flipped bit", "cut off", "garbage"] {
        let mut client = Initiator::with_ticket_file(SERVICE, &alice).unwrap();
        let mut answer = reply(&client.step(None).unwrap().token.unwrap());
        match damage {
            "another exchange" => answer.clone_from(&other),
            "a flipped bit" => *answer.last_mut().unwrap() ^= 1,
            "cut off" => answer.truncate(answer.len() / 2),
            _ => answer = vec![0x55; 100],
        }
        let error = client.step(Some(&answer)).unwrap_err();
        assert!(
            matches!(error, NegotiateError::Refused { .. }),
            "{damage}: {error}"
        );
        let after = client.step(Some(&answer));
        assert!(matches!(after, Err(NegotiateError::OutOfOrder)));
    }
    let mut client = Initiator::with_ticket_file(SERVICE, &alice).unwrap();
    assert!(matches!(
        client.step(Some(&other)),
        Err(NegotiateError::OutOfOrder)
    ));
}

#[test]
fn an_answer_of_http_is_believed_with_a_proof_that_holds() {
    let Some(forest) = Forest::find() else { return };
    let alice = forest.alice();
    let mut stranger = forest
        .accept(&token_of(&alice), None)
        .unwrap()
        .reply
        .unwrap();
    *stranger.last_mut().unwrap() ^= 1;
    let forged = http::field(&stranger);
    for (name, fields) in [
        ("right", &["Basic realm=\"x\"", "RIGHT"][..]),
        ("forged", &[forged.as_str()]),
        ("not base64", &["Negotiate ?"]),
        ("only a challenge", &["Negotiate"]),
        ("none", &[]),
    ] {
        let mut client = Initiator::with_ticket_file(SERVICE, &alice).unwrap();
        let sent = client.authorization().unwrap();
        let token = STANDARD.decode(sent.strip_prefix("Negotiate ").unwrap());
        let accepted = forest.accept(&token.unwrap(), None).unwrap();
        let right = http::field(&accepted.reply.unwrap());
        let fields = fields.iter().map(|field| match *field {
            "RIGHT" => right.as_str(),
            other => other,
        });
        assert_eq!(
            client.check_proof(fields).is_ok(),
            name == "right",
            "{name}"
        );
    }
}

#[test]
fn a_replayed_token_is_refused_by_name() {
    let Some(forest) = Forest::find() else { return };
    let token = token_of(&forest.alice());
    forest.accept(&token, None).unwrap();
    for _ in 0..2 {
        let error = forest.accept(&token, None).unwrap_err();
        assert!(matches!(error, NegotiateError::Replay), "{error}");
    }
    let neighbour = Acceptor::new(&forest.settings()).unwrap();
    let error = neighbour.accept(&token, None).unwrap_err();
    assert!(matches!(error, NegotiateError::Replay), "{error}");
}

#[test]
fn the_environment_cannot_switch_the_replay_cache_off() {
    if Forest::find().is_none() {
        return;
    }
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_replayed_token_is_refused_by_name"])
        .env("KRB5RCACHENAME", "none:")
        .env("KRB5RCACHETYPE", "none")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(said.contains("1 passed"), "{child:?}");
}

#[test]
fn of_many_threads_with_one_token_exactly_one_gets_in() {
    let Some(forest) = Forest::find() else { return };
    let alice = forest.alice();
    for _ in 0..20 {
        let token = token_of(&alice);
        let start = Barrier::new(THREADS);
        let outcomes: Vec<_> = thread::scope(|scope| {
            let racers: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        forest.accept(&token, None)
                    })
                })
                .collect();
            racers.into_iter().map(|r| r.join().unwrap()).collect()
        });
        assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
        for error in outcomes.into_iter().filter_map(Result::err) {
            assert!(matches!(error, NegotiateError::Replay), "{error}");
        }
    }
}

#[test]
fn many_threads_sign_in_at_once_and_strangers_do_not_disturb_them() {
    let Some(forest) = Forest::find() else { return };
    let alice = forest.alice();
    let pat = forest.kinit("pat@PARTNER.EXAMPLE", "Pat-Passw0rd.1");
    // The tickets are fetched once, so that the threads only read the caches.
    let (first, second) = (token_of(&alice), token_of(&pat));
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (forest, alice, pat, stranger) = (&forest, &alice, &pat, &first);
            scope.spawn(move || {
                for round in 0..40 {
                    let (tickets, name) = if (number + round) % 2 == 0 {
                        (alice, "alice@CORP.EXAMPLE")
                    } else {
                        (pat, "pat@PARTNER.EXAMPLE")
                    };
                    let mut client = Initiator::with_ticket_file(SERVICE, tickets).unwrap();
                    let token = client.step(None).unwrap().token.unwrap();
                    let accepted = forest.accept(&token, None).unwrap();
                    assert_eq!(accepted.principal, name);
                    assert!(accepted.logon.is_some());
                    assert!(client.step(accepted.reply.as_deref()).unwrap().done);
                    let cut = &stranger[..stranger.len() - 1 - round];
                    assert!(forest.accept(cut, None).is_err());
                    assert!(forest.accept(NTLM_NEGOTIATE, None).is_err());
                }
            });
        }
    });
    forest.accept(&first, None).unwrap();
    forest.accept(&second, None).unwrap();
}

#[test]
fn a_token_for_another_service_is_refused() {
    let Some(forest) = Forest::find() else { return };
    let alice = forest.alice();
    let mut client = Initiator::with_ticket_file("ldap@dc1.corp.example", &alice).unwrap();
    let token = client.step(None).unwrap().token.unwrap();
    let error = forest.accept(&token, None).unwrap_err();
    assert!(matches!(error, NegotiateError::Refused { .. }), "{error}");
    println!("another service: {error}");
}

#[test]
fn a_service_that_the_keytab_lacks_is_said_at_start() {
    let Some(forest) = Forest::find() else { return };
    for service in ["HTTP@other.corp.example", "ldap"] {
        let error = Acceptor::new(&AcceptorSettings {
            service: Some(service.to_owned()),
            ..forest.settings()
        })
        .err()
        .unwrap();
        assert!(matches!(error, NegotiateError::NoKey { .. }), "{error}");
        println!("{error}");
    }
    let exact = AcceptorSettings {
        service: Some(SERVICE.to_owned()),
        ..forest.settings()
    };
    let token = token_of(&forest.alice());
    Acceptor::new(&exact).unwrap().accept(&token, None).unwrap();
}

#[test]
fn a_keytab_without_keys_is_said_at_start() {
    let Some(forest) = Forest::find() else { return };
    for content in [&[5, 2][..], b"", b"not a keytab"] {
        let keytab = forest.folder.path().join("empty.keytab");
        std::fs::write(&keytab, content).unwrap();
        let settings = AcceptorSettings {
            keytab,
            ..forest.settings()
        };
        let error = Acceptor::new(&settings).err().unwrap();
        assert!(matches!(error, NegotiateError::NoKey { .. }), "{error}");
    }
}

#[test]
fn tokens_of_wrong_length_are_refused_unseen() {
    let Some(forest) = Forest::find() else { return };
    for length in [0, 65_536, 10_000_000] {
        let error = forest.accept(&vec![0x60; length], None).unwrap_err();
        assert!(matches!(error, NegotiateError::TokenLength { length: l } if l == length));
    }
}

#[test]
fn garbage_and_truncated_tokens_are_refused() {
    let Some(forest) = Forest::find() else { return };
    let token = token_of(&forest.alice());
    for length in 1..token.len() {
        assert!(forest.accept(&token[..length], None).is_err(), "{length}");
    }
    let mut numbers = Numbers(0x5EED);
    for length in 1..500 {
        let garbage: Vec<u8> = (0..length).map(|_| numbers.next()).collect();
        assert!(forest.accept(&garbage, None).is_err());
        // Behind a sound beginning, so that the library reads it.
        let keep = usize::from(numbers.next()) % 120;
        let mixed = [&token[..keep], &garbage].concat();
        assert!(forest.accept(&mixed, None).is_err());
    }
    forest.accept(&token, None).unwrap();
}

#[test]
fn a_token_with_a_flipped_bit_is_never_somebody_else() {
    let Some(forest) = Forest::find() else { return };
    let token = token_of(&forest.alice());
    let mut accepted = Vec::new();
    for at in 0..token.len() {
        let mut damaged = token.clone();
        damaged[at] ^= 1 << (at % 8);
        match forest.accept(&damaged, None) {
            Ok(who) => accepted.push((at, who.principal)),
            // The frames around the Kerberos message are not signed, lengths for one. One such
            // token may pass, and then its twins are replays.
            Err(NegotiateError::Replay) => assert_eq!(accepted.len(), 1, "at {at}"),
            Err(_) => {}
        }
    }
    println!("of {} flipped bits passed: {accepted:?}", token.len());
    assert!(accepted.len() <= 1);
    assert!(accepted.iter().all(|(_, who)| who == "alice@CORP.EXAMPLE"));
}

#[test]
fn ntlm_is_refused_bare_and_in_spnego() {
    let Some(forest) = Forest::find() else { return };
    for token in [NTLM_NEGOTIATE.to_vec(), spnego(&[NTLM], NTLM_NEGOTIATE)] {
        assert_eq!(Offer::read(&token), Ok(Offer::Ntlm));
        let error = forest.accept(&token, None).unwrap_err();
        assert!(matches!(error, NegotiateError::NotKerberos), "{error}");
    }
}

#[test]
fn ntlm_offered_before_kerberos_would_need_another_leg() {
    let Some(forest) = Forest::find() else { return };
    let token = spnego(&[NTLM, KERBEROS], NTLM_NEGOTIATE);
    let error = forest.accept(&token, None).unwrap_err();
    assert!(matches!(error, NegotiateError::MoreLegs), "{error}");
}

#[test]
fn the_list_of_a_windows_client_is_understood() {
    let Some(forest) = Forest::find() else { return };
    let token = token_of(&forest.alice());
    // The bare Kerberos token within: the second frame.
    let inner = token
        .windows(KERBEROS.len())
        .rposition(|w| w == KERBEROS)
        .unwrap();
    let frame = token[..inner].iter().rposition(|b| *b == 0x60).unwrap();
    let windows = spnego(&[KERBEROS_MICROSOFT, KERBEROS, NTLM], &token[frame..]);
    let accepted = forest.accept(&windows, None).unwrap();
    assert_eq!(accepted.principal, "alice@CORP.EXAMPLE");
    assert!(accepted.logon.is_some());
}

#[test]
fn a_bare_kerberos_token_is_accepted() {
    let Some(forest) = Forest::find() else { return };
    let token = token_of(&forest.alice());
    let inner = token
        .windows(KERBEROS.len())
        .rposition(|w| w == KERBEROS)
        .unwrap();
    let frame = token[..inner].iter().rposition(|b| *b == 0x60).unwrap();
    let accepted = forest.accept(&token[frame..], None).unwrap();
    assert_eq!(accepted.principal, "alice@CORP.EXAMPLE");
}

#[test]
fn a_token_of_another_tls_channel_is_refused() {
    let Some(forest) = Forest::find() else { return };
    let alice = forest.alice();
    let bound = |hash: &[u8]| {
        let client = Initiator::with_ticket_file(SERVICE, &alice).unwrap();
        let step = client.bound_to(hash).step(None).unwrap();
        step.token.unwrap()
    };
    let (ours, theirs) = ([1; 32], [2; 32]);
    let error = forest.accept(&bound(&theirs), Some(&ours)).unwrap_err();
    assert!(matches!(error, NegotiateError::ChannelBindings), "{error}");
    let accepted = forest.accept(&bound(&ours), Some(&ours)).unwrap();
    assert!(accepted.channel_bound);
    let accepted = forest.accept(&token_of(&alice), Some(&ours)).unwrap();
    assert!(!accepted.channel_bound, "the client named no channel");
    let accepted = forest.accept(&bound(&ours), None).unwrap();
    assert!(!accepted.channel_bound, "the server named no channel");
}

#[test]
fn a_client_of_sasl_names_its_channel_and_believes_nothing_but_the_proof() {
    let Some(forest) = Forest::find() else { return };
    let tickets = Tickets::new(TicketSource::File(forest.alice())).unwrap();
    let begin = |protection| sasl::Client::begin(&tickets, SERVICE, protection).unwrap();
    let inside = |hash: [u8; 32]| sasl::Protection::Tls {
        end_point: Some(hash.to_vec()),
    };
    let (ours, theirs) = ([1; 32], [2; 32]);
    let (_, token) = begin(inside(theirs));
    let error = forest.accept(&token, Some(&ours)).unwrap_err();
    assert!(matches!(error, NegotiateError::ChannelBindings), "{error}");
    for (protection, bound) in [(inside(ours), true), (sasl::Protection::Sealing, false)] {
        let (client, token) = begin(protection.clone());
        let accepted = forest.accept(&token, Some(&ours)).unwrap();
        assert_eq!(accepted.principal, "alice@CORP.EXAMPLE");
        assert_eq!(accepted.channel_bound, bound);
        let proof = accepted.reply.unwrap();
        let proved = client.proved(&proof).ok().unwrap();
        // An offer that nobody signed.
        let error = proved.choose(&[7, 1, 0, 0]).err().unwrap();
        assert!(matches!(error, NegotiateError::Refused { .. }), "{error}");
        let (another, _) = begin(protection);
        let error = another.proved(&proof).err().unwrap();
        assert!(matches!(error, NegotiateError::Refused { .. }), "{error}");
    }
}

#[test]
fn a_person_without_a_ticket_is_told_to_run_kinit() {
    let Some(forest) = Forest::find() else { return };
    let none = forest.folder.path().join("nobody.ccache");
    let error = Initiator::with_ticket_file(SERVICE, &none)
        .and_then(|mut client| client.step(None))
        .unwrap_err();
    assert!(matches!(error, NegotiateError::NoTicket { .. }), "{error}");
    assert!(error.to_string().contains("kinit"));
    let said = default_cache(&none);
    assert!(said.contains("run kinit"), "{said}");
}

#[test]
fn a_person_whose_ticket_has_expired_is_told_to_run_kinit() {
    let Some(forest) = Forest::find() else { return };
    let tickets = forest.kinit_for("alice@CORP.EXAMPLE", "Alice-Passw0rd", "1s");
    let valid = || {
        let mut klist = Command::new("klist");
        klist.arg("-s").arg(&tickets).status().unwrap().success()
    };
    while valid() {
        thread::yield_now();
    }
    let error = Initiator::with_ticket_file(SERVICE, &tickets)
        .and_then(|mut client| client.step(None))
        .unwrap_err();
    assert!(matches!(error, NegotiateError::NoTicket { .. }), "{error}");
}

#[test]
fn the_persons_default_tickets_are_used() {
    let Some(forest) = Forest::find() else { return };
    let said = default_cache(&forest.alice());
    assert!(said.contains("a token"), "{said}");
}

/// Run in a process of its own by the two tests above, since the default comes from the
/// environment.
#[test]
#[ignore = "run by other tests"]
fn a_first_step_with_the_default_tickets() {
    match Initiator::new(SERVICE).and_then(|mut client| client.step(None)) {
        Ok(Step { token: Some(_), .. }) => println!("a token"),
        other => println!("{other:?} {}", other.as_ref().unwrap_err()),
    }
}

#[test]
fn an_unknown_service_is_refused_with_the_reason() {
    let Some(forest) = Forest::find() else { return };
    let mut client =
        Initiator::with_ticket_file("HTTP@nowhere.corp.example", &forest.alice()).unwrap();
    let error = client.step(None).unwrap_err();
    assert!(
        error.to_string().contains("not found in Kerberos database"),
        "{error}"
    );
}

#[test]
fn nothing_is_left_behind_by_accepted_and_refused_tokens() {
    if Forest::find().is_none() {
        return;
    }
    // In a process of its own, whose memory no other test changes.
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "the_memory_after_thousands_of_tokens"])
        .args(["--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    print!("{said}");
    assert!(said.contains("1 passed"), "{child:?}");
}

#[test]
#[ignore = "run by another test"]
fn the_memory_after_thousands_of_tokens() {
    let forest = Forest::find().unwrap();
    let alice = forest.alice();
    let tickets = Tickets::new(TicketSource::File(alice.clone())).unwrap();
    let rounds = |count: usize| {
        for _ in 0..count {
            let mut client = Initiator::with_ticket_file(SERVICE, &alice).unwrap();
            let token = client.step(None).unwrap().token.unwrap();
            let accepted = forest.accept(&token, None).unwrap();
            assert!(client.step(accepted.reply.as_deref()).unwrap().done);
            assert!(forest.accept(&token, None).is_err());
            assert!(forest.accept(&token[..token.len() - 1], None).is_err());
            let mut damaged = token;
            *damaged.last_mut().unwrap() ^= 1;
            assert!(forest.accept(&damaged, None).is_err());
            let half = spnego(&[NTLM, KERBEROS], NTLM_NEGOTIATE);
            assert!(forest.accept(&half, None).is_err());
            let mut abandoned = Initiator::with_ticket_file(SERVICE, &alice).unwrap();
            abandoned.step(None).unwrap();
            assert!(abandoned.step(Some(b"garbage")).is_err());
            let _ = Acceptor::new(&forest.settings()).unwrap();
            let sealing = sasl::Protection::Sealing;
            let (client, token) = sasl::Client::begin(&tickets, SERVICE, sealing).unwrap();
            let accepted = forest.accept(&token, None).unwrap();
            let proved = client.proved(&accepted.reply.unwrap()).ok().unwrap();
            assert!(proved.choose(b"garbage").is_err());
        }
    };
    // The first rounds fill the library's caches and the allocator's.
    rounds(300);
    let before = resident();
    rounds(2_000);
    let grown = resident().saturating_sub(before);
    println!("{grown} KiB more after 2,000 rounds");
    // An object lost in each round would be 2 MiB if it had but 1 KiB.
    assert!(grown < 1_024, "{grown} KiB");
}

/// The resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let number = line.and_then(|l| l.trim().strip_suffix(" kB"));
    number.unwrap().parse().unwrap()
}

#[test]
fn accepting_takes_a_fraction_of_a_millisecond() {
    const TOKENS: usize = 2_000;
    let Some(forest) = Forest::find() else { return };
    let alice = forest.alice();
    let tokens: Vec<_> = (0..TOKENS).map(|_| token_of(&alice)).collect();
    let (alone, together) = tokens.split_at(TOKENS / 2);
    let start = Instant::now();
    for token in alone {
        forest.accept(token, None).unwrap();
    }
    let each = start.elapsed() / u32::try_from(alone.len()).unwrap();
    println!("one thread: {} µs an accept", each.as_micros());
    let start = Instant::now();
    thread::scope(|scope| {
        for part in together.chunks(together.len() / 2) {
            let forest = &forest;
            scope.spawn(move || {
                for token in part {
                    forest.accept(token, None).unwrap();
                }
            });
        }
    });
    let both = start.elapsed() / u32::try_from(together.len()).unwrap();
    println!("two threads: {} µs an accept", both.as_micros());
    assert!(each.as_millis() < 20, "{each:?}");
}

/// The two forests, an acceptor of ours in the first, and a folder for caches.
struct Forest {
    acceptor: Acceptor,
    keytab: PathBuf,
    folder: TempDir,
}

impl Forest {
    fn find() -> Option<Self> {
        for needed in ["KRB5_CONFIG", "CORP_HTTP_KEYTAB", "PARTNER_LDAP_URL"] {
            if env::var_os(needed).is_none() {
                println!("skipped: no Active Directory here ({needed} is not set)");
                return None;
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let keytab = PathBuf::from(env::var_os("CORP_HTTP_KEYTAB").unwrap());
        let acceptor = match Acceptor::new(&settings(&keytab, &folder)) {
            Err(error @ NegotiateError::NoLibrary { .. }) => {
                println!("skipped: {error}");
                return None;
            }
            acceptor => acceptor.unwrap(),
        };
        Some(Self {
            acceptor,
            keytab,
            folder,
        })
    }

    fn settings(&self) -> AcceptorSettings {
        settings(&self.keytab, &self.folder)
    }

    fn accept(&self, token: &[u8], bindings: Option<&[u8]>) -> Result<Accepted, NegotiateError> {
        self.acceptor.accept(token, bindings)
    }

    fn alice(&self) -> PathBuf {
        self.kinit("alice@CORP.EXAMPLE", "Alice-Passw0rd")
    }

    /// A ticket cache of its own for a person.
    fn kinit(&self, principal: &str, password: &str) -> PathBuf {
        self.kinit_for(principal, password, "1h")
    }

    fn kinit_for(&self, principal: &str, password: &str, lifetime: &str) -> PathBuf {
        let cache = self.folder.path().join(format!("{principal}.ccache"));
        let mut kinit = Command::new("kinit")
            .args(["-l", lifetime, "-c"])
            .arg(&cache)
            .arg(principal)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        writeln!(kinit.stdin.take().unwrap(), "{password}").unwrap();
        assert!(kinit.wait().unwrap().success(), "kinit {principal}");
        cache
    }

    /// What the directory itself says is the SID of an account or group.
    fn sid_in_directory(&self, forest: &str, account: &str) -> String {
        let variable = |name: &str| env::var(format!("{forest}_{name}")).unwrap();
        let (realm, password) = (variable("REALM"), variable("SVC_PASSWORD"));
        let found = Command::new("ldbsearch")
            .args(["-H", &variable("LDAP_URL")])
            .args(["-U", &format!("svc-rms@{realm}%{password}")])
            .args(["-b", &variable("BASE_DN")])
            .arg(format!("(sAMAccountName={account})"))
            .arg("objectSid")
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&found.stdout);
        let sid = text.lines().find_map(|l| l.strip_prefix("objectSid: "));
        sid.unwrap_or_else(|| panic!("{account}: {found:?}"))
            .to_owned()
    }
}

fn token_of(tickets: &Path) -> Vec<u8> {
    let mut client = Initiator::with_ticket_file(SERVICE, tickets).unwrap();
    client.step(None).unwrap().token.unwrap()
}

fn settings(keytab: &Path, folder: &TempDir) -> AcceptorSettings {
    AcceptorSettings {
        keytab: keytab.to_owned(),
        replay_cache: folder.path().join("replay"),
        service: None,
    }
}

/// What a process says whose default ticket cache is this file.
fn default_cache(cache: &Path) -> String {
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_first_step_with_the_default_tickets"])
        .args(["--ignored", "--nocapture"])
        .env("KRB5CCNAME", cache)
        .output()
        .unwrap();
    String::from_utf8(child.stdout).unwrap()
}

/// `NegTokenInit` (RFC 4178 4.2.1) with a list of mechanisms and an optimistic token.
fn spnego(mechanisms: &[&[u8]], token: &[u8]) -> Vec<u8> {
    let list: Vec<u8> = mechanisms
        .iter()
        .flat_map(|oid| tagged(0x06, oid))
        .collect();
    let fields = [
        tagged(0xA0, &tagged(0x30, &list)),
        tagged(0xA2, &tagged(0x04, token)),
    ];
    let init = tagged(0xA0, &tagged(0x30, &fields.concat()));
    tagged(0x60, &[tagged(0x06, SPNEGO), init].concat())
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut head = vec![tag];
    match u8::try_from(length) {
        Ok(short @ 0..=0x7F) => head.push(short),
        Ok(byte) => head.extend([0x81, byte]),
        Err(_) => {
            head.push(0x82);
            head.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    [&head, content].concat()
}

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u8 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 56) as u8
    }
}

const SERVICE: &str = "HTTP@rms.corp.example";
const THREADS: usize = 8;
const SPNEGO: &[u8] = b"\x2B\x06\x01\x05\x05\x02";
const KERBEROS: &[u8] = b"\x2A\x86\x48\x86\xF7\x12\x01\x02\x02";
const KERBEROS_MICROSOFT: &[u8] = b"\x2A\x86\x48\x82\xF7\x12\x01\x02\x02";
const NTLM: &[u8] = b"\x2B\x06\x01\x04\x01\x82\x37\x02\x02\x0A";
/// `NEGOTIATE_MESSAGE` ([MS-NLMP] 2.2.1.1) without names.
const NTLM_NEGOTIATE: &[u8] =
    b"NTLMSSP\0\x01\0\0\0\x97\x82\x08\xE2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0A\0\x5A\x29\0\0\0\x0F";
