//! The model `register`: keys that each hold one value, which starts as null. Keys are
//! independent, so each is searched by itself.

use std::collections::BTreeMap;

use quorate_history::{Data, Op, OpResult, RegisterOp, RegisterResult, Value};

use crate::budget::Budget;
use crate::operations::{Operation, Operations, Outcome};
use crate::search::{Entry, Finding, Object, State, search};
use crate::verdict::{Guarantee, Verdict, Violation};

/// A call on one register, with values by number. `None` was not observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Read(Option<State>),
    Write(State),
    Cas { old: State, new: State, succeeded: Option<bool> },
}

/// One register. Its state is the number of its value.
#[derive(Debug, Default)]
struct Register<'a> {
    values: Vec<&'a Value>,
    numbers: BTreeMap<&'a Value, State>,
}

impl<'a> Register<'a> {
    fn number(&mut self, value: &'a Value) -> State {
        let values = &mut self.values;
        *self.numbers.entry(value).or_insert_with(|| {
            values.push(value);
            (values.len() - 1) as State
        })
    }

    /// The call, or `None` for one that says nothing about the register.
    fn call(&mut self, operation: &Operation<'a>) -> Option<Call> {
        let Op::Register(op) = operation.op else {
            unreachable!("a history holds operations of its model only");
        };
        let result = match operation.outcome {
            Outcome::Ok(OpResult::Register(result)) => Some(result),
            Outcome::Ok(_) => unreachable!("a history holds results of its model only"),
            Outcome::Failed(_) => return None,
            Outcome::Unknown => None,
        };
        match (op, result) {
            (RegisterOp::Read { .. }, Some(RegisterResult::Read { value: Some(value) })) => {
                Some(Call::Read(Some(self.number(value))))
            }
            (RegisterOp::Read { .. }, _) => None,
            (RegisterOp::Write { value, .. }, _) => Some(Call::Write(self.number(value))),
            (RegisterOp::Cas { old, new, .. }, result) => Some(Call::Cas {
                old: self.number(old),
                new: self.number(new),
                succeeded: match result {
                    Some(RegisterResult::Cas { succeeded }) => *succeeded,
                    _ => None,
                },
            }),
        }
    }

    fn say(&self, state: State) -> String {
        self.values[state as usize].to_string()
    }

    fn describe(&self, key: &Data, entry: &Entry<Call>) -> String {
        let id = entry.id;
        match entry.call {
            Call::Read(value) => {
                let value = value.map_or_else(|| "unobserved".to_owned(), |value| self.say(value));
                format!("operation {id} (read {key}) answered {value}")
            }
            Call::Write(value) => {
                format!("operation {id} (write {key} = {}) completed", self.say(value))
            }
            Call::Cas { old, new, succeeded } => {
                let (old, new) = (self.say(old), self.say(new));
                let answer = match succeeded {
                    Some(true) => "succeeded",
                    Some(false) => "did not succeed",
                    None => "completed",
                };
                format!("operation {id} (cas {key} from {old} to {new}) {answer}")
            }
        }
    }
}

impl Object for Register<'_> {
    type Call = Call;

    fn initial(&mut self) -> State {
        self.number(&Value::Null)
    }

    fn apply(&mut self, state: State, call: &Call) -> Option<State> {
        match *call {
            Call::Read(value) => value.is_none_or(|value| value == state).then_some(state),
            Call::Write(value) => Some(value),
            Call::Cas { old, new, succeeded } => {
                let holds = old == state;
                if succeeded.is_some_and(|succeeded| succeeded != holds) {
                    return None;
                }
                Some(if holds { new } else { state })
            }
        }
    }

    fn only_observes(call: &Call) -> bool {
        match *call {
            Call::Read(_) => true,
            Call::Write(_) => false,
            Call::Cas { old, new, succeeded } => succeeded == Some(false) || old == new,
        }
    }

    fn observes(call: &Call) -> bool {
        !matches!(call, Call::Write(_))
    }
}

/// Judges each register of a history.
pub(crate) fn check(operations: &Operations<'_>, budget: &mut Budget<'_>) -> Verdict {
    let mut keys: BTreeMap<&Data, Vec<&Operation<'_>>> = BTreeMap::new();
    for operation in &operations.0 {
        if let Op::Register(op) = operation.op {
            keys.entry(op.key()).or_default().push(operation);
        }
    }
    let mut unknown = None;
    for (key, operations) in keys {
        let mut register = Register::default();
        let mut entries = Vec::with_capacity(operations.len());
        for operation in operations {
            if let Some(call) = register.call(operation) {
                entries.push(Entry {
                    id: operation.id,
                    invoked: operation.invoked,
                    completed: operation.completed,
                    call,
                });
            }
        }
        match search(&mut register, &entries, budget) {
            Finding::Linearizable => {}
            Finding::Stuck { entry, states } => {
                return Verdict::Invalid(explain(&register, key, &entries, entry, &states));
            }
            // Another register may still be certainly wrong, but the limit holds for all.
            Finding::Exhausted { limit, furthest } => {
                let place = furthest.map_or_else(String::new, |entry| {
                    let id = entries[entry].id;
                    format!("; key {key} is explained up to operation {id}'s completion")
                });
                unknown = Some(format!("{limit}{place}"));
                break;
            }
        }
    }
    unknown.map_or(Verdict::Valid, |reason| Verdict::Unknown { reason })
}

fn explain(
    register: &Register<'_>,
    key: &Data,
    entries: &[Entry<Call>],
    entry: usize,
    states: &[State],
) -> Violation {
    let held: Vec<String> = states.iter().map(|&state| register.say(state)).collect();
    let message = format!(
        "{}, but every order of the operations on {key} that explains all earlier completions \
         leaves it at {}",
        register.describe(key, &entries[entry]),
        held.join(" or "),
    );
    let mut ids = vec![entries[entry].id];
    let writers = entries.iter().filter(|other| {
        other.invoked <= entries[entry].completed
            && match other.call {
                Call::Read(_) => false,
                Call::Write(value) => states.contains(&value),
                Call::Cas { new, .. } => states.contains(&new),
            }
    });
    ids.extend(writers.map(|writer| writer.id).filter(|&id| id != entries[entry].id));
    Violation { guarantee: Guarantee::Linearizability, message, operations: ids }
}
