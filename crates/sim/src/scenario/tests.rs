//! What is refused, and how it is said.

use super::*;

fn refused(text: &str) -> String {
    Scenario::read("dir/x.toml", text).expect_err(text).to_string()
}

#[test]
fn the_shipped_scenarios_are_right_and_found_by_name() {
    for (scenario, name) in Scenario::shipped().iter().zip(Scenario::shipped_names()) {
        assert_eq!(scenario.name(), name);
        assert_eq!(Scenario::find(name).as_ref(), Ok(scenario));
        assert!(!scenario.about().is_empty());
        assert!(scenario.must_reach().count() > 0, "{name} has nothing that it must reach");
    }
}

#[test]
fn what_is_not_known_is_refused_with_a_hint() {
    let error = |name: &str| Scenario::find(name).expect_err(name).to_string();
    assert!(error("swrm").contains("did you mean 'swarm'?"), "{}", error("swrm"));
    assert!(error("entirely-different").contains("give one of smoke, "));
    assert!(error("no/such/file.toml").starts_with("no/such/file.toml: the scenario cannot be"));
}

#[test]
fn an_error_names_file_line_column_and_remedy() {
    for (text, expected) in [
        ("", "dir/x.toml:1:1: the field 'about' is missing; add it"),
        (
            "about = ''\n[faults.crsh]\ncount = 1",
            "dir/x.toml:2:9: unknown field 'crsh'; did you mean 'crash'? (known here: crash, \
             power_loss, pause, partition, one_way, slow_link, noise, clock_jump, clock_drift, \
             slow_disk, write_error, sync_error, disk_full, bit_rot, misdirected_write, \
             misdirected_read)",
        ),
        (
            "about = ''\n[phases]\nfault_time = '8x'",
            "dir/x.toml:3:14: '8x' is not what belongs here; write a duration in ns, us, ms, s, \
             min or h, like 150ms, or a range",
        ),
        (
            "about = ''\n[phases]\nfault_time = 8",
            "dir/x.toml:3:14: 8 is not what belongs here; write a duration in ns, us, ms, s, min \
             or h, like 150ms",
        ),
        (
            "about = ''\n[cluster]\n  members = [3, 0]",
            "dir/x.toml:3:13: a cluster of 0 members is not possible; give 1 to 9",
        ),
        (
            "about = ''\n[cluster]\nelection_timeout = '40ms'",
            "dir/x.toml:3:20: the election timeout 40 ms is less than two heartbeats of 30 ms: \
             followers would depose every leader; make it at least twice the heartbeat",
        ),
        (
            "about = ''\nmust_reach = ['crsh']",
            "dir/x.toml:2:14: there is no mark or count 'crsh'; did you mean 'crash'?",
        ),
        (
            "about = ''\n[cluster]\nmembers = 1\n[faults.partition]\ncount = 1\nlasts = '1s'",
            "dir/x.toml:4:9: a cluster of one member has no links, so no partition is possible; \
             remove this table, or give cluster.members at least 2",
        ),
        (
            "about = ''\n[faults.partition]\ncount = 1\nlasts = '1s'\nshapes = ['rng']",
            "dir/x.toml:5:11: unknown value 'rng'; did you mean 'ring'? (known here: one, \
             minority, halves, all, pair, bridge, ring)",
        ),
        (
            "about = ''\n[workload]\noperations = 10\nthink = '1ms..20ms'",
            "dir/x.toml:3:14: clients of 10 operations are done after 200 ms at the latest, long \
             before the faults end at 8 s; give more operations, or more time to think between them",
        ),
    ] {
        assert_eq!(refused(text), expected);
    }
}

#[test]
fn every_limit_of_a_value_is_checked() {
    for (text, part) in [
        ("[cluster]\nclients = 0", "without clients"),
        ("[cluster]\nheartbeat = '0ms'", "heartbeats without a pause"),
        ("[cluster]\nclient_timeout = '0s'", "no time at all"),
        ("[cluster]\nwal_segment = '1KiB'", "at least 4KiB"),
        ("[phases]\nfault_time = '2h'", "no possible length"),
        ("[phases]\nevent_budget = 0", "no step"),
        ("[phases]\nfault_time = '1s..2s'", "a range is not possible here"),
        ("[workload]\noperations = 10000", "not possible"),
        ("[workload]\nkeys = 1", "at least two"),
        ("[workload]\nthink = '2s..1s'", "is empty"),
        ("[workload.weights]\nfly = 1", "unknown field 'fly'"),
        ("[floors]\noperations = 100000", "no run reaches"),
        ("[network]\nloss = '101%'", "at most 100%"),
        ("[disk]\nsync = '2h'", "too long"),
        ("[clocks]\noffset = '1h'", "at most 500s"),
        ("[clocks]\ndrift = '60%'", "half its speed"),
        ("[faults.slow_disk]\ncount = 1\nlasts = '1s'\nfactor = 1", "not slow"),
        ("[faults.crash]\ncount = 1\ndown = '1s'\ntimes = 0", "at least once"),
        ("[faults.disk_full]\ncount = 1\nlasts = '2h'", "too long"),
        ("[faults.bit_rot]\ncount = 1", "'files' is missing"),
        ("[faults.bit_rot]\ncount = 1\nfiles = ['log']\nbits = '0..3'", "of a few bits"),
        ("[faults.crash]\ncount = 5000\ndown = '1s'", "at most 1000"),
        ("[faults.crash]\ndown = '1s'", "'count' is missing"),
        ("[faults.clock_jump]\ncount = 1\nby = '10min'", "at most 500s"),
        ("[cluster]\nwal_segment = '2000MiB'", "at most 1024MiB"),
        ("[cluster]\nread_retry = '0us'", "no time at all"),
        ("[swarm]\nintensity = []", "the list is empty"),
        ("[cluster]\nspares = 16", "too many nodes"),
        ("[membership]\ncount = 200", "no run has time for so many"),
        ("[membership]\ngap = '1s'", "'count' is missing"),
        ("[membership]\ncount = 1\ngap = '2min'", "at most 60s"),
        ("[membership]\ncount = 1\nprojects = 'shrnk'", "did you mean 'shrink'?"),
        ("[transfers]\ncount = 1\nburst = 1000", "no run has time for so many"),
        ("[snapshots]\nevery = '0..5'", "after no entry at all"),
        ("[snapshots]\nevry = 5", "did you mean 'every'?"),
        ("[limits]\nentries_per_message = ['4', '0..4']", "lets nothing through"),
        ("[limits]\ninflight_messages = 0", "lets nothing through"),
        ("[limits]\nuncommitted_bytes = '1'", "a size in B, KiB or MiB"),
        ("[leases]\nshare = '100%'\nbound = '51%'", "at most 50%"),
        ("[leases]\nbound = '1%'", "'share' is missing"),
    ] {
        let text = format!("about = ''\n{text}");
        let error = refused(&text);
        assert!(error.contains(part), "{error}");
    }
    let none = "put get get-serializable get-back list list-serializable delete delete-range \
                compare-and-swap write-both read-both compact";
    let none: String = none.split_whitespace().map(|name| format!("{name} = 0\n")).collect();
    let error = refused(&format!("about = ''\n[workload.weights]\n{none}"));
    assert!(error.contains("all weights are 0"), "{error}");
}

#[test]
fn a_file_that_is_named_like_no_folder_is_refused() {
    let error = Scenario::read(".hidden.toml", "about = 'x'").expect_err("no name");
    assert!(error.to_string().contains("'.hidden' is no scenario's name"), "{error}");
}
