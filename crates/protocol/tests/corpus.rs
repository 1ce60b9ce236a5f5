//! Real certificates travel through the envelope without losing a byte.

use std::path::PathBuf;

use openrms_protocol::licensing::{AcquireLicense, AcquireLicenseParams};
use openrms_protocol::{
    CertificateChain, Contract, HttpHead, Limits, Operation, SoapVersion, VersionData,
    encode_request, parse_request,
};

#[test]
fn real_licenses_and_certificates_arrive_byte_for_byte() {
    let Some(corpus) = corpus() else {
        println!("skipped: no corpus");
        return;
    };
    // One of the files is as clients hold it in memory: UTF-16 without a mark.
    let text = |path: &str| match std::fs::read(corpus.join(path)).unwrap() {
        wide if wide.get(1) == Some(&0) => {
            let units = wide
                .as_chunks::<2>()
                .0
                .iter()
                .copied()
                .map(u16::from_le_bytes);
            char::decode_utf16(units)
                .collect::<Result<String, _>>()
                .unwrap()
        }
        narrow => String::from_utf8(narrow).unwrap(),
    };
    let (rac, pl) = (text("spec/rac.xml"), text("licence/PL_0101right_ECB.xml"));
    let item = AcquireLicenseParams {
        licensee_certs: CertificateChain::split(&rac).unwrap(),
        issuance_license: Some(CertificateChain::split(&pl).unwrap()),
        application_data: None,
    };
    let sent: Operation<'_> = AcquireLicense::single(item).into();
    let versions = Some(VersionData::CLIENT);
    let body = encode_request(SoapVersion::V11, Contract::Licensing, versions, &sent);
    let request = parse_request(HttpHead::default(), body.as_bytes(), &Limits::server()).unwrap();
    assert_eq!(request.operation, sent);
    for path in [
        "spec/clc.xml",
        "spec/pl.xml",
        "spec/template.xml",
        "spec/erd-plain.xml",
    ] {
        let blob = text(path);
        let chain = CertificateChain::split(&blob).unwrap();
        assert!(blob.contains(chain.leaf().unwrap().as_str()), "{path}");
    }
}

fn corpus() -> Option<PathBuf> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let folder = std::env::var_os("OPENRMS_CORPUS").unwrap_or_else(|| "../shared/corpus".into());
    let folder = PathBuf::from(root).join(folder);
    folder.is_dir().then_some(folder)
}
