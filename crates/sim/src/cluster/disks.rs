//! What is where on a member's disk, for those who damage it and those who look after it.
//!
//! Owns what of a member's files may rot, and how the doubts are read that its log keeps. Decides
//! nothing about when.

use std::ops::Range;

use quorate_raft::LogIndex;
use quorate_wal::disk::{DiskPath, MemDisk};
use quorate_wal::inspect::{self, Segment, What};

use crate::engine::{Exposed, FileKind, MOST_ROTTEN_BITS_AT_THE_END};

/// Where a member keeps files of a kind.
pub(crate) fn directory(files: FileKind) -> DiskPath {
    let name = match files {
        FileKind::Log | FileKind::LogEnd => "wal",
        FileKind::Store => "store",
        FileKind::Snapshot => "snap",
    };
    DiskPath::root().join("member").join(name)
}

/// Whether nothing of the log and its snapshots would be lost with the power. The store may: the log
/// has it, too. What was set aside as damaged is never read again, and need not be on the disk.
pub(crate) fn log_is_durable(disk: &MemDisk) -> bool {
    let matters = |file: &DiskPath| !file.name().ends_with(".damaged");
    let durable = |files| disk.is_clean_below(&directory(files), matters);
    durable(FileKind::Log) && durable(FileKind::Snapshot)
}

/// What of a member's files of a kind may be damaged. Of the log that is all before its last sealed
/// batch; that batch is the log's end, of which the seal must stay: without it, what a loss of power
/// leaves half written looks like a damaged last batch, and a log has no second copy to tell them
/// apart.
pub(crate) fn exposed(disk: &MemDisk, files: FileKind) -> Vec<Exposed> {
    use quorate_wal::disk::Disk;

    let dir = directory(files);
    let whole = |file: DiskPath| Exposed { bytes: 0..disk.durable_end(&file), file };
    let parts: Vec<Exposed> = match files {
        FileKind::Store | FileKind::Snapshot => {
            disk.list(&dir).unwrap_or_default().into_iter().map(whole).collect()
        }
        // Of what is not durable yet it is open which batch will have been the last.
        FileKind::Log | FileKind::LogEnd if !log_is_durable(disk) => Vec::new(),
        FileKind::Log => {
            let mut segments = inspect::segments(disk, &dir).map_or(Vec::new(), |found| found.0);
            let Some(newest) = segments.pop() else { return Vec::new() };
            let earlier = segments.into_iter().map(|segment| whole(segment.file));
            let before = 0..last_sealed_batch(disk, &newest).start;
            earlier.chain([Exposed { file: newest.file, bytes: before }]).collect()
        }
        FileKind::LogEnd => {
            let segments = inspect::segments(disk, &dir).map_or(Vec::new(), |found| found.0);
            segments.last().map_or(Vec::new(), |newest| end(disk, newest))
        }
    };
    parts.into_iter().filter(|part| !part.bytes.is_empty()).collect()
}

/// What may rot of the last sealed batch of a segment, sector by sector. A log has no header but
/// this one, so that it is left alone; and so are sectors that a few flips would make zero, as if they
/// had never been written.
fn end(disk: &MemDisk, segment: &Segment) -> Vec<Exposed> {
    use quorate_wal::disk::{Disk, SECTOR_BYTES};

    let batch = last_sealed_batch(disk, segment);
    let mut parts = Vec::new();
    let mut begin = batch.start;
    while 0 < begin && begin < batch.end {
        let bytes = begin..(begin + 1).next_multiple_of(SECTOR_BYTES).min(batch.end);
        begin = bytes.end;
        let Ok(held) = disk.read(&segment.file, bytes.start, (bytes.end - bytes.start) as usize)
        else {
            return Vec::new();
        };
        let bits: u32 = held.iter().map(|byte| byte.count_ones()).sum();
        if bits == 0 || bits > MOST_ROTTEN_BITS_AT_THE_END {
            parts.push(Exposed { file: segment.file.clone(), bytes });
        }
    }
    parts
}

/// The last sealed batch of a segment, up to where its seal begins.
fn last_sealed_batch(disk: &MemDisk, segment: &Segment) -> Range<u64> {
    let (mut begin, mut last) = (Some(0), 0..0);
    let shown = inspect::segment(disk, segment, None, |found| {
        let begins = *begin.get_or_insert(found.offset);
        if matches!(found.what, What::Seal(_) | What::SealOfDamaged(_)) {
            (last, begin) = (begins..found.offset, None);
        }
    });
    // What cannot be read is better left alone.
    shown.map_or(0..0, |_| last)
}

/// Up to where the log on a disk says that entries are in doubt; 0 if none are. This is what a
/// member that starts from this disk has to go by, whatever it remembers.
pub(crate) fn doubtful(disk: &MemDisk) -> LogIndex {
    let segments =
        inspect::segments(disk, &directory(FileKind::Log)).map_or(Vec::new(), |found| found.0);
    let mut doubtful = 0;
    for segment in &segments {
        let looked = inspect::segment(disk, segment, None, |found| {
            if let What::Seal(seal) = found.what {
                doubtful = seal.statement.doubtful_up_to;
            }
        });
        if looked.is_err() {
            break;
        }
    }
    LogIndex(doubtful)
}
