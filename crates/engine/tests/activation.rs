//! Machines of version 1.0 get their security processors, and servers honor them (MS-RMPR 3.2).

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use openrms_crypto::{Digest, HashAlgorithm, Mode, PrivateKey, SoftwareKey, package};
use openrms_engine::activation::ActivationService;
use openrms_engine::authority;
use openrms_engine::keys::{FreshKeys, KeyVault};
use openrms_protocol::FaultCode;
use openrms_protocol::activation::{Activate, Activated, HardwareId};
use openrms_store::{AuthorityRole, SealedBytes};
use openrms_xrml::spc::{ActivationLocation, SecurityProcessorCertificate, SpcRequest};
use openrms_xrml::{Identity, chain};
use support::*;

const URL: &str = "https://rms.example/_wmcs/certification/Activation.asmx";

fn service(roles: &[AuthorityRole], world: &World) -> ActivationService {
    let service = ActivationService::load(roles, &world.provider).unwrap();
    service.unwrap()
}

fn machine(mode: Mode, number: u8) -> HardwareId {
    let hash = Digest::of(mode.hash(), &[number]);
    HardwareId::try_from(hash.as_bytes()).unwrap()
}

fn spc_of(item: &Activated<'_>) -> SecurityProcessorCertificate {
    SecurityProcessorCertificate::new(verified(&item.machine_certificate_chain, 0)).unwrap()
}

#[tokio::test]
async fn s43_a_machine_of_version_1_is_given_a_security_processor_and_is_certified_with_it() {
    for mode in [Mode::One, Mode::Two] {
        let world = World::with_mode(mode).await;
        let service = service(&world.roles, &world);
        let machine = machine(mode, 1);
        let request = Activate {
            machines: vec![machine],
        };
        let done = service.activate(&request, &FreshKeys, URL, NOW).unwrap();
        let [item] = done.response.items.as_slice() else {
            panic!("one machine, one security processor")
        };
        let spc = spc_of(item);
        let key = package::open(&done.packages[0], machine.as_bytes()).unwrap();
        assert_eq!(key.public(), spc.key());
        assert_eq!(spc.repository_version(), Some([1, 0, 3246, 0]));
        // Its hash, as the certificate of the hardware has it.
        assert!(spc.node().text().contains(&format!(">{machine}</VALUE>")));
        let signed = Digest::of(mode.hash(), &done.packages[0]);
        assert_eq!(item.signature.digest, signed.as_bytes());
        let signer = spc.node().issuer_key().unwrap();
        signer.verify(&signed, &item.signature.value).unwrap();

        let text = item.machine_certificate_chain.concatenated();
        let nodes = chain::parse_verified(&text).unwrap();
        let path = chain::verify_path(&nodes, None, |key| world.anchors.contains(key));
        assert_eq!(path.unwrap().len(), 5);
        let caller = world.caller("alice").await;
        let rac = world.try_certify(&caller, &text).await.unwrap();
        let member = world.licensed(&key, rac).await;
        assert_eq!(member.email, "alice@example.test");
    }
}

#[tokio::test]
async fn each_machine_of_a_batch_gets_its_own() {
    let world = World::with_mode(Mode::One).await;
    let service = service(&world.roles, &world);
    let machines: Vec<_> = (0..5).map(|number| machine(Mode::One, number)).collect();
    let request = Activate {
        machines: machines.clone(),
    };
    let done = service.activate(&request, &FreshKeys, URL, NOW).unwrap();
    assert_eq!(done.response.items.len(), 5);
    for (index, package) in done.packages.iter().enumerate() {
        let spc = spc_of(&done.response.items[index]);
        for (other, machine) in machines.iter().enumerate() {
            let opened = package::open(package, machine.as_bytes());
            assert_eq!(opened.is_ok(), index == other);
            let is_its = opened.is_ok_and(|key| key.public() == spc.key());
            assert_eq!(is_its, index == other);
        }
    }
}

#[tokio::test]
async fn a_machine_of_a_mode_that_the_hierarchy_lacks_is_refused_with_its_whole_batch() {
    let world = World::with_mode(Mode::One).await;
    let service = service(&world.roles, &world);
    let request = Activate {
        machines: vec![machine(Mode::One, 1), machine(Mode::Two, 1)],
    };
    let refused = service.activate(&request, &FreshKeys, URL, NOW).err();
    let code = refused.unwrap().code;
    assert_eq!(code, FaultCode::UnsupportedCryptographicSet);
}

#[tokio::test]
async fn a_hierarchy_of_the_first_release_gets_the_activation_service_once() {
    let world = World::with_mode(Mode::One).await;
    let vault = KeyVault::new(&[7; 32]).unwrap();
    let mut roles = world.roles.clone();
    roles.retain(|role| !role.role.starts_with("machine-activation") || role.role.ends_with("-ca"));
    assert_eq!(roles.len() + 1, world.roles.len());
    let none = ActivationService::load(&roles, &world.provider).unwrap();
    assert!(none.is_none());
    let two = authority::added_for_mode_two(&roles, &world.provider, &vault, NOW).unwrap();
    // The first release knew no activation service of mode 2 either.
    let two = two.into_iter();
    roles.extend(two.filter(|role| role.role != "machine-activation-mode2"));
    let added = authority::added_for_activation(&roles, &world.provider, NOW).unwrap();
    let names: Vec<_> = added.iter().map(|role| role.role.as_str()).collect();
    assert_eq!(names, ["machine-activation", "machine-activation-mode2"]);
    roles.extend(added);
    let again = authority::added_for_activation(&roles, &world.provider, NOW).unwrap();
    assert!(again.is_empty());

    let service = service(&roles, &world);
    let request = Activate {
        machines: vec![machine(Mode::One, 1), machine(Mode::Two, 1)],
    };
    let done = service.activate(&request, &FreshKeys, URL, NOW).unwrap();
    for item in &done.response.items {
        let text = item.machine_certificate_chain.concatenated();
        let nodes = chain::parse_verified(&text).unwrap();
        let path = chain::verify_path(&nodes, None, |key| world.anchors.contains(key));
        assert_eq!(path.unwrap().len(), 5);
    }
    let text = done.response.items[0]
        .machine_certificate_chain
        .concatenated();
    let caller = world.caller("alice").await;
    assert!(world.try_certify(&caller, &text).await.is_ok());
}

#[tokio::test]
async fn an_spc_signed_by_a_server_is_refused_whatever_stands_beside_it() {
    let world = World::with_mode(Mode::One).await;
    let server = world.cluster.server().unwrap();
    let machine = SoftwareKey::generate(Mode::One).unwrap();
    let spc = SpcRequest {
        id: guid(),
        issued: NOW,
        issuer: server.identity().clone(),
        location: ActivationLocation::Service(URL.into()),
        machine: guid(),
        key: machine.public().clone(),
        hardware: Digest::of(HashAlgorithm::Sha1, b"machine"),
        platform: "any".into(),
        manufacturer: "OpenRMS".into(),
        repository: "OpenRMS secure repository 1.0.3246.0".into(),
    }
    .sign(server.key.as_ref(), HashAlgorithm::Sha1)
    .unwrap();
    let own = server.chain.concatenated();
    let chain_of = |name: &str| {
        let role = world.roles.iter().find(|role| role.role == name).unwrap();
        role.certificate.clone()
    };
    let activation = chain_of("machine-activation");
    let authority = chain_of("security-processor-ca");
    let slc = server.chain.leaf().unwrap().as_str();
    let caller = world.caller("alice").await;
    for above in [
        own.clone(),
        format!("{own}{activation}"),
        format!("{activation}{own}"),
        // The trusted key second and third, where it is looked for.
        format!("{authority}{own}"),
        format!("{slc}{authority}{own}"),
    ] {
        let refused = world.try_certify(&caller, &format!("{spc}{above}")).await;
        let code = refused.unwrap_err().code;
        assert_eq!(code, FaultCode::VerifyMachineCertificateChainFailed);
    }
    // What is refused is who signed it: the same by the activation service is not.
    let nodes = chain::parse(&activation).unwrap();
    let service = service(&world.roles, &world);
    let request = Activate {
        machines: vec![HardwareId::Sha1([1; 20])],
    };
    let done = service.activate(&request, &FreshKeys, URL, NOW).unwrap();
    let issuer = Identity::of_issuer(spc_of(&done.response.items[0]).node());
    assert_eq!(issuer, Identity::of_principal(&nodes[0]));
    let text = done.response.items[0]
        .machine_certificate_chain
        .concatenated();
    assert!(world.try_certify(&caller, &text).await.is_ok());
}

#[tokio::test]
async fn the_minimum_lockbox_of_service_pack_1_shuts_version_1_out() {
    let mut world = World::with_mode(Mode::One).await;
    let policies = |policies: &mut openrms_store::Policies| {
        policies.spc_minimum_version = Some("5.0.0.0".parse().unwrap());
    };
    world.policies(policies).await;
    let service = service(&world.roles, &world);
    let request = Activate {
        machines: vec![machine(Mode::One, 1)],
    };
    let done = service.activate(&request, &FreshKeys, URL, NOW).unwrap();
    let text = done.response.items[0]
        .machine_certificate_chain
        .concatenated();
    let caller = world.caller("alice").await;
    let refused = world.try_certify(&caller, &text).await.unwrap_err();
    assert_eq!(refused.code, FaultCode::BlackBoxIsInvalid);
    let (_, spc) = world.activate_with("OpenRMS secure repository 5.1.0.0");
    assert!(world.try_certify(&caller, &spc).await.is_ok());
}

#[tokio::test]
async fn a_damaged_role_is_said_to_be_damaged() {
    let world = World::with_mode(Mode::One).await;
    let mut roles = world.roles.clone();
    for role in &mut roles {
        if role.role == "machine-activation" {
            role.sealed_private_key = SealedBytes::new(vec![1, 2, 3]);
        }
    }
    let error = ActivationService::load(&roles, &world.provider).unwrap_err();
    assert!(error.to_string().contains("machine-activation"), "{error}");
}
