//! The backup that goes before an upgrade (S21, S23): it opens, every part of it is whole, and it is of
//! this cluster as it is now.

use openrms_engine::authority;
use openrms_store::ConfigurationSnapshot;
use openrms_xrml::Time;

use super::check::{Check, Rule};
use super::preflight::{BackupFile, PreflightOptions};
use super::survey::Survey;
use crate::backup::{self, Drill, Held, Keeping, Verified};

/// Looks at the backup: whether there is a good one, and whether it has the log. Blocks.
pub(super) fn check(survey: &Survey, options: &PreflightOptions, now: Time) -> [Check; 2] {
    if survey.missing().is_empty() {
        let found = "nothing is to be changed";
        return [BACKUP.not_applicable(found), LOG.not_applicable(found)];
    }
    let Some(BackupFile { path, password }) = &options.backup else {
        let none = "no backup is named";
        let log = LOG.warning(none, NO_LOG);
        if options.without_backup {
            let advice = "Without one the way back keeps what was changed since.";
            return [BACKUP.warning(none, advice), log];
        }
        return [BACKUP.refused(none, MAKE), log];
    };
    match backup::examine_archive(path, password, None, now) {
        Err(error) => [
            BACKUP.refused(error, MAKE),
            LOG.not_applicable("the backup does not open"),
        ],
        Ok((drill, held)) => [
            judge(survey, &drill, &held),
            log(drill.events, options.keep_statistics),
        ],
    }
}

fn judge(survey: &Survey, drill: &Drill, held: &Held) -> Check {
    let here = survey.stored.policies.base_url.as_deref();
    if here != Some(drill.of.url.as_str()) {
        let found = format!("the backup is one of {}", drill.of.url);
        return BACKUP.refused(found, MAKE);
    }
    if let Some(wrong) = drill.checks.iter().find(|check| check.ok == Some(false)) {
        return BACKUP.refused(format!("{}: {}", wrong.name, wrong.detail), MAKE);
    }
    let made = format!(
        "made at {} by release {}",
        Time::from_unix(drill.of.created),
        drill.of.release
    );
    let changed = differences(survey, held);
    if !changed.is_empty() {
        let found = format!("{made}; since then was changed: {}", changed.join(", "));
        return BACKUP.refused(found, MAKE);
    }
    let found = format!("{made}, {} rows, opened and whole", drill.rows);
    match drill.of.keys {
        Keeping::KeyFile | Keeping::Password => BACKUP.ok(found),
        Keeping::Elsewhere => BACKUP.warning(found, NO_KEY),
        Keeping::SecurityModule => BACKUP.warning(found, IN_MODULE),
    }
}

/// What of the configuration is another than in the backup. What was remembered of the backup itself
/// came after it, and so did what an upgrade adds that was begun.
fn differences(survey: &Survey, held: &Held) -> Vec<&'static str> {
    let parts = |stored: &ConfigurationSnapshot| {
        let mut stored = stored.clone();
        Verified::forget(&mut stored);
        stored
    };
    let (now, then) = (parts(&survey.stored), parts(&held.stored));
    let is_lost = |role| !survey.roles.contains(role);
    let is_new = |role| !held.roles.contains(role) && !authority::is_for_activation(role);
    let roles_differ = held.roles.iter().any(is_lost) || survey.roles.iter().any(is_new);
    [
        ("policies", now.policies != then.policies),
        ("settings", now.settings != then.settings),
        (
            "keys of the server",
            now.licensor_keys != then.licensor_keys,
        ),
        ("templates", now.templates != then.templates),
        (
            "trusted user domains",
            now.trusted_user_domains != then.trusted_user_domains,
        ),
        (
            "trusted publishing domains",
            now.trusted_publishing_domains != then.trusted_publishing_domains,
        ),
        (
            "trusted activation",
            now.trusted_spc_ca_keys != then.trusted_spc_ca_keys,
        ),
        (
            "excluded applications",
            now.application_exclusions != then.application_exclusions,
        ),
        (
            "excluded certificates",
            now.rac_exclusions != then.rac_exclusions,
        ),
        (
            "revocation authorities",
            now.revocation_authorities != then.revocation_authorities,
        ),
        ("trust anchor", roles_differ),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}

fn log(events: u64, wanted: bool) -> Check {
    match (events, wanted) {
        (1.., _) => LOG.ok(format!("{events} events are in the backup")),
        (0, true) => LOG.refused("no event is in the backup", WITH_LOG),
        (0, false) => LOG.warning("the log is not in the backup", NO_LOG),
    }
}

const BACKUP: Rule = Rule {
    id: "S21",
    name: "backup",
};
const LOG: Rule = Rule {
    id: "S23",
    name: "statistics",
};
const MAKE: &str = "Make one with the release that serves now, `rmsd backup -o FILE`, and name it: \
                    --backup FILE.";
const NO_KEY: &str = "The key is not in it: keep the key file or the password apart, and safe.";
const IN_MODULE: &str = "The keys are in the security module: back it up with its own tools.";
const WITH_LOG: &str = "Make it with the log in it: `rmsd backup --with-logs`.";
const NO_LOG: &str =
    "An upgrade leaves the log as it is; what is restored from this backup has none.";
