//! Publishing license: travels with the content and holds its key for the server
//! (MS-RMPR 2.2.9.7).

use openrms_crypto::rsa::KeyError;
use openrms_crypto::{HashAlgorithm, PrivateKey, PublicKey};

use crate::author_proof::AUTHOR_PROOF_NAME;
use crate::chain::SharedNode;
use crate::clc::licensing_points;
use crate::error::XrmlError;
use crate::node::{AuthenticatedData, Kind, Node, Principal};
use crate::rights_data::APP_SPECIFIC;
use crate::time::{Interval, Time};
use crate::values::{EnablingBits, Guid, Object, decode_base64, encode_base64};
use crate::writer::{Hand, Identity, Xml, sign};

/// A PL, signed or still to be signed.
#[derive(Debug, Clone)]
pub struct PublishingLicense<N = SharedNode> {
    node: N,
    encrypted_rights: Vec<u8>,
}

/// What a client puts into a PL, whoever signs it.
#[derive(Debug, Clone)]
pub struct PlContent {
    /// Instant of publishing.
    pub issued: Time,
    /// VALIDITYTIME: the content's own span, where it expires.
    pub validity: Option<Interval>,
    /// Template or policy: GUID and localised names; or its verbatim DESCRIPTOR element.
    pub descriptor: Option<Descriptor>,
    /// The server that will issue ULs.
    pub server: Identity,
    /// The content key, sealed to that server.
    pub sealed_key: EnablingBits,
    /// Where to ask for more rights: display name and URL or mail address.
    pub referral: Option<(String, String)>,
    /// The content.
    pub content_id: Guid,
    /// OBJECT naming the author.
    pub owner: Object,
    /// Rights data, encrypted under the content key.
    pub encrypted_rights: Vec<u8>,
    /// Further AUTHENTICATEDDATA: id, name, value.
    pub extra: Vec<(String, String, String)>,
}

/// DESCRIPTOR of a PL.
#[derive(Debug, Clone)]
pub enum Descriptor {
    /// A policy of the author's own.
    Own(Object),
    /// Copied from an official template, element and all.
    Verbatim(String),
}

/// What a server puts round an unsigned PL when it signs it.
#[derive(Debug, Clone)]
pub struct ServerPart<'a> {
    /// Instant of signing.
    pub issued: Time,
    /// The server.
    pub issuer: &'a Identity,
    /// Licensing URL inside.
    pub licensing_url: &'a str,
    /// Licensing URL outside.
    pub external_licensing_url: Option<&'a str>,
    /// The content key, its binding renewed.
    pub sealed_key: &'a EnablingBits,
}

/// What takes the place of a PL's rights when it is republished (MS-RMSI 3.4.4.1).
#[derive(Debug, Clone)]
pub struct NewRights {
    /// Rights data, encrypted under the content key of the license that was there before.
    pub encrypted: Vec<u8>,
    /// The author's proof over them, where the author is proven.
    pub author_proof: Option<Vec<u8>>,
}

impl<N: std::ops::Deref<Target: AsNode>> PublishingLicense<N> {
    /// Reads a PL.
    pub fn new(node: N) -> Result<Self, XrmlError> {
        let inner = node.as_node();
        inner.expect(Kind::PublishingLicense)?;
        let content = inner.content();
        let principal = content
            .principal
            .as_ref()
            .ok_or(XrmlError::Missing("ISSUEDPRINCIPALS"))?;
        principal
            .key
            .as_ref()
            .ok_or(XrmlError::Missing("PRINCIPAL/PUBLICKEY"))?;
        principal
            .enabling_bits
            .as_ref()
            .ok_or(XrmlError::Missing("PRINCIPAL/ENABLINGBITS"))?;
        let work = content.work.as_ref().ok_or(XrmlError::Missing("WORK"))?;
        work.object
            .as_ref()
            .ok_or(XrmlError::Missing("WORK/OBJECT"))?;
        let mut encrypted = content
            .authenticated_data
            .iter()
            .filter(|data| data.id == ENCRYPTED_RIGHTS_DATA);
        let data = encrypted
            .next()
            .ok_or(XrmlError::Missing(ENCRYPTED_RIGHTS_DATA))?;
        if encrypted.next().is_some() {
            return Err(XrmlError::Repeated(ENCRYPTED_RIGHTS_DATA));
        }
        let encrypted_rights = decode_base64(&data.value)
            .map_err(|error| XrmlError::invalid(ENCRYPTED_RIGHTS_DATA, error))?;
        Ok(Self {
            node,
            encrypted_rights,
        })
    }

    /// The license as parsed.
    pub fn node(&self) -> &Node {
        self.node.as_node()
    }

    /// The server principal that can open the content key.
    pub fn server(&self) -> Option<&Principal> {
        self.node().content().principal.as_ref()
    }

    /// The server's key, which [`Self::new`] demanded.
    pub fn server_key(&self) -> Option<&PublicKey> {
        self.server()?.key.as_ref()
    }

    /// The content key, sealed to the server.
    pub fn sealed_key(&self) -> Option<&EnablingBits> {
        self.server()?.enabling_bits.as_ref()
    }

    /// The text that the sealed key is bound to: ISSUEDPRINCIPALS without its ENABLINGBITS
    /// (MS-RMPR 2.2.9.1.13).
    pub fn binding_text(&self) -> String {
        let node = self.node();
        let content = node.content();
        let Some(list) = &content.principals_raw else {
            return String::new();
        };
        match content
            .principal
            .as_ref()
            .and_then(|p| p.enabling_bits_raw.as_ref())
        {
            Some(bits) => [
                node.slice(&(list.start..bits.start)),
                node.slice(&(bits.end..list.end)),
            ]
            .concat(),
            None => node.slice(list).to_owned(),
        }
    }

    /// Rights data, still encrypted under the content key.
    pub fn encrypted_rights(&self) -> &[u8] {
        &self.encrypted_rights
    }

    /// Identifier of the content.
    pub fn content_id(&self) -> Option<&str> {
        Some(
            self.node()
                .content()
                .work
                .as_ref()?
                .object
                .as_ref()?
                .id
                .as_str(),
        )
    }

    /// GUID of the template or policy.
    pub fn policy_id(&self) -> Option<Guid> {
        self.node().content().descriptor.as_ref()?.as_guid()
    }

    /// OBJECT of the author named in the clear part.
    pub fn owner(&self) -> Option<&Object> {
        self.node().content().work.as_ref()?.owner.as_ref()
    }

    /// Licensing URLs, inside first.
    pub fn licensing_urls(&self) -> impl Iterator<Item = &str> {
        [
            "License-Acquisition-URL",
            "Extranet-License-Acquisition-URL",
        ]
        .into_iter()
        .filter_map(|kind| self.node().content().distribution_point(kind)?.object.url())
    }

    /// Clear AUTHENTICATEDDATA of that id and name.
    pub fn authenticated(&self, id: &str, name: &str) -> Option<&AuthenticatedData> {
        self.node().content().authenticated(id, Some(name))
    }
}

impl PublishingLicense<SharedNode> {
    /// The verified node, to be shared.
    #[must_use]
    pub fn shared(&self) -> &SharedNode {
        &self.node
    }
}

impl PublishingLicense<Box<Node>> {
    /// Signs a PL that a client composed, as [MS-RMPR] 3.5.4.1 has it: issuer, URLs, time and the
    /// binding of the content key are the server's, everything else stays as it was.
    pub fn sign_as_server(
        &self,
        part: &ServerPart<'_>,
        key: &dyn PrivateKey,
        hash: HashAlgorithm,
    ) -> Result<String, KeyError> {
        self.sign_with(part, None, key, hash)
    }

    /// Signs a PL that republishes another's content: as [`Self::sign_as_server`], with the rights
    /// data and the author's proof given here and none of its own.
    pub fn republish_as_server(
        &self,
        part: &ServerPart<'_>,
        rights: &NewRights,
        key: &dyn PrivateKey,
        hash: HashAlgorithm,
    ) -> Result<String, KeyError> {
        self.sign_with(part, Some(rights), key, hash)
    }

    fn sign_with(
        &self,
        part: &ServerPart<'_>,
        rights: Option<&NewRights>,
        key: &dyn PrivateKey,
        hash: HashAlgorithm,
    ) -> Result<String, KeyError> {
        let node = &*self.node;
        let content = node.content();
        let copy = |xml: &mut Xml, range: &Option<std::ops::Range<usize>>| {
            if let Some(range) = range {
                xml.raw(node.slice(range));
            }
        };
        let mut xml = Xml::default();
        xml.raw(LABEL_BODY)
            .issued(part.issued)
            .validity(content.validity);
        copy(&mut xml, &content.descriptor_raw);
        xml.raw(&part.issuer.issuer());
        for point in licensing_points(part.licensing_url, part.external_licensing_url) {
            xml.distribution_point(&point);
        }
        xml.raw(&issued_principals(
            part.issuer,
            Some(part.sealed_key),
            Hand::Server,
        ));
        copy(&mut xml, &content.referral_raw);
        if let Some(work) = &content.work {
            xml.raw("<WORK>");
            copy(&mut xml, &work.object_raw);
            if work.owner_raw.is_some() {
                xml.raw("<METADATA>");
                copy(&mut xml, &work.owner_raw);
                xml.raw("</METADATA>");
            }
            copy(&mut xml, &work.revocation_raw);
            xml.raw("</WORK>");
        }
        if let Some(rights) = rights {
            write_rights(&mut xml, &rights.encrypted);
            if let Some(proof) = &rights.author_proof {
                xml.authenticated(APP_SPECIFIC, AUTHOR_PROOF_NAME, &encode_base64(proof));
            }
        }
        let replaced = |data: &AuthenticatedData| {
            data.id == ENCRYPTED_RIGHTS_DATA || data.name.as_deref() == Some(AUTHOR_PROOF_NAME)
        };
        for data in &content.authenticated_data {
            if rights.is_none() || !replaced(data) {
                xml.raw(node.slice(&data.raw));
            }
        }
        for list in &content.policy_lists {
            xml.policy_list(list);
        }
        xml.raw("</BODY>");
        let body = crate::surface::as_server(&xml.finish());
        sign(Hand::Server, false, &body, key, hash)
    }
}

impl PlContent {
    /// The PL as a client hands it to a server to sign (on-line publishing).
    #[must_use]
    pub fn unsigned(&self) -> String {
        format!(
            "<XrML version=\"1.2\" xmlns=\"\">{}</XrML>",
            self.body(None)
        )
    }

    /// Signs the PL with a CLC's key (off-line publishing). `urls` are the CLC's licensing URLs.
    pub fn sign(
        &self,
        author: &Identity,
        urls: (&str, Option<&str>),
        key: &dyn PrivateKey,
        hash: HashAlgorithm,
    ) -> Result<String, KeyError> {
        sign(
            Hand::Client,
            false,
            &self.body(Some((author, urls))),
            key,
            hash,
        )
    }

    /// The text that the content key of a PL for that server is bound to.
    #[must_use]
    pub fn binding_text(server: &Identity) -> String {
        issued_principals(server, None, Hand::Client)
    }

    fn body(&self, signer: Option<(&Identity, (&str, Option<&str>))>) -> String {
        let mut xml = Xml::by(Hand::Client);
        xml.raw(LABEL_BODY)
            .issued(self.issued)
            .validity(self.validity);
        match &self.descriptor {
            Some(Descriptor::Own(object)) => _ = xml.descriptor(object),
            Some(Descriptor::Verbatim(element)) => _ = xml.raw(element),
            None => {}
        }
        if let Some((author, (url, external))) = signer {
            xml.raw(&author.issuer());
            for point in licensing_points(url, external) {
                xml.distribution_point(&point);
            }
        }
        xml.raw(&issued_principals(
            &self.server,
            Some(&self.sealed_key),
            Hand::Client,
        ));
        if let Some((name, address)) = &self.referral {
            let object = Object {
                kind: Some("Referral-Info".into()),
                id_type: "MS-GUID".into(),
                id: REFERRAL_GUID.into(),
                ..Object::default()
            };
            xml.distribution_point(&object.named(name).at(address));
        }
        let content = Object {
            id_type: "MS-GUID".into(),
            id: self.content_id.to_upper(),
            ..Object::default()
        };
        xml.raw("<WORK>")
            .object(&content)
            .raw("<METADATA><OWNER>")
            .object(&self.owner)
            .raw("</OWNER></METADATA></WORK>");
        write_rights(&mut xml, &self.encrypted_rights);
        for (id, name, value) in &self.extra {
            xml.authenticated(id, name, value);
        }
        xml.raw("</BODY>");
        xml.finish()
    }
}

/// Anything that is a parsed node: verified or not.
pub trait AsNode {
    /// The node.
    fn as_node(&self) -> &Node;
}

impl AsNode for Node {
    fn as_node(&self) -> &Node {
        self
    }
}

impl AsNode for crate::node::Verified<Node> {
    fn as_node(&self) -> &Node {
        self
    }
}

/// ISSUEDPRINCIPALS naming the server. Servers write ENABLINGBITS in front of the SECURITYLEVEL
/// elements, clients behind them; the binding of the key is over the text without ENABLINGBITS.
fn issued_principals(server: &Identity, bits: Option<&EnablingBits>, hand: Hand) -> String {
    let identity = server.xml();
    let at = match hand {
        Hand::Server => identity.find(END_OF_KEY).map(|at| at + END_OF_KEY.len()),
        Hand::Client => None,
    };
    let (before, after) = identity.split_at(at.unwrap_or(identity.len()));
    let mut xml = Xml::by(hand);
    xml.raw(r#"<ISSUEDPRINCIPALS><PRINCIPAL internal-id="1">"#)
        .raw(before);
    if let Some(bits) = bits {
        xml.enabling_bits(bits);
    }
    xml.raw(after).raw("</PRINCIPAL></ISSUEDPRINCIPALS>");
    xml.finish()
}

fn write_rights(xml: &mut Xml, encrypted: &[u8]) {
    xml.raw("<AUTHENTICATEDDATA id=\"")
        .raw(ENCRYPTED_RIGHTS_DATA)
        .raw("\">")
        .raw(&encode_base64(encrypted))
        .raw("</AUTHENTICATEDDATA>");
}

/// `id` of the AUTHENTICATEDDATA that holds the encrypted rights data.
pub const ENCRYPTED_RIGHTS_DATA: &str = "Encrypted-Rights-Data";
const END_OF_KEY: &str = "</PUBLICKEY>";
const LABEL_BODY: &str = r#"<BODY type="Microsoft Rights Label" version="3.0">"#;
pub(crate) const REFERRAL_GUID: &str = "{81C42010-208A-458A-BAB6-C3C60F06DD5F}";
