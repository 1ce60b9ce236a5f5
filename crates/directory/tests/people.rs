//! The people list: what is refused, what edits do, what the file looks like.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use openrms_directory::{
    Address, BuiltIn, Contact, Member, NewPerson, People, PeopleError, SidError,
};

const LIST: &str = r#"
forest = "corp.example"
domain = "CORP"
domain_sid = "S-1-5-21-1-2-3"
next_rid = 1110

[[person]]
account = "alice"
sid = "S-1-5-21-1-2-3-1101"
display_name = "Alice A."
mail = "Alice@corp.example"
addresses = ["alice.a@corp.example"]
created = 1700000000

[[person]]
account = "bob"
sid = "S-1-5-21-1-2-3-1102"

[[group]]
address = "staff@corp.example"
sid = "S-1-5-21-1-2-3-1103"
members = ["alice", "bob"]
"#;

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn member(text: &str) -> Member {
    Member::parse(text).unwrap()
}

fn error(text: &str) -> PeopleError {
    BuiltIn::from_toml(text).unwrap_err()
}

fn newcomer(account: &str, mail: Option<&str>) -> NewPerson {
    NewPerson {
        account: account.parse().unwrap(),
        display_name: String::new(),
        mail: mail.map(address),
        addresses: Vec::new(),
        created: None,
    }
}

#[test]
fn a_list_comes_back_from_its_text() {
    let list = People::from_toml(LIST).unwrap();
    assert_eq!(People::from_toml(&list.to_toml().unwrap()).unwrap(), list);
    assert_eq!(list.people().len(), 2);
    assert_eq!(list.people()[1].mail, None);
}

#[test]
fn what_is_wrong_with_a_list_is_named() {
    assert!(matches!(error("nonsense"), PeopleError::Syntax { .. }));
    assert!(matches!(
        error(&LIST.replace("created", "craeted")),
        PeopleError::Syntax { .. }
    ));
    assert!(matches!(
        error(&LIST.replace("1-2-3-1102", "1-2-x-1102")),
        PeopleError::BadSid { of, reason: SidError::SubAuthority { position: 4 }, .. } if of == "bob"
    ));
    assert!(matches!(
        error(&LIST.replace("alice.a@", "alice.a at ")),
        PeopleError::BadAddress { of, .. } if of == "alice"
    ));
    assert!(matches!(
        error(&LIST.replace("\"bob\"\nsid", "\"Alice\"\nsid")),
        PeopleError::DuplicateAccount { account } if account.as_str() == "Alice"
    ));
    assert!(matches!(
        error(&LIST.replace("\"bob\"\nsid", "\"corp\\\\ALICE\"\nsid")),
        PeopleError::DuplicateAccount { .. }
    ));
    assert!(matches!(
        error(&LIST.replace("alice.a@", "STAFF@")),
        PeopleError::DuplicateAddress { address: twice } if twice == address("staff@corp.example")
    ));
    assert!(matches!(
        error(&LIST.replace("1102", "1103")),
        PeopleError::DuplicateSid { .. }
    ));
    assert!(matches!(
        error(&LIST.replace("[\"alice\", \"bob\"]", "[\"carol\"]")),
        PeopleError::UnknownMember { member, .. } if member == "carol"
    ));
    assert!(matches!(
        error(&LIST.replace("[\"alice\", \"bob\"]", "[\"other@corp.example\"]")),
        PeopleError::UnknownMember { .. }
    ));
    assert!(matches!(
        error(&LIST.replace("forest = \"corp", "forest = \"corp ")),
        PeopleError::BadForest { .. }
    ));
    assert!(matches!(
        error(&LIST.replace("created = 1700000000", "password = \"secret\"")),
        PeopleError::Password(_)
    ));
}

#[test]
fn a_chain_of_groups_that_is_too_long_is_refused() {
    use std::fmt::Write;
    let mut text = LIST.to_owned();
    for n in 0..150 {
        let below = if n == 0 {
            "bob".to_owned()
        } else {
            format!("g{}@x", n - 1)
        };
        let sid = 5000 + n;
        write!(
            text,
            "[[group]]\naddress = \"g{n}@x\"\nsid = \"S-1-5-21-9-9-9-{sid}\"\nmembers = [\"{below}\"]\n"
        )
        .unwrap();
    }
    assert_eq!(
        error(&text),
        PeopleError::Limit {
            what: "levels of nested groups"
        }
    );
}

#[test]
fn edits_give_sids_once_and_never_again() {
    let mut list = People::new("corp.example".parse().unwrap(), Some("CORP"), [1, 2, 3]).unwrap();
    let alice = list
        .add_person(newcomer("alice", Some("alice@corp.example")))
        .unwrap();
    assert_eq!(alice.as_str(), "S-1-5-21-1-2-3-1101");
    list.remove(&member("alice")).unwrap();
    let again = list
        .add_person(newcomer("alice", Some("alice@corp.example")))
        .unwrap();
    assert_eq!(again.as_str(), "S-1-5-21-1-2-3-1102");
    // Also across the file.
    list.remove(&member("ALICE@corp.example")).unwrap();
    let mut list = People::from_toml(&list.to_toml().unwrap()).unwrap();
    let group = list.add_group(address("staff@corp.example")).unwrap();
    assert_eq!(group.as_str(), "S-1-5-21-1-2-3-1103");
}

#[test]
fn a_list_that_did_not_count_gives_no_sid_twice() {
    let mut list = People::from_toml(&LIST.replace("next_rid = 1110\n", "")).unwrap();
    let sid = list.add_person(newcomer("carol", None)).unwrap();
    assert_eq!(sid.as_str(), "S-1-5-21-1-2-3-1104");
}

#[test]
fn an_edit_that_would_break_the_list_changes_nothing() {
    let mut list = People::from_toml(LIST).unwrap();
    let before = list.clone();
    let staff = address("staff@corp.example");
    list.add_person(newcomer("BOB", None)).unwrap_err();
    list.add_person(newcomer("carol", Some("alice@CORP.example")))
        .unwrap_err();
    list.add_group(staff.clone()).unwrap_err();
    list.add_member(&staff, member("nobody")).unwrap_err();
    list.add_member(&address("nobody@corp.example"), member("bob"))
        .unwrap_err();
    list.remove(&member("nobody")).unwrap_err();
    list.set_password(&member("alice"), "").unwrap_err();
    list.set_disabled(&member("staff@corp.example"), true)
        .unwrap_err();
    assert_eq!(list, before);
}

#[test]
fn whoever_is_removed_leaves_all_groups_under_any_spelling() {
    let text = LIST.replace(
        "[\"alice\", \"bob\"]",
        "[\"alice.a@corp.example\", \"CORP\\\\bob\"]",
    );
    let mut list = People::from_toml(&text).unwrap();
    let staff = address("staff@corp.example");
    list.remove(&member("corp\\alice")).unwrap();
    assert_eq!(list.groups()[0].members, [member("CORP\\bob")]);
    list.remove_member(&staff, &member("bob")).unwrap();
    assert!(list.groups()[0].members.is_empty());
    assert!(list.remove_member(&staff, &member("bob")).is_err());
    let partner = Contact {
        address: address("sales@partner.example"),
        forest: "partner.example".parse().unwrap(),
        group: true,
    };
    list.add_contact(partner).unwrap();
    list.add_member(&staff, member("sales@partner.example"))
        .unwrap();
    list.add_member(&staff, member("sales@partner.example"))
        .unwrap();
    assert_eq!(list.groups()[0].members.len(), 1);
    list.remove(&member("staff@corp.example")).unwrap();
    assert!(list.groups().is_empty());
}

#[test]
fn a_password_is_stored_as_a_hash_and_not_shown() {
    let mut list = People::from_toml(LIST).unwrap();
    list.set_password(&member("alice@corp.example"), "correct horse")
        .unwrap();
    let text = list.to_toml().unwrap();
    assert!(text.contains("$argon2id$") && !text.contains("correct horse"));
    assert!(!format!("{list:?}").contains("argon2id"));
}
