//! One file of a simulated disk: its content as seen, and what a loss of power would undo.

use bytes::Bytes;

use super::Unsynced;
use crate::disk::SECTOR_BYTES;

const SECTOR: usize = SECTOR_BYTES as usize;

/// A file's content. Everything is kept as programs see it; of a sector that was written since the
/// last sync, the content before is kept beside it, so that writing and syncing cost what the
/// bytes written cost, however large the file is.
#[derive(Debug, Clone, Default)]
pub(super) struct MemFile {
    /// The content up to some offset, from which on the file is zero.
    data: Vec<u8>,
    /// The length, at least that of `data`.
    len: u64,
    /// The length after a loss of power that spares nothing.
    durable_len: u64,
    /// The sectors written since the last sync, ascending.
    dirty: Vec<DirtySector>,
    /// The contents that they had.
    before: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct DirtySector {
    sector: u64,
    /// Where in `before` its durable content is; none if that is zero.
    before: Option<u32>,
}

impl MemFile {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn data_end(&self) -> u64 {
        self.data.len() as u64
    }

    pub(super) fn is_clean(&self) -> bool {
        self.dirty.is_empty() && self.len == self.durable_len
    }

    pub(super) fn dirty_sectors(&self) -> u64 {
        self.dirty.len() as u64
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.data.capacity()
            + self.before.capacity()
            + self.dirty.capacity() * size_of::<DirtySector>()
    }

    pub(super) fn read(&self, offset: u64, len: usize) -> Bytes {
        let available = self.len.saturating_sub(offset);
        let len = len.min(usize::try_from(available).unwrap_or(usize::MAX));
        let start = usize::try_from(offset).map_or(self.data.len(), |at| at.min(self.data.len()));
        let held = &self.data[start..self.data.len().min(start.saturating_add(len))];
        if held.len() == len {
            return Bytes::copy_from_slice(held);
        }
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(held);
        bytes.resize(len, 0);
        Bytes::from(bytes)
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let start = usize::try_from(offset).expect("a simulated file fits into memory");
        let end = start + data.len();
        self.mark_dirty(start / SECTOR, (end - 1) / SECTOR);
        if self.data.len() < end {
            self.data.resize(end, 0);
        }
        self.data[start..end].copy_from_slice(data);
        self.len = self.len.max(end as u64);
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.data_end() {
            // What is cut off reads as zero if the file grows again.
            let len = len as usize;
            self.mark_dirty(len / SECTOR, (self.data.len() - 1) / SECTOR);
            self.data.truncate(len);
        }
        self.len = len;
    }

    pub(super) fn sync(&mut self) {
        self.durable_len = self.len;
        self.dirty.clear();
        self.before.clear();
    }

    /// A sync that fails: each dirty sector is as before or as after, and clean. The length is kept
    /// in memory, and so still to be synced.
    pub(super) fn fail_sync(&mut self, keep: &mut impl FnMut(Unsynced) -> bool) {
        for DirtySector { sector, before } in std::mem::take(&mut self.dirty) {
            if !keep(Unsynced::Sector) {
                self.restore(sector as usize, before);
            }
        }
        if self.len < self.data_end() {
            self.data.truncate(self.len as usize);
        }
        self.before.clear();
    }

    /// A write of which only some sectors are written, as told for each of them.
    pub(super) fn write_some(&mut self, offset: u64, data: &[u8], keep: impl Fn(u64) -> bool) {
        let mut at = 0;
        let mut sector = 0;
        while at < data.len() {
            let in_sector = (offset + at as u64) % SECTOR_BYTES;
            let end = data.len().min(at + (SECTOR_BYTES - in_sector) as usize);
            if keep(sector) {
                self.write(offset + at as u64, &data[at..end]);
            }
            (at, sector) = (end, sector + 1);
        }
    }

    /// Up to where there is durable content.
    pub(super) fn durable_end(&self) -> u64 {
        self.durable_len.min(self.data_end())
    }

    /// Inverts a bit of the durable content, and says whether that is seen, now or after a loss of
    /// power.
    pub(super) fn flip_bit(&mut self, bit: u64) -> bool {
        let (byte, mask) = ((bit / 8) as usize, 1_u8 << (bit % 8));
        let sector = (byte / SECTOR) as u64;
        match self.dirty.binary_search_by_key(&sector, |dirty| dirty.sector) {
            Err(_) => self.data[byte] ^= mask,
            Ok(place) => {
                let Some(slot) = self.dirty[place].before else { return false };
                self.before[slot as usize * SECTOR + byte % SECTOR] ^= mask;
            }
        }
        true
    }

    pub(super) fn power_loss(&mut self, keep: &mut impl FnMut(Unsynced) -> bool) {
        for DirtySector { sector, before } in std::mem::take(&mut self.dirty) {
            if !keep(Unsynced::Sector) {
                self.restore(sector as usize, before);
            }
        }
        if self.len != self.durable_len && !keep(Unsynced::Length) {
            self.len = self.durable_len;
        }
        if self.len < self.data_end() {
            self.data.truncate(self.len as usize);
        }
        self.sync();
    }

    fn mark_dirty(&mut self, first: usize, last: usize) {
        for sector in first..=last {
            let place = match self.dirty.last() {
                None => 0,
                Some(newest) if newest.sector < sector as u64 => self.dirty.len(),
                Some(newest) if newest.sector == sector as u64 => continue,
                Some(_) => {
                    match self.dirty.binary_search_by_key(&(sector as u64), |dirty| dirty.sector) {
                        Ok(_) => continue,
                        Err(place) => place,
                    }
                }
            };
            let before = self.save(sector);
            self.dirty.insert(place, DirtySector { sector: sector as u64, before });
        }
    }

    /// Copies a clean sector, whose content is the durable one.
    fn save(&mut self, sector: usize) -> Option<u32> {
        let start = sector * SECTOR;
        let held = self.data.get(start..)?;
        let held = &held[..held.len().min(SECTOR)];
        if held.is_empty() {
            return None;
        }
        let slot = self.before.len() / SECTOR;
        self.before.extend_from_slice(held);
        self.before.resize((slot + 1) * SECTOR, 0);
        Some(u32::try_from(slot).expect("less than 2 TiB are dirty"))
    }

    fn restore(&mut self, sector: usize, before: Option<u32>) {
        let start = sector * SECTOR;
        match before {
            Some(slot) => {
                if self.data.len() < start + SECTOR {
                    self.data.resize(start + SECTOR, 0);
                }
                let slot = slot as usize * SECTOR;
                self.data[start..start + SECTOR].copy_from_slice(&self.before[slot..slot + SECTOR]);
            }
            None if start < self.data.len() => {
                let end = self.data.len().min(start + SECTOR);
                self.data[start..end].fill(0);
            }
            None => {}
        }
    }
}
