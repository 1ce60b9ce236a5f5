//! `rmsd enroll` and `rmsd authority sign`: enrollment by files that are carried by hand (MS-RMPR
//! 3.6.4.2), of root clusters and of licensing clusters.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use openrms_engine::Cluster;
use openrms_engine::authority::EnrollmentService;
use openrms_engine::sub_enroll::sub_enroll;
use openrms_protocol::{Limits, offline_enrollment};
use openrms_xrml::anchors::Anchors;
use serde_json::json;

use super::authority::write;
use super::{Failure, Output, Place};
use crate::authority::ClientTrust;
use crate::enrollment::{self, EnrollError, Enrolled, Trust};
use crate::open::{Opened, blocking};
use crate::{clock, files, outbound, slc};

#[derive(Debug, Subcommand)]
pub(super) enum EnrollCommand {
    /// Write the request of a cluster that nobody has certified yet.
    Request(Request),
    /// Take over the certificate that came back.
    Complete(Complete),
    /// At a root cluster: certify the licensing cluster of a request.
    SignSub(Sign),
}

#[derive(Debug, Args)]
pub(super) struct Request {
    /// Where it goes; the server's name and `EnrollRequest.xml` by default.
    file: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Complete {
    /// The response document.
    response: PathBuf,
    #[command(flatten)]
    trust: TrustArguments,
    #[command(flatten)]
    place: Place,
}

/// What a certificate is judged by.
#[derive(Debug, Args)]
pub(super) struct TrustArguments {
    /// The authority's client bundle (`rmsd client-bundle` there); needed the first time.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// The only anchors to believe (`rmsd authority anchors export` there).
    #[arg(long, value_name = "FILE")]
    anchors: Option<PathBuf>,
}

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

pub(super) fn run(command: &EnrollCommand, output: &Output) -> Result<(), Failure> {
    match command {
        EnrollCommand::Request(request) => {
            let file = request.file.as_deref();
            write_request(
                (file, "EnrollRequest.xml"),
                request.force,
                &request.place,
                request_document,
                output,
            )
        }
        EnrollCommand::Complete(complete) => {
            let done = take_over(&complete.response, &complete.trust, &complete.place)?;
            answer(&done, "enrolled", output);
            Ok(())
        }
        EnrollCommand::SignSub(sign) => sign_sub(sign, output),
    }
}

/// The request of a cluster for its key in use.
pub(super) async fn request_document(opened: &Opened) -> Result<String, Failure> {
    let stored = opened.store.snapshot().await.map_err(EnrollError::from)?;
    Ok(enrollment::request_document(&stored, &*opened.provider)?)
}

/// Writes a request document of a cluster.
pub(super) fn write_request(
    (file, suffix): (Option<&Path>, &str),
    force: bool,
    place: &Place,
    document: impl AsyncFnOnce(&Opened) -> Result<String, Failure> + Send,
    output: &Output,
) -> Result<(), Failure> {
    let config = place.load()?;
    let (document, url) = blocking(async || {
        let opened = Opened::open(&config).await?;
        let document = document(&opened).await?;
        let stored = opened.store.snapshot().await.map_err(EnrollError::from)?;
        opened.store.close().await;
        Ok::<_, Failure>((document, stored.policies.base_url.unwrap_or_default()))
    })?;
    let name = format!("{}{suffix}", outbound::host(&url));
    let file = match file {
        Some(folder) if folder.is_dir() => folder.join(name),
        Some(file) => file.to_owned(),
        None => name.into(),
    };
    write(&file, document.as_bytes(), force)?;
    let text = format!(
        "{} is to be signed by the authority: take it there as it is.",
        file.display()
    );
    output.answer(&json!({ "file": file }), text);
    Ok(())
}

/// Takes over the SLC of a response document.
pub(super) fn take_over(
    response: &Path,
    trust: &TrustArguments,
    place: &Place,
) -> Result<Enrolled, Failure> {
    let config = place.load()?;
    let document = read(response)?;
    let trust = trust.read()?;
    blocking(async || {
        let opened = Opened::open(&config).await?;
        let (store, provider) = (&*opened.store, &*opened.provider);
        let done = enrollment::by_file(store, provider, &document, trust, clock::now()).await?;
        opened.store.close().await;
        Ok(done)
    })
}

/// Tells of a certificate that was taken over.
pub(super) fn answer(done: &Enrolled, what: &str, output: &Output) {
    let document = json!({ "server_key": done.key, "valid_until": done.until.to_string() });
    let text = format!(
        "The server is {what}. It may issue until {}; servers of the cluster that run take notice \
         by themselves.",
        done.until
    );
    output.answer(&document, text);
}

/// `rmsd authority sign`.
pub(super) fn sign(sign: &Sign, output: &Output) -> Result<(), Failure> {
    let config = sign.place.load()?;
    let document = read(&sign.request)?;
    let request = offline_enrollment::decode_request(&document, &Limits::server())
        .map_err(|error| malformed(&sign.request, &error))?;
    let signed = blocking(async || {
        let opened = Opened::open(&config).await?;
        let stored = opened.store.snapshot().await.map_err(EnrollError::from)?;
        let roles = opened
            .store
            .authority_roles()
            .await
            .map_err(EnrollError::from)?;
        let service =
            EnrollmentService::load(&roles, &*opened.provider).map_err(EnrollError::from)?;
        let days = sign.days.unwrap_or_else(|| slc::days(&stored.settings));
        let answer = service
            .enroll(&*opened.store, &request, days, clock::now())
            .await
            .map_err(|refusal| EnrollError::Refused(refusal.to_string()))?;
        Ok::<_, Failure>(offline_enrollment::encode_response(&answer))
    })?;
    finish(sign, &signed, output)
}

fn sign_sub(sign: &Sign, output: &Output) -> Result<(), Failure> {
    let config = sign.place.load()?;
    let document = read(&sign.request)?;
    let request = offline_enrollment::decode_sub_request(&document, &Limits::server())
        .map_err(|error| malformed(&sign.request, &error))?;
    let signed = blocking(async || {
        let opened = Opened::open(&config).await?;
        let stored = opened.store.snapshot().await.map_err(EnrollError::from)?;
        let days = sign.days.unwrap_or_else(|| slc::days(&stored.settings));
        let cluster = Cluster::new(&stored, &*opened.provider, opened.vault.clone())
            .map_err(|error| Failure::new(1, "not-provisioned", error))?;
        let answer = sub_enroll(&cluster, &*opened.store, &request, days, clock::now())
            .await
            .map_err(|refusal| EnrollError::Refused(refusal.to_string()))?;
        Ok::<_, Failure>(offline_enrollment::encode_sub_response(&answer))
    })?;
    finish(sign, &signed, output)
}

fn finish(sign: &Sign, signed: &str, output: &Output) -> Result<(), Failure> {
    write(&sign.output, signed.as_bytes(), sign.force)?;
    let text = format!(
        "{} is to be taken back to the server, together with the client bundle.",
        sign.output.display()
    );
    output.answer(&json!({ "file": sign.output }), text);
    Ok(())
}

impl TrustArguments {
    pub(super) fn read(&self) -> Result<Trust, Failure> {
        let bundle = match &self.bundle {
            Some(path) => {
                let bundle: ClientTrust = serde_json::from_slice(&read(path)?)
                    .map_err(|error| malformed(path, &error))?;
                Some(bundle)
            }
            None => None,
        };
        Ok(Trust {
            bundle,
            pinned: self.anchors.as_deref().map(read_anchors).transpose()?,
        })
    }
}

/// Reads an anchors' exchange file.
pub(super) fn read_anchors(path: &Path) -> Result<Anchors, Failure> {
    let bytes = read(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|error| malformed(path, &error))?;
    Anchors::from_xml(text).map_err(|error| malformed(path, &error))
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    files::read_limited(path, LONGEST)
        .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}

fn malformed(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(6, "malformed", format!("{}: {error}", path.display()))
}

const LONGEST: u64 = 4 << 20;
