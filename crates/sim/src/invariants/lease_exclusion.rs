//! Invariant 20: While a leader's lease is valid by its own clock, nobody leads in a later term, as
//! long as the clocks keep within the bound that the leases are made for (dissertation 6.4.1).

use quorate_raft::{Role, Term};

use super::books::Change;
use super::{Violation, ensure, is_leader};

pub(super) const NAME: &str = "LeaseExclusion";

/// The latest term in which anybody led.
#[derive(Debug, Default)]
pub(crate) struct LeaseExclusion {
    latest: Option<(Term, usize)>,
}

impl LeaseExclusion {
    /// `lease_of` says, of every member that runs, in which term it holds a lease by its own clock
    /// now, if it does.
    pub(super) fn check(
        &mut self,
        change: &Change<'_>,
        members: usize,
        lease_of: impl Fn(usize) -> Option<Term>,
    ) -> Result<(), Violation> {
        let (member, term) = (change.member, change.after.term);
        if change.became(Role::Leader) {
            // A delayed win of an older term breaks nobody's lease, but may not begin one of its
            // own: that is looked at in its own steps.
            for other in (0..members).filter(|&other| other != member) {
                let lease = lease_of(other).filter(|held| *held < term);
                ensure(lease.is_none(), NAME, || violated(other, lease, term, member))?;
            }
            self.latest = self.latest.max(Some((term, member)));
        }
        match self.latest {
            Some((latest, leader)) if is_leader(change.after.role) && latest > term => {
                let lease = lease_of(member);
                ensure(lease.is_none(), NAME, || violated(member, lease, latest, leader))
            }
            _ => Ok(()),
        }
    }
}

fn violated(holder: usize, lease: Option<Term>, later: Term, leader: usize) -> String {
    format!(
        "n{holder} holds a lease of term {} by its clock, though n{leader} leads in term {later}",
        lease.unwrap_or_default()
    )
}
