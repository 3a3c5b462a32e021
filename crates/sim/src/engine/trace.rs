//! The trace of a run: a hash of every step, and lines of them for those who want to read.
//!
//! The hash costs a few nanoseconds a step and is always on; two runs with the same hash went the
//! same way. Lines are recorded only when asked for, and cost nothing otherwise.

use std::fmt;

use serde_json::{Map, Value, json};

use super::network::Fate;
use super::system::{Cause, NodeId, Step};

/// A running hash over 64-bit words, each in its order.
///
/// A word is added in, then multiplied by an odd constant and folded onto itself. Each of the three
/// is a bijection of the state, so a difference, once there, can only be cancelled by another
/// difference, and the fold carries it to all bits within a few words. Not cryptographic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceHash(u64);

impl TraceHash {
    /// The hash of no words: the fraction of the golden ratio, so that leading zeros count.
    pub const EMPTY: TraceHash = TraceHash(0x9e37_79b9_7f4a_7c15);

    /// Takes in one more word.
    pub fn mix(&mut self, word: u64) {
        let product = (self.0 ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93);
        self.0 = product ^ (product >> 32);
    }

    /// The hash so far.
    pub fn value(self) -> u64 {
        let mut value = self;
        value.mix(0);
        value.mix(0);
        value.0
    }

    /// Takes in a step. `digest` stands for what the words of the step itself do not say.
    pub(crate) fn mix_step(&mut self, step: &Step, digest: u64) {
        let (kind, detail) = match step.cause {
            Cause::Boot { incarnation } => (1, incarnation),
            Cause::Message { from, .. } => (2, from.0),
            Cause::Timer(timer) => (3, timer.0),
            Cause::Disk { .. } => (4, 0),
            Cause::Crash => (5, 0),
            Cause::PowerLoss => (6, 0),
            Cause::Replaced => (7, 0),
            Cause::Halt => (8, 0),
            Cause::Damage => (9, 0),
        };
        self.mix(step.time.as_nanos());
        self.mix(u64::from(detail) << 32 | u64::from(step.node.0) << 4 | kind);
        self.mix(digest);
    }
}

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.value())
    }
}

/// A message that was sent within the step that is being recorded.
pub(crate) struct SentMessage<M> {
    pub(crate) to: NodeId,
    pub(crate) number: u64,
    /// `None` when the link was blocked.
    pub(crate) fate: Option<Fate>,
    pub(crate) message: M,
}

/// Collects trace lines.
pub(crate) struct Recorder<M> {
    lines: Vec<Value>,
    sent: Vec<SentMessage<M>>,
    notes: Vec<Value>,
    marks: Vec<&'static str>,
}

impl<M> Recorder<M> {
    pub(crate) fn new() -> Recorder<M> {
        Recorder { lines: Vec::new(), sent: Vec::new(), notes: Vec::new(), marks: Vec::new() }
    }

    pub(crate) fn take_lines(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.lines)
    }

    pub(crate) fn note(&mut self, note: Value) {
        self.notes.push(note);
    }

    pub(crate) fn mark(&mut self, mark: &'static str) {
        self.marks.push(mark);
    }

    pub(crate) fn sent(&mut self, message: SentMessage<M>) {
        self.sent.push(message);
    }

    /// A line that belongs to no step: a fault, or a message that did not arrive.
    pub(crate) fn line(&mut self, line: Value) {
        self.lines.push(line);
    }

    /// Begins a step's line. It stands there even if the process panics in the middle.
    #[cold]
    pub(crate) fn begin(&mut self, step: &Step) {
        let mut line = Map::new();
        line.insert("step".into(), step.index.into());
        line.insert("time".into(), step.time.as_nanos().into());
        line.insert("node".into(), step.node.0.into());
        let (event, details) = match step.cause {
            Cause::Boot { incarnation } => ("boot", json!({ "incarnation": incarnation })),
            Cause::Message { from, number } => {
                ("message", json!({ "from": from, "number": number }))
            }
            Cause::Timer(timer) => ("timer", json!({ "timer": timer.0 })),
            Cause::Disk { token } => ("disk", json!({ "token": token })),
            Cause::Crash => ("crash", json!({})),
            Cause::PowerLoss => ("power_loss", json!({})),
            Cause::Replaced => ("replaced", json!({})),
            Cause::Halt => ("halt", json!({})),
            Cause::Damage => ("damage", json!({})),
        };
        line.insert("event".into(), event.into());
        if let Value::Object(details) = details {
            line.extend(details);
        }
        self.lines.push(Value::Object(line));
    }

    /// Adds the message that the step handles to the line that was begun last.
    pub(crate) fn message(&mut self, message: Value) {
        self.last_line().insert("message".into(), message);
    }

    /// Completes the line that was begun last with what came of the step.
    pub(crate) fn end(&mut self, state: Option<Value>, describe: impl Fn(&M) -> Value) {
        let sent: Vec<Value> = (self.sent.drain(..))
            .map(|sent| {
                json!({
                    "to": sent.to,
                    "number": sent.number,
                    "fate": fate_name(sent.fate),
                    "message": describe(&sent.message),
                })
            })
            .collect();
        let notes = std::mem::take(&mut self.notes);
        let marks = std::mem::take(&mut self.marks);
        let line = self.last_line();
        if let Some(state) = state {
            line.insert("state".into(), state);
        }
        for (name, list) in
            [("sent", Value::from(sent)), ("notes", notes.into()), ("marks", marks.into())]
        {
            if list.as_array().is_some_and(|list| !list.is_empty()) {
                line.insert(name.into(), list);
            }
        }
    }

    fn last_line(&mut self) -> &mut Map<String, Value> {
        match self.lines.last_mut() {
            Some(Value::Object(line)) => line,
            _ => unreachable!("a step's line is added to after it was begun"),
        }
    }
}

fn fate_name(fate: Option<Fate>) -> &'static str {
    match fate {
        None => "blocked",
        Some(Fate { arrives: None, .. }) => "lost",
        Some(Fate { replay: Some(_), .. }) => "replayed later",
        Some(Fate { duplicate: Some(_), .. }) => "duplicated",
        Some(Fate { held_back: true, .. }) => "held back",
        Some(_) => "sent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(words: &[u64]) -> u64 {
        let mut hash = TraceHash::EMPTY;
        words.iter().for_each(|word| hash.mix(*word));
        hash.value()
    }

    #[test]
    fn every_word_and_its_place_counts() {
        let reference = hash(&[1, 2, 3]);
        for other in [&[1, 2][..], &[1, 3, 2], &[2, 1, 3], &[1, 2, 3, 0], &[0, 1, 2, 3], &[1, 2, 4]]
        {
            assert_ne!(reference, hash(other), "{other:?}");
        }
    }

    #[test]
    fn one_bit_anywhere_changes_about_half_of_the_hash() {
        for bit in 0..64 {
            let differing = (hash(&[7, 9, 11]) ^ hash(&[7, 9 ^ (1 << bit), 11])).count_ones();
            assert!((12..=52).contains(&differing), "bit {bit} changed {differing} bits");
        }
    }
}
