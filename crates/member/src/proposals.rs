//! Writes on their way through the log, and who waits for each.

use std::collections::BTreeMap;

use crate::config::Time;
use crate::request::RequestToken;

/// A request's id within the cluster: it travels in the entry, and the member that finds its own
/// when it applies the entry has the client's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RequestId(pub(crate) u64);

#[derive(Debug)]
pub(crate) struct Proposals {
    next_id: u64,
    waiting: BTreeMap<RequestId, (RequestToken, Time)>,
}

impl Proposals {
    pub(crate) fn new(first_id: u64) -> Proposals {
        Proposals { next_id: first_id, waiting: BTreeMap::new() }
    }

    pub(crate) fn next_id(&mut self) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id += 1;
        id
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn wait(&mut self, id: RequestId, token: RequestToken, deadline: Time) {
        self.waiting.insert(id, (token, deadline));
    }

    /// Whether somebody waits for this request, and it is one of ours.
    pub(crate) fn is_awaited(&self, id: RequestId) -> bool {
        self.waiting.contains_key(&id)
    }

    /// Who waits for this request, if it is one of ours and not given up yet.
    pub(crate) fn take(&mut self, id: RequestId) -> Option<RequestToken> {
        self.waiting.remove(&id).map(|(token, _)| token)
    }

    /// Gives up what has waited until `now`.
    pub(crate) fn expire(&mut self, now: Time) -> Vec<RequestToken> {
        let expired: Vec<_> = self
            .waiting
            .iter()
            .filter(|(_, (_, deadline))| *deadline <= now)
            .map(|(&id, &(token, _))| (id, token))
            .collect();
        for (id, _) in &expired {
            self.waiting.remove(id);
        }
        expired.into_iter().map(|(_, token)| token).collect()
    }
}
