//! `rmsd authority sign` and `rmsd enroll sign-sub`: certifying a server whose request was carried here
//! by hand, with the trust anchor (MS-RMPR 3.6.4.2) or with the SLC of a root cluster (MS-RMPRS 3.3).

use std::path::PathBuf;

use clap::Args;
use openrms_engine::Cluster;
use openrms_engine::authority::EnrollmentService;
use openrms_engine::sub_enroll::sub_enroll;
use openrms_protocol::enrollment::Enroll;
use openrms_protocol::sub_enrollment::SubEnroll;
use openrms_protocol::{Feature, Limits, offline_enrollment};
use serde_json::json;

use super::documents::{malformed, read, write};
use super::{Failure, Output, Place};
use crate::enrollment::EnrollError;
use crate::open::{Opened, blocking};
use crate::{clock, slc};

#[derive(Debug, Args)]
pub(super) struct Sign {
    /// The request document.
    request: PathBuf,
    /// Where the response document goes.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Days for which the server may issue; those of this authority by default.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: Option<u32>,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    place: Place,
}

/// What is asked for.
enum Request {
    /// The SLC of a root cluster.
    Enroll(Enroll),
    /// The SLC of a licensing cluster.
    SubEnroll(SubEnroll),
}

/// `rmsd authority sign`.
pub(super) fn by_authority(sign: &Sign, output: &Output) -> Result<(), Failure> {
    let document = read(&sign.request)?;
    let request = offline_enrollment::decode_request(&document, &Limits::server())
        .map_err(|error| malformed(&sign.request, &error))?;
    certify(sign, &Request::Enroll(request), output)
}

/// `rmsd enroll sign-sub`.
pub(super) fn by_root_cluster(sign: &Sign, output: &Output) -> Result<(), Failure> {
    let document = read(&sign.request)?;
    let request = offline_enrollment::decode_sub_request(&document, &Limits::server())
        .map_err(|error| malformed(&sign.request, &error))?;
    certify(sign, &Request::SubEnroll(request), output)
}

fn certify(sign: &Sign, request: &Request, output: &Output) -> Result<(), Failure> {
    let config = sign.place.load()?;
    let signed = blocking(async || {
        let opened = Opened::open(&config).await?;
        let stored = opened.store.snapshot().await.map_err(EnrollError::from)?;
        let days = sign.days.unwrap_or_else(|| slc::days(&stored.settings));
        let signed = match request {
            Request::Enroll(request) => enroll(&opened, request, days).await?,
            Request::SubEnroll(request) => {
                config.service_level.require(Feature::OfflineEnrollment)?;
                let cluster = Cluster::new(&stored, &*opened.provider, opened.vault.clone())
                    .map_err(|error| Failure::new(1, "not-provisioned", error))?;
                let answer = sub_enroll(&cluster, &*opened.store, request, days, clock::now())
                    .await
                    .map_err(EnrollError::from)?;
                offline_enrollment::encode_sub_response(&answer)
            }
        };
        opened.store.close().await;
        Ok::<_, Failure>(signed)
    })?;
    write(&sign.output, signed.as_bytes(), sign.force)?;
    let text = format!(
        "{} is to be taken back to the server, together with the client bundle.",
        sign.output.display()
    );
    output.answer(&json!({ "file": sign.output }), text);
    Ok(())
}

async fn enroll(opened: &Opened, request: &Enroll, days: u32) -> Result<String, EnrollError> {
    let roles = opened.store.authority_roles().await?;
    let service = EnrollmentService::load(&roles, &*opened.provider)?;
    let answer = service
        .enroll(&*opened.store, request, days, clock::now())
        .await?;
    Ok(offline_enrollment::encode_response(&answer))
}
