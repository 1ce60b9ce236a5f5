//! A server for the people of a real Active Directory, where the environment names one
//! (`tests/testbed/active-directory up`), and the people with their Kerberos tickets.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::ffi::OsStr;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use openrms_server::config::{Negotiate, Tls};
use openrms_server::directory::DirectoryConfig;
use openrms_server::provision::{RootOptions, provision_root};
use openrms_server::{Config, Running, Server};
use tempfile::TempDir;

use super::{Run, command, ended};

/// What the environment says of the directory.
pub struct Corp {
    ldaps_url: String,
    authority: PathBuf,
    service_password: String,
    keytab: PathBuf,
}

/// A server at `https://rms.corp.example` and a folder for everything.
pub struct CorpServer {
    pub running: Running,
    pub folder: TempDir,
    pub url: String,
}

impl Corp {
    /// The directory, or `None` with a line on the terminal.
    pub fn from_env() -> Option<Self> {
        let variable = |name: &str| {
            std::env::var(name)
                .inspect_err(|_| println!("skipped: {name} is not set, there is no test bed"))
                .ok()
        };
        let corp = Self {
            ldaps_url: variable("CORP_LDAPS_URL")?,
            authority: variable("AD_CA")?.into(),
            service_password: variable("CORP_SVC_PASSWORD")?,
            keytab: variable("CORP_HTTP_KEYTAB")?.into(),
        };
        if (HOST, 443).to_socket_addrs().is_err() {
            println!("skipped: {HOST} does not resolve; run under `active-directory exec`");
            return None;
        }
        Some(corp)
    }

    /// Sets a server up that asks the directory and takes tickets.
    pub fn serve(&self) -> CorpServer {
        self.serve_with(|_| ())
    }

    /// As [`Corp::serve`], with changes to the configuration.
    pub fn serve_with(&self, change: impl FnOnce(&mut Config)) -> CorpServer {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("server");
        let address: SocketAddr = {
            let probe = TcpListener::bind("127.0.0.1:0").unwrap();
            probe.local_addr().unwrap()
        };
        let url = format!("https://{HOST}:{}", address.port());
        provision_root(&RootOptions::new(&data, &url)).unwrap();
        let mut config = Config::for_data_dir(&data).unwrap();
        config.listen = Vec::new();
        config.tls = Some(certificate(folder.path(), address));
        let password_file = folder.path().join("directory.password");
        std::fs::write(&password_file, &self.service_password).unwrap();
        let mut directory = DirectoryConfig {
            ldap: openrms_directory::LdapSettings::default(),
            bind_name: "svc-rms@corp.example".into(),
            password_file,
            authorities: Some(self.authority.clone()),
            cache: openrms_directory::CacheSettings::default(),
        };
        directory.ldap.forest = Some("corp.example".parse().unwrap());
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

impl CorpServer {
    /// A path in the folder.
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Gets somebody a ticket; they stay logged on for as long as the server is there.
    pub fn log_on(&self, principal: &str, password: &str) {
        let mut kinit = Command::new("kinit")
            .arg(principal)
            .env("KRB5CCNAME", self.tickets(principal))
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
fn certificate(folder: &Path, address: SocketAddr) -> Tls {
    let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", &format!("/CN={HOST}")])
        .args(["-addext", &format!("subjectAltName=DNS:{HOST}")])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    Tls {
        listen: vec![address],
        certificate,
        key,
    }
}

const HOST: &str = "rms.corp.example";
