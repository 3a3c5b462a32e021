//! What must hold at every step, by definition and without cleverness: every log is walked from
//! its first entry, and the whole past is remembered. The numbers are those of the project's
//! list of invariants, which the simulator holds incrementally.

use std::collections::BTreeMap;

use super::group::Group;
use crate::{EntryMeta, LogIndex, NodeId, ReadId, Role, Term};

/// The memory of a run: what was true once and must stay so.
#[derive(Default)]
pub(super) struct Invariants {
    /// Who ever led a term, and its log when it was last seen leading.
    leaders: BTreeMap<Term, (NodeId, Vec<EntryMeta>)>,
    /// Every entry that anybody ever took for committed, and the term in which it was first.
    committed: Vec<(EntryMeta, Term)>,
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
    /// Times that a running member gave up entries of its log.
    pub(super) truncations: usize,
    /// Two that think they lead, at the same time; counted in steps.
    pub(super) rivals: usize,
}

#[derive(Default)]
struct Memory {
    durable_term: Term,
    durable_commit: LogIndex,
    /// Of this incarnation.
    term: Term,
    commit: LogIndex,
    /// Highest match index of each follower in `term`, if it leads.
    matched: BTreeMap<NodeId, LogIndex>,
    log: Vec<EntryMeta>,
    answers_seen: usize,
}

impl Invariants {
    pub(super) fn committed(&self) -> usize {
        self.committed.len()
    }

    pub(super) fn read_began(&mut self, read: ReadId) {
        self.reads.insert(read, self.committed.len() as u64);
    }

    pub(super) fn restarted(&mut self, id: NodeId) {
        let memory = self.members.entry(id).or_default();
        memory.term = Term(0);
        memory.commit = LogIndex::ZERO;
        memory.matched.clear();
        memory.log.clear();
    }

    /// Judges the state after a step.
    pub(super) fn check(&mut self, group: &Group) {
        for id in group.ids() {
            self.check_disk(group, id);
            if group.is_up(id) {
                self.check_member(group, id);
                self.check_commit(group, id);
            }
        }
        for id in group.ids() {
            self.check_reads(group, id);
        }
        let leaders = group.leaders();
        for &id in &leaders {
            self.check_leader(group, id);
        }
        self.marks.rivals += usize::from(leaders.len() > 1);
        self.marks.commits = self.committed.len();
        self.check_committed_is_durable(group);
        check_log_matching(group);
    }

    /// 7 MonotonicTermAndVote, on disk and across crashes.
    fn check_disk(&mut self, group: &Group, id: NodeId) {
        let durable = group.node(id).disk.hard_state;
        let memory = self.members.entry(id).or_default();
        assert!(durable.term >= memory.durable_term, "{id}: the durable term went back");
        assert!(durable.commit >= memory.durable_commit, "{id}: the durable commit went back");
        memory.durable_term = durable.term;
        memory.durable_commit = durable.commit;
        if let Some(vote) = durable.vote {
            let first = *self.votes.entry((id, durable.term)).or_insert(vote);
            assert_eq!(first, vote, "{id} voted twice in term {}", durable.term);
        }
    }

    /// 6 CommittedAppendOnly, 11 MonotonicLog, and the order of the indexes.
    fn check_member(&mut self, group: &Group, id: NodeId) {
        let view = group.view(id);
        let memory = self.members.entry(id).or_default();
        assert!(view.term >= memory.term, "{id}: the term went back");
        assert!(view.commit >= memory.commit, "{id}: the commit index went back");
        if view.term > memory.term {
            memory.matched.clear();
        }
        memory.term = view.term;
        memory.commit = view.commit;
        let log = group.log(id);
        assert!(log.windows(2).all(|pair| pair[0].term <= pair[1].term), "{id}: {log:?}");
        assert!(view.log.last_term() <= view.term, "{id}: an entry of a term to come");
        assert!(view.applying <= view.commit && view.commit <= view.log.last_index(), "{id}");
        assert!(view.durable_index <= view.log.last_index(), "{id}");
        assert_eq!(view.applying.0, group.node(id).applied.len() as u64, "{id}");
        if !log.starts_with(&memory.log) {
            self.marks.truncations += 1;
        }
        memory.log.clone_from(&log);
        let told = view.durable_index.0 as usize;
        let on_disk = group.node(id).disk.log.get(..told);
        assert_eq!(on_disk, Some(&log[..told]), "{id}: what it takes for durable is not");
        let durable = group.node(id).disk.hard_state;
        assert!(view.durable.term <= durable.term, "{id}: what it takes for durable is not");
    }

    /// 5 StateMachineSafety: all committed prefixes are prefixes of one sequence.
    fn check_commit(&mut self, group: &Group, id: NodeId) {
        let view = group.view(id);
        let log = group.log(id);
        for (position, entry) in log[..view.commit.0 as usize].iter().enumerate() {
            match self.committed.get(position) {
                Some((known, _)) => {
                    assert_eq!(known, entry, "{id} committed another entry {}", position + 1);
                }
                None => self.committed.push((*entry, view.term)),
            }
        }
        let applied = &group.node(id).applied;
        assert_eq!(applied[..], log[..applied.len()], "{id} applied what it does not hold");
    }

    /// 19 ReadSafety.
    fn check_reads(&mut self, group: &Group, id: NodeId) {
        let memory = self.members.entry(id).or_default();
        let answered = &group.node(id).answered;
        for (read, index) in &answered[memory.answers_seen..] {
            let floor = self.reads[read];
            assert!(
                index.0 >= floor,
                "{read:?} was answered at {index}, but {floor} entries were committed before it"
            );
            assert!(index.0 <= self.committed.len() as u64, "{read:?}: {index} is not committed");
            self.marks.reads += 1;
        }
        memory.answers_seen = answered.len();
    }

    /// 1 ElectionSafety, 2 LeaderAppendOnly, 4 LeaderCompleteness, 8 MonotonicMatch,
    /// 13 CommitCurrentTerm.
    fn check_leader(&mut self, group: &Group, id: NodeId) {
        let view = group.view(id);
        assert_eq!(view.role, Role::Leader);
        let log = group.log(id);
        let elections = &mut self.marks.elections;
        let (leader, last_seen) = self.leaders.entry(view.term).or_insert_with(|| {
            *elections += 1;
            (id, Vec::new())
        });
        assert_eq!(*leader, id, "two leaders in term {}", view.term);
        assert_eq!(log.get(..last_seen.len()), Some(&last_seen[..]), "{id} changed its log");
        *last_seen = log.clone();
        for (position, (entry, term)) in self.committed.iter().enumerate() {
            if *term < view.term {
                assert_eq!(
                    log.get(position),
                    Some(entry),
                    "the leader of term {} lacks what was committed in term {term}",
                    view.term
                );
            }
        }
        let memory = self.members.entry(id).or_default();
        for progress in view.progress {
            let before = memory.matched.entry(progress.id).or_default();
            assert!(progress.matched >= *before && progress.matched < progress.next, "{id}");
            *before = progress.matched;
            // A follower that has gone on to a later term may have to give up what it holds.
            let follower = &group.node(progress.id).disk;
            if follower.hard_state.term <= view.term {
                let matched = progress.matched.0 as usize;
                let held = follower.log.get(..matched);
                assert_eq!(held, Some(&log[..matched]), "{} does not hold it", progress.id);
            }
        }
        let own_term = |entry: &(EntryMeta, Term)| entry.1 == view.term;
        if self.committed.iter().any(own_term) {
            let last = self.committed.iter().rposition(own_term).expect("there is one");
            assert_eq!(
                self.committed[last].0.term, view.term,
                "what term {} committed by counting ends in an older entry",
                view.term
            );
        }
    }

    /// 14 CommittedIsDurable: a majority of disks holds every committed entry.
    fn check_committed_is_durable(&self, group: &Group) {
        let ids = group.ids();
        let holders = ids
            .iter()
            .filter(|&&id| {
                let log = &group.node(id).disk.log;
                log.len() >= self.committed.len()
                    && self.committed.iter().zip(log).all(|((entry, _), held)| entry == held)
            })
            .count();
        assert!(
            2 * holders > ids.len(),
            "{} entries are committed, but on {holders} disks of {}",
            self.committed.len(),
            ids.len()
        );
    }
}

/// 3 LogMatching, in memory and on disk.
fn check_log_matching(group: &Group) {
    let mut logs: Vec<Vec<EntryMeta>> = Vec::new();
    for id in group.ids() {
        logs.push(group.node(id).disk.entries());
        if group.is_up(id) {
            logs.push(group.log(id));
        }
    }
    for (position, one) in logs.iter().enumerate() {
        for other in &logs[..position] {
            let equal_to = one
                .iter()
                .zip(other)
                .rposition(|(entry, twin)| entry.term == twin.term)
                .map_or(0, |last| last + 1);
            assert_eq!(one[..equal_to], other[..equal_to], "equal index and term, other past");
        }
    }
}
