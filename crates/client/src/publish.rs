//! Protecting content (MS-RMPR 3.8.4.3, 3.8.4.4): a content key, a PL that says who may have it,
//! and, off line, the author's own use license.

use std::io::{Read, Write};
use std::path::Path;

use openrms_crypto::content::KeyBits;
use openrms_crypto::sealed_key::{self, Payload};
use openrms_crypto::{Cipher, ContentKey, Digest, PublicKey, erd, random};
use openrms_formats::pfile;
use openrms_protocol::publishing::{AcquireIssuanceLicense, AcquireIssuanceLicenseResponse};
use openrms_protocol::server::{GetLicensorCertificate, GetLicensorCertificateResponse};
use openrms_protocol::{CertificateChain, CertificateText, Contract, Response, Service};
use openrms_xrml::author_proof::{AUTHOR_PROOF_NAME, author_proof};
use openrms_xrml::issuing::ServerLicensorCertificate;
use openrms_xrml::names::format_names;
use openrms_xrml::node::Node;
use openrms_xrml::pl::{Descriptor, PlContent, PublishingLicense};
use openrms_xrml::rights::{Right, TimeCondition};
use openrms_xrml::rights_data::{APP_SPECIFIC, RightsDataRequest};
use openrms_xrml::text::{self, Encoding};
use openrms_xrml::ul::UlRequest;
use openrms_xrml::values::encode_base64;
use openrms_xrml::{EnablingBits, Guid, Hand, Identity, Object, SharedNode, Time};

use crate::account::{Account, Licensor};
use crate::client::Client;
use crate::error::{Class, Coded, Error};
use crate::license_store;
use crate::notice;
use crate::output::{Output, Overwrite};
use crate::policy::{OwnPolicy, Policy, Renewal};
use crate::service::{Auth, ServiceError};
use crate::templates::Template;
use crate::trust::{self, TrustError, mode_of};

/// Who signs the PL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Signer {
    /// The author, with the CLC: needs no network.
    #[default]
    Author,
    /// The server.
    Server,
}

/// A license for new content, and its key.
///
/// The author holds the key by making it; so it is theirs to encrypt with, in whatever container.
#[derive(Debug)]
pub struct Publication {
    key: ContentKey,
    license: String,
    content_id: Guid,
    owner: String,
    /// What a pfile says to people without a client.
    notice: String,
}

/// Content was protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Identifier of the content.
    pub content_id: Guid,
    /// Mail address of the author.
    pub owner: String,
    /// Length of the original in bytes.
    pub length: u64,
}

/// Why content was not protected.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Sealing, signing or drawing random numbers failed.
    #[error("the license could not be made: {0}")]
    Crypto(String),
    /// The server's signed PL is not the one that was composed.
    #[error("the server signed another license than it was asked to: its {0} differs")]
    Altered(&'static str),
    /// The source could not be read, or the result not be written.
    #[error(transparent)]
    Content(pfile::ContentError),
    /// The source cannot be opened.
    #[error("{}: {source}", path.display())]
    Source {
        /// Which file.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The source is protected already.
    #[error("{} is protected already", .0.display())]
    AlreadyProtected(std::path::PathBuf),
}

impl Coded for PublishError {
    fn code(&self) -> &'static str {
        match self {
            Self::Crypto(_) => "publish-crypto-failed",
            Self::Altered(_) => "publish-license-altered",
            Self::Content(_) => "publish-content-failed",
            Self::Source { .. } => "source-not-readable",
            Self::AlreadyProtected(_) => "already-protected",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Altered(_) => Class::NotTrusted,
            _ => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::AlreadyProtected(_) => Some("open it first, if you may".into()),
            _ => None,
        }
    }
}

impl Client {
    /// Makes a content key and its license. Off line, the author's use license is stored before
    /// this answers, so that whatever is encrypted with the key can be opened again.
    pub fn publish(&self, policy: &Policy, signer: Signer) -> Result<Publication, Error> {
        let now = self.moment()?.now;
        let content_id = Guid::from_random(random::guid_bytes().map_err(crypto)?);
        let key = ContentKey::generate(Cipher::Cbc4k, KeyBits::Aes256).map_err(crypto)?;
        let (license, owner) = match signer {
            Signer::Author => {
                let (_, account, licensor) = self.publisher()?;
                let owner = &account.identity().email;
                let draft = Draft {
                    client: self,
                    now,
                    content_id,
                    owner,
                    key: &key,
                };
                let server = licensor.certificate().server();
                let server = server.map_err(trust::malformed("client licensor certificate"))?;
                let content = draft.compose(policy, &server)?;
                (draft.sign(&content, &account, &licensor)?, owner.clone())
            }
            Signer::Server => {
                self.check_online_publishing()?;
                let (hierarchy, account) = self.reader()?;
                let owner = &account.identity().email;
                let draft = Draft {
                    client: self,
                    now,
                    content_id,
                    owner,
                    key: &key,
                };
                let service = account.endpoint(Service::LicensingServer);
                let slc = self.server_certificate(service, hierarchy.anchors())?;
                let server = ServerLicensorCertificate::new(trust::leaf(SLC, &slc)?)
                    .map_err(trust::malformed(SLC))?;
                let content = draft.compose(policy, server.identity())?;
                (
                    self.have_signed(&account, &content, &slc, server.key())?,
                    owner.clone(),
                )
            }
        };
        Ok(Publication {
            key,
            license,
            content_id,
            owner,
            notice: notice::text(self.discovery.machine.notice_url()),
        })
    }

    /// Protects a stream as a pfile, in constant memory. `extension` is that of the original, with
    /// its dot; `length` its length, checked when given.
    pub fn protect<R: Read, W: Write>(
        &self,
        plain: R,
        length: Option<u64>,
        extension: &str,
        out: &mut W,
        policy: &Policy,
        signer: Signer,
    ) -> Result<Published, Error> {
        self.publish(policy, signer)?
            .write_pfile(plain, length, extension, out)
    }

    /// Protects a file as a pfile; permissions and modification time carry over. `target` may be
    /// the source itself, when it may be overwritten.
    pub fn protect_file(
        &self,
        source: &Path,
        target: &Path,
        overwrite: Overwrite,
        policy: &Policy,
        signer: Signer,
    ) -> Result<Published, Error> {
        let unreadable = |error| PublishError::Source {
            path: source.to_owned(),
            source: error,
        };
        let mut file = std::fs::File::open(source).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(unreadable(std::io::ErrorKind::IsADirectory.into()).into());
        }
        let kind = openrms_formats::detect(&mut file).map_err(unreadable)?;
        if matches!(
            kind,
            openrms_formats::Kind::Pfile | openrms_formats::Kind::Rpmsg
        ) {
            return Err(PublishError::AlreadyProtected(source.to_owned()).into());
        }
        let mut out = Output::create(target, overwrite, Some(&metadata))?;
        let extension = source.extension().and_then(|extension| extension.to_str());
        let extension = extension
            .map(|extension| format!(".{extension}"))
            .unwrap_or_default();
        let published = {
            let mut buffered = std::io::BufWriter::with_capacity(BUFFER, &mut out);
            let length = Some(metadata.len());
            let published =
                self.protect(&file, length, &extension, &mut buffered, policy, signer)?;
            buffered
                .flush()
                .map_err(|e| PublishError::Content(e.into()))?;
            published
        };
        out.commit()?;
        Ok(published)
    }

    /// The SLC chain of the server, verified (MS-RMPR 3.7.4.1).
    pub(crate) fn server_certificate(
        &self,
        service: Service,
        anchors: &openrms_xrml::anchors::Anchors,
    ) -> Result<Vec<SharedNode>, Error> {
        let text = self.ask_licensing(service, |caller, url| {
            let take = |response: Response<'_>| {
                let answer = GetLicensorCertificateResponse::try_from(response)?;
                Ok(answer.certificate_chain.concatenated())
            };
            let ask = GetLicensorCertificate.into();
            caller.call(&url, Contract::Server, &ask, Auth::OnDemand, take)
        })?;
        Ok(trust::read_trusted(
            "server licensor certificate",
            &text,
            None,
            anchors,
        )?)
    }

    /// Has the server sign a composed PL and checks that it is still that PL.
    fn have_signed(
        &self,
        account: &Account,
        content: &PlContent,
        slc: &[SharedNode],
        server_key: &PublicKey,
    ) -> Result<String, Error> {
        let unsigned = content.unsigned();
        let license = CertificateText::new(unsigned.as_str()).map_err(crypto)?;
        let ask = AcquireIssuanceLicense {
            unsigned_issuance_licenses: vec![license],
        }
        .into();
        let service = account.endpoint(Service::Publish);
        let text = self.ask_licensing(service, |caller, url| {
            let take = |response: Response<'_>| {
                let answer = AcquireIssuanceLicenseResponse::try_from(response)?;
                Ok(answer
                    .certificate_chains
                    .first()
                    .map(CertificateChain::concatenated))
            };
            let text = caller.call(&url, Contract::Publishing, &ask, Auth::OnDemand, take)?;
            text.ok_or(ServiceError::Empty { url, what: PL })
        })?;
        let signed = trust::read(PL, &text)?;
        let all: Vec<SharedNode> = signed.iter().chain(slc).cloned().collect();
        trust::walk(PL, &all, None, |key| key == server_key)?;
        let license =
            PublishingLicense::new(trust::leaf(PL, &signed)?).map_err(trust::malformed(PL))?;
        let altered = |what| Err(PublishError::Altered(what).into());
        if license.content_id().and_then(|id| id.parse().ok()) != Some(content.content_id) {
            return altered("content");
        }
        if license.encrypted_rights() != content.encrypted_rights {
            return altered("rights data");
        }
        if license.owner().and_then(|owner| owner.name.as_ref()) != content.owner.name.as_ref() {
            return altered("owner");
        }
        if license.server_key() != Some(server_key) {
            return altered("server");
        }
        Ok(trust::concatenated(&signed))
    }
}

impl Publication {
    /// The content key: AES-256, CBC4K.
    pub fn content_key(&self) -> &ContentKey {
        &self.key
    }

    /// PL and chain as text, concatenated.
    pub fn license_text(&self) -> &str {
        &self.license
    }

    /// PL and chain as a pfile stores them: UTF-8 with a byte order mark and XML declaration.
    pub fn license_bytes(&self) -> Vec<u8> {
        text::encode(&self.license, Encoding::Utf8Bom)
    }

    /// Identifier of the content.
    pub fn content_id(&self) -> Guid {
        self.content_id
    }

    /// Mail address of the author.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Encrypts a stream into a pfile. A publication is for one content: it is used up.
    pub fn write_pfile<R: Read, W: Write>(
        self,
        plain: R,
        length: Option<u64>,
        extension: &str,
        out: &mut W,
    ) -> Result<Published, Error> {
        let license = self.license_bytes();
        let header = (&*license, extension);
        let length = pfile::protect_saying(&self.notice, plain, out, &self.key, header, length)
            .map_err(PublishError::Content)?;
        Ok(Published {
            content_id: self.content_id,
            owner: self.owner,
            length,
        })
    }
}

/// A license being made.
struct Draft<'a> {
    client: &'a Client,
    now: Time,
    content_id: Guid,
    owner: &'a str,
    key: &'a ContentKey,
}

impl Draft<'_> {
    fn compose(&self, policy: &Policy, server: &Identity) -> Result<PlContent, Error> {
        match policy {
            Policy::Own(policy) => self.own(policy, server),
            Policy::Template(name) => {
                let template = self.client.template(name, Some(server.key()))?;
                self.templated(&template, server)
            }
        }
    }

    fn own(&self, policy: &OwnPolicy, server: &Identity) -> Result<PlContent, Error> {
        let descriptor = if policy.names.is_empty() {
            None
        } else {
            let id = Guid::from_random(random::guid_bytes().map_err(crypto)?);
            Some(Object::guid(None, id).named(format_names(&policy.names)))
        };
        let app_data = match policy.renewal {
            Renewal::EveryUse => vec![("NOLICCACHE".to_owned(), "1".to_owned())],
            Renewal::Never | Renewal::Days(_) => Vec::new(),
        };
        let rights = RightsDataRequest {
            issued: self.now.floor_minute(),
            descriptor: descriptor.clone(),
            referral: policy.referral.clone(),
            content_id: self.content_id,
            owner: self.owner_object(),
            precondition: policy.precondition(self.now)?,
            grants: policy.right_grants()?,
            app_data,
            policy_lists: Vec::new(),
        };
        let descriptor = descriptor.map(Descriptor::Own);
        self.content(server, &rights.text(), descriptor, policy.referral.clone())
    }

    fn templated(&self, template: &Template, server: &Identity) -> Result<PlContent, Error> {
        let node = template.rights().node();
        let content = node.content();
        let descriptor = content.descriptor_raw.as_ref();
        let descriptor = descriptor.map(|raw| Descriptor::Verbatim(node.slice(raw).to_owned()));
        let referral = content
            .distribution_point("Referral-Info")
            .and_then(|point| {
                let address = point.object.url()?.to_owned();
                Some((
                    point.object.name.clone().unwrap_or_else(|| address.clone()),
                    address,
                ))
            });
        self.content(server, template.text(), descriptor, referral)
    }

    fn content(
        &self,
        server: &Identity,
        rights: &str,
        descriptor: Option<Descriptor>,
        referral: Option<(String, String)>,
    ) -> Result<PlContent, Error> {
        let utf16: Vec<u8> = rights.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let encrypted_rights = erd::encrypt(self.key, &utf16).map_err(crypto)?;
        let issued = self.now.floor_minute();
        let proof =
            author_proof(self.key, self.owner, issued, &encrypted_rights).map_err(crypto)?;
        let proof = (
            APP_SPECIFIC.into(),
            AUTHOR_PROOF_NAME.into(),
            encode_base64(&proof),
        );
        Ok(PlContent {
            issued,
            validity: None,
            descriptor,
            server: server.clone(),
            sealed_key: self.seal_to(server.key(), &PlContent::binding_text(server))?,
            referral,
            content_id: self.content_id,
            owner: self.owner_object(),
            encrypted_rights,
            extra: vec![proof],
        })
    }

    /// Signs with the CLC, and makes and stores the author's own license. Answers PL and CLC
    /// chain.
    fn sign(
        &self,
        content: &PlContent,
        account: &Account,
        licensor: &Licensor,
    ) -> Result<String, Error> {
        let clc = licensor.certificate();
        let author = Identity::of_principal(clc.node()).ok_or(TrustError::KeyMismatch {
            what: "client licensor certificate",
        })?;
        let hash = mode_of(clc.key()).hash();
        let mut urls = clc.licensing_urls();
        let urls = (urls.next().unwrap_or_default(), urls.next());
        let license = content
            .sign(&author, urls, licensor.key(), hash)
            .map_err(crypto)?;
        // Read back, and verified as everybody else will.
        let node = Node::parse(license).map_err(trust::malformed(PL))?;
        let node = node
            .verify()
            .map_err(|source| TrustError::Signature { what: PL, source })?;
        let inner = node.content();
        let work = inner.work.as_ref();
        let slice = |range: Option<&std::ops::Range<usize>>| range.map(|range| node.slice(range));
        let use_license = UlRequest {
            id: Guid::from_random(random::guid_bytes().map_err(crypto)?),
            issued: self.now.floor_minute(),
            validity: None,
            issuer: &author,
            principal_raw: account.certificate().principal_raw(),
            referral_raw: slice(inner.referral_raw.as_ref()),
            work_raw: slice(work.and_then(|w| w.object_raw.as_ref())).unwrap_or_default(),
            owner_raw: slice(work.and_then(|w| w.owner_raw.as_ref())),
            revocation_raw: None,
            rights: &[(Right::new(Right::OWNER), TimeCondition::default())],
            sealed_key: &self.seal_to(
                account.certificate().key(),
                &UlRequest::binding_text(&author),
            )?,
            app_data: &[],
            os_exclusion: None,
            policy_lists: &[],
        }
        .sign(Hand::Client, licensor.key(), hash)
        .map_err(crypto)?;
        let above = trust::concatenated(licensor.chain());
        let lock = self.client.home().lock()?;
        let id = self.content_id.to_string();
        let own = use_license + &above;
        license_store::store(&lock, &id, &content.sealed_key, account, &own)?;
        Ok(format!("{}{above}", node.text()))
    }

    fn seal_to(&self, recipient: &PublicKey, binding: &str) -> Result<EnablingBits, Error> {
        let version = mode_of(recipient).sealed_key_version();
        let bound = Digest::of_utf16le(version.hash(), binding);
        let payload = Payload::ContentKey(self.key);
        let bytes = sealed_key::seal(recipient, version, payload, &bound).map_err(crypto)?;
        Ok(EnablingBits { version, bytes })
    }

    /// As clients since 2013 name authors.
    fn owner_object(&self) -> Object {
        Object {
            id_type: "Unspecified".into(),
            ..Object::default()
        }
        .named(self.owner)
    }
}

fn crypto(error: impl std::fmt::Display) -> Error {
    PublishError::Crypto(error.to_string()).into()
}

const SLC: &str = "server licensor certificate";
const PL: &str = "publishing license";
const BUFFER: usize = 256 << 10;
