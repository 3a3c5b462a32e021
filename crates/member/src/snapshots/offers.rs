//! Snapshots without consensus: a store that damage holds up becomes that of another member.
//!
//! A record that an entry's outcome needs may be damaged here, and compacted away everywhere else:
//! then nobody can repair it, and this store goes no further by itself. It need not: the others have
//! applied that entry. So a member that is held up for too long asks them in turn for their
//! newest snapshot, fetches what it lacks of it, and goes on from there as if it had taken it
//! itself. Consensus is not asked, since nothing changes for it: only what is committed here is
//! taken over, of which the log here says the same. What consensus sends goes before.

use bytes::Bytes;
use quorate_mvcc::Manifest;
use quorate_raft::{LogIndex, NodeId, Snapshot, Term};
use quorate_wal::disk::Disk;

use super::{Arriving, MOST_REPEATS, Sent, Source, Writing};
use crate::config::Time;
use crate::journal::State;
use crate::member::Member;
use crate::store_messages::StoreMessage;

/// Others are asked when so many answers to a plea for a record, each given the time after which it
/// is repeated, could have come.
const PATIENCE: u64 = 8;

/// Whom a member has asked that is held up.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// When it asked last.
    asked: Option<Time>,
    /// How often it has asked: the others take turns.
    turns: usize,
}

impl Member {
    /// Asks another member for its store, if this one has been held up for too long.
    pub(crate) fn ask_for_snapshot(&mut self) {
        let Some(since) = self.agreed.held_up_since() else {
            self.snapshots.asking.asked = None;
            return;
        };
        let patience = PATIENCE * self.config.read_retry_ns;
        let since = self.snapshots.asking.asked.unwrap_or(since).max(since);
        let is_under_way =
            self.snapshots.arriving.is_some() || self.snapshots.being_written.is_some();
        if is_under_way || since.0 + patience > self.now.0 {
            return;
        }
        let others = self.others();
        let asking = &mut self.snapshots.asking;
        asking.asked = Some(self.now);
        asking.turns += 1;
        // Alone, it waits for a person.
        let Some(to) = others.get(asking.turns % others.len().max(1)) else { return };
        self.send_to_store(*to, StoreMessage::WantSnapshot { after: self.applied });
    }

    /// Another member is held up behind an entry.
    pub(crate) fn offer_snapshot(&mut self, to: NodeId, after: LogIndex) {
        let newest = self.snapshots.kept.back();
        let Some(state) = newest.filter(|state| state.snapshot.index > after) else {
            // It will ask again.
            self.snapshots.is_stale |= self.applied > after;
            return;
        };
        let Snapshot { index, term, .. } = state.snapshot;
        let manifest = state.manifest.encode();
        let sent = Sent { to, state: state.clone(), heard: self.now, asked: None };
        self.snapshots.sent.retain(|sent| (sent.to, sent.state.snapshot.index) != (to, index));
        self.snapshots.sent.push(sent);
        self.send_to_store(to, StoreMessage::Offer { index, term, manifest });
    }

    /// Another member's snapshot, as it was asked for.
    pub(crate) fn take_offer(
        &mut self,
        from: NodeId,
        (index, term): (LogIndex, Term),
        manifest: &Bytes,
        disk: &dyn Disk,
    ) {
        let helps = self.agreed.held_up_since().is_some() && index > self.applied;
        if !helps || self.snapshots.arriving.is_some() {
            return;
        }
        let Ok(manifest) = Manifest::decode(manifest) else { return };
        let source = Source::Offer { from, term, silences: 0 };
        self.receive(source, index, manifest, disk);
    }

    /// Whether the offer under way still helps: nobody has repaired what held this store up, and
    /// who made it answers.
    pub(super) fn offer_helps(&self, index: LogIndex, silences: u32) -> bool {
        let is_held_up = self.agreed.held_up_since().is_some();
        is_held_up && index > self.applied && silences <= MOST_REPEATS
    }

    /// All of another member's snapshot is here. It is written as one of our own once our log says
    /// as well that its last entry is committed, and no other is being written.
    pub(super) fn take_over(&mut self) {
        let is_ready = |arriving: &mut Arriving| {
            arriving.manifest.is_some() && self.agreed.reaches(arriving.index)
        };
        if self.snapshots.being_written.is_some() {
            return;
        }
        let Some(arriving) = self.snapshots.arriving.take_if(is_ready) else { return };
        let Arriving { source: Source::Offer { term, .. }, index, manifest, .. } = arriving else {
            unreachable!("what a leader sent goes to consensus");
        };
        let is_ours = index > self.applied && self.raft.log().term(index) == Some(term);
        if !is_ours {
            return;
        }
        let (_, configuration) = self.raft.membership().at(index);
        let snapshot = Snapshot { index, term, configuration: configuration.clone() };
        let state = State { snapshot, manifest: manifest.expect("it is here") };
        self.journal.write_snapshot(&state);
        let batch = self.journal.next_batch();
        self.snapshots.being_written = Some(Writing { batch, state, is_fetched: true });
    }
}
