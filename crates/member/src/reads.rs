//! Reads that have to be confirmed before they may be answered.
//!
//! One read index is asked for at a time; what arrives meanwhile shares the next one. A request
//! that got no answer is repeated under a new id, and answers to earlier ids are ignored: an
//! answer that was delayed may be older than the read (etcd's issue 20418).

use quorate_raft::{LogIndex, ReadId};

use crate::config::Time;
use crate::request::{Request, RequestToken};

/// Who wants to know what is committed by now.
#[derive(Debug)]
pub(crate) enum Read {
    /// A client.
    Client { token: RequestToken, request: Request, deadline: Time },
    /// The member itself, once after each start (see [`crate::Member`]).
    CatchUp,
}

#[derive(Debug)]
pub(crate) struct Reads {
    next_id: u64,
    /// Under way: its id, when it was asked for, and who waits.
    current: Option<(ReadId, Time, Vec<Read>)>,
    /// There was no leader to ask for the one under way.
    dropped: bool,
    /// For the next one.
    gathering: Vec<Read>,
    /// Confirmed; to be answered once the index is applied.
    confirmed: Vec<(LogIndex, Vec<Read>)>,
}

impl Reads {
    pub(crate) fn new(first_id: u64) -> Reads {
        Reads {
            next_id: first_id,
            current: None,
            dropped: false,
            gathering: Vec::new(),
            confirmed: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        let current = self.current.iter().map(|(.., reads)| reads.len());
        let confirmed = self.confirmed.iter().map(|(_, reads)| reads.len());
        self.gathering.len() + current.chain(confirmed).sum::<usize>()
    }

    pub(crate) fn push(&mut self, read: Read) {
        self.gathering.push(read);
    }

    /// A read that need not be confirmed, or not any more: to be answered once `index` is applied.
    pub(crate) fn push_confirmed(&mut self, index: LogIndex, read: Read) {
        self.confirmed.push((index, vec![read]));
    }

    /// The read index to ask for now, if there is one.
    pub(crate) fn next_request(&mut self, now: Time) -> Option<ReadId> {
        if self.current.is_some() || self.gathering.is_empty() {
            return None;
        }
        let id = self.fresh_id();
        self.current = Some((id, now, std::mem::take(&mut self.gathering)));
        Some(id)
    }

    /// There was no leader to ask.
    pub(crate) fn dropped(&mut self, id: ReadId) {
        self.dropped = self.current.as_ref().is_some_and(|(current, ..)| *current == id);
    }

    /// Asks again, under a new id, if the one under way was dropped and there is a leader now.
    pub(crate) fn retry_dropped(&mut self, now: Time) -> Option<ReadId> {
        if self.dropped { self.retry(now, now) } else { None }
    }

    /// Asks again, under a new id, if the one under way was asked for at `before` or earlier.
    pub(crate) fn retry(&mut self, now: Time, before: Time) -> Option<ReadId> {
        if self.current.as_ref().is_none_or(|(_, asked, _)| *asked > before) {
            return None;
        }
        self.dropped = false;
        let id = self.fresh_id();
        let gathered = std::mem::take(&mut self.gathering);
        let (current, asked, reads) = self.current.as_mut().expect("one is under way");
        (*current, *asked) = (id, now);
        // Who came meanwhile came before this request, so that it serves them too.
        reads.extend(gathered);
        Some(id)
    }

    /// A read index came. Ignored unless it answers the request under way.
    pub(crate) fn confirm(&mut self, id: ReadId, index: LogIndex) {
        if let Some((_, _, reads)) = self.current.take_if(|(current, ..)| *current == id) {
            self.confirmed.push((index, reads));
        }
    }

    /// The reads that may be answered once `applied` is applied.
    pub(crate) fn ready(&mut self, applied: LogIndex) -> Vec<Read> {
        if self.confirmed.iter().all(|(index, _)| *index > applied) {
            return Vec::new();
        }
        let ready = self.confirmed.extract_if(.., |(index, _)| *index <= applied);
        ready.flat_map(|(_, reads)| reads).collect()
    }

    /// Gives up what has waited until `now`.
    pub(crate) fn expire(&mut self, now: Time) -> Vec<RequestToken> {
        let mut expired = Vec::new();
        let lists = self.current.iter_mut().map(|(.., reads)| reads);
        let lists = lists.chain(self.confirmed.iter_mut().map(|(_, reads)| reads));
        for list in lists.chain([&mut self.gathering]) {
            list.retain(|read| match read {
                Read::Client { token, deadline, .. } if *deadline <= now => {
                    expired.push(*token);
                    false
                }
                _ => true,
            });
        }
        expired
    }

    fn fresh_id(&mut self) -> ReadId {
        let id = ReadId(self.next_id);
        self.next_id += 1;
        id
    }
}
