//! A history as whole operations: each with its interval and its outcome.

use std::collections::BTreeMap;

use quorate_history::{EventKind, History, Op, OpResult, OperationId, Step};

/// A completion time later than all others: that of an operation whose outcome is unknown.
pub(crate) const NEVER: u64 = u64::MAX;

/// What became of an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome<'a> {
    /// It was answered.
    Ok(&'a OpResult),
    /// It certainly had no effect.
    Failed(&'a str),
    /// It may take effect at any time after its invocation, or never.
    Unknown,
}

/// One operation. Its interval is closed: it precedes another only if it completed strictly
/// before the other was invoked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation<'a> {
    pub(crate) id: OperationId,
    /// When it was invoked, in nanoseconds.
    pub(crate) invoked: u64,
    /// When it completed, in nanoseconds; [`NEVER`] where its outcome is unknown.
    pub(crate) completed: u64,
    pub(crate) op: &'a Op,
    pub(crate) outcome: Outcome<'a>,
}

/// All operations of a history, in order of invocation.
#[derive(Debug)]
pub(crate) struct Operations<'a>(pub(crate) Vec<Operation<'a>>);

impl<'a> Operations<'a> {
    pub(crate) fn of(history: &'a History) -> Self {
        let mut operations: Vec<Operation<'a>> = Vec::with_capacity(history.operations());
        let mut open = BTreeMap::new();
        for event in history.events() {
            let EventKind::Operation { client, step, .. } = &event.kind else {
                continue;
            };
            let outcome = match step {
                Step::Invoke(op) => {
                    open.insert(*client, operations.len());
                    let EventKind::Operation { id, .. } = event.kind else {
                        unreachable!("matched above");
                    };
                    operations.push(Operation {
                        id,
                        invoked: event.time.0,
                        completed: NEVER,
                        op,
                        outcome: Outcome::Unknown,
                    });
                    continue;
                }
                Step::Watch(_) => continue,
                Step::Ok(result) => Outcome::Ok(result),
                Step::Fail(error) => Outcome::Failed(error),
                Step::Info(_) => Outcome::Unknown,
            };
            let index: usize = open.remove(client).expect("a completion has an invocation");
            let operation = &mut operations[index];
            operation.outcome = outcome;
            if !matches!(outcome, Outcome::Unknown) {
                operation.completed = event.time.0;
            }
        }
        Self(operations)
    }
}
