//! Certificates and licenses of XrML 1.2 as Windows Rights Management writes them
//! (MS-RMPR 2.2.9): one module per kind, chains, and signatures over the raw text.
//!
//! ```text
//! bytes -> text::decode -> chain::split -> Node::parse -> Node::verify -> a typed view
//! ```
//!
//! [`node::Node`] keeps the exact characters it was read from. [`node::Verified`] can only be made by
//! checking digest and signature. The typed views ([`rac`], [`clc`], [`pl`], [`ul`], ..) take
//! verified nodes, so nothing is read from a certificate that was not checked.
//! Nothing here reads a clock, a file or the network.

pub mod anchors;
pub mod author_proof;
pub mod chain;
pub mod clc;
mod content;
pub mod error;
pub mod issuing;
pub mod names;
pub mod node;
pub mod pl;
pub mod rac;
pub mod revocation_list;
pub mod rights;
pub mod rights_data;
pub mod spc;
pub mod surface;
pub mod text;
pub mod time;
pub mod tree;
pub mod ul;
pub mod values;
mod writer;

pub use chain::SharedNode;
pub use error::XrmlError;
pub use node::{Kind, Node, Verified};
pub use time::{Interval, Time};
pub use values::{EnablingBits, Guid, Object, SecurityLevel};
pub use writer::{Hand, Identity};
