//! One step after the other, and the way back to progress.

use super::group::{DRIFT, ELECTION, Group};
use super::invariants::{Invariants, Marks};
use crate::{
    Body, Change, Event, MembershipChange, Message, NodeId, Options, ReadId, Role, Term, TimerKind,
    Transition,
};

/// Between two heartbeats, on the leader's clock.
const HEARTBEAT: u64 = ELECTION / 10;

/// How a walk begins.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) founders: u64,
    pub(super) joiners: u64,
    pub(super) options: Options,
    /// Of each member.
    pub(super) priorities: Vec<u32>,
    /// By how much each member's clock is faster than the slowest one that is allowed, in
    /// thousandths.
    pub(super) clocks: Vec<u64>,
}

/// What may happen. Numbers are taken modulo what there is to choose from.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Deliver {
        which: usize,
    },
    /// Delivers without taking it off the network.
    Duplicate {
        which: usize,
    },
    /// The sender may notice.
    Lose {
        which: usize,
        noticed: bool,
    },
    /// A leader is told what became of a snapshot that it sent.
    Report {
        which: usize,
    },
    /// The driver handles so many events together.
    Gather {
        member: usize,
        events: usize,
    },
    Write {
        member: usize,
    },
    Complete {
        member: usize,
    },
    /// Of its pending writes the first few survive, and of the next one so many entries. It comes
    /// up at once, or later.
    Crash {
        member: usize,
        survivors: usize,
        torn: usize,
        restart: bool,
    },
    Restart {
        member: usize,
    },
    /// It crashes, and comes up with its last entries lost by its disk.
    Damage {
        member: usize,
        entries: usize,
    },
    /// It crashes, and comes up with nothing but its term and its vote.
    Destroy {
        member: usize,
    },
    /// A quiet time among some members: in order, without loss, for so many rounds.
    Flow {
        members: u8,
        rounds: u8,
    },
    Wait {
        ticks: u64,
    },
    ElectionTimeout {
        member: usize,
    },
    Jitter {
        member: usize,
    },
    /// Nobody heard a leader for an election timeout, and one is the first to ask.
    Campaign {
        member: usize,
    },
    /// The same, and these others are there to elect it.
    Takeover {
        member: usize,
        members: u8,
    },
    /// One whose time is over, if it is, asks these others: who of them still hears its leader
    /// has to refuse.
    Coup {
        member: usize,
        members: u8,
    },
    /// A leader that only some of the others hear, for a while. Some of them fall at its end, and
    /// come up at once.
    Reign {
        leader: usize,
        members: u8,
        rounds: u8,
        fall: u8,
    },
    HeartbeatTimeout {
        leader: usize,
    },
    Propose {
        leader: usize,
        count: u32,
    },
    Read {
        member: usize,
    },
    LeaseRead {
        leader: usize,
    },
    Change {
        leader: usize,
        changes: Vec<Change>,
        transition: Transition,
    },
    Leave {
        leader: usize,
    },
    Transfer {
        leader: usize,
        to: usize,
    },
    ForgetLeader {
        member: usize,
    },
    /// A snapshot that is so much behind what was applied, and so many entries before it that are
    /// kept.
    Compact {
        member: usize,
        behind: u64,
        kept: u64,
    },
}

pub(super) struct Walk {
    group: Group,
    invariants: Invariants,
    sizes: u32,
    /// Snapshots that arrived or were lost, of which the sender does not know.
    reports: Vec<(NodeId, NodeId, bool)>,
    leases: bool,
    jitters: u64,
}

impl Walk {
    pub(super) fn new(setting: &Setting) -> Walk {
        let Setting { founders, joiners, options, priorities, clocks } = setting;
        let mut group = Group::founded(*founders, *joiners, options.clone());
        group.keeps_delivered = false;
        for (id, (&priority, &clock)) in group.ids().into_iter().zip(priorities.iter().zip(clocks))
        {
            group.node_mut(id).options.priority = priority;
            group.node_mut(id).clock_rate = 1000 - DRIFT + clock;
            // It comes up with these.
            group.crash(id, 0);
            group.restart(id);
        }
        let mut walk = Walk {
            group,
            invariants: Invariants::default(),
            sizes: 10,
            reports: Vec::new(),
            leases: options.lease_reads,
            jitters: 0,
        };
        walk.check();
        walk
    }

    pub(super) fn marks(&self) -> Marks {
        self.invariants.marks
    }

    fn member(&self, number: usize) -> NodeId {
        let ids = self.group.ids();
        ids[number % ids.len()]
    }

    /// The same change, of a member that there is.
    fn of_member(&self, change: Change) -> Change {
        let id = self.member(change.member().0 as usize);
        match change {
            Change::AddVoter(_) => Change::AddVoter(id),
            Change::AddLearner(_) => Change::AddLearner(id),
            Change::Remove(_) => Change::Remove(id),
        }
    }

    /// One of those that think they lead.
    fn leader(&self, number: usize) -> Option<NodeId> {
        let leaders = self.group.leaders();
        (!leaders.is_empty()).then(|| leaders[number % leaders.len()])
    }

    fn check(&mut self) {
        self.invariants.check(&mut self.group);
    }

    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Deliver { .. } | Step::Duplicate { .. } | Step::Lose { .. } => {
                self.network_step(&step);
            }
            Step::Report { which } => self.report(which),
            Step::Gather { member, events } => self.group.gather(self.member(member), events),
            Step::Write { member } => {
                self.group.write_one(self.member(member));
            }
            Step::Complete { member } => {
                self.group.complete_one(self.member(member));
            }
            Step::Crash { member, survivors, torn, restart } => {
                let member = self.member(member);
                if self.group.is_up(member) {
                    self.group.crash_tearing(member, survivors, torn);
                    self.check();
                }
                if restart {
                    self.restart(member);
                }
            }
            Step::Restart { member } => self.restart(self.member(member)),
            Step::Damage { member, entries } => self.damage(self.member(member), Some(entries)),
            Step::Destroy { member } => self.damage(self.member(member), None),
            Step::Flow { members, rounds } => self.flow(members, rounds),
            Step::Wait { ticks } => self.group.now += ticks,
            Step::ElectionTimeout { member } => self.election_timeout(self.member(member)),
            Step::Jitter { member } => self.fire(self.member(member), TimerKind::Jitter),
            Step::Campaign { member } => self.campaign(self.member(member)),
            Step::Takeover { member, members } => {
                let member = self.member(member);
                self.campaign(member);
                self.check();
                self.flow(members | 1 << (member.0 - 1), 4);
            }
            Step::Coup { member, members } => self.coup(self.member(member), members),
            _ => self.request(step),
        }
        self.check();
    }

    /// What clients and operators ask for.
    fn request(&mut self, step: Step) {
        match step {
            Step::Read { member } => {
                let member = self.member(member);
                if self.group.is_up(member) {
                    self.read(member);
                }
            }
            Step::ForgetLeader { member } => {
                self.group.event(self.member(member), Event::ForgetLeader);
            }
            Step::Compact { member, behind, kept } => {
                self.compact(self.member(member), behind, kept);
            }
            Step::HeartbeatTimeout { leader }
            | Step::Reign { leader, .. }
            | Step::Propose { leader, .. }
            | Step::LeaseRead { leader }
            | Step::Change { leader, .. }
            | Step::Leave { leader }
            | Step::Transfer { leader, .. } => {
                if let Some(leader) = self.leader(leader) {
                    self.request_of_leader(leader, step);
                }
            }
            _ => unreachable!("{step:?} is no request"),
        }
    }

    fn request_of_leader(&mut self, leader: NodeId, step: Step) {
        match step {
            Step::HeartbeatTimeout { .. } => self.fire(leader, TimerKind::Heartbeat),
            Step::Reign { members, rounds, fall, .. } => {
                self.reign(leader, members, rounds);
                for id in self.group.ids() {
                    if id != leader && self.group.is_up(id) && fall >> (id.0 - 1) & 1 == 1 {
                        self.group.crash(id, 0);
                        self.check();
                        self.restart(id);
                    }
                }
            }
            Step::Propose { count, .. } => self.propose(leader, count),
            Step::LeaseRead { .. } => self.lease_read(leader),
            Step::Change { changes, transition, .. } => {
                let changes = changes.into_iter().map(|change| self.of_member(change)).collect();
                // Who abstains may be missed in the next group.
                if self.group.ids().into_iter().all(|id| !self.group.abstains(id)) {
                    self.group.change(leader, MembershipChange { changes, transition });
                }
            }
            Step::Leave { .. } => self.group.change(leader, MembershipChange::leave()),
            Step::Transfer { to, .. } => {
                let to = self.member(to);
                self.group.event(leader, Event::Transfer { to });
            }
            _ => unreachable!("{step:?} is not for leaders"),
        }
    }

    fn network_step(&mut self, step: &Step) {
        let (&Step::Deliver { which } | &Step::Duplicate { which } | &Step::Lose { which, .. }) =
            step
        else {
            unreachable!("{step:?} is not the network's")
        };
        let under_way = self.group.network.len();
        if under_way == 0 {
            return;
        }
        let position = which % under_way;
        if let Step::Duplicate { .. } = step {
            self.group.deliver(self.group.network[position].clone());
            return;
        }
        let message = self.group.network.remove(position);
        let arrives = matches!(step, Step::Deliver { .. });
        self.note_snapshot(&message, arrives);
        let Message { from, to, .. } = message;
        match step {
            Step::Lose { noticed: true, .. } => self.group.event(from, Event::Unreachable(to)),
            Step::Lose { .. } => {}
            _ => self.group.deliver(message),
        }
    }

    fn note_snapshot(&mut self, message: &Message, arrives: bool) {
        if let Body::Snapshot(_) = message.body {
            self.reports.push((message.from, message.to, arrives));
        }
    }

    fn report(&mut self, which: usize) {
        if !self.reports.is_empty() {
            let (leader, to, delivered) = self.reports.remove(which % self.reports.len());
            self.group.event(leader, Event::SnapshotReport { to, delivered });
        }
    }

    /// A timer fires if it is running: at any time, since jitter and heartbeats may come early,
    /// and anything may come late.
    fn fire(&mut self, member: NodeId, timer: TimerKind) {
        if self.group.is_up(member) && self.group.node(member).running.contains_key(&timer) {
            self.group.fire(member, timer);
        }
    }

    /// Where nothing rests on it, the election timeout has any length. Where leases do, time goes
    /// on until it is over.
    fn election_timeout(&mut self, member: NodeId) {
        if self.leases && self.group.is_up(member) {
            let left = self.left(member, TimerKind::Election).unwrap_or(0);
            // A long time is rarely worth it: all leases would be over.
            if left > ELECTION / 2 {
                return;
            }
            self.group.now += left;
        }
        self.fire(member, TimerKind::Election);
    }

    fn campaign(&mut self, member: NodeId) {
        if self.leases {
            self.group.now += ELECTION * 1100 / 1000;
        }
        for id in self.group.ids() {
            if self.group.is_up(id) && self.group.view(id).role != Role::Leader {
                self.fire(id, TimerKind::Election);
                self.check();
            }
        }
        self.fire(member, TimerKind::Jitter);
    }

    fn coup(&mut self, member: NodeId, members: u8) {
        let due = self.group.is_up(member) && self.left(member, TimerKind::Election) == Some(0);
        if due || !self.leases {
            self.fire(member, TimerKind::Election);
        }
        self.fire(member, TimerKind::Jitter);
        self.flow(members | 1 << (member.0 - 1), 4);
    }

    fn reign(&mut self, leader: NodeId, members: u8, rounds: u8) {
        for _ in 0..rounds {
            self.fire(leader, TimerKind::Heartbeat);
            self.flow(members | 1 << (leader.0 - 1), 2);
            self.group.now += ELECTION / 4;
        }
    }

    /// How much of the world's time passes until a timer fires, if it is running.
    fn left(&mut self, member: NodeId, timer: TimerKind) -> Option<u64> {
        let node = self.group.node(member);
        let since = *node.running.get(&timer)?;
        let length = match timer {
            TimerKind::Election => ELECTION,
            TimerKind::Heartbeat => HEARTBEAT,
            // Scattered, and another one each time.
            TimerKind::Jitter => (self.jitters * 7 + member.0) * 619 % ELECTION,
        };
        let left = (since + length).saturating_sub(self.group.clock(member));
        Some((left * 1000).div_ceil(node.clock_rate))
    }

    fn propose(&mut self, leader: NodeId, count: u32) {
        let sizes: Vec<u32> = (self.sizes + 1..=self.sizes + count).collect();
        self.sizes += count;
        self.group.propose(leader, &sizes);
    }

    fn read(&mut self, member: NodeId) -> ReadId {
        self.invariants.read_began(self.group.next_read());
        self.group.read(member)
    }

    fn lease_read(&mut self, leader: NodeId) {
        self.invariants.read_began(self.group.next_read());
        let held = self.group.lease(leader).is_some();
        let read = self.group.lease_read(leader);
        if held && self.group.answer(leader, read).is_some() {
            self.invariants.marks.lease_reads += 1;
        }
    }

    /// Damage to so many entries, or to everything, that leaves a quorum of every group, if nobody had
    /// better be asked.
    fn damage(&mut self, member: NodeId, entries: Option<usize>) {
        if self.group.ids().into_iter().all(|id| self.group.is_up(id) && !self.group.abstains(id))
            && self.elects_without(|id| id == member)
        {
            self.group.crash(member, usize::MAX);
            self.check();
            match entries {
                Some(entries) => self.group.damage(member, entries),
                None => self.group.destroy(member),
            }
            self.check();
            self.restart(member);
            let abstains = usize::from(self.group.abstains(member));
            match entries {
                Some(_) => self.invariants.marks.abstained += abstains,
                None => self.invariants.marks.started_over += abstains,
            }
        }
    }

    /// Whether every group that somebody goes by, or may come to go by, has a quorum without some.
    fn elects_without(&self, some: impl Fn(NodeId) -> bool + Copy) -> bool {
        self.group.ids().into_iter().all(|id| {
            let view = self.group.view(id);
            let mut groups = view.membership.since(view.log.base());
            groups.all(|group| group.is_empty() || group.has_quorum(|voter| !some(voter)))
        })
    }

    fn restart(&mut self, member: NodeId) {
        if !self.group.is_up(member) {
            self.group.restart(member);
        }
    }

    fn compact(&mut self, member: NodeId, behind: u64, kept: u64) {
        if !self.group.is_up(member) {
            return;
        }
        let snapshot = self.group.view(member).applying.0.saturating_sub(behind);
        let newest = self.group.view(member).snapshot.index.0;
        if snapshot > newest && snapshot > self.group.node(member).disk.snapshot.index.0 {
            self.group.compact(member, snapshot, snapshot.saturating_sub(kept));
        }
    }

    fn flow(&mut self, members: u8, rounds: u8) {
        let among: Vec<NodeId> = self
            .group
            .ids()
            .into_iter()
            .filter(|id| self.group.is_up(*id) && members >> (id.0 - 1) & 1 == 1)
            .collect();
        for _ in 0..rounds {
            for &id in &among {
                while self.group.write_one(id) || self.group.complete_one(id) {
                    self.check();
                }
            }
            let messages = self
                .group
                .take_where(|message| among.contains(&message.from) && among.contains(&message.to));
            for message in messages {
                self.note_snapshot(&message, true);
                self.group.deliver(message);
                self.check();
            }
        }
    }

    /// All are up, nothing is lost, and timers fire when they are due: whatever has happened, and
    /// is still in the network, the group must elect, commit and agree within a bound.
    pub(super) fn must_make_progress(&mut self) {
        while !self.reports.is_empty() {
            self.report(0);
        }
        self.group.drain_all();
        for id in self.group.ids() {
            self.restart(id);
        }
        if self.is_stuck() {
            return;
        }
        let end = self.group.now + 40 * ELECTION;
        let mut proposed = None;
        while self.group.now < end {
            let invariants = &mut self.invariants;
            self.group.settle_with(|group| invariants.check(group));
            if let [leader] = self.group.leaders()[..] {
                let term = self.group.view(leader).term;
                match proposed {
                    Some((of, size, read)) if of == term => {
                        if self.has_settled(leader, size, read) {
                            return;
                        }
                    }
                    _ => proposed = self.propose_and_read(leader),
                }
            }
            self.pass_time();
        }
        // What was still in the network when it began may have brought the change only now.
        assert!(self.is_stuck(), "the group does not come back to work: {}", self.states());
    }

    /// Whether a change that was under way has made somebody indispensable who abstains: nobody can
    /// be elected, however quiet it is.
    fn is_stuck(&self) -> bool {
        !self.elects_without(|id| self.group.would_abstain(id))
    }

    /// Who is in which state, for whoever reads a failure.
    fn states(&self) -> String {
        let state = |id| {
            let view = self.group.view(id);
            let terms = self.group.log_terms(id);
            format!(
                "\n{id}: {:?} of term {}, silent: {}, log {terms:?} from {}, committed {}, [{}]",
                view.role,
                view.term,
                view.leader_silent,
                view.log.first_index(),
                view.commit,
                view.configuration
            )
        };
        self.group.ids().into_iter().map(state).collect()
    }

    fn propose_and_read(&mut self, leader: NodeId) -> Option<(Term, u32, ReadId)> {
        let dropped = self.group.node(leader).dropped_proposals.len();
        self.propose(leader, 1);
        let size = self.sizes;
        if self.group.node(leader).dropped_proposals.len() > dropped {
            return None;
        }
        Some((self.group.view(leader).term, size, self.read(leader)))
    }

    /// The proposal is applied by all members, the read is answered, and what leaves by itself has
    /// been left.
    fn has_settled(&self, leader: NodeId, size: u32, read: ReadId) -> bool {
        let view = self.group.view(leader);
        let configuration = view.configuration;
        let applied_all = |id: NodeId| {
            let applied = &self.group.node(id).applied;
            applied.len() == view.log.last_index().0 as usize
                && applied.iter().rev().any(|entry| entry.size == size)
        };
        self.group.answer(leader, read).is_some()
            && !(configuration.is_joint() && configuration.auto_leave)
            && configuration.members().into_iter().all(applied_all)
    }

    /// The next timer fires.
    fn pass_time(&mut self) {
        let kinds = [TimerKind::Election, TimerKind::Jitter, TimerKind::Heartbeat];
        let all: Vec<(NodeId, TimerKind)> = self
            .group
            .ids()
            .into_iter()
            .flat_map(|id| kinds.into_iter().map(move |kind| (id, kind)))
            .collect();
        let due = all
            .into_iter()
            .filter_map(|(id, kind)| self.left(id, kind).map(|left| (left, id, kind)))
            .min();
        let (left, id, kind) = due.expect("some timer is always running");
        self.group.now += left;
        self.jitters += u64::from(kind == TimerKind::Jitter);
        self.group.fire(id, kind);
        self.check();
    }
}
