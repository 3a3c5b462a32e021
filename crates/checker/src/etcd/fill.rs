//! Replays a history revision by revision, and finds out which operations of unknown outcome made
//! the revisions that no acknowledged write owns.
//!
//! Mostly an answer shows what such a revision wrote, and there is nothing to choose. Where there
//! is, the search tries the candidates, and on a contradiction goes back to the latest choice
//! that has to do with the keys of the contradiction (conflict-directed backjumping, Prosser
//! 1993), not just to the latest. Operations of unknown outcome that no revision needs cost
//! nothing. Of equal ones the first that was invoked stands for all: it can do what the others
//! can.

use std::cell::Cell;
use std::collections::BTreeSet;

use super::clues::Clues;
use super::plan::{Call, Plan, Span};
use super::store::{Difference, Mismatch, Store};
use super::timeline::Timeline;
use super::{Stop, compaction, explain};
use crate::budget::Budget;
use crate::verdict::Violation;

/// Why the replay cannot go on.
enum Failure<'a> {
    Mismatch { item: usize, revision: u64, mismatch: Mismatch<'a> },
    NoOwner { revision: u64 },
    Compaction(Violation),
}

/// A revision that nobody acknowledged, and who is tried as its maker.
struct Choice {
    revision: u64,
    /// Acknowledged operations at this revision that may have made it, still to be tried.
    maybe: Vec<usize>,
    /// So many of the candidates are still to be tried, from the last.
    left: usize,
    chosen: Option<usize>,
    /// Candidates that cannot have made the revision, as the store was.
    rejected: Vec<usize>,
    /// The earlier choices that had to do with what went wrong after this one.
    culprits: BTreeSet<usize>,
}

/// The replay.
pub(super) struct Filling<'p, 'a> {
    plan: &'p Plan<'a>,
    timeline: &'p Timeline,
    clues: Clues<'a>,
    store: Store<'p, 'a>,
    /// Who made each revision so far; the first two places stand for none.
    chain: Vec<Option<usize>>,
    choices: Vec<Choice>,
    /// How many operations of each class are in use.
    used: Vec<usize>,
    /// Candidates looked at since the budget was last asked.
    looks: Cell<u64>,
    /// The sentence about the furthest failure so far, and its revision.
    furthest: Option<(u64, Violation)>,
}

impl<'p, 'a> Filling<'p, 'a> {
    /// Searches who made which revision, so that all answers fit.
    pub(super) fn search(
        plan: &'p Plan<'a>,
        timeline: &'p Timeline,
        budget: &mut Budget<'_>,
    ) -> Result<(), Stop> {
        let clues = Clues::of(plan);
        let used = vec![0; clues.members.len()];
        let mut filling = Self {
            plan,
            timeline,
            clues,
            store: Store::new(&plan.keys),
            chain: vec![None; 2],
            choices: Vec::new(),
            used,
            looks: Cell::new(0),
            furthest: None,
        };
        filling.run(budget)
    }

    fn run(&mut self, budget: &mut Budget<'_>) -> Result<(), Stop> {
        let mut outcome = self.observe(1);
        loop {
            if outcome.is_ok() {
                outcome = self.forward(budget)?;
            }
            match outcome {
                Ok(()) => return Ok(()),
                Err(failure) => {
                    let culprits = self.culprits_of(&failure);
                    self.note(failure);
                    outcome = self.go_back(culprits, budget)?;
                }
            }
        }
    }

    /// Replays up to the top, or to what does not fit.
    fn forward(&mut self, budget: &mut Budget<'_>) -> Result<Result<(), Failure<'a>>, Stop> {
        while (self.chain.len() as u64) <= self.plan.top {
            let revision = self.chain.len() as u64;
            let step = match self.plan.owner[revision as usize] {
                Some(owner) => self.make(revision, owner),
                None => {
                    self.open_choice(revision);
                    self.try_next(budget)?
                }
            };
            if let Err(failure) = step {
                return Ok(Err(failure));
            }
        }
        match compaction::check(self.plan, self.timeline, &self.chain, &self.store, budget) {
            Ok(()) => Ok(Ok(())),
            Err(Stop::Invalid(violation)) => Ok(Err(Failure::Compaction(violation))),
            Err(stop) => Err(stop),
        }
    }

    /// Lets `maker` make the next revision, and compares all that was answered at it.
    fn make(&mut self, revision: u64, maker: usize) -> Result<(), Failure<'a>> {
        let item = &self.plan.items[maker];
        let fail = |mismatch| Failure::Mismatch { item: maker, revision, mismatch };
        let run = self.store.run(&item.call, revision - 1, item.response);
        run.map_err(fail)?;
        if self.store.written(revision).next().is_none() {
            let why = "it changed nothing, so that it made no revision";
            return Err(fail(Mismatch::of_call(Difference::Impossible(why))));
        }
        self.chain.push(Some(maker));
        self.observe(revision)
    }

    /// Compares what was answered at the current revision by others than its maker.
    fn observe(&mut self, revision: u64) -> Result<(), Failure<'a>> {
        let plan = self.plan;
        for &(_, item, _) in plan.observers_at(revision) {
            if self.chain.get(revision as usize) == Some(&Some(item)) {
                continue;
            }
            let fail = |mismatch| Failure::Mismatch { item, revision, mismatch };
            let operation = &plan.items[item];
            let run = self.store.run(&operation.call, revision, operation.response);
            run.map_err(fail)?;
            if self.store.written(revision + 1).next().is_some() {
                let why = "it changed something, but another operation made its revision";
                return Err(fail(Mismatch::of_call(Difference::Impossible(why))));
            }
        }
        Ok(())
    }

    fn open_choice(&mut self, revision: u64) {
        // What was invoked after something later had completed comes too late.
        let deadline = self.timeline.deadline(revision).time;
        let candidates = self.clues.candidates(self.plan, revision);
        let left = candidates.partition_point(|&i| self.plan.items[i].invoked <= deadline);
        let items = &self.plan.items;
        let observers = self.plan.observers_at(revision).iter();
        let maybe = observers.filter(|observer| observer.2).map(|observer| observer.1);
        let maybe = maybe.filter(|&item| items[item].invoked <= deadline).collect();
        self.choices.push(Choice {
            revision,
            maybe,
            left,
            chosen: None,
            rejected: Vec::new(),
            culprits: BTreeSet::new(),
        });
    }

    /// Tries the next candidate of the last choice, until one makes its revision.
    fn try_next(&mut self, budget: &mut Budget<'_>) -> Result<Result<(), Failure<'a>>, Stop> {
        loop {
            let last = self.choices.len() - 1;
            let revision = self.choices[last].revision;
            let Some(candidate) = self.next_candidate() else {
                return Ok(Err(Failure::NoOwner { revision }));
            };
            let steps = 1 + self.looks.take();
            budget.spend(steps).map_err(|limit| self.exhausted(&limit.to_string()))?;
            if self.try_candidate(revision, candidate) {
                self.choose(candidate);
                return Ok(self.observe(revision));
            }
            self.store.roll_back(revision - 1);
            self.choices[last].rejected.push(candidate);
        }
    }

    fn next_candidate(&mut self) -> Option<usize> {
        let choice = self.choices.last_mut().expect("a choice is open");
        if let Some(maybe) = choice.maybe.pop() {
            return Some(maybe);
        }
        let revision = choice.revision;
        let mut left = choice.left;
        let mut found = None;
        while left > 0 && found.is_none() {
            left -= 1;
            let index = self.clues.candidates(self.plan, revision)[left];
            found = (self.is_eligible(index, revision) && self.is_free(index)).then_some(index);
        }
        self.choices.last_mut().expect("it is still open").left = left;
        found
    }

    /// Whether an unknown operation may have made a revision, by all that does not depend on
    /// choices.
    fn is_eligible(&self, index: usize, revision: u64) -> bool {
        self.looks.set(self.looks.get() + 1);
        if self.clues.reserved.get(&index).is_some_and(|for_revision| *for_revision != revision) {
            return false;
        }
        let touched = match self.plan.items[index].call {
            Call::Put(rank, _) => !self.clues.untouched[rank as usize].contains(revision),
            _ => true,
        };
        touched && self.clues.may_have_shown(self.plan, index, revision)
    }

    /// Whether an unknown operation is the first of its class that is not in use.
    fn is_free(&self, index: usize) -> bool {
        let class = self.clues.class[&index];
        self.clues.members[class].get(self.used[class]) == Some(&index)
    }

    /// Carries a candidate out, and says whether it can have made the revision.
    fn try_candidate(&mut self, revision: u64, candidate: usize) -> bool {
        let item = &self.plan.items[candidate];
        let base = revision - 1;
        if self.store.run(&item.call, base, item.response).is_err() {
            return false;
        }
        let mut written = self.store.written(revision).peekable();
        if written.peek().is_none() || written.any(|rank| self.contradicts(rank, revision)) {
            return false;
        }
        let created = self.clues.created.get(&revision).into_iter().flatten();
        let mut created = created.map(|&rank| self.store.at(rank, revision));
        if !created.all(|version| version.is_some_and(|version| version.create == revision)) {
            return false;
        }
        let shown = self.clues.shown.get(&revision).into_iter().flatten();
        shown.into_iter().all(|(_, kv)| {
            let Some(rank) = self.plan.rank(&kv.key) else {
                return false;
            };
            let Some(version) = self.store.at(rank, revision) else {
                return false;
            };
            let keys_only = kv.value.as_ref().is_some_and(|value| value.is_empty());
            version.modified == revision
                && self.store.compare_kv(kv, rank, version, keys_only).is_ok()
        })
    }

    /// Whether what a revision did to a key contradicts what answers show of it.
    fn contradicts(&self, rank: u32, revision: u64) -> bool {
        let deleted = self.store.at(rank, revision).is_none();
        self.clues.untouched[rank as usize].contains(revision)
            || (deleted && self.clues.intact[rank as usize].contains(revision))
    }

    fn choose(&mut self, candidate: usize) {
        if let Some(&class) = self.clues.class.get(&candidate) {
            self.used[class] += 1;
        }
        self.choices.last_mut().expect("a choice is open").chosen = Some(candidate);
        self.chain.push(Some(candidate));
    }

    fn unchoose(&mut self) {
        let choice = self.choices.last_mut().expect("a choice is open");
        if let Some(candidate) = choice.chosen.take()
            && let Some(&class) = self.clues.class.get(&candidate)
        {
            self.used[class] -= 1;
        }
        let before = choice.revision as usize;
        self.chain.truncate(before);
        self.store.roll_back(before as u64 - 1);
    }

    /// Goes back to the latest choice among the culprits and tries its next candidate; when none
    /// is left, further.
    fn go_back(
        &mut self,
        mut culprits: BTreeSet<usize>,
        budget: &mut Budget<'_>,
    ) -> Result<Result<(), Failure<'a>>, Stop> {
        let Some(latest) = culprits.pop_last() else {
            let (_, violation) = self.furthest.take().expect("a failure was noted");
            return Err(violation.into());
        };
        while self.choices.len() > latest {
            self.unchoose();
            if self.choices.len() > latest + 1 {
                self.choices.pop();
            } else {
                break;
            }
        }
        self.choices[latest].culprits.append(&mut culprits);
        self.try_next(budget)
    }

    /// The choices that a failure has to do with. A failed choice is taken off.
    fn culprits_of(&mut self, failure: &Failure<'a>) -> BTreeSet<usize> {
        let plan = self.plan;
        match failure {
            Failure::Mismatch { item, revision, mismatch } => {
                let all = self.choices.len();
                let call = &plan.items[*item].call;
                match mismatch.span {
                    Some(span) => {
                        let seen = earliest_seen(call);
                        self.culprits_of_keys(*revision, &[span], seen, all)
                    }
                    None => self.culprits(*revision, [call].into_iter(), all),
                }
            }
            Failure::NoOwner { revision } => {
                let choice = self.choices.pop().expect("a choice failed");
                let mut culprits = choice.culprits;
                let rejected = choice.rejected.iter().map(|&i| &plan.items[i].call);
                let all = self.choices.len();
                culprits.extend(self.culprits(*revision, rejected, all));
                // Whoever is in use elsewhere might have made this revision.
                for (index, earlier) in self.choices.iter().enumerate() {
                    if let Some(chosen) = earlier.chosen
                        && self.clues.class.contains_key(&chosen)
                        && self.is_eligible(chosen, *revision)
                    {
                        culprits.insert(index);
                    }
                }
                culprits
            }
            // Which compactions fit depends on when each revision was made.
            Failure::Compaction(_) => (0..self.choices.len()).collect(),
        }
    }

    /// The first `limit` choices that may have changed what any of the calls sees at a revision.
    fn culprits<'c>(
        &self,
        revision: u64,
        calls: impl Iterator<Item = &'c Call<'a>>,
        limit: usize,
    ) -> BTreeSet<usize>
    where
        'a: 'c,
    {
        let (mut spans, mut seen) = (Vec::new(), u64::MAX);
        for call in calls {
            call.footprint(&mut |span, _| spans.push(span));
            seen = seen.min(earliest_seen(call));
        }
        self.culprits_of_keys(revision, &spans, seen, limit)
    }

    /// The first `limit` choices that may have changed any of these keys from revision `seen`, the
    /// earliest that matters, up to `revision`, where something failed.
    fn culprits_of_keys(
        &self,
        revision: u64,
        spans: &[Span],
        seen: u64,
        limit: usize,
    ) -> BTreeSet<usize> {
        let mut culprits = BTreeSet::new();
        if limit == 0 {
            return culprits;
        }
        let mut concern = Concern::new(self.plan.keys.len());
        let (failed, seen) = (revision, seen.min(revision));
        for span in spans {
            concern.add(*span, |rank| self.clues.pinned_before(rank, seen, failed));
        }
        let mut choice = limit;
        let last = revision.min(self.chain.len() as u64 - 1);
        for revision in (2..=last).rev() {
            if revision <= concern.lowest {
                break;
            }
            while choice > 0 && self.choices[choice - 1].revision > revision {
                choice -= 1;
            }
            let is_choice = choice > 0 && self.choices[choice - 1].revision == revision;
            if is_choice && self.may_concern(choice - 1, &concern) {
                culprits.insert(choice - 1);
            }
            let Some(maker) = self.chain[revision as usize] else {
                continue;
            };
            // A transaction that wrote a key of concern did so because of other keys.
            let call = &self.plan.items[maker].call;
            if matches!(call, Call::Txn(_)) && concern.is_written(call, revision) {
                call.footprint(&mut |span, _| {
                    concern.add(span, |rank| self.clues.pinned_before(rank, revision, failed));
                });
            }
        }
        culprits
    }

    /// Whether any possible maker of a choice's revision writes a key of concern.
    fn may_concern(&self, choice: usize, concern: &Concern) -> bool {
        let Choice { revision, chosen, .. } = self.choices[choice];
        let writes = |index: usize| concern.is_written(&self.plan.items[index].call, revision);
        if chosen.is_some_and(writes) {
            return true;
        }
        let maybe = self.plan.observers_at(revision).iter();
        if maybe.filter(|observer| observer.2).any(|observer| writes(observer.1)) {
            return true;
        }
        let deadline = self.timeline.deadline(revision).time;
        let in_time = |index: &usize| self.plan.items[*index].invoked <= deadline;
        concern.ranks_at(revision).any(|rank| {
            let writers = self.clues.writers[rank as usize].iter().copied();
            writers.take_while(in_time).any(|index| self.is_eligible(index, revision))
        })
    }

    /// Keeps the sentence about the furthest failure.
    fn note(&mut self, failure: Failure<'a>) {
        let revision = match &failure {
            Failure::Mismatch { revision, .. } | Failure::NoOwner { revision } => *revision,
            Failure::Compaction(_) => self.plan.top + 1,
        };
        if self.furthest.as_ref().is_some_and(|(furthest, _)| *furthest >= revision) {
            return;
        }
        let violation = match failure {
            Failure::Mismatch { item, revision, mismatch } => explain::mismatch(
                self.plan,
                item,
                revision,
                &mismatch.difference,
                |revision| self.chain.get(revision as usize).copied().flatten(),
                !self.choices.is_empty(),
            ),
            Failure::NoOwner { revision } => {
                let shown = self.clues.shown.get(&revision).map_or(&[][..], |shown| shown);
                explain::no_owner(self.plan, revision, shown)
            }
            Failure::Compaction(violation) => violation,
        };
        self.furthest = Some((revision, violation));
    }

    fn exhausted(&self, limit: &str) -> Stop {
        let revision = self.chain.len() - 1;
        let obstacle = match &self.furthest {
            Some((_, violation)) => format!("; what stood in the way: {}", violation.message),
            None => String::new(),
        };
        Stop::Unknown(format!(
            "{limit} while searching which operations of unknown outcome made the revisions that \
             nobody acknowledged; all answers up to revision {revision} are explained{obstacle}"
        ))
    }
}

/// The earliest revision that a call asks for; the highest number for none.
fn earliest_seen(call: &Call<'_>) -> u64 {
    let mut earliest = u64::MAX;
    call.asked_revisions(&mut |at| earliest = earliest.min(at));
    earliest
}

/// The keys that a contradiction has to do with, each down to the revision where an answer shows
/// it in full: what made earlier revisions does not matter to it.
struct Concern {
    /// By rank; the highest number for keys of no concern.
    down_to: Vec<u64>,
    ranks: Vec<u32>,
    lowest: u64,
}

impl Concern {
    fn new(keys: usize) -> Self {
        Self { down_to: vec![u64::MAX; keys], ranks: Vec::new(), lowest: u64::MAX }
    }

    fn add(&mut self, span: Span, down_to: impl Fn(u32) -> u64) {
        for rank in span.ranks() {
            let known = &mut self.down_to[rank as usize];
            if *known == u64::MAX {
                *known = down_to(rank);
                self.lowest = self.lowest.min(*known);
                self.ranks.push(rank);
            }
        }
    }

    /// The keys whose state after a revision is of concern.
    fn ranks_at(&self, revision: u64) -> impl Iterator<Item = u32> + '_ {
        let ranks = self.ranks.iter().copied();
        ranks.filter(move |&rank| self.down_to[rank as usize] < revision)
    }

    fn is_written(&self, call: &Call<'_>, revision: u64) -> bool {
        let mut any = false;
        call.footprint(&mut |span, writes| {
            any |= writes && span.ranks().any(|rank| self.down_to[rank as usize] < revision);
        });
        any
    }
}
