//! The end of a cluster over real sockets: what it gives out, to whom, and what it refuses.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

mod support;

use openrms_crypto::Mode;
use openrms_protocol::certification::Certify;
use openrms_protocol::decommissioning::{AcquireContentKey, AcquireContentKeyResponse, KeyType};
use openrms_protocol::server::{
    GetServerInfo, GetServerInfoResponse, ServerInfoRequest, ServerInfoType,
};
use openrms_protocol::{CertificateChain, Fault, FaultCode, Operation, Service, SoapVersion};
use openrms_server::Config;
use serde_json::{Value, json};
use support::*;

/// A server that lets `staff` (bob and dave) have content keys once it has ended.
fn server() -> TestServer {
    TestServer::start_with(Mode::Two, |config: &mut Config| {
        let rule = "[decommission]\ngroups = [\"staff@example.test\"]";
        config.access =
            openrms_server::access::AccessRules::new(toml::from_str(rule).unwrap()).unwrap();
    })
}

fn end(server: &TestServer) {
    let data = text(&server.data());
    let name = name(server);
    let arguments = [
        "decommission",
        "--data",
        &data,
        "--without-backup",
        "--yes-i-know-there-is-no-way-back",
        &name,
    ];
    let (code, _, err) = rmsd(&arguments, "");
    assert_eq!(code, 0, "{err}");
    server.running.reload_now().unwrap();
}

fn name(server: &TestServer) -> String {
    status(server)["name"].as_str().unwrap().to_owned()
}

fn status(server: &TestServer) -> Value {
    let token = format!("Bearer {}", server.admin_token());
    let answer = get(
        &server.url("/admin/api/status"),
        &[("authorization", &token)],
    );
    serde_json::from_slice(&answer.body).unwrap()
}

fn free(
    client: &Client<'_>,
    license: &CertificateChain<'static>,
) -> Result<AcquireContentKeyResponse, Fault> {
    client.ask(
        Service::Decommission,
        AcquireContentKey {
            issuance_license: license.clone(),
        },
    )
}

#[test]
fn whoever_the_configuration_lets_in_gets_the_key_and_the_audit_file_says_so() {
    let server = server();
    let client = Client::new(&server, SoapVersion::V11);
    let alice = client.join("alice");
    // Nobody but alice has any right in it.
    let draft = Draft::new(&alice, &[]);
    let license = draft.sign(&alice);
    let bob = client.signed_in("bob", PASSWORD);
    let in_service = free(&bob, &license).unwrap_err();
    assert_eq!(in_service.code, Some(FaultCode::ClusterNotDecommissioned));
    assert_eq!(in_service.message, "");

    end(&server);
    for client in [
        bob,
        Client::new(&server, SoapVersion::V12).signed_in("dave", PASSWORD),
    ] {
        let answer = free(&client, &license).unwrap();
        assert_eq!(answer.content_key.expose(), draft.key.expose());
        assert_eq!(answer.key_type, KeyType::Aes);
    }
    // Its author is not let in, and nobody is who does not sign in.
    let request = Operation::from(AcquireContentKey {
        issuance_license: license.clone(),
    });
    let author = client.signed_in("alice", PASSWORD);
    let refused = free(&author, &license).unwrap_err();
    assert_eq!(refused.code, Some(FaultCode::UnauthorizedAccess));
    let refused = client.send(Service::Decommission, &request);
    assert_eq!(refused.status, 401);

    let lines = server.audit();
    let given: Vec<_> = lines
        .iter()
        .filter(|line| line["operation"] == "AcquireContentKey" && line["outcome"] == "ok")
        .collect();
    assert_eq!(given.len(), 2);
    assert_eq!(given[0]["user"], "bob");
    assert_eq!(given[0]["account"], "bob@example.test");
    assert_eq!(given[0]["ground"], "decommissioned");
    let id = draft.content.content_id.to_string();
    let told = given[0]["content"].as_str().unwrap();
    assert!(told.eq_ignore_ascii_case(&id), "{told} {id}");
    let whole = std::fs::read_to_string(server.data().join("audit.jsonl")).unwrap();
    let key = openrms_xrml::values::encode_base64(draft.key.expose());
    assert!(!whole.contains(&key));
}

#[test]
fn a_decommissioned_cluster_does_nothing_else_and_is_ready_for_that() {
    let server = server();
    let client = Client::new(&server, SoapVersion::V11);
    let alice = client.join("alice");
    let license = Draft::new(&alice, &[("VIEW", "bob@example.test")]).sign(&alice);
    let (_, spc) = client.activate();
    end(&server);

    let fault = client.license(&alice, &license).unwrap_err();
    assert_eq!(fault.code, Some(FaultCode::ClusterDecommissioned));
    let certify: Result<openrms_protocol::certification::CertifyResponse<'static>, _> =
        client.signed_in("bob", PASSWORD).ask(
            Service::Certification,
            Certify {
                machine_certificate_chain: spc,
                persistent: true,
            },
        );
    let code = certify.unwrap_err().code;
    assert_eq!(code, Some(FaultCode::ClusterDecommissioned));
    let info: Result<GetServerInfoResponse<'static>, _> = client.ask(
        Service::LicensingServer,
        GetServerInfo {
            requests: vec![ServerInfoRequest {
                kind: ServerInfoType::VersionInfo,
                additional_info: None,
            }],
        },
    );
    assert_eq!(
        info.unwrap_err().code,
        Some(FaultCode::ClusterDecommissioned)
    );
    assert_eq!(get(&server.url("/readyz"), &[]).status, 200);

    let token = format!("Bearer {}", server.admin_token());
    let template = json!({
        "names": [{ "name": "Staff" }],
        "grant": [{ "who": "staff@example.test", "rights": ["VIEW"] }],
    });
    let url = server.url("/admin/api/templates");
    let answer = post(&url, &[("authorization", &token)], &template.to_string());
    assert_eq!(answer.status, 409, "{}", answer.text());
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer["error"]["code"], "decommissioned");

    let page = get(&server.url("/admin/"), &[("authorization", &token)]).text();
    assert!(page.contains("Decommissioned server information"));
    assert!(page.contains("members of staff@example.test"));
    assert!(!page.contains("<form"), "nothing is left to change");
    let ended = &status(&server)["decommission"];
    assert!(ended["since"].is_string());
    let place = ended["url"].as_str().unwrap();
    assert!(place.ends_with("/_wmcs/decommission/decommission.asmx"));
}

#[test]
fn without_a_word_of_the_administrator_nobody_gets_a_key() {
    let server = TestServer::start();
    let client = Client::new(&server, SoapVersion::V11);
    let alice = client.join("alice");
    let license = Draft::new(&alice, &[]).sign(&alice);
    end(&server);
    let refused = free(&client.signed_in("alice", PASSWORD), &license).unwrap_err();
    assert_eq!(refused.code, Some(FaultCode::UnauthorizedAccess));
}

#[test]
fn a_cluster_is_not_ended_by_mistake() {
    let server = server();
    let data = text(&server.data());
    let name = name(&server);
    let run = |more: &[&str]| {
        let head = ["--json", "decommission", "--data", &data];
        let arguments: Vec<_> = head.iter().chain(more).copied().collect();
        let (code, out, _) = rmsd(&arguments, &format!("{name}\n"));
        let answer: Value = serde_json::from_str(&out).unwrap();
        (code, answer)
    };
    let yes = "--yes-i-know-there-is-no-way-back";
    // A pipe is nobody who could be asked.
    let (code, answer) = run(&["--without-backup"]);
    assert_eq!((code, answer["error"]["code"].as_str()), (2, Some("usage")));
    let (code, answer) = run(&["--without-backup", yes, "another"]);
    let error = answer["error"]["code"].as_str();
    assert_eq!((code, error), (2, Some("other-cluster")));
    let (code, answer) = run(&[yes, &name]);
    let error = answer["error"]["code"].as_str();
    assert_eq!((code, error), (1, Some("no-backup")));
    assert_eq!(status(&server)["decommissioned"], false);

    let (code, answer) = run(&["--without-backup", yes, &name]);
    assert_eq!(code, 0, "{answer}");
    assert_eq!(answer["decommissioned"], true);
    let (code, answer) = run(&["--without-backup", yes, &name]);
    let error = answer["error"]["code"].as_str();
    assert_eq!((code, error), (1, Some("decommissioned")));
}
