//! License bytes: decode, split, parse, verify, and every typed view.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use openrms_xrml::clc::ClientLicensorCertificate;
use openrms_xrml::issuing::ServerLicensorCertificate;
use openrms_xrml::pl::PublishingLicense;
use openrms_xrml::rac::AccountCertificate;
use openrms_xrml::revocation_list::RevocationList;
use openrms_xrml::rights_data::RightsData;
use openrms_xrml::spc::SecurityProcessorCertificate;
use openrms_xrml::ul::UseLicense;
use openrms_xrml::{anchors::Anchors, chain, surface, text};

fuzz_target!(|bytes: &[u8]| {
    let _ = RightsData::from_decrypted(bytes);
    let Ok((license, _)) = text::decode(bytes) else { return };
    let _ = RightsData::parse(&license);
    let _ = Anchors::from_xml(&license);
    let Ok(nodes) = chain::parse(&license) else { return };
    for (index, node) in nodes.iter().enumerate() {
        let _ = chain::signer_of(&nodes, index);
        let _ = surface::recover(node.text());
        let _ = PublishingLicense::new(Box::new(node.clone())).map(|pl| pl.binding_text());
    }
    let shared: Vec<_> =
        nodes.into_iter().filter_map(|node| node.verify().ok().map(Arc::new)).collect();
    for node in &shared {
        let _ = ServerLicensorCertificate::new(node.clone());
        let _ = SecurityProcessorCertificate::new(node.clone());
        let _ = AccountCertificate::new(node.clone());
        let _ = ClientLicensorCertificate::new(node.clone());
        let _ = UseLicense::new(node.clone());
        let _ = RevocationList::new(node.clone());
    }
    let microsoft = Anchors::microsoft();
    let _ = chain::verify_path(&shared, None, |key| microsoft.contains(key));
});
