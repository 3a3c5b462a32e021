//! A list that grows without moving what it holds: in pieces of equal size.
//!
//! Both sides keep their payloads in it, so that neither pays for a larger copy of its log at each
//! doubling, nor for room that it does not use.

/// Items a piece.
const SEGMENT: usize = 1024;

/// A list in pieces of [`SEGMENT`] items.
#[derive(Debug)]
pub(crate) struct Segments<T> {
    /// All full but the last, which is not empty.
    segments: Vec<Vec<T>>,
}

impl<T> Segments<T> {
    pub(crate) fn new() -> Segments<T> {
        Segments { segments: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.segments.last().map_or(0, |last| (self.segments.len() - 1) * SEGMENT + last.len())
    }

    /// Appends one item.
    pub(crate) fn push(&mut self, item: T) {
        match self.segments.last_mut() {
            Some(last) if last.len() < SEGMENT => last.push(item),
            _ => {
                let mut segment = Vec::with_capacity(SEGMENT);
                segment.push(item);
                self.segments.push(segment);
            }
        }
    }

    /// Appends all items.
    pub(crate) fn extend(&mut self, items: impl IntoIterator<Item = T>) {
        let mut items = items.into_iter();
        if let Some(last) = self.segments.last_mut() {
            let room = SEGMENT - last.len();
            last.extend(items.by_ref().take(room));
        }
        while let Some(item) = items.next() {
            let mut segment = Vec::with_capacity(SEGMENT);
            segment.push(item);
            segment.extend(items.by_ref().take(SEGMENT - 1));
            self.segments.push(segment);
        }
    }

    pub(crate) fn get(&self, position: usize) -> Option<&T> {
        self.segments.get(position / SEGMENT)?.get(position % SEGMENT)
    }

    /// Drops all items from position `len` on, if there are any.
    pub(crate) fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        self.segments.truncate(len.div_ceil(SEGMENT));
        if let Some(last) = self.segments.last_mut()
            && !len.is_multiple_of(SEGMENT)
        {
            last.truncate(len % SEGMENT);
        }
    }

    /// The items `start..end`, in runs that lie side by side.
    ///
    /// # Panics
    /// If there are fewer than `end`.
    pub(crate) fn runs(&self, start: usize, end: usize) -> impl Iterator<Item = &[T]> {
        let mut position = start;
        std::iter::from_fn(move || {
            if position >= end {
                return None;
            }
            let (segment, first) = (position / SEGMENT, position % SEGMENT);
            let last = SEGMENT.min(first + end - position);
            position += last - first;
            Some(&self.segments[segment][first..last])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_equals_a_plain_list_across_the_borders_of_pieces() {
        let mut list = Segments::new();
        let mut plain = Vec::new();
        for len in [1, 1023, 1024, 1025, 2048, 3000, 2049, 2048, 2047, 5, 0, 1500] {
            list.truncate(len);
            plain.truncate(len);
            let new: Vec<usize> = (plain.len()..len).map(|position| position * 7 + len).collect();
            let (at_once, one_by_one) = new.split_at(new.len() / 2);
            list.extend(at_once.iter().copied());
            for &item in one_by_one {
                list.push(item);
            }
            plain.extend(new);
            assert_eq!(list.len(), len);
            assert_eq!(list.get(len), None);
            assert_eq!(list.get(len / 2), plain.get(len / 2));
            for (start, end) in [(0, len), (len / 3, len / 2), (len, len), (len / 2, len)] {
                let items: Vec<usize> = list.runs(start, end).flatten().copied().collect();
                assert_eq!(items, plain[start..end], "{start}..{end} of {len}");
            }
        }
    }
}
