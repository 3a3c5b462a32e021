//! The power fails after every single operation of a life: what a manifest names is there, all of
//! it and nothing else.

use quorate_mvcc::{Manifest, Store};
use quorate_wal::disk::{DiskOp, MemDisk};

use crate::support::{Content, Draws, Machine, OPTIONS, Request, dir};

/// Which of the things that were not synced a loss of power spares.
const POLICIES: [fn(u64) -> bool; 5] = [
    |_| false,
    |_| true,
    |number| number % 2 == 0,
    |number| number % 2 == 1,
    |number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 1,
];

struct Life {
    machine: Machine,
    /// In memory, with the same requests.
    twin: Store,
    /// The two newest that are durable, and what they stand for.
    manifests: Vec<(Manifest, Content)>,
    operations: usize,
    merged: usize,
    draws: Draws,
}

impl Life {
    /// Carries out a batch, with a loss of power after each operation in another world.
    fn write(&mut self) {
        for operation in self.machine.store.take_ops() {
            operation.execute(&mut self.machine.disk).expect("the disk is sound");
            self.operations += 1;
            self.lose_power();
        }
    }

    fn lose_power(&mut self) {
        for policy in POLICIES {
            let mut disk = self.machine.disk.clone();
            let mut number = 0;
            disk.power_loss(|_| {
                number += 1;
                policy(number)
            });
            // The newest, and the one before it, for the case that the newest is damaged.
            for known in self.manifests.iter().rev() {
                let (manifest, content) = known;
                self.draws = Draws::new(self.operations as u64);
                goes_on(disk.clone(), Some(manifest), content, &mut self.draws);
            }
            if self.manifests.is_empty() {
                let nothing = Content::of(&Store::new(), &MemDisk::new());
                goes_on(disk, None, &nothing, &mut self.draws);
            }
        }
    }
}

/// Opens a store, sees that it is what it should be, and lives on with it.
fn goes_on(mut disk: MemDisk, manifest: Option<&Manifest>, content: &Content, draws: &mut Draws) {
    let opened = Store::open(&mut disk, &dir(), manifest, OPTIONS);
    let (store, opened) = opened.expect("what was synced is there");
    assert_eq!(opened.rebuilt, [], "what was synced is whole");
    let mut machine = Machine { disk, store };
    machine.content().assert_is(content);
    machine.store.retain(&manifest.into_iter().collect::<Vec<_>>(), None);
    for _ in 0..8 {
        let request = draws.request(machine.store.revision());
        machine.apply(&request);
    }
    machine.work();
    let content = machine.content();
    let manifest = machine.checkpoint();
    machine.disk.power_loss(|_| false);
    let opened = Store::open(&mut machine.disk, &dir(), Some(&manifest), OPTIONS);
    machine.store = opened.expect("what was synced is there").0;
    machine.content().assert_is(&content);
}

#[test]
fn after_a_loss_of_power_at_any_operation_the_store_is_what_its_manifests_say() {
    let draws = Draws::new(0);
    let (machine, twin) = (Machine::new(), Store::new());
    let mut life = Life { machine, twin, manifests: Vec::new(), operations: 0, merged: 0, draws };
    let mut requests = Draws::new(7);
    for number in 1..=220 {
        let request = match number % 40 {
            0 => Request::Compact(life.twin.revision().0 - 2),
            _ => requests.request(life.twin.revision()),
        };
        let Life { machine, twin, .. } = &mut life;
        let answer = crate::support::apply(&mut machine.store, &machine.disk, &request);
        assert_eq!(answer, crate::support::apply(twin, &MemDisk::new(), &request));
        for _ in 0..3 {
            let before = life.machine.store.segments().len();
            let progress = life.machine.store.work(&life.machine.disk, 300);
            assert_eq!(progress.damage, None);
            life.merged += usize::from(life.machine.store.segments().len() < before);
        }
        if number % 25 == 0 {
            let manifest = life.machine.store.checkpoint();
            life.write();
            life.machine.store.ops_done();
            let content = Content::of(&life.twin, &MemDisk::new());
            life.manifests.push((manifest, content));
            if life.manifests.len() > 2 {
                life.manifests.remove(0);
            }
            let kept: Vec<&Manifest> =
                life.manifests.iter().map(|(manifest, _)| manifest).collect();
            life.machine.store.retain(&kept, None);
        } else if life.machine.store.has_ops() {
            life.write();
            life.machine.store.ops_done();
        }
    }
    assert!(life.operations >= 300, "{} operations", life.operations);
    assert!(life.merged >= 5, "{} merges", life.merged);
}

#[test]
fn a_file_that_a_crash_left_alone_is_removed_and_its_name_not_used_again() {
    let mut machine = Machine::aged(3, 40);
    let manifest = machine.checkpoint();
    let newest = manifest.segments.iter().map(|segment| segment.id).max().expect("there are some");
    let stray = quorate_mvcc::SegmentId(newest.0 + 9);
    let file = stray.keys_file(&dir());
    DiskOp::Create { file: file.clone() }.execute(&mut machine.disk).expect("a free name");
    let opened = Store::open(&mut machine.disk, &dir(), Some(&manifest), OPTIONS);
    machine.store = opened.expect("it is whole").0;
    machine.store.retain(&[&manifest], None);
    machine.write();
    assert!(DiskOp::Create { file }.execute(&mut machine.disk).is_ok(), "it was removed");
    let mut draws = Draws::new(5);
    for _ in 0..60 {
        let request = draws.request(machine.store.revision());
        machine.apply(&request);
    }
    let is_new = |id: quorate_mvcc::SegmentId| id <= newest || id > stray;
    assert!(machine.checkpoint().segments.iter().all(|segment| is_new(segment.id)));
}
