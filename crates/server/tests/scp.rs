//! `rmsd scp` as an administrator runs it, against a real Active Directory where the environment
//! names one (`CORP_LDAPS_URL` and the like). Skipped with a line where it does not.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

use std::io::Write as _;
use std::net::ToSocketAddrs as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use openrms_server::provision::{RootOptions, provision_root};
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn an_administrator_registers_shows_and_removes_with_a_password() {
    let Some(corp) = Corp::find() else { return };
    let password = format!("{}\n", corp.administrator_password);
    let signed_in = |verb: &str| {
        corp.scp(
            &[verb, "--user", "administrator@corp.example"],
            &password,
            "nobody",
        )
    };
    corp.clear();
    registers_shows_and_removes(&signed_in);
    let refused = corp.scp(
        &["register", "--user", "administrator@corp.example"],
        "wrong\n",
        "nobody",
    );
    assert_eq!(refused.failed_with(), (3, "sign-in-refused".to_owned()));
}

#[test]
fn an_administrator_registers_shows_and_removes_with_a_ticket_and_no_password() {
    let Some(corp) = Corp::find() else { return };
    corp.kinit("administrator", &corp.administrator_password);
    corp.clear();
    for scheme in ["ldap", "ldaps"] {
        corp.configure(&format!(
            "servers = ['{scheme}://dc1.corp.example']\nkerberos = {{ ccache = 'none' }}\n"
        ));
        let signed_in = |verb: &str| corp.scp(&[verb, "--kerberos"], "", "administrator");
        registers_shows_and_removes(&signed_in);
    }
    let none = corp.scp(&["register", "--kerberos"], "", "nobody");
    assert_eq!(none.failed_with(), (3, "kerberos-failed".to_owned()));
    assert!(none.err.contains("kinit"), "{}", none.err);
    // Who may sign in may not write for that.
    corp.kinit("alice", "Alice-Passw0rd");
    let denied = corp.scp(&["register", "--kerberos"], "", "alice");
    let code = "insufficient-access-rights".to_owned();
    assert_eq!(denied.failed_with(), (3, code));
    assert!(denied.err.contains("alice@CORP.EXAMPLE"), "{}", denied.err);
    let shown = corp.scp(&["show", "--kerberos"], "", "alice").answer();
    assert_eq!(shown["problem"], "no-service-connection-point");
}

#[test]
fn a_ticket_and_a_password_exclude_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let arguments = ["show", "--kerberos", "--user", "somebody"];
    let run = run(&arguments, data, "", "/nowhere".into());
    assert_eq!(run.code, 2, "{}", run.err);
}

/// A cluster whose directory is the forest, and a folder for all of it.
struct Corp {
    folder: TempDir,
    authorities: String,
    administrator_password: String,
}

/// How a run of the program ended.
struct Run {
    code: i32,
    out: String,
    err: String,
}

impl Corp {
    fn find() -> Option<Self> {
        let variable = |name: &str| {
            let value = std::env::var(name).ok();
            if value.is_none() {
                println!("skipped: {name} is not set, no Active Directory to test with");
            }
            value
        };
        let url = variable("CORP_LDAPS_URL")?;
        let corp = Self {
            folder: tempfile::tempdir().unwrap(),
            authorities: variable("AD_CA")?,
            administrator_password: variable("CORP_ADMIN_PASSWORD")?,
        };
        if ("dc1.corp.example", 389).to_socket_addrs().is_err() {
            println!(
                "skipped: dc1.corp.example does not resolve; run under `active-directory exec`"
            );
            return None;
        }
        let root = RootOptions::new(corp.data(), "https://rms.corp.example");
        provision_root(&root).unwrap();
        let password = corp.folder.path().join("svc.password");
        std::fs::write(&password, variable("CORP_SVC_PASSWORD")?).unwrap();
        corp.configure(&format!(
            "servers = ['{url}']\nbind_name = 'svc-rms@corp.example'\npassword_file = '{}'\n",
            password.display()
        ));
        Some(corp)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn configure(&self, directory: &str) {
        let text = format!(
            "url = 'https://rms.corp.example/_wmcs'\n\
             [directory]\nforest = 'corp.example'\nauthorities = '{}'\n{directory}",
            self.authorities
        );
        std::fs::write(self.data().join("rmsd.toml"), text).unwrap();
    }

    fn tickets(&self, user: &str) -> PathBuf {
        self.folder.path().join(format!("{user}.ccache"))
    }

    fn kinit(&self, user: &str, password: &str) {
        let mut kinit = Command::new("kinit")
            .arg("-c")
            .arg(self.tickets(user))
            .arg(format!("{user}@CORP.EXAMPLE"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        writeln!(kinit.stdin.take().unwrap(), "{password}").unwrap();
        assert!(kinit.wait().unwrap().success(), "kinit {user}");
    }

    /// `rmsd scp` by somebody with the tickets of a user, who may have none.
    fn scp(&self, arguments: &[&str], input: &str, tickets_of: &str) -> Run {
        let data = self.data();
        run(
            arguments,
            data.to_str().unwrap(),
            input,
            self.tickets(tickets_of),
        )
    }

    /// What an earlier test left.
    fn clear(&self) {
        let arguments = ["remove", "--force", "--user", "administrator@corp.example"];
        let password = format!("{}\n", self.administrator_password);
        let run = self.scp(&arguments, &password, "nobody");
        assert_eq!(run.code, 0, "{}", run.err);
    }
}

/// What an administrator may do, with one way of signing in.
fn registers_shows_and_removes(signed_in: &dyn Fn(&str) -> Run) {
    let url = "https://rms.corp.example/_wmcs/certification";
    let dn = "CN=SCP,CN=RightsManagementServices,CN=Services,CN=Configuration,\
                  DC=corp,DC=example";
    let before = signed_in("show").answer();
    assert_eq!(before["problem"], "no-service-connection-point");
    for outcome in ["added", "unchanged"] {
        let done = signed_in("register").answer();
        assert_eq!(
            (done["outcome"].as_str(), &done["dn"]),
            (Some(outcome), &dn.into())
        );
        assert_eq!(done["url"], url);
    }
    let shown = signed_in("show").answer();
    assert_eq!(shown["url"], url);
    assert_eq!(shown["this_cluster"], true);
    for outcome in ["removed", "absent"] {
        assert_eq!(signed_in("remove").answer()["outcome"], outcome);
    }
}

impl Run {
    /// The document of a run that succeeded.
    fn answer(&self) -> Value {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        serde_json::from_str(&self.out).unwrap()
    }

    /// The exit code and the name of what went wrong.
    fn failed_with(&self) -> (i32, String) {
        let document: Value = serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err));
        let code = document["error"]["code"].as_str().unwrap_or_default();
        (self.code, code.to_owned())
    }
}

fn run(arguments: &[&str], data: &str, input: &str, tickets: PathBuf) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rmsd"))
        .arg("scp")
        .args(arguments)
        .args(["--json", "--data", data])
        .env_remove("RMSD_CONFIG")
        .env("KRB5CCNAME", tickets)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let done = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run {
        code: done.status.code().unwrap(),
        out: text(done.stdout),
        err: text(done.stderr),
    }
}
