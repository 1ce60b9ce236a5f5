//! Global catalogs that are found by DNS: which are used, when others are looked for, and that
//! nobody's question suffers when they change.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod fake_dns;
#[allow(dead_code, reason = "each test file uses its own part")]
mod fake_ldap;
mod test_bed;

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_dns::FakeDns;
use fake_ldap::{Entry, FakeLdap, Fault};
use openrms_directory::scp::ScpPlace;
use openrms_directory::{
    Account, AccountRef, Directory, DirectoryError, LdapDirectory, LdapSecrets, LdapSettings,
    LdapSignIn, Transport,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use test_bed::TestBed;
use tokio::runtime::Handle;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

const FOREST: &str = "_gc._tcp.corp.example";
const SITE: &str = "_gc._tcp.Berlin._sites.corp.example";

/// A name server, and what global catalogs need to be believed.
struct Forest {
    dns: FakeDns,
    tls: TlsAcceptor,
    root: CertificateDer<'static>,
}

impl Forest {
    /// `None` with a line on the terminal where certificates cannot be made.
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("gc.pem"), folder.path().join("gc.key"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=corp.example"])
            .args(["-addext", "subjectAltName=DNS:*.corp.example"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-out")
            .arg(&certificate)
            .arg("-keyout")
            .arg(&key)
            .stderr(Stdio::null())
            .status();
        if !made.is_ok_and(|status| status.success()) {
            println!("skipped: openssl cannot make a certificate");
            return None;
        }
        let root = CertificateDer::from_pem_file(&certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(&key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![root.clone()], key)
            .unwrap();
        let dns = FakeDns::start();
        for number in 1..=4 {
            dns.host(&format!("dc{number}.corp.example"), Ipv4Addr::LOCALHOST);
        }
        Some(Self {
            dns,
            tls: TlsAcceptor::from(Arc::new(config)),
            root,
        })
    }

    async fn catalog(&self) -> FakeLdap {
        let alice = Entry::object("user", "alice", 1101)
            .with("mail", "alice@corp.example")
            .with("userAccountControl", "512");
        FakeLdap::start_with_tls([alice], Some(self.tls.clone())).await
    }

    fn settings(&self) -> LdapSettings {
        LdapSettings {
            forest: Some("corp.example".parse().unwrap()),
            transport: Some(Transport::StartTls),
            name_servers: vec![self.dns.address.to_string().parse().unwrap()],
            retry_down: 1,
            time_out_for_gc: 2,
            ldap_time_out: 2,
            ..LdapSettings::default()
        }
    }

    fn directory(&self, settings: LdapSettings) -> LdapDirectory {
        let secrets = LdapSecrets {
            sign_in: LdapSignIn::Password {
                name: "svc-rms@corp.example".to_owned(),
                password: Zeroizing::new("secret".to_owned()),
            },
            roots: vec![self.root.clone()],
        };
        LdapDirectory::new(settings, secrets, Handle::current()).unwrap()
    }
}

async fn alice(directory: &LdapDirectory) -> Result<Account, DirectoryError> {
    let alice = directory
        .account(&AccountRef::parse("alice").unwrap())
        .await;
    alice.map(Option::unwrap)
}

/// Waits for a condition; the test's own time limit is that of the test runner.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_forest_without_named_servers_is_found_by_dns() {
    let Some(forest) = Forest::start() else {
        return;
    };
    let catalog = forest.catalog().await;
    forest
        .dns
        .services(FOREST, &[(0, 100, catalog.port(), "dc1.corp.example.")]);
    let directory = forest.directory(forest.settings());
    assert_eq!(
        alice(&directory).await.unwrap().name.as_str(),
        "CORP\\alice"
    );
    let asked = forest.dns.questions();
    for _ in 0..10 {
        alice(&directory).await.unwrap();
    }
    assert_eq!(
        forest.dns.questions(),
        asked,
        "DNS is asked for each question"
    );
    assert_eq!(catalog.connections(), 1);
}

#[tokio::test]
async fn catalogs_of_the_site_are_asked_and_others_when_those_fail() {
    let Some(forest) = Forest::start() else {
        return;
    };
    let (mut near, far) = (forest.catalog().await, forest.catalog().await);
    let (of_near, of_far) = (near.port(), far.port());
    forest
        .dns
        .services(SITE, &[(0, 100, of_near, "dc1.corp.example.")]);
    forest.dns.services(
        FOREST,
        &[
            (0, 100, of_far, "dc2.corp.example."),
            (0, 100, of_near, "dc1.corp.example."),
        ],
    );
    let directory = forest.directory(LdapSettings {
        site: Some("Berlin".parse().unwrap()),
        ..forest.settings()
    });
    for _ in 0..10 {
        alice(&directory).await.unwrap();
    }
    assert_eq!(far.connections(), 0);
    near.stop().await;
    alice(&directory).await.unwrap();
    assert_eq!(far.connections(), 1);
}

#[tokio::test]
async fn a_catalog_that_is_gone_is_replaced_by_what_dns_names_then() {
    let Some(forest) = Forest::start() else {
        return;
    };
    let mut old = forest.catalog().await;
    forest
        .dns
        .services(FOREST, &[(0, 100, old.port(), "dc1.corp.example.")]);
    let directory = forest.directory(forest.settings());
    alice(&directory).await.unwrap();
    old.stop().await;
    let new = forest.catalog().await;
    forest
        .dns
        .services(FOREST, &[(0, 100, new.port(), "dc2.corp.example.")]);
    // Not more often than once a second is DNS asked.
    while alice(&directory).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(new.connections(), 1);
    // The old one is not tried any more, also when it is back.
    old.restart().await;
    let before = old.connections();
    for _ in 0..5 {
        alice(&directory).await.unwrap();
    }
    assert_eq!(old.connections(), before);
}

#[tokio::test]
async fn a_question_under_way_outlives_the_change_of_its_server() {
    let Some(forest) = Forest::start() else {
        return;
    };
    let (slow, mut broken) = (forest.catalog().await, forest.catalog().await);
    let (of_slow, of_broken) = (slow.port(), broken.port());
    forest.dns.services(
        FOREST,
        &[
            (0, 0, of_slow, "dc1.corp.example."),
            (1, 0, of_broken, "dc2.corp.example."),
        ],
    );
    let directory = Arc::new(forest.directory(LdapSettings {
        threshold_alive: 2,
        time_retry_slow: 0,
        ldap_time_out: 30,
        ..forest.settings()
    }));
    alice(&directory).await.unwrap();
    alice(&directory).await.unwrap();
    broken.stop().await;
    let searches = slow.searches();
    slow.change(|habits| habits.fault = Some(Fault::Silence));
    let question = tokio::spawn({
        let directory = Arc::clone(&directory);
        async move { alice(&directory).await }
    });
    until(|| slow.searches() > searches).await;
    // Others are found meanwhile, and the one that is being waited for is not among them.
    let new = forest.catalog().await;
    forest
        .dns
        .services(FOREST, &[(0, 0, new.port(), "dc3.corp.example.")]);
    while new.connections() == 0 {
        let other = Arc::clone(&directory);
        let asked = tokio::spawn(async move { alice(&other).await });
        let _ = tokio::time::timeout(Duration::from_millis(200), asked).await;
    }
    assert!(!question.is_finished());
    slow.change(|habits| habits.fault = None);
    question.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_catalog_that_is_found_again_keeps_its_connection() {
    let Some(forest) = Forest::start() else {
        return;
    };
    let catalog = forest.catalog().await;
    forest
        .dns
        .services(FOREST, &[(0, 100, catalog.port(), "dc1.corp.example.")]);
    // Never enough, so others are looked for again and again.
    let directory = forest.directory(LdapSettings {
        threshold_alive: 2,
        time_retry_slow: 0,
        ..forest.settings()
    });
    alice(&directory).await.unwrap();
    let before = forest.dns.questions();
    while forest.dns.questions() < before + 3 {
        alice(&directory).await.unwrap();
    }
    assert_eq!(catalog.connections(), 1);
}

#[tokio::test]
async fn when_dns_fails_the_known_catalogs_go_on() {
    let Some(forest) = Forest::start() else {
        return;
    };
    let mut catalog = forest.catalog().await;
    forest
        .dns
        .services(FOREST, &[(0, 100, catalog.port(), "dc1.corp.example.")]);
    let directory = forest.directory(forest.settings());
    alice(&directory).await.unwrap();
    forest.dns.services(FOREST, &[]);
    catalog.stop().await;
    let error = alice(&directory).await.unwrap_err();
    assert!(
        matches!(error, DirectoryError::Unreachable { .. }),
        "{error}"
    );
    catalog.restart().await;
    while alice(&directory).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn without_catalogs_questions_fail_in_time_and_say_why() {
    let Some(forest) = Forest::start() else {
        return;
    };
    let directory = forest.directory(forest.settings());
    let error = alice(&directory).await.unwrap_err().to_string();
    assert!(error.contains("DNS names no global catalog"), "{error}");
    // Those that come at once after do not ask DNS again.
    let asked = forest.dns.questions();
    for _ in 0..20 {
        alice(&directory).await.unwrap_err();
    }
    assert!(forest.dns.questions() <= asked + 4);
    forest.dns.silence(true);
    let begin = Instant::now();
    let silent = forest.directory(forest.settings());
    let error = alice(&silent).await.unwrap_err();
    assert!(matches!(error, DirectoryError::Timeout { .. }), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(8));
    // And when they are there, nobody has to be told.
    forest.dns.silence(false);
    let catalog = forest.catalog().await;
    forest
        .dns
        .services(FOREST, &[(0, 100, catalog.port(), "dc1.corp.example.")]);
    while alice(&directory).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn fewer_catalogs_than_needed_are_no_beginning_and_more_than_wanted_are_left_alone() {
    let Some(forest) = Forest::start() else {
        return;
    };
    let catalogs = [forest.catalog().await, forest.catalog().await];
    let [one, two] = catalogs.each_ref().map(FakeLdap::port);
    forest.dns.services(
        FOREST,
        &[
            (0, 0, one, "dc1.corp.example."),
            (1, 0, two, "dc2.corp.example."),
        ],
    );
    let too_few = forest.directory(LdapSettings {
        min_gc: 3,
        ..forest.settings()
    });
    let error = alice(&too_few).await.unwrap_err().to_string();
    assert!(error.contains("`min_gc` is 3"), "{error}");
    let best = forest.directory(LdapSettings {
        max_gc: 1,
        ..forest.settings()
    });
    for _ in 0..5 {
        alice(&best).await.unwrap();
    }
    assert_eq!(catalogs[1].connections(), 0);
}

#[tokio::test]
async fn a_host_that_the_authorities_do_not_vouch_for_gets_no_password() {
    let Some(forest) = Forest::start() else {
        return;
    };
    let catalog = forest.catalog().await;
    forest.dns.host("dc1.evil.example", Ipv4Addr::LOCALHOST);
    forest
        .dns
        .services(FOREST, &[(0, 100, catalog.port(), "dc1.evil.example.")]);
    let directory = forest.directory(forest.settings());
    let error = alice(&directory).await.unwrap_err();
    assert!(
        matches!(error, DirectoryError::Unreachable { .. }),
        "{error}"
    );
    assert!(catalog.connections() > 0);
    assert_eq!(catalog.binds(), 0);
}

#[tokio::test]
async fn the_controllers_of_a_real_forest_are_found_in_its_own_dns() {
    let Some(bed) = TestBed::from_env("CORP", "corp.example") else {
        return;
    };
    let address = std::env::var("CORP_IP").unwrap();
    for (transport, site) in [
        (None, None),
        (Some(Transport::Ldaps), Some("Default-First-Site-Name")),
        (Some(Transport::StartTls), Some("No-Such-Site")),
    ] {
        let settings = LdapSettings {
            forest: Some("corp.example".parse().unwrap()),
            site: site.map(|site| site.parse().unwrap()),
            transport,
            name_servers: vec![address.parse().unwrap()],
            ..LdapSettings::default()
        };
        let directory = LdapDirectory::new(settings, bed.secrets(), Handle::current()).unwrap();
        let alice = alice(&directory).await.unwrap();
        assert_eq!(alice.mail.unwrap().as_str(), "alice@corp.example");
    }
}

#[tokio::test]
async fn the_place_of_a_service_connection_point_is_found_in_the_dns_of_a_real_forest() {
    let Some(bed) = TestBed::from_env("CORP", "corp.example") else {
        return;
    };
    let settings = LdapSettings {
        forest: Some("corp.example".parse().unwrap()),
        name_servers: vec![std::env::var("CORP_IP").unwrap().parse().unwrap()],
        ..LdapSettings::default()
    };
    let place = ScpPlace::open(&settings, bed.secrets()).await.unwrap();
    assert!(place.dn().ends_with("CN=Configuration,DC=corp,DC=example"));
}
