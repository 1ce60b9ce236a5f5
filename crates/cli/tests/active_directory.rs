//! The program and a server against a real Active Directory: tickets instead of passwords, groups
//! as the directory has them. Skipped with a line where there is no test bed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::corp::{Corp, CorpServer, Place, kinit};
use openrms_negotiate::Initiator;
use openrms_protocol::certification::Certify;
use openrms_protocol::{
    CertificateChain, Operation, Service, ServiceLevel, SoapVersion, VersionData,
};
use openrms_server::Config;
use openrms_server::access::{AccessRules, GroupRef, Part, PartRule};
use openrms_server::config::Ntlm;
use openrms_server::directory::{ServiceAccount, TicketSource};
use openrms_server::forests::{ForestsConfig, OtherForest};

#[test]
fn whoever_has_a_ticket_signs_in_without_a_password() {
    let Some(corp) = Corp::from_env() else { return };
    let server = corp.serve();
    server.log_on("alice", "Alice-Passw0rd");
    let run = server.run_as("alice", ["sign-in", "--yes", "--json"]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    let answer = run.json();
    assert_eq!(answer["account"], "alice@corp.example");
    assert_eq!(answer["id_type"], "Windows");
    let sid = answer["id"].as_str().unwrap();
    assert!(
        sid.starts_with(&std::env::var("CORP_SID").unwrap()),
        "{sid}"
    );

    let run = server.run_as("nobody", ["sign-in", "--yes", "--json"]);
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (3, "kerberos-failed")
    );
}

#[test]
fn curl_certifies_with_negotiate() {
    let Some(corp) = Corp::from_env() else { return };
    let server = corp.serve();
    server.log_on("zoe", "Zoe-Passw0rd.1");
    let answer = certify_with_curl(&server, "zoe", Service::Certification);
    assert!(answer.contains("200"), "{answer}");
    assert!(answer.contains("zoe@corp.example"), "{answer}");
    // The caller learns in turn that this is the right server.
    assert!(
        answer
            .to_lowercase()
            .contains("www-authenticate: negotiate ")
    );
}

#[test]
fn a_ticket_that_is_bound_to_the_tls_of_another_server_is_worth_nothing() {
    let Some(corp) = Corp::from_env() else { return };
    let server = corp.serve();
    server.log_on("zoe", "Zoe-Passw0rd.1");
    let fingerprint = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(server.at("server.pem"))
        .output()
        .unwrap();
    let text = String::from_utf8(fingerprint.stdout).unwrap();
    let hex = text.trim().split_once('=').unwrap().1.split(':');
    let own: Vec<u8> = hex.map(|b| u8::from_str_radix(b, 16).unwrap()).collect();
    let mut other = own.clone();
    other[0] ^= 1;
    let tickets = server.tickets("zoe");
    let tickets = Path::new(tickets.strip_prefix("FILE:").unwrap());
    for (certificate, status) in [(own, "200"), (other, "401")] {
        let initiator = Initiator::with_ticket_file("HTTP@rms.corp.example", tickets).unwrap();
        let shown = initiator.bound_to(&certificate).authorization().unwrap();
        let shown = format!("Authorization: {shown}");
        let output = curl(&server, "zoe", &["-H", &shown])
            .arg("--include")
            .arg(Service::Certification.url(&server.url))
            .output()
            .unwrap();
        let answer = String::from_utf8_lossy(&output.stdout);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
}

#[test]
fn old_clients_certify_with_ntlm_where_it_is_switched_on() {
    let Some(corp) = Corp::from_env() else { return };
    let without = corp.serve();
    let with = corp.serve_with(ntlm_only);
    for (server, login, certified) in [
        (
            &with,
            "CORP\\alice:Alice-Passw0rd",
            Some("alice@corp.example"),
        ),
        (&with, "corp\\ZOE:Zoe-Passw0rd.1", Some("zoe@corp.example")),
        (&with, "CORP\\alice:alice-Passw0rd", None),
        (&with, "CORP\\nobody:Alice-Passw0rd", None),
        // Disabled.
        (&with, "CORP\\dave:Dave-Passw0rd", None),
        // Nobody whom this directory knows, though the domain does.
        (&with, "PARTNER\\pat:Pat-Passw0rd.1", None),
        (&without, "CORP\\alice:Alice-Passw0rd", None),
    ] {
        let output = curl(server, "old", &["--ntlm", "--user", login])
            .arg("--include")
            .arg(Service::Certification.url(&server.url))
            .output()
            .unwrap();
        let answer = String::from_utf8_lossy(&output.stdout);
        let (_, last) = answer.rsplit_once("HTTP/1.1 ").unwrap();
        match certified {
            Some(mail) => assert!(last.starts_with("200") && last.contains(mail), "{last}"),
            None => assert!(last.starts_with("401"), "{login}: {last}"),
        }
    }
}

#[test]
fn one_handshake_of_ntlm_serves_its_connection_and_no_other() {
    let Some(corp) = Corp::from_env() else { return };
    let server = corp.serve_with(ntlm_only);
    let url = Service::Certification.url(&server.url);
    let twice = || {
        let login = ["--ntlm", "--user", "CORP\\bob:Bob-Passw0rd"];
        let output = curl(&server, "old", &login)
            .args(["--write-out", "%{num_connects} %{http_code} "])
            .args(["--output", "/dev/null", &url, "--output", "/dev/null", &url])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for requests in [3, 6] {
        assert_eq!(twice(), "1 200 0 200 ");
        // The first half, the second, and one that needed neither.
        let audit = fs::read_to_string(server.at("server/audit.jsonl")).unwrap();
        let bobs = audit.matches("\"user\":\"CORP\\\\bob\"").count();
        assert_eq!((audit.lines().count(), bobs), (requests, requests / 3 * 2));
    }
}

#[test]
fn ntlm_goes_over_the_trust_to_the_other_forest() {
    let (Some(_), Some(partner)) = (Corp::from_env(), Corp::partner_from_env()) else {
        return;
    };
    // Its directory is the other forest's; the winbind that it asks is this one's.
    let server = partner.serve_with(ntlm_only);
    for (login, status) in [
        ("PARTNER\\pat:Pat-Passw0rd.1", "200"),
        ("PARTNER\\pat:Pat-Passw0rd", "401"),
        ("CORP\\alice:Alice-Passw0rd", "401"),
    ] {
        let output = curl(&server, "old", &["--ntlm", "--user", login])
            .args(["--output", "/dev/null", "--write-out", "%{http_code}"])
            .arg(Service::Certification.url(&server.url))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), status, "{login}");
    }
}

#[test]
fn groups_count_however_the_directory_nests_them() {
    let Some(corp) = Corp::from_env() else { return };
    let server = corp.serve();
    for (who, password) in [
        ("alice", "Alice-Passw0rd"),
        ("bob", "Bob-Passw0rd"),
        ("carol", "Carol-Passw0rd"),
        ("zoe", "Zoe-Passw0rd.1"),
    ] {
        server.log_on(who, password);
        let run = server.run_as(who, ["sign-in", "--yes"]);
        assert_eq!(run.code, 0, "{}", run.err);
    }
    // A universal group, three levels up; a distribution group; a domain-local group; a group in a
    // circle; and each with somebody who is not in it.
    for (group, inside, outside) in [
        ("all", "alice", "zoe"),
        ("all", "bob", "zoe"),
        ("newsletter", "alice", "carol"),
        ("docs-readers", "carol", "bob"),
        ("loop-a", "bob", "carol"),
    ] {
        let author = if inside == "zoe" || outside == "zoe" {
            "carol"
        } else {
            "zoe"
        };
        let grant = format!("{group}@corp.example:view,export");
        let file = server.protect(author, &format!("{group}-{inside}"), &grant);
        let run = server.opens(inside, &file);
        assert_eq!(run.code, 0, "{inside} in {group}: {}{}", run.out, run.err);
        let run = server.opens(outside, &file);
        assert_eq!(
            (run.code, run.error_code().as_str()),
            (3, "no-rights"),
            "{outside} in {group}"
        );
    }
    // An address that is not the primary one.
    let file = server.protect("bob", "alias", "a.archer@corp.example:view,export");
    assert_eq!(server.opens("alice", &file).code, 0);
}

#[test]
fn whoever_has_no_mail_address_and_whoever_is_of_another_forest_gets_the_fault_for_it() {
    let Some(corp) = Corp::from_env() else { return };
    let server = corp.serve();
    for (who, password) in [
        ("erin", "Erin-Passw0rd"),
        ("pat@PARTNER.EXAMPLE", "Pat-Passw0rd.1"),
    ] {
        server.log_on(who, password);
        let run = server.run_as(who, ["sign-in", "--yes", "--json"]);
        assert_eq!(
            (run.code, run.error_code().as_str()),
            (3, "account-unknown"),
            "{}",
            run.out
        );
    }
}

#[test]
fn closed_services_open_for_the_members_of_the_groups_that_are_named() {
    let Some(corp) = Corp::from_env() else { return };
    let server = corp.serve_with(|config| {
        let sales = GroupRef::try_from("sales@corp.example".to_owned()).unwrap();
        let rule = PartRule {
            groups: vec![sales],
            ..PartRule::default()
        };
        config.access = AccessRules::new([(Part::ServerCertification, rule)].into()).unwrap();
    });
    server.log_on("bob", "Bob-Passw0rd");
    server.log_on("carol", "Carol-Passw0rd");
    let open = certify_with_curl(&server, "bob", Service::ServerCertification);
    assert!(open.contains("bob@corp.example"), "{open}");
    let closed = certify_with_curl(&server, "carol", Service::ServerCertification);
    assert!(closed.contains("UnauthorizedAccessException"), "{closed}");
    let closed = certify_with_curl(&server, "bob", Service::MobileCertification);
    assert!(closed.contains("UnauthorizedAccessException"), "{closed}");
}

#[test]
fn somebody_removed_from_a_group_is_out_as_soon_as_the_cache_is_flushed() {
    let Some(corp) = Corp::from_env() else { return };
    let server = corp.serve();
    let member = GroupMember::add("U-Empty", "zoe");
    for (who, password) in [("zoe", "Zoe-Passw0rd.1"), ("bob", "Bob-Passw0rd")] {
        server.log_on(who, password);
        assert_eq!(server.run_as(who, ["sign-in", "--yes"]).code, 0);
    }
    let first = server.protect("bob", "first", "empty@corp.example:view,export");
    let second = server.protect("bob", "second", "empty@corp.example:view,export");
    let third = server.protect("bob", "third", "empty@corp.example:view,export");
    let run = server.opens("zoe", &first);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    drop(member);
    // Within the time of the cache she counts as she did.
    assert_eq!(server.opens("zoe", &second).code, 0);
    server.running.reload_now().unwrap();
    let run = server.opens("zoe", &third);
    assert_eq!((run.code, run.error_code().as_str()), (3, "no-rights"));
}

#[test]
fn renamed_people_stay_who_they_are_and_moved_or_disabled_ones_do_not() {
    let Some(corp) = Corp::from_env() else { return };
    let server = corp.serve();
    let sign_in = |who: &str, password: &str| {
        server.log_on(who, password);
        let run = server.run_as(who, ["sign-in", "--yes", "--json"]);
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
        run.json()
    };
    sign_in("bob", "Bob-Passw0rd");
    let newcomer = Newcomer::hire("nora", "Nora-Passw0rd.1", "nora@corp.example");
    let before = sign_in("nora", "Nora-Passw0rd.1");
    let files = ["one", "two", "three"]
        .map(|name| server.protect("bob", name, "nora@corp.example:view,export"));
    assert_eq!(server.opens("nora", &files[0]).code, 0);

    // She marries: another account name, another address. The SID and so the account stay.
    let newcomer = newcomer.renamed("norah", "norah@corp.example");
    server.running.reload_now().unwrap();
    let new_name = server.protect("bob", "new-name", "norah@corp.example:view,export");
    let run = server.opens("nora", &new_name);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    // Nobody else has her old address, so what was written to it is still hers.
    assert_eq!(server.opens("nora", &files[1]).code, 0);
    fs::rename(server.home("nora"), server.home("norah")).unwrap();
    let after = sign_in("norah", "Nora-Passw0rd.1");
    assert_eq!(after["id"], before["id"]);
    assert_eq!(after["account"], "norah@corp.example");

    // Moved to another domain: the account is gone, and another one has the name and the address.
    drop(newcomer);
    let _moved = Newcomer::hire("norah", "Moved-Passw0rd.1", "norah@corp.example");
    server.running.reload_now().unwrap();
    let last = server.protect("bob", "last", "norah@corp.example:view,export");
    let run = server.opens("norah", &last);
    assert_eq!(run.code, 4, "{}{}", run.out, run.err);
    assert!(run.out.contains("UntrustedPersonaCert"), "{}", run.out);
    let anew = sign_in("norah", "Moved-Passw0rd.1");
    assert_ne!(anew["id"], before["id"]);
    assert_eq!(server.opens("norah", &last).code, 0);
    // What was written to the address that only the old account had.
    let run = server.opens("norah", &files[2]);
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (3, "no-rights"),
        "{}",
        run.out
    );

    // Disabled: the certificate that she holds does not help.
    let after = server.protect("bob", "after", "norah@corp.example:view,export");
    administer(["user", "disable", "norah"]);
    server.running.reload_now().unwrap();
    let run = server.opens("norah", &after);
    assert_eq!(run.code, 3, "{}{}", run.out, run.err);
    assert!(
        run.out.contains("is disabled") || run.out.contains("Unauthorized"),
        "{}",
        run.out
    );
}

#[test]
fn while_the_directory_is_down_known_people_are_licensed_and_others_told_in_time() {
    let Some(corp) = Corp::from_env() else { return };
    let Some(bed) = TestBed::from_env() else {
        return;
    };
    let server = corp.serve();
    for (who, password) in [("alice", "Alice-Passw0rd"), ("carol", "Carol-Passw0rd")] {
        server.log_on(who, password);
        assert_eq!(server.run_as(who, ["sign-in", "--yes"]).code, 0);
    }
    let files = ["one", "two", "three"].map(|name| {
        let grant = "engineering@corp.example:view,export";
        server.protect("carol", name, grant)
    });
    server.running.reload_now().unwrap();
    assert_eq!(server.opens("alice", &files[0]).code, 0);

    let down = bed.stop();
    let run = server.opens("alice", &files[1]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    let before = Instant::now();
    // The author of a file holds a license of her own; what another wrote she has to ask for.
    fs::remove_dir_all(server.home("carol").join("licenses")).unwrap();
    let run = server.opens("carol", &files[1]);
    assert_eq!(run.code, 1, "{}{}", run.out, run.err);
    assert_eq!(run.error_code(), "server-fault");
    assert!(
        before.elapsed() < Duration::from_secs(20),
        "{:?}",
        before.elapsed()
    );
    // Many at once wait for nothing but their own answers.
    let before = Instant::now();
    std::thread::scope(|scope| {
        let asking = || assert_eq!(server.opens("carol", &files[2]).code, 1);
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(asking)).collect();
        let run = server.opens("alice", &files[2]);
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
        for one in asked {
            one.join().unwrap();
        }
    });
    assert!(
        before.elapsed() < Duration::from_secs(40),
        "{:?}",
        before.elapsed()
    );

    drop(down);
    let end = Instant::now() + Duration::from_mins(1);
    while server.opens("carol", &files[1]).code != 0 {
        assert!(Instant::now() < end, "no recovery");
    }
}

#[test]
fn a_group_of_the_other_forest_counts_and_circles_over_both_end() {
    for binary in [false, true] {
        let newest = Side {
            level: ServiceLevel::V2,
            names_other_binary: binary,
        };
        expand_over_both_forests(newest, newest);
    }
}

#[test]
fn s30_forests_of_different_levels_expand_each_others_groups() {
    // The older one is not told that it should ask in the binary form: it knows no other.
    let older = Side {
        level: ServiceLevel::V1,
        names_other_binary: false,
    };
    let newest = Side {
        level: ServiceLevel::V2,
        names_other_binary: true,
    };
    expand_over_both_forests(older, newest);
    expand_over_both_forests(newest, older);
}

/// The server of one of two forests.
#[derive(Debug, Clone, Copy)]
struct Side {
    level: ServiceLevel,
    /// Whether its configuration says that the other one speaks the binary form alone.
    names_other_binary: bool,
}

/// Protects for a group of the other forest, which holds a group of this one: each asks the other.
fn expand_over_both_forests(at_home: Side, abroad: Side) {
    let (Some(corp), Some(partner)) = (Corp::from_env(), Corp::partner_from_env()) else {
        return;
    };
    let (here, there) = (corp.place(), partner.place());
    let both = fs::read_to_string(here.at("server.pem")).unwrap()
        + &fs::read_to_string(there.at("server.pem")).unwrap();
    let forests = |at: &Place, side: Side, forest: &str, other: &Place| {
        let authorities = at.at("both.pem");
        fs::write(&authorities, &both).unwrap();
        let tickets = at.at("tickets-of-the-server");
        let binary = side.names_other_binary;
        ForestsConfig {
            tickets: Some(tickets),
            authorities: Some(authorities),
            other: vec![OtherForest {
                forest: forest.parse().unwrap(),
                group_expansion: if binary {
                    openrms_protocol::binary_group_expansion::http::url(&other.url)
                } else {
                    Service::GroupExpansion.url(&other.url)
                },
                binary,
            }],
            ..ForestsConfig::default()
        }
    };
    // Each service is open to the people of the other domain, of whom the other server's account
    // is one.
    let open_to = |variable: &str| {
        let domain_users = format!("{}-513", std::env::var(variable).unwrap());
        let rule = PartRule {
            groups: vec![GroupRef::try_from(domain_users).unwrap()],
            ..PartRule::default()
        };
        AccessRules::new([(Part::GroupExpansion, rule)].into()).unwrap()
    };
    let ours = forests(&here, at_home, "partner.example", &there);
    let theirs = forests(&there, abroad, "corp.example", &here);
    for (config, account, variable) in [
        (&ours, "svc-rms@CORP.EXAMPLE", "CORP_SVC_PASSWORD"),
        (&theirs, "svc-rms@PARTNER.EXAMPLE", "PARTNER_SVC_PASSWORD"),
    ] {
        let tickets = config.tickets.as_ref().unwrap();
        let password = std::env::var(variable).unwrap();
        kinit(account, &password, &format!("FILE:{}", tickets.display()));
    }
    let _there = partner.serve_at_level(there, abroad.level, |config| {
        config.access = open_to("CORP_SID");
        config.forests = Some(theirs);
    });
    let server = corp.serve_at_level(here, at_home.level, |config| {
        config.access = open_to("PARTNER_SID");
        config.forests = Some(ours);
    });
    for (who, password) in [
        ("alice", "Alice-Passw0rd"),
        ("bob", "Bob-Passw0rd"),
        ("zoe", "Zoe-Passw0rd.1"),
    ] {
        server.log_on(who, password);
        let run = server.run_as(who, ["sign-in", "--yes"]);
        assert_eq!(run.code, 0, "{}", run.err);
    }
    // engineers@partner.example holds kernel@corp.example, and that alice.
    let file = server.protect("zoe", "abroad", "engineers@partner.example:view,export");
    let run = server.opens("alice", &file);
    assert_eq!(run.code, 0, "{at_home:?}: {}{}", run.out, run.err);
    let run = server.opens("bob", &file);
    let refusal = (run.code, run.error_code());
    assert_eq!(
        refusal,
        (3, "no-rights".to_owned()),
        "{at_home:?}: {}",
        run.out
    );
}

#[test]
fn a_server_with_a_key_asks_the_directory_without_a_password() {
    let Some(corp) = Corp::from_env() else { return };
    for server in ["ldap://dc1.corp.example", "ldaps://dc1.corp.example:3269"] {
        let place = corp.place();
        let keytab = place.at("svc-rms.keytab");
        key("svc-rms@CORP.EXAMPLE", "CORP_SVC_PASSWORD", &keytab);
        let server = corp.serve_at(place, |config| {
            let directory = config.directory.as_mut().unwrap();
            directory.ldap.servers = vec![server.parse().unwrap()];
            directory.service_account = ServiceAccount::Kerberos(TicketSource::Keytab {
                keytab,
                principal: "svc-rms@CORP.EXAMPLE".to_owned(),
            });
        });
        for (who, password) in [("alice", "Alice-Passw0rd"), ("zoe", "Zoe-Passw0rd.1")] {
            server.log_on(who, password);
            assert_eq!(server.run_as(who, ["sign-in", "--yes"]).code, 0);
        }
        let file = server.protect("zoe", "all", "all@corp.example:view,export");
        let run = server.opens("alice", &file);
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    }
}

/// Writes the key that follows from a password.
fn key(principal: &str, password: &str, keytab: &Path) {
    let mut ktutil = Command::new("ktutil")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (password, path) = (std::env::var(password).unwrap(), keytab.display());
    writeln!(
        ktutil.stdin.take().unwrap(),
        "addent -password -p {principal} -k 1 -e aes256-cts-hmac-sha1-96\n{password}\nwkt {path}\nq"
    )
    .unwrap();
    assert!(ktutil.wait().unwrap().success() && keytab.exists());
}

/// Somebody who is in a group until this is dropped.
struct GroupMember {
    group: &'static str,
    who: &'static str,
}

impl GroupMember {
    fn add(group: &'static str, who: &'static str) -> Self {
        Self::change("addmembers", group, who);
        Self { group, who }
    }

    fn change(verb: &str, group: &str, who: &str) {
        administer(["group", verb, group, who]);
    }
}

impl Drop for GroupMember {
    fn drop(&mut self) {
        Self::change("removemembers", self.group, self.who);
    }
}

/// An account that is there until this is dropped.
struct Newcomer(&'static str);

impl Newcomer {
    fn hire(name: &'static str, password: &str, mail: &str) -> Self {
        administer(["user", "create", name, password, "--mail-address", mail]);
        Self(name)
    }

    /// The same account with another name and address.
    fn renamed(mut self, name: &'static str, mail: &str) -> Self {
        let old = std::mem::replace(&mut self.0, name);
        let (name, mail) = (
            format!("--samaccountname={name}"),
            format!("--mail-address={mail}"),
        );
        administer(["user", "rename", old, &name, &mail]);
        self
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        administer(["user", "delete", self.0]);
    }
}

/// Changes the directory as its administrator would.
fn administer<const N: usize>(arguments: [&str; N]) {
    let variable = |name| std::env::var(name).unwrap();
    let administrator = format!("Administrator%{}", variable("CORP_ADMIN_PASSWORD"));
    let done = Command::new("samba-tool")
        .args(arguments)
        .args(["--username", &administrator])
        .args(["--URL", &format!("ldap://{}", variable("CORP_DC"))])
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

/// The program that runs the directory, when it is the project's own.
struct TestBed(String);

/// A directory that is down until this is dropped.
struct Down<'b>(&'b TestBed);

impl TestBed {
    fn from_env() -> Option<Self> {
        let program = std::env::var("AD_TESTBED").ok();
        if program.is_none() {
            println!("skipped: AD_TESTBED is not set, nobody can stop the directory");
        }
        program.map(Self)
    }

    fn stop(&self) -> Down<'_> {
        self.run("stop-dc");
        Down(self)
    }

    fn run(&self, verb: &str) {
        let done = Command::new(&self.0).args([verb, "corp"]).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }
}

impl Drop for Down<'_> {
    fn drop(&mut self) {
        self.0.run("start-dc");
    }
}

/// Leaves people nothing but NTLM.
fn ntlm_only(config: &mut Config) {
    config.negotiate = None;
    config.ntlm = Some(Ntlm::default());
}

/// The answer to a Certify request that curl sends, headers included.
fn certify_with_curl(server: &CorpServer, who: &str, service: Service) -> String {
    let output = curl(server, who, &["--negotiate", "--user", ":"])
        .arg("--include")
        .arg(service.url(&server.url))
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// curl, about to send a Certify request of somebody's machine to the URLs that are added.
fn curl(server: &CorpServer, who: &str, login: &[&str]) -> Command {
    let run = server.run_as(who, ["init", "--yes"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let run = server.run_as(who, ["activate"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let machine = fs::read_to_string(server.home(who).join("machine.xml")).unwrap();
    let certify = Operation::Certify(Certify {
        machine_certificate_chain: CertificateChain::split(&machine).unwrap(),
        persistent: true,
    });
    let body = openrms_protocol::encode_request(
        SoapVersion::V11,
        Service::Certification.contract(),
        Some(VersionData::CLIENT),
        &certify,
    );
    let file = server.at(&format!("certify-{who}.xml"));
    fs::write(&file, body).unwrap();
    let mut curl = Command::new("curl");
    curl.arg("--silent")
        .args(login)
        .arg("--cacert")
        .arg(server.at("server.pem"))
        .args(["--header", "Content-Type: text/xml; charset=utf-8"])
        .arg("--data-binary")
        .arg(format!("@{}", file.display()))
        .env("KRB5CCNAME", server.tickets(who));
    curl
}
