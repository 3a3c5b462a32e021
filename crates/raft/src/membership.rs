//! Which configuration is in force: the latest one in the log, committed or not, else the
//! snapshot's (§6). It takes effect when it is appended, and is taken back when it is truncated.

use crate::configuration::{ChangeError, Configuration, MembershipChange};
use crate::types::LogIndex;

/// The configurations of a log, by the index of the entry that brought each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Membership {
    /// The configuration before any change that the log still has.
    base: (LogIndex, Configuration),
    /// The changes in the log, in order, and what each came to.
    changes: Vec<Changed>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Changed {
    index: LogIndex,
    change: MembershipChange,
    configuration: Configuration,
}

impl Membership {
    /// A membership that is not changed by the log: `configuration` is that of `index`.
    #[must_use]
    pub fn new(index: LogIndex, configuration: Configuration) -> Membership {
        Membership { base: (index, configuration), changes: Vec::new() }
    }

    /// The configuration in force.
    #[must_use]
    pub fn current(&self) -> &Configuration {
        self.changes.last().map_or(&self.base.1, |changed| &changed.configuration)
    }

    /// The entry that brought it; the snapshot's index if none of the log did.
    #[must_use]
    pub fn current_index(&self) -> LogIndex {
        self.changes.last().map_or(self.base.0, |changed| changed.index)
    }

    /// The configuration that was in force at `index`, with the index of its entry.
    ///
    /// # Panics
    /// If the log was forgotten beyond `index`.
    #[must_use]
    pub fn at(&self, index: LogIndex) -> (LogIndex, &Configuration) {
        assert!(index >= self.base.0, "the configuration at {index} is forgotten");
        let count = self.changes.partition_point(|changed| changed.index <= index);
        match count.checked_sub(1) {
            Some(last) => (self.changes[last].index, &self.changes[last].configuration),
            None => (self.base.0, &self.base.1),
        }
    }

    /// The configurations that were in force at `index` and since, the latest one first.
    ///
    /// # Panics
    /// If the log was forgotten beyond `index`.
    pub fn since(&self, index: LogIndex) -> impl Iterator<Item = &Configuration> {
        let later = self.changes.iter().rev().take_while(move |changed| changed.index > index);
        later.map(|changed| &changed.configuration).chain([self.at(index).1])
    }

    /// The changes among the entries `first..=last`.
    pub fn changes(
        &self,
        first: LogIndex,
        last: LogIndex,
    ) -> impl Iterator<Item = (LogIndex, &MembershipChange)> {
        let from = self.changes.partition_point(|changed| changed.index < first);
        let changes = self.changes[from..].iter().take_while(move |changed| changed.index <= last);
        changes.map(|changed| (changed.index, &changed.change))
    }

    /// The entry at `index`, which is the log's last one, is this change.
    ///
    /// # Errors
    /// If it makes no sense after the configuration in force, which stays then.
    pub fn append(&mut self, index: LogIndex, change: MembershipChange) -> Result<(), ChangeError> {
        assert!(index > self.current_index(), "changes are appended in order");
        let configuration = self.current().changed_by(&change)?;
        self.changes.push(Changed { index, change, configuration });
        Ok(())
    }

    /// The log was truncated after `last`. Says whether that brought an earlier configuration back
    /// into force.
    pub fn truncate_after(&mut self, last: LogIndex) -> bool {
        let before = self.changes.len();
        self.changes.retain(|changed| changed.index <= last);
        self.changes.len() < before
    }

    /// The log forgot its entries up to `through`. What is forgotten already stays so.
    pub fn compact(&mut self, through: LogIndex) {
        if through <= self.base.0 {
            return;
        }
        let (_, configuration) = self.at(through);
        self.base = (through, configuration.clone());
        self.changes.retain(|changed| changed.index > through);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::{Change, Transition};
    use crate::types::NodeId;
    use proptest::prelude::*;

    fn any_change() -> impl Strategy<Value = MembershipChange> {
        let change = (0..3, 1u64..6).prop_map(|(kind, id)| match kind {
            0 => Change::AddVoter(NodeId(id)),
            1 => Change::AddLearner(NodeId(id)),
            _ => Change::Remove(NodeId(id)),
        });
        let transition = prop_oneof![
            Just(Transition::Auto),
            Just(Transition::Joint),
            Just(Transition::JointExplicit)
        ];
        (prop::collection::vec(change, 0..4), transition)
            .prop_map(|(changes, transition)| MembershipChange { changes, transition })
    }

    #[derive(Clone, Debug)]
    enum Step {
        Change(MembershipChange),
        Entries(u64),
        Truncate(u64),
        Compact(u64),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => any_change().prop_map(Step::Change),
            1 => (1u64..4).prop_map(Step::Entries),
            1 => (0u64..5).prop_map(Step::Truncate),
            1 => (0u64..5).prop_map(Step::Compact),
        ]
    }

    /// The twin keeps every configuration that was in force at every index.
    struct Naive {
        forgotten: u64,
        in_force: Vec<Configuration>,
    }

    proptest! {
        #[test]
        fn the_latest_in_the_log_is_in_force(steps in prop::collection::vec(any_step(), 0..40)) {
            let first = Configuration::of_voters([1, 2, 3].map(NodeId));
            let mut membership = Membership::new(LogIndex::ZERO, first.clone());
            let mut naive = Naive { forgotten: 0, in_force: vec![first] };
            for step in steps {
                let last = naive.in_force.len() as u64 - 1;
                let current = naive.in_force.last().unwrap().clone();
                match step {
                    Step::Change(change) => {
                        let next = current.changed_by(&change);
                        let appended = membership.append(LogIndex(last + 1), change);
                        prop_assert_eq!(appended.is_ok(), next.is_ok());
                        naive.in_force.extend(next);
                    }
                    Step::Entries(count) => {
                        naive.in_force.extend((0..count).map(|_| current.clone()));
                    }
                    Step::Truncate(by) => {
                        let keep = last.saturating_sub(by).max(naive.forgotten);
                        naive.in_force.truncate(keep as usize + 1);
                        let back = membership.truncate_after(LogIndex(keep));
                        prop_assert!(back || current == *naive.in_force.last().unwrap());
                    }
                    Step::Compact(by) => {
                        naive.forgotten = (naive.forgotten + by).min(last);
                        membership.compact(LogIndex(naive.forgotten));
                    }
                }
                prop_assert_eq!(membership.current(), naive.in_force.last().unwrap());
                for index in naive.forgotten..naive.in_force.len() as u64 {
                    let (_, configuration) = membership.at(LogIndex(index));
                    prop_assert_eq!(configuration, &naive.in_force[index as usize]);
                    let mut since = naive.in_force[index as usize..].to_vec();
                    since.dedup();
                    since.reverse();
                    prop_assert!(membership.since(LogIndex(index)).eq(&since));
                }
            }
        }
    }
}
