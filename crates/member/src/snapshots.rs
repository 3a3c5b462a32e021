//! Snapshots of the store: taken, sent to members that need one, received, and restored from.
//!
//! A snapshot is a checkpoint of the store: its *manifest* names the segments' files, which stay
//! where they are. It is what a snapshot's file holds, and what a leader's message brings; the
//! follower then asks for the segments, chunk by chunk, and hands the message to consensus when it
//! has them all. So what consensus is told of is always what this disk has.

mod offers;

use std::collections::VecDeque;

use bytes::Bytes;
use quorate_mvcc::{ChunkId, Incoming, Manifest, SegmentInfo};
use quorate_raft::{
    Body, Event, HardState, IoId, LogIndex, Message, NodeId, ProgressState, Role, Snapshot, Term,
};
use quorate_wal::disk::{Disk, DiskError};

use self::offers::Asking;
use crate::config::{Config, Time};
use crate::journal::State;
use crate::member::{BatchId, Member, Output, PeerMessage};
use crate::store_messages::StoreMessage;

/// A follower that asks so often for what it was sent before is not helped by it: it may be damaged
/// here.
const MOST_REPEATS: u32 = 4;

/// What a member does about snapshots.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    /// Those with a file, oldest first: the last one is the one that consensus knows of.
    kept: VecDeque<State>,
    /// One that is being written, and does not take the place of our log.
    being_written: Option<Writing>,
    /// One whose segments are being fetched.
    arriving: Option<Arriving>,
    /// One that is all here; consensus decides whether to take it.
    arrived: Option<State>,
    /// One that consensus has taken and that is not durable yet.
    incoming: Option<State>,
    /// Those that somebody is being sent. Their segments stay.
    sent: Vec<Sent>,
    /// The newest is of no use to somebody: another one is taken as soon as it can be.
    is_stale: bool,
    /// Whom this member has asked for one, because damage holds it up.
    asking: Asking,
}

/// A snapshot that is being written.
#[derive(Debug)]
struct Writing {
    batch: BatchId,
    state: State,
    /// It is of another member's store, and leads on from ours.
    is_fetched: bool,
}

/// A snapshot whose segments are being fetched.
#[derive(Debug)]
struct Arriving {
    source: Source,
    index: LogIndex,
    /// `None` once all is here.
    segments: Option<Incoming>,
    /// The store's manifest, once all is here.
    manifest: Option<Manifest>,
    /// When something was asked for, or came, last.
    heard: Time,
}

/// Why a snapshot is being fetched.
#[derive(Debug)]
enum Source {
    /// It came from the leader, and consensus decides on it. What was said.
    Leader(Message),
    /// Damage holds this member up, and another one has offered it.
    Offer {
        from: NodeId,
        /// Of its last entry.
        term: Term,
        /// How often in a row something had to be asked for again.
        silences: u32,
    },
}

impl Source {
    fn from(&self) -> NodeId {
        match self {
            Source::Leader(message) => message.from,
            Source::Offer { from, .. } => *from,
        }
    }
}

/// A snapshot that somebody is being sent.
#[derive(Debug)]
struct Sent {
    to: NodeId,
    state: State,
    /// When it was sent, or something of it was asked for, last.
    heard: Time,
    /// The farthest that was asked for, as the segment's place in the manifest and the offset there,
    /// and how often since then something was asked for that is not beyond it. A damaged record may
    /// lie in two chunks, which are then asked for in turn.
    asked: Option<((usize, u64), u32)>,
}

impl Snapshots {
    pub(crate) fn new(kept: VecDeque<State>) -> Snapshots {
        Snapshots { kept, ..Snapshots::default() }
    }

    fn manifests(&self) -> Vec<&Manifest> {
        let sent = self.sent.iter().map(|sent| &sent.state);
        let written = self.being_written.iter().map(|writing| &writing.state);
        let states = self.kept.iter().chain(sent).chain(written).chain(&self.incoming);
        let arriving = self.arriving.iter().filter_map(|arriving| arriving.manifest.as_ref());
        states.map(|state| &state.manifest).chain(arriving).collect()
    }
}

impl Member {
    /// Takes a snapshot if enough was applied since the last one.
    pub(crate) fn snapshot_if_due(&mut self) {
        let Snapshots { being_written: None, incoming: None, is_stale, .. } = self.snapshots else {
            return;
        };
        let last = self.raft.view().snapshot.index;
        let soon = is_stale || self.journal.bytes() >= self.config.snapshot_bytes;
        let due = if soon { 1 } else { self.config.snapshot_every };
        if self.applied.distance_from(last) >= due {
            self.take_snapshot();
        } else if is_stale
            && self.raft.role() == Role::Leader
            && self.raft.log().last_index() == last
        {
            // At the same entry there is no other snapshot: so another entry.
            let _ = self.propose(Bytes::new());
        }
    }

    /// Takes a snapshot of what was applied.
    fn take_snapshot(&mut self) {
        self.snapshots.is_stale = false;
        let index = self.applied;
        let term = self.raft.log().term(index).expect("what was applied since then is there");
        let (_, configuration) = self.raft.membership().at(index);
        let snapshot = Snapshot { index, term, configuration: configuration.clone() };
        let state = State { snapshot, manifest: self.store.checkpoint() };
        self.journal.write_snapshot(&state);
        let batch = self.journal.next_batch();
        self.snapshots.being_written = Some(Writing { batch, state, is_fetched: false });
    }

    /// A batch is durable: perhaps with it a snapshot, so that the log can be shortened.
    pub(crate) fn finish_snapshot(&mut self, batch: BatchId, disk: &dyn Disk) {
        let Some(Writing { state, is_fetched, .. }) =
            self.snapshots.being_written.take_if(|writing| writing.batch <= batch)
        else {
            return;
        };
        let snapshot = state.snapshot.index;
        // The leader has sent a newer one meanwhile.
        if snapshot <= self.raft.view().snapshot.index {
            return;
        }
        // What held us up may have been repaired meanwhile.
        if is_fetched && snapshot > self.applied {
            if !self.replace_store(&state, disk) {
                return;
            }
            self.agreed.forget_through(snapshot);
            self.upkeep.health.fetched += 1;
        }
        let Config { snapshot_keep, snapshot_bytes, .. } = self.config;
        let through = self.journal.superfluous(snapshot, snapshot_keep, snapshot_bytes / 2);
        self.snapshots.kept.push_back(state);
        self.step(Event::Compact { snapshot, through }, &[]);
        self.journal.compact(through);
        self.release_old();
    }

    /// Gives up what only snapshots before the last two need. The older one stays for the case that
    /// the newest is damaged one day.
    fn release_old(&mut self) {
        while self.snapshots.kept.len() > 2 {
            self.snapshots.kept.pop_front();
        }
        self.journal.release_old();
        let manifests = self.snapshots.manifests();
        let arriving = self.snapshots.arriving.as_ref();
        self.store.retain(&manifests, arriving.and_then(|arriving| arriving.segments.as_ref()));
    }

    /// A leader's snapshot. What consensus may have a use for is fetched first.
    pub(crate) fn receive_snapshot(
        &mut self,
        message: Message,
        snapshot: Snapshot,
        payloads: &[Bytes],
        disk: &dyn Disk,
    ) {
        let view = self.raft.view();
        if message.term < view.term || snapshot.index <= view.commit {
            self.step(Event::Message(message), &[]);
            return;
        }
        // What cannot be restored is not taken: the leader sends it again.
        let [manifest] = payloads else { return };
        let Ok(manifest) = Manifest::decode(manifest) else { return };
        // Another leader may have the same snapshot in other segments.
        let same = |arriving: &Arriving| {
            let Source::Leader(message) = &arriving.source else { return false };
            let segments = arriving.segments.as_ref();
            Member::snapshot_of(message) == Some(&snapshot)
                && segments.is_none_or(|segments| *segments.manifest() == manifest)
        };
        if let Some(arriving) = self.snapshots.arriving.as_mut().filter(|known| same(known)) {
            arriving.source = Source::Leader(message);
            return;
        }
        if self.snapshots.incoming.is_some() {
            return;
        }
        self.receive(Source::Leader(message), snapshot.index, manifest, disk);
    }

    /// Begins to fetch what is not here of a snapshot.
    fn receive(&mut self, source: Source, index: LogIndex, manifest: Manifest, disk: &dyn Disk) {
        let damaged: Vec<_> = self.damage().map(|damage| damage.segment).collect();
        let segments = self.store.receive(manifest, &damaged, self.config.chunk_bytes);
        let (segments, heard) = (Some(segments), self.now);
        self.snapshots.arriving = Some(Arriving { source, index, segments, manifest: None, heard });
        if let Err(error) = self.go_on_receiving(disk) {
            self.halt(error);
        }
    }

    /// Asks for what is missing, or hands over what is all here.
    fn go_on_receiving(&mut self, disk: &dyn Disk) -> Result<(), DiskError> {
        let Some(arriving) = &mut self.snapshots.arriving else { return Ok(()) };
        if let Some(segments) = &mut arriving.segments {
            match segments.next_missing(disk)? {
                Some(chunk) => {
                    arriving.heard = self.now;
                    let (to, index) = (arriving.source.from(), arriving.index);
                    self.send_to_store(to, StoreMessage::Fetch { index, chunk });
                    return Ok(());
                }
                None => {
                    let segments = arriving.segments.take().expect("they were there just now");
                    self.journal.before_log(segments.remove_others(disk)?);
                    let (manifest, operations) = segments.finish();
                    self.journal.before_log(operations);
                    arriving.manifest = Some(manifest);
                }
            }
        }
        self.hand_over_snapshot();
        Ok(())
    }

    /// Perhaps all segments of a snapshot are here.
    pub(crate) fn hand_over_snapshot(&mut self) {
        match self.snapshots.arriving.as_ref().map(|arriving| &arriving.source) {
            Some(Source::Leader(_)) => self.hand_to_consensus(),
            Some(Source::Offer { .. }) => self.take_over(),
            None => {}
        }
    }

    /// What a leader sent is of what was committed, so that whoever leads now would say the same of
    /// it.
    fn hand_to_consensus(&mut self) {
        let is_here = |arriving: &mut Arriving| arriving.manifest.is_some();
        let (Some(leader), term) = (self.raft.leader(), self.raft.term()) else { return };
        let Some(arriving) = self.snapshots.arriving.take_if(is_here) else { return };
        if leader == self.config.id {
            return;
        }
        let Arriving { source: Source::Leader(message), manifest, .. } = arriving else {
            unreachable!("what was offered does not go to consensus");
        };
        let snapshot = Member::snapshot_of(&message).expect("it brought one").clone();
        let manifest = manifest.expect("it is here");
        self.snapshots.arrived = Some(State { snapshot, manifest });
        self.step(Event::Message(Message { from: leader, term, ..message }), &[]);
        self.snapshots.arrived = None;
    }

    /// A chunk came.
    pub(crate) fn take_chunk(
        &mut self,
        index: LogIndex,
        chunk: &ChunkId,
        data: &[u8],
        disk: &dyn Disk,
    ) {
        let Some(arriving) = &mut self.snapshots.arriving else { return };
        let Some(segments) = arriving.segments.as_mut() else { return };
        if arriving.index != index {
            return;
        }
        // What is not taken is asked for again, here or after a while.
        if let Ok(operations) = segments.accept(chunk, data) {
            if let Source::Offer { silences, .. } = &mut arriving.source {
                *silences = 0;
            }
            self.journal.before_log(operations);
            if let Err(error) = self.go_on_receiving(disk) {
                self.halt(error);
            }
        }
    }

    /// Somebody asks for a chunk of a snapshot that it was sent.
    pub(crate) fn send_chunk(
        &mut self,
        to: NodeId,
        index: LogIndex,
        chunk: ChunkId,
        disk: &dyn Disk,
    ) {
        let is_it = |sent: &&mut Sent| sent.to == to && sent.state.snapshot.index == index;
        let Some(sent) = self.snapshots.sent.iter_mut().find(is_it) else { return };
        sent.heard = self.now;
        let is_named = |info: &SegmentInfo| info.id == chunk.segment;
        let Some(place) = sent.state.manifest.segments.iter().position(is_named) else { return };
        let place = (place, chunk.offset);
        let (farthest, repeats) = match sent.asked {
            Some((farthest, repeats)) if place <= farthest => (farthest, repeats + 1),
            _ => (place, 0),
        };
        sent.asked = Some((farthest, repeats));
        if repeats >= MOST_REPEATS {
            // What is damaged in a segment that the store goes by is repaired. This one may be in a
            // segment that has been merged with others: a new snapshot names those.
            self.snapshots.is_stale = true;
            self.snapshots.sent.retain(|sent| sent.to != to);
            self.step(Event::SnapshotReport { to, delivered: false }, &[]);
            return;
        }
        // What cannot be read is not sent. The scrubber will come by.
        if let Ok(data) = self.store.reader(disk).chunk(&chunk) {
            self.send_to_store(to, StoreMessage::Chunk { index, chunk, data });
        }
    }

    /// Asks again for what did not come.
    pub(crate) fn retry_receiving(&mut self, disk: &dyn Disk) {
        let patience = self.config.snapshot_retry_ns / 4;
        let Some(arriving) = &self.snapshots.arriving else { return };
        let is_of_use = match arriving.source {
            // Or else the log has got there by itself.
            Source::Leader(_) => arriving.index > self.raft.view().commit,
            Source::Offer { silences, .. } => self.offer_helps(arriving.index, silences),
        };
        if !is_of_use {
            self.snapshots.arriving = None;
            return;
        }
        if arriving.heard.0 + patience > self.now.0 {
            return;
        }
        if let Some(Arriving {
            source: Source::Offer { silences, .. }, segments: Some(_), ..
        }) = &mut self.snapshots.arriving
        {
            *silences += 1;
        }
        if let Err(error) = self.go_on_receiving(disk) {
            self.halt(error);
        }
    }

    /// Consensus has taken the leader's snapshot in place of its log.
    pub(crate) fn install(&mut self, id: IoId, snapshot: &Snapshot, hard_state: Option<HardState>) {
        let state = self.snapshots.arrived.take().expect("it has just arrived");
        assert_eq!(state.snapshot, *snapshot, "it is the one that has just arrived");
        self.journal.install(id, hard_state, &state);
        self.agreed.forget_entries();
        self.snapshots.incoming = Some(state);
    }

    /// The leader's snapshot is durable: it is the state from now on.
    pub(crate) fn restore(&mut self, snapshot: &Snapshot, disk: &dyn Disk) {
        let state = self.snapshots.incoming.take().expect("it came, and was written");
        assert_eq!(state.snapshot, *snapshot, "it is the one that came last");
        if self.replace_store(&state, disk) {
            self.snapshots.kept.push_back(state);
            self.release_old();
        }
    }

    /// The store is the one of a snapshot that is durable, or else the member halts.
    fn replace_store(&mut self, state: &State, disk: &dyn Disk) -> bool {
        assert!(state.snapshot.index > self.applied, "a snapshot leads on");
        // What is damaged between its writing and now is found when the member starts again.
        if let Err(error) = self.store.replace(&state.manifest, disk) {
            self.halt(error);
            return false;
        }
        self.applied = state.snapshot.index;
        self.look_anew();
        true
    }

    /// What goes with a snapshot that consensus sends.
    pub(crate) fn snapshot_data(&mut self, snapshot: &Snapshot, to: NodeId) -> Bytes {
        self.snapshots.sent.retain(|sent| sent.to != to);
        let states = self.snapshots.kept.iter().chain(&self.snapshots.incoming);
        let state = states
            .rev()
            .find(|state| state.snapshot == *snapshot)
            .expect("consensus sends what it was told of")
            .clone();
        let data = state.manifest.encode();
        self.snapshots.sent.push(Sent { to, state, heard: self.now, asked: None });
        data
    }

    /// Gives up the snapshots of which nothing was heard for too long, so that they are sent anew.
    pub(crate) fn give_up_snapshots(&mut self) {
        let before = self.now.0.checked_sub(self.config.snapshot_retry_ns);
        let Some(before) = before else { return };
        let lost = self.snapshots.sent.extract_if(.., |sent| sent.heard.0 <= before);
        for Sent { to, .. } in lost.collect::<Vec<_>>() {
            let waits = |progress: &quorate_raft::Progress| {
                progress.id == to && matches!(progress.state, ProgressState::Snapshot { .. })
            };
            if self.raft.view().progress.iter().any(waits) {
                self.step(Event::SnapshotReport { to, delivered: false }, &[]);
            }
        }
    }

    pub(crate) fn send_to_store(&mut self, to: NodeId, message: StoreMessage) {
        let from = self.config.id;
        self.outputs.push_back(Output::Send(PeerMessage::Store { from, to, message }));
    }

    /// Whether a message brings a snapshot.
    pub(crate) fn snapshot_of(message: &Message) -> Option<&Snapshot> {
        match &message.body {
            Body::Snapshot(snapshot) => Some(snapshot),
            _ => None,
        }
    }
}
