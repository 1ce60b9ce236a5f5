//! Seeds for the fuzz targets, made by our own writers: whole certificates, messages, sealed keys.

use std::path::Path;

use openrms_crypto::content::KeyBits;
use openrms_crypto::sealed_key::{self, Payload};
use openrms_crypto::{
    Cipher, ContentKey, Digest, Mode, PrivateKey, SealedKeyVersion, SoftwareKey, SoftwareProvider,
    envelope, erd,
};
use openrms_engine::authority;
use openrms_engine::keys::KeyVault;
use openrms_protocol::activation::{
    Activate, ActivateResponse, Activated, BinarySignature, HardwareId, encode_message,
};
use openrms_protocol::binary_group_expansion::{
    ProductVersion, RemotingException, Request, Response, encode_request as encode_binary,
    encode_response,
};
use openrms_protocol::certification::Certify;
use openrms_protocol::group_expansion::IsPrincipalMemberOf;
use openrms_protocol::licensing::{AcquireLicense, AcquireLicenseParams};
use openrms_protocol::publishing::GetClientLicensorCert;
use openrms_protocol::server::{
    GetLicensorCertificate, GetServerInfo, ServerInfoRequest, ServerInfoType,
};
use openrms_protocol::templates::AcquireTemplateInformation;
use openrms_protocol::{
    CertificateChain, Contract, Operation, ResponseHead, SoapVersion, VersionData, encode_request,
    encode_response as encode_answer,
};
use openrms_xrml::rights::{Right, TimeCondition};
use openrms_xrml::rights_data::{Grantee, RightGrant, RightsDataRequest};
use openrms_xrml::{Guid, Time, text};

use crate::Failure;

/// Writes `FOLDER/TARGET/NAME`.
pub(crate) fn write(folder: &Path) -> Result<(), Failure> {
    let folder = Folder(folder);
    let longest = xrml(&folder)?;
    soap(&folder, &longest)?;
    dime(&folder, &longest)?;
    group_expansion(&folder)?;
    manifests(&folder)?;
    sealed_keys(&folder)
}

struct Folder<'f>(&'f Path);

impl Folder<'_> {
    fn put(&self, target: &str, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let folder = self.0.join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(name), bytes)?;
        Ok(())
    }
}

/// A hierarchy, its anchors, rights data; answers with the longest chain.
fn xrml(folder: &Folder<'_>) -> Result<String, Failure> {
    let vault = KeyVault::new(&[1; 32])?;
    let provider = SoftwareProvider::new(&[1; 32]);
    let hierarchy = authority::create(&provider, &vault, "Seed", Mode::Two, NOW)?;
    for role in &hierarchy.roles {
        for encoding in [text::Encoding::Utf8Bom, text::Encoding::Utf16Le] {
            let name = format!("{}-{}", role.role, encoding.name());
            folder.put("xrml", &name, &text::encode(&role.certificate, encoding))?;
        }
    }
    folder.put("xrml", "anchors", hierarchy.anchors.to_xml().as_bytes())?;
    folder.put("xrml", "rights-data", rights_data(NOW)?.as_bytes())?;
    let chains = hierarchy.roles.into_iter().map(|role| role.certificate);
    chains
        .max_by_key(String::len)
        .ok_or_else(|| "an empty hierarchy".into())
}

/// Requests with that chain in the place of every certificate.
fn soap(folder: &Folder<'_>, chain: &str) -> Result<(), Failure> {
    let chain = CertificateChain::split(chain)?.into_owned();
    let item = AcquireLicenseParams {
        licensee_certs: chain.clone(),
        issuance_license: Some(chain.clone()),
        application_data: None,
    };
    let batch = AcquireLicense {
        items: vec![
            item.clone(),
            AcquireLicenseParams {
                issuance_license: None,
                ..item
            },
        ],
    };
    let version = ServerInfoRequest {
        kind: ServerInfoType::VersionInfo,
        additional_info: None,
    };
    let requests: [(Contract, Operation<'_>); 8] = [
        (
            Contract::Certification,
            Certify {
                machine_certificate_chain: chain.clone(),
                persistent: true,
            }
            .into(),
        ),
        (Contract::Licensing, batch.into()),
        (
            Contract::Publishing,
            GetClientLicensorCert {
                persona_certs: vec![chain],
            }
            .into(),
        ),
        (Contract::Server, GetLicensorCertificate.into()),
        (
            Contract::TemplateDistribution,
            AcquireTemplateInformation.into(),
        ),
        (
            Contract::Server,
            GetServerInfo {
                requests: vec![version],
            }
            .into(),
        ),
        (Contract::GroupExpansion, question().into()),
        (Contract::Activation, machines().into()),
    ];
    for (index, (contract, operation)) in requests.iter().enumerate() {
        for (soap, suffix) in [(SoapVersion::V11, "11"), (SoapVersion::V12, "12")] {
            let body = encode_request(soap, *contract, Some(VersionData::CLIENT_BATCH), operation);
            folder.put("soap", &format!("{index}-{suffix}"), body.as_bytes())?;
        }
    }
    Ok(())
}

fn machines() -> Activate {
    Activate {
        machines: vec![HardwareId::Sha1([1; 20]), HardwareId::Sha256([2; 32])],
    }
}

/// What two machines get, that chain for each.
fn dime(folder: &Folder<'_>, chain: &str) -> Result<(), Failure> {
    let chain = CertificateChain::split(chain)?.into_owned();
    let item = Activated {
        machine_certificate_chain: chain,
        signature: BinarySignature {
            hash: "SHA256".into(),
            digest: vec![1; 32],
            value: vec![2; 256],
        },
    };
    let response = ActivateResponse {
        items: vec![item.clone(), item],
    };
    for (soap, name) in [(SoapVersion::V11, "11"), (SoapVersion::V12, "12")] {
        let head = ResponseHead::fault(soap);
        let envelope = encode_answer(&head, &response.clone().into());
        let message = encode_message(soap, envelope, [vec![3; 100], vec![4; 100]])?;
        folder.put("dime", name, &message)?;
    }
    Ok(())
}

/// The binary form; an answer is among the files of the crate's tests.
fn group_expansion(folder: &Folder<'_>) -> Result<(), Failure> {
    for &version in ProductVersion::ALL {
        let request = Request {
            version,
            question: question(),
        };
        let name = format!("request-{}", version.number());
        folder.put("group_expansion", &name, &encode_binary(&request))?;
    }
    let mut exception = RemotingException::new("outer");
    exception.inner = Some(Box::new(RemotingException::new("inner")));
    let exception = encode_response(&Response::Exception(exception));
    folder.put("group_expansion", "exception", &exception)
}

/// Lists of files, one of them in the wrong order.
fn manifests(folder: &Folder<'_>) -> Result<(), Failure> {
    let sum = "5".repeat(64);
    let head = "openrms-manifest 1\nversion: 0.2.0\nserial: 1800000000\nexpires: 1900000000\n\n";
    let files = format!("{sum}  apt/dists/stable/InRelease\n{sum}  install.sh\n");
    let wrong = format!("{sum}  rpm/a.rpm\n{sum}  rpm\n{sum}  ../a\n");
    for (name, files) in [
        ("empty", ""),
        ("two", files.as_str()),
        ("wrong", wrong.as_str()),
    ] {
        folder.put("manifest", name, format!("{head}{files}").as_bytes())?;
    }
    Ok(())
}

fn question() -> IsPrincipalMemberOf {
    let groups = ["mail=all@b.example.test", "mail=staff@b.example.test"];
    IsPrincipalMemberOf::new(
        "mail=alice@a.example.test",
        groups.map(str::to_owned).to_vec(),
    )
}

/// Sealed to the key that the target opens them with, and what else it reads.
fn sealed_keys(folder: &Folder<'_>) -> Result<(), Failure> {
    let key = SoftwareKey::from_pem(include_str!("../../fuzz/fuzz_targets/key.pem"))?;
    let content = ContentKey::generate(Cipher::Cbc4k, KeyBits::Aes256)?;
    let other = SoftwareKey::generate(Mode::Two)?;
    let blob = other.to_private_key_blob();
    for version in [SealedKeyVersion::V1, SealedKeyVersion::V2] {
        let bound = Digest::of(version.hash(), b"seed");
        for (name, payload) in [
            ("content", Payload::ContentKey(&content)),
            ("private", Payload::PrivateKey(&blob)),
        ] {
            let sealed = sealed_key::seal(key.public(), version, payload, &bound)?;
            folder.put(
                "sealed_key",
                &format!("{name}-{}", version.wire_name()),
                &sealed,
            )?;
        }
    }
    folder.put("sealed_key", "blob", blob.expose())?;
    folder.put("sealed_key", "pkcs8", other.to_pkcs8_der().expose())?;
    folder.put("sealed_key", "pem", other.to_pem().expose())?;
    folder.put("sealed_key", "pkcs1", &other.public().to_pkcs1_der())?;
    folder.put(
        "sealed_key",
        "envelope",
        &envelope::seal(&[1; 32], b"", b"secret")?,
    )?;
    let utf16: Vec<u8> = rights_data(NOW)?
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    folder.put("sealed_key", "rights", &erd::encrypt(&content, &utf16)?)
}

fn rights_data(issued: Time) -> Result<String, Failure> {
    let owner = Grantee::Address("alice@example.test".into());
    Ok(RightsDataRequest {
        issued,
        descriptor: None,
        referral: Some(("alice".into(), "mailto:alice@example.test".into())),
        content_id: Guid::from_random(openrms_crypto::random::guid_bytes()?),
        owner: owner.object(),
        precondition: TimeCondition::default(),
        grants: vec![
            RightGrant::new(Right::new("VIEW"), Grantee::Anyone),
            RightGrant::new(Right::new("FORWARD"), owner),
        ],
        app_data: vec![("NOLICCACHE".into(), "1".into())],
        policy_lists: Vec::new(),
    }
    .text())
}

const NOW: Time = Time::from_unix(1_800_000_000);
