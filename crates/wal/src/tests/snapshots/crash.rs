//! Power that goes at any moment of a life with snapshots, releases and discarded logs.

use super::*;

/// What a log should say: the rules of snapshots once more, on entries that are all kept.
#[derive(Debug, Clone, Default)]
struct Model {
    hard_state: HardState,
    /// The snapshots since the log was last discarded.
    snapshots: Vec<(u64, u64)>,
    /// The last index of the log that was discarded.
    floor: u64,
    entries: Vec<Entry>,
}

/// What a member sees that starts from the newest snapshot.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    hard_state: HardState,
    snapshot: (u64, u64),
    entries: Vec<Entry>,
}

/// One thing that is appended.
#[derive(Debug, Clone)]
enum Step {
    Snapshot(u64, u64),
    Entry(Entry),
    State(HardState),
}

impl Model {
    fn last(&self) -> u64 {
        self.floor + self.entries.len() as u64
    }

    fn newest(&self) -> (u64, u64) {
        self.snapshots.last().copied().unwrap_or_default()
    }

    fn term(&self, index: u64) -> u64 {
        self.entries[(index - self.floor - 1) as usize].term
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Snapshot(term, index) => {
                let held = *index > self.floor && *index <= self.last();
                if !held || self.term(*index) != *term {
                    self.snapshots.clear();
                    self.entries.clear();
                    self.floor = *index;
                }
                self.snapshots.push((*term, *index));
            }
            Step::Entry(entry) => {
                self.entries.truncate((entry.index - self.floor - 1) as usize);
                self.entries.push(entry.clone());
            }
            Step::State(hard_state) => self.hard_state = *hard_state,
        }
    }

    fn said(&self) -> Said {
        let (term, index) = self.newest();
        let mut hard_state = self.hard_state;
        if hard_state.term < term {
            (hard_state.term, hard_state.vote) = (term, 0);
        }
        hard_state.commit = hard_state.commit.max(index);
        let entries = self.entries.iter().filter(|entry| entry.index > index).cloned().collect();
        Said { hard_state, snapshot: (term, index), entries }
    }

    /// A batch of random shape: a snapshot of this log, one from elsewhere, or none; entries that
    /// may replace some; a hard state.
    fn random_batch(&self, draws: &mut Draws, term: u64) -> Vec<Step> {
        let (mut last, mut covered) = (self.last(), self.newest().1);
        let mut steps = Vec::new();
        match draws.below(6) {
            0 | 1 if last > covered => {
                covered += 1 + draws.below(last - covered);
                steps.push(Step::Snapshot(self.term(covered), covered));
            }
            2 => {
                covered += 1 + draws.below(12);
                last = covered;
                steps.push(Step::Snapshot(term, covered));
            }
            _ => {}
        }
        let back = if draws.below(4) == 0 { draws.below(4) } else { 0 };
        let first = (last + 1).saturating_sub(back).max(covered + 1);
        for index in first..first + draws.below(5) {
            let size = match draws.below(4) {
                0 => draws.below(2500),
                _ => draws.below(120),
            };
            // No zeros, as in the other crash tests.
            let byte = draws.below(255) as u8 + 1;
            steps.push(Step::Entry(entry(index, term, vec![byte; size as usize])));
        }
        if draws.below(2) == 0 {
            steps.push(Step::State(state(term, draws.below(3), covered + draws.below(3))));
        }
        steps
    }
}

/// Opens from the newest snapshot.
fn open_newest(disk: &mut MemDisk) -> (Said, Recovered) {
    let contents = read(disk);
    let newest = contents.snapshots().last().expect("a log opens from somewhere");
    let (term, index) = (newest.term, newest.index);
    let recovered = open_from(disk, id(term, index)).unwrap_or_else(|error| panic!("{error}"));
    let said = Said {
        hard_state: recovered.hard_state,
        snapshot: (term, index),
        entries: recovered.entries.clone(),
    };
    (said, recovered)
}

/// Cuts the power, opens from the newest snapshot and sees that the log is one of those allowed,
/// and that it goes on. Whether a tail was torn.
fn check(disk: &MemDisk, draws: &mut Draws, allowed: &[Model]) -> bool {
    let mut disk = disk.clone();
    let mercy = draws.below(4);
    disk.power_loss(|_| match mercy {
        0 => false,
        1 => true,
        _ => draws.below(2) == 0,
    });
    let (said, recovered) = open_newest(&mut disk);
    assert!(disk.is_clean(), "what was recovered is durable");
    let model = allowed.iter().find(|model| model.said() == said);
    let model = model.unwrap_or_else(|| panic!("recovered {said:?}, none of {allowed:?}"));
    let torn = recovered.repaired.is_some();
    let mut wal = recovered.wal;
    assert_eq!(wal.last_index(), model.last());
    let mut model = model.clone();
    let step = Step::Entry(entry(model.last() + 1, 1000, "next"));
    append(&mut wal, std::slice::from_ref(&step));
    model.apply(&step);
    DiskOp::execute_all(&wal.take_ops(), &mut disk).expect("a healthy disk");
    let (said, recovered) = open_newest(&mut disk);
    assert_eq!(recovered.repaired, None);
    assert_eq!(said, model.said());
    torn
}

fn append(wal: &mut Wal, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Snapshot(term, index) => wal.append_snapshot(&noted(*term, *index)),
            Step::Entry(entry) => wal.append(None, [entry]),
            Step::State(hard_state) => wal.append(Some(*hard_state), [] as [&Entry; 0]),
        }
    }
}

/// Each snapshot at or above what was released opens, with all that is behind it.
fn check_kept(disk: &mut MemDisk, model: &Model, released: u64) {
    for (term, index) in model.snapshots.iter().filter(|(_, index)| *index >= released) {
        let recovered = open_from(disk, id(*term, *index)).expect("it was kept");
        let behind = model.entries.iter().filter(|entry| entry.index > *index);
        assert!(recovered.entries.iter().eq(behind));
    }
}

#[test]
fn what_was_synced_survives_a_loss_of_power_after_every_operation_with_snapshots() {
    let (mut torn, mut removed, mut discarded, mut reopened) = (0, 0, 0, 0);
    for seed in 0..60 {
        let mut draws = Draws(seed);
        let (mut disk, mut wal) = created(SMALL);
        let mut model = Model::default();
        let mut released = 0;
        for term in 1..=20 {
            let steps = model.random_batch(&mut draws, term);
            let mut allowed = vec![model.clone()];
            for step in &steps {
                model.apply(step);
                allowed.push(model.clone());
            }
            append(&mut wal, &steps);
            if draws.below(3) == 0 {
                let back = draws.below(3) as usize;
                let kept = model.snapshots.iter().rev().nth(back).unwrap_or(&(0, 0));
                released = kept.1.max(released);
                wal.release_to(released);
            }
            for op in wal.take_ops() {
                for _ in 0..3 {
                    torn += u32::from(check(&disk, &mut draws, &allowed));
                }
                op.execute(&mut disk).expect("a healthy disk");
                removed += u32::from(matches!(op, DiskOp::Remove { .. }));
            }
            check(&disk, &mut draws, std::slice::from_ref(&model));
            check_kept(&mut disk.clone(), &model, released);
            discarded += u32::from(model.floor > allowed[0].floor);
            if draws.below(4) == 0 {
                wal = open_newest(&mut disk).1.wal;
                reopened += 1;
            }
        }
    }
    assert!(torn > 50, "only {torn} torn tails were seen");
    assert!(removed > 100, "only {removed} segments were removed");
    assert!(discarded > 100, "only {discarded} logs were discarded");
    assert!(reopened > 100, "only {reopened} restarts");
}
