//! WSDL 1.1 of each endpoint, generated from a compact table of the messages ([MS-RMPR]
//! appendix A, [MS-RMPRS] appendix A, [MS-RMSI] appendix A): document/literal, one port for SOAP
//! 1.1 and, where it is spoken, one for SOAP 1.2.

use std::fmt::Write as _;

use crate::decommissioning::KeyType;
use crate::endpoints::{Contract, Service};
use crate::level::ServiceLevel;
use crate::operation::OperationName;
use crate::server::{ServerInfoType, ServiceType};
use crate::soap::SoapVersion;
use schema::{ANY, Field, GUID_TYPES, complex_types, elements, opt};

mod schema;

/// The WSDL of an endpoint, with a port for each version of SOAP that servers of that level take.
/// `base` is scheme and authority of the server, see [`Service::url`].
pub fn wsdl(service: Service, level: ServiceLevel, base: &str) -> String {
    let contract = service.contract();
    let location = attribute(&service.url(base));
    let mut out = String::with_capacity(16 * 1024);
    out.push_str("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n");
    // Writing to a string cannot fail; the result is dropped on purpose.
    let _ = definitions(&mut out, contract, level, &location);
    out
}

/// Name of the interface's WSDL service and port type.
const fn names(contract: Contract) -> (&'static str, &'static str) {
    match contract {
        Contract::Activation => ("ActivationProxyWebService", "ActivationProxyWebServiceSoap"),
        Contract::Certification => ("CertificationWebService", "CertificationWebServiceSoap"),
        Contract::Licensing => ("License", "LicenseSoap"),
        Contract::TemplateDistribution => (
            "TemplateDistributionWebService",
            "TemplateDistributionWebServiceSoap",
        ),
        Contract::Publishing => ("Publish", "PublishSoap"),
        Contract::Enrollment => ("EnrollService", "EnrollServiceSoap"),
        Contract::SubEnrollment => ("SubEnrollService", "SubEnrollServiceSoap"),
        Contract::Server => ("Server", "ServerSoap"),
        Contract::ServiceLocator => ("ServiceLocator", "ServiceLocatorSoap"),
        Contract::GroupExpansion => ("GroupExpansionWebService", "GroupExpansionWebServiceSoap"),
        Contract::Precertification => (
            "PrecertificationWebService",
            "PrecertificationWebServiceSoap",
        ),
        Contract::Republishing => ("Republish", "RepublishSoap"),
        Contract::Decommissioning => ("DecommissionService", "DecommissionServiceSoap"),
    }
}

fn definitions(
    out: &mut String,
    contract: Contract,
    level: ServiceLevel,
    location: &str,
) -> std::fmt::Result {
    let namespace = contract.namespace();
    let (service, port) = names(contract);
    writeln!(
        out,
        "<wsdl:definitions xmlns:wsdl=\"http://schemas.xmlsoap.org/wsdl/\" \
         xmlns:soap=\"http://schemas.xmlsoap.org/wsdl/soap/\" \
         xmlns:soap12=\"http://schemas.xmlsoap.org/wsdl/soap12/\" \
         xmlns:s=\"http://www.w3.org/2001/XMLSchema\" xmlns:g=\"{GUID_TYPES}\" \
         xmlns:tns=\"{namespace}\" targetNamespace=\"{namespace}\">"
    )?;
    types(out, contract)?;
    for &operation in contract.operations() {
        let name = operation.as_str();
        for (suffix, part, element) in [
            ("SoapIn", "parameters", name),
            ("SoapOut", "parameters", operation.response_element()),
            ("VersionData", "VersionData", "VersionData"),
        ] {
            writeln!(
                out,
                "<wsdl:message name=\"{name}{suffix}\"><wsdl:part name=\"{part}\" \
                 element=\"tns:{element}\"/></wsdl:message>"
            )?;
        }
    }
    writeln!(out, "<wsdl:portType name=\"{port}\">")?;
    for &operation in contract.operations() {
        let name = operation.as_str();
        writeln!(
            out,
            "<wsdl:operation name=\"{name}\"><wsdl:input message=\"tns:{name}SoapIn\"/>\
             <wsdl:output message=\"tns:{name}SoapOut\"/></wsdl:operation>"
        )?;
    }
    out.push_str("</wsdl:portType>\n");
    let ports = level.soap_versions().iter().map(|version| match version {
        SoapVersion::V11 => ("", "soap"),
        SoapVersion::V12 => ("12", "soap12"),
    });
    for (suffix, soap) in ports.clone() {
        binding(out, contract, &format!("{port}{suffix}"), soap)?;
    }
    writeln!(out, "<wsdl:service name=\"{service}\">")?;
    for (suffix, soap) in ports {
        writeln!(
            out,
            "<wsdl:port name=\"{port}{suffix}\" binding=\"tns:{port}{suffix}\">\
             <{soap}:address location=\"{location}\"/></wsdl:port>"
        )?;
    }
    out.push_str("</wsdl:service>\n</wsdl:definitions>\n");
    Ok(())
}

fn binding(out: &mut String, contract: Contract, name: &str, soap: &str) -> std::fmt::Result {
    let (_, port) = names(contract);
    writeln!(
        out,
        "<wsdl:binding name=\"{name}\" type=\"tns:{port}\">\
         <{soap}:binding style=\"document\" transport=\"http://schemas.xmlsoap.org/soap/http\"/>"
    )?;
    for &operation in contract.operations() {
        let name = operation.as_str();
        let action = contract.soap_action(operation);
        // One operation goes without the version header (appendix 6.5).
        let header = if operation == OperationName::GetServerInfo {
            String::new()
        } else {
            format!(
                "<{soap}:header message=\"tns:{name}VersionData\" part=\"VersionData\" \
                 use=\"literal\"/>"
            )
        };
        let content = format!("<{soap}:body use=\"literal\"/>{header}");
        writeln!(
            out,
            "<wsdl:operation name=\"{name}\">\
             <{soap}:operation soapAction=\"{action}\" style=\"document\"/>\
             <wsdl:input>{content}</wsdl:input><wsdl:output>{content}</wsdl:output>\
             </wsdl:operation>"
        )?;
    }
    out.push_str("</wsdl:binding>\n");
    Ok(())
}

fn types(out: &mut String, contract: Contract) -> std::fmt::Result {
    let namespace = contract.namespace();
    out.push_str("<wsdl:types>\n");
    writeln!(
        out,
        "<s:schema elementFormDefault=\"qualified\" targetNamespace=\"{namespace}\">"
    )?;
    let has_guid = matches!(contract, Contract::Enrollment | Contract::SubEnrollment);
    if has_guid {
        writeln!(out, "<s:import namespace=\"{GUID_TYPES}\"/>")?;
    }
    for &(name, fields) in elements(contract) {
        write!(out, "<s:element name=\"{name}\"><s:complexType>")?;
        sequence(out, fields)?;
        out.push_str("</s:complexType></s:element>\n");
    }
    for &(name, fields) in complex_types(contract) {
        write!(out, "<s:complexType name=\"{name}\">")?;
        sequence(out, fields)?;
        out.push_str("</s:complexType>\n");
    }
    out.push_str("<s:complexType name=\"VersionData\">");
    sequence(
        out,
        &[
            opt("MinimumVersion", "s:string"),
            opt("MaximumVersion", "s:string"),
        ],
    )?;
    out.push_str("<s:anyAttribute/></s:complexType>\n");
    out.push_str("<s:element name=\"VersionData\" type=\"tns:VersionData\"/>\n");
    let services: Vec<_> = ServiceType::ALL
        .iter()
        .map(|value| value.as_str())
        .collect();
    let questions: Vec<_> = ServerInfoType::ALL
        .iter()
        .map(|value| value.as_str())
        .collect();
    match contract {
        Contract::Server => {
            enumeration(out, "ServiceType", &services)?;
            enumeration(out, "ServerInfoType", &questions)?;
        }
        Contract::ServiceLocator => enumeration(out, "ServiceType", &services)?,
        Contract::Enrollment => {
            let values = ["NonRevocable", "StandardRevocation", "CustomRevocation"];
            enumeration(out, "RevocationTypeEnum", &values)?;
        }
        Contract::Precertification => enumeration(out, "AuthenticationMode", &["Windows"])?,
        Contract::Decommissioning => {
            let kinds: Vec<_> = KeyType::ALL.iter().map(|kind| kind.as_str()).collect();
            enumeration(out, "KeyType", &kinds)?;
        }
        _ => {}
    }
    out.push_str("</s:schema>\n");
    if has_guid {
        // The pattern of the appendix has no braces; the prose wants them; both are read.
        writeln!(
            out,
            "<s:schema elementFormDefault=\"qualified\" targetNamespace=\"{GUID_TYPES}\">\
             <s:simpleType name=\"guid\"><s:restriction base=\"s:string\"><s:pattern value=\
             \"\\{{?[0-9a-fA-F]{{8}}(-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}}\\}}?\"/>\
             </s:restriction></s:simpleType></s:schema>"
        )?;
    }
    out.push_str("</wsdl:types>\n");
    Ok(())
}

fn sequence(out: &mut String, fields: &[Field]) -> std::fmt::Result {
    if fields.is_empty() {
        return Ok(());
    }
    out.push_str("<s:sequence>");
    for field in fields {
        let Field {
            name,
            kind,
            min,
            many,
        } = field;
        let max = if *many { "unbounded" } else { "1" };
        let nil = if *many { " nillable=\"true\"" } else { "" };
        write!(
            out,
            "<s:element minOccurs=\"{min}\" maxOccurs=\"{max}\" name=\"{name}\"{nil}"
        )?;
        if *kind == ANY {
            out.push_str(
                "><s:complexType mixed=\"true\"><s:sequence>\
                 <s:any minOccurs=\"0\" processContents=\"lax\"/>\
                 </s:sequence></s:complexType></s:element>",
            );
        } else {
            write!(out, " type=\"{kind}\"/>")?;
        }
    }
    out.push_str("</s:sequence>");
    Ok(())
}

fn enumeration(out: &mut String, name: &str, values: &[&str]) -> std::fmt::Result {
    write!(
        out,
        "<s:simpleType name=\"{name}\"><s:restriction base=\"s:string\">"
    )?;
    for value in values {
        write!(out, "<s:enumeration value=\"{value}\"/>")?;
    }
    out.push_str("</s:restriction></s:simpleType>\n");
    Ok(())
}

fn attribute(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}
