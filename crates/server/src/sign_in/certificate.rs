//! TLS client certificates and smart cards: what a certificate that the TLS layer verified says
//! about whose it is. The SID that the domain's authority wrote into it ([MS-WCCE]
//! `szOID_NTDS_CA_SECURITY_EXT`) names the account beyond doubt; a mail address does so only where
//! the configuration says that the authority checks addresses.

use openrms_directory::{Account, AccountRef, Address, Directory, Sid};
use x509_parser::asn1_rs::{Any, FromDer as _, OctetString, Oid, oid};
use x509_parser::prelude::{GeneralName, X509Certificate};

use super::{NotSignedIn, SignedIn};
use crate::config::Certificates;

/// Whom a client certificate names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    sid: Option<Sid>,
    mails: Vec<Address>,
    /// For the log.
    subject: String,
}

impl ClientCertificate {
    /// Reads a certificate that was verified. `None` for what is none.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut names = Self {
            sid: None,
            mails: Vec::new(),
            subject: certificate.subject().to_string(),
        };
        // One that has the extension twice, or an alternative name that cannot be read, is
        // nobody's.
        for extension in certificate.extensions() {
            if extension.oid == SECURITY_EXTENSION {
                if names.sid.is_some() {
                    return None;
                }
                names.sid = Some(sid_of(extension.value)?);
            }
        }
        if let Some(alternatives) = certificate.subject_alternative_name().ok()? {
            for name in &alternatives.value.general_names {
                if let GeneralName::RFC822Name(mail) = name
                    && let Ok(address) = mail.parse()
                {
                    names.mails.push(address);
                }
            }
        }
        Some(names)
    }
}

/// Finds the account of a certificate.
pub(super) async fn check(
    settings: &Certificates,
    directory: &dyn Directory,
    certificate: &ClientCertificate,
) -> Result<SignedIn, NotSignedIn> {
    let account = account(settings, directory, certificate).await?;
    let Some(account) = account else {
        tracing::info!(
            subject = certificate.subject,
            "a client certificate that names no account"
        );
        return Err(NotSignedIn::Refused);
    };
    Ok(SignedIn {
        caller: account.into(),
        groups: Vec::new(),
        reply: None,
    })
}

async fn account(
    settings: &Certificates,
    directory: &dyn Directory,
    certificate: &ClientCertificate,
) -> Result<Option<Account>, NotSignedIn> {
    if let Some(sid) = &certificate.sid {
        // A SID that is gone is not looked for by another name: the address may be somebody
        // else's by now.
        return Ok(directory.account(&AccountRef::Sid(sid.clone())).await?);
    }
    match certificate.mails.as_slice() {
        [mail] if settings.by_mail => Ok(directory
            .account(&AccountRef::Address(mail.clone()))
            .await?),
        _ => Ok(None),
    }
}

/// The SID in `GeneralNames { otherName { SECURITY_SID, OCTET STRING "S-1-..." } }`.
fn sid_of(value: &[u8]) -> Option<Sid> {
    let name = inside(value, SEQUENCE)?;
    let ([], GeneralName::OtherName(oid, wrapped)) = GeneralName::from_der(name).ok()? else {
        return None;
    };
    if oid != SECURITY_SID || name.first() != Some(&CONTEXT_0) {
        return None;
    }
    let (rest, text) = OctetString::from_der(inside(wrapped, CONTEXT_0)?).ok()?;
    let text = std::str::from_utf8(text.as_ref()).ok()?;
    rest.is_empty().then(|| text.parse().ok()).flatten()
}

/// What one element with that first byte holds, when nothing follows it.
fn inside(der: &[u8], tag: u8) -> Option<&[u8]> {
    match Any::from_der(der).ok()? {
        ([], any) if der.first() == Some(&tag) => Some(any.data),
        _ => None,
    }
}

const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xa0;
const SECURITY_EXTENSION: Oid<'static> = oid!(1.3.6.1.4.1.311.25.2);
const SECURITY_SID: Oid<'static> = oid!(1.3.6.1.4.1.311.25.2.1);

#[cfg(test)]
mod tests {
    use super::*;

    /// What a domain's authority writes.
    fn extension(sid: &str) -> Vec<u8> {
        let tlv = |tag: u8, inside: &[u8]| {
            let mut out = vec![tag, u8::try_from(inside.len()).unwrap()];
            out.extend_from_slice(inside);
            out
        };
        let oid = [
            0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x19, 0x02, 0x01,
        ];
        let text = tlv(0xa0, &tlv(0x04, sid.as_bytes()));
        tlv(0x30, &tlv(0xa0, &[&oid[..], &text].concat()))
    }

    #[test]
    fn the_sid_of_the_security_extension_is_read() {
        let sid = "S-1-5-21-1004336348-1177238915-682003330-1105";
        assert_eq!(sid_of(&extension(sid)), sid.parse().ok());
    }

    #[test]
    fn a_security_extension_with_anything_wrong_names_nobody() {
        let good = extension("S-1-5-21-1-2-3-1105");
        assert_eq!(sid_of(&extension("alice")), None);
        for end in 0..good.len() {
            assert_eq!(sid_of(&good[..end]), None, "cut at {end}");
        }
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(sid_of(&longer), None);
        // Another kind of name with the same text.
        let mut other = good.clone();
        let last_of_oid = 15;
        other[last_of_oid] = 2;
        assert_eq!(sid_of(&other), None);
    }
}
