//! One script's run: its group, and what a command means to it.

use std::collections::BTreeMap;

use quorate_raft::{NodeId, Options};

use crate::group::Group;
use crate::messages::Selection;
use crate::tell::Told;
use crate::words::Words;

/// What a script says of a disk before its member starts.
pub(crate) struct Prepared {
    pub(crate) term: u64,
    pub(crate) vote: Option<NodeId>,
    pub(crate) commit: u64,
    pub(crate) log: Vec<u64>,
}

#[derive(Default)]
pub(crate) struct Run {
    pub(crate) group: Group,
    /// For whoever starts from now on.
    pub(crate) options: Options,
    pub(crate) options_of: BTreeMap<NodeId, Options>,
    pub(crate) prepared: BTreeMap<NodeId, Prepared>,
    /// Reads that were asked so far.
    pub(crate) reads: u64,
}

impl Run {
    /// What has happened since the last time, line by line.
    pub(crate) fn take_told(&mut self) -> Vec<String> {
        let told = std::mem::take(&mut self.group.told).into_iter();
        told.map(|Told { follows, line, .. }| if follows { format!("  {line}") } else { line })
            .collect()
    }

    /// # Errors
    /// If the command is not understood, cannot be carried out, or breaks a rule of the protocol.
    pub(crate) fn execute(&mut self, text: &str) -> Result<(), String> {
        let mut words = Words::of(text);
        let quietly = words.take("quietly");
        let outcome = self.carry_out(&mut words);
        if quietly {
            self.group.keep_outcomes();
        }
        outcome?;
        words.end()
    }

    fn carry_out(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let verb = words.word("a command")?;
        match verb {
            "options" => self.set_options(words),
            "prepare" => self.prepare(words),
            "start" => self.start(words),
            "join" => self.join(words),
            "campaign" => self.campaign(words),
            "elect" => self.elect(words),
            "fire" => self.fire(words),
            "propose" => self.propose(words),
            "deliver" => self.group.deliver_selected(&Selection::parse(words)?),
            "drop" => self.group.drop_selected(&Selection::parse(words)?),
            "duplicate" => self.group.duplicate_selected(&Selection::parse(words)?),
            "hold" => self.group.hold_selected(&Selection::parse(words)?, true),
            "release" => self.group.hold_selected(&Selection::parse(words)?, false),
            "say" => self.say(words),
            "settle" => words.end().and_then(|()| self.group.settle()),
            "together" => words.node().and_then(|id| self.group.together(id)),
            "done" => words.node().and_then(|id| self.group.done(id)),
            "cut" => self.cut(words),
            "isolate" => self.isolate(words),
            "heal" => self.heal(words),
            "slow" => self.slow(words),
            "prompt" => self.prompt(words),
            "sync" => self.sync(words),
            "crash" => self.crash(words),
            "wipe" => self.wipe(words),
            "restart" => self.restart(words),
            "read" => self.read(words),
            "lease-read" => self.lease_read(words),
            "advance" => self.advance(words),
            "change" => self.change(words),
            "leave" => self.leave(words),
            "transfer" => self.transfer(words),
            "forget-leader" => self.forget_leader(words),
            "inform" => self.inform(words),
            "compact" => self.compact(words),
            "state" => self.state(words),
            "log" => self.log(words),
            "progress" => self.progress(words),
            "network" => self.network(words),
            "timers" => self.timers(words),
            _ => Err(format!("{verb:?} is no command; testdata/README.md lists them")),
        }
    }
}
