//! Setting up clusters, by the library and by the program.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

mod support;

use std::path::Path;

use openrms_crypto::Mode;
use openrms_server::credential::Credential;
use openrms_server::key_protection::KeyProtection;
use openrms_server::provision::{
    Authority, EnrollError, ProvisionError, RootOptions, provision_root,
};
use openrms_server::{Config, Server, client_bundle};
use serde_json::Value;
use support::*;

#[test]
fn provisioning_twice_changes_nothing_and_another_cluster_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = RootOptions::new(folder.path().join("data"), "http://127.0.0.1:8080");
    let first = provision_root(&options).unwrap();
    assert!(!first.already);
    assert_eq!(first.url, "http://127.0.0.1:8080/_wmcs");
    let bundle = client_bundle(&options.data).unwrap();
    let again = provision_root(&options).unwrap();
    assert!(again.already);
    assert_eq!(again.server_key, first.server_key);
    assert_eq!(client_bundle(&options.data).unwrap(), bundle);
    for other in [
        RootOptions {
            url: "http://127.0.0.1:8081".into(),
            ..options.clone()
        },
        RootOptions {
            mode: Mode::One,
            ..options.clone()
        },
    ] {
        let refused = provision_root(&other).unwrap_err();
        assert!(
            matches!(refused, ProvisionError::AlreadyProvisioned { .. }),
            "{refused}"
        );
    }
}

#[test]
fn only_its_owner_can_read_a_data_directory() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    provision_root(&RootOptions::new(&data, "http://127.0.0.1:8080")).unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for file in std::fs::read_dir(&data).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    // A folder that others can enter is not used.
    let open = folder.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
    provision_root(&RootOptions::new(&open, "http://127.0.0.1:8080")).unwrap_err();
}

#[test]
fn urls_that_clients_cannot_use_are_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for url in [
        "rms.example",
        "ftp://rms.example",
        "http://user@rms.example",
        "http://rms.example/path",
        "http://rms.example?x",
        "http://127.0.0.1:0",
        "http://rms.example/_wmcs/licensing",
    ] {
        let refused = provision_root(&RootOptions::new(&data, url)).unwrap_err();
        assert!(
            matches!(refused, ProvisionError::Url { .. }),
            "{url}: {refused}"
        );
    }
    assert!(!data.exists());
}

#[test]
fn a_password_guards_the_master_key_and_another_does_not_open_it() {
    let folder = tempfile::tempdir().unwrap();
    let (data, password) = (folder.path().join("data"), folder.path().join("password"));
    std::fs::write(&password, "open sesame\n").unwrap();
    provision_root(&RootOptions {
        keys: KeyProtection::Password,
        credential: Credential::File(password.clone()),
        ..RootOptions::new(&data, "http://127.0.0.1:8080")
    })
    .unwrap();
    assert!(!data.join("master.key").exists());
    client_bundle(&data).unwrap();
    std::fs::write(&password, "open barley").unwrap();
    let refused = client_bundle(&data).unwrap_err().to_string();
    assert!(refused.contains("not that of this cluster"), "{refused}");
}

#[test]
fn a_cluster_may_be_certified_by_another_ones_authority() {
    let authority = TestServer::start();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = authority.url("/enrollment/enrollservice.asmx");
    provision_root(&RootOptions {
        authority: Authority::Enroll(service),
        people: Some(people()),
        ..RootOptions::new(&data, &url)
    })
    .unwrap();
    let running =
        Server::start_with_listener(Config::for_data_dir(&data).unwrap(), listener).unwrap();
    let bundle = client_bundle(&data).unwrap();
    assert_eq!(bundle.trust, authority.bundle.trust);
    assert_ne!(bundle.server, authority.bundle.server);
    // Clients of the one hierarchy join the second cluster.
    let server = TestServer {
        running,
        bundle,
        mode: Mode::Two,
        folder,
    };
    let client = Client::new(&server, openrms_protocol::SoapVersion::V11);
    let (alice, bob) = (client.join("alice"), client.join("bob"));
    let draft = Draft::new(&alice, &[("VIEW", "bob@example.test")]);
    let granted = client.license(&bob, &draft.sign(&alice)).unwrap();
    assert_eq!(bob.open(&granted).expose(), draft.key.expose());
}

#[test]
fn through_a_proxy_on_the_authoritys_machine_nobody_enrolls() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("authority");
    provision_root(&RootOptions::new(&data, "https://rms.example.test")).unwrap();
    // Whoever reaches the proxy comes from loopback, as this test does.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = Config::for_data_dir(&data).unwrap();
    let _authority = Server::start_with_listener(config, listener).unwrap();
    let service = format!("http://{address}/enrollment/enrollservice.asmx");
    let refused = provision_root(&RootOptions {
        authority: Authority::Enroll(service),
        ..RootOptions::new(folder.path().join("rogue"), "http://127.0.0.1:8080")
    })
    .unwrap_err();
    assert!(
        matches!(refused, ProvisionError::Enroll(EnrollError::Refused(_))),
        "{refused}"
    );
}

#[test]
fn an_authority_that_does_not_answer_leaves_a_folder_that_can_be_completed() {
    let folder = tempfile::tempdir().unwrap();
    let data = text(&folder.path().join("data"));
    let url = "http://127.0.0.1:8080";
    let nowhere = "http://127.0.0.1:9/enrollment/enrollservice.asmx";
    let arguments = ["provision", "root", "--url", url, "--data", &data];
    let with = |more: &[&str]| {
        let (code, out, _) = rmsd(&[&arguments[..], more].concat(), "");
        let error: Value = serde_json::from_str(&out).unwrap();
        (code, error["error"]["code"].clone())
    };
    let asking = [
        "--authority",
        nowhere,
        "--json",
        "--ignore-check",
        "port-free",
    ];
    // It is looked into before anything is made.
    assert_eq!(with(&asking), (1, "checks-failed".into()));
    assert!(!Path::new(&data).exists());
    let all_the_same = [&asking[..], &["--ignore-check", "authority"]].concat();
    assert_eq!(with(&all_the_same), (5, "authority-unreachable".into()));
    let (code, _, complaint) = rmsd(&arguments, "");
    assert_eq!(code, 0, "{complaint}");
}

#[test]
fn the_program_sets_up_people_templates_and_exports() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| text(&folder.path().join(name));
    let data = file("data");
    let with_data = |arguments: &[&str]| -> Vec<String> {
        arguments
            .iter()
            .chain(&["--data", &data])
            .map(ToString::to_string)
            .collect()
    };
    let run = |arguments: &[&str], input: &str| {
        let arguments = with_data(arguments);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        rmsd(&arguments, input)
    };
    let json = |arguments: &[&str], input: &str| -> Value {
        let (code, out, complaint) = run(&[&["--json"], arguments].concat(), input);
        assert_eq!(code, 0, "{arguments:?}: {complaint}");
        serde_json::from_str(&out).unwrap()
    };
    let done = json(&["provision", "root", "--url", "http://127.0.0.1:8080"], "");
    assert_eq!(done["url"], "http://127.0.0.1:8080/_wmcs");

    json(
        &["person", "add", "erin", "--mail", "erin@example.test"],
        "a password\n",
    );
    json(&["person", "group", "add", "team@example.test"], "");
    json(
        &["person", "group", "add-member", "team@example.test", "erin"],
        "",
    );
    json(&["person", "passwd", "erin"], "another password\n");
    let list = json(&["person", "list"], "");
    assert_eq!(list["people"][0]["mail"], "erin@example.test");
    assert_eq!(list["groups"][0]["members"][0], "erin");
    let (code, out, _) = run(
        &[
            "--json",
            "person",
            "add",
            "erin",
            "--mail",
            "e@example.test",
        ],
        "x\n",
    );
    let error: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &error["error"]["code"]), (1, &"people".into()));
    assert_eq!(
        run(&["person", "add", "a*b", "--mail", "e@example.test"], "x\n").0,
        2
    );

    let description = file("template.toml");
    std::fs::write(
        &description,
        "names = [{ name = \"Team\" }]\nvalid_days = 30\n[[grant]]\nwho = \"team@example.test\"\n\
         rights = [\"VIEW\"]\n",
    )
    .unwrap();
    let made = json(&["template", "add", &description], "");
    let id = made["id"].as_str().unwrap();
    json(&["template", "archive", id], "");
    let all = json(&["template", "list"], "");
    assert_eq!(
        (&all[0]["published"], &all[0]["valid_days"]),
        (&false.into(), &30.into())
    );
    json(&["template", "remove", id], "");
    assert_eq!(json(&["template", "list"], ""), Value::Array(Vec::new()));
    std::fs::write(&description, "names = 1").unwrap();
    assert_eq!(run(&["template", "add", &description], "").0, 6);
}

#[test]
fn the_program_hands_out_what_clients_need() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| text(&folder.path().join(name));
    let data = file("data");
    provision_root(&RootOptions::new(&data, "http://127.0.0.1:8080")).unwrap();
    let run = |arguments: &[&str]| rmsd(&[arguments, &["--data", &data]].concat(), "");
    let json = |arguments: &[&str]| -> Value {
        let (code, out, complaint) = run(&[&["--json"], arguments].concat());
        assert_eq!(code, 0, "{arguments:?}: {complaint}");
        serde_json::from_str(&out).unwrap()
    };
    let (key, chain) = (file("key.pem"), file("chain.xml"));
    let export = [
        "authority",
        "spc-issuer",
        "export",
        "--key",
        &key,
        "--chain",
        &chain,
    ];
    json(&export);
    let pem = std::fs::read_to_string(&key).unwrap();
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----"));
    assert!(
        std::fs::read_to_string(&chain)
            .unwrap()
            .starts_with("<XrML")
    );
    let (code, _, complaint) = run(&export);
    assert!(code == 1 && complaint.contains("--force"), "{complaint}");
    assert_eq!(run(&[&export[..], &["--force"]].concat()).0, 0);
    let (_, anchors, _) = run(&["authority", "anchors", "export"]);
    assert!(anchors.starts_with("<ANCHORS>"));
    let bundle = json(&["client-bundle"]);
    assert_eq!(bundle["spc_issuer_key_pem"], pem);
    assert!(
        json(&["admin-url"])["admin_url"]
            .as_str()
            .unwrap()
            .contains("token=")
    );
}

#[test]
fn wrong_usage_is_exit_2_and_help_is_0() {
    assert_eq!(rmsd(&["serve", "--nonsense"], "").0, 2);
    assert_eq!(rmsd(&["--help"], "").0, 0);
    let (code, out, _) = rmsd(
        &["--json", "serve", "--config", "/nonexistent/rmsd.toml"],
        "",
    );
    let error: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &error["error"]["code"]),
        (1, &"no-configuration".into())
    );
    assert!(error["error"]["hint"].is_string());
    openrms_server::commands::command().debug_assert();
}

#[test]
fn an_authority_alone_becomes_a_cluster_later_and_keeps_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let data = text(&folder.path().join("data"));
    assert_eq!(rmsd(&["authority", "create", "--data", &data], "").0, 0);
    let export = ["authority", "anchors", "export", "--data", &data];
    let (code, before, complaint) = rmsd(&export, "");
    assert_eq!(code, 0, "{complaint}");
    let root = [
        "provision",
        "root",
        "--url",
        "http://127.0.0.1:8080",
        "--data",
        &data,
    ];
    assert_eq!(rmsd(&[&root[..], &["--mode", "1"]].concat(), "").0, 1);
    assert_eq!(rmsd(&root, "").0, 0);
    assert_eq!(rmsd(&export, "").1, before);
}

#[test]
fn the_program_serves_reads_people_anew_at_sighup_and_ends_at_sigterm() {
    use rustix::process::{Pid, Signal, kill_process};
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    let folder = tempfile::tempdir().unwrap();
    let data = text(&folder.path().join("data"));
    provision_root(&RootOptions {
        people: Some(people()),
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        ..RootOptions::new(&data, "http://127.0.0.1:8080")
    })
    .unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_rmsd"))
        .args(["serve", "--quiet", "--data", &data])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut url)
        .unwrap();
    let url = url.trim_end();
    assert_eq!(get(&format!("{url}/readyz"), &[]).text(), "ready\n");

    let locate = openrms_protocol::encode_request(
        openrms_protocol::SoapVersion::V11,
        openrms_protocol::Contract::ServiceLocator,
        None,
        &openrms_protocol::server::FindServiceLocationsForUser {
            services: Vec::new(),
        }
        .into(),
    );
    let locator = openrms_protocol::Service::CertificationServiceLocator.url(url);
    let status = |name: &str| {
        let login = basic(name, "new here");
        let headers = [
            ("content-type", "text/xml"),
            ("authorization", login.as_str()),
        ];
        post(&locator, &headers, &locate).status
    };
    assert_eq!(status("frank"), 401);
    let add = [
        "person",
        "add",
        "frank",
        "--mail",
        "frank@example.test",
        "--data",
        &data,
    ];
    assert_eq!(rmsd(&add, "new here\n").0, 0);
    let process = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(process, Signal::HUP).unwrap();
    // Each failure counts against the name; others find out when the list is read.
    let token = std::fs::read_to_string(format!("{data}/admin.token")).unwrap();
    let token = format!("Bearer {token}");
    let people = || -> Value {
        let status = get(
            &format!("{url}/admin/api/status"),
            &[("authorization", &token)],
        );
        serde_json::from_slice::<Value>(&status.body).unwrap()["people"].clone()
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while people() != 5 {
        assert!(
            std::time::Instant::now() < deadline,
            "the list was not read anew"
        );
    }
    assert_ne!(status("frank"), 401);
    kill_process(process, Signal::TERM).unwrap();
    assert_eq!(server.wait().unwrap().code(), Some(0));
}
