//! What members' stores say to each other: parts of snapshots, and what to repair by.

use bytes::Bytes;
use quorate_mvcc::{ChangeId, ChunkId};
use quorate_raft::{LogIndex, NodeId, Term};
use quorate_wal::disk::Disk;

use crate::member::Member;

/// What one member's store wants of another one's. Each may be lost, come late or twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreMessage {
    /// A follower wants a part of the snapshot that it was sent.
    Fetch {
        /// The snapshot's index.
        index: LogIndex,
        /// Which part.
        chunk: ChunkId,
    },
    /// The answer to [`StoreMessage::Fetch`].
    Chunk {
        /// The snapshot's index.
        index: LogIndex,
        /// Which part.
        chunk: ChunkId,
        /// The bytes: fewer only where the segment ends.
        data: Bytes,
    },
    /// A member's record of a change is damaged.
    WantRecord {
        /// Which change.
        change: ChangeId,
    },
    /// The answer to [`StoreMessage::WantRecord`].
    Record {
        /// Which change.
        change: ChangeId,
        /// Its record; none if this store has no such change (any more).
        record: Option<Bytes>,
    },
    /// A member's store does not get beyond an entry, since it is damaged.
    WantSnapshot {
        /// Which entry.
        after: LogIndex,
    },
    /// The answer to [`StoreMessage::WantSnapshot`]: the sender's newest snapshot.
    Offer {
        /// Its last entry.
        index: LogIndex,
        /// That entry's term.
        term: Term,
        /// The manifest of the store.
        manifest: Bytes,
    },
}

impl Member {
    pub(crate) fn handle_store_message(
        &mut self,
        from: NodeId,
        message: StoreMessage,
        disk: &dyn Disk,
    ) {
        match message {
            StoreMessage::Fetch { index, chunk } => self.send_chunk(from, index, chunk, disk),
            StoreMessage::Chunk { index, chunk, data } => {
                self.take_chunk(index, &chunk, &data, disk);
            }
            StoreMessage::WantRecord { change } => match self.store.reader(disk).record_at(&change)
            {
                Ok(record) => self.send_to_store(from, StoreMessage::Record { change, record }),
                Err(damage) => self.note_damage(damage),
            },
            StoreMessage::Record { change, record } => {
                self.repair(&change, record.as_deref(), disk)
            }
            StoreMessage::WantSnapshot { after } => self.offer_snapshot(from, after),
            StoreMessage::Offer { index, term, manifest } => {
                self.take_offer(from, (index, term), &manifest, disk);
            }
        }
    }
}
