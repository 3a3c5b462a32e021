//! A group of three members in one process: elects a leader, replicates two commands, reads them.
//!
//! The core decides; `Member::take` does what it asks for, with a disk in memory, a network in a
//! queue, and timers that it fires when it likes. `cargo run --example three_nodes`
#![expect(clippy::print_stdout, reason = "it tells its reader what happens")]

use std::collections::{BTreeMap, VecDeque};

use quorate_raft::{
    Body, Effect, Event, LogIndex, MembershipChange, Message, NodeId, Options, Raft, ReadId,
    Restored, Role, TimerKind,
};

/// What entries say, from an index on: the core itself knows number and size only.
type Payloads = (u64, Vec<String>);
type Network = VecDeque<(Message, Payloads)>;

struct Member {
    raft: Raft,
    log: BTreeMap<u64, String>,
}

impl Member {
    fn new(id: u64) -> Member {
        let founding = MembershipChange::found([1, 2, 3].map(NodeId));
        let restored = Restored::founder(NodeId(id), founding, 0, Options::default());
        let raft = Raft::new(restored).expect("a founder's state is valid");
        Member { raft, log: BTreeMap::from([(1, "n1, n2 and n3 found the group".to_owned())]) }
    }

    /// One event goes in, and all that the core wants done is done, in order.
    fn take(&mut self, event: Event, (first, payloads): Payloads, network: &mut Network) {
        let id = self.raft.id();
        let brought: BTreeMap<u64, String> = (first..).zip(payloads).collect();
        self.raft.handle(event);
        while let Some(effect) = self.raft.poll() {
            match effect {
                // Written at once here; a real driver syncs a log and the hard state to its disk.
                Effect::Persist { id: write, entries, .. } => {
                    for index in entries.map_or(0..0, |range| range.first.0..range.last.0 + 1) {
                        self.log.split_off(&index);
                        self.log.insert(index, brought.get(&index).cloned().unwrap_or_default());
                    }
                    self.raft.handle(Event::Persisted(write));
                }
                // A real driver waits for the write `after`, which is done already here.
                Effect::Send { message, after: _ } => {
                    let Body::Append { previous_index, ref entries, .. } = message.body else {
                        network.push_back((message, (0, Vec::new())));
                        continue;
                    };
                    let first = previous_index.0 + 1;
                    let sent = (first..).zip(entries).map(|(index, _)| self.log[&index].clone());
                    let sent = (first, sent.collect());
                    network.push_back((message, sent));
                }
                Effect::Commit(range) => {
                    let entries = self.log.range(range.first.0..=range.last.0);
                    entries.for_each(|(index, text)| println!("  n{id} applies {index}: {text:?}"));
                }
                Effect::ReadReady { index, .. } => {
                    println!("  n{id} may answer from what it has applied up to entry {index}");
                }
                // Timers are fired by hand below. The rest is for leases, snapshots and refusals.
                _ => {}
            }
        }
    }
}

/// Something happens to one member, and messages are delivered until nobody has more to say.
fn happen(members: &mut [Member], to: u64, event: Event, payloads: Payloads) {
    let mut network = Network::new();
    members[to as usize - 1].take(event, payloads, &mut network);
    while let Some((message, payloads)) = network.pop_front() {
        let to = message.to.0 as usize - 1;
        members[to].take(Event::Message(message), payloads, &mut network);
    }
}

fn main() {
    let mut members: Vec<Member> = (1..=3).map(Member::new).collect();
    println!("Nobody has heard of a leader, and n1 is the first to lose patience.");
    for timer in [TimerKind::Election, TimerKind::Jitter] {
        happen(&mut members, 1, Event::Timer(timer), (0, Vec::new()));
    }
    assert_eq!(members[0].raft.role(), Role::Leader);
    println!("n1 leads in term {}. Two commands are proposed to it.", members[0].raft.term());
    let commands = vec!["sky = blue".to_owned(), "sea = green".to_owned()];
    let sizes = commands.iter().map(|command| command.len() as u32).collect();
    let next = members[0].raft.log().last_index().next().0;
    happen(&mut members, 1, Event::Propose { sizes }, (next, commands));
    assert!(members.iter().all(|member| member.raft.commit() == LogIndex(4)));
    println!("All three have them. A client asks n3, which does not lead, for what is committed.");
    happen(&mut members, 3, Event::Read(ReadId(1)), (0, Vec::new()));
}
