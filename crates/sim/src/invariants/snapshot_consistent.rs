//! Invariant 21: A snapshot's index, term and configuration are those of the committed log there,
//! and what it holds is what others hold who applied the entries themselves.

use quorate_mvcc::Reader;
use quorate_raft::{LogIndex, ProtocolView};

use super::books::{Books, Change, Slot, slot_at};
use super::group::Group;
use super::{Violation, ensure};
use crate::engine::NodeId;

pub(super) const NAME: &str = "SnapshotConsistent";

pub(super) fn check(change: &Change<'_>, books: &Books) -> Result<(), Violation> {
    let snapshot = change.snapshot;
    if snapshot.index == change.before.snapshot {
        return Ok(());
    }
    let Some(slot) = slot_at(&books.committed, snapshot.index) else {
        return Err(beyond(change.member, snapshot.index, books.committed.len()));
    };
    let (claimed, committed) =
        (Group::of(&snapshot.configuration), books.groups.get(slot.group).group);
    ensure(snapshot.term == slot.term && claimed == committed, NAME, || {
        format!(
            "n{}'s snapshot of entry {} has term {} and the group {claimed}, but the committed log \
             has term {} and {committed} there",
            change.member, snapshot.index, snapshot.term, slot.term
        )
    })
}

/// Compares a store that came from a snapshot with those of others, as far as they reach back to
/// the same revisions.
pub(super) fn check_store<'a>(
    member: usize,
    restored: Reader<'_>,
    others: impl IntoIterator<Item = (NodeId, Reader<'a>)>,
) -> Result<(), Violation> {
    for (other, store) in others {
        let revision = restored.revision().min(store.revision());
        let hashes = (restored.hash_kv(Some(revision)), store.hash_kv(Some(revision)));
        let (Ok(one), Ok(two)) = hashes else { continue };
        let same = one.compact_revision != two.compact_revision || one.hash == two.hash;
        ensure(same, NAME, || {
            format!(
                "n{member} has restored a snapshot, and up to revision {} it holds another store \
                 than {other}",
                revision.0
            )
        })?;
    }
    Ok(())
}

/// The committed entries that a member no longer has, or never had, and its snapshot stands for.
pub(super) fn stands_for<'a>(
    committed: &'a [Slot],
    member: usize,
    view: &ProtocolView<'_>,
) -> Result<&'a [Slot], Violation> {
    let base = view.log.base();
    let Some(prefix) = committed.get(..base.0 as usize) else {
        return Err(beyond(member, base, committed.len()));
    };
    ensure(is_known(prefix, view), NAME, || {
        format!(
            "n{member}'s log begins after entry {base} of term {}, but of term {} is what was \
             committed there",
            view.log.term(base).unwrap_or_default(),
            slot_at(prefix, base).map_or(0, |slot| slot.term.0)
        )
    })?;
    Ok(prefix)
}

/// Whether a log has the entry after which the member's own begins.
pub(super) fn is_known(log: &[Slot], view: &ProtocolView<'_>) -> bool {
    let base = view.log.base();
    base == LogIndex::ZERO || slot_at(log, base).map(|slot| slot.term) == view.log.term(base)
}

fn beyond(member: usize, index: LogIndex, committed: usize) -> Violation {
    let message =
        format!("n{member} has a snapshot of entry {index}, but only {committed} are committed");
    Violation { invariant: NAME, message }
}
