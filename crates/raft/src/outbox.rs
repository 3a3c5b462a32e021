//! Effects on their way out, in the order in which a driver should begin them: what it has to
//! note, writes, timers, messages, and last what may be applied.
//!
//! They may wait while further events are handled, so that what they name may change meanwhile. A
//! driver looks entries up when it is handed their effects: so nothing here ever names entries
//! that the log no longer has.

use std::collections::VecDeque;

use crate::configuration::Snapshot;
use crate::io::{Io, Need};
use crate::message::{AppendOutcome, Body, Effect, EntryRange, Message, TimerKind};
use crate::types::{HardState, IoId, LogIndex};

/// What was not handed out yet. The common kinds are kept apart, since moving a few large values
/// about is most of what a small step costs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Outbox {
    /// What is neither of the kinds below.
    others: VecDeque<Effect>,
    writes: VecDeque<Write>,
    timers: [bool; 3],
    /// With what each rests on. Which write that comes to is found out when it is handed out.
    messages: VecDeque<(Message, Need)>,
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

const TIMERS: [TimerKind; 3] = [TimerKind::Election, TimerKind::Jitter, TimerKind::Heartbeat];

impl Outbox {
    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.others.is_empty()
            && self.writes.is_empty()
            && self.messages.is_empty()
            && self.timers == [false; 3]
            && self.commit.is_none()
    }

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
        self.messages.push_back((message, need));
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

    /// Whether a timer is about to be set, of which the driver does not know yet.
    pub(crate) fn sets_timer(&self, timer: TimerKind) -> bool {
        self.timers[timer as usize]
    }

    /// The writes that were not handed out, the latest first. They are not made.
    pub(crate) fn take_back_writes(&mut self) -> impl Iterator<Item = Write> + use<> {
        std::mem::take(&mut self.writes).into_iter().rev()
    }

    /// The log no longer has what it had after `last`: nothing of that is sent, nor acknowledged.
    pub(crate) fn forget_entries_after(&mut self, last: LogIndex) {
        assert!(self.writes.is_empty(), "writes of what is forgotten were taken back");
        self.messages.retain(|(message, _)| last_named(&message.body) <= last);
    }

    /// What may be applied and was not handed out, which it then is not.
    pub(crate) fn take_back_commit(&mut self) -> Option<EntryRange> {
        self.commit.take()
    }

    /// `io` knows of all writes that were handed out or wait here.
    pub(crate) fn pop(&mut self, io: &Io) -> Option<Effect> {
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
        if let Some((message, need)) = self.messages.pop_front() {
            let after = io.awaited(message.term, need);
            return Some(Effect::Send { message, after });
        }
        self.commit.take().map(Effect::Commit)
    }
}

/// The last entry that a message brings or acknowledges.
fn last_named(body: &Body) -> LogIndex {
    match body {
        Body::Append { previous_index, entries, .. } if !entries.is_empty() => {
            LogIndex(previous_index.0 + entries.len() as u64)
        }
        Body::AppendReply(AppendOutcome::Accepted { matched }) => *matched,
        _ => LogIndex::ZERO,
    }
}
