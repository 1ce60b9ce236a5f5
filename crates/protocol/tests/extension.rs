//! Messages of the extension for other servers, in the shapes its WSDL allows ([MS-RMSI]
//! appendix A).

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests may fail like tests.

mod common;

use openrms_protocol::decommissioning::KeyType;
use openrms_protocol::precertification::{AuthenticationMode, Precertify};
use openrms_protocol::prelicensing::AcquirePreLicense;
use openrms_protocol::{
    CertificateError, Contract, Fault, FaultClass, FaultCode, HttpHead, Limits, Operation,
    OperationName, ProtocolError, Response, Service, ServiceLevel, parse_request, parse_response,
    wsdl,
};

fn envelope(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
         <soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soap:Body>{body}</soap:Body>\
         </soap:Envelope>"
    )
}

fn read(body: &str) -> Result<(Contract, Operation<'static>), ProtocolError> {
    // Leaked, so that tests can return what borrows from it: a few hundred bytes each.
    let text: &'static str = envelope(body).leak();
    parse_request(HttpHead::default(), text.as_bytes(), &Limits::server())
        .map(|request| (request.contract, request.operation))
        .map_err(|rejection| rejection.error)
}

fn precertify(params: &str) -> Result<Precertify, ProtocolError> {
    let namespace = Contract::Precertification.namespace();
    let body = format!(
        "<Precertify xmlns=\"{namespace}\"><requestParams>{params}</requestParams></Precertify>"
    );
    match read(&body)? {
        (Contract::Precertification, Operation::Precertify(request)) => Ok(request),
        other => panic!("read as {other:?}"),
    }
}

fn prelicense(params: &str) -> Result<AcquirePreLicense<'static>, ProtocolError> {
    let namespace = Contract::Licensing.namespace();
    let body = format!(
        "<AcquirePreLicense xmlns=\"{namespace}\"><RequestParams>{params}</RequestParams>\
         </AcquirePreLicense>"
    );
    match read(&body)? {
        (Contract::Licensing, Operation::AcquirePreLicense(request)) => Ok(request),
        other => panic!("read as {other:?}"),
    }
}

fn acquire_key(params: &str) -> Result<Operation<'static>, ProtocolError> {
    let namespace = Contract::Decommissioning.namespace();
    let body = format!(
        "<AcquireContentKey xmlns=\"{namespace}\"><paramsSoap>{params}</paramsSoap>\
         </AcquireContentKey>"
    );
    read(&body).map(|(_, operation)| operation)
}

fn edit(params: &str) -> Result<Operation<'static>, ProtocolError> {
    let namespace = Contract::Republishing.namespace();
    let body = format!(
        "<EditIssuanceLicense xmlns=\"{namespace}\"><RequestParams>{params}</RequestParams>\
         </EditIssuanceLicense>"
    );
    read(&body).map(|(_, operation)| operation)
}

#[test]
fn the_interfaces_are_where_the_specification_has_them() {
    for (path, service) in [
        (
            "/_wmcs/certification/Precertification.asmx",
            Service::Precertification,
        ),
        (
            "/_wmcs/licensing/editissuancelicense.asmx",
            Service::EditIssuanceLicense,
        ),
        (
            "/_wmcs/decommission/decommission.asmx",
            Service::Decommission,
        ),
    ] {
        assert_eq!(Service::from_path(path), Some(service));
    }
    assert!(Service::License.serves(Contract::Licensing, OperationName::AcquirePreLicense));
    assert_eq!(
        Contract::Republishing.soap_action(OperationName::EditIssuanceLicense),
        "http://microsoft.com/DRM/EditIssuanceLicenseService/EditIssuanceLicense"
    );
    assert_eq!(
        Contract::Decommissioning.soap_action(OperationName::AcquireContentKey),
        "http://microsoft.com/DRM/DecommissionService/AcquireContentKey"
    );
    assert_eq!(
        Contract::Precertification.soap_action(OperationName::Precertify),
        "http://microsoft.com/DRM/CertificationService/Precertify"
    );
}

#[test]
fn of_two_interfaces_in_one_namespace_each_answers_its_own_operation_alone() {
    let (here, there) = (Contract::Precertification, Contract::Certification);
    assert_eq!(here.namespace(), there.namespace());
    assert!(Service::Precertification.serves(here, OperationName::Precertify));
    assert!(!Service::Precertification.serves(there, OperationName::Certify));
    assert!(!Service::Certification.serves(here, OperationName::Precertify));
    let certify = format!(
        "<Certify xmlns=\"{}\"><requestParams><MachineCertificateChain><Certificate>\
         <XrML>a</XrML></Certificate></MachineCertificateChain><Persistent>true</Persistent>\
         </requestParams></Certify>",
        here.namespace()
    );
    assert_eq!(read(&certify).unwrap().0, there);
}

#[test]
fn a_person_is_asked_for_by_address_by_account_or_by_both() {
    let by_name = "<PrecertifyParams><UserName>a@b.c</UserName></PrecertifyParams>";
    let request = precertify(by_name).unwrap();
    assert_eq!(request.items[0].user_name.as_deref(), Some("a@b.c"));
    assert_eq!(request.items[0].identification, None);

    // As a .NET proxy writes it: the members that should be null are null.
    let by_account = "<PrecertifyParams><UserName xsi:nil=\"true\"/><Identification>\
         <AuthenticationMode>Windows</AuthenticationMode><Id>S-1-5-21-1-2-3-4</Id>\
         <Email xsi:nil=\"true\"/><ProxyAddresses xsi:nil=\"true\"/>\
         </Identification></PrecertifyParams>";
    let item = precertify(by_account).unwrap().items.remove(0);
    let account = item.identification.unwrap();
    assert_eq!(
        (account.authentication_mode, account.id.as_str()),
        (AuthenticationMode::Windows, "S-1-5-21-1-2-3-4")
    );
    assert_eq!(item.user_name, None);
}

#[test]
fn any_number_of_certificates_asked_for_is_read_because_its_exception_is_its_own() {
    assert_eq!(precertify("").unwrap().items, []);
    let one = "<PrecertifyParams><UserName>a@b.c</UserName></PrecertifyParams>";
    assert_eq!(precertify(&one.repeat(2)).unwrap().items.len(), 2);
    assert_eq!(
        precertify(&one.repeat(101)),
        Err(ProtocolError::TooMany {
            what: "PrecertifyParams",
            limit: 100
        })
    );
}

#[test]
fn an_account_is_named_whole_and_signs_in_in_a_known_way() {
    let account = |inside: &str| {
        precertify(&format!(
            "<PrecertifyParams><Identification>{inside}</Identification></PrecertifyParams>"
        ))
    };
    let fault = |result: Result<Precertify, ProtocolError>| result.unwrap_err().fault().code;
    let no_id = account("<AuthenticationMode>Windows</AuthenticationMode>");
    assert_eq!(fault(no_id), Some(FaultCode::ArgumentNull));
    let no_mode = account("<Id>S-1-1-0</Id>");
    assert_eq!(fault(no_mode), Some(FaultCode::ArgumentNull));
    let passport = account("<AuthenticationMode>Passport</AuthenticationMode><Id>1</Id>");
    assert_eq!(fault(passport), Some(FaultCode::InvalidOperation));
}

#[test]
fn recipients_are_bounded_in_all_items_together() {
    let params = |count: usize| {
        format!(
            "<AcquirePreLicenseParams><LicenseeIdentities>{}</LicenseeIdentities>\
             <IssuanceLicense><Certificate><XrML>pl</XrML></Certificate></IssuanceLicense>\
             <ApplicationData><any xmlns=\"urn:x\"/></ApplicationData></AcquirePreLicenseParams>",
            "<string>a@b.c</string>".repeat(count)
        )
    };
    let request = prelicense(&(params(60) + &params(40))).unwrap();
    let counts: Vec<_> = request
        .items
        .iter()
        .map(|item| item.licensee_identities.len())
        .collect();
    assert_eq!(counts, [60, 40]);
    let too_many = ProtocolError::TooMany {
        what: "LicenseeIdentities",
        limit: 100,
    };
    assert_eq!(
        prelicense(&(params(60) + &params(41))),
        Err(too_many.clone())
    );
    assert_eq!(too_many.fault().code, Some(FaultCode::UnspecifiedError));
    let nobody = prelicense(&params(0)).unwrap_err();
    assert_eq!(nobody.fault().code, Some(FaultCode::ArgumentNull));
}

#[test]
fn one_license_is_republished_in_one_request() {
    let one = |signed: &str, unsigned: &str| {
        format!(
            "<EditIssuanceLicenseParams><SignedIssuanceLicense>{signed}</SignedIssuanceLicense>\
             <UnsignedIssuanceLicense>{unsigned}</UnsignedIssuanceLicense>\
             </EditIssuanceLicenseParams>"
        )
    };
    let (pl, clc) = ("<XrML>pl</XrML>", "<XrML>clc</XrML>");
    for signed in [pl.to_owned(), format!("{pl}{clc}")] {
        let Operation::EditIssuanceLicense(request) = edit(&one(&signed, pl)).unwrap() else {
            panic!("another operation")
        };
        assert_eq!(request.signed_issuance_license.concatenated(), signed);
    }
    assert!(matches!(
        edit(&one(pl, pl).repeat(2)),
        Err(ProtocolError::TooMany { limit: 1, .. })
    ));
    assert!(matches!(
        edit(&one(pl, &format!("{pl}{pl}"))),
        Err(ProtocolError::Certificate {
            source: CertificateError::MoreThanOne,
            ..
        })
    ));
    for missing in [one("", pl), String::new()] {
        let fault = edit(&missing).unwrap_err().fault();
        assert_eq!(fault.code, Some(FaultCode::ArgumentNull));
    }
}

#[test]
fn of_several_licenses_the_first_alone_is_asked_about() {
    let params = |license: &str| {
        format!(
            "<AcquireContentKeyParams><IssuanceLicense>{license}</IssuanceLicense>\
             </AcquireContentKeyParams>"
        )
    };
    let certificate = |name: &str| format!("<Certificate><XrML>{name}</XrML></Certificate>");
    let (pl, clc) = (certificate("pl"), certificate("clc"));
    let first = params(&(pl.clone() + &clc));
    let unreadable = params("<Certificate><other/></Certificate>");
    for body in [first.clone(), first.clone() + &unreadable] {
        let Operation::AcquireContentKey(request) = acquire_key(&body).unwrap() else {
            panic!("another operation")
        };
        let texts = request.issuance_license.concatenated();
        assert_eq!(texts, "<XrML>pl</XrML><XrML>clc</XrML>");
    }
    let nil = "<AcquireContentKeyParams xsi:nil=\"true\"/>".to_owned();
    for missing in [String::new(), nil + &first, params("")] {
        let fault = acquire_key(&missing).unwrap_err().fault();
        assert_eq!(fault.code, Some(FaultCode::ArgumentNull));
    }
    assert!(matches!(
        acquire_key(&params(&pl).repeat(101)),
        Err(ProtocolError::TooMany { limit: 100, .. })
    ));
}

#[test]
fn one_content_key_is_the_answer_and_no_error_quotes_it() {
    let namespace = Contract::Decommissioning.namespace();
    let answer = |inside: &str| {
        let text: &'static str = envelope(&format!(
            "<AcquireContentKeyResponse xmlns=\"{namespace}\"><AcquireContentKeyResult>{inside}\
             </AcquireContentKeyResult></AcquireContentKeyResponse>"
        ))
        .leak();
        let limits = Limits::client();
        parse_response(OperationName::AcquireContentKey, text.as_bytes(), &limits)
            .map(|answer| answer.outcome)
    };
    let item = |key: &str, kind: &str| {
        format!(
            "<AcquireContentKeyResponse><ContentKey>{key}</ContentKey>\
             <ContentKeyType>{kind}</ContentKeyType></AcquireContentKeyResponse>"
        )
    };
    let key = "c2VjcmV0c2VjcmV0c2Vj";
    let Response::AcquireContentKey(good) = answer(&item(key, "AES")).unwrap().unwrap() else {
        panic!("another answer")
    };
    assert_eq!(good.content_key.expose(), b"secretsecretsec");
    assert_eq!(good.key_type, KeyType::Aes);
    assert!(!format!("{good:?}").contains("115"), "{good:?}");

    for wrong in [
        item(&format!("{key}*"), "AES"),
        item(key, "aes"),
        item("", "AES"),
        item(&"A".repeat(8196), "AES"),
        item(key, "AES").repeat(2),
        String::new(),
    ] {
        let error = answer(&wrong).unwrap_err().to_string();
        assert!(!error.contains("c2Vj"), "{error}");
    }
}

#[test]
fn an_exception_without_a_namespace_is_known_all_the_same() {
    let read = |text| Fault::from_fault_string(FaultClass::Server, text).code;
    assert_eq!(
        read("AcquirePreLicenseInvalidLicenseeException: nobody"),
        Some(FaultCode::AcquirePreLicenseInvalidLicensee)
    );
    assert_eq!(
        read("Microsoft.DigitalRightsManagement.Licensing.InvalidSignedIssuanceLicenseException"),
        Some(FaultCode::InvalidSignedIssuanceLicense)
    );
}

#[test]
fn a_certificate_is_the_answer_to_precertify_and_nothing_else_is() {
    let namespace = Contract::Precertification.namespace();
    let answer = |inside: &str| {
        let body = envelope(&format!(
            "<PrecertifyResponse xmlns=\"{namespace}\"><PrecertifyResult>{inside}\
             </PrecertifyResult></PrecertifyResponse>"
        ));
        let limits = Limits::client();
        parse_response(OperationName::Precertify, body.as_bytes(), &limits)
            .map(|answer| answer.outcome.is_ok())
    };
    let one =
        "<PrecertifyResponse><Certificate><XrML>rac</XrML></Certificate></PrecertifyResponse>";
    assert_eq!(answer(one), Ok(true));
    assert!(answer("").is_err());
    assert!(answer(&one.repeat(2)).is_err());
}

#[test]
fn the_descriptions_have_the_names_of_the_appendix() {
    let text = wsdl(Service::Precertification, ServiceLevel::V2, "http://luna");
    for name in [
        "wsdl:service name=\"PrecertificationWebService\"",
        "wsdl:portType name=\"PrecertificationWebServiceSoap\"",
        "location=\"http://luna/_wmcs/certification/Precertification.asmx\"",
        "s:simpleType name=\"AuthenticationMode\"",
        "name=\"requestParams\" type=\"tns:ArrayOfPrecertifyParams\"",
    ] {
        assert!(text.contains(name), "{name}");
    }
    let text = wsdl(
        Service::EditIssuanceLicense,
        ServiceLevel::V2,
        "http://luna",
    );
    for name in [
        "wsdl:service name=\"Republish\"",
        "wsdl:portType name=\"RepublishSoap\"",
        "targetNamespace=\"http://microsoft.com/DRM/EditIssuanceLicenseService\"",
        "name=\"EditIssuanceLicenseResult\" type=\"tns:ArrayOfEditIssuanceLicenseResponse\"",
    ] {
        assert!(text.contains(name), "{name}");
    }
    let text = wsdl(Service::Decommission, ServiceLevel::V2, "http://luna");
    for name in [
        "wsdl:service name=\"DecommissionService\"",
        "wsdl:portType name=\"DecommissionServiceSoap\"",
        "location=\"http://luna/_wmcs/decommission/decommission.asmx\"",
        "targetNamespace=\"http://microsoft.com/DRM/DecommissionService\"",
        "name=\"paramsSoap\" type=\"tns:ArrayOfAcquireContentKeyParams\"",
        "<s:enumeration value=\"DES\"/><s:enumeration value=\"AES\"/>",
        "name=\"ContentKey\" type=\"s:base64Binary\"",
    ] {
        assert!(text.contains(name), "{name}");
    }
    let text = wsdl(Service::License, ServiceLevel::V2, "http://luna");
    assert!(text.contains("name=\"LicenseeIdentities\" type=\"tns:ArrayOfString\""));
    assert!(text.contains("name=\"Licenses\" type=\"tns:ArrayOfXmlNode\""));
}
