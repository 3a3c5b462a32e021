//! What the operator does with the cluster, as entries of a schedule.
//!
//! One line of text an entry, like a client's operation: `1500000us change +n5 +n6 -n0` — not
//! before 1.5 s of the run, and after all entries before it, have two members join and one leave at
//! once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::engine::{Nanos, NodeId};

/// What the operator does, and when at the earliest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedChange {
    /// Time of the run before which it does not begin, in whole microseconds.
    pub not_before: Nanos,
    /// What it does.
    pub action: OperatorAction,
}

/// The kinds of things that an operator does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorAction {
    /// Has a new member join that does not vote.
    AddLearner(NodeId),
    /// Has a new member join that votes.
    AddVoter(NodeId),
    /// Gives a learner a vote.
    Promote(NodeId),
    /// Takes a voter's vote.
    Demote(NodeId),
    /// Has a member leave.
    Remove(NodeId),
    /// Changes several members at once; the joint configuration is left by itself.
    Change(Vec<MemberChange>),
    /// Changes several members at once; the joint configuration stays until [`Self::Leave`].
    ChangeExplicit(Vec<MemberChange>),
    /// Leaves the joint configuration.
    Leave,
    /// Has this voter lead.
    Transfer(NodeId),
    /// Has one of the voters lead, whichever this number comes to.
    TransferAny(u32),
    /// Gives a member that left the cluster another machine, with an empty disk. Before it is added
    /// again the operator waits until nothing is left of its earlier life.
    ReplaceDisk(NodeId),
}

/// What becomes of one member in a change of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// It votes: `+n5`.
    Voter(NodeId),
    /// It receives the log and does not vote: `~n5`.
    Learner(NodeId),
    /// It leaves: `-n5`.
    Remove(NodeId),
}

/// Why a text is no entry.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{text}' is nothing that the operator does: {reason}")]
pub struct ChangeTextError {
    text: String,
    reason: &'static str,
}

impl MemberChange {
    /// Whom it concerns.
    #[must_use]
    pub fn member(self) -> NodeId {
        match self {
            MemberChange::Voter(node)
            | MemberChange::Learner(node)
            | MemberChange::Remove(node) => node,
        }
    }
}

impl OperatorAction {
    /// The members that it names.
    #[must_use]
    pub fn members(&self) -> Vec<NodeId> {
        match self {
            OperatorAction::AddLearner(node)
            | OperatorAction::AddVoter(node)
            | OperatorAction::Promote(node)
            | OperatorAction::Demote(node)
            | OperatorAction::Remove(node)
            | OperatorAction::Transfer(node)
            | OperatorAction::ReplaceDisk(node) => vec![*node],
            OperatorAction::Change(changes) | OperatorAction::ChangeExplicit(changes) => {
                changes.iter().map(|change| change.member()).collect()
            }
            OperatorAction::Leave | OperatorAction::TransferAny(_) => Vec::new(),
        }
    }
}

impl fmt::Display for MemberChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemberChange::Voter(node) => write!(f, "+{node}"),
            MemberChange::Learner(node) => write!(f, "~{node}"),
            MemberChange::Remove(node) => write!(f, "-{node}"),
        }
    }
}

impl fmt::Display for OperatorAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, name, changes: &[MemberChange]| {
            f.write_str(name)?;
            changes.iter().try_for_each(|change| write!(f, " {change}"))
        };
        match self {
            OperatorAction::AddLearner(node) => write!(f, "add-learner {node}"),
            OperatorAction::AddVoter(node) => write!(f, "add-voter {node}"),
            OperatorAction::Promote(node) => write!(f, "promote {node}"),
            OperatorAction::Demote(node) => write!(f, "demote {node}"),
            OperatorAction::Remove(node) => write!(f, "remove {node}"),
            OperatorAction::Change(changes) => list(f, "change", changes),
            OperatorAction::ChangeExplicit(changes) => list(f, "change-explicit", changes),
            OperatorAction::Leave => f.write_str("leave"),
            OperatorAction::Transfer(node) => write!(f, "transfer {node}"),
            OperatorAction::TransferAny(number) => write!(f, "transfer-any {number}"),
            OperatorAction::ReplaceDisk(node) => write!(f, "replace-disk {node}"),
        }
    }
}

impl fmt::Display for PlannedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us {}", self.not_before.as_nanos() / 1_000, self.action)
    }
}

impl FromStr for PlannedChange {
    type Err = ChangeTextError;

    fn from_str(text: &str) -> Result<PlannedChange, ChangeTextError> {
        let error = |reason| ChangeTextError { text: text.to_owned(), reason };
        let words: Vec<&str> = text.split(' ').collect();
        let [time, name, arguments @ ..] = words.as_slice() else {
            return Err(error("write '<time>us <action> <members>'"));
        };
        let micros = number::<u64>(time.strip_suffix("us"))
            .filter(|micros| *micros <= u64::MAX / 1_000)
            .ok_or_else(|| error("its first word is a time of the run like 1500000us"))?;
        let action = action(name, arguments).ok_or_else(|| {
            error(
                "write add-learner, add-voter, promote, demote, remove, transfer or replace-disk \
                 with a member (n5), change or change-explicit with one or more of +n5 (votes), \
                 ~n5 (learns) and -n5 (leaves), transfer-any with a number, or leave",
            )
        })?;
        Ok(PlannedChange { not_before: Nanos::from_micros(micros), action })
    }
}

fn action(name: &str, arguments: &[&str]) -> Option<OperatorAction> {
    let changes = || -> Option<Vec<MemberChange>> {
        arguments.iter().map(|word| member_change(word)).collect::<Option<Vec<_>>>()
    };
    Some(match (name, arguments) {
        ("add-learner", [who]) => OperatorAction::AddLearner(member(who)?),
        ("add-voter", [who]) => OperatorAction::AddVoter(member(who)?),
        ("promote", [who]) => OperatorAction::Promote(member(who)?),
        ("demote", [who]) => OperatorAction::Demote(member(who)?),
        ("remove", [who]) => OperatorAction::Remove(member(who)?),
        ("change", [_, ..]) => OperatorAction::Change(changes()?),
        ("change-explicit", [_, ..]) => OperatorAction::ChangeExplicit(changes()?),
        ("leave", []) => OperatorAction::Leave,
        ("transfer", [who]) => OperatorAction::Transfer(member(who)?),
        ("transfer-any", [which]) => OperatorAction::TransferAny(number(Some(which))?),
        ("replace-disk", [who]) => OperatorAction::ReplaceDisk(member(who)?),
        _ => return None,
    })
}

fn member(word: &str) -> Option<NodeId> {
    number(word.strip_prefix('n')).map(NodeId)
}

fn member_change(word: &str) -> Option<MemberChange> {
    let mut letters = word.chars();
    let sign = letters.next()?;
    let node = member(letters.as_str())?;
    match sign {
        '+' => Some(MemberChange::Voter(node)),
        '~' => Some(MemberChange::Learner(node)),
        '-' => Some(MemberChange::Remove(node)),
        _ => None,
    }
}

fn number<T: FromStr>(digits: Option<&str>) -> Option<T> {
    digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

impl Serialize for PlannedChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PlannedChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PlannedChange, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_written_so_that_it_can_be_read() {
        let node = NodeId(5);
        let changes = vec![
            MemberChange::Voter(node),
            MemberChange::Learner(NodeId(6)),
            MemberChange::Remove(NodeId(0)),
        ];
        for action in [
            OperatorAction::AddLearner(node),
            OperatorAction::AddVoter(node),
            OperatorAction::Promote(node),
            OperatorAction::Demote(node),
            OperatorAction::Remove(node),
            OperatorAction::Change(changes.clone()),
            OperatorAction::ChangeExplicit(changes),
            OperatorAction::Leave,
            OperatorAction::Transfer(node),
            OperatorAction::TransferAny(7),
            OperatorAction::ReplaceDisk(node),
        ] {
            let planned = PlannedChange { not_before: Nanos::from_millis(1_500), action };
            assert_eq!(planned.to_string().parse(), Ok(planned));
        }
        let change = "1500000us change +n5 ~n6 -n0";
        assert_eq!(change.parse::<PlannedChange>().map(|read| read.to_string()), Ok(change.into()));
    }

    #[test]
    fn what_the_operator_does_not_do_is_refused_with_what_it_does() {
        for (text, says) in [
            ("", "write '<time>us"),
            ("add-voter n5", "its first word is a time"),
            ("5ms add-voter n5", "its first word is a time"),
            ("-5us add-voter n5", "its first word is a time"),
            ("99999999999999999999us leave", "its first word is a time"),
            ("5us add-voter 5", "with a member (n5)"),
            ("5us add-voter n5 n6", "with a member (n5)"),
            ("5us change", "one or more of +n5"),
            ("5us change n5", "one or more of +n5"),
            ("5us change +n5  -n0", "one or more of +n5"),
            ("5us leave n5", "or leave"),
            ("5us transfer-any", "transfer-any with a number"),
            ("5us replace n5", "replace-disk"),
        ] {
            let error = text.parse::<PlannedChange>().expect_err(text).to_string();
            assert!(error.contains("is nothing that the operator does: "), "{error}");
            assert!(error.contains(says), "{error}");
        }
    }
}
