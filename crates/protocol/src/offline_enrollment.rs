//! Enrollment by files, for networks without a line to the trust anchor ([MS-RMPR] 3.6.4.2):
//! the request document a server writes and the response document it takes back.
//!
//! [MS-RMPRS] knows no files for licensing clusters. Theirs are written in the same way, with the
//! parameters of `SubEnroll` (3.3.4.1), so that neither kind is taken for the other.
//!
//! The document elements are in no namespace and their children in that of the enrollment
//! service, as the two schemas of the section show. Reading takes either namespace on either
//! level, and the chain also as `string` elements, the form of the on-line answer.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::certificate::{CertificateChain, certificates_in};
use crate::endpoints::Contract;
use crate::enrollment::{Enroll, EnrollResponse, four};
use crate::error::{ProtocolError, excerpt};
use crate::limits::Limits;
use crate::sub_enrollment::{SubEnroll, SubEnrollResponse};
use crate::xml::{Element, Source, Writer, parse};

/// Writes the request document. It is ASCII: other characters become references.
pub fn encode_request(request: &Enroll) -> String {
    let namespace = Contract::Enrollment.namespace();
    let mut out = Writer::default();
    out.raw("<?xml version=\"1.0\"?>");
    out.start_with(
        "EnrollParameters",
        &[("xmlns:xsd", XSD), ("xmlns:xsi", XSI)],
    );
    out.start_in("RevocationInformation", namespace);
    request.revocation.encode(&mut out);
    out.end("RevocationInformation");
    out.start_in("CertificatePublicKey", namespace);
    out.leaf("aPublicKeyBytes", &STANDARD.encode(&request.public_key));
    out.leaf("Guid", &request.guid.braced());
    out.end("CertificatePublicKey");
    out.start_in("EnrolleeInformation", namespace);
    request.enrollee.encode(&mut out);
    out.end("EnrolleeInformation");
    out.end("EnrollParameters");
    ascii(&out.finish())
}

/// Reads a request document.
pub fn decode_request(file: &[u8], limits: &Limits) -> Result<Enroll, ProtocolError> {
    let text = text_of(file, limits)?;
    let root = document(&text, ("EnrollParameters", Contract::Enrollment), limits)?;
    Enroll::decode_parameters(&root, limits)
}

/// Writes the response document. It is ASCII, though it declares UTF-16, as the section has it.
pub fn encode_response(response: &EnrollResponse<'_>) -> String {
    let mut out = Writer::default();
    out.raw("<?xml version=\"1.0\" encoding=\"utf-16\"?>");
    out.start_with("EnrollResponse", &[("xmlns:xsd", XSD)]);
    out.start_in("LicensorCertificateChain", Contract::Enrollment.namespace());
    for (name, certificate) in NODES.iter().zip(&response.licensor_certificate_chain) {
        out.leaf(name, certificate.as_str());
    }
    out.end("LicensorCertificateChain");
    out.end("EnrollResponse");
    ascii(&out.finish())
}

/// Reads a response document.
pub fn decode_response(
    file: &[u8],
    limits: &Limits,
) -> Result<EnrollResponse<'static>, ProtocolError> {
    let text = text_of(file, limits)?;
    let root = document(&text, ("EnrollResponse", Contract::Enrollment), limits)?;
    let place = root.required("LicensorCertificateChain")?;
    let mut chain = CertificateChain::default();
    if place.children_named("string").next().is_some() {
        for entry in place.items("string", limits)? {
            chain.0.extend(certificates_in(entry)?);
        }
    } else {
        for name in NODES {
            chain.0.extend(certificates_in(place.required(name)?)?);
        }
    }
    let licensor_certificate_chain = four(chain)?.into_owned();
    Ok(EnrollResponse {
        licensor_certificate_chain,
    })
}

/// Writes the request document of a licensing cluster.
pub fn encode_sub_request(request: &SubEnroll) -> String {
    let namespace = Contract::SubEnrollment.namespace();
    let mut out = Writer::default();
    out.raw("<?xml version=\"1.0\"?>");
    out.start_in("SubEnrollParameters", namespace);
    request.encode_parameters(&mut out, &request.guid.braced());
    out.end("SubEnrollParameters");
    ascii(&out.finish())
}

/// Reads the request document of a licensing cluster.
pub fn decode_sub_request(file: &[u8], limits: &Limits) -> Result<SubEnroll, ProtocolError> {
    let text = text_of(file, limits)?;
    let name = ("SubEnrollParameters", Contract::SubEnrollment);
    SubEnroll::decode_parameters(&document(&text, name, limits)?, limits)
}

/// Writes the response document for a licensing cluster.
pub fn encode_sub_response(response: &SubEnrollResponse<'_>) -> String {
    let mut out = Writer::default();
    out.raw("<?xml version=\"1.0\"?>");
    out.start_in("SubEnrollResponse", Contract::SubEnrollment.namespace());
    response.encode_result(&mut out);
    out.end("SubEnrollResponse");
    ascii(&out.finish())
}

/// Reads the response document for a licensing cluster.
pub fn decode_sub_response(
    file: &[u8],
    limits: &Limits,
) -> Result<SubEnrollResponse<'static>, ProtocolError> {
    let text = text_of(file, limits)?;
    let name = ("SubEnrollResponse", Contract::SubEnrollment);
    let root = document(&text, name, limits)?;
    let response = SubEnrollResponse::decode_result(&root, limits)?;
    Ok(SubEnrollResponse {
        licensor_certificate_chain: response.licensor_certificate_chain.into_owned(),
    })
}

/// Parses the document and puts every element into one namespace.
fn document<'a>(
    text: &'a str,
    (name, contract): (&'static str, Contract),
    limits: &Limits,
) -> Result<Element<'a>, ProtocolError> {
    let mut root = parse(text, Source::File, &[], limits)?;
    let namespace = contract.namespace();
    if root.name != name || !(root.namespace.is_empty() || root.namespace == namespace) {
        return Err(ProtocolError::NotTheDocument {
            expected: name,
            found: excerpt(root.name),
        });
    }
    unify(&mut root, namespace);
    Ok(root)
}

fn unify(element: &mut Element<'_>, namespace: &'static str) {
    if element.namespace.is_empty() {
        element.namespace = Cow::Borrowed(namespace);
    }
    for child in &mut element.children {
        unify(child, namespace);
    }
}

/// Decodes a file: UTF-8, or UTF-16 with a byte order mark.
fn text_of<'a>(file: &'a [u8], limits: &Limits) -> Result<Cow<'a, str>, ProtocolError> {
    let (length, limit) = (file.len(), limits.body_bytes);
    if length > limit {
        return Err(ProtocolError::BodyTooLarge { length, limit });
    }
    let wide = |units: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = units.as_chunks::<2>();
        let text: Option<String> = char::decode_utf16(pairs.iter().copied().map(unit))
            .collect::<Result<_, _>>()
            .ok();
        let name = "utf-16".to_owned();
        match text {
            Some(text) if rest.is_empty() => Ok(Cow::Owned(text)),
            _ => Err(ProtocolError::UnsupportedEncoding { name }),
        }
    };
    match file {
        [0xff, 0xfe, units @ ..] => wide(units, u16::from_le_bytes),
        [0xfe, 0xff, units @ ..] => wide(units, u16::from_be_bytes),
        _ => match std::str::from_utf8(file) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(error) => Err(ProtocolError::NotUtf8 {
                at: error.valid_up_to(),
            }),
        },
    }
}

fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "&#x{:X};", u32::from(c));
        }
    }
    out
}

const NODES: [&str; 4] = ["SLC", "EnrollmentServiceCert", "EnrollmentCACert", "CACert"];
const XSD: &str = "http://www.w3.org/2001/XMLSchema";
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
