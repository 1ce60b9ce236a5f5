//! What the BODY of a node says, whatever kind of node it is (MS-RMPR 2.2.9.1): read once, with
//! the range of every part that is copied verbatim into what is issued from it.

use std::ops::Range;

use openrms_crypto::PublicKey;

use crate::error::XrmlError;
use crate::rights::{RightEntry, TimeCondition};
use crate::time::{Interval, Time};
use crate::tree::Element;
use crate::values::{
    DistributionPoint, EnablingBits, Object, SecurityLevel, attribute, child_text, one,
    read_interval, read_public_key, read_time, text,
};

/// The content of BODY, whatever kind it is; the typed views demand what their kind needs.
#[derive(Debug, Clone)]
pub struct Content {
    /// ISSUEDTIME.
    pub issued: Time,
    /// VALIDITYTIME.
    pub validity: Option<Interval>,
    /// DESCRIPTOR's OBJECT.
    pub descriptor: Option<Object>,
    /// ISSUER.
    pub issuer: Option<Principal>,
    /// DISTRIBUTIONPOINT elements in order.
    pub distribution_points: Vec<DistributionPoint>,
    /// The first DISTRIBUTIONPOINT of type `Referral-Info` in the node's text.
    pub referral_raw: Option<Range<usize>>,
    /// The DESCRIPTOR element in the node's text.
    pub descriptor_raw: Option<Range<usize>>,
    /// The PRINCIPAL of ISSUEDPRINCIPALS.
    pub principal: Option<Principal>,
    /// The ISSUEDPRINCIPALS element in the node's text.
    pub principals_raw: Option<Range<usize>>,
    /// The PRINCIPAL of FEDERATIONPRINCIPALS (RAC).
    pub federation_principal: Option<Principal>,
    /// WORK.
    pub work: Option<Work>,
    /// AUTHENTICATEDDATA elements in order.
    pub authenticated_data: Vec<AuthenticatedData>,
    /// POLICYLIST elements in order.
    pub policy_lists: Vec<PolicyList>,
    /// `CONDITION` elements of the BODY's own CONDITIONLIST.
    pub conditions: Vec<BodyCondition>,
    /// Raw CONDITIONLIST of the BODY.
    pub condition_list: Option<Range<usize>>,
    /// Raw REVOCATIONLIST.
    pub revocation_list: Option<Range<usize>>,
    /// Elements of BODY that this library does not know.
    pub unknown: Vec<String>,
}

/// ISSUER or PRINCIPAL: an identity, usually with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub object: Object,
    /// Their public key.
    pub key: Option<PublicKey>,
    /// SECURITYLEVEL pairs in order.
    pub security_levels: Vec<SecurityLevel>,
    /// A key sealed to (or for) them.
    pub enabling_bits: Option<EnablingBits>,
    /// The whole element in the node's text; for a PRINCIPAL without its list element.
    pub raw: Range<usize>,
    /// OBJECT, PUBLICKEY and SECURITYLEVEL elements in the node's text, in order.
    pub identity_raw: Vec<Range<usize>>,
    /// The OBJECT element in the node's text.
    pub object_raw: Range<usize>,
    /// The ENABLINGBITS element in the node's text.
    pub enabling_bits_raw: Option<Range<usize>>,
}

/// WORK: the content or role that rights are about.
#[derive(Debug, Clone)]
pub struct Work {
    /// OBJECT; an official template has an empty one.
    pub object: Option<Object>,
    /// The OBJECT element in the node's text.
    pub object_raw: Option<Range<usize>>,
    /// OBJECT of METADATA/OWNER.
    pub owner: Option<Object>,
    /// The OWNER element in the node's text.
    pub owner_raw: Option<Range<usize>>,
    /// TIME of PRECONDITIONLIST.
    pub precondition: TimeCondition,
    /// What PRECONDITIONLIST holds that this library does not know.
    pub unknown_preconditions: Vec<String>,
    /// Raw CONDITIONLIST (a revocation list to be checked).
    pub revocation_raw: Option<Range<usize>>,
    /// RIGHT elements of RIGHTSGROUP, in order.
    pub rights: Vec<RightEntry>,
}

/// AUTHENTICATEDDATA: named data that the signature covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticatedData {
    /// `id` attribute, such as `Encrypted-Rights-Data` or `APPSPECIFIC`.
    pub id: String,
    /// `name` attribute.
    pub name: Option<String>,
    /// Text.
    pub value: String,
    /// The whole element in the node's text.
    pub raw: Range<usize>,
}

/// POLICYLIST: applications that may or may not open the content (MS-RMPR 2.2.9.7.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyList {
    /// `true` for `exclusion`, `false` for `inclusion`.
    pub exclusion: bool,
    /// The POLICY elements.
    pub policies: Vec<ApplicationPolicy>,
}

/// POLICY: one application, by file name and version span (MS-RMPR 2.2.9.7.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationPolicy {
    /// File name of the executable.
    pub filename: String,
    /// Lowest version the policy is about.
    pub min: String,
    /// Highest version the policy is about.
    pub max: String,
}

/// CONDITION of the BODY's CONDITIONLIST, such as an excluded span of operating systems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyCondition {
    /// `NAME` attribute.
    pub name: String,
    /// `TYPE` attribute.
    pub kind: String,
    /// Text.
    pub value: String,
}

impl Principal {
    /// Value of the SECURITYLEVEL of that name.
    #[must_use]
    pub fn security_level(&self, name: &str) -> Option<&str> {
        self.security_levels
            .iter()
            .find(|l| l.name == name)
            .map(|l| l.value.as_str())
    }

    fn read(element: Element<'_>) -> Result<Self, XrmlError> {
        let object = one(element, "OBJECT")?.ok_or(XrmlError::Missing("PRINCIPAL/OBJECT"))?;
        let enabling_bits = one(element, "ENABLINGBITS")?;
        Ok(Self {
            object: Object::read(object)?,
            key: one(element, "PUBLICKEY")?
                .map(read_public_key)
                .transpose()?,
            security_levels: SecurityLevel::read_all(element),
            enabling_bits: enabling_bits.map(EnablingBits::read).transpose()?,
            raw: element.range(),
            identity_raw: element
                .children()
                .filter(|c| matches!(c.name(), "OBJECT" | "PUBLICKEY" | "SECURITYLEVEL"))
                .map(|c| c.range())
                .collect(),
            object_raw: object.range(),
            enabling_bits_raw: enabling_bits.map(|bits| bits.range()),
        })
    }

    fn read_only_one(list: Element<'_>) -> Result<Self, XrmlError> {
        let principal = one(list, "PRINCIPAL")?.ok_or(XrmlError::Missing("PRINCIPAL"))?;
        Self::read(principal)
    }
}

impl Content {
    /// The first DISTRIBUTIONPOINT of that type.
    #[must_use]
    pub fn distribution_point(&self, kind: &str) -> Option<&DistributionPoint> {
        self.distribution_points
            .iter()
            .find(|point| point.kind() == kind)
    }

    /// The AUTHENTICATEDDATA of that id and name.
    #[must_use]
    pub fn authenticated(&self, id: &str, name: Option<&str>) -> Option<&AuthenticatedData> {
        self.authenticated_data
            .iter()
            .find(|data| data.id == id && data.name.as_deref() == name)
    }

    pub(crate) fn read(body: Element<'_>) -> Result<Self, XrmlError> {
        let mut content = Self {
            issued: read_time(body, "ISSUEDTIME")?,
            validity: one(body, "VALIDITYTIME")?.map(read_interval).transpose()?,
            descriptor: one(body, "DESCRIPTOR")?.map(read_descriptor).transpose()?,
            issuer: one(body, "ISSUER")?.map(Principal::read).transpose()?,
            distribution_points: Vec::new(),
            referral_raw: None,
            descriptor_raw: one(body, "DESCRIPTOR")?.map(|descriptor| descriptor.range()),
            principal: one(body, "ISSUEDPRINCIPALS")?
                .map(Principal::read_only_one)
                .transpose()?,
            principals_raw: one(body, "ISSUEDPRINCIPALS")?.map(|list| list.range()),
            federation_principal: one(body, "FEDERATIONPRINCIPALS")?
                .map(Principal::read_only_one)
                .transpose()?,
            work: one(body, "WORK")?.map(Work::read).transpose()?,
            authenticated_data: Vec::new(),
            policy_lists: Vec::new(),
            conditions: Vec::new(),
            condition_list: None,
            revocation_list: one(body, "REVOCATIONLIST")?.map(|list| list.range()),
            unknown: Vec::new(),
        };
        if let Some(list) = one(body, "CONDITIONLIST")? {
            content.condition_list = Some(list.range());
            content.conditions = list
                .children_named("CONDITION")
                .map(BodyCondition::read)
                .collect::<Result<_, _>>()?;
        }
        for child in body.children() {
            match child.name() {
                "DISTRIBUTIONPOINT" => {
                    let point = DistributionPoint::read(child)?;
                    if point.kind() == REFERRAL {
                        content.referral_raw.get_or_insert(child.range());
                    }
                    content.distribution_points.push(point);
                }
                "AUTHENTICATEDDATA" => content.authenticated_data.push(AuthenticatedData {
                    id: attribute(child, "id").unwrap_or_default(),
                    name: attribute(child, "name"),
                    value: text(child, "AUTHENTICATEDDATA")?,
                    raw: child.range(),
                }),
                "POLICYLIST" => content.policy_lists.push(PolicyList::read(child)?),
                "ISSUEDTIME"
                | "VALIDITYTIME"
                | "DESCRIPTOR"
                | "ISSUER"
                | "ISSUEDPRINCIPALS"
                | "FEDERATIONPRINCIPALS"
                | "WORK"
                | "CONDITIONLIST"
                | "REVOCATIONLIST" => {}
                other => content.unknown.push(other.to_owned()),
            }
        }
        Ok(content)
    }
}

impl Work {
    fn read(element: Element<'_>) -> Result<Self, XrmlError> {
        let object = one(element, "OBJECT")?;
        let owner = match one(element, "METADATA")? {
            Some(metadata) => one(metadata, "OWNER")?,
            None => None,
        };
        let mut unknown_preconditions = Vec::new();
        let mut precondition = TimeCondition::default();
        if let Some(list) = one(element, "PRECONDITIONLIST")? {
            precondition = TimeCondition::read_from(list, &mut unknown_preconditions)?;
            unknown_preconditions.extend(
                list.children()
                    .filter(|c| c.name() != "TIME")
                    .map(|c| c.name().to_owned()),
            );
        }
        Ok(Self {
            object: object.map(Object::read).transpose()?,
            object_raw: object.map(|object| object.range()),
            owner: owner.map(read_descriptor).transpose()?,
            owner_raw: owner.map(|owner| owner.range()),
            precondition,
            unknown_preconditions,
            revocation_raw: one(element, "CONDITIONLIST")?.map(|list| list.range()),
            rights: match one(element, "RIGHTSGROUP")? {
                Some(group) => match one(group, "RIGHTSLIST")? {
                    Some(list) => list
                        .children()
                        .map(RightEntry::read)
                        .collect::<Result<_, _>>()?,
                    None => Vec::new(),
                },
                None => Vec::new(),
            },
        })
    }
}

impl PolicyList {
    fn read(element: Element<'_>) -> Result<Self, XrmlError> {
        let exclusion = match attribute(element, "type").as_deref() {
            Some("exclusion") => true,
            Some("inclusion") => false,
            other => return Err(XrmlError::invalid("POLICYLIST type", format!("{other:?}"))),
        };
        let mut policies = Vec::new();
        for policy in element.children_named("POLICY") {
            let object = one(policy, "OBJECT")?.ok_or(XrmlError::Missing("POLICY/OBJECT"))?;
            let span = one(object, "VERSIONSPAN")?.ok_or(XrmlError::Missing("VERSIONSPAN"))?;
            policies.push(ApplicationPolicy {
                filename: child_text(object, "ID", "POLICY/OBJECT/ID")?,
                min: attribute(span, "min").ok_or(XrmlError::Missing("VERSIONSPAN min"))?,
                max: attribute(span, "max").ok_or(XrmlError::Missing("VERSIONSPAN max"))?,
            });
        }
        Ok(Self {
            exclusion,
            policies,
        })
    }
}

impl BodyCondition {
    fn read(element: Element<'_>) -> Result<Self, XrmlError> {
        Ok(Self {
            name: attribute(element, "NAME").unwrap_or_default(),
            kind: attribute(element, "TYPE").unwrap_or_default(),
            value: text(element, "CONDITION")?,
        })
    }
}

fn read_descriptor(element: Element<'_>) -> Result<Object, XrmlError> {
    Object::read(one(element, "OBJECT")?.ok_or(XrmlError::Missing("OBJECT"))?)
}

/// `type` of the DISTRIBUTIONPOINT that says where to ask for more rights.
const REFERRAL: &str = "Referral-Info";
