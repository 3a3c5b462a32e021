//! Which answers of an invalid history are enough to refute it.
//!
//! Leaving whole operations out would be wrong: without the write that they saw, good reads look
//! bad. So an operation is never left out but *excused*: whatever it answered, its outcome counts
//! as unknown. An excused operation may still take effect at any moment at which it really did,
//! and an answer that is not looked at forbids nothing, so that every order that explains a
//! history also explains it with any operations excused. A history that is still invalid then was
//! invalid before, by the remaining answers alone. For the model `etcd` this also keeps the
//! revisions: an excused write leaves no gap, but may be what fills it.
//!
//! This module owns the choice of what to excuse; it judges nothing itself.

use std::collections::BTreeSet;

use quorate_history::{EtcdOp, History, Op, OperationId};

use crate::budget::{Budget, Options};
use crate::judge;
use crate::operations::{NEVER, Operation, Operations, Outcome};
use crate::verdict::{Verdict, Violation};

/// The operations whose answers together are no store's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// The operations, in order of invocation. Empty where not even their answers are needed:
    /// such a history cannot be, whatever was answered.
    pub operations: Vec<OperationId>,
    /// Whether every single one of them is needed: with it excused, the history is no longer
    /// refuted in the same way. False where that was not found out, as when a limit was reached.
    pub minimal: bool,
}

/// Finds few operations of an invalid history whose answers break the same guarantee as
/// `violation`, whatever became of all other operations.
///
/// All tries together take at most as many steps as `options` allows for one check (and stop when
/// it is out of time); what was found by then is a counterexample still, only not a minimal one.
/// A single try may take no more than some times the steps that the whole history took, and
/// counts as not refuted beyond that: excusing operations can make a search hard that was easy.
///
/// # Panics
/// If [`crate::check`] with these limits finds this history valid, or another guarantee broken.
#[must_use]
pub fn minimize(history: &History, violation: &Violation, options: &Options<'_>) -> Counterexample {
    let operations = Operations::of(history);
    let mut trial = Trial { history, operations, violation, options, left: 0, each: 0, cut: false };
    let all: Vec<usize> = (0..trial.operations.0.len())
        .filter(|&index| may_be_excused(&trial.operations.0[index]))
        .collect();
    (trial.left, trial.each) = (u64::MAX, options.steps);
    let Some(steps) = trial.refutes(&all) else {
        assert!(trial.cut, "the history does not break the guarantee of {violation:?}");
        return Counterexample { operations: trial.ids(&all), minimal: false };
    };
    trial.left = options.steps.saturating_add(2 * all.len() as u64);
    trial.each = steps.saturating_mul(8).saturating_add(10_000).min(options.steps);
    let few = trial.named();
    let mut kept = if trial.refutes(&few).is_some() { few } else { all };
    trial.shrink(&mut kept);
    Counterexample { operations: trial.ids(&kept), minimal: !trial.cut }
}

/// Whether the outcome says anything, and is judged. An unknown outcome is excused as it is, and
/// a watch has no outcome of its own.
fn may_be_excused(operation: &Operation<'_>) -> bool {
    !matches!(operation.outcome, Outcome::Unknown)
        && !matches!(operation.op, Op::Etcd(EtcdOp::Watch(_)))
}

/// The tries, and what they may still cost.
struct Trial<'h, 'o> {
    history: &'h History,
    operations: Operations<'h>,
    violation: &'o Violation,
    options: &'o Options<'o>,
    /// Steps that all tries together may still take.
    left: u64,
    /// Steps that one try may take, beyond those that every history has.
    each: u64,
    /// Whether some try was not decided.
    cut: bool,
}

impl Trial<'_, '_> {
    fn ids(&self, kept: &[usize]) -> Vec<OperationId> {
        kept.iter().map(|&index| self.operations.0[index].id).collect()
    }

    /// The operations that the violation names: mostly they are enough.
    fn named(&self) -> Vec<usize> {
        let named: BTreeSet<_> = self.violation.operations.iter().collect();
        let operations = self.operations.0.iter().enumerate();
        let named = operations.filter(|(_, operation)| named.contains(&operation.id));
        named.filter(|(_, operation)| may_be_excused(operation)).map(|(index, _)| index).collect()
    }

    /// The steps that it took to refute the history by the answers of `kept`, which are in
    /// ascending order, all others excused; nothing if that does not refute it.
    fn refutes(&mut self, kept: &[usize]) -> Option<u64> {
        if self.left == 0 || self.options.out_of_time.is_some_and(|asked| asked()) {
            self.cut = true;
            return None;
        }
        let mut operations = self.operations.0.clone();
        for (index, operation) in operations.iter_mut().enumerate() {
            if may_be_excused(operation) && kept.binary_search(&index).is_err() {
                operation.outcome = Outcome::Unknown;
                operation.completed = NEVER;
            }
        }
        let count = operations.len();
        let options = Options { steps: self.each.min(self.left), ..*self.options };
        let mut budget = Budget::new(&options, count);
        let verdict = judge(self.history.model(), &Operations(operations), &mut budget);
        // A try that searches nothing still reads every operation.
        let spent = budget.spent();
        self.left = self.left.saturating_sub(spent.max(count as u64));
        match verdict {
            Verdict::Invalid(found) if found.guarantee == self.violation.guarantee => Some(spent),
            Verdict::Valid | Verdict::Invalid(_) => None,
            Verdict::Unknown { .. } => {
                self.cut = true;
                None
            }
        }
    }

    /// Excuses what is not needed, first in large pieces and at last one by one, until a pass over
    /// all single ones excuses none (delta debugging's 1-minimality; Zeller and Hildebrandt 2002).
    fn shrink(&mut self, kept: &mut Vec<usize>) {
        let mut piece = kept.len().div_ceil(2).max(1);
        loop {
            let before = kept.len();
            let mut from = 0;
            while from < kept.len() {
                let to = kept.len().min(from + piece);
                let rest = [&kept[..from], &kept[to..]].concat();
                if self.refutes(&rest).is_some() {
                    *kept = rest;
                } else {
                    from = to;
                }
            }
            if piece > 1 {
                piece = piece.div_ceil(2).min(kept.len().max(1));
            } else if kept.len() == before {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_history::{History, OperationId};

    use super::{Counterexample, minimize};
    use crate::{Options, Report, Verdict, check};

    /// A history of a register from (client = id, interval, what was asked, what was answered).
    fn register(operations: &[(u64, [u64; 2], &str, &str)]) -> History {
        let mut lines = vec![];
        for (id, [invoked, completed], op, completion) in operations {
            let head = format!(r#""client":{id},"id":{id}"#);
            lines.push((
                invoked,
                format!(r#"{{"time":{invoked},{head},"type":"invoke","op":{op}}}"#),
            ));
            lines.push((completed, format!(r#"{{"time":{completed},{head},{completion}}}"#)));
        }
        lines.sort_by_key(|(time, _)| **time);
        let header = r#"{"format":"quorate-history","version":1,"model":"register","source":{}}"#;
        let lines = lines.into_iter().map(|(_, line)| line);
        let text: Vec<String> = [header.to_owned()].into_iter().chain(lines).collect();
        History::read(text.join("\n").as_bytes()).expect("a well-formed history")
    }

    const READ: &str = r#"{"f":"read","key":"x"}"#;
    const WRITE_1: &str = r#"{"f":"write","key":"x","value":1}"#;
    const WRITE_2: &str = r#"{"f":"write","key":"x","value":2}"#;
    const OK: &str = r#""type":"ok","result":{}"#;
    const IS_1: &str = r#""type":"ok","result":{"value":1}"#;
    const IS_2: &str = r#""type":"ok","result":{"value":2}"#;

    fn minimized(history: &History, options: &Options<'_>) -> Counterexample {
        let Report { verdict: Verdict::Invalid(violation), .. } = check(history, options) else {
            panic!("the history is invalid");
        };
        minimize(history, &violation, options)
    }

    fn ids(ids: &[u64]) -> Vec<OperationId> {
        ids.iter().copied().map(OperationId).collect()
    }

    #[test]
    fn reads_that_fit_and_writes_of_other_keys_are_excused() {
        let other = r#"{"f":"write","key":"y","value":1}"#;
        let history = register(&[
            (1, [1, 2], WRITE_1, OK),
            (2, [3, 4], READ, IS_1),
            (3, [5, 6], other, OK),
            (4, [7, 8], WRITE_2, OK),
            (5, [9, 10], READ, IS_2),
            (6, [11, 12], READ, IS_1),
        ]);
        let found = minimized(&history, &Options::default());
        // That 1 was written in time is told by any of the first reads, or by the write itself.
        assert!(found.minimal);
        assert_eq!(found.operations.len(), 3, "{found:?}");
        assert!(found.operations.contains(&OperationId(6)), "{found:?}");
        assert!(!found.operations.contains(&OperationId(3)), "{found:?}");
    }

    #[test]
    fn a_write_is_not_left_out_to_make_a_good_read_look_bad() {
        // Without operation 1 the good read 2 would be of a value that nobody wrote.
        let history = register(&[
            (1, [1, 2], WRITE_1, OK),
            (2, [3, 4], READ, IS_1),
            (3, [5, 6], READ, r#""type":"ok","result":{"value":7}"#),
        ]);
        let found = minimized(&history, &Options::default());
        assert_eq!(found, Counterexample { operations: ids(&[3]), minimal: true });
    }

    #[test]
    fn a_failed_write_that_was_seen_belongs_to_the_counterexample() {
        let history = register(&[
            (1, [1, 2], WRITE_1, OK),
            (2, [3, 4], WRITE_2, r#""type":"fail","error":"no leader""#),
            (3, [5, 6], READ, IS_2),
        ]);
        let found = minimized(&history, &Options::default());
        assert_eq!(found, Counterexample { operations: ids(&[2, 3]), minimal: true });
    }

    #[test]
    fn without_time_it_is_no_smaller_and_says_so() {
        let history = register(&[(1, [1, 2], WRITE_1, OK), (2, [3, 4], READ, IS_2)]);
        let Verdict::Invalid(violation) = check(&history, &Options::default()).verdict else {
            panic!("2 was never written");
        };
        let options = Options { out_of_time: Some(&|| true), ..Options::default() };
        let found = minimize(&history, &violation, &options);
        assert_eq!(found, Counterexample { operations: ids(&[1, 2]), minimal: false });
    }
}
