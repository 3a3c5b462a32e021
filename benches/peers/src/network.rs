//! What lies between three members: queues that lose nothing, the same for both sides.

use std::collections::VecDeque;

/// Messages under way, in the order of sending.
#[derive(Debug)]
pub(crate) struct Network<M> {
    inboxes: [VecDeque<M>; 3],
    sent: u64,
}

impl<M> Network<M> {
    pub(crate) fn new() -> Network<M> {
        Network { inboxes: [const { VecDeque::new() }; 3], sent: 0 }
    }

    /// Sends to the member of this number, from 1.
    pub(crate) fn send(&mut self, to: u64, message: M) {
        self.inboxes[to as usize - 1].push_back(message);
        self.sent += 1;
    }

    /// The oldest message to the member of this number.
    pub(crate) fn receive(&mut self, member: u64) -> Option<M> {
        self.inboxes[member as usize - 1].pop_front()
    }

    /// How many were sent since the start.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }
}
