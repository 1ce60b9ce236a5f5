//! Servers of different levels asked about their groups, each in the form of whoever asks. Tickets are
//! left out: passwords take their place.

use openrms_crypto::Mode;
use openrms_directory::{Member, NewPerson};
use openrms_protocol::Service;

use super::*;
use crate::access::{AccessRules, GroupRef, Part, PartRule};
use crate::config::Config;
use crate::provision::{RootOptions, provision_root};

/// A forest with a server of some level. Its group `staff` has bob in it, who may ask as well.
struct Forest {
    running: crate::Running,
    name: &'static str,
    level: ServiceLevel,
    _folder: tempfile::TempDir,
}

impl Forest {
    fn start(name: &'static str, level: ServiceLevel) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut people = crate::people::empty(name.parse().unwrap(), None).unwrap();
        for person in ["alice", "bob"] {
            people
                .add_person(NewPerson {
                    account: person.parse().unwrap(),
                    display_name: person.into(),
                    mail: Some(format!("{person}@{name}").parse().unwrap()),
                    addresses: Vec::new(),
                    created: None,
                })
                .unwrap();
        }
        let bob = Member::parse("bob").unwrap();
        people.set_password(&bob, PASSWORD).unwrap();
        let staff = format!("staff@{name}");
        people.add_group(staff.parse().unwrap()).unwrap();
        people.add_member(&staff.parse().unwrap(), bob).unwrap();
        let options = RootOptions {
            mode: Mode::One,
            people: Some(people),
            ..RootOptions::new(folder.path().join("data"), url)
        };
        provision_root(&options).unwrap();
        let mut config = Config::for_data_dir(&options.data).unwrap();
        config.service_level = level;
        config.limits.spare_keys = 0;
        config.forests = Some(ForestsConfig::default());
        let rule = PartRule {
            groups: vec![GroupRef::try_from(staff).unwrap()],
            ..PartRule::default()
        };
        config.access = AccessRules::new([(Part::GroupExpansion, rule)].into()).unwrap();
        Self {
            running: crate::Server::start_with_listener(config, listener).unwrap(),
            name,
            level,
            _folder: folder,
        }
    }

    /// This forest as the configuration of another one names it.
    fn named(&self, binary: bool) -> OtherForest {
        let url = self.running.url();
        OtherForest {
            forest: self.name.parse().unwrap(),
            group_expansion: if binary {
                binary::http::url(url)
            } else {
                Service::GroupExpansion.url(url)
            },
            binary,
        }
    }

    /// Asks another forest whether somebody of it is of its staff; the status, where it does not
    /// answer at all.
    fn asks(&self, other: &Self, binary: bool, who: &str) -> Result<bool, u16> {
        let server = Server::new(&other.named(binary), self.level);
        let question = IsPrincipalMemberOf::new(
            format!("mail={who}@{}", other.name),
            vec![format!("mail=staff@{}", other.name)],
        );
        let question = server.form.question(question);
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .new_agent();
        let mut request = agent.post(&server.url);
        for (name, value) in &question.headers {
            request = request.header(*name, value);
        }
        let name = openrms_xrml::values::encode_base64(format!("bob:{PASSWORD}").as_bytes());
        let mut answer = request
            .header("authorization", format!("Basic {name}"))
            .send(&question.body[..])
            .unwrap();
        if answer.status() != 200 {
            return Err(answer.status().as_u16());
        }
        let body = answer.body_mut().read_to_vec().unwrap();
        Ok(server.form.answer(&body).unwrap())
    }
}

#[test]
fn s30_groups_of_another_forest_are_expanded_in_both_directions_between_levels() {
    let newest = Forest::start("new.example", ServiceLevel::V2);
    for level in [ServiceLevel::V1, ServiceLevel::Sp1, ServiceLevel::Sp2] {
        let older = Forest::start("old.example", level);
        let has_soap = level.has(Feature::SoapGroupExpansion);
        for (who, is_member) in [("bob", true), ("alice", false)] {
            // What the older one is told of the newest does not matter to it.
            for binary in [false, true] {
                assert_eq!(older.asks(&newest, binary, who), Ok(is_member), "{level}");
            }
            // The newest must be told that the other one is older.
            assert_eq!(newest.asks(&older, true, who), Ok(is_member), "{level}");
            let in_soap = if has_soap { Ok(is_member) } else { Err(404) };
            assert_eq!(newest.asks(&older, false, who), in_soap, "{level}");
        }
    }
}

#[test]
fn a_server_asks_in_its_own_version_and_one_that_knows_no_soap_asks_the_endpoint_beside_it() {
    let other = |url: &str, binary| OtherForest {
        forest: "partner.example".parse().unwrap(),
        group_expansion: url.to_owned(),
        binary,
    };
    let soap = "https://rms.partner.example/_WMCS/groupexpansion/GroupExpansion.asmx";
    let beside = binary::http::url("https://rms.partner.example");
    for (level, form) in [
        (ServiceLevel::V1, Form::Binary(ProductVersion::V1_0)),
        (ServiceLevel::Sp1, Form::Binary(ProductVersion::V1_0Sp1)),
        (ServiceLevel::Sp2, Form::Soap),
        (ServiceLevel::V2, Form::Soap),
    ] {
        let server = Server::new(&other(soap, false), level);
        let url = if form == Form::Soap { soap } else { &beside };
        assert_eq!((server.url.as_str(), server.form), (url, form));
        let server = Server::new(&other("https://partner.example/x.rem", true), level);
        assert_eq!(server.url, "https://partner.example/x.rem");
        assert_eq!(server.form, Form::Binary(ProductVersion::of_level(level)));
    }
}

const PASSWORD: &str = "correct horse";
