//! Freeing content of a cluster that has ended (MS-RMSI 3.2.4.1, 4.1).
//!
//! Such a cluster licenses nothing any more; whoever its administrator lets in gets the content key
//! itself, and needs no right in the content. The person signs in, on an activated machine; no
//! certificate of theirs is asked for, for none could be had any more.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use openrms_crypto::{Cipher, ContentKey};
use openrms_protocol::decommissioning::{
    AcquireContentKey, AcquireContentKeyResponse, ClearKey, KeyType,
};
use openrms_protocol::{Contract, Response, Service};

use crate::client::{Client, wire_chain};
use crate::discovery::{DiscoveryError, Redirects};
use crate::error::Error;
use crate::open::{Exported, OpenError, Publishing, Sealed, source_file};
use crate::service::{Auth, Caller};
use crate::url::ServerUrl;

impl Client {
    /// Frees a protected file; see [`Client::free`].
    pub fn free_file(&self, path: &Path) -> Result<Exported<File>, Error> {
        self.free(source_file(path)?)
    }

    /// Frees protected content of a decommissioned cluster. Its server is asked for the content
    /// key, which the caller must be let in for and need no right for. Use licenses are neither
    /// looked for nor kept.
    ///
    /// The server tells the key and not its cipher: the container does, or the end of the content
    /// ([`openrms_formats::pfile::recognised_cipher`]). What neither tells is refused, as are keys of DES.
    pub fn free<R: Read + Seek>(&self, file: R) -> Result<Exported<R>, Error> {
        let mut sealed = Sealed::read(file)?;
        let publishing = Publishing::read(&sealed.license)?;
        self.activate()?;
        let request = AcquireContentKey {
            issuance_license: wire_chain(&publishing.path)?,
        };
        let operation = request.into();
        let redirects = self.redirects()?;
        let answer = self.with_caller(|caller, server| {
            let urls = publishing.license.licensing_urls();
            let place = place(caller, server, &redirects, urls)?;
            let url = Service::Decommission.url(place.as_str());
            let take = |response: Response<'_>| AcquireContentKeyResponse::try_from(response);
            let caller = Caller {
                // The person's own server, or one that the settings put in its place.
                server: Some(&place),
                licensing: None,
                ..*caller
            };
            let contract = Contract::Decommissioning;
            caller
                .call(&url, contract, &operation, Auth::Always, take)
                .map_err(Error::from)
        })?;
        let key = content_key(&answer.content_key, answer.key_type)?;
        let cipher = sealed.recognised_cipher(&key)?;
        let content_id = publishing.content_id()?.to_owned();
        Ok(sealed.open(&key.with_cipher(cipher), content_id)?)
    }
}

/// The cluster to ask: where the settings say that a licensing cluster of the license is
/// decommissioned; else the first of them that is the person's own server. No other is asked, for
/// whoever asks has to sign in.
fn place<'u>(
    caller: &Caller<'_>,
    server: Option<&ServerUrl>,
    redirects: &Redirects,
    urls: impl Iterator<Item = &'u str>,
) -> Result<ServerUrl, DiscoveryError> {
    let own = caller.licensing.as_ref().map(|licensing| &licensing.server);
    let mut other = None;
    let mut found = None;
    for url in urls {
        let Ok(cluster) = url.parse::<ServerUrl>() else {
            continue;
        };
        if let Some(place) = redirects.of(&cluster) {
            return Ok(place.clone());
        }
        let known = [server, own].into_iter().flatten();
        if known
            .into_iter()
            .any(|known| known.origin() == cluster.origin())
        {
            found.get_or_insert(cluster);
        } else {
            other.get_or_insert_with(|| url.to_owned());
        }
    }
    match (found, other) {
        (Some(cluster), _) => Ok(cluster),
        (None, Some(url)) => Err(DiscoveryError::UnknownDecommissioned { url }),
        (None, None) => Err(DiscoveryError::NoLicenseUrl),
    }
}

/// The key, of a cipher that is still to be found.
fn content_key(key: &ClearKey, kind: KeyType) -> Result<ContentKey, OpenError> {
    match kind {
        KeyType::Aes => ContentKey::new(Cipher::Cbc4k, key.expose())
            .map_err(|error| OpenError::KeyLength(error.0)),
        // No writer of DES is left to test with.
        KeyType::Des | KeyType::Rsa | KeyType::Unknown => Err(OpenError::KeyType(kind.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_no_cipher_of_ours_takes_is_refused_by_its_kind() {
        let key = |length: usize, kind| content_key(&ClearKey::new(vec![7; length]), kind);
        for length in [16, 24, 32] {
            assert_eq!(key(length, KeyType::Aes).unwrap().expose().len(), length);
        }
        let wrong = key(15, KeyType::Aes).unwrap_err();
        assert!(matches!(wrong, OpenError::KeyLength(15)), "{wrong}");
        for (kind, name) in [
            (KeyType::Des, "DES"),
            (KeyType::Rsa, "RSA"),
            (KeyType::Unknown, "Unknown"),
        ] {
            let wrong = key(8, kind).unwrap_err();
            assert!(
                matches!(wrong, OpenError::KeyType(found) if found == name),
                "{wrong}"
            );
        }
    }
}
