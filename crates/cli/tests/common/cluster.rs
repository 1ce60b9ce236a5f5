//! A server in this process, with people, for tests of the program against it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use openrms_crypto::Mode;
use openrms_directory::{Member, NewPerson};
use openrms_protocol::ServiceLevel;
use openrms_server::provision::{RootOptions, provision_root};
use openrms_server::{Config, Running, Server, people};
use tempfile::TempDir;

use super::{Run, command, ended};

/// A server and a folder for everything.
pub struct Cluster {
    pub running: Running,
    pub folder: TempDir,
}

impl Cluster {
    /// Sets a server up with alice, bob and carol, and a group `staff` with bob in it.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// As [`Cluster::start`], with more in the server's configuration file.
    pub fn start_with(more: &str) -> Self {
        Self::start_as(more, |_| {}, |_| {})
    }

    /// As [`Cluster::start`], with a server that behaves as that version of RMS; of mode 1, which all
    /// of them serve.
    pub fn at_level(level: ServiceLevel) -> Self {
        let more = format!("service_level = '{level}'");
        Self::start_as(&more, |options| options.mode = Mode::One, |_| {})
    }

    /// As [`Cluster::start_with`], provisioned in another way; `prepare` gets the data directory
    /// before it is served.
    pub fn start_as(
        more: &str,
        edit: impl FnOnce(&mut RootOptions),
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("server");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut options = RootOptions::new(&data, url);
        let mut list = people::empty("corp.example".parse().unwrap(), None).unwrap();
        for name in ["alice", "bob", "carol"] {
            list.add_person(NewPerson {
                account: name.parse().unwrap(),
                display_name: name.to_owned(),
                mail: Some(format!("{name}@corp.example").parse().unwrap()),
                addresses: Vec::new(),
                created: None,
            })
            .unwrap();
            list.set_password(&Member::parse(name).unwrap(), &password(name))
                .unwrap();
        }
        let staff: openrms_directory::Address = "staff@corp.example".parse().unwrap();
        list.add_group(staff.clone()).unwrap();
        list.add_member(&staff, Member::parse("bob").unwrap())
            .unwrap();
        options.people = Some(list);
        edit(&mut options);
        provision_root(&options).unwrap();
        prepare(&data);
        let file = data.join("rmsd.toml");
        let written = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("audit = 'audit.jsonl'\n{written}\n{more}")).unwrap();
        let config = Config::for_data_dir(&data).unwrap();
        let running = Server::start_with_listener(config, listener).unwrap();
        Self { running, folder }
    }

    /// A path in the folder.
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in the folder.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// The program as one of the people would run it.
    pub fn command_as<A: AsRef<OsStr>>(
        &self,
        name: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = command(arguments);
        command
            .env("RMS_HOME", self.at(&format!("home-{name}")))
            .env("RMS_SERVER", self.running.url())
            .env("RMS_USER", format!("{name}@corp.example"))
            .env("RMS_PASSWORD", password(name));
        command
    }

    /// Runs the program as one of the people.
    pub fn run_as<A: AsRef<OsStr>>(
        &self,
        name: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Run {
        ended(self.command_as(name, arguments).output().unwrap())
    }

    /// Has alice protect a file and gives the protected one.
    pub fn protect(&self, source: &Path, grant: &str) -> PathBuf {
        let target = source.with_extension("protected");
        let run = self.run_as(
            "alice",
            [
                "protect".as_ref(),
                source.as_os_str(),
                "--grant".as_ref(),
                grant.as_ref(),
                "-o".as_ref(),
                target.as_os_str(),
            ],
        );
        assert_eq!(run.code, 0, "{}", run.err);
        target
    }
}

fn password(name: &str) -> String {
    format!("correct horse {name}")
}
