//! The mathematics of majorities.

use crate::types::NodeId;

/// How many of `voters` make a majority.
#[must_use]
pub fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// The state of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VoteResult {
    /// A majority granted.
    Won,
    /// A majority refused: it can no longer be won.
    Lost,
    /// Neither yet.
    Pending,
}

/// Counts an election among `voters` of whom `granted` and `refused` have answered.
///
/// # Panics
/// If more answered than there are voters.
#[must_use]
pub fn vote_result(voters: usize, granted: usize, refused: usize) -> VoteResult {
    assert!(granted + refused <= voters, "{granted} + {refused} answers of {voters} voters");
    if granted >= majority(voters) {
        VoteResult::Won
    } else if granted + (voters - granted - refused) < majority(voters) {
        VoteResult::Lost
    } else {
        VoteResult::Pending
    }
}

/// The highest value that a majority has reached, given what each voter has: for match indexes
/// the index that is replicated on a majority (§5.3), for confirmation rounds the round that a
/// majority confirmed. `values` is reordered. 0 without voters.
#[must_use]
pub fn reached_by_majority(values: &mut [u64]) -> u64 {
    if values.is_empty() {
        return 0;
    }
    let position = values.len() - majority(values.len());
    values.sort_unstable();
    values[position]
}

/// [`reached_by_majority`] over `voters`, none of whom is named twice.
#[must_use]
pub fn reached_by(voters: &[NodeId], value: impl Fn(NodeId) -> u64) -> u64 {
    // Groups are small: no need for the heap.
    let mut few = [0; 9];
    match few.get_mut(..voters.len()) {
        Some(values) => {
            for (slot, &voter) in values.iter_mut().zip(voters) {
                *slot = value(voter);
            }
            reached_by_majority(values)
        }
        None => {
            reached_by_majority(&mut voters.iter().map(|&voter| value(voter)).collect::<Vec<_>>())
        }
    }
}

/// [`vote_result`] over `voters`, given each one's answer.
#[must_use]
pub fn count_votes(voters: &[NodeId], answer: impl Fn(NodeId) -> Option<bool>) -> VoteResult {
    let (mut granted, mut refused) = (0, 0);
    for &voter in voters {
        match answer(voter) {
            Some(true) => granted += 1,
            Some(false) => refused += 1,
            None => {}
        }
    }
    vote_result(voters.len(), granted, refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition itself: a value counts if at least a majority is not below it.
    fn naive_reached(values: &[u64]) -> u64 {
        let mut best = 0;
        for &candidate in values {
            let holders = values.iter().filter(|&&value| value >= candidate).count();
            if 2 * holders > values.len() && candidate > best {
                best = candidate;
            }
        }
        best
    }

    proptest! {
        #[test]
        fn reached_by_majority_equals_its_definition(mut values in prop::collection::vec(0u64..20, 0..9)) {
            let expected = naive_reached(&values);
            prop_assert_eq!(reached_by_majority(&mut values), expected);
        }

        #[test]
        fn an_election_is_decided_when_the_missing_votes_cannot_change_it(
            voters in 1usize..9, granted in 0usize..9, refused in 0usize..9,
        ) {
            prop_assume!(granted + refused <= voters);
            let outcomes: Vec<bool> = (0..=voters - granted - refused)
                .map(|further| 2 * (granted + further) > voters)
                .collect();
            let expected = match (outcomes.iter().all(|&won| won), outcomes.iter().any(|&won| won)) {
                (true, _) => VoteResult::Won,
                (_, false) => VoteResult::Lost,
                _ => VoteResult::Pending,
            };
            prop_assert_eq!(vote_result(voters, granted, refused), expected);
        }
    }
}
