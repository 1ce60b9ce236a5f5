//! No input to the licensing engine yields a content key unless the rights data grant it to that
//! person at that time, or they are the author, or a super user. That somebody else asks for them
//! changes nothing, and nobody changes rights who does not hold the right to.
//!
//! The oracle below is written apart from the engine, from the sentence above.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::sync::LazyLock;

use openrms_engine::Refusal;
use openrms_engine::license::acquire_license;
use openrms_engine::prelicense::acquire_prelicense;
use openrms_engine::republish::edit_issuance_license;
use openrms_protocol::licensing::{
    AcquireLicense, AcquireLicenseParams, AcquireLicenseResponse, LicenseOutcome,
};
use openrms_protocol::prelicensing::{
    AcquirePreLicense, AcquirePreLicenseParams, PreLicenseOutcome,
};
use openrms_protocol::republishing::EditIssuanceLicense;
use openrms_protocol::{CertificateChain, CertificateText, Fault};
use openrms_xrml::rights::TimeCondition;
use openrms_xrml::rights_data::{Grantee, RightGrant};
use openrms_xrml::ul::UseLicense;
use openrms_xrml::{Interval, Node};
use proptest::prelude::*;
use support::*;
use tokio::runtime::Runtime;

struct Stage {
    runtime: Runtime,
    world: World,
    members: Vec<Member_>,
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (world, members) = runtime.block_on(async {
        let world = World::new().await;
        let mut members = Vec::new();
        for name in PEOPLE {
            members.push(world.member(name).await);
        }
        (world, members)
    });
    Stage {
        runtime,
        world,
        members,
    }
});

/// Who a grant names, by what a test can say of it.
#[derive(Debug, Clone)]
enum Named {
    Address(&'static str),
    Person(usize),
    Sid(usize),
    Anyone,
    Owner,
    Unknown,
}

#[derive(Debug, Clone)]
struct Line {
    right: &'static str,
    named: Named,
    range: Option<(i64, i64)>,
    days: Option<u32>,
    unknown_condition: bool,
}

#[derive(Debug, Clone)]
struct Case {
    lines: Vec<Line>,
    precondition: Option<(i64, i64)>,
    precondition_days: Option<u32>,
    unknown_precondition: bool,
    owner: usize,
    clear_owner: usize,
    proof: bool,
    signer: usize,
    requester: usize,
    later: i64,
    editable: bool,
}

impl Case {
    /// Whether anything may be released, said without looking at the engine.
    fn allows(&self) -> bool {
        self.allows_right(|_| true)
    }

    /// Whether the requester may put other rights in the place of these.
    fn allows_edit(&self) -> bool {
        self.editable && self.allows_right(|right| matches!(right, "OWNER" | "EDITRIGHTSDATA"))
    }

    fn allows_right(&self, wanted: impl Fn(&str) -> bool) -> bool {
        // Only rights data that nobody but the author could encrypt name the owner.
        let author = self.owner == self.requester;
        if self.proof && self.clear_owner != self.owner {
            // The proof was made for another owner: somebody changed the license.
            return false;
        }
        if author {
            return true;
        }
        let in_range = |range: Option<(i64, i64)>| {
            range.is_none_or(|(from, until)| from <= self.later && self.later < until)
        };
        let day_over = |days: u32| self.later >= i64::from(days) * 86_400;
        if self.unknown_precondition
            || !in_range(self.precondition)
            || self.precondition_days.is_some_and(day_over)
        {
            return false;
        }
        self.lines.iter().any(|line| {
            let groups: &[&str] = match PEOPLE[self.requester] {
                "bob" => &["staff@example.test"],
                "dave" => &["staff@example.test", "nested@example.test"],
                "carol" => &["super@example.test"],
                _ => &[],
            };
            let meant = match line.named {
                Named::Anyone => true,
                Named::Address(address) => groups.contains(&address),
                Named::Person(index) | Named::Sid(index) => index == self.requester,
                Named::Owner | Named::Unknown => false,
            };
            meant
                && wanted(line.right)
                && !line.unknown_condition
                && in_range(line.range)
                && line.days != Some(0)
        })
    }

    fn grantee(named: &Named, members: &[Member_]) -> Grantee {
        match named {
            Named::Address(address) => to(address),
            Named::Person(index) => to(&members[*index].email.to_uppercase()),
            Named::Sid(index) => Grantee::Sid(members[*index].rac.account().id.clone()),
            Named::Anyone => Grantee::Anyone,
            Named::Owner => Grantee::Owner,
            Named::Unknown => Grantee::Unknown("Quantum".into()),
        }
    }
}

fn offset() -> impl Strategy<Value = i64> {
    // Minutes, because licenses tell no seconds; NOW is a whole minute.
    (-3000_i64..3000).prop_map(|minutes| minutes * 60)
}

fn line() -> impl Strategy<Value = Line> {
    let named = prop_oneof![
        Just(Named::Address("staff@example.test")),
        Just(Named::Address("nested@example.test")),
        Just(Named::Address("nobody@example.test")),
        (0..PEOPLE.len()).prop_map(Named::Person),
        (0..PEOPLE.len()).prop_map(Named::Sid),
        Just(Named::Anyone),
        Just(Named::Owner),
        Just(Named::Unknown),
    ];
    let right = prop_oneof![
        Just("VIEW"),
        Just("EDIT"),
        Just("OWNER"),
        Just("EDITRIGHTSDATA"),
        Just("X-RAY")
    ];
    (
        right,
        named,
        proptest::option::of((offset(), offset())),
        proptest::option::weighted(0.2, 0_u32..3),
        proptest::bool::weighted(0.2),
    )
        .prop_map(|(right, named, range, days, unknown_condition)| Line {
            right,
            named,
            range,
            days,
            unknown_condition,
        })
}

fn case() -> impl Strategy<Value = Case> {
    (
        proptest::collection::vec(line(), 0..5),
        proptest::option::weighted(0.3, (offset(), offset())),
        proptest::option::weighted(0.2, 0_u32..3),
        proptest::bool::weighted(0.1),
        (
            0..PEOPLE.len(),
            0..PEOPLE.len(),
            any::<bool>(),
            0..PEOPLE.len(),
            0..PEOPLE.len(),
        ),
        (0_i64..2000).prop_map(|minutes| minutes * 60),
        proptest::bool::weighted(0.8),
    )
        .prop_map(
            |(
                lines,
                precondition,
                precondition_days,
                unknown_precondition,
                who,
                later,
                editable,
            )| {
                let (owner, clear_owner, proof, signer, requester) = who;
                Case {
                    lines,
                    precondition,
                    precondition_days,
                    unknown_precondition,
                    owner,
                    clear_owner,
                    proof,
                    signer,
                    requester,
                    later,
                    editable,
                }
            },
        )
}

fn interval((from, until): (i64, i64)) -> Interval {
    Interval {
        from: NOW.plus(from),
        until: NOW.plus(until),
    }
}

/// Builds the license of a case.
fn publish(case: &Case) -> (Draft, CertificateChain<'static>) {
    let stage = &*STAGE;
    let members = &stage.members;
    let author = &members[case.owner];
    let draft = Draft::build_text(&stage.world, &author.email, |request| {
        request.precondition = TimeCondition {
            range: case.precondition.map(interval),
            days: case.precondition_days,
        };
        request.grants = case
            .lines
            .iter()
            .map(|line| RightGrant {
                time: TimeCondition {
                    range: line.range.map(interval),
                    days: line.days,
                },
                ..grant(line.right, Case::grantee(&line.named, members))
            })
            .collect();
        if case.editable {
            request.app_data = vec![("Allow_Server_Editing".into(), "True".into())];
        }
        edit_conditions(&request.text(), case)
    });
    let mut draft = if case.proof {
        draft.with_proof()
    } else {
        draft.without_proof()
    };
    draft.content.owner = to(&members[case.clear_owner].email).object();
    let license = draft.sign(&stage.world, &members[case.signer]);
    (draft, license)
}

/// Asks for a license with the RAC of a person.
fn ask(license: &CertificateChain<'static>, who: usize, later: i64) -> Result<UseLicense, Refusal> {
    let stage = &*STAGE;
    let mut context = stage.world.context();
    context.now = NOW.plus(later);
    let request = AcquireLicense::single(AcquireLicenseParams {
        licensee_certs: stage.members[who].rac_chain.clone(),
        issuance_license: Some(license.clone()),
        application_data: None,
    });
    let result = stage.runtime.block_on(acquire_license(&context, &request));
    result
        .map(|answered| first_license(&answered.response))
        .map_err(|error| error.0)
}

/// Somebody else asks for a license for a person.
fn ask_for(
    license: &CertificateChain<'static>,
    who: usize,
    later: i64,
) -> Result<UseLicense, Fault> {
    let stage = &*STAGE;
    let mut context = stage.world.context();
    context.now = NOW.plus(later);
    let request = AcquirePreLicense::single(AcquirePreLicenseParams {
        licensee_identities: vec![stage.members[who].email.clone()],
        issuance_license: license.clone(),
    });
    stage.runtime.block_on(async {
        let caller = stage.world.caller("carol").await;
        let done = acquire_prelicense(&context, &caller, &request)
            .await
            .map_err(|refusal| refusal.fault())?;
        match done.response.items[0].licenses[0].clone() {
            PreLicenseOutcome::License(text) => {
                Ok(UseLicense::new(verified(&CertificateChain(vec![text]), 0)).unwrap())
            }
            PreLicenseOutcome::Exception(exception) => Err(exception.fault),
        }
    })
}

/// The requester of a case asks for other rights.
fn edit(
    case: &Case,
    license: &CertificateChain<'static>,
    unsigned: &Draft,
) -> Result<CertificateChain<'static>, Refusal> {
    let stage = &*STAGE;
    let mut context = stage.world.context();
    context.now = NOW.plus(case.later);
    let request = EditIssuanceLicense {
        signed_issuance_license: license.clone(),
        unsigned_issuance_license: CertificateText::new(unsigned.content.unsigned()).unwrap(),
    };
    stage.runtime.block_on(async {
        let caller = stage.world.caller(PEOPLE[case.requester]).await;
        let done = edit_issuance_license(&context, &caller, &request).await?;
        Ok(done.response.certificate_chain)
    })
}

/// Puts conditions nobody knows into rights data.
fn edit_conditions(text: &str, case: &Case) -> String {
    let mut parts = text.split("<CONDITIONLIST>");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for (part, line) in parts.zip(&case.lines) {
        out.push_str("<CONDITIONLIST>");
        if line.unknown_condition {
            out.push_str("<FULLMOON />");
        }
        out.push_str(part);
    }
    if case.unknown_precondition {
        let list = "<PRECONDITIONLIST>";
        if out.contains(list) {
            out = out.replace(list, "<PRECONDITIONLIST><FULLMOON />");
        } else {
            let group = "<RIGHTSGROUP";
            let added = "<PRECONDITIONLIST><FULLMOON /></PRECONDITIONLIST><RIGHTSGROUP";
            out = out.replace(group, added);
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn a_key_is_released_exactly_when_the_rights_say_so(case in case()) {
        let (draft, license) = publish(&case);
        let result = ask(&license, case.requester, case.later);
        prop_assert_eq!(result.is_ok(), case.allows(), "{:?}", result.err());
        let ahead = ask_for(&license, case.requester, case.later);
        prop_assert_eq!(result.is_ok(), ahead.is_ok(), "{:?}", ahead.err());
        for ul in result.into_iter().chain(ahead) {
            let requester = &STAGE.members[case.requester];
            prop_assert_eq!(ul.key(), requester.rac.key());
            let key = content_key(requester, &ul);
            prop_assert_eq!(key.expose(), draft.key.expose());
            // What is in the license can be exercised now, and only the author gets more.
            if case.owner != case.requester {
                let at = NOW.plus(case.later).floor_minute();
                for right in ul.rights_at(at) {
                    let granted = case.lines.iter().any(|line| line.right == right.name());
                    prop_assert!(granted, "{} was never granted", right);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn rights_are_changed_exactly_by_whom_the_rights_let_change_them(
        case in case(),
        named in proptest::option::of(0..PEOPLE.len()),
        author in 0..PEOPLE.len(),
        same_author in proptest::bool::weighted(0.8),
    ) {
        let stage = &*STAGE;
        let (draft, license) = publish(&case);
        // Only who names the same author, in the license and in its rights, may be answered.
        let author = if same_author { case.owner } else { author };
        let unsigned = Draft::rewrite(&stage.world, &draft, &stage.members[author].email, |new| {
            let grants = named.map(|who| grant("VIEW", to(&stage.members[who].email)));
            new.grants = grants.into_iter().collect();
        });
        let result = edit(&case, &license, &unsigned);
        let wanted = case.allows_edit() && author == case.owner;
        prop_assert_eq!(result.is_ok(), wanted, "{:?}", result.err());
        let Ok(after) = result else { return Ok(()) };
        for (who, member) in stage.members.iter().enumerate() {
            let ul = ask(&after, who, case.later);
            let ahead = ask_for(&after, who, case.later);
            let allowed = named == Some(who) || who == case.owner;
            prop_assert_eq!(ul.is_ok(), allowed, "{:?}", ul.err());
            prop_assert_eq!(ahead.is_ok(), allowed, "{:?}", ahead.err());
            for ul in ul.into_iter().chain(ahead) {
                let key = content_key(member, &ul);
                prop_assert_eq!(key.expose(), draft.key.expose());
            }
        }
    }
}

/// What a stranger can do to the bytes of a request.
#[test]
fn no_change_of_a_request_releases_a_key_to_someone_without_rights() {
    let stage = &*STAGE;
    let (alice, bob, carol) = (&stage.members[0], &stage.members[1], &stage.members[2]);
    let draft = Draft::new(
        &stage.world,
        &alice.email,
        vec![grant("VIEW", to(&bob.email))],
    );
    let license = draft.sign(&stage.world, alice);
    let mut random = Random(0x5EED);
    let mut survived = 0;
    for round in 0..3000 {
        let requester = if round % 2 == 0 { carol } else { bob };
        let mut rac_chain = requester.rac_chain.clone();
        let mut license_chain = license.clone();
        let chain = if random.below(2) == 0 {
            &mut rac_chain
        } else {
            &mut license_chain
        };
        let index = random.below(2.min(chain.0.len()));
        let text = chain.0[index].as_str().to_owned();
        let sources = [&carol.rac_chain, &bob.rac_chain, &license, &alice.clc_chain];
        let changed = change(&text, &mut random, &sources);
        let Ok(certificate) = CertificateText::new(changed.clone()) else {
            continue;
        };
        chain.0[index] = certificate;
        let request = AcquireLicense::single(AcquireLicenseParams {
            licensee_certs: rac_chain,
            issuance_license: Some(license_chain),
            application_data: None,
        });
        let result = stage
            .runtime
            .block_on(acquire_license(&stage.world.context(), &request));
        let Ok(answered) = result else { continue };
        // Whoever sends it, the key goes to bob's RAC alone; and nothing of what his RAC or the
        // license signs was changed (what stands above may be exchanged, trust is by key).
        assert_eq!(first_license(&answered.response).key(), bob.rac.key());
        if index == 0 && requester.email == bob.email {
            let (before, after) = (Node::parse(text).unwrap(), Node::parse(changed).unwrap());
            assert_eq!(before.body(), after.body());
        }
        survived += 1;
    }
    assert!(survived > 0, "some changes are outside of what is signed");
}

/// What a stranger can do to the bytes of a request to change rights.
#[test]
fn no_change_of_a_request_changes_rights_for_someone_who_may_not() {
    let stage = &*STAGE;
    let (alice, bob, carol) = (&stage.members[0], &stage.members[1], &stage.members[2]);
    let build = |right: &str| {
        Draft::build(&stage.world, &alice.email, |request| {
            request.grants = vec![grant(right, to(&bob.email))];
            request.app_data = vec![("Allow_Server_Editing".into(), "True".into())];
        })
    };
    // Of bob's own making, with everything for bob; to be mixed with what is not his.
    let mine = Draft::build(&stage.world, &bob.email, |request| {
        request.grants = vec![grant("OWNER", to(&bob.email))];
        request.app_data = vec![("Allow_Server_Editing".into(), "True".into())];
    });
    let mine = mine.sign(&stage.world, bob);
    let draft = build("VIEW");
    let license = draft.sign(&stage.world, alice);
    let unsigned = Draft::rewrite(&stage.world, &draft, &alice.email, |request| {
        request.grants = vec![grant("OWNER", to(&carol.email))];
    });
    let unsigned = CertificateChain(vec![
        CertificateText::new(unsigned.content.unsigned()).unwrap(),
    ]);
    let mut random = Random(0x0DD5);
    for _ in 0..1000 {
        let (mut signed, mut wanted) = (license.clone(), unsigned.clone());
        let sources = [&mine, &license, &unsigned, &bob.clc_chain];
        for chain in [&mut signed, &mut wanted] {
            let text = chain.0[0].as_str().to_owned();
            if let Ok(changed) = CertificateText::new(change(&text, &mut random, &sources)) {
                chain.0[0] = changed;
            }
        }
        let request = EditIssuanceLicense {
            signed_issuance_license: signed,
            unsigned_issuance_license: wanted.0.remove(0),
        };
        let result = stage.runtime.block_on(async {
            let caller = stage.world.caller("bob").await;
            edit_issuance_license(&stage.world.context(), &caller, &request).await
        });
        let Ok(done) = result else { continue };
        // What bob may republish is what he wrote himself: none of it opens alice's content.
        let after = done.response.certificate_chain;
        for (who, member) in stage.members.iter().enumerate() {
            if let Ok(ul) = ask(&after, who, 0) {
                assert_ne!(content_key(member, &ul).expose(), draft.key.expose());
            }
        }
    }
}

fn first_license(response: &AcquireLicenseResponse<'static>) -> UseLicense {
    let LicenseOutcome::License {
        certificate_chain, ..
    } = &response.items[0]
    else {
        panic!("a single item is answered with a license or a fault");
    };
    let chain: &CertificateChain<'_> = certificate_chain;
    UseLicense::new(verified(chain, 0)).unwrap()
}

/// Flips a character, repeats or drops a piece, or puts in a piece of another certificate.
fn change(text: &str, random: &mut Random, sources: &[&CertificateChain<'static>]) -> String {
    let at = |random: &mut Random| {
        let mut at = random.below(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (a, b) = {
        let (a, b) = (at(random), at(random));
        (a.min(b), a.max(b))
    };
    match random.below(5) {
        0 => {
            let mut bytes = text.as_bytes().to_vec();
            bytes[a] = b' ' + u8::try_from(random.below(95)).unwrap();
            String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
        }
        1 => format!("{}{}", &text[..a], &text[b..]),
        2 => format!("{}{}", &text[..b], &text[a..]),
        3 => text.replacen("bob@example.test", "carol@example.test", 1),
        _ => {
            let source = sources[random.below(sources.len())];
            source.0[random.below(source.0.len().min(2))]
                .as_str()
                .to_owned()
        }
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}
