//! `rmsd template`. A server that runs takes changes over by itself within half a minute.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use openrms_engine::Cluster;
use serde_json::json;

use super::{Failure, Output, Place};
use crate::clock;
use crate::open::{Opened, blocking};
use crate::template::{self, Description, TemplateError};

#[derive(Debug, Subcommand)]
pub(super) enum Template {
    /// Sign a template that a TOML or JSON file describes. One of the same id is replaced.
    Add(Add),
    /// List the templates.
    List(List),
    /// Stop offering a template to clients; content published with it stays licensed.
    Archive(Which),
    /// Offer an archived template again.
    Publish(Which),
    /// Remove a template; content published with it is licensed to its authors only.
    Remove(Which),
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// The description.
    file: PathBuf,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Identifier of the template.
    id: String,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(command: &Template, output: &Output) -> Result<(), Failure> {
    let now = clock::now();
    match command {
        Template::Add(add) => {
            let text = std::fs::read_to_string(&add.file)
                .map_err(|error| Failure::failed(format!("{}: {error}", add.file.display())))?;
            let description = Description::parse(&text)?;
            let config = add.place.load()?;
            let id = blocking(async || {
                let (opened, cluster) = open(&config).await?;
                let (store, level) = (&*opened.store, config.service_level);
                let id = template::put(store, &cluster, level, &description, now).await?;
                opened.store.close().await;
                Ok::<_, Failure>(id.to_string())
            })?;
            output.answer(&json!({ "id": id }), &id);
        }
        Template::List(list) => {
            let config = list.place.load()?;
            let all = blocking(async || {
                let (_, cluster) = open(&config).await?;
                Ok::<_, Failure>(template::list(&cluster))
            })?;
            let lines: Vec<_> = all
                .iter()
                .map(|template| {
                    let name = template.names.first().map_or("", |name| name.name.as_str());
                    let state = if template.published {
                        "offered"
                    } else {
                        "archived"
                    };
                    format!("{}  {state}  {name}", template.id)
                })
                .collect();
            output.answer(&all, lines.join("\n"));
        }
        Template::Archive(which) => change(which, output, Change::Publish(false))?,
        Template::Publish(which) => change(which, output, Change::Publish(true))?,
        Template::Remove(which) => change(which, output, Change::Remove)?,
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Change {
    Publish(bool),
    Remove,
}

fn change(which: &Which, output: &Output, change: Change) -> Result<(), Failure> {
    let config = which.place.load()?;
    blocking(async || {
        let opened = Opened::open(&config).await?;
        let (store, id) = (&*opened.store, which.id.as_str());
        match change {
            Change::Publish(published) => {
                template::set_published(store, id, published, clock::now()).await?;
            }
            Change::Remove => template::remove(store, id).await?,
        }
        opened.store.close().await;
        Ok::<_, Failure>(())
    })?;
    let id = &which.id;
    output.answer(&json!({ "id": id }), format_args!("{id} is changed."));
    Ok(())
}

async fn open(config: &crate::Config) -> Result<(Opened, Cluster), Failure> {
    let opened = Opened::open(config).await?;
    let stored = opened.store.snapshot().await.map_err(TemplateError::from)?;
    let cluster = Cluster::new(&stored, &*opened.provider, opened.vault.clone())
        .map_err(|error| Failure::new(1, "not-provisioned", error))?;
    Ok((opened, cluster))
}
