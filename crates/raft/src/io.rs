//! Which writes are under way, and what is durable once they are done.
//!
//! A server may say nothing that rests on a term, a vote or an entry before that is on its disk
//! (§5.1, figure 2: "updated on stable storage before responding"). This module says which write
//! a message has to wait for.

use std::collections::VecDeque;

use crate::types::{HardState, IoId, LogIndex, Term};

/// What a message rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Need {
    /// The sender's term.
    Term,
    /// The sender's term and its vote in it.
    Vote,
    /// The sender's term and its log up to this index.
    Log(LogIndex),
}

/// The writes under way, in the order in which they become durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Io {
    issued: u64,
    pending: VecDeque<Write>,
    /// The hard state on disk.
    hard_state: HardState,
    /// The log's entries up to here are on disk, as they are in memory now.
    index: LogIndex,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Write {
    id: IoId,
    /// The hard state on disk once this is durable.
    hard_state: HardState,
    /// The log up to here is on disk once this is durable.
    index: LogIndex,
}

impl Io {
    /// All of a restored state is durable: it was read from the disk.
    pub(crate) fn restored(hard_state: HardState, last_index: LogIndex) -> Io {
        Io { issued: 0, pending: VecDeque::new(), hard_state, index: last_index }
    }

    /// A new write, after which `hard_state` and the log up to `last_index` are on disk.
    pub(crate) fn issue(&mut self, hard_state: HardState, last_index: LogIndex) -> IoId {
        self.issued += 1;
        let id = IoId { sequence: self.issued, term: hard_state.term, index: last_index };
        self.pending.push_back(Write { id, hard_state, index: last_index });
        id
    }

    /// The latest write, `id`, was not begun and never will be.
    pub(crate) fn take_back(&mut self, id: IoId) {
        let latest = self.pending.pop_back();
        assert!(latest.is_some_and(|write| write.id == id), "{id:?} is not the latest write");
    }

    /// A write and all before it are durable. Says whether that was news.
    ///
    /// # Panics
    /// If no such write was issued.
    pub(crate) fn persisted(&mut self, id: IoId) -> bool {
        assert!(id.sequence <= self.issued, "write {id:?} is durable but was never issued");
        let mut news = false;
        while self.pending.front().is_some_and(|write| write.id.sequence <= id.sequence) {
            let write = self.pending.pop_front().expect("there is a front");
            assert!(
                write.id.sequence != id.sequence || write.id == id,
                "{id:?} is not {:?}",
                write.id
            );
            self.hard_state = write.hard_state;
            self.index = self.index.max(write.index);
            news = true;
        }
        news
    }

    /// The log was truncated after `last`: what was written beyond, durable or not, no longer
    /// counts, nor will it when those writes complete.
    pub(crate) fn truncated_after(&mut self, last: LogIndex) {
        self.index = self.index.min(last);
        for write in &mut self.pending {
            write.index = write.index.min(last);
        }
    }

    /// The write that has to be durable before something that rests on `need` at `term` may be
    /// said; none if it is durable already.
    ///
    /// # Panics
    /// If nothing was issued that would make it durable.
    pub(crate) fn awaited(&self, term: Term, need: Need) -> Option<IoId> {
        let holds = |hard_state: &HardState, index: LogIndex| match need {
            Need::Term => hard_state.term >= term,
            Need::Vote => {
                hard_state.term > term || (hard_state.term == term && hard_state.vote.is_some())
            }
            Need::Log(last) => hard_state.term >= term && index >= last,
        };
        if holds(&self.hard_state, self.index) {
            return None;
        }
        let write =
            self.pending.iter().find(|write| holds(&write.hard_state, write.index.max(self.index)));
        Some(write.expect("whatever is said has been written, or is being written").id)
    }

    /// The hard state on disk once all writes under way are durable.
    pub(crate) fn issued_hard_state(&self) -> HardState {
        self.pending.back().map_or(self.hard_state, |write| write.hard_state)
    }

    /// The hard state on disk.
    pub(crate) fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// The log is durable up to here.
    pub(crate) fn index(&self) -> LogIndex {
        self.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;
    use proptest::prelude::*;

    fn hard_state(term: u64, vote: Option<u64>) -> HardState {
        HardState { term: Term(term), vote: vote.map(NodeId), commit: LogIndex::ZERO }
    }

    #[test]
    fn a_write_makes_all_before_it_durable() {
        let mut io = Io::restored(hard_state(1, None), LogIndex(3));
        let _first = io.issue(hard_state(1, None), LogIndex(4));
        let second = io.issue(hard_state(2, Some(2)), LogIndex(4));
        let third = io.issue(hard_state(2, Some(2)), LogIndex(6));
        assert_eq!(io.awaited(Term(1), Need::Log(LogIndex(3))), None);
        assert_eq!(io.awaited(Term(2), Need::Vote), Some(second));
        assert_eq!(io.awaited(Term(2), Need::Log(LogIndex(5))), Some(third));
        assert!(io.persisted(second));
        assert!(!io.persisted(second), "twice is no news");
        assert_eq!((io.index(), io.hard_state().term), (LogIndex(4), Term(2)));
    }

    #[test]
    fn a_late_completion_does_not_vouch_for_entries_that_replaced_the_written_ones() {
        let mut io = Io::restored(hard_state(1, None), LogIndex(2));
        let old = io.issue(hard_state(1, None), LogIndex(9));
        io.truncated_after(LogIndex(5));
        let new = io.issue(hard_state(2, None), LogIndex(7));
        assert!(io.persisted(old));
        assert_eq!(io.index(), LogIndex(5), "6 to 9 were overwritten before they became durable");
        assert!(io.persisted(new));
        assert_eq!(io.index(), LogIndex(7));
    }

    #[test]
    fn what_was_durable_and_then_overwritten_is_not_durable() {
        let mut io = Io::restored(hard_state(1, None), LogIndex(9));
        io.truncated_after(LogIndex(4));
        assert_eq!(io.index(), LogIndex(4));
    }

    /// The twin keeps what is on the disk after each write, as names of entries of which no two
    /// are the same.
    #[derive(Default)]
    struct Naive {
        next_name: u64,
        /// The log in memory.
        log: Vec<u64>,
        hard_state: HardState,
        /// What the disk holds at first, and after each write; the first so many are done.
        disks: Vec<(IoId, HardState, Vec<u64>)>,
        done: usize,
    }

    impl Naive {
        fn equal_up_to(&self, on_disk: &[u64]) -> u64 {
            self.log.iter().zip(on_disk).take_while(|(entry, other)| entry == other).count() as u64
        }

        /// Whether a disk holds what a message rests on.
        fn holds(&self, disk: usize, term: Term, need: Need) -> bool {
            let (_, hard_state, log) = &self.disks[disk];
            let voted = hard_state.term == term && hard_state.vote.is_some();
            match need {
                Need::Term => hard_state.term >= term,
                Need::Vote => hard_state.term > term || voted,
                Need::Log(last) => hard_state.term >= term && self.equal_up_to(log) >= last.0,
            }
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Append { count: u64 },
        Truncate { by: u64 },
        EnterTerm,
        Vote,
        Write,
        Done { writes: usize },
        TakeBack,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (1u64..4).prop_map(|count| Step::Append { count }),
            2 => (1u64..5).prop_map(|by| Step::Truncate { by }),
            1 => Just(Step::EnterTerm),
            1 => Just(Step::Vote),
            5 => Just(Step::Write),
            3 => (1usize..3).prop_map(|writes| Step::Done { writes }),
            1 => Just(Step::TakeBack),
        ]
    }

    proptest! {
        #[test]
        fn what_a_message_waits_for_is_the_first_write_that_makes_it_true(
            steps in prop::collection::vec(any_step(), 0..40), first_entries in 0u64..4,
        ) {
            let mut io = Io::restored(HardState::default(), LogIndex(first_entries));
            let mut naive = Naive { log: (0..first_entries).collect(), ..Naive::default() };
            naive.next_name = first_entries;
            let none = IoId { sequence: 0, term: Term(0), index: LogIndex::ZERO };
            naive.disks.push((none, naive.hard_state, naive.log.clone()));
            for step in steps {
                match step {
                    Step::Append { count } => {
                        naive.log.extend(naive.next_name..naive.next_name + count);
                        naive.next_name += count;
                    }
                    Step::Truncate { by } => {
                        let keep = naive.log.len().saturating_sub(by as usize);
                        naive.log.truncate(keep);
                        io.truncated_after(LogIndex(keep as u64));
                    }
                    Step::EnterTerm => {
                        naive.hard_state.term = naive.hard_state.term.next();
                        naive.hard_state.vote = None;
                    }
                    Step::Vote => naive.hard_state.vote = Some(NodeId(1)),
                    Step::Write => {
                        let id = io.issue(naive.hard_state, LogIndex(naive.log.len() as u64));
                        naive.disks.push((id, naive.hard_state, naive.log.clone()));
                    }
                    Step::Done { writes } => {
                        let done = (naive.done + writes).min(naive.disks.len() - 1);
                        if done > naive.done {
                            prop_assert!(io.persisted(naive.disks[done].0));
                        }
                        naive.done = done;
                    }
                    Step::TakeBack if naive.disks.len() > naive.done + 1 => {
                        let (id, ..) = naive.disks.pop().expect("there is one");
                        io.take_back(id);
                    }
                    Step::TakeBack => {}
                }
                let (_, hard_state, on_disk) = &naive.disks[naive.done];
                prop_assert_eq!(io.hard_state(), *hard_state);
                prop_assert_eq!(io.index().0, naive.equal_up_to(on_disk));
                let needs = [Need::Term, Need::Vote].into_iter();
                let logs = (0..=naive.log.len() as u64).map(|last| Need::Log(LogIndex(last)));
                for need in needs.chain(logs) {
                    for term in 0..=naive.hard_state.term.0 {
                        let term = Term(term);
                        let first = (naive.done..naive.disks.len())
                            .find(|&disk| naive.holds(disk, term, need));
                        // What is not written yet is not asked for.
                        let Some(first) = first else { continue };
                        let expected = (first > naive.done).then(|| naive.disks[first].0);
                        prop_assert_eq!(io.awaited(term, need), expected, "{:?} of {}", need, term);
                    }
                }
            }
        }
    }
}
