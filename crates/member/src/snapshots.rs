//! Snapshots of the store: taken, sent to followers that are far behind, and restored from.

use bytes::Bytes;
use quorate_mvcc::Store;
use quorate_raft::{Event, HardState, IoId, LogIndex, NodeId, ProgressState, Snapshot};

use crate::config::Time;
use crate::journal::State;
use crate::member::{BatchId, Member};

/// What a member does about snapshots.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    /// The one that consensus knows of.
    current: Option<State>,
    /// One of our own that is being written, and in which batch.
    being_written: Option<(BatchId, State)>,
    /// One that has just arrived; consensus decides whether to take it.
    arrived: Option<(State, Store)>,
    /// One that consensus has taken and that is not durable yet.
    incoming: Option<(State, Store)>,
    /// To whom one was sent, and when.
    sent: Vec<(NodeId, Time)>,
}

impl Snapshots {
    pub(crate) fn new(current: Option<State>) -> Snapshots {
        Snapshots { current, ..Snapshots::default() }
    }
}

impl Member {
    /// Takes a snapshot if enough was applied since the last one.
    pub(crate) fn snapshot_if_due(&mut self) {
        let last = self.raft.view().snapshot.index;
        let idle = self.snapshots.being_written.is_none() && self.snapshots.incoming.is_none();
        if !idle || self.applied.distance_from(last) < self.config.snapshot_every {
            return;
        }
        let index = self.applied;
        let term = self.raft.log().term(index).expect("what was applied since then is there");
        let (_, configuration) = self.raft.membership().at(index);
        let snapshot = Snapshot { index, term, configuration: configuration.clone() };
        let state = State { snapshot, data: self.store.snapshot() };
        self.journal.write_snapshot(&state);
        self.snapshots.being_written = Some((self.journal.next_batch(), state));
    }

    /// A batch is durable: perhaps with it a snapshot of ours, so that the log can be shortened.
    pub(crate) fn finish_snapshot(&mut self, batch: BatchId) {
        let Some((_, state)) =
            self.snapshots.being_written.take_if(|(awaited, _)| *awaited <= batch)
        else {
            return;
        };
        let snapshot = state.snapshot.index;
        // The leader has sent a newer one meanwhile.
        if snapshot <= self.raft.view().snapshot.index {
            return;
        }
        let through = LogIndex(snapshot.0.saturating_sub(self.config.snapshot_keep));
        self.snapshots.current = Some(state);
        self.step(Event::Compact { snapshot, through }, &[]);
        self.journal.compact(through);
        self.journal.release_old();
    }

    /// Looks whether what a leader sent is a state at all. Says whether to go on with it.
    pub(crate) fn receive_snapshot(&mut self, snapshot: &Snapshot, payloads: &[Bytes]) -> bool {
        let [data] = payloads else { return false };
        let Ok(store) = Store::from_snapshot(data.clone()) else { return false };
        let state = State { snapshot: snapshot.clone(), data: data.clone() };
        self.snapshots.arrived = Some((state, store));
        true
    }

    /// Consensus has taken the leader's snapshot in place of its log.
    pub(crate) fn install(&mut self, id: IoId, snapshot: &Snapshot, hard_state: Option<HardState>) {
        let (state, store) = self.snapshots.arrived.take().expect("it has just arrived");
        assert_eq!(state.snapshot, *snapshot, "it is the one that has just arrived");
        self.journal.install(id, hard_state, &state);
        self.snapshots.incoming = Some((state, store));
    }

    /// Consensus had no use for a snapshot that arrived.
    pub(crate) fn forget_arrived(&mut self) {
        self.snapshots.arrived = None;
    }

    /// The leader's snapshot is durable: it is the state from now on.
    pub(crate) fn restore(&mut self, snapshot: &Snapshot) {
        let (state, store) = self.snapshots.incoming.take().expect("it came, and was written");
        assert_eq!(state.snapshot, *snapshot, "it is the one that came last");
        assert!(snapshot.index > self.applied, "a snapshot leads on");
        self.store = store;
        self.applied = snapshot.index;
        self.snapshots.current = Some(state);
        self.journal.release_old();
    }

    /// The state that goes with a snapshot which consensus sends.
    pub(crate) fn snapshot_data(&mut self, snapshot: &Snapshot, to: NodeId) -> Bytes {
        self.snapshots.sent.retain(|(peer, _)| *peer != to);
        self.snapshots.sent.push((to, self.now));
        let current = self.snapshots.current.as_ref();
        let state = current
            .into_iter()
            .chain(self.snapshots.incoming.as_ref().map(|(state, _)| state))
            .find(|state| state.snapshot == *snapshot);
        state.expect("consensus sends what it was told of").data.clone()
    }

    /// Gives up the snapshots of which nothing was heard for too long, so that they are sent anew.
    pub(crate) fn give_up_snapshots(&mut self) {
        let before = self.now.0.checked_sub(self.config.snapshot_retry_ns);
        let Some(before) = before else { return };
        let lost = self.snapshots.sent.extract_if(.., |(_, sent)| sent.0 <= before);
        for (to, _) in lost.collect::<Vec<_>>() {
            let waits = |progress: &quorate_raft::Progress| {
                progress.id == to && matches!(progress.state, ProgressState::Snapshot { .. })
            };
            if self.raft.view().progress.iter().any(waits) {
                self.step(Event::SnapshotReport { to, delivered: false }, &[]);
            }
        }
    }
}
