//! SOAP envelopes 1.1 and 1.2 around the operations ([MS-RMPR] 2.1, 3.1.4): requests, answers,
//! faults, and the `VersionData` header.

use crate::endpoints::Contract;
use crate::error::{ProtocolError, Rejection, excerpt};
use crate::fault::{Fault, FaultClass};
use crate::limits::Limits;
use crate::operation::{Operation, OperationName, Response};
use crate::version::{DataVersion, VersionData};
use crate::xml::{Element, Source, Writer, parse};

/// Version of SOAP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SoapVersion {
    /// SOAP 1.1: `text/xml`, action in the `SOAPAction` header.
    #[default]
    V11,
    /// SOAP 1.2: `application/soap+xml`, action as its parameter.
    V12,
}

/// What the HTTP headers say about the body. Both are optional and never decide alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct HttpHead<'h> {
    /// `Content-Type`.
    pub content_type: Option<&'h str>,
    /// `SOAPAction`, with or without quotes.
    pub soap_action: Option<&'h str>,
}

/// A request as read from the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// Version of the envelope, and of the answer.
    pub soap: SoapVersion,
    /// The interface addressed, by the namespace of the operation's element. For service
    /// locations there are two; the answer must use the same.
    pub contract: Contract,
    /// Versions the client speaks, when it says so. `GetServerInfo` has no such header.
    pub version_data: Option<VersionData>,
    /// What is asked.
    pub operation: Operation<'a>,
}

/// What an answer's envelope needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHead {
    /// Version of the envelope.
    pub soap: SoapVersion,
    /// Interface that answers; `None` in a fault about a body that was not understood.
    pub contract: Option<Contract>,
    /// Versions the server speaks; needs `contract`.
    pub version_data: Option<VersionData>,
}

/// An answer as read from the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Version of the envelope.
    pub soap: SoapVersion,
    /// Versions the server speaks, when it says so.
    pub version_data: Option<VersionData>,
    /// The answer, or the fault.
    pub outcome: Result<Response<'a>, Fault>,
}

impl SoapVersion {
    /// Namespace of the envelope.
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::V11 => "http://schemas.xmlsoap.org/soap/envelope/",
            Self::V12 => "http://www.w3.org/2003/05/soap-envelope",
        }
    }

    /// `Content-Type` of an answer.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::V11 => "text/xml; charset=utf-8",
            Self::V12 => "application/soap+xml; charset=utf-8",
        }
    }

    /// `Content-Type` of a request; SOAP 1.2 has the action in it.
    pub fn request_content_type(self, action: &str) -> String {
        match self {
            Self::V11 => self.content_type().to_owned(),
            Self::V12 => format!("{}; action=\"{action}\"", self.content_type()),
        }
    }

    /// The version a media type belongs to, `None` when it belongs to neither or both.
    fn of_media_type(content_type: &str) -> Option<Self> {
        let media = content_type.split(';').next().unwrap_or_default().trim();
        if media.eq_ignore_ascii_case("text/xml") {
            Some(Self::V11)
        } else if media.eq_ignore_ascii_case("application/soap+xml") {
            Some(Self::V12)
        } else {
            None
        }
    }

    /// The version to answer in before, or without, understanding the body.
    fn guess(head: &HttpHead<'_>, body: &[u8]) -> Self {
        head.content_type
            .and_then(Self::of_media_type)
            .unwrap_or_else(|| {
                let start = body.get(..1024).unwrap_or(body);
                match memchr::memmem::find(start, Self::V12.namespace().as_bytes()) {
                    Some(_) => Self::V12,
                    None => Self::V11,
                }
            })
    }
}

impl<'h> HttpHead<'h> {
    /// The action, from the header or the parameter of the content type; empty counts as none.
    fn action(&self) -> Option<&'h str> {
        let quoted = |text: &'h str| text.trim().trim_matches('"').trim();
        let parameter = |name: &str| {
            self.content_type
                .into_iter()
                .flat_map(|t| t.split(';').skip(1))
                .find_map(|part| {
                    let (key, value) = part.split_once('=')?;
                    key.trim().eq_ignore_ascii_case(name).then(|| quoted(value))
                })
        };
        let header = self
            .soap_action
            .map(quoted)
            .filter(|action| !action.is_empty());
        header
            .or_else(|| parameter("action"))
            .filter(|action| !action.is_empty())
    }

    fn charset(&self) -> Option<&'h str> {
        self.content_type
            .into_iter()
            .flat_map(|t| t.split(';').skip(1))
            .find_map(|part| {
                let (key, value) = part.split_once('=')?;
                key.trim()
                    .eq_ignore_ascii_case("charset")
                    .then(|| value.trim().trim_matches('"'))
            })
    }
}

impl Request<'_> {
    /// What is needed to answer. `versions` is the range the server speaks, see
    /// [`crate::ServiceLevel::data_versions`].
    pub fn answer_head(&self, versions: VersionData) -> ResponseHead {
        ResponseHead {
            soap: self.soap,
            contract: Some(self.contract),
            version_data: header_of(self.operation.name(), versions),
        }
    }

    /// Whether the server, whose highest version is `highest`, may answer (2.2.4.2).
    pub fn check_version(&self, highest: DataVersion) -> Result<(), ProtocolError> {
        self.version_data
            .map_or(Ok(()), |versions| versions.check(highest))
    }
}

impl ResponseHead {
    /// The head of a fault without version header, which is what Windows servers send (note <3>).
    pub const fn fault(soap: SoapVersion) -> Self {
        Self {
            soap,
            contract: None,
            version_data: None,
        }
    }
}

/// Reads a request. The certificates in the result borrow from `body`.
///
/// The envelope decides which version of SOAP it is, the body which operation; headers that
/// contradict are refused, headers that say nothing are not missed. The data version is read but
/// not compared: see [`Request::check_version`].
pub fn parse_request<'a>(
    head: HttpHead<'_>,
    body: &'a [u8],
    limits: &Limits,
) -> Result<Request<'a>, Rejection> {
    let mut soap = SoapVersion::guess(&head, body);
    let mut contract = None;
    read_request(head, body, limits, &mut soap, &mut contract).map_err(|error| Rejection {
        soap,
        contract,
        error,
    })
}

fn read_request<'a>(
    head: HttpHead<'_>,
    body: &'a [u8],
    limits: &Limits,
    soap: &mut SoapVersion,
    contract: &mut Option<Contract>,
) -> Result<Request<'a>, ProtocolError> {
    let envelope = Envelope::read(body, head.charset(), limits)?;
    *soap = envelope.soap;
    if let Some(content_type) = head.content_type
        && SoapVersion::of_media_type(content_type).is_some_and(|version| version != *soap)
    {
        let content_type = excerpt(content_type);
        return Err(ProtocolError::ContentTypeMismatch { content_type });
    }
    let element = envelope.only_body_element()?;
    let unknown = || ProtocolError::UnknownOperation {
        namespace: excerpt(&element.namespace),
        name: excerpt(element.name),
    };
    *contract = Contract::from_namespace(&element.namespace);
    let (found, name) =
        Contract::operation_of(&element.namespace, element.name).ok_or_else(unknown)?;
    *contract = Some(found);
    if let Some(action) = head.action() {
        let last = action.rsplit(['/', '#']).next().unwrap_or_default();
        if last != name.as_str() {
            let action = excerpt(action);
            return Err(ProtocolError::ActionMismatch {
                action,
                operation: name.as_str(),
            });
        }
    }
    envelope.check_headers()?;
    let version_data = envelope.version_data(limits)?;
    let operation = Operation::decode(name, element, limits)?;
    if let Operation::AcquireLicense(request) = &operation {
        let items = request.items.len();
        if items > 1 && !version_data.is_some_and(|versions| versions.allows_batch()) {
            return Err(ProtocolError::BatchNotAgreed { items });
        }
    }
    Ok(Request {
        soap: *soap,
        contract: found,
        version_data,
        operation,
    })
}

/// Reads the answer to `expected`, be it an answer or a fault; both versions of SOAP are taken.
pub fn parse_response<'a>(
    expected: OperationName,
    body: &'a [u8],
    limits: &Limits,
) -> Result<Answer<'a>, ProtocolError> {
    let envelope = Envelope::read(body, None, limits)?;
    let soap = envelope.soap;
    let element = envelope.only_body_element()?;
    let version_data = envelope.version_data(limits)?;
    if element.is(soap.namespace(), "Fault") {
        let outcome = Err(read_fault(soap, element));
        return Ok(Answer {
            soap,
            version_data,
            outcome,
        });
    }
    let right = Contract::operation_of(&element.namespace, expected.as_str()).is_some();
    if !right || element.name != expected.response_element() {
        return Err(ProtocolError::UnexpectedResponse {
            expected: expected.response_element(),
            found: excerpt(element.name),
        });
    }
    let outcome = Ok(Response::decode(expected, element, limits)?);
    Ok(Answer {
        soap,
        version_data,
        outcome,
    })
}

/// Writes a request. `contract` is that of the endpoint asked, see
/// [`crate::Service::contract`]; it differs from the operation's own for service locators only.
pub fn encode_request(
    soap: SoapVersion,
    contract: Contract,
    version_data: Option<VersionData>,
    operation: &Operation<'_>,
) -> String {
    let head = ResponseHead {
        soap,
        contract: Some(contract),
        version_data: version_data.and_then(|versions| header_of(operation.name(), versions)),
    };
    envelope(&head, |out| {
        out.start_in(operation.name().as_str(), contract.namespace());
        operation.encode(out);
        out.end(operation.name().as_str());
    })
}

/// Writes an answer.
pub fn encode_response(head: &ResponseHead, response: &Response<'_>) -> String {
    let contract = head.contract.unwrap_or_else(|| response.name().contract());
    let name = response.name().response_element();
    envelope(head, |out| {
        out.start_in(name, contract.namespace());
        response.encode(out);
        out.end(name);
    })
}

/// Writes a fault, to be sent with HTTP status 500.
pub fn encode_fault(head: &ResponseHead, fault: &Fault) -> String {
    envelope(head, |out| {
        out.start("soap:Fault");
        match head.soap {
            SoapVersion::V11 => {
                out.leaf("faultcode", &format!("soap:{}", fault.class.soap11()));
                out.leaf("faultstring", &fault.fault_string());
                out.empty("detail", &[]);
            }
            SoapVersion::V12 => {
                out.element("soap:Code", |out| {
                    out.leaf("soap:Value", &format!("soap:{}", fault.class.soap12()));
                });
                out.element("soap:Reason", |out| {
                    out.start_with("soap:Text", &[("xml:lang", "en")]);
                    out.text(&fault.fault_string());
                    out.end("soap:Text");
                });
                out.empty("soap:Detail", &[]);
            }
        }
        out.end("soap:Fault");
    })
}

fn envelope(head: &ResponseHead, body: impl FnOnce(&mut Writer)) -> String {
    let mut out = Writer::document(TYPICAL);
    let namespaces = [
        ("xmlns:soap", head.soap.namespace()),
        ("xmlns:xsi", XSI),
        ("xmlns:xsd", XSD),
    ];
    out.start_with("soap:Envelope", &namespaces);
    if let (Some(contract), Some(versions)) = (head.contract, head.version_data) {
        out.element("soap:Header", |out| {
            versions.encode(contract.namespace(), out);
        });
    }
    out.element("soap:Body", body);
    out.end("soap:Envelope");
    out.finish()
}

/// The version header of an operation: none for the one whose binding leaves it out (appendix
/// 6.5), always 1.0.0.0 for the one that wants so (3.6.4.1.1), else `versions`.
fn header_of(name: OperationName, versions: VersionData) -> Option<VersionData> {
    match name {
        OperationName::GetServerInfo => None,
        OperationName::Enroll => Some(VersionData::range(DataVersion::V1_0, DataVersion::V1_0)),
        _ => Some(versions),
    }
}

fn read_fault(soap: SoapVersion, element: &Element<'_>) -> Fault {
    let find = |parent: &Element<'_>, name: &str| -> Option<String> {
        let child = parent.children.iter().find(|child| child.name == name)?;
        Some(child.text.to_string())
    };
    let inner = |outer: &str, name: &str| -> Option<String> {
        let outer = element.children.iter().find(|child| child.name == outer)?;
        find(outer, name)
    };
    let (code, text) = match soap {
        SoapVersion::V11 => (find(element, "faultcode"), find(element, "faultstring")),
        SoapVersion::V12 => (inner("Code", "Value"), inner("Reason", "Text")),
    };
    let class = FaultClass::from_wire(&code.unwrap_or_default());
    Fault::from_fault_string(class, &text.unwrap_or_default())
}

/// An envelope, opened.
struct Envelope<'a> {
    soap: SoapVersion,
    headers: Vec<Element<'a>>,
    body: Element<'a>,
}

impl<'a> Envelope<'a> {
    fn read(
        bytes: &'a [u8],
        charset: Option<&str>,
        limits: &Limits,
    ) -> Result<Self, ProtocolError> {
        let (length, limit) = (bytes.len(), limits.body_bytes);
        if length > limit {
            return Err(ProtocolError::BodyTooLarge { length, limit });
        }
        if let Some(name) = charset
            && !["utf-8", "utf8", "us-ascii"]
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known))
        {
            return Err(ProtocolError::UnsupportedEncoding {
                name: excerpt(name),
            });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| ProtocolError::NotUtf8 {
            at: error.valid_up_to(),
        })?;
        let root = parse(text, Source::Message, OPAQUE, limits)?;
        let soap = [SoapVersion::V11, SoapVersion::V12]
            .into_iter()
            .find(|version| root.is(version.namespace(), "Envelope"))
            .ok_or_else(|| ProtocolError::NotAnEnvelope {
                found: excerpt(root.name),
            })?;
        let mut headers = Vec::new();
        let mut body = None;
        let mut header_seen = false;
        for child in root.children {
            let duplicate = || ProtocolError::Duplicate {
                element: child.name.to_owned(),
                parent: "Envelope".to_owned(),
            };
            if child.is(soap.namespace(), "Header") {
                if header_seen || body.is_some() {
                    return Err(duplicate());
                }
                header_seen = true;
                headers = child.children;
            } else if child.is(soap.namespace(), "Body") {
                if body.is_some() {
                    return Err(duplicate());
                }
                body = Some(child);
            }
        }
        let body = body.ok_or_else(|| ProtocolError::Missing {
            element: "Body",
            parent: "Envelope".to_owned(),
        })?;
        Ok(Self {
            soap,
            headers,
            body,
        })
    }

    fn only_body_element(&self) -> Result<&Element<'a>, ProtocolError> {
        match self.body.children.as_slice() {
            [only] => Ok(only),
            all => Err(ProtocolError::NotOneOperation { count: all.len() }),
        }
    }

    /// Refuses headers for this receiver that must be understood and are not.
    fn check_headers(&self) -> Result<(), ProtocolError> {
        let soap = self.soap.namespace();
        let (role, own): (_, &[&str]) = match self.soap {
            SoapVersion::V11 => ("actor", &["", "http://schemas.xmlsoap.org/soap/actor/next"]),
            SoapVersion::V12 => (
                "role",
                &[
                    "",
                    "http://www.w3.org/2003/05/soap-envelope/role/next",
                    "http://www.w3.org/2003/05/soap-envelope/role/ultimateReceiver",
                ],
            ),
        };
        for header in self
            .headers
            .iter()
            .filter(|header| !is_version_data(header))
        {
            let must = header
                .attribute_in(soap, "mustUnderstand")
                .unwrap_or_default();
            let role = header.attribute_in(soap, role).unwrap_or_default();
            if matches!(must.trim(), "1" | "true") && own.contains(&role) {
                return Err(ProtocolError::MustUnderstand {
                    name: excerpt(header.name),
                });
            }
        }
        Ok(())
    }

    fn version_data(&self, limits: &Limits) -> Result<Option<VersionData>, ProtocolError> {
        let mut found = self.headers.iter().filter(|header| is_version_data(header));
        let first = found.next();
        if found.next().is_some() {
            return Err(ProtocolError::Duplicate {
                element: "VersionData".to_owned(),
                parent: "Header".to_owned(),
            });
        }
        first
            .map(|header| VersionData::decode(header, limits))
            .transpose()
    }
}

/// The header counts whichever interface's namespace it is in.
fn is_version_data(header: &Element<'_>) -> bool {
    header.name == "VersionData" && Contract::from_namespace(&header.namespace).is_some()
}

/// Elements whose content is the application's and stays raw.
const OPAQUE: &[&str] = &["ApplicationData"];
/// Capacity to start an envelope with: a UL with its chain.
const TYPICAL: usize = 32 * 1024;
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
const XSD: &str = "http://www.w3.org/2001/XMLSchema";
