//! The words of one command. Whatever is not understood, or left over, is an error.

use std::collections::VecDeque;
use std::str::FromStr;

use quorate_raft::NodeId;

pub(crate) struct Words<'a> {
    rest: VecDeque<&'a str>,
}

impl<'a> Words<'a> {
    pub(crate) fn of(text: &'a str) -> Words<'a> {
        Words { rest: text.split_whitespace().collect() }
    }

    /// The next word; `what` says what is expected there.
    pub(crate) fn word(&mut self, what: &str) -> Result<&'a str, String> {
        self.rest.pop_front().ok_or_else(|| format!("{what} is missing at the end"))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<&'a str> {
        self.rest.front().copied()
    }

    /// Takes the next word if it is this one.
    pub(crate) fn take(&mut self, word: &str) -> bool {
        let next = self.peek() == Some(word);
        if next {
            self.rest.pop_front();
        }
        next
    }

    pub(crate) fn expect(&mut self, word: &str) -> Result<(), String> {
        if self.take(word) {
            return Ok(());
        }
        Err(format!("expected {word:?}, found {:?}", self.peek().unwrap_or("the end")))
    }

    pub(crate) fn number<T: FromStr>(&mut self, what: &str) -> Result<T, String> {
        number(self.word(what)?, what)
    }

    /// A member, written `n1`.
    pub(crate) fn node(&mut self) -> Result<NodeId, String> {
        node(self.word("a member")?)
    }

    /// All remaining words as members: at least one.
    pub(crate) fn nodes(&mut self) -> Result<Vec<NodeId>, String> {
        let mut nodes = vec![self.node()?];
        while !self.is_empty() {
            nodes.push(self.node()?);
        }
        Ok(nodes)
    }

    /// The value of `key=value`, wherever it stands.
    pub(crate) fn setting<T: FromStr>(&mut self, key: &str) -> Result<Option<T>, String> {
        let Some(position) = self
            .rest
            .iter()
            .position(|word| word.strip_prefix(key).is_some_and(|value| value.starts_with('=')))
        else {
            return Ok(None);
        };
        let word = self.rest.remove(position).expect("it was found there");
        number(&word[key.len() + 1..], key).map(Some)
    }

    /// There must be nothing left.
    pub(crate) fn end(&self) -> Result<(), String> {
        match self.peek() {
            None => Ok(()),
            Some(word) => Err(format!("{word:?} is not understood here")),
        }
    }
}

pub(crate) fn node(word: &str) -> Result<NodeId, String> {
    let id = word.strip_prefix('n').and_then(|id| id.parse().ok()).filter(|&id| id > 0);
    id.map(NodeId).ok_or_else(|| format!("{word:?} is no member: members are n1, n2, …"))
}

pub(crate) fn number<T: FromStr>(word: &str, what: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{word:?} is not possible as {what}"))
}
