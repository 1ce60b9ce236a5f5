//! `[crypto] fips = true`: a server that is held to cryptography approved by FIPS 140-3, or does not
//! run. What that means for each algorithm is in `openrms_crypto::fips`.

use openrms_crypto::fips::{self, NotValidated};
use openrms_store::{ConfigurationSnapshot, CryptographicMode};

use crate::config::Config;

/// Why a server, or a command about it, is not what `[crypto] fips` asks for.
#[derive(Debug, thiserror::Error)]
pub enum FipsError {
    /// This program was built without the validated module.
    #[error("[crypto] {0}")]
    NotValidated(#[from] NotValidated),
    /// A cluster of mode 1 is to be made.
    #[error("[crypto] FIPS is asked for, which cryptographic mode 1 (RSA-1024, SHA-1) is not")]
    ModeOne,
    /// The cluster is in mode 1, or was.
    #[error("[crypto] FIPS is asked for, and the cluster has a key of cryptographic mode 1: {0}")]
    KeyOfModeOne(String),
    /// NTLM rests on MD4, MD5 and RC4, and helpers of other makers.
    #[error("[crypto] FIPS is asked for, which NTLM is not: take [sign_in.ntlm] away")]
    Ntlm,
}

/// Holds this process to what the configuration asks for, until it ends.
pub(crate) fn hold(config: &Config) -> Result<(), FipsError> {
    if !config.fips {
        return Ok(());
    }
    fips::require()?;
    if config.ntlm.is_some() {
        return Err(FipsError::Ntlm);
    }
    Ok(())
}

/// A cluster has no keys of mode 1, where FIPS is asked for: neither one in use nor one that opens
/// old content.
pub(crate) fn check_keys(stored: &ConfigurationSnapshot) -> Result<(), FipsError> {
    let mut keys = stored.licensor_keys.iter();
    match keys.find(|key| key.mode == CryptographicMode::One) {
        Some(key) => Err(FipsError::KeyOfModeOne(key.id.clone())),
        None => Ok(()),
    }
}
