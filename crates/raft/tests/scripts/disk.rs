//! What a member's disk holds, and what a crash leaves of a write: by the contract a prefix, in
//! which the snapshot comes first, then the entries in order, then the hard state.

use std::collections::BTreeMap;
use std::fmt;

use quorate_raft::{
    EntryMeta, HardState, IoId, Log, LogIndex, MembershipChange, NodeId, Options, Restored,
    Snapshot, Term, Transition,
};

/// What the harness keeps for the core, which sees number and size only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// The entry with which a leader begins (§8).
    Empty,
    /// A client's command, by its name.
    Command(String),
    /// A change of the membership.
    Change(MembershipChange),
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Payload::Empty => f.write_str("(empty)"),
            Payload::Command(name) => f.write_str(name),
            Payload::Change(change) if change.is_leave() => f.write_str("[leave]"),
            Payload::Change(MembershipChange { changes, transition }) => {
                let how = match transition {
                    Transition::Auto => "",
                    Transition::Joint => " jointly",
                    Transition::JointExplicit => " jointly until left",
                };
                let changes: Vec<_> = changes.iter().map(ToString::to_string).collect();
                write!(f, "[{}{how}]", changes.join(", "))
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) meta: EntryMeta,
    pub(crate) payload: Payload,
}

/// One write on its way to the disk.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) id: IoId,
    /// With the state that it stands for: everything that was applied up to there.
    pub(crate) snapshot: Option<(Snapshot, Vec<Payload>)>,
    pub(crate) entries: Vec<(LogIndex, Entry)>,
    pub(crate) hard_state: Option<HardState>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) snapshot: Snapshot,
    /// The state of `snapshot`.
    pub(crate) state: Vec<Payload>,
    pub(crate) hard_state: HardState,
    pub(crate) log: BTreeMap<LogIndex, Entry>,
}

impl Disk {
    /// The disk of a founder whose log has entries of these terms, of which the first one founds
    /// the group. Whoever has the same term at the same index has the same command there.
    pub(crate) fn of_founder(founding: MembershipChange, terms: &[u64], size: u32) -> Disk {
        let log = (1..).zip(terms).map(|(index, &term)| {
            let payload = match index {
                1 => Payload::Change(founding.clone()),
                _ => Payload::Command(format!("c{index}/{term}")),
            };
            (LogIndex(index), Entry { meta: EntryMeta { term: Term(term), size }, payload })
        });
        Disk { log: log.collect(), ..Disk::default() }
    }

    /// # Errors
    /// If a rule of what may ever be written is broken.
    pub(crate) fn write(&mut self, write: Write) -> Result<(), String> {
        let entries = write.entries.len();
        let hard_state = write.hard_state;
        self.write_part(write, entries);
        let Some(new) = hard_state else {
            return Ok(());
        };
        let old = std::mem::replace(&mut self.hard_state, new);
        if new.term < old.term || new.commit < old.commit {
            return Err(format!("the hard state on disk went back: {old:?} → {new:?}"));
        }
        if new.term == old.term && old.vote.is_some() && new.vote != old.vote {
            return Err(format!("a vote on disk was changed: {old:?} → {new:?}"));
        }
        if new.commit > self.last_index() {
            return Err(format!("commit {} is on disk before its entries", new.commit));
        }
        Ok(())
    }

    /// What a crash may leave of a write: the snapshot and the first entries, without the hard
    /// state.
    pub(crate) fn write_part(&mut self, write: Write, entries: usize) {
        if let Some((snapshot, state)) = write.snapshot {
            (self.snapshot, self.state) = (snapshot, state);
            self.log.clear();
        }
        for (index, entry) in write.entries.into_iter().take(entries) {
            self.log.split_off(&index);
            self.log.insert(index, entry);
        }
    }

    fn last_index(&self) -> LogIndex {
        self.log.last_key_value().map_or(self.snapshot.index, |(&index, _)| index)
    }

    /// Whether it holds this entry, as such or within its snapshot.
    pub(crate) fn holds(&self, index: LogIndex, entry: &Entry) -> bool {
        match self.log.get(&index) {
            Some(there) => there == entry,
            None => index <= self.snapshot.index,
        }
    }

    /// What a core comes up from.
    pub(crate) fn restored(&self, id: NodeId, options: Options) -> Restored {
        let mut log = Log::after(self.snapshot.index, self.snapshot.term);
        let mut changes = Vec::new();
        for (&index, entry) in self.log.range(self.snapshot.index.next()..) {
            log.append(entry.meta);
            if let Payload::Change(change) = &entry.payload {
                changes.push((index, change.clone()));
            }
        }
        let (snapshot, hard_state) = (self.snapshot.clone(), self.hard_state);
        let doubtful = LogIndex::ZERO;
        Restored { id, snapshot, hard_state, log, changes, doubtful, options }
    }
}
