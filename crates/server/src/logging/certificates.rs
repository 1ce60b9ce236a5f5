//! Which certificates come with a request and which go with its answer, for the log.

use openrms_protocol::licensing::LicenseOutcome;
use openrms_protocol::prelicensing::PreLicenseOutcome;
use openrms_protocol::{CertificateChain, CertificateText, Operation, Response};

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Xrml {
    /// What kind it is.
    pub(crate) kind: &'static str,
    /// Its text.
    pub(crate) text: String,
}

/// Those of a request, for each item of it.
pub(crate) fn received(operation: &Operation<'_>) -> Vec<Vec<Xrml>> {
    match operation {
        Operation::Certify(request) => vec![chain("spc", &request.machine_certificate_chain)],
        Operation::AcquireLicense(request) => request
            .items
            .iter()
            .map(|item| {
                let mut found = chain("rac", &item.licensee_certs);
                let license = item.issuance_license.as_ref();
                found.extend(license.into_iter().flat_map(|license| chain("pl", license)));
                found
            })
            .collect(),
        Operation::AcquireIssuanceLicense(request) => {
            let unsigned = request.unsigned_issuance_licenses.iter();
            unsigned.map(|license| vec![one("pl", license)]).collect()
        }
        Operation::GetClientLicensorCert(request) => {
            let accounts = request.persona_certs.iter();
            accounts.map(|account| chain("rac", account)).collect()
        }
        Operation::AcquirePreLicense(request) => request
            .items
            .iter()
            // An event for each recipient; the license is with the first of them.
            .flat_map(|item| {
                let others = item.licensee_identities.len().saturating_sub(1);
                let first = chain("pl", &item.issuance_license);
                std::iter::once(first).chain(std::iter::repeat_n(Vec::new(), others))
            })
            .collect(),
        Operation::EditIssuanceLicense(request) => {
            let mut found = chain("pl", &request.signed_issuance_license);
            found.push(one("pl", &request.unsigned_issuance_license));
            vec![found]
        }
        // What answers it is a key, which no log ever sees.
        Operation::AcquireContentKey(request) => vec![chain("pl", &request.issuance_license)],
        _ => Vec::new(),
    }
}

/// Those of an answer, for each item of it.
pub(crate) fn issued(response: &Response<'_>) -> Vec<Vec<Xrml>> {
    match response {
        Response::Certify(answer) => vec![chain("rac", &answer.certificate_chain)],
        Response::AcquireLicense(answer) => answer
            .items
            .iter()
            .map(|item| match item {
                LicenseOutcome::License {
                    certificate_chain, ..
                } => chain("ul", certificate_chain),
                LicenseOutcome::Exception(_) => Vec::new(),
            })
            .collect(),
        Response::AcquireIssuanceLicense(answer) => {
            let chains = answer.certificate_chains.iter();
            chains.map(|license| chain("pl", license)).collect()
        }
        Response::GetClientLicensorCert(answer) => {
            let chains = answer.certificate_chains.iter();
            chains.map(|licensor| chain("clc", licensor)).collect()
        }
        Response::Precertify(answer) => vec![vec![one("rac", &answer.certificate)]],
        Response::AcquirePreLicense(answer) => answer
            .items
            .iter()
            .flat_map(|item| &item.licenses)
            .map(|outcome| match outcome {
                PreLicenseOutcome::License(license) => vec![one("ul", license)],
                PreLicenseOutcome::Exception(_) => Vec::new(),
            })
            .collect(),
        Response::EditIssuanceLicense(answer) => vec![chain("pl", &answer.certificate_chain)],
        _ => Vec::new(),
    }
}

/// A leaf and what is above it.
fn chain(kind: &'static str, chain: &CertificateChain<'_>) -> Vec<Xrml> {
    let kinds = std::iter::once(kind).chain(std::iter::repeat("issuer"));
    chain
        .iter()
        .zip(kinds)
        .map(|(text, kind)| one(kind, text))
        .collect()
}

fn one(kind: &'static str, text: &CertificateText<'_>) -> Xrml {
    Xrml {
        kind,
        text: text.as_str().to_owned(),
    }
}
