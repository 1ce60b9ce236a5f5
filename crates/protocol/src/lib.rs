//! Messages of the rights-management client-to-server protocol ([MS-RMPR]) and of its extension
//! for other servers ([MS-RMSI]) as types, with one codec that server and client share: bytes in,
//! values out, and back.
//!
//! A server reads with [`parse_request`] and answers with [`encode_response`] or
//! [`encode_fault`]; a client asks with [`encode_request`] and reads with [`parse_response`].
//! Certificates are opaque here: they travel as the raw slice of the source they stood in
//! ([`CertificateText`]), because their digests are taken over that very text.
//!
//! Servers ask one another about groups of other forests ([MS-RMPRS]): in SOAP like everything
//! else ([`group_expansion`]), or in the binary form of earlier servers
//! ([`binary_group_expansion`]), which has functions of its own.
//!
//! Nothing in this crate knows HTTP: paths are strings ([`endpoints`]), headers are strings
//! ([`HttpHead`]).
//!
//! [MS-RMPR]: https://learn.microsoft.com/openspecs/windows_protocols/ms-rmpr
//! [MS-RMPRS]: https://learn.microsoft.com/openspecs/windows_protocols/ms-rmprs
//! [MS-RMSI]: https://learn.microsoft.com/openspecs/windows_protocols/ms-rmsi

pub mod activation;
pub mod binary_group_expansion;
pub mod certificate;
pub mod certification;
pub mod decommissioning;
pub mod dime;
pub mod endpoints;
pub mod enrollment;
pub mod error;
pub mod fault;
pub mod group_expansion;
pub mod level;
pub mod licensing;
pub mod limits;
pub mod offline_enrollment;
pub mod operation;
pub mod precertification;
pub mod prelicensing;
pub mod publishing;
pub mod republishing;
pub mod server;
pub mod soap;
pub mod sub_enrollment;
pub mod templates;
pub mod version;
pub mod wsdl;

mod xml;

pub use certificate::{CertificateChain, CertificateError, CertificateText};
pub use endpoints::{Contract, Service};
pub use error::{ProtocolError, Rejection};
pub use fault::{Fault, FaultClass, FaultCode};
pub use level::{ClientLevel, Feature, ServiceLevel};
pub use limits::Limits;
pub use operation::{Operation, OperationName, Response};
pub use soap::{
    Answer, HttpHead, Request, ResponseHead, SoapVersion, encode_fault, encode_request,
    encode_response, parse_request, parse_response,
};
pub use version::{DataVersion, VersionData};
pub use wsdl::wsdl;
