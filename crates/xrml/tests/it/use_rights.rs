//! When a right may be used: conditions that narrow, that are over, or that nobody knows.

use openrms_crypto::Mode;
use openrms_xrml::rights::{Right, TimeCondition};
use openrms_xrml::rights_data::RightsData;
use openrms_xrml::ul::UseLicense;
use openrms_xrml::{Hand, Time};

use crate::support::{Hierarchy, Person, account, issued, node, span, time};

fn license(times: &[(&str, TimeCondition)]) -> (Hierarchy, Person, String) {
    let hierarchy = Hierarchy::new(Mode::One);
    let person = hierarchy.person(account("reader"));
    let pl = hierarchy.pl(&person);
    let rights: Vec<_> = times
        .iter()
        .map(|(name, time)| (Right::new(name), *time))
        .collect();
    let ul = hierarchy.ul_with(&pl, &person, &hierarchy.slc, Hand::Server, &rights);
    (hierarchy, person, ul)
}

fn names_at(ul: &str, at: Time) -> Vec<String> {
    let rights = UseLicense::new(node(ul)).unwrap().rights_at(at);
    rights.iter().map(|right| right.name().to_owned()).collect()
}

#[test]
fn each_right_has_its_own_time_and_days_count_from_the_issue() {
    let none = TimeCondition::default();
    let days = |n| TimeCondition {
        days: Some(n),
        ..none
    };
    let range = TimeCondition {
        range: Some(span("2024-03-02T00:00", "2024-03-03T00:00")),
        ..none
    };
    let both = TimeCondition {
        days: Some(2),
        ..range
    };
    let (_, _, ul) = license(&[
        ("VIEW", none),
        ("PRINT", days(1)),
        ("EDIT", range),
        ("EXTRACT", both),
        ("SIGN", days(0)),
        ("VIEW", days(1)),
    ]);
    assert_eq!(names_at(&ul, issued()), ["VIEW", "PRINT"]);
    assert_eq!(names_at(&ul, time("2024-03-01T12:29")), ["VIEW", "PRINT"]);
    assert_eq!(names_at(&ul, time("2024-03-01T12:30")), ["VIEW"]);
    assert_eq!(
        names_at(&ul, time("2024-03-02T00:00")),
        ["VIEW", "EDIT", "EXTRACT"]
    );
    assert_eq!(names_at(&ul, time("2024-03-02T12:30")), ["VIEW", "EDIT"]);
    assert_eq!(names_at(&ul, time("2024-03-03T00:00")), ["VIEW"]);
    // The license's own validity: from the issue until the end of the year.
    assert_eq!(names_at(&ul, time("2024-02-29T12:29")), [""; 0]);
    assert_eq!(names_at(&ul, time("2024-12-30T23:59")), ["VIEW"]);
    assert_eq!(names_at(&ul, time("2024-12-31T00:00")), [""; 0]);
}

#[test]
fn a_right_ends_when_the_content_does() {
    let none = TimeCondition::default();
    let (hierarchy, _, ul) = license(&[("VIEW", none), ("FEE", none), ("PRINT", none)]);
    let days = |n| {
        format!("<PRECONDITIONLIST><TIME><INTERVALTIME days=\"{n}\" /></TIME></PRECONDITIONLIST>")
    };
    let with = ul
        .replacen("<RIGHTSGROUP", &(days(2) + "<RIGHTSGROUP"), 1)
        .replacen(
            "<PRINT><CONDITIONLIST>",
            "<PRINT><CONDITIONLIST><TIME><INTERVALTIME days=\"1\" /></TIME>",
            1,
        );
    let ul = UseLicense::new(node(&crate::support::sign_again(&with, &hierarchy.slc.key))).unwrap();
    let ends = |at| -> Vec<_> {
        ul.held_at(at)
            .map(|(right, until)| (right.name().to_owned(), until.unwrap().to_string()))
            .collect()
    };
    let end = |right: &str, until: &str| (right.to_owned(), until.to_owned());
    let all = [
        end("VIEW", "2024-03-02T12:30"),
        end("FEE", "2024-03-02T12:30"),
        end("PRINT", "2024-03-01T12:30"),
    ];
    assert_eq!(ends(issued()), all);
    assert_eq!(ends(time("2024-03-01T12:30")), all[..2]);
    assert_eq!(ends(time("2024-03-02T12:30")), []);
}

/// Rights data with that in the CONDITIONLIST of VIEW and that in PRECONDITIONLIST.
fn data(conditions: &str, preconditions: &str) -> RightsData {
    let access = "<ACCESS><PRINCIPAL><OBJECT><ID type=\"Internal\">ANYONE</ID></OBJECT></PRINCIPAL></ACCESS>";
    let text = format!(
        "<XrML><BODY type=\"Microsoft Rights Template\"><ISSUEDTIME>2024-01-01T00:00</ISSUEDTIME>\
         <WORK><OBJECT><ID type=\"\" /></OBJECT>{preconditions}<RIGHTSGROUP><RIGHTSLIST>\
         <VIEW><CONDITIONLIST>{access}{conditions}</CONDITIONLIST></VIEW>\
         </RIGHTSLIST></RIGHTSGROUP></WORK></BODY></XrML>"
    );
    RightsData::parse(&text).unwrap()
}

fn until(day: u8) -> String {
    format!(
        "<TIME><RANGETIME><FROM>2024-01-0{}T00:00</FROM><UNTIL>2024-01-{day:02}T00:00</UNTIL></RANGETIME></TIME>",
        day % 9
    )
}

#[test]
fn several_times_narrow_each_other() {
    let conditions = [
        until(20),
        until(10),
        "<TIME><INTERVALTIME days=\"9\" /></TIME>".into(),
        "<TIME><INTERVALTIME days=\" 30 \" /></TIME>".into(),
    ];
    let data = data(&conditions.concat(), "");
    let grant = &data.grants()[0];
    assert_eq!(
        grant.time.range,
        Some(span("2024-01-02T00:00", "2024-01-10T00:00"))
    );
    assert_eq!(grant.time.days, Some(9));
    let window = grant.time.window(time("2023-12-30T00:00"));
    assert_eq!(window, Some(span("2024-01-02T00:00", "2024-01-08T00:00")));
    assert!(grant.unknown_conditions.is_empty());
}

#[test]
fn times_that_do_not_meet_leave_no_instant() {
    let data = data(&(until(2) + &until(20).replace("01-02", "01-15")), "");
    let window = data.grants()[0].time.window(issued()).unwrap();
    assert!(window.from >= window.until);
    assert!(!window.contains(window.from) && !window.contains(window.until));
}

#[test]
fn a_condition_that_nobody_knows_is_kept_and_told() {
    for (condition, name) in [
        ("<FEE />", "FEE"),
        ("<TIME />", "TIME"),
        ("<TIME><PERIODTIME /></TIME>", "PERIODTIME"),
        (
            "<TIME><INTERVALTIME days=\"1\" hours=\"2\" /></TIME>",
            "INTERVALTIME hours",
        ),
        ("<ACCESS><TERRITORY /></ACCESS>", "TERRITORY"),
    ] {
        assert_eq!(data(condition, "").grants()[0].unknown_conditions, [name]);
        if !condition.contains("ACCESS") {
            let list = format!("<PRECONDITIONLIST>{condition}</PRECONDITIONLIST>");
            assert_eq!(data("", &list).unknown_preconditions(), [name]);
        }
    }
    let days = "<PRECONDITIONLIST><TIME><INTERVALTIME days=\"3\" /></TIME></PRECONDITIONLIST>";
    let data = data("", days);
    assert!(data.unknown_preconditions().is_empty());
    assert_eq!(data.precondition().days, Some(3));
}

#[test]
fn a_right_under_an_unknown_condition_is_never_granted_nor_written_again() {
    let mut request = crate::support::rights_data_request();
    request.grants[0].unknown_conditions.push("FEE".into());
    let again = RightsData::parse(&request.text()).unwrap();
    assert_eq!(again.grants(), &request.grants[1..]);

    // A use license: the condition is put in before signing, by a server that knows it.
    let (hierarchy, person, _) = license(&[]);
    let pl = hierarchy.pl(&person);
    let evil = "<ACCESS><PRINCIPAL internal-id=\"1\"></PRINCIPAL></ACCESS>";
    let rights = [(Right::new("VIEW"), TimeCondition::default())];
    let ul = hierarchy.ul_with(&pl, &person, &hierarchy.slc, Hand::Server, &rights);
    assert_eq!(names_at(&ul, issued()), ["VIEW"]);
    for (from, to) in [
        (
            "</ACCESS></CONDITIONLIST>",
            "</ACCESS><FEE /></CONDITIONLIST>",
        ),
        ("</CONDITIONLIST></VIEW>", "</CONDITIONLIST><FEE /></VIEW>"),
        ("<ACCESS>", "<TIME />{evil}"),
        (
            "<RIGHTSGROUP",
            "<PRECONDITIONLIST><FEE /></PRECONDITIONLIST><RIGHTSGROUP",
        ),
        (
            "<RIGHTSGROUP",
            "<PRECONDITIONLIST><TIME><INTERVALTIME days=\"0\" /></TIME></PRECONDITIONLIST><RIGHTSGROUP",
        ),
    ] {
        assert!(ul.contains(from));
        let to = to.replace("{evil}", &format!("{evil}<ACCESS>"));
        let changed = crate::support::sign_again(&ul.replacen(from, &to, 1), &hierarchy.slc.key);
        assert_eq!(names_at(&changed, issued()), [""; 0], "{to}");
    }
}
