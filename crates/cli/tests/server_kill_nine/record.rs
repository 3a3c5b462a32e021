//! What all clients see, in one history.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use quorate_history::{ClientId, EtcdOp, EtcdResult, Model, OperationId, Recorder, Time};
use serde_json::Value;
use tokio::sync::watch;

/// A history in the making, with one clock for all.
pub(crate) struct Record {
    begun: Instant,
    /// Taken when the history is written.
    recorder: Mutex<Option<Recorder>>,
    counts: watch::Sender<Counts>,
    stopped: AtomicBool,
}

/// What became of operations.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) unknown: u64,
}

/// How an operation ended.
pub(crate) enum Outcome {
    Ok(EtcdResult),
    Failed(String),
    Unknown(String),
}

impl Record {
    pub(crate) fn new(source: Value) -> Record {
        let Value::Object(source) = source else { panic!("a source is an object") };
        Record {
            begun: Instant::now(),
            recorder: Mutex::new(Some(Recorder::new(Model::Etcd, source))),
            counts: watch::Sender::default(),
            stopped: AtomicBool::new(false),
        }
    }

    /// The time is read under the lock, so that it never goes back from line to line. An
    /// invocation is noted before its request leaves, a completion after its answer has come.
    fn at<T>(&self, note: impl FnOnce(&mut Recorder, Time) -> T) -> T {
        let mut recorder = self.lock();
        let recorder = recorder.as_mut().expect("nothing is recorded after the history is written");
        let nanos = self.begun.elapsed().as_nanos();
        note(recorder, Time(u64::try_from(nanos).expect("a test is short")))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Recorder>> {
        self.recorder.lock().expect("nobody panics while noting")
    }

    pub(crate) fn invoke(&self, client: ClientId, op: EtcdOp) -> OperationId {
        self.at(|recorder, time| recorder.invoke(time, client, op))
    }

    pub(crate) fn complete(&self, id: OperationId, outcome: Outcome) {
        self.counts.send_modify(|counts| match outcome {
            Outcome::Ok(_) => counts.ok += 1,
            Outcome::Failed(_) => counts.failed += 1,
            Outcome::Unknown(_) => counts.unknown += 1,
        });
        self.at(|recorder, time| match outcome {
            Outcome::Ok(result) => recorder.ok(time, id, result),
            Outcome::Failed(error) => recorder.fail(time, id, error),
            Outcome::Unknown(error) => recorder.info(time, id, error),
        });
    }

    pub(crate) fn fault(&self, fault: Value) {
        self.at(|recorder, time| recorder.fault(time, fault));
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Waits until so many operations more have succeeded.
    pub(crate) async fn successes(&self, more: u64) {
        let enough = self.counts().ok + more;
        let mut counts = self.counts.subscribe();
        let counted = counts.wait_for(|counts| counts.ok >= enough).await;
        counted.expect("the counts are there as long as this is");
    }

    /// Tells clients to come to an end.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    pub(crate) fn write(&self, file: &Path) {
        let recorder = self.lock().take().expect("it is written once");
        let file = File::create(file).expect("the test's folder can be written");
        let mut out = BufWriter::new(file);
        recorder.into_history().write(&mut out).expect("it can be written");
        std::io::Write::flush(&mut out).expect("it can be written");
    }
}
