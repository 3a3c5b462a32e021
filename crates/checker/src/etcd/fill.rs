//! Replays a history revision by revision, and finds out which operations of unknown outcome made
//! the revisions that no acknowledged write owns.
//!
//! Mostly an answer shows what such a revision wrote, and there is nothing to choose. Where there
//! is, the search tries the candidates, and on a contradiction goes back to the latest choice
//! that has to do with the keys of the contradiction (conflict-directed backjumping, Prosser
//! 1993), not just to the latest. Operations of unknown outcome that no revision needs cost
//! nothing. Of equal ones the first that was invoked stands for all: it can do what the others
//! can.

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
    /// The earlier choices that had to do with what went wrong here.
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
        match compaction::check(self.plan, self.timeline, &self.chain, budget) {
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
            budget.step().map_err(|limit| self.exhausted(&limit.to_string()))?;
            if self.try_candidate(revision, candidate) {
                self.choose(candidate);
                return Ok(self.observe(revision));
            }
            self.store.roll_back(revision - 1);
            let plan = self.plan;
            let culprits = self.culprits(revision - 1, &plan.items[candidate].call, last);
            self.choices[last].culprits.extend(culprits);
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
                    Some(span) => self.culprits_of_keys(*revision, &[span], all),
                    None => self.culprits(*revision, call, all),
                }
            }
            Failure::NoOwner { revision } => {
                let choice = self.choices.pop().expect("a choice failed");
                let mut culprits = choice.culprits;
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

    /// The first `limit` choices that may have changed what a call sees at a revision.
    fn culprits(&self, revision: u64, call: &Call<'a>, limit: usize) -> BTreeSet<usize> {
        let mut spans = Vec::new();
        call.footprint(&mut |span, _| spans.push(span));
        self.culprits_of_keys(revision, &spans, limit)
    }

    /// The first `limit` choices that may have changed any of these keys at a revision.
    fn culprits_of_keys(&self, revision: u64, spans: &[Span], limit: usize) -> BTreeSet<usize> {
        let mut culprits = BTreeSet::new();
        if limit == 0 {
            return culprits;
        }
        let mut concerned = vec![false; self.plan.keys.len()];
        for span in spans {
            concerned[span.from as usize..span.to as usize].fill(true);
        }
        let mut choice = limit;
        let last = revision.min(self.chain.len() as u64 - 1);
        for revision in (2..=last).rev() {
            while choice > 0 && self.choices[choice - 1].revision > revision {
                choice -= 1;
            }
            let is_choice = choice > 0 && self.choices[choice - 1].revision == revision;
            if is_choice && self.may_concern(revision, &concerned) {
                culprits.insert(choice - 1);
            }
            let Some(maker) = self.chain[revision as usize] else {
                continue;
            };
            // A transaction that wrote a key of concern did so because of other keys.
            let call = &self.plan.items[maker].call;
            if matches!(call, Call::Txn(_)) && writes_any(call, &concerned) {
                call.footprint(&mut |span, _| {
                    concerned[span.from as usize..span.to as usize].fill(true);
                });
            }
        }
        culprits
    }

    /// Whether any possible maker of a revision writes a key of concern.
    fn may_concern(&self, revision: u64, concerned: &[bool]) -> bool {
        let deadline = self.timeline.deadline(revision).time;
        let unknown = self.clues.candidates(self.plan, revision).iter().copied();
        let unknown = unknown
            .take_while(|&index| self.plan.items[index].invoked <= deadline)
            .filter(|&index| self.is_eligible(index, revision));
        let maybe = self.plan.observers_at(revision).iter();
        let maybe = maybe.filter(|observer| observer.2).map(|observer| observer.1);
        unknown.chain(maybe).any(|index| writes_any(&self.plan.items[index].call, concerned))
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

fn writes_any(call: &Call<'_>, concerned: &[bool]) -> bool {
    let mut any = false;
    call.footprint(&mut |span, writes| {
        any |= writes && span.ranks().any(|rank| concerned[rank as usize]);
    });
    any
}
