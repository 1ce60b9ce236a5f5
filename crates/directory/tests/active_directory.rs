//! The LDAP directory against a real Active Directory, where the environment names one
//! (`CORP_LDAPS_URL` and the like). Skipped with a line where it does not.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod hostile_texts;
mod test_bed;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hostile_texts::hostile_texts;
use ldap3::Mod;
use openrms_directory::{
    Account, AccountRef, Address, CacheSettings, CachedDirectory, Directory, DirectoryError,
    Identity, LdapDirectory, LdapSecrets, LdapSettings, Memberships, Sid, is_member,
};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use test_bed::TestBed;
use tokio::runtime::Handle;

fn test_bed() -> Option<TestBed> {
    TestBed::from_env("CORP", "corp.example")
}

fn directory(bed: &TestBed) -> LdapDirectory {
    LdapDirectory::new(bed.settings(), bed.secrets(), Handle::current()).unwrap()
}

fn who(text: &str) -> AccountRef {
    AccountRef::parse(text).unwrap()
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

async fn account(directory: &dyn Directory, text: &str) -> Account {
    directory.account(&who(text)).await.unwrap().expect(text)
}

async fn of_address(directory: &dyn Directory, text: &str) -> Arc<Memberships> {
    directory
        .memberships(&Identity::of_address(address(text)))
        .await
        .unwrap()
}

fn groups(memberships: &Memberships) -> Vec<&str> {
    let mut groups: Vec<&str> = memberships.group_addresses().collect();
    groups.sort_unstable();
    groups
}

#[tokio::test]
async fn a_person_is_found_by_sid_name_and_each_address() {
    let Some(bed) = test_bed() else {
        return;
    };
    let directory = directory(&bed);
    let alice = account(&directory, "alice").await;
    assert_eq!(alice.name.as_str(), "CORP\\alice");
    assert_eq!(alice.display_name, "Alice Archer");
    assert_eq!(alice.mail, Some(address("alice@corp.example")));
    let mut further = alice.proxy_addresses.clone();
    further.sort_by(|a, b| a.key().cmp(b.key()));
    let expected = ["a.archer@corp.example", "alice@old-name.example"].map(address);
    assert_eq!(further, expected);
    assert!(alice.enabled);
    assert!(alice.created.unwrap() > 1_500_000_000);
    assert_eq!(alice.forest.as_str(), "corp.example");
    for name in [
        alice.sid.as_str(),
        "corp\\ALICE",
        "Alice@Corp.Example",
        "A.Archer@corp.example",
        "alice@old-name.example",
    ] {
        assert_eq!(account(&directory, name).await, alice, "{name}");
    }
    for nobody in [
        "OTHER\\alice",
        "alice2",
        "nobody@corp.example",
        "S-1-5-21-1-2-3-1000",
        "kernel@corp.example",
        "pat@partner.example",
        "U-Kernel",
    ] {
        let found = directory.account(&who(nobody)).await.unwrap();
        assert_eq!(found, None, "{nobody}");
    }
}

#[tokio::test]
async fn people_with_peculiarities_are_found_as_they_are() {
    let Some(bed) = test_bed() else {
        return;
    };
    let directory = directory(&bed);
    let dave = account(&directory, "dave@corp.example").await;
    assert!(!dave.enabled);
    let erin = account(&directory, "CORP\\erin").await;
    assert_eq!((erin.mail, erin.enabled), (None, true));
    assert!(erin.proxy_addresses.is_empty());
    let zoe = account(&directory, "zoe").await;
    assert_eq!(zoe.display_name, "Zo\u{eb} \u{17d}i\u{17e}kov\u{e1}");
    let carol = account(&directory, "carol@corp.example").await;
    assert_eq!(carol.display_name, r#"Carol Cook (it's; "quoted", *\2A)"#);
    // The user principal name is no mail address.
    let principal = directory.account(&who("c.cook@corp.example")).await;
    assert_eq!(principal.unwrap(), None);
    let machine = account(&directory, "DC1$").await;
    assert_eq!(machine.name.as_str(), "CORP\\DC1$");
    assert_eq!(account(&directory, machine.sid.as_str()).await, machine);
}

#[tokio::test]
async fn groups_in_groups_are_found_of_every_kind_and_scope() {
    let Some(bed) = test_bed() else {
        return;
    };
    let directory = directory(&bed);
    let alice = Identity::from(&account(&directory, "alice").await);
    let memberships = directory.memberships(&alice).await.unwrap();
    assert_eq!(
        groups(&memberships),
        [
            "all@corp.example",
            "docs-readers@corp.example",
            "eng@corp.example",
            "engineering@corp.example",
            "kernel@corp.example",
            "newsletter@corp.example",
        ]
    );
    assert!(memberships.is_in_group("ENG@corp.example"));
    // The primary group, Domain Users, is not in `memberOf`, but what it is in counts: the
    // built-in Users.
    let (domain, _) = alice.sid.as_ref().unwrap().split_relative_id().unwrap();
    assert!(memberships.contains_sid(&format!("{domain}-513")));
    assert!(memberships.contains_sid("S-1-5-32-545"));
    assert_eq!(memberships.own_sids(), Vec::from_iter(alice.sid.clone()));
    assert_eq!(memberships.own_addresses().len(), 3);
    assert!(memberships.foreign().is_empty());

    let kernel = of_address(&directory, "kernel@corp.example").await;
    assert!(kernel.is_in_group("newsletter@corp.example"));
    assert!(!kernel.is_in_group("kernel@corp.example"));
    let carol = Identity::of_address(address("carol@corp.example"));
    let super_users = address("rms-superusers@corp.example");
    assert!(is_member(&directory, &carol, &super_users).await.unwrap());
    assert!(!is_member(&directory, &alice, &super_users).await.unwrap());
}

#[tokio::test]
async fn groups_that_are_in_each_other_end() {
    let Some(bed) = test_bed() else {
        return;
    };
    let directory = directory(&bed);
    let bob = of_address(&directory, "bob@corp.example").await;
    assert_eq!(
        groups(&bob),
        [
            "all@corp.example",
            "loop-a@corp.example",
            "loop-b@corp.example",
            "sales@corp.example",
        ]
    );
    let loop_a = of_address(&directory, "loop-a@corp.example").await;
    assert!(loop_a.is_in_group("loop-a@corp.example"));
}

#[tokio::test]
async fn a_contact_has_its_groups_and_its_forest() {
    let Some(bed) = test_bed() else {
        return;
    };
    let directory = directory(&bed);
    let forest = async |name: &str| {
        let forest = directory.forest_of(&who(name)).await.unwrap();
        forest.map(|forest| forest.to_string())
    };
    assert_eq!(forest("alice").await.as_deref(), Some("corp.example"));
    assert_eq!(
        forest("kernel@corp.example").await.as_deref(),
        Some("corp.example")
    );
    assert_eq!(
        forest("engineers@partner.example").await.as_deref(),
        Some("partner.example")
    );
    assert_eq!(forest("someone@outside.example").await, None);
    assert_eq!(forest("nobody@partner.example").await, None);

    let pat = address("pat@partner.example");
    let of_partner: Sid = "S-1-5-21-7-7-7-1103".parse().unwrap();
    for identity in [
        Identity::of_address(pat.clone()),
        Identity::new(of_partner.clone(), pat.clone()),
    ] {
        let memberships = directory.memberships(&identity).await.unwrap();
        assert_eq!(groups(&memberships), ["newsletter@corp.example"]);
        assert_eq!(memberships.own_sids(), Vec::from_iter(identity.sid));
        assert_eq!(memberships.own_addresses(), std::slice::from_ref(&pat));
    }
    // Somebody else has had alice's address.
    let other = Identity::new(of_partner, address("alice@corp.example"));
    let memberships = directory.memberships(&other).await.unwrap();
    assert!(!memberships.is_in_any_group());
    assert!(memberships.contains_address("alice@corp.example"));
    let engineers = of_address(&directory, "engineers@partner.example").await;
    assert!(engineers.is_in_group("all@corp.example"));
}

#[tokio::test]
async fn a_person_who_is_renamed_and_gets_another_address_stays_the_same() {
    let Some(bed) = test_bed() else {
        return;
    };
    let mut administrator = bed.administrator().await;
    let suffix = std::process::id();
    let (name, mail) = (format!("tmp{suffix}"), format!("tmp{suffix}@corp.example"));
    let (people, groups) = (
        format!("OU=People,{}", bed.base_dn),
        format!("OU=Groups,{}", bed.base_dn),
    );
    let dn = format!("CN={name},{people}");
    let value = |text: &str| HashSet::from([text.to_owned()]);
    let attributes = vec![
        ("objectClass".to_owned(), value("user")),
        ("sAMAccountName".to_owned(), value(&name)),
        ("mail".to_owned(), value(&mail)),
    ];
    let added = administrator.add(&dn, attributes).await.unwrap();
    added.success().unwrap();
    let group = format!("CN=U-Empty,{groups}");
    let join = vec![Mod::Add("member".to_owned(), value(&dn))];
    let joined = administrator.modify(&group, join).await.unwrap();
    joined.success().unwrap();

    let cached = CachedDirectory::new(directory(&bed), &CacheSettings::default());
    let before = account(&cached, &mail).await;
    let identity = Identity::from(&before);
    assert!(
        cached
            .memberships(&identity)
            .await
            .unwrap()
            .is_in_group("empty@corp.example")
    );

    let new_dn = format!("CN=New {name},{people}");
    let renamed = administrator
        .modifydn(&dn, &format!("CN=New {name}"), true, None)
        .await
        .unwrap();
    renamed.success().unwrap();
    let new_mail = format!("new.{mail}");
    let changes = vec![
        Mod::Replace("mail".to_owned(), value(&new_mail)),
        Mod::Replace("sAMAccountName".to_owned(), value(&format!("new{name}"))),
    ];
    let changed = administrator.modify(&new_dn, changes).await.unwrap();
    changed.success().unwrap();
    let leave = vec![Mod::Delete("member".to_owned(), value(&new_dn))];
    let left = administrator.modify(&group, leave).await.unwrap();
    left.success().unwrap();

    // As remembered, until the memory is emptied.
    assert_eq!(account(&cached, &mail).await, before);
    assert!(
        cached
            .memberships(&identity)
            .await
            .unwrap()
            .is_in_group("empty@corp.example")
    );
    cached.flush().await;
    assert_eq!(cached.account(&who(&mail)).await.unwrap(), None);
    let after = account(&cached, &new_mail).await;
    assert_eq!(after.sid, before.sid);
    assert_eq!(after.name.as_str(), format!("CORP\\new{name}"));
    let memberships = cached.memberships(&identity).await.unwrap();
    assert!(!memberships.is_in_group("empty@corp.example"));
    // The address in an older RAC is still its own.
    assert!(memberships.contains_address(&mail) && memberships.contains_address(&new_mail));

    // Another person who is given an address in use: nobody is guessed.
    let twin = format!("CN=Twin {name},{people}");
    let attributes = vec![
        ("objectClass".to_owned(), value("user")),
        ("sAMAccountName".to_owned(), value(&format!("twin{suffix}"))),
        (
            "proxyAddresses".to_owned(),
            value(&format!("smtp:{new_mail}")),
        ),
    ];
    let added = administrator.add(&twin, attributes).await.unwrap();
    added.success().unwrap();
    let directory = directory(&bed);
    let ambiguous = directory.account(&who(&new_mail)).await;
    assert!(
        matches!(ambiguous, Err(DirectoryError::Invalid { .. })),
        "{ambiguous:?}"
    );

    for dn in [&twin, &new_dn] {
        let deleted = administrator.delete(dn).await.unwrap();
        deleted.success().unwrap();
    }
}

#[tokio::test]
async fn somebody_removed_from_a_group_is_in_it_until_the_answer_is_too_old() {
    let Some(bed) = test_bed() else {
        return;
    };
    let passed = Arc::new(Mutex::new(Duration::ZERO));
    let (start, time) = (Instant::now(), Arc::clone(&passed));
    let cached = CachedDirectory::with_clock(
        directory(&bed),
        &CacheSettings::default(),
        Arc::new(move || start + *time.lock().unwrap()),
    );
    let frank = Identity::from(&account(&cached, "frank").await);
    let mut administrator = bed.administrator().await;
    let group = format!("CN=U-Empty,OU=Groups,{}", bed.base_dn);
    let member = (
        "member",
        format!("CN=Frank Fifteen,OU=People,{}", bed.base_dn),
    );
    let value = HashSet::from([member.1.as_str()]);
    let join = vec![Mod::Add(member.0, value.clone())];
    let joined = administrator.modify(&group, join).await.unwrap();
    joined.success().unwrap();
    let is_in = async || {
        let memberships = cached.memberships(&frank).await.unwrap();
        memberships.is_in_group("empty@corp.example")
    };
    assert!(is_in().await);
    let leave = vec![Mod::Delete(member.0, value)];
    let left = administrator.modify(&group, leave).await.unwrap();
    left.success().unwrap();

    *passed.lock().unwrap() = Duration::from_mins(12).saturating_sub(Duration::from_secs(1));
    assert!(is_in().await);
    *passed.lock().unwrap() = Duration::from_mins(12);
    assert!(!is_in().await);
}

#[tokio::test]
async fn texts_that_would_change_a_filter_find_nobody() {
    let Some(bed) = test_bed() else {
        return;
    };
    let directory = directory(&bed);
    for text in [
        "*@corp.example",
        "a*@corp.example",
        "a|(b=c)@corp.example",
        "\"a)(mail=*\"@corp.example",
        "\"*\"@corp.example",
        "x)(|(a=b)",
        "alice)(objectClass=*",
        "al\\69ce",
        "carol(it's)",
        "\u{e1}lice",
    ] {
        let Some(who) = AccountRef::parse(text) else {
            continue;
        };
        assert_eq!(directory.account(&who).await.unwrap(), None, "{text}");
    }
    let mut asked = 0;
    let mut random = TestRunner::deterministic();
    for _ in 0..500 {
        for text in hostile_texts().new_tree(&mut random).unwrap().current() {
            if let Some(who) = AccountRef::parse(&text) {
                asked += 1;
                assert_eq!(directory.account(&who).await.unwrap(), None, "{text}");
            }
        }
    }
    assert!(asked > 1_000, "hardly anything was asked");
    // Active Directory compares without accents; whoever is found must be the one asked for.
    let accented = directory.account(&who("zo\u{eb}@corp.example")).await;
    assert_eq!(accented.unwrap(), None);
}

#[tokio::test]
async fn global_catalog_and_starttls_answer_alike_and_strangers_are_not_trusted() {
    let Some(bed) = test_bed() else {
        return;
    };
    let expected = account(&directory(&bed), "alice").await;
    for url in [
        bed.url.replace(":636", ":3269"),
        bed.url.replace("ldaps:", "ldap:").replace(":636", ":389"),
        bed.url.replace("ldaps:", "ldap:").replace(":636", ":3268"),
    ] {
        let settings = LdapSettings {
            servers: vec![url.parse().unwrap()],
            ..bed.settings()
        };
        let directory = LdapDirectory::new(settings, bed.secrets(), Handle::current()).unwrap();
        assert_eq!(account(&directory, "alice").await, expected, "{url}");
        let identity = Identity::from(&expected);
        let memberships = directory.memberships(&identity).await.unwrap();
        assert!(memberships.is_in_group("all@corp.example"), "{url}");
    }
    let unauthorised = LdapSecrets {
        roots: Vec::new(),
        ..bed.secrets()
    };
    // A machine without any roots refuses already to begin.
    if let Ok(directory) = LdapDirectory::new(bed.settings(), unauthorised, Handle::current()) {
        let error = directory.account(&who("alice")).await.unwrap_err();
        assert!(
            matches!(error, DirectoryError::Unreachable { .. }),
            "{error}"
        );
    }
    let wrong_password = bed.secrets_of("svc-rms", "wrong");
    let directory = LdapDirectory::new(bed.settings(), wrong_password, Handle::current()).unwrap();
    let error = directory.account(&who("alice")).await.unwrap_err();
    assert!(matches!(error, DirectoryError::Refused { .. }), "{error}");
    let wrong_base = LdapSettings {
        base_dn: Some("DC=nowhere,DC=example".to_owned()),
        ..bed.settings()
    };
    let directory = LdapDirectory::new(wrong_base, bed.secrets(), Handle::current()).unwrap();
    let error = directory.account(&who("alice")).await.unwrap_err();
    assert!(
        matches!(
            error,
            DirectoryError::Invalid {
                field: "base DN",
                ..
            }
        ),
        "{error}"
    );
}

/// Prints rates, for whoever wants to compare.
#[tokio::test]
async fn look_ups_share_one_connection() {
    let Some(bed) = test_bed() else {
        return;
    };
    let directory = Arc::new(directory(&bed));
    let alice = Identity::from(&account(&*directory, "alice").await);
    let begin = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let directory = Arc::clone(&directory);
        tasks.spawn(async move {
            for _ in 0..100 {
                account(&*directory, "a.archer@corp.example").await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let look_ups = 800.0 / begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    for _ in 0..50 {
        directory.memberships(&alice).await.unwrap();
    }
    let walks = 50.0 / begin.elapsed().as_secs_f64();
    println!("{look_ups:.0} accounts/s by address, {walks:.0} expansions/s one after another");
}
