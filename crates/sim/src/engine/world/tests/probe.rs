//! A system whose processes do what a test's script says, and that remembers every step.

use std::collections::VecDeque;

use quorate_wal::disk::DiskPath;

use super::super::super::*;
use super::World;

/// What the processes do: called at a boot without an input, and with each input.
type Script = dyn FnMut(&mut Io<'_, u64>, Option<Input<u64>>);

pub(super) struct Probe {
    script: Box<Script>,
    pub(super) steps: Vec<Step>,
    contents: Vec<(NodeId, u64)>,
    /// The index of the step after which the probe finds something wrong.
    pub(super) refuse_after: u64,
    /// Whether the next starts succeed, whosever they are; later ones do.
    pub(super) no_start: VecDeque<Option<NoStart>>,
    /// What of a disk faults may damage; none if they must not.
    pub(super) exposed: Option<Vec<Exposed>>,
}

impl System for Probe {
    /// How many inputs the process has seen, its start included.
    type Node = u64;
    type Message = u64;
    type Violation = &'static str;

    fn boot(&mut self, io: &mut Io<'_, u64>) -> Result<u64, NoStart> {
        (self.script)(io, None);
        self.no_start.pop_front().flatten().map_or(Ok(1), Err)
    }

    fn handle(&mut self, node: &mut u64, input: Input<u64>, io: &mut Io<'_, u64>) {
        *node += 1;
        if let Input::Message { message, .. } = &input {
            self.contents.push((io.node(), *message));
        }
        (self.script)(io, Some(input));
    }

    fn observe(&mut self, step: &Step, view: &View<'_, Self>) -> Result<(), &'static str> {
        assert_eq!(step.time, view.now());
        let is_down = match step.cause {
            Cause::Crash | Cause::PowerLoss | Cause::Replaced | Cause::Halt => true,
            Cause::Message { .. } | Cause::Timer(_) | Cause::Disk { .. } => false,
            // It may be up or down.
            Cause::Boot { .. } | Cause::Damage => view.node(step.node).is_none(),
        };
        assert_eq!(view.node(step.node).is_none(), is_down);
        self.steps.push(*step);
        if step.index >= self.refuse_after { Err("enough") } else { Ok(()) }
    }

    fn directory(&self, _: NodeId, files: FileKind) -> Option<DiskPath> {
        (files == FileKind::Log).then(DiskPath::root)
    }

    fn exposed(&self, _: NodeId, _: FileKind, _: &View<'_, Self>) -> Option<Vec<Exposed>> {
        self.exposed.clone()
    }

    fn message_digest(&self, message: &u64) -> u64 {
        *message
    }

    fn describe_message(&self, message: &u64) -> serde_json::Value {
        (*message).into()
    }

    fn describe_node(&self, node: &u64) -> serde_json::Value {
        (*node).into()
    }
}

impl Probe {
    /// Who was started, in order.
    pub(super) fn boots(&self) -> impl Iterator<Item = NodeId> {
        let boots = self.steps.iter().filter(|step| matches!(step.cause, Cause::Boot { .. }));
        boots.map(|step| step.node)
    }

    /// Messages of a link that were handled: when, and their numbers.
    pub(super) fn messages(
        &self,
        from: NodeId,
        to: NodeId,
    ) -> impl Iterator<Item = (WorldTime, u64)> {
        self.steps.iter().filter_map(move |step| match step.cause {
            Cause::Message { from: sender, number } if (sender, step.node) == (from, to) => {
                Some((step.time, number))
            }
            _ => None,
        })
    }

    /// Timers of a node that were handled: when, and which.
    pub(super) fn timers(&self, node: NodeId) -> impl Iterator<Item = (WorldTime, u32)> {
        self.steps.iter().filter_map(move |step| match step.cause {
            Cause::Timer(timer) if step.node == node => Some((step.time, timer.0)),
            _ => None,
        })
    }

    /// When a node had a step of this cause.
    pub(super) fn times(&self, node: NodeId, cause: Cause) -> Vec<WorldTime> {
        let steps = self.steps.iter().filter(|step| (step.node, step.cause) == (node, cause));
        steps.map(|step| step.time).collect()
    }

    /// What messages said, in the order they were handled, and to whom.
    pub(super) fn contents(&self) -> impl Iterator<Item = (NodeId, u64)> {
        self.contents.iter().copied()
    }
}

/// A world of probes.
pub(super) fn probe(
    config: WorldConfig,
    script: impl FnMut(&mut Io<'_, u64>, Option<Input<u64>>) + 'static,
) -> World<Probe> {
    let system = Probe {
        script: Box::new(script),
        steps: Vec::new(),
        contents: Vec::new(),
        refuse_after: u64::MAX,
        no_start: VecDeque::new(),
        exposed: None,
    };
    World::new(&config, system).expect("a sensible configuration")
}

/// Nodes with disks and perfect clocks, on a network that neither loses nor copies anything and
/// takes one millisecond, give or take nothing.
pub(super) fn config(nodes: u32) -> WorldConfig {
    let network = NetworkConfig {
        base: ms(1),
        jitter: Nanos::ZERO,
        tail_ppm: 0,
        loss_ppm: 0,
        duplicate_ppm: 0,
        reorder_ppm: 0,
        replay_ppm: 0,
        ..NetworkConfig::default()
    };
    WorldConfig {
        noise_seed: NoiseSeed(11),
        nodes: (0..nodes).map(|_| NodeConfig::with_disk()).collect(),
        network: NetworkConfig { jitter: Nanos::from_micros(500), ..network },
        disk: DiskConfig::default(),
        event_budget: 1_000_000,
    }
}

pub(super) fn n(index: u32) -> NodeId {
    NodeId(index)
}

pub(super) fn ms(n: u64) -> Nanos {
    Nanos::from_millis(n)
}

pub(super) fn scheduled(at_ms: u64, fault: Fault) -> ScheduledFault {
    ScheduledFault { at: WorldTime::from_millis(at_ms), fault }
}

pub(super) fn crash(node: NodeId, for_ms: u64) -> Fault {
    Fault::Crash { node, down_for: ms(for_ms) }
}
