//! `rmsd serve` and `rmsd admin-url`.

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, Output, Place};
use crate::config::Config;
use crate::events::Event;
use crate::log::{LogConfig, LogFormat};
use crate::running::{Running, Server};
use crate::service_manager::{self, Notice};

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
    let started = config.and_then(start);
    let running = started.inspect_err(|failure| Event::StartFailed.emit(&failure.message))?;
    Event::ServerStarted.emit(format_args!(
        "serving at {} as RMS {}, release {}",
        running.url(),
        running.service_level(),
        env!("CARGO_PKG_VERSION")
    ));
    let say = || {
        service_manager::tell(Notice::Ready, &serving(&running));
        output.answer(&json!({ "url": running.url() }), running.url());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    runtime
        .block_on(until_told(&running, say))
        .map_err(Failure::failed)?;
    tracing::info!("stopping: requests under way are answered first");
    service_manager::tell(Notice::Stopping, "requests under way are answered first");
    running.stop();
    Event::ServerStopped.emit("stopped");
    Ok(())
}

/// At the sockets of the service manager, where it hands some over.
fn start(config: Config) -> Result<Running, Failure> {
    let sockets = service_manager::sockets()?;
    Ok(if sockets.is_empty() {
        Server::start(config)?
    } else {
        Server::start_with_sockets(config, &sockets)?
    })
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
            _ = hang_up.recv() => {}
        }
        tracing::info!("reading configuration and people list anew");
        service_manager::tell(
            Notice::Reloading,
            "reading configuration and people list anew",
        );
        let is_read = tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            is_read = running.reload() => is_read,
        };
        let serving = serving(running);
        if is_read {
            service_manager::tell(Notice::Ready, &serving);
        } else {
            let status = format!("{serving}; what was to be read anew is wrong, see the log");
            service_manager::tell(Notice::Ready, &status);
        }
    }
}

fn serving(running: &Running) -> String {
    format!("serving at {}", running.url())
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
    let base = if let Some((scheme, mut address)) = plain.or(tls.map(|tls| ("https", *tls))) {
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        format!("{scheme}://{address}")
    } else {
        // The service manager has the sockets.
        let nowhere = "the configuration names neither an address to listen on nor a url";
        let url = config.url.as_deref();
        let url = url.ok_or_else(|| Failure::failed(nowhere))?;
        url.trim_end_matches("/_wmcs").to_owned()
    };
    let url = format!("{base}/admin/?token={token}");
    output.answer(&json!({ "admin_url": url }), &url);
    Ok(())
}
