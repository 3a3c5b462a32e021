//! The members by name, as operators know them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use quorate_raft::NodeId;

use crate::options::Founder;

/// The names of the cluster's members.
#[derive(Clone, Debug)]
pub(crate) struct Names(Arc<BTreeMap<NodeId, String>>);

impl Names {
    pub(crate) fn of(members: &[Founder]) -> Names {
        let names = members.iter().map(|member| (member.id, member.name.clone()));
        Names(Arc::new(names.collect()))
    }

    pub(crate) fn contains(&self, member: NodeId) -> bool {
        self.0.contains_key(&member)
    }

    /// A member in a sentence.
    pub(crate) fn name(&self, member: NodeId) -> Name<'_> {
        Name { id: member, name: self.0.get(&member).map(String::as_str) }
    }
}

/// `member 8e9e05c52164694d (one)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'a> {
    id: NodeId,
    name: Option<&'a str>,
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "member {:x}", self.id.0)?;
        self.name.map_or(Ok(()), |name| write!(f, " ({name})"))
    }
}
