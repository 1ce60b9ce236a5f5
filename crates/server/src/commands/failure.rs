//! What a command failed with, and the exit code that scripts get for it.

use std::io::ErrorKind;

use openrms_directory::scp::ScpError;
use openrms_directory::{DirectoryError, PeopleError};
use openrms_engine::authority::AuthorityError;
use openrms_protocol::level::NotAtLevel;
use openrms_store::StoreError;
use serde::Serialize;
use serde_json::Value;

use crate::authority::TrustError;
use crate::backup::archive::ArchiveError;
use crate::backup::records::RecordError;
use crate::backup::{BackupError, LogRestoreError, RestoreError};
use crate::bundle::BundleError;
use crate::config::ConfigError;
use crate::credential::CredentialError;
use crate::decommission::DecommissionError;
use crate::directory::DirectoryStartError;
use crate::fips::FipsError;
use crate::http::ListenError;
use crate::key_protection::KeyProtectionError;
use crate::mode_upgrade::ModeUpgradeError;
use crate::moving::MoveError;
use crate::open::OpenError;
use crate::people::PeopleFileError;
use crate::policies::PoliciesError;
use crate::provision::{EnrollError, ProvisionError};
use crate::repo::RepoError;
use crate::repo::manifest::ManifestError;
use crate::running::StartError;
use crate::service_manager::SocketsError;
use crate::snapshot::LoadError;
use crate::template::TemplateError;

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    /// Exit code.
    pub exit: u8,
    /// Stable name.
    pub code: &'static str,
    /// What went wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// What was found all the same, for scripts.
    pub found: Option<Value>,
}

impl Failure {
    #[allow(
        clippy::needless_pass_by_value,
        reason = "errors and texts are both handed over"
    )]
    pub(super) fn new(exit: u8, code: &'static str, message: impl ToString) -> Self {
        Self {
            exit,
            code,
            message: message.to_string(),
            hint: None,
            found: None,
        }
    }

    pub(super) fn failed(message: impl ToString) -> Self {
        Self::new(FAILED, "failed", message)
    }

    pub(super) fn usage(message: impl ToString) -> Self {
        Self::new(USAGE, "usage", message)
    }

    /// With what was found all the same.
    pub(super) fn beside(mut self, found: &impl Serialize) -> Self {
        self.found = serde_json::to_value(found).ok();
        self
    }

    pub(super) fn with_hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }
}

impl From<NotAtLevel> for Failure {
    fn from(error: NotAtLevel) -> Self {
        let (oldest, _) = error.feature.servers();
        Self::new(FAILED, "service-level", error).with_hint(&format!(
            "It takes service_level = \"{oldest}\" or later in the configuration file."
        ))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::File { .. } => Self::new(FAILED, "no-configuration", error).with_hint(
                "Name the configuration with --config FILE or the data with --data DIR, or set a \
                 cluster up with `rmsd provision`.",
            ),
            _ => Self::new(MALFORMED, "bad-configuration", error),
        }
    }
}

impl From<SocketsError> for Failure {
    fn from(error: SocketsError) -> Self {
        Self::new(FAILED, "sockets", error)
    }
}

impl From<FipsError> for Failure {
    fn from(error: FipsError) -> Self {
        match error {
            FipsError::NotValidated(_) => Self::new(FAILED, "fips-no-module", error),
            FipsError::ModeOne | FipsError::KeyOfModeOne(_) => {
                Self::new(FAILED, "fips-mode-1", error)
            }
            FipsError::Ntlm => Self::new(FAILED, "fips-ntlm", error),
        }
    }
}

impl From<KeyProtectionError> for Failure {
    fn from(error: KeyProtectionError) -> Self {
        use KeyProtectionError as E;
        match error {
            E::Credential(CredentialError::None) => Self::new(FAILED, "no-credential", error)
                .with_hint(
                    "Name the password or PIN under [credential] (password_file, systemd), or run \
                     the command at a terminal.",
                ),
            E::WrongPassword(_) => Self::new(DENIED, "wrong-password", error),
            E::WrongKeyFile(_) => Self::new(DENIED, "wrong-key-file", error),
            E::WrongToken(_) => Self::new(DENIED, "wrong-token", error),
            E::Module(_) => Self::new(FAILED, "security-module", error),
            E::Damaged(_) => Self::new(MALFORMED, "damaged-key-protection", error),
            E::Store(error) => Self::failed(error),
            _ => Self::new(FAILED, "key-protection", error),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::NotProvisioned(_) => Self::new(FAILED, "not-provisioned", error),
            OpenError::Keys(error) => error.into(),
            OpenError::Fips(error) => error.into(),
            _ => Self::failed(error),
        }
    }
}

/// Of a database that a command is about, named apart from what a server does with its own.
impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unreachable { .. } | StoreError::Busy => {
                Self::new(UNREACHABLE, "database-unreachable", error)
            }
            StoreError::SignIn { .. } | StoreError::Denied { .. } => {
                Self::new(DENIED, "database-denied", error)
            }
            StoreError::Missing { .. } => Self::new(FAILED, "no-database", error)
                .with_hint("An administrator of the database server makes it."),
            StoreError::InUse { .. } => Self::new(FAILED, "database-in-use", error),
            StoreError::Moved { .. } => Self::new(FAILED, "database-moved", error),
            StoreError::Unfinished { .. } => Self::new(FAILED, "restore-unfinished", error)
                .with_hint("Give the `rmsd restore` that was begun once more."),
            StoreError::SchemaTooNew { .. } => Self::new(FAILED, "schema-too-new", error),
            _ => Self::new(FAILED, "database", error),
        }
    }
}

impl From<MoveError> for Failure {
    fn from(error: MoveError) -> Self {
        match error {
            MoveError::From(error) | MoveError::To(error) => error.into(),
            MoveError::NotEmpty { .. } => Self::new(FAILED, "database-not-empty", error)
                .with_hint("Name an empty one: nothing that is there is written over."),
            MoveError::Changed => Self::new(FAILED, "database-in-use", error)
                .with_hint("What was written to the new database is to be deleted there."),
            MoveError::Differs { .. } => Self::new(FAILED, "database-differs", error)
                .with_hint("What was written to the new database is to be deleted there."),
            MoveError::Open(error) => error.into(),
            MoveError::BrokenOff => Self::failed(error),
        }
    }
}

impl From<TrustError> for Failure {
    fn from(error: TrustError) -> Self {
        match error {
            TrustError::Authority(_) => Self::new(FAILED, "no-authority", error)
                .with_hint("Make one with `rmsd provision root` or `rmsd authority create`."),
            _ => Self::failed(error),
        }
    }
}

impl From<BundleError> for Failure {
    fn from(error: BundleError) -> Self {
        match error {
            BundleError::Config(error) => error.into(),
            BundleError::Open(error) => error.into(),
            BundleError::Trust(error) => error.into(),
            BundleError::NotProvisioned => Self::new(FAILED, "not-provisioned", error),
        }
    }
}

impl From<PeopleFileError> for Failure {
    fn from(error: PeopleFileError) -> Self {
        match &error {
            PeopleFileError::List {
                error: PeopleError::Syntax { .. },
                ..
            } => Self::new(MALFORMED, "bad-people-list", error),
            PeopleFileError::List { .. } | PeopleFileError::Stored(_) => {
                Self::new(FAILED, "people", error)
            }
            PeopleFileError::Store(StoreError::VersionConflict { .. }) => {
                Self::new(FAILED, "changed-meanwhile", error).with_hint("Give the command again.")
            }
            PeopleFileError::File { .. } | PeopleFileError::Open(_) | PeopleFileError::Store(_) => {
                Self::failed(error)
            }
        }
    }
}

impl From<ProvisionError> for Failure {
    fn from(error: ProvisionError) -> Self {
        match error {
            ProvisionError::Url { .. } => Self::new(USAGE, "bad-url", error),
            ProvisionError::AlreadyProvisioned { .. } => {
                Self::new(FAILED, "already-provisioned", error)
                    .with_hint("Name another data directory with --data DIR.")
            }
            ProvisionError::NothingToJoin(_) => Self::new(FAILED, "nothing-to-join", error),
            ProvisionError::OtherServer { .. } => Self::new(FAILED, "other-server", error)
                .with_hint("Name another data directory with --data DIR."),
            ProvisionError::Running(_) => Self::new(FAILED, "server-running", error),
            ProvisionError::Config(error) => error.into(),
            ProvisionError::Authority(AuthorityError::OtherMode(_)) => {
                Self::new(FAILED, "authority-mode", error)
            }
            ProvisionError::Fips(error) => error.into(),
            ProvisionError::Keys(error) => error.into(),
            ProvisionError::Open(error) => error.into(),
            ProvisionError::PeopleFile(error) => error.into(),
            ProvisionError::Trust(error) => error.into(),
            ProvisionError::Enroll(error) => error.into(),
            ProvisionError::Level(error) => error.into(),
            _ => Self::failed(error),
        }
    }
}

impl From<EnrollError> for Failure {
    fn from(error: EnrollError) -> Self {
        match error {
            EnrollError::Unreachable { .. } => {
                Self::new(UNREACHABLE, "authority-unreachable", error)
            }
            EnrollError::Refused(_) => Self::new(DENIED, "enrollment-refused", error),
            EnrollError::SignIn { .. } => Self::new(DENIED, "sign-in-refused", error),
            EnrollError::Password(_) => Self::new(FAILED, "no-credential", error),
            EnrollError::NotPrivate(_) => Self::new(DENIED, "not-private", error),
            EnrollError::Kerberos(_) => Self::new(DENIED, "kerberos-failed", error)
                .with_hint("`kinit NAME` gets a ticket, and `klist` shows it."),
            EnrollError::Malformed { .. } => Self::new(MALFORMED, "malformed", error),
            EnrollError::Forged(_) => Self::new(NOT_TRUSTED, "certificate-forged", error),
            EnrollError::OtherServer(_) => Self::new(NOT_TRUSTED, "other-server", error)
                .with_hint("Have the request of this very server signed, as it was written."),
            EnrollError::Untrusted(_) => Self::new(NOT_TRUSTED, "authority-not-trusted", error),
            EnrollError::OtherHierarchy => Self::new(NOT_TRUSTED, "other-hierarchy", error),
            EnrollError::OtherKind(_) => Self::new(NOT_TRUSTED, "other-kind-of-cluster", error),
            EnrollError::OtherMode(_) => Self::new(NOT_TRUSTED, "other-mode", error),
            EnrollError::Expired(_) => Self::new(NOT_TRUSTED, "certificate-expired", error),
            EnrollError::NotYetValid(_) => {
                Self::new(NOT_TRUSTED, "certificate-not-yet-valid", error)
            }
            EnrollError::ByFiles => Self::new(FAILED, "enrolled-by-files", error)
                .with_hint("`rmsd renew --request FILE` writes what is to be signed."),
            EnrollError::NoBundle => Self::new(FAILED, "no-client-bundle", error)
                .with_hint("Name the file that `rmsd client-bundle` wrote there, with --bundle."),
            EnrollError::NotProvisioned => Self::new(FAILED, "not-provisioned", error),
            EnrollError::Trust(error) => error.into(),
            EnrollError::Level(error) => error.into(),
            _ => Self::failed(error),
        }
    }
}

impl From<ModeUpgradeError> for Failure {
    fn from(error: ModeUpgradeError) -> Self {
        match error {
            ModeUpgradeError::Already => Self::new(FAILED, "already-mode-2", error),
            ModeUpgradeError::NotEnrolled => Self::new(FAILED, "not-enrolled", error),
            ModeUpgradeError::Decommissioned => Self::new(FAILED, "decommissioned", error),
            ModeUpgradeError::NoRequest => Self::new(FAILED, "no-request", error)
                .with_hint("`rmsd key upgrade-mode --request FILE` writes what is to be signed."),
            ModeUpgradeError::Enroll(EnrollError::ByFiles) => Self::new(
                FAILED,
                "enrolled-by-files",
                "the server was enrolled by files",
            )
            .with_hint("`rmsd key upgrade-mode --request FILE` writes what is to be signed."),
            ModeUpgradeError::Enroll(error) => error.into(),
            ModeUpgradeError::Level(error) => error.into(),
            _ => Self::failed(error),
        }
    }
}

impl From<PoliciesError> for Failure {
    fn from(error: PoliciesError) -> Self {
        match error {
            PoliciesError::Open(error) => error.into(),
            PoliciesError::Store(_) => Self::failed(error),
        }
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::InModule(_) => Self::new(FAILED, "keys-in-module", error).with_hint(
                "Back the token up with the tools of the security module, then leave the key out \
                 of this backup: --without-key.",
            ),
            BackupError::Exists(_) => Self::new(FAILED, "file-exists", error)
                .with_hint("Name another file, or replace it: --force."),
            BackupError::Archive(error) => error.into(),
            BackupError::Open(error) => error.into(),
            BackupError::Keys(error) => error.into(),
            BackupError::Log(_) => Self::new(FAILED, "logging-database", error),
            BackupError::Spool(_) => Self::new(FAILED, "spool", error),
            _ => Self::failed(error),
        }
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        let message = error.to_string();
        let failure = match error {
            RestoreError::Archive(_, error)
            | RestoreError::Log(LogRestoreError::Archive(error)) => error.into(),
            RestoreError::NotEmpty(_) => Self::new(FAILED, "not-empty", ""),
            RestoreError::NoKey => Self::new(FAILED, "no-key", ""),
            RestoreError::NoLog => Self::new(FAILED, "no-log", ""),
            RestoreError::OtherCluster { .. } => Self::new(FAILED, "other-cluster", ""),
            RestoreError::Log(_) => Self::new(FAILED, "logging-database", "").with_hint(
                "Leave the log out for now, --without-logs, and bring it in later: --logs-only.",
            ),
            RestoreError::Unfit { .. } => Self::new(FAILED, "backup-not-good", ""),
            RestoreError::Configuration(_) => Self::new(MALFORMED, "bad-configuration", ""),
            RestoreError::Open(error) => error.into(),
            RestoreError::Keys(error) => error.into(),
            RestoreError::People(error) => error.into(),
            RestoreError::File(..) | RestoreError::Store(_) => Self::failed(""),
        };
        // The whole of it names the file.
        Self { message, ..failure }
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Io(_) => Self::failed(error),
            ArchiveError::WrongPassword => Self::new(DENIED, "wrong-password", error),
            ArchiveError::Format { .. } => Self::new(MALFORMED, "other-release", error)
                .with_hint("Restore it with the release that made it, then upgrade."),
            ArchiveError::Record(RecordError::OtherTable(_)) => {
                Self::new(MALFORMED, "other-release", error)
            }
            ArchiveError::NotAnArchive => Self::new(MALFORMED, "not-a-backup", error),
            _ => Self::new(MALFORMED, "backup-damaged", error)
                .with_hint("Nothing of a damaged backup is used: take another one."),
        }
    }
}

impl From<DecommissionError> for Failure {
    fn from(error: DecommissionError) -> Self {
        match error {
            DecommissionError::Already => Self::new(FAILED, "decommissioned", error),
            DecommissionError::OtherName { .. } => Self::new(USAGE, "other-cluster", error),
            DecommissionError::NoBackup => Self::new(FAILED, "no-backup", error).with_hint(
                "Make one with `rmsd backup`, show that it opens with `rmsd restore --drill`, or \
                 go without one: --without-backup.",
            ),
            DecommissionError::Open(error) => error.into(),
            DecommissionError::Store(_) => Self::failed(error),
        }
    }
}

impl From<DirectoryStartError> for Failure {
    fn from(error: DirectoryStartError) -> Self {
        Self::new(FAILED, "directory-settings", error)
    }
}

impl From<ScpError> for Failure {
    fn from(error: ScpError) -> Self {
        let code = scp_code(&error);
        match error {
            ScpError::Directory(
                DirectoryError::Unreachable { .. } | DirectoryError::Timeout { .. },
            ) => Self::new(UNREACHABLE, code, error),
            ScpError::Directory(DirectoryError::SignIn { .. }) => Self::new(DENIED, code, error)
                .with_hint("`kinit NAME` gets a ticket, and `klist` shows it."),
            ScpError::SignIn { .. } => Self::new(DENIED, code, error)
                .with_hint("Check the password, and that the name is a user principal name."),
            ScpError::Denied { .. } => Self::new(DENIED, code, error).with_hint(
                "Name somebody who may change the configuration of the forest, such as an \
                 enterprise administrator, with --user NAME, or sign in as one with --kerberos.",
            ),
            ScpError::OtherCluster { .. } => Self::new(FAILED, code, error).with_hint(
                "If that cluster is gone, `rmsd scp register --replace` takes its place and \
                 `rmsd scp remove --force` removes it.",
            ),
            ScpError::Elsewhere { .. } => Self::new(FAILED, code, error)
                .with_hint("If no cluster needs it, remove it with the directory's own tools."),
            ScpError::Binding { .. } => Self::new(MALFORMED, code, error),
            _ => Self::new(FAILED, code, error),
        }
    }
}

/// The stable name of what is wrong with a service connection point.
pub(super) fn scp_code(error: &ScpError) -> &'static str {
    match error {
        ScpError::Settings(_) => "directory-settings",
        ScpError::Directory(
            DirectoryError::Unreachable { .. } | DirectoryError::Timeout { .. },
        ) => "directory-unreachable",
        ScpError::Directory(DirectoryError::SignIn { .. }) => "kerberos-failed",
        ScpError::Directory(_) => "directory",
        ScpError::SignIn { .. } => "sign-in-refused",
        ScpError::Denied { .. } => "insufficient-access-rights",
        ScpError::None => "no-service-connection-point",
        ScpError::Several { .. } => "several-clusters",
        ScpError::Binding { .. } => "bad-service-connection-point",
        ScpError::OtherCluster { .. } => "other-cluster",
        ScpError::Elsewhere { .. } => "other-cluster-elsewhere",
        ScpError::NotAnScp { .. } => "not-a-service-connection-point",
        ScpError::Rejected { .. } => "directory-rejected",
        _ => "failed",
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Fips(error) => error.into(),
            StartError::Open(error) => error.into(),
            StartError::Listen(ListenError::Nowhere) => Self::new(USAGE, "no-address", error),
            StartError::Listen(ListenError::NoCertificate) => {
                Self::new(USAGE, "no-certificate", error)
            }
            StartError::Listen(ListenError::Address(_, ref why))
                if why.kind() == ErrorKind::PermissionDenied =>
            {
                Self::new(FAILED, "address", error).with_hint(
                    "Ports below 1024 are opened by the service manager: systemctl enable --now \
                     rmsd.socket",
                )
            }
            StartError::Listen(_) => Self::new(FAILED, "address", error)
                .with_hint("End what listens there, or name another address under `listen`."),
            StartError::Load(LoadError::Level(error)) => error.into(),
            StartError::Tls(_) => Self::new(FAILED, "tls", error),
            StartError::OtherUrl { .. } => Self::new(FAILED, "other-url", error)
                .with_hint("A cluster's URL is in every license it issued and cannot be changed."),
            _ => Self::failed(error),
        }
    }
}

impl From<RepoError> for Failure {
    fn from(error: RepoError) -> Self {
        use RepoError as E;
        match error {
            E::Manifest(ManifestError::Forged(_)) => {
                Self::new(NOT_TRUSTED, "manifest-forged", error)
            }
            E::Manifest(_) => Self::new(MALFORMED, "manifest-malformed", error),
            E::Replayed { .. } => Self::new(NOT_TRUSTED, "manifest-replayed", error),
            E::Older { .. } => Self::new(NOT_TRUSTED, "older-version", error),
            E::Expired(_) => Self::new(NOT_TRUSTED, "manifest-expired", error)
                .with_hint("Get a newer publication, or see to the clock of this machine."),
            E::FileAltered(_) => Self::new(NOT_TRUSTED, "file-altered", error),
            E::FileMissing(_) => Self::new(NOT_TRUSTED, "file-missing", error),
            E::NotListed(_) => Self::new(NOT_TRUSTED, "file-not-listed", error),
            E::Bundle(_) => Self::new(MALFORMED, "bundle-malformed", error),
            E::TooLarge(..) => Self::new(MALFORMED, "too-large", error),
            E::Key(..) => Self::new(MALFORMED, "bad-release-key", error),
            E::Damaged(_) => Self::new(FAILED, "damaged", error),
            E::Nothing(_) => Self::new(FAILED, "no-channel", error)
                .with_hint("Bring one in: rmsd repo import FOLDER|FILE.tar"),
            E::Exists(_) => Self::new(FAILED, "file-exists", error)
                .with_hint("Name another file, or replace it: --force."),
            E::Io(..) => Self::failed(error),
        }
    }
}

impl From<TemplateError> for Failure {
    fn from(error: TemplateError) -> Self {
        match error {
            TemplateError::Syntax(_) | TemplateError::Field { .. } => {
                Self::new(MALFORMED, "bad-template", error)
            }
            TemplateError::Level(error) => error.into(),
            TemplateError::Unknown(_) => Self::new(FAILED, "no-such-template", error),
            TemplateError::Store(StoreError::Decommissioned) => {
                Self::new(FAILED, "decommissioned", error)
            }
            _ => Self::failed(error),
        }
    }
}

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const DENIED: u8 = 3;
const NOT_TRUSTED: u8 = 4;
const UNREACHABLE: u8 = 5;
const MALFORMED: u8 = 6;
