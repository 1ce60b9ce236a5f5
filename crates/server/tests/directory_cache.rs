//! A server that is started anew while the directory is down, over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

#[path = "../../directory/tests/fake_ldap/mod.rs"]
#[allow(dead_code, reason = "each test file uses its own part")]
mod fake_ldap;
mod support;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use fake_ldap::{BASE, Entry, FakeLdap};
use openrms_directory::{CacheSettings, LdapSettings, Sid};
use openrms_protocol::{CertificateChain, FaultCode, SoapVersion};
use openrms_server::directory::{DirectoryConfig, ServiceAccount};
use openrms_server::{Config, Server};
use support::*;
use tokio::runtime::Runtime;

/// A cluster whose people are now in an organisation's directory.
struct Moved {
    server: TestServer,
    ldap: FakeLdap,
    /// What the directory's server lives on.
    runtime: Runtime,
    cache: CacheSettings,
    bob: Person,
    carol: Person,
    /// Staff may read it.
    license: CertificateChain<'static>,
}

impl Moved {
    /// Bob and Carol are staff.
    fn new() -> Self {
        let server = TestServer::start();
        let client = Client::new(&server, SoapVersion::V11);
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| client.join(name));
        let license = Draft::new(&alice, &[("VIEW", "staff@example.test")]).sign(&alice);
        let staff = Entry::object("group", "staff", 2_000).with("mail", "staff@example.test");
        let entries = [user(&bob, 1_001), user(&carol, 1_002), staff];
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let ldap = runtime.block_on(FakeLdap::start(entries));
        let password = server.folder.path().join("directory.password");
        std::fs::write(password, "secret").unwrap();
        Self {
            server,
            ldap,
            runtime,
            cache: CacheSettings::default(),
            bob,
            carol,
            license,
        }
    }

    /// Ends the server and starts another one on the same data.
    fn restarted(self) -> Self {
        let TestServer {
            running,
            bundle,
            mode,
            folder,
        } = self.server;
        running.stop();
        let mut config = Config::for_data_dir(folder.path().join("data")).unwrap();
        config.limits.spare_keys = 0;
        config.directory = Some(DirectoryConfig {
            ldap: LdapSettings {
                // However often it fails, it is tried.
                retry_down: u32::MAX,
                ..FakeLdap::settings(&[&self.ldap])
            },
            service_account: ServiceAccount::Password {
                bind_name: "svc-rms@corp.example".to_owned(),
                password_file: folder.path().join("directory.password"),
            },
            authorities: None,
            cache: self.cache.clone(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let running = Server::start_with_listener(config, listener).unwrap();
        let server = TestServer {
            running,
            bundle,
            mode,
            folder,
        };
        Self { server, ..self }
    }

    fn directory_goes_down(&mut self) {
        self.runtime.block_on(self.ldap.stop());
    }

    fn directory_comes_back(&mut self) {
        self.runtime.block_on(self.ldap.restart());
    }

    /// Whether somebody gets a license; else whether that is not known.
    fn licenses(&self, who: &Person) -> Result<(), Option<FaultCode>> {
        let client = Client::new(&self.server, SoapVersion::V11);
        match client.license(who, &self.license) {
            Ok(license) => {
                assert_eq!(names(&license), ["VIEW"]);
                Ok(())
            }
            Err(fault) => Err(fault.code),
        }
    }

    fn assert_refused_in_time(&self, who: &Person) {
        let begin = Instant::now();
        let fault = self.licenses(who).unwrap_err();
        // Not that there are no rights: that would be an answer.
        assert_ne!(fault, Some(FaultCode::NoRightsForRequestedPrincipal));
        assert!(begin.elapsed() < Duration::from_secs(10));
    }

    fn metric(&self, name: &str) -> u64 {
        let metrics = get(&self.server.url("/metrics"), &[]).text();
        let line = metrics.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.rsplit_once(' '));
        value
            .unwrap_or_else(|| panic!("{metrics}"))
            .1
            .parse()
            .unwrap()
    }
}

/// A person as an entry of the directory, in the group of the staff.
fn user(person: &Person, number: u32) -> Entry {
    let address = person.email();
    let name = address.split('@').next().unwrap();
    let account = person.rac.account();
    let sid: Sid = account.id.parse().unwrap();
    let mut guid = [0; 16];
    guid[..4].copy_from_slice(&number.to_le_bytes());
    Entry::new(&format!("CN={name},{BASE}"))
        .with("objectClass", "top")
        .with("objectClass", "user")
        .with("objectGUID", guid)
        .with("objectSid", sid.to_bytes())
        .with("sAMAccountName", name)
        .with("mail", address)
        .with("userAccountControl", "512")
        .member_of("staff")
}

#[test]
fn a_server_started_anew_while_the_directory_is_down_goes_on_with_whom_it_knew() {
    let mut cluster = Moved::new().restarted();
    assert_eq!(cluster.licenses(&cluster.bob), Ok(()));
    cluster.directory_goes_down();
    let cluster = cluster.restarted();
    assert_eq!(cluster.licenses(&cluster.bob), Ok(()));
    cluster.assert_refused_in_time(&cluster.carol);
    assert!(cluster.metric("rmsd_directory_database_hits_total") >= 2);
    assert!(cluster.metric("rmsd_directory_database_misses_total") >= 1);
    assert_eq!(cluster.metric("rmsd_directory_database_errors_total"), 0);
    assert!(cluster.metric("rmsd_directory_queries_total{result=\"failed\"}") >= 1);
    assert_eq!(cluster.metric("rmsd_directory_connections_maximum"), 1);

    // What SIGHUP does.
    cluster.server.running.reload_now().unwrap();
    cluster.assert_refused_in_time(&cluster.bob);
    let mut cluster = cluster.restarted();
    cluster.assert_refused_in_time(&cluster.bob);
    cluster.directory_comes_back();
    let both = |cluster: &Moved| {
        cluster.licenses(&cluster.bob).is_ok() && cluster.licenses(&cluster.carol).is_ok()
    };
    let begin = Instant::now();
    while !both(&cluster) {
        assert!(begin.elapsed() < Duration::from_mins(1));
    }
}

#[test]
fn without_the_database_a_server_started_anew_knows_nobody() {
    let mut cluster = Moved::new();
    cluster.cache.database = false;
    let mut cluster = cluster.restarted();
    assert_eq!(cluster.licenses(&cluster.bob), Ok(()));
    cluster.directory_goes_down();
    let cluster = cluster.restarted();
    cluster.assert_refused_in_time(&cluster.bob);
    assert!(!cluster.server.data().join("directory.db").exists());
}

#[test]
fn a_database_that_is_damaged_or_cannot_be_opened_keeps_no_server_from_starting() {
    let cluster = Moved::new().restarted();
    assert_eq!(cluster.licenses(&cluster.bob), Ok(()));
    let path = cluster.server.data().join("directory.db");
    std::fs::write(&path, "garbage").unwrap();
    let cluster = cluster.restarted();
    assert_eq!(cluster.licenses(&cluster.bob), Ok(()));
    let aside = cluster.server.data().join("directory.db.unusable");
    assert!(std::fs::read(aside).unwrap().starts_with(b"garbage"));
    assert!(path.exists());

    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let cluster = cluster.restarted();
    assert_eq!(cluster.licenses(&cluster.bob), Ok(()));
}
