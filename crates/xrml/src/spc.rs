//! Security processor certificate: one per person and machine (MS-RMPR 2.2.9.4).

use openrms_crypto::rsa::KeyError;
use openrms_crypto::{Digest, HashAlgorithm, PrivateKey, PublicKey};

use crate::chain::SharedNode;
use crate::error::XrmlError;
use crate::node::Kind;
use crate::time::Time;
use crate::values::{Guid, Object, SecurityLevel};
use crate::writer::{Hand, Identity, Xml, sign};

/// What goes into an SPC.
#[derive(Debug, Clone)]
pub struct SpcRequest {
    /// The certificate's own identifier.
    pub id: Guid,
    /// Instant of activation.
    pub issued: Time,
    /// The SPC issuer.
    pub issuer: Identity,
    /// Where activation happened.
    pub location: ActivationLocation,
    /// Identifier of the machine.
    pub machine: Guid,
    /// The security processor's public key.
    pub key: PublicKey,
    /// Hash of what identifies the hardware.
    pub hardware: Digest,
    /// Version of the platform.
    pub platform: String,
    /// Who made the security processor.
    pub manufacturer: String,
    /// Version of the security processor: its last word is a four-part version number.
    pub repository: String,
}

/// Where a machine was activated (MS-RMPR 2.2.9.4.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActivationLocation {
    /// On the machine itself, as since Service Pack 1: a file URL.
    Machine(String),
    /// By an activation service, for clients of version 1.0: its URL.
    Service(String),
}

/// A verified SPC.
#[derive(Debug, Clone)]
pub struct SecurityProcessorCertificate {
    node: SharedNode,
    key: PublicKey,
    machine_raw: String,
    levels: Vec<SecurityLevel>,
}

impl SpcRequest {
    /// Signs the certificate with the SPC issuer's key.
    pub fn sign(&self, key: &dyn PrivateKey, hash: HashAlgorithm) -> Result<String, KeyError> {
        let guid = |kind: &'static str, id: Guid| Object {
            kind: Some(kind.into()),
            id_type: "MS-GUID".into(),
            id: id.to_upper(),
            ..Object::default()
        };
        let descriptor =
            guid("Machine-Certificate", self.id).named("Microsoft Machine-Certificate");
        let location = Object {
            kind: Some("Activation".into()),
            id_type: "MS-GUID".into(),
            id: ACTIVATION_GUID.into(),
            ..Object::default()
        }
        .named(self.location.name())
        .at(self.location.url());
        let hand = self.location.hand();
        let machine = guid("Machine-Unique-Identifier", self.machine).named("Machine");
        let mut xml = Xml::by(hand);
        xml.raw(r#"<BODY type="LICENSE" version="3.0">"#)
            .issued(self.issued)
            .descriptor(&descriptor)
            .raw(&self.issuer.issuer())
            .distribution_point(&location)
            .raw("<ISSUEDPRINCIPALS><PRINCIPAL>")
            .object(&machine)
            .public_key(&self.key)
            .digest(&self.hardware)
            .security_levels(&[
                SecurityLevel::new("Platform", &self.platform),
                SecurityLevel::new("Manufacturer", &self.manufacturer),
                SecurityLevel::new("Repository", &self.repository),
            ])
            .raw("</PRINCIPAL></ISSUEDPRINCIPALS></BODY>");
        sign(hand, false, &xml.finish(), key, hash)
    }
}

impl ActivationLocation {
    fn name(&self) -> &'static str {
        match self {
            Self::Machine(_) => "Microsoft Activation",
            Self::Service(_) => "Microsoft Activation Server",
        }
    }

    fn url(&self) -> &str {
        match self {
            Self::Machine(url) | Self::Service(url) => url,
        }
    }

    /// In whose hand the SPC is written.
    fn hand(&self) -> Hand {
        match self {
            Self::Machine(_) => Hand::Client,
            Self::Service(_) => Hand::Server,
        }
    }
}

impl SecurityProcessorCertificate {
    /// Reads an SPC.
    pub fn new(node: SharedNode) -> Result<Self, XrmlError> {
        node.expect(Kind::SecurityProcessorCertificate)?;
        let principal = node
            .content()
            .principal
            .as_ref()
            .ok_or(XrmlError::Missing("ISSUEDPRINCIPALS"))?;
        let key = principal
            .key
            .clone()
            .ok_or(XrmlError::Missing("PRINCIPAL/PUBLICKEY"))?;
        for name in ["Platform", "Manufacturer", "Repository"] {
            if principal.security_level(name).is_none() {
                return Err(XrmlError::Missing(name));
            }
        }
        let machine_raw = node.slice(&principal.object_raw).to_owned();
        let levels = principal.security_levels.clone();
        Ok(Self {
            node,
            key,
            machine_raw,
            levels,
        })
    }

    /// The certificate.
    #[must_use]
    pub fn node(&self) -> &SharedNode {
        &self.node
    }

    /// The security processor's public key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The machine's OBJECT, verbatim.
    #[must_use]
    pub fn machine_raw(&self) -> &str {
        &self.machine_raw
    }

    /// Platform, Manufacturer and Repository.
    #[must_use]
    pub fn security_levels(&self) -> &[SecurityLevel] {
        &self.levels
    }

    /// Version of the security processor, for the lockbox exclusion policy: the four-part number
    /// in the Repository level; `None` when it has none.
    pub fn repository_version(&self) -> Option<[u32; 4]> {
        let text = &self
            .levels
            .iter()
            .find(|level| level.name == "Repository")?
            .value;
        text.split_whitespace().rev().find_map(parse_version)
    }
}

/// Reads a four-part version such as `6.1.7600.16385`.
#[must_use]
pub fn parse_version(text: &str) -> Option<[u32; 4]> {
    let mut parts = text.split('.');
    let mut version = [0; 4];
    for slot in &mut version {
        *slot = parts.next()?.parse().ok()?;
    }
    parts.next().is_none().then_some(version)
}

const ACTIVATION_GUID: &str = "{99F48562-703E-4E7D-9175-DD69C66921B7}";
