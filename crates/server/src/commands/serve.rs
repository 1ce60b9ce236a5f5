//! `rmsd serve` and `rmsd admin-url`.

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{Failure, Output, Place};
use crate::running::{Running, Server};

#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct AdminUrl {
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(command: &Serve, output: &Output) -> Result<(), Failure> {
    let level = if output.quiet {
        "error"
    } else {
        "info,sqlx=warn"
    };
    let filter = EnvFilter::try_from_env("RMSD_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    // Fails where the process has a log already, which is then used.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
    let running = Server::start(command.place.load()?)?;
    tracing::info!(url = running.url(), "serving");
    output.answer(&json!({ "url": running.url() }), running.url());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    runtime
        .block_on(until_told(&running))
        .map_err(Failure::failed)?;
    tracing::info!("stopping: requests under way are answered first");
    running.stop();
    Ok(())
}

async fn until_told(running: &Running) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hang_up.recv() => {
                tracing::info!("reading configuration and people list anew");
                running.reload();
            }
        }
    }
}

pub(super) fn admin_url(command: &AdminUrl, output: &Output) -> Result<(), Failure> {
    let config = command.place.load()?;
    let path = config.data.admin_token();
    let token = config
        .data
        .read_admin_token()
        .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    let token = String::from_utf8_lossy(token.expose()).into_owned();
    let plain = config.listen.first().map(|address| ("http", *address));
    let tls = config.tls.as_ref().and_then(|tls| tls.listen.first());
    let (scheme, mut address) = plain
        .or(tls.map(|address| ("https", *address)))
        .ok_or_else(|| Failure::failed("the configuration names no address to listen on"))?;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let url = format!("{scheme}://{address}/admin/?token={token}");
    output.answer(&json!({ "admin_url": url }), &url);
    Ok(())
}
