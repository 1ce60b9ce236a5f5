//! Official rights templates: kept in step with the server's, found by GUID or by name
//! (MS-RMPR 3.8.4.2, 3.4.4.2, 3.4.4.3).

use std::fs;
use std::path::{Path, PathBuf};

use openrms_crypto::PublicKey;
use openrms_protocol::templates::{
    AcquireTemplateInformation, AcquireTemplateInformationResponse, AcquireTemplates,
    AcquireTemplatesResponse, TEMPLATES_PER_ANSWER,
};
use openrms_protocol::{Contract, Feature, Response, Service};
use openrms_xrml::issuing::ServerLicensorCertificate;
use openrms_xrml::names::LocalizedName;
use openrms_xrml::rights_data::RightsData;
use openrms_xrml::values::encode_base64;
use openrms_xrml::{Guid, Time};

use crate::client::Client;
use crate::error::{Class, Coded, Error};
use crate::machine_settings::read_bounded;
use crate::policy::TemplateName;
use crate::service::Auth;
use crate::storage::Home;
use crate::trust::{self, TrustError};

/// A template whose signature holds.
#[derive(Debug, Clone)]
pub struct Template {
    id: Guid,
    text: String,
    rights: RightsData,
}

/// What a synchronization changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Synced {
    /// New or changed.
    pub fetched: Vec<Guid>,
    /// As they were.
    pub unchanged: usize,
    /// Gone from the server, and from here.
    pub removed: Vec<String>,
}

/// What is wrong with templates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No such template.
    #[error("there is no template {0:?}")]
    NotFound(String),
    /// Several templates have that name.
    #[error("several templates are called {name:?}: {}", ids.join(", "))]
    Ambiguous {
        /// The name.
        name: String,
        /// Their GUIDs.
        ids: Vec<String>,
    },
    /// Signed by another server than the one that will license the content.
    #[error("the template {0} is not of the server that will license the content")]
    OtherServer(Guid),
    /// The folder that the machine's settings name.
    #[error("the templates in {} cannot be read: {reason}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The server's answer does not hold together.
    #[error("the server's template {id} is not what it announced: {reason}")]
    Announced {
        /// Its GUID as announced.
        id: String,
        /// What differs.
        reason: &'static str,
    },
}

impl Coded for TemplateError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "template-not-found",
            Self::Ambiguous { .. } => "template-ambiguous",
            Self::OtherServer(_) => "template-of-other-server",
            Self::Announced { .. } => "template-untrusted",
            Self::Folder { .. } => "templates-not-readable",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::NotFound(_) | Self::Folder { .. } => Class::Failed,
            Self::Ambiguous { .. } => Class::Usage,
            Self::OtherServer(_) | Self::Announced { .. } => Class::NotTrusted,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound(_) => Some("rms templates sync fetches them; list shows them".into()),
            Self::Ambiguous { .. } => Some("give the GUID".into()),
            Self::OtherServer(_) => Some("rms templates sync".into()),
            Self::Folder { .. } => {
                Some("it is for whoever looks after this machine to correct".into())
            }
            Self::Announced { .. } => None,
        }
    }
}

impl Template {
    /// Reads a template and verifies its signature.
    fn read(text: String) -> Result<Self, TrustError> {
        let rights = RightsData::parse(&text).map_err(trust::malformed(WHAT))?;
        if !rights.is_official() {
            return Err(TrustError::Mismatch {
                what: WHAT,
                field: "kind",
            });
        }
        let verified = rights.node().clone().verify();
        verified.map_err(|source| TrustError::Signature { what: WHAT, source })?;
        let id = rights.policy_id().ok_or(TrustError::Mismatch {
            what: WHAT,
            field: "GUID",
        })?;
        Ok(Self { id, text, rights })
    }

    /// Its GUID.
    pub fn id(&self) -> Guid {
        self.id
    }

    /// Names and descriptions by language.
    pub fn names(&self) -> Vec<LocalizedName> {
        self.rights.names()
    }

    /// The name and description in a language, else in English, else the first.
    pub fn name_in(&self, lcid: u32) -> Option<LocalizedName> {
        let names = self.names();
        let find = |wanted: u32| names.iter().find(|name| name.lcid == wanted);
        find(lcid)
            .or_else(|| find(ENGLISH))
            .or(names.first())
            .cloned()
    }

    /// When it was signed.
    pub fn issued(&self) -> Time {
        self.rights.node().content().issued
    }

    /// What it grants.
    pub fn rights(&self) -> &RightsData {
        &self.rights
    }

    /// The signed text.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn issuer_key(&self) -> Option<&PublicKey> {
        self.rights.node().issuer_key()
    }

    /// The VALUE of DIGEST in the SIGNATURE: what servers announce.
    fn hash(&self) -> String {
        let signature = self.rights.node().signature();
        signature
            .map(|s| encode_base64(s.digest.as_bytes()))
            .unwrap_or_default()
    }
}

impl Client {
    /// The templates in the store and those that the administrator of the machine keeps, by name.
    pub fn templates(&self) -> Result<Vec<Template>, Error> {
        let mut templates = self.known_templates()?;
        let key = |template: &Template| {
            (
                template
                    .name_in(ENGLISH)
                    .map(|name| name.name.to_lowercase()),
                template.id,
            )
        };
        templates.sort_by_key(key);
        Ok(templates)
    }

    /// Finds a template; `server` is the key by which it must be signed.
    pub fn template(
        &self,
        name: &TemplateName,
        server: Option<&PublicKey>,
    ) -> Result<Template, Error> {
        let mut found = self.known_templates()?;
        found.retain(|template| match name {
            TemplateName::Id(id) => template.id == *id,
            TemplateName::Name(wanted) => {
                let wanted = wanted.to_lowercase();
                template
                    .names()
                    .iter()
                    .any(|name| name.name.trim().to_lowercase() == wanted)
            }
        });
        let text = || match name {
            TemplateName::Id(id) => id.to_string(),
            TemplateName::Name(name) => name.clone(),
        };
        if found.len() > 1 {
            let ids = found
                .iter()
                .map(|template| template.id.to_string())
                .collect();
            return Err(TemplateError::Ambiguous { name: text(), ids }.into());
        }
        let template = found.pop().ok_or_else(|| TemplateError::NotFound(text()))?;
        match server {
            Some(server) if template.issuer_key() != Some(server) => {
                Err(TemplateError::OtherServer(template.id).into())
            }
            _ => Ok(template),
        }
    }

    /// Fetches what is new or changed at the server, 25 at a time, and deletes what is gone. Each
    /// template must be signed by the server, whose certificate must lead to an anchor.
    pub fn sync_templates(&self) -> Result<Synced, Error> {
        self.check_ever(Feature::TemplateDistribution)?;
        let hierarchy = self.hierarchy()?;
        let slc = self.server_certificate(Service::LicensingServer, hierarchy.anchors())?;
        let slc = ServerLicensorCertificate::new(trust::leaf("server", &slc)?)
            .map_err(trust::malformed("server licensor certificate"))?;
        let information = self.ask_information()?;
        if information.server_public_key != slc.key().to_pkcs1_der() {
            return Err(TrustError::KeyMismatch {
                what: "template information",
            }
            .into());
        }
        let have = stored(self.home())?;
        let mut synced = Synced::default();
        let mut wanted = Vec::new();
        let mut keep = Vec::new();
        for announced in &information.templates {
            let current = have.iter().find(|template| {
                announced.guid.parse() == Ok(template.id)
                    && template.hash() == announced.hash
                    && template.issuer_key() == Some(slc.key())
            });
            match current {
                Some(template) => {
                    synced.unchanged += 1;
                    keep.push(file_of(template.id));
                }
                None => wanted.push(announced),
            }
        }
        for some in wanted.chunks(TEMPLATES_PER_ANSWER) {
            let guids = some
                .iter()
                .map(|announced| announced.guid.clone())
                .collect();
            let answer = self.ask_templates(AcquireTemplates { guids })?;
            for announced in some {
                let found = answer
                    .templates
                    .iter()
                    .find(|t| same_guid(&t.guid, &announced.guid));
                // One that was unpublished meanwhile comes back without text.
                let Some(text) = found.and_then(|found| found.template.clone()) else {
                    continue;
                };
                let template = Template::read(text)?;
                let wrong = |reason| TemplateError::Announced {
                    id: announced.guid.clone(),
                    reason,
                };
                if template.issuer_key() != Some(slc.key()) {
                    return Err(wrong("signed by another key").into());
                }
                if announced.guid.parse() != Ok(template.id) {
                    return Err(wrong("another GUID").into());
                }
                if template.hash() != announced.hash {
                    return Err(wrong("another hash").into());
                }
                let name = file_of(template.id);
                self.home()
                    .lock()?
                    .write(&in_folder(&name), template.text.as_bytes())?;
                synced.fetched.push(template.id);
                keep.push(name);
            }
        }
        let lock = self.home().lock()?;
        for name in self.home().list(FOLDER)? {
            if !keep.contains(&name) {
                lock.remove(&in_folder(&name))?;
                synced
                    .removed
                    .push(name.trim_end_matches(".xml").to_owned());
            }
        }
        Ok(synced)
    }

    /// The person's, and the machine's; of two with one GUID the one that was signed later.
    fn known_templates(&self) -> Result<Vec<Template>, Error> {
        let mut known = stored(self.home())?;
        let Some(folder) = self.discovery.machine.templates() else {
            return Ok(known);
        };
        for template in placed(folder)? {
            match known.iter_mut().find(|own| own.id == template.id) {
                Some(own) if own.issued() < template.issued() => *own = template,
                Some(_) => {}
                None => known.push(template),
            }
        }
        Ok(known)
    }

    fn ask_information(&self) -> Result<AcquireTemplateInformationResponse, Error> {
        let (ask, contract) = (AcquireTemplateInformation.into(), CONTRACT);
        self.ask_licensing(Service::TemplateDistribution, |caller, url| {
            let take = |r: Response<'_>| AcquireTemplateInformationResponse::try_from(r);
            caller.call(&url, contract, &ask, Auth::OnDemand, take)
        })
    }

    fn ask_templates(&self, ask: AcquireTemplates) -> Result<AcquireTemplatesResponse, Error> {
        let (ask, contract) = (ask.into(), CONTRACT);
        self.ask_licensing(Service::TemplateDistribution, |caller, url| {
            let take = |r: Response<'_>| AcquireTemplatesResponse::try_from(r);
            caller.call(&url, contract, &ask, Auth::OnDemand, take)
        })
    }
}

/// Templates in the store; what cannot be read is left out, and fetched again by the next
/// synchronization.
fn stored(home: &Home) -> Result<Vec<Template>, Error> {
    let mut templates = Vec::new();
    for name in home.list(FOLDER)? {
        if let Ok(Some(text)) = home.read_text(&in_folder(&name))
            && let Ok(template) = Template::read(text)
        {
            templates.push(template);
        }
    }
    Ok(templates)
}

/// Templates in the folder that an administrator keeps; what cannot be read is left out.
fn placed(folder: &Path) -> Result<Vec<Template>, TemplateError> {
    let unreadable = |source: std::io::Error| TemplateError::Folder {
        path: folder.to_owned(),
        reason: source.to_string(),
    };
    let mut templates = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)?.take(MOST_PLACED) {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|name| name == "xml")
            && let Ok(Some(text)) = read_bounded(&path, LARGEST_PLACED)
            && let Ok(template) = Template::read(text)
        {
            templates.push(template);
        }
    }
    Ok(templates)
}

fn same_guid(a: &str, b: &str) -> bool {
    matches!((a.parse::<Guid>(), b.parse::<Guid>()), (Ok(a), Ok(b)) if a == b)
}

fn file_of(id: Guid) -> String {
    format!("{}.xml", id.0.hyphenated())
}

fn in_folder(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

const CONTRACT: Contract = Contract::TemplateDistribution;
const WHAT: &str = "template";
const FOLDER: &str = "templates";
const ENGLISH: u32 = 1033;
/// Files that are looked at in a folder of templates.
const MOST_PLACED: usize = 4096;
/// More than a template with names in all languages.
const LARGEST_PLACED: u64 = 1 << 20;
