//! A rights-management service on a network without a way out: a root cluster that certified itself,
//! by the program that the server's package holds; alice protects by that of the client's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use tempfile::TempDir;

use crate::network::Network;
use crate::process::{Ran, until};

/// A root cluster at `http://127.0.0.1` (port 80), with alice and bob among its people.
#[derive(Debug)]
pub struct Service {
    network: Rc<Network>,
    server: Child,
    others: Vec<Child>,
    // After those who use it.
    folder: TempDir,
}

impl Service {
    /// Sets it up and starts it, by the programs of the packages in this channel.
    pub fn start(network: &Rc<Network>, channel: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["openrms-server", "openrms-client"] {
            let package = package(channel, name);
            let mut unpack = Command::new("dpkg-deb");
            Ran::of(unpack.arg("--extract").arg(package).arg(folder.path())).done();
        }
        let rmsd = folder.path().join("usr/bin/rmsd");
        let data = folder.path().join("data");
        let run = |arguments: &[&str]| {
            let mut command = network.command(&rmsd);
            command.env_remove("RMSD_CONFIG").args(arguments);
            Ran::of(command.arg("--data").arg(&data)).done()
        };
        run(&["provision", "root", "--url", Self::URL, "--name", "Example"]);
        let password = folder.path().join("password");
        fs::write(&password, Self::PASSWORD).unwrap();
        let password = password.to_str().unwrap();
        for name in ["alice", "bob"] {
            let mail = format!("{name}@example.com");
            run(&[
                "person",
                "add",
                name,
                "--mail",
                &mail,
                "--password-file",
                password,
            ]);
        }
        let bundle = folder.path().join("hierarchy.json");
        run(&["client-bundle", bundle.to_str().unwrap()]);
        let server = network
            .command(&rmsd)
            .arg("serve")
            .arg("--data")
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let service = Self {
            network: Rc::clone(network),
            server,
            others: Vec::new(),
            folder,
        };
        until("the server answers", || {
            Ran::of(network.command("curl").args([
                "--silent",
                "--fail",
                &format!("{}/readyz", Self::URL),
            ]))
            .code
                == 0
        });
        service
    }

    /// Serves a folder as any web server does, at this port.
    pub fn hand_out(&mut self, folder: &Path, port: u16) -> String {
        let port = port.to_string();
        let mut web = self.network.command("python3");
        web.args(["-m", "http.server", "--bind", "127.0.0.1", &port])
            .arg("--directory")
            .arg(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.others.push(web.spawn().unwrap());
        let url = format!("http://127.0.0.1:{port}");
        until("the web server answers", || {
            Ran::of(self.network.command("curl").args(["--silent", &url])).code == 0
        });
        url
    }

    /// Hands out a channel from now on, below its own address.
    pub fn imports(&self, channel: &Path) {
        let mut import = Command::new(self.folder.path().join("usr/bin/rmsd"));
        import
            .args(["repo", "import"])
            .arg(channel)
            .arg("--key")
            .arg(channel.join("openrms-release.pem"))
            .arg("--data")
            .arg(self.folder.path().join("data"));
        Ran::of(&mut import).done();
    }

    /// What an administrator hands to the machines: whom they trust.
    pub fn hierarchy(&self) -> PathBuf {
        self.folder.path().join("hierarchy.json")
    }

    /// A document that alice protected for bob, who may take it out.
    pub fn protected(&self) -> PathBuf {
        let [document, protected] =
            ["plan.txt", "plan.ptxt"].map(|name| self.folder.path().join(name));
        fs::write(&document, Self::TEXT).unwrap();
        let mut protect = self.network.command(self.folder.path().join("usr/bin/rms"));
        protect
            .env("RMS_HOME", self.folder.path().join("alice.home"))
            .env("RMS_USER", "alice@example.com")
            .env("RMS_PASSWORD", Self::PASSWORD)
            .args(["protect", "--yes", "--server", Self::URL])
            .arg(&document)
            .args(["--grant", "bob@example.com:VIEW,EXPORT", "--force", "-o"]);
        Ran::of(protect.arg(&protected)).done();
        protected
    }

    /// Where it is.
    pub const URL: &'static str = "http://127.0.0.1";
    /// Of everybody.
    pub const PASSWORD: &'static str = "correct horse";
    /// What is in the document.
    pub const TEXT: &'static str = "the plan: deliver to every machine\n";
}

impl Drop for Service {
    fn drop(&mut self) {
        for child in self.others.iter_mut().chain([&mut self.server]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The one file of a Debian package in a channel.
pub fn package(channel: &Path, name: &str) -> PathBuf {
    let pool = channel.join("apt/pool");
    let files = fs::read_dir(&pool).unwrap_or_else(|error| panic!("{}: {error}", pool.display()));
    let mut files = files.map(|file| file.unwrap().path()).filter(|path| {
        let file = path.file_name().unwrap().to_str().unwrap();
        file.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('_'))
    });
    let found = files
        .next()
        .unwrap_or_else(|| panic!("no {name} in {}", pool.display()));
    assert_eq!(files.next(), None, "{name} is there once");
    found
}
