//! Invariant 2: A leader never truncates or overwrites its log (§5.3).

use super::books::Change;
use super::{Violation, ensure, is_leader};

pub(super) const NAME: &str = "LeaderAppendOnly";

pub(super) fn check(change: &Change<'_>) -> Result<(), Violation> {
    // The step in which it wins counts too: what it stood for election with is what it leads with.
    let Some(first) = change.first_changed.filter(|_| is_leader(change.after.role)) else {
        return Ok(());
    };
    ensure(first > change.before.last_index, NAME, || {
        format!(
            "n{} leads term {} and changed its entry {first}, though its log went up to {}",
            change.member, change.after.term, change.before.last_index
        )
    })
}
