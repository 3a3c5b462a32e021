//! The event queue: what happens next, by world time, and first come first served within an instant.
//!
//! Keys and payloads live apart. The heap sifts 16-byte keys only; payloads stay put in a slab, so
//! that large messages are moved twice (in and out) and nothing is allocated once the slab has
//! grown to the number of events in flight.

use super::time::WorldTime;

/// Bits of a key that name the payload's slot: up to 16 million events in flight.
const SLOT_BITS: u32 = 24;
/// Bits of a key that count the events ever pushed: up to 10^12.
const SEQUENCE_BITS: u32 = 64 - SLOT_BITS;
/// Children a heap node has. Four halve the depth, and the four keys lie in one cache line.
const ARITY: usize = 4;

/// Time in the high half, then the sequence number, then the payload's slot: one comparison orders
/// events by time and, within an instant, by when they were pushed.
type Key = u128;

#[derive(Clone, Debug)]
enum Slot<E> {
    Full(E),
    /// Empty; holds the next empty slot, if any.
    Free(Option<u32>),
}

/// Events in order of their time; those of one instant in the order they were pushed.
#[derive(Clone, Debug)]
pub(crate) struct EventQueue<E> {
    heap: Vec<Key>,
    slots: Vec<Slot<E>>,
    free: Option<u32>,
    pushed: u64,
}

impl<E> EventQueue<E> {
    pub(crate) fn new() -> EventQueue<E> {
        EventQueue { heap: Vec::new(), slots: Vec::new(), free: None, pushed: 0 }
    }

    /// Adds an event that is due at `time`.
    ///
    /// # Panics
    /// With more than 16 million events in flight, or more than 10^12 ever pushed: a run's event
    /// budget ends it long before.
    pub(crate) fn push(&mut self, time: WorldTime, event: E) {
        assert!(self.pushed < 1 << SEQUENCE_BITS, "the event queue's sequence numbers ran out");
        let slot = self.store(event);
        let order = self.pushed << SLOT_BITS | u64::from(slot);
        self.pushed += 1;
        self.heap.push(u128::from(time.as_nanos()) << 64 | u128::from(order));
        self.sift_up(self.heap.len() - 1);
    }

    /// When the first event is due.
    pub(crate) fn next_time(&self) -> Option<WorldTime> {
        self.heap.first().map(|key| WorldTime::from_nanos((key >> 64) as u64))
    }

    /// Takes the first event if it is due at `until` or before.
    pub(crate) fn pop_until(&mut self, until: WorldTime) -> Option<(WorldTime, E)> {
        let time = self.next_time().filter(|time| *time <= until)?;
        let key = self.heap.swap_remove(0);
        if !self.heap.is_empty() {
            self.sift_down();
        }
        let slot = (key as u32) & ((1 << SLOT_BITS) - 1);
        Some((time, self.take(slot)))
    }

    fn store(&mut self, event: E) -> u32 {
        let Some(slot) = self.free else {
            assert!(self.slots.len() < 1 << SLOT_BITS, "too many events in flight");
            self.slots.push(Slot::Full(event));
            return (self.slots.len() - 1) as u32;
        };
        match std::mem::replace(&mut self.slots[slot as usize], Slot::Full(event)) {
            Slot::Free(next) => self.free = next,
            Slot::Full(_) => unreachable!("the free list named a slot in use"),
        }
        slot
    }

    fn take(&mut self, slot: u32) -> E {
        match std::mem::replace(&mut self.slots[slot as usize], Slot::Free(self.free)) {
            Slot::Full(event) => {
                self.free = Some(slot);
                event
            }
            Slot::Free(_) => unreachable!("the heap named an empty slot"),
        }
    }

    fn sift_up(&mut self, mut at: usize) {
        let key = self.heap[at];
        while at > 0 {
            let parent = (at - 1) / ARITY;
            if self.heap[parent] <= key {
                break;
            }
            self.heap[at] = self.heap[parent];
            at = parent;
        }
        self.heap[at] = key;
    }

    fn sift_down(&mut self) {
        let heap = self.heap.as_mut_slice();
        let key = heap[0];
        let mut at = 0;
        loop {
            let first = at * ARITY + 1;
            if first >= heap.len() {
                break;
            }
            let last = (first + ARITY).min(heap.len());
            let mut least = first;
            for child in first + 1..last {
                if heap[child] < heap[least] {
                    least = child;
                }
            }
            if key <= heap[least] {
                break;
            }
            heap[at] = heap[least];
            at = least;
        }
        heap[at] = key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn events_come_by_time_and_then_in_the_order_they_were_pushed(
            steps in proptest::collection::vec((0u64..50, proptest::bool::ANY), 0..400),
        ) {
            let mut queue = EventQueue::new();
            let mut model: Vec<(u64, usize)> = Vec::new();
            for (index, (time, pop)) in steps.into_iter().enumerate() {
                queue.push(WorldTime::from_nanos(time), index);
                model.push((time, index));
                if pop {
                    let least = *model.iter().min().expect("one was just pushed");
                    model.retain(|entry| *entry != least);
                    let popped = queue.pop_until(WorldTime::from_nanos(50));
                    prop_assert_eq!(popped, Some((WorldTime::from_nanos(least.0), least.1)));
                }
            }
            model.sort_unstable();
            for (time, index) in model {
                let popped = queue.pop_until(WorldTime::from_nanos(50));
                prop_assert_eq!(popped, Some((WorldTime::from_nanos(time), index)));
            }
            prop_assert!(queue.next_time().is_none());
        }
    }

    #[test]
    fn an_event_after_the_limit_stays() {
        let mut queue = EventQueue::new();
        queue.push(WorldTime::from_nanos(10), 'a');
        assert_eq!(queue.pop_until(WorldTime::from_nanos(9)), None);
        assert_eq!(
            queue.pop_until(WorldTime::from_nanos(10)),
            Some((WorldTime::from_nanos(10), 'a'))
        );
    }

    #[test]
    fn slots_are_reused_so_that_a_steady_load_does_not_grow() {
        let mut queue = EventQueue::new();
        for time in 0..1_000 {
            queue.push(WorldTime::from_nanos(time), time);
            queue.push(WorldTime::from_nanos(time), time);
            queue.pop_until(WorldTime::from_nanos(time));
            queue.pop_until(WorldTime::from_nanos(time));
        }
        assert_eq!(queue.slots.len(), 2);
    }
}
