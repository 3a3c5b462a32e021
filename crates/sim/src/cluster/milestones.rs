//! What a member's steps reach: its changes of configuration, snapshots, transfers and repairs, as
//! marks.

use quorate_member::{Health, Member};
use quorate_raft::{Change, LogIndex, MembershipChange, ProtocolView, Role};

use super::message::Message;
use crate::engine::Io;

/// Where a member was after its last step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Milestones {
    configuration: LogIndex,
    snapshot: LogIndex,
    leads: bool,
    hands_over: bool,
    abstains: bool,
    health: Health,
}

impl Milestones {
    pub(crate) fn of(member: &Member) -> Milestones {
        Milestones::seen(&member.view(), member.health())
    }

    fn seen(view: &ProtocolView<'_>, health: Health) -> Milestones {
        Milestones {
            configuration: view.membership.current_index(),
            snapshot: view.snapshot.index,
            leads: view.role == Role::Leader,
            hands_over: view.transfer.is_some(),
            abstains: view.abstains,
            health,
        }
    }

    /// Marks what a step has reached.
    pub(crate) fn note(&mut self, member: &Member, io: &mut Io<'_, Message>) {
        let view = member.view();
        let now = Milestones::seen(&view, member.health());
        if now == *self {
            return;
        }
        let before = std::mem::replace(self, now);
        if now.snapshot > before.snapshot {
            // Its own are of what it has applied.
            let came = view.snapshot.index > member.applied();
            io.mark(if came { "snapshot-installed" } else { "snapshot-taken" });
        }
        if before.abstains && !now.abstains {
            io.mark("log-repaired");
        }
        if now.health.repaired > before.health.repaired {
            io.mark("store-repaired");
        }
        if now.health.fetched > before.health.fetched {
            io.mark("store-fetched");
        }
        if now.health.found_by_scrubbing > before.health.found_by_scrubbing {
            io.mark("scrub-found-damage");
        }
        if now.configuration < before.configuration {
            io.mark("configuration-rolled-back");
        }
        if now.leads && now.configuration > before.configuration {
            note_change(&view, io);
        }
        if before.hands_over && !now.hands_over && now.leads {
            io.mark("transfer-aborted");
        }
        if before.leads && !now.leads && !view.configuration.is_voter(view.id) {
            io.mark("leader-removed");
        }
    }
}

/// A leader has appended a change, unless its log was only shortened.
fn note_change(view: &ProtocolView<'_>, io: &mut Io<'_, Message>) {
    let index = view.membership.current_index();
    let Some((_, change)) = view.membership.changes(index, index).next() else { return };
    let (earlier, before) = view.membership.at(index.previous());
    if change.is_leave() {
        io.mark("joint-left");
        if view.log.term(earlier).is_some_and(|entered| entered != view.term) {
            io.mark("joint-left-by-another-leader");
        }
    } else if view.configuration.is_joint() {
        io.mark("joint-entered");
    }
    let promotes = |change: &MembershipChange| {
        let mut votes =
            change.changes.iter().filter(|change| matches!(change, Change::AddVoter(_)));
        votes.any(|change| before.learners.contains(&change.member()))
    };
    if promotes(change) {
        io.mark("learner-promoted");
    }
}
