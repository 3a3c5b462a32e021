//! Invariant 17: A leader changes the group only once the change before is committed, and once an
//! entry of its own term is (the bug of 2015 in single-server changes); and no quorum of the new
//! group can do without one of the old (dissertation 4.1, 4.3).

use quorate_raft::LogIndex;

use super::books::{Books, Change, slot_at};
use super::group::{Group, can_be_disjoint};
use super::{Violation, ensure, is_leader};

pub(super) const NAME: &str = "OnePendingConfiguration";

pub(super) fn check(change: &Change<'_>, books: &Books) -> Result<(), Violation> {
    if change.group == change.group_before || !is_leader(change.after.role) {
        return Ok(());
    }
    let log = &books.pages[change.member].log;
    let term = change.after.term;
    for index in (change.before.last_index.next().0..=log.len() as u64).map(LogIndex) {
        let group_at = |index| slot_at(log, index).map_or(Default::default(), |slot| slot.group);
        let (id, before) = (group_at(index), group_at(index.previous()));
        if id == before {
            continue;
        }
        let (before, after) = (books.groups.get(before), books.groups.get(id).group);
        let commit = change.after.commit;
        ensure(before.since <= commit, NAME, || {
            format!(
                "n{} changes the group with entry {index}, though {commit} is committed and the \
                 change of entry {} is not",
                change.member, before.since
            )
        })?;
        ensure(slot_at(log, commit).is_some_and(|slot| slot.term == term), NAME, || {
            format!(
                "n{} changes the group with entry {index}, though no entry of its term {term} is \
                 committed",
                change.member
            )
        })?;
        ensure(overlap(before.group, after), NAME, || {
            format!(
                "n{} changes the group with entry {index} from {} to {after}, of which quorums can \
                 do without each other",
                change.member, before.group
            )
        })?;
    }
    Ok(())
}

fn overlap(before: Group, after: Group) -> bool {
    !can_be_disjoint((before, before.electorate()), (after, after.electorate()))
}
