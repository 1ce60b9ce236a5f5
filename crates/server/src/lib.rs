//! The rights-management server: the edge between HTTP and the decisions of
//! `openrms-engine` (MS-RMPR 3.1.4), and what surrounds it on a machine: provisioning,
//! configuration, audit, administration.
//!
//! ```text
//! socket -> http -> soap -> engine -> soap -> http -> socket
//!                    |  snapshot of the configuration, held from start to end
//!                    +- event, left in the spool before the answer leaves
//! ```
//!
//! Embedding it (tests, trials, benchmarks) takes three steps: [`provision::provision_root`],
//! [`Server::start`], [`Running::stop`].

pub mod access;
pub mod authority;
pub mod backup;
pub mod bundle;
pub mod commands;

pub mod config;
pub mod credential;
pub mod data_dir;
pub mod database;
pub mod decommission;
pub mod directory;
pub mod events;
pub mod fips;
pub mod forests;
pub mod key_protection;
pub mod log;
pub mod logging;
pub mod people;
pub mod policies;
pub mod provision;
pub mod proxies;
pub mod repo;
pub mod root_cluster;
pub mod template;
pub mod traces;
pub mod upgrade;

mod accounts;
pub mod activation;
mod admin;
mod audit;
mod clock;
mod enrollment;
mod files;
mod health;
mod http;
mod key_pool;
mod metrics;
mod mode_upgrade;
mod moving;
mod open;
mod outbound;
mod remoting;
mod renewal;
mod running;
mod second_level;
mod servers;
mod service_manager;
mod sign_in;
mod slc;
mod snapshot;
mod soap;
mod state;
mod tickets;

pub use bundle::{ClientBundle, client_bundle};
pub use config::Config;
pub use http::HandedOver;
pub use open::OpenError;
pub use running::{Running, Server, StartError};
