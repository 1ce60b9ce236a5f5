//! Groups that only another forest can look into: what is asked of it (MS-RMPRS 3.5.4.1).

use async_trait::async_trait;

use crate::{Address, DirectoryError, ForestName};

/// Asks other forests.
#[async_trait]
pub trait ForeignForests: Send + Sync {
    /// Whether somebody is in at least one of some groups of a forest. A forest that is not to be
    /// asked knows nobody.
    async fn is_member(&self, question: ForeignQuestion<'_>) -> Result<bool, DirectoryError>;

    /// How many servers a question may go through, this one included.
    fn max_calls(&self) -> u32;
}

/// A question to another forest.
#[derive(Debug, Clone, Copy)]
pub struct ForeignQuestion<'q> {
    /// Which forest.
    pub forest: &'q ForestName,
    /// Whom it is about.
    pub who: &'q Address,
    /// Groups of that forest.
    pub groups: &'q [Address],
    /// How many servers have been involved so far: 1 for the first that asks another.
    pub calls: u32,
}

/// No other forest is asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoForeignForests;

#[async_trait]
impl ForeignForests for NoForeignForests {
    async fn is_member(&self, _: ForeignQuestion<'_>) -> Result<bool, DirectoryError> {
        Ok(false)
    }

    fn max_calls(&self) -> u32 {
        0
    }
}
