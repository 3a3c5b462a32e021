//! Invariant 16: The group in force at a member is the latest one in its log, committed or not, and
//! the snapshot's if the log has none (§6). So it changes back when the log is truncated, and is
//! what it was after a restart.

use quorate_raft::{Configuration, LogIndex};

use super::books::{Books, Change, GroupId};
use super::group::Group;
use super::{Violation, ensure};

pub(super) const NAME: &str = "ConfigurationFromLog";

/// What each member went by when it was last looked at, and what its log said.
#[derive(Debug)]
pub(crate) struct ConfigurationFromLog {
    found_right: Vec<(Configuration, GroupId)>,
}

impl ConfigurationFromLog {
    pub(super) fn new(members: usize) -> ConfigurationFromLog {
        ConfigurationFromLog { found_right: vec![Default::default(); members] }
    }

    pub(super) fn check(&mut self, change: &Change<'_>, books: &Books) -> Result<(), Violation> {
        let found_right = &mut self.found_right[change.member];
        // In most steps neither has changed, and to see that is cheaper than to compare them.
        if found_right.1 == change.group && found_right.0 == *change.configuration {
            return Ok(());
        }
        compare(change, books)?;
        *found_right = (change.configuration.clone(), change.group);
        Ok(())
    }
}

fn compare(change: &Change<'_>, books: &Books) -> Result<(), Violation> {
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
