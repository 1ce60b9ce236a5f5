//! Tests that need no network: a hierarchy and a small server in this process, people with homes
//! in temporary folders, a clock that is set by hand.

mod authoring;
mod federated;
mod finding;
mod joining;
mod locating;
mod locking;
mod network;
mod opening;
mod placed;
mod stores;
mod world;
