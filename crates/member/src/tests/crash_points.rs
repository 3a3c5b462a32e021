//! Power that goes after every single operation of a member's disk: log, store, snapshots and what
//! they leave behind.

use bytes::Bytes;
use quorate_mvcc::{CompactRequest, PutRequest, RangeRequest, Revision};
use quorate_wal::disk::{DiskOp, MemDisk};

use super::group::{Group, config};
use crate::{Config, Input, Member, Output, Request, Time, Timer};

/// Small files and many snapshots, so that a short life has all of it.
fn busy(config: &mut Config) {
    config.snapshot_every = 6;
    config.snapshot_keep = 3;
    config.wal.segment_bytes = 1 << 12;
    config.store.segment_bytes = 700;
    config.store.flush_bytes = 200;
    config.upkeep_bytes = 400;
}

/// The number that is written last.
fn write(number: u64) -> Request {
    let value = Bytes::from([vec![b'.'; 60], number.to_string().into_bytes()].concat());
    Request::Put(PutRequest { key: "key".into(), value, ..PutRequest::default() })
}

fn written(member: &Member, disk: &MemDisk) -> u64 {
    let request = RangeRequest { key: "key".into(), ..RangeRequest::default() };
    let range = member.store().reader(disk).range(&request).expect("nothing is damaged");
    let Some(kv) = range.kvs.first() else { return 0 };
    let number = std::str::from_utf8(&kv.value[60..]).expect("digits");
    number.parse().expect("a number")
}

/// Starts a member from a disk, alone, and lets it do all that it has to.
fn start(disk: &mut MemDisk, life: u64, now: Time) -> Member {
    let mut config = config(0, 1, life);
    busy(&mut config);
    let started = Member::start(config, disk, now);
    let (mut member, _) = started.unwrap_or_else(|error| panic!("it does not start: {error}"));
    while let Some(output) = member.poll() {
        match output {
            Output::Disk { batch, operations } => {
                DiskOp::execute_all(&operations, disk).expect("the disk is sound");
                member.handle(now, Input::Disk { batch, result: Ok(()) }, disk);
            }
            Output::Halt(reason) => panic!("it halts: {reason}"),
            Output::Send(_) | Output::Reply { .. } | Output::SetTimer(_) => {}
        }
    }
    member
}

#[test]
fn a_member_comes_back_with_all_that_was_acknowledged_wherever_the_power_goes() {
    let mut group = Group::with(1, busy);
    group.settle();
    let (mut points, mut acknowledged, mut lost) = (0_u32, 0, 0_u32);
    for number in 1..=90_u64 {
        let asked = group.ask(0, write(number));
        if number % 7 == 0 {
            let revision = Revision(number as i64 - 3);
            group.ask(0, Request::Compact(CompactRequest { revision }));
            group.fire(0, Timer::Upkeep);
        }
        while let Some((batch, operations)) = group.batches[0].pop_front() {
            for operation in &operations {
                operation.execute(&mut group.disks[0]).expect("the disk is sound");
                points += 1;
                // Of what was not durable nothing is left, all, and every other piece.
                for pattern in [0b00, 0b11, 0b01, 0b10] {
                    let mut disk = group.disks[0].clone();
                    let mut piece = 0;
                    disk.power_loss(|_| {
                        piece += 1;
                        pattern >> (piece % 2) & 1 == 1
                    });
                    let member = start(&mut disk, u64::from(points) + 1, group.now);
                    let found = written(&member, &disk);
                    assert!(
                        (acknowledged..=number).contains(&found),
                        "{found} of {acknowledged} to {number}, after operation {points}"
                    );
                    lost += u32::from(found < number);
                }
            }
            group.input(0, Input::Disk { batch, result: Ok(()) });
            if group.replies.contains_key(&asked) {
                acknowledged = number;
            }
        }
        assert_eq!(acknowledged, number, "it was answered");
    }
    assert!(points > 400, "only {points} operations");
    assert!(lost > 50, "only {lost} times something was lost that nobody had been told of");
    assert!(group.members[0].view().snapshot.index.0 > 80);
}
