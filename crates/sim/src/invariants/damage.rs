//! Damage to disks in the books: who has not made up for it yet, and where more of it may happen.

use quorate_raft::LogIndex;
use quorate_wal::disk::MemDisk;

use super::books::Books;
use super::group::{Group, Members};
use crate::cluster::{MemberNode, doubtful};
use crate::engine::FileKind;

/// What is still needed before damage to a disk counts as met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Some of it is in the log: then a vote may be lost.
    pub(crate) in_log: bool,
    /// Log and snapshots are read when the member starts.
    pub(crate) needs_start: bool,
    /// A store's values are not: its scrubber has to come by, from the beginning to the end.
    pub(crate) needs_scrub: bool,
    /// After so many rounds of the scrubber it has.
    scrubbed_after: Option<u64>,
}

impl Damage {
    /// Its member has started, and its scrubber begins to count anew.
    pub(super) fn started(self) -> Damage {
        Damage { needs_start: false, scrubbed_after: None, ..self }
    }
}

impl Books {
    /// What was durable in a member's files is destroyed.
    pub(crate) fn damage(&mut self, member: usize, files: FileKind) {
        let damage = self.pages[member].damage.get_or_insert_default();
        damage.in_log |= files == FileKind::Log;
        match files {
            FileKind::Log | FileKind::LogEnd | FileKind::Snapshot => damage.needs_start = true,
            FileKind::Store => (damage.needs_scrub, damage.scrubbed_after) = (true, None),
        }
    }

    /// Whether the others can make up for damage to a member's disk: none of them is damaged, and
    /// they are a majority of every group that anybody goes by, or may come to go by.
    pub(crate) fn may_damage(&self, member: usize) -> bool {
        let mut others = self.pages.iter().enumerate().filter(|(other, _)| *other != member);
        // Before anything is committed nobody else may have anything.
        if self.committed.is_empty() || others.any(|(_, page)| page.damage.is_some()) {
            return false;
        }
        let intact: Members = (0..self.pages.len()).filter(|other| *other != member).collect();
        let decide = |group: Group| group.is_empty() || group.has_quorum(intact);
        self.pages.iter().all(|page| {
            self.groups_after(&page.durable, page.durable_hard.commit).all(decide)
                && self.possible_groups(page).all(decide)
        })
    }

    /// Notes whether a member has made up for damage: it has started or scrubbed since, has caught up,
    /// knows of no damage, takes part in elections, and will do so when it starts again.
    pub(crate) fn look_after_damage(&mut self, member: usize, node: &MemberNode, disk: &MemDisk) {
        let page = &mut self.pages[member];
        let Some(damage) = &mut page.damage else { return };
        if damage.needs_scrub {
            // The round that is under way may have passed it already.
            let rounds = node.member.health().scrubs;
            damage.needs_scrub = rounds < *damage.scrubbed_after.get_or_insert(rounds + 2);
        }
        let met = !damage.needs_start && !damage.needs_scrub;
        let whole = met
            && node.member.is_caught_up()
            && !node.member.view().abstains
            && node.member.damage().next().is_none();
        if whole && doubtful(disk) == LogIndex::ZERO {
            page.damage = None;
            page.lost.clear();
        }
    }
}
