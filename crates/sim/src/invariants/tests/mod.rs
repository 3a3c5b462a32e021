//! Each invariant reports what it is there for, and is silent about what comes close to it.
//!
//! Books and steps are made up here, since correct members never show what has to be reported; the
//! canaries show that members with a mistake do.

mod clients;
mod damage;
mod durability;
mod elections;
mod logs;
mod membership;
mod snapshots;

use quorate_mvcc::Revision;
use quorate_raft::{
    Configuration, HardState, LogIndex, NodeId as RaftId, Progress, Role, Snapshot, Term,
};

use super::books::{Books, Change, FOUNDING, GroupId, Recovered, Slot, State, StoreState};
use super::group::Group;
use super::{Violation, statement};
use crate::cluster::{Activity, Answer, RequestKind, to_raft_id};
use crate::engine::NodeId;

/// The group that all members of [`books`] found with the first entries of their logs.
const FOUNDERS: GroupId = GroupId(1);

/// A log of entries that everybody would have written alike, of these terms.
fn log(terms: &[u64]) -> Vec<Slot> {
    forged(terms, 0)
}

/// The same terms with other payloads, wherever `forgery` is another.
fn forged(terms: &[u64], forgery: u64) -> Vec<Slot> {
    let mut chain = forgery;
    let slots = terms.iter().map(|&term| {
        chain = chain.wrapping_mul(31) + term;
        Slot { term: Term(term), chain, group: FOUNDERS }
    });
    slots.collect()
}

/// The configuration with these nodes for voters.
fn voters(nodes: &[u32]) -> Configuration {
    Configuration::of_voters(nodes.iter().map(|&node| raft_id(node)))
}

/// A member's log goes on with an entry that leads to a group.
fn change_group(books: &mut Books, member: usize, term: u64, to: &Configuration) {
    let since = LogIndex(books.pages[member].log.len() as u64 + 1);
    let group = books.groups.enter(since, Group::of(to));
    let page = &mut books.pages[member];
    let chain = page.log.last().map_or(0, |slot| slot.chain).wrapping_mul(31) + term;
    page.log.push(Slot { term: Term(term), chain, group });
    page.durable.clone_from(&page.log);
    page.state.last_index = since;
}

/// Members that run and have all of their logs on disk, each a follower in its last entry's term.
fn books(logs: &[&[u64]]) -> Books {
    let mut books = Books::new(logs.len());
    let all: Vec<u32> = (0..logs.len() as u32).collect();
    let founders = books.groups.enter(FOUNDING, Group::of(&voters(&all)));
    assert_eq!(founders, FOUNDERS);
    for (page, terms) in books.pages.iter_mut().zip(logs) {
        page.running = true;
        page.log = log(terms);
        page.durable = log(terms);
        page.state.term = Term(terms.last().copied().unwrap_or(0));
        page.state.last_index = LogIndex(terms.len() as u64);
        page.durable_hard.term = page.state.term;
    }
    books
}

/// A step of one member.
struct Made {
    member: usize,
    before: State,
    after: State,
    group_before: GroupId,
    group: GroupId,
    configuration: Configuration,
    snapshot: Snapshot,
    progress: Vec<Progress>,
    activity: Activity,
    store: StoreState,
    first_changed: Option<LogIndex>,
    booted: bool,
}

impl Made {
    /// A step in which nothing happened to a member.
    fn idle(books: &Books, member: usize) -> Made {
        let state = books.pages[member].state;
        // It goes by the group that its log says, as long as that is the founders'.
        let all: Vec<u32> = (0..books.pages.len() as u32).collect();
        Made {
            member,
            before: state,
            after: state,
            group_before: books.pages[member].group(),
            group: books.pages[member].group(),
            configuration: voters(&all),
            snapshot: Snapshot::default(),
            progress: Vec::new(),
            activity: Activity::default(),
            store: StoreState {
                digest: 0,
                revision: Revision::INITIAL,
                compacted: Revision::NEVER_COMPACTED,
            },
            first_changed: None,
            booted: false,
        }
    }

    /// A step that ends with the member in a role of a term.
    fn into_role(books: &Books, member: usize, role: Role, term: u64) -> Made {
        let mut made = Made::idle(books, member);
        (made.after.role, made.after.term) = (role, Term(term));
        made
    }

    /// A step that ends with so much committed.
    fn committing(books: &Books, member: usize, commit: u64) -> Made {
        let mut made = Made::idle(books, member);
        made.after.commit = LogIndex(commit);
        made
    }

    fn change(&self) -> Change<'_> {
        Change {
            member: self.member,
            before: self.before,
            after: self.after,
            group_before: self.group_before,
            group: self.group,
            configuration: &self.configuration,
            snapshot: &self.snapshot,
            progress: &self.progress,
            activity: &self.activity,
            store: self.store,
            first_changed: self.first_changed,
            booted: self.booted,
        }
    }
}

/// What a member without doubts finds.
fn recovered(log: Vec<Slot>) -> Recovered {
    Recovered {
        log,
        hard: HardState::default(),
        base: LogIndex::ZERO,
        abstains: false,
        doubtful: LogIndex::ZERO,
    }
}

fn raft_id(member: u32) -> RaftId {
    to_raft_id(NodeId(member))
}

/// An answer to a client, with what the member had applied.
fn answer(kind: RequestKind, term: u64, revision: i64, applied: u64) -> Answer {
    let acknowledged = LogIndex::ZERO;
    Answer { kind, term: Term(term), revision, applied: LogIndex(applied), acknowledged }
}

/// The invariant reports, and says what it saw.
#[track_caller]
fn assert_reports(checked: Result<(), Violation>, invariant: &str, saying: &str) {
    let violation = checked.expect_err("it has to be reported");
    assert_eq!(violation.invariant, invariant, "{violation}");
    assert!(violation.message.contains(saying), "{violation}");
    assert!(!statement(invariant).is_empty());
}
