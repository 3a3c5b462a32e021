//! A client's operation as an entry of a schedule.
//!
//! One line of text an operation, so that a schedule of a thousand of them can still be read:
//! `12000us n2 put k3 v17` — 12 ms after the last one ended, ask member n2 to put.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::engine::{Nanos, NodeId};

/// One of the workload's keys: `k3` in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u32);

/// A value, unique within its schedule: `v17` in the store; `v17+2048` with so many zeros behind it,
/// which a log must not take for sectors that were never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    /// What makes it unique.
    pub number: u32,
    /// How many zero bytes it ends in.
    pub zeros: u32,
}

/// More would only cost memory.
const MOST_ZEROS: u32 = 1 << 20;

/// What a client does, when, and whom it asks first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedOperation {
    /// How long it waits after its last operation ended, in whole microseconds.
    pub think: Nanos,
    /// The member that it asks.
    pub member: NodeId,
    /// What it asks for.
    pub action: Action,
}

/// The kinds of operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write a key.
    Put(Key, Value),
    /// Read a key, linearizably.
    Get(Key),
    /// Read a key from the member's own state.
    GetSerializable(Key),
    /// Read a key as it was some revisions ago.
    GetBack(Key, u32),
    /// Read the first keys there are, at most so many (0: all).
    List(u32),
    /// The same from the member's own state.
    ListSerializable(u32),
    /// Delete a key.
    Delete(Key),
    /// Delete the keys from the first up to, without it, the second.
    DeleteRange(Key, Key),
    /// Write a key if nobody wrote it since this client last saw it; else read it.
    CompareAndSwap(Key, Value),
    /// Write both keys and read the first, if the first exists; else write the second alone.
    WriteBoth(Key, Key, Value),
    /// Read two keys at one instant.
    ReadBoth(Key, Key),
    /// Forget all but the last so many revisions that the client knows of.
    Compact(u32),
}

impl Action {
    /// What looks at the same keys and changes nothing.
    #[must_use]
    pub fn reading(&self) -> Action {
        match self {
            Action::Put(key, _)
            | Action::Delete(key)
            | Action::DeleteRange(key, _)
            | Action::CompareAndSwap(key, _) => Action::Get(*key),
            Action::WriteBoth(one, other, _) => Action::ReadBoth(*one, *other),
            Action::Compact(_) => Action::List(1),
            Action::Get(_)
            | Action::GetSerializable(_)
            | Action::GetBack(..)
            | Action::List(_)
            | Action::ListSerializable(_)
            | Action::ReadBoth(..) => self.clone(),
        }
    }
}

/// Why a text is not an operation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{text}' is not an operation: {reason}")]
pub struct OperationError {
    text: String,
    reason: &'static str,
}

impl Key {
    /// The key's bytes.
    #[must_use]
    pub fn bytes(self) -> bytes::Bytes {
        bytes::Bytes::from(self.to_string())
    }
}

impl Value {
    /// One without zeros behind it.
    #[must_use]
    pub fn short(number: u32) -> Value {
        Value { number, zeros: 0 }
    }

    /// The value's bytes.
    #[must_use]
    pub fn bytes(self) -> bytes::Bytes {
        let mut bytes = Value::short(self.number).to_string().into_bytes();
        bytes.resize(bytes.len() + self.zeros as usize, 0);
        bytes::Bytes::from(bytes)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "k{}", self.0)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.zeros {
            0 => write!(f, "v{}", self.number),
            zeros => write!(f, "v{}+{zeros}", self.number),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Put(key, value) => write!(f, "put {key} {value}"),
            Action::Get(key) => write!(f, "get {key}"),
            Action::GetSerializable(key) => write!(f, "get-serializable {key}"),
            Action::GetBack(key, back) => write!(f, "get-back {key} {back}"),
            Action::List(limit) => write!(f, "list {limit}"),
            Action::ListSerializable(limit) => write!(f, "list-serializable {limit}"),
            Action::Delete(key) => write!(f, "delete {key}"),
            Action::DeleteRange(from, to) => write!(f, "delete-range {from} {to}"),
            Action::CompareAndSwap(key, value) => write!(f, "compare-and-swap {key} {value}"),
            Action::WriteBoth(one, other, value) => write!(f, "write-both {one} {other} {value}"),
            Action::ReadBoth(one, other) => write!(f, "read-both {one} {other}"),
            Action::Compact(keep) => write!(f, "compact {keep}"),
        }
    }
}

impl fmt::Display for PlannedOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us {} {}", self.think.as_nanos() / 1_000, self.member, self.action)
    }
}

impl FromStr for PlannedOperation {
    type Err = OperationError;

    fn from_str(text: &str) -> Result<PlannedOperation, OperationError> {
        let error = |reason| OperationError { text: text.to_owned(), reason };
        let words: Vec<&str> = text.split(' ').collect();
        let [think, member, name, arguments @ ..] = words.as_slice() else {
            return Err(error("write '<time>us n<member> <action> <arguments>'"));
        };
        let think = number(think.strip_suffix("us"))
            .ok_or_else(|| error("its first word is a time like 1500us"))?;
        let member = number(member.strip_prefix('n'))
            .ok_or_else(|| error("its second word is a member like n2"))?;
        let action = action(name, arguments).ok_or_else(|| {
            error("the action is none that there is, or its arguments are not keys (k1), values (v1; v1+2048 with that many zeros, at most 1048576) and numbers in its order")
        })?;
        Ok(PlannedOperation {
            think: Nanos::from_micros(u64::from(think)),
            member: NodeId(member),
            action,
        })
    }
}

fn action(name: &str, arguments: &[&str]) -> Option<Action> {
    let key = |word: &str| number(word.strip_prefix('k')).map(Key);
    let value = |word: &str| {
        let word = word.strip_prefix('v')?;
        let Some((word, zeros)) = word.split_once('+') else {
            return number(Some(word)).map(Value::short);
        };
        let zeros = number(Some(zeros)).filter(|zeros| (1..=MOST_ZEROS).contains(zeros))?;
        Some(Value { number: number(Some(word))?, zeros })
    };
    let plain = |word: &str| number(Some(word));
    Some(match (name, arguments) {
        ("put", [k, v]) => Action::Put(key(k)?, value(v)?),
        ("get", [k]) => Action::Get(key(k)?),
        ("get-serializable", [k]) => Action::GetSerializable(key(k)?),
        ("get-back", [k, back]) => Action::GetBack(key(k)?, plain(back)?),
        ("list", [limit]) => Action::List(plain(limit)?),
        ("list-serializable", [limit]) => Action::ListSerializable(plain(limit)?),
        ("delete", [k]) => Action::Delete(key(k)?),
        ("delete-range", [from, to]) => Action::DeleteRange(key(from)?, key(to)?),
        ("compare-and-swap", [k, v]) => Action::CompareAndSwap(key(k)?, value(v)?),
        ("write-both", [one, other, v]) => Action::WriteBoth(key(one)?, key(other)?, value(v)?),
        ("read-both", [one, other]) => Action::ReadBoth(key(one)?, key(other)?),
        ("compact", [keep]) => Action::Compact(plain(keep)?),
        _ => return None,
    })
}

fn number(digits: Option<&str>) -> Option<u32> {
    digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

impl Serialize for PlannedOperation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PlannedOperation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PlannedOperation, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_written_so_that_it_can_be_read() {
        let (k, other, v) = (Key(3), Key(11), Value::short(17));
        let padded = Value { number: 17, zeros: 2048 };
        for action in [
            Action::Put(k, v),
            Action::Put(k, padded),
            Action::Get(k),
            Action::GetSerializable(k),
            Action::GetBack(k, 5),
            Action::List(0),
            Action::ListSerializable(4),
            Action::Delete(k),
            Action::DeleteRange(k, other),
            Action::CompareAndSwap(k, v),
            Action::WriteBoth(k, other, v),
            Action::ReadBoth(k, other),
            Action::Compact(10),
        ] {
            let operation =
                PlannedOperation { think: Nanos::from_micros(1_500), member: NodeId(2), action };
            assert_eq!(operation.to_string().parse(), Ok(operation));
        }
    }

    #[test]
    fn a_value_ends_in_as_many_zeros_as_it_says() {
        assert_eq!(Value::short(17).bytes(), "v17");
        assert_eq!(Value { number: 17, zeros: 3 }.bytes(), "v17\0\0\0");
    }

    #[test]
    fn what_is_no_operation_is_refused_with_a_reason() {
        for text in [
            "",
            "5us n1",
            "5 n1 get k1",
            "5us 1 get k1",
            "5us n1 put k1",
            "5us n1 get v1",
            "5us n1 put k1 v1+",
            "5us n1 put k1 v1+0",
            "5us n1 put k1 v1+1048577",
            "5us n1 fly k1",
            "+5us n1 get k1",
        ] {
            let error = text.parse::<PlannedOperation>().expect_err(text);
            assert!(error.to_string().contains("is not an operation: "), "{error}");
        }
    }
}
