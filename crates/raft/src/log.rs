//! The log without its payloads: terms as runs, and sizes.
//!
//! A term is stored once for all the entries that it wrote in a row, since a log has few terms and
//! many entries. Which entries are durable is not known here; that is `io`'s. Which of them change
//! the membership is `membership`'s.

use std::collections::VecDeque;

use crate::list::List;
use crate::message::EntryMeta;
use crate::types::{LogIndex, Term};

/// Entries `first_index()..=last_index()`, by term and size, and index and term of the entry
/// before the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Log {
    /// The last entry that was forgotten; 0 if none was.
    base: LogIndex,
    /// Its term.
    base_term: Term,
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

    /// A log without entries that goes on after a snapshot.
    #[must_use]
    pub fn after(index: LogIndex, term: Term) -> Log {
        Log { base: index, base_term: term, ..Log::default() }
    }

    /// The last entry that was forgotten; 0 if none was.
    #[must_use]
    pub fn base(&self) -> LogIndex {
        self.base
    }

    /// Index of the first entry that is there, or will be.
    #[must_use]
    pub fn first_index(&self) -> LogIndex {
        self.base.next()
    }

    /// Index of the last entry; that of the base if there is none.
    #[must_use]
    pub fn last_index(&self) -> LogIndex {
        LogIndex(self.base.0 + self.sizes.len() as u64)
    }

    /// Term of the last entry; that of the base if there is none.
    #[must_use]
    pub fn last_term(&self) -> Term {
        self.runs.last().map_or(self.base_term, |run| run.term)
    }

    /// Term of an entry or of the base; `None` for what is forgotten and past the end.
    #[must_use]
    pub fn term(&self, index: LogIndex) -> Option<Term> {
        if index == self.base {
            return Some(self.base_term);
        }
        if index < self.base || index > self.last_index() {
            return None;
        }
        // Most questions are about the last term.
        let run = match self.runs.last() {
            Some(last) if last.first <= index => last,
            _ => &self.runs[self.runs.partition_point(|run| run.first <= index) - 1],
        };
        Some(run.term)
    }

    /// Whether the log has an entry of this index and term, or knows that it had (index 0 with
    /// term 0 counts).
    #[must_use]
    pub fn matches(&self, index: LogIndex, term: Term) -> bool {
        self.term(index) == Some(term)
    }

    /// Term and size of one entry.
    #[must_use]
    pub fn meta(&self, index: LogIndex) -> Option<EntryMeta> {
        if index <= self.base {
            return None;
        }
        let term = self.term(index)?;
        Some(EntryMeta { term, size: self.sizes[self.position(index)] })
    }

    /// Payload bytes of the entries `first..=last`, all of which are there.
    #[must_use]
    pub fn bytes(&self, first: LogIndex, last: LogIndex) -> u64 {
        let end = self.position(last.next());
        self.sizes.range(self.position(first)..end).map(|&size| u64::from(size)).sum()
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
        if entry.term > last_term || self.runs.is_empty() {
            self.runs.push(TermRun { first: self.last_index().next(), term: entry.term });
        }
        self.sizes.push_back(entry.size);
    }

    /// Appends entries in order.
    ///
    /// # Panics
    /// As [`Log::append`].
    pub fn extend(&mut self, entries: impl IntoIterator<Item = EntryMeta>) {
        let entries = entries.into_iter();
        self.sizes.reserve(entries.size_hint().0);
        for entry in entries {
            self.append(entry);
        }
    }

    /// Removes all entries after `last`.
    ///
    /// # Panics
    /// If `last` is forgotten.
    pub fn truncate_after(&mut self, last: LogIndex) {
        self.sizes.truncate(self.position(last.next()));
        let keep = self.runs.partition_point(|run| run.first <= last);
        self.runs.truncate(keep);
    }

    /// Forgets all entries up to `through`, which becomes the base. What is forgotten already
    /// stays so.
    ///
    /// # Panics
    /// If `through` is past the end.
    pub fn compact(&mut self, through: LogIndex) {
        if through <= self.base {
            return;
        }
        self.base_term = self.term(through).expect("only what was there is forgotten");
        self.sizes.drain(..self.position(through.next()));
        self.base = through;
        // Of the runs that begin up to there only the last one may go on.
        let begun = self.runs.partition_point(|run| run.first <= through);
        self.runs.drain(..begun - 1);
        self.runs[0].first = through.next();
        let next = self.runs.get(1).map_or(self.last_index().next(), |run| run.first);
        if next <= through.next() {
            self.runs.remove(0);
        }
    }

    /// The highest index ≤ `index` whose term is ≤ `term`, with its term. Where another log has
    /// `term` at `index`, the two can agree at no index between that one and `index`. Of what is
    /// forgotten nothing can be said: below the base it is `index` itself, of term 0.
    #[must_use]
    pub fn last_not_above(&self, index: LogIndex, term: Term) -> (LogIndex, Term) {
        if index < self.base {
            return (index, Term(0));
        }
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
        (self.base, self.base_term)
    }

    /// The entries from `first` on: at most `max_entries`, and no more than `max_bytes` of
    /// payload, but always at least one if there is one (a large entry must not block the log).
    ///
    /// # Panics
    /// If `first` is forgotten.
    #[must_use]
    pub fn slice(&self, first: LogIndex, max_entries: usize, max_bytes: u64) -> List<EntryMeta> {
        if first > self.last_index() {
            return List::default();
        }
        if first == self.last_index() {
            return self.meta(first).expect("the last entry is there").into();
        }
        let available = (self.last_index().distance_from(first) + 1) as usize;
        let mut entries = Vec::with_capacity(available.min(max_entries));
        let mut bytes = 0;
        let mut run = self.runs.partition_point(|run| run.first <= first) - 1;
        let mut index = first;
        for &size in self.sizes.range(self.position(first)..) {
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
        entries.into()
    }

    /// Where the entry's size is. That of the first one is at 0.
    fn position(&self, index: LogIndex) -> usize {
        let position = index.0.checked_sub(self.base.0 + 1);
        position.unwrap_or_else(|| panic!("entry {index} is forgotten")) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The twin keeps every entry, and how many it should have forgotten.
    #[derive(Default)]
    struct Naive {
        entries: Vec<EntryMeta>,
        base: u64,
    }

    impl Naive {
        fn term(&self, index: u64) -> Term {
            index.checked_sub(1).map_or(Term(0), |position| self.entries[position as usize].term)
        }

        fn last_not_above(&self, index: u64, term: Term) -> (LogIndex, Term) {
            if index < self.base {
                return (LogIndex(index), Term(0));
            }
            let mut index = index.min(self.entries.len() as u64);
            while index > self.base && self.term(index) > term {
                index -= 1;
            }
            (LogIndex(index), self.term(index))
        }

        fn slice(&self, first: u64, max_entries: usize, max_bytes: u64) -> Vec<EntryMeta> {
            let mut taken = Vec::new();
            let mut bytes = 0;
            for entry in self.entries.iter().skip(first as usize - 1) {
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
        Compact { percent: u64 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let append = (0u64..3, 0u32..50)
            .prop_map(|(advance, size)| Step::Append { advance: advance.saturating_sub(1), size });
        let truncate = (0u64..101).prop_map(|keep_percent| Step::Truncate { keep_percent });
        let compact = (0u64..101).prop_map(|percent| Step::Compact { percent });
        prop::collection::vec(prop_oneof![8 => append, 1 => truncate, 1 => compact], 0..60)
    }

    proptest! {
        #[test]
        fn the_log_of_runs_equals_the_log_of_entries(
            steps in steps(), probe in 0u64..70, probe_term in 0u64..40, limit in 1usize..9, bytes in 0u64..120,
        ) {
            let mut log = Log::new();
            let mut naive = Naive::default();
            for step in steps {
                let present = naive.entries.len() as u64 - naive.base;
                match step {
                    Step::Append { advance, size } => {
                        let entry = EntryMeta { term: Term(log.last_term().0.max(1) + advance), size };
                        log.append(entry);
                        naive.entries.push(entry);
                    }
                    Step::Truncate { keep_percent } => {
                        let keep = naive.base + present * keep_percent / 100;
                        log.truncate_after(LogIndex(keep));
                        naive.entries.truncate(keep as usize);
                    }
                    Step::Compact { percent } => {
                        naive.base += present * percent / 100;
                        log.compact(LogIndex(naive.base));
                    }
                }
                let last = naive.entries.len() as u64;
                prop_assert_eq!(log.last_index().0, last);
                prop_assert_eq!(log.last_term(), naive.term(last));
                prop_assert_eq!(log.term(LogIndex(naive.base)), Some(naive.term(naive.base)));
                for index in 0..=last + 2 {
                    let expected = naive.entries.get((index as usize).wrapping_sub(1));
                    let expected = expected.copied().filter(|_| index > naive.base);
                    prop_assert_eq!(log.meta(LogIndex(index)), expected);
                }
            }
            prop_assert_eq!(
                log.last_not_above(LogIndex(probe), Term(probe_term)),
                naive.last_not_above(probe, Term(probe_term)),
            );
            if probe > naive.base {
                let slice = log.slice(LogIndex(probe), limit, bytes);
                let sum: u64 = slice.iter().map(|entry| u64::from(entry.size)).sum();
                let end = LogIndex((probe + slice.len() as u64).saturating_sub(1));
                prop_assert!(slice.is_empty() || log.bytes(LogIndex(probe), end) == sum);
                prop_assert_eq!(&slice[..], &naive.slice(probe, limit, bytes)[..]);
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
