//! The LDAP directory against a server that has the habits of Windows and every fault.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

#[allow(dead_code, reason = "each test file uses its own part")]
mod fake_ldap;
mod hostile_texts;

use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_ldap::{BASE, Entry, FakeLdap, Fault, domain};
use hostile_texts::hostile_texts;
use openrms_directory::{
    Account, AccountRef, Directory, DirectoryError, Identity, LdapDirectory, LdapSecrets,
    LdapSettings, LdapSignIn, Memberships,
};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

fn secrets() -> LdapSecrets {
    LdapSecrets {
        sign_in: LdapSignIn::Password {
            name: "svc-rms@corp.example".to_owned(),
            password: Zeroizing::new("secret".to_owned()),
        },
        roots: Vec::new(),
    }
}

fn directory(settings: LdapSettings) -> LdapDirectory {
    LdapDirectory::new(settings, secrets(), Handle::current()).unwrap()
}

fn alice() -> Entry {
    Entry::object("user", "alice", 1101)
        .with("mail", "alice@corp.example")
        .with("proxyAddresses", "SMTP:alice@corp.example")
        .with("proxyAddresses", "smtp:a.archer@corp.example")
        .with("proxyAddresses", "X400:c=US;s=alice")
        .with("proxyAddresses", "smtp:not an address")
        .with("userAccountControl", "512")
        .with("whenCreated", "20061120083000.0Z")
}

fn group(name: &str, number: u32) -> Entry {
    Entry::object("group", name, number).with("mail", format!("{name}@corp.example"))
}

fn who(text: &str) -> AccountRef {
    AccountRef::parse(text).unwrap()
}

async fn account(directory: &LdapDirectory) -> Result<Option<Account>, DirectoryError> {
    directory.account(&who("a.archer@corp.example")).await
}

async fn of(directory: &LdapDirectory, text: &str) -> Result<Arc<Memberships>, DirectoryError> {
    let address = text.parse().unwrap();
    directory.memberships(&Identity::of_address(address)).await
}

/// Asks until there is an answer; the test's own time limit is that of the test runner.
async fn until_answered(directory: &LdapDirectory) -> Account {
    loop {
        match account(directory).await {
            Ok(account) => return account.unwrap(),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn an_account_is_read_with_what_matters_of_it() {
    let server = FakeLdap::start([alice()]).await;
    let directory = directory(FakeLdap::settings(&[&server]));
    let account = account(&directory).await.unwrap().unwrap();
    assert_eq!(account.name.as_str(), "CORP\\alice");
    assert_eq!(account.mail.unwrap().as_str(), "alice@corp.example");
    assert_eq!(
        account.proxy_addresses,
        ["a.archer@corp.example".parse().unwrap()]
    );
    assert_eq!(account.created, Some(1_164_011_400));
    assert!(account.enabled);
}

#[tokio::test]
async fn results_are_paged_since_a_search_ends_at_a_thousand_without() {
    let domains =
        (1..900).map(|number| domain(&format!("D{number}"), &format!("DC=d{number},{BASE}")));
    let base = Entry::new(&format!("DC=d899,{BASE}")).with("objectClass", "domain");
    let bob = Entry::object("user", "bob", 1103).moved_to(&format!("DC=d899,{BASE}"));
    let server = FakeLdap::start(domains.chain([base, bob])).await;
    server.change(|habits| habits.most_entries = 400);
    let directory = directory(FakeLdap::settings(&[&server]));
    // Of the third page of domains.
    let bob = directory.account(&who("d899\\bob")).await.unwrap().unwrap();
    assert_eq!(bob.name.as_str(), "D899\\bob");
    assert_eq!(directory.account(&who("CORP\\bob")).await.unwrap(), None);
    let searches = server.searches();
    assert_eq!(directory.account(&who("D900\\bob")).await.unwrap(), None);
    assert_eq!(
        server.searches(),
        searches,
        "an unknown domain is not searched"
    );
}

#[tokio::test]
async fn long_attributes_are_followed_to_their_end() {
    let mut user = alice();
    for number in 0..3_200 {
        user = user.member_of(&format!("g{number}"));
    }
    let groups = (0..3_200).map(|number| group(&format!("g{number}"), 5_000 + number));
    let server = FakeLdap::start(groups.chain([user])).await;
    server.change(|habits| habits.most_values = 1_500);
    let directory = directory(FakeLdap::settings(&[&server]));
    let memberships = of(&directory, "alice@corp.example").await.unwrap();
    assert_eq!(memberships.group_addresses().count(), 3_200);
    assert!(memberships.is_in_group("g3199@corp.example"));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn sid_history_and_the_primary_group_count() {
    let old = "S-1-5-21-9-9-9-77"
        .parse::<openrms_directory::Sid>()
        .unwrap();
    let server = FakeLdap::start([
        alice()
            .with("sIDHistory", old.to_bytes())
            .with("primaryGroupID", "513"),
        group("primary", 513).member_of("above"),
        group("above", 2_000),
    ])
    .await;
    let directory = directory(FakeLdap::settings(&[&server]));
    let memberships = of(&directory, "alice@corp.example").await.unwrap();
    assert!(memberships.own_sids().contains(&old));
    assert!(memberships.contains_sid("S-1-5-21-1-2-3-513"));
    assert!(memberships.is_in_group("above@corp.example"));
    // A SID that is history names nobody any more.
    let by_history = directory.account(&AccountRef::Sid(old)).await.unwrap();
    assert_eq!(by_history, None);
}

#[tokio::test]
async fn a_foreign_principal_and_a_contact_give_their_groups_to_the_same_person() {
    let pat = Entry::object("foreignSecurityPrincipal", "S-1-5-21-7", 1201).member_of("local");
    let contact = Entry::object("contact", "pat", 1202)
        .with("mail", "pat@partner.example")
        .with("msExchOriginatingForest", "partner.example")
        .member_of("list");
    let server =
        FakeLdap::start([pat, contact, alice(), group("local", 1), group("list", 2)]).await;
    let directory = directory(FakeLdap::settings(&[&server]));
    let sid = "S-1-5-21-1-2-3-1201".parse().unwrap();
    let mut identity = Identity::new(sid, "pat@partner.example".parse().unwrap());
    identity
        .addresses
        .push("alice@corp.example".parse().unwrap());
    let memberships = directory.memberships(&identity).await.unwrap();
    assert!(memberships.is_in_group("local@corp.example"));
    assert!(memberships.is_in_group("list@corp.example"));
    assert_eq!(
        directory
            .account(&AccountRef::Sid(identity.sid.unwrap()))
            .await
            .unwrap(),
        None
    );
    assert!(!memberships.contains_sid("S-1-5-21-1-2-3-1101"));
}

#[tokio::test]
async fn two_objects_with_one_address_are_an_error_and_not_a_guess() {
    let twin = Entry::object("contact", "twin", 1102).with("mail", "A.Archer@corp.example");
    let server = FakeLdap::start([alice(), twin]).await;
    let directory = directory(FakeLdap::settings(&[&server]));
    let by_address = account(&directory).await;
    assert!(
        matches!(by_address, Err(DirectoryError::Invalid { .. })),
        "{by_address:?}"
    );
    let memberships = of(&directory, "a.archer@corp.example").await;
    assert!(matches!(memberships, Err(DirectoryError::Invalid { .. })));
    assert!(directory.account(&who("alice")).await.unwrap().is_some());
}

#[tokio::test]
async fn an_expansion_that_would_be_cut_short_is_an_error() {
    let chain = (0..6).map(|number| {
        group(&format!("g{number}"), 100 + number).member_of(&format!("g{}", number + 1))
    });
    let server = FakeLdap::start(chain.chain([alice().member_of("g0")])).await;
    let base = FakeLdap::settings(&[&server]);
    let error = async |settings: LdapSettings| {
        of(&directory(settings), "alice@corp.example")
            .await
            .unwrap_err()
    };
    let shallow = LdapSettings {
        nesting_depth: 3,
        ..base.clone()
    };
    let few = LdapSettings {
        groups_of_one: 3,
        ..base.clone()
    };
    for settings in [shallow, few] {
        let error = error(settings).await;
        assert!(
            matches!(error, DirectoryError::LimitExceeded { .. }),
            "{error}"
        );
    }
    server.change(|habits| habits.fault = Some(Fault::Silence));
    let short = LdapSettings {
        ldap_time_out: 3_600,
        top_down_expansion_ldap_time_out: 1,
        ..base
    };
    let error = error(short).await;
    assert!(matches!(error, DirectoryError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn another_server_answers_for_one_that_is_gone() {
    let mut gone = FakeLdap::start([alice()]).await;
    let there = FakeLdap::start([alice()]).await;
    let directory = directory(FakeLdap::settings(&[&gone, &there]));
    for _ in 0..4 {
        account(&directory).await.unwrap().unwrap();
    }
    assert!(
        gone.searches() > 0 && there.searches() > 0,
        "both are used in turn"
    );
    gone.stop().await;
    for _ in 0..20 {
        account(&directory).await.unwrap().unwrap();
    }
    let counted = directory.counters();
    assert!(counted.found >= 24, "{counted:?}");
    assert_eq!((counted.empty, counted.failed), (0, 0));
    assert_eq!((counted.up, counted.slow + counted.dead), (1, 1));
    let nobody = directory.account(&who("nobody@corp.example")).await;
    assert_eq!(nobody.unwrap(), None);
    assert!(directory.counters().empty > 0);
}

#[tokio::test]
async fn a_server_that_does_not_answer_costs_one_request_one_time_limit() {
    let silent = FakeLdap::start([alice()]).await;
    let there = FakeLdap::start([alice()]).await;
    silent.change(|habits| habits.fault = Some(Fault::Silence));
    let directory = directory(FakeLdap::settings(&[&silent, &there]));
    let begin = Instant::now();
    account(&directory).await.unwrap().unwrap();
    let asked = silent.searches();
    for _ in 0..20 {
        account(&directory).await.unwrap().unwrap();
    }
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );
    assert!(
        asked <= 1 && silent.searches() <= 1,
        "{asked} {}",
        silent.searches()
    );
}

#[tokio::test]
async fn a_server_that_is_busy_or_hangs_up_or_talks_nonsense_is_not_the_end() {
    for fault in [
        Fault::Result(51),
        Fault::HangsUp,
        Fault::Garbage,
        Fault::HollowBind,
    ] {
        let bad = FakeLdap::start([alice()]).await;
        let good = FakeLdap::start([alice()]).await;
        bad.change(|habits| habits.fault = Some(fault));
        let both = directory(FakeLdap::settings(&[&bad, &good]));
        for _ in 0..10 {
            account(&both).await.unwrap().unwrap();
        }
        assert!(bad.searches() + bad.binds() > 0);
        let alone = directory(FakeLdap::settings(&[&bad]));
        let error = account(&alone).await.unwrap_err();
        assert!(
            matches!(error, DirectoryError::Unreachable { .. }),
            "{error}"
        );
        bad.change(|habits| habits.fault = None);
        until_answered(&alone).await;
    }
}

#[tokio::test]
async fn a_silent_directory_is_an_error_in_time_and_answers_again_when_it_can() {
    let server = FakeLdap::start([alice()]).await;
    let directory = directory(FakeLdap::settings(&[&server]));
    account(&directory).await.unwrap().unwrap();
    server.change(|habits| habits.fault = Some(Fault::Silence));
    let begin = Instant::now();
    let error = account(&directory).await.unwrap_err();
    assert!(matches!(error, DirectoryError::Timeout { .. }), "{error}");
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );
    server.change(|habits| habits.fault = None);
    until_answered(&directory).await;
}

#[tokio::test]
async fn connections_that_were_closed_meanwhile_are_nobodys_trouble() {
    let mut server = FakeLdap::start([alice()]).await;
    let directory = directory(FakeLdap::settings(&[&server]));
    for restarts in 1..4 {
        account(&directory).await.unwrap().unwrap();
        assert_eq!(server.connections(), restarts);
        server.restart().await;
    }
    account(&directory).await.unwrap().unwrap();
    // Closed with the question on its way already.
    server.change(|habits| habits.fault = Some(Fault::HangsUpOnce));
    account(&directory).await.unwrap().unwrap();
    assert_eq!(server.connections(), 5);
}

#[tokio::test]
async fn a_directory_that_comes_back_is_used_again_without_a_restart_of_ours() {
    let mut server = FakeLdap::start([alice()]).await;
    let directory = directory(FakeLdap::settings(&[&server]));
    let before = account(&directory).await.unwrap().unwrap();
    server.stop().await;
    // More often than it takes to count as down.
    for _ in 0..10 {
        let begin = Instant::now();
        let error = account(&directory).await.unwrap_err();
        assert!(
            matches!(error, DirectoryError::Unreachable { .. }),
            "{error}"
        );
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
    server.restart().await;
    assert_eq!(until_answered(&directory).await, before);
}

#[tokio::test]
async fn a_refused_password_is_not_tried_until_the_account_is_locked() {
    let server = FakeLdap::start([alice()]).await;
    server.change(|habits| habits.fault = Some(Fault::RefusedBind));
    let directory = directory(FakeLdap::settings(&[&server]));
    for _ in 0..10 {
        let error = account(&directory).await.unwrap_err();
        assert!(matches!(error, DirectoryError::Refused { .. }), "{error}");
    }
    assert_eq!(server.binds(), 1);
    let counted = directory.counters();
    assert!(counted.failed >= 10, "{counted:?}");
    assert_eq!((counted.up, counted.slow, counted.dead), (0, 0, 1));
}

#[tokio::test]
async fn a_password_is_not_sent_where_tls_cannot_be_started() {
    let server = FakeLdap::start([alice()]).await;
    let settings = LdapSettings {
        allow_plain: false,
        ..FakeLdap::settings(&[&server])
    };
    let secrets = LdapSecrets {
        sign_in: LdapSignIn::Password {
            name: "svc-rms@corp.example".to_owned(),
            password: Zeroizing::new("secret".to_owned()),
        },
        roots: Vec::new(),
    };
    // Without any roots on this machine, there is not even a beginning.
    if let Ok(directory) = LdapDirectory::new(settings, secrets, Handle::current()) {
        let error = account(&directory).await.unwrap_err();
        assert!(
            matches!(error, DirectoryError::Unreachable { .. }),
            "{error}"
        );
    }
    assert_eq!(server.binds(), 0);
}

#[tokio::test]
async fn many_requests_at_once_share_one_connection() {
    let server = FakeLdap::start([alice()]).await;
    let directory = Arc::new(directory(FakeLdap::settings(&[&server])));
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let directory = Arc::clone(&directory);
        tasks.spawn(async move { account(&directory).await.unwrap().unwrap() });
    }
    assert_eq!(tasks.join_all().await.len(), 100);
    assert_eq!(server.connections(), 1);
    assert_eq!(server.binds(), 1);
}

#[test]
fn questions_may_come_from_any_runtime() {
    let home = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (server, directory) = home.block_on(async {
        let server = FakeLdap::start([alice()]).await;
        let directory = directory(FakeLdap::settings(&[&server]));
        (server, Arc::new(directory))
    });
    // Without timers and sockets of their own, one after another and side by side.
    let threads = [(), ()].map(|()| {
        let directory = Arc::clone(&directory);
        std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().build().unwrap();
            for _ in 0..10 {
                runtime.block_on(account(&directory)).unwrap().unwrap();
            }
        })
    });
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(server.connections(), 1);
    drop(home);
    let runtime = Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(account(&directory)).unwrap_err();
    assert!(
        matches!(error, DirectoryError::Unreachable { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn whoever_answers_before_tls_brings_nothing_down() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("ldap://localhost:{}", listener.local_addr().unwrap().port());
    // Deeper than any stack.
    let mut deep = Vec::new();
    for depth in (0..100_000_u32).rev() {
        let length = 6 * (99_999 - depth);
        deep.extend(length.to_be_bytes().iter().rev());
        deep.extend([0x84, 0x30]);
    }
    deep.reverse();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 100];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(&deep).await;
            // Until the other side has had enough of it.
            let _ = stream.read(&mut asked).await;
        }
    });
    let settings = LdapSettings {
        forest: Some("corp.example".parse().unwrap()),
        servers: vec![server.parse().unwrap()],
        ..LdapSettings::default()
    };
    let Ok(directory) = LdapDirectory::new(settings, secrets(), Handle::current()) else {
        println!("skipped: this machine trusts no authority");
        return;
    };
    let who = AccountRef::parse("alice").unwrap();
    let error = directory.account(&who).await.unwrap_err();
    assert!(
        matches!(error, DirectoryError::Unreachable { .. }),
        "{error}"
    );
}

#[test]
fn no_text_changes_a_filter_or_finds_somebody_else() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (server, directory) = runtime.block_on(async {
        let server = FakeLdap::start([alice(), group("staff", 2_000)]).await;
        let directory = directory(FakeLdap::settings(&[&server]));
        (server, directory)
    });
    let found = |who: &AccountRef| runtime.block_on(directory.account(who)).unwrap();
    let config = ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let asked = server.searches();
    proptest!(config, |(texts in hostile_texts())| {
        for text in texts {
            let Some(who) = AccountRef::parse(&text) else {
                continue;
            };
            let is_alice = matches!(text.as_str(), "alice" | "CORP\\alice");
            prop_assert_eq!(found(&who).is_some(), is_alice, "{}", text);
            let forest = runtime.block_on(directory.forest_of(&who)).unwrap();
            prop_assert_eq!(forest.is_some(), is_alice, "{}", text);
        }
    });
    assert!(
        server.searches() - asked > 1_000,
        "hardly anything was asked"
    );
    assert_eq!(server.strange_filters(), 0);
    assert_eq!(server.connections(), 1, "no question broke the connection");
}
