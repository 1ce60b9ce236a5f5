//! The program and a server against a real OIDC provider (npm `oidc-provider`), with a browser
//! that fills in the provider's forms. Skipped with a line where the provider is not installed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::cluster::Cluster;
use common::{Run, ended};
use openrms_server::{Config, policies};
use serde_json::json;

#[test]
fn a_person_signs_in_in_a_browser_and_holds_an_account() {
    let Some(bed) = Bed::start() else { return };
    let run = bed.sign_in("alice", "signs-in", &["--resource", RESOURCE]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert_eq!(run.json()["account"], "alice@corp.example");
    // Whoever has no browser is shown where to go.
    let address = format!("{}/auth?response_type=code", bed.provider.issuer);
    assert!(run.err.contains(&address), "{}", run.err);

    let status = ended(bed.command("alice", ["status"]).output().unwrap()).json();
    assert_eq!(status["accounts"][0]["account"], "alice@corp.example");
    assert_eq!(status["accounts"][0]["current"], true);
    assert!(!status["accounts"][0]["licensor"].is_null());
    no_file_holds_a_token(&bed.cluster.at("home-alice"));
}

#[test]
fn a_person_signs_in_with_chromium() {
    let Some(bed) = Bed::start() else { return };
    let driver = scripts().join("../../target/oidc/node_modules/playwright-core");
    if !Path::new("/usr/bin/chromium").is_file() || !driver.is_dir() {
        println!("skipped: no Chromium, or nothing to drive it with (tests/oidc/install)");
        return;
    }
    let issuer = &bed.provider.issuer;
    let mut command = bed.command("carol", ["sign-in", "--issuer", issuer]);
    command
        .args(["--client-id", "rms", "--resource", RESOURCE])
        .env("BROWSER", scripts().join("chromium.mjs"));
    let run = ended(command.output().unwrap());
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert_eq!(run.json()["account"], "carol@corp.example");
}

#[test]
fn the_provider_can_be_named_by_the_environment() {
    let Some(bed) = Bed::start() else { return };
    let mut command = bed.command("bob", ["sign-in", "--audience", RESOURCE]);
    command
        .env("RMS_ISSUER", &bed.provider.issuer)
        .env("RMS_CLIENT_ID", "rms");
    let run = ended(command.output().unwrap());
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert_eq!(run.json()["account"], "bob@corp.example");

    let mut command = bed.command("bob", ["sign-in"]);
    command.env("RMS_ISSUER", &bed.provider.issuer);
    let run = ended(command.output().unwrap());
    assert_eq!((run.code, run.error_code().as_str()), (2, "usage"));
}

#[test]
fn tokens_for_others_and_tokens_that_nobody_else_can_read_are_of_no_use() {
    let Some(bed) = Bed::start() else { return };
    let other = "https://other.corp.example/";
    for (options, exit, code) in [
        (&["--resource", other][..], 3, "sign-in-refused"),
        (&["--resource", "https://who.example/"], 3, "issuer-refuses"),
        (&[], 6, "token-not-jwt"),
    ] {
        let run = bed.sign_in("alice", "signs-in", options);
        assert_eq!(
            (run.code, run.error_code().as_str()),
            (exit, code),
            "{options:?} {}",
            run.out
        );
        let hint = run.json()["error"]["hint"].to_string();
        assert!(hint.contains("--resource"), "{hint}");
    }
    // Somebody whom the provider knows and the people list does not.
    let run = bed.sign_in("mallory", "signs-in", &["--resource", RESOURCE]);
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (3, "sign-in-refused"),
        "{}",
        run.out
    );
}

#[test]
fn whoever_declines_or_is_tricked_is_not_signed_in() {
    let Some(bed) = Bed::start() else { return };
    for (does, exit, code) in [
        ("declines", 3, "sign-in-declined"),
        ("is-tricked", 4, "state-mismatch"),
    ] {
        let run = bed.sign_in("alice", does, &["--resource", RESOURCE]);
        assert_eq!(
            (run.code, run.error_code().as_str()),
            (exit, code),
            "{}",
            run.out
        );
    }
    let status = ended(bed.command("alice", ["status"]).output().unwrap()).json();
    assert_eq!(status["accounts"], serde_json::json!([]));
}

#[test]
fn a_provider_that_is_stopped_or_calls_itself_otherwise_is_named() {
    let Some(mut bed) = Bed::start() else { return };
    let port = bed.provider.issuer.rsplit_once(':').unwrap().1;
    let alias = format!("http://localhost:{port}");
    let run = bed.sign_in_at(&alias, "alice", "signs-in", &[]);
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (4, "issuer-mismatch")
    );

    bed.provider.stop();
    let run = bed.sign_in("alice", "signs-in", &["--resource", RESOURCE]);
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (5, "issuer-not-reachable"),
        "{}",
        run.out
    );
}

#[test]
fn somebody_of_another_organization_opens_what_is_granted_to_their_address() {
    let Some(bed) = Bed::federated() else { return };
    let signed_in = bed.sign_in(PAT, "signs-in", &["--resource", RESOURCE]);
    assert_eq!(signed_in.code, 0, "{}{}", signed_in.out, signed_in.err);
    let told = signed_in.json();
    assert_eq!(
        (&told["account"], &told["id_type"]),
        (&json!(PAT), &json!("Federation"))
    );
    let status = ended(bed.command(PAT, ["status"]).output().unwrap()).json();
    assert_eq!(status["accounts"][0]["id_type"], "Federation");
    assert!(!status["accounts"][0]["licensor"].is_null());

    let also = format!("also.{PAT}");
    for (name, whom, exit) in [
        ("own.txt", PAT, 0),
        ("also.txt", also.as_str(), 0),
        ("everyone.txt", "everyone", 0),
        ("bobs.txt", "bob@corp.example", 3),
        ("colleague.txt", "kim@partner.example", 3),
    ] {
        let file = bed.cluster.file(name, "for some");
        let file = bed.cluster.protect(&file, &format!("{whom}:VIEW,EXPORT"));
        let run = bed.open(PAT, &file);
        assert_eq!(run.code, exit, "{name} {}{}", run.out, run.err);
        let code = &run.json()["files"][0]["error"]["code"];
        let expected = (exit != 0).then_some("no-rights");
        assert_eq!(code.as_str(), expected, "{name}");
    }

    // And protects for others.
    let plain = bed.cluster.file("theirs.txt", "from outside");
    let mut protect = bed.command(PAT, ["protect", "--grant", "bob@corp.example:VIEW,EXPORT"]);
    let run = ended(protect.arg(&plain).output().unwrap());
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    let path = run.json()["files"][0]["output"]
        .as_str()
        .unwrap()
        .to_owned();
    let run = bed.cluster.run_as("bob", ["open", &path, "--stdout"]);
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "from outside"),
        "{}",
        run.err
    );
    no_file_holds_a_token(&bed.cluster.at(&format!("home-{PAT}")));
}

#[test]
fn whom_the_issuer_may_not_speak_for_is_nobody_and_without_federation_all_are() {
    let Some(bed) = Bed::federated() else { return };
    let sign_in = |who: &str| {
        let run = bed.sign_in(who, "signs-in", &["--resource", RESOURCE]);
        (run.code, run.error_code())
    };
    let refused = (3, "sign-in-refused".to_owned());
    // Of no listed domain; and alice, whom the people list knows.
    assert_eq!(sign_in("eve@elsewhere.example"), refused);
    assert_eq!(sign_in("alice"), refused);

    assert_eq!(
        bed.sign_in(PAT, "signs-in", &["--resource", RESOURCE]).code,
        0
    );
    let file = bed.cluster.file("a.txt", "for pat");
    let file = bed.cluster.protect(&file, &format!("{PAT}:VIEW,EXPORT"));
    bed.federation(false);
    assert_eq!(sign_in("kim@partner.example"), refused);
    let run = bed.open(PAT, &file);
    // The path of federated people is not there.
    let code = &run.json()["files"][0]["error"]["code"];
    assert_eq!((run.code, code), (3, &json!("unauthorized")));
}

/// A provider, and a server that takes its tokens.
struct Bed {
    provider: Provider,
    cluster: Cluster,
}

/// `oidc-provider`, for as long as its standard input is open.
struct Provider {
    process: Child,
    issuer: String,
}

impl Bed {
    /// Both, or `None` with a line on the terminal.
    fn start() -> Option<Self> {
        Self::start_with("mail_domains = [\"corp.example\"]")
    }

    /// Both, where the provider speaks for people of partner.example, whom nobody here knows.
    fn federated() -> Option<Self> {
        let bed = Self::start_with("mail_domains = [\"partner.example\"]\nfederated = true")?;
        bed.federation(true);
        Some(bed)
    }

    fn start_with(domains: &str) -> Option<Self> {
        let provider = Provider::start()?;
        let cluster = Cluster::start_with(&format!(
            "[[sign_in.tokens.issuers]]\nissuer = \"{}\"\naudiences = [\"{RESOURCE}\"]\n\
             {domains}\n",
            provider.issuer
        ));
        Some(Self { provider, cluster })
    }

    /// Switches federation on or off.
    fn federation(&self, on: bool) {
        let config = Config::for_data_dir(self.cluster.at("server")).unwrap();
        policies::change(&config, |policies| policies.federation_enabled = on).unwrap();
        self.cluster.running.reload_now().unwrap();
    }

    /// Has somebody sign in, whose browser does something.
    fn sign_in(&self, person: &str, does: &str, options: &[&str]) -> Run {
        self.sign_in_at(&self.provider.issuer, person, does, options)
    }

    fn sign_in_at(&self, issuer: &str, person: &str, does: &str, options: &[&str]) -> Run {
        let mut command = self.command(person, ["sign-in", "--issuer", issuer]);
        command.args(["--client-id", "rms"]).args(options);
        command.env("OIDC_PERSON_DOES", does);
        ended(command.output().unwrap())
    }

    /// Has somebody open a file.
    fn open(&self, person: &str, file: &Path) -> Run {
        let mut command = self.command(person, ["open", "--force"]);
        command.arg(file).arg("-o").arg(self.cluster.at("opened"));
        ended(command.output().unwrap())
    }

    /// The program with a browser, and without a password.
    fn command<const N: usize>(&self, person: &str, arguments: [&str; N]) -> Command {
        let mut command = self.cluster.command_as(person, arguments);
        command
            .env_remove("RMS_USER")
            .env_remove("RMS_PASSWORD")
            .arg("--json")
            .env("BROWSER", scripts().join("browser.mjs"))
            .env("OIDC_PERSON", person);
        command
    }
}

impl Provider {
    fn start() -> Option<Self> {
        let root = scripts().join("../..");
        if !root.join("target/oidc/node_modules/oidc-provider").is_dir() {
            println!("skipped: no OpenID provider (tests/oidc/install)");
            return None;
        }
        let started = Command::new("node")
            .arg(scripts().join("provider.mjs"))
            .arg(root.join("target/oidc"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut process) = started else {
            println!("skipped: no OpenID provider (node is not installed)");
            return None;
        };
        let mut line = String::new();
        let output = process.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let issuer = line.trim().to_owned();
        assert!(!issuer.is_empty(), "the provider does not start");
        Some(Self { process, issuer })
    }

    fn stop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The claims of a JWT begin with `{"` in base64, after a point, which base64 itself never has.
fn no_file_holds_a_token(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            no_file_holds_a_token(&path);
        } else {
            let content = fs::read(&path).unwrap();
            let held = content.windows(4).any(|piece| piece == b".eyJ");
            assert!(!held, "{}", path.display());
        }
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oidc")
}

/// This server, as the provider knows it.
const RESOURCE: &str = "https://rms.corp.example/";
/// Somebody of another organization.
const PAT: &str = "pat@partner.example";
