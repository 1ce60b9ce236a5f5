//! Client licensor certificate: the right to publish without asking (MS-RMPR 2.2.9.6).

use openrms_crypto::rsa::KeyError;
use openrms_crypto::{HashAlgorithm, PrivateKey, PublicKey};

use crate::chain::SharedNode;
use crate::error::XrmlError;
use crate::issuing::issue_range;
use crate::node::Kind;
use crate::rac::{AccountIdentity, read_principal};
use crate::time::{Interval, Time};
use crate::values::{EnablingBits, Guid, Object};
use crate::writer::{Hand, Identity, Xml, sign};

/// What goes into a CLC.
#[derive(Debug)]
pub struct ClcRequest<'a> {
    /// The certificate's own identifier.
    pub id: Guid,
    /// Instant of issue.
    pub issued: Time,
    /// The issuing server.
    pub issuer: &'a Identity,
    /// Licensing URL inside.
    pub licensing_url: &'a str,
    /// Licensing URL outside.
    pub external_licensing_url: Option<&'a str>,
    /// The person.
    pub account: &'a AccountIdentity,
    /// The CLC's public key.
    pub key: &'a PublicKey,
    /// When the CLC may sign; the validity of the RAC it was asked with.
    pub range: Interval,
    /// The CLC's private key sealed to the RAC.
    pub sealed_key: &'a EnablingBits,
}

/// A verified CLC.
#[derive(Debug, Clone)]
pub struct ClientLicensorCertificate {
    node: SharedNode,
    account: AccountIdentity,
    key: PublicKey,
}

impl ClcRequest<'_> {
    /// Signs the certificate with the server's key.
    pub fn sign(&self, key: &dyn PrivateKey, hash: HashAlgorithm) -> Result<String, KeyError> {
        let object = Object::guid(Some("Client-Licensor-Certificate"), self.id);
        let mut xml = Xml::default();
        xml.raw(r#"<BODY type="LICENSE" version="3.0">"#)
            .issued(self.issued)
            .descriptor(&object)
            .raw(&self.issuer.issuer());
        for point in licensing_points(self.licensing_url, self.external_licensing_url) {
            xml.distribution_point(&point);
        }
        xml.raw(r#"<ISSUEDPRINCIPALS><PRINCIPAL internal-id="1">"#)
            .object(&self.account.object())
            .public_key(self.key)
            .raw("</PRINCIPAL></ISSUEDPRINCIPALS><WORK>")
            .object(&object)
            .raw(r#"<RIGHTSGROUP name="Main-Rights"><RIGHTSLIST><RIGHT name="ISSUE">"#)
            .raw("<CONDITIONLIST><TIME><RANGETIME>")
            .bounds(self.range)
            .raw("</RANGETIME></TIME><ACCESS><PRINCIPAL internal-id=\"1\">")
            .enabling_bits(self.sealed_key)
            .raw("</PRINCIPAL></ACCESS></CONDITIONLIST></RIGHT></RIGHTSLIST></RIGHTSGROUP>")
            .raw("</WORK></BODY>");
        sign(Hand::Server, false, &xml.finish(), key, hash)
    }
}

impl ClientLicensorCertificate {
    /// Reads a CLC.
    pub fn new(node: SharedNode) -> Result<Self, XrmlError> {
        node.expect(Kind::ClientLicensorCertificate)?;
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

    /// The CLC's public key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The CLC's private key, sealed to the RAC.
    #[must_use]
    pub fn sealed_key(&self) -> Option<&EnablingBits> {
        let rights = &self.node.content().work.as_ref()?.rights;
        rights
            .iter()
            .flat_map(|entry| &entry.holders)
            .find_map(|h| h.enabling_bits.as_ref())
    }

    /// When it may sign.
    #[must_use]
    pub fn range(&self) -> Option<Interval> {
        issue_range(&self.node)
    }

    /// The server that will issue ULs, verbatim from ISSUER.
    pub fn server(&self) -> Result<Identity, XrmlError> {
        Identity::of_issuer(&self.node).ok_or(XrmlError::Missing("ISSUER/PUBLICKEY"))
    }

    /// Licensing URLs, inside first.
    pub fn licensing_urls(&self) -> impl Iterator<Item = &str> {
        [
            "License-Acquisition-URL",
            "Extranet-License-Acquisition-URL",
        ]
        .into_iter()
        .filter_map(|kind| self.node.content().distribution_point(kind)?.object.url())
    }
}

/// The DISTRIBUTIONPOINT objects of CLCs and PLs.
pub(crate) fn licensing_points(url: &str, external: Option<&str>) -> Vec<Object> {
    let point = |kind: &'static str, guid: &str, url: &str| {
        Object {
            kind: Some(kind.into()),
            id_type: "MS-GUID".into(),
            id: guid.into(),
            ..Object::default()
        }
        .named("DRM Server Cluster")
        .at(url)
    };
    let mut points = vec![point(
        "License-Acquisition-URL",
        "{0F45FD50-383B-43EE-90A4-ED013CD0CFE5}",
        url,
    )];
    points.extend(external.map(|url| {
        point(
            "Extranet-License-Acquisition-URL",
            "{94BF969A-CA04-44d6-AA96-51071281FEF2}",
            url,
        )
    }));
    points
}
