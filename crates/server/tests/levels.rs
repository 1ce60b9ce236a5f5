//! Servers that behave as RMS 1.0, its service packs and 2.0: what each has, what it has not, and
//! what all of them do.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests end where they fail"
)]

mod support;

use openrms_crypto::Mode;
use openrms_protocol::licensing::{AcquireLicense, AcquireLicenseResponse};
use openrms_protocol::server::{
    FindServiceLocations, FindServiceLocationsForUser, FindServiceLocationsForUserResponse,
    FindServiceLocationsResponse, GetLicensorCertificate, GetLicensorCertificateResponse,
    GetServerInfo, GetServerInfoResponse, ServerInfoRequest, ServerInfoType, ServerInfoValue,
    ServiceType,
};
use openrms_protocol::{
    DataVersion, FaultCode, Feature, Limits, OperationName, Service, ServiceLevel, SoapVersion,
    VersionData, binary_group_expansion, encode_request, parse_response,
};
use openrms_server::access::{AccessRules, GroupRef, Part, PartRule};
use openrms_server::forests::ForestsConfig;
use openrms_server::{Config, Server, client_bundle};
use openrms_xrml::{Identity, Node};
use serde_json::Value;
use support::*;

const LEVELS: [ServiceLevel; 4] = [
    ServiceLevel::V1,
    ServiceLevel::Sp1,
    ServiceLevel::Sp2,
    ServiceLevel::V2,
];

#[test]
fn people_are_certified_publish_and_are_licensed_at_every_level() {
    for level in LEVELS {
        let server = TestServer::at_level(level);
        let client = Client::new(&server, SoapVersion::V11);
        let (alice, bob) = (client.join("alice"), client.join("bob"));
        let draft = Draft::new(&alice, &[("VIEW", "bob@example.test")]);
        for license in [draft.sign(&alice), client.publish(&draft).unwrap()] {
            let granted = client.license(&bob, &license).unwrap();
            assert_eq!(names(&granted), ["VIEW"], "{level}");
            assert_eq!(bob.open(&granted).expose(), draft.key.expose());
        }
    }
}

#[test]
fn answers_name_the_versions_of_data_of_the_level_and_no_higher_one_may_be_asked_for() {
    let highest = LEVELS.map(|level| {
        let server = TestServer::at_level(level);
        let client = Client::new(&server, SoapVersion::V11);
        let answer = client.send(Service::LicensingServer, &GetLicensorCertificate.into());
        let operation = OperationName::GetLicensorCertificate;
        let read = parse_response(operation, &answer.body, &Limits::client()).unwrap();
        let told = read.version_data.unwrap();
        assert_eq!(told.minimum, Some(DataVersion::V1_0));
        let highest = told.maximum.unwrap();

        for version in [
            DataVersion::V1_0,
            DataVersion::V1_1,
            DataVersion::V1_2,
            DataVersion(1, 2, 0, 1),
        ] {
            let asked = client
                .with_version(VersionData::range(DataVersion::V1_0, version))
                .ask::<GetLicensorCertificateResponse<'static>>(
                    Service::LicensingServer,
                    GetLicensorCertificate,
                );
            let refusal = asked.err().and_then(|fault| fault.code);
            let expected = (version > highest).then_some(FaultCode::UnsupportedDataVersion);
            assert_eq!(refusal, expected, "{level}: {version}");
        }
        highest.to_string()
    });
    assert_eq!(highest, ["1.0.0.0", "1.0.0.0", "1.1.0.0", "1.2.0.0"]);
}

#[test]
fn batches_are_answered_from_service_pack_2_on_and_up_to_100() {
    for level in LEVELS {
        let server = TestServer::at_level(level);
        let client = Client::new(&server, SoapVersion::V11);
        let (alice, bob) = (client.join("alice"), client.join("bob"));
        let draft = Draft::new(&alice, &[("VIEW", "bob@example.test")]);
        let license = draft.sign(&alice);
        // The items after the first one are about the same license.
        let request = |count: usize| {
            let items = (0..count).map(|index| bob.params((index == 0).then_some(&license)));
            AcquireLicense {
                items: items.collect(),
            }
        };
        let ask = |version, count| {
            client
                .with_version(version)
                .ask::<AcquireLicenseResponse<'static>>(Service::License, request(count))
                .map(|answer| answer.items.iter().map(use_license).count())
                .map_err(|fault| fault.code.unwrap())
        };
        let (one, several) = (VersionData::CLIENT, VersionData::CLIENT_BATCH);
        assert_eq!(ask(one, 1), Ok(1), "{level}");
        assert_eq!(ask(one, 2), Err(FaultCode::UnspecifiedError), "{level}");
        if level.has(Feature::Batches) {
            assert_eq!(ask(several, 100), Ok(100), "{level}");
            let refused = Err(FaultCode::UnspecifiedError);
            assert_eq!(ask(several, 101), refused, "{level}");
        } else {
            let refused = Err(FaultCode::UnsupportedDataVersion);
            assert_eq!(ask(several, 2), refused, "{level}");
        }
    }
}

#[test]
fn what_a_level_has_not_is_not_there_at_all() {
    let missing = LEVELS.map(|level| {
        let server = TestServer::at_level(level);
        let mut missing = 0;
        for &service in Service::ALL {
            let url = service.url(server.running.url());
            let page = get(&url, &[]).status;
            let description = get(&format!("{url}?wsdl"), &[]).status;
            let answer = post(&url, &[("content-type", "text/xml")], "<nonsense/>").status;
            if level.offers(service) {
                assert_eq!((page, description), (200, 200), "{level}: {service:?}");
                assert!(matches!(answer, 401 | 500), "{level}: {service:?}");
            } else {
                let not_there = (404, 404, 404);
                assert_eq!((page, description, answer), not_there, "{level}");
                missing += 1;
            }
        }
        // The binary form is older than all of them.
        let binary = binary_group_expansion::http::url(server.running.url());
        let kind = ("content-type", binary_group_expansion::http::CONTENT_TYPE);
        assert_eq!(post(&binary, &[kind], "").status, 200, "{level}");
        missing
    });
    assert_eq!(missing, [11, 9, 8, 0]);
}

#[test]
fn soap_1_2_is_an_unknown_envelope_before_version_2() {
    for level in LEVELS {
        let server = TestServer::at_level(level);
        let url = Service::LicensingServer.url(server.running.url());
        let body = encode_request(
            SoapVersion::V12,
            Service::LicensingServer.contract(),
            Some(VersionData::CLIENT),
            &GetLicensorCertificate.into(),
        );
        let description = get(&format!("{url}?wsdl"), &[]).text();
        for kind in ["application/soap+xml; charset=utf-8", "text/xml"] {
            for body in [body.as_str(), "<nonsense/>"] {
                let answer = post(&url, &[("content-type", kind)], body);
                let is_plain = answer.header("content-type").starts_with("text/xml");
                if level.has(Feature::Soap12) {
                    let well = kind != "text/xml" && body.len() > 100;
                    assert_eq!(answer.status, if well { 200 } else { 500 });
                } else {
                    assert_eq!((answer.status, is_plain), (500, true), "{level}: {kind}");
                    let text = answer.text();
                    assert!(text.contains(SoapVersion::V11.namespace()), "{text}");
                    assert!(text.contains("soap:VersionMismatch"), "{text}");
                }
            }
        }
        let has_port = description.contains("<soap12:address");
        assert_eq!(has_port, level.has(Feature::Soap12), "{level}");
    }
}

#[test]
fn a_server_tells_its_version_and_only_the_services_that_it_has() {
    let versions = LEVELS.map(|level| {
        let staff = GroupRef::try_from("staff@example.test".to_owned()).unwrap();
        let rule = PartRule {
            groups: vec![staff],
            ..PartRule::default()
        };
        let server = TestServer::start_with(Mode::One, |config| {
            config.service_level = level;
            config.forests = Some(ForestsConfig::default());
            config.access = AccessRules::new([(Part::GroupExpansion, rule)].into()).unwrap();
        });
        let client = Client::new(&server, SoapVersion::V11);
        let requests = [
            ServerInfoType::VersionInfo,
            ServerInfoType::ServerFeatureInfo,
        ];
        let answer: GetServerInfoResponse<'static> = client
            .ask(
                Service::CertificationServer,
                GetServerInfo {
                    requests: requests
                        .map(|kind| ServerInfoRequest {
                            kind,
                            additional_info: None,
                        })
                        .into(),
                },
            )
            .unwrap();
        let [version, features] = &answer.entries[..] else {
            panic!("two were asked")
        };
        let ServerInfoValue::ServerFeatureInfo(features) = &features.value else {
            panic!("another answer")
        };
        let feature = |name: &str| {
            let mut all = features.iter();
            all.find(|feature| feature.name == name)
                .unwrap()
                .value
                .clone()
        };
        let in_soap = level.has(Feature::SoapGroupExpansion);
        assert_eq!(feature("GroupExpansionWebService"), in_soap.to_string());
        assert_eq!(feature("ActiveDirectoryServicesRemoting"), "true");

        let answer: FindServiceLocationsResponse = client
            .ask(
                Service::CertificationServer,
                FindServiceLocations {
                    services: vec![
                        ServiceType::GroupExpansionService,
                        ServiceType::DrmRemoteDirectoryServices,
                    ],
                },
            )
            .unwrap();
        let urls: Vec<_> = answer
            .locations
            .into_iter()
            .map(|place| place.url)
            .collect();
        let there = |url: &Option<String>| url.as_ref().is_some_and(|url| !url.is_empty());
        assert_eq!(there(&urls[0]), in_soap, "{level}: {urls:?}");
        assert!(there(&urls[1]), "{level}: {urls:?}");

        // Nothing is named that is not there.
        let every = ServiceType::ALL.to_vec();
        let answer: FindServiceLocationsForUserResponse = client
            .signed_in("alice", PASSWORD)
            .ask(
                Service::CertificationServiceLocator,
                FindServiceLocationsForUser { services: every },
            )
            .unwrap();
        for url in answer
            .locations
            .iter()
            .filter_map(|place| place.url.as_ref())
        {
            let path = url.strip_prefix(server.running.url()).unwrap();
            assert!(
                Service::from_path(path).is_none_or(|service| level.offers(service)),
                "{level}: {path}"
            );
        }
        let metrics = get(&server.url("/metrics"), &[]).text();
        let told = format!("level=\"{level}\"}} 1");
        assert!(metrics.contains(&told), "{metrics}");
        match &version.value {
            ServerInfoValue::VersionInfo(version) => version.clone(),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(
        versions,
        ["1.0.3246.0", "5.2.3790.134", "5.2.3790.300", "6.3.0.0"]
    );
}

#[test]
fn certificates_say_which_version_their_server_is_and_before_version_2_not_its_name() {
    let authority = TestServer::start_with(Mode::One, |_| {});
    for level in [ServiceLevel::V1, ServiceLevel::Sp1, ServiceLevel::Sp2] {
        let enrolled = TestServer::enrolled_at(level, &authority);
        let client = Client::new(&enrolled, SoapVersion::V11);
        let answer: GetLicensorCertificateResponse<'static> = client
            .ask(Service::LicensingServer, GetLicensorCertificate)
            .unwrap();
        let slc = Node::parse(answer.certificate_chain.leaf().unwrap().as_str()).unwrap();
        let server = Identity::of_principal(&slc).unwrap();
        assert_eq!(server.object().name, None, "{level}");
        let version = level.server_version().unwrap();
        for told in [
            format!("name=\"Server-Version\" value=\"{version}\""),
            "name=\"Server-SKU\" value=\"RMS 1.0\"".to_owned(),
        ] {
            assert!(slc.text().contains(&told), "{told}: {}", slc.text());
        }
        // What it issues is by that very principal.
        let (alice, bob) = (client.join("alice"), client.join("bob"));
        let issuer = Identity::of_issuer(alice.rac.node()).unwrap();
        assert_eq!(issuer.object(), server.object(), "{level}");
        let draft = Draft::new(&alice, &[("VIEW", "bob@example.test")]);
        let granted = client.license(&bob, &draft.sign(&alice)).unwrap();
        assert_eq!(bob.open(&granted).expose(), draft.key.expose());
    }
}

#[test]
fn s42_only_servers_of_service_pack_1_enroll_off_line() {
    let authority = TestServer::start_with(Mode::One, |_| {});
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name));
    let run = |arguments: &[&str]| {
        let (code, out, complaint) = rmsd(arguments, "");
        assert!(out.is_empty() || code == 0, "{out}");
        (code, complaint)
    };
    let bundle = at("bundle.json");
    let theirs = serde_json::to_string(&authority.bundle.trust).unwrap();
    std::fs::write(&bundle, theirs).unwrap();
    for level in LEVELS {
        let (data, request, response) = (at(level.name()), at("request.xml"), at("response.xml"));
        let name = level.name();
        let fixed = [
            "provision",
            "root",
            "--url",
            "http://rms.example",
            "--data",
            &data,
        ];
        let more = [
            "--ignore-check",
            "all",
            "--mode",
            "1",
            "--service-level",
            name,
        ];
        let provision = [&fixed[..], &more].concat();
        let (code, complaint) = run(&[&provision[..], &["--offline"]].concat());
        if !level.has(Feature::OfflineEnrollment) {
            assert_eq!(code, 1, "{complaint}");
            assert!(
                complaint.contains("service level is 1.0, and this takes sp1"),
                "{complaint}"
            );
            assert!(!std::path::Path::new(&data).exists());
            continue;
        }
        assert_eq!(code, 0, "{level}: {complaint}");
        let asked = ["enroll", "request", &request, "--data", &data, "--force"];
        assert_eq!(run(&asked), (0, String::new()), "{level}");
        let there = text(&authority.data());
        let sign = [
            "authority",
            "sign",
            &request,
            "-o",
            &response,
            "--force",
            "--data",
            &there,
        ];
        assert_eq!(run(&sign), (0, String::new()), "{level}");

        // A server that is set back to 1.0 goes by files no more.
        let file = format!("{data}/rmsd.toml");
        let config = std::fs::read_to_string(&file).unwrap();
        let own = format!("service_level = \"{level}\"\n");
        assert_eq!(config.contains(&own), level != ServiceLevel::default());
        let older = config.replace(&own, "");
        std::fs::write(&file, format!("service_level = \"1.0\"\n{older}")).unwrap();
        let complete = [
            "enroll", "complete", &response, "--bundle", &bundle, "--data", &data,
        ];
        for refused in [
            &asked[..],
            &complete,
            &["renew", "--request", &request, "--data", &data, "--force"],
            &["renew", "--complete", &response, "--data", &data],
        ] {
            let (code, complaint) = run(refused);
            assert_eq!(code, 1, "{refused:?}: {complaint}");
            assert!(complaint.contains("service_level = \"sp1\""), "{complaint}");
        }
        std::fs::write(&file, config).unwrap();
        let (code, complaint) = run(&complete);
        assert_eq!(code, 0, "{level}: {complaint}");
    }
}

#[test]
fn before_version_2_a_cluster_is_certified_by_others_and_of_mode_1() {
    let authority = TestServer::start_with(Mode::One, |_| {});
    let service = Service::Enrollment.url(authority.running.url());
    let folder = tempfile::tempdir().unwrap();
    for level in LEVELS {
        let data = text(&folder.path().join(level.name()));
        let provision = |more: &[&str]| {
            let fixed = [
                "provision",
                "root",
                "--url",
                "http://rms.example",
                "--data",
                &data,
            ];
            let options = ["--ignore-check", "all", "--service-level", level.name()];
            rmsd(&[&fixed[..], &options, &["--json"], more].concat(), "")
        };
        let refusal = |more: &[&str]| {
            let (code, out, _) = provision(more);
            let document: Value = serde_json::from_str(&out).unwrap();
            assert_eq!(
                (code, &document["error"]["code"]),
                (1, &"service-level".into())
            );
            assert!(!std::path::Path::new(&data).exists(), "{level}");
            document["error"]["message"].as_str().unwrap().to_owned()
        };
        if level.has(Feature::SelfEnrollment) {
            let (code, out, _) = provision(&[]);
            let document: Value = serde_json::from_str(&out).unwrap();
            assert_eq!((code, &document["mode"]), (0, &2.into()));
            continue;
        }
        assert!(refusal(&[]).contains("asking nobody"), "{level}");
        assert!(refusal(&["--authority", "self"]).contains("asking nobody"));
        let of_mode_2 = refusal(&["--authority", &service, "--mode", "2"]);
        assert!(of_mode_2.contains("mode 2"), "{of_mode_2}");
        let (code, out, complaint) = provision(&["--authority", &service]);
        let document: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &document["mode"]), (0, &1.into()), "{complaint}");

        // The change of mode is refused, and changes nothing.
        let upgrade = ["key", "upgrade-mode", "--data", &data, "--json"];
        let before = client_bundle(&data).unwrap();
        for more in [
            &["--yes"][..],
            &["--request", &text(&folder.path().join("r.xml"))],
        ] {
            let (code, out, _) = rmsd(&[&upgrade[..], more].concat(), "");
            let document: Value = serde_json::from_str(&out).unwrap();
            assert_eq!(
                (code, &document["error"]["code"]),
                (1, &"service-level".into())
            );
        }
        assert!(!folder.path().join("r.xml").exists());
        assert_eq!(client_bundle(&data).unwrap().trust, before.trust);
    }
}

#[test]
fn a_cluster_of_mode_2_is_served_by_servers_of_version_2_alone() {
    let server = TestServer::start();
    let data = server.data();
    drop(server.running);
    for level in LEVELS {
        let mut config = Config::for_data_dir(&data).unwrap();
        config.service_level = level;
        config.listen = vec!["127.0.0.1:0".parse().unwrap()];
        let name = format!("server-{level}");
        config.server_name = Some(name.clone());
        match Server::start(config) {
            Ok(_) => assert!(level.has(Feature::ModeTwo)),
            Err(error) => {
                assert!(!level.has(Feature::ModeTwo));
                assert!(error.to_string().contains("this takes 2.0"), "{error}");
            }
        }
    }
}

#[test]
fn a_server_below_version_2_stays_with_what_it_knows_when_its_cluster_changes_its_mode() {
    let server = TestServer::at_level(ServiceLevel::Sp2);
    let client = Client::new(&server, SoapVersion::V11);
    let (alice, bob) = (client.join("alice"), client.join("bob"));
    // The configuration file says nothing of a level: the command is of the newest.
    let data = text(&server.data());
    let (code, _, complaint) = rmsd(&["key", "upgrade-mode", "--yes", "--data", &data], "");
    assert_eq!(code, 0, "{complaint}");
    let error = server.running.reload_now().unwrap_err();
    assert!(error.to_string().contains("this takes 2.0"), "{error}");
    let draft = Draft::new(&alice, &[("VIEW", "bob@example.test")]);
    let granted = client.license(&bob, &draft.sign(&alice)).unwrap();
    assert_eq!(bob.open(&granted).expose(), draft.key.expose());
}

#[test]
fn names_in_several_languages_are_taken_from_service_pack_1_on() {
    for level in LEVELS {
        let server = TestServer::at_level(level);
        let create = |names: &[&str]| {
            let name = |(index, name)| serde_json::json!({ "lcid": 1033 + index, "name": name });
            let names: Vec<_> = names.iter().enumerate().map(name).collect();
            let description = serde_json::json!({ "names": names }).to_string();
            let token = format!("Bearer {}", server.admin_token());
            let url = server.url("/admin/api/templates");
            let answer = post(&url, &[("authorization", &token)], &description);
            let document: Value = serde_json::from_slice(&answer.body).unwrap();
            (answer.status, document["error"]["code"].clone())
        };
        assert_eq!(create(&["Staff"]), (201, Value::Null));
        let several = create(&["Staff", "Personal"]);
        if level.has(Feature::MultilingualTemplates) {
            assert_eq!(several, (201, Value::Null));
        } else {
            assert_eq!(several, (400, "service-level".into()));
        }
    }
}

#[test]
fn the_oldest_security_processor_that_is_taken_is_set_by_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let data = text(&folder.path().join("data"));
    let provision = [
        "provision",
        "root",
        "--url",
        "http://127.0.0.1:1",
        "--data",
        &data,
    ];
    let (code, _, complaint) = rmsd(&[&provision[..], &["--ignore-check", "all"]].concat(), "");
    assert_eq!(code, 0, "{complaint}");
    let lockbox = |more: &[&str]| {
        let fixed = ["exclusion", "lockbox", "--data", &data, "--json"];
        let (code, out, _) = rmsd(&[&fixed[..], more].concat(), "");
        let told: Value = serde_json::from_str(&out).unwrap_or_default();
        (code, told["minimum"].as_str().map(str::to_owned))
    };
    let set = (0, Some("5.0.0.0".to_owned()));
    assert_eq!(lockbox(&[]), (0, None));
    assert_eq!(lockbox(&["--minimum", "5.0.0.0"]), set);
    assert_eq!(lockbox(&[]), set);
    assert_eq!(lockbox(&["--minimum", "five"]).0, 2);
    assert_eq!(lockbox(&["--minimum", "6.0.0.0", "--none"]).0, 2);
    assert_eq!(lockbox(&[]), set);
    assert_eq!(lockbox(&["--none"]), (0, None));
}
