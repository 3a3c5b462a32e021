//! A register on one disk, written by a client through everything the engine can do to it: what was
//! acknowledged must be there after every restart. Without the sync, the same faults must show.

use quorate_wal::disk::{Disk, DiskOp, DiskPath};

use super::*;

const SERVER: NodeId = NodeId(0);
const CLIENT: NodeId = NodeId(1);
const RETRY: TimerId = TimerId(0);

/// The client counts up: it writes n + 1 once n was acknowledged, and retries until then.
struct Register {
    syncs: bool,
    acknowledged: u64,
}

#[derive(Clone)]
enum Message {
    Write(u64),
    Acknowledge(u64),
}

enum Node {
    Server { value: u64 },
    Client { next: u64 },
}

fn file() -> DiskPath {
    DiskPath::root().join("register")
}

fn recover(disk: &mut dyn Disk) -> u64 {
    if disk.len(&file()).is_err() {
        disk.create(&file()).expect("it is not there");
        disk.write(&file(), 0, &[0; 8]).expect("room");
        disk.sync(&file()).expect("it is there");
        disk.sync_dir(&DiskPath::root()).expect("the root is there");
    }
    let bytes = disk.read(&file(), 0, 8).expect("it is there");
    u64::from_le_bytes(bytes[..].try_into().expect("eight bytes"))
}

impl System for Register {
    type Node = Node;
    type Message = Message;
    type Violation = String;

    fn boot(&mut self, io: &mut Io<'_, Message>) -> Result<Node, NoStart> {
        if io.node() == SERVER {
            return Ok(Node::Server { value: recover(io.disk()) });
        }
        io.set_timer(RETRY, ms(1));
        Ok(Node::Client { next: 1 })
    }

    fn handle(&mut self, node: &mut Node, input: Input<Message>, io: &mut Io<'_, Message>) {
        match (node, input) {
            (Node::Server { value }, Input::Message { message: Message::Write(new), .. }) => {
                *value = new.max(*value);
                let data = value.to_le_bytes().to_vec().into();
                let mut operations = vec![DiskOp::Write { file: file(), offset: 0, data }];
                if self.syncs {
                    operations.push(DiskOp::Sync { file: file() });
                }
                io.submit(*value, operations);
            }
            (Node::Server { .. }, Input::Disk { token, result }) => {
                result.expect("a healthy disk");
                io.send(CLIENT, Message::Acknowledge(token));
            }
            (Node::Client { next }, Input::Message { message: Message::Acknowledge(n), .. }) => {
                self.acknowledged = self.acknowledged.max(n);
                *next = self.acknowledged + 1;
                io.send(SERVER, Message::Write(*next));
                io.set_timer(RETRY, ms(20));
            }
            (Node::Client { next }, Input::Timer(RETRY)) => {
                io.send(SERVER, Message::Write(*next));
                io.set_timer(RETRY, ms(20));
            }
            _ => unreachable!("nobody sends this"),
        }
    }

    fn observe(&mut self, step: &Step, view: &View<'_, Self>) -> Result<(), String> {
        match view.node(SERVER) {
            Some(Node::Server { value }) if *value < self.acknowledged => {
                Err(format!("{value} after {} was acknowledged ({step})", self.acknowledged))
            }
            _ => Ok(()),
        }
    }

    fn message_digest(&self, message: &Message) -> u64 {
        match message {
            Message::Write(n) => 2 * n,
            Message::Acknowledge(n) => 2 * n + 1,
        }
    }

    fn describe_message(&self, message: &Message) -> serde_json::Value {
        self.message_digest(message).into()
    }

    fn describe_node(&self, _: &Node) -> serde_json::Value {
        self.acknowledged.into()
    }
}

fn run(seed: u64, syncs: bool) -> (Result<(), Stop<String>>, World<Register>) {
    let config = WorldConfig {
        noise_seed: NoiseSeed(seed),
        nodes: vec![NodeConfig::with_disk(), NodeConfig::diskless()],
        network: NetworkConfig::default(),
        disk: DiskConfig::default(),
        event_budget: 100_000,
    };
    let mut world =
        World::new(&config, Register { syncs, acknowledged: 0 }).expect("a sensible configuration");
    let mut schedule = Stream::new(NoiseSeed(seed), "schedule", 0, 0);
    for at_ms in (100..2_000).step_by(100) {
        let at = WorldTime::from_millis(at_ms) + schedule.between(Nanos::ZERO, ms(99));
        let lasts = schedule.between(ms(1), ms(150));
        let fault = match schedule.below(5) {
            0 => Fault::Crash { node: SERVER, down_for: lasts },
            1 => Fault::PowerLoss { nodes: vec![SERVER], down_for: lasts },
            2 => Fault::Pause { node: SERVER, lasts },
            3 => Fault::OneWay { from: vec![SERVER], to: vec![CLIENT], lasts },
            _ => Fault::SlowDisk { node: SERVER, factor: 20, lasts },
        };
        world.inject(ScheduledFault { at, fault }).expect("a fault that fits");
    }
    let result = world.run_until(WorldTime::from_millis(2_000)).and_then(|()| {
        world.heal_all();
        world.run_until(WorldTime::from_millis(2_500))
    });
    (result, world)
}

#[test]
fn what_was_acknowledged_survives_everything_and_the_same_seed_gives_the_same_run() {
    for seed in 0..50 {
        let (result, world) = run(seed, true);
        result.unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        assert!(world.system().acknowledged > 300, "seed {seed}: {}", world.system().acknowledged);
        assert_eq!(world.trace_hash(), run(seed, true).1.trace_hash(), "seed {seed}");
    }
}

#[test]
fn a_register_that_does_not_sync_is_caught() {
    let caught = (0..50).filter(|seed| run(*seed, false).0.is_err()).count();
    assert!(caught > 20, "only {caught} of 50 seeds show the missing sync");
}
