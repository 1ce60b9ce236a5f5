//! Paths to a trusted key: every leaf has one, and nobody signs what is not theirs to sign
//! (MS-RMPR 2.2.9.2, 2.2.9.3).

use openrms_crypto::{Mode, SoftwareKey};
use openrms_xrml::chain::{
    self, ChainError, MACHINE_ACTIVATION, MAX_NODES, SharedNode, verify_path,
};
use openrms_xrml::issuing::{IssuingCertificate, IssuingRole, ServerLicensorCertificate};
use openrms_xrml::tree::TreeError;
use openrms_xrml::{Hand, Identity, Interval, Kind, Object, Time, XrmlError};

use crate::support::{
    Certified, Hierarchy, account, certify, chain_of, issue, issued, key, node, range, span, time,
};

fn kinds(path: &[&SharedNode]) -> Vec<Kind> {
    path.iter().map(|node| node.kind()).collect()
}

fn path(hierarchy: &Hierarchy, texts: &[&str]) -> Result<usize, ChainError> {
    path_at(hierarchy, texts, Some(issued()))
}

fn path_at(hierarchy: &Hierarchy, texts: &[&str], at: Option<Time>) -> Result<usize, ChainError> {
    verify_path(&chain_of(texts), at, |key| hierarchy.trusts(key)).map(|path| path.len())
}

fn mismatch(signer: Kind, issued: Kind) -> Result<usize, ChainError> {
    Err(ChainError::RoleMismatch { signer, issued })
}

const SLC: Kind = Kind::ServerLicensorCertificate;
const CA: Kind = Kind::CaCertificate;
const RAC: Kind = Kind::RightsAccountCertificate;
const CLC: Kind = Kind::ClientLicensorCertificate;
const SPC: Kind = Kind::SecurityProcessorCertificate;
const UL: Kind = Kind::UseLicense;
const PL: Kind = Kind::PublishingLicense;

fn every_leaf_has_a_path(mode: Mode) {
    let h = Hierarchy::new(mode);
    let person = h.person(account("author"));
    let pl = h.pl(&person);
    let server_ul = h.ul(&pl, &person, &h.slc, Hand::Server);
    let owner_ul = h.ul(&pl, &person, &person.clc, Hand::Client);
    let template = h.template();
    let server = h.server_chain();
    let with = |leaves: &[&str], above: [&str; 4]| {
        let nodes = chain_of(&[leaves, &above].concat());
        let path = verify_path(&nodes, Some(issued()), |key| h.trusts(key)).unwrap();
        kinds(&path)
    };
    let above = [SLC, SLC, CA, CA];
    assert_eq!(
        with(&[&person.rac.text], server),
        [&[RAC], &above[..]].concat()
    );
    assert_eq!(
        with(&[&person.clc.text], server),
        [&[CLC], &above[..]].concat()
    );
    assert_eq!(with(&[&server_ul], server), [&[UL], &above[..]].concat());
    assert_eq!(
        with(&[&template], server),
        [&[Kind::OfficialTemplate], &above[..]].concat()
    );
    assert_eq!(
        with(&[&pl, &person.clc.text], server),
        [&[PL, CLC], &above[..]].concat()
    );
    assert_eq!(
        with(&[&owner_ul, &person.clc.text], server),
        [&[UL, CLC], &above[..]].concat()
    );
    assert_eq!(with(&[&h.revocation_list(vec![])], server).len(), 5);
    assert_eq!(
        with(&[&person.spc.text], h.processor_chain()),
        [SPC, SLC, CA, CA, CA]
    );

    // Two chains glued together, and the same in another order.
    let glued = with(
        &[&pl, &person.clc.text, &owner_ul, &person.clc.text],
        server,
    );
    assert_eq!(glued, [&[PL, CLC], &above[..]].concat());
    let mut reversed: Vec<_> = server.into();
    reversed.reverse();
    let texts = [&[pl.as_str(), &server_ul, &person.clc.text], &reversed[..]].concat();
    assert_eq!(path(&h, &texts), Ok(6));
}

#[test]
fn every_leaf_of_a_mode_2_hierarchy_has_a_path() {
    every_leaf_has_a_path(Mode::Two);
}

#[test]
fn every_leaf_of_a_mode_1_hierarchy_has_a_path() {
    every_leaf_has_a_path(Mode::One);
}

#[test]
fn a_path_ends_at_whatever_key_is_trusted() {
    let h = Hierarchy::new(Mode::One);
    let person = h.person(account("reader"));
    let nodes = chain_of(&[&person.rac.text]);
    let error = verify_path(&nodes, None, |key| h.trusts(key)).unwrap_err();
    assert_eq!(error, ChainError::Untrusted(RAC));
    let path = verify_path(&nodes, None, |key| key == h.slc.identity.key()).unwrap();
    assert_eq!(path.len(), 1);
    assert_eq!(
        verify_path(&[], None, |_| true).unwrap_err(),
        ChainError::Empty
    );
    let server = chain_of(&h.server_chain());
    let path = verify_path(&server, None, |key| key == h.enrollment_ca.identity.key()).unwrap();
    assert_eq!(path.len(), 2);
}

#[test]
fn an_spc_issuer_signs_spcs_and_nothing_else() {
    let h = Hierarchy::new(Mode::One);
    let person = h.person(account("thief"));
    let by = (&h.spc_issuer.identity, &h.spc_issuer.key);
    let above = h.processor_chain();
    let with = |leaf: &str| path(&h, &[&[leaf], &above[..]].concat());
    assert_eq!(with(&person.spc.text), Ok(5));
    let rac = h.rac(&account("boss"), &person.spc, by, issued());
    assert_eq!(with(&rac.text), mismatch(SLC, RAC));
    let clc = h.clc(&account("boss"), by, range());
    assert_eq!(with(&clc.text), mismatch(SLC, CLC));
    let slc = issue(h.mode, IssuingRole::ServerLicensor, 9, by, range());
    assert_eq!(with(&slc.text), mismatch(SLC, SLC));
    let other = issue(h.mode, IssuingRole::SpcIssuer, 9, by, range());
    assert_eq!(with(&other.text), mismatch(SLC, SLC));
    let ca = issue(h.mode, IssuingRole::Ca, 9, by, range());
    assert_eq!(with(&ca.text), mismatch(SLC, CA));
    let pl = h.pl(&person);
    let ul = h.ul(&pl, &person, &h.spc_issuer, Hand::Server);
    assert_eq!(with(&ul), mismatch(SLC, UL));
    // Nor through an SLC of its own making.
    let rac = h.rac(
        &account("boss"),
        &person.spc,
        (&slc.identity, &slc.key),
        issued(),
    );
    let texts = [&[rac.text.as_str(), &slc.text], &above[..]].concat();
    assert_eq!(path(&h, &texts), mismatch(SLC, SLC));
}

#[test]
fn a_security_processor_authority_makes_spc_issuers_only() {
    let h = Hierarchy::new(Mode::One);
    let by = (&h.sp_ca.identity, &h.sp_ca.key);
    let above = &h.processor_chain()[1..];
    let with = |leaf: &str| path(&h, &[&[leaf], above].concat());
    assert_eq!(with(&h.spc_issuer.text), Ok(4));
    for (role, kind) in [
        (IssuingRole::ServerLicensor, SLC),
        (IssuingRole::EnrollmentService, SLC),
        (IssuingRole::Ca, CA),
        (IssuingRole::SecurityProcessorCa, CA),
    ] {
        let made = issue(h.mode, role, 9, by, range());
        assert_eq!(with(&made.text), mismatch(CA, kind), "{role:?}");
    }
    let spc = h.spc(by);
    assert_eq!(with(&spc.text), mismatch(CA, SPC));
}

#[test]
fn an_activation_service_signs_spcs_and_nothing_else() {
    for mode in [Mode::One, Mode::Two] {
        let h = Hierarchy::new(mode);
        let service = h.activation();
        let by = (&service.identity, &service.key);
        let mut above = h.processor_chain();
        above[0] = &service.text;
        let with = |leaf: &str| path(&h, &[&[leaf], &above[..]].concat());
        let person = h.person(account("thief"));
        let spc = h.spc(by);
        assert_eq!(with(&spc.text), Ok(5));
        let rac = h.rac(&account("boss"), &spc, by, issued());
        assert_eq!(with(&rac.text), mismatch(SLC, RAC));
        assert_eq!(
            with(&h.clc(&account("boss"), by, range()).text),
            mismatch(SLC, CLC)
        );
        let ul = h.ul(&h.pl(&person), &person, &service, Hand::Server);
        assert_eq!(with(&ul), mismatch(SLC, UL));
        for role in [
            IssuingRole::ServerLicensor,
            IssuingRole::SpcIssuer,
            IssuingRole::MachineActivation,
        ] {
            let made = issue(h.mode, role, 9, by, range());
            assert_eq!(with(&made.text), mismatch(SLC, SLC), "{role:?}");
        }
        let again = h.named_activation(MACHINE_ACTIVATION, by);
        assert_eq!(with(&again.text), mismatch(SLC, SLC));
        let error = ServerLicensorCertificate::new(node(&service.text)).unwrap_err();
        assert!(matches!(error, XrmlError::Invalid { .. }), "{error}");
    }
}

#[test]
fn nobody_who_merely_holds_an_slc_signs_spcs() {
    let h = Hierarchy::new(Mode::One);
    let slc = (&h.slc.identity, &h.slc.key);
    let spc = h.spc(slc);
    // With its own chain, and with those of both that may sign SPCs beside it.
    let service = h.activation();
    let whole = [&[service.text.as_str()], &h.processor_chain()[..]].concat();
    let chain = h.server_chain();
    for above in [chain.to_vec(), [&chain[..], &whole].concat()] {
        let texts = [&[spc.text.as_str()], &above[..]].concat();
        assert_eq!(path(&h, &texts), mismatch(SLC, SPC));
    }
    // Nor through an activation service of its own making, by whatever issuer that claims to have.
    let honest = h.named_activation(MACHINE_ACTIVATION, slc);
    let object = Object {
        kind: h.sp_ca.identity.object().kind.clone(),
        ..h.slc.identity.object().clone()
    };
    let posing = Identity::new(object, h.slc.identity.key().clone(), &[]);
    let posing = h.named_activation(MACHINE_ACTIVATION, (&posing, &h.slc.key));
    for (made, refused) in [(honest, mismatch(SLC, SPC)), (posing, mismatch(SLC, SLC))] {
        let spc = h.spc((&made.identity, &made.key));
        let texts = [&[spc.text.as_str(), &made.text], &chain[..], &whole].concat();
        assert_eq!(path(&h, &texts), refused);
    }
    // A CA makes none either, and the security processor CA none with another name.
    for (name, by) in [
        (MACHINE_ACTIVATION, &h.intermediate),
        ("Machine Activation", &h.sp_ca),
    ] {
        let made = h.named_activation(name, (&by.identity, &by.key));
        let spc = h.spc((&made.identity, &made.key));
        let texts = [&[spc.text.as_str(), &made.text], &whole[2..]].concat();
        assert!(path(&h, &texts).is_err(), "{name}");
    }
}

#[test]
fn an_authority_makes_no_spc_issuer_and_no_leaf() {
    let h = Hierarchy::new(Mode::One);
    let by = (&h.ca.identity, &h.ca.key);
    let with = |leaf: &str| path(&h, &[leaf, &h.ca.text]);
    let issuer = issue(h.mode, IssuingRole::SpcIssuer, 9, by, range());
    assert_eq!(with(&issuer.text), mismatch(CA, SLC));
    let person = h.person(account("x"));
    let rac = h.rac(&account("x"), &person.spc, by, issued());
    assert_eq!(with(&rac.text), mismatch(CA, RAC));
    assert_eq!(
        with(&h.clc(&account("x"), by, range()).text),
        mismatch(CA, CLC)
    );
}

#[test]
fn a_server_makes_no_authority() {
    let h = Hierarchy::new(Mode::One);
    let by = (&h.slc.identity, &h.slc.key);
    let with = |leaf: &str| path(&h, &[&[leaf], &h.server_chain()[..]].concat());
    for role in [IssuingRole::Ca, IssuingRole::SecurityProcessorCa] {
        assert_eq!(
            with(&issue(h.mode, role, 9, by, range()).text),
            mismatch(SLC, CA)
        );
    }
    let spc_issuer = issue(h.mode, IssuingRole::SpcIssuer, 9, by, range());
    assert_eq!(with(&spc_issuer.text), mismatch(SLC, SLC));
    // Sub-enrollment.
    let sub = issue(h.mode, IssuingRole::ServerLicensor, 9, by, range());
    assert_eq!(with(&sub.text), Ok(5));
}

#[test]
fn a_clc_signs_publishing_licenses_and_its_holders_use_licenses() {
    let h = Hierarchy::new(Mode::One);
    let author = h.person(account("author"));
    let mut other = account("other");
    other.id = "S-1-5-21-1-2-3-2000".into();
    let other = h.person(other);
    let by = (&author.clc.identity, &author.clc.key);
    let with = |leaf: &str| {
        path(
            &h,
            &[&[leaf, &author.clc.text], &h.server_chain()[..]].concat(),
        )
    };
    let pl = h.pl(&author);
    assert_eq!(with(&pl), Ok(6));
    assert_eq!(with(&h.ul(&pl, &author, &author.clc, Hand::Client)), Ok(6));
    assert_eq!(
        with(&h.ul(&pl, &other, &author.clc, Hand::Client)),
        mismatch(CLC, UL)
    );
    let rac = h.rac(&account("author"), &author.spc, by, issued());
    assert_eq!(with(&rac.text), mismatch(CLC, RAC));
    assert_eq!(
        with(&h.clc(&account("author"), by, range()).text),
        mismatch(CLC, CLC)
    );
    assert_eq!(with(&h.spc(by).text), mismatch(CLC, SPC));
    let slc = issue(h.mode, IssuingRole::ServerLicensor, 9, by, range());
    assert_eq!(with(&slc.text), mismatch(CLC, SLC));
}

#[test]
fn the_keys_of_accounts_machines_and_licenses_sign_nothing() {
    let h = Hierarchy::new(Mode::One);
    let person = h.person(account("thief"));
    for (holder, kind, above) in [
        (&person.rac, RAC, h.server_chain()),
        (&person.spc, SPC, h.processor_chain()),
    ] {
        let by = (&holder.identity, &holder.key);
        let with = |leaf: &str| path(&h, &[&[leaf, &holder.text], &above[..]].concat());
        let rac = h.rac(&account("boss"), &person.spc, by, issued());
        assert_eq!(with(&rac.text), mismatch(kind, RAC));
        assert_eq!(
            with(&h.clc(&account("boss"), by, range()).text),
            mismatch(kind, CLC)
        );
        assert_eq!(with(&h.spc(by).text), mismatch(kind, SPC));
        let urls = ("https://rms/_wmcs/licensing", None);
        let pl = h
            .pl_content()
            .sign(&holder.identity, urls, &holder.key, h.hash())
            .unwrap();
        assert_eq!(with(&pl), mismatch(kind, PL));
        assert_eq!(
            with(&h.ul(&pl, &person, holder, Hand::Client)),
            mismatch(kind, UL)
        );
    }
    // A use license names the key of a RAC; that does not make it that key's certificate.
    let pl = h.pl(&person);
    let ul = h.ul(&pl, &person, &h.slc, Hand::Server);
    let forged = h.ul(&pl, &person, &person.rac, Hand::Client);
    let texts = [&[forged.as_str(), &ul, &pl], &h.server_chain()[..]].concat();
    assert_eq!(path(&h, &texts), Err(ChainError::Untrusted(UL)));
}

#[test]
fn a_leaf_outside_its_validity_is_refused_and_the_end_is_outside() {
    let h = Hierarchy::new(Mode::One);
    let person = h.person(account("reader"));
    let texts = [&[person.rac.text.as_str()], &h.server_chain()[..]].concat();
    let (from, until) = (time("2024-02-28T12:30"), time("2025-02-28T12:30"));
    assert_eq!(path_at(&h, &texts, Some(from)), Ok(5));
    assert_eq!(path_at(&h, &texts, Some(until.plus(-1))), Ok(5));
    assert_eq!(
        path_at(&h, &texts, Some(until)),
        Err(ChainError::Expired(RAC, until))
    );
    assert_eq!(
        path_at(&h, &texts, Some(from.plus(-1))),
        Err(ChainError::NotYetValid(RAC, from))
    );
    assert_eq!(path_at(&h, &texts, None), Ok(5));
}

#[test]
fn a_node_issued_outside_its_signers_range_is_refused() {
    let h = Hierarchy::new(Mode::One);
    let by = (&h.enrollment_service.identity, &h.enrollment_service.key);
    let person = h.person(account("reader"));
    let with = |range: Interval| {
        let slc = issue(h.mode, IssuingRole::ServerLicensor, 9, by, range);
        let rac = h.rac(
            &account("reader"),
            &person.spc,
            (&slc.identity, &slc.key),
            issued(),
        );
        path(
            &h,
            &[&[rac.text.as_str(), &slc.text], &h.server_chain()[1..]].concat(),
        )
    };
    assert_eq!(with(range()), Ok(5));
    assert_eq!(with(span("2024-02-29T12:30", "2024-02-29T12:31")), Ok(5));
    let outside = Err(ChainError::IssuedOutsideRange(RAC));
    assert_eq!(with(span("2020-01-01T00:00", "2024-02-29T12:30")), outside);
    assert_eq!(with(span("2024-02-29T12:31", "2040-01-01T00:00")), outside);
    assert_eq!(with(span("2040-01-01T00:00", "2020-01-01T00:00")), outside);
}

#[test]
fn a_node_issued_outside_its_signers_validity_is_refused() {
    let h = Hierarchy::new(Mode::One);
    let person = h.person(account("reader"));
    let with = |validity: Interval| {
        let slc = IssuingCertificate {
            role: IssuingRole::ServerLicensor,
            id: crate::support::guid(9),
            issued: issued(),
            validity: Some(validity),
            issuer: h.enrollment_service.identity.clone(),
            principal: h.slc.identity.clone(),
            range: range(),
            revocation_authorities: Vec::new(),
        };
        let slc = slc.sign(&h.enrollment_service.key, h.hash()).unwrap();
        path(
            &h,
            &[&[person.rac.text.as_str(), &slc], &h.server_chain()[1..]].concat(),
        )
    };
    assert_eq!(with(range()), Ok(5));
    let past = span("2020-01-01T00:00", "2024-01-01T00:00");
    assert_eq!(with(past), Err(ChainError::IssuedOutsideRange(RAC)));
}

/// Two certificates that certify each other's keys, in that role.
fn cycle(mode: Mode, role: IssuingRole) -> (Certified, Certified) {
    let (a, b) = (key(mode), key(mode));
    let name = |name: &str, key: &SoftwareKey| {
        use openrms_crypto::PrivateKey as _;
        let public = key.public().clone();
        IssuingCertificate::principal_of(
            role,
            crate::support::guid(1),
            Some(name),
            None,
            public,
            &[],
        )
    };
    let (a_name, b_name) = (name("a", &a), name("b", &b));
    let a_text = certify(role, 1, (&b_name, &b), &a_name, range());
    let b_text = certify(role, 2, (&a_name, &a), &b_name, range());
    (
        Certified {
            key: a,
            identity: a_name,
            text: a_text,
        },
        Certified {
            key: b,
            identity: b_name,
            text: b_text,
        },
    )
}

#[test]
fn certificates_that_certify_each_other_lead_nowhere_and_the_walk_ends() {
    let mode = Mode::One;
    let h = Hierarchy::new(mode);
    let (a, b) = cycle(mode, IssuingRole::EnrollmentService);
    let slc = issue(
        mode,
        IssuingRole::ServerLicensor,
        9,
        (&a.identity, &a.key),
        range(),
    );
    assert_eq!(
        path(&h, &[&slc.text, &a.text, &b.text]),
        Err(ChainError::Untrusted(SLC))
    );
    assert_eq!(
        path(&h, &[&a.text, &b.text]),
        Err(ChainError::Untrusted(SLC))
    );
    assert_eq!(
        path(&h, &[&a.text, &a.text, &b.text]),
        Err(ChainError::Untrusted(SLC))
    );
    // A certificate over its own key.
    let root = crate::support::named("DRM-Certificate-Authority", "Test Root");
    let root = Identity::new(root, a.identity.key().clone(), &[]);
    let own = certify(IssuingRole::Ca, 3, (&root, &a.key), &root, range());
    assert_eq!(path(&h, &[&own]), Err(ChainError::Untrusted(CA)));
    assert_eq!(path(&h, &[&own, &own]), Err(ChainError::Untrusted(CA)));
}

#[test]
fn of_several_certificates_for_one_key_the_trusted_one_is_found() {
    let h = Hierarchy::new(Mode::One);
    let stranger = Hierarchy::new(Mode::One);
    let person = h.person(account("reader"));
    let by = (
        &stranger.enrollment_service.identity,
        &stranger.enrollment_service.key,
    );
    let role = IssuingRole::ServerLicensor;
    let foreign = certify(role, 9, by, &h.slc.identity, range());
    let by = (&h.enrollment_service.identity, &h.enrollment_service.key);
    let past = span("2010-01-01T00:00", "2011-01-01T00:00");
    let old = certify(role, 10, by, &h.slc.identity, past);
    let leaves = [person.rac.text.as_str(), &foreign, &old];
    let above = [&stranger.server_chain()[1..], &h.server_chain()[..]].concat();
    assert_eq!(path(&h, &[&leaves[..], &above].concat()), Ok(5));
    assert_eq!(path(&stranger, &[&leaves[..], &above].concat()), Ok(5));
    let error = path(&h, &leaves).unwrap_err();
    assert!(matches!(
        error,
        ChainError::Untrusted(SLC) | ChainError::IssuedOutsideRange(RAC)
    ));
}

#[test]
fn a_chain_is_nodes_and_white_space_of_xml_and_nothing_else() {
    let h = Hierarchy::new(Mode::One);
    let [slc, service, ..] = h.server_chain();
    let count = |text: &str| chain::parse(text).map(|nodes| nodes.len());
    assert_eq!(count(&format!("\r\n{slc} \t{service}\n")), Ok(2));
    for (text, reason) in [
        (String::new(), "no node"),
        (" \n".into(), "no node"),
        (format!("{slc}x{service}"), "text between nodes"),
        (format!("{slc}\u{feff}{service}"), "text between nodes"),
        (format!("{slc}\u{a0}"), "text between nodes"),
        (format!("\u{feff}{slc}"), "text between nodes"),
        (
            format!("<?xml version=\"1.0\"?>{slc}"),
            "text between nodes",
        ),
        (format!("{slc}<!-- x -->"), "text between nodes"),
        (
            format!("{slc}{}", &service[..service.len() - 1]),
            "a node does not end",
        ),
        (slc.replace("</XrML>", "</XrML >"), "a node does not end"),
        (
            slc.replacen("<XrML", "<XrMLs", 1),
            "the root element is not XrML",
        ),
    ] {
        let text = if reason.starts_with("the root") {
            text.replace("</XrML>", "</XrMLs></XrML>")
        } else {
            text
        };
        match count(&text) {
            Err(XrmlError::NotAChain(found)) => assert_eq!(found, reason),
            Err(XrmlError::Tree(_)) if reason.starts_with("the root") => {}
            other => panic!("{reason}: {other:?}"),
        }
    }
    let many = "<XrML></XrML>".repeat(MAX_NODES + 1);
    assert_eq!(chain::split(&many), Err(XrmlError::TooManyNodes(MAX_NODES)));
    let huge = " ".repeat((8 << 20) + 1);
    assert_eq!(count(&huge), Err(TreeError::TooLarge((8 << 20) + 1).into()));
}

#[test]
fn the_bound_on_elements_is_for_the_whole_chain() {
    let h = Hierarchy::new(Mode::One);
    let pl = h.pl(&h.person(account("author")));
    let filling = "<A/>".repeat(60_000);
    let full = pl.replace("</BODY>", &format!("<A>{filling}</A></BODY>"));
    assert_eq!(chain::parse(&full).unwrap().len(), 1);
    let error = chain::parse(&format!("{full}{full}")).unwrap_err();
    assert_eq!(error, TreeError::TooManyElements(100_000).into());
}

#[test]
fn a_licensing_cluster_issues_all_but_racs_and_slcs() {
    let h = Hierarchy::new(Mode::One);
    let role = IssuingRole::ServerLicensor;
    let below =
        |byte, by: &Certified| issue(Mode::One, role, byte, (&by.identity, &by.key), range());
    let licensing = below(30, &h.slc);
    let chain = [&[licensing.text.as_str()], &h.server_chain()[..]].concat();
    assert_eq!(path(&h, &chain), Ok(5));

    let by = (&licensing.identity, &licensing.key);
    let spc = h.spc((&h.spc_issuer.identity, &h.spc_issuer.key));
    let who = account("reader");
    let forged = h.rac(&who, &spc, by, issued());
    assert_eq!(
        path(&h, &[&[forged.text.as_str()], &chain[..]].concat()),
        Err(ChainError::Subordinate(RAC))
    );
    let third = below(31, &licensing);
    assert_eq!(
        path(&h, &[&[third.text.as_str()], &chain[..]].concat()),
        Err(ChainError::Subordinate(SLC))
    );
    // Nor does it help to be two servers at once, or to come by another way.
    let again = certify(role, 32, by, &licensing.identity, range());
    let twice = [&[forged.text.as_str(), &again], &chain[..]].concat();
    assert_eq!(path(&h, &twice), Err(ChainError::Subordinate(RAC)));

    let person = h.person(account("author"));
    let pl = h.pl(&person);
    let ul = h.ul(&pl, &person, &licensing, Hand::Server);
    assert_eq!(path(&h, &[&[ul.as_str()], &chain[..]].concat()), Ok(6));
}
