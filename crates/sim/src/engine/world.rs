//! The world: runs processes, one event at a time.
//!
//! It owns the processes and the order of events. It takes the next event from the queue, lets the
//! process that it concerns handle it, mixes the step into the trace hash and lets the system look
//! at the result. It knows nothing of what processes say to each other.

mod faults;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use super::config::{ConfigError, WorldConfig};
use super::core::{Core, Envelope, Event, FaultEntry, Pending};
use super::counters::{Count, Counters};
use super::fault::{Fault, FaultError, ScheduledFault};
use super::io::Io;
use super::system::{Cause, Input, NoStart, NodeId, Step, System, View};
use super::time::{Nanos, WorldTime};
use super::timers::Checked;
use super::trace::{Recorder, TraceHash};

/// After this a process that stopped, or did not get up, because of its disk is started again: what
/// service managers wait by default.
const RESTART_AFTER: Nanos = Nanos::from_millis(100);

/// A seeded world in which a system lives.
///
/// What happens is a function of the configuration, the system and the faults given to
/// [`World::inject`]; a world reads no clock and shares no state with any other.
pub struct World<S: System> {
    system: S,
    nodes: Vec<Option<S::Node>>,
    core: Core<S::Message>,
    event_budget: u64,
    steps: u64,
    last_step: Option<Step>,
}

/// Why a run ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop<V> {
    /// The system found something wrong.
    Violation {
        /// The step after which it was seen.
        step: Step,
        /// What is wrong.
        violation: V,
    },
    /// The run took more steps than its budget allows: a message storm, or an endless loop.
    EventBudget {
        /// The budget.
        budget: u64,
        /// How far the world came with it.
        at: WorldTime,
    },
}

impl<V: fmt::Display> fmt::Display for Stop<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Violation { step, violation } => write!(f, "{violation} (after {step})"),
            Stop::EventBudget { budget, at } => write!(
                f,
                "the event budget of {budget} steps was used up at {at}: a message storm or an \
                 endless loop"
            ),
        }
    }
}

impl<V: fmt::Debug + fmt::Display> std::error::Error for Stop<V> {}

impl<S: System> World<S> {
    /// A world at time zero in which nothing has happened yet: the processes start, in the nodes'
    /// order, with the first steps.
    ///
    /// # Errors
    /// When the configuration makes no sense.
    pub fn new(config: &WorldConfig, system: S) -> Result<World<S>, ConfigError> {
        config.check()?;
        let mut core = Core::new(config);
        for index in 0..config.nodes.len() {
            core.queue.push(WorldTime::ZERO, Event::Wake { node: NodeId(index as u32) });
        }
        Ok(World {
            system,
            nodes: config.nodes.iter().map(|_| None).collect(),
            core,
            event_budget: config.event_budget,
            steps: 0,
            last_step: None,
        })
    }

    /// Adds a fault to the schedule.
    ///
    /// # Errors
    /// When it lies in the past or does not fit this world.
    pub fn inject(&mut self, fault: ScheduledFault) -> Result<(), FaultError> {
        let has_disk: Vec<bool> = self.core.processes.iter().map(|p| p.disk.is_some()).collect();
        fault.check(self.core.now, &has_disk)?;
        let index = u32::try_from(self.core.faults.len()).expect("fewer than 2^32 faults");
        self.core.queue.push(fault.at, Event::FaultBegins(index));
        self.core.faults.push(FaultEntry { scheduled: fault, active: false, took_effect: false });
        Ok(())
    }

    /// Lives through everything up to and including `until`, which is the present afterwards.
    ///
    /// # Errors
    /// When the system found something wrong, or the event budget is used up.
    pub fn run_until(&mut self, until: WorldTime) -> Result<(), Stop<S::Violation>> {
        while self.step_until(until)? {}
        Ok(())
    }

    /// Takes one step, if there is one up to and including `until`; else says `false`, and `until`
    /// is the present. One step may be several where a fault hits several nodes at once.
    ///
    /// # Errors
    /// When the system found something wrong, or the event budget is used up.
    pub fn step_until(&mut self, until: WorldTime) -> Result<bool, Stop<S::Violation>> {
        let steps = self.steps;
        while steps == self.steps {
            let Some((time, event)) = self.core.queue.pop_until(until) else {
                self.core.now = self.core.now.max(until);
                return Ok(false);
            };
            debug_assert!(time >= self.core.now, "world time went back");
            self.core.now = time;
            self.carry_out(event)?;
        }
        Ok(true)
    }

    /// The present.
    pub fn now(&self) -> WorldTime {
        self.core.now
    }

    /// How many steps were taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The step that was taken last, or that a process panicked in.
    pub fn last_step(&self) -> Option<Step> {
        self.last_step
    }

    /// The hash of all steps so far.
    pub fn trace_hash(&self) -> TraceHash {
        self.core.hash
    }

    /// What took effect so far.
    pub fn counters(&self) -> &Counters {
        &self.core.counters
    }

    /// The `sometimes` marks that were reached, and how often.
    pub fn marks(&self) -> BTreeMap<&'static str, u64> {
        self.core.marks()
    }

    /// All faults that were injected, in that order, and whether each took effect so far.
    pub fn faults(&self) -> impl Iterator<Item = (&ScheduledFault, bool)> {
        self.core.faults.iter().map(|entry| (&entry.scheduled, entry.took_effect))
    }

    /// The system.
    pub fn system(&self) -> &S {
        &self.system
    }

    /// The system, to change what is outside of its processes.
    pub fn system_mut(&mut self) -> &mut S {
        &mut self.system
    }

    /// Gives back the system at the end of a run.
    pub fn into_system(self) -> S {
        self.system
    }

    /// Everything in the world, to look at.
    pub fn view(&self) -> View<'_, S> {
        View { nodes: &self.nodes, core: &self.core }
    }

    /// Records a trace line for each step and fault from now on.
    pub fn record_trace(&mut self) {
        self.core.recorder.get_or_insert_with(Recorder::new);
    }

    /// Takes the trace lines that were recorded since the last call. After a panic, the last line is
    /// that of the step in which it happened.
    pub fn take_trace(&mut self) -> Vec<Value> {
        self.core.recorder.as_mut().map(Recorder::take_lines).unwrap_or_default()
    }

    fn carry_out(&mut self, event: Event<S::Message>) -> Result<(), Stop<S::Violation>> {
        match event {
            Event::Message(envelope) => {
                if self.core.drops(&envelope) {
                    return Ok(());
                }
                // Straight to the process where it is ready: messages are most of the events, and
                // each move of one costs.
                match self.core.is_ready(envelope.to) {
                    true => self.handle_message(envelope),
                    false => self.offer(envelope.to, Pending::Message(envelope)),
                }
            }
            Event::Timer { node, entry } => {
                let now = self.core.now;
                let process = &mut self.core.processes[node.index()];
                match process.timers.check(entry, &process.clock, now) {
                    Checked::Due => self.offer(node, Pending::Timer(entry.timer)),
                    Checked::Later(wanted) => {
                        self.core.queue_timer(node, wanted);
                        Ok(())
                    }
                    Checked::Stale => Ok(()),
                }
            }
            Event::Disk { node, epoch } => {
                let is_current = self.core.disk(node).is_current(epoch);
                let may_misdirect = is_current && !self.core.unfelt.is_empty();
                let misdirected = if may_misdirect { self.misdirect_write(node) } else { None };
                let Some((token, result)) = self.core.disk(node).complete(epoch) else {
                    return Ok(());
                };
                self.core.feel_disk(node);
                self.core.counters.one(Count::DiskBatch);
                self.core.counters.add(Count::DiskFailure, u64::from(result.is_err()));
                self.core.start_disk(node);
                if let Some(files) = misdirected {
                    self.damaged(node, files)?;
                }
                self.offer(node, Pending::Disk { token, result })
            }
            Event::Wake { node } => self.wake(node),
            Event::FaultBegins(index) => self.begin_fault(index),
            Event::FaultEnds(index) => {
                self.end_fault(index);
                Ok(())
            }
            Event::Rested { node } => {
                self.core.processes[node.index()].resting = false;
                self.wake_now(node);
                Ok(())
            }
            Event::Replace { node, takes } => self.replace(node, takes),
            Event::Replaced { node } => {
                self.core.processes[node.index()].between_machines = false;
                self.wake_now(node);
                Ok(())
            }
        }
    }

    /// Lets a process handle an input now, or when it no longer stands still.
    fn offer(
        &mut self,
        node: NodeId,
        pending: Pending<S::Message>,
    ) -> Result<(), Stop<S::Violation>> {
        if self.core.is_ready(node) {
            return self.handle(node, pending);
        }
        self.core.processes[node.index()].waiting.push_back(pending);
        self.core.feel(|fault| matches!(fault, Fault::Pause { node: n, .. } if *n == node));
        Ok(())
    }

    /// Starts a process that is no longer held down, or lets it handle the first of the inputs that
    /// had to wait. The others follow at the same instant, before any input that comes later.
    fn wake(&mut self, node: NodeId) -> Result<(), Stop<S::Violation>> {
        let process = &mut self.core.processes[node.index()];
        if !process.running {
            return if process.is_held_down() { Ok(()) } else { self.boot(node) };
        }
        if process.is_paused() {
            return Ok(());
        }
        let Some(pending) = process.waiting.pop_front() else { return Ok(()) };
        if !process.waiting.is_empty() {
            let now = self.core.now;
            self.core.queue.push(now, Event::Wake { node });
        }
        self.handle(node, pending)
    }

    fn boot(&mut self, node: NodeId) -> Result<(), Stop<S::Violation>> {
        let process = &mut self.core.processes[node.index()];
        assert!(!process.running, "{node} was started while it was running");
        process.running = true;
        process.incarnation += 1;
        let incarnation = process.incarnation;
        if incarnation > 1 {
            self.core.counters.one(Count::Restart);
        }
        let step = self.begin_step(node, Cause::Boot { incarnation }, 0)?;
        self.core.process_reads(node);
        let booted = self.system.boot(&mut Io::new(&mut self.core, node, true));
        self.core.feel_disk(node);
        match booted {
            Ok(process) => {
                self.nodes[node.index()] = Some(process);
                self.end_step(step)?;
                self.stop_if_halting(node)
            }
            Err(NoStart::DiskFailed) => {
                self.core.counters.one(Count::StartFailed);
                self.end_process(node);
                self.start_later(node);
                self.end_step(step)
            }
            Err(NoStart::Refused) => {
                self.core.counters.one(Count::StartRefused);
                self.end_process(node);
                self.core.processes[node.index()].refused = true;
                self.end_step(step)
            }
        }
    }

    /// Ends a process that has asked for it in the step before.
    fn stop_if_halting(&mut self, node: NodeId) -> Result<(), Stop<S::Violation>> {
        if !self.core.processes[node.index()].halting {
            return Ok(());
        }
        self.core.counters.one(Count::Halt);
        self.end_process(node);
        self.start_later(node);
        let step = self.begin_step(node, Cause::Halt, 0)?;
        self.end_step(step)
    }

    /// Lets a service manager start a process again.
    fn start_later(&mut self, node: NodeId) {
        let process = &mut self.core.processes[node.index()];
        assert!(!process.resting, "{node} was not started before it was time");
        process.resting = true;
        let at = self.core.now.saturating_add(RESTART_AFTER);
        self.core.queue.push(at, Event::Rested { node });
    }

    fn handle(
        &mut self,
        node: NodeId,
        pending: Pending<S::Message>,
    ) -> Result<(), Stop<S::Violation>> {
        match pending {
            Pending::Message(envelope) => self.handle_message(envelope),
            Pending::Timer(timer) => {
                let now = self.core.now;
                let process = &mut self.core.processes[node.index()];
                // It may have been armed anew or cancelled while it waited.
                if !process.timers.take_due(timer, &process.clock, now) {
                    return Ok(());
                }
                self.core.counters.one(Count::Timer);
                let step = self.begin_step(node, Cause::Timer(timer), 0)?;
                self.run_process(step, Input::Timer(timer))
            }
            Pending::Disk { token, result } => {
                let digest = token.wrapping_mul(2) | u64::from(result.is_err());
                let step = self.begin_step(node, Cause::Disk { token }, digest)?;
                self.run_process(step, Input::Disk { token, result })
            }
        }
    }

    fn handle_message(&mut self, envelope: Envelope<S::Message>) -> Result<(), Stop<S::Violation>> {
        self.core.count_handled(&envelope);
        let Envelope { from, to, number, message, .. } = envelope;
        let digest = self.system.message_digest(&message);
        let step = self.begin_step(to, Cause::Message { from, number }, digest)?;
        if self.core.recorder.is_some() {
            self.record_message(&message);
        }
        self.run_process(step, Input::Message { from, message })
    }

    fn run_process(
        &mut self,
        step: Step,
        input: Input<S::Message>,
    ) -> Result<(), Stop<S::Violation>> {
        let process = self.nodes[step.node.index()].as_mut().expect("only a running process runs");
        // A fault that waits may be one of its reads.
        let may_misread = !self.core.unfelt.is_empty();
        if may_misread {
            self.core.process_reads(step.node);
        }
        self.system.handle(process, input, &mut Io::new(&mut self.core, step.node, false));
        if may_misread {
            self.core.feel_disk(step.node);
        }
        self.end_step(step)?;
        self.stop_if_halting(step.node)
    }

    /// Counts a step against the budget and enters it into the trace.
    #[inline]
    fn begin_step(
        &mut self,
        node: NodeId,
        cause: Cause,
        digest: u64,
    ) -> Result<Step, Stop<S::Violation>> {
        if self.steps >= self.event_budget {
            return Err(Stop::EventBudget { budget: self.event_budget, at: self.core.now });
        }
        let step = Step { index: self.steps, time: self.core.now, node, cause };
        self.steps += 1;
        self.last_step = Some(step);
        self.core.hash.mix_step(&step, digest);
        if let Some(recorder) = &mut self.core.recorder {
            recorder.begin(&step);
        }
        Ok(step)
    }

    /// Completes the step's trace line and lets the system look.
    #[inline]
    fn end_step(&mut self, step: Step) -> Result<(), Stop<S::Violation>> {
        if self.core.recorder.is_some() {
            self.record_outcome(step.node);
        }
        let view = View { nodes: &self.nodes, core: &self.core };
        match self.system.observe(&step, &view) {
            Ok(()) => Ok(()),
            Err(violation) => Err(Stop::Violation { step, violation }),
        }
    }

    #[cold]
    fn record_message(&mut self, message: &S::Message) {
        let described = self.system.describe_message(message);
        let recorder = self.core.recorder.as_mut();
        recorder.expect("called only while recording").message(described);
    }

    #[cold]
    fn record_outcome(&mut self, node: NodeId) {
        let system = &self.system;
        let state = self.nodes[node.index()].as_ref().map(|node| system.describe_node(node));
        let recorder = self.core.recorder.as_mut();
        recorder
            .expect("called only while recording")
            .end(state, |message| system.describe_message(message));
    }

    fn record_fault(&mut self, event: &'static str, fault: &ScheduledFault) {
        let time = self.core.now.as_nanos();
        self.core.record(|| {
            let described = fault.fault.to_string();
            json!({ "time": time, "event": event, "fault": fault, "text": described })
        });
    }

    fn wake_now(&mut self, node: NodeId) {
        let now = self.core.now;
        self.core.queue.push(now, Event::Wake { node });
    }

    fn ends_after(&mut self, index: u32, duration: Nanos) {
        let end = self.core.now.saturating_add(duration);
        self.core.queue.push(end, Event::FaultEnds(index));
    }
}

#[cfg(test)]
mod tests;
