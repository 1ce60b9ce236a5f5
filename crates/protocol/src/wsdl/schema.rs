//! The messages as tables: which elements each interface has and what is in them ([MS-RMPR]
//! appendix A). `any` stands for mixed content: a certificate or the application's own XML.

use crate::endpoints::Contract;

/// One element of a sequence.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) min: u8,
    pub(super) many: bool,
}

/// A name and the sequence below it.
pub(super) type Shape = (&'static str, &'static [Field]);

pub(super) const fn opt(name: &'static str, kind: &'static str) -> Field {
    Field {
        name,
        kind,
        min: 0,
        many: false,
    }
}

const fn one(name: &'static str, kind: &'static str) -> Field {
    Field {
        name,
        kind,
        min: 1,
        many: false,
    }
}

const fn many(name: &'static str, kind: &'static str) -> Field {
    Field {
        name,
        kind,
        min: 0,
        many: true,
    }
}

/// Body elements of an interface.
pub(super) const fn elements(contract: Contract) -> &'static [Shape] {
    match contract {
        Contract::Activation => ACTIVATION,
        Contract::Certification => CERTIFICATION,
        Contract::Licensing => LICENSING,
        Contract::TemplateDistribution => TEMPLATES,
        Contract::Publishing => PUBLISHING,
        Contract::Enrollment => ENROLLMENT,
        Contract::SubEnrollment => SUB_ENROLLMENT,
        Contract::Server => SERVER,
        Contract::ServiceLocator => LOCATOR,
        Contract::GroupExpansion => GROUP_EXPANSION,
        Contract::Precertification => PRECERTIFICATION,
        Contract::Republishing => REPUBLISHING,
        Contract::Decommissioning => DECOMMISSIONING,
    }
}

/// Types of an interface.
pub(super) const fn complex_types(contract: Contract) -> &'static [Shape] {
    match contract {
        Contract::Activation => ACTIVATION_TYPES,
        Contract::Certification => CERTIFICATION_TYPES,
        Contract::Licensing => LICENSING_TYPES,
        Contract::TemplateDistribution => TEMPLATES_TYPES,
        Contract::Publishing => PUBLISHING_TYPES,
        Contract::Enrollment => ENROLLMENT_TYPES,
        Contract::SubEnrollment => SUB_ENROLLMENT_TYPES,
        Contract::Server => SERVER_TYPES,
        Contract::ServiceLocator => LOCATOR_TYPES,
        Contract::GroupExpansion => &[STRINGS],
        Contract::Precertification => PRECERTIFICATION_TYPES,
        Contract::Republishing => REPUBLISHING_TYPES,
        Contract::Decommissioning => DECOMMISSIONING_TYPES,
    }
}

pub(super) const ANY: &str = "any";
pub(super) const GUID_TYPES: &str = "http://microsoft.com/wsdl/types/";

const NODES: Shape = ("ArrayOfXmlNode", &[many("Certificate", ANY)]);
const ENROLLEE_KEY: Shape = (
    "EnrolleeCertificatePublicKey",
    &[
        opt("aPublicKeyBytes", "s:base64Binary"),
        one("Guid", "g:guid"),
    ],
);
const ENROLLEE: Shape = (
    "EnrolleeServerInformation",
    &[
        opt("SKU", "s:string"),
        opt("Version", "s:string"),
        opt("Name", "s:string"),
        opt("URL", "s:string"),
    ],
);
const STRINGS: Shape = ("ArrayOfString", &[many("string", "s:string")]);

const ACTIVATION: &[Shape] = &[
    (
        "Activate",
        &[opt("requestParams", "tns:ArrayOfActivateParams")],
    ),
    (
        "ActivateResponse",
        &[opt("ActivateResult", "tns:ArrayOfActivateResponse")],
    ),
];
const ACTIVATION_TYPES: &[Shape] = &[
    (
        "ArrayOfActivateParams",
        &[many("ActivateParams", "tns:ActivateParams")],
    ),
    ("ActivateParams", &[opt("HidXml", ANY)]),
    (
        "ArrayOfActivateResponse",
        &[many("ActivateResponse", "tns:ActivateResponse")],
    ),
    (
        "ActivateResponse",
        &[
            opt("MachineCertificateChain", "tns:ArrayOfXmlNode"),
            opt("BinarySignature", ANY),
        ],
    ),
    NODES,
];

const CERTIFICATION: &[Shape] = &[
    ("Certify", &[opt("requestParams", "tns:CertifyParams")]),
    (
        "CertifyResponse",
        &[opt("CertifyResult", "tns:CertifyResponse")],
    ),
];
const CERTIFICATION_TYPES: &[Shape] = &[
    (
        "CertifyParams",
        &[
            opt("MachineCertificateChain", "tns:ArrayOfXmlNode"),
            one("Persistent", "s:boolean"),
        ],
    ),
    (
        "CertifyResponse",
        &[
            opt("CertificateChain", "tns:ArrayOfXmlNode"),
            opt("Quota", "tns:QuotaResponse"),
        ],
    ),
    (
        "QuotaResponse",
        &[
            one("Verified", "s:boolean"),
            one("CurrentConsumption", "s:int"),
            one("Maximum", "s:int"),
        ],
    ),
    NODES,
];

const LICENSING: &[Shape] = &[
    (
        "AcquireLicense",
        &[opt("RequestParams", "tns:ArrayOfAcquireLicenseParams")],
    ),
    (
        "AcquireLicenseResponse",
        &[opt(
            "AcquireLicenseResult",
            "tns:ArrayOfAcquireLicenseResponse",
        )],
    ),
    (
        "AcquirePreLicense",
        &[opt("RequestParams", "tns:ArrayOfAcquirePreLicenseParams")],
    ),
    (
        "AcquirePreLicenseResponse",
        &[opt(
            "AcquirePreLicenseResult",
            "tns:ArrayOfAcquirePreLicenseResponse",
        )],
    ),
];
const LICENSING_TYPES: &[Shape] = &[
    (
        "ArrayOfAcquireLicenseParams",
        &[many("AcquireLicenseParams", "tns:AcquireLicenseParams")],
    ),
    (
        "AcquireLicenseParams",
        &[
            opt("LicenseeCerts", "tns:ArrayOfXmlNode"),
            opt("IssuanceLicense", "tns:ArrayOfXmlNode"),
            opt("ApplicationData", ANY),
        ],
    ),
    (
        "ArrayOfAcquireLicenseResponse",
        &[many("AcquireLicenseResponse", "tns:AcquireLicenseResponse")],
    ),
    (
        "AcquireLicenseResponse",
        &[
            opt("CertificateChain", "tns:ArrayOfXmlNode"),
            opt("ReferenceCertificates", "tns:ArrayOfXmlNode"),
        ],
    ),
    (
        "ArrayOfAcquirePreLicenseParams",
        &[many(
            "AcquirePreLicenseParams",
            "tns:AcquirePreLicenseParams",
        )],
    ),
    (
        "AcquirePreLicenseParams",
        &[
            opt("LicenseeIdentities", "tns:ArrayOfString"),
            opt("IssuanceLicense", "tns:ArrayOfXmlNode"),
            opt("ApplicationData", ANY),
        ],
    ),
    (
        "ArrayOfAcquirePreLicenseResponse",
        &[many(
            "AcquirePreLicenseResponse",
            "tns:AcquirePreLicenseResponse",
        )],
    ),
    (
        "AcquirePreLicenseResponse",
        &[
            opt("Licenses", "tns:ArrayOfXmlNode"),
            opt("CertificateChain", "tns:ArrayOfXmlNode"),
            opt("ReferenceCertificates", "tns:ArrayOfXmlNode"),
        ],
    ),
    STRINGS,
    NODES,
];

const TEMPLATES: &[Shape] = &[
    ("AcquireTemplateInformation", &[]),
    (
        "AcquireTemplateInformationResponse",
        &[opt(
            "AcquireTemplateInformationResult",
            "tns:TemplateInformation",
        )],
    ),
    ("AcquireTemplates", &[opt("guids", "tns:ArrayOfString")]),
    (
        "AcquireTemplatesResponse",
        &[opt("AcquireTemplatesResult", "tns:ArrayOfGuidTemplate")],
    ),
];
const TEMPLATES_TYPES: &[Shape] = &[
    (
        "TemplateInformation",
        &[
            opt("ServerPublicKey", "s:string"),
            one("GuidHashCount", "s:int"),
            many("GuidHash", "tns:GuidHash"),
        ],
    ),
    (
        "GuidHash",
        &[opt("Guid", "s:string"), opt("Hash", "s:string")],
    ),
    (
        "ArrayOfGuidTemplate",
        &[many("GuidTemplate", "tns:GuidTemplate")],
    ),
    (
        "GuidTemplate",
        &[
            opt("Guid", "s:string"),
            opt("Hash", "s:string"),
            opt("Template", "s:string"),
        ],
    ),
    STRINGS,
];

const PUBLISHING: &[Shape] = &[
    (
        "AcquireIssuanceLicense",
        &[opt(
            "RequestParams",
            "tns:ArrayOfAcquireIssuanceLicenseParams",
        )],
    ),
    (
        "AcquireIssuanceLicenseResponse",
        &[opt(
            "AcquireIssuanceLicenseResult",
            "tns:ArrayOfAcquireIssuanceLicenseResponse",
        )],
    ),
    (
        "GetClientLicensorCert",
        &[opt(
            "RequestParams",
            "tns:ArrayOfGetClientLicensorCertParams",
        )],
    ),
    (
        "GetClientLicensorCertResponse",
        &[opt(
            "GetClientLicensorCertResult",
            "tns:ArrayOfGetClientLicensorCertResponse",
        )],
    ),
];
const PUBLISHING_TYPES: &[Shape] = &[
    (
        "ArrayOfAcquireIssuanceLicenseParams",
        &[many(
            "AcquireIssuanceLicenseParams",
            "tns:AcquireIssuanceLicenseParams",
        )],
    ),
    (
        "AcquireIssuanceLicenseParams",
        &[opt("UnsignedIssuanceLicense", ANY)],
    ),
    (
        "ArrayOfAcquireIssuanceLicenseResponse",
        &[many(
            "AcquireIssuanceLicenseResponse",
            "tns:AcquireIssuanceLicenseResponse",
        )],
    ),
    (
        "AcquireIssuanceLicenseResponse",
        &[opt("CertificateChain", "tns:ArrayOfXmlNode")],
    ),
    (
        "ArrayOfGetClientLicensorCertParams",
        &[many(
            "GetClientLicensorCertParams",
            "tns:GetClientLicensorCertParams",
        )],
    ),
    (
        "GetClientLicensorCertParams",
        &[opt("PersonaCerts", "tns:ArrayOfXmlNode")],
    ),
    (
        "ArrayOfGetClientLicensorCertResponse",
        &[many(
            "GetClientLicensorCertResponse",
            "tns:GetClientLicensorCertResponse",
        )],
    ),
    (
        "GetClientLicensorCertResponse",
        &[opt("CertificateChain", "tns:ArrayOfXmlNode")],
    ),
    NODES,
];

const ENROLLMENT: &[Shape] = &[
    ("Enroll", &[one("oInput", "tns:EnrollParameters")]),
    (
        "EnrollResponse",
        &[one("EnrollResult", "tns:EnrollResponse")],
    ),
];
const ENROLLMENT_TYPES: &[Shape] = &[
    (
        "EnrollParameters",
        &[
            one("AuthorizationInformation", "tns:X509Information"),
            one("RevocationInformation", "tns:EnrolleeRevocationInformation"),
            one("CertificatePublicKey", "tns:EnrolleeCertificatePublicKey"),
            one("EnrolleeInformation", "tns:EnrolleeServerInformation"),
        ],
    ),
    (
        "X509Information",
        &[opt("SignedDataBase64Encoded", "s:string")],
    ),
    (
        "EnrolleeRevocationInformation",
        &[
            one("RevocationType", "tns:RevocationTypeEnum"),
            opt(
                "aRevocationAuthorities",
                "tns:ArrayOfRevocationAuthorityInformation",
            ),
        ],
    ),
    (
        "ArrayOfRevocationAuthorityInformation",
        &[many(
            "RevocationAuthorityInformation",
            "tns:RevocationAuthorityInformation",
        )],
    ),
    (
        "RevocationAuthorityInformation",
        &[opt("aRevocationAuthorityPublicKey", "s:base64Binary")],
    ),
    ENROLLEE_KEY,
    ENROLLEE,
    (
        "EnrollResponse",
        &[opt("LicensorCertificateChain", "tns:ArrayOfString")],
    ),
    STRINGS,
];

const SUB_ENROLLMENT: &[Shape] = &[
    ("SubEnroll", &[one("oInput", "tns:SubEnrollParameters")]),
    (
        "SubEnrollResponse",
        &[one("SubEnrollResult", "tns:SubEnrollResponse")],
    ),
];
const SUB_ENROLLMENT_TYPES: &[Shape] = &[
    (
        "SubEnrollParameters",
        &[
            one("CertificatePublicKey", "tns:EnrolleeCertificatePublicKey"),
            one("EnrolleeInformation", "tns:EnrolleeServerInformation"),
        ],
    ),
    ENROLLEE_KEY,
    ENROLLEE,
    (
        "SubEnrollResponse",
        &[opt("LicensorCertificateChain", "tns:ArrayOfString")],
    ),
    STRINGS,
];

const SERVER: &[Shape] = &[
    ("GetLicensorCertificate", &[]),
    (
        "GetLicensorCertificateResponse",
        &[opt("GetLicensorCertificateResult", "tns:LicensorCertChain")],
    ),
    FIND,
    FIND_RESPONSE,
    (
        "GetServerInfo",
        &[opt("requests", "tns:ArrayOfServerInfoRequest")],
    ),
    ("GetServerInfoResponse", &[opt("GetServerInfoResult", ANY)]),
    (
        "FindServiceLocations",
        &[opt("ServiceNames", "tns:ArrayOfServiceLocationRequest")],
    ),
    (
        "FindServiceLocationsResponse",
        &[opt(
            "FindServiceLocationsResult",
            "tns:ArrayOfServiceLocationResponse",
        )],
    ),
];
const SERVER_TYPES: &[Shape] = &[
    (
        "LicensorCertChain",
        &[opt("CertificateChain", "tns:ArrayOfXmlNode")],
    ),
    LOCATION_REQUESTS,
    LOCATION_REQUEST,
    LOCATION_RESPONSES,
    LOCATION_RESPONSE,
    (
        "ArrayOfServerInfoRequest",
        &[many("ServerInfoRequest", "tns:ServerInfoRequest")],
    ),
    (
        "ServerInfoRequest",
        &[
            one("Type", "tns:ServerInfoType"),
            opt("AdditionalInfo", "s:string"),
        ],
    ),
    NODES,
];

const GROUP_EXPANSION: &[Shape] = &[
    (
        "IsPrincipalMemberOf",
        &[
            opt("principalName", "s:string"),
            opt("principalCrossForest", "s:string"),
            opt("targetGroups", "tns:ArrayOfString"),
            one("crossForestCallsSoFar", "s:int"),
        ],
    ),
    (
        "IsPrincipalMemberOfResponse",
        &[one("IsPrincipalMemberOfResult", "s:boolean")],
    ),
];

const LOCATOR: &[Shape] = &[FIND, FIND_RESPONSE];
const LOCATOR_TYPES: &[Shape] = &[
    LOCATION_REQUESTS,
    LOCATION_REQUEST,
    LOCATION_RESPONSES,
    LOCATION_RESPONSE,
];

const PRECERTIFICATION: &[Shape] = &[
    (
        "Precertify",
        &[opt("requestParams", "tns:ArrayOfPrecertifyParams")],
    ),
    (
        "PrecertifyResponse",
        &[opt("PrecertifyResult", "tns:ArrayOfPrecertifyResponse")],
    ),
];
const PRECERTIFICATION_TYPES: &[Shape] = &[
    (
        "ArrayOfPrecertifyParams",
        &[many("PrecertifyParams", "tns:PrecertifyParams")],
    ),
    (
        "PrecertifyParams",
        &[
            opt("UserName", "s:string"),
            opt("Identification", "tns:Identification"),
        ],
    ),
    (
        "Identification",
        &[
            one("AuthenticationMode", "tns:AuthenticationMode"),
            opt("Id", "s:string"),
            opt("Email", "s:string"),
            opt("ProxyAddresses", "tns:ArrayOfString"),
        ],
    ),
    (
        "ArrayOfPrecertifyResponse",
        &[many("PrecertifyResponse", "tns:PrecertifyResponse")],
    ),
    ("PrecertifyResponse", &[opt("Certificate", ANY)]),
    STRINGS,
];

const REPUBLISHING: &[Shape] = &[
    (
        "EditIssuanceLicense",
        &[opt("RequestParams", "tns:ArrayOfEditIssuanceLicenseParams")],
    ),
    (
        "EditIssuanceLicenseResponse",
        &[opt(
            "EditIssuanceLicenseResult",
            "tns:ArrayOfEditIssuanceLicenseResponse",
        )],
    ),
];
const REPUBLISHING_TYPES: &[Shape] = &[
    (
        "ArrayOfEditIssuanceLicenseParams",
        &[many(
            "EditIssuanceLicenseParams",
            "tns:EditIssuanceLicenseParams",
        )],
    ),
    (
        "EditIssuanceLicenseParams",
        &[
            opt("SignedIssuanceLicense", ANY),
            opt("UnsignedIssuanceLicense", ANY),
        ],
    ),
    (
        "ArrayOfEditIssuanceLicenseResponse",
        &[many(
            "EditIssuanceLicenseResponse",
            "tns:EditIssuanceLicenseResponse",
        )],
    ),
    (
        "EditIssuanceLicenseResponse",
        &[opt("CertificateChain", "tns:ArrayOfXmlNode")],
    ),
    NODES,
];

const DECOMMISSIONING: &[Shape] = &[
    (
        "AcquireContentKey",
        &[opt("paramsSoap", "tns:ArrayOfAcquireContentKeyParams")],
    ),
    (
        "AcquireContentKeyResponse",
        &[opt(
            "AcquireContentKeyResult",
            "tns:ArrayOfAcquireContentKeyResponse",
        )],
    ),
];
const DECOMMISSIONING_TYPES: &[Shape] = &[
    (
        "ArrayOfAcquireContentKeyParams",
        &[many(
            "AcquireContentKeyParams",
            "tns:AcquireContentKeyParams",
        )],
    ),
    (
        "AcquireContentKeyParams",
        &[opt("IssuanceLicense", "tns:ArrayOfXmlNode")],
    ),
    (
        "ArrayOfAcquireContentKeyResponse",
        &[many(
            "AcquireContentKeyResponse",
            "tns:AcquireContentKeyResponse",
        )],
    ),
    (
        "AcquireContentKeyResponse",
        &[
            opt("ContentKey", "s:base64Binary"),
            one("ContentKeyType", "tns:KeyType"),
        ],
    ),
    NODES,
];

const FIND: Shape = (
    "FindServiceLocationsForUser",
    &[opt("ServiceNames", "tns:ArrayOfServiceLocationRequest")],
);
const FIND_RESPONSE: Shape = (
    "FindServiceLocationsForUserResponse",
    &[opt(
        "FindServiceLocationsForUserResult",
        "tns:ArrayOfServiceLocationResponse",
    )],
);
const LOCATION_REQUESTS: Shape = (
    "ArrayOfServiceLocationRequest",
    &[many("ServiceLocationRequest", "tns:ServiceLocationRequest")],
);
const LOCATION_REQUEST: Shape = ("ServiceLocationRequest", &[one("Type", "tns:ServiceType")]);
const LOCATION_RESPONSES: Shape = (
    "ArrayOfServiceLocationResponse",
    &[many(
        "ServiceLocationResponse",
        "tns:ServiceLocationResponse",
    )],
);
const LOCATION_RESPONSE: Shape = (
    "ServiceLocationResponse",
    &[opt("URL", "s:string"), one("Type", "tns:ServiceType")],
);
