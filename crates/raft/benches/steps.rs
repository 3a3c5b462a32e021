//! What consensus costs without disks and networks: every write is durable at once, every message
//! arrives at once.

use std::collections::VecDeque;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quorate_raft::{
    Configuration, Effect, EntryMeta, Event, HardState, Log, LogIndex, Message, NodeId, Options,
    Raft, ReadId, Restored, Role, Snapshot, Term, TimerKind,
};

/// Beyond this many entries a group starts over, so that a long measurement fits into memory.
const MAX_ENTRIES: u64 = 1 << 20;

/// Three members, of which member 1 leads.
#[derive(Clone)]
struct Pump {
    members: Vec<Raft>,
    network: VecDeque<Message>,
    reads: u64,
    answered: u64,
}

impl Pump {
    fn new() -> Pump {
        let members = (1..=3).map(|id| member(id, Log::new())).collect();
        let mut pump = Pump { members, network: VecDeque::new(), reads: 0, answered: 0 };
        for id in [3, 2, 1] {
            pump.step(NodeId(id), Event::Timer(TimerKind::Election));
        }
        pump.step(NodeId(1), Event::Timer(TimerKind::Jitter));
        assert_eq!(pump.members[0].role(), Role::Leader);
        pump
    }

    /// One event, and all that follows from it.
    fn step(&mut self, to: NodeId, event: Event) {
        self.handle(to, event);
        while let Some(message) = self.network.pop_front() {
            self.handle(message.to, Event::Message(message));
        }
    }

    fn handle(&mut self, id: NodeId, event: Event) {
        let raft = &mut self.members[id.0 as usize - 1];
        let mut next = Some(event);
        while let Some(event) = next.take() {
            raft.handle(event);
            while let Some(effect) = raft.poll() {
                match effect {
                    Effect::Persist { id, .. } => next = Some(Event::Persisted(id)),
                    // The write that it waits for is done before anything is delivered.
                    Effect::Send { message, .. } => self.network.push_back(message),
                    Effect::ReadReady { .. } => self.answered += 1,
                    Effect::Commit(range) => {
                        black_box(range);
                    }
                    Effect::SetTimer(_)
                    | Effect::Restore(_)
                    | Effect::ReadDropped { .. }
                    | Effect::ProposalDropped(_)
                    | Effect::RoundBegun(_)
                    | Effect::RoundConfirmed(_) => {}
                }
            }
        }
    }

    /// Proposes, and sees it committed by all.
    fn propose(&mut self, sizes: &[u32]) {
        self.step(NodeId(1), Event::Propose { sizes: sizes.iter().copied().collect() });
        let last = self.members[0].log().last_index();
        assert!(self.members.iter().all(|member| member.commit() == last));
    }

    fn is_full(&self) -> bool {
        self.members[0].log().last_index() > LogIndex(MAX_ENTRIES)
    }
}

fn member(id: u64, log: Log) -> Raft {
    let term = log.last_term();
    Raft::new(Restored {
        id: NodeId(id),
        snapshot: Snapshot {
            configuration: Configuration::of_voters([1, 2, 3].map(NodeId)),
            ..Snapshot::default()
        },
        hard_state: HardState { term, vote: None, commit: LogIndex::ZERO },
        log,
        changes: Vec::new(),
        doubtful: LogIndex::ZERO,
        options: Options::default(),
    })
    .expect("the state is valid")
}

fn proposals(criterion: &mut Criterion) {
    let fresh = Pump::new();
    let mut group = criterion.benchmark_group("propose");
    for batch in [1, 64] {
        let sizes = vec![100; batch];
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(format!("three_members_commit/{batch}"), |bencher| {
            let mut pump = fresh.clone();
            bencher.iter(|| {
                if pump.is_full() {
                    pump = fresh.clone();
                }
                pump.propose(&sizes);
            });
        });
    }
    group.finish();
}

fn heartbeats(criterion: &mut Criterion) {
    let mut pump = Pump::new();
    criterion.bench_function("heartbeat/three_members", |bencher| {
        bencher.iter(|| pump.step(NodeId(1), Event::Timer(TimerKind::Heartbeat)));
    });
    criterion.bench_function("read_index/three_members", |bencher| {
        bencher.iter(|| {
            pump.reads += 1;
            pump.step(NodeId(1), Event::Read(ReadId(pump.reads)));
            assert_eq!(pump.answered, pump.reads);
        });
    });
}

/// What a model checker or a simulator that forks pays for a state.
fn states(criterion: &mut Criterion) {
    const ENTRIES: u64 = 10_000;
    let mut log = Log::new();
    for index in 0..ENTRIES {
        log.append(EntryMeta { term: Term(1 + index / 1000), size: (index % 300) as u32 });
    }
    let raft = member(1, log);
    criterion.bench_function(&format!("clone/{ENTRIES}_entries"), |bencher| {
        bencher.iter(|| black_box(raft.clone()));
    });
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    criterion.bench_function(&format!("hash/{ENTRIES}_entries"), |bencher| {
        bencher.iter(|| black_box(hasher.hash_one(&raft)));
    });
}

criterion_group!(benches, proposals, heartbeats, states);
criterion_main!(benches);
