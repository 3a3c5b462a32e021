//! What must hold at every step, by definition and without cleverness: the whole past is
//! remembered, and only whose state changed is looked at again. The numbers are those of the
//! project's list of invariants, which the simulator holds incrementally.
//!
//! Here is what one member's logs, terms and reads have to be; `quorums` has what several members
//! together may do.

use std::collections::BTreeMap;

use super::group::Group;
use crate::{
    Configuration, EntryMeta, HardState, LogIndex, MembershipChange, NodeId, ReadId, Role, Term,
};

mod quorums;

/// The memory of a run: what was true once and must stay so.
#[derive(Default)]
pub(super) struct Invariants {
    /// Who ever led a term, and its log when it was last seen leading.
    leaders: BTreeMap<Term, (NodeId, Vec<EntryMeta>)>,
    /// Every entry that anybody ever took for committed.
    committed: Vec<EntryMeta>,
    /// The term in which each of them was first taken for committed.
    committed_in: Vec<Term>,
    /// Every entry that ever was in a log.
    entries: BTreeMap<(u64, Term), Known>,
    /// Votes found on disks.
    votes: BTreeMap<(NodeId, Term), NodeId>,
    members: BTreeMap<NodeId, Memory>,
    /// How much was known to be committed when each read began.
    reads: BTreeMap<ReadId, u64>,
    pub(super) marks: Marks,
}

/// How often a run reached what makes it worth running.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    /// Terms that had a leader.
    pub(super) elections: usize,
    /// Entries committed.
    pub(super) commits: usize,
    /// Reads answered.
    pub(super) reads: usize,
    /// Of these, by lease.
    pub(super) lease_reads: usize,
    /// Times that a running member gave up entries of its log.
    pub(super) truncations: usize,
    /// Times that a change of membership was thereby taken back.
    pub(super) rollbacks: usize,
    /// Two that think they lead, at the same time; counted in steps.
    pub(super) rivals: usize,
    /// Times that a member's configuration became a joint one.
    pub(super) joint: usize,
    /// Times that it became another one.
    pub(super) changes: usize,
    /// Leaders that stepped down since they no longer vote.
    pub(super) resigned: usize,
    /// Snapshots installed.
    pub(super) restores: usize,
    /// Leaders whose successor was asked to stand.
    pub(super) transfers: usize,
    /// Members that came up with entries lost by their disks.
    pub(super) abstained: usize,
    /// Members that came up with nothing but term and vote.
    pub(super) started_over: usize,
}

impl Marks {
    pub(super) fn plus(self, other: Marks) -> Marks {
        let (one, other) = (self.numbers(), other.numbers());
        Marks::of(std::array::from_fn(|position| one[position] + other[position]))
    }

    /// Whether none of them is below that of `least`.
    pub(super) fn reaches(self, least: Marks) -> bool {
        self.numbers().iter().zip(least.numbers()).all(|(&number, least)| number >= least)
    }

    fn numbers(self) -> [usize; 14] {
        let Marks { elections, commits, reads, lease_reads, truncations, rollbacks, .. } = self;
        let Marks { rivals, joint, changes, resigned, restores, transfers, .. } = self;
        let Marks { abstained, started_over, .. } = self;
        [
            elections,
            commits,
            reads,
            lease_reads,
            truncations,
            rollbacks,
            rivals,
            joint,
            changes,
            resigned,
            restores,
            transfers,
            abstained,
            started_over,
        ]
    }

    fn of(numbers: [usize; 14]) -> Marks {
        let [elections, commits, reads, lease_reads, truncations, rollbacks, ..] = numbers;
        let [.., rivals, joint, changes, resigned, restores, transfers, _, _] = numbers;
        let [.., abstained, started_over] = numbers;
        Marks {
            elections,
            commits,
            reads,
            lease_reads,
            truncations,
            rollbacks,
            rivals,
            joint,
            changes,
            resigned,
            restores,
            transfers,
            abstained,
            started_over,
        }
    }
}

/// An entry that is, or was, in somebody's log. Entries of equal index and term are equal.
struct Known {
    /// The term of the entry before it. With this, equal entries have equal pasts (LogMatching).
    previous: Term,
    entry: EntryMeta,
    change: Option<MembershipChange>,
}

#[derive(Default)]
struct Memory {
    durable: HardState,
    on_disk: Vec<EntryMeta>,
    /// How often it lost some of that.
    losses: usize,
    up: bool,
    // Of this incarnation.
    role: Option<Role>,
    term: Term,
    commit: LogIndex,
    snapshot: LogIndex,
    /// Highest match index of each follower in `term`, if it leads.
    matched: BTreeMap<NodeId, LogIndex>,
    log: Vec<EntryMeta>,
    /// Its last step took entries away.
    truncated: bool,
    configuration: Configuration,
    lease_forfeited: bool,
    answers_seen: usize,
}

impl Invariants {
    pub(super) fn read_began(&mut self, read: ReadId) {
        self.reads.insert(read, self.committed.len() as u64);
    }

    /// Judges the state after a step.
    pub(super) fn check(&mut self, group: &mut Group) {
        let touched = group.take_touched();
        let mut logs_changed = false;
        for &id in &touched {
            let memory = self.members.entry(id).or_default();
            let up = group.is_up(id);
            if memory.up && !up {
                let durable = memory.durable;
                let (on_disk, losses, answers_seen) =
                    (std::mem::take(&mut memory.on_disk), memory.losses, memory.answers_seen);
                *memory = Memory { durable, on_disk, losses, answers_seen, ..Memory::default() };
                logs_changed = true;
            }
            memory.up = up;
            logs_changed |= self.check_disk(group, id);
            if up {
                logs_changed |= self.check_member(group, id);
                self.check_reads(group, id);
            }
        }
        let touched: Vec<NodeId> = touched.into_iter().filter(|&id| group.is_up(id)).collect();
        for &id in &touched {
            self.check_commit(group, id);
        }
        for &id in &touched {
            self.check_configuration(group, id);
            if group.view(id).role == Role::Leader {
                self.check_leader(group, id);
            }
            self.remember(group, id);
        }
        self.marks.commits = self.committed.len();
        self.marks.rivals += usize::from(group.leaders().len() > 1);
        self.check_leases(group);
        if logs_changed {
            self.check_quorums(group);
        }
    }

    /// 7 MonotonicTermAndVote, on disk and across crashes; 3 LogMatching and 6 CommittedAppendOnly
    /// there. Says whether the log is another one than before.
    fn check_disk(&mut self, group: &Group, id: NodeId) -> bool {
        let disk = &group.node(id).disk;
        let durable = disk.hard_state;
        let memory = self.members.entry(id).or_default();
        if disk.losses > memory.losses {
            memory.losses = disk.losses;
            memory.on_disk = disk.entries();
            memory.durable.commit = memory.durable.commit.min(durable.commit);
        }
        assert!(durable.term >= memory.durable.term, "{id}: the durable term went back");
        assert!(durable.commit >= memory.durable.commit, "{id}: the durable commit went back");
        memory.durable = durable;
        if let Some(vote) = durable.vote {
            let first = *self.votes.entry((id, durable.term)).or_insert(vote);
            assert_eq!(first, vote, "{id} voted twice in term {}", durable.term);
        }
        if disk.holds(&memory.on_disk) && disk.last_index().0 == memory.on_disk.len() as u64 {
            return false;
        }
        let log = disk.entries();
        let new = first_difference(&memory.on_disk, &log);
        let known = &self.committed[..self.committed.len().min(memory.on_disk.len())];
        let lost = memory.on_disk.starts_with(known) && !log.starts_with(known);
        assert!(!lost, "{id} lost what is committed");
        memory.on_disk.clone_from(&log);
        let change = |index| (index > disk.snapshot.index).then(|| disk.changes.get(&index));
        self.know(id, &log, new, change);
        true
    }

    /// 6 CommittedAppendOnly, 11 MonotonicLog, and the order of the indexes. Says whether the log
    /// is another one than before.
    fn check_member(&mut self, group: &Group, id: NodeId) -> bool {
        let view = group.view(id);
        let node = group.node(id);
        let memory = self.members.entry(id).or_default();
        assert!(view.term >= memory.term, "{id}: the term went back");
        assert!(view.commit >= memory.commit, "{id}: the commit index went back");
        if view.term > memory.term {
            memory.matched.clear();
        }
        let log = group.log(id);
        assert!(log.windows(2).all(|pair| pair[0].term <= pair[1].term), "{id}: {log:?}");
        assert!(view.log.last_term() <= view.term, "{id}: an entry of a term to come");
        assert!(view.applying <= view.commit && view.commit <= view.log.last_index(), "{id}");
        assert!(view.durable_index <= view.log.last_index(), "{id}");
        assert!(view.log.base() <= view.snapshot.index, "{id} forgot what no snapshot has");
        let applied = node.applied.len() as u64;
        assert!(
            view.applying.0 == applied || node.gathers > 0 && view.applying.0 > applied,
            "{id}"
        );
        assert!(log.starts_with(&node.applied), "{id} applied what it does not hold");
        let told = &log[..view.durable_index.0 as usize];
        assert!(node.disk.holds(told), "{id}: what it takes for durable is not");
        let on_disk = node.disk.hard_state;
        assert!(view.durable.term <= on_disk.term, "{id}: what it takes for durable is not");

        let new = first_difference(&memory.log, &log);
        self.marks.truncations += usize::from(new < memory.log.len());
        let changed = new < memory.log.len() || log.len() > memory.log.len();
        memory.truncated = new < memory.log.len();
        if changed {
            let base = view.log.base();
            let changes: BTreeMap<_, _> =
                view.membership.changes(view.log.first_index(), view.log.last_index()).collect();
            let change = |index| (index > base).then(|| changes.get(&index).copied());
            self.know(id, &log, new, change);
            self.members.entry(id).or_default().log.clone_from(&log);
        }
        changed
    }

    /// 16 ConfigurationFromLog, 17 OnePendingConfiguration, 21 SnapshotConsistent.
    fn check_configuration(&mut self, group: &Group, id: NodeId) {
        let view = group.view(id);
        let log = &self.members[&id].log[..];
        let (configuration, at) = self.configuration_of(log, group);
        assert_eq!(*view.configuration, configuration, "{id} is not what its log says");
        // Nobody remembers which entry brought the configuration of a snapshot.
        let at = at.max(view.log.base());
        assert_eq!(view.membership.current_index(), at, "{id}: the entry in force");
        let pending = (1..=log.len())
            .skip_while(|&length| self.committed.get(..length) == Some(&log[..length]))
            .filter(|&index| self.changes_membership(log, index))
            .count();
        assert!(pending <= 1, "{id} has {pending} changes that are not committed");
        let newer = self.members[&id].snapshot < view.snapshot.index;
        if newer {
            let length = view.snapshot.index.0 as usize;
            let prefix = &log[..length];
            assert!(view.commit >= view.snapshot.index, "{id} took a snapshot of a guess");
            assert_eq!(prefix[length - 1].term, view.snapshot.term, "{id}: the snapshot's term");
            let (expected, _) = self.configuration_of(prefix, group);
            assert_eq!(view.snapshot.configuration, expected, "{id}: the snapshot's members");
        }
        let memory = self.members.entry(id).or_default();
        if memory.configuration != configuration {
            self.marks.changes += 1;
            self.marks.joint += usize::from(configuration.is_joint());
            self.marks.rollbacks += usize::from(memory.truncated);
            memory.configuration = configuration;
        }
        self.marks.restores += usize::from(newer && view.applying < view.snapshot.index);
        memory.snapshot = view.snapshot.index;
    }

    fn changes_membership(&self, log: &[EntryMeta], index: usize) -> bool {
        let key = (index as u64, log[index - 1].term);
        self.entries.get(&key).is_some_and(|known| known.change.is_some())
    }

    /// What a log makes of the membership, and with which entry.
    fn configuration_of(&self, log: &[EntryMeta], group: &Group) -> (Configuration, LogIndex) {
        let mut configuration = group.initial_configuration().clone();
        let mut at = LogIndex::ZERO;
        for (index, entry) in (1..).zip(log) {
            if let Some(change) = &self.entries[&(index, entry.term)].change {
                configuration = configuration.changed_by(change).expect("it was possible before");
                at = LogIndex(index);
            }
        }
        (configuration, at)
    }

    /// 3 LogMatching: takes note of a log's entries from position `new` on. `change` says how an
    /// entry changes the membership, if that can be seen.
    fn know<'a>(
        &mut self,
        id: NodeId,
        log: &[EntryMeta],
        new: usize,
        change: impl Fn(LogIndex) -> Option<Option<&'a MembershipChange>>,
    ) {
        for (position, &entry) in log.iter().enumerate().skip(new) {
            let previous = position.checked_sub(1).map_or(Term(0), |before| log[before].term);
            let index = LogIndex(position as u64 + 1);
            let seen = change(index);
            let known = self.entries.entry((index.0, entry.term)).or_insert_with(|| Known {
                previous,
                entry,
                change: seen.expect("what is in a snapshot was in a log before").cloned(),
            });
            assert_eq!(
                (known.previous, known.entry),
                (previous, entry),
                "{id} has another entry {index} of term {}, or another past",
                entry.term
            );
            if let Some(seen) = seen {
                assert_eq!(known.change.as_ref(), seen, "{id}: what entry {index} changes");
            }
        }
    }

    /// 5 StateMachineSafety: all committed prefixes are prefixes of one sequence. 13
    /// CommitCurrentTerm, 14 CommittedIsDurable.
    fn check_commit(&mut self, group: &Group, id: NodeId) {
        let view = group.view(id);
        let commit = view.commit.0 as usize;
        if view.commit <= self.members[&id].commit {
            return;
        }
        let log = &self.members[&id].log;
        let agreed = commit.min(self.committed.len());
        assert_eq!(self.committed[..agreed], log[..agreed], "{id} committed other entries");
        if commit == agreed {
            return;
        }
        self.committed.extend_from_slice(&log[agreed..commit]);
        self.committed_in.resize(commit, view.term);
        if group.has_founders_entry() && commit == 1 {
            return;
        }
        let last = self.committed[commit - 1];
        assert_eq!(last.term, view.term, "{id} counted copies of an older entry");
        // Who has lost it counts as it did, since nobody is elected with its help.
        let had = |voter: NodeId| {
            group.would_abstain(voter) && group.node(voter).disk.doubtful >= view.commit
        };
        let holds = |voter: NodeId| group.node(voter).disk.holds(&self.committed) || had(voter);
        assert!(
            view.configuration.has_quorum(holds),
            "{id} committed {commit} entries, which no quorum of {} has on disk",
            view.configuration
        );
    }

    /// 19 ReadSafety.
    fn check_reads(&mut self, group: &Group, id: NodeId) {
        let known = group.ids().into_iter().filter(|&id| group.is_up(id));
        let known = known.map(|id| group.view(id).commit.0).max().unwrap_or(0);
        let memory = self.members.entry(id).or_default();
        let answered = &group.node(id).answered;
        for (read, index) in &answered[memory.answers_seen..] {
            let floor = self.reads[read];
            assert!(
                index.0 >= floor,
                "{read:?} was answered at {index}, but {floor} entries were committed before it"
            );
            let committed = known.max(self.committed.len() as u64);
            assert!(index.0 <= committed, "{read:?}: {index} is not committed");
            self.marks.reads += 1;
        }
        memory.answers_seen = answered.len();
    }

    /// 1 ElectionSafety, 2 LeaderAppendOnly, 4 LeaderCompleteness, 8 MonotonicMatch.
    fn check_leader(&mut self, group: &Group, id: NodeId) {
        let view = group.view(id);
        let log = &self.members[&id].log;
        let elections = &mut self.marks.elections;
        let (leader, last_seen) = self.leaders.entry(view.term).or_insert_with(|| {
            *elections += 1;
            (id, Vec::new())
        });
        assert_eq!(*leader, id, "two leaders in term {}", view.term);
        assert!(log.starts_with(last_seen), "{id} changed its log");
        last_seen.clone_from(log);
        let earlier = self.committed_in.partition_point(|term| *term < view.term);
        assert!(
            log.starts_with(&self.committed[..earlier]),
            "the leader of term {} lacks some of the {earlier} entries committed before",
            view.term
        );
        let log = log.clone();
        let memory = self.members.entry(id).or_default();
        // Who left the group and came back begins anew.
        let is_there = |peer: &NodeId| view.progress.iter().any(|progress| progress.id == *peer);
        memory.matched.retain(|peer, _| is_there(peer));
        for progress in view.progress {
            let peer = progress.id;
            let before = memory.matched.entry(peer).or_default();
            let forgot = *before <= group.node(peer).disk.doubtful;
            assert!(progress.matched >= *before || forgot, "{id} has forgotten what {peer} has");
            assert!(progress.matched < progress.next, "{id}");
            *before = progress.matched;
            // A follower that has gone on to a later term may have to give up what it holds.
            let follower = &group.node(peer).disk;
            if follower.hard_state.term <= view.term && !group.would_abstain(peer) {
                let matched = &log[..progress.matched.0 as usize];
                assert!(follower.holds(matched), "{id} counts what {peer} does not hold");
            }
        }
    }

    fn remember(&mut self, group: &Group, id: NodeId) {
        let view = group.view(id);
        let memory = self.members.entry(id).or_default();
        let led = memory.role == Some(Role::Leader) && memory.term == view.term;
        if led && view.role != Role::Leader && !view.configuration.is_voter(id) {
            self.marks.resigned += 1;
        }
        self.marks.transfers += usize::from(view.lease_forfeited && !memory.lease_forfeited);
        memory.lease_forfeited = view.lease_forfeited;
        (memory.role, memory.term, memory.commit) = (Some(view.role), view.term, view.commit);
    }
}

/// Where two logs begin to differ.
fn first_difference(one: &[EntryMeta], other: &[EntryMeta]) -> usize {
    let differs = one.iter().zip(other).position(|(one, other)| one != other);
    differs.unwrap_or_else(|| one.len().min(other.len()))
}
