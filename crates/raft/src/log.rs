//! The log without its payloads: terms as runs, and sizes.
//!
//! A term is stored once for all the entries that it wrote in a row, since a log has few terms and
//! many entries. Which entries are durable is not known here; that is `io`'s.

use std::collections::VecDeque;

use crate::message::EntryMeta;
use crate::types::{LogIndex, Term};

/// Entries `1..=last_index()`, by term and size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Log {
    /// Maximal runs of entries of one term, in order. Terms strictly increase from run to run.
    runs: Vec<TermRun>,
    /// Payload bytes of each entry.
    sizes: VecDeque<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct TermRun {
    first: LogIndex,
    term: Term,
}

impl Log {
    /// An empty log.
    #[must_use]
    pub fn new() -> Log {
        Log::default()
    }

    /// Index of the last entry; 0 if there is none.
    #[must_use]
    pub fn last_index(&self) -> LogIndex {
        LogIndex(self.sizes.len() as u64)
    }

    /// Term of the last entry; 0 if there is none.
    #[must_use]
    pub fn last_term(&self) -> Term {
        self.runs.last().map_or(Term(0), |run| run.term)
    }

    /// Term of an entry; term 0 for index 0, `None` past the end.
    #[must_use]
    pub fn term(&self, index: LogIndex) -> Option<Term> {
        if index == LogIndex::ZERO {
            return Some(Term(0));
        }
        if index > self.last_index() {
            return None;
        }
        // Most questions are about the last term.
        let run = match self.runs.last() {
            Some(last) if last.first <= index => last,
            _ => &self.runs[self.runs.partition_point(|run| run.first <= index) - 1],
        };
        Some(run.term)
    }

    /// Whether the log has an entry of this index and term (index 0 with term 0 counts).
    #[must_use]
    pub fn matches(&self, index: LogIndex, term: Term) -> bool {
        self.term(index) == Some(term)
    }

    /// Index and term of one entry, and its size.
    #[must_use]
    pub fn meta(&self, index: LogIndex) -> Option<EntryMeta> {
        if index == LogIndex::ZERO {
            return None;
        }
        let term = self.term(index)?;
        Some(EntryMeta { term, size: self.sizes[Log::position(index)] })
    }

    /// Appends one entry.
    ///
    /// # Panics
    /// If its term is 0, which no leader has, or below the last one (MonotonicLog).
    pub fn append(&mut self, entry: EntryMeta) {
        assert!(entry.term > Term(0), "no entry is of term 0, in which nobody leads");
        let last_term = self.last_term();
        assert!(
            entry.term >= last_term,
            "terms in a log never decrease: {} after {last_term}",
            entry.term
        );
        if entry.term > last_term {
            self.runs.push(TermRun { first: self.last_index().next(), term: entry.term });
        }
        self.sizes.push_back(entry.size);
    }

    /// Removes all entries after `last`.
    pub fn truncate_after(&mut self, last: LogIndex) {
        self.sizes.truncate(last.0 as usize);
        let keep = self.runs.partition_point(|run| run.first <= last);
        self.runs.truncate(keep);
    }

    /// The highest index ≤ `index` whose term is ≤ `term`, with its term. Where another log has
    /// `term` at `index`, the two can agree at no index between that one and `index`.
    #[must_use]
    pub fn last_not_above(&self, index: LogIndex, term: Term) -> (LogIndex, Term) {
        let mut end = index.min(self.last_index());
        for run in self.runs.iter().rev() {
            if run.first > end {
                continue;
            }
            if run.term <= term {
                return (end, run.term);
            }
            end = run.first.previous();
        }
        (LogIndex::ZERO, Term(0))
    }

    /// The entries from `first` on: at most `max_entries`, and no more than `max_bytes` of
    /// payload, but always at least one if there is one (a large entry must not block the log).
    #[must_use]
    pub fn slice(&self, first: LogIndex, max_entries: usize, max_bytes: u64) -> Vec<EntryMeta> {
        if first > self.last_index() {
            return Vec::new();
        }
        let available = (self.last_index().distance_from(first) + 1) as usize;
        let mut entries = Vec::with_capacity(available.min(max_entries));
        let mut bytes = 0;
        let mut run = self.runs.partition_point(|run| run.first <= first) - 1;
        let mut index = first;
        for &size in self.sizes.range(Log::position(first)..) {
            bytes += u64::from(size);
            if !entries.is_empty() && (entries.len() == max_entries || bytes > max_bytes) {
                break;
            }
            if self.runs.get(run + 1).is_some_and(|next| next.first <= index) {
                run += 1;
            }
            entries.push(EntryMeta { term: self.runs[run].term, size });
            index = index.next();
        }
        entries
    }

    fn position(index: LogIndex) -> usize {
        index.previous().0 as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The twin keeps every entry.
    #[derive(Default)]
    struct Naive(Vec<EntryMeta>);

    impl Naive {
        fn last_not_above(&self, index: u64, term: Term) -> (LogIndex, Term) {
            let mut index = index.min(self.0.len() as u64);
            while index > 0 && self.0[index as usize - 1].term > term {
                index -= 1;
            }
            (LogIndex(index), if index == 0 { Term(0) } else { self.0[index as usize - 1].term })
        }

        fn slice(&self, first: u64, max_entries: usize, max_bytes: u64) -> Vec<EntryMeta> {
            let mut taken = Vec::new();
            let mut bytes = 0;
            for entry in self.0.iter().skip(first as usize - 1) {
                bytes += u64::from(entry.size);
                if !taken.is_empty() && (taken.len() == max_entries || bytes > max_bytes) {
                    break;
                }
                taken.push(*entry);
            }
            taken
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Append { advance: u64, size: u32 },
        Truncate { keep_percent: u64 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let append = (0u64..3, 0u32..50)
            .prop_map(|(advance, size)| Step::Append { advance: advance.saturating_sub(1), size });
        let truncate = (0u64..101).prop_map(|keep_percent| Step::Truncate { keep_percent });
        prop::collection::vec(prop_oneof![8 => append, 1 => truncate], 0..60)
    }

    proptest! {
        #[test]
        fn the_log_of_runs_equals_the_log_of_entries(
            steps in steps(), probe in 0u64..70, probe_term in 0u64..40, limit in 1usize..9, bytes in 0u64..120,
        ) {
            let mut log = Log::new();
            let mut naive = Naive::default();
            for step in steps {
                match step {
                    Step::Append { advance, size } => {
                        let entry = EntryMeta { term: Term(log.last_term().0.max(1) + advance), size };
                        log.append(entry);
                        naive.0.push(entry);
                    }
                    Step::Truncate { keep_percent } => {
                        let keep = naive.0.len() as u64 * keep_percent / 100;
                        log.truncate_after(LogIndex(keep));
                        naive.0.truncate(keep as usize);
                    }
                }
                prop_assert_eq!(log.last_index().0, naive.0.len() as u64);
                prop_assert_eq!(log.last_term(), naive.0.last().map_or(Term(0), |entry| entry.term));
            }
            for index in 1..=naive.0.len() as u64 + 2 {
                prop_assert_eq!(log.meta(LogIndex(index)), naive.0.get(index as usize - 1).copied());
            }
            prop_assert_eq!(log.last_not_above(LogIndex(probe), Term(probe_term)), naive.last_not_above(probe, Term(probe_term)));
            if probe > 0 {
                prop_assert_eq!(log.slice(LogIndex(probe), limit, bytes), naive.slice(probe, limit, bytes));
            }
        }
    }

    #[test]
    fn a_log_that_was_rebuilt_equals_the_first() {
        let mut log = Log::new();
        for term in [1, 1, 2, 5] {
            log.append(EntryMeta { term: Term(term), size: 3 });
        }
        let mut other = log.clone();
        other.append(EntryMeta { term: Term(7), size: 1 });
        other.truncate_after(LogIndex(4));
        assert_eq!(log, other);
    }

    #[test]
    #[should_panic(expected = "no entry is of term 0")]
    fn an_entry_of_no_leader_is_not_appended() {
        Log::new().append(EntryMeta { term: Term(0), size: 0 });
    }

    #[test]
    #[should_panic(expected = "never decrease")]
    fn an_older_term_is_not_appended() {
        let mut log = Log::new();
        log.append(EntryMeta { term: Term(3), size: 0 });
        log.append(EntryMeta { term: Term(2), size: 0 });
    }
}
