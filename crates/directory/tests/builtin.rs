//! The built-in directory: who is who, who is in what, who may sign in.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use openrms_directory::{
    AccountRef, Address, BuiltIn, Directory, Identity, Member, Memberships, People, SignInError,
    is_member,
};

/// Staff is in everyone-at-corp; red and blue are in each other; carol is disabled; the partner
/// forest's sales group is in staff, its pat in red.
const LIST: &str = r#"
forest = "corp.example"
domain = "CORP"
domain_sid = "S-1-5-21-1-2-3"
next_rid = 1110

[[person]]
account = "alice"
sid = "S-1-5-21-1-2-3-1101"
display_name = "Alice"
mail = "Alice@corp.example"
addresses = ["alice.a@corp.example"]
created = 1700000000

[[person]]
account = "bob"
sid = "S-1-5-21-1-2-3-1102"
mail = "bob@corp.example"

[[person]]
account = "carol"
sid = "S-1-5-21-1-2-3-1103"
mail = "carol@corp.example"
disabled = true

[[person]]
account = "OTHER\\dave"
sid = "S-1-5-21-9-9-9-1104"

[[group]]
address = "staff@corp.example"
sid = "S-1-5-21-1-2-3-1105"
members = ["alice", "sales@partner.example"]

[[group]]
address = "All@corp.example"
sid = "S-1-5-21-1-2-3-1106"
members = ["staff@corp.example"]

[[group]]
address = "red@corp.example"
sid = "S-1-5-21-1-2-3-1107"
members = ["blue@corp.example", "pat@partner.example"]

[[group]]
address = "blue@corp.example"
sid = "S-1-5-21-1-2-3-1108"
members = ["red@corp.example", "CORP\\bob"]

[[contact]]
address = "sales@partner.example"
forest = "partner.example"

[[contact]]
address = "pat@partner.example"
forest = "partner.example"
person = true
"#;

fn directory() -> BuiltIn {
    BuiltIn::from_toml(LIST).unwrap()
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn who(text: &str) -> AccountRef {
    AccountRef::parse(text).unwrap()
}

async fn of(directory: &BuiltIn, text: &str) -> Arc<Memberships> {
    directory
        .memberships(&Identity::of_address(address(text)))
        .await
        .unwrap()
}

#[tokio::test]
async fn an_account_is_found_by_sid_name_and_any_address() {
    let directory = directory();
    for name in [
        "S-1-5-21-1-2-3-1101",
        "alice",
        "ALICE",
        "corp\\Alice",
        "alice@CORP.example",
        "Alice.A@corp.example",
    ] {
        let account = directory.account(&who(name)).await.unwrap().expect(name);
        assert_eq!(account.name.as_str(), "CORP\\alice");
        assert_eq!(account.mail.unwrap().as_str(), "Alice@corp.example");
        assert_eq!(account.proxy_addresses, [address("alice.a@corp.example")]);
        assert_eq!(account.created, Some(1_700_000_000));
        assert!(account.enabled);
    }
    for name in [
        "S-1-5-21-1-2-3-1",
        "OTHER\\alice",
        "dave",
        "staff@corp.example",
        "x@y",
    ] {
        assert!(
            directory.account(&who(name)).await.unwrap().is_none(),
            "{name}"
        );
    }
    let dave = directory
        .account(&who("other\\dave"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((dave.mail, dave.name.as_str()), (None, "OTHER\\dave"));
    assert!(
        !directory
            .account(&who("carol"))
            .await
            .unwrap()
            .unwrap()
            .enabled
    );
}

#[tokio::test]
async fn the_forest_of_a_contact_is_the_one_it_stands_for() {
    let directory = directory();
    let forest = async |name: &str| directory.forest_of(&who(name)).await.unwrap();
    assert_eq!(
        forest("alice").await.as_ref(),
        Some(directory.home_forest())
    );
    assert_eq!(
        forest("staff@corp.example").await.as_ref(),
        Some(directory.home_forest())
    );
    assert_eq!(
        forest("sales@partner.example").await.unwrap().as_str(),
        "partner.example"
    );
    assert_eq!(forest("nobody@partner.example").await, None);
}

#[tokio::test]
async fn memberships_are_transitive_and_circles_end() {
    let directory = directory();
    let alice = of(&directory, "alice@corp.example").await;
    for one in [
        "ALICE.A@corp.example",
        "staff@corp.example",
        "all@corp.example",
    ] {
        assert!(alice.contains_address(one), "{one}");
    }
    assert!(alice.contains_sid("S-1-5-21-1-2-3-1101"));
    assert!(alice.contains_sid("S-1-5-21-1-2-3-1106"));
    assert!(!alice.contains_address("red@corp.example"));
    assert!(!alice.contains_address("bob@corp.example"));

    let bob = of(&directory, "bob@corp.example").await;
    let mut groups: Vec<_> = bob.group_addresses().collect();
    groups.sort_unstable();
    assert_eq!(groups, ["blue@corp.example", "red@corp.example"]);
    let red = of(&directory, "red@corp.example").await;
    assert!(red.is_in_group("blue@corp.example") && red.is_in_group("red@corp.example"));
}

#[tokio::test]
async fn contacts_are_in_groups_and_foreign_groups_are_listed() {
    let directory = directory();
    let sales = of(&directory, "sales@partner.example").await;
    assert!(sales.is_in_group("all@corp.example"));
    let pat = of(&directory, "pat@partner.example").await;
    assert!(pat.is_in_group("blue@corp.example"));
    let [foreign] = pat.foreign() else {
        panic!("{:?}", pat.foreign())
    };
    assert_eq!(foreign.address, address("sales@partner.example"));
    assert_eq!(foreign.forest.as_str(), "partner.example");
}

#[tokio::test]
async fn a_foreign_person_keeps_the_sid_and_has_the_groups_of_the_contact() {
    let sid = "S-1-5-21-7-7-7-8";
    let pat = Identity::new(sid.parse().unwrap(), address("pat@partner.example"));
    let memberships = directory().memberships(&pat).await.unwrap();
    assert!(memberships.contains_sid(sid));
    assert!(memberships.is_in_group("red@corp.example"));
}

#[tokio::test]
async fn somebody_unknown_is_nothing_but_their_own_address() {
    let directory = directory();
    let stranger = Identity::new(
        "S-1-5-21-7-7-7-7".parse().unwrap(),
        address("X@else.example"),
    );
    let memberships = directory.memberships(&stranger).await.unwrap();
    assert!(memberships.contains_address("x@else.example"));
    assert!(memberships.contains_sid("S-1-5-21-7-7-7-7"));
    assert_eq!(memberships.group_addresses().count(), 0);
    assert_eq!(memberships.group_sids().count(), 0);
    // But another forest may know more.
    assert_eq!(memberships.foreign().len(), 1);
    let nobody = Identity {
        sid: None,
        addresses: Vec::new(),
    };
    assert!(
        directory
            .memberships(&nobody)
            .await
            .unwrap()
            .own_addresses()
            .is_empty()
    );
}

#[tokio::test]
async fn an_address_that_changed_hands_brings_no_groups() {
    let directory = directory();
    let former = Identity::new(
        "S-1-5-21-1-2-3-900".parse().unwrap(),
        address("alice@corp.example"),
    );
    let memberships = directory.memberships(&former).await.unwrap();
    assert!(memberships.contains_address("alice@corp.example"));
    assert!(!memberships.contains_address("staff@corp.example"));
    assert!(!memberships.contains_sid("S-1-5-21-1-2-3-1101"));
}

#[tokio::test]
async fn the_sid_decides_and_a_dropped_address_stays_own() {
    let directory = directory();
    let identity = Identity {
        sid: Some("S-1-5-21-1-2-3-1101".parse().unwrap()),
        addresses: vec![
            address("alice.old@corp.example"),
            address("bob@corp.example"),
        ],
    };
    let memberships = directory.memberships(&identity).await.unwrap();
    assert!(memberships.contains_address("alice.old@corp.example"));
    assert!(memberships.contains_address("staff@corp.example"));
    assert!(!memberships.contains_address("blue@corp.example"));
}

#[tokio::test]
async fn the_same_answer_is_shared_and_not_made_anew() {
    let directory = directory();
    let account = directory.account(&who("alice")).await.unwrap().unwrap();
    let one = directory
        .memberships(&Identity::from(&account))
        .await
        .unwrap();
    let two = of(&directory, "alice.a@corp.example").await;
    assert!(Arc::ptr_eq(&one, &two));
}

#[tokio::test]
async fn only_members_are_super_users() {
    let directory = directory();
    let group = address("ALL@corp.example");
    let is = async |who: &str| {
        is_member(&directory, &Identity::of_address(address(who)), &group)
            .await
            .unwrap()
    };
    assert!(is("alice@corp.example").await);
    assert!(!is("bob@corp.example").await);
    // A RAC that claims the group's own address.
    assert!(!is("all@corp.example").await);
}

proptest::proptest! {
    #[test]
    fn groups_are_those_that_can_be_reached(edges in proptest::collection::vec((0..9_usize, 0..8_usize), 0..30)) {
        use std::fmt::Write;
        // Member 8 is bob, the others are groups; an edge goes from a member to a group.
        let mut text = LIST.to_owned();
        for group in 0..8 {
            let members: Vec<String> = edges
                .iter()
                .filter(|(_, to)| *to == group)
                .map(|(from, _)| if *from == 8 { "\"bob\"".into() } else { format!("\"g{from}@x\"") })
                .collect();
            writeln!(
                text,
                "[[group]]\naddress = \"g{group}@x\"\nsid = \"S-1-5-21-9-9-9-{group}\"\nmembers = [{}]",
                members.join(",")
            )
            .unwrap();
        }
        let mut reached = std::collections::HashSet::from([8]);
        for _ in 0..9 {
            let next: Vec<_> =
                edges.iter().filter(|(from, _)| reached.contains(from)).map(|(_, to)| *to).collect();
            reached.extend(next);
        }
        let directory = BuiltIn::from_toml(&text).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let bob = runtime.block_on(of(&directory, "bob@corp.example"));
        for group in 0..8 {
            proptest::prop_assert_eq!(bob.is_in_group(&format!("g{group}@x")), reached.contains(&group));
            proptest::prop_assert_eq!(
                bob.contains_sid(&format!("S-1-5-21-9-9-9-{group}")),
                reached.contains(&group)
            );
        }
    }
}

fn with_passwords() -> BuiltIn {
    let mut list = People::from_toml(LIST).unwrap();
    for name in ["alice", "carol"] {
        list.set_password(&Member::parse(name).unwrap(), &format!("{name}'s password"))
            .unwrap();
    }
    BuiltIn::new(list).unwrap()
}

#[test]
fn the_right_password_signs_in_by_name_and_by_mail() {
    let directory = with_passwords();
    for name in ["alice", "CORP\\ALICE", "alice.a@corp.example"] {
        let account = directory.check_password(name, "alice's password").unwrap();
        assert_eq!(account.name.as_str(), "CORP\\alice");
    }
}

#[test]
fn wrong_password_unknown_account_and_no_password_look_the_same() {
    let directory = with_passwords();
    for (name, password) in [
        ("alice", "wrong"),
        ("alice", ""),
        ("alice", &"x".repeat(5000)),
        ("alice", "carol's password"),
        ("nobody", "alice's password"),
        ("bob", "alice's password"),
        ("staff@corp.example", "alice's password"),
        ("", ""),
        ("a\\b\\c", "alice's password"),
    ] {
        assert_eq!(
            directory.check_password(name, password),
            Err(SignInError::Refused),
            "{name}"
        );
    }
    let nobody_has_one = self::directory();
    assert_eq!(
        nobody_has_one.check_password("alice", "x"),
        Err(SignInError::Refused)
    );
}

#[test]
fn a_disabled_account_is_told_so_only_with_the_right_password() {
    let directory = with_passwords();
    assert_eq!(
        directory.check_password("carol", "wrong"),
        Err(SignInError::Refused)
    );
    for _ in 0..2 {
        let refused = directory.check_password("carol", "carol's password");
        assert_eq!(refused, Err(SignInError::Disabled));
    }
}

#[test]
fn a_success_is_remembered_for_a_while_and_only_itself() {
    let directory = with_passwords();
    let now = Instant::now();
    let slow = Instant::now();
    directory
        .check_password_at("alice", "alice's password", now)
        .unwrap();
    let slow = slow.elapsed();
    let quick = Instant::now();
    for _ in 0..100 {
        let soon = now + Duration::from_secs(299);
        directory
            .check_password_at("CORP\\alice", "alice's password", soon)
            .unwrap();
    }
    assert!(
        quick.elapsed() < slow,
        "100 remembered checks took longer than one hash"
    );
    let wrong = directory.check_password_at("alice", "alice's passwore", now);
    assert_eq!(wrong, Err(SignInError::Refused));
    let later = now + Duration::from_secs(301);
    directory
        .check_password_at("alice", "alice's password", later)
        .unwrap();
}

#[test]
fn many_at_a_time_all_get_their_answer() {
    let directory = with_passwords();
    std::thread::scope(|scope| {
        for number in 0..12 {
            let directory = &directory;
            scope.spawn(move || {
                let right = number % 2 == 0;
                let password = if right { "alice's password" } else { "wrong" };
                assert_eq!(directory.check_password("alice", password).is_ok(), right);
            });
        }
    });
}
