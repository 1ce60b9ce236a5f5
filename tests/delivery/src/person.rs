//! Somebody without rights on a machine, who opens a document that was protected for them.

use crate::machine::{Booted, Machine};
use crate::process::Ran;
use crate::service::Service;

/// Where lines of the shell are run: on a machine that is off, or on one that runs.
pub trait Shell {
    /// As root.
    fn root(&self, line: &str) -> Ran;
    /// As somebody else, in their own folder.
    fn person(&self, name: &str, line: &str) -> Ran;
}

impl Shell for Machine {
    fn root(&self, line: &str) -> Ran {
        self.run(line)
    }

    fn person(&self, name: &str, line: &str) -> Ran {
        self.run_as(name, line)
    }
}

impl Shell for Booted<'_> {
    fn root(&self, line: &str) -> Ran {
        self.run(line)
    }

    fn person(&self, name: &str, line: &str) -> Ran {
        self.run_as(name, line)
    }
}

/// Gives a machine bob, a document that is for him, and what the administrator says to all machines;
/// the client is not a part of it.
pub fn prepare(machine: &Machine, service: &Service) {
    machine.run("useradd --create-home bob").done();
    machine.put(&service.protected(), DOCUMENT);
    machine.put(&service.hierarchy(), "/etc/openrms/hierarchy.json");
    machine.put(&service.hierarchy(), "/srv/");
    machine.write("/etc/openrms/client.d/10-organisation.toml", SETTINGS);
}

/// Bob opens it with the client that is there, and nothing but his password.
#[track_caller]
pub fn opens(shell: &impl Shell) {
    opens_by(shell, "rms");
}

/// The same with a program of his own.
#[track_caller]
pub fn opens_by(shell: &impl Shell, program: &str) {
    let opened = shell.person(
        "bob",
        &signed_in(&format!("{program} open {DOCUMENT} --stdout")),
    );
    assert_eq!(opened.done(), Service::TEXT);
    // Nothing of it is anybody else's.
    let loose = "find .local/share/openrms -perm /077";
    assert_eq!(shell.person("bob", loose).done(), "");
}

/// A line of the shell with bob's password at hand.
pub fn signed_in(line: &str) -> String {
    let password = Service::PASSWORD;
    format!("export RMS_USER=bob@example.com RMS_PASSWORD='{password}'\n{line}")
}

const DOCUMENT: &str = "/srv/plan.ptxt";
const SETTINGS: &str = "server = 'http://127.0.0.1'\nhierarchy = '/etc/openrms/hierarchy.json'\n";
