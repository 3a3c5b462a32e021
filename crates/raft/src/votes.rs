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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_first_answer_of_each_counts(
            answers in prop::collection::vec((0u64..5, any::<bool>()), 0..12),
        ) {
            let mut votes = Votes::default();
            let mut naive = BTreeMap::new();
            for (voter, grants) in answers {
                votes.note(NodeId(voter), grants);
                naive.entry(voter).or_insert(grants);
            }
            for voter in 0..5 {
                prop_assert_eq!(votes.answer(NodeId(voter)), naive.get(&voter).copied());
            }
        }
    }
}
