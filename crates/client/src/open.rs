//! Opening protected content (MS-RMPR 3.8.4.5).
//!
//! What this crate enforces: nobody without a use license that leads to an anchor, is for their
//! key and gives a right now gets at the content. What it cannot enforce is what an application
//! does with text it was given: VIEW without EXPORT is a promise of the application, as it was on
//! Windows. Taking protection away, which is this crate's own doing, demands EXPORT or OWNER, by
//! type: [`Opened::export`]; or that the cluster has ended and lets the caller in:
//! [`Client::free`].

mod error;

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use openrms_crypto::content::Decryptor;
use openrms_crypto::{Cipher, ContentKey};
use openrms_formats::{inspect, pfile};
use openrms_protocol::licensing::{
    AcquireLicense, AcquireLicenseParams, AcquireLicenseResponse, LicenseOutcome,
};
use openrms_protocol::{Contract, Fault, Response, Service};
use openrms_xrml::names::{LocalizedName, parse_names};
use openrms_xrml::node::{BodyCondition, PolicyList};
use openrms_xrml::pl::PublishingLicense;
use openrms_xrml::rights::Right;
use openrms_xrml::text;
use openrms_xrml::ul::UseLicense;
use openrms_xrml::{EnablingBits, Guid, SharedNode, Time, XrmlError};

use crate::account::Account;
use crate::client::{Client, wire_chain};
use crate::clock::Moment;
use crate::discovery::license_endpoints;
use crate::error::Error;
use crate::license_store::{self, LicenseError, Wanted};
use crate::service::{Auth, ServiceError};
use crate::trust::{self, TrustError};

pub use error::{Denied, OpenError};

/// What the caller may do with a content.
#[derive(Debug, Clone)]
pub struct Held {
    /// Identifier of the content.
    pub content_id: String,
    /// Identifier of the template or policy.
    pub policy_id: Option<Guid>,
    /// Names of the template or policy.
    pub names: Vec<LocalizedName>,
    /// Mail address of the author.
    pub owner: Option<String>,
    /// Mail address of the person the use license is for.
    pub account: String,
    /// The rights held now, each with its end.
    pub rights: Vec<HeldRight>,
    /// The instant when the first of these rights ends; `None` for never.
    pub until: Option<Time>,
    /// What applications must heed besides.
    pub conditions: Conditions,
    /// Where the use license came from.
    pub source: Source,
    /// The newest time seen before, when the clock was set back; limits were judged by that.
    pub clock_set_back_from: Option<Time>,
}

/// A right and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRight {
    /// The right.
    pub right: Right,
    /// First instant without it; `None` for never.
    pub until: Option<Time>,
}

/// Conditions of a use license that only applications can meet.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// Lists of applications that may, or may not, open the content.
    pub applications: Vec<PolicyList>,
    /// Conditions on the machine, such as excluded versions of an operating system.
    pub machine: Vec<BodyCondition>,
    /// The use license is not kept: the server is asked each time.
    pub ask_every_time: bool,
}

/// Where a use license came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The store.
    Stored,
    /// The server, just now.
    Server,
}

/// Protected content, opened. Reading gives the plain text.
///
/// Padding is checked at the end only, so what is written down before the end was reached must
/// not be kept when reading fails.
pub struct Opened<R> {
    held: Held,
    content: Exported<R>,
}

/// Content whose protection may be removed. Reading gives the plain text.
pub struct Exported<R> {
    content_id: String,
    extension: String,
    length: Option<u64>,
    reader: Decryptor<io::Take<R>>,
}

/// A container of content whose key is not known yet.
pub(crate) struct Sealed<R> {
    file: R,
    header: pfile::Header,
    /// Its PL, as stored.
    pub(crate) license: Vec<u8>,
}

impl Client {
    /// Opens a protected file.
    pub fn open_file(&self, path: &Path) -> Result<Opened<File>, Error> {
        self.open(source_file(path)?)
    }

    /// Opens protected content: verifies its PL, finds or acquires a use license, opens the
    /// content key. Whether the rights suffice for what the caller is about is the caller's
    /// question.
    pub fn open<R: Read + Seek>(&self, file: R) -> Result<Opened<R>, Error> {
        let sealed = Sealed::read(file)?;
        let (license, account, held) = self.license_for(&sealed.license)?;
        let key = trust::open_content_key(UL, license.sealed_key(), account.key())?;
        let content = sealed.open(&key, held.content_id.clone())?;
        Ok(Opened { held, content })
    }

    /// What the caller may do with a protected file, of whatever container, or with a bare
    /// license.
    pub fn rights_of_file(&self, path: &Path) -> Result<Held, Error> {
        let inspection = inspect::open_container(path).map_err(OpenError::from)?;
        let license = inspection.license.ok_or(OpenError::NotProtected)?;
        self.rights(&license)
    }

    /// What the caller may do with the content of a PL, given as stored.
    pub fn rights(&self, license: &[u8]) -> Result<Held, Error> {
        self.license_for(license).map(|(_, _, held)| held)
    }

    /// The content key of a PL, given as stored: for containers that this crate does not read.
    /// Whoever asks for it answers for the rights in [`Held`].
    pub fn content_key(&self, license: &[u8]) -> Result<(ContentKey, Held), Error> {
        let (license, account, held) = self.license_for(license)?;
        Ok((
            trust::open_content_key(UL, license.sealed_key(), account.key())?,
            held,
        ))
    }

    fn license_for(
        &self,
        stored: &[u8],
    ) -> Result<(UseLicense, std::sync::Arc<Account>, Held), Error> {
        let publishing = Publishing::read(stored)?;
        self.in_either_mode(|| self.license_of(&publishing))
    }

    fn license_of(
        &self,
        publishing: &Publishing,
    ) -> Result<(UseLicense, std::sync::Arc<Account>, Held), Error> {
        let moment = self.moment()?;
        let (hierarchy, account) = self.reader()?;
        let wanted = Wanted {
            content_id: publishing.content_id()?,
            sealed_key: publishing.sealed_key()?,
            holder: account.certificate().key(),
            publisher: publishing.license.node().issuer_key(),
            anchors: hierarchy.anchors(),
        };
        let known = license_store::find(self.home(), &account, &wanted)?;
        let usable = known.filter(|license| !license.rights_at(moment.judged()).is_empty());
        let (license, source) = match usable {
            Some(license) => (license, Source::Stored),
            None => (
                self.acquire_license(publishing, &account, &wanted)?,
                Source::Server,
            ),
        };
        check_revocation(&license)?;
        let held = publishing.held(&license, source, &moment)?;
        Ok((license, account, held))
    }

    /// Asks the servers of a PL for a use license, and stores it (MS-RMPR 3.4.4.1).
    fn acquire_license(
        &self,
        publishing: &Publishing,
        account: &Account,
        wanted: &Wanted<'_>,
    ) -> Result<UseLicense, Error> {
        let own_server = account.certificate().node().issuer_key();
        let same_server = own_server.is_some() && own_server == publishing.license.server_key();
        let request = AcquireLicense::single(AcquireLicenseParams {
            licensee_certs: wire_chain(account.chain())?,
            issuance_license: Some(wire_chain(&publishing.path)?),
            application_data: None,
        });
        let operation = request.into();
        let text = self.with_caller(|caller, server| {
            let urls = publishing.license.licensing_urls();
            let endpoints = license_endpoints(
                account.endpoint(Service::License),
                (server, caller.licensing.as_ref().map(|own| &own.server)),
                same_server,
                urls,
                self.license_servers,
            )?;
            let mut unreachable = None;
            for url in endpoints {
                let take = |response: Response<'_>| {
                    let answer = AcquireLicenseResponse::try_from(response)?;
                    Ok(answer.items.into_iter().next().map(|item| match item {
                        LicenseOutcome::License {
                            certificate_chain, ..
                        } => Ok(certificate_chain.concatenated()),
                        LicenseOutcome::Exception(exception) => Err(exception.fault),
                    }))
                };
                match caller.call(&url, Contract::Licensing, &operation, Auth::OnDemand, take) {
                    Ok(Some(Ok(text))) => return Ok(text),
                    Ok(Some(Err(fault))) => return Err(refused(url, fault)),
                    Ok(None) => return Err(ServiceError::Empty { url, what: UL }.into()),
                    Err(error @ ServiceError::Transport(_)) => {
                        unreachable.get_or_insert(error);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Err(unreachable.map_or(
                crate::discovery::DiscoveryError::NoLicenseUrl.into(),
                Error::from,
            ))
        })?;
        let license = license_store::read(&text, wanted)?;
        if !license.must_not_be_cached() {
            let lock = self.home().lock()?;
            license_store::store(&lock, wanted.content_id, wanted.sealed_key, account, &text)?;
        }
        Ok(license)
    }
}

impl<R: Read + Seek> Sealed<R> {
    /// Reads what stands in the clear.
    pub(crate) fn read(mut file: R) -> Result<Self, OpenError> {
        match openrms_formats::detect(&mut file)? {
            openrms_formats::Kind::Pfile => {}
            openrms_formats::Kind::CompoundFile | openrms_formats::Kind::Rpmsg => {
                return Err(OpenError::Unsupported("compound file".into()));
            }
            openrms_formats::Kind::Unknown | openrms_formats::Kind::Pdf => {
                return Err(OpenError::NotProtected);
            }
            _ => return Err(OpenError::Unsupported("loose stream".into())),
        }
        let header = pfile::read_header(&mut file)?;
        let license = header.read_license(&mut file)?;
        Ok(Self {
            file,
            header,
            license,
        })
    }

    /// The content under its key.
    pub(crate) fn open(
        mut self,
        key: &ContentKey,
        content_id: String,
    ) -> Result<Exported<R>, OpenError> {
        let header = self.header;
        let cipher = pfile::effective_cipher(header.version, key.cipher());
        let length = match cipher {
            // The padding tells; writers leave all kinds of numbers in the field.
            Cipher::Cbc4k => None,
            _ => header
                .original_size
                .filter(|&size| size > 0 || header.content_length == 0),
        };
        self.file.seek(SeekFrom::Start(header.content_offset))?;
        let content = self.file.take(header.content_length);
        Ok(Exported {
            content_id,
            length: header.declared_length(),
            extension: header.extension,
            reader: Decryptor::new(&key.with_cipher(cipher), content, length),
        })
    }
}

impl<R> Opened<R> {
    /// What the caller may do.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// Whether a right is held now; OWNER holds every right.
    pub fn may(&self, right: &str) -> bool {
        self.held.may(right)
    }

    /// Extension of the original with its dot, as stored: not safe in a file name.
    pub fn extension(&self) -> &str {
        self.content.extension()
    }

    /// Length of the original in bytes, where the container tells it.
    pub fn length(&self) -> Option<u64> {
        self.content.length()
    }

    /// Demands the right to remove protection.
    pub fn export(self) -> Result<Exported<R>, Denied> {
        if self.may("EXPORT") {
            Ok(self.content)
        } else {
            let held = self
                .held
                .rights
                .into_iter()
                .map(|held| held.right)
                .collect();
            Err(Denied { held })
        }
    }
}

impl<R> Exported<R> {
    /// Identifier of the content.
    pub fn content_id(&self) -> &str {
        &self.content_id
    }

    /// Extension of the original with its dot, as stored: not safe in a file name.
    pub fn extension(&self) -> &str {
        &self.extension
    }

    /// Length of the original in bytes, where the container tells it.
    pub fn length(&self) -> Option<u64> {
        self.length
    }
}

impl<R: Read> Exported<R> {
    /// Writes the original; in constant memory. Answers its length in bytes.
    pub fn copy_to(mut self, out: &mut impl io::Write) -> Result<u64, OpenError> {
        let mut buffer = vec![0; BUFFER];
        let mut length = 0;
        loop {
            let count = self.reader.read(&mut buffer)?;
            let Some(text) = buffer.get(..count).filter(|text| !text.is_empty()) else {
                break;
            };
            out.write_all(text)?;
            length += count as u64;
        }
        out.flush()?;
        Ok(length)
    }
}

impl<R: Read> Read for Opened<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.content.read(to)
    }
}

impl<R: Read> Read for Exported<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.reader.read(to)
    }
}

impl Held {
    /// Whether a right is held now; OWNER holds every right.
    pub fn may(&self, right: &str) -> bool {
        let wanted = Right::new(right);
        self.rights
            .iter()
            .any(|held| held.right.is_owner() || held.right == wanted)
    }
}

impl<R> fmt::Debug for Opened<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({:?})", self.held)
    }
}

impl<R> fmt::Debug for Exported<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exported({:?})", self.content_id)
    }
}

/// A PL as it was stored with content, verified.
pub(crate) struct Publishing {
    pub(crate) license: PublishingLicense<SharedNode>,
    /// PL and, off line, CLC.
    pub(crate) path: Vec<SharedNode>,
}

impl Publishing {
    /// Every node's signature must hold, and the PL must be signed by the server that it names or
    /// by a CLC of that server. Whether that server is trusted shows when it answers.
    pub(crate) fn read(stored: &[u8]) -> Result<Self, TrustError> {
        let what = PL;
        let (text, _) = text::decode(stored).map_err(|e| trust::malformed(what)(e.into()))?;
        let nodes = trust::read(what, &text)?;
        let license =
            PublishingLicense::new(trust::leaf(what, &nodes)?).map_err(trust::malformed(what))?;
        let path = trust::walk(what, &nodes, None, |key| license.server_key() == Some(key))?;
        Ok(Self { license, path })
    }

    pub(crate) fn content_id(&self) -> Result<&str, LicenseError> {
        self.license
            .content_id()
            .filter(|id| !id.is_empty())
            .ok_or(LicenseError::NoContentId)
    }

    fn sealed_key(&self) -> Result<&EnablingBits, TrustError> {
        let missing = || trust::malformed(PL)(XrmlError::Missing("PRINCIPAL/ENABLINGBITS"));
        self.license.sealed_key().ok_or_else(missing)
    }

    fn held(&self, license: &UseLicense, source: Source, moment: &Moment) -> Result<Held, Error> {
        let at = moment.judged();
        let rights: Vec<HeldRight> = license
            .held_at(at)
            .map(|(right, until)| HeldRight {
                right: right.clone(),
                until,
            })
            .collect();
        if rights.is_empty() {
            if let Some(newest) = moment.set_back_from
                && !license.rights_at(moment.now).is_empty()
            {
                return Err(OpenError::ClockSetBack {
                    now: moment.now,
                    newest,
                }
                .into());
            }
            let until = license_store::last_end(license).filter(|&until| until <= at);
            return Err(OpenError::NoRightNow { at, until }.into());
        }
        let descriptor = self.license.node().content().descriptor.as_ref();
        let names = descriptor
            .and_then(|object| object.name.as_deref())
            .map(parse_names);
        Ok(Held {
            content_id: self.content_id()?.to_owned(),
            policy_id: self.license.policy_id(),
            names: names.unwrap_or_default(),
            owner: self.license.owner().and_then(|owner| owner.name.clone()),
            account: license.account().email.clone(),
            until: rights.iter().filter_map(|held| held.until).min(),
            rights,
            conditions: Conditions {
                applications: license.policy_lists().to_vec(),
                machine: license.conditions().to_vec(),
                ask_every_time: license.must_not_be_cached(),
            },
            source,
            clock_set_back_from: moment.set_back_from,
        })
    }
}

/// A protected file.
pub(crate) fn source_file(path: &Path) -> Result<File, OpenError> {
    File::open(path).map_err(|source| OpenError::Source {
        path: path.to_owned(),
        source,
    })
}

/// Unknown means no: a list that was not looked at may name this very license.
fn check_revocation(license: &UseLicense) -> Result<(), OpenError> {
    let work = license.node().content().work.as_ref();
    match work.and_then(|work| work.revocation_raw.as_ref()) {
        Some(_) => Err(OpenError::RevocationListNeeded),
        None => Ok(()),
    }
}

fn refused(url: String, fault: Fault) -> Error {
    ServiceError::Fault { url, fault }.into()
}

const UL: &str = "use license";
const PL: &str = "publishing license";
const BUFFER: usize = 256 << 10;
