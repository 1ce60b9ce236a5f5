//! Servers and clients of all versions with each other: for each server and each mix of clients, whether
//! what [`openrms_protocol::level`] says is so. The table is the only one there is: what it says
//! works must work, and what it says does not must not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::site::{Place, Programs, Site, mail, password};
use common::{Run, ended};
use openrms_formats::pfile;
use openrms_protocol::certification::Certify;
use openrms_protocol::licensing::{AcquireLicense, AcquireLicenseParams};
use openrms_protocol::{
    CertificateChain, ClientLevel, Feature, Limits, Operation, Service, ServiceLevel, SoapVersion,
    VersionData, encode_request, parse_response,
};
use openrms_xrml::text;

/// A test for each mix of clients, with servers of one level.
macro_rules! cells {
    ($server:ident: $($name:ident($($client:ident),+);)*) => {
        $(#[test]
        fn $name() {
            cell(ServiceLevel::$server, &[$(ClientLevel::$client),+]);
        })*
    };
}

cells! { V1:
    s41_s44_a_server_of_version_1_with_its_own_clients(V1);
    s41_s44_a_server_of_version_1_with_clients_of_service_pack_1(Sp1);
    s34_s41_s44_a_server_of_version_1_with_mixed_clients(V1, Sp1);
    s41_s44_a_server_of_version_1_with_clients_of_version_2(V2);
}
cells! { Sp1:
    s41_s45_a_server_of_service_pack_1_with_clients_of_version_1(V1);
    s41_s45_a_server_of_service_pack_1_with_its_own_clients(Sp1);
    s34_s41_s45_a_server_of_service_pack_1_with_mixed_clients(V1, Sp1);
    s41_s45_a_server_of_service_pack_1_with_clients_of_version_2(V2);
}
cells! { Sp2:
    s41_s45_a_server_of_service_pack_2_with_clients_of_version_1(V1);
    s41_s45_a_server_of_service_pack_2_with_clients_of_service_pack_1(Sp1);
    s34_s41_s45_a_server_of_service_pack_2_with_mixed_clients(V1, Sp1);
    s41_s45_a_server_of_service_pack_2_with_clients_of_version_2(V2);
}
cells! { V2:
    s41_s45_a_server_of_version_2_with_clients_of_version_1(V1);
    s41_s45_a_server_of_version_2_with_clients_of_service_pack_1(Sp1);
    s34_s41_s45_a_server_of_version_2_with_mixed_clients(V1, Sp1);
    s41_s45_a_server_of_version_2_with_its_own_clients(V2);
}

fn cell(server: ServiceLevel, clients: &[ClientLevel]) {
    let Some(programs) = Programs::built() else {
        return;
    };
    let site = Site::new(server, programs, Place::Here);
    let machines: Vec<_> = clients
        .iter()
        .map(|&client| Machine {
            site: &site,
            client,
        })
        .collect();
    for machine in &machines {
        machine.set_up();
        for &feature in Feature::ALL {
            let client = machine.client;
            let can = |feature| client.can(feature, server);
            let wanted = match feature {
                // It depends on the client which of the two it is: it is tried once.
                Feature::OnlinePublishingOfVersion1 => continue,
                Feature::OnlinePublishing => {
                    can(feature) || can(Feature::OnlinePublishingOfVersion1)
                }
                _ if feature.clients().is_none() => continue,
                _ => can(feature),
            };
            let works = machine.try_out(feature);
            if let Err(why) = &works {
                println!("server {server}, client {client}, {feature:?}: {why}");
            }
            assert_eq!(
                works.is_ok(),
                wanted,
                "server {server}, client {client}: {} {works:?}",
                feature.what()
            );
        }
    }
    // Whatever one has protected the others open, and nobody else.
    for author in &machines {
        let protected = author.protect("for-all", &[]).unwrap();
        for reader in &machines {
            reader.open("bob", &protected).unwrap();
            let refused = reader.run("carol", &open(&protected));
            assert_eq!(refused.code, 3, "{}", refused.out);
        }
    }
}

/// Machines of people, with a client of some level.
struct Machine<'s> {
    site: &'s Site,
    client: ClientLevel,
}

/// Why something does not work.
type Refused = String;

impl Machine<'_> {
    /// bob's, who is certified; that of level 1.0 is activated by the service, all others by
    /// themselves.
    fn set_up(&self) {
        self.done("bob", ["init"]).unwrap();
        let before = self.site.answered("Activate");
        self.done("bob", ["activate"]).unwrap();
        let asked = self.site.answered("Activate") - before;
        assert_eq!(asked, usize::from(self.client == ClientLevel::V1));
        self.done("bob", ["sign-in"]).unwrap();
    }

    /// Whether something works, with the program where it does it, else with what the program holds.
    fn try_out(&self, feature: Feature) -> Result<(), Refused> {
        let level = self.client.name();
        match feature {
            Feature::NetworkActivation => {
                let machine = format!("activated-{level}");
                self.done_at(&machine, "bob", ["init"])?;
                let before = self.site.answered("Activate");
                self.done_at(&machine, "bob", ["activate"])?;
                let asked = self.site.answered("Activate") - before;
                (asked == 1).then_some(()).ok_or("it asked nobody".into())
            }
            Feature::SelfActivation => {
                let machine = format!("alone-{level}");
                self.done_at(&machine, "bob", ["init"])?;
                // The service is away from now on.
                let mut command = self.command(&machine, "bob", ["activate"].map(OsStr::new));
                command.env("RMS_SERVER", "http://127.0.0.1:9");
                is_done(&ended(command.output().unwrap()))
            }
            Feature::Licensing => {
                let protected = self.protect("off-line", &[])?;
                self.open("bob", &protected)
            }
            Feature::OnlinePublishing => {
                let protected = self.protect("on-line", &["--online"])?;
                self.open("bob", &protected)
            }
            Feature::ServerCertification => self.certify(Service::ServerCertification),
            Feature::MobileCertification => self.certify(Service::MobileCertification),
            Feature::TemplateDistribution => self.done("bob", ["templates", "sync"]),
            Feature::Batches => self.batch(),
            Feature::ModeTwo => self.mode_two(),
            other => panic!("nothing tries {other:?} out"),
        }
    }

    /// A RAC by the way of servers and mobile devices, for the machine's security processor.
    fn certify(&self, service: Service) -> Result<(), Refused> {
        let home = self.site.at(&self.home("bob"));
        let chain = fs::read_to_string(home.join("machine.xml")).unwrap();
        let certify = Certify {
            machine_certificate_chain: CertificateChain::split(&chain).unwrap(),
            persistent: true,
        };
        self.post(service, VersionData::CLIENT, &certify.into())
    }

    /// Two licenses in one request.
    fn batch(&self) -> Result<(), Refused> {
        let mut protected = fs::File::open(self.protect("batch", &[])?).unwrap();
        let header = pfile::read_header(&mut protected).unwrap();
        let license = header.read_license(&mut protected).unwrap();
        let (license, _) = text::decode(&license).unwrap();
        let accounts = self.site.at(&self.home("bob")).join("accounts");
        let account = fs::read_dir(accounts).unwrap().next().unwrap().unwrap();
        let rac = fs::read_to_string(account.path().join("rac.xml")).unwrap();
        let params = |license: Option<&str>| AcquireLicenseParams {
            licensee_certs: CertificateChain::split(&rac).unwrap().into_owned(),
            issuance_license: license
                .map(|text| CertificateChain::split(text).unwrap().into_owned()),
            application_data: None,
        };
        let items = vec![params(Some(&license)), params(None)];
        let version = self.client.data_versions();
        self.post(Service::License, version, &AcquireLicense { items }.into())
    }

    /// Posts a request as this client would, signed in as bob.
    fn post(
        &self,
        service: Service,
        version: VersionData,
        operation: &Operation<'_>,
    ) -> Result<(), Refused> {
        let contract = service.contract();
        let body = encode_request(SoapVersion::V11, contract, Some(version), operation);
        let action = contract.soap_action(operation.name());
        let bob = format!("{}:{}", mail("bob"), password("bob"));
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let mut answer = agent
            .post(service.url(&self.site.root.url))
            .header(
                "content-type",
                SoapVersion::V11.request_content_type(&action),
            )
            .header("soapaction", format!("\"{action}\""))
            .header("authorization", format!("Basic {}", STANDARD.encode(bob)))
            .send(body)
            .unwrap();
        let status = answer.status();
        let body = answer.body_mut().read_to_vec().unwrap();
        if status != 200 && status != 500 {
            return Err(format!("HTTP {status}"));
        }
        let answer = parse_response(operation.name(), &body, &Limits::client()).unwrap();
        answer
            .outcome
            .map(drop)
            .map_err(|fault| fault.fault_string())
    }

    /// RAC and CLC from a cluster of mode 2, where there is one of that level.
    fn mode_two(&self) -> Result<(), Refused> {
        let site = Site::of_mode_two(self.site.level, self.site.programs())?;
        let there = Machine {
            site: &site,
            client: self.client,
        };
        there.done("bob", ["init"])?;
        there.done("bob", ["activate"])?;
        there.done("bob", ["sign-in"])
    }

    /// Has alice protect a letter for bob; the protected file.
    fn protect(&self, name: &str, more: &[&str]) -> Result<PathBuf, Refused> {
        let level = self.client.name();
        let letter = self.site.at("letter.txt");
        fs::write(&letter, LETTER).unwrap();
        let protected = self.site.at(&format!("{name}-{level}"));
        let fixed = ["protect", "--grant", "bob@corp.example:VIEW,EXPORT", "-o"].map(OsStr::new);
        let more: Vec<_> = more.iter().map(OsStr::new).collect();
        let files = [protected.as_os_str(), letter.as_os_str()];
        is_done(&self.run("alice", &[&fixed[..], &files, &more].concat()))?;
        Ok(protected)
    }

    /// Opens it and looks whether it is the letter.
    fn open(&self, name: &str, protected: &Path) -> Result<(), Refused> {
        let run = self.run(name, &open(protected));
        is_done(&run)?;
        assert_eq!(run.out, LETTER);
        Ok(())
    }

    fn done<const N: usize>(&self, name: &str, arguments: [&str; N]) -> Result<(), Refused> {
        is_done(&self.run(name, &arguments.map(OsStr::new)))
    }

    fn done_at<const N: usize>(
        &self,
        machine: &str,
        name: &str,
        arguments: [&str; N],
    ) -> Result<(), Refused> {
        let mut command = self.command(machine, name, arguments.map(OsStr::new));
        is_done(&ended(command.output().unwrap()))
    }

    /// Runs the program on somebody's machine.
    fn run(&self, name: &str, arguments: &[&OsStr]) -> Run {
        let arguments = arguments.iter().copied();
        let mut command = self.command(&self.home(name), name, arguments);
        ended(command.output().unwrap())
    }

    fn command<'a>(
        &self,
        machine: &str,
        name: &str,
        arguments: impl IntoIterator<Item = &'a OsStr>,
    ) -> Command {
        let level = ["--client-level", self.client.name()].map(OsStr::new);
        self.site
            .command_as(machine, name, level.into_iter().chain(arguments))
    }

    fn home(&self, name: &str) -> String {
        format!("{name}-{}", self.client.name())
    }
}

fn open(protected: &Path) -> [&OsStr; 3] {
    [
        OsStr::new("open"),
        OsStr::new("--stdout"),
        protected.as_os_str(),
    ]
}

fn is_done(run: &Run) -> Result<(), Refused> {
    match run.code {
        0 => Ok(()),
        _ => Err(format!("{}{}", run.out, run.err)),
    }
}

const LETTER: &str = "Dear Bob,\n\nwhatever you have, you can read this. Grüße\n";
