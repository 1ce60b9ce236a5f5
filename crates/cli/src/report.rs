//! The JSON documents of `inspect` and `verify`. Field names are a promise; fields may be added.

use std::collections::BTreeMap;

use openrms_xrml::anchors::Anchors;
use openrms_xrml::node::{Content, Kind, Node};
use openrms_xrml::values::{EnablingBits, Guid, Object, decode_base64};
use openrms_xrml::{chain, names, pl};
use serde::Serialize;

use crate::examine::License;

/// What a license says about itself; all but `nodes` is its first node's.
#[derive(Debug, Serialize)]
pub(crate) struct LicenseReport {
    /// How it is stored.
    pub(crate) encoding: &'static str,
    /// Length as stored.
    pub(crate) bytes: u64,
    /// Zero bytes behind it.
    pub(crate) padding: u64,
    /// Characters of its text, without byte-order mark and XML declaration.
    pub(crate) characters: usize,
    /// Kind of the first node.
    pub(crate) kind: &'static str,
    /// Identifier of the content.
    pub(crate) content_id: Option<String>,
    /// Identifier of the policy or template.
    pub(crate) template_id: Option<String>,
    /// Version of the policy or template.
    pub(crate) policy_version: Option<String>,
    /// Identifier of the certificate or use license itself.
    pub(crate) certificate_id: Option<String>,
    /// Names by language code.
    pub(crate) names: BTreeMap<String, String>,
    /// Descriptions by language code.
    pub(crate) descriptions: BTreeMap<String, String>,
    /// Mail address of the author.
    pub(crate) owner: Option<String>,
    /// Instant of issue.
    pub(crate) issued: String,
    /// VALIDITYTIME.
    pub(crate) valid_from: Option<String>,
    /// VALIDITYTIME.
    pub(crate) valid_until: Option<String>,
    /// Who signed.
    pub(crate) issuer: Option<Identity>,
    /// Who is certified, or can open the content key.
    pub(crate) issued_to: Option<Identity>,
    /// Services.
    pub(crate) urls: Vec<Url>,
    /// The sealed key.
    pub(crate) enabling_bits: Option<SealedKey>,
    /// Length of the rights data, encrypted.
    pub(crate) rights_data_bytes: Option<usize>,
    /// Rights that stand in clear: of templates, rights data and use licenses.
    pub(crate) rights: Option<Vec<GrantReport>>,
    /// Every node.
    pub(crate) nodes: Vec<NodeReport>,
    /// How many nodes carry a signature.
    pub(crate) signed: usize,
    /// How many of those hold.
    pub(crate) verified: usize,
}

/// Somebody.
#[derive(Debug, Serialize)]
pub(crate) struct Identity {
    /// Name or mail address.
    pub(crate) name: Option<String>,
    /// GUID, SID or tag.
    pub(crate) id: String,
    /// What the identifier is.
    pub(crate) id_type: String,
}

/// A service.
#[derive(Debug, Serialize)]
pub(crate) struct Url {
    /// What it does.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Where it is.
    pub(crate) url: String,
}

/// ENABLINGBITS.
#[derive(Debug, Serialize)]
pub(crate) struct SealedKey {
    /// `sealed-key` or `sealed-key-v2`.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// Length in bits.
    pub(crate) bits: usize,
}

/// One right for one holder.
#[derive(Debug, Serialize)]
pub(crate) struct GrantReport {
    /// The right.
    pub(crate) right: String,
    /// Who holds it; `null` for the one the license is issued to.
    pub(crate) holder: Option<Identity>,
    /// Not before.
    pub(crate) from: Option<String>,
    /// Not at or after.
    pub(crate) until: Option<String>,
    /// Days from the time of issue.
    pub(crate) days: Option<u32>,
    /// Conditions this program does not know; such a right is never granted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unknown_conditions: Vec<String>,
}

/// One node of the chain.
#[derive(Debug, Serialize)]
pub(crate) struct NodeReport {
    /// Place in the license.
    pub(crate) index: usize,
    /// What it is.
    pub(crate) kind: &'static str,
    /// Whose key signed it.
    pub(crate) signed_by: Option<Signer>,
    /// Hash algorithm.
    pub(crate) digest: Option<&'static str>,
    /// Whether the digest is the body's; `null` without a signature.
    pub(crate) digest_ok: Option<bool>,
    /// Whether the signature is the issuer's; `null` without a signature.
    pub(crate) signature_ok: Option<bool>,
    /// Fingerprint of the issuer's key.
    pub(crate) key_fingerprint: Option<String>,
    /// Name of the issuer.
    pub(crate) issuer: Option<String>,
}

/// Whose key signed a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Signer {
    /// The node of that index.
    Node(usize),
    /// A known anchor.
    Anchor(AnchorTag),
}

/// Written `"root"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum AnchorTag {
    /// A known anchor.
    #[serde(rename = "root")]
    Root,
}

impl LicenseReport {
    /// Reads everything; `None` without a node. `anchors` are the keys that `signed_by` calls
    /// `root`.
    pub(crate) fn of(license: &License, anchors: &Anchors) -> Option<Self> {
        let leaf = license.nodes.first()?;
        let content = leaf.content();
        let kind = leaf.kind();
        let work = content.work.as_ref();
        let descriptor = content.descriptor.as_ref();
        let descriptor_id = || {
            descriptor
                .map(|object| braced(&object.id))
                .filter(|id| !id.is_empty())
        };
        let about_content = matches!(
            kind,
            Kind::PublishingLicense | Kind::UseLicense | Kind::RightsTemplate
        );
        let is_policy = matches!(
            kind,
            Kind::PublishingLicense | Kind::OfficialTemplate | Kind::RightsTemplate
        );
        let names = descriptor
            .and_then(|object| object.name.as_deref())
            .map(names::parse_names);
        let names = names.unwrap_or_default();
        let nodes = node_reports(&license.nodes, anchors);
        Some(Self {
            encoding: license.encoding.name(),
            bytes: license.bytes,
            padding: license.padding,
            characters: license.characters,
            kind: kind.name(),
            content_id: work
                .filter(|_| about_content)
                .and_then(|work| work.object.as_ref())
                .map(|object| braced(&object.id))
                .filter(|id| !id.is_empty()),
            template_id: is_policy.then(descriptor_id).flatten(),
            policy_version: descriptor
                .filter(|_| is_policy)
                .and_then(|object| object.version.clone()),
            certificate_id: (!is_policy).then(descriptor_id).flatten(),
            descriptions: names
                .iter()
                .filter(|name| !name.description.is_empty())
                .map(|name| (name.lcid.to_string(), name.description.clone()))
                .collect(),
            names: names
                .into_iter()
                .map(|name| (name.lcid.to_string(), name.name))
                .collect(),
            owner: work
                .and_then(|work| work.owner.as_ref())
                .and_then(|owner| owner.name.clone()),
            issued: content.issued.to_string(),
            valid_from: content.validity.map(|validity| validity.from.to_string()),
            valid_until: content.validity.map(|validity| validity.until.to_string()),
            issuer: content
                .issuer
                .as_ref()
                .map(|issuer| Identity::of(&issuer.object)),
            issued_to: content
                .principal
                .as_ref()
                .map(|principal| Identity::of(&principal.object)),
            urls: urls(content),
            enabling_bits: sealed_key(content).map(|bits| SealedKey {
                kind: bits.type_name(),
                bits: bits.bits(),
            }),
            rights_data_bytes: content
                .authenticated(pl::ENCRYPTED_RIGHTS_DATA, None)
                .and_then(|data| decode_base64(&data.value).ok())
                .map(|bytes| bytes.len()),
            rights: grants(kind, content),
            signed: nodes.iter().filter(|node| node.digest.is_some()).count(),
            verified: nodes.iter().filter(|node| node.holds()).count(),
            nodes,
        })
    }
}

impl Identity {
    fn of(object: &Object) -> Self {
        Self {
            name: object.name.clone(),
            id: braced(&object.id),
            id_type: object.id_type.clone().into_owned(),
        }
    }
}

impl NodeReport {
    /// Whether the node is signed and both digest and signature hold.
    pub(crate) fn holds(&self) -> bool {
        self.digest_ok == Some(true) && self.signature_ok == Some(true)
    }
}

/// Every node with its own verification and its signer.
pub(crate) fn node_reports(nodes: &[Node], anchors: &Anchors) -> Vec<NodeReport> {
    let report = |(index, node): (usize, &Node)| {
        let anchored = || {
            let known = node.issuer_key().is_some_and(|key| anchors.contains(key));
            known.then_some(Signer::Anchor(AnchorTag::Root))
        };
        let signature = node.signature();
        NodeReport {
            index,
            kind: node.kind().name(),
            signed_by: signature.and_then(|_| {
                chain::signer_of(nodes, index)
                    .map(Signer::Node)
                    .or_else(anchored)
            }),
            digest: signature.map(|signature| signature.digest.algorithm().wire_name()),
            digest_ok: signature.map(|_| node.digest_holds()),
            signature_ok: signature.map(|_| node.signature_holds()),
            key_fingerprint: node
                .issuer_key()
                .map(openrms_crypto::PublicKey::fingerprint_hex),
            issuer: node
                .content()
                .issuer
                .as_ref()
                .and_then(|issuer| issuer.object.name.clone()),
        }
    };
    nodes.iter().enumerate().map(report).collect()
}

/// A GUID in braces, its case kept; anything else as it stands.
pub(crate) fn braced(id: &str) -> String {
    let bare = !id.starts_with('{') && id.parse::<Guid>().is_ok();
    if bare {
        format!("{{{}}}", id.trim())
    } else {
        id.to_owned()
    }
}

fn urls(content: &Content) -> Vec<Url> {
    let url = |point: &openrms_xrml::values::DistributionPoint| {
        let first = point
            .object
            .addresses
            .first()
            .map(|address| address.value.as_str());
        let url = point.object.url().or(first)?;
        Some(Url {
            kind: point.kind().to_owned(),
            url: url.to_owned(),
        })
    };
    content.distribution_points.iter().filter_map(url).collect()
}

/// The sealed key, wherever that kind of node has it.
fn sealed_key(content: &Content) -> Option<&EnablingBits> {
    let principals = [
        content.principal.as_ref(),
        content.federation_principal.as_ref(),
    ];
    let in_principals = principals
        .into_iter()
        .flatten()
        .find_map(|p| p.enabling_bits.as_ref());
    in_principals.or_else(|| {
        let rights = content.work.iter().flat_map(|work| &work.rights);
        rights
            .flat_map(|entry| &entry.holders)
            .find_map(|holder| holder.enabling_bits.as_ref())
    })
}

fn grants(kind: Kind, content: &Content) -> Option<Vec<GrantReport>> {
    if !matches!(
        kind,
        Kind::OfficialTemplate | Kind::RightsTemplate | Kind::UseLicense
    ) {
        return None;
    }
    let entries = content.work.iter().flat_map(|work| &work.rights);
    let of_entry = |entry: &openrms_xrml::rights::RightEntry| {
        let grant = |holder: &openrms_xrml::rights::Holder| GrantReport {
            right: entry.right.name().to_owned(),
            holder: holder.object.as_ref().map(Identity::of),
            from: entry.time.range.map(|range| range.from.to_string()),
            until: entry.time.range.map(|range| range.until.to_string()),
            days: entry.time.days,
            unknown_conditions: entry.unknown_conditions.clone(),
        };
        entry.holders.iter().map(grant).collect::<Vec<_>>()
    };
    Some(entries.flat_map(of_entry).collect())
}
