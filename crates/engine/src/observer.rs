//! The steps of decisions, for whoever measures them. Clocks are not read here: what a step's
//! beginning and end are worth, the observer knows.

use std::time::Instant;

/// A step that takes time worth knowing. Those of a certification are steps the original server
/// counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The key pair of an account is looked for.
    GetUser,
    /// An account gets a key pair, which is stored.
    AddNewUser,
    /// It is put on record that an account was certified on a machine.
    AssociateUserAndMachine,
    /// A RAC is written and signed.
    GenerateUserCertificate,
    /// The account's private key is sealed to the machine (the enabling bits of the RAC).
    AddEnablingBits,
    /// Certificates that came in are verified.
    VerifyCertificates,
    /// A PL is verified, and its content key opened.
    OpenLicense,
    /// The directory tells who somebody is.
    AskDirectory,
    /// A UL is written and signed.
    WriteLicense,
}

/// Told when steps begin and end.
pub trait Observer: Send + Sync {
    /// A step begins; the answer is handed back at its end.
    fn begin(&self, step: Step) -> Option<Instant>;

    /// It has ended, well or not.
    fn end(&self, step: Step, begun: Instant);
}

/// Measures nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn begin(&self, _: Step) -> Option<Instant> {
        None
    }

    fn end(&self, _: Step, _: Instant) {}
}

/// A step under way; it ends when this is dropped.
pub(crate) struct UnderWay<'o> {
    observer: &'o dyn Observer,
    step: Step,
    begun: Option<Instant>,
}

impl Step {
    /// Every step.
    pub const ALL: &'static [Self] = &[
        Self::GetUser,
        Self::AddNewUser,
        Self::AssociateUserAndMachine,
        Self::GenerateUserCertificate,
        Self::AddEnablingBits,
        Self::VerifyCertificates,
        Self::OpenLicense,
        Self::AskDirectory,
        Self::WriteLicense,
    ];

    /// Its name in counters and traces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GetUser => "GetUser",
            Self::AddNewUser => "AddNewUser",
            Self::AssociateUserAndMachine => "AssociateUserAndMachine",
            Self::GenerateUserCertificate => "GenerateUserCertificate",
            Self::AddEnablingBits => "AddEnablingBits",
            Self::VerifyCertificates => "VerifyCertificates",
            Self::OpenLicense => "OpenLicense",
            Self::AskDirectory => "AskDirectory",
            Self::WriteLicense => "WriteLicense",
        }
    }

    pub(crate) fn begin(self, observer: &dyn Observer) -> UnderWay<'_> {
        UnderWay {
            observer,
            step: self,
            begun: observer.begin(self),
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(begun) = self.begun {
            self.observer.end(self.step, begun);
        }
    }
}
