//! The reader of `KERB_VALIDATION_INFO`: what Samba wrote (`vectors`), what our own writer writes,
//! and what is wrong in one way each (`hostile`). After a change of the table:
//! `cargo test -p openrms-negotiate --test pac -- --ignored`.

// A table is long, and helpers of tests may panic as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::too_many_lines)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use common::{LogonInfo, Sid};
use openrms_negotiate::{Logon, PacError};
use proptest::prelude::*;

#[test]
fn what_samba_wrote_of_alice_is_read() {
    let logon = Logon::read(include_bytes!("vectors/samba-alice.bin")).unwrap();
    let domain = "S-1-5-21-2230094314-3866914952-1838209067";
    let groups = [513, 1_110, 1_111, 1_113, 1_114].map(|id| format!("{domain}-{id}"));
    assert_eq!(logon.user_sid, format!("{domain}-1104"));
    assert_eq!(logon.account, "alice");
    assert_eq!(logon.domain, "CORP");
    assert_eq!(logon.group_sids[..5], groups);
    assert_eq!(logon.group_sids[5..], ["S-1-18-1"]);
}

#[test]
fn our_writer_writes_what_samba_wrote() {
    let samba = include_bytes!("vectors/samba-alice.bin");
    let time = |n: usize| u64::from_le_bytes(*samba[20 + 8 * n..].first_chunk().unwrap());
    let never = 0x7FFF_FFFF_FFFF_FFFF;
    let info = LogonInfo {
        times: [time(0), never, never, time(3), time(4), never],
        account: "alice".to_owned(),
        profile: ["Alice Archer", "", "", "", ""].map(str::to_owned),
        logon_count: 22,
        user: 1_104,
        primary_group: 513,
        groups: [513, 1_110, 1_111, 1_113, 1_114].map(|id| (id, 7)).to_vec(),
        user_flags: 0x20,
        logon_server: "DC1".to_owned(),
        domain: "CORP".to_owned(),
        domain_sid: Some(Sid::nt(&[21, 2_230_094_314, 3_866_914_952, 1_838_209_067])),
        account_control: 0x210,
        extra: vec![(
            Sid {
                authority: 18,
                parts: vec![1],
            },
            7,
        )],
        ..LogonInfo::default()
    };
    assert_eq!(info.encode().bytes, samba);
}

#[test]
fn what_samba_wrote_of_pat_is_read() {
    let logon = Logon::read(include_bytes!("vectors/samba-pat.bin")).unwrap();
    let domain = "S-1-5-21-1167339428-921609546-2150797275";
    assert_eq!(logon.user_sid, format!("{domain}-1104"));
    assert_eq!(logon.domain, "PARTNER");
    let groups = [513, 1_106, 1_107].map(|id| format!("{domain}-{id}"));
    assert_eq!(logon.group_sids[..3], groups);
}

#[test]
fn groups_of_all_three_lists_are_found_in_their_order() {
    let logon = Logon::read(&LogonInfo::sample().encode().bytes).unwrap();
    assert_eq!(logon.account, "zoë");
    assert_eq!(logon.user_sid, "S-1-5-21-1-2-3-1105");
    assert_eq!(
        logon.group_sids,
        [
            "S-1-5-21-1-2-3-513",
            "S-1-5-21-1-2-3-1110",
            "S-1-5-21-1-2-3-1111",
            "S-1-18-1",
            "S-1-5-21-7-8-9-1200",
            "S-1-5-21-4-5-6-1300",
            "S-1-5-21-4-5-6-1301",
        ]
    );
}

#[test]
fn a_primary_group_that_no_list_has_is_a_group() {
    let info = LogonInfo {
        primary_group: 515,
        ..LogonInfo::sample()
    };
    let logon = Logon::read(&info.encode().bytes).unwrap();
    assert_eq!(logon.group_sids[0], "S-1-5-21-1-2-3-515");
}

#[test]
fn groups_that_are_not_enabled_or_only_deny_are_left_out() {
    let mut info = LogonInfo::sample();
    info.groups = vec![(513, 7), (1_110, 3), (1_111, 0x17)];
    info.extra[1].1 = 0x10;
    info.resource[0].1 = 0x2000_0000;
    let logon = Logon::read(&info.encode().bytes).unwrap();
    assert_eq!(
        logon.group_sids,
        ["S-1-5-21-1-2-3-513", "S-1-18-1", "S-1-5-21-4-5-6-1301"]
    );
}

#[test]
fn an_account_without_relative_id_is_the_first_extra_sid() {
    let info = LogonInfo {
        user: 0,
        primary_group: 0,
        groups: Vec::new(),
        domain_sid: None,
        extra: vec![(Sid::nt(&[21, 7, 8, 9, 77]), 7), (Sid::nt(&[32, 544]), 7)],
        ..LogonInfo::sample()
    };
    let logon = Logon::read(&info.encode().bytes).unwrap();
    assert_eq!(logon.user_sid, "S-1-5-21-7-8-9-77");
    assert_eq!(logon.group_sids[0], "S-1-5-32-544");
}

#[test]
fn a_group_named_twice_is_one_group() {
    let mut info = LogonInfo::sample();
    info.groups.push((1_110, 7));
    info.extra.push((Sid::nt(&[21, 1, 2, 3, 1_111]), 7));
    let logon = Logon::read(&info.encode().bytes).unwrap();
    assert_eq!(logon.group_sids.len(), 7);
}

#[test]
fn the_longest_lists_of_windows_are_read() {
    let mut info = LogonInfo::sample();
    info.groups = (1..=1_024).map(|id| (id, 7)).collect();
    let logon = Logon::read(&info.encode().bytes).unwrap();
    assert_eq!(logon.group_sids.len(), 1_024 + 4);
}

#[test]
fn every_hostile_file_gets_its_named_error() {
    let table = table();
    let (mut seen, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let bytes = fs::read(&path).unwrap();
        let (made, error) = table
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name}: no row"));
        assert!(made == &bytes, "{name} is not what the table makes");
        let found = Logon::read(&bytes);
        if found.as_ref().err() != Some(error) {
            wrong.push(format!("{name}: {found:?}"));
        }
        seen += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(seen, table.len());
}

#[test]
#[ignore = "writes the files of tests/hostile"]
fn write_the_hostile_files() {
    fs::create_dir_all(folder()).unwrap();
    for (name, (bytes, _)) in table() {
        fs::write(folder().join(format!("{name}.bin")), bytes).unwrap();
    }
}

#[test]
fn a_description_cut_anywhere_is_refused() {
    let encoded = LogonInfo::sample().encode();
    // The last membership ends where the padding begins.
    let end = encoded.place("resource array") + 4 + 16;
    for length in 0..end {
        let mut bytes = encoded.bytes[..length].to_vec();
        if length >= 16 {
            let rest = u32::try_from(length - 16).unwrap();
            bytes[8..12].copy_from_slice(&rest.to_le_bytes());
        }
        assert!(Logon::read(&bytes).is_err(), "{length}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(info in infos()) {
        let logon = Logon::read(&info.encode().bytes).unwrap();
        prop_assert_eq!(&logon.account, &info.account);
        prop_assert_eq!(&logon.domain, &info.domain);
        prop_assert_eq!(logon.user_sid, format!("S-1-5-21-1-2-3-{}", info.user));
        let mut expected: Vec<String> = Vec::new();
        expected.extend((info.primary_group != 0)
            .then(|| format!("S-1-5-21-1-2-3-{}", info.primary_group)));
        expected.extend(info.groups.iter().map(|(id, _)| format!("S-1-5-21-1-2-3-{id}")));
        expected.extend(info.extra.iter().map(|(sid, _)| text(sid)));
        expected.extend(info.resource.iter().map(|(id, _)| format!("S-1-5-21-4-5-6-{id}")));
        let mut once = Vec::new();
        for sid in expected {
            if !once.contains(&sid) {
                once.push(sid);
            }
        }
        prop_assert_eq!(logon.group_sids, once);
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Logon::read(&bytes);
    }

    #[test]
    fn no_damage_breaks_the_reader(
        info in infos(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        numbers in proptest::collection::vec((any::<prop::sample::Index>(), any::<u32>()), 0..3),
    ) {
        let mut bytes = info.encode().bytes;
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for (at, number) in numbers {
            let at = at.index(bytes.len() / 4) * 4;
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        let _ = Logon::read(&bytes);
    }
}

fn infos() -> impl Strategy<Value = LogonInfo> {
    let memberships = || proptest::collection::vec((1..5_000_u32, Just(7_u32)), 0..30);
    let sid = (
        0..1_u64 << 48,
        proptest::collection::vec(any::<u32>(), 1..=15),
    )
        .prop_map(|(authority, parts)| (Sid { authority, parts }, 7));
    let extra = proptest::collection::vec(sid, 0..6);
    let name = || proptest::string::string_regex("[a-zà-ÿ\u{10000}-\u{10010}]{0,12}").unwrap();
    (
        name(),
        name(),
        1..u32::MAX,
        0..600_u32,
        memberships(),
        extra,
        memberships(),
    )
        .prop_map(
            |(account, domain, user, primary_group, groups, extra, resource)| LogonInfo {
                account,
                user,
                primary_group,
                groups,
                domain,
                extra,
                resource,
                ..LogonInfo::sample()
            },
        )
}

/// [MS-DTYP] 2.4.2.1.
fn text(sid: &Sid) -> String {
    let authority = if sid.authority < 1 << 32 {
        sid.authority.to_string()
    } else {
        format!("0x{:012X}", sid.authority)
    };
    let parts: Vec<String> = sid.parts.iter().map(u32::to_string).collect();
    format!("S-1-{authority}-{}", parts.join("-"))
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile"))
}

type Table = BTreeMap<&'static str, (Vec<u8>, PacError)>;

fn table() -> Table {
    let good = LogonInfo::sample().encode();
    let number = |n: u32| n.to_le_bytes();
    let with = |change: fn(&mut LogonInfo)| {
        let mut info = LogonInfo::sample();
        change(&mut info);
        info.encode().bytes
    };
    let mut table = Table::new();
    let mut add = |name, bytes, error| {
        assert!(table.insert(name, (bytes, error)).is_none(), "{name}");
    };
    add("pac-empty", Vec::new(), PacError::Header);
    add(
        "pac-ends-in-header",
        good.bytes[..15].to_vec(),
        PacError::Header,
    );
    add(
        "pac-version-2",
        good.patched("header", 0, &[2]),
        PacError::Header,
    );
    add(
        "pac-big-endian",
        good.patched("header", 1, &[0]),
        PacError::Header,
    );
    add(
        "pac-header-length-16",
        good.patched("header", 2, &[16]),
        PacError::Header,
    );
    add(
        "pac-counts-more-than-there-is",
        good.patched("header", 8, &number(u32::MAX)),
        PacError::Header,
    );
    add(
        "pac-counts-nothing",
        good.patched("header", 8, &number(0)),
        PacError::CutOff("KERB_VALIDATION_INFO"),
    );
    add(
        "pac-points-nowhere",
        good.patched("top", 0, &number(0)),
        PacError::Missing("KERB_VALIDATION_INFO"),
    );
    add(
        "pac-too-long",
        [&good.bytes[..], &vec![0; 65_536]].concat(),
        PacError::TooLong,
    );
    add(
        "pac-ends-in-times",
        good.cut("top", 40),
        PacError::CutOff("LogonTime"),
    );
    add(
        "pac-ends-in-fixed-part",
        good.cut("user", 2),
        PacError::CutOff("UserId"),
    );
    add(
        "pac-ends-after-fixed-part",
        good.cut("account text", 0),
        PacError::CutOff("EffectiveName"),
    );
    add(
        "pac-name-odd-length",
        good.patched("account", 0, &[5]),
        PacError::Name("EffectiveName"),
    );
    add(
        "pac-name-longer-than-its-maximum",
        good.patched("account", 2, &[2]),
        PacError::Name("EffectiveName"),
    );
    add(
        "pac-name-points-nowhere",
        good.patched("account", 4, &number(0)),
        PacError::Missing("EffectiveName"),
    );
    add(
        "pac-name-count-huge",
        good.patched("account text", 8, &number(u32::MAX)),
        PacError::Name("EffectiveName"),
    );
    add(
        "pac-name-count-over-maximum",
        good.patched("account text", 0, &number(1)),
        PacError::Name("EffectiveName"),
    );
    add(
        "pac-name-offset",
        good.patched("account text", 4, &number(1)),
        PacError::Name("EffectiveName"),
    );
    add(
        "pac-name-lone-surrogate",
        good.patched("account text", 12, &[0x00, 0xD8]),
        PacError::Name("EffectiveName"),
    );
    add(
        "pac-name-with-nul",
        good.patched("account text", 14, &[0, 0]),
        PacError::Name("EffectiveName"),
    );
    add(
        "pac-name-past-the-end",
        good.cut("account text", 14),
        PacError::CutOff("EffectiveName"),
    );
    add(
        "pac-groups-count-huge",
        good.patched("groups", 0, &number(u32::MAX)),
        PacError::TooMany("GroupIds"),
    );
    add(
        "pac-groups-count-over-limit",
        good.patched("groups", 0, &number(1_025)),
        PacError::TooMany("GroupIds"),
    );
    add(
        "pac-groups-counts-disagree",
        good.patched("groups array", 0, &number(2)),
        PacError::Count("GroupIds"),
    );
    add(
        "pac-groups-both-counts-past-the-end",
        {
            let mut bytes = good.patched("groups array", 0, &number(1_024));
            let at = good.place("groups");
            bytes[at..at + 4].copy_from_slice(&number(1_024));
            bytes
        },
        PacError::CutOff("GroupIds"),
    );
    add(
        "pac-groups-point-nowhere",
        good.patched("groups", 4, &number(0)),
        PacError::Missing("GroupIds"),
    );
    add(
        "pac-domain-sid-missing",
        with(|info| info.domain_sid = None),
        PacError::Missing("LogonDomainId"),
    );
    add(
        "pac-domain-sid-revision-2",
        good.patched("domain sid value", 4, &[2]),
        PacError::Sid("LogonDomainId"),
    );
    add(
        "pac-domain-sid-16-parts",
        with(|info| info.domain_sid = Some(Sid::nt(&[1; 16]))),
        PacError::Sid("LogonDomainId"),
    );
    add(
        "pac-domain-sid-15-parts-leave-no-room",
        with(|info| info.domain_sid = Some(Sid::nt(&[1; 15]))),
        PacError::Sid("LogonDomainId"),
    );
    add(
        "pac-domain-sid-0-parts",
        with(|info| info.domain_sid = Some(Sid::nt(&[]))),
        PacError::Sid("LogonDomainId"),
    );
    add(
        "pac-domain-sid-counts-disagree",
        good.patched("domain sid value", 0, &number(5)),
        PacError::Count("LogonDomainId"),
    );
    add(
        "pac-extra-count-huge",
        good.patched("extra", 0, &number(0x8000_0000)),
        PacError::TooMany("ExtraSids"),
    );
    add(
        "pac-extra-counts-disagree",
        good.patched("extra array", 0, &number(3)),
        PacError::Count("ExtraSids"),
    );
    add(
        "pac-extra-points-nowhere",
        good.patched("extra", 4, &number(0)),
        PacError::Missing("ExtraSids"),
    );
    add(
        "pac-extra-sid-points-nowhere",
        good.patched("extra array", 4, &number(0)),
        PacError::Missing("ExtraSids"),
    );
    add(
        "pac-extra-sid-revision-0",
        good.patched("extra sid", 4, &[0]),
        PacError::Sid("ExtraSids"),
    );
    add(
        "pac-extra-sid-past-the-end",
        good.cut("extra sid", 14),
        PacError::CutOff("ExtraSids"),
    );
    add(
        "pac-user-0-without-extra-sids",
        with(|info| {
            info.user = 0;
            info.extra.clear();
        }),
        PacError::Missing("UserId"),
    );
    add(
        "pac-resource-domain-missing",
        with(|info| info.resource_domain = None),
        PacError::Missing("ResourceGroupDomainSid"),
    );
    add(
        "pac-resource-count-huge",
        good.patched("resource", 0, &number(u32::MAX)),
        PacError::TooMany("ResourceGroupIds"),
    );
    add(
        "pac-resource-points-nowhere",
        good.patched("resource", 4, &number(0)),
        PacError::Missing("ResourceGroupIds"),
    );
    add(
        "pac-resource-past-the-end",
        good.cut("resource array", 19),
        PacError::CutOff("ResourceGroupIds"),
    );
    table
}
