//! Issuing certificates: SLC, enrollment service, SPC issuer and the CAs above them
//! (MS-RMPR 2.2.9.3).

use openrms_crypto::rsa::KeyError;
use openrms_crypto::{HashAlgorithm, PrivateKey, PublicKey};

use crate::chain::{
    CERTIFICATE_AUTHORITY, SECURITY_PROCESSOR, SECURITY_PROCESSOR_AUTHORITY, SERVER, SharedNode,
    activates,
};
use crate::error::XrmlError;
use crate::node::{Kind, Node};
use crate::rights::Right;
use crate::time::{Interval, Time};
use crate::values::{Guid, Object, SecurityLevel};
use crate::writer::{Hand, Identity, Xml, sign};

/// Which issuing certificate: it decides types of descriptor, issuer and principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IssuingRole {
    /// CA certificate, issued by the root key.
    Ca,
    /// Enrollment CA, issued by the CA.
    EnrollmentCa,
    /// Enrollment service, issued by the enrollment CA.
    EnrollmentService,
    /// SLC of a server, issued by an enrollment service or, sub-enrolled, by a root cluster.
    ServerLicensor,
    /// Intermediate security processor CA, issued by the CA.
    IntermediateSecurityProcessorCa,
    /// Security processor CA, issued by the intermediate one.
    SecurityProcessorCa,
    /// SPC issuer, whose key every client holds; issued by the security processor CA.
    SpcIssuer,
    /// Activation service, which signs the SPCs of clients of version 1.0; issued by the security
    /// processor CA. Its name is [`crate::chain::MACHINE_ACTIVATION`].
    MachineActivation,
}

/// What goes into an issuing certificate.
#[derive(Debug, Clone)]
pub struct IssuingCertificate {
    /// Role of the certified key.
    pub role: IssuingRole,
    /// The certificate's own identifier.
    pub id: Guid,
    /// Instant of issue.
    pub issued: Time,
    /// VALIDITYTIME, optional.
    pub validity: Option<Interval>,
    /// Who signs.
    pub issuer: Identity,
    /// Whose key is certified.
    pub principal: Identity,
    /// When the certified key may issue.
    pub range: Interval,
    /// Keys that may revoke the SLC besides its issuer's (MS-RMPR 2.2.9.3.4).
    pub revocation_authorities: Vec<PublicKey>,
}

/// A server licensor certificate and how its server is named in what it issues.
#[derive(Debug, Clone)]
pub struct ServerLicensorCertificate {
    node: SharedNode,
    identity: Identity,
}

impl IssuingRole {
    fn descriptor(self) -> &'static str {
        match self {
            Self::Ca
            | Self::EnrollmentCa
            | Self::IntermediateSecurityProcessorCa
            | Self::SecurityProcessorCa => "DRM-CA-Certificate",
            Self::EnrollmentService
            | Self::ServerLicensor
            | Self::SpcIssuer
            | Self::MachineActivation => "Server-Licensor-Certificate",
        }
    }

    /// OBJECT type of the certified principal (MS-RMPR 2.2.9.3.3).
    #[must_use]
    pub fn principal_type(self) -> &'static str {
        match self {
            Self::Ca | Self::EnrollmentCa | Self::IntermediateSecurityProcessorCa => {
                CERTIFICATE_AUTHORITY
            }
            Self::EnrollmentService | Self::ServerLicensor | Self::MachineActivation => SERVER,
            Self::SecurityProcessorCa => SECURITY_PROCESSOR_AUTHORITY,
            Self::SpcIssuer => SECURITY_PROCESSOR,
        }
    }
}

impl IssuingCertificate {
    /// Identity of an authority that is named by a tag instead of a GUID.
    #[must_use]
    pub fn tagged_authority(name: &str, key: PublicKey) -> Identity {
        let object = Object {
            kind: Some(CERTIFICATE_AUTHORITY.into()),
            id_type: "ascii-tag".into(),
            id: name.into(),
            name: Some(name.into()),
            ..Object::default()
        };
        Identity::new(object, key, &[])
    }

    /// Identity of a principal of the role, named by a GUID.
    pub fn principal_of(
        role: IssuingRole,
        id: Guid,
        name: Option<&str>,
        url: Option<&str>,
        key: PublicKey,
        levels: &[SecurityLevel],
    ) -> Identity {
        let mut object = Object::guid(Some(role.principal_type()), id);
        object.name = name.map(str::to_owned);
        if let Some(url) = url {
            object = object.at(url);
        }
        Identity::new(object, key, levels)
    }

    /// Signs the certificate.
    pub fn sign(&self, key: &dyn PrivateKey, hash: HashAlgorithm) -> Result<String, KeyError> {
        sign(Hand::Server, false, &self.body(), key, hash)
    }

    fn body(&self) -> String {
        let object = Object::guid(Some(self.role.descriptor()), self.id);
        let mut xml = Xml::default();
        xml.raw(r#"<BODY type="LICENSE" version="3.0">"#)
            .issued(self.issued)
            .validity(self.validity)
            .descriptor(&object)
            .raw(&self.issuer.issuer())
            .raw(r#"<ISSUEDPRINCIPALS><PRINCIPAL internal-id="1">"#)
            .raw(self.principal.xml())
            .raw("</PRINCIPAL></ISSUEDPRINCIPALS><WORK>")
            .object(&object)
            .raw(r#"<RIGHTSGROUP name="Main-Rights"><RIGHTSLIST><RIGHT name="ISSUE">"#)
            .raw("<CONDITIONLIST><TIME><RANGETIME>")
            .bounds(self.range)
            .raw("</RANGETIME></TIME><ACCESS><PRINCIPAL internal-id=\"1\" /></ACCESS>")
            .raw("</CONDITIONLIST></RIGHT></RIGHTSLIST></RIGHTSGROUP></WORK>");
        if !self.revocation_authorities.is_empty() {
            xml.raw("<CONDITIONLIST><REFRESH>");
            for key in std::iter::once(self.issuer.key()).chain(&self.revocation_authorities) {
                let object = Object {
                    kind: Some("Revocation".into()),
                    id_type: "ascii-tag".into(),
                    id: "External revocation authority".into(),
                    ..Object::default()
                };
                xml.raw("<DISTRIBUTIONPOINT>")
                    .object(&object)
                    .public_key(key)
                    .raw("</DISTRIBUTIONPOINT>");
            }
            xml.raw("<INTERVALTIME /></REFRESH></CONDITIONLIST>");
        }
        xml.raw("</BODY>");
        xml.finish()
    }
}

impl ServerLicensorCertificate {
    /// Reads an SLC (or an enrollment service's certificate, which has the same form).
    pub fn new(node: SharedNode) -> Result<Self, XrmlError> {
        node.expect(Kind::ServerLicensorCertificate)?;
        let identity = Identity::of_principal(&node)
            .ok_or(XrmlError::Missing("ISSUEDPRINCIPALS/PRINCIPAL/PUBLICKEY"))?;
        if identity.object().kind.as_deref() != Some(SERVER) || activates(&node) {
            return Err(XrmlError::invalid("PRINCIPAL", "not a server"));
        }
        Ok(Self { node, identity })
    }

    /// The certificate.
    #[must_use]
    pub fn node(&self) -> &SharedNode {
        &self.node
    }

    /// The server, as it is copied into what it issues.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The server's public key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        self.identity.key()
    }

    /// When the server may issue.
    #[must_use]
    pub fn range(&self) -> Option<Interval> {
        issue_range(&self.node)
    }
}

/// When an issuing certificate or CLC may issue: the time of its ISSUE right. `None` where it has
/// no such right, or one without a range.
pub fn issue_range(node: &Node) -> Option<Interval> {
    let work = node.content().work.as_ref()?;
    let issue = work
        .rights
        .iter()
        .find(|entry| entry.right.name() == Right::ISSUE && entry.unknown_conditions.is_empty())?;
    issue.time.window(node.content().issued)
}
