//! The store's upkeep, a little at a time: what compactions left to do, looking for damage before
//! somebody meets it, and repairing what was found from other members.

use std::collections::BTreeSet;

use quorate_mvcc::{ChangeId, Damage, DamagedPart, RepairError, Scrubber, Store};
use quorate_raft::NodeId;
use quorate_wal::disk::Disk;

use crate::config::Time;
use crate::member::{HaltReason, Member};
use crate::store_messages::StoreMessage;

/// What is known to be damaged, and how the search for more goes on.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    scrubber: Scrubber,
    damaged: Vec<Known>,
    pub(crate) health: Health,
}

/// While so much is known to be damaged, the search for more rests.
const MOST_KNOWN: usize = 256;
/// For so many records others are asked at the same time.
const ASKED_AT_ONCE: usize = 32;
/// What so many attempts have not repaired is beyond repair.
const ATTEMPTS: u32 = 8;

#[derive(Debug)]
struct Known {
    damage: Damage,
    /// When others were asked last.
    asked: Option<Time>,
    /// How often it could not be repaired from what this member has.
    failures: u32,
}

impl Known {
    /// Whether others were asked, and may still answer.
    fn waits(&self, now: Time, patience: u64) -> bool {
        self.asked.is_some_and(|asked| asked.0 + patience > now.0)
    }

    /// Writes the keys' file anew, without which it is not known which change a damaged record was.
    /// Says whether that is done.
    fn rewrite_keys(&mut self, store: &mut Store, disk: &dyn Disk) -> bool {
        let keys = Damage::of_keys(self.damage.segment, self.damage.what.clone());
        match store.repair(&keys, &[], disk) {
            Ok(()) | Err(RepairError::Gone) => true,
            Err(RepairError::NotYet) => false,
            Err(_) => {
                self.failures += 1;
                false
            }
        }
    }
}

/// How often a member's store was damaged, and repaired, since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Damage that was found.
    pub found: u64,
    /// Of this, what the scrubber found before anybody met it.
    pub found_by_scrubbing: u64,
    /// What was repaired.
    pub repaired: u64,
    /// How often all of the store was looked at.
    pub scrubs: u64,
    /// How often it could not be repaired, and became another member's.
    pub fetched: u64,
}

impl Member {
    /// What of the store is damaged and not repaired yet.
    pub fn damage(&self) -> impl Iterator<Item = &Damage> {
        self.upkeep.damaged.iter().map(|known| &known.damage)
    }

    /// How often its store was damaged, and repaired.
    #[must_use]
    pub fn health(&self) -> Health {
        Health { scrubs: self.upkeep.scrubber.rounds(), ..self.upkeep.health }
    }

    pub(crate) fn note_damage(&mut self, damage: Damage) {
        let is_it = |known: &Known| {
            (known.damage.segment, &known.damage.part) == (damage.segment, &damage.part)
        };
        if !self.upkeep.damaged.iter().any(is_it) {
            self.upkeep.health.found += 1;
            self.upkeep.damaged.push(Known { damage, asked: None, failures: 0 });
        }
    }

    /// A step of each.
    pub(crate) fn keep_store(&mut self, disk: &dyn Disk) {
        let budget = self.config.upkeep_bytes;
        let progress = self.store.work(disk, budget);
        if let Some(damage) = progress.damage {
            self.note_damage(damage);
        }
        if self.upkeep.damaged.len() < MOST_KNOWN {
            for damage in self.upkeep.scrubber.step(&self.store, disk, budget) {
                let before = self.upkeep.health.found;
                self.note_damage(damage);
                self.upkeep.health.found_by_scrubbing += self.upkeep.health.found - before;
            }
        }
        self.see_to_damage(disk);
    }

    /// Asks the others for what is damaged; keys' files are written anew from the data.
    fn see_to_damage(&mut self, disk: &dyn Disk) {
        let others = self.others();
        let (now, patience) = (self.now, self.config.read_retry_ns);
        let waiting = self.upkeep.damaged.iter().filter(|known| known.waits(now, patience));
        let mut asked = waiting.count();
        let mut wanted = Vec::new();
        let store = &mut self.store;
        let before = self.upkeep.damaged.len();
        self.upkeep.damaged.retain_mut(|known| {
            if known.waits(now, patience) {
                return true;
            }
            let DamagedPart::Record { offset, change: Some(change) } = &known.damage.part else {
                return !known.rewrite_keys(store, disk);
            };
            if asked >= ASKED_AT_ONCE {
                return true;
            }
            if known.asked.is_none() && store.look_again(known.damage.segment, *offset, disk) {
                return false;
            }
            known.asked = Some(now);
            if others.is_empty() {
                known.failures += 1;
                return !store.give_up(&known.damage, disk);
            }
            asked += 1;
            wanted.push(change.clone());
            true
        });
        self.upkeep.health.repaired += (before - self.upkeep.damaged.len()) as u64;
        for change in wanted {
            for to in &others {
                let change = change.clone();
                self.send_to_store(*to, StoreMessage::WantRecord { change });
            }
        }
        self.halt_if_lost(&others);
    }

    /// What is beyond repair ends this member's life: the next one begins at an older snapshot, or
    /// with another member's store.
    fn halt_if_lost(&mut self, others: &[NodeId]) {
        let is_lost = |known: &&Known| known.failures >= ATTEMPTS;
        let Some(known) = self.upkeep.damaged.iter().find(is_lost) else { return };
        let damage = known.damage.clone();
        self.halt(match others.is_empty() {
            true => HaltReason::NoCopy(damage),
            false => HaltReason::Unrepairable(damage),
        });
    }

    /// The members to ask.
    pub(crate) fn others(&self) -> Vec<NodeId> {
        let mut members = self.raft.view().configuration.members();
        members.retain(|member| *member != self.config.id);
        members
    }

    /// The store is another one. What was damaged of the last one counts as far as it is shared.
    pub(crate) fn look_anew(&mut self) {
        let segments: BTreeSet<_> =
            self.store.segments().iter().map(|segment| segment.id).collect();
        self.upkeep.damaged.retain(|known| segments.contains(&known.damage.segment));
    }

    /// Another member's record of a change.
    pub(crate) fn repair(&mut self, change: &ChangeId, record: Option<&[u8]>, disk: &dyn Disk) {
        let is_it = |known: &Known| match &known.damage.part {
            DamagedPart::Record { change: Some(damaged), .. } => damaged == change,
            _ => false,
        };
        let Some(position) = self.upkeep.damaged.iter().position(is_it) else { return };
        let known = &mut self.upkeep.damaged[position];
        let damage = &known.damage;
        let repaired = match record {
            Some(record) => match self.store.repair(damage, record, disk) {
                Ok(()) | Err(RepairError::Gone) => true,
                Err(RepairError::Unknown) => {
                    // The keys' file first.
                    let keys = Damage::of_keys(damage.segment, damage.what.clone());
                    known.asked = Some(self.now);
                    self.note_damage(keys);
                    return;
                }
                Err(_) => false,
            },
            // Nobody needs what no read can see.
            None => self.store.give_up(damage, disk),
        };
        if repaired {
            self.upkeep.damaged.remove(position);
            self.upkeep.health.repaired += 1;
        }
    }
}
