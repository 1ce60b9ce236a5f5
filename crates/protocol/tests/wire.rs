//! Wire output as snapshots: every request, answer and fault in both versions of SOAP.

mod common;

use openrms_protocol::{
    Fault, FaultCode, Operation, Response, ResponseHead, Service, ServiceLevel, SoapVersion,
    VersionData, encode_fault, encode_request, encode_response, offline_enrollment, wsdl,
};

const BOTH: [(SoapVersion, &str); 2] = [(SoapVersion::V11, "soap11"), (SoapVersion::V12, "soap12")];

#[test]
fn every_request_is_written_as_before() {
    for (soap, suffix) in BOTH {
        for operation in common::requests() {
            let name = operation.name();
            let versions = Some(VersionData::CLIENT_BATCH);
            let body = encode_request(soap, name.contract(), versions, &operation);
            insta::assert_snapshot!(format!("{}_{suffix}", name.as_str()), folded(&body));
        }
    }
}

#[test]
fn every_answer_is_written_as_before() {
    for (soap, suffix) in BOTH {
        for response in common::responses() {
            let name = response.name();
            let head = ResponseHead {
                soap,
                contract: Some(name.contract()),
                version_data: Some(ServiceLevel::V2.data_versions()),
            };
            let body = encode_response(&head, &response);
            insta::assert_snapshot!(
                format!("{}_{suffix}", name.response_element()),
                folded(&body)
            );
        }
    }
}

#[test]
fn every_fault_is_written_as_before() {
    for (soap, suffix) in BOTH {
        let head = ResponseHead::fault(soap);
        let all: String = FaultCode::ALL
            .iter()
            .map(|&code| folded(&encode_fault(&head, &Fault::new(code, "why <it> failed"))))
            .collect();
        insta::assert_snapshot!(format!("faults_{suffix}"), all);
    }
}

#[test]
fn documents_for_enrollment_by_files_are_written_as_before() {
    let Operation::Enroll(request) = common::requests().remove(6) else {
        panic!("another operation")
    };
    let Response::Enroll(response) = common::responses().remove(6) else {
        panic!("another answer")
    };
    insta::assert_snapshot!(
        "offline_request",
        folded(&offline_enrollment::encode_request(&request))
    );
    insta::assert_snapshot!(
        "offline_response",
        folded(&offline_enrollment::encode_response(&response))
    );
    insta::assert_snapshot!(
        "offline_sub_request",
        folded(&offline_enrollment::encode_sub_request(
            &common::sub_enroll()
        ))
    );
    insta::assert_snapshot!(
        "offline_sub_response",
        folded(&offline_enrollment::encode_sub_response(
            &common::sub_enroll_response()
        ))
    );
}

#[test]
fn the_description_of_sub_enrollment_is_written_as_before() {
    let text = wsdl(
        Service::SubEnrollment,
        ServiceLevel::V2,
        "https://rms.example.com",
    );
    insta::assert_snapshot!("wsdl_sub_enrollment", folded(&text));
}

#[test]
fn the_description_of_group_expansion_is_written_as_before() {
    let text = wsdl(
        Service::GroupExpansion,
        ServiceLevel::V2,
        "https://rms.example.com",
    );
    insta::assert_snapshot!("wsdl_group_expansion", folded(&text));
}

#[test]
fn every_description_names_its_operations_and_its_address() {
    for &service in Service::ALL {
        for (level, ports) in [(ServiceLevel::V2, 2), (ServiceLevel::Sp2, 1)] {
            let text = wsdl(service, level, "https://rms.example.com");
            let address = format!("location=\"https://rms.example.com{}\"", service.path());
            assert_eq!(text.matches(&address).count(), ports, "{service:?}");
            for operation in service.contract().operations() {
                let action = service.contract().soap_action(*operation);
                let action = format!("soapAction=\"{action}\"");
                assert_eq!(text.matches(&action).count(), ports);
            }
        }
    }
}

/// A line break before every tag of the envelope, for reading.
fn folded(body: &str) -> String {
    body.replace("><", ">\n<") + "\n"
}
