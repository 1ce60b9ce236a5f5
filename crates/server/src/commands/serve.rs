//! `rmsd serve` and `rmsd admin-url`.

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, Output, Place};
use crate::events::Event;
use crate::log::{LogConfig, LogFormat};
use crate::running::{Running, Server};

#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    place: Place,
    /// Write the log as text or as JSON, whatever the configuration says.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Args)]
pub(super) struct AdminUrl {
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(command: &Serve, output: &Output) -> Result<(), Failure> {
    let config = command.place.load();
    let mut log = config
        .as_ref()
        .map_or_else(|_| LogConfig::default(), |config| config.log.clone());
    log.format = command.log_format.unwrap_or(log.format);
    if output.quiet {
        log = log.errors_only();
    }
    log.start();
    let started = config.and_then(|config| Ok(Server::start(config)?));
    let running = started.inspect_err(|failure| Event::StartFailed.emit(&failure.message))?;
    Event::ServerStarted.emit(format_args!(
        "serving at {} as RMS {}, release {}",
        running.url(),
        running.service_level(),
        env!("CARGO_PKG_VERSION")
    ));
    let say = || output.answer(&json!({ "url": running.url() }), running.url());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    runtime
        .block_on(until_told(&running, say))
        .map_err(Failure::failed)?;
    tracing::info!("stopping: requests under way are answered first");
    running.stop();
    Event::ServerStopped.emit("stopped");
    Ok(())
}

async fn until_told(running: &Running, say: impl FnOnce()) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    // Whoever reads that it serves may tell it to end at once.
    say();
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
