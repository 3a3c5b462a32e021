//! What operators hear of a member while it runs, and whether it is ready.
//!
//! Looks at the member after each input and says what has changed, a line for each event. Decides
//! nothing, and says little: what happens often is counted, not told.

use std::time::Duration;

use quorate_member::Member;
use quorate_raft::{LogIndex, NodeId, Role, Term};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::names::Names;

/// The time between two lines about damage, of which there may be much.
const BETWEEN_DAMAGE: Duration = Duration::from_secs(1);

/// Watches one member.
#[derive(Debug)]
pub(crate) struct Observer {
    names: Names,
    /// After so long it is said what a member that is not ready waits for.
    patience: Duration,
    /// What it lacks, and since when; none once that was said.
    lacks: (Lack, Option<Instant>),
    ready: watch::Sender<bool>,
    leadership: Leadership,
    snapshot: LogIndex,
    applied: LogIndex,
    abstains: bool,
    damage: Counts,
    damage_said: Option<Instant>,
}

/// Who leads, as far as a member knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leadership {
    Nobody,
    Itself(Term),
    Other(NodeId, Term),
}

/// What a member lacks that is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    /// A leader, for which so many of so many members are needed.
    Leader { quorum: usize, voters: usize },
    /// This leader's word on how far it has to catch up, or the rest of the way there.
    Entries { leader: NodeId },
    /// As the leader, the same of those whom it leads.
    Followers,
}

impl Lack {
    fn of(member: &Member) -> Lack {
        let view = member.view();
        match view.leader {
            Some(leader) if leader == view.id => Lack::Followers,
            Some(leader) => Lack::Entries { leader },
            None => {
                let voters = view.configuration.voters.len();
                Lack::Leader { quorum: voters / 2 + 1, voters }
            }
        }
    }
}

/// Of damage to the store, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    found: u64,
    repaired: u64,
    fetched: u64,
}

impl Observer {
    /// `ready` becomes true once the member serves clients.
    pub(crate) fn new(
        member: &Member,
        names: Names,
        election_timeout: Duration,
        ready: watch::Sender<bool>,
    ) -> Observer {
        let view = member.view();
        Observer {
            names,
            patience: 2 * election_timeout,
            lacks: (Lack::of(member), Some(Instant::now())),
            ready,
            leadership: Leadership::Nobody,
            snapshot: view.snapshot.index,
            applied: member.applied(),
            abstains: view.abstains,
            damage: Counts::default(),
            damage_said: None,
        }
    }

    /// Looks at the member and says what has changed.
    pub(crate) fn look(&mut self, member: &Member, now: Instant) {
        self.see_leader(member);
        self.see_readiness(member, now);
        self.see_snapshot(member);
        self.see_doubt(member);
        self.see_damage(member, now);
    }

    fn see_leader(&mut self, member: &Member) {
        let view = member.view();
        let leadership = match view.leader {
            _ if view.role == Role::Leader => Leadership::Itself(view.term),
            Some(leader) if !view.leader_silent => Leadership::Other(leader, view.term),
            _ => Leadership::Nobody,
        };
        if leadership == self.leadership {
            return;
        }
        match leadership {
            Leadership::Itself(term) => info!("leads the cluster in term {term}"),
            Leadership::Other(leader, term) => {
                info!("follows {} in term {term}", self.names.name(leader));
            }
            Leadership::Nobody => warn!("has no leader any more"),
        }
        self.leadership = leadership;
    }

    fn see_readiness(&mut self, member: &Member, now: Instant) {
        if *self.ready.borrow() {
            return;
        }
        if member.is_caught_up() {
            self.ready.send_replace(true);
            return;
        }
        let lack = Lack::of(member);
        if lack != self.lacks.0 {
            self.lacks = (lack, Some(now));
        }
        if self.lacks.1.is_none_or(|since| now.duration_since(since) < self.patience) {
            return;
        }
        match lack {
            Lack::Leader { quorum, voters } => info!(
                "not ready: waits for a leader, for which {quorum} of {voters} voting members have \
                 to run and to reach each other"
            ),
            Lack::Entries { leader } => {
                info!("not ready: catches up with {}", self.names.name(leader));
            }
            Lack::Followers => info!("not ready: waits for a majority to confirm that it leads"),
        }
        self.lacks.1 = None;
    }

    fn see_snapshot(&mut self, member: &Member) {
        let index = member.view().snapshot.index;
        if index > self.snapshot {
            // Its own are of what it had applied.
            if index > self.applied {
                info!("received a snapshot, as of entry {index}");
            } else {
                info!("took a snapshot, as of entry {index}");
            }
            self.snapshot = index;
        }
        self.applied = member.applied();
    }

    fn see_doubt(&mut self, member: &Member) {
        let abstains = member.view().abstains;
        if self.abstains && !abstains {
            info!("has again what its log had lost, and takes part in elections");
        }
        self.abstains = abstains;
    }

    fn see_damage(&mut self, member: &Member, now: Instant) {
        let health = member.health();
        let counts =
            Counts { found: health.found, repaired: health.repaired, fetched: health.fetched };
        let too_soon =
            self.damage_said.is_some_and(|said| now.duration_since(said) < BETWEEN_DAMAGE);
        if counts == self.damage || too_soon {
            return;
        }
        let (found, repaired) =
            (counts.found - self.damage.found, counts.repaired - self.damage.repaired);
        let left = member.damage().count();
        if found > 0 {
            match member.damage().last() {
                Some(last) => warn!(
                    "found damage in the store, {found} times; the last of {left} that are not \
                     repaired: {last}; {}",
                    what_happens(member)
                ),
                None => warn!("found damage in the store, {found} times; all of it is repaired"),
            }
        }
        if repaired > 0 {
            info!("repaired damage in the store, {repaired} times; {left} are left");
        }
        if counts.fetched > self.damage.fetched {
            info!("took over another member's store, since its own could not be repaired");
        }
        (self.damage, self.damage_said) = (counts, Some(now));
    }
}

fn what_happens(member: &Member) -> &'static str {
    let view = member.view();
    if view.configuration.members() == [view.id] {
        "there is no other member to repair it from"
    } else {
        "the other members are asked for it"
    }
}
