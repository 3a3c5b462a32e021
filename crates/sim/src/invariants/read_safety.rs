//! Invariant 19: A linearizable read is answered from a state that has everything of which any
//! client had been told before the read began.

use super::books::Change;
use super::{Violation, ensure};
use crate::cluster::RequestKind;

pub(super) const NAME: &str = "ReadSafety";

pub(super) fn check(change: &Change<'_>) -> Result<(), Violation> {
    for answer in &change.activity.answers {
        if answer.kind != RequestKind::LinearizableRead {
            continue;
        }
        ensure(answer.applied >= answer.acknowledged, NAME, || {
            format!(
                "n{} answered a linearizable read from entry {}, though entry {} had been \
                 acknowledged before the read arrived",
                change.member, answer.applied, answer.acknowledged
            )
        })?;
    }
    Ok(())
}
