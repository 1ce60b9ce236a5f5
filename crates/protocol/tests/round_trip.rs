//! What one side writes, the other reads: every operation, both versions of SOAP.

mod common;

use openrms_protocol::certification::Certify;
use openrms_protocol::enrollment::{Enroll, EnrollResponse};
use openrms_protocol::licensing::{AcquireLicense, AcquireLicenseParams};
use openrms_protocol::{
    Answer, CertificateChain, CertificateText, Contract, Fault, FaultClass, FaultCode, HttpHead,
    Limits, Operation, OperationName, ResponseHead, ServiceLevel, SoapVersion, VersionData,
    encode_fault, encode_request, encode_response, offline_enrollment, parse_request,
    parse_response,
};
use proptest::prelude::*;

const BOTH: [SoapVersion; 2] = [SoapVersion::V11, SoapVersion::V12];

#[test]
fn the_server_reads_what_the_client_writes() {
    for soap in BOTH {
        for operation in common::requests() {
            let contract = operation.name().contract();
            let action = contract.soap_action(operation.name());
            let versions = Some(VersionData::CLIENT_BATCH);
            let body = encode_request(soap, contract, versions, &operation);
            let content_type = soap.request_content_type(&action);
            let head = HttpHead {
                content_type: Some(&content_type),
                soap_action: (soap == SoapVersion::V11).then_some(action.as_str()),
            };
            let request = parse_request(head, body.as_bytes(), &Limits::server()).unwrap();
            assert_eq!(request.operation, operation);
            assert_eq!((request.soap, request.contract), (soap, contract));
            let expected = match operation.name() {
                OperationName::GetServerInfo => None,
                OperationName::Enroll => Some(VersionData::CLIENT),
                _ => versions,
            };
            assert_eq!(request.version_data, expected);
            assert_eq!(
                request.answer_head(VersionData::CLIENT_BATCH).version_data,
                expected
            );
        }
    }
}

#[test]
fn the_client_reads_what_the_server_writes() {
    for soap in BOTH {
        for response in common::responses() {
            let head = ResponseHead {
                soap,
                contract: Some(response.name().contract()),
                version_data: Some(ServiceLevel::V2.data_versions()),
            };
            let body = encode_response(&head, &response);
            let answer =
                parse_response(response.name(), body.as_bytes(), &Limits::client()).unwrap();
            assert_eq!(answer.version_data, Some(ServiceLevel::V2.data_versions()));
            assert_eq!((answer.soap, answer.outcome), (soap, Ok(response)));
        }
    }
}

#[test]
fn every_fault_reads_back_in_both_versions() {
    for soap in BOTH {
        for &code in FaultCode::ALL {
            let fault = Fault::new(code, "a <b> & c");
            let body = encode_fault(&ResponseHead::fault(soap), &fault);
            let answer =
                parse_response(OperationName::Certify, body.as_bytes(), &Limits::client()).unwrap();
            assert_eq!(
                answer,
                Answer {
                    soap,
                    version_data: None,
                    outcome: Err(fault)
                }
            );
        }
    }
}

#[test]
fn service_locations_are_asked_and_answered_in_the_namespace_of_the_locator_too() {
    let operation = common::requests().remove(8);
    let contract = Contract::ServiceLocator;
    let body = encode_request(
        SoapVersion::V11,
        contract,
        Some(VersionData::CLIENT),
        &operation,
    );
    assert!(body.contains("http://microsoft.com/DRM/ServiceLocatorService"));
    let request = parse_request(HttpHead::default(), body.as_bytes(), &Limits::server()).unwrap();
    assert_eq!(request.contract, contract);
    let response = common::responses().remove(8);
    let answer = encode_response(
        &request.answer_head(ServiceLevel::V2.data_versions()),
        &response,
    );
    assert!(!answer.contains("ServerService\""));
    let read = parse_response(operation.name(), answer.as_bytes(), &Limits::client()).unwrap();
    assert_eq!(read.outcome, Ok(response));
}

#[test]
fn the_answer_to_another_operation_is_refused() {
    let response = common::responses().remove(0);
    let head = ResponseHead::fault(SoapVersion::V11);
    let body = encode_response(&head, &response);
    let error = parse_response(
        OperationName::AcquireLicense,
        body.as_bytes(),
        &Limits::client(),
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected the answer AcquireLicenseResponse, found \"CertifyResponse\""
    );
}

#[test]
fn items_without_a_publishing_license_take_the_last_one_before() {
    let batch = common::batch();
    let resolved: Vec<_> = batch.resolved().map(|(_, pl)| pl.cloned()).collect();
    assert_eq!(resolved, vec![batch.items[0].issuance_license.clone(); 2]);
}

#[test]
fn application_data_that_is_no_xml_travels_as_text() {
    let mut batch = common::batch();
    batch.items.truncate(1);
    batch.items[0].application_data = Some("a < b".into());
    let body = encode_request(SoapVersion::V11, Contract::Licensing, None, &batch.into());
    let request = parse_request(HttpHead::default(), body.as_bytes(), &Limits::server()).unwrap();
    let Operation::AcquireLicense(read) = request.operation else {
        panic!("another operation")
    };
    assert_eq!(read.items[0].application_data.as_deref(), Some("a &lt; b"));
}

#[test]
fn enrollment_by_files_reads_what_it_writes() {
    let Operation::Enroll(request) = common::requests().remove(6) else {
        panic!("another operation")
    };
    let file = offline_enrollment::encode_request(&request);
    assert!(file.is_ascii());
    assert!(file.contains("<Guid>{96c4ca87-b3ff-4ded-9c15-53272e26396f}</Guid>"));
    let limits = Limits::server();
    let read: Enroll = offline_enrollment::decode_request(file.as_bytes(), &limits).unwrap();
    assert_eq!(read, request);

    let chain = common::chain(&["SLC", "ES", "ECA", "CA é"]);
    let response = EnrollResponse {
        licensor_certificate_chain: chain,
    };
    let file = offline_enrollment::encode_response(&response);
    assert!(file.is_ascii());
    assert_eq!(
        offline_enrollment::decode_response(file.as_bytes(), &limits).unwrap(),
        response
    );

    let mut wide = vec![0xff, 0xfe];
    wide.extend(file.encode_utf16().flat_map(u16::to_le_bytes));
    assert_eq!(
        offline_enrollment::decode_response(&wide, &limits).unwrap(),
        response
    );

    let strings = ["SLC", "EnrollmentServiceCert", "EnrollmentCACert", "CACert"]
        .iter()
        .fold(file, |file, name| {
            file.replace(&format!("<{name}>"), "<string>")
                .replace(&format!("</{name}>"), "</string>")
        });
    assert_eq!(
        offline_enrollment::decode_response(strings.as_bytes(), &limits).unwrap(),
        response
    );
}

#[test]
fn files_of_licensing_clusters_are_read_as_written_and_not_taken_for_those_of_others() {
    let limits = Limits::server();
    let request = common::sub_enroll();
    let file = offline_enrollment::encode_sub_request(&request);
    assert!(file.is_ascii());
    let read = offline_enrollment::decode_sub_request(file.as_bytes(), &limits);
    assert_eq!(read.unwrap(), request);
    assert!(offline_enrollment::decode_request(file.as_bytes(), &limits).is_err());

    let response = common::sub_enroll_response();
    let file = offline_enrollment::encode_sub_response(&response);
    assert!(file.is_ascii());
    let read = offline_enrollment::decode_sub_response(file.as_bytes(), &limits);
    assert_eq!(read.unwrap(), response);
    assert!(offline_enrollment::decode_response(file.as_bytes(), &limits).is_err());

    let Operation::Enroll(other) = common::requests().remove(6) else {
        panic!("another operation")
    };
    let file = offline_enrollment::encode_request(&other);
    assert!(offline_enrollment::decode_sub_request(file.as_bytes(), &limits).is_err());
}

#[test]
fn a_sub_enrollment_tells_version_and_url_and_gets_more_than_an_slc() {
    let limits = Limits::server();
    let file = offline_enrollment::encode_sub_request(&common::sub_enroll());
    for cut in [
        "<Version>6.1.0.0</Version>",
        "<URL>https://rms.example.com/_wmcs</URL>",
    ] {
        let file = file.replace(cut, "");
        assert!(
            offline_enrollment::decode_sub_request(file.as_bytes(), &limits).is_err(),
            "{cut}"
        );
    }
    let mut response = common::sub_enroll_response();
    response.licensor_certificate_chain.0.truncate(1);
    let file = offline_enrollment::encode_sub_response(&response);
    assert!(offline_enrollment::decode_sub_response(file.as_bytes(), &limits).is_err());
}

#[test]
fn a_rejection_says_why_in_the_version_of_the_request() {
    let body = b"<Envelope xmlns='http://www.w3.org/2003/05/soap-envelope'><Body/></Envelope>";
    let rejection = parse_request(HttpHead::default(), body, &Limits::server()).unwrap_err();
    let answer = rejection.encode();
    let read =
        parse_response(OperationName::Certify, answer.as_bytes(), &Limits::client()).unwrap();
    assert_eq!(read.soap, SoapVersion::V12);
    let fault = read.outcome.unwrap_err();
    assert_eq!(
        (fault.class, fault.code),
        (FaultClass::Server, Some(FaultCode::InvalidOperation))
    );
}

fn any_certificate() -> impl Strategy<Value = CertificateText<'static>> {
    (
        "[ \t\n]?[a-z='\" ]{0,20}",
        "([a-zA-Z0-9+/=;\n\r\t é字😀]|&amp;|<B a = '1'/>|<C></C>){0,40}",
    )
        .prop_filter_map("no certificate", |(attributes, body)| {
            let attributes = attributes.trim_end();
            CertificateText::new(format!("<XrML {attributes}>{body}</XrML>")).ok()
        })
}

fn any_chain() -> impl Strategy<Value = CertificateChain<'static>> {
    prop::collection::vec(any_certificate(), 1..5).prop_map(CertificateChain)
}

proptest! {
    // No files of seeds beside the tests: a failure prints the value it found.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn certificates_arrive_byte_for_byte(chain in any_chain(), persistent: bool) {
        let sent: Operation<'_> =
            Certify { machine_certificate_chain: chain, persistent }.into();
        let body = encode_request(SoapVersion::V11, Contract::Certification, None, &sent);
        let request = parse_request(HttpHead::default(), body.as_bytes(), &Limits::server());
        prop_assert_eq!(request.unwrap().operation, sent);
    }

    #[test]
    fn batches_arrive_as_they_were_sent(
        items in prop::collection::vec((any_chain(), prop::option::of(any_chain())), 1..6),
        first in any_chain(),
    ) {
        let mut items: Vec<_> = items.into_iter().map(|(licensee_certs, issuance_license)| {
            AcquireLicenseParams { licensee_certs, issuance_license, application_data: None }
        }).collect();
        items[0].issuance_license.get_or_insert(first);
        let sent: Operation<'_> = AcquireLicense { items }.into();
        let versions = Some(VersionData::CLIENT_BATCH);
        let body = encode_request(SoapVersion::V12, Contract::Licensing, versions, &sent);
        let request = parse_request(HttpHead::default(), body.as_bytes(), &Limits::server());
        prop_assert_eq!(request.unwrap().operation, sent);
    }

    #[test]
    fn any_text_survives_a_fault(message in "\\PC{0,60}") {
        let fault = Fault::new(FaultCode::UnspecifiedError, message.trim());
        let body = encode_fault(&ResponseHead::fault(SoapVersion::V12), &fault);
        let answer = parse_response(OperationName::Enroll, body.as_bytes(), &Limits::client());
        let read = answer.unwrap().outcome.unwrap_err();
        if !message.contains("--->") {
            prop_assert_eq!(read.code, fault.code);
        }
    }
}
