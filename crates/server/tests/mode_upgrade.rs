//! Clusters that go over from cryptographic mode 1 to mode 2 while they serve, with clients that were
//! activated before: what was protected under the old key opens, and nothing new is made with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

#[path = "support/fleet.rs"]
mod fleet;
mod support;

use std::path::{Path, PathBuf};

use fleet::{Balancer, Node, Port, TestDatabase, client, client_of, eventually, sign_in};
use openrms_client::{
    Client, MachineSettings, Overwrite, OwnPolicy, Persistence, Policy, Purge, Signer,
};
use openrms_crypto::Mode;
use openrms_xrml::Node as Certificate;
use openrms_xrml::chain;
use serde_json::Value;
use support::{PASSWORD, get, rmsd, text};

/// A cluster of one server with a folder of its own, and what is protected there.
struct Cluster {
    folder: tempfile::TempDir,
    port: Port,
    node: Node,
}

impl Cluster {
    fn of(kind: &str, mode: &str, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (data, port) = (folder.path().join("data"), Port::reserve());
        let cluster = Self {
            node: Node::new(data),
            folder,
            port,
        };
        let (url, listen) = (cluster.url(), cluster.port.address.to_string());
        let fixed = ["provision", kind, "--url", &url, "--listen", &listen];
        let mode = ["--mode", mode, "--ignore-check", "all"];
        cluster.ok(&[&fixed[..], &mode, more].concat());
        cluster
    }

    fn serving(mode: &str) -> Self {
        let mut cluster = Self::of("root", mode, &[]);
        for name in ["alice", "bob"] {
            cluster.add_person(name);
        }
        cluster.node.start();
        cluster
    }

    fn url(&self) -> String {
        format!("http://{}", self.port.address)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> (i32, Value) {
        let data = text(&self.node.data);
        let (code, out, complaint) = rmsd(&[arguments, &["--json", "--data", &data]].concat(), "");
        let document = serde_json::from_str(&out);
        (code, document.unwrap_or_else(|_| panic!("{complaint}")))
    }

    fn ok(&self, arguments: &[&str]) -> Value {
        let (code, document) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {document}");
        document
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let (code, document) = self.run(arguments);
        assert_ne!(code, 0, "{arguments:?}: {document}");
        document["error"]["code"].as_str().unwrap().to_owned()
    }

    fn add_person(&self, name: &str) {
        let password = self.at("person.password");
        std::fs::write(&password, PASSWORD).unwrap();
        let mail = format!("{name}@example.test");
        let add = ["person", "add", name, "--mail", &mail];
        self.ok(&[&add[..], &["--password-file", &text(&password)]].concat());
    }

    /// A person with a new folder.
    fn person(&self, name: &str) -> Client {
        let client = client(self.at(name), name);
        sign_in(&client, &self.url());
        client
    }

    fn add_template(&self) -> String {
        let file = self.at("template.toml");
        let words = "names = [{ name = \"Team\" }]\n[[grant]]\nwho = \"bob@example.test\"\nrights = [\"VIEW\", \
                     \"EXPORT\"]\n";
        std::fs::write(&file, words).unwrap();
        let made = self.ok(&["template", "add", &text(&file)]);
        made["id"].as_str().unwrap().to_owned()
    }

    /// Waits until the server that runs has taken over the change.
    fn serves_mode_2(&self) {
        self.read_anew();
        eventually("the server serves mode 2", || {
            bits_of_issuer(&self.url(), "") == 2048
        });
    }

    /// Has the server that runs look at its configuration now.
    fn read_anew(&self) {
        use rustix::process::{Pid, Signal, kill_process};
        let id = Pid::from_raw(self.node.id().try_into().unwrap()).unwrap();
        kill_process(id, Signal::HUP).unwrap();
    }

    /// Mode and state of each key, the oldest first.
    fn keys(&self) -> Vec<(u64, &'static str)> {
        let status = self.ok(&["key", "status"]);
        let keys = status["keys"].as_array().unwrap();
        let pair = |key: &Value| {
            let state = match (&key["current"], &key["retired"]) {
                (Value::Bool(true), Value::Bool(false)) => "in use",
                (Value::Bool(false), Value::Bool(true)) => "retired",
                (Value::Bool(false), Value::Bool(false)) => "waits",
                _ => panic!("{key}"),
            };
            (key["mode"].as_u64().unwrap(), state)
        };
        keys.iter().map(pair).collect()
    }
}

#[test]
fn old_content_opens_and_new_content_is_of_mode_2_for_those_who_were_there_before() {
    let cluster = Cluster::serving("1");
    let team = cluster.add_template();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let off_line = protect(&alice, &cluster.at("off-line"), &to_bob(), Signer::Author);
    let on_line = protect(&alice, &cluster.at("on-line"), &to_bob(), Signer::Server);
    let from_template = |name: &str| {
        alice.sync_templates().unwrap();
        let policy = Policy::Template(team.parse().unwrap());
        protect(&alice, &cluster.at(name), &policy, Signer::Author)
    };
    cluster.read_anew();
    eventually("the template is there", || {
        alice.sync_templates().unwrap();
        !alice.templates().unwrap().is_empty()
    });
    let templated = from_template("templated");
    let old = [&off_line, &on_line, &templated];
    for file in old {
        assert_eq!(open(&bob, file), text(file));
        assert_eq!(signature_bytes(file), 128);
    }
    let machine = bob.activate().unwrap().fingerprint();

    // Said by mistake, or before it was thought over: nothing.
    assert_eq!(cluster.refused(&["key", "upgrade-mode"]), "usage");
    let done = cluster.ok(&["key", "upgrade-mode", "--yes"]);
    assert_eq!(
        (&done["mode"], &done["templates"]),
        (&2.into(), &1.into()),
        "{done}"
    );
    assert_eq!(cluster.keys(), [(1, "retired"), (2, "in use")]);
    let again = cluster.refused(&["key", "upgrade-mode", "--yes"]);
    assert_eq!(again, "already-mode-2");
    cluster.serves_mode_2();
    // A client of mode 1 may still ask for what it once joined by.
    assert_eq!(bits_of_issuer(&cluster.url(), "?mode=1"), 1024);
    assert_eq!(
        get(&format!("{}{BUNDLE}?mode=3", cluster.url()), &[]).status,
        400
    );

    // Bob's folder is as it was, and so is the machine's key while the licenses in it do.
    for file in old {
        assert_eq!(open(&bob, file), text(file));
    }
    assert_eq!(bob.activate().unwrap().fingerprint(), machine);
    bob.purge_licenses(&Purge::All).unwrap();
    for file in old {
        assert_eq!(open(&bob, file), text(file));
        assert_eq!(signature_bytes(file), 128);
    }
    assert_ne!(bob.activate().unwrap().fingerprint(), machine);
    // Alice, who publishes off line, learns of it when she asks for something.
    let unaware = protect(&alice, &cluster.at("unaware"), &to_bob(), Signer::Author);
    assert_eq!(signature_bytes(&unaware), 128);
    assert_eq!(open(&bob, &unaware), text(&unaware));
    alice.sign_in(None, Persistence::Persistent).unwrap();
    let new = [
        protect(&alice, &cluster.at("new"), &to_bob(), Signer::Author),
        protect(
            &alice,
            &cluster.at("new-on-line"),
            &to_bob(),
            Signer::Server,
        ),
        from_template("new-templated"),
    ];
    let late = client(cluster.at("late"), "bob");
    sign_in(&late, &cluster.url());
    for file in &new {
        assert_eq!(signature_bytes(file), 256);
        assert_eq!(open(&bob, file), text(file));
        assert_eq!(open(&late, file), text(file));
    }
    for file in old {
        assert_eq!(open(&late, file), text(file));
    }
    // What is backed up afterwards holds both keys.
    let words = cluster.at("backup.password");
    std::fs::write(&words, "Tr1cky-horse-b").unwrap();
    let (archive, words) = (text(&cluster.at("backup")), text(&words));
    cluster.ok(&["backup", "-o", &archive, "--password-file", &words]);
    let drill = ["restore", &archive, "--drill", "--password-file", &words];
    let (code, out, complaint) = rmsd(&[&drill[..], &["--json"]].concat(), "");
    assert_eq!(code, 0, "{complaint}");
    assert!(out.contains("2 private keys"), "{out}");
}

#[test]
fn a_cluster_that_was_enrolled_by_files_goes_over_by_files() {
    let authority = tempfile::tempdir().unwrap();
    let there = |arguments: &[&str]| {
        let data = text(&authority.path().join("data"));
        let (code, out, complaint) = rmsd(&[arguments, &["--json", "--data", &data]].concat(), "");
        assert_eq!(code, 0, "{arguments:?}: {complaint}");
        serde_json::from_str::<Value>(&out).unwrap()
    };
    there(&["authority", "create", "--mode", "1"]);
    let mut cluster = Cluster::of("root", "1", &["--offline"]);
    let paths = ["request.xml", "response.xml", "bundle.json"].map(|name| text(&cluster.at(name)));
    let [request, response, bundle] = &paths;
    cluster.ok(&["enroll", "request", request]);
    there(&["authority", "sign", request, "-o", response]);
    there(&["client-bundle", bundle]);
    assert_eq!(
        cluster.refused(&["key", "upgrade-mode", "--yes"]),
        "not-enrolled"
    );
    cluster.ok(&["enroll", "complete", response, "--bundle", bundle]);
    for name in ["alice", "bob"] {
        cluster.add_person(name);
    }
    cluster.node.start();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let file = protect(&alice, &cluster.at("before"), &to_bob(), Signer::Author);

    assert_eq!(
        cluster.refused(&["key", "upgrade-mode", "--yes"]),
        "enrolled-by-files"
    );
    let early = ["key", "upgrade-mode", "--yes", "--complete", response];
    assert_eq!(cluster.refused(&early), "no-request");
    let ask = ["key", "upgrade-mode", "--force", "--request", request];
    cluster.ok(&ask);
    let first = std::fs::read(request).unwrap();
    cluster.ok(&ask);
    assert_eq!(std::fs::read(request).unwrap(), first);
    assert_eq!(cluster.keys(), [(1, "in use"), (2, "waits")]);
    // Meanwhile all goes on as it was, renewal too.
    assert_eq!(open(&bob, &file), text(&file));
    let renewal = text(&cluster.at("renewal.xml"));
    cluster.ok(&["renew", "--request", &renewal]);
    there(&["authority", "sign", &renewal, "--force", "-o", response]);
    cluster.ok(&["renew", "--complete", response]);
    assert_eq!(cluster.keys(), [(1, "in use"), (2, "waits")]);
    // That one was for the old key.
    assert_eq!(cluster.refused(&early), "no-client-bundle");
    let complete = [&early[..], &["--bundle", bundle]].concat();

    // The authority has to be able to, first.
    let data = text(&authority.path().join("data"));
    let sign = ["authority", "sign", request, "--force", "-o", response];
    let (code, out, _) = rmsd(&[&sign[..], &["--json", "--data", &data]].concat(), "");
    assert_eq!(code, 3, "{out}");
    assert_eq!(there(&["authority", "upgrade-mode"])["already"], false);
    assert_eq!(there(&["authority", "upgrade-mode"])["already"], true);
    there(&sign);
    assert_eq!(cluster.refused(&complete), "other-mode");
    there(&["client-bundle", bundle, "--force", "--mode", "2"]);

    // The certificate of another authority, and its bundle, are nothing to us.
    let stranger = tempfile::tempdir().unwrap();
    let theirs = ["response", "bundle"].map(|name| text(&stranger.path().join(name)));
    let elsewhere = |arguments: &[&str]| {
        let data = text(&stranger.path().join("data"));
        assert_eq!(rmsd(&[arguments, &["--data", &data]].concat(), "").0, 0);
    };
    elsewhere(&["authority", "create"]);
    elsewhere(&["authority", "sign", request, "-o", &theirs[0]]);
    elsewhere(&["client-bundle", &theirs[1]]);
    let foreign = ["key", "upgrade-mode", "--yes", "--complete", &theirs[0]];
    let with_theirs = [&foreign[..], &["--bundle", &theirs[1]]].concat();
    assert_eq!(cluster.refused(&with_theirs), "other-hierarchy");
    let with_ours = [&foreign[..], &["--bundle", bundle]].concat();
    assert_eq!(cluster.refused(&with_ours), "authority-not-trusted");
    assert_eq!(cluster.keys(), [(1, "in use"), (2, "waits")]);

    cluster.ok(&complete);
    assert_eq!(cluster.keys(), [(1, "retired"), (2, "in use")]);
    cluster.serves_mode_2();
    assert_eq!(open(&bob, &file), text(&file));
    alice.sign_in(None, Persistence::Persistent).unwrap();
    let after = protect(&alice, &cluster.at("after"), &to_bob(), Signer::Author);
    assert_eq!(signature_bytes(&after), 256);
    assert_eq!(open(&bob, &after), text(&after));
}

#[test]
fn a_licensing_cluster_follows_its_root_cluster() {
    let root = Cluster::serving("1");
    let mut licensing = Cluster::of("licensing", "1", &["--root", &root.url()]);
    // The same people.
    let people = root.node.data.join("people.toml");
    std::fs::copy(people, licensing.node.data.join("people.toml")).unwrap();
    licensing.node.start();
    let settings = format!(
        "[service_location]\nenterprise_publishing = '{}/_wmcs/licensing'\n",
        licensing.url()
    );
    // Their administrator placed whom to trust, of mode 1 yet; clients follow under its anchors.
    root.ok(&[
        "client-settings",
        "export",
        &text(&root.at("machine/client.d")),
    ]);
    std::fs::write(root.at("machine/client.toml"), settings).unwrap();
    let person = |name: &str| {
        let machine = MachineSettings::read(&root.at("machine")).unwrap();
        let client = client_of(root.at(name), name, None, machine);
        sign_in(&client, &root.url());
        client
    };
    let (alice, bob) = (person("alice"), person("bob"));
    let file = protect(&alice, &root.at("before"), &to_bob(), Signer::Author);
    assert_eq!(open(&bob, &file), text(&file));

    // Its root certifies in its own mode and no other.
    let upgrade = ["key", "upgrade-mode", "--yes"];
    assert_eq!(licensing.refused(&upgrade), "enrollment-refused");
    assert_eq!(licensing.keys(), [(1, "in use")]);
    root.ok(&upgrade);
    root.serves_mode_2();
    // In between, who is certified already goes on.
    bob.purge_licenses(&Purge::All).unwrap();
    assert_eq!(open(&bob, &file), text(&file));

    licensing.ok(&upgrade);
    assert_eq!(licensing.keys(), [(1, "retired"), (2, "in use")]);
    licensing.read_anew();
    eventually("the licensing cluster serves mode 2", || {
        bob.purge_licenses(&Purge::All).unwrap();
        assert_eq!(open(&bob, &file), text(&file));
        bits_of_account(&bob) == 2048
    });
    // Bob's next process knows it as well, though the placed file is of mode 1 still.
    let machine = MachineSettings::read(&root.at("machine")).unwrap();
    assert_eq!(machine.hierarchy().unwrap().unwrap().mode(), Mode::One);
    let again = client_of(root.at("bob"), "bob", None, machine);
    assert_eq!(again.known_hierarchy().unwrap().unwrap().mode(), Mode::Two);
    alice.sign_in(None, Persistence::Persistent).unwrap();
    let after = protect(&alice, &root.at("after"), &to_bob(), Signer::Author);
    assert_eq!(signature_bytes(&after), 256);
    assert_eq!(open(&bob, &after), text(&after));
}

#[test]
fn all_servers_of_a_cluster_go_over_when_one_was_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let Some(database) = TestDatabase::new(folder.path()) else {
        return;
    };
    let (balancer, ports) = (Balancer::start(), [Port::reserve(), Port::reserve()]);
    let keys = at("keys.password");
    std::fs::write(&keys, "correct Horse battery 9").unwrap();
    let keys = text(&keys);
    let ok = |arguments: &[&str]| {
        let (code, out, complaint) = rmsd(&[arguments, &["--json"]].concat(), "");
        assert_eq!(code, 0, "{arguments:?}: {complaint}");
        serde_json::from_str::<Value>(&out).unwrap()
    };
    let url = balancer.url();
    let mut nodes = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let data = at(&format!("server{index}"));
        let (folder, listen, name) = (text(&data), port.address.to_string(), index.to_string());
        let head: &[&str] = match index {
            0 => &["provision", "root", "--mode", "1", "--url", &url],
            _ => &["provision", "join"],
        };
        let own = [
            "--data",
            &folder,
            "--listen",
            &listen,
            "--server-name",
            &name,
        ];
        let shared = database.arguments();
        let shared: Vec<_> = shared.iter().map(String::as_str).collect();
        ok(&[head, &own, &["--password-file", &keys], &shared].concat());
        let mut node = Node::new(data);
        node.start();
        nodes.push(node);
    }
    let addresses = ports.each_ref().map(|port| port.address);
    balancer.direct_to(&addresses);
    let password = at("person.password");
    std::fs::write(&password, PASSWORD).unwrap();
    for name in ["alice", "bob"] {
        let mail = format!("{name}@example.test");
        let (data, password) = (text(&nodes[0].data), text(&password));
        let add = ["person", "add", name, "--mail", &mail, "--data", &data];
        ok(&[&add[..], &["--password-file", &password]].concat());
    }
    let people = [client(at("alice"), "alice"), client(at("bob"), "bob")];
    eventually("the people are known everywhere", || {
        addresses.iter().all(|address| {
            balancer.direct_to(&[*address]);
            let probe = tempfile::tempdir().unwrap();
            let probe = client(probe.path().join("home"), "bob");
            probe
                .init(
                    &url.parse().unwrap(),
                    &openrms_client::JoinPolicy::TrustOnFirstUse,
                )
                .unwrap();
            probe.certify(Persistence::Temporary).is_ok()
        })
    });
    let [alice, bob] = &people;
    for person in &people {
        sign_in(person, &url);
    }
    balancer.direct_to(&addresses);
    let file = protect(alice, &at("before"), &to_bob(), Signer::Author);
    assert_eq!(open(bob, &file), text(&file));

    ok(&[
        "key",
        "upgrade-mode",
        "--yes",
        "--data",
        &text(&nodes[1].data),
    ]);
    for address in addresses {
        eventually("each server serves mode 2", || {
            bits_of_issuer(&format!("http://{address}"), "") == 2048
        });
    }
    let after = protect(alice, &at("after"), &to_bob(), Signer::Author);
    for address in addresses {
        balancer.direct_to(&[address]);
        bob.purge_licenses(&Purge::All).unwrap();
        for file in [&file, &after] {
            assert_eq!(open(bob, file), text(file));
        }
    }
}

fn to_bob() -> Policy {
    let grant = "bob@example.test:VIEW,EXPORT".parse().unwrap();
    Policy::Own(OwnPolicy::of([grant]))
}

/// A protected file whose text is its own path.
fn protect(client: &Client, target: &Path, policy: &Policy, signer: Signer) -> PathBuf {
    let (plain, target) = (target.with_extension("txt"), target.with_extension("ptxt"));
    std::fs::write(&plain, text(&target)).unwrap();
    client
        .protect_file(&plain, &target, Overwrite::Force, policy, signer)
        .unwrap();
    target
}

fn open(client: &Client, file: &Path) -> String {
    let opened = client
        .open_file(file)
        .unwrap_or_else(|error| panic!("{}: {error}", error.code()));
    let mut text = Vec::new();
    opened.export().unwrap().copy_to(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// How long the signature of a file's PL is.
fn signature_bytes(file: &Path) -> usize {
    let inspection = openrms_formats::inspect::open_container(file).unwrap();
    let (license, _) = openrms_xrml::text::decode(&inspection.license.unwrap()).unwrap();
    let nodes = chain::split(&license).unwrap();
    let leaf = Certificate::parse(nodes[0]).unwrap();
    leaf.signature().unwrap().value.len()
}

/// Length of the key by which a cluster's clients activate themselves.
fn bits_of_issuer(url: &str, query: &str) -> usize {
    let bundle = get(&format!("{url}{BUNDLE}{query}"), &[]);
    let bundle: Value = serde_json::from_str(&bundle.text()).unwrap();
    let nodes = chain::parse_verified(bundle["spc_issuer_chain"].as_str().unwrap()).unwrap();
    nodes[0].principal_key().unwrap().bits()
}

fn bits_of_account(client: &Client) -> usize {
    client.account().unwrap().certificate().key().bits()
}

const BUNDLE: &str = "/.well-known/openrms/client";
