//! The model `kv`: keys that each hold text, which starts empty and can be replaced or added to.
//! Keys are independent, so each is searched by itself.

use std::collections::BTreeMap;

use quorate_history::{Data, KvOp, KvResult, Op, OpResult};

use crate::budget::Budget;
use crate::operations::{Operation, Operations, Outcome};
use crate::search::{Entry, Finding, Object, State, search};
use crate::verdict::{Guarantee, Verdict, Violation};

/// A call on one key, with texts by number. `None` was not observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Call {
    Get(State),
    Put(State),
    Append(State),
}

/// One key. Its state is the number of its text.
#[derive(Debug, Default)]
struct Text {
    texts: Vec<Data>,
    numbers: BTreeMap<Data, State>,
    /// What was appended to what, since a search asks the same again and again.
    joined: BTreeMap<(State, State), State>,
}

impl Text {
    fn number(&mut self, text: &Data) -> State {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.texts.len() as State;
        self.texts.push(text.clone());
        self.numbers.insert(text.clone(), number);
        number
    }

    /// The call, or `None` for one that says nothing about the key.
    fn call(&mut self, operation: &Operation<'_>) -> Option<Call> {
        let Op::Kv(op) = operation.op else {
            unreachable!("a history holds operations of its model only");
        };
        if matches!(operation.outcome, Outcome::Failed(_)) {
            return None;
        }
        match op {
            KvOp::Get { .. } => match operation.outcome {
                Outcome::Ok(OpResult::Kv(KvResult::Get { value: Some(value) })) => {
                    Some(Call::Get(self.number(value)))
                }
                _ => None,
            },
            KvOp::Put { value, .. } => Some(Call::Put(self.number(value))),
            KvOp::Append { value, .. } => Some(Call::Append(self.number(value))),
        }
    }
}

impl Object for Text {
    type Call = Call;

    fn initial(&mut self) -> State {
        self.number(&Data::default())
    }

    fn apply(&mut self, state: State, call: &Call) -> Option<State> {
        match *call {
            Call::Get(text) => (text == state).then_some(state),
            Call::Put(text) => Some(text),
            Call::Append(more) => Some(match self.joined.get(&(state, more)) {
                Some(&joined) => joined,
                None => {
                    let parts = [&self.texts[state as usize][..], &self.texts[more as usize]];
                    let joined = self.number(&parts.concat().into());
                    self.joined.insert((state, more), joined);
                    joined
                }
            }),
        }
    }

    fn only_observes(call: &Call) -> bool {
        matches!(call, Call::Get(_))
    }

    /// An append answers nothing, but what it leaves behind depends on what was there.
    fn observes(call: &Call) -> bool {
        !matches!(call, Call::Put(_))
    }
}

/// Judges each key of a history.
pub(crate) fn check(operations: &Operations<'_>, budget: &mut Budget<'_>) -> Verdict {
    let mut keys: BTreeMap<&Data, Vec<&Operation<'_>>> = BTreeMap::new();
    for operation in &operations.0 {
        if let Op::Kv(op) = operation.op {
            keys.entry(op.key()).or_default().push(operation);
        }
    }
    for (key, operations) in keys {
        let mut text = Text::default();
        let mut entries = Vec::with_capacity(operations.len());
        for operation in operations {
            if let Some(call) = text.call(operation) {
                entries.push(Entry {
                    id: operation.id,
                    invoked: operation.invoked,
                    completed: operation.completed,
                    call,
                });
            }
        }
        match search(&mut text, &entries, budget) {
            Finding::Linearizable => {}
            Finding::Stuck { entry, states } => {
                return Verdict::Invalid(explain(&text, key, &entries[entry], &states));
            }
            Finding::Exhausted { limit, furthest } => {
                let place = furthest.map_or_else(String::new, |entry| {
                    let id = entries[entry].id;
                    format!("; key {key} is explained up to operation {id}'s completion")
                });
                return Verdict::Unknown { reason: format!("{limit}{place}") };
            }
        }
    }
    Verdict::Valid
}

fn explain(text: &Text, key: &Data, entry: &Entry<Call>, states: &[State]) -> Violation {
    let say = |state: State| text.texts[state as usize].to_string();
    let held: Vec<String> = states.iter().map(|&state| say(state)).collect();
    let what = match entry.call {
        Call::Get(value) => format!("(get {key}) answered {}", say(value)),
        Call::Put(value) => format!("(put {key} = {}) completed", say(value)),
        Call::Append(value) => format!("(append {} to {key}) completed", say(value)),
    };
    Violation {
        guarantee: Guarantee::Linearizability,
        message: format!(
            "operation {} {what}, but every order of the operations on {key} that explains all \
             earlier completions leaves it at {}",
            entry.id,
            held.join(" or "),
        ),
        operations: vec![entry.id],
    }
}
