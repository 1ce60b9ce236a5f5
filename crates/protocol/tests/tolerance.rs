//! What other SOAP stacks do to an envelope and must not matter.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests may fail like tests.

mod common;

use openrms_protocol::activation::{ActivateResponse, HardwareId};
use openrms_protocol::licensing::AcquireLicense;
use openrms_protocol::{
    Contract, HttpHead, Limits, Operation, Request, ResponseHead, SoapVersion, VersionData,
    encode_request, encode_response, parse_request, parse_response,
};

fn read(body: &[u8]) -> Request<'_> {
    parse_request(HttpHead::default(), body, &Limits::server()).unwrap()
}

fn licensing(certificate: &str) -> String {
    let namespace = Contract::Licensing.namespace();
    format!(
        "\u{feff}<?xml version='1.0'  encoding=\"UTF-8\" standalone='yes'?>\r\n<!-- hello -->\
         <SOAP-ENV:Envelope xmlns:SOAP-ENV=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:ns0=\"{namespace}\" xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'>\
         <SOAP-ENV:Header><ns0:VersionData><ns0:MinimumVersion> 1.0.0.0</ns0:MinimumVersion>\
         <ns0:MaximumVersion>1.1.0.0</ns0:MaximumVersion></ns0:VersionData>\
         <w:Other xmlns:w='urn:w'/></SOAP-ENV:Header>\n<SOAP-ENV:Body>\n\
         <ns0:AcquireLicense>\n <ns0:RequestParams>\n  <ns0:AcquireLicenseParams>\
         <ns0:LicenseeCerts><ns0:Certificate>{certificate}</ns0:Certificate></ns0:LicenseeCerts>\
         <x:IssuanceLicense xmlns:x='{namespace}'><x:Certificate>\n{certificate}\n</x:Certificate >\
         </x:IssuanceLicense><ns0:ApplicationData><q:Any xmlns:q='urn:q'>\u{e9} <!-- c --></q:Any>\
         </ns0:ApplicationData><ns0:Unknown/>\n  </ns0:AcquireLicenseParams>\n\
         </ns0:RequestParams></ns0:AcquireLicense></SOAP-ENV:Body></SOAP-ENV:Envelope>\n"
    )
}

fn params(body: &str) -> AcquireLicense<'_> {
    let request = read(body.as_bytes());
    assert_eq!(request.version_data, Some(VersionData::CLIENT_BATCH));
    match request.operation {
        Operation::AcquireLicense(request) => request,
        other => panic!("read as {other:?}"),
    }
}

#[test]
fn prefixes_comments_and_white_space_do_not_matter() {
    let certificate = "<XrML\n xmlns=\"\" version='1.2' ><N>Name;\n</N><E a = \"b\"/>\t</XrML >";
    let body = licensing(certificate);
    let read = params(&body);
    assert_eq!(
        read.items[0].licensee_certs.leaf().unwrap().as_str(),
        certificate
    );
    let pl = read.items[0].issuance_license.as_ref().unwrap();
    assert_eq!(pl.leaf().unwrap().as_str(), certificate);
    assert_eq!(
        read.items[0].application_data.as_deref(),
        Some("<q:Any xmlns:q='urn:q'>\u{e9} <!-- c --></q:Any>")
    );
}

#[test]
fn a_certificate_as_escaped_text_is_unescaped_once() {
    let certificate = "<XrML a=\"1\"><N>A;\nB &amp; &lt;</N></XrML>";
    let escaped = certificate
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&#x3e;");
    for text in [
        escaped.clone(),
        escaped.replace('\n', "\r\n"),
        format!("<![CDATA[{certificate}]]>"),
        format!(
            "  <![CDATA[{}]]><![CDATA[{}]]> ",
            &certificate[..9],
            &certificate[9..]
        ),
        format!("&lt;?xml version=\"1.0\"?&gt;{escaped}"),
    ] {
        let body = licensing(&text);
        assert_eq!(
            params(&body).items[0].licensee_certs.concatenated(),
            certificate,
            "{text}"
        );
    }
}

#[test]
fn a_chain_in_one_certificate_element_is_taken_apart() {
    for text in [
        "<XrML>1</XrML> <XrML>2</XrML>",
        "<![CDATA[<XrML>1</XrML><XrML>2</XrML>]]>",
    ] {
        let body = licensing(text);
        let read = params(&body);
        assert_eq!(read.items[0].licensee_certs.len(), 2);
        assert_eq!(read.items[0].licensee_certs.0[1].as_str(), "<XrML>2</XrML>");
    }
}

#[test]
fn a_carriage_return_inside_a_literal_certificate_stays() {
    let body = licensing("<XrML>\r\n</XrML>");
    assert_eq!(
        params(&body).items[0].licensee_certs.concatenated(),
        "<XrML>\r\n</XrML>"
    );
}

#[test]
fn literal_certificates_are_borrowed_from_the_body() {
    let operation = common::batch().into();
    let versions = Some(VersionData::CLIENT_BATCH);
    let body = encode_request(SoapVersion::V12, Contract::Licensing, versions, &operation);
    let range = body.as_bytes().as_ptr_range();
    let Operation::AcquireLicense(request) = read(body.as_bytes()).operation else {
        panic!("another operation")
    };
    for certificate in request.items.iter().flat_map(|item| &item.licensee_certs) {
        assert!(range.contains(&certificate.as_str().as_ptr()));
    }
}

#[test]
fn a_header_for_somebody_else_may_be_passed_over() {
    let body = licensing("<XrML>1</XrML>").replace(
        "<w:Other xmlns:w='urn:w'/>",
        "<w:Other xmlns:w='urn:w' SOAP-ENV:mustUnderstand='1' SOAP-ENV:actor='urn:proxy'/>",
    );
    params(&body);
}

#[test]
fn a_hardware_identifier_may_stand_in_elements_of_its_own() {
    let hash = "AQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    for inside in [
        hash.to_owned(),
        format!("\n {hash}\n"),
        format!("<HID xmlns=\"\">{hash}</HID>"),
        format!("<x:a xmlns:x='urn:x'> <b>{hash}</b></x:a>"),
    ] {
        let body = format!(
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Header>\
             <VersionData xmlns=\"http://microsoft.com/DRM/ActivationService\">\
             <RequiredVersion>string</RequiredVersion></VersionData></s:Header><s:Body>\
             <Activate xmlns=\"http://microsoft.com/DRM/ActivationService\"><requestParams>\
             <ActivateParams><HidXml>{inside}</HidXml></ActivateParams></requestParams>\
             </Activate></s:Body></s:Envelope>"
        );
        let request = read(body.as_bytes());
        // The header of example 4.3 of [MS-RMPR] names no version at all.
        assert_eq!(request.version_data, Some(VersionData::default()));
        let Operation::Activate(request) = request.operation else {
            panic!("read as another operation")
        };
        assert_eq!(request.machines, [HardwareId::Sha1([1; 20])]);
    }
}

#[test]
fn what_comes_of_an_activation_is_read_in_either_order() {
    let head = ResponseHead {
        soap: SoapVersion::V11,
        contract: Some(Contract::Activation),
        version_data: None,
    };
    let response = ActivateResponse {
        items: vec![common::activated("SPC")],
    };
    let body = encode_response(&head, &response.clone().into());
    let (start, rest) = body.split_once("<MachineCertificateChain>").unwrap();
    let (chain, rest) = rest.split_once("</MachineCertificateChain>").unwrap();
    let (signature, end) = rest.split_once("</ActivateResponse>").unwrap();
    let turned = format!(
        "{start}<Binary/>{signature}<MachineCertificateChain>{chain}\
         </MachineCertificateChain></ActivateResponse>{end}"
    );
    for body in [body, turned] {
        let name = openrms_protocol::OperationName::Activate;
        let answer = parse_response(name, body.as_bytes(), &Limits::client()).unwrap();
        assert_eq!(answer.outcome, Ok(response.clone().into()));
    }
}
