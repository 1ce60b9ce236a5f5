//! Envelope XML: a small namespace-aware tree to read from, a writer to write with. Certificates
//! are leaves of the tree and are not tokenised.

mod element;
mod read;
mod write;

pub(crate) use element::Element;
pub(crate) use read::{Source, parse};
pub(crate) use write::Writer;
