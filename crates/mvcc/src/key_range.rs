//! etcd's range convention, parsed: what a `key` and a `range_end` mean together.
//!
//! Owns which keys a request names. Never looks any up.

use std::ops::Bound;

/// A range's first and last key, as an ordered map takes them.
pub(crate) type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// The keys that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyRange<'a> {
    /// This key alone.
    Key(&'a [u8]),
    /// This key and all that follow.
    From(&'a [u8]),
    /// From the first key up to, without it, the second. Empty if the second is not the greater.
    Between(&'a [u8], &'a [u8]),
}

impl<'a> KeyRange<'a> {
    /// Reads the convention: no end is one key, a zero byte is no bound, else half-open.
    pub(crate) fn new(key: &'a [u8], range_end: &'a [u8]) -> KeyRange<'a> {
        match range_end {
            [] => KeyRange::Key(key),
            [0] => KeyRange::From(key),
            end => KeyRange::Between(key, end),
        }
    }

    /// The bounds to look up in an ordered map, `None` if no key can lie within: an inverted
    /// range names nothing, in etcd too, where a `BTreeMap` would panic.
    pub(crate) fn bounds(self) -> Option<Bounds<'a>> {
        match self {
            KeyRange::Key(key) => Some((Bound::Included(key), Bound::Included(key))),
            KeyRange::From(key) => Some((Bound::Included(key), Bound::Unbounded)),
            KeyRange::Between(key, end) if key < end => {
                Some((Bound::Included(key), Bound::Excluded(end)))
            }
            KeyRange::Between(..) => None,
        }
    }
}
