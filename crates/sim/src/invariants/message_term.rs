//! Invariant 12: A message's term is on its sender's disk: a member that forgot its term could
//! lead, or vote, in it twice. So is the term that a client is told, which must never go back.

use super::books::{Books, Change};
use super::{Violation, ensure};

pub(super) const NAME: &str = "MessageTerm";

pub(super) fn check(change: &Change<'_>, books: &Books) -> Result<(), Violation> {
    let durable = books.pages[change.member].durable_hard.term;
    let sent = change.activity.sent_term;
    ensure(sent <= durable, NAME, || {
        format!("n{} sent a message of term {sent}, but {durable} is on its disk", change.member)
    })?;
    let told = change.activity.answers.iter().map(|answer| answer.term).max().unwrap_or_default();
    ensure(told <= durable, NAME, || {
        format!("n{} told a client of term {told}, but {durable} is on its disk", change.member)
    })
}
