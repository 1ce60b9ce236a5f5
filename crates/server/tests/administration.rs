//! Administration: the page, its API, templates, and what is handed out to clients.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

mod support;

use openrms_protocol::templates::{
    AcquireTemplateInformation, AcquireTemplateInformationResponse, AcquireTemplates,
    AcquireTemplatesResponse,
};
use openrms_protocol::{FaultCode, Service, SoapVersion};
use serde_json::{Value, json};
use support::*;

fn create(server: &TestServer, description: &Value) -> String {
    let token = format!("Bearer {}", server.admin_token());
    let url = server.url("/admin/api/templates");
    let answer = post(&url, &[("authorization", &token)], &description.to_string());
    assert_eq!(answer.status, 201, "{}", answer.text());
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    answer["id"].as_str().unwrap().to_owned()
}

fn act(server: &TestServer, id: &str, action: &str) -> HttpAnswer {
    let token = format!("Bearer {}", server.admin_token());
    let id = id.trim_matches(['{', '}']);
    let url = server.url(&format!("/admin/api/templates/{id}/{action}"));
    post(&url, &[("authorization", &token)], "")
}

fn fetch(client: &Client<'_>, id: &str) -> Option<String> {
    let answer: AcquireTemplatesResponse = client
        .ask(
            Service::TemplateDistribution,
            AcquireTemplates {
                guids: vec![id.to_owned()],
            },
        )
        .unwrap();
    answer.templates.into_iter().next().unwrap().template
}

#[test]
fn a_template_counts_as_it_is_now_and_a_deleted_one_not_at_all() {
    let server = TestServer::start();
    let client = Client::new(&server, SoapVersion::V11);
    let (alice, bob) = (client.join("alice"), client.join("bob"));
    let describe = |id: Option<&str>, rights: &[&str]| {
        json!({
            "id": id,
            "names": [{ "name": "Staff", "description": "Staff may look." }],
            "grant": [{ "who": "staff@example.test", "rights": rights }],
        })
    };
    let id = create(&server, &describe(None, &["VIEW"]));
    let info: AcquireTemplateInformationResponse = client
        .ask(Service::TemplateDistribution, AcquireTemplateInformation)
        .unwrap();
    assert_eq!(info.templates.len(), 1);

    let license = Draft::of_template(&alice, &fetch(&client, &id).unwrap()).sign(&alice);
    assert_eq!(names(&client.license(&bob, &license).unwrap()), ["VIEW"]);
    create(&server, &describe(Some(&id), &["VIEW", "PRINT"]));
    assert_eq!(
        names(&client.license(&bob, &license).unwrap()),
        ["VIEW", "PRINT"]
    );

    assert_eq!(act(&server, &id, "archive").status, 200);
    assert_eq!(fetch(&client, &id), None);
    assert_eq!(
        names(&client.license(&bob, &license).unwrap()),
        ["VIEW", "PRINT"]
    );

    assert_eq!(act(&server, &id, "delete").status, 200);
    let fault = client.license(&bob, &license).unwrap_err();
    assert_eq!(fault.code, Some(FaultCode::NoRightsForRequestedPrincipal));
    assert_eq!(act(&server, &id, "delete").status, 404);
}

#[test]
fn a_wrong_description_names_its_field() {
    let server = TestServer::start();
    let token = format!("Bearer {}", server.admin_token());
    for (description, field) in [
        (json!({ "names": [] }), "names"),
        (json!({ "names": [{ "name": "a\nb" }] }), "names"),
        (json!({ "names": [{ "name": "x" }], "id": "1" }), "id"),
        (
            json!({ "names": [{ "name": "x" }], "valid_until": "soon" }),
            "valid_until",
        ),
        (
            json!({ "names": [{ "name": "x" }], "grant": [{ "who": "bob", "rights": ["VIEW"] }] }),
            "grant.who",
        ),
        (
            json!({ "names": [{ "name": "x" }], "grant": [{ "who": "everyone", "rights": ["<"] }] }),
            "grant.rights",
        ),
    ] {
        let url = server.url("/admin/api/templates");
        let answer = post(&url, &[("authorization", &token)], &description.to_string());
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(field), "{}", answer.text());
    }
}

#[test]
fn nobody_administers_without_the_token_and_a_cookie_alone_changes_nothing() {
    let server = TestServer::start();
    let token = server.admin_token();
    for path in [
        "/admin/",
        "/admin/api/status",
        "/admin/api/templates",
        "/admin/?token=wrong",
    ] {
        assert_eq!(get(&server.url(path), &[]).status, 401, "{path}");
        let wrong = get(&server.url(path), &[("authorization", "Bearer wrong")]);
        assert_eq!(wrong.status, 401, "{path}");
    }
    let entry = get(&server.running.admin_url(), &[]);
    assert_eq!((entry.status, entry.header("location")), (303, "/admin/"));
    let cookie = entry.header("set-cookie").to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
    assert!(!cookie.contains(&token));
    let cookie = cookie.split(';').next().unwrap();

    let page = get(&server.url("/admin/"), &[("cookie", cookie)]);
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-security-policy")
            .contains("default-src 'none'")
    );
    assert_eq!(page.header("cache-control"), "no-store");
    let html = page.text();
    for shown in [
        "OpenRMS DRM Root",
        "Certified users",
        "/_wmcs/licensing",
        "New template",
    ] {
        assert!(html.contains(shown), "{shown}");
    }
    assert!(!html.contains(&token) && !html.contains("<script"));

    let url = server.url("/admin/templates");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let change = "action=create&name=Staff&who=everyone&rights=VIEW&form_key=";
    assert_eq!(
        post(&url, &[form, ("cookie", cookie)], &format!("{change}guess")).status,
        403
    );
    let api = server.url("/admin/api/templates");
    let body = json!({ "names": [{ "name": "x" }] }).to_string();
    assert_eq!(post(&api, &[("cookie", cookie)], &body).status, 403);

    let key = html
        .split("name=\"form_key\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let made = post(&url, &[form, ("cookie", cookie)], &format!("{change}{key}"));
    assert_eq!(
        (made.status, made.header("location")),
        (303, "/admin/#templates")
    );
    let html = get(&server.url("/admin/"), &[("cookie", cookie)]).text();
    assert!(html.contains("<th scope=\"row\">Staff"));
    let wrong = format!("action=create&name=a&who=nobody&rights=VIEW&form_key={key}");
    let complaint = post(&url, &[form, ("cookie", cookie)], &wrong);
    assert_eq!(complaint.status, 400);
    assert!(complaint.text().contains("role=\"alert\""));
}

#[test]
fn the_status_tells_about_the_cluster() {
    let server = TestServer::start();
    Client::new(&server, SoapVersion::V11).join("alice");
    let token = format!("Bearer {}", server.admin_token());
    let answer = get(
        &server.url("/admin/api/status"),
        &[("authorization", &token)],
    );
    let status: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (&status["mode"], &status["certified_users"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(
        (&status["people"], &status["groups"]),
        (&json!(4), &json!(2))
    );
    assert_eq!(status["hierarchy"].as_array().unwrap().len(), 5);
    assert_eq!(
        status["urls"]["base"],
        format!("{}/_wmcs", server.running.url())
    );
    assert!(status["slc"]["valid_now"].as_bool().unwrap());
}

#[test]
fn clients_find_what_they_need_to_join() {
    let server = TestServer::start();
    let answer = get(&server.url("/.well-known/openrms/client"), &[]);
    assert_eq!(answer.header("content-type"), "application/json");
    let served: openrms_server::ClientBundle = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(served, server.bundle);
    let keys: Value = serde_json::from_slice(&answer.body).unwrap();
    for key in [
        "server",
        "name",
        "anchors_xml",
        "spc_issuer_key_pem",
        "spc_issuer_chain",
    ] {
        assert!(keys[key].is_string(), "{key}");
    }
    assert_eq!(served.server, format!("{}/_wmcs", server.running.url()));
}

#[test]
fn health_readiness_and_counters_are_told() {
    let server = TestServer::start();
    assert_eq!(get(&server.url("/healthz"), &[]).status, 200);
    assert_eq!(get(&server.url("/readyz"), &[]).text(), "ready\n");
    let client = Client::new(&server, SoapVersion::V11);
    let (alice, carol) = (client.join("alice"), client.join("carol"));
    let license = Draft::new(&alice, &[]).sign(&alice);
    for _ in 0..2 {
        client.license(&carol, &license).unwrap_err();
    }
    let metrics = get(&server.url("/metrics"), &[]).text();
    for line in [
        "rmsd_licensing_requests_total{operation=\"AcquireLicense\"} 2",
        "rmsd_licensing_failures_total{operation=\"AcquireLicense\"} 2",
        "rmsd_cache_hits_total{cache=\"licenses\"} 1",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
    assert_eq!(get(&server.url("/nothing"), &[]).status, 404);
}

#[test]
fn passwords_are_taken_over_https_too() {
    let server = TestServer::start();
    let testdata = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testdata");
    let mut config = openrms_server::Config::for_data_dir(server.data()).unwrap();
    config.logging.spool = server.folder.path().join("spool");
    config.listen.clear();
    config.tls = Some(openrms_server::config::Tls {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        certificate: format!("{testdata}/tls.pem").into(),
        key: format!("{testdata}/tls.key").into(),
    });
    let secure = openrms_server::Server::start(config).unwrap();
    assert!(secure.url().starts_with("https://"));
    let tls = ureq::tls::TlsConfig::builder()
        .disable_verification(true)
        .build();
    let agent: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).build().into();
    let mut answer = agent
        .get(format!("{}/readyz", secure.url()))
        .call()
        .unwrap();
    assert_eq!(answer.body_mut().read_to_string().unwrap(), "ready\n");
    secure.stop();
}
