//! What must hold after every event, whatever the script does.

use std::collections::BTreeMap;

use quorate_raft::{Configuration, EntryRange, LogIndex, Message, NodeId, Role, Term};

use crate::disk::{Entry, Payload};
use crate::node::{Face, Node};

/// What was ever decided in a group.
#[derive(Default)]
pub(crate) struct Ledger {
    leaders: BTreeMap<Term, NodeId>,
    /// Everything that any member took for committed, from index 1 on.
    committed: Vec<Entry>,
}

impl Ledger {
    pub(crate) fn committed(&self) -> u64 {
        self.committed.len() as u64
    }

    /// # Errors
    /// Which rule is broken after an event at `nodes[at]`, which looked like `before`.
    pub(crate) fn check(
        &mut self,
        nodes: &[Node],
        at: usize,
        before: Option<&Face>,
    ) -> Result<(), String> {
        let node = &nodes[at];
        let Some(now) = node.face() else {
            return Ok(());
        };
        self.one_leader_a_term(node, &now)?;
        // Others are told what is committed, possibly along with a configuration that is newer.
        let counted = before.filter(|before| before.role == Role::Leader);
        let configuration = counted.map(|before| &before.configuration);
        self.committed_prefixes_agree(nodes, node, &now, configuration)?;
        self.applied_is_committed(node)?;
        for other in nodes.iter().filter(|other| other.id != node.id) {
            logs_match(node, other)?;
        }
        Ok(())
    }

    fn one_leader_a_term(&mut self, node: &Node, now: &Face) -> Result<(), String> {
        if now.role != Role::Leader {
            return Ok(());
        }
        let newest = self.leaders.last_key_value().is_none_or(|(&term, _)| now.term > term);
        let leader = *self.leaders.entry(now.term).or_insert(node.id);
        if leader != node.id {
            return Err(format!("term {} has two leaders: n{leader} and n{}", now.term, node.id));
        }
        let base = node.up()?.log().base().0;
        for (index, entry) in
            (1..).zip(&self.committed).filter(|&(index, _)| newest && index > base)
        {
            if node.memory.log.get(&LogIndex(index)) != Some(entry) {
                return Err(format!("n{} leads without the committed entry {index}", node.id));
            }
        }
        Ok(())
    }

    fn committed_prefixes_agree(
        &mut self,
        nodes: &[Node],
        node: &Node,
        now: &Face,
        configuration: Option<&Configuration>,
    ) -> Result<(), String> {
        for (&index, entry) in node.memory.log.range(..=now.commit) {
            let position = index.0 as usize - 1;
            if let Some(committed) = self.committed.get(position) {
                if committed != entry {
                    return Err(format!(
                        "entry {index} is committed as {} of term {} at n{}, and was as {} of term {}",
                        entry.payload,
                        entry.meta.term,
                        node.id,
                        committed.payload,
                        committed.meta.term
                    ));
                }
                continue;
            }
            if position != self.committed.len() {
                return Err(format!("n{} commits {index} before what precedes it", node.id));
            }
            let holds =
                |id| nodes.iter().any(|node| node.id == id && node.disk.holds(index, entry));
            if index.0 > 1 && configuration.is_some_and(|members| !members.has_quorum(holds)) {
                return Err(format!("n{} commits {index}, which no quorum has on disk", node.id));
            }
            self.committed.push(entry.clone());
        }
        Ok(())
    }

    fn applied_is_committed(&self, node: &Node) -> Result<(), String> {
        for (index, payload) in (1..).zip(&node.memory.applied) {
            let committed = self.committed.get(index - 1).map(|entry| &entry.payload);
            if committed != Some(payload) {
                return Err(format!("n{} applied {payload} at {index}, not committed", node.id));
            }
        }
        Ok(())
    }
}

/// Equal index and term mean equal logs up to there (§5.3).
fn logs_match(node: &Node, other: &Node) -> Result<(), String> {
    let (mine, theirs) = (&node.memory.log, &other.memory.log);
    let mut matched = false;
    for (index, entry) in mine.iter().rev() {
        let Some(there) = theirs.get(index) else {
            continue;
        };
        matched |= there.meta.term == entry.meta.term;
        if matched && there != entry {
            return Err(format!(
                "n{} and n{} differ at {index} and agree later",
                node.id, other.id
            ));
        }
    }
    Ok(())
}

/// A message says nothing that its sender could forget (§5.1).
pub(crate) fn term_is_durable(node: &Node, message: &Message) -> Result<(), String> {
    let term = node.disk.hard_state.term;
    if message.term <= term {
        return Ok(());
    }
    Err(format!("n{} speaks of term {}, and has only term {term} on disk", node.id, message.term))
}

/// What is handed out to be applied goes on where it ended, and is on disk.
pub(crate) fn may_be_applied(node: &Node, range: EntryRange) -> Result<(), String> {
    if range.first.0 != node.memory.applied.len() as u64 + 1 {
        return Err(format!("n{} is to apply {} out of order", node.id, range.first));
    }
    for (index, entry) in node.memory.log.range(range.first..=range.last) {
        if !node.disk.holds(*index, entry) {
            return Err(format!("n{} is to apply {index}, which is not on its disk", node.id));
        }
    }
    Ok(())
}

/// The state that a snapshot of `index` stands for.
pub(crate) fn state_at(applied: &[Payload], index: LogIndex) -> Result<Vec<Payload>, String> {
    let state = applied.get(..index.0 as usize);
    state.map(<[Payload]>::to_vec).ok_or_else(|| format!("{index} is not applied yet"))
}
