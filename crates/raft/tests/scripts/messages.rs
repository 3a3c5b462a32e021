//! Which of the messages on their way a command means, and what the network does with them.

use quorate_raft::NodeId;

use crate::group::Group;
use crate::node::Letter;
use crate::tell;
use crate::words::{Words, node};

/// More deliveries than any script needs: a group that goes on for so long never comes to rest.
const MAX_DELIVERIES: usize = 10_000;

/// `[first|last] [KIND] [FROM->TO]`, or `all`.
pub(crate) struct Selection {
    only: Option<End>,
    kind: Option<String>,
    link: Option<(Option<NodeId>, Option<NodeId>)>,
    /// Those that are held back are meant as well.
    held: bool,
}

#[derive(Clone, Copy)]
enum End {
    First,
    Last,
}

impl Selection {
    pub(crate) fn parse(words: &mut Words<'_>) -> Result<Selection, String> {
        if words.take("all") {
            words.end()?;
            return Ok(Selection { only: None, kind: None, link: None, held: false });
        }
        let only = match words.peek() {
            Some("first") => Some(End::First),
            Some("last") => Some(End::Last),
            _ => None,
        };
        if only.is_some() {
            words.word("first or last")?;
        }
        let kind = words.peek().filter(|word| !word.contains("->"));
        if let Some(kind) = kind {
            if !tell::KINDS.contains(&kind) {
                return Err(format!("{kind:?} is no kind of message: they are {:?}", tell::KINDS));
            }
            words.word("a kind")?;
        }
        let link = match words.is_empty() {
            true => None,
            false => Some(link(words.word("a link")?)?),
        };
        words.end()?;
        if only.is_none() && kind.is_none() && link.is_none() {
            return Err("say which messages: all, or a kind, or a link n1->n2".to_owned());
        }
        Ok(Selection { only, kind: kind.map(str::to_owned), link, held: true })
    }

    fn matches(&self, letter: &Letter) -> bool {
        let message = &letter.message;
        (self.held || !letter.held)
            && self.kind.as_ref().is_none_or(|kind| kind == tell::kind(&message.body))
            && self.link.is_none_or(|(from, to)| {
                from.is_none_or(|from| from == message.from) && to.is_none_or(|to| to == message.to)
            })
    }

    /// Positions in the network of what is meant, ascending: at least one.
    fn positions(&self, network: &[Letter]) -> Result<Vec<usize>, String> {
        let matching = network.iter().enumerate().filter(|(_, letter)| self.matches(letter));
        let mut positions: Vec<usize> = matching.map(|(position, _)| position).collect();
        match self.only {
            Some(End::First) => positions.truncate(1),
            Some(End::Last) => drop(positions.drain(..positions.len().saturating_sub(1))),
            None => {}
        }
        if positions.is_empty() {
            let there: Vec<_> = network.iter().map(describe).collect();
            return Err(format!(
                "no such message is on its way; there are:\n  {}",
                there.join("\n  ")
            ));
        }
        Ok(positions)
    }
}

/// `n1->n2`, either side `*` for anybody.
pub(crate) fn link(word: &str) -> Result<(Option<NodeId>, Option<NodeId>), String> {
    let end = |word: &str| if word == "*" { Ok(None) } else { node(word).map(Some) };
    let (from, to) = word.split_once("->").ok_or_else(|| format!("{word:?} is no link n1->n2"))?;
    Ok((end(from)?, end(to)?))
}

pub(crate) fn describe(letter: &Letter) -> String {
    let held = if letter.held { " (held)" } else { "" };
    let what = tell::message(&letter.message, &letter.entries);
    format!("n{} → n{} {what}{held}", letter.message.from, letter.message.to)
}

impl Group {
    /// Takes what is meant out of the network.
    fn take(&mut self, selection: &Selection) -> Result<Vec<Letter>, String> {
        let positions = selection.positions(&self.network)?;
        let taken = positions.into_iter().rev().map(|position| self.network.remove(position));
        let mut taken: Vec<_> = taken.collect();
        taken.reverse();
        Ok(taken)
    }

    pub(crate) fn deliver_selected(&mut self, selection: &Selection) -> Result<(), String> {
        self.take(selection)?.into_iter().try_for_each(|letter| self.deliver(letter))
    }

    pub(crate) fn drop_selected(&mut self, selection: &Selection) -> Result<(), String> {
        for letter in self.take(selection)? {
            self.tell(format!("lost: {}", describe(&letter)));
        }
        Ok(())
    }

    pub(crate) fn duplicate_selected(&mut self, selection: &Selection) -> Result<(), String> {
        for position in selection.positions(&self.network)? {
            let mut copy = self.network[position].clone();
            copy.held = false;
            self.tell(format!("twice on its way: {}", describe(&copy)));
            self.network.push(copy);
        }
        Ok(())
    }

    pub(crate) fn hold_selected(
        &mut self,
        selection: &Selection,
        hold: bool,
    ) -> Result<(), String> {
        for position in selection.positions(&self.network)? {
            self.network[position].held = hold;
            let line = describe(&self.network[position]);
            self.tell(format!("{}: {line}", if hold { "delayed" } else { "no longer delayed" }));
        }
        Ok(())
    }

    /// Delivers in the order of sending until nothing is on its way but what is held.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        for _ in 0..MAX_DELIVERIES {
            let Some(next) = self.network.iter().position(|letter| !letter.held) else {
                return Ok(());
            };
            let letter = self.network.remove(next);
            self.deliver(letter)?;
        }
        Err(format!("the group is not at rest after {MAX_DELIVERIES} messages"))
    }
}
