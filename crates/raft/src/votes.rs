//! The answers to an election, or to the question whether to hold one.

use crate::types::NodeId;

/// Who has answered, and what. The first answer of each counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Votes(Vec<(NodeId, bool)>);

impl Votes {
    pub(crate) fn note(&mut self, voter: NodeId, grants: bool) {
        if self.answer(voter).is_none() {
            self.0.push((voter, grants));
        }
    }

    pub(crate) fn answer(&self, voter: NodeId) -> Option<bool> {
        self.0.iter().find(|(id, _)| *id == voter).map(|&(_, grants)| grants)
    }
}
