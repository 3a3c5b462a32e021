//! 2. A leader never truncates or overwrites its log (§5.3).

use super::books::Change;
use super::{Violation, ensure};

pub(super) const NAME: &str = "LeaderAppendOnly";

pub(super) fn check(change: &Change<'_>) -> Result<(), Violation> {
    let Some(first) = change.first_changed.filter(|_| change.stayed_leader()) else {
        return Ok(());
    };
    ensure(first > change.before.last_index, NAME, || {
        format!(
            "n{} leads term {} and changed its entry {first}, though its log went up to {}",
            change.member, change.after.term, change.before.last_index
        )
    })
}
