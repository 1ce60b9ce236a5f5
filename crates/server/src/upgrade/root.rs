//! Root clusters are upgraded before the licensing clusters below them (S29): the root cluster is
//! asked which release serves there (MS-RMPR 3.7.4.3).

use openrms_protocol::ServiceLevel;

use super::check::{Check, Rule};
use super::release::{self, RELEASE};
use super::survey::Survey;
use crate::config::Config;
use crate::enrollment::{self, Certifier, EnrollError, OnLine, SignIn};
use crate::root_cluster::RootSignIn;

/// Looks whether the root cluster was upgraded. `without` is for whoever knows better.
pub(super) async fn check(survey: &Survey, config: &Config, without: bool) -> Check {
    let Certifier::Root(url) = Certifier::of(&survey.stored, &survey.roles) else {
        return RULE.not_applicable("this is no licensing cluster");
    };
    let asked = match ask(&url, config).await {
        Ok((version, release)) => judge(&url, &version, release.as_deref(), config.service_level),
        Err(error) => RULE.refused(
            format!("{url} does not say which release it is: {error}"),
            UNASKED,
        ),
    };
    match asked {
        refused if without && refused.verdict == super::Verdict::Refused => {
            RULE.warning(refused.found, "It goes on at your word (--without-root).")
        }
        asked => asked,
    }
}

async fn ask(url: &str, config: &Config) -> Result<(String, Option<String>), EnrollError> {
    let sign_in = config.root_cluster.as_ref().map(RootSignIn::open);
    let by = OnLine {
        sign_in: sign_in.transpose()?.unwrap_or(SignIn::Nobody),
        proxy: config.outbound_proxy.clone(),
    };
    enrollment::version_of_root(url, &by).await
}

fn judge(url: &str, version: &str, release: Option<&str>, own: ServiceLevel) -> Check {
    let Some(level) = ServiceLevel::of_version(version) else {
        let found = format!("{url} says that it is version {version:?}, which is none");
        return RULE.refused(found, UNASKED);
    };
    if level < own {
        let found = format!("{url} behaves as level {level}, and this server is to be {own}");
        return RULE.refused(found, FIRST);
    }
    match release.map(|release| (release, release::is_older(release))) {
        Some((release, Some(false))) => RULE.ok(format!("{url} is release {release}")),
        Some((release, _)) => {
            let found = format!("{url} is release {release}, this is {RELEASE}");
            RULE.refused(found, FIRST)
        }
        None => {
            let found =
                format!("{url} names no release: it is older than {RELEASE}, or of another maker");
            RULE.refused(found, UNASKED)
        }
    }
}

const RULE: Rule = Rule {
    id: "S29",
    name: "root cluster",
};
const FIRST: &str = "Upgrade the root cluster first.";
const UNASKED: &str = "Upgrade the root cluster first. Where it was, or is of another maker, say \
                       --without-root.";

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Ok, Refused};
    use super::*;

    #[test]
    fn s29_only_a_root_cluster_that_is_as_new_is_enough() {
        use ServiceLevel::{Sp1, V2};
        for (version, release, own, verdict) in [
            ("6.3.0.0", Some(RELEASE), V2, Ok),
            ("6.3.0.0", Some("99.0.0"), V2, Ok),
            ("5.1.0.0", Some(RELEASE), Sp1, Ok),
            ("5.1.0.0", Some(RELEASE), V2, Refused),
            ("6.3.0.0", Some("0.1.0"), V2, Refused),
            ("6.3.0.0", Some("newest"), V2, Refused),
            ("6.3.0.0", None, V2, Refused),
            ("", Some(RELEASE), V2, Refused),
        ] {
            let check = judge("https://root.example", version, release, own);
            assert_eq!(check.verdict, verdict, "{check:?}");
        }
    }
}
