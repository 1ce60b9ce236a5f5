//! Whether the keys of a cluster do what they are for, found out without giving anything away:
//! before a restored cluster is relied on.

use openrms_crypto::content::KeyBits;
use openrms_crypto::sealed_key::{self, Payload};
use openrms_crypto::{Cipher, ContentKey, Digest, erd};
use openrms_protocol::{CertificateChain, CertificateText, FaultCode};
use openrms_xrml::pl::PlContent;
use openrms_xrml::rights::TimeCondition;
use openrms_xrml::rights_data::{Grantee, RightsDataRequest};
use openrms_xrml::{EnablingBits, Time};

use crate::certificates::CertificateCache;
use crate::cluster::Cluster;
use crate::context::new_guid;
use crate::licenses::verified_license;
use crate::publish::{matching_server, open_unsigned};
use crate::refusal::Refusal;
use crate::vault::HeldContent;

/// Signs with the key in use, and opens content that is sealed to it now.
pub fn opens_new_content(cluster: &Cluster, now: Time) -> Result<(), Refusal> {
    let failed =
        |error: &dyn ToString| Refusal::new(FaultCode::UnspecifiedError, error.to_string());
    let server = cluster.server()?;
    let digest = Digest::of_utf16le(cluster.mode.hash(), "rehearsal");
    let signature = server.key.sign(&digest)?;
    server
        .slc
        .key()
        .verify(&digest, &signature)
        .map_err(|error| failed(&error))?;

    let key = ContentKey::generate(Cipher::Cbc4k, KeyBits::Aes256).map_err(|e| failed(&e))?;
    let version = cluster.mode.sealed_key_version();
    let binding = PlContent::binding_text(server.identity());
    let bound = Digest::of_utf16le(version.hash(), &binding);
    let bytes = sealed_key::seal(server.slc.key(), version, Payload::ContentKey(&key), &bound);
    let content_id = new_guid()?;
    let owner = Grantee::Address("rehearsal@invalid".to_owned()).object();
    let rights = RightsDataRequest {
        issued: now,
        descriptor: None,
        referral: None,
        content_id,
        owner: owner.clone(),
        precondition: TimeCondition::default(),
        grants: Vec::new(),
        app_data: Vec::new(),
        policy_lists: Vec::new(),
    };
    let rights: Vec<u8> = rights
        .text()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let unsigned = PlContent {
        issued: now.floor_minute(),
        validity: None,
        descriptor: None,
        server: server.identity().clone(),
        sealed_key: EnablingBits {
            version,
            bytes: bytes.map_err(|error| failed(&error))?,
        },
        referral: None,
        content_id,
        owner,
        encrypted_rights: erd::encrypt(&key, &rights).map_err(|error| failed(&error))?,
        extra: Vec::new(),
    }
    .unsigned();
    let unsigned = CertificateText::new(unsigned).map_err(|error| failed(&error))?;
    open_unsigned(cluster, &unsigned).map(|_| ())
}

/// Opens the content key and the rights data of a PL as for a use license, whoever may have one.
/// Answers with the identifier of the content.
pub fn opens(cluster: &Cluster, license: &CertificateChain<'_>) -> Result<String, Refusal> {
    let license = verified_license(cluster, &CertificateCache::new(0), license)?;
    let no_match =
        |reason: String| Refusal::new(FaultCode::RightsLabelNoMatchingIssuedPrincipal, reason);
    let server = matching_server(cluster, &license)
        .ok_or_else(|| no_match("it is for another server".to_owned()))?;
    let content = HeldContent::open(&license, server.key.as_ref())
        .map_err(|error| no_match(error.to_string()))?;
    content
        .rights_data(license.encrypted_rights())
        .map_err(|error| no_match(error.to_string()))?;
    Ok(license.content_id().unwrap_or_default().to_owned())
}
