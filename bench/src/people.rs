//! People with RACs and CLCs, and content they publish: what a client makes, without its files.

use std::sync::Arc;

use openrms_crypto::content::KeyBits;
use openrms_crypto::sealed_key::{self, OpenedPayload, Payload};
use openrms_crypto::{Cipher, ContentKey, Digest, Mode, PrivateKey, SoftwareKey, erd};
use openrms_protocol::certification::Certify;
use openrms_protocol::licensing::{
    AcquireLicense, AcquireLicenseParams, AcquireLicenseResponse, LicenseOutcome,
};
use openrms_protocol::publishing::GetClientLicensorCert;
use openrms_protocol::{
    CertificateChain, CertificateText, FaultCode, Limits, Operation, OperationName, Response,
    Service, SoapVersion, VersionData, encode_request, parse_response,
};
use openrms_xrml::author_proof::{AUTHOR_PROOF_NAME, author_proof};
use openrms_xrml::clc::ClientLicensorCertificate;
use openrms_xrml::pl::PlContent;
use openrms_xrml::rac::AccountCertificate;
use openrms_xrml::rights::{Right, TimeCondition};
use openrms_xrml::rights_data::{Grantee, RightGrant, RightsDataRequest};
use openrms_xrml::spc::SpcRequest;
use openrms_xrml::{EnablingBits, Guid, Identity, Node, Time, chain};

use crate::Failure;
use crate::http::{Connection, SignIn, post};

/// Someone with a RAC.
pub(crate) struct Person {
    pub(crate) email: String,
    pub(crate) rac: CertificateChain<'static>,
    pub(crate) key: SoftwareKey,
}

/// Someone who publishes, and what they publish with.
pub(crate) struct Author {
    pub(crate) person: Person,
    clc_chain: CertificateChain<'static>,
    clc: ClientLicensorCertificate,
    clc_key: SoftwareKey,
    server: Identity,
    mode: Mode,
}

/// Published content.
pub(crate) struct Content {
    pub(crate) license: CertificateChain<'static>,
    pub(crate) key: ContentKey,
}

/// A machine that activated itself.
pub(crate) struct Machine {
    key: SoftwareKey,
    chain: String,
    mode: Mode,
}

impl Machine {
    /// Activates, with the SPC issuer that clients carry.
    pub(crate) fn activate(
        issuer_pem: &str,
        issuer_chain: &str,
        mode: Mode,
    ) -> Result<Self, Failure> {
        let issuer = SoftwareKey::from_pem(issuer_pem)?;
        let above = chain::parse(issuer_chain)?;
        let key = SoftwareKey::generate(mode)?;
        let identity = above
            .first()
            .and_then(Identity::of_principal)
            .ok_or("SPC issuer")?;
        let spc = SpcRequest {
            id: guid()?,
            issued: now(),
            issuer: identity,
            location: openrms_xrml::spc::ActivationLocation::Machine("file:///bench".into()),
            machine: guid()?,
            key: key.public().clone(),
            hardware: Digest::of(mode.hash(), b"bench"),
            platform: "2.6.1.7600".into(),
            manufacturer: "OpenRMS bench".into(),
            repository: "OpenRMS bench 6.1.7600.0".into(),
        }
        .sign(&issuer, mode.hash())?;
        Ok(Self {
            key,
            chain: spc + issuer_chain,
            mode,
        })
    }

    /// Certifies a person of the server.
    pub(crate) fn certify(
        &self,
        server: &mut Connection,
        sign_in: &SignIn<'_>,
    ) -> Result<Person, Failure> {
        let certify = Certify {
            machine_certificate_chain: CertificateChain::split(&self.chain)?,
            persistent: true,
        };
        let Response::Certify(answer) = call(
            server,
            Service::Certification,
            &certify.into(),
            Some(sign_in),
        )?
        else {
            return Err("not an answer to Certify".into());
        };
        let rac = account(&answer.certificate_chain)?;
        let key = open_private(&self.key, rac.sealed_key().ok_or("RAC without key")?)?;
        Ok(Person {
            email: rac.account().email.clone(),
            rac: answer.certificate_chain,
            key,
        })
    }

    /// Makes a person an author.
    pub(crate) fn author(
        &self,
        server: &mut Connection,
        person: Person,
    ) -> Result<Author, Failure> {
        let request = GetClientLicensorCert {
            persona_certs: vec![person.rac.clone()],
        };
        let Response::GetClientLicensorCert(answer) =
            call(server, Service::Publish, &request.into(), None)?
        else {
            return Err("not an answer to GetClientLicensorCert".into());
        };
        let clc_chain = answer
            .certificate_chains
            .into_iter()
            .next()
            .ok_or("no CLC")?;
        let leaf = clc_chain.leaf().ok_or("no CLC")?.as_str();
        let clc = ClientLicensorCertificate::new(Arc::new(Node::parse(leaf)?.verify()?))?;
        let clc_key = open_private(&person.key, clc.sealed_key().ok_or("CLC without key")?)?;
        let server = clc.server()?;
        Ok(Author {
            person,
            clc_chain,
            clc,
            clc_key,
            server,
            mode: self.mode,
        })
    }
}

impl Author {
    /// Publishes off line: each person may view, among `others` more principals.
    pub(crate) fn publish(&self, readers: &[&str], others: usize) -> Result<Content, Failure> {
        let view = |address: String| {
            ["VIEW", "PRINT", "EDIT", "EXTRACT", "REPLY"]
                .into_iter()
                .map(move |right| {
                    RightGrant::new(Right::new(right), Grantee::Address(address.clone()))
                })
        };
        let named = (0..others).map(|n| format!("someone{n}@elsewhere.example"));
        let grants: Vec<RightGrant> = named
            .chain(readers.iter().map(|&r| r.to_owned()))
            .flat_map(view)
            .collect();
        let content_id = guid()?;
        let owner = Grantee::Address(self.person.email.clone()).object();
        let issued = now().floor_minute();
        let rights = RightsDataRequest {
            issued,
            descriptor: None,
            referral: None,
            content_id,
            owner: owner.clone(),
            precondition: TimeCondition::default(),
            grants,
            app_data: Vec::new(),
            policy_lists: Vec::new(),
        };
        let key = ContentKey::generate(Cipher::Cbc4k, KeyBits::Aes256)?;
        let plain: Vec<u8> = rights
            .text()
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let version = self.mode.sealed_key_version();
        let bound = Digest::of_utf16le(version.hash(), &PlContent::binding_text(&self.server));
        let sealed = sealed_key::seal(
            self.server.key(),
            version,
            Payload::ContentKey(&key),
            &bound,
        )?;
        let content = PlContent {
            issued,
            validity: None,
            descriptor: None,
            server: self.server.clone(),
            sealed_key: EnablingBits {
                version,
                bytes: sealed,
            },
            referral: None,
            content_id,
            owner,
            encrypted_rights: erd::encrypt(&key, &plain)?,
            extra: Vec::new(),
        };
        let content = self.prove(content, &key)?;
        let identity = Identity::of_principal(self.clc.node()).ok_or("CLC without key")?;
        let urls: Vec<_> = self.clc.licensing_urls().collect();
        let url = urls.first().copied().ok_or("CLC without URL")?;
        let signed = content.sign(&identity, (url, None), &self.clc_key, self.mode.hash())?;
        let mut nodes = vec![CertificateText::new(signed)?];
        nodes.extend(self.clc_chain.0.iter().cloned());
        Ok(Content {
            license: CertificateChain(nodes),
            key,
        })
    }
}

impl Author {
    /// Puts the proof of authorship in, as our client does.
    fn prove(&self, mut content: PlContent, key: &ContentKey) -> Result<PlContent, Failure> {
        let proof = author_proof(
            key,
            &self.person.email,
            content.issued,
            &content.encrypted_rights,
        )?;
        let value = openrms_xrml::values::encode_base64(&proof);
        content.extra = vec![("APPSPECIFIC".into(), AUTHOR_PROOF_NAME.into(), value)];
        Ok(content)
    }
}

/// The request for one use license, ready to be sent.
pub(crate) fn acquire(person: &Person, license: &CertificateChain<'static>) -> Vec<u8> {
    let request = AcquireLicense::single(AcquireLicenseParams {
        licensee_certs: person.rac.clone(),
        issuance_license: Some(license.clone()),
        application_data: None,
    });
    prepare(Service::License, &request.into(), VersionData::CLIENT, None)
}

/// A batch of requests for one person.
pub(crate) fn acquire_batch(person: &Person, licenses: &[&Content]) -> Vec<u8> {
    let items = licenses.iter().map(|content| AcquireLicenseParams {
        licensee_certs: person.rac.clone(),
        issuance_license: Some(content.license.clone()),
        application_data: None,
    });
    let request = AcquireLicense {
        items: items.collect(),
    };
    prepare(
        Service::License,
        &request.into(),
        VersionData::CLIENT_BATCH,
        None,
    )
}

/// Reads an answer to AcquireLicense.
pub(crate) fn read(body: &[u8]) -> Result<AcquireLicenseResponse<'static>, Failure> {
    let limits = Limits::client();
    let answer = parse_response(OperationName::AcquireLicense, body, &limits)?;
    match answer.outcome? {
        Response::AcquireLicense(answer) => Ok(AcquireLicenseResponse {
            items: answer.items.into_iter().map(own).collect(),
        }),
        _ => Err("not an answer to AcquireLicense".into()),
    }
}

/// Asks for a license, which must be given, and checks it.
pub(crate) fn check_license(
    server: &mut Connection,
    person: &Person,
    content: &Content,
) -> Result<(), Failure> {
    let (status, body) = server.send(&acquire(person, &content.license))?;
    let answer = read(body).map_err(|error| format!("HTTP {status}: {error}"))?;
    match answer.items.first() {
        Some(LicenseOutcome::License {
            certificate_chain, ..
        }) => check(person, certificate_chain, content),
        _ => Err(format!("no license, HTTP {status}").into()),
    }
}

/// Asks for a license, which must be refused to a person without rights.
pub(crate) fn check_refusal(
    server: &mut Connection,
    person: &Person,
    content: &Content,
) -> Result<(), Failure> {
    let (status, body) = server.send(&acquire(person, &content.license))?;
    let limits = Limits::client();
    match parse_response(OperationName::AcquireLicense, body, &limits)?.outcome {
        Err(fault) if fault.code == Some(FaultCode::NoRightsForRequestedPrincipal) => Ok(()),
        other => Err(format!("{}: HTTP {status}, {other:?}", person.email).into()),
    }
}

/// Checks a use license as a client would: every signature, and that the key opens.
pub(crate) fn check(
    person: &Person,
    chain: &CertificateChain<'_>,
    content: &Content,
) -> Result<(), Failure> {
    let mut nodes = Vec::new();
    for certificate in chain {
        nodes.push(Arc::new(Node::parse(certificate.as_str())?.verify()?));
    }
    let leaf = nodes.first().ok_or("empty chain")?;
    let ul = openrms_xrml::ul::UseLicense::new(leaf.clone())?;
    chain::check_issuer(nodes.get(1).ok_or("no SLC")?, leaf)?;
    if ul.rights_at(now().floor_minute()).is_empty() {
        return Err("a use license without rights".into());
    }
    let sealed = ul.sealed_key().ok_or("a use license without key")?;
    match sealed_key::open(&person.key, sealed.version, &sealed.bytes)?.payload {
        OpenedPayload::ContentKey(key) if key.expose() == content.key.expose() => Ok(()),
        _ => Err("the content key is another one".into()),
    }
}

fn call(
    server: &mut Connection,
    service: Service,
    operation: &Operation<'_>,
    sign_in: Option<&SignIn<'_>>,
) -> Result<Response<'static>, Failure> {
    let request = prepare(service, operation, VersionData::CLIENT, sign_in);
    let (status, body) = server.send(&request)?;
    let body = body.to_vec();
    let limits = Limits::client();
    let answer = parse_response(operation.name(), &body, &limits)
        .map_err(|error| format!("HTTP {status}: {error}"))?;
    Ok(match answer.outcome? {
        Response::Certify(mut certify) => {
            let chain = std::mem::take(&mut certify.certificate_chain).into_owned();
            Response::Certify(openrms_protocol::certification::CertifyResponse {
                certificate_chain: chain,
                quota: None,
            })
        }
        Response::GetClientLicensorCert(answer) => Response::GetClientLicensorCert(
            openrms_protocol::publishing::GetClientLicensorCertResponse {
                certificate_chains: answer
                    .certificate_chains
                    .into_iter()
                    .map(CertificateChain::into_owned)
                    .collect(),
            },
        ),
        other => return Err(format!("unexpected {:?}", other.name()).into()),
    })
}

fn prepare(
    service: Service,
    operation: &Operation<'_>,
    version: VersionData,
    sign_in: Option<&SignIn<'_>>,
) -> Vec<u8> {
    let body = encode_request(
        SoapVersion::V11,
        service.contract(),
        Some(version),
        operation,
    );
    post(service.path(), &body, sign_in)
}

fn own(
    outcome: openrms_protocol::licensing::LicenseOutcome<'_>,
) -> openrms_protocol::licensing::LicenseOutcome<'static> {
    use openrms_protocol::licensing::LicenseOutcome as Outcome;
    match outcome {
        Outcome::License {
            certificate_chain, ..
        } => Outcome::license(certificate_chain.into_owned()),
        Outcome::Exception(exception) => Outcome::Exception(exception),
    }
}

fn account(chain: &CertificateChain<'_>) -> Result<AccountCertificate, Failure> {
    let leaf = chain.leaf().ok_or("no RAC")?.as_str();
    Ok(AccountCertificate::new(Arc::new(
        Node::parse(leaf)?.verify()?,
    ))?)
}

fn open_private(key: &dyn PrivateKey, sealed: &EnablingBits) -> Result<SoftwareKey, Failure> {
    match sealed_key::open(key, sealed.version, &sealed.bytes)?.payload {
        OpenedPayload::PrivateKey(blob) => Ok(SoftwareKey::from_private_key_blob(blob.expose())?),
        OpenedPayload::ContentKey(_) => Err("not a private key".into()),
    }
}

fn guid() -> Result<Guid, Failure> {
    Ok(Guid::from_random(openrms_crypto::random::guid_bytes()?))
}

pub(crate) fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Time::from_unix(since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0)))
}
