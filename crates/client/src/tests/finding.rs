//! A service that nobody named: found, shown, remembered; and overrides of where parts of it are.

use std::num::NonZeroU16;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use openrms_directory::dns::{DnsError, HostName, Services, Target};
use openrms_xrml::rac::AccountType;

use super::world::{OURS, SERVER, World, code, policy};
use crate::*;

const LICENSING: &str = "https://lic.example.com";

/// DNS with one record of each domain.
#[derive(Clone)]
struct Record(Arc<Mutex<&'static str>>, Arc<AtomicUsize>);

impl Record {
    fn of(host: &'static str) -> Self {
        Self(Arc::new(Mutex::new(host)), Arc::default())
    }

    fn questions(&self) -> usize {
        self.1.load(Ordering::SeqCst)
    }
}

impl NameService for Record {
    fn services(&self, _: &str, _: &HostName) -> Result<Services, DnsError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        let host = self.0.lock().unwrap().parse().unwrap();
        let port = NonZeroU16::new(443).unwrap();
        Ok(Services::At(vec![Target { host, port }]))
    }

    fn search_domain(&self) -> Option<HostName> {
        None
    }
}

fn machine_settings(text: &str) -> MachineSettings {
    toml::from_str(text).unwrap()
}

fn named_by(machine: &str) -> Discovery {
    Discovery {
        machine: machine_settings(machine),
        ..Discovery::default()
    }
}

fn asked_at(world: &World, operation: &str) -> Vec<String> {
    let all = world.requests().into_iter();
    all.filter(|(done, _, _)| done == operation)
        .map(|(_, url, auth)| {
            assert!(auth.is_none(), "credentials went to {url}");
            url
        })
        .collect()
}

#[test]
fn a_server_found_in_dns_is_remembered_and_dns_is_not_asked_again() {
    let world = World::new(&OURS);
    let folder = tempfile::tempdir().unwrap();
    let home = Home::open(folder.path()).unwrap();
    let dns = Record::of("rms.example.com");
    let client = |dns: &Record| {
        world
            .builder(home.clone(), "alice")
            .discovery(Discovery::default())
            .name_service(dns.clone())
            .build()
    };
    let alice = client(&dns);
    // Nothing is looked for by itself.
    assert_eq!(code(alice.server()), ("server-not-configured", 5));
    assert_eq!(
        code(alice.account().map(|_| ())),
        ("server-not-configured", 5)
    );
    assert_eq!(dns.questions(), 0);

    let found = alice.find_server(Some("alice@example.com")).unwrap();
    assert_eq!(found.server.as_str(), SERVER);
    assert!(
        world.asked().is_empty(),
        "nobody was asked before it was shown"
    );
    alice
        .init_found(&found, &JoinPolicy::TrustOnFirstUse)
        .unwrap();
    let located = alice.locate().unwrap();
    assert_eq!(located.source, ServerSource::Found(FoundBy::Dns));
    assert_eq!(alice.status().unwrap().server_source, Some(located.source));

    // Whoever answers in DNS later gets nobody's credentials.
    let asked = dns.questions();
    *dns.0.lock().unwrap() = "evil.example.com";
    let again = client(&dns);
    again.sign_in(None, Persistence::Persistent).unwrap();
    assert_eq!(dns.questions(), asked);
    for (_, url, _) in world.requests() {
        assert!(url.starts_with(SERVER), "{url}");
    }
}

#[test]
fn a_server_that_nothing_proves_needs_somebodys_word() {
    let world = World::new(&OURS);
    let folder = tempfile::tempdir().unwrap();
    let alice = world
        .builder(Home::open(folder.path()).unwrap(), "alice")
        .discovery(Discovery::default())
        .name_service(Record::of("rms.example.com"))
        .build();
    let found = alice.find_server(Some("alice@elsewhere.example")).unwrap();
    let refused = alice.init_found(&found, &JoinPolicy::TrustOnFirstUse);
    assert_eq!(code(refused.map(|_| ())), ("server-not-proven", 4));
    assert!(world.asked().is_empty());
    assert_eq!(alice.settings().unwrap().server, None);
    let found = found.confirmed();
    alice
        .init_found(&found, &JoinPolicy::TrustOnFirstUse)
        .unwrap();
    assert_eq!(alice.server().unwrap().as_str(), SERVER);
}

#[test]
fn what_the_machine_says_is_not_remembered_as_the_persons_word() {
    let world = World::new(&OURS);
    let folder = tempfile::tempdir().unwrap();
    let home = Home::open(folder.path()).unwrap();
    let alice = world
        .builder(home.clone(), "alice")
        .discovery(named_by("server = 'https://rms.example.com'"))
        .build();
    alice
        .init(&alice.server().unwrap(), &JoinPolicy::TrustOnFirstUse)
        .unwrap();
    assert_eq!(alice.settings().unwrap().server, None);
    assert_eq!(alice.locate().unwrap().source, ServerSource::Machine);
    alice.client_licensor().unwrap();
    // Another word is.
    let other = world
        .builder(home, "alice")
        .discovery(named_by("server = 'https://old.example.com'"))
        .build();
    other
        .init(&SERVER.parse().unwrap(), &JoinPolicy::TrustOnFirstUse)
        .unwrap();
    assert_eq!(other.locate().unwrap().source, ServerSource::Settings);
}

#[test]
fn publishing_goes_where_the_override_says_for_the_kind_of_account() {
    for (kind, own, other) in [
        (
            AccountType::Windows,
            "enterprise_publishing",
            "cloud_publishing",
        ),
        (
            AccountType::Federation,
            "cloud_publishing",
            "enterprise_publishing",
        ),
    ] {
        let world = World::new(&OURS);
        world.federation.store(true, Ordering::SeqCst);
        let folder = tempfile::tempdir().unwrap();
        let overrides = format!(
            "server = '{SERVER}'\n[service_location]\n{own} = '{LICENSING}/_wmcs/licensing'\n\
             {other} = 'https://wrong.example.com'"
        );
        let mut alice = world
            .builder(Home::open(folder.path()).unwrap(), "alice")
            .discovery(named_by(&overrides));
        let mut publish = format!("{LICENSING}/_wmcs/licensing/publish.asmx");
        if kind == AccountType::Federation {
            alice = alice.credentials(Credentials::Bearer(Secret::from(b"alice".as_slice())));
            publish = format!("{LICENSING}/_wmcs/licensingexternal/publish.asmx");
        }
        let alice = alice.build();
        alice.client_licensor().unwrap();
        let clc = asked_at(&world, "GetClientLicensorCert");
        assert_eq!(clc, [publish.clone()]);
        let mut out = Vec::new();
        let text = b"text".as_slice();
        let policy = policy(&["bob@example.com:VIEW"]);
        alice
            .protect(text, None, ".txt", &mut out, &policy, Signer::Server)
            .unwrap();
        let published = asked_at(&world, "AcquireIssuanceLicense");
        assert_eq!(published, [publish]);
    }
}

#[test]
fn nobody_stands_in_for_an_override_and_what_the_server_said_does_not_count() {
    let world = World::new(&OURS);
    *world.broken.lock().unwrap() = Some(LICENSING);
    let folder = tempfile::tempdir().unwrap();
    let overrides = format!("[service_location]\nenterprise_publishing = '{LICENSING}'");
    let alice = world
        .builder(Home::open(folder.path()).unwrap(), "alice")
        .discovery(Discovery {
            explicit: Spoken::naming(SERVER.parse().unwrap()),
            ..named_by(&overrides)
        })
        .build();
    let refused = alice.client_licensor().map(|_| ());
    assert_eq!(code(refused), ("server-not-reachable", 5));
    assert!(asked_at(&world, "GetClientLicensorCert").is_empty());
}

#[test]
fn an_override_never_gets_credentials() {
    let world = World::new(&OURS);
    let folder = tempfile::tempdir().unwrap();
    let overrides = format!("[service_location]\nenterprise_publishing = '{LICENSING}'");
    let alice = world
        .builder(Home::open(folder.path()).unwrap(), "alice")
        .discovery(Discovery {
            explicit: Spoken::naming(SERVER.parse().unwrap()),
            ..named_by(&overrides)
        })
        .build();
    alice.account().unwrap();
    world.closed.store(true, Ordering::SeqCst);
    let refused = alice.client_licensor().map(|_| ());
    assert_eq!(code(refused), ("credentials-withheld", 4));
    assert_eq!(asked_at(&world, "GetClientLicensorCert").len(), 1);
}

#[test]
fn overrides_of_a_person_are_kept_when_their_settings_change() {
    let world = World::new(&OURS);
    let alice = world.person("alice");
    let text = format!("enterprise_publishing = '{LICENSING}'");
    let overrides: Overrides = toml::from_str(&text).unwrap();
    Settings::update(&alice.home().lock().unwrap(), |settings| {
        settings.service_location = overrides.clone();
    })
    .unwrap();
    alice.client_licensor().unwrap();
    assert_eq!(alice.settings().unwrap().service_location, overrides);
    assert_eq!(alice.status().unwrap().overrides, overrides);
}
