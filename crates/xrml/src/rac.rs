//! RMS account certificate: a person's key, sealed to their machine (MS-RMPR 2.2.9.5), or their
//! public key alone for those who act on their behalf (MS-RMSI 3.3.4.1.3.5).

use openrms_crypto::rsa::KeyError;
use openrms_crypto::{HashAlgorithm, PrivateKey, PublicKey};

use crate::chain::SharedNode;
use crate::error::XrmlError;
use crate::node::{Kind, Node};
use crate::spc::SecurityProcessorCertificate;
use crate::time::{Interval, Time};
use crate::values::{Address, EnablingBits, Guid, Object, SecurityLevel};
use crate::writer::{Hand, Identity, Xml, sign};

/// How the person was authenticated; it decides what the identifier means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountType {
    /// Directory account; the identifier is a SID.
    Windows,
    /// Federated sign-on; the identifier is a GUID.
    Federation,
    /// Passport; the identifier is a PUID.
    Passport,
}

/// Who a RAC, CLC or UL is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccountIdentity {
    /// Kind of account.
    pub account_type: AccountType,
    /// SID, GUID or PUID.
    pub id: String,
    /// Primary mail address.
    pub email: String,
    /// Further addresses; federated accounts only.
    pub aliases: Vec<String>,
}

/// What goes into a RAC.
#[derive(Debug)]
pub struct RacRequest<'a> {
    /// The certificate's own identifier.
    pub id: Guid,
    /// Instant of issue.
    pub issued: Time,
    /// When the RAC may be used.
    pub validity: Interval,
    /// The issuing server.
    pub issuer: &'a Identity,
    /// Certification URL inside.
    pub certification_url: &'a str,
    /// Certification URL outside.
    pub external_certification_url: Option<&'a str>,
    /// The person.
    pub account: &'a AccountIdentity,
    /// The person's public key.
    pub key: &'a PublicKey,
    /// Temporary (a kiosk) instead of persistent.
    pub temporary: bool,
    /// The private key for the person's machine; `None` in a RAC issued on their behalf.
    pub sealed: Option<SealedTo<'a>>,
}

/// A person's private key on its way to their machine.
#[derive(Debug, Clone, Copy)]
pub struct SealedTo<'a> {
    /// The machine.
    pub machine: &'a SecurityProcessorCertificate,
    /// The private key, sealed to the machine.
    pub key: &'a EnablingBits,
}

/// A verified RAC.
#[derive(Debug, Clone)]
pub struct AccountCertificate {
    node: SharedNode,
    account: AccountIdentity,
    key: PublicKey,
}

impl AccountType {
    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Windows => "Windows",
            Self::Federation => "Federation",
            Self::Passport => "Passport",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Windows, Self::Federation, Self::Passport]
            .into_iter()
            .find(|t| t.name() == name)
    }
}

impl AccountIdentity {
    /// The OBJECT of type `Group-Identity` that names the person.
    #[must_use]
    pub fn object(&self) -> Object {
        Object {
            kind: Some("Group-Identity".into()),
            id_type: self.account_type.name().into(),
            id: self.id.clone(),
            version: None,
            name: Some(self.email.clone()),
            addresses: self
                .aliases
                .iter()
                .map(|alias| Address {
                    kind: "email_alias".into(),
                    value: alias.clone(),
                })
                .collect(),
        }
    }

    /// The PRINCIPAL element that a RAC has for the person and their key, which ULs repeat.
    #[must_use]
    pub fn principal(&self, key: &PublicKey, temporary: bool) -> String {
        let lifetime = if temporary { "Temporary" } else { "Persistent" };
        let mut xml = Xml::default();
        xml.raw(r#"<PRINCIPAL internal-id="1">"#)
            .object(&self.object())
            .public_key(key)
            .security_levels(&[
                SecurityLevel::new("Group-Identity-Credential-Type", lifetime),
                SecurityLevel::new("Group-Identity-Type", "Group"),
                SecurityLevel::new("Group-Identity-Policy", "Group-Identity-Credential"),
            ])
            .raw("</PRINCIPAL>");
        xml.finish()
    }

    /// Reads the person back from the principal of a RAC, CLC or UL.
    pub fn read(object: &Object) -> Result<Self, XrmlError> {
        if object.kind.as_deref() != Some("Group-Identity") {
            return Err(XrmlError::invalid(
                "PRINCIPAL/OBJECT type",
                "not Group-Identity",
            ));
        }
        let account_type = AccountType::from_name(&object.id_type)
            .ok_or_else(|| XrmlError::invalid("PRINCIPAL/OBJECT/ID type", &object.id_type))?;
        if object.id.is_empty() {
            return Err(XrmlError::Missing("PRINCIPAL/OBJECT/ID"));
        }
        let aliases = object.addresses.iter().filter(|a| a.kind == "email_alias");
        Ok(Self {
            account_type,
            id: object.id.clone(),
            email: object
                .name
                .clone()
                .ok_or(XrmlError::Missing("PRINCIPAL/OBJECT/NAME"))?,
            aliases: aliases.map(|a| a.value.clone()).collect(),
        })
    }
}

impl RacRequest<'_> {
    /// The text that the sealed key is bound to: the ISSUER element (MS-RMPR 2.2.9.1.13).
    #[must_use]
    pub fn binding_text(issuer: &Identity) -> String {
        issuer.issuer()
    }

    /// Signs the certificate with the server's key.
    pub fn sign(&self, key: &dyn PrivateKey, hash: HashAlgorithm) -> Result<String, KeyError> {
        let point = |kind: &'static str, guid: &str, url: &str| {
            Object {
                kind: Some(kind.into()),
                id_type: "MS-GUID".into(),
                id: guid.into(),
                ..Object::default()
            }
            .named("Microsoft Identity Certification Server")
            .at(url)
        };
        let mut xml = Xml::default();
        xml.raw(r#"<BODY type="LICENSE" version="3.0">"#)
            .issued(self.issued)
            .validity(Some(self.validity))
            .descriptor(&Object::guid(Some("Group-Identity-Credential"), self.id))
            .raw(&self.issuer.issuer())
            .distribution_point(&point(
                "Activation",
                CERTIFICATION_GUID,
                self.certification_url,
            ));
        if let Some(url) = self.external_certification_url {
            xml.distribution_point(&point("Extranet-Activation", CERTIFICATION_GUID, url));
        }
        xml.raw("<ISSUEDPRINCIPALS>")
            .raw(&self.account.principal(self.key, self.temporary))
            .raw("</ISSUEDPRINCIPALS>");
        if let Some(SealedTo { machine, key }) = &self.sealed {
            xml.raw("<FEDERATIONPRINCIPALS><PRINCIPAL>")
                .raw(machine.machine_raw())
                .enabling_bits(key)
                .security_levels(machine.security_levels())
                .raw("</PRINCIPAL></FEDERATIONPRINCIPALS>");
        }
        xml.raw("</BODY>");
        sign(Hand::Server, false, &xml.finish(), key, hash)
    }
}

impl AccountCertificate {
    /// Reads a RAC.
    pub fn new(node: SharedNode) -> Result<Self, XrmlError> {
        node.expect(Kind::RightsAccountCertificate)?;
        let (account, key) = read_principal(&node)?;
        Ok(Self { node, account, key })
    }

    /// The certificate.
    #[must_use]
    pub fn node(&self) -> &SharedNode {
        &self.node
    }

    /// The person.
    #[must_use]
    pub fn account(&self) -> &AccountIdentity {
        &self.account
    }

    /// The person's public key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The PRINCIPAL element, verbatim, as it is copied into ULs.
    #[must_use]
    pub fn principal_raw(&self) -> &str {
        self.node
            .content()
            .principal
            .as_ref()
            .map_or("", |p| self.node.slice(&p.raw))
    }

    /// The person's private key sealed to the machine; a RAC issued on behalf has none.
    #[must_use]
    pub fn sealed_key(&self) -> Option<&EnablingBits> {
        self.node
            .content()
            .federation_principal
            .as_ref()?
            .enabling_bits
            .as_ref()
    }

    /// Identifier of the machine the private key is sealed to.
    #[must_use]
    pub fn machine(&self) -> Option<&str> {
        Some(
            self.node
                .content()
                .federation_principal
                .as_ref()?
                .object
                .id
                .as_str(),
        )
    }

    /// Version of the machine's security processor.
    pub fn repository_version(&self) -> Option<[u32; 4]> {
        let principal = self.node.content().federation_principal.as_ref()?;
        let text = principal.security_level("Repository")?;
        text.split_whitespace()
            .rev()
            .find_map(crate::spc::parse_version)
    }

    /// When the account itself was made, where the server that issued the RAC says so.
    #[must_use]
    pub fn credential_created(&self) -> Option<Result<Time, XrmlError>> {
        let principal = self.node.content().principal.as_ref()?;
        let text = principal.security_level("Credential-Creation-Time")?;
        Some(
            text.parse()
                .map_err(|e| XrmlError::invalid("Credential-Creation-Time", e)),
        )
    }

    /// Whether it is temporary.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.node.content().principal.as_ref().is_some_and(|p| {
            p.security_level("Group-Identity-Credential-Type") == Some("Temporary")
        })
    }

    /// When it may be used.
    #[must_use]
    pub fn validity(&self) -> Option<Interval> {
        self.node.content().validity
    }
}

/// Person and key of the principal of a RAC, CLC or UL.
pub(crate) fn read_principal(node: &Node) -> Result<(AccountIdentity, PublicKey), XrmlError> {
    let principal = node
        .content()
        .principal
        .as_ref()
        .ok_or(XrmlError::Missing("ISSUEDPRINCIPALS"))?;
    let key = principal
        .key
        .clone()
        .ok_or(XrmlError::Missing("PRINCIPAL/PUBLICKEY"))?;
    Ok((AccountIdentity::read(&principal.object)?, key))
}

const CERTIFICATION_GUID: &str = "{8BA9EA80-99E4-4a2b-9764-4CD84F77C3A0}";
