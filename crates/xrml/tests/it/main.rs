//! Certificates and licenses as a whole: real files, our own hierarchy, hostile input.

#![expect(unreachable_pub, reason = "one test crate of several files")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "helpers and tables of tests"
)]

mod chains;
mod corpus;
mod hostile;
mod round_trips;
mod second_opinion;
mod signatures;
mod support;
mod use_rights;
