//! What every generated schedule has, and what a change leaves alone.

use std::collections::BTreeSet;

use super::*;
use crate::engine::{Fault, ScheduledFault, WorldTime};
use crate::schedule::{Action, Value};

fn scenario(text: &str) -> Scenario {
    Scenario::read("test.toml", &format!("about = 'a test'\n{text}")).expect("it is right")
}

fn values(schedule: &Schedule) -> Vec<Value> {
    let operations = schedule.clients.iter().flat_map(|client| &client.operations);
    let value = |operation: &crate::schedule::PlannedOperation| match operation.action {
        Action::Put(_, value)
        | Action::CompareAndSwap(_, value)
        | Action::WriteBoth(_, _, value) => Some(value),
        _ => None,
    };
    operations.filter_map(value).collect()
}

#[test]
fn the_same_seed_gives_the_same_schedule_and_another_seed_another() {
    for scenario in Scenario::shipped() {
        let schedule = generate(&scenario, Seed(7));
        assert_eq!(schedule, generate(&scenario, Seed(7)));
        assert_ne!(schedule.faults, generate(&scenario, Seed(8)).faults, "{}", scenario.name());
        assert_ne!(schedule.noise_seed, generate(&scenario, Seed(8)).noise_seed);
    }
}

#[test]
fn a_schedule_survives_being_written_and_read() {
    for scenario in Scenario::shipped() {
        let schedule = generate(&scenario, Seed(u64::MAX));
        let text = toml::to_string(&schedule).expect("a schedule is a document");
        assert_eq!(toml::from_str::<Schedule>(&text).as_ref(), Ok(&schedule));
    }
}

#[test]
fn values_are_unique_and_keys_in_an_operation_differ_and_stand_in_order() {
    let scenario = scenario("[workload]\nkeys = 12\n[workload.weights]\ndelete-range = 20");
    let mut ranges = 0;
    for seed in 0..20 {
        let schedule = generate(&scenario, Seed(seed));
        let values = values(&schedule);
        let different: BTreeSet<Value> = values.iter().copied().collect();
        assert_eq!(different.len(), values.len());
        for operation in schedule.clients.iter().flat_map(|client| &client.operations) {
            match operation.action {
                Action::DeleteRange(from, to) => {
                    ranges += 1;
                    assert!(from.bytes() < to.bytes(), "{operation} deletes nothing");
                }
                Action::WriteBoth(one, other, _) | Action::ReadBoth(one, other) => {
                    assert_ne!(one, other, "{operation}");
                }
                _ => {}
            }
        }
    }
    assert!(ranges > 100, "{ranges} ranges prove little");
}

#[test]
fn clients_have_something_to_do_until_the_tail_ends() {
    for scenario in Scenario::shipped() {
        for seed in 0..10 {
            let schedule = generate(&scenario, Seed(seed));
            for client in &schedule.clients {
                let thought = client
                    .operations
                    .iter()
                    .fold(Nanos::ZERO, |sum, operation| sum + operation.think);
                let end = schedule.phases.heal_at + Nanos::from_millis(1_500);
                assert!(thought > end, "{} {seed}: done at {thought}", scenario.name());
            }
        }
    }
}

#[test]
fn every_action_kind_of_fault_and_shape_of_partition_is_drawn() {
    let swarm = Scenario::find("swarm").expect("it is shipped");
    let mut actions = BTreeSet::new();
    let mut kinds = BTreeSet::new();
    let mut group_counts = BTreeSet::new();
    for seed in 0..60 {
        let schedule = generate(&swarm, Seed(seed));
        for operation in schedule.clients.iter().flat_map(|client| &client.operations) {
            let text = operation.action.to_string();
            actions.insert(text.split(' ').next().map(str::to_owned));
        }
        for fault in &schedule.faults {
            kinds.insert(fault.fault.kind());
            if let Fault::Partition { groups, .. } = &fault.fault {
                group_counts.insert(groups.len());
            }
        }
    }
    assert_eq!(actions.len(), 12, "{actions:?}");
    assert_eq!(kinds.len(), 10, "{kinds:?}");
    let disks = Scenario::find("disk-faults").expect("it is shipped");
    let kinds: BTreeSet<&str> = (0..60)
        .flat_map(|seed| generate(&disks, Seed(seed)).faults)
        .map(|fault| fault.fault.kind())
        .collect();
    for kind in [
        "write_error",
        "sync_error",
        "disk_full",
        "bit_rot",
        "misdirected_write",
        "misdirected_read",
    ] {
        assert!(kinds.contains(kind), "{kind} is not drawn: {kinds:?}");
    }
    assert!(group_counts.contains(&2) && group_counts.contains(&5), "{group_counts:?}");
}

#[test]
fn faults_fit_their_world_begin_before_the_heal_and_stand_in_order() {
    for scenario in Scenario::shipped() {
        for seed in 0..50 {
            let schedule = generate(&scenario, Seed(seed));
            let members = schedule.cluster.member_nodes() as usize;
            let mut has_disk = vec![true; members];
            has_disk.resize(members + schedule.clients.len(), false);
            for fault in &schedule.faults {
                assert_eq!(fault.check(WorldTime::ZERO, &has_disk), Ok(()));
                assert!(fault.at < WorldTime::ZERO + schedule.phases.heal_at);
            }
            assert!(schedule.faults.is_sorted_by_key(|fault| fault.at));
            assert_eq!(schedule.check(), Ok(()));
        }
    }
}

#[test]
fn every_shape_and_extent_fits_clusters_of_every_size() {
    for members in 1..=9 {
        let links = "[faults.partition]\ncount = 40\nlasts = '1s'\n[faults.one_way]\ncount = 20\n\
                     lasts = '1s'\n[faults.slow_link]\ncount = 5\nlasts = '1s'\nextra = '1ms'\n";
        let links = if members == 1 { "" } else { links };
        let scenario = scenario(&format!(
            "[cluster]\nmembers = {members}\n{links}[faults.crash]\ncount = 30\ndown = '1s'\n\
             victims = ['one', 'minority', 'majority', 'all']"
        ));
        let schedule = generate(&scenario, Seed(1));
        let world: Vec<bool> = vec![true; members + schedule.clients.len()];
        for fault in &schedule.faults {
            assert_eq!(fault.check(WorldTime::ZERO, &world), Ok(()));
            if let Fault::Partition { groups, .. } = &fault.fault {
                assert!(groups.iter().all(|group| !group.is_empty()), "{fault}");
            }
        }
    }
}

#[test]
fn another_kind_of_fault_or_another_weight_leaves_the_rest_alone() {
    let crash = "[faults.crash]\ncount = '1..5'\ndown = '10ms..1s'\n";
    let pause = "[faults.pause]\ncount = '1..5'\nlasts = '10ms..1s'\n";
    let one = generate(&scenario(crash), Seed(3));
    let both = generate(&scenario(&format!("{crash}{pause}")), Seed(3));
    let crashes = |schedule: &Schedule| {
        let mut faults = schedule.faults.clone();
        faults.retain(|fault| fault.fault.kind() == "crash");
        faults
    };
    assert!(both.faults.len() > one.faults.len());
    assert_eq!(crashes(&one), crashes(&both));
    assert_eq!((&one.clients, &one.clocks), (&both.clients, &both.clocks));
    let reweighted = generate(&scenario(&format!("{crash}[workload.weights]\nput = 90")), Seed(3));
    assert_eq!(one.faults, reweighted.faults);
    let times = |schedule: &Schedule| -> Vec<Nanos> {
        schedule.clients[0].operations.iter().map(|operation| operation.think).collect()
    };
    assert_eq!(times(&one), times(&reweighted));
}

#[test]
fn a_swarm_draws_subsets() {
    let swarm = Scenario::find("swarm").expect("it is shipped");
    let kinds = |seed| {
        let faults = generate(&swarm, Seed(seed)).faults;
        faults.iter().map(|fault| fault.fault.kind()).collect::<BTreeSet<_>>().len()
    };
    let counts: BTreeSet<usize> = (0..50).map(kinds).collect();
    assert!(counts.first() <= Some(&3) && counts.last() >= Some(&7), "{counts:?}");
}

#[test]
fn tables_about_the_cluster_leave_all_other_entries_alone() {
    let faults = "[faults.crash]\ncount = '1..5'\ndown = '10ms..1s'\n[faults.partition]\ncount = 5\n\
                  lasts = '1s'\n[swarm]\n";
    let plain = generate(&scenario(faults), Seed(3));
    let tables = "[transfers]\ncount = '1..9'\n[snapshots]\n[limits]\n[leases]\nshare = '100%'";
    let all = generate(&scenario(&format!("{faults}{tables}")), Seed(3));
    assert_eq!((&plain.faults, &plain.clients), (&all.faults, &all.clients));
    assert_eq!((&plain.network, &plain.clocks), (&all.network, &all.clocks));
    assert_ne!(plain.cluster, all.cluster);
}

#[test]
fn leases_are_given_where_the_clocks_keep_to_their_bound_and_under_that_bound() {
    let leases = "[leases]\nshare = '100%'\n[clocks]\ndrift = '1%'\n";
    let lease = |tables: &str| {
        let schedule = generate(&scenario(&format!("{leases}{tables}")), Seed(1));
        schedule.cluster.lease.map(|lease| lease.clock_drift_ppm)
    };
    assert_eq!(lease(""), Some(10_000));
    let drift = "[faults.clock_drift]\ncount = 1\nlasts = '1s'\ndrift = '2%'\n";
    assert_eq!(lease(drift), Some(30_000), "on top of the clock's own");
    assert_eq!(lease("[faults.clock_jump]\ncount = 1\nby = '1ms'\n"), None);
    let never = generate(&scenario("[leases]\nshare = '0%'"), Seed(1));
    assert_eq!(never.cluster.lease, None);
    let wrong =
        "[leases]\nshare = '100%'\nbound = '0.1%'\n[faults.clock_jump]\ncount = 1\nby = '1ms'";
    let wrong = generate(&scenario(wrong), Seed(1)).cluster.lease;
    assert_eq!(wrong.map(|lease| lease.clock_drift_ppm), Some(1_000), "the scenario says so");
}

#[test]
fn limits_are_drawn_from_their_choices_and_are_those_of_a_real_cluster_without_the_table() {
    let limits = "[limits]\nentries_per_message = '1..3'\nbytes_per_message = ['1B..8B', '1MiB']\n\
                  priorities = '100%'";
    let mut small = 0;
    for seed in 0..40 {
        let cluster = generate(&scenario(limits), Seed(seed)).cluster;
        assert!((1..=3).contains(&cluster.limits.entries_per_message));
        let bytes = cluster.limits.bytes_per_message;
        assert!((1..=8).contains(&bytes) || bytes == 1 << 20, "{bytes}");
        small += u32::from(bytes <= 8);
        assert_eq!(cluster.priorities.len(), 5);
    }
    assert!((10..30).contains(&small), "{small} of 40 have small messages");
    let plain = generate(&scenario(""), Seed(1)).cluster;
    assert_eq!(plain.limits, crate::schedule::LimitsPlan::default());
    assert_eq!(plain.priorities, Vec::<u32>::new());
}

#[test]
fn damage_to_different_disks_is_not_planned_close_together() {
    let rot = "[faults.bit_rot]\ncount = 40\nfiles = 'log'\n[faults.write_error]\ncount = 40";
    let faults = generate(&scenario(rot), Seed(1)).faults;
    let damage: Vec<_> = faults.iter().filter(|planned| planned.fault.destroys()).collect();
    assert!((5..40).contains(&damage.len()), "{}", damage.len());
    for pair in damage.windows(2) {
        let apart = pair[1].at.since(pair[0].at) >= Nanos::from_millis(500);
        assert!(apart || pair[0].fault.disk() == pair[1].fault.disk(), "{} {}", pair[0], pair[1]);
    }
    assert_eq!(faults.len() - damage.len(), 40, "others stay");
}

#[test]
fn some_values_leave_whole_sectors_zero() {
    let scenario = scenario("");
    let values = values(&generate(&scenario, Seed(1)));
    let padded = values.iter().filter(|value| value.zeros > 0).count();
    assert!((values.len() / 48..values.len() / 12).contains(&padded), "{padded}");
    // Wherever it begins, so many cover a sector.
    assert!(values.iter().filter(|value| value.zeros >= 2 * 512).count() > padded / 2);
}

#[test]
fn the_end_of_a_log_rots_while_its_member_is_down() {
    let scenario = scenario(
        "[faults.crash]\ncount = '1..3'\ndown = '100ms'\n[faults.power_loss]\ncount = '1..2'\n\
         down = '50ms..200ms'\nvictims = ['minority']\n[faults.bit_rot]\ncount = '1..3'\n\
         files = ['log-end']",
    );
    let mut rots = 0;
    for seed in 0..20 {
        let faults = generate(&scenario, Seed(seed)).faults;
        for rot in faults.iter().filter(|planned| planned.fault.destroys()) {
            rots += 1;
            let is_down = |planned: &ScheduledFault| match &planned.fault {
                Fault::Crash { down_for, .. } | Fault::PowerLoss { down_for, .. } => {
                    let until = planned.at + *down_for;
                    planned.fault.nodes().contains(&rot.fault.nodes()[0])
                        && planned.at < rot.at
                        && rot.at < until
                }
                _ => false,
            };
            assert!(faults.iter().any(is_down), "{rot}");
        }
    }
    assert!(rots >= 20, "{rots}");
}
