//! A list that needs no memory of its own for a single element: most proposals, and most messages
//! of a group that is not busy, have one entry.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// Elements in order. It is a slice once it is made.
#[derive(Clone)]
pub struct List<T>(Elements<T>);

#[derive(Clone)]
enum Elements<T> {
    One(T),
    Any(Vec<T>),
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Elements::One(element) => std::slice::from_ref(element),
            Elements::Any(elements) => elements,
        }
    }
}

impl<T> From<T> for List<T> {
    fn from(element: T) -> List<T> {
        List(Elements::One(element))
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(elements: Vec<T>) -> List<T> {
        List(Elements::Any(elements))
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> List<T> {
        let mut elements = elements.into_iter();
        match (elements.next(), elements.size_hint()) {
            (Some(element), (_, Some(0))) => List::from(element),
            (first, _) => first.into_iter().chain(elements).collect::<Vec<T>>().into(),
        }
    }
}

impl<'a, T> IntoIterator for &'a List<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> std::slice::Iter<'a, T> {
        self.iter()
    }
}

impl<T> Default for List<T> {
    fn default() -> List<T> {
        Vec::new().into()
    }
}

impl<T: PartialEq> PartialEq for List<T> {
    fn eq(&self, other: &List<T>) -> bool {
        self[..] == other[..]
    }
}

impl<T: Eq> Eq for List<T> {}

impl<T: Hash> Hash for List<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self[..].hash(state);
    }
}

impl<T: fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self[..].fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

    #[test]
    fn how_it_was_made_makes_no_difference() {
        let hash = |list: &List<u32>| BuildHasherDefault::<DefaultHasher>::new().hash_one(list);
        for expected in [vec![], vec![7], vec![7, 8]] {
            let lists = [List::from(expected.clone()), expected.iter().copied().collect()];
            for list in lists {
                assert_eq!(list[..], expected);
                assert_eq!(list, List::from(expected.clone()));
                assert_eq!(hash(&list), hash(&List::from(expected.clone())));
            }
        }
        assert_eq!(List::from(7), List::from(vec![7]));
        assert_eq!(hash(&List::from(7)), hash(&List::from(vec![7])));
    }
}
