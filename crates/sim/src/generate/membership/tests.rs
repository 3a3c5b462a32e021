//! Every list that is drawn makes sense as a whole.

use std::collections::BTreeSet;

use super::*;
use crate::engine::Stream;
use crate::generate::generate;
use crate::scenario::Scenario;
use crate::schedule::Schedule;
use crate::seed::Seed;

fn schedules(text: &str) -> impl Iterator<Item = Schedule> {
    let text = format!("about = 'a test'\n{text}");
    let scenario = Scenario::read("test.toml", &text).expect("it is right");
    (0..150).map(move |seed| generate(&scenario, Seed(seed)))
}

/// Follows a list, and fails at the first entry that makes no sense.
#[derive(Default)]
struct Group {
    voters: BTreeSet<NodeId>,
    learners: BTreeSet<NodeId>,
    joint: bool,
}

impl Group {
    fn has(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.learners.contains(&node)
    }

    fn follow(&mut self, action: &OperatorAction) {
        let leaves = matches!(action, OperatorAction::Leave);
        let transfers = matches!(action, OperatorAction::TransferAny(_));
        assert!(self.joint == leaves || transfers, "{action} while joint: {}", self.joint);
        match action {
            OperatorAction::AddLearner(node) => {
                assert!(!self.has(*node), "{action}");
                self.learners.insert(*node);
            }
            OperatorAction::AddVoter(node) => {
                assert!(!self.has(*node), "{action}");
                self.voters.insert(*node);
            }
            OperatorAction::Promote(node) => {
                assert!(self.learners.remove(node), "{action}");
                self.voters.insert(*node);
            }
            OperatorAction::Demote(node) => {
                assert!(self.voters.remove(node), "{action}");
                self.learners.insert(*node);
            }
            OperatorAction::Remove(node) => {
                assert!(self.voters.remove(node) || self.learners.remove(node), "{action}");
            }
            OperatorAction::Change(changes) | OperatorAction::ChangeExplicit(changes) => {
                for change in changes {
                    self.voters.remove(&change.member());
                    self.learners.remove(&change.member());
                    match change {
                        MemberChange::Voter(node) => self.voters.insert(*node),
                        MemberChange::Learner(node) => self.learners.insert(*node),
                        MemberChange::Remove(_) => true,
                    };
                }
                self.joint = matches!(action, OperatorAction::ChangeExplicit(_));
            }
            OperatorAction::Leave => self.joint = false,
            OperatorAction::Transfer(node) => assert!(self.voters.contains(node), "{action}"),
            OperatorAction::TransferAny(_) => {}
            OperatorAction::ReplaceDisk(node) => assert!(!self.has(*node), "{action}"),
        }
        assert!(!self.voters.is_empty(), "nobody votes after {action}");
    }
}

#[test]
fn lists_make_sense_from_beginning_to_end_and_do_everything() {
    let mut kinds = BTreeSet::new();
    let mut majorities = 0;
    let text = "[cluster]\nmembers = [1, 2, 3, 5]\nspares = [0, 1, 4]\n[transfers]\ncount = 3\n\
                [membership]\ncount = '0..9'\n[network]\nreplay = '0%'";
    for schedule in schedules(text) {
        let members = schedule.cluster.members;
        let mut group = Group { voters: (0..members).map(NodeId).collect(), ..Group::default() };
        for planned in &schedule.operator.operations {
            group.follow(&planned.action);
            let text = planned.to_string();
            kinds.insert(text.split(' ').nth(1).map(str::to_owned));
        }
        let founders = group.voters.iter().filter(|voter| voter.0 < members).count();
        majorities += usize::from(founders * 2 < members as usize);
        let times = schedule.operator.operations.iter().map(|planned| planned.not_before);
        assert!(times.is_sorted(), "{:?}", schedule.operator);
        assert_eq!(schedule.check(), Ok(()));
    }
    assert_eq!(kinds.len(), 11, "{kinds:?}");
    assert!(majorities > 10, "{majorities} times other voters than the founders are the majority");
}

#[test]
fn machines_are_not_replaced_where_old_messages_come_back_or_take_long() {
    let replaces = |weather: &str| {
        let text =
            format!("[membership]\ncount = 3\nprojects = 'replace-disk'\n{weather}[network]\n");
        let all: Vec<Schedule> = schedules(&format!("{text}replay = '0%'")).take(20).collect();
        let some = |schedule: &Schedule| {
            let mut actions = schedule.operator.operations.iter().map(|planned| &planned.action);
            actions.any(|action| matches!(action, OperatorAction::ReplaceDisk(_)))
        };
        let returns = |schedule: &Schedule| !schedule.operator.operations.is_empty();
        assert!(all.iter().all(returns));
        all.iter().filter(|schedule| some(schedule)).count()
    };
    assert_eq!(replaces(""), 20);
    let noise = "[faults.noise]\ncount = 1\nlasts = '1s'\nreplay = '1%'\n";
    assert_eq!(replaces(noise), 0);
    let slow = "[faults.slow_link]\ncount = 1\nlasts = '1s'\nextra = '3s'\n";
    assert_eq!(replaces(slow), 0);
    let pauses = "[faults.pause]\ncount = 1\nlasts = '3s'\n";
    assert_eq!(replaces(pauses), 0);
}

#[test]
fn who_belongs_to_the_cluster_is_known_around_each_instant() {
    let (ms, n) = (Nanos::from_millis, NodeId);
    let timeline = vec![
        (Nanos::ZERO, vec![n(0), n(1)]),
        (ms(2_000), vec![n(0), n(1), n(2)]),
        (ms(4_000), vec![n(1), n(2)]),
    ];
    let churn = Churn { operator: OperatorPlan::default(), spares: 1, timeline };
    assert_eq!(churn.around(Nanos::ZERO), [n(0), n(1)]);
    assert_eq!(churn.around(ms(1_700)), [n(0), n(1), n(2)], "it may be quick");
    assert_eq!(churn.around(ms(4_300)), [n(0), n(1), n(2)], "it may take a while");
    assert_eq!(churn.around(ms(9_000)), [n(1), n(2)]);
}

#[test]
fn without_a_table_for_it_there_are_no_spares() {
    let spares = |text: &str| schedules(text).map(|schedule| schedule.cluster.spares).max();
    assert_eq!(spares("[cluster]\nspares = 3"), Some(0));
    assert_eq!(spares("[cluster]\nspares = 3\n[membership]\ncount = 1"), Some(3));
    let some = "[swarm]\nkinds = '50%'\n[cluster]\nspares = 3\n[membership]\ncount = 1";
    let without = schedules(some).filter(|schedule| schedule.cluster.spares == 0).count();
    assert!((40..110).contains(&without), "{without} of 150");
}

#[test]
fn a_newcomer_is_mostly_who_waits_for_longest() {
    let membership = MembershipSpec {
        count: crate::scenario::Within::exactly(1),
        projects: crate::scenario::Choices::new(vec![Project::Grow]),
        gap: crate::scenario::Within::exactly(Nanos::ZERO),
    };
    let first = (0..100).filter(|seed| {
        let mut plan = Plan::new(1, 3);
        let stream = Stream::new(crate::engine::NoiseSeed(*seed), "test", 0, 0);
        let mut steps = Steps { plan: &mut plan, membership: &membership, stream };
        steps.newcomer() == Some(NodeId(1))
    });
    assert!((65..95).contains(&first.count()));
}
