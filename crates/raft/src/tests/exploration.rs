//! A random walk: everything that a driver, a network and a power supply may do, in any order,
//! judged after every single step. The log has no payloads, so that entries are told apart by
//! their sizes, of which no two are the same.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{TestRng, TestRunner};

use super::group::Group;
use super::invariants::{Invariants, Marks};
use crate::{NodeId, Options, ReadId};

/// What may happen. Numbers are taken modulo what there is to choose from.
#[derive(Clone, Copy, Debug)]
enum Step {
    Deliver {
        which: usize,
    },
    /// Delivers without taking it off the network.
    Duplicate {
        which: usize,
    },
    Lose {
        which: usize,
    },
    Write {
        member: usize,
    },
    Complete {
        member: usize,
    },
    ElectionTimeout {
        member: usize,
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
    /// A quiet time among some members: in order, without loss, for so many rounds.
    Flow {
        members: u8,
        rounds: u8,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = 0usize..1000;
    let member = 0usize..60;
    let step = prop_oneof![
        // Mostly in some order, with an old message now and then.
        20 => (0usize..4).prop_map(|which| Step::Deliver { which }),
        5 => number.clone().prop_map(|which| Step::Deliver { which }),
        4 => number.clone().prop_map(|which| Step::Duplicate { which }),
        4 => number.prop_map(|which| Step::Lose { which }),
        10 => member.clone().prop_map(|member| Step::Write { member }),
        8 => member.clone().prop_map(|member| Step::Complete { member }),
        3 => member.clone().prop_map(|member| Step::ElectionTimeout { member }),
        5 => member.clone().prop_map(|leader| Step::HeartbeatTimeout { leader }),
        6 => (member.clone(), 1u32..4).prop_map(|(leader, count)| Step::Propose { leader, count }),
        6 => member.clone().prop_map(|member| Step::Read { member }),
        2 => (member.clone(), 0usize..4, 0usize..3, any::<bool>())
            .prop_map(|(member, survivors, torn, restart)| {
                Step::Crash { member, survivors, torn, restart }
            }),
        3 => member.prop_map(|member| Step::Restart { member }),
        14 => (1u8..32, 1u8..6).prop_map(|(members, rounds)| Step::Flow { members, rounds }),
    ];
    prop::collection::vec(step, 1..600)
}

fn options() -> impl Strategy<Value = Options> {
    (1usize..5, 0u64..60, 1usize..4).prop_map(|(entries, bytes, inflight)| Options {
        max_entries_per_message: entries,
        max_bytes_per_message: bytes,
        max_inflight_messages: inflight,
        ..Options::default()
    })
}

fn group_size() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(1u64), 1 => Just(2), 6 => Just(3), 1 => Just(4), 3 => Just(5)]
}

struct Walk {
    group: Group,
    invariants: Invariants,
    sizes: u32,
}

impl Walk {
    fn new(size: u64, options: Options) -> Walk {
        let group = Group::with_options(size, options);
        Walk { group, invariants: Invariants::default(), sizes: 0 }
    }

    fn member(&self, number: usize) -> NodeId {
        let ids = self.group.ids();
        ids[number % ids.len()]
    }

    /// One of those that think they lead.
    fn leader(&self, number: usize) -> Option<NodeId> {
        let leaders = self.group.leaders();
        (!leaders.is_empty()).then(|| leaders[number % leaders.len()])
    }

    fn check(&mut self) {
        self.invariants.check(&self.group);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Deliver { which } | Step::Duplicate { which } | Step::Lose { which } => {
                self.network_step(step, which);
            }
            Step::Write { member } => {
                self.group.write_one(self.member(member));
            }
            Step::Complete { member } => {
                self.group.complete_one(self.member(member));
            }
            Step::ElectionTimeout { member } => self.group.campaign(self.member(member)),
            Step::HeartbeatTimeout { leader } => {
                if let Some(leader) = self.leader(leader) {
                    self.group.heartbeat(leader);
                }
            }
            Step::Propose { leader, count } => {
                if let Some(leader) = self.leader(leader) {
                    self.propose(leader, count);
                }
            }
            Step::Read { member } => {
                let member = self.member(member);
                if self.group.is_up(member) {
                    self.read(member);
                }
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
            Step::Flow { members, rounds } => self.flow(members, rounds),
        }
        self.check();
    }

    fn network_step(&mut self, step: Step, which: usize) {
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
        if let Step::Deliver { .. } = step {
            self.group.deliver(message);
        }
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

    fn restart(&mut self, member: NodeId) {
        if !self.group.is_up(member) {
            self.invariants.restarted(member);
            self.group.restart(member);
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
                self.group.deliver(message);
                self.check();
            }
        }
    }

    /// All are up, nothing is lost, and timers fire one after another: whoever is alone with its
    /// old message in the network, the group must elect, commit and agree within a few rounds.
    fn must_make_progress(&mut self) {
        for id in self.group.ids() {
            self.restart(id);
        }
        let mut proposed = None;
        for round in 0..40 {
            self.group.settle();
            self.check();
            if proposed.is_some() {
                for leader in self.group.leaders() {
                    self.group.heartbeat(leader);
                }
                self.group.settle();
                self.check();
                break;
            }
            match self.group.leaders()[..] {
                [] => self.group.campaign(self.member(round)),
                [leader] if round >= 20 => {
                    self.propose(leader, 1);
                    proposed = Some((self.sizes, leader, self.read(leader)));
                }
                _ => self.group.leaders().iter().for_each(|&leader| self.group.heartbeat(leader)),
            }
        }
        let (size, leader, read) = proposed.expect("one leader is left within 40 rounds");
        assert!(self.group.answer(leader, read).is_some(), "a read is answered");
        for id in self.group.ids() {
            let view = self.group.view(id);
            assert_eq!(view.commit, view.log.last_index(), "all of {id}'s log is committed");
            assert_eq!(view.applying.0, self.invariants.committed() as u64, "{id} applied it all");
            let last = self.group.node(id).applied.last().map(|entry| entry.size);
            assert_eq!(last, Some(size), "{id} applied the last proposal");
        }
    }
}

fn walk(size: u64, options: Options, steps: Vec<Step>) -> Marks {
    let mut walk = Walk::new(size, options);
    for step in steps {
        walk.step(step);
    }
    walk.must_make_progress();
    walk.invariants.marks
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_breaks_an_invariant_or_the_way_back_to_progress(
        size in group_size(), options in options(), steps in steps(),
    ) {
        walk(size, options, steps);
    }
}

/// A walk that elects nobody and commits nothing would find nothing either.
#[test]
fn the_walk_reaches_what_it_is_to_judge() {
    let config = ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let total = Cell::new(Marks::default());
    runner
        .run(&(group_size(), options(), steps()), |(size, options, steps)| {
            let marks = walk(size, options, steps);
            let before = total.get();
            total.set(Marks {
                elections: before.elections + marks.elections,
                commits: before.commits + marks.commits,
                reads: before.reads + marks.reads,
                truncations: before.truncations + marks.truncations,
                rivals: before.rivals + marks.rivals,
            });
            Ok(())
        })
        .expect("no walk fails");
    let total = total.get();
    assert!(total.elections > 150, "{total:?}");
    assert!(total.commits > 700, "{total:?}");
    assert!(total.reads > 200, "{total:?}");
    assert!(total.truncations > 30, "{total:?}");
    assert!(total.rivals > 100, "{total:?}");
}
