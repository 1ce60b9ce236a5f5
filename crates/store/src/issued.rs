//! The record of certificates issued.

use uuid::Uuid;

/// A certificate or license that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// Its GUID, from its descriptor.
    pub guid: Uuid,
    /// What it is.
    pub kind: CertificateKind,
    /// The account it was issued to, where there is one.
    pub account: Option<String>,
    /// What was issued.
    pub body: CertificateBody,
    /// When, in seconds since 1970 UTC.
    pub issued_at: i64,
    /// Until when it is valid, in seconds since 1970 UTC; none means without end.
    pub expires_at: Option<i64>,
}

/// What is kept of an issued certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateBody {
    /// The whole text.
    Text(String),
    /// The SHA-256 digest of the text.
    Digest([u8; 32]),
}

/// The kinds of certificates and licenses (MS-RMPR 2.2.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateKind {
    /// Server licensor certificate.
    Slc,
    /// Security processor certificate.
    Spc,
    /// RMS account certificate.
    Rac,
    /// RMS account certificate for a machine that is not the user's own.
    TemporaryRac,
    /// Client licensor certificate.
    Clc,
    /// Publishing license.
    PublishingLicense,
    /// Use license.
    UseLicense,
    /// Rights policy template.
    Template,
}

impl CertificateKind {
    /// The name it is stored under.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slc => "slc",
            Self::Spc => "spc",
            Self::Rac => "rac",
            Self::TemporaryRac => "temporary-rac",
            Self::Clc => "clc",
            Self::PublishingLicense => "publishing-license",
            Self::UseLicense => "use-license",
            Self::Template => "template",
        }
    }

    /// The kind stored under this name.
    pub fn from_name(name: &str) -> Option<Self> {
        ALL.into_iter().find(|kind| kind.name() == name)
    }
}

const ALL: [CertificateKind; 8] = [
    CertificateKind::Slc,
    CertificateKind::Spc,
    CertificateKind::Rac,
    CertificateKind::TemporaryRac,
    CertificateKind::Clc,
    CertificateKind::PublishingLicense,
    CertificateKind::UseLicense,
    CertificateKind::Template,
];
