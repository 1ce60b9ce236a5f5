//! The hierarchy a client belongs to: the keys it trusts, and the SPC issuer by which it activates
//! itself (MS-RMPR 3.8.3.1). It comes in files or from the cluster.

use std::path::PathBuf;
use std::sync::Arc;

use openrms_crypto::{Mode, PrivateKey as _, SoftwareKey};
use openrms_xrml::anchors::Anchors;
use openrms_xrml::issuing::issue_range;
use openrms_xrml::{Identity, Interval, SharedNode, Time, XrmlError};
use serde::Deserialize;

use crate::error::{Class, Coded};
use crate::machine_settings::MachineSettingsError;
use crate::service::ServiceError;
use crate::storage::{Home, Lock, StorageError};
use crate::trust::{self, TrustError};
use crate::url::ServerUrl;

/// Anchors and SPC issuer, verified against each other.
#[derive(Debug, Clone)]
pub struct Hierarchy {
    anchors: Anchors,
    issuer_key: Arc<SoftwareKey>,
    issuer_chain: Vec<SharedNode>,
    issuer: Identity,
}

/// Whether a hierarchy that a server hands out may be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinPolicy {
    /// Only the anchor with this fingerprint (hexadecimal, 32 digits; blanks and colons do not
    /// count). Other anchors in the bundle are left out.
    Pinned(String),
    /// Whatever the server says, the first time, over a private connection. A second hierarchy is
    /// never believed this way.
    TrustOnFirstUse,
}

/// What a cluster hands out to its clients: `GET {server}/.well-known/openrms/client`.
#[derive(Debug, Clone, Deserialize)]
pub struct Bundle {
    /// Base URL of the cluster, as it calls itself.
    pub server: String,
    /// Name for people.
    #[serde(default)]
    pub name: String,
    /// The anchors' exchange file.
    pub anchors_xml: String,
    /// The SPC issuer's private key, PKCS#8 PEM. No secret: every client has it.
    pub spc_issuer_key_pem: String,
    /// The SPC issuer's chain, leaf first, concatenated.
    pub spc_issuer_chain: String,
}

/// A hierarchy was joined, or was joined already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The server asked, or configured.
    pub server: ServerUrl,
    /// What the cluster calls itself; empty for files.
    pub name: String,
    /// Names and fingerprints of the anchors trusted from now on.
    pub anchors: Vec<(String, String)>,
    /// Fingerprint of the SPC issuer's key.
    pub spc_issuer: String,
    /// False when it was known already.
    pub changed: bool,
}

/// Why a hierarchy is not joined or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HierarchyError {
    /// None was joined yet.
    #[error("no hierarchy was joined yet")]
    Unknown,
    /// Another hierarchy was joined before.
    #[error("the server now hands out another hierarchy (anchor {found}) than the one joined")]
    Changed {
        /// Fingerprint of the new anchor.
        found: String,
    },
    /// No anchor in the bundle has the pinned fingerprint.
    #[error("no anchor has the fingerprint {pinned}; found {}", found.join(", "))]
    NotPinned {
        /// What was demanded.
        pinned: String,
        /// What there is.
        found: Vec<String>,
    },
    /// Nothing can be believed over a connection that others can change.
    #[error("trust on first use needs TLS or a server on this machine, not {0}")]
    NotPrivate(ServerUrl),
    /// The machine's administrator placed another one.
    #[error("{server} hands out another hierarchy (anchor {found}) than {} holds for everybody on this \
             machine", file.display())]
    Fixed {
        /// Whose.
        server: ServerUrl,
        /// Fingerprint of its anchor.
        found: String,
        /// The administrator's file.
        file: PathBuf,
    },
    /// The administrator's file cannot be read.
    #[error("the hierarchy in {} cannot be used: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Nor that file itself.
    #[error(transparent)]
    Place(MachineSettingsError),
    /// What signs the certificates of machines has expired, or is for later.
    #[error("this hierarchy certifies machines from {} to {} UTC only", range.from, range.until)]
    IssuerExpired {
        /// When it may.
        range: Interval,
        /// Whether that is over.
        is_over: bool,
    },
    /// No anchors.
    #[error("there is no trust anchor")]
    NoAnchors,
    /// The anchors' file cannot be read.
    #[error("the trust anchors cannot be read: {0}")]
    Anchors(XrmlError),
    /// The SPC issuer's key cannot be read.
    #[error("the SPC issuer's key cannot be read: {0}")]
    Key(String),
    /// The bundle cannot be read.
    #[error("the client bundle of {server} cannot be read: {reason}")]
    Bundle {
        /// Whose.
        server: ServerUrl,
        /// What is wrong.
        reason: String,
    },
    /// The server hands out no bundle.
    #[error("{server} hands out no client bundle (HTTP {status})")]
    NoBundle {
        /// Which.
        server: ServerUrl,
        /// Status.
        status: u16,
    },
    /// Issuer chain and anchors do not fit together.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The server could not be asked.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The store.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Coded for HierarchyError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "hierarchy-unknown",
            Self::Changed { .. } => "hierarchy-changed",
            Self::NotPinned { .. } => "hierarchy-not-pinned",
            Self::NotPrivate(_) => "hierarchy-not-private",
            Self::Fixed { .. } => "hierarchy-set-by-machine",
            Self::File { .. } => "hierarchy-file-malformed",
            Self::Place(error) => error.code(),
            Self::IssuerExpired { is_over: true, .. } => "spc-issuer-expired",
            Self::IssuerExpired { .. } => "spc-issuer-not-yet-valid",
            Self::NoAnchors => "hierarchy-no-anchors",
            Self::Anchors(_) => "hierarchy-anchors-malformed",
            Self::Key(_) => "hierarchy-key-malformed",
            Self::Bundle { .. } => "client-bundle-malformed",
            Self::NoBundle { .. } => "client-bundle-missing",
            Self::Trust(error) => error.code(),
            Self::Service(error) => error.code(),
            Self::Storage(error) => error.code(),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Unknown
            | Self::Changed { .. }
            | Self::NotPinned { .. }
            | Self::NotPrivate(_)
            | Self::Fixed { .. }
            | Self::IssuerExpired { .. }
            | Self::NoAnchors => Class::NotTrusted,
            Self::Place(error) => error.class(),
            Self::File { .. } | Self::Anchors(_) | Self::Key(_) | Self::Bundle { .. } => {
                Class::Malformed
            }
            Self::NoBundle { .. } => Class::Unreachable,
            Self::Trust(error) => error.class(),
            Self::Service(error) => error.class(),
            Self::Storage(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown => Some("say where the service is: rms init --server URL".into()),
            Self::Changed { .. } => {
                Some("ask your administrator; then join again with the new fingerprint".into())
            }
            Self::NotPinned { .. } => {
                Some("compare the fingerprint with your administrator's".into())
            }
            Self::NotPrivate(_) => Some("use https, or give the anchor's fingerprint".into()),
            Self::Fixed { .. } => Some(
                "whoever looks after this machine decides whom it trusts; leave that server out"
                    .into(),
            ),
            Self::File { .. } => {
                Some("it is for whoever looks after this machine to correct".into())
            }
            Self::Place(error) => error.hint(),
            Self::IssuerExpired { is_over: true, .. } => Some(
                "your administrator makes another one and hands it out: rms init, or the file of \
                 the hierarchy on this machine"
                    .into(),
            ),
            Self::IssuerExpired { .. } => Some("check the clock of this machine".into()),
            Self::NoBundle { .. } => {
                Some("give the anchors, key and chain as files, or check the URL".into())
            }
            Self::Trust(error) => error.hint(),
            Self::Service(error) => error.hint(),
            Self::Storage(error) => error.hint(),
            _ => None,
        }
    }
}

impl Hierarchy {
    /// A hierarchy from its three files: anchors' exchange file, SPC issuer's key (PKCS#8 PEM),
    /// SPC issuer's chain (leaf first, concatenated). The chain must lead to an anchor and be that
    /// of the key.
    pub fn from_parts(anchors: &str, key_pem: &str, chain: &str) -> Result<Self, HierarchyError> {
        let anchors = Anchors::from_xml(anchors).map_err(HierarchyError::Anchors)?;
        Self::new(anchors, key_pem, chain)
    }

    fn new(anchors: Anchors, key_pem: &str, chain: &str) -> Result<Self, HierarchyError> {
        if anchors.is_empty() {
            return Err(HierarchyError::NoAnchors);
        }
        let key = SoftwareKey::from_pem(key_pem).map_err(|e| HierarchyError::Key(e.to_string()))?;
        let issuer_chain = trust::read_trusted(WHAT, chain, None, &anchors)?;
        let leaf = trust::leaf(WHAT, &issuer_chain)?;
        let issuer = Identity::of_principal(&leaf).ok_or_else(|| {
            trust::malformed(WHAT)(XrmlError::Missing("ISSUEDPRINCIPALS/PRINCIPAL/PUBLICKEY"))
        })?;
        if issuer.key() != key.public() {
            return Err(TrustError::KeyMismatch { what: WHAT }.into());
        }
        Ok(Self {
            anchors,
            issuer_key: Arc::new(key),
            issuer_chain,
            issuer,
        })
    }

    /// A hierarchy from a cluster's bundle, as far as the policy believes it.
    pub fn from_bundle(bundle: &Bundle, policy: &JoinPolicy) -> Result<Self, HierarchyError> {
        let mut anchors =
            Anchors::from_xml(&bundle.anchors_xml).map_err(HierarchyError::Anchors)?;
        if let JoinPolicy::Pinned(fingerprint) = policy {
            let pinned: String = fingerprint
                .chars()
                .filter(|c| !c.is_whitespace() && *c != ':')
                .map(|c| c.to_ascii_lowercase())
                .collect();
            let found = anchors
                .iter()
                .map(|anchor| anchor.key.fingerprint_hex())
                .collect();
            let kept = anchors
                .iter()
                .filter(|anchor| anchor.key.fingerprint_hex() == pinned);
            anchors = Anchors::new(kept.cloned());
            if anchors.is_empty() {
                return Err(HierarchyError::NotPinned { pinned, found });
            }
        }
        Self::new(
            anchors,
            &bundle.spc_issuer_key_pem,
            &bundle.spc_issuer_chain,
        )
    }

    /// The same anchors, with the SPC issuer of a cluster's bundle, which must lead to them. Other
    /// anchors in the bundle do not count.
    pub(crate) fn activating_by(&self, bundle: &Bundle) -> Result<Self, HierarchyError> {
        Self::new(
            self.anchors.clone(),
            &bundle.spc_issuer_key_pem,
            &bundle.spc_issuer_chain,
        )
    }

    /// Reads the stored hierarchy; `None` when none was joined. Half of one counts as none.
    pub fn load(home: &Home) -> Result<Option<Self>, HierarchyError> {
        let files = [ANCHORS_FILE, KEY_FILE, CHAIN_FILE].map(|name| home.read_text(name));
        let [anchors, key, chain] = files;
        match (anchors?, key?, chain?) {
            (Some(anchors), Some(key), Some(chain)) => {
                Self::from_parts(&anchors, &key, &chain).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Stores it. The anchors go first and come last, so that a reader never finds the anchors of
    /// one hierarchy with the issuer of another.
    pub fn store(&self, lock: &Lock<'_>) -> Result<(), HierarchyError> {
        lock.remove(ANCHORS_FILE)?;
        lock.write(KEY_FILE, self.issuer_key.to_pem().expose())?;
        lock.write(
            CHAIN_FILE,
            trust::concatenated(&self.issuer_chain).as_bytes(),
        )?;
        lock.write(ANCHORS_FILE, self.anchors.to_xml().as_bytes())?;
        Ok(())
    }

    /// The keys that are trusted.
    pub fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    /// Names and fingerprints of the anchors.
    pub fn fingerprints(&self) -> Vec<(String, String)> {
        let pair = |a: &openrms_xrml::anchors::Anchor| (a.name.clone(), a.key.fingerprint_hex());
        self.anchors.iter().map(pair).collect()
    }

    /// The fingerprint that stands for it in messages.
    pub(crate) fn first_fingerprint(&self) -> String {
        let first = self.anchors.iter().next();
        first
            .map(|anchor| anchor.key.fingerprint_hex())
            .unwrap_or_default()
    }

    /// The SPC issuer as it is named in SPCs.
    pub fn issuer(&self) -> &Identity {
        &self.issuer
    }

    /// The SPC issuer's key.
    pub(crate) fn issuer_key(&self) -> &SoftwareKey {
        &self.issuer_key
    }

    /// The SPC issuer's chain, leaf first.
    pub(crate) fn issuer_chain(&self) -> &[SharedNode] {
        &self.issuer_chain
    }

    /// Mode of the machines in it: that of the SPC issuer's key.
    pub fn mode(&self) -> Mode {
        trust::mode_of(self.issuer.key())
    }

    /// Refuses to certify a machine when the SPC issuer may not: nobody would believe it.
    pub(crate) fn check_issuer_at(&self, now: Time) -> Result<(), HierarchyError> {
        let Some(leaf) = self.issuer_chain.first() else {
            return Ok(());
        };
        let limits = [issue_range(leaf), leaf.content().validity];
        match limits
            .into_iter()
            .flatten()
            .find(|range| !range.contains(now))
        {
            Some(range) => Err(HierarchyError::IssuerExpired {
                range,
                is_over: now >= range.until,
            }),
            None => Ok(()),
        }
    }

    /// Whether it is what became of the other one when its cluster went over to mode 2.
    pub(crate) fn follows(&self, other: &Self) -> bool {
        self.anchors == other.anchors && (self.mode(), other.mode()) == (Mode::Two, Mode::One)
    }

    /// Whether both trust the same keys and activate by the same issuer.
    pub fn is_same(&self, other: &Self) -> bool {
        self.anchors == other.anchors && self.issuer.key() == other.issuer.key()
    }
}

const WHAT: &str = "SPC issuer certificate";
const ANCHORS_FILE: &str = "hierarchy/anchors.xml";
const KEY_FILE: &str = "hierarchy/spc-issuer.pem";
const CHAIN_FILE: &str = "hierarchy/spc-issuer-chain.xml";
/// Where a cluster hands out its bundle, below its base URL.
pub const BUNDLE_PATH: &str = "/.well-known/openrms/client";
