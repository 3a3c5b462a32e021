//! The world's own books: what each member's log holds, in memory and on its disk.
//!
//! A log is kept as the term of each entry and a hash over the log up to it, so that two prefixes
//! are equal if two numbers are. What is on a disk is not taken from the member's word: a batch
//! counts once it was carried out and the disk holds nothing unsynced.

use std::hash::{Hash, Hasher};

use quorate_mvcc::{Revision, Store};
use quorate_raft::{HardState, LogIndex, NodeId as RaftId, Progress, Role, Term};

use crate::cluster::{Activity, DigestHasher, MemberNode};
use crate::engine::{NodeId, Step};

/// One entry, and all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) term: Term,
    /// Hash over the terms and payloads up to here.
    pub(crate) chain: u64,
}

/// One member's page.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) node: NodeId,
    pub(crate) running: bool,
    /// Its log in memory; empty while it is down.
    pub(crate) log: Vec<Slot>,
    /// Its log on its disk.
    pub(crate) durable: Vec<Slot>,
    /// Its hard state on its disk.
    pub(crate) durable_hard: HardState,
    /// Its state in memory; as it was, while it is down.
    pub(crate) state: State,
    /// The batch on its disk that is not done.
    flight: Option<Flight>,
    /// The first entry that changed since the last batch was handed out.
    unsubmitted: Option<usize>,
}

/// What of a member's protocol state the invariants compare before and after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) term: Term,
    pub(crate) vote: Option<RaftId>,
    pub(crate) role: Role,
    pub(crate) commit: LogIndex,
    pub(crate) applied: LogIndex,
    pub(crate) last_index: LogIndex,
}

/// What of a member's store the invariants look at in each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreState {
    /// Over all changes, in their order.
    pub(crate) digest: u64,
    pub(crate) revision: Revision,
    pub(crate) compacted: Revision,
}

/// What a batch will put on the disk.
#[derive(Debug)]
struct Flight {
    token: u64,
    /// Position of the first entry that it replaces, and the entries from there on.
    entries: Option<(usize, Vec<Slot>)>,
    hard: HardState,
}

/// What a member recovered from its disk.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) log: Vec<Slot>,
    pub(crate) hard: HardState,
}

/// What a step changed of one member.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    pub(crate) member: usize,
    pub(crate) before: State,
    pub(crate) after: State,
    /// What it knows of its followers, if it leads.
    pub(crate) progress: &'a [Progress],
    pub(crate) activity: &'a Activity,
    pub(crate) store: StoreState,
    /// The first entry that changed.
    pub(crate) first_changed: Option<LogIndex>,
    /// The member's life began with this step.
    pub(crate) booted: bool,
}

/// The books of all members.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) pages: Vec<Page>,
    /// The log that was ever committed, by anybody.
    pub(crate) committed: Vec<Slot>,
    /// Up to which index any client was told of.
    pub(crate) acknowledged: LogIndex,
}

impl State {
    fn of(node: &MemberNode) -> State {
        let view = node.member.view();
        State {
            term: view.term,
            vote: view.vote,
            role: view.role,
            commit: view.commit,
            applied: node.member.applied(),
            last_index: view.log.last_index(),
        }
    }
}

impl StoreState {
    fn of(store: &Store) -> StoreState {
        StoreState {
            digest: store.digest(),
            revision: store.revision(),
            compacted: store.compact_revision(),
        }
    }
}

impl Change<'_> {
    pub(crate) fn commit_advanced(&self) -> bool {
        self.after.commit > self.before.commit
    }

    pub(crate) fn became(&self, role: Role) -> bool {
        self.after.role == role && (self.before.role != role || self.before.term != self.after.term)
    }
}

impl Page {
    /// Of a machine with an empty disk.
    fn blank(member: usize) -> Page {
        let state = State {
            term: Term(0),
            vote: None,
            role: Role::Follower,
            commit: LogIndex::ZERO,
            applied: LogIndex::ZERO,
            last_index: LogIndex::ZERO,
        };
        Page {
            node: NodeId(member as u32),
            running: false,
            log: Vec::new(),
            durable: Vec::new(),
            durable_hard: HardState::default(),
            state,
            flight: None,
            unsubmitted: None,
        }
    }

    /// The entry at an index in memory; index 0 stands before all and is everywhere.
    pub(crate) fn holds(&self, index: LogIndex, slot: Option<Slot>) -> bool {
        let log = if self.running { &self.log } else { &self.durable };
        slot_at(log, index) == slot
    }

    /// The same on disk.
    pub(crate) fn holds_durably(&self, index: LogIndex, slot: Option<Slot>) -> bool {
        slot_at(&self.durable, index) == slot
    }

    /// The log in memory is another one after so many entries.
    pub(crate) fn changed_after(&mut self, kept: usize) {
        self.unsubmitted = Some(self.unsubmitted.map_or(kept, |earlier| earlier.min(kept)));
    }

    /// The member has handed all that its disk does not know of yet to it.
    pub(crate) fn submitted(&mut self, token: u64) {
        let State { term, vote, commit, .. } = self.state;
        let first = self.unsubmitted.take();
        self.flight = Some(Flight {
            token,
            entries: first.map(|first| (first, self.log[first..].to_vec())),
            hard: HardState { term, vote, commit },
        });
    }
}

/// The slot at an index, none for index 0 and past the end.
pub(crate) fn slot_at(log: &[Slot], index: LogIndex) -> Option<Slot> {
    log.get(index.0.checked_sub(1)? as usize).copied()
}

impl Books {
    pub(crate) fn new(members: usize) -> Books {
        Books {
            pages: (0..members).map(Page::blank).collect(),
            committed: Vec::new(),
            acknowledged: LogIndex::ZERO,
        }
    }

    /// Counted here, and not by the code that is judged.
    pub(crate) fn majority(&self) -> usize {
        self.pages.len() / 2 + 1
    }

    /// On how many disks the entry is.
    pub(crate) fn durable_copies(&self, index: LogIndex, slot: Slot) -> usize {
        self.pages.iter().filter(|page| page.holds_durably(index, Some(slot))).count()
    }

    pub(crate) fn crash(&mut self, member: usize) {
        let page = &mut self.pages[member];
        page.running = false;
        page.log.clear();
        page.unsubmitted = None;
    }

    pub(crate) fn replace(&mut self, member: usize) {
        self.pages[member] = Page::blank(member);
    }

    /// What a member that has just started found.
    pub(crate) fn recovered(&self, node: &MemberNode) -> Recovered {
        let view = node.member.view();
        let mut log = Vec::with_capacity(view.log.last_index().0 as usize);
        extend(&mut log, node, view.log.last_index());
        let hard = HardState { term: view.term, vote: view.vote, commit: view.commit };
        Recovered { log, hard }
    }

    /// How much of what is on the disk a crash could not touch: everything but what the batch
    /// under way was about to replace.
    pub(crate) fn untouched(&self, member: usize) -> usize {
        let page = &self.pages[member];
        let replaced = page.flight.as_ref().and_then(|flight| flight.entries.as_ref());
        replaced.map_or(page.durable.len(), |(first, _)| page.durable.len().min(*first))
    }

    pub(crate) fn boot(&mut self, member: usize, recovered: Recovered, clean: bool) {
        let page = &mut self.pages[member];
        let Recovered { log, hard } = recovered;
        page.unsubmitted = None;
        if clean {
            page.durable.clone_from(&log);
            page.durable_hard = hard;
        } else {
            // Something that was read is in the page cache alone: only what was known to be on
            // the disk before is on it.
            let common = page.durable.iter().zip(&log).take_while(|(one, other)| one == other);
            let common = common.count();
            page.durable.truncate(common);
            // The rest is on it together with the next batch.
            page.unsubmitted = (common < log.len()).then_some(common);
        }
        page.running = true;
        page.flight = None;
        page.state = State {
            term: hard.term,
            vote: hard.vote,
            role: Role::Follower,
            commit: LogIndex::ZERO,
            applied: LogIndex::ZERO,
            last_index: LogIndex(log.len() as u64),
        };
        page.log = log;
    }

    /// The disk has carried a batch out.
    pub(crate) fn completed(&mut self, member: usize, token: u64, clean: bool) {
        let page = &mut self.pages[member];
        let flight = page.flight.take().expect("what completes was submitted");
        assert_eq!(flight.token, token, "one batch is under way at a time");
        if !clean {
            // Whatever makes the disk clean puts these on it, too: they count with a later batch.
            if let Some((first, _)) = flight.entries {
                page.changed_after(first);
            }
            return;
        }
        if let Some((first, entries)) = flight.entries {
            page.durable.truncate(first);
            page.durable.extend(entries);
        }
        page.durable_hard = flight.hard;
    }

    /// Brings a member's page up to date, and says what changed.
    pub(crate) fn update<'a>(&mut self, step: &Step, node: &'a MemberNode) -> Change<'a> {
        let member = step.node.index();
        let booted = crate::cluster::is_boot(step);
        let page = &mut self.pages[member];
        let (before, after) = (page.state, State::of(node));
        let first_changed = node.activity.changed_from;
        if let Some(first) = first_changed.filter(|_| !booted) {
            let kept = first.previous().0 as usize;
            page.log.truncate(kept);
            extend(&mut page.log, node, after.last_index);
            page.changed_after(kept);
        }
        page.state = after;
        if let Some(batch) = node.activity.submitted {
            page.submitted(batch.0);
        }
        Change {
            member,
            before,
            after,
            progress: node.member.view().progress,
            activity: &node.activity,
            store: StoreState::of(node.member.store()),
            first_changed,
            booted,
        }
    }

    /// Enters what the step has committed and acknowledged, once it was found to be right.
    pub(crate) fn settle(&mut self, change: &Change<'_>) {
        let page = &self.pages[change.member];
        let known = self.committed.len();
        let commit = change.after.commit.0 as usize;
        if commit > known {
            self.committed.extend_from_slice(&page.log[known..commit]);
        }
        for answer in &change.activity.answers {
            self.acknowledged = self.acknowledged.max(answer.applied);
        }
    }
}

/// Adds the member's entries up to `last` to the slots.
fn extend(log: &mut Vec<Slot>, node: &MemberNode, last: LogIndex) {
    for index in log.len() as u64 + 1..=last.0 {
        let entry = node.member.entry(LogIndex(index)).expect("the log has all entries to its end");
        let mut hasher = DigestHasher::new();
        hasher.write_u64(log.last().map_or(0, |slot| slot.chain));
        entry.term.hash(&mut hasher);
        hasher.write_usize(entry.payload.len());
        hasher.write(&entry.payload);
        log.push(Slot { term: entry.term, chain: hasher.finish() });
    }
}
