//! What every back end must do. Each test runs on a database in a file, on one in memory, and on one
//! of a PostgreSQL server where there is one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod support;

use std::sync::Arc;

use openrms_store::{
    ApplicationExclusion, AuthorityRole, CertificateBody, CertificateKind, Change, ClusterServer,
    ConfigurationVersion, CryptographicMode, EmailDomains, Entity, IssuedCertificate,
    KeyProtection, LicensorKey, Policies, RacExclusion, RevocationAuthority, RevocationType,
    SealedBytes, Sqlite, Store, StoreError, StoredKey, Template, TemplateState,
    TrustedPublishingDomain, TrustedSpcCaKey, TrustedUserDomain, Upgrade, Uuid,
};
use support::TestDatabase;

struct Case {
    store: Arc<dyn Store>,
    _folder: tempfile::TempDir,
    database: Option<TestDatabase>,
}

async fn cases() -> Vec<Case> {
    let folder = || tempfile::tempdir().unwrap();
    let (one, two, three) = (folder(), folder(), folder());
    let file = Sqlite::create(&one.path().join("cluster.db"))
        .await
        .unwrap();
    let memory = Sqlite::in_memory().await.unwrap();
    let mut cases = vec![
        Case {
            store: Arc::new(file),
            _folder: one,
            database: None,
        },
        Case {
            store: Arc::new(memory),
            _folder: two,
            database: None,
        },
    ];
    if let Some(database) = TestDatabase::new().await {
        cases.push(Case {
            store: database.location().open_or_create().await.unwrap(),
            _folder: three,
            database: Some(database),
        });
    }
    cases
}

impl Case {
    async fn end(self) {
        self.store.close().await;
        if let Some(database) = self.database {
            database.destroy().await;
        }
    }
}

fn key(number: u8) -> StoredKey {
    StoredKey {
        sealed: SealedBytes::new(vec![number; 700]),
        public_modulus: vec![number; 256],
        sealed_by: "fingerprint".to_owned(),
        created: 1_700_000_000 + i64::from(number),
    }
}

fn licensor_key(id: &str, retired: bool) -> LicensorKey {
    LicensorKey {
        id: id.to_owned(),
        guid: Uuid::from_u128(7),
        mode: CryptographicMode::One,
        sealed_private_key: SealedBytes::new(vec![1, 2, 3]),
        slc_chain: "<XrML/>".to_owned(),
        created: 5,
        retired,
    }
}

fn setting(name: &str, value: &str) -> Change {
    Change::PutSetting {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

#[tokio::test]
async fn a_new_store_has_version_0_and_the_defaults() {
    for case in cases().await {
        let snapshot = case.store.snapshot().await.unwrap();
        assert_eq!(snapshot.version.number(), 0);
        assert_eq!(snapshot.policies, Policies::default());
        assert!(snapshot.settings.is_empty() && snapshot.licensor_keys.is_empty());
        assert!(snapshot.current_licensor_key().is_none());
        case.end().await;
    }
}

#[tokio::test]
#[allow(
    clippy::too_many_lines,
    clippy::cloned_ref_to_slice_refs,
    reason = "one list of everything"
)]
async fn everything_put_into_the_configuration_comes_back() {
    let policies = Policies {
        name: "cluster \u{e4}\u{1F511}".to_owned(),
        cryptographic_mode: CryptographicMode::One,
        spc_minimum_version: Some("5.0".parse().unwrap()),
        base_url: Some("https://rms.corp.example/_wmcs".to_owned()),
        super_user_enabled: true,
        super_user_group: Some("super@corp.example".to_owned()),
        revocation_type: RevocationType::Custom,
        ..Policies::default()
    };
    let template = Template {
        guid: Uuid::from_u128(1),
        xrml: "<XrML>\r\n</XrML>".to_owned(),
        state: TemplateState::Archived,
        updated: -5,
    };
    let user_domain = TrustedUserDomain {
        id: "tud".to_owned(),
        slc_chain: "<XrML/>".to_owned(),
        friendly_name: "Partner".to_owned(),
        allow_sid: true,
        allow_federated: true,
        email_domains: EmailDomains::Only(vec!["partner.example".to_owned()]),
    };
    let publishing_domain = TrustedPublishingDomain {
        id: "tpd".to_owned(),
        friendly_name: "Old cluster".to_owned(),
        slc_chain: "<XrML/>".to_owned(),
        sealed_private_key: SealedBytes::new(vec![9; 9]),
        templates: vec!["two".to_owned(), "one".to_owned()],
    };
    let spc_ca_key = TrustedSpcCaKey {
        modulus: vec![0, 255],
        exponent: 65_537,
        name: "anchor".to_owned(),
    };
    let application = ApplicationExclusion {
        id: "app".to_owned(),
        filename: "winword.exe".to_owned(),
        minimum_version: "1".parse().unwrap(),
        maximum_version: "11.0.4294967295.0".parse().unwrap(),
        description: String::new(),
    };
    let rac = RacExclusion {
        modulus: vec![1; 256],
        account: Some("carol@corp.example".to_owned()),
        expires: None,
        created: 3,
    };
    let authority = RevocationAuthority {
        public_key: vec![0x30, 0x82],
        name: "them".to_owned(),
    };
    let changes = [
        Change::SetPolicies(Box::new(policies.clone())),
        setting("MaxCrossForestCalls", "10"),
        Change::AddLicensorKey(licensor_key("first", true)),
        Change::AddLicensorKey(licensor_key("second", false)),
        Change::PutTemplate(template.clone()),
        Change::PutTrustedUserDomain(user_domain.clone()),
        Change::PutTrustedPublishingDomain(publishing_domain.clone()),
        Change::PutTrustedSpcCaKey(spc_ca_key.clone()),
        Change::PutApplicationExclusion(application.clone()),
        Change::PutRacExclusion(rac.clone()),
        Change::PutRevocationAuthority(authority.clone()),
    ];
    for case in cases().await {
        // Putting twice replaces.
        for put in [&changes[..], &changes[4..]] {
            case.store.apply(put, None).await.unwrap();
        }
        let snapshot = case.store.snapshot().await.unwrap();
        assert_eq!(snapshot.version.number(), 2);
        assert_eq!(snapshot.policies, policies);
        assert_eq!(snapshot.settings.get("MaxCrossForestCalls").unwrap(), "10");
        assert_eq!(
            snapshot.licensor_keys,
            [licensor_key("first", true), licensor_key("second", false)]
        );
        assert_eq!(snapshot.current_licensor_key().unwrap().id, "second");
        assert_eq!(snapshot.templates, [template.clone()]);
        assert_eq!(snapshot.trusted_user_domains, [user_domain.clone()]);
        assert_eq!(
            snapshot.trusted_publishing_domains,
            [publishing_domain.clone()]
        );
        assert_eq!(snapshot.trusted_spc_ca_keys, [spc_ca_key.clone()]);
        assert_eq!(snapshot.application_exclusions, [application.clone()]);
        assert_eq!(snapshot.rac_exclusions, [rac.clone()]);
        assert_eq!(snapshot.revocation_authorities, [authority.clone()]);

        let removals = [
            Change::RemoveSetting("MaxCrossForestCalls".to_owned()),
            Change::SetLicensorChain {
                id: "second".to_owned(),
                slc_chain: "new".to_owned(),
            },
            Change::ResealLicensorKey {
                id: "second".to_owned(),
                sealed_private_key: SealedBytes::new(vec![4]),
            },
            Change::RetireLicensorKey("second".to_owned()),
            Change::RemoveTemplate(template.guid),
            Change::RemoveTrustedUserDomain("tud".to_owned()),
            Change::RemoveTrustedPublishingDomain("tpd".to_owned()),
            Change::RemoveTrustedSpcCaKey(vec![0, 255]),
            Change::RemoveApplicationExclusion("app".to_owned()),
            Change::RemoveRacExclusion(vec![1; 256]),
            Change::RemoveRevocationAuthority(vec![0x30, 0x82]),
        ];
        case.store
            .apply(&removals, Some(snapshot.version))
            .await
            .unwrap();
        let snapshot = case.store.snapshot().await.unwrap();
        assert!(snapshot.settings.is_empty() && snapshot.templates.is_empty());
        assert!(snapshot.trusted_user_domains.is_empty());
        assert!(snapshot.trusted_publishing_domains.is_empty());
        assert!(snapshot.trusted_spc_ca_keys.is_empty());
        assert!(snapshot.application_exclusions.is_empty() && snapshot.rac_exclusions.is_empty());
        assert!(snapshot.revocation_authorities.is_empty());
        assert!(snapshot.current_licensor_key().is_none());
        assert_eq!(snapshot.licensor_keys[1].slc_chain, "new");
        assert_eq!(snapshot.licensor_keys[1].sealed_private_key.as_slice(), [4]);
        case.end().await;
    }
}

#[tokio::test]
async fn a_change_based_on_an_old_version_is_refused() {
    for case in cases().await {
        let start = case.store.configuration_version().await.unwrap();
        let one = case
            .store
            .apply(&[setting("a", "1")], Some(start))
            .await
            .unwrap();
        assert_eq!(case.store.configuration_version().await.unwrap(), one);
        let refused = case.store.apply(&[setting("a", "2")], Some(start)).await;
        assert!(matches!(
            refused,
            Err(StoreError::VersionConflict { expected, found }) if expected == start && found == one
        ));
        assert_eq!(
            case.store
                .snapshot()
                .await
                .unwrap()
                .settings
                .get("a")
                .unwrap(),
            "1"
        );
        assert_eq!(case.store.apply(&[], Some(one)).await.unwrap(), one);
        case.end().await;
    }
}

#[tokio::test]
async fn a_batch_with_a_wrong_change_changes_nothing() {
    for case in cases().await {
        let batch = [
            setting("a", "1"),
            Change::RemoveTrustedUserDomain("nobody".to_owned()),
        ];
        let refused = case.store.apply(&batch, None).await;
        assert!(matches!(
            refused,
            Err(StoreError::NotFound { entity: Entity::TrustedUserDomain, ref id }) if id == "nobody"
        ));
        let batch = [
            Change::AddLicensorKey(licensor_key("k", false)),
            Change::AddLicensorKey(licensor_key("k", false)),
        ];
        let refused = case.store.apply(&batch, None).await;
        assert!(matches!(
            refused,
            Err(StoreError::AlreadyExists { entity: Entity::LicensorKey, ref id }) if id == "k"
        ));
        let refused = case.store.apply(&[setting("", "1")], None).await;
        assert!(matches!(
            refused,
            Err(StoreError::Invalid { field: "id", .. })
        ));
        let snapshot = case.store.snapshot().await.unwrap();
        assert_eq!(snapshot.version.number(), 0);
        assert!(snapshot.settings.is_empty() && snapshot.licensor_keys.is_empty());
        case.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_eight_racing_user_keys_all_get_the_same_one() {
    for case in cases().await {
        for round in 0..5 {
            let account = format!("S-1-5-21-1-2-3-{round}");
            let mut racers = Vec::new();
            for number in 0..8 {
                let (store, account) = (Arc::clone(&case.store), account.clone());
                racers.push(tokio::spawn(async move {
                    store.insert_user_key(&account, key(number)).await.unwrap()
                }));
            }
            let mut winners = Vec::new();
            for racer in racers {
                winners.push(racer.await.unwrap());
            }
            let stored = case.store.user_key(&account).await.unwrap().unwrap();
            assert!(winners.iter().all(|winner| *winner == stored));
        }
        case.end().await;
    }
}

#[tokio::test]
async fn client_keys_go_with_an_account_and_a_rac_key() {
    for case in cases().await {
        let store = &case.store;
        store.insert_user_key("alice", key(1)).await.unwrap();
        assert_eq!(
            store
                .insert_client_key("alice", b"rac", key(2))
                .await
                .unwrap(),
            key(2)
        );
        assert_eq!(
            store
                .insert_client_key("alice", b"rac", key(3))
                .await
                .unwrap(),
            key(2)
        );
        assert_eq!(
            store.client_key("alice", b"rac").await.unwrap(),
            Some(key(2))
        );
        assert_eq!(store.client_key("alice", b"other").await.unwrap(), None);
        assert_eq!(store.client_key("bob", b"rac").await.unwrap(), None);
        assert!(store.delete_user_keys("alice").await.unwrap());
        assert!(!store.delete_user_keys("alice").await.unwrap());
        assert_eq!(store.user_key("alice").await.unwrap(), None);
        assert_eq!(store.client_key("alice", b"rac").await.unwrap(), None);
        let nobody = store.insert_user_key("", key(1)).await;
        assert!(matches!(
            nobody,
            Err(StoreError::Invalid {
                field: "account",
                ..
            })
        ));
        case.end().await;
    }
}

#[tokio::test]
async fn an_excluded_user_loses_the_key_in_the_same_change() {
    for case in cases().await {
        case.store.insert_user_key("carol", key(1)).await.unwrap();
        let exclusion = RacExclusion {
            modulus: key(1).public_modulus,
            account: Some("carol".to_owned()),
            expires: Some(9),
            created: 1,
        };
        let changes = [
            Change::PutRacExclusion(exclusion),
            Change::DeleteUserKeys("carol".to_owned()),
        ];
        case.store.apply(&changes, None).await.unwrap();
        assert_eq!(case.store.user_key("carol").await.unwrap(), None);
        // A fresh key is possible.
        assert_eq!(
            case.store.insert_user_key("carol", key(2)).await.unwrap(),
            key(2)
        );
        case.end().await;
    }
}

#[tokio::test]
async fn issued_certificates_are_found_by_guid_and_counted_by_account() {
    let certificate = |number: u128, kind, account: &str, body| IssuedCertificate {
        guid: Uuid::from_u128(number),
        kind,
        account: Some(account.to_owned()),
        body,
        issued_at: 10,
        expires_at: Some(20),
    };
    let text = || CertificateBody::Text("<XrML/>".to_owned());
    let rac = certificate(1, CertificateKind::Rac, "alice", text());
    let license = certificate(
        2,
        CertificateKind::UseLicense,
        "bob",
        CertificateBody::Digest([3; 32]),
    );
    for case in cases().await {
        let store = &case.store;
        for issued in [&rac, &license] {
            store.record_issued(issued).await.unwrap();
            assert_eq!(
                store.issued(issued.guid).await.unwrap().as_ref(),
                Some(issued)
            );
        }
        assert_eq!(store.issued(Uuid::from_u128(3)).await.unwrap(), None);
        let again = store.record_issued(&rac).await;
        assert!(matches!(
            again,
            Err(StoreError::AlreadyExists {
                entity: Entity::IssuedCertificate,
                ..
            })
        ));
        store
            .record_issued(&certificate(4, CertificateKind::Rac, "alice", text()))
            .await
            .unwrap();
        store
            .record_issued(&certificate(5, CertificateKind::Rac, "dave", text()))
            .await
            .unwrap();
        let temporary = certificate(6, CertificateKind::TemporaryRac, "eve", text());
        store.record_issued(&temporary).await.unwrap();
        assert_eq!(store.certified_users().await.unwrap(), 2);
        case.end().await;
    }
}

#[tokio::test]
async fn the_key_of_a_role_of_the_trust_anchor_is_never_replaced() {
    let role = |number: u8| AuthorityRole {
        role: "root".to_owned(),
        sealed_private_key: SealedBytes::new(vec![number]),
        certificate: format!("certificate {number}"),
        created: 1,
    };
    for case in cases().await {
        let store = &case.store;
        let add = |number| [Change::AddAuthorityRole(role(number))];
        store.apply(&add(1), None).await.unwrap();
        let again = store.apply(&add(2), None).await;
        assert!(matches!(again, Err(StoreError::AlreadyExists { .. })));
        assert_eq!(store.authority_roles().await.unwrap(), [role(1)]);
        case.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_snapshot_never_shows_half_a_change() {
    for case in cases().await {
        let mut writers = Vec::new();
        for writer in 0..3 {
            let store = Arc::clone(&case.store);
            writers.push(tokio::spawn(async move {
                for round in 0..20 {
                    let value = format!("{writer}-{round}");
                    let domain = TrustedPublishingDomain {
                        id: "tpd".to_owned(),
                        friendly_name: value.clone(),
                        slc_chain: String::new(),
                        sealed_private_key: SealedBytes::new(Vec::new()),
                        templates: vec![value.clone(); 5],
                    };
                    let changes = [
                        setting("first", &value),
                        Change::PutTrustedPublishingDomain(domain),
                        setting("last", &value),
                    ];
                    store.apply(&changes, None).await.unwrap();
                }
            }));
        }
        let mut seen = ConfigurationVersion::default();
        while seen.number() < 60 {
            let snapshot = case.store.snapshot().await.unwrap();
            assert!(snapshot.version.number() >= seen.number());
            seen = snapshot.version;
            if seen.number() == 0 {
                continue;
            }
            let value = snapshot.settings.get("first").unwrap();
            assert_eq!(snapshot.settings.get("last").unwrap(), value);
            let domain = &snapshot.trusted_publishing_domains[0];
            assert_eq!(&domain.friendly_name, value);
            assert_eq!(domain.templates, vec![value.clone(); 5]);
        }
        for writer in writers {
            writer.await.unwrap();
        }
        case.end().await;
    }
}

#[tokio::test]
async fn the_protection_of_the_master_key_is_replaced_only_by_who_knows_it() {
    for case in cases().await {
        let store = &case.store;
        assert_eq!(store.key_protection().await.unwrap(), None);
        let early = store.set_key_protection("{}", Some(1)).await;
        assert!(matches!(
            early,
            Err(StoreError::KeyProtectionConflict {
                expected: 1,
                found: None
            })
        ));
        let protection = |version, document: &str| KeyProtection {
            version,
            document: document.to_owned(),
        };
        let first = store.set_key_protection("first", None).await.unwrap();
        assert_eq!(first, protection(1, "first"));
        let again = store.set_key_protection("again", None).await;
        assert!(matches!(
            again,
            Err(StoreError::AlreadyExists {
                entity: Entity::KeyProtection,
                ..
            })
        ));
        let second = store.set_key_protection("second", Some(1)).await.unwrap();
        assert_eq!(second, protection(2, "second"));
        let late = store.set_key_protection("late", Some(1)).await;
        assert!(matches!(
            late,
            Err(StoreError::KeyProtectionConflict {
                expected: 1,
                found: Some(2)
            })
        ));
        assert_eq!(store.key_protection().await.unwrap(), Some(second));
        // It is no part of the configuration.
        assert_eq!(store.configuration_version().await.unwrap().number(), 0);
        case.end().await;
    }
}

#[tokio::test]
async fn a_server_that_comes_again_keeps_the_time_it_joined() {
    let server = |name: &str, now: i64, version: &str| ClusterServer {
        name: name.to_owned(),
        joined: now,
        last_seen: now,
        version: version.to_owned(),
        address: format!("https://{name}.corp.example"),
        service_level: Some("2.0".to_owned()),
        upgrade: None,
    };
    for case in cases().await {
        let store = &case.store;
        assert_eq!(store.servers().await.unwrap(), []);
        for server in [
            server("b", 10, "1"),
            server("a", 20, "1"),
            server("b", 30, "2"),
        ] {
            store.register_server(&server).await.unwrap();
        }
        let again = ClusterServer {
            joined: 10,
            ..server("b", 30, "2")
        };
        assert_eq!(
            store.servers().await.unwrap(),
            [server("a", 20, "1"), again]
        );
        let nameless = store.register_server(&server("", 1, "1")).await;
        assert!(matches!(
            nameless,
            Err(StoreError::Invalid { field: "name", .. })
        ));
        assert!(store.remove_server("b").await.unwrap());
        assert!(!store.remove_server("b").await.unwrap());
        assert_eq!(store.servers().await.unwrap(), [server("a", 20, "1")]);
        case.end().await;
    }
}

#[tokio::test]
async fn the_upgrade_of_a_server_is_remembered_until_it_is_forgotten() {
    let upgrade = Upgrade {
        from: "0.1.0".to_owned(),
        to: "0.2.0".to_owned(),
        at: 40,
    };
    for case in cases().await {
        let store = &case.store;
        let server = ClusterServer {
            name: "a".to_owned(),
            joined: 10,
            last_seen: 10,
            version: "0.1.0".to_owned(),
            address: String::new(),
            service_level: None,
            upgrade: None,
        };
        let record = async |name, level, upgrade| {
            let recorded = store.record_upgrade(name, level, upgrade).await;
            recorded.unwrap()
        };
        assert!(!record("a", Some("sp1"), Some(&upgrade)).await);
        store.register_server(&server).await.unwrap();
        assert!(record("a", Some("sp1"), Some(&upgrade)).await);
        let upgraded = ClusterServer {
            service_level: Some("sp1".to_owned()),
            upgrade: Some(upgrade.clone()),
            ..server.clone()
        };
        assert_eq!(
            store.servers().await.unwrap(),
            std::slice::from_ref(&upgraded)
        );
        // It says that it is there, as the release and the level that it is now.
        let later = ClusterServer {
            last_seen: 50,
            version: "0.2.0".to_owned(),
            service_level: Some("2.0".to_owned()),
            ..server.clone()
        };
        store.register_server(&later).await.unwrap();
        let upgrade = upgraded.upgrade;
        assert_eq!(
            store.servers().await.unwrap(),
            [ClusterServer { upgrade, ..later }]
        );
        assert!(record("a", None, None).await);
        let forgotten = ClusterServer {
            last_seen: 50,
            version: "0.2.0".to_owned(),
            ..server
        };
        assert_eq!(store.servers().await.unwrap(), [forgotten]);
        case.end().await;
    }
}

#[test]
fn sealed_keys_are_not_shown() {
    let shown = format!("{:?}", key(0xAB));
    assert!(shown.contains("SealedBytes(700 bytes)"), "{shown}");
}

#[tokio::test]
async fn a_decommissioned_cluster_stays_so_and_takes_nothing_new() {
    for case in cases().await {
        let store = &case.store;
        let policies = |decommissioned| {
            Change::SetPolicies(Box::new(Policies {
                decommissioned,
                ..Policies::default()
            }))
        };
        let key = Change::AddLicensorKey(licensor_key("key", false));
        store.apply(&[key, policies(true)], None).await.unwrap();
        let before = store.snapshot().await.unwrap();
        for refused in [
            vec![policies(false)],
            vec![setting("name", "value"), policies(false)],
            vec![Change::AddLicensorKey(licensor_key("new", false))],
            vec![Change::RetireLicensorKey("key".to_owned())],
            vec![Change::RemoveTrustedUserDomain("tud".to_owned())],
        ] {
            let refused = store.apply(&refused, None).await;
            assert!(
                matches!(refused, Err(StoreError::Decommissioned)),
                "{refused:?}"
            );
        }
        assert_eq!(store.snapshot().await.unwrap(), before);
        // What keeps it readable may be changed.
        let reseal = Change::ResealLicensorKey {
            id: "key".to_owned(),
            sealed_private_key: SealedBytes::new(vec![4]),
        };
        let allowed = [reseal, setting("name", "value"), policies(true)];
        store.apply(&allowed, None).await.unwrap();
    }
}
