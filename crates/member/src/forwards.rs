//! Writes that followers pass on, each taken at most once.
//!
//! The network may deliver a message twice, or once more much later. For consensus that is
//! harmless; a client's write must not happen twice. A follower addresses a write to the leader of
//! one term and numbers it; that leader, and only within that term, remembers which numbers it has
//! taken: the newest, and a window below it. A number below the window is refused as well, since
//! nobody can say whether it was taken: its client hears of a time-out, which is true. So memory
//! is bounded, and a restarted leader leads in another term.

use std::collections::BTreeMap;

use quorate_raft::{NodeId, Term};

/// Names one forwarded write within a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// The follower's process: another one after each restart.
    pub process: u64,
    /// Counts up, with gaps, within the process.
    pub number: u64,
}

/// What the leader of a term has taken.
#[derive(Debug, Default)]
pub(crate) struct Forwards {
    term: Term,
    windows: BTreeMap<(NodeId, u64), Window>,
}

#[derive(Debug)]
struct Window {
    newest: u64,
    /// Bit n: `newest - n` was taken.
    taken: u128,
}

impl Forwards {
    /// Whether to take this write: it was not taken before, in this term.
    pub(crate) fn accept(&mut self, term: Term, from: NodeId, ticket: Ticket) -> bool {
        if term != self.term {
            *self = Forwards { term, windows: BTreeMap::new() };
        }
        match self.windows.get_mut(&(from, ticket.process)) {
            Some(window) => window.accept(ticket.number),
            None => {
                let window = Window { newest: ticket.number, taken: 1 };
                self.windows.insert((from, ticket.process), window);
                true
            }
        }
    }
}

impl Window {
    fn accept(&mut self, number: u64) -> bool {
        if number > self.newest {
            let shift = u32::try_from(number - self.newest).unwrap_or(u32::MAX);
            self.taken = self.taken.checked_shl(shift).unwrap_or(0) | 1;
            self.newest = number;
            return true;
        }
        let Ok(age @ 0..128) = u32::try_from(self.newest - number) else { return false };
        let bit = 1 << age;
        let fresh = self.taken & bit == 0;
        self.taken |= bit;
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLLOWER: NodeId = NodeId(2);

    fn ticket(number: u64) -> Ticket {
        Ticket { process: 7, number }
    }

    #[test]
    fn each_number_is_taken_once_in_whatever_order_they_come() {
        let mut forwards = Forwards::default();
        for number in [10, 12, 11, 200, 73] {
            assert!(forwards.accept(Term(3), FOLLOWER, ticket(number)), "{number} is new");
        }
        for number in [12, 73, 200, 10] {
            assert!(!forwards.accept(Term(3), FOLLOWER, ticket(number)), "{number} was taken");
        }
    }

    #[test]
    fn what_is_too_old_to_be_remembered_is_refused() {
        let mut forwards = Forwards::default();
        assert!(forwards.accept(Term(3), FOLLOWER, ticket(1_000)));
        assert!(forwards.accept(Term(3), FOLLOWER, ticket(1_000 - 127)));
        assert!(!forwards.accept(Term(3), FOLLOWER, ticket(1_000 - 128)));
        assert!(forwards.accept(Term(3), FOLLOWER, ticket(u64::MAX)));
        assert!(!forwards.accept(Term(3), FOLLOWER, ticket(1_000)));
    }

    #[test]
    fn processes_and_followers_count_apart() {
        let mut forwards = Forwards::default();
        assert!(forwards.accept(Term(3), FOLLOWER, ticket(5)));
        assert!(forwards.accept(Term(3), NodeId(3), ticket(5)));
        assert!(forwards.accept(Term(3), FOLLOWER, Ticket { process: 8, number: 5 }));
        assert!(!forwards.accept(Term(3), FOLLOWER, ticket(5)));
    }
}
