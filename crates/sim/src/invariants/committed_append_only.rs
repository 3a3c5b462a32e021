//! Invariant 6: What a member takes for committed never shrinks, and stays in its log.

use super::books::Change;
use super::{Violation, ensure};

pub(super) const NAME: &str = "CommittedAppendOnly";

pub(super) fn check(change: &Change<'_>) -> Result<(), Violation> {
    if change.booted {
        return Ok(());
    }
    let (before, after) = (change.before.commit, change.after.commit);
    ensure(after >= before, NAME, || {
        format!("n{} takes {after} for committed, after {before}", change.member)
    })?;
    ensure(change.first_changed.is_none_or(|first| first > before), NAME, || {
        format!(
            "n{} changed its log from entry {} on, though {before} is committed",
            change.member,
            change.first_changed.unwrap_or_default()
        )
    })
}
