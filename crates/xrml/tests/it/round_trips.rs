//! Each kind: built, signed, parsed, verified, and the typed view says what went in.

use openrms_crypto::{Digest, Mode, PrivateKey as _};
use openrms_xrml::issuing::{IssuingCertificate, IssuingRole, issue_range};
use openrms_xrml::names::{format_names, parse_names};
use openrms_xrml::pl::{Descriptor, NewRights, PlContent, PublishingLicense, ServerPart};
use openrms_xrml::rac::{AccountCertificate, AccountIdentity, AccountType, RacRequest, SealedTo};
use openrms_xrml::revocation_list::{RevocationList, Revoked};
use openrms_xrml::rights::{Right, TimeCondition};
use openrms_xrml::rights_data::{Grantee, RightGrant, RightsData};
use openrms_xrml::spc::{ActivationLocation, SecurityProcessorCertificate};
use openrms_xrml::ul::{UlRequest, UseLicense};
use openrms_xrml::{Guid, Hand, Kind, Node, Object, XrmlError};

use crate::support::{
    EMAIL, Hierarchy, NASTY, account, bits, grants, guid, issue, issued, names, node, policies,
    range, rights_data_request, span, time,
};

/// The text with every base64 value and every key left out, for snapshots.
fn redacted(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("encoding=\"base64\"") {
        out.push_str(before);
        out.push_str("encoding=\"base64\"");
        let (attributes, after) = after.split_once('>').unwrap();
        let (_, after) = after.split_once('<').unwrap();
        out.push_str(attributes);
        out.push_str(">..<");
        rest = after;
    }
    out.push_str(rest);
    let rights = "id=\"Encrypted-Rights-Data\">";
    if let Some((before, after)) = out.split_once(rights) {
        let after = after.split_once('<').unwrap().1;
        out = format!("{before}{rights}..<{after}");
    }
    out.replace("><", ">\n<")
}

#[test]
fn issuing_certificates_of_each_role() {
    for mode in [Mode::One, Mode::Two] {
        let h = Hierarchy::new(mode);
        for (certified, kind, principal) in [
            (&h.ca, Kind::CaCertificate, "DRM-Certificate-Authority"),
            (
                &h.enrollment_ca,
                Kind::CaCertificate,
                "DRM-Certificate-Authority",
            ),
            (
                &h.enrollment_service,
                Kind::ServerLicensorCertificate,
                "MS-DRM-Server",
            ),
            (&h.slc, Kind::ServerLicensorCertificate, "MS-DRM-Server"),
            (
                &h.intermediate,
                Kind::CaCertificate,
                "DRM-Certificate-Authority",
            ),
            (
                &h.sp_ca,
                Kind::CaCertificate,
                "DRM-Desktop-Security-Processor-Certificate-Authority",
            ),
            (
                &h.spc_issuer,
                Kind::ServerLicensorCertificate,
                "MS-DRM-Desktop-Security-Processor",
            ),
        ] {
            let node = node(&certified.text);
            assert_eq!(node.kind(), kind);
            assert_eq!(node.content().issued, issued());
            assert_eq!(issue_range(&node), Some(range()));
            let found = node.content().principal.as_ref().unwrap();
            assert_eq!(found.object, *certified.identity.object());
            assert_eq!(found.object.kind.as_deref(), Some(principal));
            assert_eq!(node.principal_key(), Some(certified.key.public()));
            assert_eq!(node.principal_key().unwrap().bits(), mode.rsa_bits());
            assert_eq!(node.signature().unwrap().digest.algorithm(), mode.hash());
            assert!(node.content().unknown.is_empty());
        }
        assert_eq!(node(&h.ca.text).issuer_key(), Some(h.root.public()));
        assert_eq!(
            node(&h.slc.text).issuer_key(),
            Some(h.enrollment_service.key.public())
        );
    }
}

#[test]
fn a_server_is_copied_into_what_it_issues_as_its_certificate_names_it() {
    let h = Hierarchy::new(Mode::One);
    let server = h.server();
    assert_eq!(server.identity(), &h.slc.identity);
    assert_eq!(server.range(), Some(range()));
    assert!(server.node().text().contains(server.identity().xml()));
    let person = h.person(account("reader"));
    assert!(person.rac.text.contains(&server.identity().issuer()));
    let view = node(&person.rac.text);
    assert_eq!(
        openrms_xrml::Identity::of_issuer(&view),
        Some(server.identity().clone())
    );
    let levels = &view.content().issuer.as_ref().unwrap().security_levels;
    assert_eq!(levels[1].value, "OpenRMS <\"&\">");
    // An SPC issuer has the same kind but is no server.
    let error = openrms_xrml::issuing::ServerLicensorCertificate::new(node(&h.spc_issuer.text));
    assert!(matches!(
        error,
        Err(XrmlError::Invalid {
            field: "PRINCIPAL",
            ..
        })
    ));
}

#[test]
fn revocation_authorities_stand_in_the_server_licensor_certificate() {
    let h = Hierarchy::new(Mode::One);
    let certificate = IssuingCertificate {
        role: IssuingRole::ServerLicensor,
        id: guid(9),
        issued: issued(),
        validity: Some(range()),
        issuer: h.enrollment_service.identity.clone(),
        principal: h.slc.identity.clone(),
        range: range(),
        revocation_authorities: vec![h.root.public().clone()],
    };
    let text = certificate
        .sign(&h.enrollment_service.key, h.hash())
        .unwrap();
    let node = node(&text);
    assert_eq!(node.content().validity, Some(range()));
    let list = node.slice(node.content().condition_list.as_ref().unwrap());
    assert_eq!(list.matches("<OBJECT type=\"Revocation\">").count(), 2);
    assert_eq!(
        list.matches("<ID type=\"ascii-tag\">External revocation authority</ID>")
            .count(),
        2
    );
    assert!(list.ends_with("<INTERVALTIME /></REFRESH></CONDITIONLIST>"));
    insta::assert_snapshot!("server_licensor_certificate", redacted(&text));
}

#[test]
fn security_processor_certificates() {
    for mode in [Mode::One, Mode::Two] {
        let h = Hierarchy::new(mode);
        let person = h.person(account("reader"));
        let view = SecurityProcessorCertificate::new(node(&person.spc.text)).unwrap();
        assert_eq!(view.key(), person.spc.key.public());
        assert_eq!(view.security_levels()[1].value, format!("OpenRMS {NASTY}"));
        assert_eq!(view.repository_version(), Some([6, 1, 7600, 16385]));
        let content = view.node().content();
        let object = &content.principal.as_ref().unwrap().object;
        assert_eq!(object.as_guid(), Some(guid(21)));
        assert_eq!(object.id, guid(21).to_upper());
        let activation = content.distribution_point("Activation").unwrap();
        assert_eq!(activation.object.url(), Some("file:///usr/lib/openrms"));
        assert!(person.rac.text.contains(view.machine_raw()));
        if mode == Mode::Two {
            insta::assert_snapshot!("security_processor_certificate", redacted(&person.spc.text));
        }
    }
}

#[test]
fn certificates_of_security_processors_that_came_over_the_network() {
    let h = Hierarchy::new(Mode::Two);
    let service = h.activation();
    let location = ActivationLocation::Service("https://rms.example.org/_wmcs".into());
    let spc = h.spc_of((&service.identity, &service.key), location);
    let view = SecurityProcessorCertificate::new(node(&spc.text)).unwrap();
    let issuer = openrms_xrml::Identity::of_issuer(view.node()).unwrap();
    assert_eq!(issuer, service.identity);
    assert_eq!(issuer.object().kind.as_deref(), Some("MS-DRM-Server"));
    let name = issuer.object().name.as_deref();
    assert_eq!(name, Some("Machine Activation Server"));
    let level = r#"<SECURITYLEVEL name="Certificate Practice Statement""#;
    assert!(issuer.xml().contains(level), "{}", issuer.xml());
    let point = view.node().content().distribution_point("Activation");
    let object = &point.unwrap().object;
    assert_eq!(object.name.as_deref(), Some("Microsoft Activation Server"));
    assert_eq!(object.url(), Some("https://rms.example.org/_wmcs"));
    insta::assert_snapshot!("spc_of_version_1", redacted(&spc.text));
}

#[test]
fn a_hardware_digest_longer_than_its_size_is_no_reason_to_refuse() {
    let h = Hierarchy::new(Mode::One);
    let person = h.person(account("reader"));
    let from = person.spc.text.find("<DIGEST>").unwrap();
    let value = person.spc.text[from..].find("size=\"160\">").unwrap() + from + 11;
    let changed = format!(
        "{}AAAA{}",
        &person.spc.text[..value],
        &person.spc.text[value..]
    );
    let again = crate::support::sign_again(&changed, &h.spc_issuer.key);
    assert!(SecurityProcessorCertificate::new(node(&again)).is_ok());
}

#[test]
fn account_certificates() {
    for mode in [Mode::One, Mode::Two] {
        let h = Hierarchy::new(mode);
        let who = AccountIdentity {
            account_type: AccountType::Federation,
            id: "{13a69d19-9791-4ac5-a3a9-2fa5af166d44}".into(),
            email: EMAIL.into(),
            aliases: vec!["b@example.org".into(), "<c&d>@example.org".into()],
        };
        let person = h.person(who.clone());
        let view = AccountCertificate::new(node(&person.rac.text)).unwrap();
        assert_eq!(view.account(), &who);
        assert_eq!(view.key(), person.rac.key.public());
        assert_eq!(view.sealed_key(), Some(&bits(mode, 768)));
        assert_eq!(view.machine(), Some(guid(21).to_upper().as_str()));
        assert_eq!(view.repository_version(), Some([6, 1, 7600, 16385]));
        assert_eq!(
            view.validity(),
            Some(span("2024-02-28T12:30", "2025-02-28T12:30"))
        );
        assert_eq!(view.credential_created(), None);
        assert!(!view.is_temporary());
        assert!(
            view.principal_raw()
                .starts_with("<PRINCIPAL internal-id=\"1\">")
        );
        let content = view.node().content();
        let url = |kind| content.distribution_point(kind).unwrap().object.url();
        assert_eq!(url("Activation"), Some("https://rms/_wmcs/certification"));
        assert_eq!(
            url("Extranet-Activation"),
            Some("https://rms.example.org/_wmcs/certification")
        );
        if mode == Mode::Two {
            insta::assert_snapshot!("rights_account_certificate", redacted(&person.rac.text));
        }
    }
}

#[test]
fn temporary_account_certificates_say_so() {
    let h = Hierarchy::new(Mode::One);
    let person = h.person(account("kiosk"));
    let machine = SecurityProcessorCertificate::new(node(&person.spc.text)).unwrap();
    let request = RacRequest {
        id: guid(30),
        issued: issued(),
        validity: range(),
        issuer: &h.slc.identity,
        certification_url: "https://rms/_wmcs/certification",
        external_certification_url: None,
        account: &person.account,
        key: person.rac.key.public(),
        temporary: true,
        sealed: Some(SealedTo {
            machine: &machine,
            key: &bits(h.mode, 768),
        }),
    };
    let text = request.sign(&h.slc.key, h.hash()).unwrap();
    let view = AccountCertificate::new(node(&text)).unwrap();
    assert!(view.is_temporary());
    assert_eq!(view.node().content().distribution_points.len(), 1);
}

#[test]
fn an_account_certificate_issued_on_behalf_has_the_public_key_and_no_machine() {
    let h = Hierarchy::new(Mode::Two);
    let person = h.person(account("absent"));
    let request = RacRequest {
        id: guid(30),
        issued: issued(),
        validity: range(),
        issuer: &h.slc.identity,
        certification_url: "https://rms/_wmcs/certification",
        external_certification_url: None,
        account: &person.account,
        key: person.rac.key.public(),
        temporary: false,
        sealed: None,
    };
    let text = request.sign(&h.slc.key, h.hash()).unwrap();
    assert!(!text.contains("FEDERATIONPRINCIPALS") && !text.contains("ENABLINGBITS"));
    let view = AccountCertificate::new(node(&text)).unwrap();
    assert_eq!(
        (view.account(), view.key()),
        (&person.account, person.rac.key.public())
    );
    assert_eq!((view.sealed_key(), view.machine()), (None, None));
    // What the person's own certificate says of them is said here to the letter.
    let own = AccountCertificate::new(node(&person.rac.text)).unwrap();
    assert_eq!(view.principal_raw(), own.principal_raw());
    assert_eq!(
        view.principal_raw(),
        person.account.principal(view.key(), false)
    );
}

#[test]
fn client_licensor_certificates() {
    for mode in [Mode::One, Mode::Two] {
        let h = Hierarchy::new(mode);
        let person = h.person(account("author"));
        let view = person.clc_view();
        assert_eq!(view.account(), &person.account);
        assert_eq!(view.key(), person.clc.key.public());
        assert_eq!(view.range(), Some(range()));
        assert_eq!(view.sealed_key(), Some(&bits(mode, 768)));
        assert_eq!(view.server().unwrap(), h.slc.identity);
        assert_eq!(
            view.licensing_urls().collect::<Vec<_>>(),
            [
                "https://rms/_wmcs/licensing",
                "https://rms.example.org/_wmcs/licensing"
            ]
        );
        if mode == Mode::Two {
            insta::assert_snapshot!("client_licensor_certificate", redacted(&person.clc.text));
        }
    }
}

#[test]
fn a_federated_author_is_named_by_guid_and_aliases_in_all_they_hold() {
    let h = Hierarchy::new(Mode::Two);
    let person = h.person(AccountIdentity {
        account_type: AccountType::Federation,
        id: Guid::of_digest(&[0xff; 32]).to_string(),
        email: EMAIL.into(),
        aliases: vec!["b@example.org".into()],
    });
    assert_eq!(person.account.id, "{ffffffff-ffff-8fff-bfff-ffffffffffff}");
    assert_eq!(person.clc_view().account(), &person.account);
    let rac = AccountCertificate::new(node(&person.rac.text)).unwrap();
    assert_eq!(rac.account(), &person.account);
    let aliases = person.clc.text.matches("<ADDRESS type=\"email_alias\">");
    assert_eq!(aliases.count(), 1);
}

fn check_pl<N>(pl: &PublishingLicense<N>, h: &Hierarchy, content: &PlContent)
where
    N: std::ops::Deref<Target: openrms_xrml::pl::AsNode>,
{
    assert_eq!(pl.content_id(), Some(guid(51).to_upper().as_str()));
    assert_eq!(pl.policy_id(), Some(guid(50)));
    assert_eq!(pl.encrypted_rights(), content.encrypted_rights);
    assert_eq!(pl.sealed_key(), Some(&content.sealed_key));
    assert_eq!(pl.server_key(), Some(h.slc.key.public()));
    assert_eq!(pl.owner(), Some(&content.owner));
    assert_eq!(pl.authenticated("LABEL", "ID").unwrap().value, NASTY);
    assert_eq!(pl.node().content().validity, content.validity);
    let referral = &pl
        .node()
        .content()
        .distribution_point("Referral-Info")
        .unwrap()
        .object;
    assert_eq!(referral.name.as_deref(), Some(NASTY));
    assert_eq!(referral.url(), Some("mailto:author@example.org"));
    let name = pl
        .node()
        .content()
        .descriptor
        .as_ref()
        .unwrap()
        .name
        .clone()
        .unwrap();
    assert_eq!(parse_names(&name), names());
    // The content key is bound to the same text before it is put in and after, whoever signs.
    assert_eq!(pl.binding_text(), PlContent::binding_text(&h.slc.identity));
    assert!(!pl.binding_text().contains("ENABLINGBITS"));
}

#[test]
fn publishing_licenses_signed_by_their_author() {
    for mode in [Mode::One, Mode::Two] {
        let h = Hierarchy::new(mode);
        let person = h.person(account("author"));
        let text = h.pl(&person);
        let pl = PublishingLicense::new(node(&text)).unwrap();
        check_pl(&pl, &h, &h.pl_content());
        assert_eq!(
            pl.licensing_urls().collect::<Vec<_>>(),
            [
                "https://rms/_wmcs/licensing",
                "https://rms.example.org/_wmcs/licensing"
            ]
        );
        assert_eq!(pl.shared().issuer_key(), Some(person.clc.key.public()));
        if mode == Mode::Two {
            insta::assert_snapshot!("publishing_license_of_a_client", redacted(&text));
        }
    }
}

#[test]
fn publishing_licenses_signed_by_the_server() {
    for mode in [Mode::One, Mode::Two] {
        let h = Hierarchy::new(mode);
        let mut content = h.pl_content();
        let unsigned = Node::parse(content.unsigned()).unwrap();
        assert!(unsigned.signature().is_none());
        let unsigned = PublishingLicense::new(Box::new(unsigned)).unwrap();
        check_pl(&unsigned, &h, &content);
        content.sealed_key = bits(mode, 400);
        let part = ServerPart {
            issued: time("2024-03-01T00:00"),
            issuer: &h.slc.identity,
            licensing_url: "https://rms/_wmcs/licensing",
            external_licensing_url: None,
            sealed_key: &content.sealed_key,
        };
        let text = unsigned
            .sign_as_server(&part, &h.slc.key, h.hash())
            .unwrap();
        let pl = PublishingLicense::new(node(&text)).unwrap();
        check_pl(&pl, &h, &content);
        assert_eq!(pl.node().content().issued, part.issued);
        assert_eq!(pl.node().issuer_key(), Some(h.slc.key.public()));
        assert_eq!(
            pl.licensing_urls().collect::<Vec<_>>(),
            ["https://rms/_wmcs/licensing"]
        );
        if mode == Mode::Two {
            insta::assert_snapshot!("publishing_license_of_a_server", redacted(&text));
        }
    }
}

#[test]
fn a_republished_license_has_the_rights_and_the_proof_it_is_given_and_none_of_its_own() {
    let h = Hierarchy::new(Mode::Two);
    let proof = |value: &str| {
        let name = openrms_xrml::author_proof::AUTHOR_PROOF_NAME;
        ("APPSPECIFIC".to_owned(), name.to_owned(), value.to_owned())
    };
    let content = PlContent {
        extra: vec![
            proof("b2xk"),
            ("APPSPECIFIC".into(), "KEPT".into(), "1".into()),
        ],
        ..h.pl_content()
    };
    let unsigned = PublishingLicense::new(Box::new(Node::parse(content.unsigned()).unwrap()));
    let unsigned = unsigned.unwrap();
    let part = ServerPart {
        issued: issued(),
        issuer: &h.slc.identity,
        licensing_url: "https://rms/_wmcs/licensing",
        external_licensing_url: None,
        sealed_key: &content.sealed_key,
    };
    for author_proof in [Some(b"new".to_vec()), None] {
        let rights = NewRights {
            encrypted: vec![9; 32],
            author_proof,
        };
        let text = unsigned
            .republish_as_server(&part, &rights, &h.slc.key, h.hash())
            .unwrap();
        let license = PublishingLicense::new(node(&text)).unwrap();
        assert_eq!(license.encrypted_rights(), rights.encrypted);
        let name = openrms_xrml::author_proof::AUTHOR_PROOF_NAME;
        let carried = license.authenticated("APPSPECIFIC", name);
        let wanted = rights.author_proof.as_ref().map(|_| "bmV3");
        assert_eq!(carried.map(|data| data.value.as_str()), wanted);
        assert_eq!(
            text.matches(name).count(),
            usize::from(rights.author_proof.is_some())
        );
        assert!(license.authenticated("APPSPECIFIC", "KEPT").is_some());
    }
}

#[test]
fn what_a_server_signs_has_nothing_but_the_known_parts_of_the_clients_text() {
    let h = Hierarchy::new(Mode::One);
    let content = PlContent {
        descriptor: None,
        validity: None,
        ..h.pl_content()
    };
    let sneaked = content
        .unsigned()
        .replace(
            "</BODY>",
            "<ISSUER><OBJECT><ID type=\"\" /></OBJECT></ISSUER><EVIL /></BODY>",
        )
        .replace(
            "<WORK>",
            "<WORK><RIGHTSGROUP><RIGHTSLIST><OWNER /></RIGHTSLIST></RIGHTSGROUP>",
        )
        .replace("<METADATA>", "<METADATA><EVIL />");
    let unsigned = PublishingLicense::new(Box::new(Node::parse(sneaked).unwrap())).unwrap();
    let part = ServerPart {
        issued: issued(),
        issuer: &h.slc.identity,
        licensing_url: "https://rms/_wmcs/licensing",
        external_licensing_url: None,
        sealed_key: &content.sealed_key,
    };
    let text = unsigned
        .sign_as_server(&part, &h.slc.key, h.hash())
        .unwrap();
    assert!(!text.contains("EVIL") && !text.contains("RIGHTSGROUP"));
    assert_eq!(text.matches("<ISSUER>").count(), 1);
    let clean = PublishingLicense::new(Box::new(Node::parse(content.unsigned()).unwrap())).unwrap();
    assert_eq!(
        clean.sign_as_server(&part, &h.slc.key, h.hash()).unwrap(),
        text
    );
}

#[test]
fn a_descriptor_is_taken_over_verbatim_from_a_template() {
    let h = Hierarchy::new(Mode::One);
    let template = node(&h.template());
    let raw = template
        .slice(template.content().descriptor_raw.as_ref().unwrap())
        .to_owned();
    let content = PlContent {
        descriptor: Some(Descriptor::Verbatim(raw.clone())),
        ..h.pl_content()
    };
    let pl = PublishingLicense::new(Box::new(Node::parse(content.unsigned()).unwrap())).unwrap();
    assert!(pl.node().text().contains(&raw));
    assert_eq!(pl.policy_id(), Some(guid(70)));
}

#[test]
fn use_licenses_of_servers_and_owners() {
    for mode in [Mode::One, Mode::Two] {
        let h = Hierarchy::new(mode);
        let person = h.person(account("author"));
        let pl = h.pl(&person);
        for (hand, by, name) in [
            (Hand::Server, &h.slc, "use_license_of_a_server"),
            (Hand::Client, &person.clc, "use_license_of_an_owner"),
        ] {
            let text = h.ul(&pl, &person, by, hand);
            let ul = UseLicense::new(node(&text)).unwrap();
            assert_eq!(ul.account(), &person.account);
            assert_eq!(ul.key(), person.rac.key.public());
            assert_eq!(ul.content_id(), Some(guid(51).to_upper().as_str()));
            assert_eq!(ul.sealed_key(), Some(&bits(mode, 336)));
            let times: Vec<_> = ul
                .rights()
                .iter()
                .map(|e| (e.right.name(), e.time))
                .collect();
            let limited = TimeCondition {
                range: Some(range()),
                days: Some(30),
            };
            assert_eq!(
                times,
                [("VIEW", TimeCondition::default()), ("OBJMODEL", limited)]
            );
            assert!(
                ul.rights()
                    .iter()
                    .all(|entry| entry.unknown_conditions.is_empty())
            );
            assert!(ul.must_not_be_cached());
            let data: Vec<_> = ul
                .app_data()
                .map(|d| (d.name.as_deref(), d.value.as_str()))
                .collect();
            assert_eq!(data, [(Some("NOLICCACHE"), "1"), (Some("X"), NASTY)]);
            assert_eq!(ul.policy_lists(), policies());
            assert_eq!(ul.conditions()[0].name, "OS-Exclusion");
            assert_eq!(ul.conditions()[0].value, "5.0.0.0-5.1.9999.0");
            assert_eq!(ul.revocation_raw(), None);
            let descriptor = ul.node().content().descriptor.clone().unwrap();
            assert_eq!(descriptor.as_guid(), Some(guid(60)));
            assert_eq!(
                UlRequest::binding_text(&by.identity),
                text[text.find("<ISSUER>").unwrap()..text.find("</ISSUER>").unwrap() + 9]
            );
            if mode == Mode::Two {
                insta::assert_snapshot!(name, redacted(&text));
            }
        }
    }
}

#[test]
fn rights_data_of_an_author() {
    let request = rights_data_request();
    let text = request.text();
    let data = RightsData::parse(&text).unwrap();
    assert!(!data.is_official());
    assert_eq!(data.node().kind(), Kind::RightsTemplate);
    assert_eq!(data.grants(), request.grants);
    assert_eq!(data.precondition(), request.precondition);
    assert_eq!(data.policy_id(), Some(guid(50)));
    assert_eq!(data.names()[0].name, "a");
    assert_eq!(data.owner(), Some(&request.owner));
    assert_eq!(data.policy_lists(), request.policy_lists);
    let app_data: Vec<_> = data
        .app_data()
        .map(|d| (d.name.clone().unwrap(), d.value.clone()))
        .collect();
    assert_eq!(app_data, request.app_data);
    insta::assert_snapshot!("rights_data", redacted(&text));

    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for filling in 0..16 {
        let filled = [&bytes[..], &vec![0; filling]].concat();
        assert_eq!(
            RightsData::from_decrypted(&filled).unwrap().grants(),
            request.grants
        );
    }
}

#[test]
fn official_templates() {
    for mode in [Mode::One, Mode::Two] {
        let h = Hierarchy::new(mode);
        let text = h.template();
        node(&text);
        let template = RightsData::parse(&text).unwrap();
        assert!(template.is_official());
        let owner = RightGrant::new(Right::new(Right::OWNER), Grantee::Owner);
        assert_eq!(template.grants(), [vec![owner], grants()].concat());
        assert_eq!(template.names(), names());
        assert_eq!(template.policy_id(), Some(guid(70)));
        assert_eq!(
            template.precondition(),
            TimeCondition {
                range: None,
                days: Some(90)
            }
        );
        let url = |kind| {
            template
                .node()
                .content()
                .distribution_point(kind)
                .unwrap()
                .object
                .url()
        };
        assert_eq!(url("Publishing-URL"), Some("https://rms/_wmcs/licensing"));
        assert_eq!(url("Referral-Info"), Some("mailto:help@example.org"));
        assert_eq!(template.app_data().count(), 2);
        if mode == Mode::Two {
            insta::assert_snapshot!("official_template", redacted(&text));
        }
    }
}

#[test]
fn revocation_lists() {
    let h = Hierarchy::new(Mode::Two);
    let person = h.person(account("reader"));
    let pl = node(&h.pl(&person));
    let digest = |algorithm| Digest::of_utf16le(algorithm, pl.body());
    let sha1 = digest(openrms_crypto::HashAlgorithm::Sha1);
    let sha256 = digest(openrms_crypto::HashAlgorithm::Sha256);
    let entries = vec![
        Revoked::PrincipalKey(person.rac.key.public().clone()),
        Revoked::PrincipalId("Windows".into(), person.account.id.clone()),
        Revoked::LicenseId(guid(30).to_string()),
        Revoked::LicenseHash(sha1),
        Revoked::LicenseHash(sha256),
        Revoked::IssuerKey(h.spc_issuer.key.public().clone()),
        Revoked::IssuerId("Contoso & <Co>".into()),
        Revoked::ContentId("July 2003 Subscriber List".into()),
        Revoked::ContentId(guid(51).to_string()),
    ];
    let text = h.revocation_list(entries.clone());
    let list = RevocationList::new(node(&text)).unwrap();
    assert_eq!(list.entries(), entries);
    insta::assert_snapshot!("revocation_list", redacted(&text));

    let rac = node(&person.rac.text);
    let clc = node(&person.clc.text);
    let spc = node(&person.spc.text);
    let ul = node(&h.ul(&h.pl(&person), &person, &h.slc, Hand::Server));
    let hit = |entry: &Revoked| {
        let list = RevocationList::new(node(&h.revocation_list(vec![entry.clone()]))).unwrap();
        [&rac, &clc, &spc, &pl, &ul].map(|node| u8::from(list.revokes(node)))
    };
    let hits: Vec<_> = entries.iter().map(hit).collect();
    assert_eq!(
        hits,
        [
            [1, 0, 0, 0, 1],
            [1, 1, 0, 0, 1],
            [1, 0, 0, 0, 0],
            [0, 0, 0, 1, 0],
            [0, 0, 0, 1, 0],
            [0, 0, 1, 0, 0],
            [0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0],
            [0, 0, 0, 1, 1],
        ]
    );
    assert!(
        !RevocationList::new(node(&h.revocation_list(vec![])))
            .unwrap()
            .revokes(&rac)
    );
}

#[test]
fn a_revocation_entry_that_nobody_understands_refuses_the_whole_list() {
    let h = Hierarchy::new(Mode::One);
    let text = h.revocation_list(vec![Revoked::LicenseId(guid(1).to_string())]);
    for (from, to) in [
        ("type=\"license-id\"", "type=\"license-colour\""),
        ("category=\"license\"", "category=\"weather\""),
        ("<REVOCATIONLIST>", "<REVOCATIONLIST><REVOKE />"),
        ("<REVOCATIONLIST>", "<REVOCATIONLIST><PARDON />"),
    ] {
        let again = crate::support::sign_again(&text.replace(from, to), &h.slc.key);
        let error = RevocationList::new(node(&again)).unwrap_err();
        assert!(
            matches!(
                error,
                XrmlError::Invalid {
                    field: "REVOKE",
                    ..
                }
            ),
            "{to}"
        );
    }
}

#[test]
fn a_view_of_another_kind_is_refused_by_name() {
    let h = Hierarchy::new(Mode::One);
    let person = h.person(account("reader"));
    let rac = node(&person.rac.text);
    let wrong = |expected| XrmlError::WrongKind {
        expected,
        found: Kind::RightsAccountCertificate,
    };
    assert_eq!(
        UseLicense::new(rac.clone()).unwrap_err(),
        wrong(Kind::UseLicense)
    );
    assert_eq!(
        SecurityProcessorCertificate::new(rac.clone()).unwrap_err(),
        wrong(Kind::SecurityProcessorCertificate)
    );
    assert_eq!(
        PublishingLicense::new(rac.clone()).unwrap_err(),
        wrong(Kind::PublishingLicense)
    );
    assert_eq!(
        RevocationList::new(rac).unwrap_err(),
        wrong(Kind::RevocationList)
    );
    assert_eq!(
        RightsData::parse(&person.rac.text).unwrap_err(),
        wrong(Kind::RightsTemplate)
    );
}

#[test]
fn names_pass_through_a_certificate() {
    let text = format_names(&names());
    let content = PlContent {
        descriptor: Some(Descriptor::Own(
            Object::guid(None, guid(1)).named(text.as_str()),
        )),
        ..Hierarchy::new(Mode::One).pl_content()
    };
    let node = Node::parse(content.unsigned()).unwrap();
    assert!(node.text().contains(";\n</NAME>"));
    let read = node.content().descriptor.clone().unwrap().name.unwrap();
    assert_eq!(read, text.trim_end());
    assert_eq!(parse_names(&read), names());
}

#[test]
fn guids_are_read_in_any_case_and_with_or_without_braces() {
    let guid: Guid = "{0F45FD50-383B-43EE-90A4-ED013CD0CFE5}".parse().unwrap();
    assert_eq!("0f45fd50-383b-43ee-90a4-ed013cd0cfe5".parse(), Ok(guid));
    assert_eq!(guid.to_string(), "{0f45fd50-383b-43ee-90a4-ed013cd0cfe5}");
    assert_eq!(guid.to_upper(), "{0F45FD50-383B-43EE-90A4-ED013CD0CFE5}");
    for text in [
        "",
        "{}",
        "{0F45FD50-383B-43EE-90A4-ED013CD0CFE5",
        "0F45FD50383B43EE90A4ED013CD0CFE5",
    ] {
        assert!(text.parse::<Guid>().is_err(), "{text}");
    }
}

#[test]
fn a_fresh_slc_of_each_mode_has_the_size_of_its_mode() {
    for mode in [Mode::One, Mode::Two] {
        let h = Hierarchy::new(mode);
        let by = (&h.enrollment_service.identity, &h.enrollment_service.key);
        let slc = issue(mode, IssuingRole::ServerLicensor, 9, by, range());
        let size = format!("size=\"{}\"", mode.rsa_bits());
        // Issuer, principal and signature.
        assert_eq!(slc.text.matches(&size).count(), 3);
    }
}
