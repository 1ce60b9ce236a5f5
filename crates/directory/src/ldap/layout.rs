//! Where things are in a forest: the naming context to search and the domains
//! (MS-ADTS 3.1.1.3.2 and 6.1.1.2.1.1.2, `rootDSE` and `crossRef`).

use ldap3::Scope;

use super::connection::Search;
use super::entry::invalid;
use super::pool::Pool;
use crate::DirectoryError;

/// What a directory says of itself.
#[derive(Debug)]
pub(super) struct Layout {
    /// Where searches begin.
    pub(super) base: String,
    domains: Vec<Domain>,
}

#[derive(Debug)]
struct Domain {
    netbios: String,
    context: String,
}

impl Layout {
    /// Asks for what the settings leave open.
    pub(super) async fn read(pool: &Pool) -> Result<Self, DirectoryError> {
        let settings = pool.settings();
        if let (Some(base), Some(domain)) = (&settings.base_dn, &settings.domain) {
            return Self::given(pool, base, domain).await;
        }
        let root = pool
            .search(&search(
                "",
                Scope::Base,
                "(objectClass=*)",
                &[DEFAULT_CONTEXT, ROOT_CONTEXT, CONFIGURATION],
                1,
            ))
            .await?;
        let root = root.first().ok_or_else(|| invalid("rootDSE", "missing"))?;
        let context = if settings.is_forest_wide() {
            ROOT_CONTEXT
        } else {
            DEFAULT_CONTEXT
        };
        let base = match &settings.base_dn {
            Some(base) => base.clone(),
            None => root
                .text(&context.to_lowercase())
                .ok_or_else(|| invalid("rootDSE", "without a naming context"))?
                .to_owned(),
        };
        if let Some(domain) = &settings.domain {
            return Self::given(pool, &base, domain).await;
        }
        check_base(pool, &base).await?;
        let domains = match root.text(&CONFIGURATION.to_lowercase()) {
            Some(configuration) => domains(pool, configuration).await?,
            None => Vec::new(),
        };
        Ok(Self { base, domains })
    }

    async fn given(pool: &Pool, base: &str, domain: &str) -> Result<Self, DirectoryError> {
        check_base(pool, base).await?;
        Ok(Self {
            base: base.to_owned(),
            domains: vec![Domain {
                netbios: domain.to_owned(),
                context: base.to_owned(),
            }],
        })
    }

    /// The naming context of a domain, by its `NetBIOS` name in any case.
    pub(super) fn context_of(&self, netbios: &str) -> Option<&str> {
        let wanted = netbios.to_lowercase();
        self.domains
            .iter()
            .find(|domain| domain.netbios.to_lowercase() == wanted)
            .map(|domain| domain.context.as_str())
    }

    /// The `NetBIOS` name of the domain that an object is in.
    pub(super) fn domain_of(&self, dn: &str) -> Option<&str> {
        let dn = dn.to_lowercase();
        // A domain below another one ends like that one.
        self.domains
            .iter()
            .filter(|domain| is_below(&dn, &domain.context.to_lowercase()))
            .max_by_key(|domain| domain.context.len())
            .map(|domain| domain.netbios.as_str())
    }
}

/// A search for further attributes than those of objects.
pub(super) fn search(
    base: &str,
    scope: Scope,
    filter: &str,
    attributes: &[&str],
    enough: usize,
) -> Search {
    Search {
        base: base.to_owned(),
        scope,
        filter: filter.to_owned(),
        attributes: attributes.iter().map(|&name| name.to_owned()).collect(),
        enough,
    }
}

/// A base that does not exist would otherwise look like a directory without anybody.
async fn check_base(pool: &Pool, base: &str) -> Result<(), DirectoryError> {
    let found = pool
        .search(&search(base, Scope::Base, "(objectClass=*)", &["1.1"], 1))
        .await?;
    if found.is_empty() {
        return Err(invalid("base DN", "no such object"));
    }
    Ok(())
}

async fn domains(pool: &Pool, configuration: &str) -> Result<Vec<Domain>, DirectoryError> {
    let partitions = format!("CN=Partitions,{configuration}");
    let filter = "(&(objectClass=crossRef)(nETBIOSName=*))";
    let attributes = ["nETBIOSName", "nCName"];
    let found = pool
        .search(&search(
            &partitions,
            Scope::OneLevel,
            filter,
            &attributes,
            MAX_DOMAINS + 1,
        ))
        .await?;
    if found.len() > MAX_DOMAINS {
        return Err(DirectoryError::LimitExceeded {
            what: "domains of a forest",
        });
    }
    let domain = |netbios: &str, context: &str| Domain {
        netbios: netbios.to_owned(),
        context: context.to_owned(),
    };
    Ok(found
        .iter()
        .filter_map(|entry| Some(domain(entry.text("netbiosname")?, entry.text("ncname")?)))
        .collect())
}

/// Whether a DN ends in a context, both in lower case.
fn is_below(dn: &str, context: &str) -> bool {
    match dn.strip_suffix(context) {
        Some(rest) => rest.is_empty() || rest.ends_with(','),
        None => false,
    }
}

const DEFAULT_CONTEXT: &str = "defaultNamingContext";
const ROOT_CONTEXT: &str = "rootDomainNamingContext";
const CONFIGURATION: &str = "configurationNamingContext";
const MAX_DOMAINS: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_in_the_lowest_domain_it_is_below() {
        let domain = |netbios: &str, context: &str| Domain {
            netbios: netbios.to_owned(),
            context: context.to_owned(),
        };
        let layout = Layout {
            base: "DC=corp,DC=example".to_owned(),
            domains: vec![
                domain("CORP", "DC=corp,DC=example"),
                domain("SUB", "DC=sub,DC=corp,DC=example"),
            ],
        };
        assert_eq!(layout.domain_of("CN=a,dc=Corp,DC=example"), Some("CORP"));
        assert_eq!(
            layout.domain_of("CN=a,DC=sub,DC=corp,DC=example"),
            Some("SUB")
        );
        assert_eq!(layout.domain_of("CN=a,DC=notcorp,DC=example"), None);
        assert_eq!(
            layout.domain_of("CN=a,DC=xsub,DC=corp,DC=example"),
            Some("CORP")
        );
        assert_eq!(layout.context_of("sub"), Some("DC=sub,DC=corp,DC=example"));
        assert_eq!(layout.context_of("other"), None);
    }
}
