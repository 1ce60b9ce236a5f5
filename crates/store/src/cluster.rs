//! What the servers of a cluster know of each other: who they are, and how their common master key
//! is protected. Neither is part of the configuration, and neither changes its version.

/// How the cluster's master key is protected. What the document says is not known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProtection {
    /// Counts how often it was set, from 1.
    pub version: i64,
    /// The document.
    pub document: String,
}

/// A server of the cluster (`DRMS_ClusterServer` of the original).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterServer {
    /// Its name, unique in the cluster.
    pub name: String,
    /// When it first joined, in seconds since 1970 UTC.
    pub joined: i64,
    /// When it last said that it is there, in seconds since 1970 UTC.
    pub last_seen: i64,
    /// The version of its program.
    pub version: String,
    /// Where the others reach it.
    pub address: String,
    /// The version of RMS that it behaves as; none where no release has said so.
    pub service_level: Option<String>,
    /// Its last upgrade; none where it had none, or none is remembered.
    pub upgrade: Option<Upgrade>,
}

/// That the program of a server was taken from one release to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// The release it was.
    pub from: String,
    /// The release it is from its next start on.
    pub to: String,
    /// When, in seconds since 1970 UTC.
    pub at: i64,
}
