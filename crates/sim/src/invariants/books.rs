//! The world's own books: what each member's log holds, in memory and on its disk, and which group
//! is in force there.
//!
//! A log is kept as the term of each entry and a hash over the log up to it, so that two prefixes
//! are equal if two numbers are. It is kept whole: that a member forgets the beginning of its log
//! changes nothing here, and a snapshot stands for the committed entries that it replaces. What is
//! on a disk is not taken from the member's word: a batch counts once it was carried out and the
//! disk holds nothing unsynced.

use std::hash::{Hash, Hasher};

use quorate_member::{EntryKind, Member};
use quorate_mvcc::{Revision, Store};
use quorate_raft::{
    Configuration, HardState, LogIndex, NodeId as RaftId, Progress, ProtocolView, Role, Snapshot,
    Term,
};

use quorate_wal::disk::MemDisk;

use super::damage::Damage;
use super::group::{Group, Members};
use super::{Violation, configuration_from_log, snapshot_consistent};
use crate::cluster::{Activity, DigestHasher, MemberNode, doubtful};
use crate::engine::{NodeId, Step};

/// The entry with which a group begins. Each founder writes it by itself before it does anything
/// else, and it is committed by definition.
pub(crate) const FOUNDING: LogIndex = LogIndex(1);

/// One entry, and all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) term: Term,
    /// Hash over the terms, kinds and payloads up to here.
    pub(crate) chain: u64,
    /// The group that the log up to here comes to.
    pub(crate) group: GroupId,
}

/// Names an [`InForce`] in the books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupId(pub(crate) u32);

/// A group, and the entry from which on it is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InForce {
    pub(crate) since: LogIndex,
    pub(crate) group: Group,
}

/// Every group that was ever in force at any member.
#[derive(Debug)]
pub(crate) struct Groups(Vec<InForce>);

/// One member's page.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) node: NodeId,
    pub(crate) running: bool,
    /// Its log in memory; empty while it is down.
    pub(crate) log: Vec<Slot>,
    /// Its log on its disk.
    pub(crate) durable: Vec<Slot>,
    /// Its hard state on its disk.
    pub(crate) durable_hard: HardState,
    /// Its state in memory; as it was, while it is down.
    pub(crate) state: State,
    /// The batch on its disk that is not done.
    flight: Option<Flight>,
    /// The first entry that changed since the last batch was handed out.
    unsubmitted: Option<usize>,
    /// What was durable on its disk was destroyed, and it has not made up for that yet.
    pub(crate) damage: Option<Damage>,
    /// What it held durably before its disk lost it, each time, while it is in doubt about that.
    pub(crate) lost: Vec<Vec<Slot>>,
    /// The highest entry that it ever may have had and lost.
    pub(crate) doubtful: LogIndex,
}

/// What of a member's protocol state the invariants compare before and after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) term: Term,
    pub(crate) vote: Option<RaftId>,
    pub(crate) role: Role,
    pub(crate) commit: LogIndex,
    pub(crate) applied: LogIndex,
    /// The last entry that it has forgotten.
    pub(crate) base: LogIndex,
    pub(crate) last_index: LogIndex,
    /// Its latest snapshot.
    pub(crate) snapshot: LogIndex,
    /// It takes no part in elections, since its disk has lost what a quorum may rest on.
    pub(crate) abstains: bool,
    /// How many stores of others it has taken over since it started.
    pub(crate) fetched: u64,
}

/// What of a member's store the invariants look at in each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreState {
    /// Over all changes, in their order.
    pub(crate) digest: u64,
    pub(crate) revision: Revision,
    pub(crate) compacted: Revision,
}

/// What a batch will put on the disk.
#[derive(Debug)]
struct Flight {
    token: u64,
    /// Position of the first entry that it replaces, and the entries from there on.
    entries: Option<(usize, Vec<Slot>)>,
    hard: HardState,
}

/// What a member recovered from its disk.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) log: Vec<Slot>,
    pub(crate) hard: HardState,
    /// Up to where a snapshot stands for the log.
    pub(crate) base: LogIndex,
    /// Whether it takes no part in elections, because its disk has lost something.
    pub(crate) abstains: bool,
    /// Up to where its log says that entries are in doubt.
    pub(crate) doubtful: LogIndex,
}

/// What a step changed of one member.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    pub(crate) member: usize,
    pub(crate) before: State,
    pub(crate) after: State,
    /// The group in force, as its log has it.
    pub(crate) group_before: GroupId,
    pub(crate) group: GroupId,
    /// The group in force, as the member has it.
    pub(crate) configuration: &'a Configuration,
    pub(crate) snapshot: &'a Snapshot,
    /// What it knows of its followers, if it leads.
    pub(crate) progress: &'a [Progress],
    pub(crate) activity: &'a Activity,
    pub(crate) store: StoreState,
    /// The first entry that changed.
    pub(crate) first_changed: Option<LogIndex>,
    /// The member's life began with this step.
    pub(crate) booted: bool,
}

/// The books of all members.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) pages: Vec<Page>,
    pub(crate) groups: Groups,
    /// The log that was ever committed, by anybody.
    pub(crate) committed: Vec<Slot>,
    /// The group in force at the member that was the first to know the last of it committed.
    pub(crate) committed_by: GroupId,
    /// Up to which index any client was told of.
    pub(crate) acknowledged: LogIndex,
    /// Of each member, the last entry of which it may have forgotten that it had it, since its
    /// machine was replaced.
    forgotten: Vec<LogIndex>,
}

impl State {
    const BLANK: State = State {
        term: Term(0),
        vote: None,
        role: Role::Follower,
        commit: LogIndex::ZERO,
        applied: LogIndex::ZERO,
        base: LogIndex::ZERO,
        last_index: LogIndex::ZERO,
        snapshot: LogIndex::ZERO,
        abstains: false,
        fetched: 0,
    };

    fn of(member: &Member) -> State {
        let view = member.view();
        State {
            term: view.term,
            vote: view.vote,
            role: view.role,
            commit: view.commit,
            applied: member.applied(),
            base: view.log.base(),
            last_index: view.log.last_index(),
            snapshot: view.snapshot.index,
            abstains: view.abstains,
            fetched: member.health().fetched,
        }
    }
}

impl StoreState {
    fn of(store: &Store) -> StoreState {
        StoreState {
            digest: store.digest(),
            revision: store.revision(),
            compacted: store.compact_revision(),
        }
    }
}

impl Change<'_> {
    pub(crate) fn commit_advanced(&self) -> bool {
        self.after.commit > self.before.commit
    }

    pub(crate) fn became(&self, role: Role) -> bool {
        self.after.role == role && (self.before.role != role || self.before.term != self.after.term)
    }

    /// The log lost entries that it had.
    pub(crate) fn truncated(&self) -> bool {
        self.first_changed.is_some_and(|first| first <= self.before.last_index)
    }

    /// The store is what a snapshot holds, and not what the log's entries led to.
    pub(crate) fn restored(&self) -> bool {
        let applied = if self.booted { LogIndex::ZERO } else { self.before.applied };
        let from_consensus = applied < self.after.base && self.after.base <= self.after.applied;
        from_consensus || self.after.fetched > self.before.fetched
    }
}

impl Groups {
    fn new() -> Groups {
        Groups(vec![InForce { since: LogIndex::ZERO, group: Group::default() }])
    }

    pub(crate) fn get(&self, id: GroupId) -> InForce {
        self.0[id.0 as usize]
    }

    pub(crate) fn enter(&mut self, since: LogIndex, group: Group) -> GroupId {
        let entry = InForce { since, group };
        // There are few, and most are asked for soon after they were entered.
        let known = self.0.iter().rposition(|known| *known == entry);
        let position = known.unwrap_or_else(|| {
            self.0.push(entry);
            self.0.len() - 1
        });
        GroupId(position as u32)
    }
}

impl Page {
    fn blank(node: NodeId) -> Page {
        Page {
            node,
            running: false,
            log: Vec::new(),
            durable: Vec::new(),
            durable_hard: HardState::default(),
            state: State::BLANK,
            flight: None,
            unsubmitted: None,
            damage: None,
            lost: Vec::new(),
            doubtful: LogIndex::ZERO,
        }
    }

    /// What it has now: in memory, or on the disk while it is down.
    pub(crate) fn present(&self) -> &[Slot] {
        if self.running { &self.log } else { &self.durable }
    }

    /// Term and index of its last entry, by which logs are compared in an election.
    pub(crate) fn last(&self) -> (Term, LogIndex) {
        last_of(self.present())
    }

    /// What it would still say of its last entry after a crash.
    fn sure_last(&self) -> (Term, LogIndex) {
        self.last().min(last_of(&self.durable))
    }

    /// The entry at an index in memory; index 0 stands before all and is everywhere.
    pub(crate) fn holds(&self, index: LogIndex, slot: Option<Slot>) -> bool {
        slot_at(self.present(), index) == slot
    }

    /// The same on disk.
    pub(crate) fn holds_durably(&self, index: LogIndex, slot: Option<Slot>) -> bool {
        slot_at(&self.durable, index) == slot
    }

    /// Whether a quorum may count on it for the entry: it is on its disk, or was before damage that its
    /// disk is still in doubt about. Then it elects nobody until it has the entry again: it may have
    /// it in memory already and take part, but when it comes up without it, it abstains again, and a
    /// vote waits until all that it rests on is on the disk.
    pub(crate) fn vouches_for(&self, index: LogIndex, slot: Option<Slot>) -> bool {
        let had = || self.lost.iter().any(|log| slot_at(log, index) == slot);
        self.holds_durably(index, slot) || had()
    }

    /// Whether nobody is elected with its help, now or when it comes up again.
    pub(crate) fn abstains(&self) -> bool {
        if self.running { self.state.abstains } else { !self.lost.is_empty() }
    }

    /// The group in force.
    pub(crate) fn group(&self) -> GroupId {
        self.present().last().map_or(GroupId::default(), |slot| slot.group)
    }

    /// The log in memory is another one after so many entries.
    pub(crate) fn changed_after(&mut self, kept: usize) {
        self.unsubmitted = Some(self.unsubmitted.map_or(kept, |earlier| earlier.min(kept)));
    }

    /// The member has handed all that its disk does not know of yet to it.
    pub(crate) fn submitted(&mut self, token: u64) {
        let State { term, vote, commit, .. } = self.state;
        let first = self.unsubmitted.take();
        self.flight = Some(Flight {
            token,
            entries: first.map(|first| (first, self.log[first..].to_vec())),
            hard: HardState { term, vote, commit },
        });
    }
}

/// Term and index of a log's last entry.
fn last_of(log: &[Slot]) -> (Term, LogIndex) {
    (log.last().map_or(Term(0), |slot| slot.term), LogIndex(log.len() as u64))
}

/// The slot at an index, none for index 0 and past the end.
pub(crate) fn slot_at(log: &[Slot], index: LogIndex) -> Option<Slot> {
    log.get(index.0.checked_sub(1)? as usize).copied()
}

impl Books {
    pub(crate) fn new(members: usize) -> Books {
        assert!(members <= Members::LIMIT, "the books hold {} members at most", Members::LIMIT);
        Books {
            pages: (0..members).map(|index| Page::blank(NodeId(index as u32))).collect(),
            groups: Groups::new(),
            committed: Vec::new(),
            committed_by: GroupId::default(),
            acknowledged: LogIndex::ZERO,
            forgotten: vec![LogIndex::ZERO; members],
        }
    }

    /// The group in force at a member.
    pub(crate) fn group(&self, member: usize) -> Group {
        self.groups.get(self.pages[member].group()).group
    }

    /// Whose disks hold the entry, or held it before damage that they are in doubt about.
    pub(crate) fn durable_copies(&self, index: LogIndex, slot: Slot) -> Members {
        self.members(|page| page.vouches_for(index, Some(slot)))
    }

    /// The members for which something holds.
    pub(crate) fn members(&self, which: impl Fn(&Page) -> bool) -> Members {
        let pages = self.pages.iter().enumerate();
        pages.filter_map(|(member, page)| which(page).then_some(member)).collect()
    }

    /// Every log that there is: in memory, on disk, and what was committed.
    fn logs(&self) -> impl Iterator<Item = &[Slot]> {
        let members = self.pages.iter().flat_map(|page| [page.present(), &page.durable]);
        members.chain([&self.committed[..]])
    }

    /// Who would vote for a candidate, as far as logs go.
    pub(crate) fn willing(&self, candidate: &Page) -> Members {
        self.members(|voter| !voter.abstains() && voter.last() <= candidate.last())
    }

    /// Whether a member's machine may be replaced by one with an empty disk: nobody who leads counts
    /// on what it has, and nobody who still goes by a group with it could be elected with the vote
    /// of somebody who has forgotten everything. Its removal alone is not enough, since those who
    /// have not heard of that could elect one of them. Nor may those who have forgotten everything
    /// and those who are far behind be a quorum of any group that there was: one of them that
    /// returns is sent the log from its beginning, goes by each of these groups in turn, and could
    /// be elected by the others. Anybody may crash at any time, and know only what is on its disk.
    pub(crate) fn may_replace(&self, member: usize) -> bool {
        if self.logs().any(|log| self.elects_anew(member, log)) {
            return false;
        }
        let others = self.pages.iter().enumerate().filter(|(other, _)| *other != member);
        others.map(|(_, page)| page).all(|page| {
            let leads = page.running && page.state.role == Role::Leader;
            let counts = leads && self.possible_groups(page).any(|group| group.contains(member));
            let commit = page.state.commit;
            let elected = [page.present(), &page.durable]
                .into_iter()
                .any(|log| self.could_be_elected_by(member, log, commit));
            !counts && !elected
        })
    }

    /// Whether a member that has forgotten everything could be elected while it is sent this log
    /// anew, by others who have and by those who are far behind. Only the last entry under each
    /// group matters: with less, fewer votes are won.
    fn elects_anew(&self, member: usize, log: &[Slot]) -> bool {
        let is_last =
            |end: &usize| log.get(*end).is_none_or(|next| next.group != log[end - 1].group);
        (1..=log.len()).filter(is_last).any(|end| {
            let last = last_of(&log[..end]);
            let InForce { since, group } = self.groups.get(log[end - 1].group);
            let since = since.max(FOUNDING);
            let forgetful: Members =
                (0..self.pages.len()).filter(|other| self.forgotten[*other] >= since).collect();
            let forgetful = forgetful.with(member);
            let votes = self.members(|voter| voter.sure_last() <= last).or(forgetful);
            group.has_quorum(votes) && !group.electorate().and(forgetful).is_empty()
        })
    }

    /// Whether somebody with this log could win an election with the vote of a member that grants
    /// it whatever it held before.
    fn could_be_elected_by(&self, member: usize, log: &[Slot], commit: LogIndex) -> bool {
        let last = last_of(log);
        let votes = self.members(|voter| voter.sure_last() <= last).with(member);
        self.groups_after(log, commit)
            .any(|group| group.electorate().contains(member) && group.has_quorum(votes))
    }

    /// The group in force at a member, and those before it that a truncation could bring back.
    pub(crate) fn possible_groups(&self, page: &Page) -> impl Iterator<Item = Group> {
        let commit = if page.running { page.state.commit } else { page.durable_hard.commit };
        self.groups_after(page.present(), commit)
    }

    /// The groups that a log which is committed up to here has come to, and may come back to.
    pub(super) fn groups_after(
        &self,
        log: &[Slot],
        commit: LogIndex,
    ) -> impl Iterator<Item = Group> {
        let from = (commit.0.min(log.len() as u64)).saturating_sub(1) as usize;
        log[from..].iter().map(|slot| self.groups.get(slot.group).group)
    }

    /// Whose disks have to hold the entry at `index` before the member may take it for committed,
    /// and who of them does.
    pub(crate) fn vouched_for(&self, member: usize, index: LogIndex) -> (Group, Members) {
        let page = &self.pages[member];
        // What is known to be committed was found on a quorum of those who decided then.
        let known = index.0 as usize <= self.committed.len();
        let group = if known { self.committed_by } else { page.group() };
        let copies = slot_at(&page.log, index)
            .map_or(Members::default(), |slot| self.durable_copies(index, slot));
        (self.groups.get(group).group, copies)
    }

    pub(crate) fn crash(&mut self, member: usize) {
        let page = &mut self.pages[member];
        page.running = false;
        page.log.clear();
        page.unsubmitted = None;
    }

    /// The member's machine is gone, and another one with an empty disk takes its place.
    pub(crate) fn replace(&mut self, member: usize) {
        let longest = self.logs().map(<[Slot]>::len).max();
        self.forgotten[member] = LogIndex(longest.unwrap_or(0) as u64);
        let node = self.pages[member].node;
        self.pages[member] = Page::blank(node);
    }

    /// What a member that has just started found.
    pub(crate) fn recovered(
        &mut self,
        member: usize,
        node: &MemberNode,
        disk: &MemDisk,
    ) -> Result<Recovered, Violation> {
        let view = node.member.view();
        let base = view.log.base();
        let prefix = snapshot_consistent::stands_for(&self.committed, member, &view)?;
        let mut log = Vec::with_capacity(view.log.last_index().0 as usize);
        log.extend_from_slice(prefix);
        extend(&mut log, &mut self.groups, member, node, view.log.last_index())?;
        let hard = HardState { term: view.term, vote: view.vote, commit: view.commit };
        let abstains = view.abstains;
        let doubtful = if abstains { doubtful(disk) } else { LogIndex::ZERO };
        Ok(Recovered { log, hard, base, abstains, doubtful })
    }

    /// How much of what is on the disk a crash could not touch: everything but what the batch
    /// under way was about to replace.
    pub(crate) fn untouched(&self, member: usize) -> usize {
        let page = &self.pages[member];
        let replaced = page.flight.as_ref().and_then(|flight| flight.entries.as_ref());
        replaced.map_or(page.durable.len(), |(first, _)| page.durable.len().min(*first))
    }

    pub(crate) fn boot(&mut self, member: usize, recovered: Recovered, clean: bool) {
        let untouched = self.untouched(member);
        let page = &mut self.pages[member];
        let Recovered { log, hard, base, abstains, doubtful } = recovered;
        page.damage = page.damage.map(Damage::started);
        page.doubtful = page.doubtful.max(doubtful);
        let common = common_prefix(&page.durable, &log);
        if abstains && common < untouched {
            page.lost.push(page.durable[..untouched].to_vec());
        }
        page.unsubmitted = None;
        if clean {
            page.durable.clone_from(&log);
            page.durable_hard = hard;
        } else {
            // Something that was read is in the page cache alone: only what was known to be on
            // the disk before is on it.
            page.durable.truncate(common);
            // The rest is on it together with the next batch.
            page.unsubmitted = (common < log.len()).then_some(common);
        }
        page.running = true;
        page.flight = None;
        page.state = State {
            term: hard.term,
            vote: hard.vote,
            base,
            last_index: LogIndex(log.len() as u64),
            abstains,
            ..State::BLANK
        };
        page.log = log;
    }

    /// The disk has carried a batch out.
    pub(crate) fn completed(&mut self, member: usize, token: u64, clean: bool) {
        let page = &mut self.pages[member];
        let flight = page.flight.take().expect("what completes was submitted");
        assert_eq!(flight.token, token, "one batch is under way at a time");
        if !clean {
            // Whatever makes the disk clean puts these on it, too: they count with a later batch.
            if let Some((first, _)) = flight.entries {
                page.changed_after(first);
            }
            return;
        }
        if let Some((first, entries)) = flight.entries {
            page.durable.truncate(first);
            page.durable.extend(entries);
        }
        page.durable_hard = flight.hard;
    }

    /// Brings a member's page up to date, and says what changed.
    pub(crate) fn update<'a>(
        &mut self,
        step: &Step,
        node: &'a MemberNode,
    ) -> Result<Change<'a>, Violation> {
        let member = step.node.index();
        let view = node.member.view();
        let booted = crate::cluster::is_boot(step);
        let (before, group_before) = (self.pages[member].state, self.pages[member].group());
        let after = State::of(&node.member);
        let first_changed =
            if booted { node.activity.changed_from } else { self.follow(member, node, &view)? };
        let page = &mut self.pages[member];
        page.state = after;
        if let Some(batch) = node.activity.submitted {
            page.submitted(batch.0);
        }
        Ok(Change {
            member,
            before,
            after,
            group_before,
            group: page.group(),
            configuration: view.configuration,
            snapshot: view.snapshot,
            progress: view.progress,
            activity: &node.activity,
            store: StoreState::of(node.member.store()),
            first_changed,
            booted,
        })
    }

    /// Follows what a step did to a member's log. Says from where on it is another one.
    fn follow(
        &mut self,
        member: usize,
        node: &MemberNode,
        view: &ProtocolView<'_>,
    ) -> Result<Option<LogIndex>, Violation> {
        let Books { pages, groups, committed, .. } = self;
        let page = &mut pages[member];
        let mut first_changed = node.activity.changed_from;
        if view.log.base() > page.state.base && !snapshot_consistent::is_known(&page.log, view) {
            let prefix = snapshot_consistent::stands_for(committed, member, view)?;
            let kept = common_prefix(&page.log, prefix);
            page.log.truncate(kept);
            page.log.extend_from_slice(&prefix[kept..]);
            page.changed_after(kept);
            extend(&mut page.log, groups, member, node, view.log.last_index())?;
            first_changed = Some(LogIndex(kept as u64 + 1));
        } else if let Some(first) = first_changed {
            let kept = first.previous().0 as usize;
            page.log.truncate(kept);
            extend(&mut page.log, groups, member, node, view.log.last_index())?;
            page.changed_after(kept);
        }
        Ok(first_changed)
    }

    /// Enters what the step has committed and acknowledged, once it was found to be right.
    pub(crate) fn settle(&mut self, change: &Change<'_>) {
        let page = &self.pages[change.member];
        let known = self.committed.len();
        let commit = change.after.commit.0 as usize;
        if commit > known {
            self.committed.extend_from_slice(&page.log[known..commit]);
            self.committed_by = change.group;
        }
        for answer in &change.activity.answers {
            self.acknowledged = self.acknowledged.max(answer.applied);
        }
    }
}

fn common_prefix(one: &[Slot], other: &[Slot]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// Adds the member's entries up to `last` to the slots.
fn extend(
    log: &mut Vec<Slot>,
    groups: &mut Groups,
    member: usize,
    node: &MemberNode,
    last: LogIndex,
) -> Result<(), Violation> {
    for index in (log.len() as u64 + 1..=last.0).map(LogIndex) {
        let entry = node.member.entry(index).expect("the log has all entries to its end");
        let (chain, mut group) =
            log.last().map_or((0, GroupId::default()), |slot| (slot.chain, slot.group));
        let mut hasher = DigestHasher::new();
        hasher.write_u64(chain);
        entry.term.hash(&mut hasher);
        entry.kind.hash(&mut hasher);
        hasher.write_usize(entry.payload.len());
        hasher.write(&entry.payload);
        if entry.kind == EntryKind::Change {
            let next = groups.get(group).group.changed_by(&entry.payload);
            let next = next.ok_or_else(|| configuration_from_log::impossible(member, index))?;
            group = groups.enter(index, next);
        }
        log.push(Slot { term: entry.term, chain: hasher.finish(), group });
    }
    Ok(())
}
