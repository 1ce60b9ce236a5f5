//! A server for the people of a real Active Directory, where the environment names one
//! (`tests/testbed/active-directory up`), and the people with their Kerberos tickets.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::ffi::OsStr;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use openrms_crypto::Mode;
use openrms_protocol::{Feature, ServiceLevel};
use openrms_server::config::{Negotiate, Tls};
use openrms_server::directory::{DirectoryConfig, ServiceAccount};
use openrms_server::provision::{RootOptions, provision_root};
use openrms_server::{Config, Running, Server};
use tempfile::TempDir;

use super::{Run, certificate_for, command, ended};

/// What the environment says of the directory of one forest.
pub struct Corp {
    forest: &'static str,
    ldaps_url: String,
    authority: PathBuf,
    service_password: String,
    keytab: PathBuf,
}

/// A server at `https://rms.corp.example`, or that of the other forest, and a folder for
/// everything.
pub struct CorpServer {
    pub running: Running,
    pub folder: TempDir,
    pub url: String,
}

/// Where a server will be, known before it is there.
pub struct Place {
    folder: TempDir,
    pub url: String,
    tls: Tls,
}

impl Corp {
    /// The directory, or `None` with a line on the terminal.
    pub fn from_env() -> Option<Self> {
        Self::read("CORP", "corp.example")
    }

    /// The directory of the other forest.
    pub fn partner_from_env() -> Option<Self> {
        Self::read("PARTNER", "partner.example")
    }

    fn read(prefix: &str, forest: &'static str) -> Option<Self> {
        let variable = |name: &str| {
            std::env::var(name)
                .inspect_err(|_| println!("skipped: {name} is not set, there is no test bed"))
                .ok()
        };
        let corp = Self {
            forest,
            ldaps_url: variable(&format!("{prefix}_LDAPS_URL"))?,
            authority: variable("AD_CA")?.into(),
            service_password: variable(&format!("{prefix}_SVC_PASSWORD"))?,
            keytab: variable(&format!("{prefix}_HTTP_KEYTAB"))?.into(),
        };
        let host = corp.host();
        if (host.as_str(), 443).to_socket_addrs().is_err() {
            println!("skipped: {host} does not resolve; run under `active-directory exec`");
            return None;
        }
        Some(corp)
    }

    fn host(&self) -> String {
        format!("rms.{}", self.forest)
    }

    /// Chooses a place for a server.
    pub fn place(&self) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let address: SocketAddr = {
            let probe = TcpListener::bind("127.0.0.1:0").unwrap();
            probe.local_addr().unwrap()
        };
        let tls = certificate(folder.path(), address, &self.host());
        Place {
            url: format!("https://{}:{}", self.host(), address.port()),
            folder,
            tls,
        }
    }

    /// Sets a server up that asks the directory and takes tickets.
    pub fn serve(&self) -> CorpServer {
        self.serve_with(|_| ())
    }

    /// As [`Corp::serve`], with changes to the configuration.
    pub fn serve_with(&self, change: impl FnOnce(&mut Config)) -> CorpServer {
        self.serve_at(self.place(), change)
    }

    /// As [`Corp::serve_with`], at a place that was chosen before.
    pub fn serve_at(&self, place: Place, change: impl FnOnce(&mut Config)) -> CorpServer {
        self.serve_at_level(place, ServiceLevel::default(), change)
    }

    /// As [`Corp::serve_at`], behaving as that version of RMS.
    pub fn serve_at_level(
        &self,
        place: Place,
        level: ServiceLevel,
        change: impl FnOnce(&mut Config),
    ) -> CorpServer {
        let Place { folder, url, tls } = place;
        let data = folder.path().join("server");
        let mode = if level.has(Feature::ModeTwo) {
            Mode::Two
        } else {
            Mode::One
        };
        provision_root(&RootOptions {
            mode,
            ..RootOptions::new(&data, &url)
        })
        .unwrap();
        let mut config = Config::for_data_dir(&data).unwrap();
        config.service_level = level;
        config.listen = Vec::new();
        config.audit = Some(config.data.audit());
        config.tls = Some(tls);
        let password_file = folder.path().join("directory.password");
        std::fs::write(&password_file, &self.service_password).unwrap();
        let mut directory = DirectoryConfig {
            ldap: openrms_directory::LdapSettings::default(),
            service_account: ServiceAccount::Password {
                bind_name: format!("svc-rms@{}", self.forest),
                password_file,
            },
            authorities: Some(self.authority.clone()),
            cache: openrms_directory::CacheSettings::default(),
        };
        directory.ldap.forest = Some(self.forest.parse().unwrap());
        directory.ldap.servers = vec![self.ldaps_url.parse().unwrap()];
        config.directory = Some(directory);
        config.negotiate = Some(Negotiate {
            keytab: self.keytab.clone(),
            replay_cache: None,
        });
        change(&mut config);
        let running = Server::start(config).unwrap();
        CorpServer {
            running,
            folder,
            url,
        }
    }
}

impl Place {
    /// A path in the folder.
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Gets somebody a ticket.
pub fn kinit(principal: &str, password: &str, tickets: &str) {
    let mut kinit = Command::new("kinit")
        .arg(principal)
        .env("KRB5CCNAME", tickets)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = kinit.stdin.take().unwrap();
    input.write_all(password.as_bytes()).unwrap();
    input.write_all(b"\n").unwrap();
    drop(input);
    assert!(kinit.wait().unwrap().success(), "{principal} has no ticket");
}

impl CorpServer {
    /// A path in the folder.
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Gets somebody a ticket; they stay logged on for as long as the server is there.
    pub fn log_on(&self, principal: &str, password: &str) {
        kinit(principal, password, &self.tickets(principal));
    }

    /// The program as somebody who is logged on would run it.
    pub fn run_as<A: AsRef<OsStr>>(
        &self,
        principal: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Run {
        let mut command = command(arguments);
        command
            .env("RMS_HOME", self.home(principal))
            .env("RMS_SERVER", &self.url)
            .env("RMS_CA_FILE", self.at("server.pem"))
            .env("KRB5CCNAME", self.tickets(principal));
        ended(command.output().unwrap())
    }

    /// Whether somebody can open a file.
    pub fn opens(&self, principal: &str, file: &Path) -> Run {
        let out = self.at(&format!("opened-by-{principal}"));
        self.run_as(
            principal,
            [
                "open".as_ref(),
                file.as_os_str(),
                "-o".as_ref(),
                out.as_os_str(),
                "--force".as_ref(),
                "--json".as_ref(),
            ],
        )
    }

    /// Has somebody protect a letter.
    pub fn protect(&self, principal: &str, name: &str, grant: &str) -> PathBuf {
        let source = self.at(&format!("{name}.txt"));
        std::fs::write(&source, "Dear all").unwrap();
        let target = source.with_extension("protected");
        let run = self.run_as(
            principal,
            [
                "protect".as_ref(),
                source.as_os_str(),
                "--grant".as_ref(),
                grant.as_ref(),
                "-o".as_ref(),
                target.as_os_str(),
            ],
        );
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
        target
    }

    pub fn home(&self, principal: &str) -> PathBuf {
        self.at(&format!("home-{principal}"))
    }

    /// Where somebody's tickets are.
    pub fn tickets(&self, principal: &str) -> String {
        format!(
            "FILE:{}",
            self.at(&format!("tickets-{principal}")).display()
        )
    }
}

/// A certificate of the server's own, which clients are told to trust.
fn certificate(folder: &Path, address: SocketAddr, host: &str) -> Tls {
    let (certificate, key) = certificate_for(folder, host).expect("openssl makes it");
    Tls {
        listen: vec![address],
        certificate,
        key,
    }
}
