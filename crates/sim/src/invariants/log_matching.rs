//! Invariant 3: If two logs have an entry of equal index and term, they are equal up to it (§5.3).

use quorate_raft::{LogIndex, Term};

use super::books::{Books, Change, Slot, slot_at};
use super::{Violation, ensure};

pub(super) const NAME: &str = "LogMatching";

/// Every entry that there was, by index: for each term the one chain that leads to it.
#[derive(Debug, Default)]
pub(crate) struct LogMatching {
    seen: Vec<Vec<Slot>>,
}

impl LogMatching {
    pub(super) fn check(&mut self, change: &Change<'_>, books: &Books) -> Result<(), Violation> {
        let Some(first) = change.first_changed else { return Ok(()) };
        let log = &books.pages[change.member].log;
        if self.seen.len() < log.len() {
            self.seen.resize_with(log.len(), Vec::new);
        }
        let from = first.previous().0 as usize;
        for (position, slot) in log.iter().enumerate().skip(from) {
            let seen = &mut self.seen[position];
            match seen.iter().find(|other| other.term == slot.term) {
                None => seen.push(*slot),
                Some(other) => ensure(other.chain == slot.chain, NAME, || {
                    violated(change.member, LogIndex(position as u64 + 1), slot.term)
                })?,
            }
        }
        Ok(())
    }
}

/// Compares all logs with each other, entry by entry.
pub(super) fn check_fully(books: &Books) -> Result<(), Violation> {
    for (member, page) in books.pages.iter().enumerate() {
        for other in &books.pages[member + 1..] {
            let shared = page.log.len().min(other.log.len()) as u64;
            for index in (1..=shared).map(LogIndex) {
                let (one, two) = (slot_at(&page.log, index), slot_at(&other.log, index));
                let terms = (one.map(|slot| slot.term), two.map(|slot| slot.term));
                ensure(terms.0 != terms.1 || one == two, NAME, || {
                    violated(member, index, terms.0.expect("within the log"))
                })?;
            }
        }
    }
    Ok(())
}

fn violated(member: usize, index: LogIndex, term: Term) -> String {
    format!(
        "n{member}'s log up to entry {index} of term {term} differs from another with such an entry"
    )
}
