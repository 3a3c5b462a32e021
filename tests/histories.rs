//! Every history under `histories/` gets the verdict that its folder names, and a valid one does
//! not stay valid when a single answer in it is changed.
#![expect(clippy::disallowed_methods, reason = "a test that reads the corpus from its folder")]

use std::fs;
use std::path::{Path, PathBuf};

use quorate_checker::{Options, Verdict, check, minimize};
use quorate_history::{
    Data, EtcdResponse, Event, EventKind, History, KeyValue, Model, OpResult, OperationId, Step,
};

/// The files of a folder of the corpus, by name.
fn files(verdict: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("histories").join(verdict);
    let entries = fs::read_dir(&folder).expect("the corpus has a folder for each verdict");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|name| name == "jsonl")).collect();
    files.sort();
    files
}

fn read(path: &Path) -> History {
    let bytes = fs::read(path).expect("a readable file");
    History::read(&bytes[..]).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_history_has_the_verdict_of_its_folder() {
    for (verdict, least) in [("valid", 8), ("invalid", 12), ("unknown", 2)] {
        let files = files(verdict);
        for path in &files {
            let report = check(&read(path), &Options::default());
            let (found, path) = (report.verdict.name(), path.display());
            assert_eq!(found, verdict, "{path}: {:?}", report.verdict);
            if let Verdict::Invalid(violation) = report.verdict {
                assert!(!violation.operations.is_empty(), "{path}: names no operation");
                println!("{path}: {violation}");
            }
        }
        println!("{} histories are {verdict}", files.len());
        assert!(files.len() >= least, "only {} of at least {least} {verdict}", files.len());
    }
}

/// A key that an operation answered.
struct Shown {
    operation: OperationId,
    key: Data,
    revision: u64,
}

/// The first key that a range of this answer shows.
fn first_key(response: &mut EtcdResponse) -> Option<&mut KeyValue> {
    match response {
        EtcdResponse::Range(answer) => answer.kvs.as_mut()?.first_mut(),
        EtcdResponse::Txn(answer) => answer.responses.as_mut()?.iter_mut().find_map(first_key),
        _ => None,
    }
}

/// Changes the value of the last key that the history shows.
fn change_one_value(history: History) -> Option<(History, Shown)> {
    let (header, mut events) = history.into_parts();
    let shown = events.iter_mut().rev().find_map(|event: &mut Event| {
        let EventKind::Operation { id, step: Step::Ok(OpResult::Etcd(result)), .. } =
            &mut event.kind
        else {
            return None;
        };
        let kv = first_key(&mut result.response)?;
        kv.value = Some("changed".into());
        Some(Shown { operation: *id, key: kv.key.clone(), revision: kv.modified?.0 })
    })?;
    let history = History::new(header, events).expect("only an answer was changed");
    Some((history, shown))
}

#[test]
fn a_valid_history_with_one_value_changed_is_invalid_and_the_message_says_where() {
    let mut changed = 0;
    for path in files("valid") {
        let history = read(&path);
        if history.model() != Model::Etcd {
            continue;
        }
        let path = path.display();
        let (history, shown) =
            change_one_value(history).unwrap_or_else(|| panic!("{path} shows no key"));
        let verdict = check(&history, &Options::default()).verdict;
        let Verdict::Invalid(violation) = verdict else {
            panic!("{path}: {verdict:?} with one value changed");
        };
        for part in [
            format!("operation {} ", shown.operation),
            format!("key {}", shown.key),
            format!("revision {}", shown.revision),
        ] {
            assert!(violation.message.contains(&part), "{path}: no {part:?} in: {violation}");
        }
        assert!(violation.operations.contains(&shown.operation), "{path}: {violation:?}");
        changed += 1;
    }
    println!("{changed} histories turned invalid with one value changed");
    assert!(changed > 0, "no valid etcd history was found");
}

/// The history with the outcome of every operation but these unknown.
fn with_answers_of(history: &History, kept: &[OperationId]) -> History {
    let (header, mut events) = history.clone().into_parts();
    for event in &mut events {
        if let EventKind::Operation { id, step, .. } = &mut event.kind
            && matches!(step, Step::Ok(_) | Step::Fail(_))
            && !kept.contains(id)
        {
            *step = Step::Info("not looked at".into());
        }
    }
    History::new(header, events).expect("only outcomes were changed")
}

#[test]
fn a_minimal_counterexample_refutes_by_itself_and_needs_each_of_its_operations() {
    let mut smaller = 0;
    for path in files("invalid") {
        let history = read(&path);
        let path = path.display();
        let Verdict::Invalid(violation) = check(&history, &Options::default()).verdict else {
            panic!("{path} is not invalid");
        };
        let breaks_the_same = |kept: &[OperationId]| {
            let verdict = check(&with_answers_of(&history, kept), &Options::default()).verdict;
            matches!(verdict, Verdict::Invalid(found) if found.guarantee == violation.guarantee)
        };
        let found = minimize(&history, &violation, &Options::default());
        let ids = found.operations;
        assert!(found.minimal, "{path}: not decided whether {ids:?} is minimal");
        assert!(breaks_the_same(&ids), "{path}: {ids:?} do not refute it: {violation}");
        for left_out in &ids {
            let rest: Vec<_> = ids.iter().copied().filter(|id| id != left_out).collect();
            assert!(!breaks_the_same(&rest), "{path}: {ids:?} does not need {left_out}");
        }
        println!("{path}: {ids:?} of {}", history.operations());
        smaller += usize::from(ids.len() < history.operations());
    }
    println!("{smaller} counterexamples are smaller than their history");
    assert!(smaller > 0, "nothing was ever left out");
}
