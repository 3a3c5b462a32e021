//! Reading all of a log, also past damage.
//!
//! Owns the way through the segments: what is read is [replayed](crate::replay), and where frames
//! end the [recovery table](crate::verdict) says how it goes on. Changes nothing.

use quorate_proto::walpb;

use crate::disk::{Disk, DiskError, DiskPath};
use crate::error::{Corruption, Damage, WalError, corrupt};
use crate::reader::Reader;
use crate::record::seal::{Batch, Found, Statement};
use crate::recovery::{Contents, TornTail};
use crate::replay::{Misfit, Replay};
use crate::scan::{HEADER, Item, Resume, Scan};
use crate::segment::SegmentName;
use crate::verdict::{self, Decision, Evidence, Place, Rest, Row, Tear, Witness};
use crate::writer::Wal;

/// Where a segment's frames end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    pub(super) at: u64,
    /// The chain's value there.
    pub(super) chain: Option<u32>,
    /// The records that no seal covers.
    pub(super) unsealed: Batch,
}

/// A log that is being read.
pub(super) struct Survey<'a> {
    disk: &'a dyn Disk,
    dir: DiskPath,
    segments: Vec<SegmentName>,
    replaced: Vec<SegmentName>,
    /// Since the last damage.
    replay: Replay,
    /// Up to the first damage.
    before: Option<Replay>,
    /// The snapshots noted between the first damage and the last.
    between: Vec<walpb::Snapshot>,
    damage: Vec<Damage>,
}

/// Where the log ends, and what is behind it.
struct LogEnd {
    ending: Ending,
    torn: Option<TornTail>,
    half_created: Option<DiskPath>,
}

/// Where frames end, and what was found there.
struct Stop<'a> {
    /// Which segment it is.
    place: usize,
    file: &'a DiskPath,
    scan: &'a Scan<'a>,
    bad: Option<Corruption>,
    rest: Rest,
    seal: Option<NextSeal>,
}

/// The first seal where frames end, or behind.
#[derive(Debug, Clone, Copy)]
struct NextSeal {
    /// Which segment it is in.
    place: usize,
    found: Found,
    /// Whether its batch begins behind the place: or there, if it is the chain to it that is
    /// broken.
    is_later: bool,
}

impl NextSeal {
    fn resume(&self) -> Resume {
        Resume::from(&self.found, self.is_later)
    }
}

impl<'a> Survey<'a> {
    pub(super) fn of(disk: &'a dyn Disk, dir: &DiskPath) -> Result<Survey<'a>, WalError> {
        let mut segments = names(disk, dir)?;
        let begins = begins_at(disk, dir, &segments)?;
        let replaced = segments.drain(..begins).collect();
        for pair in segments.windows(2) {
            if pair[1].sequence != pair[0].sequence + 1 {
                let missing = pair[0].sequence + 1;
                return Err(WalError::MissingSegment { dir: dir.clone(), missing });
            }
        }
        let replay = Replay::beginning_at(segments[0].first_index);
        let (between, damage) = (Vec::new(), Vec::new());
        let dir = dir.clone();
        Ok(Survey { disk, dir, segments, replaced, replay, before: None, between, damage })
    }

    pub(super) fn finish(mut self) -> Result<Contents, WalError> {
        let LogEnd { ending, torn, half_created } = self.walk()?;
        let file = self.file(self.segments.len() - 1);
        // Not at each seal: where segments were released, a snapshot may be the first to tell what
        // the log held.
        if self.before.is_none() && !self.replay.agrees {
            return Err(corrupt(&file, ending.at, Corruption::Statement));
        }
        let known = self.before.as_ref().and_then(|before| before.metadata.clone());
        let Some(metadata) = known.or_else(|| self.replay.metadata.clone()) else {
            let place = self
                .damage
                .first()
                .map_or((&file, ending.at), |damage| (&damage.segment, damage.found_at));
            return Err(corrupt(place.0, place.1, missing_header(0)));
        };
        let first = self.before.as_mut().unwrap_or(&mut self.replay);
        first.finish();
        let mut noted = first.snapshots.clone();
        if self.before.is_some() {
            // What the very first segment begins with is known also where its header is lost.
            if self.segments[0].sequence == 0 && noted.is_empty() {
                noted.push(walpb::Snapshot::default());
            }
            noted.append(&mut self.between);
            noted.extend(self.replay.snapshots.iter().cloned());
        }
        Ok(Contents {
            dir: self.dir,
            segments: self.segments,
            replaced: self.replaced,
            replay: self.replay,
            before: self.before,
            damage: self.damage,
            noted,
            metadata,
            end: ending,
            torn,
            half_created,
        })
    }

    /// Goes through the segments, from each place where frames end to where it goes on.
    fn walk(&mut self) -> Result<LogEnd, WalError> {
        let (mut place, mut resume) = (0, None);
        let mut previous: Option<Ending> = None;
        loop {
            let file = self.file(place);
            let name = self.segments[place];
            let chain = previous.and_then(|ending| ending.chain);
            let mut scan = Scan::open(self.disk, &file, name, chain)?;
            if let Some(resume) = resume.take() {
                scan.resume(&resume);
            }
            let bad = self.replay_segment(&file, &mut scan)?;
            let ending = Ending { at: scan.at, chain: scan.chain, unsealed: scan.batch };
            let (stop, row) = self.judge(place, &file, &scan, bad)?;
            let end = match row.decision {
                Decision::NextSegment => {
                    self.count_held(&file)?;
                    (place, previous) = (place + 1, Some(ending));
                    continue;
                }
                Decision::Damaged => {
                    let next = stop.seal.expect("the table wants a seal for this");
                    self.pass_damage(&stop, &next, previous)?;
                    (place, previous, resume) = (next.place, None, Some(next.resume()));
                    continue;
                }
                Decision::Refuse => {
                    let (offset, found, because) = (scan.at, stop.finding(), row.because);
                    return Err(WalError::Corrupt {
                        segment: file.clone(),
                        offset,
                        found,
                        because,
                    });
                }
                Decision::End => LogEnd { ending, torn: None, half_created: None },
                Decision::CutOff => {
                    let bytes = scan.reader.end_of_data(scan.at)? - scan.at;
                    let torn = TornTail { segment: file.clone(), offset: scan.at, bytes };
                    LogEnd { ending, torn: Some(torn), half_created: None }
                }
                Decision::TakeSegmentAway => {
                    self.segments.pop();
                    self.replay.drop_held();
                    let ending = previous.expect("the segment before was read to its end");
                    LogEnd { ending, torn: None, half_created: Some(file.clone()) }
                }
            };
            self.count_held(&file)?;
            return Ok(end);
        }
    }

    /// Replays a segment up to where its frames end.
    fn replay_segment(
        &mut self,
        file: &DiskPath,
        scan: &mut Scan<'_>,
    ) -> Result<Option<Corruption>, WalError> {
        loop {
            match scan.next()? {
                Item::Record { at, kind, data, .. } => self.replay.hold(at, kind, data),
                Item::Seal(seal) => {
                    let misfit = |(at, found): Misfit| corrupt(file, at, found);
                    self.replay.seal(&seal.statement).map_err(misfit)?;
                }
                Item::Stop(bad) => return Ok(bad),
            }
        }
    }

    fn count_held(&mut self, file: &DiskPath) -> Result<(), WalError> {
        self.replay.count_held().map_err(|(at, found)| corrupt(file, at, found))
    }

    /// Looks at the place where frames end, and up what it means.
    fn judge<'s>(
        &self,
        place: usize,
        file: &'s DiskPath,
        scan: &'s Scan<'s>,
        bad: Option<Corruption>,
    ) -> Result<(Stop<'s>, &'static Row), WalError> {
        let rest = scan.reader.rest(scan.at, bad.as_ref())?;
        let in_segment = match (scan.header < HEADER.len(), place) {
            (true, 0) => Place::FirstHeader,
            (true, _) => Place::Header,
            (false, _) => Place::Batches,
        };
        let followed = place + 1 < self.segments.len();
        // Where a whole segment ends, nobody needs to look for more.
        let seal = match (in_segment, rest) {
            (Place::Batches, Rest::Zeros) => None,
            _ => self.find_seal(place, scan)?,
        };
        let witness = match &seal {
            None if self.has_gone_on(place, scan)? => Witness::Unsealed,
            None => Witness::None,
            Some(next) if next.is_later => Witness::Later,
            Some(next) => match scan.reader.find_seal(next.found.end)? {
                Some(_) => Witness::Later,
                None if next.found.lacks_sectors => Witness::Own,
                None => Witness::OwnOfWhole,
            },
        };
        let tear = match followed || rest == Rest::Zeros {
            true => Tear::RuledOut,
            false => {
                // A wrong length must not make the zeros behind the log part of the batch.
                let limit = seal.map(|next| next.found.at);
                scan.reader.tear(scan.at, scan.chain, bad.as_ref(), limit)?
            }
        };
        let row = verdict::judge(&Evidence { place: in_segment, followed, rest, witness, tear });
        Ok((Stop { place, file, scan, bad, rest, seal }, row))
    }

    /// Whether etcd went on writing behind the place where a scan stays. What goes back to its
    /// segment's header without a seal is etcd's: we seal headers.
    fn has_gone_on(&self, place: usize, scan: &Scan<'_>) -> Result<bool, DiskError> {
        if scan.header < HEADER.len() || scan.batch.start.offset > 0 {
            return Ok(false);
        }
        let file = self.file(place);
        Reader::open(self.disk, &file, self.segments[place])?.has_later_save(scan.at)
    }

    /// The first seal from where a scan stays, in this segment or one behind it.
    fn find_seal(&self, place: usize, scan: &Scan<'_>) -> Result<Option<NextSeal>, WalError> {
        if let Some(found) = scan.reader.find_seal(scan.at)? {
            let broken_chain = found.is_intact && scan.chain.is_some();
            let is_later = found.start > scan.at || (found.start == scan.at && broken_chain);
            return Ok(Some(NextSeal { place, found, is_later }));
        }
        for later in place + 1..self.segments.len() {
            let file = self.file(later);
            let reader = Reader::open(self.disk, &file, self.segments[later])?;
            if let Some(found) = reader.find_seal(0)? {
                return Ok(Some(NextSeal { place: later, found, is_later: true }));
            }
        }
        Ok(None)
    }

    /// Notes damage between a place where frames end and where reading goes on.
    fn pass_damage(
        &mut self,
        stop: &Stop<'_>,
        next: &NextSeal,
        previous: Option<Ending>,
    ) -> Result<(), WalError> {
        let statement = next.found.seal.statement;
        let (known, said) = (self.replay.hard_state.term, statement.hard_state.term);
        if said < known {
            let found = Corruption::TermGoesBack { known, found: said };
            return Err(corrupt(stop.file, stop.scan.at, found));
        }
        self.replay.drop_held();
        let resumed = next.resume().at;
        let first = self.replay.last_known() + 1;
        let lost = (first <= statement.last_index).then_some((first, statement.last_index));
        match previous.filter(|_| stop.scan.at == 0 && next.place == stop.place && resumed == 0) {
            // The segment is whole: it is the one before that lost its end.
            Some(ending) => {
                let segment = self.file(stop.place - 1);
                let end = self.disk.len(&segment)?.max(ending.at);
                self.damage.push(Damage {
                    segment,
                    start: ending.at,
                    end,
                    found_at: ending.at,
                    found: Corruption::EndBeforeNextSegment,
                    lost,
                });
            }
            None => {
                self.damage.push(Damage {
                    segment: stop.file.clone(),
                    start: stop.scan.batch.start.offset,
                    end: if next.place == stop.place { resumed } else { stop.scan.reader.len() },
                    found_at: stop.scan.at,
                    found: stop.finding(),
                    lost,
                });
                self.note_unread(stop.place + 1, next.place, resumed, lost)?;
            }
        }
        self.enter(&statement);
        Ok(())
    }

    /// Segments, and the beginning of one, in which no seal was found.
    fn note_unread(
        &mut self,
        from: usize,
        next: usize,
        resumed: u64,
        lost: Option<(u64, u64)>,
    ) -> Result<(), WalError> {
        for place in from..=next {
            let segment = self.file(place);
            let end = if place == next { resumed } else { self.disk.len(&segment)? };
            if end > 0 {
                let found = Corruption::NoSeal;
                self.damage.push(Damage { segment, start: 0, end, found_at: 0, found, lost });
            }
        }
        Ok(())
    }

    /// Begins to replay anew behind damage.
    fn enter(&mut self, statement: &Statement) {
        let metadata = self.replay.metadata.clone();
        let behind = Replay::behind_damage(metadata, statement);
        let so_far = std::mem::replace(&mut self.replay, behind);
        match self.before {
            None => self.before = Some(so_far),
            Some(_) => self.between.extend(so_far.snapshots),
        }
    }

    fn file(&self, place: usize) -> DiskPath {
        self.segments[place].path(&self.dir)
    }
}

impl Stop<'_> {
    /// What is wrong, in words.
    fn finding(&self) -> Corruption {
        let here = self.seal.filter(|seal| seal.place == self.place);
        match (&self.bad, here) {
            (Some(found), _) => found.clone(),
            (None, _) if self.scan.header < HEADER.len() => missing_header(self.scan.header),
            (None, Some(next)) => Corruption::Hole { later: next.found.start.max(self.scan.at) },
            (None, None) if self.rest == Rest::Zeros => Corruption::EndBeforeNextSegment,
            (None, None) => Corruption::Length { field: 0 },
        }
    }
}

fn missing_header(records: usize) -> Corruption {
    Corruption::Header { expected: HEADER[records] as u64, found: 0 }
}

/// The log's segments in order.
fn names(disk: &dyn Disk, dir: &DiskPath) -> Result<Vec<SegmentName>, WalError> {
    if !Wal::exists(disk, dir)? {
        return Err(WalError::NoLog { dir: dir.clone() });
    }
    let mut names: Vec<SegmentName> =
        disk.list(dir)?.iter().filter_map(|file| SegmentName::parse(file.name())).collect();
    names.sort_unstable();
    Ok(names)
}

/// Which segment the log begins with: the first, or one that has replaced those before it and says
/// so in its header.
fn begins_at(disk: &dyn Disk, dir: &DiskPath, segments: &[SegmentName]) -> Result<usize, WalError> {
    for (place, name) in segments.iter().enumerate().skip(1).rev() {
        let file = name.path(dir);
        let mut scan = Scan::open(disk, &file, *name, None)?;
        let seal = loop {
            match scan.next()? {
                // No header of ours has that many records, so that etcd's need not be read.
                Item::Record { .. } if scan.header > 2 * HEADER.len() => break None,
                Item::Record { .. } => {}
                Item::Seal(seal) => break Some(seal.statement),
                Item::Stop(_) => break None,
            }
        };
        if seal.is_some_and(|statement| statement.begins_log) {
            return Ok(place);
        }
    }
    Ok(0)
}
