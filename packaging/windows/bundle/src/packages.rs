//! The packages inside the program, in the order in which they are installed.

include!(concat!(env!("OUT_DIR"), "/packages.rs"));

/// A package, as it was when the program was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Package {
    /// Its name on command lines and on disk.
    pub(crate) name: &'static str,
    pub(crate) bytes: &'static [u8],
    /// Kept apart from the bytes: who changes those inside a signed program does not reach this.
    pub(crate) sha256: [u8; 32],
}
