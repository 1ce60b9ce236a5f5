//! Bounds on what is read from the other side, checked before memory is taken.
//! Figures of the product are in [MS-RMPR] appendix B, notes <41> to <43>.

/// How much of everything one message may carry. All sizes are bytes of UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The whole body of the HTTP message.
    pub body_bytes: usize,
    /// One certificate of a RAC or SPC chain (note <42>: 30,720).
    pub licensee_cert_bytes: usize,
    /// Certificates in one chain (note <42>: 100).
    pub certificates_per_chain: usize,
    /// All nodes of one PL together (note <43>: 8 MiB).
    pub issuance_license_bytes: usize,
    /// Raw content of one `ApplicationData` (note <41>: 102,400).
    pub application_data_bytes: usize,
    /// Items in any array of requests, answers, template identifiers or services.
    pub batch_items: usize,
    /// Any other single text value: a GUID, a URL, a name, a base64 key.
    pub text_bytes: usize,
    /// Elements nested in one another, certificates not counted.
    pub depth: usize,
    /// Elements in one message, those inside certificates and `ApplicationData` not counted.
    pub elements: usize,
    /// Attributes on one element, namespace declarations included.
    pub attributes: usize,
}

impl Limits {
    /// Bounds for a server reading requests, with the figures of the product.
    pub const fn server() -> Self {
        Self {
            body_bytes: 16 * MIB,
            licensee_cert_bytes: 30_720,
            certificates_per_chain: 100,
            issuance_license_bytes: 8 * MIB,
            application_data_bytes: 102_400,
            batch_items: 100,
            text_bytes: 64 * 1024,
            depth: 48,
            elements: 32_768,
            attributes: 32,
        }
    }

    /// Bounds for a client reading answers: a UL may be as long as the PL it stems from, and a
    /// template is one text value.
    pub const fn client() -> Self {
        Self {
            body_bytes: 64 * MIB,
            licensee_cert_bytes: 8 * MIB,
            text_bytes: 8 * MIB,
            batch_items: 10_000,
            elements: 131_072,
            ..Self::server()
        }
    }

    /// The same bounds with another size of body.
    #[must_use]
    pub const fn with_body_bytes(mut self, bytes: usize) -> Self {
        self.body_bytes = bytes;
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::server()
    }
}

const MIB: usize = 1024 * 1024;
