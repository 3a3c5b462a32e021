//! Invariant 16: The group in force at a member is the latest one in its log, committed or not, and
//! the snapshot's if the log has none (§6). So it changes back when the log is truncated, and is
//! what it was after a restart.

use quorate_raft::LogIndex;

use super::books::{Books, Change};
use super::group::Group;
use super::{Violation, ensure};

pub(super) const NAME: &str = "ConfigurationFromLog";

pub(super) fn check(change: &Change<'_>, books: &Books) -> Result<(), Violation> {
    let (claimed, in_force) = (Group::of(change.configuration), books.groups.get(change.group));
    ensure(claimed == in_force.group, NAME, || {
        format!(
            "n{} goes by the group {claimed}, but its log says {} since entry {}",
            change.member, in_force.group, in_force.since
        )
    })
}

/// An entry changes the group to one that cannot follow the group before it.
pub(super) fn impossible(member: usize, index: LogIndex) -> Violation {
    let message = format!(
        "entry {index} of n{member}'s log changes the membership as is not possible after what \
         the entries before it say"
    );
    Violation { invariant: NAME, message }
}
