//! Effects on their way out, in the order in which a driver should begin them: what it has to
//! note, writes, timers, messages, and last what may be applied.

use std::collections::VecDeque;

use crate::configuration::Snapshot;
use crate::io::{Io, Need};
use crate::message::{Effect, EntryRange, Message, TimerKind};
use crate::types::{HardState, IoId};

/// What was not handed out yet. The common kinds are kept apart, since moving a few large values
/// about is most of what a small step costs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Outbox {
    /// What is neither of the kinds below.
    others: VecDeque<Effect>,
    writes: VecDeque<Write>,
    timers: [bool; 3],
    messages: VecDeque<Outgoing>,
    /// How many of the messages know which write they wait for.
    addressed: usize,
    commit: Option<EntryRange>,
}

/// [`Effect::Persist`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    pub(crate) id: IoId,
    pub(crate) snapshot: Option<Box<Snapshot>>,
    pub(crate) entries: Option<EntryRange>,
    pub(crate) hard_state: Option<HardState>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Outgoing {
    message: Message,
    wait: Wait,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wait {
    /// For whatever makes this durable.
    Need(Need),
    /// For this write.
    Write(IoId),
    /// For nothing.
    Nothing,
}

const TIMERS: [TimerKind; 3] = [TimerKind::Election, TimerKind::Jitter, TimerKind::Heartbeat];

impl Outbox {
    pub(crate) fn push(&mut self, effect: Effect) {
        self.others.push_back(effect);
    }

    pub(crate) fn write(&mut self, write: Write) {
        self.writes.push_back(write);
    }

    pub(crate) fn set_timer(&mut self, timer: TimerKind) {
        self.timers[timer as usize] = true;
    }

    pub(crate) fn send(&mut self, message: Message, need: Need) {
        self.messages.push_back(Outgoing { message, wait: Wait::Need(need) });
    }

    /// Entries to apply, right after those before.
    pub(crate) fn commit(&mut self, range: EntryRange) {
        match &mut self.commit {
            Some(earlier) => earlier.last = range.last,
            none => *none = Some(range),
        }
    }

    /// A state to apply, in place of what was not handed out yet.
    pub(crate) fn restore(&mut self, snapshot: &Snapshot) {
        self.commit = None;
        self.others.push_back(Effect::Restore(Box::new(snapshot.clone())));
    }

    /// Whether there are messages that do not know yet which write they wait for.
    pub(crate) fn has_unaddressed(&self) -> bool {
        self.addressed < self.messages.len()
    }

    /// All that the messages rest on has been written or is being written: now they know.
    pub(crate) fn address(&mut self, io: &Io) {
        for outgoing in self.messages.range_mut(self.addressed..) {
            if let Wait::Need(need) = outgoing.wait {
                let awaited = io.awaited(outgoing.message.term, need);
                outgoing.wait = awaited.map_or(Wait::Nothing, Wait::Write);
            }
        }
        self.addressed = self.messages.len();
    }

    pub(crate) fn pop(&mut self) -> Option<Effect> {
        if !self.others.is_empty() {
            return self.others.pop_front();
        }
        if let Some(Write { id, snapshot, entries, hard_state }) = self.writes.pop_front() {
            return Some(Effect::Persist { id, snapshot, entries, hard_state });
        }
        for timer in TIMERS {
            if std::mem::take(&mut self.timers[timer as usize]) {
                return Some(Effect::SetTimer(timer));
            }
        }
        if let Some(Outgoing { message, wait }) = self.messages.pop_front() {
            self.addressed -= 1;
            let after = match wait {
                Wait::Write(id) => Some(id),
                Wait::Nothing => None,
                Wait::Need(_) => unreachable!("messages are addressed before they are handed out"),
            };
            return Some(Effect::Send { message, after });
        }
        self.commit.take().map(Effect::Commit)
    }
}
