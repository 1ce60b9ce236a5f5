//! Real files: each row of the corpus manifest that concerns licenses.

use std::ops::Range;

use openrms_xrml::anchors::Anchors;
use openrms_xrml::chain::{self, ChainError, SharedNode};
use openrms_xrml::clc::ClientLicensorCertificate;
use openrms_xrml::names::parse_names;
use openrms_xrml::node::SignatureError;
use openrms_xrml::pl::PublishingLicense;
use openrms_xrml::rac::AccountCertificate;
use openrms_xrml::rights::Right;
use openrms_xrml::rights_data::{Grantee, RightsData};
use openrms_xrml::surface;
use openrms_xrml::text::{self, Encoding};
use openrms_xrml::ul::UseLicense;
use openrms_xrml::{Kind, Node};

use crate::support::{span, time};

/// A license of the corpus: its file, where in the file it is, and what it says.
struct Row {
    file: &'static str,
    at: Range<usize>,
    encoding: Encoding,
    kinds: &'static [Kind],
    content_id: &'static str,
    issuer: (&'static str, &'static str),
    issued_to: (&'static str, &'static str),
    urls: &'static [&'static str],
    owner: &'static str,
    issued: &'static str,
    enabling_bits: (&'static str, usize),
    rights_bytes: usize,
}

const SHARED: &str = "{407999b7-d71b-47ff-b672-d9e369f59c23}";
const TENANT: &str = "Microsoft Corporation";
const TENANT_URLS: &[&str] =
    &["https://c04a2344-eae8-4d4f-89dc-036792332149.rms.na.aadrm.com/_wmcs/licensing"; 2];
const PL: &[Kind] = &[Kind::PublishingLicense];
const EIGHT: &[Kind] = &[
    Kind::PublishingLicense,
    Kind::ClientLicensorCertificate,
    Kind::UseLicense,
    Kind::ClientLicensorCertificate,
    Kind::ServerLicensorCertificate,
    Kind::ServerLicensorCertificate,
    Kind::CaCertificate,
    Kind::CaCertificate,
];
const EIGHT_FILE: &str = "ole-ooxml-parts/DRMEncryptedTransform.Primary.bin";

fn rows() -> Vec<Row> {
    let tenant = |file, content_id, owner, issued| Row {
        file,
        at: 458..458 + 40_552,
        encoding: Encoding::Utf8Bom,
        kinds: PL,
        content_id,
        issuer: (TENANT, SHARED),
        issued_to: (TENANT, SHARED),
        urls: TENANT_URLS,
        owner,
        issued,
        enabling_bits: ("sealed-key-v2", 2816),
        rights_bytes: 26_960,
    };
    let (alice, admin) = (
        "alice@isvtenant999.onmicrosoft.com",
        "admin@isvtenant999.onmicrosoft.com",
    );
    vec![
        tenant(
            "pfile/AliceBvt.txt.pfile",
            "{23090335-566a-4e3f-9ba8-544ca32e5998}",
            alice,
            "2017-01-11T23:27",
        ),
        Row {
            at: 458..458 + 7930,
            rights_bytes: 2368,
            ..tenant(
                "pfile/CleanAlice.txt.pfile",
                "{1c5e0307-e03d-4de3-af21-81bcf961e73c}",
                alice,
                "2017-01-12T19:21",
            )
        },
        tenant(
            "pfile/CleanAdminWin7.txt.pfile",
            "{70b511b7-1608-47d2-a2f4-26a9b150172a}",
            admin,
            "2017-01-13T22:11",
        ),
        tenant(
            "pfile/CleanAliceWin8-64.txt.pfile",
            "{f1ea709c-e3d9-4bbd-82f9-7a6fb3ff6561}",
            alice,
            "2017-01-13T19:08",
        ),
        tenant(
            "pfile/CleanJohn.txt.pfile",
            "{aeea0f49-f945-4db6-9d34-026ad6b3d46b}",
            admin,
            "2017-01-12T20:55",
        ),
        tenant(
            "pfile/JohnBvt.txt.pfile",
            "{67c058fe-9b47-4046-ae81-36589f27e013}",
            admin,
            "2017-01-11T23:34",
        ),
        Row {
            at: 440..440 + 47_960,
            enabling_bits: ("sealed-key-v2", 2688),
            rights_bytes: 24_976,
            ..tenant(
                "pfile/android_template_01.ptxt",
                "{03527b60-0416-4103-ad05-5f9f510e55e3}",
                "bob@isvtenant999.onmicrosoft.com",
                "2014-01-22T08:20",
            )
        },
        tenant(
            "pfile/linuxAdminTest.txt.pfile",
            "{239bf069-83bf-4f16-b46f-63bd1dd68b88}",
            admin,
            "2016-12-21T00:34",
        ),
        tenant(
            "pfile/linuxTest.txt.pfile",
            "{00fe5261-b420-4cd8-b0f3-5062efee4aa0}",
            admin,
            "2016-12-20T22:25",
        ),
        tenant(
            "pfile/windowsAdminTest.txt.pfile",
            "{10d313f7-6c0a-4abd-8f03-4eb30a69a554}",
            admin,
            "2016-12-21T00:26",
        ),
        Row {
            at: 0..24_834,
            encoding: Encoding::Utf16Le,
            kinds: &[Kind::PublishingLicense, Kind::ClientLicensorCertificate],
            issuer: (
                "bob@isvtenant999.onmicrosoft.com",
                "{13a69d19-9791-4ac5-a3a9-2fa5af166d44}",
            ),
            enabling_bits: ("sealed-key-v2", 2688),
            rights_bytes: 1888,
            ..tenant(
                "licence/PL_0101right_ECB.xml",
                "{738D8AD9-7FB0-4F43-B820-1127987DBC41}",
                "bob@isvtenant999.onmicrosoft.com",
                "2013-01-29T22:12",
            )
        },
        Row {
            file: EIGHT_FILE,
            at: 0xb0..0xb0 + 36_289,
            encoding: Encoding::Utf8,
            kinds: EIGHT,
            content_id: "{B182C50D-2EE8-4AD4-91ED-6DB1CB467A21}",
            issuer: (
                "erika.musterfrau@test-domain.com",
                "S-1-5-21-2901963899-3835325902-1321935079-1124",
            ),
            issued_to: ("DC1", "{8761d8b8-aed9-4429-8395-4c2bf0f81537}"),
            urls: &["http://dc1.test-domain.com/_wmcs/licensing"],
            owner: "erika.musterfrau@test-domain.com",
            issued: "2016-05-30T10:39",
            enabling_bits: ("sealed-key-v2", 2688),
            rights_bytes: 4928,
        },
        Row {
            file: "spec/pl.xml",
            at: 0..12_544,
            encoding: Encoding::Utf8,
            kinds: PL,
            content_id: "{09D39708-DF09-4554-BD2B-D6421346DD30}",
            issuer: (
                "owner@contoso.com",
                "S-1-5-21-3270430776-546919264-923996561-1118",
            ),
            issued_to: ("CONTOSO-RMS", "{96c4ca87-b3ff-4ded-9c15-53272e26396f}"),
            urls: &[
                "http://rms/_wmcs/licensing",
                "http://rms.contoso.com/_wmcs/licensing",
            ],
            owner: "owner@contoso.com",
            issued: "2010-06-11T21:41",
            enabling_bits: ("sealed-key", 1536),
            rights_bytes: 6944,
        },
    ]
}

/// Reads a file of the corpus; `None`, said on the console, where there is no corpus.
pub fn bytes(file: &str) -> Option<Vec<u8>> {
    let root = std::env::var("OPENRMS_CORPUS").map_or_else(
        |_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus").into(),
        std::path::PathBuf::from,
    );
    if !root.is_dir() {
        println!("skipped: no corpus");
        return None;
    }
    Some(std::fs::read(root.join(file)).unwrap())
}

/// Reads a license of the corpus that is a file of its own.
pub fn text(file: &str) -> Option<String> {
    Some(text::decode(&bytes(file)?).unwrap().0)
}

/// Every license text of the corpus, chains unsplit.
pub fn every_text() -> Vec<String> {
    let mut texts = Vec::new();
    for row in rows() {
        let Some(bytes) = bytes(row.file) else {
            return texts;
        };
        texts.push(text::decode(&bytes[row.at]).unwrap().0);
    }
    texts.extend(
        ["spec/rac.xml", "spec/clc.xml", "spec/template.xml"]
            .into_iter()
            .filter_map(text),
    );
    texts
}

fn eight() -> Option<Vec<SharedNode>> {
    let bytes = bytes(EIGHT_FILE)?;
    let (text, _) = text::decode(&bytes[0xb0..0xb0 + 36_289]).unwrap();
    Some(chain::parse_verified(&text).unwrap())
}

#[test]
fn each_publishing_license_says_what_the_manifest_says() {
    for row in rows() {
        let Some(bytes) = bytes(row.file) else { return };
        let (text, encoding) = text::decode(&bytes[row.at.clone()]).unwrap();
        assert_eq!(encoding, row.encoding, "{}", row.file);
        let nodes = chain::parse_verified(&text).unwrap_or_else(|e| panic!("{}: {e}", row.file));
        let kinds: Vec<_> = nodes.iter().map(|node| node.kind()).collect();
        assert_eq!(kinds, row.kinds, "{}", row.file);
        let pl = PublishingLicense::new(nodes[0].clone()).unwrap();
        let content = pl.node().content();
        let issuer = &content.issuer.as_ref().unwrap().object;
        let server = &pl.server().unwrap().object;
        assert_eq!(pl.content_id(), Some(row.content_id), "{}", row.file);
        assert_eq!(
            (issuer.name.as_deref().unwrap(), issuer.id.as_str()),
            row.issuer
        );
        assert_eq!(
            (server.name.as_deref().unwrap(), server.id.as_str()),
            row.issued_to
        );
        assert_eq!(pl.licensing_urls().collect::<Vec<_>>(), row.urls);
        assert_eq!(pl.owner().unwrap().name.as_deref(), Some(row.owner));
        assert_eq!(content.issued, time(row.issued), "{}", row.file);
        let bits = pl.sealed_key().unwrap();
        assert_eq!(
            (bits.type_name(), bits.bits()),
            row.enabling_bits,
            "{}",
            row.file
        );
        assert_eq!(
            pl.encrypted_rights().len(),
            row.rights_bytes,
            "{}",
            row.file
        );
        assert!(content.unknown.is_empty());
    }
}

#[test]
fn policies_referrals_and_validity_are_read() {
    let row = |file: &str| {
        let row = rows().into_iter().find(|row| row.file == file)?;
        let bytes = bytes(file)?;
        let (text, _) = text::decode(&bytes[row.at]).unwrap();
        Some(PublishingLicense::new(chain::parse_verified(&text).unwrap().remove(0)).unwrap())
    };
    let Some(alice) = row("pfile/AliceBvt.txt.pfile") else {
        return;
    };
    let descriptor = alice.node().content().descriptor.clone().unwrap();
    assert_eq!(descriptor.id, "{760cb90e-8715-4dcb-bf42-806b012d70f2}");
    assert_eq!(descriptor.version.as_deref(), Some("2016-12-14T01:23"));
    let names = parse_names(descriptor.name.as_deref().unwrap());
    assert_eq!(names.len(), 1);
    assert_eq!(names[0].lcid, 1033);
    assert_eq!(
        names[0].name,
        "Microsoft Corporation - Confidential Change All without Copy"
    );
    assert_eq!(
        names[0].description,
        "Everyone gets change rights, but cannot copy content"
    );

    let clean = row("pfile/CleanAlice.txt.pfile").unwrap();
    let content = clean.node().content();
    // A GUID without braces.
    assert_eq!(
        content.descriptor.as_ref().unwrap().id,
        "586b5746-aa26-4310-81b1-ea20d40cfc89"
    );
    assert_eq!(
        clean.policy_id().unwrap().to_string(),
        "{586b5746-aa26-4310-81b1-ea20d40cfc89}"
    );
    assert_eq!(
        content.validity,
        Some(span("2017-01-12T19:21", "2017-01-14T19:21"))
    );
    let referral = &content.distribution_point("Referral-Info").unwrap().object;
    assert_eq!(
        (referral.url(), &referral.name),
        (Some("https://client.test.app/"), &None)
    );
    assert_eq!(
        parse_names(content.descriptor.as_ref().unwrap().name.as_ref().unwrap())[0].name,
        "Test Name"
    );

    let android = row("pfile/android_template_01.ptxt").unwrap();
    let descriptor = android.node().content().descriptor.clone().unwrap();
    assert_eq!(descriptor.id, "{bfa8d0f0-c965-4cce-b08c-f934f87faf4a}");
    let names = parse_names(descriptor.name.as_deref().unwrap());
    assert_eq!(names.len(), 40);
    let lcids: Vec<_> = names.iter().take(6).map(|name| name.lcid).collect();
    assert_eq!(lcids, [1033, 1066, 1063, 1062, 1061, 1060]);
    assert_eq!(names[0].name, "Microsoft Corporation - Confidential");
    let data = android.authenticated("APPSPECIFIC", "Microsoft.MSIPC.RequireRmsAwareApplication");
    assert!(data.is_some());

    let german = row(EIGHT_FILE).unwrap();
    assert_eq!(
        german.policy_id().unwrap().to_string(),
        "{18a69f98-f47a-4a19-bab9-17cb4ea43a4d}"
    );
    let name = german
        .node()
        .content()
        .descriptor
        .as_ref()
        .unwrap()
        .name
        .as_deref();
    let names = parse_names(name.unwrap());
    assert_eq!((names[0].lcid, names[0].name.as_str()), (1031, "Nur Lesen"));

    let spec = row("spec/pl.xml").unwrap();
    let referral = &spec
        .node()
        .content()
        .distribution_point("Referral-Info")
        .unwrap()
        .object;
    assert_eq!(referral.url(), Some("mailto:owner@contoso.com"));
    assert_eq!(spec.policy_id(), None);
}

#[test]
fn the_eight_node_chain_leads_to_microsofts_root() {
    let Some(nodes) = eight() else { return };
    let plain: Vec<Node> = nodes.iter().map(|node| (***node).clone()).collect();
    let signers: Vec<_> = (0..8).map(|i| chain::signer_of(&plain, i)).collect();
    assert_eq!(
        signers,
        [
            Some(1),
            Some(4),
            Some(1),
            Some(4),
            Some(5),
            Some(6),
            Some(7),
            None
        ]
    );

    let anchors = Anchors::microsoft();
    let trusted = |key: &_| anchors.contains(key);
    let path = |from: usize, at| chain::verify_path(&nodes[from..], at, trusted);
    let kinds: Vec<_> = path(2, None)
        .unwrap()
        .iter()
        .map(|node| node.kind())
        .collect();
    assert_eq!(kinds, EIGHT[2..]);
    let now = Some(time("2026-01-01T00:00"));
    assert_eq!(path(2, now).unwrap().len(), 6);
    // The whole file: two chains glued together, the publishing license first.
    let kinds: Vec<_> = path(0, now)
        .unwrap()
        .iter()
        .map(|node| node.kind())
        .collect();
    assert_eq!(kinds, [&EIGHT[..2], &EIGHT[4..]].concat());
    for from in 3..8 {
        assert_eq!(path(from, None).unwrap().len(), 8 - from);
    }

    let error = chain::verify_path(&nodes[2..], None, |_| false).unwrap_err();
    assert_eq!(error, ChainError::Untrusted(Kind::CaCertificate));
    let error = chain::verify_path(&nodes[..2], None, trusted).unwrap_err();
    assert_eq!(
        error,
        ChainError::Untrusted(Kind::ClientLicensorCertificate)
    );
    let error = chain::verify_path(&nodes[2..3], None, trusted).unwrap_err();
    assert_eq!(error, ChainError::Untrusted(Kind::UseLicense));
}

#[test]
fn the_keys_of_the_production_hierarchy_are_the_known_ones() {
    let Some(nodes) = eight() else { return };
    let prints: Vec<_> = nodes[5..]
        .iter()
        .map(|node| node.principal_key().unwrap().fingerprint_hex())
        .collect();
    assert_eq!(
        prints,
        [
            "7eb532bfcb8d96e502eab48b4cbe4fb8",
            "3401691b6c3b20be80d103c0319b2314",
            "dc0842824ec97019748399916b96474d"
        ]
    );
    let root = nodes[7].issuer_key().unwrap();
    assert!(Anchors::microsoft().contains(root));
}

#[test]
fn the_owner_license_of_the_eight_node_chain_is_read() {
    let Some(nodes) = eight() else { return };
    let ul = UseLicense::new(nodes[2].clone()).unwrap();
    assert_eq!(ul.account().email, "erika.musterfrau@test-domain.com");
    assert_eq!(
        ul.content_id(),
        Some("{B182C50D-2EE8-4AD4-91ED-6DB1CB467A21}")
    );
    let rights = ul.rights_at(time("2026-01-01T00:00"));
    assert_eq!(
        rights.iter().map(Right::name).collect::<Vec<_>>(),
        ["OWNER"]
    );
    assert_eq!(ul.sealed_key().unwrap().bits(), 2688);
    assert!(ul.must_not_be_cached());
    let clc = ClientLicensorCertificate::new(nodes[3].clone()).unwrap();
    assert_eq!(
        clc.range(),
        Some(span("2015-08-01T19:13", "2016-08-01T19:13"))
    );
    assert_eq!(clc.sealed_key().unwrap().bits(), 11_904);
    assert_eq!(clc.key(), nodes[2].issuer_key().unwrap());
    assert_eq!(
        clc.server().unwrap().key(),
        nodes[4].principal_key().unwrap()
    );
}

#[test]
fn the_account_certificate_of_the_specification_is_read() {
    let Some(text) = text("spec/rac.xml") else {
        return;
    };
    let node = chain::parse_verified(&text).unwrap().remove(0);
    let issuer = node.content().issuer.clone().unwrap().object;
    assert_eq!(issuer.id, "{96c4ca87-b3ff-4ded-9c15-53272e26396f}");
    let descriptor = node.content().descriptor.clone().unwrap();
    assert_eq!(descriptor.id, "{78647281-7120-4768-b635-087aadd4dfb6}");
    let activation = node.content().distribution_point("Activation").unwrap();
    assert_eq!(
        activation.object.url(),
        Some("http://rms/_wmcs/certification")
    );
    let rac = AccountCertificate::new(node).unwrap();
    assert_eq!(rac.account().email, "owner@contoso.com");
    assert_eq!(
        rac.account().id,
        "S-1-5-21-3270430776-546919264-923996561-1118"
    );
    assert_eq!(rac.node().content().issued, time("2010-06-11T20:50"));
    assert_eq!(
        rac.validity(),
        Some(span("2010-06-10T20:50", "2011-06-11T20:50"))
    );
    let bits = rac.sealed_key().unwrap();
    assert_eq!((bits.type_name(), bits.bits()), ("sealed-key", 6144));
    assert_eq!(
        rac.machine(),
        Some("{62c84d7e-880f-404a-80d4-5628249b4073}")
    );
    assert_eq!(rac.repository_version(), Some([6, 1, 7600, 16385]));
    assert!(!rac.is_temporary());
}

#[test]
fn the_licensor_certificate_of_the_specification_is_read() {
    let Some(text) = text("spec/clc.xml") else {
        return;
    };
    let node = chain::parse_verified(&text).unwrap().remove(0);
    let descriptor = node.content().descriptor.clone().unwrap();
    assert_eq!(descriptor.id, "{1c4a57b8-94cd-4174-b555-881d705ee5b5}");
    let clc = ClientLicensorCertificate::new(node).unwrap();
    assert_eq!(clc.account().email, "owner@contoso.com");
    let urls: Vec<_> = clc.licensing_urls().collect();
    assert_eq!(
        urls,
        [
            "http://rms/_wmcs/licensing",
            "http://rms.contoso.com/_wmcs/licensing"
        ]
    );
    assert_eq!(clc.node().content().issued, time("2010-06-11T20:52"));
    let bits = clc.sealed_key().unwrap();
    assert_eq!((bits.type_name(), bits.bits()), ("sealed-key", 6144));
}

#[test]
fn the_template_of_the_specification_is_read_and_does_not_verify() {
    let Some(text) = text("spec/template.xml") else {
        return;
    };
    let template = RightsData::parse(&text).unwrap();
    assert!(template.is_official());
    assert!(!template.node().digest_holds() && !template.node().signature_holds());
    let error = template.node().clone().verify().unwrap_err();
    assert_eq!(
        error,
        SignatureError::DigestMismatch(Kind::OfficialTemplate)
    );
    assert_eq!(
        template.policy_id().unwrap().to_string(),
        "{4b1010c0-92b8-4169-8493-b5137c6fe168}"
    );
    let names = template.names();
    assert_eq!(
        (names[0].lcid, names[0].name.as_str()),
        (1033, "CONTOSO Template")
    );
    assert_eq!(names[0].description, "Template for CONTOSO");
    let content = template.node().content();
    let publishing = content.distribution_point("Publishing-URL").unwrap();
    assert_eq!(publishing.object.url(), Some("http://rms/_wmcs/licensing"));
    assert_eq!(content.issued, time("2010-06-11T21:44"));
    assert_eq!(template.grants().len(), 7);
    assert_eq!(template.grants()[0].holder, Grantee::Owner);
    assert!(
        template.grants()[1..]
            .iter()
            .all(|grant| grant.holder == Grantee::Anyone)
    );
}

#[test]
fn the_plain_rights_data_grant_what_the_manifest_says() {
    let Some(text) = text("spec/erd-plain.xml") else {
        return;
    };
    assert_eq!(text.encode_utf16().count(), 3472);
    let mut padded: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let data = RightsData::from_decrypted(&padded).unwrap();
    assert!(!data.is_official() && data.node().signature().is_none());
    let node = Node::parse(&*text).unwrap();
    let work = node.content().work.as_ref().unwrap();
    assert_eq!(
        work.object.as_ref().unwrap().id,
        "{09D39708-DF09-4554-BD2B-D6421346DD30}"
    );
    assert_eq!(
        data.owner().unwrap().name.as_deref(),
        Some("owner@contoso.com")
    );
    let grants = data.grants();
    assert_eq!(grants.len(), 17);
    let owner = Grantee::Address("owner@contoso.com".into());
    let expected = [
        "VIEW", "PRINT", "OBJMODEL", "OWNER", "SIGN", "EDIT", "EXPORT", "EXTRACT",
    ];
    for half in grants[..16].chunks(8) {
        assert!(half.iter().all(|g| g.holder == owner && g.time.is_none()));
        assert_eq!(
            half.iter().map(|g| g.right.name()).collect::<Vec<_>>(),
            expected
        );
    }
    let types = |range: Range<usize>| {
        work.rights[range].iter().flat_map(|r| &r.holders).all(|h| {
            h.object.as_ref().unwrap().id_type
                == work.rights[0].holders[0].object.as_ref().unwrap().id_type
        })
    };
    assert!(types(0..8) && !types(8..16));
    assert_eq!(grants[16].right.name(), "VIEW");
    assert_eq!(
        grants[16].holder,
        Grantee::Address("user@contoso.com".into())
    );
    assert_eq!(
        grants[16].time.range,
        Some(span("2010-06-11T21:41", "2010-07-12T06:59"))
    );

    // Filling behind the last end tag is cut away, whatever it is.
    padded.extend([0; 6]);
    assert_eq!(
        RightsData::from_decrypted(&padded).unwrap().grants().len(),
        17
    );
    padded.extend([8, 9, 0xd8, 0xff, 1]);
    assert_eq!(
        RightsData::from_decrypted(&padded).unwrap().grants().len(),
        17
    );
    padded.truncate(6000);
    assert!(RightsData::from_decrypted(&padded).is_err());
}

#[test]
fn every_real_node_survives_another_library_and_no_change_of_white_space() {
    for text in every_text() {
        for part in chain::split(&text).unwrap() {
            let node = Node::parse(part).unwrap();
            if !node.digest_holds() {
                continue;
            }
            // What libxml2 does to the tree, and what .NET does.
            let libxml2 = part
                .replace("></SECURITYLEVEL>", "/>")
                .replace(" />", "/>")
                .replace("name = ", "name=");
            let dotnet = part.replace("name = ", "name=");
            for again in [libxml2, dotnet] {
                let recovered = surface::recover(&again).unwrap();
                assert_eq!(**recovered.text(), *part);
            }
            let indented = part.replacen("<ISSUEDTIME>", "\n<ISSUEDTIME>", 1);
            assert!(surface::recover(&indented).is_err());
        }
    }
}

#[test]
fn each_signer_of_a_real_node_may_issue_it() {
    let mut pairs = 0;
    for text in every_text() {
        let nodes = chain::parse(&text).unwrap();
        for index in 0..nodes.len() {
            if let Some(signer) = chain::signer_of(&nodes, index) {
                assert_eq!(chain::check_issuer(&nodes[signer], &nodes[index]), Ok(()));
                pairs += 1;
            }
        }
    }
    assert!(pairs == 0 || pairs == 8, "{pairs} pairs of node and signer");
}
