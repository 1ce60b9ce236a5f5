//! Who may use which service, and how they sign in there: each part of the server by its own
//! rule, with the defaults of the product (closed parts stay closed until groups are named).

use std::collections::BTreeMap;
use std::fmt;

use openrms_directory::{Address, Sid};
use openrms_protocol::Service;
use serde::Deserialize;

/// A part of the server, as the configuration file names it. Paths that serve the same thing
/// belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Activation of version 1.0 clients.
    Activation,
    /// RACs for people.
    Certification,
    /// RACs for servers that act for people.
    ServerCertification,
    /// RACs for mobile devices.
    MobileCertification,
    /// RACs of others without their private keys, for servers that hold mail for them.
    Precertification,
    /// The SLC and what the server is.
    Server,
    /// Where services are.
    ServiceLocator,
    /// ULs.
    Licensing,
    /// PLs on line, and CLCs.
    Publishing,
    /// Changes of the rights in what is published already.
    Republishing,
    /// Rights policy templates.
    Templates,
    /// Whether somebody is in a group of this forest, for servers of other forests.
    GroupExpansion,
    /// Content keys in clear, once the cluster is decommissioned.
    Decommission,
    /// SLCs for licensing clusters, at their root cluster.
    SubEnrollment,
    /// SLCs for servers, at the trust anchor; [`crate::config::Enrollment`] says from where.
    Enrollment,
}

/// A way to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// HTTP Basic against the people list.
    Basic,
    /// HTTP Negotiate with Kerberos.
    Negotiate,
    /// NTLM, for clients that know nothing better.
    Ntlm,
    /// An access token of an issuer of `OpenID` Connect.
    Bearer,
    /// A TLS client certificate or smart card.
    Certificate,
}

/// Who may use a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Nobody.
    Closed,
    /// Programs on this machine; who they are is looked at only if they say so themselves.
    Here,
    /// Whoever reaches it; who they are is looked at only if they say so themselves.
    Anyone,
    /// Whoever signs in.
    SignedIn,
    /// Whoever signs in and is in one of these groups.
    Members(Vec<GroupRef>),
}

/// A group that opens a part.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum GroupRef {
    /// By security identifier.
    Sid(Sid),
    /// By mail address.
    Address(Address),
}

/// What the configuration file says of one part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PartRule {
    /// Who may use it; with `groups` not needed.
    pub access: Option<OpenTo>,
    /// Groups whose members may use it, by SID or mail address.
    pub groups: Vec<GroupRef>,
    /// The ways to sign in, of those that are switched on; all of them when absent.
    pub schemes: Option<Vec<Scheme>>,
}

/// To whom a part is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpenTo {
    /// Nobody.
    Nobody,
    /// Whoever reaches it.
    Anyone,
    /// Whoever signs in.
    SignedIn,
}

/// The rule of every part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessRules(BTreeMap<Part, PartRule>);

/// Why rules cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// Groups for a part that is open to all, or to nobody.
    #[error("[services.{0:?}] names groups, but access is not signed-in")]
    GroupsWithout(Part),
    /// A part where people must say who they are cannot be open to all.
    #[error("[services.{0:?}] cannot be open to anyone: it is about who is calling")]
    NeedsCaller(Part),
}

impl Part {
    /// The part a service belongs to; `None` for one that has no rule, and is closed.
    pub fn of(service: Service) -> Option<Self> {
        Some(match service {
            Service::Activation => Self::Activation,
            Service::Certification | Service::CertificationExternal => Self::Certification,
            Service::ServerCertification => Self::ServerCertification,
            Service::MobileCertification => Self::MobileCertification,
            Service::Precertification => Self::Precertification,
            Service::CertificationServer
            | Service::LicensingServer
            | Service::CertificationExternalServer
            | Service::LicensingExternalServer => Self::Server,
            Service::CertificationServiceLocator
            | Service::LicensingServiceLocator
            | Service::CertificationExternalServiceLocator
            | Service::LicensingExternalServiceLocator => Self::ServiceLocator,
            Service::License | Service::LicenseExternal => Self::Licensing,
            Service::Publish | Service::PublishExternal => Self::Publishing,
            Service::EditIssuanceLicense => Self::Republishing,
            Service::TemplateDistribution => Self::Templates,
            Service::GroupExpansion => Self::GroupExpansion,
            Service::Decommission => Self::Decommission,
            Service::Enrollment => Self::Enrollment,
            Service::SubEnrollment => Self::SubEnrollment,
            _ => return None,
        })
    }

    /// Whether its answers are about the caller (MS-RMPR 3.1.4.1).
    fn is_about_caller(self) -> bool {
        matches!(
            self,
            Self::Certification
                | Self::ServerCertification
                | Self::MobileCertification
                | Self::Precertification
                | Self::Republishing
                | Self::GroupExpansion
                | Self::Decommission
                | Self::SubEnrollment
        )
    }
}

impl AccessRules {
    /// Checks what the configuration file says.
    pub fn new(rules: BTreeMap<Part, PartRule>) -> Result<Self, AccessError> {
        for (&part, rule) in &rules {
            let open = matches!(rule.access, Some(OpenTo::Nobody | OpenTo::Anyone));
            if open && !rule.groups.is_empty() {
                return Err(AccessError::GroupsWithout(part));
            }
            if rule.access == Some(OpenTo::Anyone) && part.is_about_caller() {
                return Err(AccessError::NeedsCaller(part));
            }
        }
        Ok(Self(rules))
    }

    /// Who may use a service. `integrated` is whether people sign in without being asked for a
    /// password (Kerberos, NTLM): then the product asks them everywhere.
    pub fn access(&self, service: Service, integrated: bool) -> Access {
        let Some(part) = Part::of(service) else {
            return Access::Closed;
        };
        let rule = self.0.get(&part);
        if let Some(rule) = rule.filter(|rule| !rule.groups.is_empty()) {
            return Access::Members(rule.groups.clone());
        }
        match rule.and_then(|rule| rule.access) {
            Some(OpenTo::Nobody) => Access::Closed,
            Some(OpenTo::Anyone) => Access::Anyone,
            Some(OpenTo::SignedIn) => Access::SignedIn,
            // No ticket is taken there, and who opens a file there was signed in to be certified.
            None => default_access(part, integrated && !service.is_external()),
        }
    }

    /// The ways to sign in at a service: federated sign-on at the external paths and nothing else
    /// (MS-RMPR 3.1.4.2), whatever is said of the part.
    pub fn allows(&self, service: Service, scheme: Scheme) -> bool {
        if service.is_external() {
            return scheme == Scheme::Bearer;
        }
        let rule = Part::of(service).and_then(|part| self.0.get(&part));
        let listed = rule
            .and_then(|rule| rule.schemes.as_ref())
            .map(|schemes| schemes.contains(&scheme));
        listed.unwrap_or(true)
    }
}

impl TryFrom<String> for GroupRef {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.contains('@') {
            let address = text.parse().map_err(|error| format!("{text:?}: {error}"))?;
            return Ok(Self::Address(address));
        }
        let sid = text
            .parse()
            .map_err(|_| format!("{text:?} is neither a SID nor a mail address"))?;
        Ok(Self::Sid(sid))
    }
}

impl fmt::Display for GroupRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sid(sid) => sid.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

fn default_access(part: Part, integrated: bool) -> Access {
    match part {
        Part::Activation | Part::Enrollment => Access::Anyone,
        Part::ServerCertification
        | Part::MobileCertification
        | Part::GroupExpansion
        | Part::Decommission => Access::Closed,
        Part::SubEnrollment => Access::Here,
        // What the request carries says whose it is; a password need not travel with it.
        Part::Server | Part::Licensing | Part::Publishing | Part::Templates if !integrated => {
            Access::Anyone
        }
        _ => Access::SignedIn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Result<AccessRules, String> {
        let rules: BTreeMap<Part, PartRule> = toml::from_str(text).map_err(|e| e.to_string())?;
        AccessRules::new(rules).map_err(|error| error.to_string())
    }

    #[test]
    fn what_the_product_keeps_closed_opens_for_named_groups_only() {
        let none = AccessRules::default();
        for service in [
            Service::ServerCertification,
            Service::MobileCertification,
            Service::GroupExpansion,
            Service::Decommission,
        ] {
            assert_eq!(none.access(service, true), Access::Closed);
        }
        let opened = rules(
            "[server-certification]\ngroups = [\"S-1-5-21-1-2-3-1105\", \"servers@corp.example\"]",
        )
        .unwrap();
        let Access::Members(groups) = opened.access(Service::ServerCertification, false) else {
            panic!("not opened");
        };
        assert_eq!(groups.len(), 2);
        assert_eq!(
            opened.access(Service::MobileCertification, false),
            Access::Closed
        );
    }

    #[test]
    fn licensing_asks_who_is_there_where_tickets_do_and_passwords_need_not_travel() {
        let none = AccessRules::default();
        assert_eq!(none.access(Service::License, true), Access::SignedIn);
        assert_eq!(none.access(Service::SubEnrollment, true), Access::Here);
        assert_eq!(none.access(Service::License, false), Access::Anyone);
        let anonymous = rules("[licensing]\naccess = \"anyone\"").unwrap();
        assert_eq!(anonymous.access(Service::License, true), Access::Anyone);
        assert_eq!(anonymous.access(Service::Publish, true), Access::SignedIn);
        // Tickets are of no use there.
        assert_eq!(none.access(Service::LicenseExternal, true), Access::Anyone);
        assert_eq!(
            none.access(Service::CertificationExternal, true),
            Access::SignedIn
        );
    }

    #[test]
    fn external_paths_take_tokens_and_nothing_else() {
        let none = AccessRules::default();
        assert!(none.allows(Service::CertificationExternal, Scheme::Bearer));
        assert!(!none.allows(Service::CertificationExternal, Scheme::Negotiate));
        let no_basic = rules("[certification]\nschemes = [\"negotiate\"]").unwrap();
        assert!(no_basic.allows(Service::CertificationExternal, Scheme::Bearer));
        assert!(!no_basic.allows(Service::CertificationExternal, Scheme::Negotiate));
        assert!(!no_basic.allows(Service::Certification, Scheme::Basic));
        assert!(no_basic.allows(Service::License, Scheme::Basic));
    }

    #[test]
    fn rules_that_contradict_themselves_are_refused_by_name() {
        let groups = "groups = [\"a@b.example\"]\n";
        assert!(rules(&format!("[licensing]\naccess = \"anyone\"\n{groups}")).is_err());
        assert!(rules("[certification]\naccess = \"anyone\"").is_err());
        assert!(rules("[decommission]\naccess = \"anyone\"").is_err());
        assert!(rules("[sub-enrollment]\naccess = \"anyone\"").is_err());
        assert!(rules("[licencing]\naccess = \"anyone\"").is_err());
        assert!(rules("[licensing]\ngroups = [\"Domain Users\"]").is_err());
    }
}
